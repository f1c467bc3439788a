package schema

import (
	"fmt"
	"math"
	"regexp"
	"sort"
	"strings"

	"github.com/openconfig/goyang/pkg/yang"
	"github.com/openconfig/ygot/ygot"
)

// Type is a compiled YANG type. Supported are all built-in types except bits,
// instance-identifier and anydata; decimal64 is kept as float64 in the
// generated structs and so is exact up to 15 digits.
type Type struct {
	Name    string // the built-in type: "string", "uint16", "identityref", "union", ...
	Typedef string // the typedef the leaf names, "" if it names the built-in type

	kind     typeKind
	bits     int
	frac     int      // fraction digits of a decimal64
	ranges   []span   // of numbers
	lengths  []span   // of strings (characters) and binary (octets)
	patterns []string // as in the model, for people
	regexps  []*regexp.Regexp
	known    known
	names    map[string]Value // of an enumeration or identityref, by bare name
	accepted map[string]Value // identities by every accepted spelling
	members  []*Type          // of a union, flattened
}

type typeKind uint8

const (
	tString typeKind = iota + 1
	tUint
	tInt
	tBool
	tEnum
	tIdentity
	tDecimal
	tBinary
	tEmpty
	tUnion
)

// span is an inclusive interval; for signed numbers the bounds hold int64 bits.
type span struct{ min, max uint64 }

var builtin = map[yang.TypeKind]struct {
	kind typeKind
	bits int
}{
	yang.Yint8: {tInt, 8}, yang.Yint16: {tInt, 16}, yang.Yint32: {tInt, 32}, yang.Yint64: {tInt, 64},
	yang.Yuint8: {tUint, 8}, yang.Yuint16: {tUint, 16}, yang.Yuint32: {tUint, 32}, yang.Yuint64: {tUint, 64},
	yang.Ystring: {tString, 0}, yang.Ybool: {tBool, 0}, yang.Yenum: {tEnum, 0}, yang.Yidentityref: {tIdentity, 0},
	yang.Ydecimal64: {tDecimal, 64}, yang.Ybinary: {tBinary, 0}, yang.Yempty: {tEmpty, 0}, yang.Yunion: {tUnion, 0},
}

// compileType compiles y, which is not a leafref. defs finds the names and
// defining modules of an enumeration or identityref.
func (c *compiler) compileType(y *yang.YangType, defs func(names []string) (map[int64]ygot.EnumDefinition, bool)) (*Type, error) {
	b, ok := builtin[y.Kind]
	if !ok {
		return nil, fmt.Errorf("type %s is not supported", yang.TypeKindToName[y.Kind])
	}
	t := &Type{Name: yang.TypeKindToName[y.Kind], kind: b.kind, bits: b.bits, frac: y.FractionDigits}
	if y.Name != t.Name {
		t.Typedef = y.Name
	}
	t.ranges, t.lengths = spans(y.Range), spans(y.Length)
	switch t.kind {
	case tString:
		if err := t.compilePatterns(y); err != nil {
			return nil, err
		}
	case tEnum, tIdentity:
		if err := c.compileNames(t, y, defs); err != nil {
			return nil, err
		}
	case tUnion:
		for _, m := range y.Type {
			mt, err := c.compileMember(m, defs)
			if err != nil {
				return nil, err
			}
			if mt.kind == tUnion {
				t.members = append(t.members, mt.members...)
			} else {
				t.members = append(t.members, mt)
			}
		}
	}
	return t, nil
}

func (c *compiler) compileMember(m *yang.YangType, defs func([]string) (map[int64]ygot.EnumDefinition, bool)) (*Type, error) {
	if m.Kind == yang.Yleafref {
		return nil, fmt.Errorf("leafref as member of a union is not supported")
	}
	return c.compileType(m, defs)
}

func (t *Type) compilePatterns(y *yang.YangType) error {
	for _, p := range y.Pattern {
		re, err := regexp.Compile(goPattern(p))
		if err != nil {
			return fmt.Errorf("compile pattern %q: %w", p, err)
		}
		t.patterns = append(t.patterns, p)
		t.regexps = append(t.regexps, re)
	}
	if k := knownTypedefs[y.Name]; k != notKnown && len(t.lengths) == 0 && k.agrees(t.regexps) {
		t.known, t.regexps = k, nil
	}
	return nil
}

