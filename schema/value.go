package schema

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// ValueKind is the representation of a Value.
type ValueKind uint8

const (
	KindNone     ValueKind = iota // the zero Value: no value
	KindString                    // string and everything that is text in canonical form (addresses, prefixes)
	KindUint                      // uint8..uint64
	KindInt                       // int8..int64
	KindBool                      // boolean
	KindEnum                      // enumeration: Str is the name
	KindIdentity                  // identityref: Str is the name, Module its defining module
	KindDecimal                   // decimal64: Str is the canonical text
	KindBinary                    // binary: Str holds the octets
	KindEmpty                     // empty: present
	KindList                      // leaf-list: List
)

// Value is the value of a leaf or leaf-list in canonical form. It is immutable.
type Value struct {
	kind ValueKind
	num  uint64
	str  string
	mod  string
	list []Value
}

// StringValue makes a raw value for Edit.Scalar, as its siblings do. Apply
// converts it to the type of the leaf: a string may be an enum name, an
// identity, an address.
func StringValue(s string) Value { return Value{kind: KindString, str: s} }

// UintValue fits any integer type that can hold it.
func UintValue(u uint64) Value { return Value{kind: KindUint, num: u} }

// IntValue fits any integer type that can hold it.
func IntValue(i int64) Value { return Value{kind: KindInt, num: uint64(i)} }

// BoolValue is for boolean; true also for empty.
func BoolValue(b bool) Value {
	v := Value{kind: KindBool}
	if b {
		v.num = 1
	}
	return v
}

// BinaryValue holds the octets themselves, not base64.
func BinaryValue(b []byte) Value { return Value{kind: KindBinary, str: string(b)} }

// DecimalValue holds the text of a decimal64, e.g. "2.50".
func DecimalValue(s string) Value { return Value{kind: KindDecimal, str: s} }

// FloatValue is for float_val and double_val: it becomes a decimal64.
func FloatValue(f float64) Value {
	return Value{kind: KindDecimal, str: strconv.FormatFloat(f, 'f', -1, 64)}
}

// ListValue is for leaf-lists; a leaf-list also takes a single value.
func ListValue(list []Value) Value { return Value{kind: KindList, list: list} }

// Kind tells which accessor applies.
func (v Value) Kind() ValueKind { return v.kind }

// IsZero reports whether v is the zero Value.
func (v Value) IsZero() bool { return v.kind == KindNone }

// Str is the text of a string, the name of an enum or identity, the text of a
// decimal, the octets of a binary.
func (v Value) Str() string { return v.str }

// Module is the defining module of an identity.
func (v Value) Module() string { return v.mod }

// Uint is the value of KindUint.
func (v Value) Uint() uint64 { return v.num }

// Int is the value of KindInt.
func (v Value) Int() int64 { return int64(v.num) }

// Bool is the value of KindBool; true for KindEmpty.
func (v Value) Bool() bool { return v.num != 0 }

// List holds the values of a leaf-list in order. Do not change it.
func (v Value) List() []Value { return v.list }

// Float is the value of KindDecimal as float64.
func (v Value) Float() float64 {
	f, err := strconv.ParseFloat(v.str, 64)
	if err != nil {
		return 0
	}
	return f
}

// String is the canonical text: what a key holds, what a person reads. An
// identity has no prefix; a leaf-list is in brackets; binary is base64.
func (v Value) String() string {
	switch v.kind {
	case KindString, KindEnum, KindIdentity, KindDecimal:
		return v.str
	case KindUint:
		return strconv.FormatUint(v.num, 10)
	case KindInt:
		return strconv.FormatInt(int64(v.num), 10)
	case KindBool:
		return strconv.FormatBool(v.num != 0)
	case KindBinary:
		return base64.StdEncoding.EncodeToString([]byte(v.str))
	case KindList:
		var b strings.Builder
		b.WriteByte('[')
		for i, e := range v.list {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(e.String())
		}
		b.WriteByte(']')
		return b.String()
	}
	return ""
}

// Equal compares by value; leaf-lists in order.
func (v Value) Equal(o Value) bool {
	if v.kind != o.kind || v.num != o.num || v.str != o.str || v.mod != o.mod || len(v.list) != len(o.list) {
		return false
	}
	for i := range v.list {
		if !v.list[i].Equal(o.list[i]) {
			return false
		}
	}
	return true
}
