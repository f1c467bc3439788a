package agent

import "sync"

// commits tells telemetry when the kernel is in the middle of a commit. Nobody
// who asks holds up a commit.
type commits struct {
	mu    sync.Mutex // guards n and ended
	n     uint64
	ended chan struct{} // nil: none is under way
}

// begin says that a commit is under way until end is called. There is one at a
// time.
func (c *commits) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	c.ended = make(chan struct{})
}

func (c *commits) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.ended)
	c.ended = nil
}

// UnderWay implements telemetry.Commits.
func (c *commits) UnderWay() (n uint64, ended <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n, c.ended
}
