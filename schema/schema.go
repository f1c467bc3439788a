package schema

import (
	"fmt"
	"reflect"

	"github.com/openconfig/goyang/pkg/yang"
	"github.com/openconfig/ygot/ygot"
)

// GoStruct is an entry: a pointer to a generated struct.
type GoStruct = ygot.GoStruct

// Binding is one set of generated structs with its embedded schema.
type Binding struct {
	Root   ygot.GoStruct          // an empty root struct, e.g. &config.Device{}
	Schema map[string]*yang.Entry // e.g. config.SchemaTree, or what config.UnzipSchema returns
}

// Model names a YANG module for Capabilities.
type Model struct{ Name, Organization, Version string }

// Input is what Compile needs. A zero State binding is allowed.
type Input struct {
	Config Binding // holds the config true nodes
	State  Binding // holds the config false nodes; its config true nodes are ignored, list keys excepted
	// Aliases maps a module of ours to foreign module names accepted as its
	// prefix on input, in member names, path elements and identities:
	// "heddle-interfaces": {"openconfig-interfaces", "openconfig-if-ip"}.
	Aliases map[string][]string
	Models  []Model
}

// Schema is a compiled model. It is immutable and safe for concurrent use.
type Schema struct {
	root      *Node
	models    []Model
	lists     []*Node // by ListID; lists[0] is nil
	byType    map[reflect.Type]*entryPlan
	unchecked []string
	nodes     int // how many; Node.plan.id counts from 0
	slots     int // how many; slot.id counts from 0

	programs programs
}

// Root is the root node.
func (s *Schema) Root() *Node { return s.root }

// Models lists the modules for Capabilities. Do not change the slice.
func (s *Schema) Models() []Model { return s.models }

// Lists are all lists of the model, in schema order; Lists()[id-1].ListID == id.
func (s *Schema) Lists() []*Node { return s.lists[1:] }

// UncheckedRefs are the leafrefs of configuration that Refs leaves out because
// their path does not lead to one entry: a target that is not a list key, or
// keys on the way that the path does not fix.
func (s *Schema) UncheckedRefs() []string { return s.unchecked }

// New makes a configuration entry that holds its keys only. It fails if the
// list is config false or k is not of s.
func (s *Schema) New(k EntryKey) (GoStruct, error) { return s.newEntry(k, inConfig) }

// NewState makes a state entry that holds its keys only.
func (s *Schema) NewState(k EntryKey) (GoStruct, error) { return s.newEntry(k, inState) }

func (s *Schema) newEntry(k EntryKey, bind int) (GoStruct, error) {
	n := s.nodeOf(k)
	if n == nil || n.plan.entryPlan[bind] == nil {
		return nil, fmt.Errorf("make entry %s: the binding has no such list", k)
	}
	ep := n.plan.entryPlan[bind]
	p := newStruct(ep.typ)
	ep.fillKeys(p, k)
	return structAt(ep.typ, p), nil
}

// planOf finds the plan of an entry struct, nil if it is of another schema.
func (s *Schema) planOf(entry GoStruct) *entryPlan {
	if entry == nil {
		return nil
	}
	return s.byType[reflect.TypeOf(entry).Elem()]
}

// IsState reports whether entry is a struct of the state binding.
func (s *Schema) IsState(entry GoStruct) bool {
	ep := s.planOf(entry)
	return ep != nil && ep.bind == inState
}

// Get reads a leaf or leaf-list of an entry; n must be held by that entry. ok
// is false if it is unset (defaults are not looked at).
func (s *Schema) Get(entry GoStruct, n *Node) (v Value, ok bool) {
	ep := s.planOf(entry)
	if ep == nil {
		return Value{}, false
	}
	sl := n.plan.slot[ep.bind]
	if sl == nil || n.plan.entry != ep.node {
		return Value{}, false
	}
	return sl.get(base(entry))
}
