package rtnl

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
)

// slot is a place in a routing table. IPv4 and IPv6 hold one route there, as long
// as nobody appends to it.
type slot struct {
	table  uint32
	prefix netip.Prefix
	metric uint32 // as the kernel stores it
}

func slotOf(o object.Object) slot {
	switch o := o.(type) {
	case *object.LocalSID:
		return slot{o.Table, o.Prefix(), defaultMetricIPv6}
	case *object.Route:
		s := slot{o.Table, o.Prefix, o.Metric}
		if s.metric == 0 && o.Prefix.Addr().Is6() {
			s.metric = defaultMetricIPv6
		}
		return s
	}
	return slot{}
}

func (r *rawRoute) slot() slot { return slot{r.table, r.dst, r.metric} }

// sameSlot checks that a deletion has met the route it was for.
func sameSlot(o object.Object, r *rawRoute) error {
	if want, got := slotOf(o), r.slot(); want != got {
		return fmt.Errorf("kernel deleted %s table %d metric %d in its place: it is to be made again", got.prefix, got.table, got.metric)
	}
	return nil
}

// conflict says what of somebody else is in the way of o.
func conflict(o object.Object, r *rawRoute) error {
	return &ConflictError{
		Object: fmt.Sprint(o),
		Holder: fmt.Sprintf("route %s table %d metric %d of protocol %s", r.dst, r.table, r.metric, ProtocolName(r.proto)),
		Remedy: "delete it, or use another prefix, table or metric",
	}
}

// ProtocolName is the name that iproute2 prints for a route protocol.
func ProtocolName(p uint8) string {
	names := map[uint8]string{
		unix.RTPROT_KERNEL: "kernel", unix.RTPROT_BOOT: "boot", unix.RTPROT_STATIC: "static", unix.RTPROT_RA: "ra",
		unix.RTPROT_ZEBRA: "zebra", unix.RTPROT_BIRD: "bird", unix.RTPROT_DHCP: "dhcp", unix.RTPROT_KEEPALIVED: "keepalived",
		unix.RTPROT_BABEL: "babel", unix.RTPROT_BGP: "bgp", unix.RTPROT_ISIS: "isis", unix.RTPROT_OSPF: "ospf",
		unix.RTPROT_RIP: "rip", unix.RTPROT_EIGRP: "eigrp",
	}
	if n := names[p]; n != "" {
		return fmt.Sprintf("%s (%d)", n, p)
	}
	return fmt.Sprint(p)
}

// probeAddress is an address that s's prefix decides on: its own network address
// or, for a default route, one that nothing else is likely to match.
func probeAddress(p netip.Prefix) netip.Addr {
	if p.Bits() > 0 {
		return p.Addr()
	}
	if p.Addr().Is4() {
		return netip.AddrFrom4([4]byte{192, 0, 2, 1}) // RFC 5737
	}
	return netip.MustParseAddr("100::1") // RFC 6666
}

// lookupSlot asks the kernel for the route it would take to s, and tells whether
// that one is in the slot. It costs one lookup, whatever the size of the table. A
// false "no" is possible, where a longer prefix, a lower metric, or a table with
// precedence hides the slot; a false "yes" is not.
func (d *Driver) lookupSlot(ctx context.Context, dec decoder, s slot) (r rawRoute, held bool, err error) {
	c := d.query
	c.seq++
	c.out.reset()
	buildLookup(&c.out, c.seq, dec, s)
	c.out.askAck()
	err = c.request(ctx, func(m *message) {
		if got, ok := parseRoute(m.data); ok && got.slot() == s {
			r, held = cloneRoute(got), true
		}
	})
	if _, ok := errors.AsType[*answer](err); ok {
		// No route, or one that rejects: nothing that could be described.
		return r, false, nil
	}
	return r, held, err
}

func buildLookup(m *msgBuf, seq uint32, dec decoder, s slot) {
	h := m.begin(unix.RTM_GETROUTE, 0, seq, unix.SizeofRtMsg)
	h[0] = family(s.prefix.Addr())
	h[1] = uint8(s.prefix.Addr().BitLen())
	native.PutUint32(h[8:], unix.RTM_F_FIB_MATCH)
	m.addr(unix.RTA_DST, probeAddress(s.prefix))
	if l := dec.byTable[s.table]; l != nil {
		m.u32(unix.RTA_OIF, uint32(l.index))
	}
	m.end()
}

// cloneRoute copies what r points to out of the receive buffer.
func cloneRoute(r rawRoute) rawRoute {
	r.multipath = append([]byte(nil), r.multipath...)
	if len(r.multipath) == 0 {
		r.multipath = nil
	}
	r.hop.encap = append([]byte(nil), r.hop.encap...)
	return r
}

