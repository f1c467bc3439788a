package object

import (
	"fmt"
	"net/netip"
	"strings"
)

// ProxyBehavior is a proxy of draft-ietf-spring-sr-service-programming, which our
// own programs carry out (bpf/srproxy.c) together with a route.
type ProxyBehavior uint8

// The proxies, as the programs number them.
const (
	EndAS ProxyBehavior = 1 // the headers to put back are configured
	EndAD ProxyBehavior = 2 // they are those of the last packet that went to the NF
	EndAM ProxyBehavior = 3 // the packet keeps its own, and has its final destination meanwhile
)

func (b ProxyBehavior) String() string {
	switch b {
	case EndAS:
		return "End.AS"
	case EndAD:
		return "End.AD"
	case EndAM:
		return "End.AM"
	}
	return fmt.Sprintf("proxy(%d)", uint8(b))
}

// InnerType is the next header that says what a packet for a proxy carries (RFC 8986
// §4: IANA's protocol numbers).
type InnerType uint8

// What a proxy can carry.
const (
	InnerIPv4 InnerType = 4
	InnerIPv6 InnerType = 41

	InnerEthernet InnerType = 143
)

func (t InnerType) String() string {
	switch t {
	case InnerIPv4:
		return "ipv4"
	case InnerIPv6:
		return "ipv6"
	case InnerEthernet:
		return "ethernet"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// ProxyMode is what becomes of packets for a proxy.
type ProxyMode uint8

// The modes, as the programs number them.
const (
	ProxyToNF      ProxyMode = 0
	ProxyToStandby ProxyMode = 1 // to the other NF
	ProxyBypass    ProxyMode = 2 // on to the next segment, as by End
	ProxyDrop      ProxyMode = 3
)

func (m ProxyMode) String() string {
	switch m {
	case ProxyToNF:
		return "nf"
	case ProxyToStandby:
		return "standby"
	case ProxyBypass:
		return "bypass"
	case ProxyDrop:
		return "drop"
	}
	return fmt.Sprintf("mode(%d)", uint8(m))
}

// Proxy is what goes on around the route of a SID that makes it a proxy for an NF that
// knows nothing of segment routing: a LocalSID with End.DX4, End.DX6 or End.DX2, for End.AM a
// Route with the NF as gateway. The pointer is the object.
type Proxy struct {
	SID      netip.Addr
	Behavior ProxyBehavior
	Inner    InnerType // 0 for End.AM
	Mode     ProxyMode

	// Links on which the NF, and the standby NF, give packets back; empty: there is no
	// such NF, or the link is not there, which the mode has to allow for.
	In, Standby string

	// NF and standby NF, if their echo replies are for the node; invalid: they are not.
	Echo, StandbyEcho netip.Addr

	// Of End.AS; nil for the others: the headers to put back. The source is set.
	Encap    *Encap
	HopLimit uint8

	// Of End.AM.
	Out            string // link to the NF
	DestinationNAT bool   // the NF may change the destination
}

// ProxyKey is the key of the proxy of a SID.
func ProxyKey(sid netip.Addr) Key { return Key{KindProxy, sid.String()} }

func (p *Proxy) Key() Key { return ProxyKey(p.SID) }

// Links are those on which all that comes back gets the headers of the SID. End.AM has
// none for itself: see Ports.
func (p *Proxy) Links() (links []string) {
	if p == nil || p.Behavior == EndAM {
		return nil
	}
	if p.In != "" {
		links = append(links, p.In)
	}
	if p.Standby != "" && p.Standby != p.In {
		links = append(links, p.Standby)
	}
	return links
}

// Needs are the links: the kernel forgets our programs with them.
func (p *Proxy) Needs(into []Key) []Key {
	for _, l := range p.Links() {
		into = append(into, LinkKey(l))
	}
	for _, port := range p.Ports() {
		into = append(into, LinkKey(port.Link), port.Key())
	}
	return into
}

// Ports are the links with programs that several SIDs of End.AM share.
func (p *Proxy) Ports() []ProxyPort {
	if p.Behavior != EndAM {
		return nil
	}
	return []ProxyPort{{p.Out, PortMasquerade}, {p.In, PortUnmask}}
}

func (p *Proxy) Equal(o Object) bool {
	q, ok := o.(*Proxy)
	if !ok {
		return false
	}
	r := *q
	r.Encap = p.Encap
	return *p == r && (p.Encap == q.Encap || p.Encap.equal(q.Encap))
}

// Mutable is true: the programs find the other values with the next packet, and another
// link gets a program before the old one loses its. End.AM has another kind of route.
func (p *Proxy) Mutable(to Object) bool {
	q, ok := to.(*Proxy)
	return ok && (q.Behavior == EndAM) == (p.Behavior == EndAM)
}

// Claims are the links: what comes back on one gets the headers of one SID.
func (p *Proxy) Claims(into []Claim) []Claim {
	for _, l := range p.Links() {
		into = append(into, Claim{Name: "what comes back from an NF on " + l})
	}
	return into
}

func (p *Proxy) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "proxy %s action %s", p.SID, p.Behavior)
	if p.Behavior == EndAM {
		b.WriteString(" oif " + p.Out)
	} else {
		b.WriteString(" inner " + p.Inner.String())
	}
	if p.DestinationNAT {
		b.WriteString(" nat")
	}
	for _, f := range []struct{ name, value string }{{"iif", p.In}, {"standby", p.Standby}} {
		if f.value != "" {
			b.WriteString(" " + f.name + " " + f.value)
		}
	}
	if p.Mode != ProxyToNF {
		b.WriteString(" mode " + p.Mode.String())
	}
	for _, a := range []netip.Addr{p.Echo, p.StandbyEcho} {
		if a.IsValid() {
			b.WriteString(" echo " + a.String())
		}
	}
	if p.Encap != nil {
		fmt.Fprintf(&b, " src %s segs %s hoplimit %d", p.Encap.Source, p.Encap.segments(), p.HopLimit)
	}
	return b.String()
}

