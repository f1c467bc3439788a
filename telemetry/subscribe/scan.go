package subscribe

import "heddle/schema"

// selection is a set of patterns to read trees by.
type selection struct {
	schema   *schema.Schema
	patterns []*pattern
	index    index
}

func newSelection(sc *schema.Schema, patterns []*pattern) *selection {
	s := &selection{schema: sc, patterns: patterns, index: newIndex(sc)}
	for _, p := range patterns {
		s.index.add(p)
	}
	return s
}

// scan calls fn once for every entry of a tree that one of the patterns
// matches, with all that do, until fn fails.
func (s *selection) scan(tree schema.Tree, fn func(schema.EntryKey, schema.GoStruct, []*pattern) error) error {
	var err error
	var hits []*pattern
	for _, p := range s.patterns {
		p.entries(s.schema, tree, func(k schema.EntryKey, e schema.GoStruct) bool {
			hits = hits[:0]
			s.index.match(k, func(q *pattern) { hits = append(hits, q) })
			for _, q := range hits {
				if q.order < p.order {
					return true // had it when it was q's turn
				}
			}
			err = fn(k, e, hits)
			return err == nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// entries calls fn for the entries of a tree that the pattern matches, in key
// order, reading no more of the tree than lies below its last exact key.
func (p *pattern) entries(sc *schema.Schema, tree schema.Tree, fn func(schema.EntryKey, schema.GoStruct) bool) {
	k := p.path.Entry()
	if p.path.HasWildcard() {
		tree.Scan(sc.ListPrefix(k, firstWild(p.path)), func(k schema.EntryKey, e schema.GoStruct) bool {
			return !p.path.MatchesEntry(k) || fn(k, e)
		})
		return
	}
	if p.last == p.last.Entry() {
		tree.Scan(k, fn)
		return
	}
	if e, ok := tree.Get(k); ok && !fn(k, e) {
		return
	}
	more := true
	for _, list := range listsUnder(p.last, nil) {
		if !more {
			return
		}
		tree.Scan(sc.ListPrefix(k, list), func(k schema.EntryKey, e schema.GoStruct) bool {
			more = fn(k, e)
			return more
		})
	}
}

// firstWild is the first list on the path with a key that is not given.
func firstWild(path schema.Path) *schema.Node {
	for _, e := range path {
		if e.Node.Kind != schema.List {
			continue
		}
		if len(e.Keys) == 0 {
			return e.Node
		}
		for _, v := range e.Keys {
			if v == schema.Wildcard {
				return e.Node
			}
		}
	}
	return nil
}

// listsUnder appends the lists under n, in schema order, not those inside lists.
func listsUnder(n *schema.Node, lists []*schema.Node) []*schema.Node {
	for _, c := range n.Children {
		if c.Kind == schema.List {
			lists = append(lists, c)
		} else {
			lists = listsUnder(c, lists)
		}
	}
	return lists
}
