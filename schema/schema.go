package schema

import (
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
	root   *Node
	models []Model
}

// Compile builds the plans. It fails if the bindings disagree with each other
// or use what the package does not support (see docs of Type).
func Compile(in Input) (*Schema, error) { panic("schema: under construction") }

// Root is the root node.
func (s *Schema) Root() *Node { return s.root }

// Models lists the modules for Capabilities. Do not change the slice.
func (s *Schema) Models() []Model { return s.models }

// New makes a configuration entry that holds its keys only. It fails if the
// list is config false or k is not of s.
func (s *Schema) New(k EntryKey) (GoStruct, error) { panic("schema: under construction") }

// NewState makes a state entry that holds its keys only.
func (s *Schema) NewState(k EntryKey) (GoStruct, error) { panic("schema: under construction") }

// Get reads a leaf or leaf-list of an entry; n must be held by that entry. ok
// is false if it is unset (defaults are not looked at).
func (s *Schema) Get(entry GoStruct, n *Node) (v Value, ok bool) { panic("schema: under construction") }
