package kerneltest

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"heddle/kernel/object"
)

// fakeRoute is an entry of a routing table, with what it found when it was made.
type fakeRoute struct {
	object object.Object // *object.Route or *object.LocalSID
	ours   bool

	// out are the links of the next hops, by index, because a link of the same
	// name later on is another one.
	out []int

	// hop is the ID of the nexthop object that the route leaves by, empty: none.
	hop string

	// within is the VRF or outgoing link that a SID keeps, 0: none. End.T keeps a
	// table.
	within int
}

// routeObject is r as it reads back: with the VRF that the table belongs to, and
// the links that were found for its gateways.
func (f *Fake) routeObject(s object.Slot, r *fakeRoute) object.Object {
	o, ok := r.object.(*object.Route)
	if !ok {
		return r.object
	}
	vrf := ""
	if s.Table != object.TableMain {
		if l := f.vrfOfTable(s.Table); l != nil {
			vrf = l.name
		}
	}
	found := func(n object.NextHop) bool { return n.Link == "" }
	if vrf == o.VRF && !slices.ContainsFunc(o.NextHops, found) {
		return o
	}
	read := *o
	read.VRF = vrf
	read.NextHops = slices.Clone(o.NextHops)
	for i := range read.NextHops {
		if l := f.byIndex(r.out[i]); l != nil {
			read.NextHops[i].Link = l.name
		}
	}
	return &read
}

// routeNote tells a SID that leads nowhere.
func (f *Fake) routeNote(r *fakeRoute) string {
	if r.within != 0 && f.byIndex(r.within) == nil {
		return " (black hole)"
	}
	return ""
}

func (f *Fake) byIndex(index int) *fakeLink {
	for _, l := range f.links {
		if l.index == index {
			return l
		}
	}
	return nil
}

// free checks the slot for a creation, and for a change that our entry is there.
func (f *Fake) free(old object.Object, s object.Slot, ours bool) error {
	r := f.routes[s]
	switch {
	case old == nil && (r != nil || f.connected(s)):
		return syscall.EEXIST
	case old != nil && r == nil:
		return syscall.ENOENT
	case old != nil && ours && !r.ours:
		return fmt.Errorf("is not ours: %w", syscall.EEXIST)
	}
	return nil
}

// connected reports whether the route that comes with an address is in the slot.
func (f *Fake) connected(s object.Slot) bool {
	if s.Prefix.Addr().Is4() && s.Metric != 0 || s.Prefix.Addr().Is6() && s.Metric != 256 {
		return false
	}
	for _, l := range f.links {
		if !l.up || l.routingTable() != s.Table {
			continue
		}
		for _, a := range l.addresses {
			if a.prefix.Masked() == s.Prefix && !(a.prefix.Addr().Is4() && a.prefix.IsSingleIP()) {
				return true
			}
		}
	}
	return false
}

func (f *Fake) putRoute(old object.Object, o *object.Route, ours bool) error {
	if !o.Prefix.IsValid() || o.Prefix != o.Prefix.Masked() {
		return says("Invalid prefix for given prefix length", syscall.EINVAL)
	}
	if o.VRF != "" {
		if v := f.links[o.VRF]; v == nil || v.kind != object.LinkVRF || v.table != o.Table {
			return fmt.Errorf("vrf %s with table %d: %w", o.VRF, o.Table, syscall.ENODEV)
		}
	}
	if (o.Type == object.Unicast) != (len(o.NextHops) > 0 || o.SharedHop != "") {
		return fmt.Errorf("%s route with %d next hops: %w", o.Type, len(o.NextHops), syscall.EINVAL)
	}
	r := &fakeRoute{object: o, ours: ours, hop: o.SharedHop}
	if o.SharedHop != "" {
		h := f.hops[o.SharedHop]
		switch {
		case h == nil:
			return says("Nexthop id does not exist", syscall.EINVAL)
		case len(o.NextHops) > 0:
			return says("Nexthop specification and nexthop id are mutually exclusive", syscall.EINVAL)
		}
		for _, e := range f.encapsOf(o.SharedHop) {
			if err := checkEncap(o, e); err != nil {
				return err
			}
		}
		r.out = f.outOf(o.SharedHop)
	}
	for _, n := range o.NextHops {
		l, err := f.wayOut(o, n)
		if err != nil {
			return err
		}
		r.out = append(r.out, l.index)
	}
	if err := f.free(old, object.SlotOf(o), ours); err != nil {
		return err
	}
	f.routes[object.SlotOf(o)] = r
	return nil
}

