package rtnl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

var _ reconcile.Preserved = (*kept)(nil)

// Undo implements reconcile.Preserved.
func (k *kept) Undo() {
	k.d.mu.Lock()
	defer k.d.mu.Unlock()
	k.undo = true
	k.d.kept = k
}

// Restore implements reconcile.Preserved.
func (k *kept) Restore(ctx context.Context) error {
	k.d.mu.Lock()
	defer k.d.mu.Unlock()
	k.d.kept = nil
	p := &putBack{kept: k, lost: map[*keptLink][]loss{}, since: time.Since(k.read)}
	if err := p.look(ctx, slices.Collect(maps.Values(k.links))); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{p.addresses, p.neighbours, p.hops, p.routes} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return p.err()
}

// restoreOn puts back what is on some links as soon as it can be, because what comes
// next in the plan may rely on it, as a route does on the address that leads to its
// gateway. What cannot be put back yet is left to Restore.
func (d *Driver) restoreOn(ctx context.Context, pick func(*kept) []*keptLink) {
	if d.kept == nil {
		return
	}
	links := pick(d.kept)
	p := &putBack{kept: d.kept, lost: map[*keptLink][]loss{}, since: time.Since(d.kept.read), early: true}
	if len(links) == 0 || p.look(ctx, links) != nil {
		return
	}
	for _, l := range links {
		if now := p.byName[l.name]; p.open(l) && now.up() {
			p.putLink(ctx, l)
		}
	}
}

// named picks one link.
func named(name string) func(*kept) []*keptLink {
	return func(k *kept) []*keptLink {
		if l := k.links[name]; l != nil {
			return []*keptLink{l}
		}
		return nil
	}
}

// within picks the links that were in a VRF.
func within(l object.Link) func(*kept) []*keptLink {
	return func(k *kept) (ls []*keptLink) {
		if l.Type != object.LinkVRF {
			return nil
		}
		for _, kl := range k.links {
			if kl.vrf == l.Name {
				ls = append(ls, kl)
			}
		}
		return ls
	}
}

// putBack is one attempt to put back what is missing.
type putBack struct {
	*kept
	view  // the links as they are now
	since time.Duration
	early bool
	lost  map[*keptLink][]loss
}

// loss is something that could not be put back, and why.
type loss struct {
	what string
	err  error
}

// look finds the links as they are now, and puts them where they were.
func (p *putBack) look(ctx context.Context, links []*keptLink) (err error) {
	if p.view, err = p.d.links.snapshot(ctx); err != nil {
		return err
	}
	slices.SortFunc(links, func(a, b *keptLink) int { return cmp.Compare(a.name, b.name) })
	if p.enslave(ctx, links) {
		p.view, err = p.d.links.snapshot(ctx)
	}
	return err
}

// at is the index that a link has now, 0 when it is gone.
func (p *putBack) at(index int32) int32 {
	l := p.index[index]
	if l == nil {
		return index
	}
	if now := p.byName[l.name]; now != nil {
		return now.index
	}
	return 0
}

// open reports whether what was on l is to be there still. A plan that takes a link
// down or away takes along what is on it.
func (p *putBack) open(l *keptLink) bool {
	now := p.byName[l.name]
	return now != nil && (p.undo || now.up() || !l.up())
}

// lose notes what could not be put back.
func (p *putBack) lose(l *keptLink, what string, err error) {
	p.lost[l] = append(p.lost[l], loss{what, err})
}

// enslave puts links back into VRFs of somebody else, and links of somebody else
// into a VRF that was made anew.
func (p *putBack) enslave(ctx context.Context, links []*keptLink) (changed bool) {
	for _, l := range links {
		now, vrf := p.byName[l.name], p.byName[l.vrf]
		if !l.foreign || now == nil || now.master != 0 || vrf == nil || vrf.kind != string(object.LinkVRF) {
			continue
		}
		changed = true
		if err := p.d.sendMaster(ctx, now.index, vrf.index); err != nil {
			p.lose(l, fmt.Sprintf("link %s master %s", l.name, l.vrf), err)
		}
	}
	return changed
}

func (p *putBack) addresses(ctx context.Context) error {
	there := map[object.Address]bool{}
	err := p.perLink(p.at, func(l *keptLink) bool { return len(l.addresses) > 0 }, func(index int32) error {
		return dumpAddresses(ctx, p.d.query, index, unix.AF_UNSPEC, func() {}, func(a address) {
			if l := p.byIndex[a.index]; l != nil {
				there[object.Address{Link: l.name, Prefix: a.prefix}] = true
			}
		})
	})
	if err != nil {
		return err
	}
	for _, l := range p.links {
		if !p.open(l) {
			if p.undo && len(l.addresses) > 0 {
				p.lose(l, list(l.addressNames()), errNoLink)
			}
			continue
		}
		p.putAddresses(ctx, l, func(a *keptAddress) bool { return !there[object.Address{Link: l.name, Prefix: a.prefix}] })
	}
	return nil
}

