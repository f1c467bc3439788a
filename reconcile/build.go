package reconcile

import (
	"hash/maphash"
	"slices"
	"sort"

	"heddle/kernel/object"
)

// item is one key that a plan is about.
type item struct {
	key                object.Key
	node               *node         // nil: nothing is known of the key yet
	old, new           object.Object // as the kernel holds it, as it is wanted
	origin             string
	oldNeeds, newNeeds *itemNeeds // nil: none

	same    bool // old and new are the same kernel state
	rebuild bool // goes down and comes up again
	asked   bool // one of the changes is about it

	// down and make are the numbers of the steps, -1: none.
	down, make int32
}

func (i *item) comesOrGoes() bool { return (i.old == nil) != (i.new == nil) }
func (i *item) created() bool     { return i.old == nil && i.new != nil }

// itemNeeds is a list of needs that several items share, and which of the items
// they are.
type itemNeeds struct {
	id    string // the keys, encoded
	keys  []object.Key
	items []int32
}

func (n *itemNeeds) encoded() string {
	if n == nil {
		return ""
	}
	return n.id
}

func (n *itemNeeds) has(k object.Key) bool { return n != nil && slices.Contains(n.keys, k) }

// builder makes one plan. It changes nothing in the graph but the marks on the
// nodes, which clear takes away.
type builder struct {
	g     *graph
	items []item
	lists map[string]*itemNeeds
	last  *itemNeeds // found last: many items in a row need the same
	pending

	// queue are the items whose dependents have to be looked at.
	queue []int32

	announced bool // there are nodes that were not when the first item was added

	scratch []object.Claim
}

// pending says what is to be done about the objects that no change is about.
type pending struct {
	leave func(object.Key) bool // not these; nil: all that differ

	// stale are to be made again though they look as they are wanted.
	stale map[object.Key]struct{}

	// leaveDependents leaves what leave names also where what it needs is rebuilt.
	leaveDependents bool
}

func (p pending) leaves(n *node) bool { return p.leave != nil && p.leave(n.key) }

// waits reports whether n is left, or needs what is left and not there: another
// object in its place is not what it needs.
func (p pending) waits(n *node) bool {
	if p.leave == nil {
		return false
	}
	if p.leave(n.key) {
		return true
	}
	l := n.needs[wantSide]
	if l == nil {
		return false
	}
	for _, on := range l.on {
		if on.want != nil && on.have == nil && p.waits(on) {
			return true
		}
	}
	return false
}

// build works out the items of a plan and its steps in order.
func (g *graph) build(changes []Change, rest pending) (Plan, error) {
	b := &builder{g: g, lists: map[string]*itemNeeds{}, pending: rest}
	defer b.clear()
	if err := b.collect(changes); err != nil {
		return Plan{}, err
	}
	for {
		b.spread()
		b.arrange()
		steps := b.number()
		edges, err := b.edges()
		if err != nil {
			return Plan{}, err
		}
		s := newSorter(b.items, steps, edges)
		if err := s.sort(); err != nil {
			return Plan{}, err
		}
		if len(s.cuts) == 0 {
			return s.plan(), nil
		}
		for _, i := range s.cuts {
			b.rebuild(i)
		}
	}
}

// collect makes an item of each change and of each node that differs from what
// is wanted of it.
func (b *builder) collect(changes []Change) error {
	byKey := func(x, y Change) int { return x.Key.Compare(y.Key) }
	if !slices.IsSortedFunc(changes, byKey) {
		changes = sorted(changes)
	}
	b.items = make([]item, 0, len(changes)+len(b.g.differ.nodes))
	for i, c := range changes {
		if i+1 < len(changes) && changes[i+1].Key == c.Key {
			if err := agree(c, changes[i+1]); err != nil {
				return err
			}
			continue // the later one counts
		}
		b.add(c.Key, b.g.find(c.Key), c.Want)
		b.items[len(b.items)-1].asked = true
	}
	for _, n := range b.g.differ.nodes {
		if n.item == 0 && !b.waits(n) {
			b.add(n.key, n, Wanted{n.want, n.origin})
		}
	}
	for k := range b.stale {
		if n := b.g.find(k); n != nil && n.item == 0 && n.have != nil && n.want != nil && !b.leaves(n) {
			b.add(k, n, Wanted{n.want, n.origin})
			b.rebuild(n.item - 1)
		}
	}
	return nil
}

// sorted returns the changes by key; of several for one key the later is behind.
func sorted(changes []Change) []Change {
	order := make([]int32, len(changes))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(x, y int32) int {
		if c := changes[x].Key.Compare(changes[y].Key); c != 0 {
			return c
		}
		return int(x - y)
	})
	out := make([]Change, len(changes))
	for i, at := range order {
		out[i] = changes[at]
	}
	return out
}

