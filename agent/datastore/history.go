package datastore

import "sync"

// historySize is how many commits History remembers.
const historySize = 256

// history is a ring of the last commits.
type history struct {
	mu   sync.Mutex // guards ring and n
	ring [historySize]Commit
	n    int // commits ever added
}

func (h *history) add(c Commit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ring[h.n%historySize] = c
	h.n++
}

// list returns the commits, newest first.
func (h *history) list() []Commit {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Commit, 0, min(h.n, historySize))
	for i := h.n - 1; i >= 0 && i >= h.n-historySize; i-- {
		out = append(out, h.ring[i%historySize])
	}
	return out
}
