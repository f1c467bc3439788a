package schema

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"
)

// field writes a field that is set, without making a Value of the frequent
// kinds.
func (e *encoder) field(s *slot, p unsafe.Pointer) {
	switch s.kind {
	case fString:
		e.buf = appendString(e.buf, **(**string)(p))
	case fBool:
		e.buf = strconv.AppendBool(e.buf, **(**bool)(p))
	case fUint:
		e.buf = e.appendInteger(e.buf, s.size == 8, func(b []byte) []byte {
			return strconv.AppendUint(b, s.loadUint(*(*unsafe.Pointer)(p)), 10)
		})
	case fStrings:
		e.buf = append(e.buf, '[')
		for i, x := range *(*[]string)(p) {
			if i > 0 {
				e.buf = append(e.buf, ',')
			}
			e.buf = appendString(e.buf, x)
		}
		e.buf = append(e.buf, ']')
	default:
		v, ok := s.load(p)
		if !ok {
			e.buf = append(e.buf, "null"...)
			return
		}
		e.buf = e.appendValue(e.buf, s.node.Type, v)
	}
}

// appendInteger quotes 64-bit numbers in JSON_IETF.
func (e *encoder) appendInteger(dst []byte, wide bool, number func([]byte) []byte) []byte {
	if wide && e.o.Encoding == JSONIETF {
		return append(number(append(dst, '"')), '"')
	}
	return number(dst)
}

// AppendValue appends a leaf's value as JSON.
func (s *Schema) AppendValue(dst []byte, n *Node, v Value, enc Encoding) []byte {
	e := encoder{s: s, o: EncodeOptions{Encoding: enc}}
	return e.appendValue(dst, n.Type, v)
}

func (e *encoder) appendValue(dst []byte, t *Type, v Value) []byte {
	switch v.kind {
	case KindString, KindEnum:
		return appendString(dst, v.str)
	case KindIdentity:
		if e.o.Encoding == JSON {
			return appendString(dst, v.str)
		}
		dst = append(append(append(dst, '"'), e.module(v.mod)...), ':')
		return append(append(dst, v.str...), '"')
	case KindUint:
		return e.appendInteger(dst, t.wide(v), func(b []byte) []byte { return strconv.AppendUint(b, v.num, 10) })
	case KindInt:
		return e.appendInteger(dst, t.wide(v), func(b []byte) []byte { return strconv.AppendInt(b, int64(v.num), 10) })
	case KindBool:
		return strconv.AppendBool(dst, v.num != 0)
	case KindDecimal:
		return e.appendInteger(dst, true, func(b []byte) []byte { return append(b, v.str...) })
	case KindBinary:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, []byte(v.str))
		return append(dst, '"')
	case KindEmpty:
		return append(dst, "[null]"...)
	case KindList:
		dst = append(dst, '[')
		for i, x := range v.list {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = e.appendValue(dst, t, x)
		}
		return append(dst, ']')
	}
	return append(dst, "null"...)
}

// wide reports whether integer v is of a 64-bit type.
func (t *Type) wide(v Value) bool {
	if t.kind != tUnion {
		return t.bits == 64
	}
	for _, m := range t.members {
		if m.kind == tUint || m.kind == tInt {
			if _, f := m.parse(&raw{form: fScalar, value: v}); f == fits {
				return m.bits == 64
			}
		}
	}
	return false
}

// appendString quotes s; plain ASCII, nearly all there is, without a second
// look.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			out, err := jsontext.AppendQuote(dst, s)
			if err != nil {
				// Invalid UTF-8 in a struct that was not decoded: AppendQuote
				// has put replacement characters.
				return out
			}
			return out
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// EncodeEntry appends the own content of one entry (no child lists) as a
// JSON_IETF object.
func (s *Schema) EncodeEntry(dst []byte, k EntryKey, entry GoStruct) []byte {
	n := s.nodeOf(k)
	var ent entity
	ent.add(n, entry, All)
	e := encoder{s: s, o: EncodeOptions{Encoding: JSONIETF}, buf: dst}
	e.object(e.program(n, true), k, &ent, &cursor{done: true})
	return e.buf
}
