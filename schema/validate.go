package schema

// Validate checks what concerns one configuration entry alone: mandatory
// leaves, counts of leaf-lists, one case of a choice, keys that agree with k,
// and every value against its type. Errors are joined *ValueError.
func (s *Schema) Validate(k EntryKey, entry GoStruct) error { panic("schema: under construction") }

// Ref is a leafref of an entry with require-instance.
type Ref struct {
	Leaf   *Node    // the referring leaf, held by the entry
	Value  Value    // what it says
	Target EntryKey // the entry that must exist for it to hold; "" if a leaf that picks the target is unset
}

// Refs calls fn for every reference of a configuration entry that leads to
// another entry, until fn returns false. A leaf-list gives one Ref per value.
// Leafrefs to the entry itself (list keys) are left out.
func (s *Schema) Refs(k EntryKey, entry GoStruct, fn func(Ref) bool) {
	panic("schema: under construction")
}
