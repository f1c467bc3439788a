package subscribe

import (
	"slices"

	"heddle/schema"
)

// pattern is one path of one subscriber.
type pattern struct {
	sub   *subscriber // nil for one that waits for no changes
	order int         // its place in the request
	path  schema.Path
	last  *schema.Node // where the path ends; the root node for the empty path

	// Which leaves are reported when they change: those of a mode.
	mode      Mode
	isCounter func(*schema.Node) bool

	// deepest is the level of the schema below which nothing is reported; 0: there
	// is none.
	deepest int
}

// limit leaves out what is more than depth levels below the path; 0 leaves out
// nothing.
func (p *pattern) limit(depth int) {
	if depth > 0 && !p.last.IsLeaf() {
		p.deepest = p.last.Level() + depth
	}
}

// covers reports whether node n of an entry that the pattern matches is at or
// under the path. list is the node of that entry.
func (p *pattern) covers(n, list *schema.Node) bool {
	if p.deepest > 0 && n.IsLeaf() && n.Level() > p.deepest {
		return false
	}
	if p.last == list || p.last.Entry() != list {
		return true // the path ends at the entry or above it
	}
	return under(n, p.last)
}

// onChange reports whether leaf n is sent when it changes.
func (p *pattern) onChange(n *schema.Node) bool {
	return p.mode != Sample && !p.isCounter(n)
}

// has reports whether the subscriber is ever told of leaf n: with OnChange not of
// a counter, because it has no changes to tell of, only readings by others.
func (p *pattern) has(n *schema.Node) bool {
	return p.mode != OnChange || !p.isCounter(n)
}

// under reports whether n is ancestor or lies below it.
func under(n, ancestor *schema.Node) bool {
	for ; n != nil; n = n.Parent {
		if n == ancestor {
			return true
		}
	}
	return false
}

// place is a schema node of one list entry.
type place struct {
	entry schema.EntryKey
	node  *schema.Node
}

// index finds the patterns that match an entry. A pattern is filed twice: by
// the entry that holds its end, for changes of that entry, and by its end, for
// changes of lists below. Patterns with wildcard keys are filed by schema node
// only and have their keys compared.
type index struct {
	schema    *schema.Schema
	inEntry   map[schema.EntryKey][]*pattern
	above     map[place][]*pattern
	wildEntry map[*schema.Node][]*pattern
	wildAbove map[*schema.Node][]*pattern
}

func newIndex(s *schema.Schema) index {
	return index{
		schema:    s,
		inEntry:   map[schema.EntryKey][]*pattern{},
		above:     map[place][]*pattern{},
		wildEntry: map[*schema.Node][]*pattern{},
		wildAbove: map[*schema.Node][]*pattern{},
	}
}

func (x *index) add(p *pattern) {
	if p.path.HasWildcard() {
		x.wildEntry[p.last.Entry()] = append(x.wildEntry[p.last.Entry()], p)
		x.wildAbove[p.last] = append(x.wildAbove[p.last], p)
		return
	}
	k := p.path.Entry()
	x.inEntry[k] = append(x.inEntry[k], p)
	x.above[place{k, p.last}] = append(x.above[place{k, p.last}], p)
}

func (x *index) remove(p *pattern) {
	if p.path.HasWildcard() {
		drop(x.wildEntry, p.last.Entry(), p)
		drop(x.wildAbove, p.last, p)
		return
	}
	k := p.path.Entry()
	drop(x.inEntry, k, p)
	drop(x.above, place{k, p.last}, p)
}

func drop[K comparable](m map[K][]*pattern, k K, p *pattern) {
	rest := slices.DeleteFunc(m[k], func(q *pattern) bool { return q == p })
	if len(rest) == 0 {
		delete(m, k)
		return
	}
	m[k] = rest
}

// match calls fn once for every pattern that entry k concerns.
func (x *index) match(k schema.EntryKey, fn func(*pattern)) {
	n := x.schema.Node(k)
	for _, p := range x.inEntry[k] {
		fn(p)
	}
	for _, p := range x.wildEntry[n] {
		if p.path.MatchesEntry(k) {
			fn(p)
		}
	}
	for at := k; n.Parent != nil; {
		if n.Kind == schema.List {
			at, _ = at.Parent()
		}
		n = n.Parent
		for _, p := range x.above[place{at, n}] {
			fn(p)
		}
		for _, p := range x.wildAbove[n] {
			// What ends in k's own entry was found above.
			if p.path.MatchesEntry(k) {
				fn(p)
			}
		}
	}
}
