package schema

// LeafOptions selects what Leaves and Diff report.
type LeafOptions struct {
	Filter   Filter
	Defaults bool  // leaves whose default is in use count as set
	Under    *Node // nil or a node held by the entry: only leaves at or under it
}

// Leaves calls fn for every leaf and leaf-list of one entry, in schema order,
// until fn returns false. A state entry yields its config false leaves only,
// except that a list that is config false itself includes its keys; so
// configuration and state of the same entry never yield the same path.
func (s *Schema) Leaves(k EntryKey, entry GoStruct, o LeafOptions, fn func(n *Node, v Value) bool) {
	panic("schema: under construction")
}

// Delta is one difference between two versions of an entry.
type Delta struct {
	Node    *Node // a leaf or leaf-list, a presence container, or the list itself if the whole entry went
	Value   Value // the new value of a leaf
	Deleted bool
}

// Diff calls fn for every leaf that changed, in schema order, until fn returns
// false. A new entry yields all its leaves; an entry that went yields one
// deletion of the list node (path: that of the entry). With o.Defaults, a leaf
// that falls back to its default is an update.
func (s *Schema) Diff(c Change, o LeafOptions, fn func(Delta) bool) {
	panic("schema: under construction")
}
