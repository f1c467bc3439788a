package schema

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"unsafe"

	"github.com/openconfig/ygot/ygot"
)

// Here and in entry.go unsafe is at home: a slot knows the offset of its field
// and, checked once in newCodec, its exact type. Reflection on the same fields
// costs three times as much per leaf, and decode and encode are nothing but
// leaves.

// fieldKind is the shape of a generated field.
type fieldKind uint8

const (
	fString  fieldKind = iota + 1 // *string
	fBool                         // *bool
	fInt                          // *int8..*int64
	fUint                         // *uint8..*uint64
	fFloat                        // *float64
	fEnum                         // an int64 type, 0 unset
	fEmpty                        // a bool type
	fBinary                       // a []byte type
	fUnion                        // an interface
	fStrings                      // []string
	fSlice                        // any other slice
)

// codec moves values between Value and a generated field.
type codec struct {
	kind fieldKind
	typ  reflect.Type
	size uintptr // of the integer pointed to
	leaf *Type
	enum *enumTable
	arms []unionArm // of fUnion
	elem *codec     // of fSlice: how one element is held by value
}

// enumTable maps a generated enumeration to names and back.
type enumTable struct {
	values []Value
	number map[string]int64
}

// unionArm is one concrete Go type of a union.
type unionArm struct {
	member *Type
	typ    reflect.Type
	enum   *enumTable
}

// cell is a value in the form its field stores: what decoding caches so that
// equal values share memory.
type cell struct {
	ptr unsafe.Pointer // fString..fFloat
	num int64          // fEnum, fEmpty
	rv  reflect.Value  // the rest
}

// base is the address of an entry or container struct.
func base(s GoStruct) unsafe.Pointer { return reflect.ValueOf(s).UnsafePointer() }

// structAt is the inverse of base.
func structAt(t reflect.Type, p unsafe.Pointer) GoStruct {
	return reflect.NewAt(t, p).Interface().(GoStruct)
}

// newStruct allocates a zero struct.
func newStruct(t reflect.Type) unsafe.Pointer { return reflect.New(t).UnsafePointer() }

// cloneStruct makes a shallow copy.
func cloneStruct(t reflect.Type, p unsafe.Pointer) unsafe.Pointer {
	n := reflect.New(t)
	n.Elem().Set(reflect.NewAt(t, p).Elem())
	return n.UnsafePointer()
}

// sub is the pointer field of a container.
func sub(p unsafe.Pointer, off uintptr) *unsafe.Pointer {
	return (*unsafe.Pointer)(unsafe.Add(p, off))
}

// isSet reports whether the field at p holds a value; an empty leaf-list does not.
func (c *codec) isSet(p unsafe.Pointer) bool {
	switch c.kind {
	case fEnum:
		return *(*int64)(p) != 0
	case fEmpty:
		return *(*bool)(p)
	case fBinary:
		return *(*[]byte)(p) != nil
	case fStrings, fSlice:
		return len(*(*[]struct{})(p)) > 0
	}
	return *(*unsafe.Pointer)(p) != nil
}

func (c *codec) clear(p unsafe.Pointer) {
	switch c.kind {
	case fEnum:
		*(*int64)(p) = 0
	case fEmpty:
		*(*bool)(p) = false
	case fString, fBool, fInt, fUint, fFloat:
		*(*unsafe.Pointer)(p) = nil
	default:
		reflect.NewAt(c.typ, p).Elem().SetZero()
	}
}

func (c *codec) store(p unsafe.Pointer, v cell) {
	switch c.kind {
	case fEnum:
		*(*int64)(p) = v.num
	case fEmpty:
		*(*bool)(p) = v.num != 0
	case fString, fBool, fInt, fUint, fFloat:
		*(*unsafe.Pointer)(p) = v.ptr
	default:
		reflect.NewAt(c.typ, p).Elem().Set(v.rv)
	}
}

// copy shares the value at src with dst.
func (c *codec) copy(dst, src unsafe.Pointer) {
	switch c.kind {
	case fEnum:
		*(*int64)(dst) = *(*int64)(src)
	case fEmpty:
		*(*bool)(dst) = *(*bool)(src)
	case fString, fBool, fInt, fUint, fFloat:
		*(*unsafe.Pointer)(dst) = *(*unsafe.Pointer)(src)
	default:
		reflect.NewAt(c.typ, dst).Elem().Set(reflect.NewAt(c.typ, src).Elem())
	}
}

