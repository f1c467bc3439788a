package rtnl

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"heddle/kernel/object"
)

// encoder writes routes and SIDs as messages. It resolves names by the links as
// they are when it is made.
type encoder struct {
	view
	hops *hopTable
}

func (e encoder) index(name string, of object.Object) (uint32, error) {
	l := e.byName[name]
	if l == nil {
		return 0, &MissingLinkError{Link: name, Object: of.Key().String()}
	}
	return uint32(l.index), nil
}

// routeHeader fills struct rtmsg and writes the attributes that identify a route.
// h is not to be used behind it: the buffer may have moved.
func routeHeader(m *msgBuf, h []byte, typ, scope uint8, table uint32, p netip.Prefix, metric uint32) {
	h[0] = family(p.Addr())
	h[1] = uint8(p.Bits())
	h[4] = unix.RT_TABLE_UNSPEC
	if table < 256 {
		h[4] = uint8(table)
	}
	h[5] = Protocol
	h[6], h[7] = scope, typ
	m.addr(unix.RTA_DST, p.Addr())
	m.u32(unix.RTA_TABLE, table)
	if metric == 0 && p.Addr().Is6() {
		metric = defaultMetricIPv6
	}
	if metric != 0 {
		m.u32(unix.RTA_PRIORITY, metric)
	}
}

// write appends a message that creates or replaces o. On an error nothing is
// appended.
func (e encoder) write(m *msgBuf, flags uint16, seq uint32, o object.Object) (err error) {
	h := m.begin(unix.RTM_NEWROUTE, flags, seq, unix.SizeofRtMsg)
	switch o := o.(type) {
	case *object.LocalSID:
		err = e.sid(m, h, o)
	case *object.Route:
		err = e.route(m, h, o)
	default:
		err = wrongType(o)
	}
	if err != nil {
		m.abort()
		return err
	}
	m.end()
	return nil
}

// remove appends a message that deletes o and nothing else: the protocol and all
// that identifies the route go along, for IPv4 the way out too, because IPv4
// takes metric 0 for any metric.
func (e encoder) remove(m *msgBuf, flags uint16, seq uint32, o object.Object) error {
	h := m.begin(unix.RTM_DELROUTE, flags, seq, unix.SizeofRtMsg)
	switch o := o.(type) {
	case *object.LocalSID:
		routeHeader(m, h, unix.RTN_UNICAST, unix.RT_SCOPE_NOWHERE, o.Table, o.Prefix(), 0)
	case *object.Route:
		routeHeader(m, h, routeType(o.Type), unix.RT_SCOPE_NOWHERE, o.Table, o.Prefix, o.Metric)
		if id, ok := e.hops.id(o.SharedHop); ok && o.Prefix.Addr().Is4() {
			m.u32(rtaNHID, id)
		}
		if o.Prefix.Addr().Is4() && len(o.NextHops) == 1 {
			if l := e.byName[o.NextHops[0].Link]; l != nil {
				m.u32(unix.RTA_OIF, uint32(l.index))
			}
			gateway(m, o.NextHops[0].Gateway, unix.AF_INET)
		}
	default:
		m.abort()
		return wrongType(o)
	}
	m.end()
	return nil
}

func routeType(t object.RouteType) uint8 {
	switch t {
	case object.Blackhole:
		return unix.RTN_BLACKHOLE
	case object.Unreachable:
		return unix.RTN_UNREACHABLE
	case object.Throw:
		return unix.RTN_THROW
	}
	return unix.RTN_UNICAST
}

func (e encoder) route(m *msgBuf, h []byte, r *object.Route) error {
	fam := family(r.Prefix.Addr())
	scope := uint8(unix.RT_SCOPE_UNIVERSE)
	if fam == unix.AF_INET && len(r.NextHops) == 1 && !r.NextHops[0].Gateway.IsValid() {
		scope = unix.RT_SCOPE_LINK
	}
	routeHeader(m, h, routeType(r.Type), scope, r.Table, r.Prefix, r.Metric)
	switch {
	case r.Type != object.Unicast:
		return nil
	case r.SharedHop != "":
		id, ok := e.hops.id(r.SharedHop)
		if !ok {
			return &MissingNextHopError{NextHop: r.SharedHop}
		}
		m.u32(rtaNHID, id)
		return nil
	case len(r.NextHops) == 0:
		return fmt.Errorf("route has no next hop: give it one, or make it a blackhole")
	case len(r.NextHops) == 1:
		n := r.NextHops[0]
		if n.Link != "" {
			index, err := e.index(n.Link, r)
			if err != nil {
				return err
			}
			m.u32(unix.RTA_OIF, index)
		}
		if n.OnLink { // struct rtmsg ends with rtm_flags; the message has grown since h was made
			native.PutUint32(m.b[m.start+unix.NLMSG_HDRLEN+unix.SizeofRtMsg-4:], unix.RTNH_F_ONLINK)
		}
		return nextHop(m, n, fam)
	}
	mp := m.nest(unix.RTA_MULTIPATH)
	for _, n := range r.NextHops {
		var index uint32
		if n.Link != "" {
			var err error
			if index, err = e.index(n.Link, r); err != nil {
				return err
			}
		}
		// struct rtnexthop: len u16, flags u8, hops u8, ifindex i32.
		off := len(m.b)
		m.b = append(m.b, 0, 0, 0, uint8(max(n.Weight, 1)-1))
		m.b = native.AppendUint32(m.b, index)
		if err := nextHop(m, n, fam); err != nil {
			return err
		}
		native.PutUint16(m.b[off:], uint16(len(m.b)-off))
	}
	m.unnest(mp)
	return nil
}

