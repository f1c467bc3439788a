package rules

import (
	"strings"

	"cmp"
	"fmt"
	"net/netip"

	"heddle/kernel/object"
	"heddle/schema"
	"heddle/translators"
)

// minMTU6 is the smallest MTU that IPv6 works with (RFC 8200 §5): below it Linux
// takes IPv6 off the link, addresses and all.
const minMTU6 = 1280

func interfaceRules(m *translators.Model) []rule {
	return []rule{
		{"interface-type", m.Interface, interfaceType},
		{"interface-type-change", m.Interface, interfaceTypeChange},
		{"interface-name", m.Interface, interfaceName},
		{"veth-peer", m.Interface, vethPeer},
		{"vlan-parent", m.Interface, vlanParent},
		{"vlan-mtu", m.Interface, vlanMTU},
		{"tunnel", m.Interface, tunnel},
		{"vxlan", m.Interface, vxlan},
		{"bridge-port", m.Interface, bridgePort},
		{"mtu-ipv6", m.Interface, mtuForIPv6},
		{"mtu-ipv6", m.NextHop, mtuOfLink},
		{"mtu-ipv6", m.SID, mtuOfLink},
		{"mtu-ipv6", m.DynamicSID, mtuOfLink},
		{"mtu-ipv6", m.SRv6Interface, mtuOfLink},
		{"subinterface-zero", m.Subinterface, subinterfaceZero},
		{"address-4", m.Address4, address4},
		{"address-6", m.Address6, address6},
		{"neighbour", m.Neighbour4, neighbourAddress},
		{"neighbour", m.Neighbour6, neighbourAddress},
	}
}

// kindOf is the link that an interface of this name and type is; "" if it is one
// that Heddle does not make.
func kindOf(i *translators.Interface) object.LinkType {
	switch i.Type {
	case translators.TypeDummy:
		return object.LinkDummy
	case translators.TypeVeth:
		return object.LinkVeth
	case translators.TypeVLAN:
		return object.LinkVLAN
	case translators.TypeTunnel:
		return object.LinkGRE // or ip6gre: which one may change with the addresses
	case translators.TypeGRETap:
		return object.LinkGRETap
	case translators.TypeVXLAN:
		return object.LinkVXLAN
	case translators.TypeBridge:
		return object.LinkBridge
	case translators.TypeSoftwareLoopback:
		if translators.Str(i.Name) != translators.LoopbackLink {
			return object.LinkDummy
		}
	}
	return ""
}

func interfaceType(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	i := entry.(*translators.Interface)
	switch i.Type {
	case translators.TypeUnset, translators.TypeEthernet, translators.TypeSoftwareLoopback,
		translators.TypeDummy, translators.TypeVeth, translators.TypeVLAN,
		translators.TypeTunnel, translators.TypeGRETap, translators.TypeVXLAN, translators.TypeBridge:
	default:
		c.fail(k, "config/type", translators.EnumName(i.Type), "such an interface is shown in state and cannot be configured",
			"use DUMMY, VETH, l2vlan, bridge, tunnel, GRETAP, VXLAN, softwareLoopback or ethernetCsmacd; a VRF comes from a network instance of type L3VRF")
		return
	}
	if kindOf(i) != "" && translators.Str(i.Name) == translators.LoopbackLink {
		c.fail(k, "config/type", translators.EnumName(i.Type), "lo is the kernel's own link",
			"leave config/type out or set it to softwareLoopback, or choose another name")
	}
}

func interfaceTypeChange(c *check, k schema.EntryKey, entry, was schema.GoStruct) {
	i := entry.(*translators.Interface)
	before, ok := was.(*translators.Interface)
	if !ok || before == nil || kindOf(before) == kindOf(i) {
		return
	}
	c.fail(k, "config/type", translators.EnumName(i.Type), fmt.Sprintf("interface %s is there as %s, and a link cannot change its type",
		translators.Str(i.Name), cmp.Or(translators.EnumName(before.Type), "a link that Heddle did not make")),
		"delete the interface in one Set and configure it anew in another")
}

// interfaceName: the names below /proc/sys/net/ipv6/conf that are not links, and
// the links of VRFs.
func interfaceName(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	name := translators.Str(entry.(*translators.Interface).Name)
	if name == "all" || name == "default" {
		c.fail(k, "config/name", name, "the kernel keeps this name for the settings of all links", "choose another name")
	}
	if ni, ok := c.InstanceNamed(name); ok && ni.Type == translators.InstanceL3VRF {
		c.fail(k, "config/name", name, "the VRF link of network instance "+name+" has this name", "rename one of the two")
	}
}

func vethPeer(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	i := entry.(*translators.Interface)
	name, peer := translators.Str(i.Name), ""
	if i.Veth != nil {
		peer = translators.Str(i.Veth.Peer)
	}
	const leaf = "veth/config/peer"
	switch {
	case i.Type != translators.TypeVeth:
		if peer != "" {
			c.fail(k, leaf, peer, "only an interface of type VETH has a peer", "set config/type to VETH or delete the peer")
		}
		return
	case peer == "":
		c.fail(k, leaf, "", "an interface of type VETH has two ends", "name the other one as its peer")
		return
	case peer == name:
		c.fail(k, leaf, peer, "the two ends of a veth pair are two interfaces", "name another interface")
		return
	}
	other, ok := c.InterfaceNamed(peer)
	if !ok {
		c.fail(k, leaf, peer, "the peer is not configured", "configure interface "+peer+" with type VETH and peer "+name)
		return
	}
	if other.Type != translators.TypeVeth || other.Veth == nil || translators.Str(other.Veth.Peer) != name {
		c.fail(k, leaf, peer, "the peer does not name this interface as its own",
			"give interface "+peer+" the type VETH and the peer "+name)
	}
}

