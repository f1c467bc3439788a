package schema

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"

	"github.com/openconfig/goyang/pkg/yang"
	"github.com/openconfig/ygot/ygot"
)

// compiler is the state of one Compile.
type compiler struct {
	s        *Schema
	aliases  map[string][]string
	entryOf  map[*Node]*yang.Entry
	prefixOf map[*Node]string
	modules  map[string]string // by prefix
	plans    []*entryPlan
	byType   map[reflect.Type]*entryPlan
	fields   map[*slot]reflect.StructField
	enums    []reflect.Type
	visiting map[*Node]bool
	choices  map[*yang.Entry]*choice
}

// Compile builds the plans. It fails if the bindings disagree with each other
// or use what the package does not support (see Type; lists need keys and are
// generated as maps).
func Compile(in Input) (*Schema, error) {
	c := &compiler{
		s:        &Schema{models: slices.Clone(in.Models), byType: map[reflect.Type]*entryPlan{}, lists: []*Node{nil}},
		aliases:  in.Aliases,
		entryOf:  map[*Node]*yang.Entry{},
		prefixOf: map[*Node]string{},
		modules:  map[string]string{},
		fields:   map[*slot]reflect.StructField{},
		visiting: map[*Node]bool{},
		choices:  map[*yang.Entry]*choice{},
	}
	c.byType = c.s.byType
	root := &Node{Kind: Container, Config: true}
	c.s.root = root
	binds := [bindings]Binding{in.Config, in.State}
	for b, bd := range binds {
		if bd.Root == nil {
			continue
		}
		t := reflect.TypeOf(bd.Root).Elem()
		e := bd.Schema[t.Name()]
		if e == nil {
			return nil, fmt.Errorf("compile schema: no embedded schema for %s", t)
		}
		if err := c.addChildren(root, e, b, nil); err != nil {
			return nil, fmt.Errorf("compile schema: %w", err)
		}
		if err := c.nameModules(root, t); err != nil {
			return nil, fmt.Errorf("compile schema: %w", err)
		}
		if et, ok := bd.Root.(enumTyper); ok {
			for _, types := range et.ΛEnumTypeMap() {
				c.enums = append(c.enums, types...)
			}
		}
	}
	c.finishNodes(root)
	for b, bd := range binds {
		if bd.Root == nil {
			continue
		}
		if err := c.bindEntry(root, reflect.TypeOf(bd.Root).Elem(), b); err != nil {
			return nil, fmt.Errorf("compile schema: %w", err)
		}
	}
	if err := c.finish(); err != nil {
		return nil, fmt.Errorf("compile schema: %w", err)
	}
	return c.s, nil
}

// addChildren makes the nodes below n from an embedded schema, merging with
// those the other binding brought. Choices and cases leave no nodes.
func (c *compiler) addChildren(n *Node, e *yang.Entry, bind int, in []caseOf) error {
	for name, ce := range e.Dir {
		switch {
		case ce.IsChoice():
			ch := &choice{name: name, mandatory: ce.Mandatory == yang.TSTrue, within: n}
			if c.choices[ce] != nil {
				ch = c.choices[ce]
			}
			c.choices[ce] = ch
			for branch, be := range ce.Dir {
				members := be
				if !be.IsCase() { // the short form: the node is its own case
					members = &yang.Entry{Dir: map[string]*yang.Entry{branch: be}}
				}
				if err := c.addChildren(n, members, bind, append(slices.Clone(in), caseOf{ch, branch})); err != nil {
					return err
				}
			}
			continue
		case ce.RPC != nil || ce.Kind == yang.NotificationEntry:
			continue
		}
		child, err := c.addNode(n, name, ce, bind, in)
		if err != nil {
			return err
		}
		if err := c.addChildren(child, ce, bind, nil); err != nil {
			return err
		}
	}
	return nil
}