// gateway writes the next hop's address for a route of the family.
func gateway(m *msgBuf, gw netip.Addr, fam uint8) {
	switch {
	case !gw.IsValid():
	case fam == unix.AF_INET && gw.Is6():
		v := gw.As16()
		m.hdr(unix.RTA_VIA, 2+len(v))
		m.b = native.AppendUint16(m.b, unix.AF_INET6)
		m.b = append(m.b, v[:]...)
		m.pad()
	default:
		m.addr(unix.RTA_GATEWAY, gw.WithZone(""))
	}
}

func nextHop(m *msgBuf, n object.NextHop, fam uint8) error {
	if fam == unix.AF_INET6 && n.Gateway.IsValid() && !n.Gateway.Is6() {
		return fmt.Errorf("next hop %s of an IPv6 route is not an IPv6 address", n.Gateway)
	}
	gateway(m, n.Gateway, fam)
	if n.Encap == nil {
		return nil
	}
	m.u16(unix.RTA_ENCAP_TYPE, encapSeg6)
	off := m.nest(unix.RTA_ENCAP)
	if err := encap(m, n.Encap); err != nil {
		return err
	}
	m.unnest(off)
	return nil
}

// maxSegments is what an SRH's length field, in units of 8 octets, can count.
const maxSegments = 127

// maxSegmentsHMAC is the same with an HMAC behind the segments.
const maxSegmentsHMAC = 125

// encap writes SEG6_IPTUNNEL_SRH, the mode and a segment routing header, and
// SEG6_IPTUNNEL_SRC.
func encap(m *msgBuf, e *object.Encap) error {
	off := m.nest(nl.SEG6_IPTUNNEL_SRH)
	m.b = native.AppendUint32(m.b, uint32(e.Mode))
	if err := srh(m, e); err != nil {
		return err
	}
	m.unnest(off)
	switch {
	case !e.Source.IsValid():
	case !e.Source.Is6() || e.Source.Is4In6() || e.Mode == object.HInsert:
		return fmt.Errorf("source %s of encapsulation %s: it is an IPv6 address, and of an outer header", e.Source, e.Mode)
	default:
		m.addr(seg6IPTunnelSource, e.Source.WithZone(""))
	}
	return nil
}

// srh writes a segment routing header (RFC 8754 §2), whose list is reversed. For
// inline the kernel puts the packet's own destination into the last segment,
// which has index 0.
func srh(m *msgBuf, e *object.Encap) error {
	n := len(e.Segments)
	if e.Mode == object.HInsert {
		n++
	}
	if len(e.Segments) == 0 || n > maxSegments {
		return fmt.Errorf("segment list of %d segments: give it 1 to %d", len(e.Segments), maxSegments)
	}
	// next header, length, type, segments left, last entry, flags, tag.
	length, flags := n*2, uint8(0)
	if e.HMACKey != 0 {
		length, flags = length+srhSizeofTLVHMAC/8, srhFlagHMAC
	}
	if length > math.MaxUint8 {
		return fmt.Errorf("segment list of %d segments with an HMAC: give it %d at most", len(e.Segments), maxSegmentsHMAC-(n-len(e.Segments)))
	}
	m.b = append(m.b, 0, uint8(length), srhType, uint8(n-1), uint8(n-1), flags, 0, 0)
	if e.Mode == object.HInsert {
		m.b = append(m.b, make([]byte, 16)...)
	}
	for i := len(e.Segments) - 1; i >= 0; i-- {
		s := e.Segments[i]
		if !s.Is6() || s.Is4In6() {
			return fmt.Errorf("segment %s is not an IPv6 address: a segment list holds IPv6 addresses only", s)
		}
		v := s.As16()
		m.b = append(m.b, v[:]...)
	}
	if e.HMACKey != 0 {
		// The kernel fills in the HMAC itself, for each packet.
		m.b = append(m.b, srhTLVHMAC, srhSizeofTLVHMAC-2, 0, 0)
		m.b = binary.BigEndian.AppendUint32(m.b, e.HMACKey)
		m.b = append(m.b, make([]byte, srhSizeofTLVHMAC-8)...)
	}
	return nil
}