func (l *keptLink) addressNames() []string {
	names := make([]string, len(l.addresses))
	for i, a := range l.addresses {
		names[i] = fmt.Sprintf("address %s on %s", a.prefix, l.name)
	}
	return names
}

// putAddresses makes addresses again. One that was in use is so at once: it was
// through with duplicate address detection on this link, and routes may name it as
// their source, which the kernel refuses while it is tentative. It is made without
// the detection, and then loses the mark for that.
func (p *putBack) putAddresses(ctx context.Context, l *keptLink, missing func(*keptAddress) bool) {
	var msgs []outMessage
	var as []*keptAddress
	for i := range l.addresses {
		if a := &l.addresses[i]; missing(a) {
			more := uint32(0)
			if a.inUse() && a.flags&unix.IFA_F_NODAD == 0 {
				more = atOnce
			}
			as = append(as, a)
			msgs = append(msgs, outMessage{unix.RTM_NEWADDR, unix.NLM_F_CREATE | unix.NLM_F_EXCL, a.message(p.at, p.since, more)})
		}
	}
	var unmark []outMessage
	for i, err := range p.d.sendEach(ctx, msgs) {
		a := as[i]
		switch {
		case err == nil && a.inUse() && a.flags&unix.IFA_F_NODAD == 0:
			unmark = append(unmark, outMessage{unix.RTM_NEWADDR, unix.NLM_F_REPLACE, a.message(p.at, p.since, 0)})
		case err != nil && !isErrno(err, unix.EEXIST):
			p.lose(l, fmt.Sprintf("address %s on %s", a.prefix, l.name), err)
		}
	}
	for _, err := range p.d.sendEach(ctx, unmark) {
		if err != nil {
			p.lose(l, "flags of an address on "+l.name, err)
		}
	}
}

func (p *putBack) neighbours(ctx context.Context) error {
	for _, l := range p.links {
		if p.open(l) {
			p.putNeighbours(ctx, l)
		}
	}
	return nil
}

// putNeighbours makes neighbours again; one that was found in the meantime does not
// count.
func (p *putBack) putNeighbours(ctx context.Context, l *keptLink) {
	msgs := make([]outMessage, len(l.neighbours))
	for i, n := range l.neighbours {
		var m msgBuf
		neighbourMessage(&m, n.msg, p.at)
		msgs[i] = outMessage{unix.RTM_NEWNEIGH, unix.NLM_F_CREATE | unix.NLM_F_REPLACE, m.b}
	}
	for i, err := range p.d.sendEach(ctx, msgs) {
		if err != nil {
			p.lose(l, fmt.Sprintf("neighbour %s on %s", l.neighbours[i].dst, l.name), err)
		}
	}
}

// hops makes nexthop objects again, and puts them back into their groups.
func (p *putBack) hops(ctx context.Context) error {
	if len(p.kept.hops) == 0 {
		return nil
	}
	there := map[uint32]keptHop{}
	note := func(hops []keptHop) {
		for _, h := range hops {
			there[h.id] = h
		}
	}
	err := p.perLink(p.at, each, func(index int32) error {
		hops, err := dumpHops(ctx, p.d.query, index, false)
		note(hops)
		return err
	})
	if err != nil {
		return err
	}
	groups, err := dumpHops(ctx, p.d.query, 0, true)
	if err != nil {
		return err
	}
	note(groups)
	out := map[uint32]bool{} // those that stay away
	for i := range p.kept.hops {
		h := &p.kept.hops[i]
		l := p.index[h.index]
		now, found := there[h.id]
		flags := uint16(unix.NLM_F_CREATE | unix.NLM_F_EXCL)
		switch {
		case found && len(now.members) >= len(h.members), l != nil && !p.open(l):
			out[h.id] = !found
			continue
		case slices.ContainsFunc(h.members, func(id uint32) bool { return out[id] }):
			out[h.id] = true
			continue
		case found:
			flags = unix.NLM_F_REPLACE
		}
		if err := p.putHop(ctx, h, flags); err != nil {
			out[h.id] = true
			p.lose(l, h.String(), err)
		}
	}
	return nil
}

func (p *putBack) putHop(ctx context.Context, h *keptHop, flags uint16) error {
	var m msgBuf
	hopMessage(&m, h.msg, p.at)
	return p.d.sendEach(ctx, []outMessage{{unix.RTM_NEWNEXTHOP, flags, m.b}})[0]
}

