package rules

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"heddle/schema"
	"heddle/translators"
)

// use says whether a behaviour has a leaf.
type use uint8

const (
	refused use = iota
	optional
	required
)

// leaves says which leaves a behaviour has.
type leaves struct{ instance, nextHop, link, policy use }

var leavesOf = map[translators.Behavior]leaves{
	translators.BehaviorEnd:         {},
	translators.BehaviorEndX:        {nextHop: required, link: optional},
	translators.BehaviorEndT:        {instance: required},
	translators.BehaviorEndDX2:      {link: required},
	translators.BehaviorEndDX4:      {nextHop: optional},
	translators.BehaviorEndDX6:      {nextHop: optional},
	translators.BehaviorEndDT4:      {instance: required},
	translators.BehaviorEndDT6:      {instance: required},
	translators.BehaviorEndDT46:     {instance: required},
	translators.BehaviorEndB6:       {policy: required},
	translators.BehaviorEndB6Encaps: {policy: required},
	translators.BehaviorEndAS:       {}, // see proxyFields
	translators.BehaviorEndAD:       {},
	translators.BehaviorEndAM:       {},
}

func sidFields(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	s := entry.(*translators.SID)
	has, ok := leavesOf[s.Behavior]
	if !ok {
		c.fail(k, "config/behavior", "", "a SID needs a behaviour", "set config/behavior")
		return
	}
	name := translators.EnumName(s.Behavior)
	field := func(leaf string, there bool, value string, u use) {
		switch {
		case !there && u == required:
			c.fail(k, leaf, "", name+" needs it", "set "+leaf)
		case there && u == refused:
			c.fail(k, leaf, value, name+" has no use for it", "delete it, or choose another behaviour")
		}
	}
	field("config/network-instance", s.NetworkInstance != nil, translators.Str(s.NetworkInstance), has.instance)
	field("config/next-hop", s.NextHop != nil, translators.Str(s.NextHop), has.nextHop)
	field("config/interface", s.Interface != nil, translators.Str(s.Interface), has.link)
	list := policyOf(s)
	field("policy/config/segment-list", len(list) > 0, strings.Join(list, " "), has.policy)
}

// policyOf is the segment list of a binding SID.
func policyOf(s *translators.SID) []string {
	if s.Policy == nil {
		return nil
	}
	return s.Policy.SegmentList
}

func sidInstance(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	s := entry.(*translators.SID)
	if s.NetworkInstance == nil || leavesOf[s.Behavior].instance == refused {
		return
	}
	ni, ok := c.InstanceNamed(*s.NetworkInstance)
	if !ok {
		c.fail(k, "config/network-instance", *s.NetworkInstance, "it is not configured",
			"configure the network instance, in the same Set or before")
		return
	}
	if ni.Type != translators.InstanceL3VRF && s.Behavior != translators.BehaviorEndDT6 && s.Behavior != translators.BehaviorEndT {
		c.fail(k, "config/network-instance", *s.NetworkInstance, translators.EnumName(s.Behavior)+" looks inner packets up in a VRF, and this is none",
			"use an instance of type L3VRF; END_DT6 can use the default instance")
	}
}

func sidNextHop(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	s := entry.(*translators.SID)
	if s.NextHop == nil || leavesOf[s.Behavior].nextHop == refused {
		return
	}
	const leaf = "config/next-hop"
	a := translators.Addr(s.NextHop)
	switch {
	case s.Behavior == translators.BehaviorEndDX4:
		if !a.Is4() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a == limitedBroadcast {
			c.fail(k, leaf, *s.NextHop, "END_DX4 sends IPv4 packets by the route to it", "use an IPv4 unicast address, or delete it: packets take the route to their own destination")
		}
	case !unicast6(a):
		c.fail(k, leaf, *s.NextHop, "it is not the address of a neighbour", "use an IPv6 unicast address")
	case a.IsLinkLocalUnicast() && s.Behavior == translators.BehaviorEndDX6:
		c.fail(k, leaf, *s.NextHop, "a link-local address means something on one link only, and END_DX6 cannot name one", "use a global address")
	case a.IsLinkLocalUnicast() && s.Interface == nil:
		c.fail(k, leaf, *s.NextHop, "a link-local address means something on one link only", "set config/interface")
	}
}

