package rules

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"heddle/kernel/object"
	"heddle/schema"
	"heddle/translators"
)

// The hdrlen octet of a segment routing header counts units of 8 octets, 2 for
// each segment, so that 127 segments fit (RFC 8754 §2; the kernel checks just
// that, seg6_validate_srh). H.Insert adds the packet's own destination as the
// last one.
const (
	maxSegments       = 127
	maxSegmentsInsert = maxSegments - 1
)

func staticRules(m *translators.Model) []rule {
	return []rule{
		{"static-prefix", m.Static, staticPrefix},
		{"static-next-hops", m.Static, staticNextHops},
		{"next-hop-way", m.NextHop, nextHopWay},
		{"next-hop-metric", m.NextHop, nextHopMetric},
		{"next-hop-drop", m.NextHop, nextHopDrop},
		{"next-hop-address", m.NextHop, nextHopAddress},
		{"next-hop-reached", m.NextHop, nextHopReached},
		{"next-hop-subinterface", m.NextHop, nextHopSubinterface},
		{"segment-list", m.NextHop, segmentList},
		{"insert-ipv6", m.NextHop, insertNeedsIPv6},
		{"leak", m.NextHop, leak},
		{"leak-loop", m.NextHop, leakLoop},
	}
}

func staticPrefix(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	p := translators.Prefix(entry.(*translators.Static).Prefix)
	if p.IsValid() && p.Addr().IsMulticast() {
		c.fail(k, "config/prefix", p.String(), "multicast is not routed by static routes", "use a unicast prefix")
	}
}

// hop is what tells next hops of one prefix apart.
type hop struct {
	key    schema.EntryKey
	metric uint32
	single string // what stands alone; "" if it shares
	way    string
}

func staticNextHops(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	ways := c.NextHopsOf(k)
	if len(ways) == 0 {
		c.fail(k, "next-hops", "", "a static route needs a way to its prefix",
			"add a next hop, DROP to throw the packets away, or delete the route")
	}
	if len(ways) < 2 {
		return
	}
	p := translators.Prefix(entry.(*translators.Static).Prefix)
	hops := make([]hop, len(ways))
	for i, w := range ways {
		hops[i] = hopOf(p, w.Key, w.NextHop)
	}
	slices.SortStableFunc(hops, func(a, b hop) int { return cmp.Compare(a.metric, b.metric) })
	for i, h := range hops {
		for _, other := range hops[:i] {
			if other.metric != h.metric {
				continue
			}
			if h.alone(other) != "" {
				c.fail(h.key, "config/next-hop", "", h.alone(other)+" stands alone, and "+c.Text(other.key)+" has the same metric",
					"give one of the two another metric, or delete it")
				break
			}
			if h.way == other.way {
				c.fail(h.key, "", "", "it is the same way as "+c.Text(other.key), "delete one of the two")
				break
			}
		}
	}
}

// alone is what of the two stands alone.
func (h hop) alone(other hop) string { return cmp.Or(h.single, other.single) }

func hopOf(p netip.Prefix, k schema.EntryKey, nh *translators.NextHop) hop {
	h := hop{key: k, metric: kernelMetric(p, nh)}
	switch {
	case nh.NextHop == translators.NextHopDrop:
		h.single = "DROP"
	case nh.Srv6Policy != nil:
		h.single = "a policy"
	case translators.GoesOnInMain(nh):
		h.single = "a lookup that goes on in instance " + translators.DefaultInstance
	}
	var segments []string
	if e := nh.Srv6Encapsulation; e != nil && len(e.SegmentList) > 0 {
		mode := cmp.Or(e.Mode, translators.ModeEncaps)
		segments = append([]string{translators.EnumName(mode)}, e.SegmentList...)
		segments = append(segments, translators.Str(e.SourceAddress))
	}
	h.way = fmt.Sprint(translators.Gateway(nh), " ", translators.OutLink(nh), " ", translators.Str(nh.NetworkInstance), " ", segments)
	return h
}

// kernelMetric is what the kernel makes of the metric of a route: of none, and of 0,
// 1024 where it is IPv6.
func kernelMetric(p netip.Prefix, nh *translators.NextHop) uint32 {
	metric := translators.Metric(p, nh)
	if p.Addr().Is6() && metric == 0 {
		return 1024
	}
	return metric
}