func mtuForIPv6(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	i := entry.(*translators.Interface)
	mtu := c.ConfiguredMTU(i)
	if mtu == nil || *mtu >= minMTU6 {
		return
	}
	c.Scan(k, func(a schema.EntryKey, e schema.GoStruct) bool {
		what := ""
		switch a.List() {
		case c.Address6.ListID:
			what = "address "
		case c.Neighbour6.ListID:
			what = "neighbour "
		default:
			return true
		}
		c.fail(k, "config/mtu", text(*mtu), "IPv6 needs 1280 octets, and "+what+a.Values()[0]+" is on the interface",
			"set 1280 or more, or delete the IPv6 addresses and neighbours")
		return false
	})
	// Below 1280 octets Linux takes IPv6 off the link, and what goes over it.
	if translators.Str(i.Name) == c.carrier() {
		c.fail(k, "config/mtu", text(*mtu), "IPv6 needs 1280 octets, and this link carries the SIDs",
			"set 1280 or more, or choose another sid-interface in instance "+translators.DefaultInstance)
	}
	c.Referrers(k, func(r schema.EntryKey) bool {
		if !c.carriesIPv6(r) {
			return true
		}
		c.fail(k, "config/mtu", text(*mtu), "IPv6 needs 1280 octets, and "+c.Text(r)+" sends IPv6 over the interface",
			"set 1280 or more, or delete that first")
		return false
	})
}

// mtuOfLink is the same rule from the other side: an entry that sends IPv6 over an
// interface comes after its MTU.
func mtuOfLink(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	var leaf, link string
	switch e := entry.(type) {
	case *translators.NextHop:
		leaf, link = "interface-ref/config/interface", translators.OutLink(e)
	case *translators.SID:
		leaf, link = "config/interface", translators.Str(e.Interface)
	case *translators.DynamicSID:
		leaf, link = "config/interface", translators.Str(e.Interface)
	case *translators.SRv6Interface:
		leaf, link = "config/interface-id", translators.Str(e.InterfaceId)
	}
	if link == "" || !c.tooSmallForIPv6(link) || !c.carriesIPv6(k) {
		return
	}
	c.fail(k, leaf, link, "IPv6 needs 1280 octets, and the interface is configured with fewer", "set its config/mtu to 1280 or more")
}

// tooSmallForIPv6 reports whether an interface is configured with an MTU below
// that of IPv6.
func (c *check) tooSmallForIPv6(name string) bool {
	small, known := c.small[name]
	if !known {
		i, ok := c.InterfaceNamed(name)
		small = false
		if ok {
			mtu := c.ConfiguredMTU(i)
			small = mtu != nil && *mtu < minMTU6
		}
		if c.small == nil {
			c.small = map[string]bool{}
		}
		c.small[name] = small
	}
	return small
}

// carriesIPv6 reports whether an entry that refers to an interface needs IPv6 on
// it.
func (c *check) carriesIPv6(k schema.EntryKey) bool {
	e, ok := c.Get(k)
	if !ok {
		return false
	}
	switch e := e.(type) {
	case *translators.SRv6Interface:
		return true
	case *translators.SID:
		return e.Behavior == translators.BehaviorEndX
	case *translators.DynamicSID:
		return e.Behavior == translators.BehaviorEndX
	case *translators.NextHop:
		if e.Srv6Encapsulation != nil && len(e.Srv6Encapsulation.SegmentList) > 0 {
			return true
		}
		gateway, _ := e.NextHop.(translators.UnionString)
		static, _ := k.Parent()
		return strings.Contains(string(gateway), ":") || strings.Contains(strings.Join(static.Values(), ""), ":")
	}
	return false
}

func subinterfaceZero(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	index := entry.(*translators.Subinterface).Index
	if index != nil && *index != 0 {
		c.fail(k, "config/index", text(*index), "only subinterface 0, the link itself, can be configured", "use 0")
	}
}

func address4(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	a := entry.(*translators.Address4)
	ip, ok := addressLength(c, k, a.Ip, a.PrefixLength)
	if !ok {
		return
	}
	prefix := netip.PrefixFrom(ip, int(*a.PrefixLength))
	if prefix.Bits() < 31 && (prefix.Masked().Addr() == ip || broadcast(prefix) == ip) {
		c.fail(k, "config/ip", ip.String(), "it is the network or broadcast address of "+prefix.Masked().String(),
			"use an address of a host")
	}
}

func broadcast(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(a)
}

func address6(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	a := entry.(*translators.Address6)
	if ip, ok := addressLength(c, k, a.Ip, a.PrefixLength); ok && ip.Is4In6() {
		c.fail(k, "config/ip", ip.String(), "an IPv4-mapped address is never on the wire", "use an IPv6 unicast address, or configure it under ipv4")
	}
}

// addressLength checks what both families have in common.
func addressLength(c *check, k schema.EntryKey, leaf *string, length *uint8) (netip.Addr, bool) {
	ip := translators.Addr(leaf)
	if length == nil {
		c.fail(k, "config/prefix-length", "", "an address needs the length of the prefix on the link", "set config/prefix-length")
		return ip, false
	}
	if *length == 0 {
		c.fail(k, "config/prefix-length", "0", "every address of the world would be on this link", "set the length of the prefix on the link")
		return ip, false
	}
	if !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || ip == limitedBroadcast {
		c.fail(k, "config/ip", translators.Str(leaf), "it is not the address of a host", "use a unicast address")
		return ip, false
	}
	return ip, true
}

var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
