package kerneltest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// fakeKept is what somebody else has on the links that a plan reaches. It
// implements reconcile.Preserved.
type fakeKept struct {
	f     *Fake
	undo  bool
	steps []reconcile.Step

	links      map[string]keptFakeLink
	addresses  []object.Address
	neighbours []object.Neighbour
	hops       map[string]*fakeHop
	routes     map[object.Slot]*fakeRoute
}

// keptFakeLink is a link as it was, with the step that reaches it.
type keptFakeLink struct {
	fakeLink
	step    reconcile.Step
	foreign bool // somebody else has enslaved it
	loose   bool // it goes down with its VRF alone
}

// Preserve implements reconcile.Driver.
func (f *Fake) Preserve(ctx context.Context, steps []reconcile.Step) (reconcile.Preserved, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept = nil
	k := &fakeKept{f: f, steps: steps, links: map[string]keptFakeLink{}, routes: map[object.Slot]*fakeRoute{}, hops: map[string]*fakeHop{}}
	for _, s := range steps {
		k.reach(s)
	}
	if len(k.links) == 0 {
		return nil, nil
	}
	k.note()
	if err := k.refuse(); err != nil {
		return nil, err
	}
	f.kept = k
	return k, nil
}

// reach finds the links that a step may take something from.
func (k *fakeKept) reach(s reconcile.Step) {
	switch o := about(s).(type) {
	case object.Link:
		l := k.f.links[o.Name]
		if s.New != nil || l == nil || !l.alias {
			return
		}
		k.touch(l, s)
		for _, slave := range k.f.links {
			if slave.master == l {
				k.touch(slave, s)
			}
		}
	case object.Member:
		k.touch(k.f.links[o.Link], s)
	case object.LinkConfig:
		k.touch(k.f.links[o.Link], s)
	case object.Address:
		if s.New == nil && o.Prefix.Addr().Is4() {
			k.touch(k.f.links[o.Link], s)
		}
	}
}

func (k *fakeKept) touch(l *fakeLink, s reconcile.Step) {
	if l == nil {
		return
	}
	if _, ok := k.links[l.name]; ok {
		return
	}
	kl := keptFakeLink{fakeLink: *l, step: s}
	kl.addresses, kl.neighbours = slices.Clone(l.addresses), maps.Clone(l.neighbours)
	kl.foreign = l.master != nil && !k.f.live(object.MemberKey(l.name))
	_, dropped := about(s).(object.Link)
	kl.loose = kl.foreign && dropped && about(s).Key() != object.LinkKey(l.name)
	k.links[l.name] = kl
}

// planned reports whether the plan has a step on o.
func (k *fakeKept) planned(o object.Object) bool {
	return slices.ContainsFunc(k.steps, func(s reconcile.Step) bool { return s.Key() == o.Key() })
}

// note takes down what is on the links.
func (k *fakeKept) note() {
	for name, l := range k.links {
		for _, a := range l.addresses {
			o := object.Address{Link: name, Prefix: a.prefix}
			if !a.ours || l.loose && !k.planned(o) {
				k.addresses = append(k.addresses, o)
			}
		}
		for a, n := range l.neighbours {
			o := object.Neighbour{Link: name, Addr: a, MAC: n.mac}
			if !n.ours || l.loose && !k.planned(o) {
				k.neighbours = append(k.neighbours, o)
			}
		}
	}
	over := func(out []int) (kept, loose bool) {
		for _, index := range out {
			if l := k.f.byIndex(index); l != nil {
				kl, ok := k.links[l.name]
				kept, loose = kept || ok, loose || kl.loose
			}
		}
		return kept, loose
	}
	for id, h := range k.f.hops {
		if kept, loose := over(k.f.outOf(id)); kept && (!h.ours || loose && !k.planned(h.object)) {
			k.hops[id] = h
		}
	}
	for s, r := range k.f.routes {
		if kept, loose := over(r.out); kept && (!r.ours || loose && !k.planned(r.object)) {
			k.routes[s] = r
		}
	}
}

// refuse finds the routes that a link leaves behind when it leaves a VRF that
// stays.
func (k *fakeKept) refuse() error {
	var errs []error
	for _, l := range k.f.links {
		if l.parent != nil && k.drops(l.parent.name) && !k.drops(l.name) {
			errs = append(errs, &reconcile.StepError{Step: k.links[l.parent.name].step, Err: fmt.Errorf("%v is on top of it: %w", l.object(), syscall.EBUSY)})
		}
	}
	for _, s := range k.steps {
		m, ok := about(s).(object.Member)
		kl, there := k.links[m.Link]
		if !ok || !there || s.New == nil && k.comesAgain(m.Key()) {
			continue
		}
		target, before := m.Master, ""
		if s.New == nil || k.bridge(m.Master) {
			target = ""
		}
		if kl.master != nil && kl.master.kind == object.LinkVRF {
			before = kl.master.name
		}
		if target == before || before != "" && k.drops(before) && !k.comesAgain(object.LinkKey(before)) {
			continue
		}
		for sl, r := range k.routes {
			if !r.ours && sl.Table == kl.routingTable() && k.allGo(r) {
				errs = append(errs, &reconcile.StepError{Step: s, Err: fmt.Errorf("%v leads over it: %w", r.object, syscall.EBUSY)})
			}
		}
	}
	return errors.Join(errs...)
}

