package rtnl

import (
	"context"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
)

// readingsSize is how many readings are handed on at a time.
const readingsSize = 256

// readings gathers what was read for somebody who takes it in portions.
type readings struct {
	buf []object.SIDReading
	fn  func([]object.SIDReading)
}

func newReadings(fn func([]object.SIDReading)) *readings {
	return &readings{make([]object.SIDReading, 0, readingsSize), fn}
}

func (r *readings) add(one object.SIDReading) {
	if r.buf = append(r.buf, one); len(r.buf) == readingsSize {
		r.flush()
	}
}

func (r *readings) flush() {
	if len(r.buf) > 0 {
		r.fn(r.buf)
		r.buf = r.buf[:0]
	}
}

// Counters hands fn the counters of our local SIDs of a table, in portions, from
// one dump filtered in the kernel. The dump of a table goes by address (Linux
// net/ipv6/ip6_fib.c, fib6_walk_continue), but one that changes meanwhile is read
// again: a SID may come more than once, what comes later is newer.
//
// A portion is valid during the call only. fn must not call the driver.
func (d *Driver) Counters(ctx context.Context, table uint32, fn func([]object.SIDReading)) error {
	d.stateMu.Lock()
	defer d.stateMu.Unlock()
	all := newReadings(fn)
	f := routeFilter{family: unix.AF_INET6, table: table, proto: Protocol}
	var layouts sidLayouts
	err := dumpRouteMessages(ctx, d.state, f, func() {}, func(m *message) {
		if r, ok := layouts.read(m.data, table); ok {
			all.add(r)
		}
	})
	all.flush()
	// An interrupted dump may miss SIDs that come or go just now; those that it
	// has are right.
	if err != nil && !isInterrupted(err) {
		return err
	}
	return nil
}

// CountersOf hands fn the counters of single SIDs of a table, by key and without
// a dump. A SID that is not there, or that the kernel's lookup does not lead to,
// is left out. A portion is valid during the call only; fn must not call the
// driver.
func (d *Driver) CountersOf(ctx context.Context, table uint32, sids []netip.Addr, fn func([]object.SIDReading)) error {
	v, err := d.links.snapshot(ctx)
	if err != nil {
		return err
	}
	d.stateMu.Lock()
	defer d.stateMu.Unlock()
	all := newReadings(fn)
	defer all.flush()
	var layouts sidLayouts
	slotAt := func(sid netip.Addr) slot { return slot{table, netip.PrefixFrom(sid, 128), defaultMetricIPv6} }
	for len(sids) > 0 {
		batch := sids[:min(batchSize, len(sids))]
		sids = sids[len(batch):]
		err := d.state.pipeline(ctx, len(batch), func(m *msgBuf, i int, seq uint32) error {
			buildLookup(m, seq, decoder{v, &d.hops}, slotAt(batch[i]))
			return nil
		}, func(i int, m *message) {
			if m.typ != unix.RTM_NEWROUTE {
				return
			}
			if r, ok := layouts.read(m.data, table); ok && r.SID == batch[i] {
				all.add(r)
			}
		})
		if err != nil {
			return fmt.Errorf("read SID counters: %w", err)
		}
	}
	return nil
}
