package rtnl

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// minMTU6 is the MTU in octets below which Linux takes IPv6 off a link (RFC 8200
// §5): addresses, routes, neighbours.
const minMTU6 = 1280

// manyLinks is the number of links from which everything is read once, rather than
// each of them by itself.
const manyLinks = 5

// kept is what somebody else has on the links that a plan takes down, moves or
// deletes. It implements reconcile.Preserved.
type kept struct {
	d     *Driver
	read  time.Time
	undo  bool
	steps []reconcile.Step

	links map[string]*keptLink // by name
	index map[int32]*keptLink  // by the index of when it was read

	hops   []keptHop // groups behind what is in them
	routes []keptRoute

	ended     []object.Address        // ours that the plan deletes for good
	inUse     map[object.Address]bool // IPv6 ones of ours
	sources   map[netip.Addr]bool     // addresses that go for a while
	allRoutes families                // for their sake
	planned   map[object.Key]struct{}
}

// keptLink is a link as it was before the plan.
type keptLink struct {
	*link
	domain
	step  reconcile.Step // the first that takes something along
	reach families       // whose routes and neighbours may go

	// dropped: the plan deletes the link, remade: and makes one of this name.
	dropped, remade bool

	// ends: at the end of the plan it is gone or down; narrow: its MTU is too small
	// for IPv6 then.
	ends, narrow bool

	// ownMTU: we have set its MTU.
	ownMTU bool

	// ownMAC is its address, nil for none and where it has that of the link it is on.
	ownMAC net.HardwareAddr

	// target is the VRF that the link is to be in after the plan.
	target string

	// foreign: somebody else has enslaved it to its VRF.
	foreign bool

	// loose: the kernel takes the link down with its VRF, which the plan knows
	// nothing of. So what is ours on it is put back, too.
	loose bool

	addresses  []keptAddress
	neighbours []keptNeighbour
	bare       []netip.Prefix // of addresses without a route for their prefix
	routes     []int          // positions in kept.routes
}

// Preserve implements reconcile.Driver.
//
// What it costs follows the links that the plan takes down, moves or deletes, and
// what is on them; to find the routes the kernel goes through its tables (10 to 20
// ms for 100,000 routes), as it does to drop them.
func (d *Driver) Preserve(ctx context.Context, steps []reconcile.Step) (reconcile.Preserved, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kept = nil
	if !slices.ContainsFunc(steps, takesAlong) {
		return nil, nil
	}
	v, err := d.links.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	k := &kept{d: d, read: time.Now(), steps: steps, links: map[string]*keptLink{}, index: map[int32]*keptLink{},
		inUse: map[object.Address]bool{}, sources: map[netip.Addr]bool{}}
	if err := k.survey(ctx, v); err != nil {
		return nil, err
	}
	if len(k.links) == 0 && k.allRoutes == 0 {
		return nil, nil
	}
	if err := k.readAll(ctx); err != nil {
		return nil, err
	}
	if err := k.refuse(ctx, v); err != nil {
		return nil, err
	}
	d.kept = k
	return k, nil
}

// takesAlong is a first look at a step: most plans have none of this kind.
func takesAlong(s reconcile.Step) bool {
	switch o := cmpStep(s).(type) {
	case object.Link:
		return s.New == nil
	case object.Member, object.LinkConfig:
		return true
	case object.Address:
		return s.New == nil && o.Prefix.IsValid()
	}
	return false
}

// cmpStep is the object that a step is about.
func cmpStep(s reconcile.Step) object.Object {
	if s.New != nil {
		return s.New
	}
	return s.Old
}