// wayOut finds the link of a next hop.
func (f *Fake) wayOut(o *object.Route, n object.NextHop) (*fakeLink, error) {
	if err := checkEncap(o, n.Encap); err != nil {
		return nil, err
	}
	if n.Link != "" {
		l, err := f.outLink(n.Link)
		switch {
		case err != nil:
			return nil, err
		case n.Gateway.IsValid() && !n.Gateway.IsLinkLocalUnicast() && !l.connects(n.Gateway):
			return nil, unreachable(n.Gateway)
		}
		return l, nil
	}
	if !n.Gateway.IsValid() {
		return nil, fmt.Errorf("next hop without gateway and link: %w", syscall.EINVAL)
	}
	for _, l := range f.links {
		if l.up && l.routingTable() == o.Table && l.connects(n.Gateway) {
			return l, nil
		}
	}
	return nil, unreachable(n.Gateway)
}

// unreachable is what the kernel says to a gateway that is not on any link.
func unreachable(gateway netip.Addr) error {
	if gateway.Is6() {
		return syscall.EHOSTUNREACH
	}
	return says("Nexthop has invalid gateway", syscall.ENETUNREACH)
}

func checkEncap(o *object.Route, e *object.Encap) error {
	if e == nil {
		return nil
	}
	if len(e.Segments) == 0 || e.Mode == object.HInsert && !o.Prefix.Addr().Is6() {
		return syscall.EINVAL
	}
	for _, s := range e.Segments {
		if !s.Is6() || s.Is4In6() {
			return fmt.Errorf("segment %s: %w", s, syscall.EINVAL)
		}
	}
	return nil
}

func (f *Fake) outLink(name string) (*fakeLink, error) {
	l := f.links[name]
	if l == nil {
		return nil, says(fmt.Sprintf("Cannot find device %q", name), syscall.ENODEV)
	}
	if !l.up {
		return nil, says("Nexthop device is not up", syscall.ENETDOWN)
	}
	return l, nil
}

func (f *Fake) putSID(old object.Object, o *object.LocalSID, ours bool) error {
	if !o.SID.Is6() || o.SID.Is4In6() {
		return fmt.Errorf("SID %s: %w", o.SID, syscall.EINVAL)
	}
	dev, err := f.outLink(o.Dev)
	if err != nil {
		return err
	}
	if err := checkFlavors(o); err != nil {
		return err
	}
	r := &fakeRoute{object: o, ours: ours, out: []int{dev.index}}
	if r.within, err = f.parameters(o); err != nil {
		return err
	}
	if err := f.free(old, object.SlotOf(o), ours); err != nil {
		return err
	}
	f.routes[object.SlotOf(o)] = r
	return nil
}

