package reconcile

import (
	"encoding/binary"
	"math"
	"sync"

	"heddle/kernel/object"
)

// Both sides of a node are indexed by what they need.
const (
	haveSide = iota
	wantSide
	sides
)

// node is all that is known of one key. It exists as long as the kernel holds
// the object, somebody wants it, or another object needs it.
type node struct {
	key        object.Key
	have, want object.Object
	origin     string

	// needs is what have and want need, pos the node's position among the
	// members there.
	needs [sides]*needs
	pos   [sides]int32

	dropped bool // from the graph: who holds it has to look again

	// in is the set of nodes that it is in, place its position there.
	in    setOf
	place int32

	// item is the position, plus one, among the items of the plan that is being
	// made; only the writer looks at it.
	item int32

	// looked is the number of the last reading of the kernel in which it was seen;
	// only the writer looks at it.
	looked uint32

	// neededBy lists who needs this node; a pointer, because most nodes, the
	// SIDs and routes, are needed by nobody.
	neededBy *[]*needs
}

// needs is a list of needed keys that one or many objects share: 100,000 SIDs on
// one link have one list, and the way back from the link to the SIDs costs a few
// octets for each of them.
type needs struct {
	id      string  // the keys, encoded
	on      []*node // without repetition
	pos     []int32 // position of this list in on[i].neededBy
	members [sides][]*node
}

func (l *needs) encoded() string {
	if l == nil {
		return ""
	}
	return l.id
}

// graph holds the nodes and who needs whom. have is what the kernel was last
// seen to hold; where it equals what is wanted, and needs the same, it is the
// wanted object itself, so that there is only one in memory.
type graph struct {
	// mu guards the nodes, for those who read while the writer writes. The one
	// writer holds it only for as long as it takes to set some nodes.
	mu sync.RWMutex

	kinds [math.MaxUint8 + 1]map[string]*node
	lists map[string]*needs

	// differ and parked are empty when all is well.
	differ, parked nodeSet

	last *needs // found last: many objects in a row need the same

	keys    []object.Key // scratch
	encoded []byte
}

func newGraph() *graph {
	return &graph{lists: map[string]*needs{}, differ: nodeSet{name: inDiffer}, parked: nodeSet{name: inParked}}
}

// find returns nil for a key that nothing is known of.
func (g *graph) find(k object.Key) *node { return g.kinds[k.Kind][k.ID] }

func (g *graph) ensure(k object.Key) *node {
	n := g.find(k)
	if n == nil {
		n = &node{key: k}
		if g.kinds[k.Kind] == nil {
			g.kinds[k.Kind] = map[string]*node{}
		}
		g.kinds[k.Kind][k.ID] = n
	}
	return n
}

// makeRoom spares the index of a kind of which nothing is known the growing step by
// step. What is to come is in the order of its keys.
func makeRoom[T any](g *graph, coming []T, kindOf func(T) object.Kind) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(coming) > 0 {
		kind, n := kindOf(coming[0]), 1
		for n < len(coming) && kindOf(coming[n]) == kind {
			n++
		}
		if g.kinds[kind] == nil {
			g.kinds[kind] = make(map[string]*node, n)
		}
		coming = coming[n:]
	}
}

// set says what the kernel holds under n and what is wanted of it.
func (g *graph) set(n *node, have, want object.Object, origin string) {
	same := have != nil && want != nil && have.Equal(want)
	haveNeeds := g.listOf(have)
	wantNeeds := haveNeeds
	if have != want {
		wantNeeds = g.listOf(want)
	}
	if same && haveNeeds == wantNeeds {
		// One in memory, found by one list.
		have, wantNeeds = want, nil
	}
	// Joining before leaving keeps a list alive that is both left and joined.
	left, at := g.join(n, haveSide, haveNeeds)
	alsoLeft, alsoAt := g.join(n, wantSide, wantNeeds)
	g.leave(left, haveSide, at)
	g.leave(alsoLeft, wantSide, alsoAt)

	n.have, n.want, n.origin = have, want, origin
	switch {
	case same || have == nil && want == nil:
		g.differ.remove(n)
		g.parked.remove(n)
	case n.in == inNone:
		g.differ.add(n)
	}
	g.dropIdle(n)
}

