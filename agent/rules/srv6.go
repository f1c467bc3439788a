package rules

import (
	"heddle/schema"
	"heddle/translators"
)

func srv6Rules(m *translators.Model) []rule {
	return []rule{
		{"srv6-default-only", m.Instance, srv6Node},
		{"srv6-source", m.Instance, srv6Source},
		{"encap-source", m.NextHop, encapSource},
		{"srv6-sid-interface", m.Instance, sidInterface},
		{"srv6-default-only", m.HMACKey, srv6Place},
		{"hmac-secret", m.HMACKey, hmacSecret},
		{"encap-hmac", m.NextHop, encapHMAC},
		{"srv6-default-only", m.SRv6Interface, srv6Place},
		{"srv6-default-only", m.Locator, srv6Place},
		{"srv6-default-only", m.SID, srv6Place},
		{"locator-prefix", m.Locator, locatorPrefix},
		{"locator-lengths", m.Locator, locatorLengths},
		{"locator-overlap", m.Locator, locatorOverlap},
		{"sid-address", m.SID, sidAddress},
		{"sid-locator", m.SID, sidLocator},
		{"sid-fields", m.SID, sidFields},
		{"sid-instance", m.SID, sidInstance},
		{"sid-next-hop", m.SID, sidNextHop},
		{"sid-reached", m.SID, sidReached},
		{"sid-policy", m.SID, sidPolicy},
		{"sid-flavors", m.SID, sidFlavors},
		{"sid-lengths", m.SID, sidLengths},
		{"proxy-fields", m.SID, proxyFields},
		{"proxy-links", m.SID, proxyLinks},
		{"proxy-liveness", m.SID, proxyLiveness},

		{"srv6-default-only", m.DynamicSID, srv6Place},
		{"dynamic-sid-locator", m.DynamicSID, dynamicLocator},
		{"sid-fields", m.DynamicSID, ofDynamic(sidFields)},
		{"sid-instance", m.DynamicSID, ofDynamic(sidInstance)},
		{"sid-next-hop", m.DynamicSID, ofDynamic(sidNextHop)},
		{"sid-reached", m.DynamicSID, ofDynamic(sidReached)},
		{"sid-policy", m.DynamicSID, ofDynamic(sidPolicy)},
		{"sid-flavors", m.DynamicSID, ofDynamic(sidFlavors)},
		{"sid-lengths", m.DynamicSID, ofDynamic(sidLengths)},
		{"proxy-fields", m.DynamicSID, noProxy},
	}
}

const onlyDefault = "SRv6 is configured in the instance " + translators.DefaultInstance +
	": the kernel has SIDs in the main table and one source address"

func srv6Node(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	ni := entry.(*translators.Instance)
	s := translators.SRv6(ni)
	if s != nil && (s.SourceAddress != nil || s.SidInterface != nil) && k != c.DefaultKey() {
		c.fail(k, "segment-routing/srv6/config", "", onlyDefault, "move it there")
	}
}

func srv6Place(c *check, k schema.EntryKey, _, _ schema.GoStruct) {
	if parent, _ := k.Parent(); parent != c.DefaultKey() {
		c.fail(k, "", "", onlyDefault, "move it there; a SID names the VRF it decapsulates to in config/network-instance")
	}
}

func srv6Source(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	s := translators.SRv6(entry.(*translators.Instance))
	if s == nil || s.SourceAddress == nil {
		return
	}
	c.source(k, "segment-routing/srv6/config/source-address", *s.SourceAddress)
}

// source checks the source of an outer header.
func (c *check) source(k schema.EntryKey, leaf, value string) {
	if a := translators.Addr(&value); !unicast6(a) || a.IsLinkLocalUnicast() {
		c.fail(k, leaf, value, "answers to the outer packet could not reach this node", "use a global IPv6 unicast address of this node")
	}
}

func encapSource(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	e := entry.(*translators.NextHop).Srv6Encapsulation
	if e == nil || e.SourceAddress == nil {
		return
	}
	const leaf = "srv6-encapsulation/config/source-address"
	switch {
	case len(e.SegmentList) == 0:
		c.fail(k, leaf, *e.SourceAddress, "nothing is encapsulated without segments", "set srv6-encapsulation/config/segment-list, or delete it")
	case e.Mode == translators.ModeInsert:
		c.fail(k, leaf, *e.SourceAddress, "H_INSERT makes no outer header", "delete it, or use H_ENCAPS")
	}
	c.source(k, leaf, *e.SourceAddress)
}

// carrier is the link that carries the SIDs, "" without an instance that has some.
func (c *check) carrier() string {
	if _, ok := c.InstanceNamed(translators.DefaultInstance); !ok {
		return ""
	}
	return c.SIDLink()
}

// sidInterface is also about the link that is meant where none is named.
func sidInterface(c *check, k schema.EntryKey, _, _ schema.GoStruct) {
	if k != c.DefaultKey() {
		return
	}
	const leaf = "segment-routing/srv6/config/sid-interface"
	name := c.SIDLink()
	if name == "all" || name == "default" {
		c.fail(k, leaf, name, "the kernel keeps this name for the settings of all links", "choose another name")
		return
	}
	if name == translators.LoopbackLink {
		// fib6_is_reject in net/ipv6/route.c, without a word to who adds the route.
		c.fail(k, leaf, name, "the kernel makes a route by its loopback device one that drops every packet",
			"use another interface, or leave it out: a link of its own is made")
		return
	}
	if ni, ok := c.InstanceNamed(name); ok && ni.Type == translators.InstanceL3VRF {
		c.fail(k, leaf, name, "the VRF link of network instance "+name+" has this name", "choose another name")
	}
	if c.tooSmallForIPv6(name) {
		c.fail(k, leaf, name, "IPv6 needs 1280 octets, and the interface is configured with fewer", "set its config/mtu to 1280 or more")
	}
	link, ok := c.InterfaceKey(name)
	if !ok {
		return
	}
	c.Referrers(link, func(other schema.EntryKey) bool {
		if other.List() != c.Member.ListID {
			return true
		}
		if _, ni, ok := c.InstanceOf(other); ok && ni.Type == translators.InstanceL3VRF {
			c.fail(k, leaf, name, "SIDs are in the default instance, and "+c.Text(other)+" takes this interface out of it",
				"use an interface of the default instance, or leave it out: a link of its own is made")
		}
		return false
	})
}

func sidAddress(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	s := entry.(*translators.SID)
	if a := translators.Addr(s.Address); !unicast6(a) || a.IsLinkLocalUnicast() {
		c.fail(k, "config/address", translators.Str(s.Address), "a SID is a global IPv6 unicast address", "use an address of a locator")
	}
}
