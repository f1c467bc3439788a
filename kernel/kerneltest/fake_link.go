package kerneltest

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"heddle/kernel/object"
)

// fakeLink is one device.
type fakeLink struct {
	name   string
	index  int
	kind   object.LinkType // empty: a device that is not of our making
	table  uint32
	peer   string
	parent *fakeLink // that it is on
	vlan   object.VLAN
	bound  bool // a VLAN that goes down with its parent
	tunnel object.Tunnel
	mtu    uint32
	up     bool
	master *fakeLink
	alias  bool // marked as ours

	// addresses in the order in which the kernel keeps them: the first of an IPv4
	// subnet is the primary one.
	addresses []fakeAddress

	neighbours map[netip.Addr]fakeNeighbour

	// Programs of SR proxies: what is attached goes with the link. What comes back on it
	// is of the SID proxy, if that is valid.
	proxyPorts map[object.PortRole]bool
	proxy      netip.Addr
}

type fakeAddress struct {
	prefix netip.Prefix
	ours   bool
}

type fakeNeighbour struct {
	mac  object.MAC
	ours bool
}

func (l *fakeLink) object() object.Link {
	o := object.Link{Name: l.name, Type: l.kind, Table: l.table, Peer: l.peer, VLAN: l.vlan, Tunnel: l.tunnel, Bound: l.bound}
	if l.parent != nil {
		o.Parent = l.parent.name
	}
	return o
}

func (l *fakeLink) note() string {
	s := fmt.Sprintf(" mtu %d", l.mtu)
	if l.up {
		s += " up"
	}
	if l.master != nil {
		s += " master " + l.master.name
	}
	return s
}

// routingTable is where the connected routes of l are.
func (l *fakeLink) routingTable() uint32 {
	switch {
	case l.master != nil && l.master.kind == object.LinkVRF:
		return l.master.table
	case l.kind == object.LinkVRF:
		return l.table
	}
	return object.TableMain
}

func (l *fakeLink) address(p netip.Prefix) int {
	return slices.IndexFunc(l.addresses, func(a fakeAddress) bool { return a.prefix == p })
}

// connects reports whether a is in a subnet of l.
func (l *fakeLink) connects(a netip.Addr) bool {
	return slices.ContainsFunc(l.addresses, func(x fakeAddress) bool {
		return x.prefix.Contains(a) && x.prefix.Addr() != a
	})
}

func (f *Fake) newLink(name string, kind object.LinkType, mtu uint32) *fakeLink {
	f.lastIndex++
	l := &fakeLink{name: name, index: f.lastIndex, kind: kind, mtu: mtu, neighbours: map[netip.Addr]fakeNeighbour{}}
	f.links[name] = l
	return l
}

func (f *Fake) vrfOfTable(table uint32) *fakeLink {
	for _, l := range f.links {
		if l.kind == object.LinkVRF && l.table == table {
			return l
		}
	}
	return nil
}

func (f *Fake) putLink(old object.Object, o object.Link, ours bool) error {
	if old == nil {
		return f.createLink(o, ours)
	}
	l := f.links[o.Name]
	switch {
	case l == nil:
		return fmt.Errorf("link %s does not exist: %w", o.Name, syscall.ENODEV)
	case !l.object().Mutable(o):
		return says("Operation not supported", syscall.EOPNOTSUPP)
	}
	l.bound = o.Bound
	return nil
}

func (f *Fake) createLink(o object.Link, ours bool) error {
	if !o.Creates() && ours {
		return f.markPeer(o)
	}
	if len(o.Name) == 0 || len(o.Name) > 15 || strings.ContainsAny(o.Name, "/ \t\n") {
		return fmt.Errorf("invalid link name %q: %w", o.Name, syscall.EINVAL)
	}
	if f.links[o.Name] != nil {
		return syscall.EEXIST
	}
	switch o.Type {
	case object.LinkVRF:
		if o.Table == 0 {
			return says("Invalid VRF table id", syscall.EINVAL)
		}
		if f.vrfOfTable(o.Table) != nil {
			return says("Table is used by another VRF", syscall.EBUSY)
		}
		f.newLink(o.Name, o.Type, 65575).table = o.Table
	case object.LinkDummy, object.LinkIFB, object.LinkBridge:
		f.newLink(o.Name, o.Type, 1500)
	case object.LinkVeth:
		if o.Peer == "" || o.Peer == o.Name || f.links[o.Peer] != nil {
			return fmt.Errorf("peer %q: %w", o.Peer, syscall.EEXIST)
		}
		f.newLink(o.Name, o.Type, 1500).peer = o.Peer
		f.newLink(o.Peer, o.Type, 1500).peer = o.Name
	case object.LinkVLAN:
		if err := f.createVLAN(o); err != nil {
			return err
		}
	case object.LinkGRE, object.LinkGRETap, object.LinkIP6GRE, object.LinkIP6GRETap, object.LinkVXLAN:
		if err := f.createTunnel(o); err != nil {
			return err
		}
	default:
		return says("Unknown device type", syscall.EOPNOTSUPP)
	}
	f.links[o.Name].alias = ours
	return nil
}