// goPattern turns an XSD pattern into a Go one: anchored, and with ^ and $ as
// ordinary characters, except at the ends, where old OpenConfig models write
// them as anchors.
func goPattern(p string) string {
	p = strings.TrimPrefix(p, "^")
	if strings.HasSuffix(p, "$") && !strings.HasSuffix(p, `\$`) {
		p = strings.TrimSuffix(p, "$")
	}
	var b strings.Builder
	b.WriteString("^(?s:")
	inClass := false
	for i := 0; i < len(p); i++ {
		switch ch := p[i]; {
		case ch == '\\' && i+1 < len(p):
			b.WriteByte(ch)
			i++
			b.WriteByte(p[i])
			continue
		case ch == '[':
			inClass = true
		case ch == ']':
			inClass = false
		case (ch == '^' || ch == '$') && !inClass:
			b.WriteByte('\\')
		}
		b.WriteByte(p[i])
	}
	b.WriteString(")$")
	return b.String()
}

func (c *compiler) compileNames(t *Type, y *yang.YangType, defs func([]string) (map[int64]ygot.EnumDefinition, bool)) error {
	var names []string
	if t.kind == tEnum {
		names = y.Enum.Names()
	} else {
		for _, id := range y.IdentityBase.Values {
			names = append(names, id.Name)
		}
	}
	found, ok := defs(names)
	if !ok {
		return fmt.Errorf("no generated enumeration has the names %v", names)
	}
	t.names = make(map[string]Value, len(found))
	t.accepted = t.names
	if t.kind == tIdentity {
		t.accepted = make(map[string]Value, 3*len(found))
	}
	for _, d := range found {
		if t.kind == tEnum {
			t.names[d.Name] = Value{kind: KindEnum, str: d.Name}
			continue
		}
		v := Value{kind: KindIdentity, str: d.Name, mod: d.DefiningModule}
		t.names[d.Name] = v
		t.accepted[d.Name] = v
		for _, m := range c.spellings(d.DefiningModule) {
			t.accepted[m+":"+d.Name] = v
		}
	}
	return nil
}

func spans(r yang.YangRange) []span {
	var out []span
	for _, p := range r {
		out = append(out, span{numberBits(p.Min), numberBits(p.Max)})
	}
	return out
}

// numberBits is the number as uint64, or as the bits of an int64 if negative;
// a decimal is scaled by its fraction digits.
func numberBits(n yang.Number) uint64 {
	if n.Negative {
		return -n.Value
	}
	return n.Value
}

func (t *Type) inRange(bits uint64, signed bool) bool {
	if len(t.ranges) == 0 {
		return true
	}
	for _, r := range t.ranges {
		if signed {
			if int64(bits) >= int64(r.min) && int64(bits) <= int64(r.max) {
				return true
			}
		} else if bits >= r.min && bits <= r.max {
			return true
		}
	}
	return false
}

func (t *Type) inLength(n int) bool {
	if len(t.lengths) == 0 {
		return true
	}
	for _, r := range t.lengths {
		if uint64(n) >= r.min && uint64(n) <= r.max {
			return true
		}
	}
	return false
}

// String describes the type for people: "uint16 in 1..4094", "one of BIG, SMALL".
func (t *Type) String() string {
	switch t.kind {
	case tString:
		if t.known != notKnown {
			return t.known.want()
		}
		s := "a string"
		if t.Typedef != "" {
			s = "a string of type " + t.Typedef
		}
		if len(t.lengths) > 0 {
			s += " of " + t.spanText(t.lengths) + " characters"
		}
		for _, p := range t.patterns {
			if len(p) < 80 {
				s += " matching " + p
			}
		}
		return s
	case tUint, tInt, tDecimal:
		s := t.Name
		if len(t.ranges) > 0 {
			s += " in " + t.spanText(t.ranges)
		}
		return s
	case tEnum, tIdentity:
		names := make([]string, 0, len(t.names))
		for n := range t.names {
			names = append(names, n)
		}
		sort.Strings(names)
		return "one of " + strings.Join(names, ", ")
	case tBool:
		return "true or false"
	case tBinary:
		return "base64 text"
	case tEmpty:
		return "[null]"
	case tUnion:
		var parts []string
		for _, m := range t.members {
			parts = append(parts, m.String())
		}
		return strings.Join(parts, ", or ")
	}
	return t.Name
}

func (t *Type) spanText(list []span) string {
	var parts []string
	for _, r := range list {
		lo, hi := t.boundText(r.min), t.boundText(r.max)
		if lo == hi {
			parts = append(parts, lo)
		} else {
			parts = append(parts, lo+".."+hi)
		}
	}
	return strings.Join(parts, " | ")
}

func (t *Type) boundText(b uint64) string {
	switch t.kind {
	case tInt:
		return fmt.Sprint(int64(b))
	case tDecimal:
		return decimalText(int64(b), t.frac)
	}
	if b == math.MaxUint64 && t.kind != tUint {
		return "max"
	}
	return fmt.Sprint(b)
}
