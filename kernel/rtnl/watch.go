package rtnl

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
)

// EventKind says what an Event is about.
type EventKind uint8

// The kinds of event.
const (
	// EventResync: events were lost. Whatever was known may be out of date.
	EventResync    EventKind = iota + 1
	EventLink                // a link came, changed or went
	EventAddress             // an address came, changed or went
	EventRoute               // a route or SID of ours was changed or deleted, not by this driver
	EventNextHop             // a nexthop object of ours was, and with it what leaves by it
	EventNeighbour           // a neighbour of ours came, changed or went
)

// Event is one change in the kernel.
type Event struct {
	Kind EventKind
	Gone bool // it is there no more

	Link      LinkState    // EventLink; without statistics
	Before    LinkState    // EventLink: as it was until now; Index 0 when it is new
	Address   AddressState // EventAddress
	Route     object.Object
	Neighbour object.Neighbour // EventNeighbour, unless it is gone

	// Keys are the objects that may have changed by it.
	Keys []object.Key
}

// watchBuffer is how many events wait for a slow reader before the kernel's
// buffer does.
const watchBuffer = 256

// Watch streams changes of links and addresses, whoever makes them, and of our
// routes and SIDs as far as somebody else makes them: the driver's own writes to
// the routing tables are filtered out in the kernel, as are all foreign routes
// that do not replace one of ours; so it is with nexthop objects, whose going
// with their link is without an event of its own. Of neighbours it tells of ours. IPv4 routes that
// go with their link or address go without an event. The channel is closed when the context ends.
//
// The first event is EventResync: read the state behind it.
func (d *Driver) Watch(ctx context.Context) (<-chan Event, error) {
	w := &watch{links: &linkCache{}, hops: &d.hops, out: make(chan Event, watchBuffer)}
	err := d.ns.Run(func() (err error) {
		if w.links.events, err = dial(unix.NETLINK_ROUTE); err != nil {
			return err
		}
		w.links.query, err = dial(unix.NETLINK_ROUTE)
		return err
	})
	if err == nil {
		err = w.start(d.ports())
	}
	if err != nil {
		w.close()
		return nil, fmt.Errorf("watch network: %w", err)
	}
	go w.run(ctx)
	return w.out, nil
}

// ports are the netlink ports of the driver's own writing sockets.
func (d *Driver) ports() []uint32 {
	ports := []uint32{d.query.port}
	for _, c := range d.writers {
		ports = append(ports, c.port)
	}
	return ports
}

// watch is one stream of events. Its links are known from its own socket, so
// that they are those of the moment an event was sent.
type watch struct {
	links *linkCache // used by run alone
	hops  *hopTable
	out   chan Event
}

func (w *watch) close() {
	for _, c := range []*conn{w.links.events, w.links.query} {
		if c != nil {
			c.close()
		}
	}
}

// start sets the filter and then joins the groups, so that nothing unfiltered
// comes through.
func (w *watch) start(own []uint32) error {
	c := w.links.events
	prog := routeFilterProgram(own)
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: (*unix.SockFilter)(unsafe.Pointer(&prog[0]))}
	if err := unix.SetsockoptSockFprog(c.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &fprog); err != nil {
		return fmt.Errorf("set event filter: %w", err)
	}
	for _, g := range []int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE} {
		if err := unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g); err != nil {
			return fmt.Errorf("join netlink group %d: %w", g, err)
		}
	}
	// Before Linux 5.3 there are no nexthop objects and no such group.
	err := unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, rtnlgrpNexthop)
	if err != nil && err != unix.EINVAL {
		return fmt.Errorf("join netlink group %d: %w", rtnlgrpNexthop, err)
	}
	return nil
}

// routeFilterProgram accepts everything but messages about routes and nexthop
// objects that do not concern us: those caused by one of our own sockets, and
// those of another protocol, unless they replace something. Of neighbours, of which
// the kernel finds and forgets many, it accepts ours.
func routeFilterProgram(own []uint32) []unix.SockFilter {
	const accept, drop = 0xffffffff, 0
	// Loads are big-endian, the header is in the order of the machine.
	swap16 := func(v uint16) uint32 { return uint32(binary.BigEndian.Uint16(native.AppendUint16(nil, v))) }
	swap32 := func(v uint32) uint32 { return binary.BigEndian.Uint32(native.AppendUint32(nil, v)) }
	load := func(size uint16, off uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_ABS | size, K: off}
	}
	ret := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	jump := func(op uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | op, K: k, Jt: yes, Jf: no}
	}
	p := []unix.SockFilter{
		load(unix.BPF_H, 4), // nlmsg_type
		jump(unix.BPF_JEQ, swap16(unix.RTM_NEWNEIGH), 1, 0),
		jump(unix.BPF_JEQ, swap16(unix.RTM_DELNEIGH), 0, 9),
		// The offset of an attribute, 0 if it is not there.
		{Code: unix.BPF_LDX | unix.BPF_IMM, K: ndaProtocol},
		{Code: unix.BPF_LD | unix.BPF_IMM, K: unix.NLMSG_HDRLEN + sizeofNdmsg},
		load(unix.BPF_W, skfNlattr),
		jump(unix.BPF_JEQ, 0, 4, 0),
		{Code: unix.BPF_MISC | unix.BPF_TAX},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_IND, K: 4},
		jump(unix.BPF_JEQ, Protocol, 0, 1),
		ret(accept),
		ret(drop),
		jump(unix.BPF_JEQ, swap16(unix.RTM_NEWROUTE), 4, 0),
		jump(unix.BPF_JEQ, swap16(unix.RTM_DELROUTE), 3, 0),
		jump(unix.BPF_JEQ, swap16(unix.RTM_NEWNEXTHOP), 2, 0),
		jump(unix.BPF_JEQ, swap16(unix.RTM_DELNEXTHOP), 1, 0),
		ret(accept),
		load(unix.BPF_W, 12), // nlmsg_pid
	}
	for _, port := range own {
		p = append(p, jump(unix.BPF_JEQ, swap32(port), 0, 1), ret(drop))
	}
	return append(p,
		load(unix.BPF_H, 4),
		jump(unix.BPF_JEQ, swap16(unix.RTM_NEWNEXTHOP), 1, 0),
		jump(unix.BPF_JEQ, swap16(unix.RTM_DELNEXTHOP), 0, 2),
		load(unix.BPF_B, unix.NLMSG_HDRLEN+nhProtocolOctet),
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: 1},
		load(unix.BPF_B, unix.NLMSG_HDRLEN+rtProtocolOctet),
		jump(unix.BPF_JEQ, Protocol, 0, 1),
		ret(accept),
		load(unix.BPF_H, 6), // nlmsg_flags
		jump(unix.BPF_JSET, swap16(unix.NLM_F_REPLACE), 0, 1),
		ret(accept),
		ret(drop),
	)
}

