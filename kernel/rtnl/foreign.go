package rtnl

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
)

// families says which of the two a change reaches.
type families uint8

const (
	v4   families = 1
	v6   families = 2
	both          = v4 | v6
)

func (f families) has(family uint8) bool {
	return family == unix.AF_INET && f&v4 != 0 || family == unix.AF_INET6 && f&v6 != 0
}

// domain is where a link takes part in routing: a VRF or, with an empty name, the
// rest.
type domain struct {
	vrf   string
	table uint32
}

func (v view) domain(l *link) domain {
	if l.kind == string(object.LinkVRF) {
		return domain{l.name, l.table}
	}
	if m := v.byIndex[l.master]; m != nil && m.kind == string(object.LinkVRF) {
		return domain{m.name, m.table}
	}
	return domain{table: object.TableMain}
}

// has reports whether routes in a table belong to the domain.
func (d domain) has(table uint32) bool {
	return table == d.table || d.vrf == "" && table == object.TableLocal
}

// keptAddress is an address of a link.
type keptAddress struct {
	address
	valid, preferred uint32 // seconds, as of when it was read
}

// ifaForever is a lifetime without end (INFINITY_LIFE_TIME in net/addrconf.h).
const ifaForever = ^uint32(0)

// comesBack reports whether the kernel makes the address anew by itself: link-local
// ones, those of router advertisements and what is made from these.
func (a *address) comesBack() bool {
	switch a.proto {
	case ifaProtoLoopback, ifaProtoRA, ifaProtoLinkLocal:
		return true
	}
	return a.prefix.Addr().Is6() && a.flags&unix.IFA_F_TEMPORARY != 0
}

// settable are the flags of an address that are not the kernel's own.
const settable = unix.IFA_F_NODAD | unix.IFA_F_HOMEADDRESS | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MCAUTOJOIN

// message is the address as it is to be made after some time; more are flags beside
// its own.
func (a *keptAddress) message(at indexMap, since time.Duration, more uint32) []byte {
	var m msgBuf
	addressMessage(&m, a.raw, at, a.flags&settable|more, left(a.valid, since), left(a.preferred, since))
	return m.b
}

// atOnce are the flags that an IPv6 address is first made with to be in use at
// once: without duplicate address detection. It is to be changed into one without
// them. With the first flag alone the kernel looks for the route of its prefix then
// and, where that is 128 bits long and the link in a VRF, deletes the address's own
// (modify_prefix_route in net/ipv6/addrconf.c).
const atOnce = unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE

// inUse reports whether an IPv6 address is through with duplicate address
// detection.
func (a *address) inUse() bool {
	const not = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED | unix.IFA_F_OPTIMISTIC
	return a.prefix.Addr().Is6() && a.flags&not == 0
}

// left is what is left of a lifetime, in seconds.
func left(life uint32, since time.Duration) uint32 {
	gone := uint32(since / time.Second)
	switch {
	case life == ifaForever:
		return life
	case life <= gone:
		return min(life, 1)
	}
	return life - gone
}

func keepAddress(a address) keptAddress {
	k := keptAddress{address: a, valid: ifaForever, preferred: ifaForever}
	k.raw = slices.Clone(a.raw)
	for at := (attrs{rest: a.raw[unix.SizeofIfAddrmsg:]}); at.next(); {
		if at.typ == unix.IFA_CACHEINFO && len(at.data) >= 8 {
			k.preferred, k.valid = native.Uint32(at.data), native.Uint32(at.data[4:])
		}
	}
	return k
}

// keptNeighbour is a neighbour that the kernel has not found by itself.
type keptNeighbour struct {
	index  int32
	family uint8
	dst    netip.Addr
	proto  uint8
	msg    []byte
}

// parseNeighbour decodes an RTM_NEWNEIGH; false for one that comes and goes by
// itself. The kernel itself makes neighbours of state NOARP where there is nothing
// to resolve: for multicast and broadcast, and on links without ARP.
func parseNeighbour(b []byte, arp func(index int32) bool) (n keptNeighbour, ok bool) {
	if len(b) < sizeofNdmsg {
		return n, false
	}
	n = keptNeighbour{index: int32(native.Uint32(b[4:])), family: b[0]}
	state, flags := native.Uint16(b[8:]), b[10]
	var ext uint32
	group := true
	for a := (attrs{rest: b[sizeofNdmsg:]}); a.next(); {
		switch a.typ {
		case unix.NDA_DST:
			n.dst = a.addr()
		case unix.NDA_LLADDR:
			group = len(a.data) == 0 || a.data[0]&1 != 0
		case ndaFlagsExt:
			ext = a.u32()
		case ndaProtocol:
			n.proto = a.u8()
		}
	}
	ok = flags&(unix.NTF_PROXY|unix.NTF_EXT_LEARNED) != 0 || ext != 0 || state&unix.NUD_PERMANENT != 0 ||
		state&unix.NUD_NOARP != 0 && !group && arp(n.index)
	var m msgBuf
	neighbourMessage(&m, b, nil)
	n.msg = m.b
	return n, ok && n.dst.IsValid()
}

// keptHop is a nexthop object or, with members, a group of them.
type keptHop struct {
	id      uint32
	ours    bool
	index   int32 // of its link
	members []uint32
	msg     []byte
}

func keepHop(b []byte) (h keptHop, ok bool) {
	r, ok := parseNextHop(b)
	if !ok {
		return h, false
	}
	h = keptHop{id: r.id, ours: r.ours(), index: r.hop.oif}
	for _, g := range r.group {
		h.members = append(h.members, g.id)
	}
	var m msgBuf
	hopMessage(&m, b, nil)
	h.msg = m.b
	return h, true
}