// bridge reports whether a link is a bridge, or is to be one.
func (k *fakeKept) bridge(name string) bool {
	for _, s := range k.steps {
		if l, ok := s.New.(object.Link); ok && l.Name == name {
			return l.Type == object.LinkBridge
		}
	}
	l := k.f.links[name]
	return l != nil && l.kind == object.LinkBridge
}

func (k *fakeKept) drops(link string) bool {
	return slices.ContainsFunc(k.steps, func(s reconcile.Step) bool { return s.New == nil && s.Key() == object.LinkKey(link) })
}

func (k *fakeKept) comesAgain(key object.Key) bool {
	return slices.ContainsFunc(k.steps, func(s reconcile.Step) bool { return s.New != nil && s.Key() == key })
}

// allGo reports whether all links of a route are reached and up.
func (k *fakeKept) allGo(r *fakeRoute) bool {
	return !slices.ContainsFunc(r.out, func(index int) bool {
		l := k.f.byIndex(index)
		return l == nil || !l.up || k.links[l.name].name == ""
	})
}

// Undo implements reconcile.Preserved.
func (k *fakeKept) Undo() {
	k.f.mu.Lock()
	defer k.f.mu.Unlock()
	k.undo, k.f.kept = true, k
}

// Restore implements reconcile.Preserved.
func (k *fakeKept) Restore(context.Context) error {
	k.f.mu.Lock()
	defer k.f.mu.Unlock()
	k.f.kept = nil
	return k.putBack(false)
}

// putBack makes what is missing; early is before the plan is through.
func (k *fakeKept) putBack(early bool) error {
	f := k.f
	var errs []error
	lose := func(o object.Object, err error) {
		if err != nil {
			errs = append(errs, &reconcile.StepError{Step: k.steps[0], Err: fmt.Errorf("put %v back: %w", o, err)})
		}
	}
	for name, kl := range k.links {
		if l := f.links[name]; l != nil && kl.foreign && l.master == nil && f.links[kl.master.name] != nil {
			f.enslave(l, kl.master.name)
		}
	}
	for _, a := range k.addresses {
		if l := f.links[a.Link]; k.open(a.Link) && l.address(a.Prefix) < 0 {
			was := k.links[a.Link]
			lose(a, f.addAddress(a, was.addresses[was.address(a.Prefix)].ours))
		}
	}
	for _, n := range k.neighbours {
		if l := f.links[n.Link]; k.open(n.Link) {
			if _, there := l.neighbours[n.Addr]; !there {
				l.neighbours[n.Addr] = k.links[n.Link].neighbours[n.Addr]
			}
		}
	}
	for id, h := range k.hops {
		if o, ok := h.object.(*object.SharedNextHop); ok && f.hops[id] == nil && k.open(o.Hop.Link) {
			lose(o, f.putHop(o, h.ours))
		}
	}
	for id, h := range k.hops {
		now := f.hops[id]
		if g := h.group(); g != nil && (now == nil || !now.object.Equal(g)) &&
			!slices.ContainsFunc(g.Members, func(m object.GroupMember) bool { return f.hops[m.Hop] == nil }) {
			lose(g, f.putGroup(g, h.ours))
		}
	}
	for s, r := range k.routes {
		if f.routes[s] != nil || !k.wanted(s, r, early) {
			continue
		}
		err := f.putRoute(nil, r.object.(*object.Route), r.ours)
		if err == nil || !k.undo && k.ended(r) {
			continue
		}
		lose(r.object, err)
	}
	return errors.Join(errs...)
}

// open reports whether what was on a link is to be there still.
func (k *fakeKept) open(name string) bool {
	l, was := k.f.links[name], k.links[name]
	return l != nil && (k.undo || l.up || !was.up)
}

func (k *fakeKept) wanted(s object.Slot, r *fakeRoute, early bool) bool {
	for name, kl := range k.links {
		if !slices.Contains(r.out, kl.index) {
			continue
		}
		if !k.open(name) {
			return false
		}
		is, was := k.f.links[name].master, kl.master
		if kl.routingTable() != s.Table || is == was {
			continue
		}
		if early || (is == nil) != (was == nil) || is.name != was.name {
			return false
		}
	}
	return true
}

// ended reports whether a route relies on an address that the plan has deleted.
func (k *fakeKept) ended(r *fakeRoute) bool {
	o, ok := r.object.(*object.Route)
	return ok && slices.ContainsFunc(k.steps, func(s reconcile.Step) bool {
		a, ok := s.Old.(object.Address)
		return ok && s.New == nil && !k.comesAgain(a.Key()) && slices.ContainsFunc(o.NextHops, func(n object.NextHop) bool {
			return a.Prefix.Contains(n.Gateway)
		})
	})
}

// about is the object that a step is about.
func about(s reconcile.Step) object.Object {
	if s.New != nil {
		return s.New
	}
	return s.Old
}