// parameters checks what belongs to the behaviour of a SID, and returns the index
// of the link that it keeps.
func (f *Fake) parameters(o *object.LocalSID) (within int, err error) {
	switch o.Behavior {
	case object.End:
	case object.EndX:
		if !o.NextHop.Is6() || o.NextHop.Is4In6() {
			return 0, fmt.Errorf("next hop %s: %w", o.NextHop, syscall.EINVAL)
		}
	case object.EndDX2:
		if err := framesBy(o.OutLink); err != nil {
			return 0, err
		}
	case object.EndDX4, object.EndDX6:
		if o.NextHop.IsValid() && o.NextHop.Is4() != (o.Behavior == object.EndDX4) {
			return 0, fmt.Errorf("next hop %s: %w", o.NextHop, syscall.EINVAL)
		}
	case object.EndT:
		if l := f.vrfOfTable(o.VRFTable); o.VRFTable == 0 || (l != nil) != (o.VRF != "") || l != nil && l.name != o.VRF {
			return 0, fmt.Errorf("table %d of vrf %q: %w", o.VRFTable, o.VRF, syscall.EINVAL)
		}
	case object.EndDT4, object.EndDT6, object.EndDT46:
		return f.decapVRF(o)
	case object.EndB6, object.EndB6Encaps:
		if o.Policy == nil || len(o.Policy.Segments) == 0 || (o.Policy.Mode == object.HInsert) != (o.Behavior == object.EndB6) {
			return 0, syscall.EINVAL
		}
	default:
		return 0, syscall.EINVAL
	}
	if o.OutLink == "" {
		return 0, nil
	}
	l := f.links[o.OutLink]
	if l == nil {
		return 0, says(fmt.Sprintf("Cannot find device %q", o.OutLink), syscall.ENODEV)
	}
	return l.index, nil
}

// checkFlavors: each behaviour has its own.
func checkFlavors(o *object.LocalSID) error {
	known := map[object.Behavior]object.Flavors{object.End: object.PSP | object.NextCSID, object.EndX: object.NextCSID}
	if o.Flavors&^known[o.Behavior] != 0 {
		return says("Unsupported Flavor operation(s)", syscall.EOPNOTSUPP)
	}
	block, node := o.BlockLength, o.NodeFunctionLength
	if o.Flavors&object.NextCSID == 0 {
		if block != 0 || node != 0 {
			return fmt.Errorf("lengths without NEXT-C-SID: %w", syscall.EINVAL)
		}
		return nil
	}
	if block%8 != 0 || node%8 != 0 || block == 0 || node == 0 || int(block)+int(node) > 128 {
		return says("Invalid Locator Block/Node Function lengths", syscall.EINVAL)
	}
	if p := o.Prefix(); p != p.Masked() {
		return says("Invalid prefix for given prefix length", syscall.EINVAL)
	}
	return nil
}

// framesBy: all links are of Ethernet but lo.
func framesBy(link string) error {
	if link == "" || link == "lo" {
		return fmt.Errorf("link %q is no Ethernet device: %w", link, syscall.EINVAL)
	}
	return nil
}

// decapVRF finds the VRF that a SID keeps by its index.
func (f *Fake) decapVRF(o *object.LocalSID) (int, error) {
	if o.VRF == "" {
		if o.Behavior != object.EndDT6 || o.VRFTable == 0 {
			return 0, fmt.Errorf("table or vrftable must be specified: %w", syscall.EINVAL)
		}
		return 0, nil
	}
	if f.sysctls[object.SysctlStrictMode] != "1" {
		return 0, says("Strict mode for VRF is disabled", syscall.EPERM)
	}
	l := f.vrfOfTable(o.VRFTable)
	if l == nil || l.name != o.VRF {
		return 0, says("Table has no associated VRF device", syscall.ENODEV)
	}
	return l.index, nil
}

// flushRoutes takes away the routes over l: all of them when the link goes, those
// with no other way out when it is only down. Routes by a nexthop object live as
// long as that. It looks at every route.
func (f *Fake) flushRoutes(l *fakeLink, goes bool, family func(netip.Addr) bool) {
	for s, r := range f.routes {
		if !family(s.Prefix.Addr()) || r.hop != "" {
			continue
		}
		over, others := false, false
		for _, index := range r.out {
			if index == l.index {
				over = true
			} else if o := f.byIndex(index); o != nil && o.up {
				others = true
			}
		}
		if over && (goes || !others) {
			delete(f.routes, s)
		}
	}
}
