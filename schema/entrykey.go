package schema

import (
	"strings"
)

// EntryKey identifies a list entry: for each list on the way down its ListID
// and the canonical key values. Byte order is schema order, a parent sorts
// directly before its descendants, and every descendant has its ancestor's key
// as a prefix. The root entry is "". It holds for one compiled schema; persist
// Schema.Text(key) instead.
type EntryKey string

// A level of a key is the ListID, two octets big-endian, then the values with
// keySep between them and keyEnd behind. Canonical values hold no control
// characters (see yangString), so both are unambiguous.
const (
	keyEnd = 0x00
	keySep = 0x01
)

// level is the length of the first level of k, 0 if k is empty.
func (k EntryKey) level() int {
	if len(k) < 3 {
		return 0
	}
	return 2 + strings.IndexByte(string(k[2:]), keyEnd) + 1
}

// last is the offset of the last level of k, or -1.
func (k EntryKey) last() int {
	at := -1
	for i := 0; i < len(k); {
		at = i
		n := k[i:].level()
		if n < 3 {
			break
		}
		i += n
	}
	return at
}

// id is the ListID at the start of k.
func (k EntryKey) id() ListID {
	if len(k) < 2 {
		return 0
	}
	return ListID(k[0])<<8 | ListID(k[1])
}

// eachValue calls fn with the values of the first level of k.
func (k EntryKey) eachValue(fn func(i int, v string)) {
	n := k.level()
	if n < 3 {
		return
	}
	rest := string(k[2 : n-1])
	for i := 0; ; i++ {
		v, tail, more := strings.Cut(rest, string(rune(keySep)))
		fn(i, v)
		if !more {
			return
		}
		rest = tail
	}
}

// appendLevel appends a level of canonical values.
func appendLevel(dst []byte, id ListID, values []string) []byte {
	dst = append(dst, byte(id>>8), byte(id))
	for i, v := range values {
		if i > 0 {
			dst = append(dst, keySep)
		}
		dst = append(dst, v...)
	}
	return append(dst, keyEnd)
}

// Parent is the entry that holds the list k is in; ok is false for the root.
func (k EntryKey) Parent() (parent EntryKey, ok bool) {
	at := k.last()
	if at < 0 {
		return "", false
	}
	return k[:at], true
}

// Under reports whether k is ancestor or one of its descendants.
func (k EntryKey) Under(ancestor EntryKey) bool {
	return strings.HasPrefix(string(k), string(ancestor))
}

// List is the id of the list k is an entry of, 0 for the root.
func (k EntryKey) List() ListID {
	at := k.last()
	if at < 0 {
		return 0
	}
	return k[at:].id()
}

// Values are the key values of the last list, in the order of Node.Keys.
func (k EntryKey) Values() []string {
	at := k.last()
	if at < 0 {
		return nil
	}
	var out []string
	k[at:].eachValue(func(_ int, v string) { out = append(out, v) })
	return out
}

// String is a readable form for logs and tests ("#3[blue]#9[2001:db8::1]"); for
// people use Schema.Text.
func (k EntryKey) String() string {
	if k == "" {
		return "#root"
	}
	var b strings.Builder
	for len(k) > 0 {
		n := k.level()
		if n < 3 {
			b.WriteString("#?")
			break
		}
		b.WriteByte('#')
		b.WriteString(UintValue(uint64(k.id())).String())
		b.WriteByte('[')
		k.eachValue(func(i int, v string) {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(v)
		})
		b.WriteByte(']')
		k = k[n:]
	}
	return b.String()
}

// Key builds the key of an entry of list under parent. The values are checked
// and made canonical; errors are *PathError with BadKey.
func (s *Schema) Key(parent EntryKey, list *Node, values ...string) (EntryKey, error) {
	if len(values) != len(list.Keys) {
		return "", &PathError{Path: s.Text(parent) + list.relative(list.Parent.Entry()), Code: BadKey,
			Reason: "want the keys " + keyNames(list)}
	}
	canonical := make([]string, len(values))
	for i, v := range values {
		r := raw{form: fText, text: v}
		cv, f := list.Keys[i].Type.parse(&r)
		if f != fits {
			return "", &PathError{Path: s.Text(parent) + list.relative(list.Parent.Entry()), Code: BadKey,
				Reason: "key " + list.Keys[i].Name + "=" + r.show() + ": " + list.Keys[i].Type.explain(&r, f)}
		}
		canonical[i] = cv.String()
	}
	return EntryKey(appendLevel([]byte(parent), list.ListID, canonical)), nil
}

