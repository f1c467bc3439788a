package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
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
	log    *slog.Logger
	kernel sidReader

	mu      sync.Mutex // guards all below
	sids    sidSet
	counts  []counts                // of the SIDs that have counted anything
	spare   []uint32                // places in counts that are free, from 1
	looks   map[*look]struct{}      // at the kernel, under way
	writes  map[*look][]netip.Addr  // of SIDs, under way, each with the look before it
	file    *counterFile            // nil: nothing outlives the process
	unsaved map[netip.Addr]struct{} // what the file does not have as it is
}

// sidReader is Kernel as far as it reads SIDs.
type sidReader interface {
	SIDCounters(ctx context.Context, sids []netip.Addr, fn func([]object.SIDReading)) error
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
	n := &Counters{
		kernel: c.Kernel, log: c.Log,
		looks: map[*look]struct{}{}, writes: map[*look][]netip.Addr{}, unsaved: map[netip.Addr]struct{}{},
	}
	if c.File == "" {
		return n
	}
	n.file = &counterFile{path: c.File, scope: c.Scope}
	bases, err := n.file.read()
	if err != nil {
		n.log.Warn("SID counters start anew where their base is lost", "error", err)
	}
	for sid, base := range bases {
		n.countsOf(n.sids.add(sid)).base = base
	}
	return n
}

// counts is the total of a SID: base is what it counted in earlier lives, last
// what it was last seen to have counted in this one.
type counts struct{ base, last object.SIDCounters }

// countsOf is where a SID's totals are, made if need be: good until the next one
// is made. It needs c.mu.
func (c *Counters) countsOf(r *sidRecord) *counts {
	if r.counts == 0 {
		if n := len(c.spare); n > 0 {
			r.counts, c.spare = c.spare[n-1], c.spare[:n-1]
			c.counts[r.counts-1] = counts{}
		} else {
			c.counts = append(c.counts, counts{})
			r.counts = uint32(len(c.counts))
		}
	}
	return &c.counts[r.counts-1]
}

// see takes a reading of the present life in. One that is less than the last
// means that somebody else had the kernel begin anew. It needs c.mu, and saveNew
// after it.
func (c *Counters) see(r *sidRecord, now object.SIDReading) {
	if !r.is(sidRead) {
		r.flags |= sidRead | sidChanged
	}
	if r.counts == 0 && now.SIDCounters == (object.SIDCounters{}) {
		return
	}
	n := c.countsOf(r)
	if n.last == now.SIDCounters {
		return
	}
	if now.Packets < n.last.Packets || now.Octets < n.last.Octets || now.Errors < n.last.Errors {
		c.rebase(n, now.SID)
	}
	n.last = now.SIDCounters
	r.flags |= sidChanged
}

// rebase has what a SID counted in this life be of an earlier one. It needs c.mu,
// and saveNew after it.
func (c *Counters) rebase(n *counts, sid netip.Addr) {
	if n.last != (object.SIDCounters{}) {
		n.base, n.last = sum(n.base, n.last), object.SIDCounters{}
		c.unsaved[sid] = struct{}{}
	}
}

// track begins the total of a SID, or goes on with it: the total, if there was
// anything to read.
func (c *Counters) track(sid netip.Addr) (total object.SIDCounters, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.sids.add(sid)
	r.flags |= sidTracked
	return c.totalOf(r)
}

// forget ends the total of a SID, in the file with the next save.
func (c *Counters) forget(sid netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(sid)
}

// drop needs c.mu.
func (c *Counters) drop(sid netip.Addr) {
	r := c.sids.get(sid)
	if r == nil {
		return
	}
	if r.counts != 0 {
		if c.counts[r.counts-1].base != (object.SIDCounters{}) {
			c.unsaved[sid] = struct{}{}
		}
		if c.spare = append(c.spare, r.counts); len(c.spare) == len(c.counts) {
			c.counts, c.spare = nil, nil
		}
	}
	c.sids.remove(sid)
	// What is being read is of a SID that may be there again when it is taken in.
	c.void([]netip.Addr{sid})
}

// Settle drops what the file has of SIDs that are not configured: an earlier life
// may have ended while it deleted them. To be called once all that is configured
// has its state, and the file is short after it.
func (c *Counters) Settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var gone []netip.Addr
	for r := range c.sids.all() {
		if !r.is(sidTracked) {
			gone = append(gone, r.address())
		}
	}
	for _, sid := range gone {
		c.drop(sid)
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
	c.saveNew()
}

