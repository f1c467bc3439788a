package object

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// MAC is an IEEE 802 address.
type MAC [6]byte

// ParseMAC reads six octets, each two hexadecimal digits, separated by colons.
func ParseMAC(s string) (m MAC, err error) {
	octets := strings.Split(s, ":")
	if len(octets) != len(m) {
		return MAC{}, fmt.Errorf("link-layer address %q has %d octets, not %d", s, len(octets), len(m))
	}
	for i, o := range octets {
		n, err := strconv.ParseUint(o, 16, 8)
		if err != nil || len(o) != 2 {
			return MAC{}, fmt.Errorf("octet %q of link-layer address %q is not two hexadecimal digits", o, s)
		}
		m[i] = byte(n)
	}
	return m, nil
}

func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// Neighbour is the link-layer address of an IPv4 or IPv6 neighbour on a link, for
// good.
type Neighbour struct {
	Link string
	Addr netip.Addr // without a zone
	MAC  MAC
}

func (n Neighbour) Key() Key { return Key{KindNeighbour, n.Link + "/" + n.Addr.String()} }

// Needs is the link, its membership and its settings: a link that goes down forgets
// its neighbours.
func (n Neighbour) Needs(into []Key) []Key {
	return append(into, LinkKey(n.Link), MemberKey(n.Link), LinkConfigKey(n.Link))
}

func (n Neighbour) Equal(o Object) bool { return Object(n) == o }
func (n Neighbour) Mutable(Object) bool { return true }

func (n Neighbour) String() string {
	return fmt.Sprintf("neighbour %s lladdr %s dev %s", n.Addr, n.MAC, n.Link)
}
