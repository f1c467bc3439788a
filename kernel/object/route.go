package object

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Routing tables with a meaning of their own (include/uapi/linux/rtnetlink.h).
const (
	TableMain  uint32 = 254
	TableLocal uint32 = 255
)

// LastMetric is that of routes for what no other route of a prefix takes: the
// unreachable default of a VRF, the blackhole of a locator. It is the highest that
// the kernel's documentation of VRFs uses, behind any real route.
const LastMetric = 4278198272

// RouteType is what a route does with a packet.
type RouteType uint8

// Unicast routes have next hops, the others have none. Throw (RTN_THROW) ends
// the lookup in its table and goes on with the next rule: in the table of a VRF
// it sends the lookup on to main, past the unreachable default.
const (
	Unicast RouteType = iota
	Blackhole
	Unreachable
	Throw
)

func (t RouteType) String() string {
	return [...]string{"unicast", "blackhole", "unreachable", "throw"}[t]
}

// EncapMode is a headend behaviour of RFC 8986 §5, as the kernel's
// SEG6_IPTUN_MODE_* numbers it (include/uapi/linux/seg6_iptunnel.h).
type EncapMode uint8

// The modes. H.Insert carries IPv6 only.
const (
	HInsert    EncapMode = 0 // SEG6_IPTUN_MODE_INLINE
	HEncaps    EncapMode = 1 // SEG6_IPTUN_MODE_ENCAP
	HEncapsRed EncapMode = 3 // SEG6_IPTUN_MODE_ENCAP_RED, Linux 6.0

	// The Ethernet frame that a packet came in by is carried, header included.
	HEncapsL2    EncapMode = 2 // SEG6_IPTUN_MODE_L2ENCAP
	HEncapsL2Red EncapMode = 4 // SEG6_IPTUN_MODE_L2ENCAP_RED, Linux 6.0
)

func (m EncapMode) String() string {
	switch m {
	case HInsert:
		return "inline"
	case HEncaps:
		return "encap"
	case HEncapsRed:
		return "encap.red"
	case HEncapsL2:
		return "l2encap"
	case HEncapsL2Red:
		return "l2encap.red"
	}
	return fmt.Sprintf("mode(%d)", uint8(m))
}

// Encap is an SRv6 encapsulation. Segments are in travel order: the first one
// is where the packet goes first.
type Encap struct {
	Mode     EncapMode
	Segments []netip.Addr // IPv6

	// Source is the source of the outer header, IPv6; invalid: that of the network
	// namespace (TunnelSource).
	Source netip.Addr

	// HMACKey is the ID of the key that the header is signed with, 0 for none.
	HMACKey uint32
}

func (e *Encap) equal(o *Encap) bool {
	if e == nil || o == nil {
		return e == o
	}
	return e.Mode == o.Mode && e.Source == o.Source && e.HMACKey == o.HMACKey && slices.Equal(e.Segments, o.Segments)
}

func (e *Encap) String() string {
	s := fmt.Sprintf("encap seg6 mode %s segs %s", e.Mode, e.segments())
	if e.HMACKey != 0 {
		s += fmt.Sprintf(" hmac %d", e.HMACKey)
	}
	if e.Source.IsValid() {
		s += " tunsrc " + e.Source.String()
	}
	return s
}

func (e *Encap) segments() string {
	s := make([]string, len(e.Segments))
	for i, a := range e.Segments {
		s[i] = a.String()
	}
	return strings.Join(s, ",")
}

// NextHop is one way out of a unicast route.
type NextHop struct {
	Gateway netip.Addr // zero: on link
	Link    string     // empty: found by resolving the gateway
	Encap   *Encap     // nil: none

	// OnLink has the kernel take an IPv6 gateway for a neighbour on Link, whatever other
	// routes there are to it: it refuses one that has a gateway of its own
	// (ip6_route_check_nh in net/ipv6/route.c). Of a next hop alone, and not compared: the
	// packets go the same way.
	OnLink bool

	// Weight is the share of the load, 1 to 256, among several next hops; 0 is 1.
	// One alone has none: the kernel forgets it.
	Weight uint16
}

func (n NextHop) weight() uint16 { return max(n.Weight, 1) }

// sameLink compares the links of two next hops. Where one of them leaves the
// link to the resolution of the gateway, the one the kernel has chosen will do.
func sameLink(a, b NextHop) bool {
	return a.Link == b.Link || a.Gateway.IsValid() && (a.Link == "" || b.Link == "")
}

func (n NextHop) String() string {
	var parts []string
	if n.Encap != nil {
		parts = append(parts, n.Encap.String())
	}
	if n.Gateway.IsValid() {
		parts = append(parts, "via "+n.Gateway.String())
	}
	if n.Link != "" {
		parts = append(parts, "dev "+n.Link)
	}
	if n.OnLink {
		parts = append(parts, "onlink")
	}
	if n.weight() != 1 {
		parts = append(parts, fmt.Sprint("weight ", n.Weight))
	}
	return strings.Join(parts, " ")
}

