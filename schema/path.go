package schema

import (
	"slices"
	"sort"
	"strings"
)

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
func (p Path) Last() *Node {
	if len(p) == 0 {
		return nil
	}
	return p[len(p)-1].Node
}

// String is the gNMI text of the path, e.g. /interfaces/interface[name=eth0]/config.
// Keys that are missing are left out.
func (p Path) String() string {
	if len(p) == 0 {
		return "/"
	}
	var b []byte
	for _, e := range p {
		b = append(append(b, '/'), e.Node.Name...)
		for i, v := range e.Keys {
			b = appendKey(b, e.Node.Keys[i].Name, v)
		}
	}
	return string(b)
}

func appendKey(dst []byte, name, value string) []byte {
	dst = append(append(append(dst, '['), name...), '=')
	for i := range len(value) {
		if value[i] == ']' || value[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, value[i])
	}
	return append(dst, ']')
}

// wild reports whether the element is a list that stands for several entries.
func (e *Elem) wild() bool {
	return e.Node.Kind == List && (e.Keys == nil || slices.Contains(e.Keys, Wildcard))
}

// HasWildcard reports whether any list on the path lacks keys or has one that
// is Wildcard.
func (p Path) HasWildcard() bool {
	for i := range p {
		if p[i].wild() {
			return true
		}
	}
	return false
}

// Entry is the key of the deepest list entry on the path, before the first
// wildcard or missing key: with HasWildcard() false, the entry that holds p's
// last node.
func (p Path) Entry() EntryKey {
	var buf [128]byte
	k := buf[:0]
	for i := range p {
		if p[i].Node.Kind != List {
			continue
		}
		if p[i].wild() {
			break
		}
		k = appendLevel(k, p[i].Node.ListID, p[i].Keys)
	}
	return EntryKey(k)
}

// match compares the lists of p with k. rest is what k has beyond them; ok is
// false if they differ or k ends first.
func (p Path) match(k EntryKey) (rest EntryKey, ok bool) {
	for i := range p {
		e := &p[i]
		if e.Node.Kind != List {
			continue
		}
		n := k.level()
		if n < 3 || k.id() != e.Node.ListID {
			return "", false
		}
		if e.Keys != nil {
			same := true
			k.eachValue(func(j int, v string) {
				same = same && j < len(e.Keys) && (e.Keys[j] == Wildcard || e.Keys[j] == v)
			})
			if !same {
				return "", false
			}
		}
		k = k[n:]
	}
	return k, true
}

// MatchesEntry reports whether the entry lies at or under p, or holds nodes at
// or under p (p ends at a container or leaf inside the entry): what an entry
// must satisfy to be worth looking at for a query.
func (p Path) MatchesEntry(k EntryKey) bool {
	rest, ok := p.match(k)
	if !ok || rest == "" || len(p) == 0 {
		return ok
	}
	last := p.Last()
	list := last.plan.schema.lists[rest.id()]
	return list.under(last)
}

// Matches reports whether node n of entry k lies at or under p.
func (p Path) Matches(k EntryKey, n *Node) bool {
	rest, ok := p.match(k)
	if !ok {
		return false
	}
	if len(p) == 0 {
		return true
	}
	if rest == "" {
		return n.under(p.Last())
	}
	return p.Last().plan.schema.lists[rest.id()].under(p.Last())
}

// Resolve finds the nodes of a path and checks and canonicalises its keys:
// addresses as RFC 5952, prefixes masked, identities without module,
// integers without leading zeros. Missing keys and wildcard key values are
// left for the caller (HasWildcard); wildcards in place of names are not: see
// ResolveQuery. Errors are *PathError.
func (s *Schema) Resolve(elems []NameElem) (Path, error) { return s.ResolveBelow(nil, elems) }

