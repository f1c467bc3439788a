package reconcile

// ringFinder takes away the steps that wait for nobody, again and again (Kahn's
// algorithm). What cannot be taken away waits for a ring.
type ringFinder struct {
	*sorter
	waits []int32 // number of steps that still have to come before
	gone  []bool
	ready []int32
	first int32 // all steps below are gone

	// cursor is where each step's search for one to wait for has got to, walk the
	// number of the last walk that came by.
	cursor []int32
	walk   []int32
	walks  int32
}

// find fills the sorter's cuts: changes in place that open all rings when they
// become a deletion and a creation. A ring without one is a *RingError.
func (r *ringFinder) find() error {
	steps := len(r.steps)
	r.waits, r.gone = make([]int32, steps), make([]bool, steps)
	r.ready = make([]int32, 0, steps)
	for i := range int32(steps) {
		if r.waits[i] = int32(len(r.leaders.of(i))); r.waits[i] == 0 {
			r.ready = append(r.ready, i)
		}
	}
	for left := steps; ; {
		for len(r.ready) > 0 {
			i := r.ready[len(r.ready)-1]
			r.ready = r.ready[:len(r.ready)-1]
			r.take(i)
			left--
		}
		if left == 0 {
			return nil
		}
		ring := r.ring()
		cut := r.cut(ring)
		if cut == none {
			e := &RingError{}
			for _, i := range ring {
				e.Steps = append(e.Steps, r.step(i))
			}
			return e
		}
		// As if it were done, to find the other rings.
		r.cuts = append(r.cuts, r.steps[cut].item)
		r.take(cut)
		left--
	}
}

func (r *ringFinder) take(i int32) {
	r.gone[i] = true
	for _, f := range r.followers.of(i) {
		if r.waits[f]--; r.waits[f] == 0 && !r.gone[f] {
			r.ready = append(r.ready, f)
		}
	}
}

// ring returns steps of which each waits for the next one and the last for the
// first. Every step that is left has one to wait for, so following them runs into
// a ring.
func (r *ringFinder) ring() []int32 {
	if r.cursor == nil {
		r.cursor = append([]int32(nil), r.leaders.start...)
		r.walk = make([]int32, len(r.steps))
	}
	for r.gone[r.first] {
		r.first++
	}
	r.walks++
	var way []int32
	for i := r.first; ; {
		if r.walk[i] == r.walks {
			for j := range way {
				if way[j] == i {
					return way[j:]
				}
			}
		}
		r.walk[i] = r.walks
		way = append(way, i)
		for r.gone[r.leaders.ends[r.cursor[i]]] {
			r.cursor[i]++
		}
		i = r.leaders.ends[r.cursor[i]]
	}
}

// cut picks the change in place that is to become a deletion and a creation: of
// those in the ring the one of the highest kind, which the fewest others need,
// and then the one with the first key; none when there is none.
func (r *ringFinder) cut(ring []int32) int32 {
	best := none
	for _, i := range ring {
		if !r.inPlace(i) {
			continue
		}
		kind := r.steps[i].kind
		if best == none || kind > r.steps[best].kind || kind == r.steps[best].kind && i < best {
			best = i
		}
	}
	return best
}
