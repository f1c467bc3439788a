package rules

import (
	"heddle/schema"
	"heddle/translators"
)

// bridgePort: a port carries frames for its bridge, and nothing of its own.
func bridgePort(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	i := entry.(*translators.Interface)
	name, bridge := translators.Str(i.Name), translators.BridgeOf(i)
	const leaf = "bridge-port/config/bridge"
	if bridge == "" {
		return
	}
	if b, ok := c.InterfaceNamed(bridge); ok && b.Type != translators.TypeBridge {
		c.fail(k, leaf, bridge, "interface "+bridge+" is not of type bridge", "name one that is")
		return
	}
	if i.Type == translators.TypeBridge || i.Type == translators.TypeTunnel || name == translators.LoopbackLink {
		c.fail(k, leaf, bridge, "the interface carries no Ethernet frames for a bridge", "use a VETH, VLAN, GRETAP, VXLAN or Ethernet interface as a port")
		return
	}
	c.Below(i, func(below string, _ *translators.Interface) bool {
		if below == bridge {
			c.fail(k, leaf, bridge, "the interface is on top of "+bridge+": frames would go round", "name another bridge")
		}
		return below != bridge
	})
	c.Scan(k, func(a schema.EntryKey, _ schema.GoStruct) bool {
		list := a.List()
		if list != c.Address4.ListID && list != c.Address6.ListID {
			return true
		}
		c.fail(k, leaf, bridge, "the interface has the address "+a.Values()[0]+", to which packets would not come", "give the address to "+bridge)
		return false
	})
	c.Referrers(k, func(r schema.EntryKey) bool {
		_, ni, ok := c.InstanceOf(r)
		if r.List() != c.Member.ListID || !ok || ni.Type != translators.InstanceL3VRF {
			return r.List() <= c.Member.ListID
		}
		c.fail(k, leaf, bridge, "the interface is in network instance "+translators.Str(ni.Name)+", and a link is a member once",
			"take it out of that, and put "+bridge+" in")
		return false
	})
}

// recheckPorts: what an interface is matters to the interfaces that are its ports, and
// to itself as the member of an instance.
func recheckPorts(_, is translators.View, ch schema.Change, again func(schema.EntryKey)) {
	before, _ := ch.Old.(*translators.Interface)
	after, _ := ch.New.(*translators.Interface)
	if before == nil || after == nil || before.Type == after.Type {
		return
	}
	is.Referrers(ch.Key, func(r schema.EntryKey) bool {
		if r.List() == is.Model.Interface.ListID {
			again(r)
		}
		return r.List() <= is.Model.Interface.ListID
	})
}

// recheckMember: the interface of an instance may be a port.
func recheckMember(_, is translators.View, ch schema.Change, again func(schema.EntryKey)) {
	if m, ok := ch.New.(*translators.Member); ok && m != nil && m.Interface != nil {
		if k, ok := is.InterfaceKey(*m.Interface); ok {
			again(k)
		}
	}
}