// survey finds the links that the plan reaches, and what becomes of them.
func (k *kept) survey(ctx context.Context, v view) error {
	drops, makes := map[string]reconcile.Step{}, map[string]bool{}
	for _, s := range k.steps {
		if l, ok := s.Old.(object.Link); ok && s.New == nil {
			drops[l.Name] = s
		}
		if l, ok := s.New.(object.Link); ok {
			makes[l.Name] = true
		}
	}
	for name, s := range drops {
		if l := v.byName[name]; l != nil && l.ours() {
			kl := k.touch(v, l, s, both)
			kl.dropped, kl.remade, kl.ends = true, makes[name], !makes[name]
		}
	}
	for _, s := range k.steps {
		switch o := cmpStep(s).(type) {
		case object.Member:
			k.member(v, s, o)
		case object.LinkConfig:
			k.linkConfig(v, s, o)
		}
	}
	// The members of a VRF that goes are taken down and up.
	for _, l := range v.byIndex {
		vrf := v.byIndex[l.master]
		if vrf == nil || vrf.kind != string(object.LinkVRF) || k.links[vrf.name] == nil || !k.links[vrf.name].dropped {
			continue
		}
		kl := k.touch(v, l, k.links[vrf.name].step, both)
		kl.loose = kl.foreign && !kl.dropped
		if !k.links[vrf.name].remade && kl.target == vrf.name {
			kl.target = ""
		}
	}
	return k.ownAddresses(ctx, v)
}

// touch takes l among the links.
func (k *kept) touch(v view, l *link, s reconcile.Step, reach families) *keptLink {
	kl := k.links[l.name]
	if kl == nil {
		kl = &keptLink{link: l, domain: v.domain(l), step: s, ownMAC: v.ownMAC(l)}
		kl.target = kl.vrf
		if m := v.byIndex[l.master]; m != nil {
			rec, ours := k.d.prior.Get(object.MemberKey(l.name))
			kl.foreign = !ours || rec.Ifindex != l.index || rec.Set[propMaster] != m.name
		}
		rec, ok := k.d.prior.Get(object.LinkConfigKey(l.name))
		kl.ownMTU = ok && rec.Ifindex == l.index && rec.Set[propMTU] != ""
		k.links[l.name], k.index[l.index] = kl, kl
	}
	kl.reach |= reach
	return kl
}

// member: a link that enters or leaves a VRF is taken down and up; one that becomes a
// port of a bridge is not.
func (k *kept) member(v view, s reconcile.Step, o object.Member) {
	l := v.byName[o.Link]
	if l == nil {
		return
	}
	kl := k.touch(v, l, s, both)
	kl.target = ""
	if m, ok := s.New.(object.Member); ok {
		if k.isVRF(v, m.Master) {
			kl.target = m.Master
		}
	} else if rec, ok := k.d.prior.Get(o.Key()); ok && rec.Ifindex == l.index {
		kl.target = rec.Before[propMaster]
	}
}

// isVRF reports whether a link is a VRF, or is to be one: a bridge is no domain of
// routing.
func (k *kept) isVRF(v view, name string) bool {
	for _, s := range k.steps {
		if l, ok := s.New.(object.Link); ok && l.Name == name {
			return l.Type == object.LinkVRF
		}
	}
	l := v.byName[name]
	return l != nil && l.kind == string(object.LinkVRF)
}

// linkConfig: what a link that goes down loses; and one whose MTU is too small for
// IPv6. One that goes up would lose something if that was undone.
func (k *kept) linkConfig(v view, s reconcile.Step, o object.LinkConfig) {
	l := v.byName[o.Link]
	if l == nil {
		return
	}
	up, mtu := l.up(), l.mtu
	rec, recorded := k.d.prior.Get(o.Key())
	recorded = recorded && rec.Ifindex == l.index
	want, _ := s.New.(object.LinkConfig)
	switch {
	case want.Admin != object.AdminLeave:
		up = want.Admin == object.AdminUp
	case recorded && rec.Set[propAdmin] == property(v, l, propAdmin):
		up = rec.Before[propAdmin] == object.AdminUp.String()
	}
	switch {
	case want.MTU != 0:
		mtu = want.MTU
	case recorded && rec.Set[propMTU] == property(v, l, propMTU):
		if n, err := strconv.ParseUint(rec.Before[propMTU], 10, 32); err == nil {
			mtu = uint32(n)
		}
	}
	if up != l.up() {
		k.touch(v, l, s, both)
	}
	if (mtu < minMTU6) != (l.mtu < minMTU6) {
		k.touch(v, l, s, v6)
	}
	if kl := k.links[l.name]; kl != nil {
		kl.ends = kl.dropped && !kl.remade || l.up() && !up
		kl.narrow = mtu < minMTU6 && l.mtu >= minMTU6
	}
}