// ResolveBelow is Resolve of elements that continue a resolved path. An error
// names the path from there on.
func (s *Schema) ResolveBelow(above Path, elems []NameElem) (Path, error) {
	p := make(Path, len(above)+len(elems))
	rest := p[copy(p, above):]
	n := s.root
	if len(above) > 0 {
		n = above.Last()
	}
	for i := range elems {
		c, err := s.step(n, elems, i)
		if err != nil {
			return nil, err
		}
		rest[i].Node = c
		if len(elems[i].Keys) > 0 {
			if rest[i].Keys, err = s.resolveKeys(c, elems, i); err != nil {
				return nil, err
			}
		}
		n = c
	}
	return p, nil
}

// step finds the child that elems[i] names.
func (s *Schema) step(n *Node, elems []NameElem, i int) (*Node, error) {
	name := elems[i].Name
	if c := n.plan.accepted[name]; c != nil {
		return c, nil
	}
	e := &PathError{Path: elemsText(elems[:i+1]), Code: NotFound}
	prefix, bare, qualified := strings.Cut(name, ":")
	switch {
	case name == "":
		e.Code, e.Reason = Malformed, "an element has no name"
	case qualified && n.Child(bare) != nil:
		e.Reason = "node " + bare + " is of module " + n.Child(bare).Module + ", not " + prefix
	case n.IsLeaf():
		e.Reason = "a " + n.Kind.String() + " has no children"
	default:
		e.Reason = "no such node, " + nodeName(n) + " has " + childNames(n)
	}
	return nil, e
}

func nodeName(n *Node) string {
	if n.Parent == nil {
		return "the root"
	}
	return n.Name
}