// errNoLink is why what was on a link stays away after an undo.
var errNoLink = errors.New("its link is not there, or not up, as before")

// routes makes routes again.
func (p *putBack) routes(ctx context.Context) error {
	if len(p.kept.routes) == 0 {
		return nil
	}
	there := map[string]bool{}
	taken := map[slot]int{}
	err := p.eachRoute(ctx, p.at, nil, func(r *keptRoute) {
		if !there[string(r.msg)] {
			there[string(r.msg)] = true
			taken[r.slot]++
		}
	})
	if err != nil {
		return err
	}
	var missing []*keptRoute
	for i := range p.kept.routes {
		r := &p.kept.routes[i]
		var m msgBuf
		routeMessage(&m, r.msg, p.at)
		switch {
		case there[string(m.b)]:
			taken[r.slot]-- // what is left is what became of others
		case p.wanted(r):
			missing = append(missing, r)
		}
	}
	p.putRoutes(ctx, missing, taken)
	return nil
}

// wanted reports whether a route is to be there after the plan.
func (p *putBack) wanted(r *keptRoute) bool {
	for _, index := range r.links {
		l := p.index[index]
		if l == nil {
			continue
		}
		if !p.open(l) {
			if p.undo {
				p.lose(l, r.String(), errNoLink)
			}
			return false
		}
		is := p.domain(p.byName[l.name])
		if is == l.domain || !l.has(r.table) {
			continue
		}
		// In another VRF it would lead packets astray. In the same one under another
		// table it stays where it was put, but for what goes by addresses.
		if is.vrf != l.vrf || r.proto == unix.RTPROT_KERNEL || p.early {
			if p.undo && !p.early {
				p.lose(l, r.String(), errNoLink)
			}
			return false
		}
	}
	return true
}

// putRoutes makes routes again. taken are the slots in which something is that was
// not, because the kernel took away a part: a next hop, or the source address.
func (p *putBack) putRoutes(ctx context.Context, routes []*keptRoute, taken map[slot]int) {
	send := func(routes []*keptRoute, flags func(*keptRoute) uint16) (refused []*keptRoute) {
		msgs := make([]outMessage, len(routes))
		for i, r := range routes {
			msgs[i] = outMessage{unix.RTM_NEWROUTE, unix.NLM_F_CREATE | flags(r), r.message(p.at, p.since)}
		}
		for i, err := range p.d.sendEach(ctx, msgs) {
			r := routes[i]
			switch {
			case err == nil:
			case isErrno(err, unix.EEXIST) && msgs[i].flags&unix.NLM_F_EXCL != 0:
				refused = append(refused, r)
			case !p.undo && p.ended(r):
			default:
				p.lose(p.over(r), r.String(), err)
			}
		}
		return refused
	}
	again := send(routes, func(*keptRoute) uint16 { return unix.NLM_F_EXCL })
	if p.early {
		return
	}
	// What is in its place is what is left of it, or another one beside it.
	send(again, func(r *keptRoute) uint16 {
		if r.family == unix.AF_INET6 && (r.several || taken[r.slot] > 0) {
			return unix.NLM_F_REPLACE
		}
		return unix.NLM_F_APPEND
	})
}

// ended reports whether a route relies on an address of ours that the plan has
// deleted.
func (p *putBack) ended(r *keptRoute) bool {
	return slices.ContainsFunc(p.kept.ended, func(a object.Address) bool {
		return r.source == a.Prefix.Addr() || slices.ContainsFunc(r.gateways, func(gw netip.Addr) bool {
			return gw.IsValid() && a.Prefix.Contains(gw)
		})
	})
}

// putLink puts back what it can on one link.
func (p *putBack) putLink(ctx context.Context, l *keptLink) {
	p.putAddresses(ctx, l, func(*keptAddress) bool { return true })
	p.putNeighbours(ctx, l)
	for i := range p.kept.hops {
		if h := &p.kept.hops[i]; h.index == l.index && h.members == nil {
			_ = p.putHop(ctx, h, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
		}
	}
	var routes []*keptRoute
	for _, i := range l.routes {
		if r := &p.kept.routes[i]; p.wanted(r) {
			routes = append(routes, r)
		}
	}
	p.putRoutes(ctx, routes, nil)
}

// err tells what is lost.
func (p *putBack) err() error {
	var errs []error
	for l, lost := range p.lost {
		e := &LossError{Err: lost[0].err, Remedy: "delete it before"}
		if p.undo {
			e.Remedy = "make it again"
		}
		names := make([]string, len(lost))
		for i, one := range lost {
			names[i] = one.what
		}
		e.Lost = list(names)
		errs = append(errs, &reconcile.StepError{Step: p.stepOf(l), Err: e})
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}
