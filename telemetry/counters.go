package telemetry

import (
	"context"
	"fmt"
	"log/slog"
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
// before the agent started is in it, since a restart does not touch the SIDs, and
// so is what it counted in lives before that, if there is a file to keep it.
type Counters struct {
	log *slog.Logger

	kernel interface {
		SIDCounters(ctx context.Context, sids []netip.Addr) (map[netip.Addr]object.SIDCounters, error)
	}

	mu      sync.Mutex // guards all below
	sids    map[netip.Addr]*sidCounter
	file    *counterFile            // nil: nothing outlives the process
	unsaved map[netip.Addr]struct{} // what the file does not have as it is
}

// CountersConfig is what NewCounters needs.
type CountersConfig struct {
	Kernel Kernel
	Log    *slog.Logger

	// File keeps what SIDs counted in earlier lives, Scope names the life of the
	// kernel that this is of: a file of another scope is void. Without File a
	// restart of the agent forgets it.
	File, Scope string
}

// NewCounters returns counters that go on from what is in the file. A file that
// cannot be read costs what it held and no more: it is logged.
func NewCounters(c CountersConfig) *Counters {
	n := &Counters{kernel: c.Kernel, log: c.Log, sids: map[netip.Addr]*sidCounter{}, unsaved: map[netip.Addr]struct{}{}}
	if c.File == "" {
		return n
	}
	n.file = &counterFile{path: c.File, scope: c.Scope}
	bases, err := n.file.read()
	if err != nil {
		n.log.Warn("SID counters start anew where their base is lost", "error", err)
	}
	for sid, base := range bases {
		n.sids[sid] = &sidCounter{base: base, saved: base}
	}
	return n
}

// sidCounter is the total of a SID: base is what it counted in earlier lives,
// last what it was last seen to have counted in this one.
type sidCounter struct {
	base, last object.SIDCounters
	turn       uint32 // grows with each write: a reading from before it comes too late
	writing    int32  // how many writes are under way
	read       bool   // there was something to read
	tracked    bool   // it is configured, not only in the file

	saved object.SIDCounters // base as the file has it
}

// see takes a reading of the present life in. One that is less than the last
// means that somebody else had the kernel begin anew. It needs c.mu, and save
// after it.
func (c *Counters) see(sid netip.Addr, s *sidCounter, now object.SIDCounters) {
	if now.Packets < s.last.Packets || now.Octets < s.last.Octets || now.Errors < s.last.Errors {
		c.rebase(sid, s, sum(s.base, s.last))
	}
	s.last, s.read = now, true
}

// track begins the total of a SID, or goes on with it.
func (c *Counters) track(sid netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sids[sid] == nil {
		c.sids[sid] = &sidCounter{}
	}
	c.sids[sid].tracked = true
}

// forget ends the total of a SID, in the file with the next save.
func (c *Counters) forget(sid netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(sid)
}

// drop needs c.mu.
func (c *Counters) drop(sid netip.Addr) {
	if s := c.sids[sid]; s != nil && s.saved != (object.SIDCounters{}) {
		c.unsaved[sid] = struct{}{}
	}
	delete(c.sids, sid)
}

// Settle drops what the file has of SIDs that are not configured: an earlier life
// may have ended while it deleted them. To be called once all that is configured
// has its state, and the file is short after it.
func (c *Counters) Settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for sid, s := range c.sids {
		if !s.tracked {
			c.drop(sid)
		}
	}
	if c.file != nil {
		c.file.whole = true
	}
	c.save()
}

// flush brings the file up to date.
func (c *Counters) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.unsaved) > 0 {
		c.save()
	}
}

// rebase sets what a SID counted in earlier lives. It needs c.mu, and save after
// it.
func (c *Counters) rebase(sid netip.Addr, s *sidCounter, base object.SIDCounters) {
	if s.base = base; base != s.saved && c.sids[sid] == s {
		c.unsaved[sid] = struct{}{}
	}
}

// save writes what the file does not have. What cannot be written now is tried
// again with the next change. It needs c.mu.
func (c *Counters) save() {
	if c.file == nil {
		clear(c.unsaved)
		return
	}
	if c.file.lines > spareLines+4*len(c.sids) {
		c.file.whole = true
	}
	err := c.file.write(func(yield func(netip.Addr, object.SIDCounters)) {
		for sid := range c.unsaved {
			var base object.SIDCounters
			if s := c.sids[sid]; s != nil {
				base = s.base
			}
			yield(sid, base)
		}
	}, func(yield func(netip.Addr, object.SIDCounters)) {
		for sid, s := range c.sids {
			if s.base != (object.SIDCounters{}) {
				yield(sid, s.base)
			}
		}
	})
	if err != nil {
		c.log.Warn("SID counters fall back if the agent ends now", "error", err)
		return
	}
	for sid := range c.unsaved {
		if s := c.sids[sid]; s != nil {
			s.saved = s.base
		}
	}
	clear(c.unsaved)
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
			c.see(sid, b.counter, now)
		}
	}
	if len(c.unsaved) > 0 {
		c.save()
	}
}

// Writing says that the kernel is about to be told to replace or delete these
// SIDs. written has to be called when that is done, with what became of the i-th
// of them: whether the kernel did it.
//
// An error does not keep anybody from writing: the totals go on from what was
// last seen, without what was counted since.
func (c *Counters) Writing(ctx context.Context, sids []netip.Addr) (written func(done func(i int) bool), err error) {
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
		if final, err = c.kernel.SIDCounters(ctx, asked); err != nil {
			err = fmt.Errorf("read counters of %d SIDs, %v first: %w", len(asked), asked[0], err)
		}
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
				c.see(sids[i], s, now)
			}
			if done(i) {
				c.rebase(sids[i], s, sum(s.base, s.last))
				s.last = object.SIDCounters{}
			}
		}
		if len(c.unsaved) > 0 {
			c.save()
		}
	}, err
}

func sum(a, b object.SIDCounters) object.SIDCounters {
	return object.SIDCounters{Packets: a.Packets + b.Packets, Octets: a.Octets + b.Octets, Errors: a.Errors + b.Errors}
}
