// Package object holds the kernel objects that Heddle manages, as plain values.
//
// Translators make them from configuration, reconcile orders them, the drivers
// under kernel/ turn each into one kernel operation, telemetry reads them to
// tell what is really there. The package knows no YANG, no netlink and no
// protocol: it imports nothing but the standard library's value types.
//
// Two rules hold for every type here. Objects are immutable once made: whoever
// wants another value makes another object. And an object names other objects
// by their keys (a link by its name, never by its ifindex), so that it means the
// same thing before a restart and after it.
package object

import (
	"fmt"
	"net/netip"
	"strings"
)

// Kind says what an object is. Its order is the order in which independent
// objects come up: a sysctl that belongs to a link after the link, an address
// after the link is enslaved, a route after the addresses that make its gateway
// reachable. They go down in the opposite order.
type Kind uint8

// The kinds, in the order in which they come up.
const (
	KindLink         Kind = iota + 1 // a link that we create
	KindSysctl                       // one kernel parameter of this network namespace
	KindMember                       // a link enslaved to a VRF or bridge
	KindLinkConfig                   // settings of a link, ours or not
	KindAddress                      // an address on a link
	KindNeighbour                    // a neighbour with a configured link-layer address
	KindTunnelSource                 // outer source address of SRv6 encapsulation
	KindHMACKey                      // a key for the HMAC of segment routing headers
	KindNextHop                      // a way out that routes share
	KindRoute                        // an IPv4 or IPv6 route
	KindLocalSID                     // a seg6local route
	KindProxyPort                    // a link with a program for SR proxies
	KindProxy                        // what an SR proxy does besides its route
)

var kindNames = [...]string{
	KindLink:         "link",
	KindSysctl:       "sysctl",
	KindMember:       "member",
	KindLinkConfig:   "linkconfig",
	KindAddress:      "address",
	KindNeighbour:    "neighbour",
	KindTunnelSource: "tunsrc",
	KindHMACKey:      "hmackey",
	KindNextHop:      "nexthop",
	KindRoute:        "route",
	KindLocalSID:     "localsid",
	KindProxyPort:    "proxyport",
	KindProxy:        "proxy",
}

// Kinds lists every kind in the order in which they come up.
func Kinds() []Kind {
	return []Kind{KindLink, KindSysctl, KindMember, KindLinkConfig, KindAddress,
		KindNeighbour, KindTunnelSource, KindHMACKey, KindNextHop, KindRoute, KindLocalSID, KindProxyPort, KindProxy}
}

func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Key identifies an object within one network namespace. It prints as
// "localsid/2001:db8:0:4:ff01::". The ID of a link and what belongs to one starts
// with its name; that of a route or SID is not text (see SlotOfKey).
type Key struct {
	Kind Kind
	ID   string
}

func (k Key) String() string {
	id := k.ID
	if s, ok := SlotOfKey(k); ok {
		id = s.text(k.Kind)
	}
	return k.Kind.String() + "/" + id
}

// Compare orders keys by kind and then by identity.
func (k Key) Compare(o Key) int {
	if k.Kind != o.Kind {
		return int(k.Kind) - int(o.Kind)
	}
	return strings.Compare(k.ID, o.ID)
}

// Object is one thing the kernel holds for us. Every implementation also has a
// String method that describes it in the words of iproute2, for plans, errors
// and test tables.
type Object interface {
	// Key is what identifies the object; two objects with the same key cannot
	// exist side by side.
	Key() Key

	// Needs lists the objects that must be there first. When one of them is
	// recreated the kernel drops or orphans this object (a SID keeps the ifindex
	// of its VRF, a link that leaves a VRF loses its IPv6 addresses), so it is
	// recreated with it. A key nobody configures (a link that is not ours) is
	// not waited for. They are appended to into, which may be nil: a large
	// commit asks this of every object.
	Needs(into []Key) []Key

	// Equal reports whether o describes the same kernel state. Only what we set
	// is compared.
	Equal(o Object) bool

	// Mutable reports whether the kernel can change this object into to in
	// place. If not, it is deleted and created anew.
	Mutable(to Object) bool
}

// Claimer is implemented by objects that occupy something exclusive besides
// their own key: a VRF its table number, a route and a SID the same slot of the
// routing table. An object can come up only after the one that holds the claim
// has gone or let go of it.
type Claimer interface {
	// Claims appends what the object occupies to into.
	Claims(into []Claim) []Claim
}

// Claim is something exclusive: the slot of a routing table where it has a
// prefix, otherwise what Name says. Equal claims are one.
type Claim struct {
	Name string

	Prefix netip.Prefix
	Table  uint32
	Metric uint32 // as the kernel counts it, never 0 for IPv6
}

func (c Claim) String() string {
	if !c.Prefix.IsValid() {
		return c.Name
	}
	return fmt.Sprintf("table %d slot %s metric %d", c.Table, c.Prefix, c.Metric)
}

// Claims appends what o occupies exclusively, which is nothing for most objects.
func Claims(o Object, into []Claim) []Claim {
	if c, ok := o.(Claimer); ok {
		return c.Claims(into)
	}
	return into
}
