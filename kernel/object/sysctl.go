package object

import (
	"fmt"
	"net/netip"
)

// Sysctl is one kernel parameter of the network namespace. Deleting it gives
// back the value that was there before we set it.
type Sysctl struct {
	// Name is the path below /proc/sys, with slashes, because link names may
	// hold dots: "net/vrf/strict_mode".
	Name  string
	Value string

	// Link names the link whose parameter it is; empty for the others.
	Link string
}

// SysctlKey is the key of the parameter called name.
func SysctlKey(name string) Key { return Key{KindSysctl, name} }

func (s Sysctl) Key() Key { return SysctlKey(s.Name) }

func (s Sysctl) Needs(into []Key) []Key {
	if s.Link == "" {
		return into
	}
	return append(into, LinkKey(s.Link))
}

func (s Sysctl) Equal(o Object) bool {
	t, ok := o.(Sysctl)
	return ok && s.Name == t.Name && s.Value == t.Value
}

func (s Sysctl) Mutable(Object) bool { return true }
func (s Sysctl) String() string      { return fmt.Sprintf("sysctl %s=%s", s.Name, s.Value) }

// TunnelSource is the source address of the outer IPv6 header that H.Encaps
// writes, one per network namespace ("ip sr tunsrc set"). Without it the kernel
// chooses an address of the outgoing device.
type TunnelSource struct {
	Source netip.Addr // IPv6
}

// TunnelSourceKey is the key of the one tunnel source.
func TunnelSourceKey() Key { return Key{KindTunnelSource, "default"} }

func (t TunnelSource) Key() Key               { return TunnelSourceKey() }
func (t TunnelSource) Needs(into []Key) []Key { return into }
func (t TunnelSource) Equal(o Object) bool    { return Object(t) == o }
func (t TunnelSource) Mutable(Object) bool    { return true }
func (t TunnelSource) String() string         { return fmt.Sprintf("sr tunsrc %s", t.Source) }

// Kernel parameters that Heddle sets, as paths below /proc/sys.
const (
	// SysctlStrictMode makes the kernel refuse two VRFs with one table; End.DT4
	// and End.DT46, and End.DT6 by VRF table, need it (Linux 5.11).
	SysctlStrictMode = "net/vrf/strict_mode"

	// SysctlNextHopCompat has the kernel tell of every route by a nexthop object when
	// that changes, and describe the object in each route: what a change costs then
	// follows the number of routes (replace_nexthop in net/ipv4/nexthop.c).
	SysctlNextHopCompat = "net/ipv4/nexthop_compat_mode"

	SysctlForward4    = "net/ipv4/ip_forward"
	SysctlForward6    = "net/ipv6/conf/all/forwarding"
	SysctlSeg6Enabled = "net/ipv6/conf/all/seg6_enabled"
)

// SysctlLinkRPFilter is the parameter that has link drop IPv4 packets from addresses
// that no route leads back to by it (1), or by any link (2); that for all links counts
// where it is greater (Linux Documentation/networking/ip-sysctl.rst).
func SysctlLinkRPFilter(link string) string { return "net/ipv4/conf/" + link + "/rp_filter" }

// SysctlLinkSeg6Enabled is the parameter that lets link accept packets with a
// segment routing header for local addresses; the one for all must be on too.
func SysctlLinkSeg6Enabled(link string) string { return "net/ipv6/conf/" + link + "/seg6_enabled" }

// SysctlLinkSeg6HMAC is the parameter that says what becomes of packets that come in
// on link with a segment routing header: -1, their HMAC is not looked at; 0, it is
// right or not there; 1, it is right.
func SysctlLinkSeg6HMAC(link string) string {
	return "net/ipv6/conf/" + link + "/seg6_require_hmac"
}
