package rules

import (
	"net/netip"
	"strconv"
	"strings"

	"heddle/schema"
	"heddle/translators"
)

// maxProxySegments is how many segments the programs of a proxy hold (bpf/srproxy.h).
const maxProxySegments = 16

func isProxy(b translators.Behavior) bool {
	return b == translators.BehaviorEndAS || b == translators.BehaviorEndAD || b == translators.BehaviorEndAM
}

// proxyUse says which leaves a proxy has, besides next-hop and outgoing-interface.
type proxyUse struct{ inner, segments, source, hops, nat use }

var proxyUseOf = map[translators.Behavior]proxyUse{
	translators.BehaviorEndAS: {inner: required, segments: required, source: optional, hops: optional},
	translators.BehaviorEndAD: {inner: required},
	translators.BehaviorEndAM: {nat: optional},
}

// proxyFields: what a proxy needs, and what others of them have.
func proxyFields(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	s := entry.(*translators.SID)
	p, name := s.Proxy, translators.EnumName(s.Behavior)
	has, isProxy := proxyUseOf[s.Behavior]
	switch {
	case !isProxy && p != nil:
		c.fail(k, "proxy", "", name+" has no use for it", "delete it, or choose END_AS, END_AD or END_AM")
		return
	case !isProxy:
		return
	case p == nil:
		c.fail(k, "proxy/config", "", name+" needs an NF", "set "+needsOf(has)+" there")
		return
	}
	leaf := func(leaf string, there bool, u use, value, why, remedy string) {
		switch leaf = "proxy/config/" + leaf; {
		case !there && u == required:
			c.fail(k, leaf, "", name+" needs it", "set "+leaf)
		case there && u == refused:
			c.fail(k, leaf, value, name+why, "delete it, or choose "+remedy)
		}
	}
	leaf("inner-type", p.InnerType != translators.InnerUnset, has.inner, translators.EnumName(p.InnerType), " opens no packet: it sends the NF the one for the SID", "END_AS or END_AD")
	hop := required
	if p.InnerType == translators.InnerEther {
		hop = refused
	}
	leaf("next-hop", p.NextHop != nil, hop, translators.Str(p.NextHop), " sends an NF Ethernet frames as they are, by outgoing-interface", "another inner-type")
	leaf("outgoing-interface", p.OutgoingInterface != nil, required, "", "", "")
	leaf("segment-list", len(p.SegmentList) > 0, has.segments, strings.Join(p.SegmentList, " "), " has the segments from the packets", "END_AS")
	leaf("source-address", p.SourceAddress != nil, has.source, translators.Str(p.SourceAddress), " has the source from the packets", "END_AS")
	leaf("hop-limit", p.HopLimit != nil, has.hops, octet(p.HopLimit), " has the hop limit from the packets", "END_AS")
	leaf("destination-nat", p.DestinationNat != nil, has.nat, "", " keeps the segments from the NF", "END_AM")
	if has.segments == required {
		staticHeaders(c, k, p)
	}
}

func needsOf(has proxyUse) string {
	if has.inner == required {
		return "inner-type, next-hop and outgoing-interface"
	}
	return "next-hop and outgoing-interface"
}

func octet(n *uint8) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(int(*n))
}

// staticHeaders: the headers of END_AS have segments and a source.
func staticHeaders(c *check, k schema.EntryKey, p *translators.Proxy) {
	c.segments(k, "proxy/config/segment-list", p.SegmentList, maxProxySegments)
	if p.SourceAddress == nil && !c.NodeSource().IsValid() {
		c.fail(k, "proxy/config/source-address", "", "END_AS needs a source for the headers, and the node has none", "set it, or .../srv6/config/source-address")
	}
	if p.SourceAddress != nil {
		c.source(k, "proxy/config/source-address", *p.SourceAddress)
	}
	for _, segment := range p.SegmentList {
		if sid := k.Values()[0]; translators.Addr(&segment) == translators.Addr(&sid) {
			c.fail(k, "proxy/config/segment-list", segment, "what comes back from the NF would go to it again", "give the segments behind this SID")
		}
	}
}

// proxyLinks: an NF that can be reached, on links that can carry it.
func proxyLinks(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	s := entry.(*translators.SID)
	p := s.Proxy
	if !isProxy(s.Behavior) || p == nil || p.OutgoingInterface == nil {
		return
	}
	for _, l := range []struct {
		leaf string
		name *string
	}{{"outgoing-interface", p.OutgoingInterface}, {"incoming-interface", p.IncomingInterface}} {
		iface, ok := c.InterfaceKey(translators.Str(l.name))
		if l.name != nil && ok && c.InstanceOfLink(iface) != c.DefaultKey() {
			c.fail(k, "proxy/config/"+l.leaf, *l.name, "it is in network instance "+c.InstanceOfLink(iface).Values()[0]+", and SIDs are in the default one",
				"use an interface that is in no VRF")
		}
	}
	if p.NextHop != nil && (p.InnerType == translators.InnerIPv4 || p.InnerType == translators.InnerIPv6 || s.Behavior == translators.BehaviorEndAM) {
		proxyNextHop(c, k, s)
	}
	in := translators.ProxyIn(p)
	if c.isPort(in) {
		c.fail(k, "proxy/config/incoming-interface", in, "it is one of srv6/interfaces, and what comes in by it would get the headers instead of its way",
			"give the NF an interface of its own, such as a VLAN, or take it out of srv6/interfaces")
	}
	c.ProxiesWith(in, func(other schema.EntryKey) bool {
		if other == k || shareIn(c, s, other) {
			return true
		}
		c.fail(k, "proxy/config/incoming-interface", in, "what comes back on it gets the headers of "+c.Text(other),
			"give each proxy an interface of its own, such as a VLAN")
		return false
	})
}