// load reads the field at p.
func (c *codec) load(p unsafe.Pointer) (Value, bool) {
	if !c.isSet(p) {
		return Value{}, false
	}
	switch c.kind {
	case fString:
		return Value{kind: KindString, str: **(**string)(p)}, true
	case fBool:
		return BoolValue(**(**bool)(p)), true
	case fInt:
		return Value{kind: KindInt, num: uint64(c.loadInt(*(*unsafe.Pointer)(p)))}, true
	case fUint:
		return Value{kind: KindUint, num: c.loadUint(*(*unsafe.Pointer)(p))}, true
	case fFloat:
		return c.decimal(**(**float64)(p)), true
	case fEnum:
		return c.enum.value(*(*int64)(p))
	case fEmpty:
		return Value{kind: KindEmpty, num: 1}, true
	case fBinary:
		return Value{kind: KindBinary, str: string(*(*[]byte)(p))}, true
	case fStrings:
		list := make([]Value, 0, len(*(*[]string)(p)))
		for _, s := range *(*[]string)(p) {
			list = append(list, Value{kind: KindString, str: s})
		}
		return Value{kind: KindList, list: list}, true
	case fUnion:
		return c.fromUnion(reflect.NewAt(c.typ, p).Elem().Elem())
	case fSlice:
		rv := reflect.NewAt(c.typ, p).Elem()
		list := make([]Value, 0, rv.Len())
		for i := range rv.Len() {
			v, ok := c.elem.fromElem(rv.Index(i))
			if !ok {
				return Value{}, false
			}
			list = append(list, v)
		}
		return Value{kind: KindList, list: list}, true
	}
	return Value{}, false
}

func (c *codec) loadInt(p unsafe.Pointer) int64 {
	switch c.size {
	case 1:
		return int64(*(*int8)(p))
	case 2:
		return int64(*(*int16)(p))
	case 4:
		return int64(*(*int32)(p))
	}
	return *(*int64)(p)
}

func (c *codec) loadUint(p unsafe.Pointer) uint64 {
	switch c.size {
	case 1:
		return uint64(*(*uint8)(p))
	case 2:
		return uint64(*(*uint16)(p))
	case 4:
		return uint64(*(*uint32)(p))
	}
	return *(*uint64)(p)
}

func (c *codec) decimal(f float64) Value {
	return Value{kind: KindDecimal, str: floatDecimal(f, c.leaf.frac)}
}

func floatDecimal(f float64, frac int) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	n, ft := scaleDecimal(strconv.FormatFloat(f, 'f', frac, 64), frac)
	if ft != fits {
		return strconv.FormatFloat(f, 'f', frac, 64)
	}
	return decimalText(n, frac)
}

func (e *enumTable) value(i int64) (Value, bool) {
	if i <= 0 || i >= int64(len(e.values)) {
		return Value{}, false
	}
	return e.values[i], true
}

// fromElem reads an element of a slice.
func (c *codec) fromElem(rv reflect.Value) (Value, bool) {
	switch c.kind {
	case fString:
		return Value{kind: KindString, str: rv.String()}, true
	case fBool:
		return BoolValue(rv.Bool()), true
	case fInt:
		return Value{kind: KindInt, num: uint64(rv.Int())}, true
	case fUint:
		return Value{kind: KindUint, num: rv.Uint()}, true
	case fFloat:
		return c.decimal(rv.Float()), true
	case fEnum:
		return c.enum.value(rv.Int())
	case fBinary:
		return Value{kind: KindBinary, str: string(rv.Bytes())}, true
	case fUnion:
		return c.fromUnion(rv.Elem())
	}
	return Value{}, false
}