// saveNew writes what the file does not have, if there is any. It needs c.mu.
func (c *Counters) saveNew() {
	if len(c.unsaved) > 0 {
		c.save()
	}
}

// save writes what the file does not have. What cannot be written now is tried
// again with the next change. It needs c.mu.
func (c *Counters) save() {
	if c.file == nil {
		clear(c.unsaved)
		return
	}
	if c.file.lines > spareLines+4*c.sids.len {
		c.file.whole = true
	}
	err := c.file.write(func(yield func(netip.Addr, object.SIDCounters)) {
		for sid := range c.unsaved {
			yield(sid, c.baseOf(c.sids.get(sid)))
		}
	}, func(yield func(netip.Addr, object.SIDCounters)) {
		for r := range c.sids.all() {
			if base := c.baseOf(r); base != (object.SIDCounters{}) {
				yield(r.address(), base)
			}
		}
	})
	if err != nil {
		c.log.Warn("SID counters fall back if the agent ends now", "error", err)
		return
	}
	clear(c.unsaved)
}

// baseOf is what a SID counted in earlier lives; r may be nil. It needs c.mu.
func (c *Counters) baseOf(r *sidRecord) object.SIDCounters {
	if r == nil || r.counts == 0 {
		return object.SIDCounters{}
	}
	return c.counts[r.counts-1].base
}

// Total is what a SID has counted as of the last reading; ok is false as long as
// there was none.
func (c *Counters) Total(sid netip.Addr) (total object.SIDCounters, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.totalOf(c.sids.get(sid))
}

// totalOf is total; r may be nil. It needs c.mu.
func (c *Counters) totalOf(r *sidRecord) (total object.SIDCounters, ok bool) {
	if r == nil || !r.is(sidRead) {
		return total, false
	}
	if r.counts == 0 {
		return total, true
	}
	n := &c.counts[r.counts-1]
	return sum(n.base, n.last), true
}

// takeChanged hands out the totals that changed since they were last handed out,
// in the order of addresses: those of some SIDs, of all for nil.
func (c *Counters) takeChanged(sids []netip.Addr) []object.SIDReading {
	c.mu.Lock()
	defer c.mu.Unlock()
	var totals []object.SIDReading
	take := func(r *sidRecord) {
		if r == nil || !r.is(sidChanged) {
			return
		}
		r.flags &^= sidChanged
		if total, ok := c.totalOf(r); ok {
			totals = append(totals, object.SIDReading{SID: r.address(), SIDCounters: total})
		}
	}
	if sids == nil {
		for r := range c.sids.all() {
			take(r)
		}
		return totals
	}
	for _, sid := range slices.SortedFunc(slices.Values(sids), netip.Addr.Compare) {
		take(c.sids.get(sid))
	}
	return totals
}

// Writing says that the kernel is about to be told to replace or delete these
// SIDs. written has to be called when that is done, with what became of the i-th
// of them: whether the kernel did it.
//
// An error does not keep anybody from writing: the totals go on from what was
// last seen, without what was counted since.
func (c *Counters) Writing(ctx context.Context, sids []netip.Addr) (written func(done func(i int) bool), err error) {
	c.mu.Lock()
	asked := make([]netip.Addr, 0, len(sids))
	for _, sid := range sids {
		if c.sids.get(sid) != nil {
			asked = append(asked, sid)
		}
	}
	c.void(asked)
	before := c.begin()
	c.writes[before] = asked
	c.mu.Unlock()
	if len(asked) > 0 {
		if err = c.kernel.SIDCounters(ctx, asked, before.take); err != nil {
			err = fmt.Errorf("read counters of %d SIDs, %v first: %w", len(asked), asked[0], err)
		}
	}
	return func(done func(i int) bool) {
		c.mu.Lock()
		delete(c.writes, before)
		for i, sid := range sids {
			if r := c.sids.get(sid); r != nil && r.counts != 0 && done(i) {
				c.rebase(&c.counts[r.counts-1], sid)
			}
		}
		c.mu.Unlock()
		before.end()
	}, err
}

func sum(a, b object.SIDCounters) object.SIDCounters {
	return object.SIDCounters{Packets: a.Packets + b.Packets, Octets: a.Octets + b.Octets, Errors: a.Errors + b.Errors}
}
