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
	links := []proxyLink{{"proxy/config/outgoing-interface", p.OutgoingInterface}, {"proxy/config/incoming-interface", p.IncomingInterface}}
	standby := translators.StandbyOf(p)
	if l := p.Liveness; standby.Out != "" {
		links = append(links, proxyLink{"proxy/liveness/config/standby-outgoing-interface", l.StandbyOutgoingInterface},
			proxyLink{"proxy/liveness/config/standby-incoming-interface", l.StandbyIncomingInterface})
	}
	for _, l := range links {
		iface, ok := c.InterfaceKey(translators.Str(l.name))
		if l.name != nil && ok && c.InstanceOfLink(iface) != c.DefaultKey() {
			c.fail(k, l.leaf, *l.name, "it is in network instance "+c.InstanceOfLink(iface).Values()[0]+", and SIDs are in the default one",
				"use an interface that is in no VRF")
		}
	}
	sends := p.InnerType == translators.InnerIPv4 || p.InnerType == translators.InnerIPv6 || s.Behavior == translators.BehaviorEndAM
	if p.NextHop != nil && sends {
		proxyNextHop(c, k, s, "proxy/config/next-hop", p.NextHop, *p.OutgoingInterface)
	}
	proxyIn(c, k, s, "proxy/config/incoming-interface", translators.ProxyIn(p))
	if standby.Out == "" {
		return
	}
	if p.Liveness.StandbyNextHop != nil && sends {
		proxyNextHop(c, k, s, "proxy/liveness/config/standby-next-hop", p.Liveness.StandbyNextHop, standby.Out)
	}
	if standby.In != translators.ProxyIn(p) {
		proxyIn(c, k, s, "proxy/liveness/config/standby-incoming-interface", standby.In)
	}
	if nf := translators.NFOf(p); nf.Hop == standby.Hop && nf.Out == standby.Out {
		c.fail(k, "proxy/liveness/config/standby-next-hop", standby.Hop.String(), "it is the NF that it is to stand in for", "use another one")
	}
}

// proxyLink is an interface of a proxy.
type proxyLink struct {
	leaf string
	name *string
}

// proxyIn: an interface on which an NF gives packets back is for that alone.
func proxyIn(c *check, k schema.EntryKey, s *translators.SID, leaf, in string) {
	if c.isPort(in) {
		c.fail(k, leaf, in, "it is one of srv6/interfaces, and what comes in by it would get the headers instead of its way",
			"give the NF an interface of its own, such as a VLAN, or take it out of srv6/interfaces")
	}
	c.ProxiesWith(in, func(other schema.EntryKey) bool {
		if other == k || shareIn(c, s, other) {
			return true
		}
		c.fail(k, leaf, in, "what comes back on it gets the headers of "+c.Text(other),
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

// proxyLiveness: what is to be done about an NF that is down is for those that are
// probed, and a standby NF for who switches to it.
func proxyLiveness(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	s := entry.(*translators.SID)
	if s.Proxy == nil || s.Proxy.Liveness == nil {
		return
	}
	const config = "proxy/liveness/config/"
	l := s.Proxy.Liveness
	if s.Behavior == translators.BehaviorEndAM && l.Probe != translators.ProbeUnset && l.Probe != translators.ProbeNone {
		c.fail(k, config+"probe", translators.EnumName(l.Probe), "packets of END_AM go to the NF by a route of the kernel, which knows nothing of the probe", "delete it, or choose END_AS or END_AD")
	}
	if s.Proxy.InnerType == translators.InnerEther {
		if l.Probe == translators.ProbeNeighbor || l.Probe == translators.ProbeICMP {
			c.fail(k, config+"probe", translators.EnumName(l.Probe), "an NF that is sent Ethernet frames has no address to ask", "set it to LINK")
		}
		if l.WhenDown == translators.DownStandby {
			c.fail(k, config+"when-down", "STANDBY", "frames go by one interface", "choose BYPASS or DROP")
			return
		}
	}
	if l.WhenDown != translators.DownUnset && (l.Probe == translators.ProbeUnset || l.Probe == translators.ProbeNone) {
		c.fail(k, config+"when-down", translators.EnumName(l.WhenDown), "without a probe nobody finds out that the NF is down", "set probe to LINK, NEIGHBOR or ICMP, or delete it")
	}
	for _, f := range []struct {
		leaf   string
		value  *string
		needed bool
	}{{"standby-next-hop", l.StandbyNextHop, true}, {"standby-outgoing-interface", l.StandbyOutgoingInterface, true},
		{"standby-incoming-interface", l.StandbyIncomingInterface, false}} {
		switch standby := l.WhenDown == translators.DownStandby; {
		case standby && f.needed && f.value == nil:
			c.fail(k, config+f.leaf, "", "STANDBY needs it", "set "+config+f.leaf)
		case !standby && f.value != nil:
			c.fail(k, config+f.leaf, *f.value, "nothing goes to a standby NF", "set when-down to STANDBY, or delete it")
		}
	}
}

// proxyNextHop: an NF that is sent what a proxy carries by an interface.
func proxyNextHop(c *check, k schema.EntryKey, s *translators.SID, leaf string, nextHop *string, out string) {
	sent := translators.EnumName(s.Proxy.InnerType)
	hop := translators.Addr(nextHop)
	remedy := "use an address of that family, or change inner-type"
	if s.Behavior == translators.BehaviorEndAM {
		sent, remedy = "IPV6", "use an address of that family"
	}
	switch {
	case (sent == "IPV4") != hop.Is4():
		c.fail(k, leaf, *nextHop, "the NF is sent "+sent+" packets", remedy)
	case hop.Is6() && (!unicast6(hop) || hop.IsLinkLocalUnicast()),
		hop.Is4() && (hop.IsUnspecified() || hop.IsMulticast() || hop.IsLoopback() || hop == limitedBroadcast):
		c.fail(k, leaf, *nextHop, "it is no address of an NF that a route can lead to", "use a unicast address that is not link-local")
	case c.isOwn(hop):
		c.fail(k, leaf, *nextHop, "it is an address of this node", "use that of the NF")
	case namesSubnet(c.View, out, hop):
		c.fail(k, leaf, *nextHop, "it stands for a subnet of interface "+out+", not for a node there", "use the address of the NF")
	case !reaches(c.View, out, hop):
		c.fail(k, leaf, *nextHop, "no address of interface "+out+" has it in its subnet", "configure one there, or correct the address")
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
