package kerneltest

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// preview is what the links will be, as a plan goes on.
type preview struct {
	f     *Fake
	links map[string]*object.Link // nil: gone; not in it: as in the kernel
	hops  map[string]bool         // nexthop objects that the plan makes (true) or deletes
}

// Check implements reconcile.Driver. It finds what a driver can find without
// trying: missing links, features that the kernel lacks, and what somebody else
// has put in the way.
func (f *Fake) Check(ctx context.Context, steps []reconcile.Step) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &preview{f, map[string]*object.Link{}, map[string]bool{}}
	var errs []error
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.check(s); err != nil {
			errs = append(errs, &reconcile.StepError{Step: s, Err: err})
		}
	}
	return errors.Join(errs...)
}

func (p *preview) check(s reconcile.Step) error {
	if k := s.Key(); k.Kind == object.KindNextHop {
		p.hops[k.ID] = s.New != nil
	}
	if s.New == nil {
		if l, ok := s.Old.(object.Link); ok {
			p.links[l.Name] = nil
			if l.Creates() && l.Peer != "" {
				p.links[l.Peer] = nil
			}
		}
		return nil
	}
	if p.f.lacks != nil {
		if err := p.f.lacks(s.New); err != nil {
			return err
		}
	}
	for _, name := range linksOf(s.New) {
		if name != "" && p.link(name) == nil {
			return fmt.Errorf("link %s does not exist: %w", name, syscall.ENODEV)
		}
	}
	if sid, ok := s.New.(*object.LocalSID); ok && sid.Behavior == object.EndDX2 {
		if err := framesBy(sid.OutLink); err != nil {
			return err
		}
	}
	for _, id := range hopsOf(s.New) {
		made, planned := p.hops[id]
		if planned && !made || !planned && p.f.hops[id] == nil {
			return fmt.Errorf("nexthop %s does not exist: %w", id, syscall.ENOENT)
		}
	}
	if s.Old == nil {
		return p.inTheWay(s.New)
	}
	return nil
}

func (p *preview) link(name string) *object.Link {
	if l, ok := p.links[name]; ok {
		return l
	}
	if l := p.f.links[name]; l != nil {
		o := l.object()
		return &o
	}
	return nil
}

// hopsOf are the nexthop objects that have to be there for o.
func hopsOf(o object.Object) (ids []string) {
	switch o := o.(type) {
	case *object.Route:
		if o.SharedHop != "" {
			ids = append(ids, o.SharedHop)
		}
	case *object.NextHopGroup:
		for _, m := range o.Members {
			ids = append(ids, m.Hop)
		}
	}
	return ids
}

// linksOf are the links that have to be there for o.
func linksOf(o object.Object) []string {
	switch o := o.(type) {
	case object.Link:
		return []string{o.Parent}
	case object.LinkConfig:
		return []string{o.Link}
	case object.Member:
		return []string{o.Link, o.Master}
	case object.Address:
		return []string{o.Link}
	case object.Neighbour:
		return []string{o.Link}
	case *object.SharedNextHop:
		return []string{o.Hop.Link}
	case object.Sysctl:
		return []string{linkOfSysctl(o.Name)}
	case object.ProxyPort:
		return []string{o.Link}
	case *object.Proxy:
		if o.Behavior == object.EndAM {
			return []string{o.In, o.Out}
		}
		return o.Links()
	case *object.LocalSID:
		return []string{o.Dev, o.OutLink, o.VRF}
	case *object.Route:
		names := []string{o.VRF}
		for _, n := range o.NextHops {
			names = append(names, n.Link)
		}
		return names
	}
	return nil
}

// inTheWay finds what is not ours and where o is to be.
func (p *preview) inTheWay(o object.Object) error {
	taken := func(by object.Object) error {
		return fmt.Errorf("%v is there and is not ours: %w", by, syscall.EEXIST)
	}
	f := p.f
	switch o := o.(type) {
	case object.Link:
		return p.linkInTheWay(o, taken)
	case object.Member:
		if l := f.links[o.Link]; l != nil && l.master != nil && !f.live(o.Key()) {
			return taken(object.Member{Link: o.Link, Master: l.master.name})
		}
	case object.Address:
		if l := f.links[o.Link]; l != nil {
			if i := l.address(o.Prefix); i >= 0 && !l.addresses[i].ours {
				return taken(o)
			}
		}
	case object.Neighbour:
		if l := f.links[o.Link]; l != nil {
			if n, there := l.neighbours[o.Addr]; there && !n.ours {
				return taken(o)
			}
		}
	case object.HMACKey:
		if h, there := f.hmac[o.ID]; there && !h.ours {
			return fmt.Errorf("HMAC key %d is not ours: %w", o.ID, syscall.EEXIST)
		}
	case *object.Route, *object.LocalSID:
		if r := f.routes[object.SlotOf(o)]; r != nil && !r.ours {
			return taken(r.object)
		}
		if r, ok := o.(*object.Route); ok && r.Reserves() {
			return p.foreignWithin(r, taken)
		}
	}
	return nil
}

// foreignWithin finds a route of others to the prefix of a locator, or into it.
func (p *preview) foreignWithin(r *object.Route, taken func(object.Object) error) error {
	for slot, other := range p.f.routes {
		within := slot.Table == r.Table && slot.Prefix.Bits() >= r.Prefix.Bits() && r.Prefix.Contains(slot.Prefix.Addr())
		if within && !other.ours {
			return taken(other.object)
		}
	}
	return nil
}

func (p *preview) linkInTheWay(o object.Link, taken func(object.Object) error) error {
	if o.Creates() {
		if l := p.link(o.Name); l != nil {
			return taken(l)
		}
	}
	p.links[o.Name] = &o
	if o.Creates() && o.Peer != "" {
		peer := object.Link{Name: o.Peer, Type: o.Type, Peer: o.Name}
		p.links[o.Peer] = &peer
	}
	if (o.Tunnel != object.Tunnel{}) {
		if l := p.f.likeTunnel(o); l != nil && !l.alias {
			return taken(l.object())
		}
	}
	if o.Type == object.LinkVLAN {
		if l := p.f.vlanOn(p.f.links[o.Parent], o.VLAN); l != nil && !l.alias {
			return taken(l.object())
		}
	}
	if o.Type != object.LinkVRF {
		return nil
	}
	for name, l := range p.f.links {
		if now := p.link(name); name != o.Name && now != nil && now.Table == o.Table && l.kind == object.LinkVRF && !l.alias {
			return taken(*now)
		}
	}
	return nil
}

var (
	_ reconcile.Driver = (*Fake)(nil)
	_ Foreign          = (*Fake)(nil)
)