// Route is an entry of a routing table. Routes with the same table, prefix and
// metric are one; its next hops share the load. The pointer is the object: a
// Route is not changed after it was handed on.
type Route struct {
	Table  uint32
	Prefix netip.Prefix // masked
	Metric uint32       // 0 is the kernel's default: 0 for IPv4, 1024 for IPv6
	Type   RouteType

	// VRF is the link of the VRF that owns Table; empty for main.
	VRF      string
	NextHops []NextHop

	// SharedHop is the ID of the SharedNextHop that the route leaves by, in place
	// of next hops of its own; empty: none.
	SharedHop string
}

// preferenceUnit is how much a step of preference adds to a metric.
const preferenceUnit = 1 << 24

// MaxPreferredMetric is the highest metric of a route with a preference above 1.
const MaxPreferredMetric = preferenceUnit - 1

// RouteMetric is the one number that the kernel has for preference, from 1, and
// metric.
func RouteMetric(p netip.Prefix, preference uint8, metric uint32) uint32 {
	if preference <= 1 {
		return metric
	}
	return uint32(preference-1)*preferenceUnit + kernelMetric(p, metric)
}

// PreferenceOf takes the number apart again.
func PreferenceOf(kernel uint32) (preference uint8, metric uint32) {
	return uint8(kernel/preferenceUnit) + 1, kernel % preferenceUnit
}

// RouteKey is the key of a route.
func RouteKey(table uint32, prefix netip.Prefix, metric uint32) Key {
	return Key{KindRoute, Slot{table, prefix, kernelMetric(prefix, metric)}.id()}
}

func (r *Route) Key() Key { return RouteKey(r.Table, r.Prefix, r.Metric) }

// Reserves reports whether a route says that its prefix is this node's own, as that
// of a locator does: the last IPv6 route in main, which drops what nothing else
// takes. Routes of others to the prefix or into it are in its way.
func (r *Route) Reserves() bool {
	return r.Table == TableMain && r.Type == Blackhole && r.Metric == LastMetric && r.Prefix.Addr().Is6()
}

func (r *Route) Needs(into []Key) []Key {
	if r.VRF != "" {
		into = append(into, LinkKey(r.VRF), LinkConfigKey(r.VRF))
	}
	for _, n := range r.NextHops {
		if n.Link != "" {
			into = append(into, LinkKey(n.Link), MemberKey(n.Link), LinkConfigKey(n.Link))
		}
		into = n.needs(into)
	}
	if r.SharedHop != "" {
		into = append(into, SharedHopKey(r.SharedHop))
	}
	if r.Table == TableMain && r.Prefix.IsSingleIP() && r.Prefix.Addr().Is6() && len(r.NextHops) == 1 && r.NextHops[0].Encap == nil {
		// That of a SID with End.AM: without the program nothing is to go this way.
		into = append(into, ProxyKey(r.Prefix.Addr()))
	}
	return into
}

// Equal compares next hops as a set: the kernel lists those of IPv6 in an order
// of its own.
func (r *Route) Equal(o Object) bool {
	t, ok := o.(*Route)
	return ok && r.Table == t.Table && r.Prefix == t.Prefix && r.Type == t.Type && r.SharedHop == t.SharedHop &&
		kernelMetric(r.Prefix, r.Metric) == kernelMetric(t.Prefix, t.Metric) &&
		(slices.EqualFunc(r.NextHops, t.NextHops, NextHop.equal) || sameSet(r.NextHops, t.NextHops))
}

func (n NextHop) equal(o NextHop) bool {
	return n.Gateway == o.Gateway && n.weight() == o.weight() && sameLink(n, o) && n.Encap.equal(o.Encap)
}

func sameSet(a, b []NextHop) bool {
	if len(a) != len(b) {
		return false
	}
	rest := slices.Clone(b)
	for _, n := range a {
		i := slices.IndexFunc(rest, n.equal)
		if i < 0 {
			return false
		}
		rest = slices.Delete(rest, i, i+1)
	}
	return true
}

// Mutable is true: NLM_F_REPLACE swaps a route without a lost packet.
func (r *Route) Mutable(Object) bool { return true }

// Claims is the slot in the table, which a LocalSID would occupy too.
func (r *Route) Claims(into []Claim) []Claim { return slotClaim(into, r.Table, r.Prefix, r.Metric) }

func slotClaim(into []Claim, table uint32, p netip.Prefix, metric uint32) []Claim {
	if !p.Addr().Is6() {
		return into
	}
	return append(into, Claim{Prefix: p, Table: table, Metric: kernelMetric(p, metric)})
}

func (r *Route) String() string {
	var b strings.Builder
	b.WriteString("route ")
	if r.Type != Unicast {
		b.WriteString(r.Type.String() + " ")
	}
	b.WriteString(r.Prefix.String())
	if r.Table != TableMain {
		fmt.Fprintf(&b, " table %d", r.Table)
	}
	if r.Metric != 0 {
		fmt.Fprintf(&b, " metric %d", r.Metric)
	}
	if r.SharedHop != "" {
		b.WriteString(" by nexthop " + r.SharedHop)
	}
	for _, n := range r.NextHops {
		if len(r.NextHops) > 1 {
			b.WriteString(" nexthop")
		}
		b.WriteString(" " + n.String())
	}
	return b.String()
}