func agree(a, b Change) error {
	if a.Want.Object == nil || b.Want.Object == nil || a.Want.Object.Equal(b.Want.Object) {
		return nil
	}
	return &ConflictError{What: a.Key.String(), A: a.Want, B: b.Want}
}

func (b *builder) add(k object.Key, n *node, w Wanted) {
	it := item{key: k, node: n, new: w.Object, origin: w.Origin, newNeeds: b.needsOf(w.Object)}
	if n != nil {
		it.old = n.have
		if it.new == nil {
			it.origin = n.origin
		}
		n.item = int32(len(b.items)) + 1
	}
	switch {
	case it.old == nil:
	case it.new == nil:
		it.oldNeeds = b.needsOf(it.old)
	case it.old.Equal(it.new):
		it.same, it.oldNeeds = true, it.newNeeds
		if n.needs[haveSide].encoded() == it.newNeeds.encoded() {
			break
		}
		// Other needs for the same kernel state: it has another owner now, or what
		// was read back knows more of them (the link that a gateway was found on)
		// or less.
		b.g.keys = it.new.Needs(it.old.Needs(b.g.keys[:0]))
		it.oldNeeds = b.listOf(b.g.keys)
		if n.needs[wantSide] == nil {
			b.g.announce(n, it.new)
			b.announced = true
		}
	default:
		it.oldNeeds = b.needsOf(it.old)
		it.rebuild = !it.old.Mutable(it.new)
	}
	if it.rebuild || it.comesOrGoes() {
		b.queue = append(b.queue, int32(len(b.items)))
	}
	b.items = append(b.items, it)
}

func (b *builder) rebuild(i int32) {
	b.items[i].rebuild = true
	b.queue = append(b.queue, i)
}

func (b *builder) needsOf(o object.Object) *itemNeeds {
	if o == nil {
		return nil
	}
	b.g.keys = o.Needs(b.g.keys[:0])
	return b.listOf(b.g.keys)
}

func (b *builder) listOf(keys []object.Key) *itemNeeds {
	if len(keys) == 0 {
		return nil
	}
	b.g.encoded = encodeKeys(b.g.encoded[:0], keys)
	if b.last != nil && b.last.id == string(b.g.encoded) {
		return b.last
	}
	l := b.lists[string(b.g.encoded)]
	if l == nil {
		l = &itemNeeds{id: string(b.g.encoded), keys: slices.Clone(keys)}
		b.lists[l.id] = l
	}
	b.last = l
	return l
}

// spread finds what has to be rebuilt with what comes, goes or is rebuilt: what
// needs it and stays. An object that is changed so that it no longer needs it, or
// has only begun to, is left alone.
func (b *builder) spread() {
	for len(b.queue) > 0 {
		i := b.queue[len(b.queue)-1]
		b.queue = b.queue[:len(b.queue)-1]
		key := b.items[i].key
		n := b.nodeOf(i)
		if n == nil {
			continue
		}
		n.dependents(func(d *node) {
			if d.have == nil {
				return
			}
			if d.item == 0 {
				if b.leaveDependents && b.leaves(d) {
					return
				}
				b.add(d.key, d, Wanted{d.want, d.origin})
			}
			it := &b.items[d.item-1]
			stays := it.old != nil && it.new != nil
			if stays && !it.rebuild && it.oldNeeds.has(key) && (it.same || it.newNeeds.has(key)) {
				b.rebuild(d.item - 1)
			}
		})
	}
}

// nodeOf is the node of an item; announce may have made it after the item.
func (b *builder) nodeOf(i int32) *node {
	it := &b.items[i]
	if it.node == nil && b.announced {
		if it.node = b.g.find(it.key); it.node != nil {
			it.node.item = i + 1
		}
	}
	return it.node
}

// arrange sorts the items by key, which gives plans their fixed order, and finds
// the items that items need.
func (b *builder) arrange() {
	byKey := func(x, y item) int { return x.key.Compare(y.key) }
	if !slices.IsSortedFunc(b.items, byKey) {
		slices.SortFunc(b.items, byKey)
		for i := range b.items {
			if n := b.items[i].node; n != nil {
				n.item = int32(i) + 1
			}
		}
	}
	for _, l := range b.lists {
		l.items = l.items[:0]
		for _, k := range l.keys {
			if i, ok := b.find(k); ok && !slices.Contains(l.items, i) {
				l.items = append(l.items, i)
			}
		}
	}
}

