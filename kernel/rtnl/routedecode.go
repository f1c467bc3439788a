package rtnl

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"heddle/kernel/object"
)

// rawRoute is a route as the kernel describes it, before names are looked up.
// Slices point into the message.
type rawRoute struct {
	family, proto, typ uint8
	flags              uint32
	table, metric      uint32
	dst                netip.Prefix
	hop                rawHop
	multipath          []byte
	nextHop            uint32 // id of a nexthop object, 0: none
	raw                []byte // behind the netlink header
}

// rawHop is one next hop of a rawRoute.
type rawHop struct {
	oif       int32
	gateway   netip.Addr
	encapType uint16
	encap     []byte
}

// parseRoute decodes an RTM_NEWROUTE or RTM_DELROUTE of IPv4 or IPv6.
func parseRoute(b []byte) (r rawRoute, ok bool) {
	if len(b) < unix.SizeofRtMsg {
		return r, false
	}
	r = rawRoute{family: b[0], table: uint32(b[4]), proto: b[5], typ: b[7], flags: native.Uint32(b[8:]), raw: b}
	var addr netip.Addr
	switch r.family {
	case unix.AF_INET:
		addr = netip.IPv4Unspecified()
	case unix.AF_INET6:
		addr = netip.IPv6Unspecified()
	default:
		return r, false
	}
	for a := (attrs{rest: b[unix.SizeofRtMsg:]}); a.next(); {
		switch a.typ {
		case unix.RTA_DST:
			addr = a.addr()
		case unix.RTA_TABLE:
			r.table = a.u32()
		case unix.RTA_PRIORITY:
			r.metric = a.u32()
		case unix.RTA_MULTIPATH:
			r.multipath = a.data
		case rtaNHID:
			r.nextHop = a.u32()
		default:
			r.hop.attr(&a)
		}
	}
	r.dst = netip.PrefixFrom(addr, int(b[1]))
	return r, r.dst.IsValid()
}

// attr takes one attribute that a route and a multipath next hop share.
func (h *rawHop) attr(a *attrs) {
	switch a.typ {
	case unix.RTA_OIF:
		h.oif = int32(a.u32())
	case unix.RTA_GATEWAY:
		h.gateway = a.addr()
	case unix.RTA_VIA:
		if len(a.data) >= 2 {
			h.gateway, _ = netip.AddrFromSlice(a.data[2:])
		}
	case unix.RTA_ENCAP_TYPE:
		h.encapType = a.u16()
	case unix.RTA_ENCAP:
		h.encap = a.data
	}
}

func (r *rawRoute) isSID() bool { return r.hop.encapType == encapSeg6Local }

// decoder turns raw routes into objects, with the links as they are now.
type decoder struct {
	view
	hops *hopTable // nil: none is known
}

// gone stands for a link that the kernel's answer refers to and that does not
// exist (any more). No link can have this name.
const gone = "(gone)"

func (d decoder) name(index int32) string {
	switch l := d.byIndex[index]; {
	case index == 0:
		return ""
	case l != nil:
		return l.name
	}
	return gone
}

func (d decoder) vrf(table uint32) string {
	if l := d.byTable[table]; l != nil {
		return l.name
	}
	return ""
}

// sid decodes a seg6local route into s; false when it has something that a
// LocalSID cannot express. counted tells whether counters are on.
func (d decoder) sid(r *rawRoute, s *object.LocalSID) (counted, ok bool) {
	*s = object.LocalSID{SID: r.dst.Addr(), Table: r.table, Dev: d.name(r.hop.oif)}
	ok = r.metric == defaultMetricIPv6 && r.multipath == nil && !r.hop.gateway.IsValid()
	for a := (attrs{rest: r.hop.encap}); a.next(); {
		switch a.typ {
		case nl.SEG6_LOCAL_ACTION:
			s.Behavior = object.Behavior(a.u32())
		case nl.SEG6_LOCAL_TABLE:
			s.VRFTable = a.u32()
		case nl.SEG6_LOCAL_VRFTABLE:
			s.VRFTable = a.u32()
			if s.VRF = d.vrf(s.VRFTable); s.VRF == "" {
				s.VRF = gone
			}
		case nl.SEG6_LOCAL_NH4, nl.SEG6_LOCAL_NH6:
			// All zeros stand for no next hop.
			if s.NextHop = a.addr(); s.NextHop.IsUnspecified() {
				s.NextHop = netip.Addr{}
			}
		case nl.SEG6_LOCAL_OIF:
			s.OutLink = d.name(int32(a.u32()))
		case nl.SEG6_LOCAL_SRH:
			ok = d.policy(a.data, s) && ok
		case seg6LocalCounters:
			counted = true
		case seg6LocalFlavors:
			ok = flavors(a.data, s) && ok
		default:
			ok = false
		}
	}
	if s.Behavior == object.EndT && s.VRFTable != object.TableMain {
		if s.VRF = d.vrf(s.VRFTable); s.VRF == "" {
			s.VRF = gone
		}
	}
	return counted, ok && s.Behavior.Known() && s.Prefix() == r.dst
}