func (c *compiler) addNode(parent *Node, name string, e *yang.Entry, bind int, in []caseOf) (*Node, error) {
	kind := Container
	switch {
	case e.IsList():
		kind = List
	case e.IsLeaf():
		kind = Leaf
	case e.IsLeafList():
		kind = LeafList
	case !e.IsContainer():
		return nil, fmt.Errorf("%s/%s: this kind of node is not supported", parent.Path(), name)
	}
	config := parent.Config && e.Config != yang.TSFalse
	for _, n := range parent.Children {
		if n.Name != name {
			continue
		}
		if n.Kind != kind || n.Config != config {
			return nil, fmt.Errorf("%s differs between configuration and state binding", n.Path())
		}
		return n, nil
	}
	n := &Node{Name: name, Kind: kind, Config: config, Parent: parent, Mandatory: e.Mandatory == yang.TSTrue}
	_, n.Presence = e.Extra["presence"]
	n.plan.cases = in
	if la := e.ListAttr; la != nil {
		n.plan.minElems = la.MinElements
		if la.MaxElements != 1<<64-1 {
			n.plan.maxElems = la.MaxElements
		}
		n.plan.orderUser = la.OrderedByUser
	}
	if e.Prefix != nil {
		c.prefixOf[n] = e.Prefix.Name
	}
	c.entryOf[n] = e
	parent.Children = append(parent.Children, n)
	if parent.plan.byName == nil {
		parent.plan.byName = map[string]*Node{}
	}
	parent.plan.byName[name] = n
	return n, nil
}

// finishNodes sorts children, numbers lists and makes what depends on module
// names.
func (c *compiler) finishNodes(n *Node) {
	n.plan.schema = c.s
	n.plan.id = c.s.nodes
	c.s.nodes++
	n.plan.entry = n
	if n.Kind != List && n.Parent != nil {
		n.plan.entry = n.Parent.plan.entry
	}
	if n.Parent != nil && n.Module == "" {
		if n.Module = c.modules[c.prefixOf[n]]; n.Module == "" {
			n.Module = n.Parent.Module
		}
	}
	if up := n.Parent; up != nil {
		sameEntry := n.Kind != List && up.Parent != nil
		n.plan.inCase = len(n.plan.cases) > 0 || sameEntry && up.Kind != List && up.plan.inCase
		n.plan.mirrored = isMirrored(n)
	}
	if e := c.entryOf[n]; n.Kind == List && e.Key != "" {
		for _, k := range splitFields(e.Key) {
			kn := n.Child(k)
			kn.plan.isKey = true
			n.Keys = append(n.Keys, kn)
		}
	}
	if n.Kind == List {
		c.s.lists = append(c.s.lists, n)
		n.ListID = ListID(len(c.s.lists) - 1)
		above := n.Parent
		for above != nil && above.Kind != List {
			above = above.Parent
		}
		n.plan.below = n.relative(above)
	}
	slices.SortFunc(n.Children, func(a, b *Node) int {
		return cmp.Or(cmp.Compare(rank(n, a), rank(n, b)), cmp.Compare(a.Name, b.Name))
	})
	n.plan.accepted = make(map[string]*Node, 3*len(n.Children))
	for i, ch := range n.Children {
		ch.plan.order = i
		c.finishNodes(ch)
		n.plan.accepted[ch.Name] = ch
		for _, m := range c.spellings(ch.Module) {
			n.plan.accepted[m+":"+ch.Name] = ch
		}
		if ch.Kind == List {
			n.plan.lists = append(n.plan.lists, ch)
		} else {
			n.plan.lists = append(n.plan.lists, ch.plan.lists...)
		}
	}
}

// isMirrored reports whether a state node has a counterpart of the same name in
// the config container beside the state container.
func isMirrored(n *Node) bool {
	var names []string
	for m := n; m.Parent != nil; m = m.Parent {
		if m.Name == "state" && m.Kind == Container && !m.Config {
			c := m.Parent.Child("config")
			for i := len(names) - 1; i >= 0 && c != nil; i-- {
				c = c.Child(names[i])
			}
			return c != nil && c.Config
		}
		names = append(names, m.Name)
	}
	return false
}

// spellings are the names accepted for a module.
func (c *compiler) spellings(module string) []string {
	return append([]string{module}, c.aliases[module]...)
}

func splitFields(s string) []string {
	var out []string
	for len(s) > 0 {
		i := 0
		for i < len(s) && s[i] != ' ' && s[i] != '\t' && s[i] != '\n' {
			i++
		}
		if i > 0 {
			out = append(out, s[:i])
			s = s[i:]
			continue
		}
		s = s[1:]
	}
	return out
}

// rank is schema order: keys, other leaves, config, state, the rest.
func rank(parent, n *Node) int {
	if i := slices.Index(parent.Keys, n); i >= 0 {
		return i - len(parent.Keys)
	}
	switch {
	case n.IsLeaf():
		return 0
	case n.Name == "config":
		return 1
	case n.Name == "state":
		return 2
	}
	return 3
}

