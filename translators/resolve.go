package translators

import (
	"net/netip"

	"heddle/kernel/object"
	"heddle/schema"
)

// What entries can be found by besides their keys: a letter, the family and an
// address, all of one length for a letter and a family, then for a subnet the
// length of its prefix.
const (
	termSubnet   = 's' // an address, by the subnet it makes reachable
	termAddress  = 'a' // an address
	termNextHop  = 'n' // a next hop of a route, by its neighbour
	termGateway  = 'g' // one without an interface, by its neighbour
	termLeak     = 'l' // a next hop that goes on in another instance, by its prefix
	termLocator  = 'o' // a locator, see locatorTerm
	termSIDHop   = 'd' // a SID, by its next hop
	termHMACKey  = 'h' // a next hop or policy that signs, by the number of the key
	termFunction = 'f' // a dynamic SID, by the name of its locator and its function
	termFirst    = 't' // a segment list, by its first segment
)

// termProtocol is of a source of routes, by its instance: the length of the name, and
// the name.
const termProtocol = 'q'

// Of next hops that are steered into a policy, and of policies, by what identifies
// those: the length of the name and the name, or color and endpoint. Next hops in a
// VRF are apart.
const (
	termByName     = 'p'
	termByNameVRF  = 'v'
	termByColor    = 'k'
	termByColorVRF = 'x'
	termColored    = 'c'
	termBindingSID = 'b' // a policy, by its binding SID
	termProxyIn    = 'i' // the SID of a proxy, by its incoming interface
)

// That no two kinds of terms share a letter is for the compiler to say.
var _ = map[byte]string{
	termSubnet: "subnet", termAddress: "address", termNextHop: "next hop", termGateway: "gateway", termLeak: "leak",
	termLocator: "locator", termSIDHop: "next hop of a SID", termHMACKey: "HMAC key", termFunction: "function",
	termFirst: "first segment", termProtocol: "protocol", termByName: "policy by name", termByNameVRF: "in a VRF",
	termByColor: "policy by color", termByColorVRF: "in a VRF", termColored: "colored", termBindingSID: "binding SID",
	termProxyIn: "incoming interface",
}

// behind, after a term, is past all entries with it.
const behind = "\xff"

// Terms is what an entry can be found by, for Reader.Terms.
func Terms(k schema.EntryKey, e schema.GoStruct, terms []string) []string {
	switch e := e.(type) {
	case *Address4:
		return appendSubnet(terms, Subnet(e))
	case *Address6:
		return appendSubnet(terms, Subnet(e))
	case *Locator:
		return locatorTerms(terms, e)
	case *DynamicSID:
		return sidHopTerms(dynamicTerms(terms, e), e.NextHop)
	case *Policy:
		return policyTerms(terms, e)
	case *SID:
		if e.Proxy != nil {
			terms = proxyTerms(terms, e.Proxy)
		}
		return sidHopTerms(terms, e.NextHop)
	case *SegmentList:
		if len(e.Segment) > 0 && Addr(&e.Segment[0]).IsValid() {
			return append(terms, string(addressTerm(termFirst, Addr(&e.Segment[0]))))
		}
	case *Protocol:
		if instance, ok := k.Parent(); ok {
			return append(terms, namedTerm(termProtocol, instance.Values()[0]))
		}
	case *NextHop:
		if id := hmacKeyOf(e); id != 0 {
			terms = append(terms, hmacTerm(id))
		}
		if e.Srv6Policy != nil {
			return steeringTerms(terms, k, e)
		}
		if gw := Gateway(e); gw.IsValid() && !gw.IsLinkLocalUnicast() {
			terms = append(terms, string(addressTerm(termNextHop, gw)))
			if OutLink(e) == "" {
				terms = append(terms, string(addressTerm(termGateway, gw)))
			}
			return terms
		}
		if GoesOn(e) {
			if static, ok := k.Parent(); ok {
				return append(terms, prefixTerm(termLeak, Prefix(&static.Values()[0])))
			}
		}
	}
	return terms
}

// proxyTerms are those of the NFs of a proxy.
func proxyTerms(terms []string, p *Proxy) []string {
	terms = sidHopTerms(append(terms, namedTerm(termProxyIn, ProxyIn(p))), p.NextHop)
	standby := StandbyOf(p)
	if standby.Out == "" {
		return terms
	}
	if standby.In != ProxyIn(p) {
		terms = append(terms, namedTerm(termProxyIn, standby.In))
	}
	if standby.Hop != Addr(p.NextHop) {
		terms = sidHopTerms(terms, p.Liveness.StandbyNextHop)
	}
	return terms
}