func encapsulates(nh *translators.NextHop) bool {
	return nh.Srv6Encapsulation != nil && len(nh.Srv6Encapsulation.SegmentList) > 0
}

func nextHopWay(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	nh := entry.(*translators.NextHop)
	switch {
	case nh.Srv6Policy != nil: // steering has it
	case nh.NextHop == translators.NextHopLocalLink && translators.OutLink(nh) == "":
		c.fail(k, "config/next-hop", "LOCAL_LINK", "the link is not named", "set interface-ref/config/interface")
	case nh.NextHop == nil && translators.OutLink(nh) == "" && !encapsulates(nh) && nh.NetworkInstance == nil:
		c.fail(k, "config/next-hop", "", "the next hop leads nowhere",
			"set config/next-hop to an address or DROP, or interface-ref, or srv6-encapsulation, or srv6-policy, or network-instance")
	}
}

func nextHopMetric(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	nh := entry.(*translators.NextHop)
	if nh.Preference == nil || *nh.Preference <= 1 || nh.Metric == nil || *nh.Metric <= object.MaxPreferredMetric {
		return
	}
	c.fail(k, "config/metric", text(*nh.Metric), "the kernel has one number for preference and metric, of which the metric has 24 bits",
		"use "+text(object.MaxPreferredMetric)+" at most, or preference 1")
}

func nextHopDrop(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	nh := entry.(*translators.NextHop)
	if nh.NextHop == translators.NextHopDrop && (translators.OutLink(nh) != "" || encapsulates(nh) || nh.NetworkInstance != nil || nh.WecmpWeight != nil) {
		c.fail(k, "config/next-hop", "DROP", "packets that are dropped leave by no interface, go on nowhere and are not encapsulated",
			"delete what is beside DROP, or replace DROP")
	}
}

func nextHopAddress(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	nh := entry.(*translators.NextHop)
	gw := translators.Gateway(nh)
	if !gw.IsValid() || nh.Srv6Policy != nil { // of a policy it is the endpoint
		return
	}
	const leaf = "config/next-hop"
	switch {
	case gw.IsUnspecified() || gw.IsMulticast() || gw.IsLoopback() || gw.Is4In6() || gw == limitedBroadcast:
		c.fail(k, leaf, gw.String(), "it is not the address of a neighbour", "use a unicast address, or DROP")
	case gw.Is4() && !prefixAbove(k).Addr().Is4():
		c.fail(k, leaf, gw.String(), "an IPv6 prefix cannot have an IPv4 next hop", "use an IPv6 address")
	case gw.Is6() && gw.IsLinkLocalUnicast() && translators.OutLink(nh) == "":
		c.fail(k, leaf, gw.String(), "a link-local address means something on one link only", "set interface-ref/config/interface")
	default:
		link := translators.OutLink(nh)
		if instance, ok := c.lookupInstance(k, nh); ok && link == "" {
			if link = c.LinkTo(instance, gw); link == "" {
				c.fail(k, leaf, gw.String(), "no address of an interface in network instance "+instance.Values()[0]+" reaches it",
					"configure an address in its subnet, correct it, or set interface-ref/config/interface; change or delete the next hop in the request that takes the address away")
				return
			}
		}
		// The kernel keeps a route whose gateway becomes an address of the node, and
		// refuses to make it again.
		if subnet := c.broadcastOf(gw, link); subnet.IsValid() {
			c.fail(k, leaf, gw.String(), "the kernel takes it for all nodes of "+subnet.String(), "use the address of a neighbour")
		}
		if c.IsOwn(gw, link) {
			c.fail(k, leaf, gw.String(), "it is an address of this node", "use that of a neighbour; change or delete the next hop in the request that configures the address")
		}
	}
}

// broadcastOf is the subnet on a link of which an IPv4 address is the last one: the
// kernel takes that for a broadcast (fib_add_ifaddr in net/ipv4/fib_frontend.c).
func (c *check) broadcastOf(a netip.Addr, link string) (found netip.Prefix) {
	k, ok := c.InterfaceKey(link)
	if !ok || !a.Is4() {
		return found
	}
	c.Scan(k, func(_ schema.EntryKey, e schema.GoStruct) bool {
		p := translators.Subnet(e)
		if p.IsValid() && p.Addr().Is4() && p.Bits() < 31 && a == translators.LastOf(p) {
			found = p.Masked()
		}
		return !found.IsValid()
	})
	return found
}

