package schema

// NameElem is one element of an unresolved path, as gNMI carries it: the name
// may have a module prefix ("heddle-interfaces:interfaces").
type NameElem struct {
	Name string
	Keys map[string]string
}

// Wildcard as a key value stands for every entry of the list.
const Wildcard = "*"

// Elem is one resolved element. Keys holds the canonical key values of a list
// in the order of Node.Keys, nil for other nodes and for a list without keys
// given (all its entries). A value may be Wildcard in queries.
type Elem struct {
	Node *Node
	Keys []string
}

// Path is a resolved absolute path; the empty path is the root. Share it
// freely: nobody changes a Path once it has been made.
type Path []Elem

// Last is the node the path ends at, nil for the root.
func (p Path) Last() *Node { panic("schema: under construction") }

// String is the gNMI text of the path, e.g. /interfaces/interface[name=eth0]/config.
// Keys that are missing are left out.
func (p Path) String() string { panic("schema: under construction") }

// HasWildcard reports whether any list on the path lacks keys or has one that
// is Wildcard.
func (p Path) HasWildcard() bool { panic("schema: under construction") }

// Entry is the key of the deepest list entry on the path, before the first
// wildcard or missing key: with HasWildcard() false, the entry that holds p's
// last node.
func (p Path) Entry() EntryKey { panic("schema: under construction") }

// MatchesEntry reports whether the entry lies at or under p, or holds nodes at
// or under p (p ends at a container or leaf inside the entry): what an entry
// must satisfy to be worth looking at for a query.
func (p Path) MatchesEntry(k EntryKey) bool { panic("schema: under construction") }

// Matches reports whether node n of entry k lies at or under p.
func (p Path) Matches(k EntryKey, n *Node) bool { panic("schema: under construction") }

// Resolve finds the nodes of a path and checks and canonicalises its keys:
// addresses as RFC 5952, prefixes masked, identities without module,
// integers without leading zeros. Missing keys and wildcard key values are
// left for the caller (HasWildcard); wildcards in place of names are not: see
// ResolveQuery. Errors are *PathError.
func (s *Schema) Resolve(elems []NameElem) (Path, error) { panic("schema: under construction") }

// ParsePath is Resolve of gNMI path text: "/a/b[k=v]/c". "/" and "" are the root.
func (s *Schema) ParsePath(text string) (Path, error) { panic("schema: under construction") }

// ResolveQuery is Resolve for Get, Subscribe and Delete: the names "*" (one
// level) and "..." (any number of levels) are allowed and expand to one Path
// for each schema path they stand for, without paths already covered by
// another. It fails with NotFound if nothing matches.
func (s *Schema) ResolveQuery(elems []NameElem) ([]Path, error) {
	panic("schema: under construction")
}

// ParseQuery is ResolveQuery of gNMI path text.
func (s *Schema) ParseQuery(text string) ([]Path, error) { panic("schema: under construction") }

// ParseElems splits gNMI path text into elements without looking at the
// schema. In key values "\]" and "\\" stand for "]" and "\", in names "\/" for
// "/". Errors are *PathError with Malformed.
func ParseElems(text string) ([]NameElem, error) { panic("schema: under construction") }
