package gnmi

import (
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"heddle/schema"
)

// Plain is a message as every encoder of protobuf writes it: each field once, in
// the order of the numbers, no others. The functions here read plain messages of
// gNMI and say of others that they are not plain, faulty ones among them.

// Tags of fields, number<<3 | type (https://protobuf.dev/programming-guides/encoding).
const (
	tagUpdatePath = 1<<3 | byte(protowire.BytesType)
	tagUpdateVal  = 3<<3 | byte(protowire.BytesType)
	tagPathElem   = 3<<3 | byte(protowire.BytesType)
	tagElemName   = 1<<3 | byte(protowire.BytesType)
	tagElemKey    = 2<<3 | byte(protowire.BytesType)
	tagMapKey     = 1<<3 | byte(protowire.BytesType)
	tagMapValue   = 2<<3 | byte(protowire.BytesType)

	tagStringVal   = 1<<3 | byte(protowire.BytesType)
	tagIntVal      = 2<<3 | byte(protowire.VarintType)
	tagUintVal     = 3<<3 | byte(protowire.VarintType)
	tagBoolVal     = 4<<3 | byte(protowire.VarintType)
	tagBytesVal    = 5<<3 | byte(protowire.BytesType)
	tagFloatVal    = 6<<3 | byte(protowire.Fixed32Type)
	tagLeaflistVal = 8<<3 | byte(protowire.BytesType)
	tagJsonVal     = 10<<3 | byte(protowire.BytesType)
	tagJsonIETFVal = 11<<3 | byte(protowire.BytesType)
	tagDoubleVal   = 14<<3 | byte(protowire.Fixed64Type)

	tagArrayElement = 1<<3 | byte(protowire.BytesType)
)

// cut takes a field with a length off b, if it has this tag.
func cut(b []byte, tag byte) (value, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	value, n := protowire.ConsumeBytes(b[1:])
	if n < 0 {
		return nil, nil, false
	}
	return value, b[1+n:], true
}

// cutString is cut of a string.
func cutString(b []byte, tag byte) (value string, rest []byte, ok bool) {
	v, rest, ok := cut(b, tag)
	if !ok || !utf8.Valid(v) {
		return "", nil, false
	}
	return string(v), rest, true
}

// plainUpdate splits an Update of a path and a value.
func plainUpdate(b []byte) (path, val []byte, ok bool) {
	if path, b, ok = cut(b, tagUpdatePath); !ok {
		return nil, nil, false
	}
	val, b, ok = cut(b, tagUpdateVal)
	return path, val, ok && len(b) == 0
}

// plainElems appends the elements of a path that has nothing else, and where each
// begins. The maps of keys behind the elements are used again.
func plainElems(elems []schema.NameElem, starts []int, path []byte) (_ []schema.NameElem, _ []int, ok bool) {
	for rest := path; len(rest) > 0; {
		starts = append(starts, len(path)-len(rest))
		var elem []byte
		if elem, rest, ok = cut(rest, tagPathElem); !ok {
			return elems, starts, false
		}
		if n := len(elems); n < cap(elems) {
			elems = elems[:n+1]
		} else {
			elems = append(elems, schema.NameElem{})
		}
		if !readElem(&elems[len(elems)-1], elem) {
			return elems, starts, false
		}
	}
	return elems, starts, true
}

// readElem reads a plain PathElem.
func readElem(e *schema.NameElem, b []byte) (ok bool) {
	clear(e.Keys)
	if e.Name, b, ok = cutString(b, tagElemName); !ok {
		return false
	}
	for len(b) > 0 {
		var entry []byte
		var k, v string
		if entry, b, ok = cut(b, tagElemKey); !ok {
			return false
		}
		if k, entry, ok = cutString(entry, tagMapKey); !ok {
			return false
		}
		if v, entry, ok = cutString(entry, tagMapValue); !ok || len(entry) > 0 {
			return false
		}
		if e.Keys == nil {
			e.Keys = map[string]string{}
		}
		e.Keys[k] = v
	}
	return true
}

// plainValue is a TypedValue: JSON, or a scalar if json is nil.
type plainValue struct {
	json     []byte // part of what was read
	encoding schema.Encoding
	scalar   schema.Value
}

// readValue reads a plain TypedValue, but decimals and what is not offered.
func readValue(b []byte) (v plainValue, ok bool) {
	if len(b) == 0 {
		return v, false
	}
	switch b[0] {
	case tagJsonVal:
		v.encoding = schema.JSON
	case tagJsonIETFVal:
		v.encoding = schema.JSONIETF
	case tagLeaflistVal:
		v.scalar, ok = readList(b)
		return v, ok
	default:
		v.scalar, ok = readScalar(b)
		return v, ok
	}
	v.json, b, ok = cut(b, b[0])
	return v, ok && len(b) == 0
}

// readList reads a TypedValue with a leaflist_val of plain scalars.
func readList(b []byte) (schema.Value, bool) {
	array, b, ok := cut(b, tagLeaflistVal)
	if !ok || len(b) > 0 {
		return schema.Value{}, false
	}
	list := []schema.Value{}
	for len(array) > 0 {
		var element []byte
		if element, array, ok = cut(array, tagArrayElement); !ok || len(element) == 0 {
			return schema.Value{}, false
		}
		v, ok := readScalar(element)
		if !ok {
			return schema.Value{}, false
		}
		list = append(list, v)
	}
	return schema.ListValue(list), true
}

// readScalar reads a plain TypedValue with one scalar; b is not empty.
func readScalar(b []byte) (v schema.Value, ok bool) {
	rest := b[1:]
	n := -1
	switch b[0] {
	case tagStringVal:
		s, rest, ok := cutString(b, tagStringVal)
		return schema.StringValue(s), ok && len(rest) == 0
	case tagBytesVal:
		s, rest, ok := cut(b, tagBytesVal)
		return schema.BinaryValue(s), ok && len(rest) == 0
	case tagIntVal, tagUintVal, tagBoolVal:
		var u uint64
		u, n = protowire.ConsumeVarint(rest)
		switch b[0] {
		case tagIntVal:
			v = schema.IntValue(int64(u))
		case tagUintVal:
			v = schema.UintValue(u)
		default:
			v = schema.BoolValue(protowire.DecodeBool(u))
		}
	case tagFloatVal:
		var u uint32
		u, n = protowire.ConsumeFixed32(rest)
		v = schema.FloatValue(float64(math.Float32frombits(u)))
	case tagDoubleVal:
		var u uint64
		u, n = protowire.ConsumeFixed64(rest)
		v = schema.FloatValue(math.Float64frombits(u))
	}
	return v, n >= 0 && n == len(rest)
}
