package schema

import "io"

// Filter selects nodes by gNMI's Get type.
type Filter uint8

const (
	All         Filter = iota
	Config             // config true nodes
	State              // config false nodes
	Operational        // config false nodes without a config true counterpart (state/x without config/x)
)

// EncodeOptions says how to write a document.
type EncodeOptions struct {
	Encoding Encoding
	Filter   Filter
	Defaults bool // include leaves whose default is in use
	Indent   bool // for people; default compact
	// ModuleNames renames modules on output (use_models); nil keeps ours.
	ModuleNames map[string]string
}

// EncodeJSON writes what trees hold at a path as one JSON value and reports
// whether there was anything; if not, nothing is written. Trees are merged: an
// entry is there if any tree has it, the configuration tree supplies config
// true nodes, the state tree config false nodes (it recognises them by their
// struct types). It streams: memory does not grow with the document.
//
// A leaf is its bare value, a container or list entry an object without its
// own name, a list without keys an array of its entries. The root without data
// is {}. Wildcards elsewhere are an error: use Expand.
func (s *Schema) EncodeJSON(w io.Writer, trees []Tree, at Path, o EncodeOptions) (present bool, err error) {
	panic("schema: under construction")
}

// EncodeEntry appends the own content of one entry (no child lists) as a
// JSON_IETF object.
func (s *Schema) EncodeEntry(dst []byte, k EntryKey, entry GoStruct) []byte {
	panic("schema: under construction")
}

// AppendValue appends a leaf's value as JSON.
func (s *Schema) AppendValue(dst []byte, n *Node, v Value, enc Encoding) []byte {
	panic("schema: under construction")
}

// Expand calls fn for every existing node that a query path stands for, in
// order, with wildcards and missing keys filled in, until fn returns false. A
// path without wildcards is passed on as it is if it exists.
func (s *Schema) Expand(trees []Tree, query Path, fn func(Path) bool) {
	panic("schema: under construction")
}