func (c *codec) fromUnion(rv reflect.Value) (Value, bool) {
	if !rv.IsValid() {
		return Value{}, false
	}
	t := rv.Type()
	for i := range c.arms {
		arm := &c.arms[i]
		if arm.typ != t {
			continue
		}
		switch arm.member.kind {
		case tString:
			return Value{kind: KindString, str: rv.String()}, true
		case tBool:
			return BoolValue(rv.Bool()), true
		case tInt:
			return Value{kind: KindInt, num: uint64(rv.Int())}, true
		case tUint:
			return Value{kind: KindUint, num: rv.Uint()}, true
		case tDecimal:
			return Value{kind: KindDecimal, str: floatDecimal(rv.Float(), arm.member.frac)}, true
		case tBinary:
			return Value{kind: KindBinary, str: string(rv.Bytes())}, true
		case tEnum, tIdentity:
			return arm.enum.value(rv.Int())
		}
	}
	return Value{}, false
}

// cell puts a canonical value of the leaf's type into storable form.
func (c *codec) cell(v Value) cell {
	switch c.kind {
	case fString:
		s := v.str
		return cell{ptr: unsafe.Pointer(&s)}
	case fBool:
		b := v.num != 0
		return cell{ptr: unsafe.Pointer(&b)}
	case fInt, fUint:
		return cell{ptr: c.newInteger(v.num)}
	case fFloat:
		f := v.Float()
		return cell{ptr: unsafe.Pointer(&f)}
	case fEnum:
		return cell{num: c.enum.number[v.str]}
	case fEmpty:
		return cell{num: 1}
	case fBinary:
		return cell{rv: reflect.ValueOf([]byte(v.str)).Convert(c.typ)}
	case fStrings:
		list := make([]string, len(v.list))
		for i := range v.list {
			list[i] = v.list[i].str
		}
		return cell{rv: reflect.ValueOf(list)}
	case fSlice:
		rv := reflect.MakeSlice(c.typ, len(v.list), len(v.list))
		for i := range v.list {
			c.elem.setElem(rv.Index(i), v.list[i])
		}
		return cell{rv: rv}
	}
	rv := reflect.New(c.typ).Elem()
	c.setElem(rv, v)
	return cell{rv: rv}
}

func (c *codec) newInteger(n uint64) unsafe.Pointer {
	switch c.size {
	case 1:
		x := uint8(n)
		return unsafe.Pointer(&x)
	case 2:
		x := uint16(n)
		return unsafe.Pointer(&x)
	case 4:
		x := uint32(n)
		return unsafe.Pointer(&x)
	}
	return unsafe.Pointer(&n)
}

func (c *codec) setElem(rv reflect.Value, v Value) {
	switch c.kind {
	case fEnum:
		rv.SetInt(c.enum.number[v.str])
	case fUnion:
		for i := range c.arms {
			if arm := &c.arms[i]; arm.holds(v) {
				x := reflect.New(arm.typ).Elem()
				setScalar(x, v, arm.enum)
				rv.Set(x)
				return
			}
		}
	default:
		setScalar(rv, v, nil)
	}
}

// holds reports whether v belongs to the arm: the first whose type it fits.
func (a *unionArm) holds(v Value) bool {
	if a.enum != nil {
		n, ok := a.enum.number[v.str]
		return ok && a.enum.values[n].Equal(v)
	}
	_, f := a.member.parse(&raw{form: fScalar, value: v, text: v.str})
	return f == fits
}

func setScalar(rv reflect.Value, v Value, e *enumTable) {
	switch {
	case e != nil:
		rv.SetInt(e.number[v.str])
	case v.kind == KindString:
		rv.SetString(v.str)
	case v.kind == KindBool:
		rv.SetBool(v.num != 0)
	case v.kind == KindInt:
		rv.SetInt(int64(v.num))
	case v.kind == KindUint:
		rv.SetUint(v.num)
	case v.kind == KindDecimal:
		rv.SetFloat(v.Float())
	case v.kind == KindBinary:
		rv.SetBytes([]byte(v.str))
	}
}