// shareIn reports whether two proxies may have one incoming interface: packets of END_AM
// say by themselves which SID they are of.
func shareIn(c *check, s *translators.SID, other schema.EntryKey) bool {
	entry, _ := c.Get(other)
	o, ok := entry.(*translators.SID)
	return ok && s.Behavior == translators.BehaviorEndAM && o.Behavior == translators.BehaviorEndAM
}

func proxyNextHop(c *check, k schema.EntryKey, s *translators.SID) {
	const leaf = "proxy/config/next-hop"
	p, sent := s.Proxy, translators.EnumName(s.Proxy.InnerType)
	hop := translators.Addr(p.NextHop)
	remedy := "use an address of that family, or change inner-type"
	if s.Behavior == translators.BehaviorEndAM {
		sent, remedy = "IPV6", "use an address of that family"
	}
	switch {
	case (sent == "IPV4") != hop.Is4():
		c.fail(k, leaf, *p.NextHop, "the NF is sent "+sent+" packets", remedy)
	case hop.Is6() && (!unicast6(hop) || hop.IsLinkLocalUnicast()),
		hop.Is4() && (hop.IsUnspecified() || hop.IsMulticast() || hop.IsLoopback() || hop == limitedBroadcast):
		c.fail(k, leaf, *p.NextHop, "it is no address of an NF that a route can lead to", "use a unicast address that is not link-local")
	case c.isOwn(hop):
		c.fail(k, leaf, *p.NextHop, "it is an address of this node", "use that of the NF")
	case namesSubnet(c.View, *p.OutgoingInterface, hop):
		c.fail(k, leaf, *p.NextHop, "it stands for a subnet of interface "+*p.OutgoingInterface+", not for a node there", "use the address of the NF")
	case !reaches(c.View, *p.OutgoingInterface, hop):
		c.fail(k, leaf, *p.NextHop, "no address of interface "+*p.OutgoingInterface+" has it in its subnet", "configure one there, or correct the address")
	}
}

// namesSubnet reports whether an address is the first or, for IPv4, the last of a subnet
// of a link: the network and its broadcast address, or all routers of the subnet (RFC
// 4291 §2.6.1). Two addresses are no subnet of that kind (RFC 3021, RFC 6164).
func namesSubnet(v translators.View, link string, a netip.Addr) (named bool) {
	k, ok := v.InterfaceKey(link)
	if !ok {
		return false
	}
	v.Scan(k, func(_ schema.EntryKey, e schema.GoStruct) bool {
		p := translators.Subnet(e)
		if !p.IsValid() || !p.Contains(a) || p.Bits() >= p.Addr().BitLen()-1 {
			return true
		}
		named = a == p.Masked().Addr() || a.Is4() && !p.Contains(a.Next())
		return !named
	})
	return named
}

// isPort reports whether packets for SIDs come in by an interface.
func (c *check) isPort(link string) bool {
	k, err := c.Model.Key(c.DefaultKey(), c.Model.SRv6Interface, link)
	if err != nil {
		return false
	}
	e, ok := c.Get(k)
	if !ok {
		return false
	}
	return translators.On(e.(*translators.SRv6Interface).Enabled)
}

// recheckProxiesOf: those whose NF gives packets back by an interface of srv6/interfaces.
func recheckProxiesOf(_, is translators.View, ch schema.Change, again func(schema.EntryKey)) {
	is.ProxiesWith(ch.Key.Values()[0], func(k schema.EntryKey) bool {
		again(k)
		return true
	})
}

// noProxy: the container is that of SIDs with an address.
func noProxy(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	if d := entry.(*translators.DynamicSID); isProxy(d.Behavior) {
		c.fail(k, "config/behavior", translators.EnumName(d.Behavior), "a dynamic SID cannot be a proxy", "configure the SID with its address, in sids/sid")
	}
}

// recheckProxies: those that have the node's source, when that changes.
func recheckProxies(was, is translators.View, _ schema.Change, again func(schema.EntryKey)) {
	if was.NodeSource() == is.NodeSource() {
		return
	}
	is.Proxies(func(k schema.EntryKey) bool {
		again(k)
		return true
	})
}