func sidPolicy(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	s := entry.(*translators.SID)
	if leavesOf[s.Behavior].policy == refused {
		return
	}
	const leaf = "policy/config/segment-list"
	list := policyOf(s)
	limit := maxSegments
	if s.Behavior == translators.BehaviorEndB6 {
		limit = maxSegmentsInsert
	}
	c.segments(k, leaf, list, limit)
	sid := translators.Addr(s.Address)
	for i := range list {
		if translators.Addr(&list[i]) == sid {
			c.fail(k, leaf, list[i], "it is the SID itself: packets would come back to it until their hop limit is used up", "leave it out")
		}
	}
}

// flavorsOf says which flavors the kernel carries out: for a behaviour that is not
// here it drops them without a word (Linux net/ipv6/seg6_local.c,
// seg6_flv_supp_ops_by_action).
var flavorsOf = map[translators.Behavior][]translators.Flavor{
	translators.BehaviorEnd:  {translators.FlavorPSP, translators.FlavorNextCSID},
	translators.BehaviorEndX: {translators.FlavorNextCSID},
}

func hasFlavor(s *translators.SID, f translators.Flavor) bool {
	return s.Flavors != nil && slices.Contains(s.Flavors.Flavor, f)
}

func sidFlavors(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	s := entry.(*translators.SID)
	if s.Flavors == nil {
		return
	}
	const leaf = "flavors/config/flavor"
	known := flavorsOf[s.Behavior]
	for _, f := range s.Flavors.Flavor {
		if slices.Contains(known, f) {
			continue
		}
		remedy := "delete it"
		if len(known) > 0 {
			remedy += ", or use " + translators.EnumName(known[len(known)-1])
		}
		c.fail(k, leaf, translators.EnumName(f), "Linux does not carry it out for "+translators.EnumName(s.Behavior), remedy)
	}
	if len(known) > 1 && hasFlavor(s, translators.FlavorPSP) && hasFlavor(s, translators.FlavorNextCSID) {
		c.fail(k, leaf, "PSP", "with NEXT_CSID Linux takes it and never takes a header off", "delete one of the two")
	}
}

// sidLengths: the SID is what the lengths say, and the rest is for what packets
// bring along.
func sidLengths(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	s := entry.(*translators.SID)
	if s.Flavors == nil {
		return
	}
	const block, node = "flavors/config/locator-block-length", "flavors/config/locator-node-function-length"
	compressed := hasFlavor(s, translators.FlavorNextCSID)
	for _, l := range []struct {
		leaf string
		bits *uint8
	}{{block, s.Flavors.LocatorBlockLength}, {node, s.Flavors.LocatorNodeFunctionLength}} {
		switch {
		case l.bits == nil:
		case !compressed:
			c.fail(k, l.leaf, text(*l.bits), "a SID without the flavor NEXT_CSID is an address as a whole", "delete it, or add the flavor")
		case *l.bits%8 != 0:
			c.fail(k, l.leaf, text(*l.bits), "Linux shifts octets", "use a multiple of 8")
		}
	}
	if !compressed {
		return
	}
	b, n := translators.CSIDLengths(s.Flavors)
	bits := int(b) + int(n)
	if bits > 128 {
		c.fail(k, node, text(n), fmt.Sprintf("with a block of %d bits it is longer than an address", b), "use 128 bits for both at most")
		return
	}
	if s.Address == nil || k.List() == c.DynamicSID.ListID {
		return // see dynamicLocator
	}
	sid := translators.Addr(s.Address)
	if p := netip.PrefixFrom(sid, bits); p.Masked().Addr() != sid {
		c.fail(k, "config/address", translators.Str(s.Address), fmt.Sprintf("behind the %d bits of block, node and function is the place of the next SIDs", bits),
			"use "+p.Masked().Addr().String()+", or greater lengths")
	}
}