func (f *Fake) createVLAN(o object.Link) error {
	parent := f.links[o.Parent]
	switch {
	case parent == nil:
		return fmt.Errorf("link %s does not exist: %w", o.Parent, syscall.ENODEV)
	case o.VLAN.ID == 0 || o.VLAN.ID > 4094:
		return says("Invalid VLAN id", syscall.ERANGE)
	case parent.kind == object.LinkVRF || parent.name == "lo":
		return says("VLANs not supported on device", syscall.EOPNOTSUPP)
	case f.vlanOn(parent, o.VLAN) != nil:
		return says("VLAN device already exists", syscall.EEXIST)
	}
	l := f.newLink(o.Name, o.Type, parent.mtu)
	l.parent, l.vlan, l.bound = parent, o.VLAN, o.Bound
	return nil
}

func (f *Fake) createTunnel(o object.Link) error {
	parent := f.links[o.Parent]
	if parent == nil && o.Parent != "" {
		return says("Invalid local interface, device not found", syscall.ENODEV)
	}
	if other := f.likeTunnel(o); other != nil {
		return fmt.Errorf("link %s is such a tunnel: %w", other.name, syscall.EEXIST)
	}
	l := f.newLink(o.Name, o.Type, 1450)
	l.parent, l.tunnel = parent, o.Tunnel
	return nil
}

// likeTunnel is a tunnel that the kernel cannot tell from o.
func (f *Fake) likeTunnel(o object.Link) *fakeLink {
	for _, l := range f.links {
		if l.kind == o.Type && l.name != o.Name && slices.Equal(l.object().Exclusive(nil), o.Exclusive(nil)) {
			return l
		}
	}
	return nil
}

func (f *Fake) vlanOn(parent *fakeLink, v object.VLAN) *fakeLink {
	for _, l := range f.links {
		if l.parent == parent && l.vlan == v {
			return l
		}
	}
	return nil
}

// depth is how many links l is on top of.
func (l *fakeLink) depth() (n int) {
	for ; l.parent != nil; l = l.parent {
		n++
	}
	return n
}

// setMTU takes the VLANs on top of l down with it (vlan_device_event in
// net/8021q/vlan.c).
func (f *Fake) setMTU(l *fakeLink, mtu uint32) {
	l.mtu = mtu
	for _, upper := range f.links {
		if upper.parent == l && upper.kind == object.LinkVLAN && upper.mtu > mtu {
			f.setMTU(upper, mtu)
		}
	}
}

// markPeer takes the second end of a veth for ours.
func (f *Fake) markPeer(o object.Link) error {
	l, peer := f.links[o.Name], f.links[o.Peer]
	switch {
	case peer == nil || !peer.alias:
		return fmt.Errorf("its first end %s is not a link of ours: %w", o.Peer, syscall.ENODEV)
	case l == nil || l.peer != o.Peer:
		return fmt.Errorf("the other end of %s is not called %s: %w", o.Peer, o.Name, syscall.ENODEV)
	case l.alias:
		return syscall.EEXIST
	}
	l.alias = true
	return nil
}

func (f *Fake) deleteLink(o object.Link, l *fakeLink) {
	if !o.Creates() {
		l.alias = false
		return
	}
	f.unlink(l)
}

// unlink takes l away with all that is on it, and lets its slaves go.
func (f *Fake) unlink(l *fakeLink) {
	for _, slave := range f.links {
		if slave.master == l {
			f.enslave(slave, "")
		}
	}
	f.flushHops(l)
	f.flushRoutes(l, true, func(netip.Addr) bool { return true })
	delete(f.links, l.name)
	for name := range f.sysctls {
		if linkOfSysctl(name) == l.name {
			delete(f.sysctls, name)
		}
	}
	if peer := f.links[l.peer]; peer != nil {
		f.unlink(peer)
	}
	for _, upper := range f.links {
		if upper.parent == l {
			f.unlink(upper)
		}
	}
}

