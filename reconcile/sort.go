package reconcile

import (
	"slices"

	"heddle/kernel/object"
)

// step is a Step while its place is being looked for.
type step struct {
	item    int32
	kind    object.Kind
	removes bool // deletes; otherwise it creates or changes
}

// edge says that one step comes before another.
type edge struct{ before, after int32 }

type edgeList []edge

func (l *edgeList) add(before, after int32) {
	if before >= 0 && after >= 0 && before != after {
		*l = append(*l, edge{before, after})
	}
}

// neighbours holds the other ends of the edges of each step, one step's after
// another's and each step's in ascending order.
type neighbours struct {
	start []int32
	ends  []int32
}

func (n *neighbours) of(i int32) []int32 { return n.ends[n.start[i]:n.start[i+1]] }

// neighboursOf returns who comes after each step and who comes before it.
func neighboursOf(steps int, edges edgeList) (followers, leaders neighbours) {
	byLeader := turn(steps, func(yield func(key, end int32)) {
		for _, e := range edges {
			yield(e.before, e.after)
		}
	}, len(edges))
	leaders = turn(steps, func(yield func(key, end int32)) {
		for i := range int32(steps) {
			for _, f := range byLeader.of(i) {
				yield(f, i)
			}
		}
	}, len(edges))
	// A second turn puts the followers in order, too.
	followers = turn(steps, func(yield func(key, end int32)) {
		for i := range int32(steps) {
			for _, l := range leaders.of(i) {
				yield(l, i)
			}
		}
	}, len(edges))
	return followers, leaders
}

// turn groups n pairs by their key and keeps their order otherwise.
func turn(steps int, pairs func(yield func(key, end int32)), n int) neighbours {
	g := neighbours{make([]int32, steps+1), make([]int32, n)}
	pairs(func(key, _ int32) { g.start[key+1]++ })
	for i := range steps {
		g.start[i+1] += g.start[i]
	}
	at := slices.Clone(g.start)
	pairs(func(key, end int32) {
		g.ends[at[key]] = end
		at[key]++
	})
	return g
}

// sorter puts steps in order. The edges are the law; some wishes come on top.
//
// What makes something comes after what makes objects of lower kinds, because an
// object can rely on another one without naming it, as a route on the address
// that makes its gateway reachable; for the same reason removals go by descending
// kind. And nothing is removed before something that is made needs that, so that
// the new way is there before the old one goes.
//
// So the order is a walk: it visits what makes something by ascending kind, and
// before each the removals and changes that have to come before it. A change is
// thereby pulled ahead of its turn, and pulls in turn what it may rely on, as far
// as that does not wait for it.
type sorter struct {
	items              []item
	steps              []step
	followers, leaders neighbours

	state []uint8 // stepWaits, stepVisited, stepDone
	order []int32
	place []int32 // position in order
	ends  []int   // ends of the batches
	made  int32   // number of steps that make something: they come first

	// descending says that no removal has to come after one of a lower kind.
	descending bool

	// pulled is where the search for steps to pull has got to, on behalf of the
	// one step that has its turn; blocked are those that had to wait, by the step
	// they had to wait for, free those that need no longer.
	pulled  int32
	blocked map[int32][]int32
	free    []int32

	// seen is the number of the last search that came by.
	seen     []int32
	searches int32

	// cuts are items whose change in place closes a ring.
	cuts []int32
}

const (
	stepWaits = iota
	stepVisited
	stepDone
)

func newSorter(items []item, steps []step, edges edgeList) *sorter {
	s := &sorter{items: items, steps: steps, state: make([]uint8, len(steps)), descending: true}
	for _, e := range edges {
		before, after := steps[e.before], steps[e.after]
		if before.removes && after.removes && before.kind < after.kind {
			s.descending = false
		}
	}
	s.followers, s.leaders = neighboursOf(len(steps), edges)
	for s.made < int32(len(steps)) && !steps[s.made].removes {
		s.made++
	}
	return s
}

// sort fills order or, where rings have to be cut, cuts. A ring that cannot be
// cut is a *RingError.
func (s *sorter) sort() error {
	r := &ringFinder{sorter: s}
	if err := r.find(); err != nil || len(s.cuts) > 0 {
		return err
	}
	s.order = make([]int32, 0, len(s.steps))
	s.place = make([]int32, len(s.steps))
	s.seen = make([]int32, len(s.steps))
	for i := range s.made {
		s.pulled, s.free = i+1, s.free[:0]
		clear(s.blocked)
		s.visit(i)
	}
	var last search
	s.searches++
	for i := s.made; i < int32(len(s.steps)); i++ {
		s.find(i, &last)
	}
	s.remove(last.removals)
	return nil
}

// none stands for no step.
const none = int32(-1)