// sidHopTerms is what the next hop of a SID can be found by. A link-local one depends
// on no address.
func sidHopTerms(terms []string, nextHop *string) []string {
	hop := Addr(nextHop)
	if !hop.IsValid() || hop.IsLinkLocalUnicast() {
		return terms
	}
	return append(terms, string(addressTerm(termSIDHop, hop)))
}

func appendSubnet(terms []string, p netip.Prefix) []string {
	if !p.IsValid() {
		return terms
	}
	return append(terms, prefixTerm(termSubnet, p), string(addressTerm(termAddress, p.Addr())))
}

func prefixTerm(letter byte, p netip.Prefix) string {
	return string(append(addressTerm(letter, p.Masked().Addr()), uint8(p.Bits())))
}

func addressTerm(letter byte, a netip.Addr) []byte {
	b := append(make([]byte, 0, 2+16+1), letter, byte(a.BitLen()))
	return append(b, a.AsSlice()...)
}

// Subnet is what an address makes reachable on its link, with the address itself;
// invalid for what is no address.
func Subnet(e schema.GoStruct) netip.Prefix {
	var ip *string
	var length *uint8
	switch a := e.(type) {
	case *Address4:
		if a != nil {
			ip, length = a.Ip, a.PrefixLength
		}
	case *Address6:
		if a != nil {
			ip, length = a.Ip, a.PrefixLength
		}
	}
	if length == nil {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(Addr(ip), int(*length))
}

// Gateway is the neighbour of a next hop, invalid if it has none.
func Gateway(nh *NextHop) netip.Addr {
	text, ok := nh.NextHop.(UnionString)
	if !ok {
		return netip.Addr{}
	}
	s := string(text)
	return Addr(&s)
}

// OutLink is the interface that a next hop names; empty: none.
func OutLink(nh *NextHop) string {
	if nh.InterfaceRef == nil {
		return ""
	}
	return Str(nh.InterfaceRef.Interface)
}

// Metric is that of the kernel's route for a next hop: it has one number for
// preference and metric. 0 is the kernel's own.
func Metric(p netip.Prefix, nh *NextHop) uint32 {
	preference, metric := uint8(1), uint32(0)
	if nh.Preference != nil {
		preference = *nh.Preference
	}
	if nh.Metric != nil {
		metric = *nh.Metric
	}
	return object.RouteMetric(p, preference, metric)
}

// GoesOn reports whether the lookup goes on in another instance.
func GoesOn(nh *NextHop) bool {
	return nh.NetworkInstance != nil && !Gateway(nh).IsValid() && OutLink(nh) == ""
}

// GoesOnInMain reports whether that is the default instance, which has no device of
// its own.
func GoesOnInMain(nh *NextHop) bool {
	return GoesOn(nh) && *nh.NetworkInstance == DefaultInstance
}

// Leaks calls fn with the next hops to a prefix that go on in another instance,
// until it returns false.
func (v View) Leaks(p netip.Prefix, fn func(schema.EntryKey) bool) {
	term := prefixTerm(termLeak, p)
	v.Terms(term, term+behind, fn)
}

// LeaksWithin calls fn with those to prefixes that are in p.
func (v View) LeaksWithin(p netip.Prefix, fn func(schema.EntryKey)) {
	v.Terms(string(addressTerm(termLeak, p.Masked().Addr())), string(addressTerm(termLeak, LastOf(p)))+behind, func(k schema.EntryKey) bool {
		fn(k)
		return true
	})
}

// LeaksWithinSubnets calls fn with those to prefixes that are in a subnet of an
// interface.
func (v View) LeaksWithinSubnets(iface schema.EntryKey, fn func(schema.EntryKey)) {
	v.SubnetsOf(iface, func(p netip.Prefix) { v.LeaksWithin(p, fn) })
}

// HasSubnet reports whether an address of an instance has just this subnet.
func (v View) HasSubnet(instance schema.EntryKey, p netip.Prefix) (has bool) {
	term := prefixTerm(termSubnet, p)
	v.Terms(term, term+behind, func(k schema.EntryKey) bool {
		iface, _, ok := v.InterfaceOf(k)
		has = ok && v.InstanceOfLink(iface) == instance
		return !has
	})
	return has
}

// InstanceOfLink is the key of the instance that an interface is in.
func (v View) InstanceOfLink(iface schema.EntryKey) schema.EntryKey {
	in := v.defaultKey
	v.Referrers(iface, func(k schema.EntryKey) bool {
		if k.List() != v.Member.ListID {
			return true
		}
		if e, ok := v.Get(k); ok && Str(e.(*Member).Interface) == iface.Values()[0] {
			in, _ = k.Parent()
			return false
		}
		return true
	})
	return in
}

// IsOwn reports whether the kernel takes an address for this node's, and not for a
// neighbour's, on a configured link: an IPv4 address of the link, an IPv6 one of any
// link in its instance (fib_check_nh in net/ipv4/fib_semantics.c and
// ip6_validate_gw in net/ipv6/route.c).
func (v View) IsOwn(addr netip.Addr, link string) (own bool) {
	on, ok := v.InterfaceKey(link)
	if !ok {
		return false
	}
	v.AddressesAt(addr, func(iface schema.EntryKey) bool {
		own = iface == on || addr.Is6() && v.InstanceOfLink(iface) == v.InstanceOfLink(on)
		return !own
	})
	return own
}

// AddressesAt calls fn with the interfaces that have an address, until it returns
// false.
func (v View) AddressesAt(addr netip.Addr, fn func(iface schema.EntryKey) bool) {
	term := string(addressTerm(termAddress, addr))
	v.Terms(term, term+behind, func(k schema.EntryKey) bool {
		iface, _, ok := v.InterfaceOf(k)
		return !ok || fn(iface)
	})
}

// ProtocolsOf lists the sources of routes of an instance.
func (v View) ProtocolsOf(instance schema.EntryKey) []schema.EntryKey {
	return v.withTerm(nil, namedTerm(termProtocol, instance.Values()[0]))
}

// neighbour is somebody on a link of an instance.
type neighbour struct {
	instance schema.EntryKey
	addr     netip.Addr
}

// LinkTo finds the link of an instance that a neighbour is on, by the longest
// subnet of the addresses that are configured, of those on links that are up; of one
// length the first by name. Where none is up it is found among the others; empty:
// there is none.
func (v View) LinkTo(instance schema.EntryKey, addr netip.Addr) string {
	n := neighbour{instance, addr}
	link, known := v.links[n]
	if !known {
		link = v.linkTo(n)
		v.links[n] = link
	}
	return link
}

func (v View) linkTo(n neighbour) (found string) {
	up := false
	for bits := n.addr.BitLen(); bits >= 0 && !up; bits-- {
		p, _ := n.addr.Prefix(bits)
		term := prefixTerm(termSubnet, p)
		v.Terms(term, term+behind, func(k schema.EntryKey) bool {
			e, ok := v.Get(k)
			iface, i, inside := v.InterfaceOf(k)
			if !ok || !inside || Subnet(e).Addr() == n.addr || v.InstanceOfLink(iface) != n.instance {
				return true
			}
			name := Str(i.Name)
			up = v.InterfaceDown(name) == ""
			if found == "" || up {
				found = name
			}
			return !up
		})
	}
	return found
}

// OpenNextHops calls fn with the next hops of routes without an interface whose
// neighbour is in a subnet.
func (v View) OpenNextHops(subnet netip.Prefix, fn func(schema.EntryKey)) {
	v.nextHopsIn(termGateway, subnet, fn)
}

// NextHopsIn calls fn with all next hops, of routes and of SIDs, whose neighbour is in
// a subnet, but for link-local ones.
func (v View) NextHopsIn(subnet netip.Prefix, fn func(schema.EntryKey)) {
	v.nextHopsIn(termNextHop, subnet, fn)
	v.nextHopsIn(termSIDHop, subnet, fn)
}

// SIDHopsIn calls fn with the SIDs whose next hop is in a prefix, but for link-local
// ones.
func (v View) SIDHopsIn(p netip.Prefix, fn func(schema.EntryKey)) {
	v.nextHopsIn(termSIDHop, p, fn)
}

func (v View) nextHopsIn(letter byte, subnet netip.Prefix, fn func(schema.EntryKey)) {
	if !subnet.IsValid() {
		return
	}
	first := subnet.Masked().Addr()
	v.Terms(string(addressTerm(letter, first)), string(addressTerm(letter, LastOf(subnet)))+behind, func(k schema.EntryKey) bool {
		fn(k)
		return true
	})
}

// LastOf is the last address of a prefix.
func LastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// SubnetsOf calls fn with the subnets of the addresses of an interface.
func (v View) SubnetsOf(iface schema.EntryKey, fn func(netip.Prefix)) {
	v.Scan(iface, func(_ schema.EntryKey, e schema.GoStruct) bool {
		if p := Subnet(e); p.IsValid() {
			fn(p)
		}
		return true
	})
}
