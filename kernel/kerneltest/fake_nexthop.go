package kerneltest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"heddle/kernel/object"
)

// fakeHop is a nexthop object with the link that it found when it was made, or a
// group.
type fakeHop struct {
	object object.Object
	ours   bool
	out    int // of a group 0
}

// group is the group that h is, nil for another nexthop object.
func (h *fakeHop) group() *object.NextHopGroup {
	g, _ := h.object.(*object.NextHopGroup)
	return g
}

// putNextHop makes or replaces a nexthop object or a group.
func (f *Fake) putNextHop(old, o object.Object, ours bool) error {
	id := o.Key().ID
	h := f.hops[id]
	switch {
	case old == nil && h != nil:
		return syscall.EEXIST
	case old != nil && h == nil:
		return syscall.ENOENT
	}
	g, group := o.(*object.NextHopGroup)
	if h != nil && group != (h.group() != nil) {
		return says("Can not replace a nexthop with a nexthop group.", syscall.EINVAL)
	}
	if group {
		return f.putGroup(g, ours)
	}
	return f.putHop(o.(*object.SharedNextHop), ours)
}

func (f *Fake) putGroup(g *object.NextHopGroup, ours bool) error {
	met := map[string]bool{}
	for _, m := range g.Members {
		h := f.hops[m.Hop]
		switch {
		case h == nil:
			return says("Invalid nexthop id", syscall.EINVAL)
		case h.group() != nil:
			return says("Hash-threshold group can not be a nexthop within a group", syscall.EINVAL)
		case met[m.Hop]:
			return says("Nexthop id can not be used twice in a group", syscall.EINVAL)
		case m.Weight < 1 || m.Weight > object.MaxGroupWeight:
			return says("Invalid value for weight", syscall.EINVAL)
		}
		met[m.Hop] = true
	}
	if len(g.Members) == 0 {
		return says("Nexthop group has no members", syscall.EINVAL)
	}
	f.hops[g.ID] = &fakeHop{object: g, ours: ours}
	f.settleWays()
	return nil
}

// settleWays gives the routes by nexthop objects the links of these.
func (f *Fake) settleWays() {
	for _, r := range f.routes {
		if r.hop != "" {
			r.out = f.outOf(r.hop)
		}
	}
}

// outOf are the links of a nexthop object, or of the members of a group.
func (f *Fake) outOf(id string) (out []int) {
	h := f.hops[id]
	if h.group() == nil {
		return []int{h.out}
	}
	for _, m := range h.group().Members {
		out = append(out, f.hops[m.Hop].out)
	}
	return out
}

// encapsOf are the encapsulations of a nexthop object, or of the members of a group.
func (f *Fake) encapsOf(id string) (encaps []*object.Encap) {
	switch o := f.hops[id].object.(type) {
	case *object.SharedNextHop:
		encaps = append(encaps, o.Hop.Encap)
	case *object.NextHopGroup:
		for _, m := range o.Members {
			encaps = append(encaps, f.encapsOf(m.Hop)...)
		}
	}
	return encaps
}

func (f *Fake) putHop(o *object.SharedNextHop, ours bool) error {
	if gw := o.Hop.Gateway; gw.IsValid() && (!gw.Is6() || gw.Is4In6()) {
		return fmt.Errorf("gateway %s: %w", gw, syscall.EINVAL)
	}
	if o.Hop.Link == "" {
		return says("Device attribute required for non-blackhole and non-fdb nexthops", syscall.EINVAL)
	}
	six := &object.Route{Table: object.TableMain, Prefix: netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
	l, err := f.wayOut(six, o.Hop)
	if err != nil {
		return err
	}
	f.hops[o.ID] = &fakeHop{o, ours, l.index}
	f.settleWays()
	return nil
}

// deleteHop takes a nexthop object away, also out of groups, and the routes by it: a
// group that has lost its last member goes, too (remove_nexthop in
// net/ipv4/nexthop.c).
func (f *Fake) deleteHop(id string) {
	delete(f.hops, id)
	for s, r := range f.routes {
		if r.hop == id {
			delete(f.routes, s)
		}
	}
	for of, h := range f.hops {
		g := h.group()
		if g == nil {
			continue
		}
		rest := slices.DeleteFunc(slices.Clone(g.Members), func(m object.GroupMember) bool { return m.Hop == id })
		if len(rest) == 0 {
			f.deleteHop(of)
		} else if len(rest) < len(g.Members) {
			f.hops[of] = &fakeHop{object: &object.NextHopGroup{ID: g.ID, Members: rest}, ours: h.ours}
		}
	}
	f.settleWays()
}

// flushHops takes away the nexthop objects of a link that goes or goes down
// (nexthop_flush_dev in net/ipv4/nexthop.c).
func (f *Fake) flushHops(l *fakeLink) {
	for id, h := range f.hops {
		if h.group() == nil && h.out == l.index {
			f.deleteHop(id)
		}
	}
}

// sortedHops is o with the next hops in a fixed order, because theirs says
// nothing.
func sortedHops(o object.Object) object.Object {
	r, ok := o.(*object.Route)
	if !ok || len(r.NextHops) < 2 {
		return o
	}
	sorted := *r
	sorted.NextHops = slices.SortedFunc(slices.Values(r.NextHops), func(a, b object.NextHop) int {
		return strings.Compare(a.String(), b.String())
	})
	return &sorted
}
