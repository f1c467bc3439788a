package schema

// EntryKey identifies a list entry: for each list on the way down its ListID
// and the canonical key values. Byte order is schema order, a parent sorts
// directly before its descendants, and every descendant has its ancestor's key
// as a prefix. The root entry is "". It holds for one compiled schema; persist
// Schema.Text(key) instead.
type EntryKey string

// Parent is the entry that holds the list k is in; ok is false for the root.
func (k EntryKey) Parent() (parent EntryKey, ok bool) { panic("schema: under construction") }

// Under reports whether k is ancestor or one of its descendants.
func (k EntryKey) Under(ancestor EntryKey) bool { panic("schema: under construction") }

// List is the id of the list k is an entry of, 0 for the root.
func (k EntryKey) List() ListID { panic("schema: under construction") }

// Values are the key values of the last list, in the order of Node.Keys.
func (k EntryKey) Values() []string { panic("schema: under construction") }

// String is a readable form for logs and tests ("#3[blue]#9[2001:db8::1]"); for
// people use Schema.Text.
func (k EntryKey) String() string { panic("schema: under construction") }

// Key builds the key of an entry of list under parent. The values are checked
// and made canonical; errors are *PathError with BadKey.
func (s *Schema) Key(parent EntryKey, list *Node, values ...string) (EntryKey, error) {
	panic("schema: under construction")
}

// ListPrefix is the common prefix of the keys of all entries of list under
// parent, for Tree.Scan. It is the key of no entry.
func (s *Schema) ListPrefix(parent EntryKey, list *Node) EntryKey {
	panic("schema: under construction")
}

// Path is the path of an entry. It panics if k does not come from s.
func (s *Schema) Path(k EntryKey) Path { panic("schema: under construction") }

// Text is Path(k).String(), made without the Path.
func (s *Schema) Text(k EntryKey) string { panic("schema: under construction") }

// Node is the list node of k, the root node for "".
func (s *Schema) Node(k EntryKey) *Node { panic("schema: under construction") }

// NodePath is the path of node n in entry k: n must be held by entries of
// Node(k) (n.Entry() == Node(k)).
func (s *Schema) NodePath(k EntryKey, n *Node) Path { panic("schema: under construction") }
