package srv6

import (
	"errors"
	"net/netip"

	"heddle/kernel/object"
	"heddle/schema"
	"heddle/translators"
)

// usualHopLimit is that of the headers that End.AS puts on, unless configured.
const usualHopLimit = 64

var proxies = map[translators.Behavior]object.ProxyBehavior{
	translators.BehaviorEndAS: object.EndAS,
	translators.BehaviorEndAD: object.EndAD,
	translators.BehaviorEndAM: object.EndAM,
}

// proxy asks for what makes a SID a proxy: the kernel's own End.DX4, End.DX6 or
// End.DX2, which opens the packets and sends them to the NF, and our programs around it. End.AM opens
// nothing.
func proxy(v translators.View, key schema.EntryKey, s *translators.SID, b object.ProxyBehavior, out *translators.Result) error {
	p := s.Proxy
	if p == nil || p.OutgoingInterface == nil {
		return errors.New("a proxy needs proxy/config")
	}
	if b == object.EndAM {
		masquerade(v, key, s, out)
		return nil
	}
	sid := translators.Addr(s.Address)
	local := &object.LocalSID{SID: sid, Table: object.TableMain, Behavior: object.EndDX4}
	around := &object.Proxy{SID: sid, Behavior: b, Inner: object.InnerIPv4}
	switch p.InnerType {
	case translators.InnerIPv6:
		local.Behavior, around.Inner = object.EndDX6, object.InnerIPv6
	case translators.InnerEther:
		local.Behavior, local.OutLink, around.Inner = object.EndDX2, *p.OutgoingInterface, object.InnerEthernet
	}
	if b == object.EndAS {
		source := translators.Addr(p.SourceAddress)
		if !source.IsValid() {
			source = v.NodeSource()
		}
		if around.Encap = v.EncapLike(object.Encap{Mode: object.HEncaps, Source: source}, p.SegmentList); around.Encap == nil || !source.IsValid() || len(p.SegmentList) == 0 {
			return errors.New("END_AS needs a source and segments that are addresses")
		}
		if around.HopLimit = usualHopLimit; p.HopLimit != nil {
			around.HopLimit = *p.HopLimit
		}
	}
	way := choose(v, s, around)
	if way.wrong != "" {
		out.Withhold(key, way.wrong)
		if len(around.Links()) == 0 { // nobody puts its headers on anything
			around.Encap, around.HopLimit = nil, 0
		}
	}
	if way.down {
		return nil
	}
	down := ""
	if local.Dev, down = v.ShareSIDLink(out); down != "" {
		out.Withhold(key, down)
		return nil
	}
	for _, link := range around.Links() {
		// What comes back may go on to the next NF of the chain, opened as on the ports.
		out.Own(object.Sysctl{Name: object.SysctlLinkRPFilter(link), Value: "0", Link: link})
	}
	for _, nf := range way.there {
		if !nf.Hop.IsValid() { // frames need no route
			continue
		}
		// The kernel sends by the route to the next hop, and where that has no gateway to
		// the destination of the packet itself (rt_nexthop in include/net/route.h): the NF
		// is its own gateway.
		out.Share(&object.Route{Table: object.TableMain, Prefix: netip.PrefixFrom(nf.Hop, nf.Hop.BitLen()), NextHops: []object.NextHop{{Gateway: nf.Hop, Link: nf.Out}}})
	}
	out.ShareForwarding()
	if way.wrong == "" { // else the programs do without what would open the packets
		local.NextHop = way.hop
		out.Own(local)
	}
	out.Own(around)
	return nil
}

// masquerade asks for End.AM: a route of the SID to the NF, so that the kernel sends
// packets there as any others, whatever link they came in by, and programs on both sides
// of the NF.
func masquerade(v translators.View, key schema.EntryKey, s *translators.SID, out *translators.Result) {
	p, sid := s.Proxy, translators.Addr(s.Address)
	if down := disabled(v, translators.NFOf(p)); down != "" {
		out.Withhold(key, down)
		return
	}
	in := translators.ProxyIn(p)
	around := &object.Proxy{SID: sid, Behavior: object.EndAM, In: in, Out: *p.OutgoingInterface, DestinationNAT: p.DestinationNat != nil && *p.DestinationNat}
	for _, port := range around.Ports() {
		out.Share(port)
	}
	out.ShareForwarding()
	// What comes back may go on to an NF of this node that is sent IPv4.
	out.Share(object.Sysctl{Name: object.SysctlLinkRPFilter(in), Value: "0", Link: in})
	// The NF may be that of a proxy for IPv6, too, with a route that has it as gateway.
	out.Own(&object.Route{Table: object.TableMain, Prefix: netip.PrefixFrom(sid, sid.BitLen()),
		NextHops: []object.NextHop{{Gateway: translators.Addr(p.NextHop), Link: *p.OutgoingInterface, OnLink: true}}}, around)
}

// port asks for what a proxy needs on a link that packets for its SID come in by.
func port(v translators.View, link string, out *translators.Result) {
	if !v.HasProxies() || !v.IsEthernet(link) {
		return
	}
	out.Own(object.ProxyPort{Link: link},
		// What was inside comes from an address that no route leads back to by this link.
		object.Sysctl{Name: object.SysctlLinkRPFilter(link), Value: "0", Link: link})
}