func (b *builder) find(k object.Key) (int32, bool) {
	if n := b.g.find(k); n != nil {
		return n.item - 1, n.item != 0
	}
	i := sort.Search(len(b.items), func(i int) bool { return b.items[i].key.Compare(k) >= 0 })
	return int32(i), i < len(b.items) && b.items[i].key == k
}

// number gives each item its steps. The numbers are the order of steps that do
// not depend on each other: what makes something by ascending kind, then what
// removes something by descending kind.
func (b *builder) number() []step {
	steps := make([]step, 0, len(b.items))
	for i := range b.items {
		it := &b.items[i]
		it.down, it.make = -1, -1
		if it.new != nil && (it.old == nil || it.rebuild || !it.same) {
			it.make = int32(len(steps))
			steps = append(steps, step{item: int32(i), kind: it.key.Kind})
		}
	}
	for end := len(b.items); end > 0; {
		kind := b.items[end-1].key.Kind
		start := end
		for start > 0 && b.items[start-1].key.Kind == kind {
			start--
		}
		for i := start; i < end; i++ {
			it := &b.items[i]
			if it.old != nil && (it.new == nil || it.rebuild) {
				it.down = int32(len(steps))
				steps = append(steps, step{item: int32(i), kind: kind, removes: true})
			}
		}
		end = start
	}
	return steps
}

// edges lists which step has to be done before which.
func (b *builder) edges() ([]edge, error) {
	edges := make(edgeList, 0, len(b.items))
	for i := range b.items {
		x := &b.items[i]
		if x.make < 0 && x.down < 0 {
			continue
		}
		if x.rebuild {
			edges.add(x.down, x.make)
		}
		if x.newNeeds != nil && x.make >= 0 {
			for _, j := range x.newNeeds.items {
				if y := &b.items[j]; y.make >= 0 {
					edges.add(y.make, x.make)
				} else {
					edges.add(y.down, x.make)
				}
			}
		}
		if x.oldNeeds == nil {
			continue
		}
		for _, j := range x.oldNeeds.items {
			b.letGo(&edges, x, &b.items[j])
		}
	}
	return edges, b.claims(&edges)
}

// letGo orders the step with which x stops needing y before y goes, and before y
// comes where it was not there: both may disturb what needs it, as an address
// goes when its link is enslaved.
func (b *builder) letGo(edges *edgeList, x, y *item) {
	last := x.down
	if last < 0 {
		if last = x.make; x.newNeeds.has(y.key) {
			return
		}
	}
	if y.down >= 0 {
		edges.add(last, y.down)
	} else if y.created() {
		edges.add(last, y.make)
	}
}

// claims orders the step that frees a claim before the step that takes it, and
// finds claims that two steps take.
func (b *builder) claims(edges *edgeList) error {
	frees := map[object.Claim]int32{} // to item
	for i := range b.items {
		it := &b.items[i]
		if it.old == nil || it.down < 0 && it.make < 0 {
			continue
		}
		for _, c := range b.without(it.old, it.new, it.down < 0) {
			frees[c] = int32(i)
		}
	}
	seed := maphash.MakeSeed()
	takes := make(map[uint64]int32, len(b.items)) // hash of the claim to item
	for i := range b.items {
		it := &b.items[i]
		if it.make < 0 {
			continue
		}
		for _, c := range b.without(it.new, it.old, it.down < 0) {
			hash := maphash.Comparable(seed, c)
			if j, taken := takes[hash]; taken {
				if o := &b.items[j]; slices.Contains(object.Claims(o.new, nil), c) {
					return &ConflictError{What: c.String(), A: Wanted{o.new, o.origin}, B: Wanted{it.new, it.origin}}
				}
			}
			takes[hash] = int32(i)
			if len(frees) == 0 {
				continue
			}
			if j, ok := frees[c]; ok && j != int32(i) {
				edges.add(b.items[j].freeing(), it.make)
			}
		}
	}
	return nil
}

// without returns the claims of o, less those of kept when the object is changed
// in place. They are valid until the next call.
func (b *builder) without(o, kept object.Object, inPlace bool) []object.Claim {
	b.scratch = object.Claims(o, b.scratch[:0])
	if !inPlace || kept == nil || len(b.scratch) == 0 {
		return b.scratch
	}
	keeps := object.Claims(kept, nil)
	return slices.DeleteFunc(b.scratch, func(c object.Claim) bool { return slices.Contains(keeps, c) })
}

// freeing is the step that ends the claims of the old object.
func (i *item) freeing() int32 {
	if i.down >= 0 {
		return i.down
	}
	return i.make
}

// clear takes the marks of this plan off the nodes.
func (b *builder) clear() {
	for i := range b.items {
		if n := b.items[i].node; n != nil {
			n.item = 0
		}
	}
}