// PortRole is what a program does for all proxies that have a link.
type PortRole uint8

// The roles.
const (
	PortSIDs       PortRole = iota // packets for SIDs come in: they are opened for the NF
	PortMasquerade                 // packets of End.AM go out to the NF
	PortUnmask                     // and come back from it
)

func (r PortRole) String() string { return [...]string{"", "masquerade ", "unmask "}[r] }

// ProxyPort is a link with a program for all proxies.
type ProxyPort struct {
	Link string
	Role PortRole
}

func (p ProxyPort) Key() Key               { return Key{KindProxyPort, p.Role.String() + p.Link} }
func (p ProxyPort) Needs(into []Key) []Key { return append(into, LinkKey(p.Link)) }
func (p ProxyPort) Equal(o Object) bool    { return Object(p) == o }
func (p ProxyPort) Mutable(Object) bool    { return true }
func (p ProxyPort) String() string         { return "proxy port " + p.Role.String() + p.Link }

// ProxyReading is what the programs of a proxy have kept and counted.
type ProxyReading struct {
	SID  netip.Addr
	Mode ProxyMode

	// The headers that go on what comes back; no segments: none are kept yet.
	Source   netip.Addr
	Segments []netip.Addr // all, in travel order
	Left     uint8        // segments left
	HopLimit uint8
	Changes  uint64
	Changed  int64 // nanoseconds since 1970 (UTC); 0: never

	Counters ProxyCounters
}

// ProxyCounters are in packets; one of several segments (GSO, GRO) counts once.
type ProxyCounters struct {
	Forwarded, Returned                                              uint64
	NoSRH, SegmentsLeftZero, BadSRH, WrongInnerType, NoCache, TooBig uint64 // dropped
	ChainConflict, CacheUpdates, Expired, Bypassed                   uint64
	NFDown, WrongDestination                                         uint64 // dropped
}
