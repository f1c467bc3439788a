package reconcile

import (
	"math"

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

// neighbours holds the other ends of the edges of each step, one after another.
type neighbours struct {
	start []int32
	ends  []int32
}

func neighboursOf(steps int, edges edgeList, of func(edge) (from, to int32)) neighbours {
	n := neighbours{make([]int32, steps+1), make([]int32, len(edges))}
	for _, e := range edges {
		from, _ := of(e)
		n.start[from+1]++
	}
	for i := range steps {
		n.start[i+1] += n.start[i]
	}
	at := append([]int32(nil), n.start...)
	for _, e := range edges {
		from, to := of(e)
		n.ends[at[from]] = to
		at[from]++
	}
	return n
}

func (n *neighbours) of(i int32) []int32 { return n.ends[n.start[i]:n.start[i+1]] }

// sorter puts steps in order: Kahn's algorithm, with two wishes on top of the
// edges. Whatever makes something waits for what makes objects of lower kinds,
// because an object can rely on another one without naming it, as a route on the
// address that makes its gateway reachable. And nothing is removed while
// something can be made, so that the new way is there before the old one goes. A
// wish that stands in the way is dropped for just those steps that have to go
// ahead.
type sorter struct {
	items []item
	steps []step
	edges edgeList

	followers neighbours
	waits     []int32 // number of steps that still have to come before
	done      []bool

	// urgent steps have to go ahead of the wishes.
	urgent []bool

	// Ready steps, by number. An urgent one may be in two heaps.
	makes, removals, urgents heap

	pending [math.MaxUint8 + 1]int // steps that make something, by kind
	lowest  int                    // no kind below has pending steps
	first   int32                  // no step below is pending

	order []int32
	after []int32 // position in order of the last of those that come before

	// cuts are items whose change in place closes a ring.
	cuts []int32

	// Made when the wishes first stand in the way: the steps that come before,
	// with a cursor for each step that has passed those that are done.
	leaders neighbours
	cursor  []int32
	stack   []int32
	walk    []int32 // number of the last walk that came by
	walks   int32
}

func newSorter(items []item, steps []step, edges edgeList) *sorter {
	s := &sorter{
		items: items, steps: steps, edges: edges,
		followers: neighboursOf(len(steps), edges, func(e edge) (int32, int32) { return e.before, e.after }),
		waits:     make([]int32, len(steps)),
		done:      make([]bool, len(steps)),
		urgent:    make([]bool, len(steps)),
		order:     make([]int32, 0, len(steps)),
		after:     make([]int32, len(steps)),
	}
	for _, e := range edges {
		s.waits[e.after]++
	}
	for i := range steps {
		s.after[i] = -1
		if !steps[i].removes {
			s.pending[steps[i].kind]++
		}
		if s.waits[i] == 0 {
			s.ready(int32(i))
		}
	}
	return s
}

// sort fills order or, where rings had to be cut, cuts. A ring that cannot be
// cut is a *RingError.
func (s *sorter) sort() error {
	for len(s.order) < len(s.steps) {
		i, ok := s.next()
		if !ok {
			if !s.hurry() {
				if i, ok = s.cut(); !ok {
					return s.ringError()
				}
				s.run(i)
			}
			continue
		}
		s.run(i)
	}
	return nil
}

// next takes the ready step that goes first.
func (s *sorter) next() (int32, bool) {
	for s.lowest < len(s.pending) && s.pending[s.lowest] == 0 {
		s.lowest++
	}
	made, ok := s.makes.top(s.done)
	ok = ok && int(s.steps[made].kind) <= s.lowest
	if i, urgent := s.urgents.top(s.done); urgent && (!ok || i < made) {
		return s.urgents.pop(), true
	}
	if ok {
		return s.makes.pop(), true
	}
	if s.lowest == len(s.pending) {
		if _, ok := s.removals.top(s.done); ok {
			return s.removals.pop(), true
		}
	}
	return 0, false
}

func (s *sorter) run(i int32) {
	s.done[i] = true
	if st := s.steps[i]; !st.removes {
		s.pending[st.kind]--
	}
	position := int32(len(s.order))
	s.order = append(s.order, i)
	for _, f := range s.followers.of(i) {
		s.after[f] = position
		if s.waits[f]--; s.waits[f] == 0 && !s.done[f] {
			s.ready(f)
		}
	}
}

func (s *sorter) ready(i int32) {
	switch {
	case s.urgent[i]:
		s.urgents.push(i)
	case s.steps[i].removes:
		s.removals.push(i)
	default:
		s.makes.push(i)
	}
}

// hurry makes the first pending step and all that has to come before it urgent.
// It reports whether that got a step ready; otherwise there is a ring.
func (s *sorter) hurry() bool {
	if s.leaders.start == nil {
		s.leaders = neighboursOf(len(s.steps), s.edges, func(e edge) (int32, int32) { return e.after, e.before })
		s.cursor = append([]int32(nil), s.leaders.start[:len(s.steps)]...)
		s.walk = make([]int32, len(s.steps))
	}
	for s.done[s.first] {
		s.first++
	}
	s.mark(s.first)
	for len(s.stack) > 0 {
		i := s.stack[len(s.stack)-1]
		s.stack = s.stack[:len(s.stack)-1]
		if s.waits[i] == 0 {
			s.urgents.push(i)
			continue
		}
		for _, l := range s.leaders.of(i) {
			s.mark(l)
		}
	}
	_, ok := s.urgents.top(s.done)
	return ok
}

func (s *sorter) mark(i int32) {
	if !s.urgent[i] && !s.done[i] {
		s.urgent[i] = true
		s.stack = append(s.stack, i)
	}
}

// ring returns steps of which each waits for the next one and the last for the
// first. Every step on the way from the first pending one has one to wait for,
// so the way runs into a ring.
func (s *sorter) ring() []int32 {
	s.walks++
	way := s.stack[:0]
	for i := s.first; ; {
		if s.walk[i] == s.walks {
			for j := range way {
				if way[j] == i {
					return way[j:]
				}
			}
		}
		s.walk[i] = s.walks
		way = append(way, i)
		leaders := s.leaders.ends[:s.leaders.start[i+1]]
		for s.done[leaders[s.cursor[i]]] {
			s.cursor[i]++
		}
		i = leaders[s.cursor[i]]
	}
}

// cut picks the change in place that is to become a deletion and a creation: of
// those in the ring the one of the highest kind, which the fewest others need,
// and then the one with the first key. Sorting goes on as if it were done, to
// find the other rings.
func (s *sorter) cut() (int32, bool) {
	best := int32(-1)
	for _, i := range s.ring() {
		st := s.steps[i]
		it := &s.items[st.item]
		if st.removes || it.old == nil || it.rebuild {
			continue
		}
		if best < 0 || st.kind > s.steps[best].kind || st.kind == s.steps[best].kind && i < best {
			best = i
		}
	}
	if best >= 0 {
		s.cuts = append(s.cuts, s.steps[best].item)
	}
	return best, best >= 0
}

func (s *sorter) ringError() error {
	e := &RingError{}
	for _, i := range s.ring() {
		e.Steps = append(e.Steps, s.step(i))
	}
	return e
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

// plan writes the order down, with the ends of the batches.
func (s *sorter) plan() Plan {
	p := Plan{Steps: make([]Step, len(s.order)), touched: make([]touched, len(s.items))}
	for i := range s.items {
		it := &s.items[i]
		t := touched{key: it.key, from: it.origin, first: -1, last: -1}
		if it.new != nil {
			t.want = Wanted{it.new, it.origin}
		}
		p.touched[i] = t
	}
	start := 0
	for at, i := range s.order {
		p.Steps[at] = s.step(i)
		t := &p.touched[s.steps[i].item]
		t.last = int32(at)
		if t.first < 0 {
			t.first = t.last
		}
		if at == start {
			continue
		}
		first := s.steps[s.order[start]]
		if st := s.steps[i]; st.kind != first.kind || st.removes != first.removes || int(s.after[i]) >= start {
			p.ends = append(p.ends, at)
			start = at
		}
	}
	if len(p.Steps) > 0 {
		p.ends = append(p.ends, len(p.Steps))
	}
	return p
}

// heap holds step numbers, the lowest on top.
type heap []int32

func (h *heap) push(i int32) {
	*h = append(*h, i)
	a := *h
	for c := len(a) - 1; c > 0; {
		parent := (c - 1) / 2
		if a[parent] <= a[c] {
			return
		}
		a[parent], a[c] = a[c], a[parent]
		c = parent
	}
}

func (h *heap) pop() int32 {
	a := *h
	top, last := a[0], len(a)-1
	a[0] = a[last]
	a = a[:last]
	*h = a
	for i := 0; ; {
		c := 2*i + 1
		if c >= last {
			return top
		}
		if c+1 < last && a[c+1] < a[c] {
			c++
		}
		if a[i] <= a[c] {
			return top
		}
		a[i], a[c] = a[c], a[i]
		i = c
	}
}

// top drops the steps that are done and returns the lowest of the others.
func (h *heap) top(done []bool) (int32, bool) {
	for len(*h) > 0 {
		if i := (*h)[0]; !done[i] {
			return i, true
		}
		h.pop()
	}
	return 0, false
}