// KeyOf is Key of values that are canonical, which it takes the caller's word for.
func (s *Schema) KeyOf(parent EntryKey, list *Node, canonical ...string) EntryKey {
	n := len(parent) + 2 + len(canonical)
	for _, v := range canonical {
		n += len(v)
	}
	return EntryKey(appendLevel(append(make([]byte, 0, n), parent...), list.ListID, canonical))
}

func keyNames(list *Node) string {
	names := make([]string, len(list.Keys))
	for i, k := range list.Keys {
		names[i] = k.Name
	}
	return strings.Join(names, " ")
}

// ListPrefix is the common prefix of the keys of all entries of list under
// parent, for Tree.Scan. It is the key of no entry.
func (s *Schema) ListPrefix(parent EntryKey, list *Node) EntryKey {
	return parent + EntryKey([]byte{byte(list.ListID >> 8), byte(list.ListID)})
}

// Path is the path of an entry. It panics if k does not come from s.
func (s *Schema) Path(k EntryKey) Path {
	var p Path
	from := s.root
	for len(k) > 0 {
		list := s.lists[k.id()]
		p = appendNodes(p, from, list)
		keys := make([]string, len(list.Keys))
		k.eachValue(func(i int, v string) { keys[i] = v })
		p[len(p)-1].Keys = keys
		k, from = k[k.level():], list
	}
	return p
}

// appendNodes appends an element for each node below from, down to n.
func appendNodes(p Path, from, n *Node) Path {
	at := len(p)
	for m := n; m != from && m.Parent != nil; m = m.Parent {
		p = append(p, Elem{Node: m})
	}
	for i, j := at, len(p)-1; i < j; i, j = i+1, j-1 {
		p[i], p[j] = p[j], p[i]
	}
	return p
}

// Text is Path(k).String(), made without the Path; "/" for the root.
func (s *Schema) Text(k EntryKey) string {
	if k == "" {
		return "/"
	}
	return s.text(k, s.root)
}

// Texts writes the paths of entries. That of the entry which one is in is made once
// for all that follow each other in it.
type Texts struct {
	schema *Schema
	parent EntryKey
	above  []byte // the path of parent; nil: none yet
}

// Texts begins to write paths.
func (s *Schema) Texts() *Texts { return &Texts{schema: s} }

// Append appends what Text says of k.
func (t *Texts) Append(dst []byte, k EntryKey) []byte {
	at := k.last()
	if at < 0 {
		return append(dst, t.schema.Text(k)...)
	}
	if parent := k[:at]; t.above == nil || parent != t.parent {
		t.parent, t.above = parent, t.schema.appendText(t.above[:0], parent, t.schema.root)
	}
	return t.schema.appendText(append(dst, t.above...), k[at:], t.schema.root)
}

// text is the path text of node n in entry k, "" for the root.
func (s *Schema) text(k EntryKey, n *Node) string {
	return string(s.appendText(nil, k, n))
}

func (s *Schema) appendText(dst []byte, k EntryKey, n *Node) []byte {
	from := s.root
	for len(k) >= 3 && int(k.id()) < len(s.lists) && k.id() > 0 {
		list := s.lists[k.id()]
		dst = append(dst, list.plan.below...)
		k.eachValue(func(i int, v string) {
			if i < len(list.Keys) {
				dst = appendKey(dst, list.Keys[i].Name, v)
			}
		})
		k, from = k[k.level():], list
	}
	if n != from && n.Parent != nil {
		dst = append(dst, n.relative(from)...)
	}
	return dst
}

// Node is the list node of k, the root node for "".
func (s *Schema) Node(k EntryKey) *Node { return s.nodeOf(k) }

// nodeOf is Node, nil if k is not of s.
func (s *Schema) nodeOf(k EntryKey) *Node {
	id := k.List()
	if id == 0 {
		if k != "" {
			return nil
		}
		return s.root
	}
	if int(id) >= len(s.lists) {
		return nil
	}
	return s.lists[id]
}

// NodePath is the path of node n in entry k: n must be held by entries of
// Node(k) (n.Entry() == Node(k)).
func (s *Schema) NodePath(k EntryKey, n *Node) Path {
	return appendNodes(s.Path(k), s.nodeOf(k), n)
}

// NodeText is NodePath(k, n).String(), made without the Path.
func (s *Schema) NodeText(k EntryKey, n *Node) string {
	if t := s.text(k, n); t != "" {
		return t
	}
	return "/"
}
