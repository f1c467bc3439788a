package kerneltest

import (
	"fmt"
	"net/netip"
	"syscall"

	"heddle/kernel/object"
)

// fakeHop is a nexthop object with the link that it found when it was made.
type fakeHop struct {
	object *object.SharedNextHop
	ours   bool
	out    int
}

func (f *Fake) putHop(old object.Object, o *object.SharedNextHop, ours bool) error {
	h := f.hops[o.ID]
	switch {
	case old == nil && h != nil:
		return syscall.EEXIST
	case old != nil && h == nil:
		return syscall.ENOENT
	}
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
	for _, r := range f.routes {
		if r.hop == o.ID {
			r.out = []int{l.index}
		}
	}
	return nil
}

// deleteHop takes a nexthop object away, and the routes by it.
func (f *Fake) deleteHop(id string) {
	delete(f.hops, id)
	for s, r := range f.routes {
		if r.hop == id {
			delete(f.routes, s)
		}
	}
}

// flushHops takes away the nexthop objects of a link that goes or goes down
// (nexthop_flush_dev in net/ipv4/nexthop.c).
func (f *Fake) flushHops(l *fakeLink) {
	for id, h := range f.hops {
		if h.out == l.index {
			f.deleteHop(id)
		}
	}
}
