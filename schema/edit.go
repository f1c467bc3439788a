package schema

// Op is the operation of an Edit.
type Op uint8

const (
	Delete Op = iota + 1
	Replace
	Update
)

// String is the name in gNMI.
func (o Op) String() string { return [...]string{"none", "delete", "replace", "update"}[o] }

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
// Both dialects are decoded leniently, the same way: module prefixes may be
// present or absent, 64-bit numbers may be strings or numbers.
type Edit struct {
	Op       Op
	Path     Path
	JSON     []byte // one JSON value: bare for a leaf, an object for a container or list entry, an array of objects for a list
	Encoding Encoding
	Scalar   Value // raw value of a leaf or leaf-list

	drafts []draft // instead of all but Op: see Edits
	schema *Schema // with drafts
}

// Target is the text of the path of an edit, or of the first entry that it is about.
func (e *Edit) Target() string {
	if len(e.drafts) > 0 {
		return e.schema.Text(e.drafts[0].key)
	}
	return e.Path.String()
}

// Change is the difference an edit made to one entry. Old is nil for an entry
// that did not exist, New for one that no longer does. Entries that end up
// equal to what they were are not reported. The root entry does not exist
// while it holds nothing.
type Change struct {
	Key      EntryKey
	Old, New GoStruct
}