// flavors decodes the flavors of a behaviour; false when there are some that are
// not known.
func flavors(b []byte, s *object.LocalSID) bool {
	ops := uint32(0)
	for a := (attrs{rest: b}); a.next(); {
		switch a.typ {
		case seg6FlvOperation:
			ops = a.u32()
		case seg6FlvBlockBits:
			s.BlockLength = a.u8()
		case seg6FlvNodeFunctionBits:
			s.NodeFunctionLength = a.u8()
		}
	}
	s.Flavors = object.Flavors(ops) & (object.PSP | object.NextCSID)
	return uint32(s.Flavors) == ops
}

// policy decodes the header of End.B6 and End.B6.Encaps, which comes after the
// action (seg6_local_fill_encap).
func (d decoder) policy(b []byte, s *object.LocalSID) bool {
	p := &object.Encap{Mode: object.HEncaps}
	if s.Behavior == object.EndB6 {
		p.Mode = object.HInsert
	}
	s.Policy = p
	return parseSRH(b, p)
}

// route decodes a route that is no SID; false when it has something that a Route
// cannot express.
func (d decoder) route(r *rawRoute) (*object.Route, bool) {
	o := &object.Route{Table: r.table, Prefix: r.dst, Metric: r.metric}
	if r.table != object.TableMain {
		o.VRF = d.vrf(r.table)
	}
	if r.family == unix.AF_INET6 && r.metric == defaultMetricIPv6 {
		o.Metric = 0
	}
	switch r.typ {
	case unix.RTN_BLACKHOLE:
		o.Type = object.Blackhole
		return o, true
	case unix.RTN_UNREACHABLE:
		o.Type = object.Unreachable
		return o, true
	case unix.RTN_THROW:
		o.Type = object.Throw
		return o, true
	case unix.RTN_UNICAST:
	default:
		return o, false
	}
	if r.nextHop != 0 {
		o.SharedHop = d.hops.name(r.nextHop)
		return o, true
	}
	if r.multipath == nil {
		n, ok := d.hop(&r.hop)
		o.NextHops = []object.NextHop{n}
		return o, ok
	}
	for b := r.multipath; len(b) >= unix.SizeofRtNexthop; {
		n := int(native.Uint16(b))
		if n < unix.SizeofRtNexthop || n > len(b) {
			return o, false
		}
		h := rawHop{oif: int32(native.Uint32(b[4:]))}
		for a := (attrs{rest: b[unix.SizeofRtNexthop:n]}); a.next(); {
			h.attr(&a)
		}
		hop, ok := d.hop(&h)
		if !ok {
			return o, false
		}
		if hops := b[3]; hops > 0 {
			hop.Weight = uint16(hops) + 1
		}
		o.NextHops = append(o.NextHops, hop)
		b = b[min(align4(n), len(b)):]
	}
	return o, true
}

func (d decoder) hop(h *rawHop) (object.NextHop, bool) {
	n := object.NextHop{Gateway: h.gateway, Link: d.name(h.oif)}
	switch h.encapType {
	case 0:
		return n, true
	case encapSeg6:
		e, ok := parseEncap(h.encap)
		n.Encap = e
		return n, ok
	}
	return n, false
}

// parseEncap decodes the attributes of a seg6 encapsulation.
func parseEncap(b []byte) (*object.Encap, bool) {
	e := new(object.Encap)
	for a := (attrs{rest: b}); a.next(); {
		switch {
		case a.typ == seg6IPTunnelSource:
			e.Source = a.addr()
		case a.typ != nl.SEG6_IPTUNNEL_SRH || len(a.data) < 4:
			return nil, false
		default:
			e.Mode = object.EncapMode(native.Uint32(a.data))
			if !parseSRH(a.data[4:], e) {
				return nil, false
			}
		}
	}
	if e.Segments == nil {
		return nil, false
	}
	return e, true
}

