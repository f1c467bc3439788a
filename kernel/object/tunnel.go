package object

import (
	"fmt"
	"net/netip"
	"strings"
)

// Tunnel is what a GRE tunnel or a VXLAN puts around packets; the zero value is none.
type Tunnel struct {
	// Local and Remote are the outer addresses, of one family. Those of a VXLAN may
	// be absent, and its Remote a multicast group.
	Local, Remote netip.Addr

	TTL uint8 // 0: that of the inner packet over GRE and IPv4, else the node's own

	// Of GRE: the key of both directions, if Keyed, and whether outer IPv4 packets
	// may be fragmented on the way.
	Key      uint32
	Keyed    bool
	Fragment bool

	// Of VXLAN: the number of the network, the UDP port, and whether addresses are
	// learned from what comes in.
	VNI   uint32
	Port  uint16
	Learn bool
}

// Over6 reports whether the outer packets are of IPv6.
func (t Tunnel) Over6() bool { return t.Local.Is6() || t.Remote.Is6() }

func (t Tunnel) over() string {
	if t.Over6() {
		return " over ipv6"
	}
	return ""
}

// ends are what tells GRE tunnels apart.
func (t Tunnel) ends() string {
	s := fmt.Sprintf("local %s remote %s", t.Local, t.Remote)
	if t.Keyed {
		s += fmt.Sprintf(" key %d", t.Key)
	}
	return s
}

func (t Tunnel) gre() string {
	s := t.ends() + t.ttl()
	if t.Fragment {
		s += " nopmtudisc"
	}
	return s
}

func (t Tunnel) ttl() string {
	if t.TTL == 0 {
		return ""
	}
	return fmt.Sprintf(" ttl %d", t.TTL)
}

func (t Tunnel) vxlan(dev string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "id %d", t.VNI)
	if t.Local.IsValid() {
		fmt.Fprintf(&b, " local %s", t.Local)
	}
	switch {
	case t.Remote.IsMulticast():
		fmt.Fprintf(&b, " group %s", t.Remote)
	case t.Remote.IsValid():
		fmt.Fprintf(&b, " remote %s", t.Remote)
	}
	if dev != "" {
		fmt.Fprintf(&b, " dev %s", dev)
	}
	fmt.Fprintf(&b, " dstport %d%s", t.Port, t.ttl())
	if !t.Learn {
		b.WriteString(" nolearning")
	}
	return b.String()
}