// equal compares the fields at p and q.
func (c *codec) equal(p, q unsafe.Pointer) bool {
	switch c.kind {
	case fEnum:
		return *(*int64)(p) == *(*int64)(q)
	case fEmpty:
		return *(*bool)(p) == *(*bool)(q)
	case fString, fBool, fInt, fUint, fFloat:
		a, b := *(*unsafe.Pointer)(p), *(*unsafe.Pointer)(q)
		if a == b || a == nil || b == nil {
			return a == b
		}
		switch c.kind {
		case fString:
			return *(*string)(a) == *(*string)(b)
		case fBool:
			return *(*bool)(a) == *(*bool)(b)
		case fFloat:
			return *(*float64)(a) == *(*float64)(b)
		}
		return c.loadUint(a) == c.loadUint(b)
	case fStrings, fSlice:
		// Decoding shares the arrays of equal leaf-lists.
		a, b := *(*[]struct{})(p), *(*[]struct{})(q)
		if len(a) == len(b) && (len(a) == 0 || unsafe.SliceData(a) == unsafe.SliceData(b)) {
			return true
		}
	}
	v, ok := c.load(p)
	w, ok2 := c.load(q)
	return ok == ok2 && v.Equal(w)
}

// newCodec checks that a field of type t can hold a leaf of type leaf.
// owner is a pointer to the struct with the field, where unions have their
// conversion methods.
func newCodec(t reflect.Type, leaf *Type, list bool, owner reflect.Value) (*codec, error) {
	c := &codec{typ: t, leaf: leaf}
	if list {
		if t.Kind() != reflect.Slice {
			return nil, fmt.Errorf("leaf-list held by %s is not supported", t)
		}
		c.kind = fSlice
		if t == reflect.TypeFor[[]string]() {
			c.kind = fStrings
			return c, nil
		}
		elem, err := newElemCodec(t.Elem(), leaf, owner)
		c.elem = elem
		return c, err
	}
	if t.Kind() == reflect.Pointer {
		e, err := newElemCodec(t.Elem(), leaf, owner)
		if err != nil {
			return nil, err
		}
		switch e.kind {
		case fString, fBool, fInt, fUint, fFloat:
			e.typ, e.size = t, t.Elem().Size()
			return e, nil
		}
		return nil, fmt.Errorf("leaf held by %s is not supported", t)
	}
	e, err := newElemCodec(t, leaf, owner)
	if err != nil {
		return nil, err
	}
	switch {
	case e.kind == fBool && leaf.kind == tEmpty:
		e.kind = fEmpty
	case e.kind != fEnum && e.kind != fBinary && e.kind != fUnion:
		return nil, fmt.Errorf("leaf held by %s is not supported", t)
	}
	return e, nil
}

func newElemCodec(t reflect.Type, leaf *Type, owner reflect.Value) (*codec, error) {
	c := &codec{typ: t, leaf: leaf}
	switch k := t.Kind(); {
	case t.Implements(reflect.TypeFor[ygot.GoEnum]()):
		c.kind, c.enum = fEnum, newEnumTable(t, leaf)
	case k == reflect.String:
		c.kind = fString
	case k == reflect.Bool:
		c.kind = fBool
	case k >= reflect.Int8 && k <= reflect.Int64:
		c.kind = fInt
	case k >= reflect.Uint8 && k <= reflect.Uint64:
		c.kind = fUint
	case k == reflect.Float64:
		c.kind = fFloat
	case k == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		c.kind = fBinary
	case k == reflect.Interface && t.NumMethod() > 0:
		c.kind = fUnion
		return c, c.findArms(owner)
	default:
		return nil, fmt.Errorf("leaf held by %s is not supported", t)
	}
	return c, nil
}

func newEnumTable(t reflect.Type, leaf *Type) *enumTable {
	defs := enumDefinitions(t)
	e := &enumTable{number: make(map[string]int64, len(defs)), values: make([]Value, len(defs)+1)}
	for i, d := range defs {
		for int64(len(e.values)) <= i {
			e.values = append(e.values, Value{})
		}
		if v, ok := leaf.nameValue(d.Name); ok {
			e.values[i] = v
			e.number[d.Name] = i
		}
	}
	return e
}

// nameValue finds the value of an enum or identity name, in a union too.
func (t *Type) nameValue(name string) (Value, bool) {
	if v, ok := t.names[name]; ok {
		return v, true
	}
	for _, m := range t.members {
		if v, ok := m.names[name]; ok {
			return v, true
		}
	}
	return Value{}, false
}

// enumDefinitions lists a generated enumeration by its Go value.
func enumDefinitions(t reflect.Type) map[int64]ygot.EnumDefinition {
	e, ok := reflect.Zero(t).Interface().(ygot.GoEnum)
	if !ok {
		return nil
	}
	return e.ΛMap()[t.Name()]
}
