package reconcile

import "slices"

// setOf names a nodeSet.
type setOf uint8

const (
	inNone   setOf = iota
	inDiffer       // what it has is not what is wanted
	inParked       // that has been so for a while: plans would pass over it
)

// nodeSet is a set of nodes, of which each is in one set at most. When the kernel
// is read for the first time, all that it holds differs from what is wanted.
type nodeSet struct {
	name  setOf
	nodes []*node
}

func (s *nodeSet) add(n *node) {
	n.in, n.place = s.name, int32(len(s.nodes))
	s.nodes = append(s.nodes, n)
}

// remove does nothing with what is not in the set.
func (s *nodeSet) remove(n *node) {
	if n.in != s.name {
		return
	}
	last := len(s.nodes) - 1
	moved := s.nodes[last]
	s.nodes[n.place], moved.place = moved, n.place
	s.nodes[last] = nil
	s.nodes = s.nodes[:last]
	n.in = inNone
	if last == 0 {
		s.nodes = nil // the large one of a start is not kept
	}
}

// differs reports whether what n has is not what is wanted.
func (g *graph) differs(n *node) bool { return n.in != inNone }

// differing goes through all nodes of which that is so. The caller does not change
// any meanwhile.
func (g *graph) differing(yield func(*node) bool) {
	for _, s := range []*nodeSet{&g.differ, &g.parked} {
		for _, n := range s.nodes {
			if !yield(n) {
				return
			}
		}
	}
}

// park spares plans the nodes that they would pass over.
func (g *graph) park(waits func(*node) bool) {
	g.move(&g.differ, &g.parked, waits)
}

// unpark has plans take up again what does not wait any more.
func (g *graph) unpark(waits func(*node) bool) {
	g.move(&g.parked, &g.differ, func(n *node) bool { return !waits(n) })
}

func (g *graph) move(from, to *nodeSet, which func(*node) bool) {
	var nodes []*node
	for _, n := range from.nodes {
		if which(n) {
			nodes = append(nodes, n)
		}
	}
	for part := range slices.Chunk(nodes, chunk) {
		g.mu.Lock()
		for _, n := range part {
			from.remove(n)
			to.add(n)
		}
		g.mu.Unlock()
	}
}
