package rules

import (
	"net/netip"

	"heddle/schema"
	"heddle/translators"
)

// reach is how the configuration leads to an address from the default instance; the
// zero value: it does not.
type reach struct {
	prefix netip.Prefix // of the subnet or route, the longest
	leads  bool         // a packet gets out that way
	onLink bool         // to a neighbour
}

// reached has what was found out for one snapshot.
type reached map[netip.Addr]reach

func (r reached) of(v translators.View, a netip.Addr) reach {
	found, known := r[a]
	if !known {
		found = reachOf(v, a)
		r[a] = found
	}
	return found
}

// reachOf looks at each length of prefix, so that it costs no more where there are
// many routes.
func reachOf(v translators.View, a netip.Addr) reach {
	if _, configured := v.InstanceNamed(translators.DefaultInstance); !configured {
		return reach{}
	}
	protocols := v.ProtocolsOf(v.DefaultKey())
	for bits := a.BitLen(); bits >= 0; bits-- {
		p, _ := a.Prefix(bits)
		if v.HasSubnet(v.DefaultKey(), p) {
			return reach{p, true, true}
		}
		if ways := waysTo(v, protocols, p); len(ways) > 0 {
			drops := ways[0].NextHop.NextHop == translators.NextHopDrop
			return reach{p, !drops, !drops && len(ways) == 1 && isOnLink(ways[0].NextHop)}
		}
	}
	return reach{}
}

// waysTo lists the next hops of a prefix that have its lowest metric.
func waysTo(v translators.View, protocols []schema.EntryKey, p netip.Prefix) (ways []translators.Way) {
	lowest := uint32(0)
	for _, proto := range protocols {
		k, err := v.Key(proto, v.Model.Static, p.String())
		if err != nil {
			continue
		}
		if _, there := v.Get(k); !there {
			continue
		}
		for _, w := range v.NextHopsOf(k) {
			metric := kernelMetric(p, w.NextHop)
			if len(ways) == 0 || metric < lowest {
				ways, lowest = ways[:0], metric
			}
			if metric == lowest {
				ways = append(ways, w)
			}
		}
	}
	return ways
}

// isOnLink reports whether a next hop says that the destination is on a link.
func isOnLink(nh *translators.NextHop) bool {
	return translators.OutLink(nh) != "" && !translators.Gateway(nh).IsValid() && !encapsulates(nh)
}

// sidReached: the kernel takes any next hop of a SID and drops what it cannot send
// there. Whether it can is asked when the SID is made (kernel/rtnl/checkhop.go); here
// it is seen that a next hop which the configuration leads to is not left behind by a
// later change. One that it never led to is for the kernel to judge: somebody else may
// have put a route there.
func sidReached(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	s := entry.(*translators.SID)
	hop := translators.Addr(s.NextHop)
	if !hop.IsValid() || hop.IsLinkLocalUnicast() || leavesOf[s.Behavior].nextHop == refused {
		return
	}
	const leaf = "config/next-hop"
	const remedy = "; change or delete the SID in the request that changes this"
	fail := func(reason, remedy string) { c.fail(k, leaf, hop.String(), reason, remedy) }
	if c.isOwn(hop) {
		fail("it is an address of this node", "use that of a neighbour"+remedy)
		return
	}
	if link := translators.Str(s.Interface); link != "" {
		c.sidOnLink(k, hop, link)
		return
	}
	if !c.again {
		return
	}
	neighbour := s.Behavior == translators.BehaviorEndX
	was := c.wasReached.of(c.before, hop)
	if !was.leads || neighbour && !was.onLink {
		return
	}
	switch is := c.isReached.of(c.View, hop); {
	case !is.prefix.IsValid():
		fail("nothing in the configuration leads there any more, as "+was.prefix.String()+" did", "keep an address or a route that does"+remedy)
	case !is.leads:
		fail("route "+is.prefix.String()+" drops what is sent there", "leave the route out, or use another next hop"+remedy)
	case neighbour && !is.onLink:
		fail("it is on no link any more: route "+is.prefix.String()+" leads to it by other nodes, and END_X sends to a neighbour",
			"keep an address of its subnet on an interface"+remedy)
	}
}

// sidOnLink: END_X sends to a neighbour on the interface that it names.
func (c *check) sidOnLink(k schema.EntryKey, hop netip.Addr, link string) {
	if reaches(c.View, link, hop) {
		return
	}
	if on := c.LinkTo(c.DefaultKey(), hop); on != "" {
		c.fail(k, "config/next-hop", hop.String(), "it is on interface "+on+", by the addresses that are configured, and not on "+link,
			"set config/interface to "+on+" or delete it, or use the address of a neighbour on "+link)
		return
	}
	if reaches(c.before, link, hop) {
		c.fail(k, "config/next-hop", hop.String(), "no address of interface "+link+" reaches it any more",
			"keep the address on the interface; change or delete the SID in the request that takes it away")
	}
}

// isOwn reports whether an address is one of the default instance's own.
func (c *check) isOwn(a netip.Addr) bool {
	own, known := c.own[a]
	if !known {
		c.AddressesAt(a, func(iface schema.EntryKey) bool {
			own = c.InstanceOfLink(iface) == c.DefaultKey()
			return !own
		})
		c.own[a] = own
	}
	return own
}

// recheckSIDHops: the SIDs whose next hop is in the prefix of a route of the default
// instance that changes or goes. One that comes matters if it drops packets, and to
// END_X, whose neighbour it may lead to by another node.
func recheckSIDHops(_, is translators.View, ch schema.Change, again func(schema.EntryKey)) {
	static, came, drops := ch.Key, ch.Old == nil, false
	if static.List() == is.NextHop.ListID {
		static, _ = static.Parent()
		nh, _ := ch.New.(*translators.NextHop)
		drops = nh != nil && nh.NextHop == translators.NextHopDrop
	} else if ch.New != nil {
		return // its next hops are changes themselves
	}
	if !static.Under(is.DefaultKey()) {
		return
	}
	p := translators.Prefix(&static.Values()[0])
	if !p.IsValid() {
		return
	}
	is.SIDHopsIn(p, func(k schema.EntryKey) {
		if s, ok := is.SIDWith(k); ok && (!came || drops || s.Behavior == translators.BehaviorEndX) {
			again(k)
		}
	})
}
