package schema

// Op is the operation of an Edit.
type Op uint8

const (
	Delete Op = iota + 1
	Replace
	Update
)

// Encoding is the JSON dialect of a payload or of output.
type Encoding uint8

const (
	JSON     Encoding = iota // plain: 64-bit numbers are numbers, no module prefixes
	JSONIETF                 // RFC 7951
)

// Edit is one operation of a Set. Delete needs only Path, which may hold
// wildcards; the others take their value from JSON if it is not nil, else from
// Scalar.
//
// Both dialects are decoded leniently: module prefixes may be present or
// absent, 64-bit numbers may be strings or numbers; Encoding only decides what
// is said in errors.
type Edit struct {
	Op       Op
	Path     Path
	JSON     []byte // one JSON value: bare for a leaf, an object for a container or list entry, an array of objects for a list
	Encoding Encoding
	Scalar   Value // raw value of a leaf or leaf-list
}

// Change is the difference an edit made to one entry. Old is nil for an entry
// that did not exist, New for one that no longer does. Entries that end up
// equal to what they were are not reported.
type Change struct {
	Key      EntryKey
	Old, New GoStruct
}

// Apply works out what the edits, in order, make of base, which it does not
// change. Changes are in key order, one per entry. Cost is proportional to
// what the edits touch; a replace touches the subtree it replaces.
//
// Semantics are gNMI's: update merges (leaf-lists too), replace resets what
// the payload omits, an entry is created together with the list entries above
// it, delete of what is absent is no error, deleting a list entry takes its
// descendants along. Types, ranges and patterns are checked; mandatory leaves,
// references and semantic rules are not: see Validate and Refs.
//
// On error (joined *PathError and *ValueError) changes is nil.
func (s *Schema) Apply(base Tree, edits []Edit) (changes []Change, err error) {
	panic("schema: under construction")
}

// DecodeEntry decodes the own content of one entry as EncodeEntry wrote it:
// no child lists. The keys may be absent from data.
func (s *Schema) DecodeEntry(k EntryKey, data []byte) (GoStruct, error) {
	panic("schema: under construction")
}
