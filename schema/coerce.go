package schema

import (
	"encoding/base64"
	"errors"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// form is how a raw value was written.
type form uint8

const (
	fText       form = iota // lexical form of YANG: keys, defaults
	fJSONString             // the unquoted contents of a JSON string
	fJSONNumber             // a JSON number literal
	fJSONBool               // true or false
	fJSONEmpty              // [null]
	fScalar                 // raw.value: a typed scalar
)

// raw is a value before its type is known to fit.
type raw struct {
	form   form
	text   string
	shared bool  // text aliases a buffer that will change: clone before keeping
	value  Value // of fScalar
}

// fault classifies why a raw value does not fit.
type fault uint8

const (
	fits fault = iota
	wrongForm
	notSyntax
	outOfRange
	badLength
	badPattern
	notMember
	wrongModule
	badCharacter
	notUnion
)

// parse checks r against the type and makes it canonical.
func (t *Type) parse(r *raw) (Value, fault) {
	switch t.kind {
	case tString:
		return t.parseString(r)
	case tUint, tInt:
		return t.parseInteger(r)
	case tBool:
		switch {
		case r.form == fScalar && r.value.kind == KindBool:
			return r.value, fits
		case r.form != fText && r.form != fJSONBool:
			return Value{}, wrongForm
		case r.text == "true":
			return BoolValue(true), fits
		case r.text == "false":
			return BoolValue(false), fits
		}
		return Value{}, notSyntax
	case tEnum, tIdentity:
		return t.parseName(r)
	case tDecimal:
		return t.parseDecimal(r)
	case tBinary:
		return t.parseBinary(r)
	case tEmpty:
		ok := r.form == fJSONEmpty || r.form == fText && r.text == "" ||
			r.form == fScalar && (r.value.kind == KindEmpty || r.value.kind == KindBool) && r.value.num == 1
		if !ok {
			return Value{}, wrongForm
		}
		return Value{kind: KindEmpty, num: 1}, fits
	case tUnion:
		for _, m := range t.members {
			if v, f := m.parse(r); f == fits {
				return v, fits
			}
		}
		return Value{}, notUnion
	}
	return Value{}, wrongForm
}

// textOf is the text of r if r is written as a string.
func textOf(r *raw, kinds ...ValueKind) (string, bool) {
	switch r.form {
	case fText, fJSONString:
		return r.text, true
	case fScalar:
		for _, k := range kinds {
			if r.value.kind == k {
				return r.value.str, true
			}
		}
	}
	return "", false
}

func (t *Type) parseString(r *raw) (Value, fault) {
	s, ok := textOf(r, KindString)
	if !ok {
		return Value{}, wrongForm
	}
	if t.known != notKnown {
		c, ok := t.known.canonical(s)
		if !ok {
			return Value{}, badPattern
		}
		if c == s && r.shared {
			c = strings.Clone(c)
		}
		return Value{kind: KindString, str: c}, fits
	}
	chars, ok := yangString(s)
	if !ok {
		return Value{}, badCharacter
	}
	if !t.inLength(chars) {
		return Value{}, badLength
	}
	if !matchAll(t.regexps, s) {
		return Value{}, badPattern
	}
	if r.shared {
		s = strings.Clone(s)
	}
	return Value{kind: KindString, str: s}, fits
}

// yangString counts the characters of s and reports whether all are legal in a
// YANG string (RFC 7950 section 14, yang-char): valid UTF-8 without control
// characters other than tab and line ends. Entry keys rely on it.
func yangString(s string) (chars int, ok bool) {
	ascii := true
	for i := range len(s) {
		c := s[i]
		if c < 0x20 && c != '\t' && c != '\n' && c != '\r' {
			return 0, false
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if ascii {
		return len(s), true
	}
	for _, c := range s {
		if c == utf8.RuneError || c >= 0xFDD0 && c <= 0xFDEF || c&0xFFFE == 0xFFFE {
			return 0, false
		}
		chars++
	}
	return chars, true
}

func (t *Type) parseInteger(r *raw) (Value, fault) {
	if r.form == fScalar {
		return t.fromNumber(r.value)
	}
	if r.form == fJSONBool || r.form == fJSONEmpty || r.form == fJSONString && t.bits < 64 {
		return Value{}, wrongForm
	}
	s := strings.TrimPrefix(r.text, "+")
	if t.kind == tUint {
		u, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return Value{}, numberFault(err, s)
		}
		if !t.inRange(u, false) {
			return Value{}, outOfRange
		}
		return Value{kind: KindUint, num: u}, fits
	}
	i, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return Value{}, numberFault(err, s)
	}
	if !t.inRange(uint64(i), true) {
		return Value{}, outOfRange
	}
	return Value{kind: KindInt, num: uint64(i)}, fits
}

// numberFault tells a number that is too big or negative from what is no
// integer at all.
func numberFault(err error, s string) fault {
	if errors.Is(err, strconv.ErrRange) {
		return outOfRange
	}
	if _, err := strconv.ParseInt(s, 10, 64); err == nil {
		return outOfRange
	}
	return notSyntax
}

func (t *Type) fromNumber(v Value) (Value, fault) {
	if v.kind != KindUint && v.kind != KindInt {
		return Value{}, wrongForm
	}
	negative := v.kind == KindInt && int64(v.num) < 0
	big := v.kind == KindUint && v.num > math.MaxInt64
	if t.kind == tUint {
		if negative || !t.inRange(v.num, false) {
			return Value{}, outOfRange
		}
		return Value{kind: KindUint, num: v.num}, fits
	}
	if big || !t.inRange(v.num, true) {
		return Value{}, outOfRange
	}
	return Value{kind: KindInt, num: v.num}, fits
}

func (t *Type) parseName(r *raw) (Value, fault) {
	if r.form == fScalar && (r.value.kind == KindEnum || r.value.kind == KindIdentity) {
		if v, ok := t.names[r.value.str]; ok && v.mod == r.value.mod {
			return v, fits
		}
		return Value{}, notMember
	}
	s, ok := textOf(r, KindString)
	if !ok {
		return Value{}, wrongForm
	}
	if v, ok := t.accepted[s]; ok {
		return v, fits
	}
	if _, bare, ok := strings.Cut(s, ":"); ok && t.kind == tIdentity {
		if _, ok := t.names[bare]; ok {
			return Value{}, wrongModule
		}
	}
	return Value{}, notMember
}

func (t *Type) parseDecimal(r *raw) (Value, fault) {
	s := r.text
	if r.form == fScalar {
		switch r.value.kind {
		case KindDecimal, KindUint, KindInt:
			s = r.value.String()
		default:
			return Value{}, wrongForm
		}
	} else if r.form == fJSONBool || r.form == fJSONEmpty {
		return Value{}, wrongForm
	}
	scaled, f := scaleDecimal(s, t.frac)
	if f != fits {
		return Value{}, f
	}
	if !t.inRange(uint64(scaled), true) {
		return Value{}, outOfRange
	}
	return Value{kind: KindDecimal, str: decimalText(scaled, t.frac)}, fits
}

// scaleDecimal reads a decimal64 as an integer of 10^-frac.
func scaleDecimal(s string, frac int) (int64, fault) {
	sign := ""
	if s != "" && (s[0] == '-' || s[0] == '+') {
		sign, s = s[:1], s[1:]
	}
	whole, part, dotted := strings.Cut(s, ".")
	if whole == "" || dotted && part == "" || !digits(whole) || !digits(part) {
		return 0, notSyntax
	}
	part = strings.TrimRight(part, "0")
	if len(part) > frac {
		return 0, outOfRange
	}
	n, err := strconv.ParseInt(sign+whole+part+strings.Repeat("0", frac-len(part)), 10, 64)
	if err != nil {
		return 0, outOfRange
	}
	return n, fits
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// decimalText is the canonical form (RFC 7950 section 9.3.2): a digit on both
// sides of the point, no other trailing or leading zeros.
func decimalText(scaled int64, frac int) string {
	s := strconv.FormatInt(scaled, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	if len(s) <= frac {
		s = strings.Repeat("0", frac-len(s)+1) + s
	}
	whole, part := s[:len(s)-frac], strings.TrimRight(s[len(s)-frac:], "0")
	if part == "" {
		part = "0"
	}
	return sign + whole + "." + part
}

func (t *Type) parseBinary(r *raw) (Value, fault) {
	var octets string
	switch {
	case r.form == fScalar && r.value.kind == KindBinary:
		octets = r.value.str
	case r.form == fText || r.form == fJSONString:
		b, err := base64.StdEncoding.DecodeString(r.text)
		if err != nil {
			return Value{}, notSyntax
		}
		octets = string(b)
	default:
		return Value{}, wrongForm
	}
	if !t.inLength(len(octets)) {
		return Value{}, badLength
	}
	return Value{kind: KindBinary, str: octets}, fits
}

// explain says in words why r does not fit.
func (t *Type) explain(r *raw, f fault) string {
	switch f {
	case wrongForm:
		return "want " + t.wantForm(r) + ", got " + r.formName()
	case notSyntax:
		return "want " + t.String()
	case outOfRange:
		return "out of range, want " + t.String()
	case badLength:
		return "wrong length, want " + t.String()
	case badPattern:
		return "want " + t.String()
	case notMember:
		return "unknown name, want " + t.String()
	case wrongModule:
		prefix, bare, _ := strings.Cut(r.text, ":")
		return "the prefix " + prefix + " is not the module of identity " + bare + ", write " + t.names[bare].mod + ":" + bare
	case badCharacter:
		return "holds a character that YANG strings cannot, remove control characters and invalid UTF-8"
	case notUnion:
		return "want " + t.String()
	}
	return ""
}

func (t *Type) wantForm(r *raw) string {
	if r.form != fScalar && r.form != fText {
		switch t.kind {
		case tString, tEnum, tIdentity, tBinary:
			return "a JSON string (" + t.String() + ")"
		case tUint, tInt:
			if t.bits < 64 {
				return "a JSON number (" + t.String() + ")"
			}
		}
	}
	return t.String()
}

func (r *raw) formName() string {
	switch r.form {
	case fJSONString:
		return "a string"
	case fJSONNumber:
		return "a number"
	case fJSONBool:
		return "a boolean"
	case fJSONEmpty:
		return "[null]"
	case fScalar:
		return [...]string{"nothing", "a string", "an unsigned integer", "an integer", "a boolean", "an enum", "an identity",
			"a decimal", "octets", "empty", "a list"}[r.value.kind]
	}
	return "text"
}

// show is the value as an error quotes it, shortened.
func (r *raw) show() string {
	s := r.text
	if r.form == fScalar {
		s = r.value.String()
	}
	return strings.Clone(shorten(s, r.form == fJSONString || r.form == fText || r.form == fScalar && r.value.kind == KindString))
}

func shorten(s string, quote bool) string {
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:77], "") + "..."
	}
	if quote {
		return strconv.Quote(s)
	}
	return s
}
