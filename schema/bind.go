package schema

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unsafe"

	"github.com/openconfig/ygot/ygot"
)

// entryPlan is the compiled form of one generated list entry (or root) struct.
type entryPlan struct {
	node  *Node
	bind  int
	typ   reflect.Type // the struct
	ptr   reflect.Type // pointer to it
	root  *contPlan
	conts []*contPlan // all, parents before children; conts[0] == root
	slots []*slot     // all leaves
	keys  []*slot     // in key order
	leafs []leafAt    // what Leaves reports, in schema order

	// configuration only
	defaults  []defaultAt
	mandatory []*Node
	counted   []*slot // leaf-lists with min- or max-elements
	refs      []*refPlan
	choices   []*choicePlan
}

// isType reports whether g is a struct of this plan.
func (ep *entryPlan) isType(g GoStruct) bool { return reflect.TypeOf(g) == ep.ptr }

// leafAt is a leaf as it is reported: a slot may appear twice, as the key of
// the list and as the leaf that the key refers to.
type leafAt struct {
	node *Node
	slot *slot
}

// defaultAt is a leaf with a default, and a field that holds it.
type defaultAt struct {
	slot  *slot
	field unsafe.Pointer
}

// contPlan is a generated struct inside an entry: the entry itself or a
// container that has its own struct.
type contPlan struct {
	index    int // in entryPlan.conts
	node     *Node
	typ      reflect.Type
	parent   *contPlan
	off      uintptr // of the pointer field in parent
	presence bool
	slots    []*slot
	subs     []*contPlan
}

// slot is the place of a leaf.
type slot struct {
	*codec
	node *Node // the leaf itself; of a key: the one it refers to, if that is in the struct
	cont *contPlan
	off  uintptr
	key  int // position among the keys of the list, -1 if none
	id   int // unique in the schema, from 0
}

// at finds the field in an entry, nil if a container on the way is absent.
func (s *slot) at(entry unsafe.Pointer) unsafe.Pointer {
	p := s.cont.at(entry)
	if p == nil {
		return nil
	}
	return unsafe.Add(p, s.off)
}

// at finds the container's struct in an entry, nil if absent.
func (c *contPlan) at(entry unsafe.Pointer) unsafe.Pointer {
	if c.parent == nil {
		return entry
	}
	p := c.parent.at(entry)
	if p == nil {
		return nil
	}
	return *sub(p, c.off)
}

// get reads the slot of an entry.
func (s *slot) get(entry unsafe.Pointer) (Value, bool) {
	p := s.at(entry)
	if p == nil {
		return Value{}, false
	}
	return s.load(p)
}

// field is one parsed tag of a generated struct.
type field struct {
	paths   [][]string // alternatives, the leaf's own first
	modules [][]string
	sf      reflect.StructField
}

func parseField(sf reflect.StructField) (field, bool) {
	path, ok := sf.Tag.Lookup("path")
	if !ok {
		return field{}, false
	}
	f := field{sf: sf}
	for _, p := range strings.Split(path, "|") {
		f.paths = append(f.paths, strings.Split(p, "/"))
	}
	for _, m := range strings.Split(sf.Tag.Get("module"), "|") {
		f.modules = append(f.modules, strings.Split(m, "/"))
	}
	return f, true
}

// isList reports whether the field is a list of the model.
func (f *field) isList() bool {
	t := f.sf.Type
	return t.Kind() == reflect.Map || t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Pointer && t.Elem().Elem().Kind() == reflect.Struct ||
		t.Kind() == reflect.Pointer && t.Implements(reflect.TypeFor[ygot.GoOrderedMap]())
}

// isContainer reports whether the field is a container with its own struct.
func (f *field) isContainer() bool {
	t := f.sf.Type
	return t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct && !f.isList()
}

// elem is the struct type of a list field.
func (f *field) elem() (reflect.Type, error) {
	if f.sf.Type.Kind() != reflect.Map {
		return nil, fmt.Errorf("list held by %s is not supported, generate with -generate_ordered_maps=false and give every list a key", f.sf.Type)
	}
	return f.sf.Type.Elem().Elem(), nil
}

// descend finds the node a tag path leads to.
func descend(n *Node, path []string) (*Node, error) {
	for _, name := range path {
		c := n.Child(name)
		if c == nil {
			return nil, fmt.Errorf("%s has no child %s", n.Path(), name)
		}
		n = c
	}
	return n, nil
}

