package schema

// ValueKind is the representation of a Value.
type ValueKind uint8

const (
	KindNone     ValueKind = iota // the zero Value: no value
	KindString                    // string and everything that is text in canonical form (addresses, prefixes)
	KindUint                      // uint8..uint64
	KindInt                       // int8..int64
	KindBool                      //
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

// StringValue and its siblings make the raw values of Edit.Scalar; Apply
// converts them to the type of the leaf: a string may be an enum name, an
// identity, an address; an integer fits any integer type that can hold it.
func StringValue(s string) Value   { return Value{kind: KindString, str: s} }
func UintValue(u uint64) Value     { return Value{kind: KindUint, num: u} }
func IntValue(i int64) Value       { return Value{kind: KindInt, num: uint64(i)} }
func BinaryValue(b []byte) Value   { return Value{kind: KindBinary, str: string(b)} }
func DecimalValue(s string) Value  { return Value{kind: KindDecimal, str: s} }
func ListValue(list []Value) Value { return Value{kind: KindList, list: list} }
func BoolValue(b bool) Value {
	v := Value{kind: KindBool}
	if b {
		v.num = 1
	}
	return v
}

// FloatValue is for float_val and double_val: it becomes a decimal64.
func FloatValue(f float64) Value { panic("schema: under construction") }

// Kind tells which accessor applies.
func (v Value) Kind() ValueKind { return v.kind }

// Str is the text of a string, the name of an enum or identity, the text of a
// decimal, the octets of a binary.
func (v Value) Str() string { return v.str }

// Module is the defining module of an identity.
func (v Value) Module() string { return v.mod }

// Uint is the value of KindUint.
func (v Value) Uint() uint64 { return v.num }

// Int is the value of KindInt.
func (v Value) Int() int64 { return int64(v.num) }

// Bool is the value of KindBool.
func (v Value) Bool() bool { return v.num != 0 }

// List holds the values of a leaf-list in order. Do not change it.
func (v Value) List() []Value { return v.list }

// Float is the value of KindDecimal as float64.
func (v Value) Float() float64 { panic("schema: under construction") }

// String is the canonical text: what a key holds, what a person reads. An
// identity has no prefix; a leaf-list is in brackets.
func (v Value) String() string { panic("schema: under construction") }

// Equal compares by value.
func (v Value) Equal(o Value) bool { panic("schema: under construction") }

// Type is a compiled YANG type.
type Type struct {
	Name string // the built-in type: "string", "uint16", "identityref", "union", ...
	plan typePlan
}

type typePlan struct{}