// keptRoute is a route.
type keptRoute struct {
	slot
	family, proto, typ uint8
	hop                uint32  // id of a nexthop object, 0: none
	links              []int32 // of all its next hops
	gateways           []netip.Addr
	source             netip.Addr
	several            bool   // next hops
	expires            uint32 // seconds, 0: never
	msg                []byte
}

// keepRoute decodes a route; hopLinks are the links of nexthop objects by id.
func keepRoute(r *rawRoute, hopLinks map[uint32][]int32) keptRoute {
	k := keptRoute{slot: r.slot(), family: r.family, proto: r.proto, typ: r.typ, hop: r.nextHop, several: r.multipath != nil}
	switch {
	case r.nextHop != 0:
		k.links = hopLinks[r.nextHop]
	case r.multipath != nil:
		eachNextHop(r.multipath, func(b []byte) {
			h := rawHop{oif: int32(native.Uint32(b[4:]))}
			for a := (attrs{rest: b[unix.SizeofRtNexthop:]}); a.next(); {
				h.attr(&a)
			}
			k.links = append(k.links, h.oif)
			k.gateways = append(k.gateways, h.gateway)
		})
	case r.hop.oif != 0:
		k.links, k.gateways = []int32{r.hop.oif}, []netip.Addr{r.hop.gateway}
	}
	body := r.raw[unix.SizeofRtMsg:]
	k.source = addrIn(body, unix.RTA_PREFSRC)
	for a := (attrs{rest: body}); a.next(); {
		// struct rta_cacheinfo: clntref, lastuse, expires in 1/100 s, ...
		if a.typ == unix.RTA_CACHEINFO && r.family == unix.AF_INET6 && len(a.data) >= 12 {
			if ticks := int32(native.Uint32(a.data[8:])); ticks > 0 {
				k.expires = uint32(ticks+99) / 100
			}
		}
	}
	var m msgBuf
	routeMessage(&m, r.raw, nil)
	k.msg = m.b
	return k
}

// message is the route as it is to be made after some time.
func (r *keptRoute) message(at indexMap, since time.Duration) []byte {
	var m msgBuf
	routeMessage(&m, r.msg, at)
	if r.expires != 0 {
		m.u32(unix.RTA_EXPIRES, left(r.expires, since))
	}
	return m.b
}

// way is the message without the destination: routes with the same way are taken
// or refused alike.
func (r *keptRoute) way() string {
	b := append([]byte{r.family}, r.msg[2:unix.SizeofRtMsg]...)
	for a := (attrs{rest: r.msg[unix.SizeofRtMsg:]}); a.next(); {
		if a.typ != unix.RTA_DST {
			b = append(b, a.raw...)
		}
	}
	return string(b)
}

// madeAnew reports whether the route comes and goes with the addresses of its link
// or with router advertisements. Where an address came without a route for its
// prefix, such a route is somebody's.
func (r *keptRoute) madeAnew(bare []netip.Prefix) bool {
	switch r.proto {
	case unix.RTPROT_REDIRECT, unix.RTPROT_RA:
		return true
	case unix.RTPROT_KERNEL:
		return r.typ != unix.RTN_UNICAST || !slices.Contains(bare, r.prefix)
	}
	return false
}

func (r *keptRoute) String() string {
	text := "route " + r.prefix.String()
	if r.table != object.TableMain {
		text += fmt.Sprintf(" table %d", r.table)
	}
	if r.metric != 0 && !(r.prefix.Addr().Is6() && r.metric == defaultMetricIPv6) {
		text += fmt.Sprintf(" metric %d", r.metric)
	}
	return text + " of protocol " + ProtocolName(r.proto)
}

// dumpNeighbours lists the neighbours of a link, of all for index 0: those in the
// tables and then those that the link answers for.
func dumpNeighbours(ctx context.Context, c *conn, index int32, fn func(b []byte)) error {
	for _, flags := range []uint8{0, unix.NTF_PROXY} {
		var found [][]byte
		err := c.dump(ctx, func() {
			h := c.begin(unix.RTM_GETNEIGH, unix.NLM_F_DUMP, sizeofNdmsg)
			h[10] = flags
			if index != 0 {
				c.out.u32(unix.NDA_IFINDEX, uint32(index))
			}
			c.out.end()
		}, func() { found = found[:0] }, func(m *message) {
			if m.typ == unix.RTM_NEWNEIGH && len(m.data) >= sizeofNdmsg && (index == 0 || int32(native.Uint32(m.data[4:])) == index) {
				found = append(found, slices.Clone(m.data))
			}
		})
		if err != nil && !isErrno(err, unix.ENODEV) {
			return fmt.Errorf("list neighbours: %w", err)
		}
		for _, b := range found {
			fn(b)
		}
	}
	return nil
}

// dumpHops lists the nexthop objects over a link, of all links for index 0, or the
// groups.
func dumpHops(ctx context.Context, c *conn, index int32, groups bool) ([]keptHop, error) {
	var hops []keptHop
	err := c.dump(ctx, func() {
		c.begin(unix.RTM_GETNEXTHOP, unix.NLM_F_DUMP, sizeofNhmsg)
		switch {
		case groups:
			c.out.bytes(nhaGroups, nil)
		case index != 0:
			c.out.u32(nhaOIF, uint32(index))
		}
		c.out.end()
	}, func() { hops = hops[:0] }, func(m *message) {
		if m.typ != unix.RTM_NEWNEXTHOP {
			return
		}
		if h, ok := keepHop(m.data); ok && (h.members != nil) == groups && (index == 0 || h.index == index) {
			hops = append(hops, h)
		}
	})
	// Before Linux 5.3 there are none.
	if err != nil && !isErrno(err, unix.EOPNOTSUPP) {
		return nil, fmt.Errorf("list nexthop objects: %w", err)
	}
	return hops, nil
}
