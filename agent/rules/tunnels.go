package rules

import (
	"net/netip"

	"heddle/schema"
	"heddle/translators"
)

// tunnel: a GRE tunnel has two ends.
func tunnel(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	i := entry.(*translators.Interface)
	const srcLeaf, dstLeaf = "tunnel/config/src", "tunnel/config/dst"
	if i.Type != translators.TypeTunnel && i.Type != translators.TypeGRETap {
		if i.Tunnel != nil {
			c.fail(k, srcLeaf, translators.Str(i.Tunnel.Src), "only an interface of type tunnel or GRETAP is a tunnel",
				"set config/type to tunnel or GRETAP, or delete tunnel")
		}
		return
	}
	if i.Tunnel == nil || i.Tunnel.Src == nil || i.Tunnel.Dst == nil {
		c.fail(k, "tunnel/config", "", "a tunnel has two ends", "set src to an address of this node, and dst to that of the other end")
		return
	}
	t := i.Tunnel
	src, dst := translators.Addr(t.Src), translators.Addr(t.Dst)
	if !unicast(src) {
		c.fail(k, srcLeaf, *t.Src, "it is not the address of a host", "use a unicast address")
	}
	switch {
	case !unicast(dst):
		c.fail(k, dstLeaf, *t.Dst, "it is not the address of a host", "use a unicast address")
	case dst == src:
		c.fail(k, dstLeaf, *t.Dst, "the tunnel would lead to this end of it", "use the address of the other end")
	case dst.Is4() != src.Is4():
		c.fail(k, dstLeaf, *t.Dst, "the two ends are of different families, and src is "+src.String(), "use two IPv4 or two IPv6 addresses")
	}
	const discovery = "tunnel/config/path-mtu-discovery"
	if t.PathMtuDiscovery == nil || *t.PathMtuDiscovery {
		return
	}
	if src.Is6() {
		c.fail(k, discovery, "false", "IPv6 packets are never fragmented on the way", "delete it")
	} else if t.Ttl != nil && *t.Ttl != 0 {
		c.fail(k, discovery, "false", "with a ttl of its own a tunnel that leads through itself would never end", "delete it, or delete tunnel/config/ttl")
	}
}

// vxlan: the network has a number, and a group is on a link.
func vxlan(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	i := entry.(*translators.Interface)
	const vniLeaf, srcLeaf, dstLeaf, parentLeaf = "vxlan/config/vni", "vxlan/config/src", "vxlan/config/dst", "vxlan/config/parent-interface"
	x := i.Vxlan
	if i.Type != translators.TypeVXLAN {
		if x != nil {
			c.fail(k, "vxlan/config", "", "only an interface of type VXLAN is an end of a VXLAN", "set config/type to VXLAN or delete vxlan")
		}
		return
	}
	if x == nil || x.Vni == nil {
		c.fail(k, vniLeaf, "", "a virtual network has a number", "set it to 1 to 16777215")
		return
	}
	src, dst := translators.Addr(x.Src), translators.Addr(x.Dst)
	if x.Src != nil && !unicast(src) {
		c.fail(k, srcLeaf, *x.Src, "it is not the address of a host", "use a unicast address")
	}
	switch {
	case x.Dst == nil:
	case !unicast(dst) && !dst.IsMulticast():
		c.fail(k, dstLeaf, *x.Dst, "it is neither the address of a host nor a group", "use a unicast or multicast address")
	case dst == src:
		c.fail(k, dstLeaf, *x.Dst, "frames would come back to this end", "use the address of the other end")
	case x.Src != nil && dst.Is4() != src.Is4():
		c.fail(k, dstLeaf, *x.Dst, "the two ends are of different families, and src is "+src.String(), "use two IPv4 or two IPv6 addresses")
	case x.ParentInterface == nil && (dst.IsMulticast() || dst.IsLinkLocalUnicast()):
		c.fail(k, parentLeaf, "", dst.String()+" says nothing without a link", "name the interface that leads to it")
	}
	if name := translators.Str(i.Name); c.onItself(name, i) {
		c.fail(k, parentLeaf, translators.ParentOf(i), "the interface would be on top of itself", "name another interface")
	}
}

// onItself reports whether an interface is on top of itself, by way of others or not.
func (c *check) onItself(name string, i *translators.Interface) bool {
	ring := translators.ParentOf(i) == name
	c.Below(i, func(below string, _ *translators.Interface) bool {
		ring = ring || below == name
		return !ring
	})
	return ring
}

func unicast(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.Is4In6() && a != limitedBroadcast
}
