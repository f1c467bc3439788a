package rules

import (
	"strings"

	"heddle/schema"
	"heddle/translators"
)

// maxProxySegments is how many segments the programs of a proxy hold (bpf/srproxy.h).
const maxProxySegments = 16

func isProxy(b translators.Behavior) bool {
	return b == translators.BehaviorEndAS || b == translators.BehaviorEndAD
}

// proxyFields: what a proxy needs, and what the other one of the two has.
func proxyFields(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	s := entry.(*translators.SID)
	p, name := s.Proxy, translators.EnumName(s.Behavior)
	switch {
	case !isProxy(s.Behavior) && p != nil:
		c.fail(k, "proxy", "", name+" has no use for it", "delete it, or choose END_AS or END_AD")
		return
	case !isProxy(s.Behavior):
		return
	case p == nil:
		c.fail(k, "proxy/config", "", name+" needs an NF", "set inner-type, next-hop and outgoing-interface there")
		return
	}
	need := func(there bool, leaf string) {
		if !there {
			c.fail(k, "proxy/config/"+leaf, "", name+" needs it", "set proxy/config/"+leaf)
		}
	}
	need(p.InnerType != translators.InnerUnset, "inner-type")
	need(p.NextHop != nil, "next-hop")
	need(p.OutgoingInterface != nil, "outgoing-interface")
	static := s.Behavior == translators.BehaviorEndAS
	if static {
		need(len(p.SegmentList) > 0, "segment-list")
		c.segments(k, "proxy/config/segment-list", p.SegmentList, maxProxySegments)
		if p.SourceAddress == nil && !c.NodeSource().IsValid() {
			c.fail(k, "proxy/config/source-address", "", "END_AS needs a source for the headers, and the node has none", "set it, or .../srv6/config/source-address")
		}
		if p.SourceAddress != nil {
			c.source(k, "proxy/config/source-address", *p.SourceAddress)
		}
		return
	}
	if len(p.SegmentList) > 0 {
		c.fail(k, "proxy/config/segment-list", strings.Join(p.SegmentList, " "), "END_AD has the segments from the packets", "delete it, or choose END_AS")
	}
	if p.SourceAddress != nil {
		c.fail(k, "proxy/config/source-address", *p.SourceAddress, "END_AD has the source from the packets", "delete it, or choose END_AS")
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
	if p.NextHop != nil && p.InnerType != translators.InnerUnset {
		proxyNextHop(c, k, p)
	}
	in := translators.ProxyIn(p)
	if c.isPort(in) {
		c.fail(k, "proxy/config/incoming-interface", in, "it is one of srv6/interfaces, and what comes in by it would get the headers instead of its way",
			"give the NF an interface of its own, such as a VLAN, or take it out of srv6/interfaces")
	}
	c.ProxiesWith(in, func(other schema.EntryKey) bool {
		if other == k {
			return true
		}
		c.fail(k, "proxy/config/incoming-interface", in, "what comes back on it gets the headers of "+c.Text(other),
			"give each proxy an interface of its own, such as a VLAN")
		return false
	})
}

func proxyNextHop(c *check, k schema.EntryKey, p *translators.Proxy) {
	const leaf = "proxy/config/next-hop"
	hop := translators.Addr(p.NextHop)
	carries4 := p.InnerType == translators.InnerIPv4
	switch {
	case carries4 != hop.Is4():
		c.fail(k, leaf, *p.NextHop, "the NF is sent "+translators.EnumName(p.InnerType)+" packets", "use an address of that family, or change inner-type")
	case hop.Is6() && (!unicast6(hop) || hop.IsLinkLocalUnicast()),
		hop.Is4() && (hop.IsUnspecified() || hop.IsMulticast() || hop.IsLoopback() || hop == limitedBroadcast):
		c.fail(k, leaf, *p.NextHop, "it is no address of an NF that a route can lead to", "use a unicast address that is not link-local")
	case c.isOwn(hop):
		c.fail(k, leaf, *p.NextHop, "it is an address of this node", "use that of the NF")
	case !reaches(c.View, *p.OutgoingInterface, hop):
		c.fail(k, leaf, *p.NextHop, "no address of interface "+*p.OutgoingInterface+" has it in its subnet", "configure one there, or correct the address")
	}
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