// setUp brings l up or down; down takes its IPv6 addresses, neighbours and routes.
func (f *Fake) setUp(l *fakeLink, up bool) {
	if l.up == up {
		return
	}
	l.up = up
	if !up {
		l.addresses = slices.DeleteFunc(l.addresses, func(a fakeAddress) bool { return a.prefix.Addr().Is6() })
		clear(l.neighbours)
		f.flushHops(l)
		f.flushRoutes(l, false, func(netip.Addr) bool { return true })
	}
}

// enslave moves l to a VRF or bridge, or out of one if there is no name. A link that
// is up goes down and up for a VRF (cycle_netdev in drivers/net/vrf.c).
func (f *Fake) enslave(l *fakeLink, master string) {
	from, to := l.master, f.links[master]
	if (from == nil || from.kind != object.LinkVRF) && (to == nil || to.kind != object.LinkVRF) {
		l.master = to
		return
	}
	up := l.up
	f.setUp(l, false)
	l.master = to
	f.setUp(l, up)
}

func (f *Fake) addAddress(o object.Address, ours bool) error {
	l := f.links[o.Link]
	switch {
	case l == nil:
		return says(fmt.Sprintf("Cannot find device %q", o.Link), syscall.ENODEV)
	case !o.Prefix.IsValid() || o.Prefix.Addr().IsUnspecified() || o.Prefix.Addr().IsMulticast():
		return syscall.EINVAL
	}
	for _, a := range l.addresses {
		if a.prefix == o.Prefix || a.prefix.Addr().Is6() && a.prefix.Addr() == o.Prefix.Addr() {
			return syscall.EEXIST
		}
	}
	l.addresses = append(l.addresses, fakeAddress{o.Prefix, ours})
	return nil
}

// deleteAddress takes an address away; a primary IPv4 one takes the others of its
// subnet along, unless promote_secondaries is set, and the last IPv4 one the
// routes and neighbours (fib_inetaddr_event in net/ipv4/fib_frontend.c).
func (f *Fake) deleteAddress(l *fakeLink, p netip.Prefix) {
	subnet := func(a fakeAddress) bool { return a.prefix.Masked() == p.Masked() }
	primary := slices.IndexFunc(l.addresses, subnet) == l.address(p)
	promote := f.sysctls["net/ipv4/conf/all/promote_secondaries"] == "1" ||
		f.sysctls["net/ipv4/conf/"+l.name+"/promote_secondaries"] == "1"
	l.addresses = slices.DeleteFunc(l.addresses, func(a fakeAddress) bool {
		return a.prefix == p || p.Addr().Is4() && primary && !promote && subnet(a)
	})
	left := slices.ContainsFunc(l.addresses, func(a fakeAddress) bool { return a.prefix.Addr().Is4() })
	if p.Addr().Is4() && !left {
		maps.DeleteFunc(l.neighbours, func(a netip.Addr, _ fakeNeighbour) bool { return a.Is4() })
		f.flushRoutes(l, false, netip.Addr.Is4)
	}
}

func (f *Fake) putNeighbour(old object.Object, o object.Neighbour, ours bool) error {
	l := f.links[o.Link]
	if l == nil {
		return says(fmt.Sprintf("Cannot find device %q", o.Link), syscall.ENODEV)
	}
	have, there := l.neighbours[o.Addr]
	switch {
	case old == nil && there:
		return syscall.EEXIST
	case old != nil && (!there || have.ours != ours):
		return syscall.ENOENT
	}
	l.neighbours[o.Addr] = fakeNeighbour{o.MAC, ours}
	return nil
}

// removeAddress deletes an address of ours as the driver does: what the kernel
// takes along is put back, and the address, too, when that cannot be.
func (f *Fake) removeAddress(l *fakeLink, p netip.Prefix) error {
	addresses, routes, neighbours := slices.Clone(l.addresses), maps.Clone(f.routes), maps.Clone(l.neighbours)
	f.deleteAddress(l, p)
	for a, n := range neighbours {
		if n.ours {
			l.neighbours[a] = n
		}
	}
	for _, a := range addresses {
		if a.prefix != p && l.address(a.prefix) < 0 {
			l.addresses = append(l.addresses, a)
		}
	}
	for s, r := range routes {
		o, ok := r.object.(*object.Route)
		if !ok || !r.ours || f.routes[s] != nil {
			continue
		}
		if err := f.putRoute(nil, o, true); err != nil {
			l.addresses, f.routes, l.neighbours = addresses, routes, neighbours
			return fmt.Errorf("put %v back, which the kernel drops with the last IPv4 address of its link: %w", o, err)
		}
	}
	return nil
}