// nameModules takes the module of every node on a tag path from the tags.
func (c *compiler) nameModules(n *Node, t reflect.Type) error {
	for i := range t.NumField() {
		f, ok := parseField(t.Field(i))
		if !ok {
			continue
		}
		var last *Node
		for a, path := range f.paths {
			m := n
			for j, name := range path {
				if m = m.Child(name); m == nil {
					return fmt.Errorf("field %s.%s: the schema has no %s", t.Name(), f.sf.Name, name)
				}
				module := f.modules[a][j]
				if m.Module != "" && m.Module != module {
					return fmt.Errorf("%s is of module %s and of module %s", m.Path(), m.Module, module)
				}
				m.Module = module
				if p := c.prefixOf[m]; c.modules[p] == "" {
					c.modules[p] = module
				}
			}
			if a == 0 {
				last = m
			}
		}
		var err error
		switch {
		case f.isList():
			var et reflect.Type
			if et, err = f.elem(); err == nil {
				err = c.nameModules(last, et)
			}
		case f.isContainer():
			err = c.nameModules(last, f.sf.Type.Elem())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bindEntry compiles the struct of an entry.
func (c *compiler) bindEntry(n *Node, t reflect.Type, bind int) error {
	ep := &entryPlan{node: n, bind: bind, typ: t, ptr: reflect.PointerTo(t), keys: make([]*slot, len(n.Keys))}
	n.plan.entryPlan[bind] = ep
	root := &contPlan{node: n, typ: t}
	ep.root, ep.conts = root, []*contPlan{root}
	c.plans = append(c.plans, ep)
	c.byType[t] = ep
	return c.bindStruct(ep, root)
}

func (c *compiler) bindStruct(ep *entryPlan, cp *contPlan) error {
	cp.node.plan.cont[ep.bind] = cp
	for i := range cp.typ.NumField() {
		f, ok := parseField(cp.typ.Field(i))
		if !ok {
			continue
		}
		n, err := descend(cp.node, f.paths[0])
		if err != nil {
			return err
		}
		// Containers that compression removed have their children here.
		for m := n.Parent; m != nil && m != cp.node; m = m.Parent {
			m.plan.cont[ep.bind] = cp
		}
		switch {
		case f.isList():
			et, err := f.elem()
			if err != nil {
				return err
			}
			if len(n.Keys) == 0 {
				return fmt.Errorf("list %s has no key: not supported", n.Path())
			}
			if ep.bind == inConfig && !n.Config {
				continue
			}
			if err := c.bindEntry(n, et, ep.bind); err != nil {
				return err
			}
		case f.isContainer():
			if ep.bind == inConfig && !n.Config {
				continue
			}
			sc := &contPlan{index: len(ep.conts), node: n, typ: f.sf.Type.Elem(), parent: cp, off: f.sf.Offset,
				presence: n.Presence && n.Config == (ep.bind == inConfig)}
			ep.conts = append(ep.conts, sc)
			cp.subs = append(cp.subs, sc)
			if err := c.bindStruct(ep, sc); err != nil {
				return err
			}
		default:
			c.bindLeaf(ep, cp, n, &f)
		}
	}
	return nil
}

// bindLeaf notes the place of a leaf; its codec comes when types are compiled.
func (c *compiler) bindLeaf(ep *entryPlan, cp *contPlan, n *Node, f *field) {
	s := &slot{node: n, cont: cp, off: f.sf.Offset, key: -1, id: c.s.slots}
	c.s.slots++
	for _, path := range f.paths {
		if alias, err := descend(cp.node, path); err == nil && alias.Parent == ep.node {
			if k := slices.Index(ep.node.Keys, alias); k >= 0 {
				s.key = k
				ep.keys[k] = s
				alias.plan.slot[ep.bind] = s
				if alias != n {
					n.plan.keyOf = alias
				}
			}
		}
	}
	if n.Config != (ep.bind == inConfig) && s.key < 0 {
		return
	}
	if n.Config == (ep.bind == inConfig) {
		n.plan.slot[ep.bind] = s
	}
	cp.slots = append(cp.slots, s)
	ep.slots = append(ep.slots, s)
	c.fields[s] = f.sf
}

// findArms discovers the concrete types of a union from its conversion method.
func (c *codec) findArms(owner reflect.Value) error {
	m := owner.MethodByName("To_" + c.typ.Name())
	if !m.IsValid() {
		return fmt.Errorf("union %s has no conversion method", c.typ)
	}
	for _, member := range c.leaf.members {
		var arm unionArm
		switch {
		case member.kind == tEnum || member.kind == tIdentity:
			t, ok := enumWithNames(owner, member, c.typ)
			if !ok {
				return fmt.Errorf("union %s: no generated enumeration for %s", c.typ, member)
			}
			arm = unionArm{member: member, typ: t, enum: newEnumTable(t, member)}
		default:
			sample, ok := unionSample(member)
			if !ok {
				return fmt.Errorf("union %s: member %s is not supported", c.typ, member.Name)
			}
			out := m.Call([]reflect.Value{sample})
			if !out[1].IsNil() {
				return fmt.Errorf("union %s: member %s has no generated type", c.typ, member.Name)
			}
			arm = unionArm{member: member, typ: out[0].Elem().Type()}
		}
		c.arms = append(c.arms, arm)
	}
	return nil
}

func unionSample(t *Type) (reflect.Value, bool) {
	switch t.kind {
	case tString:
		return reflect.ValueOf(""), true
	case tBool:
		return reflect.ValueOf(false), true
	case tDecimal:
		return reflect.ValueOf(float64(0)), true
	case tBinary:
		return reflect.ValueOf([]byte{}), true
	case tUint:
		return reflect.ValueOf(map[int]any{8: uint8(0), 16: uint16(0), 32: uint32(0), 64: uint64(0)}[t.bits]), true
	case tInt:
		return reflect.ValueOf(map[int]any{8: int8(0), 16: int16(0), 32: int32(0), 64: int64(0)}[t.bits]), true
	}
	return reflect.Value{}, false
}

// enumTyper is what every generated struct offers.
type enumTyper interface {
	ΛEnumTypeMap() map[string][]reflect.Type
}

// enumWithNames finds the generated enumeration with exactly these names that
// is an arm of union.
func enumWithNames(owner reflect.Value, t *Type, union reflect.Type) (reflect.Type, bool) {
	et, ok := owner.Interface().(enumTyper)
	if !ok {
		return nil, false
	}
	for _, types := range et.ΛEnumTypeMap() {
		for _, typ := range types {
			if typ.Implements(union) && sameNames(enumDefinitions(typ), t) {
				return typ, true
			}
		}
	}
	return nil, false
}

func sameNames(defs map[int64]ygot.EnumDefinition, t *Type) bool {
	if len(defs) != len(t.names) {
		return false
	}
	for _, d := range defs {
		if v, ok := t.names[d.Name]; !ok || v.mod != d.DefiningModule {
			return false
		}
	}
	return true
}