// nextHopReached: the kernel keeps a route when the address goes that its gateway
// was reached by, and refuses to make it again, so that the configuration would
// run until the next reboot. A gateway that no configured address reaches is for
// the kernel to judge: somebody else may have put one there.
func nextHopReached(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	nh := entry.(*translators.NextHop)
	gw := translators.Gateway(nh)
	if !c.again || !gw.IsValid() || gw.IsLinkLocalUnicast() || translators.OutLink(nh) == "" || reaches(c.View, translators.OutLink(nh), gw) {
		return
	}
	if reaches(c.before, translators.OutLink(nh), gw) && !c.withheld(k, translators.OutLink(nh)) {
		c.fail(k, "config/next-hop", gw.String(), "no address of interface "+translators.OutLink(nh)+" reaches it any more",
			"keep the address on the interface, or change or delete the next hop in the same request")
	}
}

// withheld reports whether a next hop is out of the kernel because something that
// it depends on is disabled.
func (c *check) withheld(k schema.EntryKey, link string) bool {
	_, ni, inInstance := c.InstanceOf(k)
	_, proto, inProtocol := c.ProtocolOf(k)
	return c.InterfaceDown(link) != "" || inInstance && translators.InstanceDown(ni) != "" || inProtocol && !translators.On(proto.Enabled)
}

// reaches reports whether an address that is configured on a link is in one
// subnet with a neighbour.
func reaches(v translators.View, link string, neighbour netip.Addr) bool {
	k, ok := v.InterfaceKey(link)
	if !ok {
		return false
	}
	found := false
	v.Scan(k, func(_ schema.EntryKey, e schema.GoStruct) bool {
		p := translators.Subnet(e)
		found = p.IsValid() && p.Contains(neighbour) && p.Addr() != neighbour
		return !found
	})
	return found
}

// prefixAbove is the prefix that a next hop is for, from its key.
func prefixAbove(k schema.EntryKey) netip.Prefix {
	parent, ok := k.Parent()
	if !ok {
		return netip.Prefix{}
	}
	return translators.Prefix(&parent.Values()[0])
}

func nextHopSubinterface(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	nh := entry.(*translators.NextHop)
	if r := nh.InterfaceRef; r != nil && r.Subinterface != nil && *r.Subinterface != 0 {
		c.fail(k, "interface-ref/config/subinterface", text(*r.Subinterface), "only subinterface 0, the link itself, can be configured", "use 0")
	}
}

func segmentList(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	e := entry.(*translators.NextHop).Srv6Encapsulation
	if e == nil {
		return
	}
	const leaf = "srv6-encapsulation/config/segment-list"
	limit := maxSegments
	if e.Mode == translators.ModeInsert {
		limit = maxSegmentsInsert
	}
	if e.HmacKeyId != nil {
		limit -= segmentsOfHMAC
	}
	if len(e.SegmentList) == 0 && e.Mode != translators.ModeUnset {
		c.fail(k, leaf, "", "an encapsulation needs segments", "list at least one, or delete srv6-encapsulation")
	}
	c.segments(k, leaf, e.SegmentList, limit)
}

// segments checks a list that is put on packets.
func (c *check) segments(k schema.EntryKey, leaf string, list []string, limit int) {
	if n := len(list); n > limit {
		c.fail(k, leaf, text(n)+" segments", fmt.Sprintf("a segment routing header holds %d of this mode", limit), "shorten the list, with a binding SID where it must be that long")
	}
	for _, s := range list {
		if a := translators.Addr(&s); !unicast6(a) || a.IsLinkLocalUnicast() {
			c.fail(k, leaf, s, "a segment is an IPv6 unicast address", "use the SID of a node on the way")
		}
	}
}

// unicast6 reports whether a node can be reached at the address.
func unicast6(a netip.Addr) bool {
	return a.Is6() && !a.Is4In6() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback()
}

func insertNeedsIPv6(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	e := entry.(*translators.NextHop).Srv6Encapsulation
	if e != nil && e.Mode == translators.ModeInsert && prefixAbove(k).Addr().Is4() {
		c.fail(k, "srv6-encapsulation/config/mode", "H_INSERT", "a header can be inserted into IPv6 packets only, and the prefix is IPv4",
			"use H_ENCAPS or H_ENCAPS_RED")
	}
}
