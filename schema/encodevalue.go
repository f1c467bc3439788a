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
	if !isPlain(s) {
		// An error is about invalid UTF-8 in a struct that was not decoded:
		// AppendQuote has put replacement characters.
		out, _ := jsontext.AppendQuote(dst, s)
		return out
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// isPlain reports whether a string is ASCII that JSON does not escape. It looks
// at eight octets at a time: what is left in the top bits are those that are
// above 0x7f, below 0x20, a quote or a backslash.
func isPlain(s string) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		x := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		quote, backslash := x^(ones*'"'), x^(ones*'\\')
		if (x|(x-ones*0x20)|(quote-ones)|(backslash-ones))&tops != 0 {
			return false
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
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