// announce lets n be found by what o needs, which is to be wanted there and is
// what the kernel holds already.
func (g *graph) announce(n *node, o object.Object) {
	g.mu.Lock()
	defer g.mu.Unlock()
	left, at := g.join(n, wantSide, g.listOf(o))
	g.leave(left, wantSide, at)
}

// listOf returns the list of o's needs, nil when it has none.
func (g *graph) listOf(o object.Object) *needs {
	if o == nil {
		return nil
	}
	keys := g.encodeNeeds(o)
	if len(keys) == 0 {
		return nil
	}
	if g.last != nil && g.last.id == string(g.encoded) {
		return g.last
	}
	l := g.lists[string(g.encoded)]
	g.last = l
	if l != nil {
		return l
	}
	l = &needs{id: string(g.encoded), on: make([]*node, 0, len(keys))}
	g.lists[l.id], g.last = l, l
	for i, k := range keys {
		if repeats(keys, i) {
			continue
		}
		n := g.ensure(k)
		if n.neededBy == nil {
			n.neededBy = new([]*needs)
		}
		l.on = append(l.on, n)
		l.pos = append(l.pos, int32(len(*n.neededBy)))
		*n.neededBy = append(*n.neededBy, l)
	}
	return l
}

// encodeNeeds returns what o needs, valid until the next call, and leaves its code
// in g.encoded.
func (g *graph) encodeNeeds(o object.Object) []object.Key {
	g.keys = o.Needs(g.keys[:0])
	g.encoded = encodeKeys(g.encoded[:0], g.keys)
	return g.keys
}

// join puts n among the members of l and returns the list and the position that
// it still has to leave.
func (g *graph) join(n *node, side int, l *needs) (left *needs, at int32) {
	left, at = n.needs[side], n.pos[side]
	if left == l {
		return nil, 0
	}
	n.needs[side] = l
	if l != nil {
		n.pos[side] = int32(len(l.members[side]))
		l.members[side] = append(l.members[side], n)
	}
	return left, at
}

func (g *graph) leave(l *needs, side int, at int32) {
	if l == nil {
		return
	}
	m := l.members[side]
	last := len(m) - 1
	if int(at) != last {
		m[at] = m[last]
		m[at].pos[side] = at
	}
	m[last] = nil
	l.members[side] = m[:last]
	for _, m := range l.members {
		if len(m) != 0 {
			return
		}
	}
	delete(g.lists, l.id)
	if g.last == l {
		g.last = nil
	}
	for i, n := range l.on {
		by := *n.neededBy
		last := len(by) - 1
		if moved := by[last]; moved != l {
			by[l.pos[i]] = moved
			moved.movedTo(n, l.pos[i])
		}
		by[last] = nil
		if last == 0 {
			n.neededBy = nil
		} else {
			*n.neededBy = by[:last]
		}
		g.dropIdle(n)
	}
}

func (l *needs) movedTo(n *node, pos int32) {
	for i := range l.on {
		if l.on[i] == n {
			l.pos[i] = pos
			return
		}
	}
}

func (g *graph) dropIdle(n *node) {
	if n.have == nil && n.want == nil && n.neededBy == nil {
		delete(g.kinds[n.key.Kind], n.key.ID)
		n.dropped = true
	}
}

// dependents calls fn with every node whose object, there or wanted, needs n; it
// may come twice.
func (n *node) dependents(fn func(*node)) {
	if n.neededBy == nil {
		return
	}
	for _, l := range *n.neededBy {
		for _, members := range l.members {
			for _, d := range members {
				fn(d)
			}
		}
	}
}

func repeats(keys []object.Key, i int) bool {
	for _, k := range keys[:i] {
		if k == keys[i] {
			return true
		}
	}
	return false
}

func encodeKeys(b []byte, keys []object.Key) []byte {
	for _, k := range keys {
		b = append(b, byte(k.Kind))
		b = binary.AppendUvarint(b, uint64(len(k.ID)))
		b = append(b, k.ID...)
	}
	return b
}
