package object

import (
	"fmt"
	"net/netip"
	"strings"
)

// ProxyBehavior is a proxy of draft-ietf-spring-sr-service-programming, which our
// own programs carry out (bpf/srproxy.c) together with a seg6local route.
type ProxyBehavior uint8

// The proxies, as the programs number them.
const (
	EndAS ProxyBehavior = 1 // the headers to put back are configured
	EndAD ProxyBehavior = 2 // they are those of the last packet that went to the NF
)

func (b ProxyBehavior) String() string {
	switch b {
	case EndAS:
		return "End.AS"
	case EndAD:
		return "End.AD"
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
)

func (t InnerType) String() string {
	switch t {
	case InnerIPv4:
		return "ipv4"
	case InnerIPv6:
		return "ipv6"
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

// Proxy is what goes on around the seg6local route of a SID (LocalSID with End.DX4 or
// End.DX6) that makes it a proxy for an NF that knows nothing of segment routing.
// The pointer is the object.
type Proxy struct {
	SID      netip.Addr
	Behavior ProxyBehavior
	Inner    InnerType
	Mode     ProxyMode

	// Links on which the NF, and the standby NF, give packets back; empty: there is no
	// such NF, or the link is not there, which the mode has to allow for.
	In, Standby string

	// NF and standby NF, if their echo replies are for the node; invalid: they are not.
	Echo, StandbyEcho netip.Addr

	// Of End.AS; nil for End.AD: the headers to put back. The source is set.
	Encap    *Encap
	HopLimit uint8
}

// ProxyKey is the key of the proxy of a SID.
func ProxyKey(sid netip.Addr) Key { return Key{KindProxy, sid.String()} }

func (p *Proxy) Key() Key { return ProxyKey(p.SID) }

// Links are those on which packets come back.
func (p *Proxy) Links() (links []string) {
	if p == nil {
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
	return into
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
// link gets a program before the old one loses its.
func (p *Proxy) Mutable(to Object) bool {
	_, ok := to.(*Proxy)
	return ok
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
	fmt.Fprintf(&b, "proxy %s action %s inner %s", p.SID, p.Behavior, p.Inner)
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

// ProxyPort is a link on which packets for the SIDs of proxies come in.
type ProxyPort struct{ Link string }

func (p ProxyPort) Key() Key               { return Key{KindProxyPort, p.Link} }
func (p ProxyPort) Needs(into []Key) []Key { return append(into, LinkKey(p.Link)) }
func (p ProxyPort) Equal(o Object) bool    { return Object(p) == o }
func (p ProxyPort) Mutable(Object) bool    { return true }
func (p ProxyPort) String() string         { return "proxy port " + p.Link }

// ProxyReading is what the programs of a proxy have kept and counted.
type ProxyReading struct {
	SID netip.Addr

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
	NFDown                                                           uint64 // dropped
}
