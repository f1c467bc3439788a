package rules

import (
	"heddle/kernel/object"
	"heddle/schema"
	"heddle/translators"
)

// vlanParent: a VLAN says where it is and which one, and is not on itself.
func vlanParent(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	i := entry.(*translators.Interface)
	const parentLeaf, idLeaf = "vlan/config/parent-interface", "vlan/config/vlan-id"
	if i.Type != translators.TypeVLAN {
		switch v := i.Vlan; {
		case v == nil:
		case v.ParentInterface != nil:
			c.fail(k, parentLeaf, *v.ParentInterface, "only an interface of type l2vlan is a VLAN", "set config/type to l2vlan or delete vlan")
		case v.VlanId != nil:
			c.fail(k, idLeaf, text(*v.VlanId), "only an interface of type l2vlan is a VLAN", "set config/type to l2vlan or delete vlan")
		case v.Tpid != 0:
			c.fail(k, "vlan/config/tpid", translators.EnumName(v.Tpid), "only an interface of type l2vlan is a VLAN", "set config/type to l2vlan or delete vlan")
		}
		return
	}
	name, parent := translators.Str(i.Name), translators.ParentOf(i)
	if parent == "" {
		c.fail(k, parentLeaf, "", "a VLAN is on top of another interface", "name that one")
	}
	if i.Vlan == nil || i.Vlan.VlanId == nil {
		c.fail(k, idLeaf, "", "a VLAN has a number", "set it to 1 to 4094")
	}
	if parent == translators.LoopbackLink {
		c.fail(k, parentLeaf, parent, "lo takes no VLANs", "name another interface")
	}
	if c.onItself(name, i) {
		c.fail(k, parentLeaf, parent, "the interface would be on top of itself", "name another interface")
	}
}

// vlanMTU: Linux takes no larger MTU for a VLAN than that of its parent.
func vlanMTU(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	i := entry.(*translators.Interface)
	if i.Type != translators.TypeVLAN || i.Mtu == nil {
		return
	}
	c.Below(i, func(name string, below *translators.Interface) bool {
		if mtu := c.ConfiguredMTU(below); mtu != nil && *i.Mtu > *mtu {
			c.fail(k, "config/mtu", text(*i.Mtu), "interface "+name+", which the VLAN is on, has an mtu of "+text(*mtu),
				"set "+text(*mtu)+" or less, or raise the mtu of "+name)
		}
		return false
	})
}

// neighbourAddress: a neighbour has an address and a link-layer address of its own.
func neighbourAddress(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	var ip, mac *string
	switch n := entry.(type) {
	case *translators.Neighbour4:
		ip, mac = n.Ip, n.LinkLayerAddress
	case *translators.Neighbour6:
		ip, mac = n.Ip, n.LinkLayerAddress
	}
	const leaf = "config/link-layer-address"
	if _, i, ok := c.InterfaceOf(k); ok && (translators.Str(i.Name) == translators.LoopbackLink || i.Type == translators.TypeTunnel) {
		c.fail(k, "", "", translators.Str(i.Name)+" has no neighbours with a link-layer address", "configure it on the interface that leads to it")
		return
	}
	if a := translators.Addr(ip); !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.Is4In6() || a == limitedBroadcast {
		c.fail(k, "config/ip", translators.Str(ip), "it is not the address of a neighbour", "use a unicast address")
	}
	if mac == nil {
		c.fail(k, leaf, "", "a static neighbour needs its link-layer address", "set "+leaf)
		return
	}
	if m, err := object.ParseMAC(*mac); err != nil || m[0]&1 != 0 || m == (object.MAC{}) {
		c.fail(k, leaf, *mac, "it is not the address of one station", "use a unicast address, such as 02:00:00:00:00:01")
	}
}

// recheckAbove: the interfaces on top of one that changes have its MTU.
func recheckAbove(_, is translators.View, ch schema.Change, again func(schema.EntryKey)) {
	before, _ := ch.Old.(*translators.Interface)
	after, _ := ch.New.(*translators.Interface)
	if before != nil && after != nil {
		is.Above(ch.Key, again)
	}
}
