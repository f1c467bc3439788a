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
	err := dumpRouteMessages(ctx, d.state, f, func() {}, func(m *message) {
		if r, ok := parseCounters(m.data, table); ok {
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
			if r, ok := parseCounters(m.data, table); ok && r.SID == batch[i] {
				all.add(r)
			}
		})
		if err != nil {
			return fmt.Errorf("read SID counters: %w", err)
		}
	}
	return nil
}

// parseCounters reads what an RTM_NEWROUTE says of one of our SIDs in a table;
// ok is false when it is of something else. It looks at nothing besides: there
// is one for each SID in each reading.
func parseCounters(b []byte, table uint32) (r object.SIDReading, ok bool) {
	if len(b) < unix.SizeofRtMsg || b[0] != unix.AF_INET6 || b[1] != 128 || b[5] != Protocol {
		return r, false
	}
	if native.Uint32(b[8:])&unix.RTM_F_CLONED != 0 {
		return r, false
	}
	in, metric := uint32(b[4]), uint32(0)
	var encap []byte
	for a := (attrs{rest: b[unix.SizeofRtMsg:]}); a.next(); {
		switch a.typ {
		case unix.RTA_DST:
			if len(a.data) == 16 {
				r.SID = netip.AddrFrom16([16]byte(a.data))
			}
		case unix.RTA_TABLE:
			in = a.u32()
		case unix.RTA_PRIORITY:
			metric = a.u32()
		case unix.RTA_ENCAP_TYPE:
			ok = a.u16() == encapSeg6Local
		case unix.RTA_ENCAP:
			encap = a.data
		}
	}
	if !ok || in != table || metric != defaultMetricIPv6 || !r.SID.IsValid() {
		return r, false
	}
	ok = false
	for a := (attrs{rest: encap}); a.next(); {
		if a.typ != seg6LocalCounters {
			continue
		}
		ok = true
		for n := (attrs{rest: a.data}); n.next(); {
			switch n.typ {
			case seg6CntPackets:
				r.Packets = n.u64()
			case seg6CntBytes:
				r.Octets = n.u64()
			case seg6CntErrors:
				r.Errors = n.u64()
			}
		}
	}
	return r, ok
}