// readSlot finds what is in the slot for certain: by lookup and, when that does
// not see it, by reading the table. It is for explaining failures, not for the
// way of every step.
func (d *Driver) readSlot(ctx context.Context, dec decoder, s slot) (held bool, r rawRoute, err error) {
	if r, held, err = d.lookupSlot(ctx, dec, s); err != nil || held {
		return held, r, err
	}
	f := routeFilter{family: family(s.prefix.Addr()), table: s.table}
	err = dumpRoutes(ctx, d.query, f, func() { held = false }, func(got *rawRoute) {
		if got.slot() == s && !held {
			r, held = cloneRoute(*got), true
		}
	})
	return held, r, err
}

// routeFilter selects routes in the kernel, so that only they cross over.
type routeFilter struct {
	family uint8
	table  uint32 // 0: all
	proto  uint8  // 0: all
	oif    int32  // 0: all; otherwise those with a next hop over this link
}

// dumpRoutes hands every route that matches to fn; what it gets is valid only
// during the call. Routes of a kind that is not known here are handed on as far
// as they could be decoded.
func dumpRoutes(ctx context.Context, c *conn, f routeFilter, start func(), fn func(*rawRoute)) error {
	return dumpRouteMessages(ctx, c, f, start, func(m *message) {
		r, ok := parseRoute(m.data)
		if !ok || f.proto != 0 && r.proto != f.proto || f.table != 0 && r.table != f.table || r.flags&unix.RTM_F_CLONED != 0 {
			return
		}
		fn(&r)
	})
}

// dumpRouteMessages is dumpRoutes before anything is decoded. The kernel may not
// have looked at every part of the filter.
func dumpRouteMessages(ctx context.Context, c *conn, f routeFilter, start func(), fn func(*message)) error {
	err := c.dump(ctx, func() {
		h := c.begin(unix.RTM_GETROUTE, unix.NLM_F_DUMP, unix.SizeofRtMsg)
		h[0], h[5] = f.family, f.proto
		if f.table != 0 {
			if f.table < 256 {
				h[4] = uint8(f.table)
			}
			c.out.u32(unix.RTA_TABLE, f.table)
		}
		if f.oif != 0 {
			c.out.u32(unix.RTA_OIF, uint32(f.oif))
		}
		c.out.end()
	}, start, func(m *message) {
		if m.typ == unix.RTM_NEWROUTE {
			fn(m)
		}
	})
	// A table that was never used; a link that is gone.
	if isErrno(err, unix.ENOENT) || f.oif != 0 && isErrno(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	return nil
}

// routeKinds says which objects that the kernel keeps as routes are asked for.
type routeKinds struct{ routes, sids bool }

// add reports whether objects of the kind are routes to the kernel.
func (k *routeKinds) add(kind object.Kind) bool {
	k.routes = k.routes || kind == object.KindRoute
	k.sids = k.sids || kind == object.KindLocalSID
	return kind == object.KindRoute || kind == object.KindLocalSID
}

// dumpRoutes appends our routes, our SIDs, or both.
func (d *Driver) dumpRoutes(ctx context.Context, os []object.Object, kinds routeKinds) ([]object.Object, error) {
	var families []uint8
	switch {
	case kinds.routes:
		families = []uint8{unix.AF_INET, unix.AF_INET6}
	case kinds.sids:
		families = []uint8{unix.AF_INET6}
	default:
		return os, nil
	}
	v, err := d.links.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	dec := decoder{v, &d.hops}
	for _, fam := range families {
		before := len(os)
		err := dumpRoutes(ctx, d.query, routeFilter{family: fam, proto: Protocol}, func() { os = os[:before] },
			func(r *rawRoute) {
				if sid := r.isSID(); sid && !kinds.sids || !sid && !kinds.routes {
					return
				}
				if o, ok := dec.object(r); ok {
					os = append(os, o)
				}
			})
		if err != nil {
			return nil, err
		}
	}
	return os, nil
}

// Slot reads what the kernel holds where the route or SID o would go, whoever
// made it, and its route protocol. The object is nil when it is of a form that
// Heddle has no object for. It may read a whole table: it is for diagnosis.
func (d *Driver) Slot(ctx context.Context, o object.Object) (got object.Object, protocol uint8, ok bool, err error) {
	v, err := d.links.snapshot(ctx)
	if err != nil {
		return nil, 0, false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.readHops(ctx); err != nil { // it may be of somebody else's making
		return nil, 0, false, err
	}
	dec := decoder{v, &d.hops}
	held, r, err := d.readSlot(ctx, dec, slotOf(o))
	if err != nil || !held {
		return nil, 0, false, err
	}
	if o, decoded := dec.object(&r); decoded {
		got = o
	}
	return got, r.proto, true, nil
}
