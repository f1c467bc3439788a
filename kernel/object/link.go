package object

import (
	"fmt"
	"net/netip"
	"strings"
)

// LinkType is the kernel's rtnl_link_ops kind of a link that we create.
type LinkType string

// The link types that can be created.
const (
	LinkVRF   LinkType = "vrf"
	LinkDummy LinkType = "dummy"
	LinkVeth  LinkType = "veth"
	LinkVLAN  LinkType = "vlan"

	LinkGRE       LinkType = "gre"       // IP packets over IPv4
	LinkGRETap    LinkType = "gretap"    // Ethernet frames over IPv4
	LinkIP6GRE    LinkType = "ip6gre"    // IP packets over IPv6
	LinkIP6GRETap LinkType = "ip6gretap" // Ethernet frames over IPv6
	LinkVXLAN     LinkType = "vxlan"
	LinkBridge    LinkType = "bridge"

	// LinkIFB is an intermediate functional block (drivers/net/ifb.c): like a
	// dummy never without carrier, and it drops what is sent to it unless tc
	// redirected it there. Kernels that lack dummy links tend to have it.
	LinkIFB LinkType = "ifb"
)

// Link is a network device that exists because we made it. Its settings are a
// LinkConfig: a device that somebody else made can have one of those, too.
type Link struct {
	Name string
	Type LinkType

	// Table is the routing table of a VRF; 0 for other types.
	Table uint32

	// Peer names the other end of a veth. A pair is two Links naming each
	// other: the one whose name sorts first creates both, the other one marks
	// what is already there (see Creates).
	Peer string

	// Parent names the link that a VLAN is on, and the one that the packets of a VXLAN
	// leave by; empty for other types, and for a VXLAN that is routed.
	Parent string
	VLAN   VLAN
	Tunnel Tunnel

	// Bound is a VLAN that goes down and comes up with its parent (loose_binding off).
	// None is wanted so: somebody may have made one of ours that.
	Bound bool
}

// VLAN is the tag of a VLAN link; the zero value is none.
type VLAN struct {
	ID      uint16 // 1 to 4094
	Service bool   // a service tag (802.1ad) in place of a customer tag (802.1Q)
}

func (v VLAN) String() string {
	if v.Service {
		return fmt.Sprintf("protocol 802.1ad id %d", v.ID)
	}
	return fmt.Sprintf("id %d", v.ID)
}

// LinkKey is the key of the link called name.
func LinkKey(name string) Key { return Key{KindLink, name} }

// Creates reports whether this link's creation makes the device. It is false
// for the second end of a veth, which comes and goes with the first.
func (l Link) Creates() bool { return l.Type != LinkVeth || l.Name < l.Peer }

func (l Link) Key() Key { return LinkKey(l.Name) }

// Needs is what the device goes with: the first end of a veth, the link that a
// VLAN is on.
func (l Link) Needs(into []Key) []Key {
	if !l.Creates() {
		into = append(into, LinkKey(l.Peer))
	}
	if l.Parent != "" {
		into = append(into, LinkKey(l.Parent))
	}
	return into
}

func (l Link) Equal(o Object) bool { return Object(l) == o }

// Mutable is what binds a VLAN to its parent: the kernel changes neither the table of a
// VRF nor the peer of a veth nor the tag of a VLAN, and a tunnel that leads elsewhere is
// another one.
func (l Link) Mutable(to Object) bool {
	t, ok := to.(Link)
	l.Bound = t.Bound
	return ok && l == t
}

// Claims are the names of the devices that it makes, of a veth both, so that a new pair
// waits for the links that have them, and what is Exclusive.
func (l Link) Claims(into []Claim) []Claim {
	if !l.Creates() {
		return into
	}
	into = append(into, Claim{Name: "device " + l.Name})
	if l.Type == LinkVeth {
		into = append(into, Claim{Name: "device " + l.Peer})
	}
	return l.Exclusive(into)
}

// Exclusive is what no other link of its type can have in a namespace, by which the
// kernel tells them apart: a table, a tag on a parent, the ends of a tunnel.
func (l Link) Exclusive(into []Claim) []Claim {
	switch {
	case l.Type == LinkVRF:
		return append(into, Claim{Name: fmt.Sprintf("vrf table %d", l.Table)})
	case l.Type == LinkVLAN:
		return append(into, Claim{Name: fmt.Sprintf("vlan %s dev %s", l.VLAN, l.Parent)})
	case l.Type == LinkVXLAN:
		return append(into, Claim{Name: fmt.Sprintf("vxlan id %d dstport %d%s", l.Tunnel.VNI, l.Tunnel.Port, l.Tunnel.over())})
	case l.Tunnel != Tunnel{}:
		return append(into, Claim{Name: fmt.Sprintf("%s %s", l.Type, l.Tunnel.ends())})
	}
	return into
}