// finish compiles types, codecs, defaults and references.
func (c *compiler) finish() error {
	for n := range c.entryOf {
		if n.IsLeaf() {
			if _, err := c.typeOf(n); err != nil {
				return err
			}
		}
	}
	for s, sf := range c.fields {
		owner := reflect.New(s.cont.typ)
		cd, err := newCodec(sf.Type, s.node.Type, s.node.Kind == LeafList, owner)
		if err != nil {
			return fmt.Errorf("bind %s: %w", s.node.Path(), err)
		}
		s.codec = cd
	}
	for n, e := range c.entryOf {
		if !n.IsLeaf() {
			continue
		}
		if err := c.defaultOf(n, e); err != nil {
			return err
		}
	}
	for _, ep := range c.plans {
		for i, k := range ep.keys {
			if k == nil {
				return fmt.Errorf("list %s: key %s has no field in %s", ep.node.Path(), ep.node.Keys[i].Name, ep.typ)
			}
		}
		c.planLeafs(ep, ep.node)
		if ep.bind == inConfig {
			c.planDefaults(ep)
			c.planChecks(ep, ep.node)
			c.planRefs(ep)
		}
	}
	return nil
}

// typeOf compiles the type of a leaf; a leafref has its target's.
func (c *compiler) typeOf(n *Node) (*Type, error) {
	if n.Type != nil {
		return n.Type, nil
	}
	if c.visiting[n] {
		return nil, fmt.Errorf("%s: leafrefs form a ring", n.Path())
	}
	c.visiting[n] = true
	defer delete(c.visiting, n)
	y := c.entryOf[n].Type
	if y.Kind == yang.Yleafref {
		p, err := parseXPath(n, y.Path)
		if err != nil {
			return nil, fmt.Errorf("%s: leafref %s: %w", n.Path(), y.Path, err)
		}
		t, err := c.typeOf(p.target)
		n.Type = t
		return t, err
	}
	t, err := c.compileType(y, c.definitions)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.Path(), err)
	}
	n.Type = t
	return t, nil
}

// definitions finds the generated enumeration with exactly these names.
func (c *compiler) definitions(names []string) (map[int64]ygot.EnumDefinition, bool) {
	for _, t := range c.enums {
		defs := enumDefinitions(t)
		if len(defs) != len(names) {
			continue
		}
		same := true
		for _, d := range defs {
			same = same && slices.Contains(names, d.Name)
		}
		if same {
			return defs, true
		}
	}
	return nil, false
}

func (c *compiler) defaultOf(n *Node, e *yang.Entry) error {
	texts := e.Default
	if len(texts) == 0 && e.Type.HasDefault && !n.Mandatory {
		texts = []string{e.Type.Default}
	}
	for _, d := range texts {
		v, f := n.Type.parse(&raw{form: fText, text: d})
		if f != fits {
			return fmt.Errorf("%s: default %q: %s", n.Path(), d, n.Type.explain(&raw{text: d}, f))
		}
		n.Default = append(n.Default, v)
	}
	return nil
}

// defaultValue is the value of a leaf or leaf-list whose default is in use.
func (n *Node) defaultValue() (Value, bool) {
	if len(n.Default) == 0 {
		return Value{}, false
	}
	if n.Kind == LeafList {
		return ListValue(n.Default), true
	}
	return n.Default[0], true
}

// planDefaults makes the fields that dropDefaults compares with.
func (c *compiler) planDefaults(ep *entryPlan) {
	for _, s := range ep.slots {
		if s.key >= 0 || !s.node.hasDefault() {
			continue
		}
		v, _ := s.node.defaultValue()
		d := defaultAt{slot: s, field: newStruct(s.typ)}
		s.store(d.field, s.cell(v))
		ep.defaults = append(ep.defaults, d)
	}
}

// planLeafs lists the leaves of an entry in schema order.
func (c *compiler) planLeafs(ep *entryPlan, n *Node) {
	for _, ch := range n.Children {
		switch {
		case ch.IsLeaf():
			s := ch.plan.slot[ep.bind]
			if s == nil || ch.Config != (ep.bind == inConfig) {
				continue
			}
			ep.leafs = append(ep.leafs, leafAt{ch, s})
		case ch.Kind == Container:
			c.planLeafs(ep, ch)
		}
	}
}