// visit puts i, which makes something, in order behind all that has to come
// before it. It returns a step that is being visited already where i has to wait
// for that: then i was pulled on its behalf.
func (s *sorter) visit(i int32) (blocker int32) {
	switch s.state[i] {
	case stepDone:
		return none
	case stepVisited:
		return i
	}
	s.state[i] = stepVisited
	var before search
	s.searches++
	for _, l := range s.leaders.of(i) {
		s.find(l, &before)
	}
	slices.Sort(before.makes)
	for _, m := range before.makes {
		if blocker := s.visit(m); blocker != none {
			s.state[i] = stepWaits
			return blocker
		}
	}
	kind := s.steps[i].kind
	for s.pulled < s.made && s.steps[s.pulled].kind < kind {
		s.pulled++
		s.pull(s.pulled - 1)
	}
	s.retry(kind)
	s.remove(before.removals)
	s.put(i)
	return none
}

// pull visits i although nothing has to wait for it; if it has to wait itself, it
// gets another try when that is over.
func (s *sorter) pull(i int32) {
	blocker := s.visit(i)
	if blocker == none {
		return
	}
	if s.blocked == nil {
		s.blocked = map[int32][]int32{}
	}
	s.blocked[blocker] = append(s.blocked[blocker], i)
}

// retry pulls again those of lower kinds whose wait is over.
func (s *sorter) retry(kind object.Kind) {
	for {
		// One at a time: those that it pulls look at the rest.
		at := slices.IndexFunc(s.free, func(i int32) bool { return s.steps[i].kind < kind })
		if at < 0 {
			return
		}
		i := s.free[at]
		s.free = slices.Delete(s.free, at, at+1)
		s.pull(i)
	}
}

func (s *sorter) put(i int32) {
	s.state[i] = stepDone
	s.place[i] = int32(len(s.order))
	s.order = append(s.order, i)
	if len(s.blocked[i]) > 0 {
		s.free = append(s.free, s.blocked[i]...)
		delete(s.blocked, i)
	}
}

func (s *sorter) inPlace(i int32) bool {
	it := &s.items[s.steps[i].item]
	return !s.steps[i].removes && it.old != nil && !it.rebuild
}

// search is what has to come before a step.
type search struct {
	removals []int32 // each behind those that have to come before it
	makes    []int32 // what has to come before the step or the removals
}

// find adds l, and the removals that have to come before it, to f.
func (s *sorter) find(l int32, f *search) {
	if s.state[l] == stepDone || s.seen[l] == s.searches {
		return
	}
	s.seen[l] = s.searches
	if !s.steps[l].removes {
		f.makes = append(f.makes, l)
		return
	}
	for _, b := range s.leaders.of(l) {
		s.find(b, f)
	}
	f.removals = append(f.removals, l)
}

// remove puts those of the removals in order that are not yet, by descending
// kind unless one of them has to come after one of a lower kind.
func (s *sorter) remove(removals []int32) {
	if s.descending {
		slices.SortStableFunc(removals, func(a, b int32) int {
			return int(s.steps[b].kind) - int(s.steps[a].kind)
		})
	}
	for _, i := range removals {
		if s.state[i] != stepDone {
			s.put(i)
		}
	}
}

// batches finds the ends of the batches.
func (s *sorter) batches() {
	start := 0
	for at, i := range s.order {
		first, st := s.steps[s.order[start]], s.steps[i]
		joins := st.kind == first.kind && st.removes == first.removes
		for _, l := range s.leaders.of(i) {
			joins = joins && int(s.place[l]) < start
		}
		if !joins && at > start {
			s.ends = append(s.ends, at)
			start = at
		}
	}
	if len(s.order) > 0 {
		s.ends = append(s.ends, len(s.order))
	}
}

func (s *sorter) step(i int32) Step {
	it := &s.items[s.steps[i].item]
	switch {
	case s.steps[i].removes:
		return Step{Old: it.old}
	case it.rebuild:
		return Step{New: it.new}
	}
	return Step{Old: it.old, New: it.new}
}

// plan writes the order down.
func (s *sorter) plan() Plan {
	s.batches()
	p := Plan{Steps: make([]Step, len(s.order)), ends: s.ends, touched: make([]touched, len(s.items))}
	for i := range s.items {
		it := &s.items[i]
		t := touched{key: it.key, from: it.origin, asked: it.asked, node: it.node, first: -1, last: -1}
		if it.new != nil {
			t.want = Wanted{it.new, it.origin}
		}
		p.touched[i] = t
	}
	for at, i := range s.order {
		p.Steps[at] = s.step(i)
		t := &p.touched[s.steps[i].item]
		t.last = int32(at)
		if t.first < 0 {
			t.first = t.last
		}
	}
	return p
}
