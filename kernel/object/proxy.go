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

// Proxy is what goes on around the seg6local route of a SID (LocalSID with End.DX4 or
// End.DX6) that makes it a proxy for an NF that knows nothing of segment routing.
// The pointer is the object.
type Proxy struct {
	SID      netip.Addr
	Behavior ProxyBehavior
	Inner    InnerType
	In       string // link on which the NF gives packets back

	// Of End.AS; nil for End.AD: the headers to put back. The source is set.
	Encap    *Encap
	HopLimit uint8
}

// ProxyKey is the key of the proxy of a SID.
func ProxyKey(sid netip.Addr) Key { return Key{KindProxy, sid.String()} }

func (p *Proxy) Key() Key { return ProxyKey(p.SID) }

// Needs is the link: the kernel forgets our programs with it.
func (p *Proxy) Needs(into []Key) []Key { return append(into, LinkKey(p.In)) }

func (p *Proxy) Equal(o Object) bool {
	q, ok := o.(*Proxy)
	if !ok {
		return false
	}
	r := *q
	r.Encap = p.Encap
	return *p == r && (p.Encap == q.Encap || p.Encap.equal(q.Encap))
}

// Mutable is true on one link, where the programs find the other values with the
// next packet. Another link gets a program before the old one loses its.
func (p *Proxy) Mutable(to Object) bool {
	q, ok := to.(*Proxy)
	return ok && q.In == p.In
}

// Claims is the link: what comes back on it gets the headers of one SID.
func (p *Proxy) Claims(into []Claim) []Claim {
	return append(into, Claim{Name: "what comes back from an NF on " + p.In})
}

func (p *Proxy) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "proxy %s action %s inner %s iif %s", p.SID, p.Behavior, p.Inner, p.In)
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
	ChainConflict, CacheUpdates, Expired                             uint64
}