// run reads until the context ends.
func (w *watch) run(ctx context.Context) {
	defer close(w.out)
	defer w.close()
	stop := context.AfterFunc(ctx, func() { _ = w.links.events.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if !w.resync(ctx) {
		return
	}
	c := w.links.events
	for ctx.Err() == nil {
		b, err := c.wait()
		switch {
		case errors.Is(err, errLost):
			// The kernel reports an overrun once and drops in silence until the
			// queue is empty, so it is emptied before the state is read anew.
			c.drain()
			if !w.resync(ctx) {
				return
			}
			continue
		case err != nil:
			return
		}
		for len(b) > 0 {
			m, rest, ok := splitMessage(b)
			if !ok {
				break
			}
			b = rest
			if e, ok := w.event(&m); ok && !w.send(ctx, e) {
				return
			}
		}
	}
}

// resync reads the links anew and tells the reader to read everything.
func (w *watch) resync(ctx context.Context) bool {
	c := w.links.query
	err := c.dump(ctx, func() { buildLinkDump(c, false) }, w.links.reset, w.links.apply)
	if err != nil {
		return false
	}
	return w.send(ctx, Event{Kind: EventResync})
}

func (w *watch) send(ctx context.Context, e Event) bool {
	select {
	case w.out <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

func (w *watch) view() view { return view{w.links.byIndex, w.links.byName, w.links.byTable} }

// event decodes a message; false when it is of no interest.
func (w *watch) event(m *message) (Event, bool) {
	switch m.typ {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return w.linkEvent(m)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		a, ok := parseAddress(m.data)
		if !ok {
			return Event{}, false
		}
		s := w.view().address(a)
		return Event{Kind: EventAddress, Gone: m.typ == unix.RTM_DELADDR, Address: s,
			Keys: []object.Key{object.Address{Link: s.Link, Prefix: s.Prefix}.Key()}}, true
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		return w.neighbourEvent(m)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return w.routeEvent(m)
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		r, ok := parseNextHop(m.data)
		name, known := w.hops.known(r.id)
		if !ok || !known {
			return Event{}, false
		}
		return Event{Kind: EventNextHop, Gone: m.typ == unix.RTM_DELNEXTHOP || !r.ours(),
			Keys: []object.Key{object.SharedHopKey(name)}}, true
	}
	return Event{}, false
}

func (w *watch) linkEvent(m *message) (Event, bool) {
	l, ok := parseLink(m.data)
	if !ok {
		return Event{}, false
	}
	old := w.links.byIndex[l.index]
	var before LinkState
	if old != nil {
		before = w.view().state(old)
	}
	w.links.apply(m)
	l.stats = LinkCounters{}
	e := Event{Before: before, Kind: EventLink, Gone: m.typ == unix.RTM_DELLINK, Link: w.view().state(l), Keys: linkKeys(l.name)}
	if old != nil && old.name != l.name {
		e.Keys = append(e.Keys, linkKeys(old.name)...)
	}
	return e, true
}

func linkKeys(name string) []object.Key {
	return []object.Key{object.LinkKey(name), object.MemberKey(name), object.LinkConfigKey(name)}
}

func (w *watch) routeEvent(m *message) (Event, bool) {
	r, ok := parseRoute(m.data)
	if !ok || r.flags&unix.RTM_F_CLONED != 0 {
		return Event{}, false
	}
	e := Event{Kind: EventRoute, Gone: m.typ == unix.RTM_DELROUTE || r.proto != Protocol,
		Keys: []object.Key{object.RouteKey(r.table, r.dst, r.metric)}}
	if r.family == unix.AF_INET6 && r.metric == defaultMetricIPv6 {
		e.Keys = append(e.Keys, object.SIDKey(r.table, r.dst))
	}
	if o, ok := (decoder{w.view(), w.hops}).object(&r); ok && r.proto == Protocol {
		e.Route = o
	}
	return e, true
}
