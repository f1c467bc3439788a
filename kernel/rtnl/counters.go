package rtnl

import (
	"context"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
)

// SIDCounter is what a local SID has counted since the kernel was last told to
// make or replace it.
type SIDCounter struct {
	SID     netip.Addr
	Table   uint32
	Packets uint64 // processed well
	Octets  uint64 // of those packets
	Errors  uint64 // packets dropped by the behaviour
}

// Counters calls fn for each of our local SIDs, in no order, from one dump
// filtered in the kernel; table 0 is all tables. fn must not call the driver.
func (d *Driver) Counters(ctx context.Context, table uint32, fn func(SIDCounter)) error {
	d.stateMu.Lock()
	defer d.stateMu.Unlock()
	var all []SIDCounter
	f := routeFilter{family: unix.AF_INET6, table: table, proto: Protocol}
	err := dumpRoutes(ctx, d.state, f, func() { all = all[:0] }, func(r *rawRoute) {
		if c, ok := r.counter(); ok {
			all = append(all, c)
		}
	})
	// An interrupted dump may miss SIDs that come or go just now; those that it
	// has are right.
	if err != nil && !isInterrupted(err) {
		return err
	}
	for _, c := range all {
		fn(c)
	}
	return nil
}

// CountersOf reads the counters of single SIDs, by key and without a dump. A SID
// that is not there, or that the kernel's lookup does not lead to, is missing
// from the result.
func (d *Driver) CountersOf(ctx context.Context, sids []*object.LocalSID) (map[object.Key]SIDCounter, error) {
	v, err := d.links.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	d.stateMu.Lock()
	defer d.stateMu.Unlock()
	out := make(map[object.Key]SIDCounter, len(sids))
	for len(sids) > 0 {
		batch := sids[:min(batchSize, len(sids))]
		sids = sids[len(batch):]
		err := d.state.pipeline(ctx, len(batch), func(m *msgBuf, i int, seq uint32) error {
			buildLookup(m, seq, decoder{v, &d.hops}, slotOf(batch[i]))
			return nil
		}, func(i int, m *message) {
			if m.typ != unix.RTM_NEWROUTE {
				return
			}
			if r, ok := parseRoute(m.data); ok && r.proto == Protocol && r.slot() == slotOf(batch[i]) {
				if c, ok := r.counter(); ok {
					out[batch[i].Key()] = c
				}
			}
		})
		if err != nil {
			return nil, fmt.Errorf("read SID counters: %w", err)
		}
	}
	return out, nil
}

// counter reads the counters of a seg6local route; false when it has none.
func (r *rawRoute) counter() (c SIDCounter, ok bool) {
	if !r.isSID() {
		return c, false
	}
	c = SIDCounter{SID: r.dst.Addr(), Table: r.table}
	for a := (attrs{rest: r.hop.encap}); a.next(); {
		if a.typ != seg6LocalCounters {
			continue
		}
		ok = true
		for n := (attrs{rest: a.data}); n.next(); {
			switch n.typ {
			case seg6CntPackets:
				c.Packets = n.u64()
			case seg6CntBytes:
				c.Octets = n.u64()
			case seg6CntErrors:
				c.Errors = n.u64()
			}
		}
	}
	return c, ok
}
