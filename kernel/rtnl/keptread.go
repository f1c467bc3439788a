package rtnl

import (
	"context"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
)

// readAll reads what is on the links.
func (k *kept) readAll(ctx context.Context) error {
	if err := k.readAddresses(ctx); err != nil {
		return err
	}
	if err := k.readNeighbours(ctx); err != nil {
		return err
	}
	hopLinks, err := k.readHops(ctx)
	if err != nil {
		return err
	}
	return k.readRoutes(ctx, hopLinks)
}

// perLink calls read with the index that each link has now or, if there are many,
// once with 0, for all links.
func (k *kept) perLink(at indexMap, pick func(*keptLink) bool, read func(index int32) error) error {
	var indices []int32
	for _, l := range k.links {
		if index := int32(at.u32(uint32(l.index))); index != 0 && pick(l) {
			indices = append(indices, index)
		}
	}
	if len(indices) >= manyLinks {
		return read(0)
	}
	slices.Sort(indices)
	for _, index := range indices {
		if err := read(index); err != nil {
			return err
		}
	}
	return nil
}

func each(*keptLink) bool { return true }

func (k *kept) readAddresses(ctx context.Context) error {
	return k.perLink(nil, each, func(index int32) error {
		var found []address
		err := dumpAddresses(ctx, k.d.query, index, unix.AF_UNSPEC, func() { found = found[:0] }, func(a address) {
			a.raw = slices.Clone(a.raw)
			found = append(found, a)
		})
		for _, a := range found {
			l := k.index[a.index]
			if l != nil && a.proto == Protocol && a.inUse() {
				k.inUse[object.Address{Link: l.name, Prefix: a.prefix}] = true
			}
			if l == nil || !l.reach.has(family(a.prefix.Addr())) || a.comesBack() {
				continue
			}
			if a.proto == Protocol && (!l.loose || k.isPlanned(object.Address{Link: l.name, Prefix: a.prefix}.Key())) {
				continue
			}
			if a.flags&unix.IFA_F_NOPREFIXROUTE != 0 {
				l.bare = append(l.bare, a.prefix.Masked())
			}
			l.addresses = append(l.addresses, keepAddress(a))
		}
		return err
	})
}

// arp reports whether the link with an index resolves addresses.
func (k *kept) arp(index int32) bool {
	l := k.index[index]
	return l != nil && l.flags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) == 0
}

func (k *kept) readNeighbours(ctx context.Context) error {
	return k.perLink(nil, each, func(index int32) error {
		return dumpNeighbours(ctx, k.d.query, index, func(b []byte) {
			n, ok := parseNeighbour(b, k.arp)
			l := k.index[n.index]
			if !ok || l == nil || !l.reach.has(n.family) {
				return
			}
			if own := (object.Neighbour{Link: l.name, Addr: n.dst}); n.proto != Protocol || l.loose && !k.isPlanned(own.Key()) {
				l.neighbours = append(l.neighbours, n)
			}
		})
	})
}

// readHops reads the nexthop objects over the links and their groups, and returns
// the links of each.
func (k *kept) readHops(ctx context.Context) (links map[uint32][]int32, err error) {
	err = k.perLink(nil, each, func(index int32) error {
		hops, err := dumpHops(ctx, k.d.query, index, false)
		k.hops = append(k.hops, hops...)
		return err
	})
	if err != nil || len(k.hops) == 0 {
		return nil, err
	}
	groups, err := dumpHops(ctx, k.d.query, 0, true)
	if err != nil {
		return nil, err
	}
	all := k.hops
	if len(groups) > 0 { // with members over other links, too
		if all, err = dumpHops(ctx, k.d.query, 0, false); err != nil {
			return nil, err
		}
	}
	links = make(map[uint32][]int32, len(all))
	for _, h := range all {
		links[h.id] = []int32{h.index}
	}
	for _, g := range groups {
		for _, id := range g.members {
			links[g.id] = append(links[g.id], links[id]...)
		}
	}
	k.chooseHops(groups)
	return links, nil
}

// chooseHops leaves those nexthop objects that go with their links and are not
// ours, or ours on a loose link, and the groups that lose a member.
func (k *kept) chooseHops(groups []keptHop) {
	gone := map[uint32]bool{}
	var kept []keptHop
	for _, h := range k.hops {
		l := k.index[h.index]
		if gone[h.id] = l != nil && l.up(); !gone[h.id] {
			continue
		}
		name, known := k.d.hops.known(h.id)
		if !h.ours || l.loose && known && !k.isPlanned(object.SharedHopKey(name)) {
			kept = append(kept, h)
		}
	}
	for _, g := range groups {
		name, known := k.d.hops.known(g.id)
		if g.ours && (!known || k.isPlanned(object.SharedHopKey(name))) {
			continue
		}
		if slices.ContainsFunc(g.members, func(id uint32) bool { return gone[id] }) {
			kept = append(kept, g)
		}
	}
	k.hops = kept
}

// readRoutes reads the routes over the links, and those that name an address of
// ours which goes for a while.
func (k *kept) readRoutes(ctx context.Context, hopLinks map[uint32][]int32) error {
	// The kernel lists a route for each of its links, and one by a nexthop object
	// for others, too.
	seen := map[string]bool{}
	return k.eachRoute(ctx, nil, hopLinks, func(r *keptRoute) {
		var bare []netip.Prefix
		over, loose := false, false
		for _, index := range r.links {
			if l := k.index[index]; l != nil && l.reach.has(r.family) {
				over, loose = true, loose || l.loose
				bare = append(bare, l.bare...)
			}
		}
		switch {
		case !over && !k.sources[r.source], r.madeAnew(bare), seen[string(r.msg)]:
			return
		case r.proto == Protocol && (!loose || k.isPlannedRoute(r)):
			return
		}
		seen[string(r.msg)] = true
		for _, index := range r.links {
			if l := k.index[index]; l != nil {
				l.routes = append(l.routes, len(k.routes))
			}
		}
		k.routes = append(k.routes, *r)
	})
}

func (k *kept) isPlannedRoute(r *keptRoute) bool {
	if k.isPlanned(object.RouteKey(r.table, r.prefix, r.metric)) {
		return true
	}
	return r.prefix.Addr().Is6() && k.isPlanned(object.SIDKey(r.table, r.prefix))
}

// eachRoute reads the routes over the links, where these are now, or all where an
// address goes that routes over any link may name. There are none over a link that
// is down.
func (k *kept) eachRoute(ctx context.Context, at indexMap, hopLinks map[uint32][]int32, fn func(*keptRoute)) error {
	ours := slices.ContainsFunc(slices.Collect(maps.Values(k.links)), func(l *keptLink) bool { return l.loose })
	for _, f := range []struct {
		bit    families
		family uint8
	}{{v4, unix.AF_INET}, {v6, unix.AF_INET6}} {
		read := func(index int32) error {
			var found []keptRoute
			err := dumpRoutes(ctx, k.d.query, routeFilter{family: f.family, oif: index}, func() { found = found[:0] }, func(r *rawRoute) {
				// Where all are read, most are ours.
				if r.proto != Protocol || ours {
					found = append(found, keepRoute(r, hopLinks))
				}
			})
			for i := range found {
				fn(&found[i])
			}
			return err
		}
		var err error
		if k.allRoutes&f.bit != 0 {
			err = read(0)
		} else {
			err = k.perLink(at, func(l *keptLink) bool { return l.reach&f.bit != 0 && l.up() }, read)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