func (l Link) String() string {
	switch l.Type {
	case LinkVRF:
		return fmt.Sprintf("link %s type vrf table %d", l.Name, l.Table)
	case LinkVeth:
		return fmt.Sprintf("link %s type veth peer %s", l.Name, l.Peer)
	case LinkVLAN:
		text := fmt.Sprintf("link %s link %s type vlan %s", l.Name, l.Parent, l.VLAN)
		if l.Bound {
			text += " loose_binding off"
		}
		return text
	case LinkVXLAN:
		return fmt.Sprintf("link %s type vxlan %s", l.Name, l.Tunnel.vxlan(l.Parent))
	case LinkGRE, LinkGRETap, LinkIP6GRE, LinkIP6GRETap:
		return fmt.Sprintf("link %s type %s %s", l.Name, l.Type, l.Tunnel.gre())
	}
	return fmt.Sprintf("link %s type %s", l.Name, l.Type)
}

// Admin is the administrative state wanted for a link.
type Admin uint8

// AdminLeave leaves the administrative state alone.
const (
	AdminLeave Admin = iota
	AdminUp
	AdminDown
)

func (a Admin) String() string { return [...]string{"leave", "up", "down"}[a] }

// LinkConfig is what we set on a link, whoever made it. Deleting it gives back
// what the link had before.
type LinkConfig struct {
	Link  string
	MTU   uint32 // octets; 0 leaves it
	Admin Admin
}

// LinkConfigKey is the key of the settings of the link called name.
func LinkConfigKey(name string) Key { return Key{KindLinkConfig, name} }

func (c LinkConfig) Key() Key { return LinkConfigKey(c.Link) }

// Needs is the link and its membership: enslaving takes a link down and up.
func (c LinkConfig) Needs(into []Key) []Key {
	return append(into, LinkKey(c.Link), MemberKey(c.Link))
}

func (c LinkConfig) Equal(o Object) bool { return Object(c) == o }

// Mutable is false when the administrative state changes: going down takes the
// IPv6 addresses and the routes of the link away, so what needs the link is
// built again with it.
func (c LinkConfig) Mutable(to Object) bool {
	t, ok := to.(LinkConfig)
	return ok && t.Admin == c.Admin
}

func (c LinkConfig) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "link %s", c.Link)
	if c.MTU != 0 {
		fmt.Fprintf(&b, " mtu %d", c.MTU)
	}
	if c.Admin != AdminLeave {
		fmt.Fprintf(&b, " %s", c.Admin)
	}
	return b.String()
}

// Member enslaves a link to a VRF, or makes it a port of a bridge. A link that is
// enslaved to something else is not ours to move.
type Member struct {
	Link   string
	Master string // name of the VRF or bridge link
}

// MemberKey is the key of the membership of the link called name.
func MemberKey(name string) Key { return Key{KindMember, name} }

func (m Member) Key() Key { return MemberKey(m.Link) }
func (m Member) Needs(into []Key) []Key {
	return append(into, LinkKey(m.Link), LinkKey(m.Master))
}
func (m Member) Equal(o Object) bool { return Object(m) == o }

// Mutable is false: moving a link to another VRF flushes its IPv6 addresses and
// moves its connected routes, so all that needs the membership is rebuilt.
func (m Member) Mutable(Object) bool { return false }

func (m Member) String() string { return fmt.Sprintf("link %s master %s", m.Link, m.Master) }

// Address is an IPv4 or IPv6 address on a link.
type Address struct {
	Link   string
	Prefix netip.Prefix // the address with its prefix length, host bits kept
}

func (a Address) Key() Key { return Key{KindAddress, a.Link + "/" + a.Prefix.String()} }

// Needs is the link, its membership and its settings: each of them, when
// rebuilt, makes the kernel flush addresses.
func (a Address) Needs(into []Key) []Key {
	return append(into, LinkKey(a.Link), MemberKey(a.Link), LinkConfigKey(a.Link))
}

// Claims is the IPv6 address itself: the kernel refuses it a second time on the
// link, whatever the prefix length, where it takes an IPv4 address once for each
// length.
func (a Address) Claims(into []Claim) []Claim {
	if a.Prefix.Addr().Is4() {
		return into
	}
	return append(into, Claim{Name: "address " + a.Prefix.Addr().String() + " dev " + a.Link})
}

func (a Address) Equal(o Object) bool { return Object(a) == o }
func (a Address) Mutable(Object) bool { return true }
func (a Address) String() string      { return fmt.Sprintf("address %s dev %s", a.Prefix, a.Link) }
