package rtnl

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// planned are the prefixes that a plan makes reachable in the main table: those of
// addresses, whose neighbours are on the link, and of routes.
type planned struct {
	prefixes map[netip.Prefix]bool // true: on a link
	lengths  map[int]bool          // that the prefixes have
	own      map[netip.Addr]bool   // addresses of this node
}

func (p *planned) add(prefix netip.Prefix, onLink bool) {
	if p.prefixes == nil {
		*p = planned{map[netip.Prefix]bool{}, map[int]bool{}, map[netip.Addr]bool{}}
	}
	if onLink {
		p.own[prefix.Addr()] = true
	}
	prefix = prefix.Masked()
	p.prefixes[prefix] = p.prefixes[prefix] || onLink
	p.lengths[prefix.Bits()] = true
}

// reaches reports whether a leads somewhere by the plan; onLink: to a neighbour.
func (p *planned) reaches(a netip.Addr, onLink bool) bool {
	if p.own[a] {
		return false
	}
	for bits := range p.lengths {
		if prefix, err := a.Prefix(bits); err == nil {
			if neighbours, ok := p.prefixes[prefix]; ok && (neighbours || !onLink) {
				return true
			}
		}
	}
	return false
}

// planned notes what the objects that come make reachable.
func (c *checker) planned() (p planned) {
	dx := slices.ContainsFunc(c.steps, func(s reconcile.Step) bool {
		sid, ok := leads(s)
		return ok && sid.Behavior != object.EndX
	})
	masters := map[string]string{}
	for _, s := range c.steps {
		if m, ok := s.New.(object.Member); ok {
			masters[m.Link] = m.Master
		}
	}
	for _, s := range c.steps {
		switch o := s.New.(type) {
		case object.Address:
			if !c.inVRF(o.Link, masters) {
				p.add(o.Prefix, true)
			}
		case *object.Route:
			if dx && o.Table == object.TableMain && o.Type == object.Unicast {
				p.add(o.Prefix, false)
			}
		}
	}
	return p
}

// inVRF reports whether a link is in a VRF by the plan, whose memberships are given,
// or else in the kernel.
func (c *checker) inVRF(link string, masters map[string]string) bool {
	master, planned := masters[link]
	if !planned {
		l := c.v.byName[link]
		if l == nil || l.master == 0 || c.leaves[link] || c.v.byIndex[l.master] == nil {
			return false
		}
		master = c.v.byIndex[l.master].name
	}
	if made, ok := c.makes[master]; ok {
		return made.Type == object.LinkVRF
	}
	m := c.v.byName[master]
	return m != nil && m.kind == string(object.LinkVRF)
}

// leads reports whether a step makes a SID with a next hop that could be of no use.
// A link-local one is on the link that is named beside it.
func leads(s reconcile.Step) (*object.LocalSID, bool) {
	sid, ok := s.New.(*object.LocalSID)
	return sid, ok && sid.NextHop.IsValid() && !sid.NextHop.IsLinkLocalUnicast()
}

// nextHops asks the kernel, in batches, where the next hops of SIDs lead that the
// plan does not reach: it takes any, and drops the packets.
func (c *checker) nextHops(ctx context.Context) error {
	hops := c.hopsToAsk()
	if len(hops) == 0 {
		return nil
	}
	dec := decoder{c.v, &c.d.hops}
	routes := make(map[netip.Addr]rawRoute, len(hops)) // none: nothing leads there
	for rest := hops; len(rest) > 0; {
		batch := rest[:min(batchSize, len(rest))]
		rest = rest[len(batch):]
		err := c.d.query.pipeline(ctx, len(batch), func(m *msgBuf, i int, seq uint32) error {
			buildLookup(m, seq, dec, slot{table: object.TableMain, prefix: netip.PrefixFrom(batch[i], batch[i].BitLen())})
			return nil
		}, func(i int, m *message) {
			if r, ok := parseRoute(m.data); ok && m.typ == unix.RTM_NEWROUTE {
				routes[batch[i]] = cloneRoute(r)
			}
		})
		if err != nil {
			return fmt.Errorf("look for the next hops of SIDs: %w", err)
		}
	}
	p := c.planned()
	unfit := func(hop netip.Addr) bool {
		r := routes[hop]
		return p.own[hop] || leadsTo(hop, &r, object.EndX) != nil
	}
	if !slices.ContainsFunc(hops, unfit) {
		return nil
	}
	asked := make(map[netip.Addr]bool, len(hops))
	for _, hop := range hops {
		asked[hop] = true
	}
	for _, s := range c.steps {
		sid, ok := leads(s)
		if !ok || !asked[sid.NextHop] || p.reaches(sid.NextHop, sid.Behavior == object.EndX) {
			continue
		}
		r := routes[sid.NextHop]
		if p.own[sid.NextHop] {
			r = rawRoute{family: 1, typ: unix.RTN_LOCAL} // it will be
		}
		if err := leadsTo(sid.NextHop, &r, sid.Behavior); err != nil {
			c.add(s, err)
		}
	}
	return nil
}

// hopsToAsk lists the next hops, each once, that the plan does not reach by itself.
func (c *checker) hopsToAsk() (hops []netip.Addr) {
	var p planned
	type looked struct{ onLink, routed, asked bool }
	seen := map[netip.Addr]looked{}
	for _, s := range c.steps {
		sid, ok := leads(s)
		if !ok {
			continue
		}
		onLink := sid.Behavior == object.EndX
		l := seen[sid.NextHop]
		if onLink && l.onLink || !onLink && l.routed {
			continue
		}
		if len(seen) == 0 {
			p = c.planned()
		}
		l.onLink, l.routed = l.onLink || onLink, l.routed || !onLink
		if !l.asked && !p.reaches(sid.NextHop, onLink) {
			l.asked = true
			hops = append(hops, sid.NextHop)
		}
		seen[sid.NextHop] = l
	}
	return hops
}

// leadsTo checks the kernel's route to the next hop of a SID; one of family 0 is
// none.
func leadsTo(hop netip.Addr, r *rawRoute, b object.Behavior) error {
	unfit := func(reason, remedy string) error {
		return &UnfitError{Named: "next hop " + hop.String(), Reason: reason, Remedy: remedy}
	}
	switch {
	case r.family == 0:
		return unfit("is reached by no route of the main table", "use an address that is, or configure an address of its subnet on an interface")
	case r.typ == unix.RTN_LOCAL:
		return unfit("is an address of this node", "use that of a neighbour")
	case r.typ != unix.RTN_UNICAST || r.isSID():
		return unfit(fmt.Sprintf("is reached by route %s, which does not forward", r.dst), "use the address of a neighbour")
	case b == object.EndX && (r.hop.gateway.IsValid() || r.multipath != nil || r.hop.encapType != 0):
		return unfit(fmt.Sprintf("is on no link: route %s leads to it by other nodes, and End.X sends to a neighbour", r.dst),
			"use the address of a neighbour, or a segment list")
	}
	return nil
}