func (e encoder) sid(m *msgBuf, h []byte, s *object.LocalSID) error {
	if !s.SID.Is6() || s.SID.Is4In6() {
		return fmt.Errorf("SID %s is not an IPv6 address", s.SID)
	}
	prefix := s.Prefix()
	if !prefix.IsValid() || prefix != prefix.Masked() {
		return fmt.Errorf("SID %s with a block of %d and a node and function of %d bits: what is behind them has to be zero",
			s.SID, s.BlockLength, s.NodeFunctionLength)
	}
	routeHeader(m, h, unix.RTN_UNICAST, unix.RT_SCOPE_UNIVERSE, s.Table, prefix, 0)
	dev, err := e.index(s.Dev, s)
	if err != nil {
		return err
	}
	m.u32(unix.RTA_OIF, dev)
	m.u16(unix.RTA_ENCAP_TYPE, encapSeg6Local)
	encap := m.nest(unix.RTA_ENCAP)
	m.u32(nl.SEG6_LOCAL_ACTION, uint32(s.Behavior))
	if err := e.parameters(m, s); err != nil {
		return err
	}
	// All three, or the kernel answers EINVAL; what is sent is the start value
	// in name only: the kernel starts at 0.
	counters := m.nest(seg6LocalCounters | unix.NLA_F_NESTED)
	m.u64(seg6CntPackets, 0)
	m.u64(seg6CntBytes, 0)
	m.u64(seg6CntErrors, 0)
	m.unnest(counters)
	if s.Flavors != 0 {
		flavors := m.nest(seg6LocalFlavors | unix.NLA_F_NESTED)
		m.u32(seg6FlvOperation, uint32(s.Flavors))
		if s.Flavors&object.NextCSID != 0 {
			m.u8(seg6FlvBlockBits, s.BlockLength)
			m.u8(seg6FlvNodeFunctionBits, s.NodeFunctionLength)
		}
		m.unnest(flavors)
	}
	m.unnest(encap)
	return nil
}

// parameters writes what belongs to the behaviour of a SID.
func (e encoder) parameters(m *msgBuf, s *object.LocalSID) error {
	switch s.Behavior {
	case object.EndX:
		if !s.NextHop.Is6() || s.NextHop.Is4In6() {
			return fmt.Errorf("next hop %s of End.X is not an IPv6 address", s.NextHop)
		}
		m.addr(nl.SEG6_LOCAL_NH6, s.NextHop.WithZone(""))
	case object.EndDX4, object.EndDX6:
		// None is all zeros: the destination of the inner packet.
		typ, none := uint16(nl.SEG6_LOCAL_NH6), netip.IPv6Unspecified()
		if s.Behavior == object.EndDX4 {
			typ, none = nl.SEG6_LOCAL_NH4, netip.IPv4Unspecified()
		}
		hop := s.NextHop.WithZone("")
		if !hop.IsValid() {
			hop = none
		}
		if hop.BitLen() != none.BitLen() || hop.Is4In6() {
			return fmt.Errorf("next hop %s of %s is of the wrong family", hop, s.Behavior)
		}
		m.addr(typ, hop)
	case object.EndT:
		m.u32(nl.SEG6_LOCAL_TABLE, s.VRFTable)
	case object.EndDT4, object.EndDT6, object.EndDT46:
		if s.VRF == "" {
			m.u32(nl.SEG6_LOCAL_TABLE, s.VRFTable)
		} else {
			m.u32(nl.SEG6_LOCAL_VRFTABLE, s.VRFTable)
		}
	case object.EndB6, object.EndB6Encaps:
		if s.Policy == nil {
			return fmt.Errorf("%s without segments: give it 1 to %d", s.Behavior, maxSegments)
		}
		off := m.nest(nl.SEG6_LOCAL_SRH)
		if err := srh(m, s.Policy); err != nil {
			return err
		}
		m.unnest(off)
	}
	if s.OutLink == "" {
		return nil
	}
	out, err := e.index(s.OutLink, s)
	if err == nil && s.Behavior == object.EndDX2 {
		err = takesFrames(e.byName[s.OutLink])
	}
	if err == nil {
		m.u32(nl.SEG6_LOCAL_OIF, out)
	}
	return err
}
