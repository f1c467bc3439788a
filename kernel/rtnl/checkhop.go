package rtnl

import (
	"context"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// planned are the prefixes that a plan makes reachable in the main table: those of
// addresses, whose neighbours are on the link, and of routes.
type planned struct {
	prefixes map[netip.Prefix]bool // true: on a link
	lengths  map[int]bool          // that the prefixes have
}

func (p *planned) add(prefix netip.Prefix, onLink bool) {
	if p.prefixes == nil {
		*p = planned{map[netip.Prefix]bool{}, map[int]bool{}}
	}
	prefix = prefix.Masked()
	p.prefixes[prefix] = p.prefixes[prefix] || onLink
	p.lengths[prefix.Bits()] = true
}

// reaches reports whether a leads somewhere by the plan; onLink: to a neighbour.
func (p *planned) reaches(a netip.Addr, onLink bool) bool {
	for bits := range p.lengths {
		if prefix, err := a.Prefix(bits); err == nil {
			if neighbours, ok := p.prefixes[prefix]; ok && (neighbours || !onLink) {
				return true
			}
		}
	}
	return false
}

// survey notes what the objects that come make reachable; with routes those, too.
func (p *planned) survey(steps []reconcile.Step, routes bool) {
	for _, s := range steps {
		switch o := s.New.(type) {
		case object.Address:
			p.add(o.Prefix, true)
		case *object.Route:
			if routes && o.Table == object.TableMain && o.Type == object.Unicast {
				p.add(o.Prefix, false)
			}
		}
	}
}

// hopQuestion is where a next hop of SIDs leads.
type hopQuestion struct {
	hop   netip.Addr
	steps []int    // of the SIDs
	route rawRoute // the answer; family 0: none
}

// nextHops asks the kernel, in batches, where the next hops of SIDs lead that the
// plan does not reach: it takes any, and drops the packets.
func (c *checker) nextHops(ctx context.Context) error {
	questions := c.hopQuestions()
	dec := decoder{c.v, &c.d.hops}
	for rest := questions; len(rest) > 0; {
		batch := rest[:min(batchSize, len(rest))]
		rest = rest[len(batch):]
		err := c.d.query.pipeline(ctx, len(batch), func(m *msgBuf, i int, seq uint32) error {
			a := batch[i].hop
			buildLookup(m, seq, dec, slot{table: object.TableMain, prefix: netip.PrefixFrom(a, a.BitLen())})
			return nil
		}, func(i int, m *message) {
			if r, ok := parseRoute(m.data); ok && m.typ == unix.RTM_NEWROUTE {
				batch[i].route = cloneRoute(r)
			}
		})
		if err != nil {
			return fmt.Errorf("look for the next hops of SIDs: %w", err)
		}
	}
	for _, q := range questions {
		for _, i := range q.steps {
			s := c.steps[i]
			if err := leadsTo(q.hop, &q.route, s.New.(*object.LocalSID)); err != nil {
				c.add(s, err)
			}
		}
	}
	return nil
}

// hopQuestions lists the next hops that the plan does not reach by itself.
func (c *checker) hopQuestions() (qs []*hopQuestion) {
	var sids []int
	routes := false
	for i, s := range c.steps {
		if sid, ok := s.New.(*object.LocalSID); ok && sid.NextHop.IsValid() && !sid.NextHop.IsLinkLocalUnicast() {
			sids = append(sids, i)
			routes = routes || sid.Behavior != object.EndX
		}
	}
	if len(sids) == 0 {
		return nil
	}
	var p planned
	p.survey(c.steps, routes)
	asked := map[netip.Addr]*hopQuestion{}
	for _, i := range sids {
		sid := c.steps[i].New.(*object.LocalSID)
		if p.reaches(sid.NextHop, sid.Behavior == object.EndX) {
			continue
		}
		q := asked[sid.NextHop]
		if q == nil {
			q = &hopQuestion{hop: sid.NextHop}
			asked[sid.NextHop] = q
			qs = append(qs, q)
		}
		q.steps = append(q.steps, i)
	}
	return qs
}

// leadsTo checks the kernel's route to the next hop of a SID.
func leadsTo(hop netip.Addr, r *rawRoute, sid *object.LocalSID) error {
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
	case sid.Behavior == object.EndX && (r.hop.gateway.IsValid() || r.multipath != nil || r.hop.encapType != 0):
		return unfit(fmt.Sprintf("is on no link: route %s leads to it by other nodes, and End.X sends to a neighbour", r.dst),
			"use the address of a neighbour, or a segment list")
	}
	return nil
}
