package rules

import (
	"net/netip"
	"strings"

	"heddle/schema"
	"heddle/translators"
)

// lookupInstance is the instance that the neighbour and the interface of a next hop
// are in.
func (c *check) lookupInstance(k schema.EntryKey, nh *translators.NextHop) (schema.EntryKey, bool) {
	if nh.NetworkInstance != nil {
		return c.InstanceKey(*nh.NetworkInstance)
	}
	instance, _, ok := c.InstanceOf(k)
	return instance, ok
}

// leak: what a next hop of another instance needs.
func leak(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	nh := entry.(*translators.NextHop)
	if nh.NetworkInstance == nil {
		return
	}
	const leaf = "config/network-instance"
	name := *nh.NetworkInstance
	if own, _, ok := c.InstanceOf(k); ok && own.Values()[0] == name {
		c.fail(k, leaf, name, "the route is in this instance", "name another instance, or delete the leaf")
		return
	}
	if encapsulates(nh) {
		c.fail(k, leaf, name, "an encapsulated packet is routed by its first segment, in the default instance",
			"delete it, or srv6-encapsulation")
	}
	if nh.NextHop == translators.NextHopLocalLink && translators.OutLink(nh) == "" {
		return // next-hop-way has it
	}
	link := translators.OutLink(nh)
	if link == "" {
		return
	}
	if iface, ok := c.InterfaceKey(link); ok && c.InstanceOfLink(iface).Values()[0] != name {
		c.fail(k, "interface-ref/config/interface", link, "it is in network instance "+c.InstanceOfLink(iface).Values()[0]+", not in "+name,
			"name an interface of "+name+", or the instance that the interface is in")
	}
}

// leakLoop follows a lookup that goes on in another instance: it must not come back
// to where it was.
func leakLoop(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	first, ok := goesOn(entry)
	if !ok {
		return
	}
	own, _, ok := c.InstanceOf(k)
	if !ok || own.Values()[0] == first {
		return // leak has it
	}
	p, way := prefixAbove(k), []string{own.Values()[0]}
	for at := first; ; {
		for _, before := range way {
			if before == at {
				c.fail(k, "config/network-instance", first, "the lookup of "+p.String()+" would go round: "+strings.Join(append(way, at), " to "),
					"delete one of these routes, or give it a next hop of its own")
				return
			}
		}
		way = append(way, at)
		next, goes := c.leaksFrom(at, p)
		if !goes {
			return
		}
		at = next
	}
}

// recheckLeaks: a lookup that goes on may now come by a next hop that goes on
// further, or by one that a route which went has hidden.
func recheckLeaks(_, is translators.View, ch schema.Change, again func(schema.EntryKey)) {
	var p netip.Prefix
	switch {
	case ch.Key.List() == is.NextHop.ListID:
		if _, goes := goesOn(ch.New); goes {
			p = prefixAbove(ch.Key)
		}
	case ch.New == nil:
		p = translators.Prefix(&ch.Key.Values()[0])
	}
	if p.IsValid() {
		is.LeaksWithin(p, again)
	}
}

// goesOn is the instance that the lookup of a next hop goes on in.
func goesOn(entry schema.GoStruct) (string, bool) {
	nh, ok := entry.(*translators.NextHop)
	if !ok || !translators.GoesOn(nh) {
		return "", false
	}
	return *nh.NetworkInstance, true
}

// leaksFrom finds where the lookup of p goes on from an instance: by the longest
// prefix that leaks, unless its protocol has a longer one, or an interface of the
// instance is in the subnet.
func (c *check) leaksFrom(instance string, p netip.Prefix) (next string, goes bool) {
	at, ok := c.InstanceKey(instance)
	if !ok {
		return "", false
	}
	for bits := p.Bits(); bits >= 0 && !goes; bits-- {
		covering, _ := p.Addr().Prefix(bits)
		c.Leaks(covering, func(k schema.EntryKey) bool {
			in, _, ok := c.InstanceOf(k)
			entry, there := c.Get(k)
			if !ok || !there || in != at || c.hidden(k, at, p, bits) {
				return true
			}
			next, goes = goesOn(entry)
			return !goes
		})
	}
	return next, goes
}

// hidden reports whether another route of an instance is preferred to that of a
// next hop, whose prefix has some bits, for all of p.
func (c *check) hidden(k, instance schema.EntryKey, p netip.Prefix, bits int) bool {
	proto, _, ok := c.ProtocolOf(k)
	for longer := p.Bits(); ok && longer > bits; longer-- {
		covering, _ := p.Addr().Prefix(longer)
		if k, err := c.Key(proto, c.Static, covering.String()); err == nil {
			if _, there := c.Get(k); there {
				return true
			}
		}
		if c.HasSubnet(instance, covering) {
			return true
		}
	}
	return false
}
