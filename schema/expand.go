package schema

// Expand calls fn for every existing node that a query path stands for, in
// order, with wildcards and missing keys filled in, until fn returns false. A
// path without wildcards is passed on as it is if it exists. A configuration
// leaf whose default is in use exists. A list without keys stands for each of
// its entries; EncodeJSON of the unexpanded path gives them as one array.
func (s *Schema) Expand(trees []Tree, query Path, fn func(Path) bool) {
	x := &expander{encoder: encoder{s: s, trees: trees, o: EncodeOptions{Defaults: true}}, fn: fn}
	x.from(query, 0)
}

type expander struct {
	encoder
	fn func(Path) bool
}

// from expands p from element i on; false: fn wants no more.
func (x *expander) from(p Path, i int) bool {
	for ; i < len(p); i++ {
		if p[i].wild() {
			return x.each(p, i)
		}
	}
	if !x.existsAt(p) {
		return true
	}
	return x.fn(p)
}

// each tries the entries of the list at element i.
func (x *expander) each(p Path, i int) bool {
	list := p[i].Node
	parent := p[:i].Entry()
	prefix := x.s.ListPrefix(parent, list)
	var keys []EntryKey
	for _, t := range x.trees {
		keys = append(keys, directEntries(t, prefix, len(parent))...)
	}
	if len(x.trees) > 1 {
		keys = sortedUnique(keys)
	}
	for _, k := range keys {
		values := k.Values()
		if !matchKeys(p[i].Keys, values) {
			continue
		}
		q := make(Path, len(p))
		copy(q, p)
		q[i].Keys = values
		if !x.from(q, i+1) {
			return false
		}
	}
	return true
}

// directEntries are the keys of the entries of one list, without their
// descendants (whose ancestors a state tree may lack).
func directEntries(t Tree, prefix EntryKey, parent int) []EntryKey {
	var out []EntryKey
	take := func(k EntryKey) EntryKey {
		k = k[:parent+k[parent:].level()]
		if len(out) == 0 || out[len(out)-1] != k {
			out = append(out, k)
		}
		return k
	}
	sk, ok := t.(Seeker)
	if !ok {
		t.Scan(prefix, func(k EntryKey, _ GoStruct) bool {
			take(k)
			return true
		})
		return out
	}
	for from := prefix; from != ""; {
		at := from
		from = ""
		last := EntryKey("")
		sk.Ascend(at, func(k EntryKey, _ GoStruct) bool {
			if !k.Under(prefix) {
				return false
			}
			if last != "" && k.Under(last) {
				from = last + "\xff" // behind all descendants: no ListID starts so high
				return false
			}
			last = take(k)
			return true
		})
	}
	return out
}

func matchKeys(want, have []string) bool {
	for i, w := range want {
		if w != Wildcard && w != have[i] {
			return false
		}
	}
	return true
}

func sortedUnique(keys []EntryKey) []EntryKey {
	set := make(map[EntryKey]struct{}, len(keys))
	for _, k := range keys {
		set[k] = struct{}{}
	}
	return sortedKeys(set)
}

// existsAt reports whether a path without wildcards has data.
func (x *expander) existsAt(p Path) bool {
	n := p.Last()
	if n == nil {
		return true
	}
	k := p.Entry()
	ent := x.fetch(k)
	if n.Kind == List && ent.there() {
		return true
	}
	if n.IsLeaf() {
		x.buf = x.buf[:0]
		return x.leafValue(n, &ent)
	}
	for b, q := range ent {
		if q != nil && n.plan.entry.plan.entryPlan[b].exists(n, q) {
			return true
		}
	}
	for _, l := range n.plan.lists {
		found := false
		prefix := x.s.ListPrefix(k, l)
		for _, t := range x.trees {
			t.Scan(prefix, func(EntryKey, GoStruct) bool { found = true; return false })
		}
		if found {
			return true
		}
	}
	return false
}