func childNames(n *Node) string {
	names := make([]string, len(n.Children))
	for i, c := range n.Children {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}

func (s *Schema) resolveKeys(n *Node, elems []NameElem, i int) ([]string, error) {
	fail := func(reason string) ([]string, error) {
		return nil, &PathError{Path: elemsText(elems[:i+1]), Code: BadKey, Reason: reason}
	}
	given := elems[i].Keys
	if n.Kind != List {
		return fail("a " + n.Kind.String() + " has no keys")
	}
	keys := make([]string, len(n.Keys))
	found := 0
	for j, kn := range n.Keys {
		text, ok := given[kn.Name]
		if !ok {
			if text, ok = given[kn.Module+":"+kn.Name]; !ok {
				keys[j] = Wildcard
				continue
			}
		}
		found++
		if text == Wildcard {
			keys[j] = Wildcard
			continue
		}
		r := raw{form: fText, text: text}
		v, f := kn.Type.parse(&r)
		if f != fits {
			return fail("key " + kn.Name + "=" + r.show() + ": " + kn.Type.explain(&r, f))
		}
		keys[j] = v.String()
	}
	if found != len(given) {
		return fail("unknown key, " + n.Name + " has the keys " + keyNames(n))
	}
	return keys, nil
}

// elemsText is the text of an unresolved path.
func elemsText(elems []NameElem) string {
	if len(elems) == 0 {
		return "/"
	}
	var b []byte
	for _, e := range elems {
		b = append(append(b, '/'), e.Name...)
		names := make([]string, 0, len(e.Keys))
		for k := range e.Keys {
			names = append(names, k)
		}
		sort.Strings(names)
		for _, k := range names {
			b = appendKey(b, k, e.Keys[k])
		}
	}
	return string(b)
}

// ParsePath is Resolve of gNMI path text: "/a/b[k=v]/c". "/" and "" are the root.
func (s *Schema) ParsePath(text string) (Path, error) {
	elems, err := ParseElems(text)
	if err != nil {
		return nil, err
	}
	return s.Resolve(elems)
}

// ParseQuery is ResolveQuery of gNMI path text.
func (s *Schema) ParseQuery(text string) ([]Path, error) {
	elems, err := ParseElems(text)
	if err != nil {
		return nil, err
	}
	return s.ResolveQuery(elems)
}

// ResolveQuery is Resolve for Get, Subscribe and Delete: the names "*" (one
// level) and "..." (any number of levels) are allowed and expand to one Path
// for each schema path they stand for, without paths already covered by
// another. Behind such a name, keys select the lists that have them and to
// whose types the values fit. If nothing matches, the error is of the branch
// that went farthest, or NotFound.
func (s *Schema) ResolveQuery(elems []NameElem) ([]Path, error) {
	if !slices.ContainsFunc(elems, func(e NameElem) bool { return e.anyName() }) {
		p, err := s.Resolve(elems)
		if err != nil {
			return nil, err
		}
		return []Path{p}, nil
	}
	elems = slices.CompactFunc(slices.Clone(elems), func(a, b NameElem) bool { return a.Name == "..." && b.Name == "..." })
	if len(elems) > 2*levels(s.root)+1 { // each but "..." takes a level
		return nil, &PathError{Path: elemsText(elems[:2]) + "/...", Code: NotFound, Reason: "the path is longer than any of the schema"}
	}
	q := query{s: s, elems: elems, seen: map[*Node]bool{}, tried: map[queryState]bool{}}
	if err := q.expand(s.root, nil, 0); err != nil {
		return nil, err
	}
	if len(q.found) == 0 && q.miss != nil {
		return nil, q.miss
	}
	if len(q.found) == 0 {
		return nil, &PathError{Path: elemsText(elems), Code: NotFound, Reason: "no node of the schema matches"}
	}
	// A path above another with the same keys on the way covers it.
	var out []Path
	for i, p := range q.found {
		covered := false
		for j, o := range q.found {
			covered = covered || i != j && len(o) < len(p) && slices.EqualFunc(o, p[:len(o)], func(a, b Elem) bool {
				return a.Node == b.Node && slices.Equal(a.Keys, b.Keys)
			})
		}
		if !covered {
			out = append(out, p)
		}
	}
	return out, nil
}

// query is the state of one ResolveQuery.
type query struct {
	s     *Schema
	elems []NameElem
	found []Path
	seen  map[*Node]bool
	// tried keeps several "..." from trying the same again and again.
	tried map[queryState]bool
	miss  error // the most telling reason why a branch behind a wildcard was left
	told  int   // how telling: see skip
}

// queryState is where in the schema the elements from one on are looked for.
type queryState struct {
	at   *Node
	elem int
}

// levels is how deep the schema goes below n.
func levels(n *Node) int {
	most := 0
	for _, c := range n.Children {
		most = max(most, 1+levels(c))
	}
	return most
}

// anyName reports whether an element stands for any name.
func (e *NameElem) anyName() bool { return e.Name == "*" || e.Name == "..." }

// behind reports whether elems[i] has a wildcard name before it: then other
// branches may fit where one does not.
func (q *query) behind(i int) bool {
	return slices.ContainsFunc(q.elems[:i], func(e NameElem) bool { return e.anyName() })
}

// skip leaves a branch at elems[i]. Its reason is the more telling the farther
// the branch led; a name that is missing right behind a wildcard tells nothing.
func (q *query) skip(i, kind int, err error) error {
	if told := i*3 + kind; q.miss == nil || told > q.told {
		q.miss, q.told = err, told
	}
	return nil
}

// Kinds of misses, from the least telling.
const (
	missName = iota
	missKey
	missValue
)

func (q *query) expand(n *Node, p Path, i int) error {
	if i == len(q.elems) {
		if !q.seen[n] {
			q.seen[n] = true
			q.found = append(q.found, slices.Clone(p))
		}
		return nil
	}
	if q.tried[queryState{n, i}] {
		return nil
	}
	q.tried[queryState{n, i}] = true
	e := q.elems[i]
	switch e.Name {
	case "...":
		if i == len(q.elems)-1 {
			return q.expand(n, p, i+1) // everything below is covered by n itself
		}
		if err := q.expand(n, p, i+1); err != nil {
			return err
		}
		for _, c := range n.Children {
			if err := q.expand(c, append(p, Elem{Node: c}), i); err != nil {
				return err
			}
		}
		return nil
	case "*":
		for _, c := range n.Children {
			if err := q.into(c, p, i); err != nil {
				return err
			}
		}
		return nil
	}
	c := n.plan.accepted[e.Name]
	if c == nil {
		_, err := q.s.step(n, q.elems, i)
		switch {
		case !q.behind(i):
			return err
		case q.elems[i-1].anyName():
			return nil
		}
		return q.skip(i, missName, err)
	}
	return q.into(c, p, i)
}

func (q *query) into(c *Node, p Path, i int) error {
	el := Elem{Node: c}
	if len(q.elems[i].Keys) > 0 {
		keys, err := q.s.resolveKeys(c, q.elems, i)
		switch {
		case err == nil:
		case c.takesKeys(q.elems[i].Keys) && q.behind(i+1):
			return q.skip(i, missValue, err)
		case q.elems[i].anyName():
			return nil
		case q.behind(i):
			return q.skip(i, missKey, err)
		default:
			return err
		}
		el.Keys = keys
	}
	return q.expand(c, append(p, el), i+1)
}

// takesKeys reports whether n is a list that has keys of these names.
func (n *Node) takesKeys(given map[string]string) bool {
	for name := range given {
		if !slices.ContainsFunc(n.Keys, func(k *Node) bool { return name == k.Name || name == k.Module+":"+k.Name }) {
			return false
		}
	}
	return n.Kind == List
}

// ParseElems splits gNMI path text into elements without looking at the
// schema. In key values "\]" and "\\" stand for "]" and "\", in names "\/" for
// "/". Errors are *PathError with Malformed.
func ParseElems(text string) ([]NameElem, error) {
	bad := func(reason string) ([]NameElem, error) {
		return nil, &PathError{Path: shorten(text, false), Code: Malformed, Reason: reason}
	}
	rest := strings.TrimPrefix(text, "/")
	var elems []NameElem
	for rest != "" {
		var e NameElem
		var ok bool
		if e.Name, rest, ok = scanUntil(rest, "/["); !ok {
			return bad("a name ends with a lone backslash")
		}
		if e.Name == "" {
			return bad("an element has no name")
		}
		for strings.HasPrefix(rest, "[") {
			var key, value string
			key, rest, ok = scanUntil(rest[1:], "=]/[")
			if !ok || key == "" || !strings.HasPrefix(rest, "=") {
				return bad("want [key=value] after " + e.Name)
			}
			value, rest, ok = scanUntil(rest[1:], "]")
			if !ok || !strings.HasPrefix(rest, "]") {
				return bad("the key " + key + " of " + e.Name + " has no closing bracket")
			}
			rest = rest[1:]
			if _, dup := e.Keys[key]; dup {
				return bad("the key " + key + " of " + e.Name + " is given twice")
			}
			if e.Keys == nil {
				e.Keys = map[string]string{}
			}
			e.Keys[key] = value
		}
		elems = append(elems, e)
		if rest == "" {
			break
		}
		if rest[0] != '/' {
			return bad("want / or the end after the keys of " + e.Name)
		}
		rest = rest[1:]
	}
	return elems, nil
}

// scanUntil reads up to the first unescaped octet of stops.
func scanUntil(s, stops string) (token, rest string, ok bool) {
	var b []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			if i++; i == len(s) {
				return "", "", false
			}
			if b == nil {
				b = append(make([]byte, 0, len(s)), s[:i-1]...)
			}
			b = append(b, s[i])
			continue
		case strings.IndexByte(stops, s[i]) >= 0:
			if b == nil {
				return s[:i], s[i:], true
			}
			return string(b), s[i:], true
		}
		if b != nil {
			b = append(b, s[i])
		}
	}
	if b == nil {
		return s, "", true
	}
	return string(b), "", true
}