// ownAddresses: with the last IPv4 address of a link the kernel drops its IPv4 routes
// and neighbours; and with any address the routes that name it as their source,
// whatever link they are over. With a primary IPv4 address go for a moment the
// secondary ones of its subnet.
func (k *kept) ownAddresses(ctx context.Context, v view) error {
	goes, makes, gets := map[object.Address]bool{}, map[object.Address]bool{}, map[string]bool{}
	for _, s := range k.steps {
		if a, ok := s.Old.(object.Address); ok && s.New == nil {
			goes[a] = true
		}
		if a, ok := s.New.(object.Address); ok && s.Old == nil {
			makes[a] = true
		}
	}
	for a := range makes {
		gets[a.Link] = gets[a.Link] || a.Prefix.Addr().Is4() && !goes[a]
	}
	have := map[string][]address{}
	for _, s := range k.steps {
		a, ok := s.Old.(object.Address)
		l := v.byName[a.Link]
		if !ok || s.New != nil || l == nil {
			continue
		}
		if !makes[a] {
			k.ended = append(k.ended, a)
		} else {
			k.source(a.Prefix.Addr())
		}
		if a.Prefix.Addr().Is6() {
			if makes[a] {
				k.touch(v, l, s, 0) // whether it is in use
			}
			continue
		}
		if _, read := have[a.Link]; !read {
			as, err := k.d.linkAddresses(ctx, l.index, unix.AF_INET)
			if err != nil {
				return err
			}
			have[a.Link] = as
		}
		last := !gets[a.Link]
		for _, h := range have[a.Link] {
			if goes[object.Address{Link: a.Link, Prefix: h.prefix}] {
				continue
			}
			last = false
			if h.prefix.Masked() == a.Prefix.Masked() {
				k.source(h.prefix.Addr())
			}
		}
		if last {
			k.touch(v, l, s, v4)
		}
	}
	return nil
}

// source notes an address that goes for a while.
func (k *kept) source(a netip.Addr) {
	k.sources[a] = true
	if a.Is4() {
		k.allRoutes |= v4
	} else {
		k.allRoutes |= v6
	}
}

// wasInUse reports whether an IPv6 address of ours was in use before the plan.
func (k *kept) wasInUse(a object.Address) bool { return k != nil && k.inUse[a] }

// isPlanned reports whether the plan has a step on what is under key.
func (k *kept) isPlanned(key object.Key) bool {
	if k.planned == nil {
		k.planned = make(map[object.Key]struct{}, len(k.steps))
		for _, s := range k.steps {
			k.planned[s.Key()] = struct{}{}
		}
	}
	_, ok := k.planned[key]
	return ok
}

// likeness writes what a link that is made anew, on a parent or nil, has of the one
// before: the MAC address, from which its link-local address follows and which
// neighbours know, and the MTU unless that was ours, or the link is of another kind,
// as a tunnel over IPv6 in place of IPv4. A VLAN has no larger one than its parent.
func (k *kept) likeness(m *msgBuf, as object.Link, parent *link) {
	if k == nil || k.links[as.Name] == nil || !k.links[as.Name].dropped {
		return
	}
	l := k.links[as.Name]
	if len(l.ownMAC) > 0 {
		m.bytes(unix.IFLA_ADDRESS, l.ownMAC)
	}
	if !l.ownMTU && l.kind == string(as.Type) && (parent == nil || l.mtu <= parent.mtu) {
		m.u32(unix.IFLA_MTU, l.mtu)
	}
}
