package telemetry

import (
	"context"
	"net/netip"
	"sync"

	"heddle/kernel/object"
)

// Counters makes what SIDs have counted monotonic: the kernel starts again from
// zero when it is told to replace a SID, or to make it again after its VRF. It
// has to see the writing (Writing), because afterwards the last count is lost and
// a counter that has run past it again looks like one that went on.
//
// A SID has its total for as long as it is configured. What the kernel counted
// before the agent started is in it, since a restart does not touch the SIDs.
type Counters struct {
	kernel interface {
		SIDCounters(ctx context.Context, sids []netip.Addr) (map[netip.Addr]object.SIDCounters, error)
	}

	mu   sync.Mutex // guards sids and all in it
	sids map[netip.Addr]*sidCounter
}

// NewCounters returns counters that are read from k.
func NewCounters(k Kernel) *Counters {
	return &Counters{kernel: k, sids: map[netip.Addr]*sidCounter{}}
}

// sidCounter is the total of a SID: base is what it counted in earlier lives,
// last what it was last seen to have counted in this one.
type sidCounter struct {
	base, last object.SIDCounters
	turn       uint32 // grows with each write: a reading from before it comes too late
	writing    int32  // how many writes are under way
	read       bool   // there was something to read
}

// see takes a reading of the present life in. One that is less than the last
// means that somebody else had the kernel begin anew.
func (c *sidCounter) see(now object.SIDCounters) {
	if now.Packets < c.last.Packets || now.Octets < c.last.Octets || now.Errors < c.last.Errors {
		c.base = sum(c.base, c.last)
	}
	c.last, c.read = now, true
}

// track begins the total of a SID, or goes on with it.
func (c *Counters) track(sid netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sids[sid] == nil {
		c.sids[sid] = &sidCounter{}
	}
}

// forget ends the total of a SID.
func (c *Counters) forget(sid netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sids, sid)
}

// total is what a SID has counted; ok is false as long as nothing was read.
func (c *Counters) total(sid netip.Addr) (total object.SIDCounters, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sids[sid]
	if s == nil || !s.read {
		return total, false
	}
	return sum(s.base, s.last), true
}

// before is where a SID's total stands before it is read.
type before struct {
	counter *sidCounter
	turn    uint32
}

// stand is where the totals of these SIDs stand. Those that are being written
// are left out: nobody could tell which life a reading is of.
func (c *Counters) stand(sids []netip.Addr) map[netip.Addr]before {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := make(map[netip.Addr]before, len(sids))
	for _, sid := range sids {
		if s := c.sids[sid]; s != nil && s.writing == 0 {
			m[sid] = before{s, s.turn}
		}
	}
	return m
}

// take takes a reading in, except of what was written meanwhile.
func (c *Counters) take(stood map[netip.Addr]before, read map[netip.Addr]object.SIDCounters) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for sid, b := range stood {
		now, ok := read[sid]
		if ok && c.sids[sid] == b.counter && b.counter.turn == b.turn && b.counter.writing == 0 {
			b.counter.see(now)
		}
	}
}

// Writing says that the kernel is about to be told to replace or delete these
// SIDs. written has to be called when that is done, with what became of the i-th
// of them: whether the kernel did it.
func (c *Counters) Writing(ctx context.Context, sids []netip.Addr) (written func(done func(i int) bool)) {
	held := make([]*sidCounter, len(sids))
	asked := make([]netip.Addr, 0, len(sids))
	c.mu.Lock()
	for i, sid := range sids {
		if s := c.sids[sid]; s != nil {
			held[i] = s
			s.writing++
			asked = append(asked, sid)
		}
	}
	c.mu.Unlock()
	var final map[netip.Addr]object.SIDCounters
	if len(asked) > 0 {
		// What cannot be read now has counted what was last seen. The write is
		// not to fail for that: it says itself what is wrong with the kernel.
		final, _ = c.kernel.SIDCounters(ctx, asked)
	}
	return func(done func(i int) bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, s := range held {
			if s == nil {
				continue
			}
			s.writing--
			s.turn++
			if now, ok := final[sids[i]]; ok {
				s.see(now)
			}
			if done(i) {
				s.base, s.last = sum(s.base, s.last), object.SIDCounters{}
			}
		}
	}
}

func sum(a, b object.SIDCounters) object.SIDCounters {
	return object.SIDCounters{Packets: a.Packets + b.Packets, Octets: a.Octets + b.Octets, Errors: a.Errors + b.Errors}
}
