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
	prefixes map[netip.Prefix][]string // the links; of a route none
	lengths  map[int]bool              // that the prefixes have
	own      map[netip.Addr]bool       // addresses of this node
}

// add notes a prefix that is on a link, or if that is empty behind a gateway.
func (p *planned) add(prefix netip.Prefix, link string) {
	if p.prefixes == nil {
		*p = planned{map[netip.Prefix][]string{}, map[int]bool{}, map[netip.Addr]bool{}}
	}
	if link != "" {
		p.own[prefix.Addr()] = true
	}
	prefix = prefix.Masked()
	p.lengths[prefix.Bits()] = true
	if links := p.prefixes[prefix]; link != "" {
		p.prefixes[prefix] = append(links, link)
	} else {
		p.prefixes[prefix] = links
	}
}

// way is what the next hop of a SID is about.
type way struct {
	hop    netip.Addr
	onLink bool   // it has to be a neighbour
	link   string // and on this link, unless that is empty
}

func wayOf(s *object.LocalSID) way {
	onLink := s.Behavior == object.EndX
	w := way{hop: s.NextHop, onLink: onLink}
	if onLink {
		w.link = s.OutLink
	}
	return w
}

// reaches reports whether the plan leads that way.
func (p *planned) reaches(w way) bool {
	if p.own[w.hop] {
		return false
	}
	for bits := range p.lengths {
		prefix, err := w.hop.Prefix(bits)
		if err != nil {
			continue
		}
		links, ok := p.prefixes[prefix]
		if ok && (!w.onLink || len(links) > 0 && w.link == "" || w.link != "" && slices.Contains(links, w.link)) {
			return true
		}
	}
	return false
}

// planned notes what the objects that come make reachable.
func (c *checker) planned() (p planned) {
	dx := slices.ContainsFunc(c.steps, func(s reconcile.Step) bool {
		sid, ok := c.leads(s)
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
				p.add(o.Prefix, o.Link)
			}
		case *object.Route:
			if dx && o.Table == object.TableMain && o.Type == object.Unicast {
				p.add(o.Prefix, "")
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
func (c *checker) leads(s reconcile.Step) (*object.LocalSID, bool) {
	sid, ok := s.New.(*object.LocalSID)
	return sid, ok && sid.NextHop.IsValid() && !sid.NextHop.IsLinkLocalUnicast() && !c.ran(sid)
}

// nextHops asks the kernel, in batches, where the next hops of SIDs lead that the
// plan does not reach: it takes any, and drops the packets.
func (c *checker) nextHops(ctx context.Context) error {
	ways := c.waysToAsk()
	if len(ways) == 0 {
		return nil
	}
	routes := make(map[way]rawRoute, len(ways)) // none: nothing leads there
	for rest := ways; len(rest) > 0; {
		batch := rest[:min(batchSize, len(rest))]
		rest = rest[len(batch):]
		err := c.d.query.pipeline(ctx, len(batch), func(m *msgBuf, i int, seq uint32) error {
			buildWay(m, seq, batch[i].hop, c.indexOf(batch[i].link))
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
	unfit := func(w way) bool {
		r := routes[w]
		return p.own[w.hop] || c.leadsTo(w, &r) != nil
	}
	if !slices.ContainsFunc(ways, unfit) {
		return nil
	}
	asked := make(map[way]bool, len(ways))
	for _, w := range ways {
		asked[w] = true
	}
	for _, s := range c.steps {
		sid, ok := c.leads(s)
		if !ok {
			continue
		}
		w := wayOf(sid)
		if !asked[w] || p.reaches(w) {
			continue
		}
		r := routes[w]
		if p.own[w.hop] {
			r = rawRoute{family: 1, typ: unix.RTN_LOCAL} // it will be
		}
		if err := c.leadsTo(w, &r); err != nil {
			c.add(s, err)
		}
	}
	return nil
}

// waysToAsk lists the ways, each once, that the plan does not lead by itself.
func (c *checker) waysToAsk() (ways []way) {
	var p planned
	seen := map[way]bool{}
	for _, s := range c.steps {
		sid, ok := c.leads(s)
		if !ok {
			continue
		}
		if len(seen) == 0 {
			p = c.planned()
		}
		if w := wayOf(sid); !seen[w] {
			seen[w] = true
			if !p.reaches(w) {
				ways = append(ways, w)
			}
		}
	}
	return ways
}

// indexOf is the index of a link, 0 for none and for one that the plan makes.
func (c *checker) indexOf(link string) int32 {
	if l := c.v.byName[link]; l != nil {
		return l.index
	}
	return 0
}

// buildWay asks which route of the main table leads to an address: by a link, or if
// that is 0 by any.
func buildWay(m *msgBuf, seq uint32, a netip.Addr, link int32) {
	h := m.begin(unix.RTM_GETROUTE, 0, seq, unix.SizeofRtMsg)
	h[0], h[1] = family(a), uint8(a.BitLen())
	native.PutUint32(h[8:], unix.RTM_F_FIB_MATCH)
	m.addr(unix.RTA_DST, a)
	if link != 0 {
		m.u32(unix.RTA_OIF, uint32(link))
	}
	m.end()
}

// leadsTo checks the kernel's route to the next hop of a SID; one of family 0 is
// none.
func (c *checker) leadsTo(w way, r *rawRoute) error {
	unfit := func(reason, remedy string) error {
		return &UnfitError{Named: "next hop " + w.hop.String(), Reason: reason, Remedy: remedy}
	}
	switch {
	case r.family == 0 && w.link != "":
		return unfit("is not on "+w.link+": no route of the main table leads to it by that link", "use the address of a neighbour on "+w.link+", or leave the interface out")
	case r.family == 0:
		return unfit("is reached by no route of the main table", "use an address that is, or configure an address of its subnet on an interface")
	case r.typ == unix.RTN_LOCAL:
		return unfit("is an address of this node", "use that of a neighbour")
	case r.typ != unix.RTN_UNICAST || r.isSID():
		return unfit(fmt.Sprintf("is reached by route %s, which does not forward", r.dst), "use the address of a neighbour")
	case w.onLink && (r.hop.gateway.IsValid() || r.multipath != nil || r.hop.encapType != 0):
		return unfit(fmt.Sprintf("is on no link: route %s leads to it by other nodes, and End.X sends to a neighbour", r.dst),
			"use the address of a neighbour, or a segment list")
	case w.link != "" && r.hop.oif != c.indexOf(w.link):
		return unfit(fmt.Sprintf("is not on %s: route %s leads to it by another link", w.link, r.dst), "use the address of a neighbour on "+w.link+", or leave the interface out")
	}
	return nil
}