// parseSRH decodes the segments of a segment routing header for the mode of e;
// false when there is more to it.
func parseSRH(b []byte, e *object.Encap) bool {
	const header = 8
	if len(b) < header {
		return false
	}
	n := int(b[4]) + 1 // last entry counts from 0
	list := b[header:]
	if len(list) < 16*n {
		return false
	}
	switch tlv := list[16*n:]; {
	case len(tlv) == 0 && b[5] == 0:
	case len(tlv) == srhSizeofTLVHMAC && b[5] == srhFlagHMAC && tlv[0] == srhTLVHMAC:
		e.HMACKey = binary.BigEndian.Uint32(tlv[4:])
	default: // nothing of ours
		return false
	}
	e.Segments = make([]netip.Addr, 0, n)
	last := 0
	if e.Mode == object.HInsert {
		last = 1
	}
	for i := n - 1; i >= last; i-- {
		e.Segments = append(e.Segments, netip.AddrFrom16([16]byte(list[16*i:])))
	}
	return true
}

// object decodes r into a Route or a LocalSID.
func (d decoder) object(r *rawRoute) (object.Object, bool) {
	if !r.isSID() {
		return d.route(r)
	}
	s := new(object.LocalSID)
	counted, ok := d.sid(r, s)
	return s, ok && counted
}

// compare decodes the kernel's answer to the request for want. It returns want
// itself when nothing differs, which spares a bulk load a copy of each object,
// and an error when the kernel holds something else.
func (d decoder) compare(want object.Object, r *rawRoute) (object.Object, error) {
	if r.proto != Protocol {
		return nil, &DroppedError{Object: fmt.Sprint(want), Dropped: "the protocol mark", Held: fmt.Sprintf("protocol %d", r.proto)}
	}
	if w, ok := want.(*object.LocalSID); ok && r.isSID() {
		var s object.LocalSID
		counted, whole := d.sid(r, &s)
		if whole && counted && s.Same(w) {
			return want, nil
		}
		held := s
		return nil, &DroppedError{Object: w.String(), Dropped: droppedFromSID(w, &held, counted), Held: held.String()}
	}
	got, ok := d.object(r)
	if ok && want.Equal(got) {
		if w, isRoute := want.(*object.Route); isRoute && !leavesLinkOpen(w) {
			return want, nil
		}
		return got, nil
	}
	return nil, &DroppedError{Object: fmt.Sprint(want), Dropped: droppedFromRoute(want, got), Held: fmt.Sprint(got)}
}

// leavesLinkOpen reports whether the kernel chose a link that r does not name.
func leavesLinkOpen(r *object.Route) bool {
	return slices.ContainsFunc(r.NextHops, func(n object.NextHop) bool { return n.Link == "" })
}

// droppedFromSID names what w has and the kernel does not.
func droppedFromSID(w, held *object.LocalSID, counted bool) string {
	switch {
	case !counted:
		return "the counters"
	case w.Behavior != held.Behavior:
		return "action " + w.Behavior.String()
	case w.Flavors != held.Flavors:
		return "flavors " + (w.Flavors &^ held.Flavors).String()
	case w.NextHop != held.NextHop:
		return "next hop " + w.NextHop.String()
	case w.OutLink != held.OutLink:
		return "oif " + w.OutLink
	case w.VRFTable != held.VRFTable || w.VRF != held.VRF:
		return fmt.Sprintf("vrf %q table %d", w.VRF, w.VRFTable)
	case w.Dev != held.Dev:
		return "dev " + w.Dev
	}
	return part
}

func droppedFromRoute(want, got object.Object) string {
	w, ok := want.(*object.Route)
	g, ok2 := got.(*object.Route)
	if !ok || !ok2 {
		return "the encapsulation"
	}
	if w.SharedHop != g.SharedHop {
		return "nexthop " + w.SharedHop
	}
	if len(w.NextHops) != len(g.NextHops) {
		return fmt.Sprintf("%d of %d next hops", len(w.NextHops)-len(g.NextHops), len(w.NextHops))
	}
	for i, n := range w.NextHops {
		if lost := droppedFromHop(n, g.NextHops[i]); lost != part {
			return lost
		}
	}
	return part
}

// part stands for what there are no better words for.
const part = "part of it"

func droppedFromHop(w, held object.NextHop) string {
	switch {
	case w.Encap != nil && held.Encap == nil:
		return w.Encap.String()
	case w.Encap != nil && w.Encap.Source != held.Encap.Source:
		return "tunsrc " + w.Encap.Source.String()
	}
	return part
}
