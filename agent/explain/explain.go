// Package explain says in plain words what the kernel does with a packet that meets
// one of its objects. It serves the agent's answers for people, and knows objects
// and the kernel's ways, no configuration and no protocol.
package explain

import (
	"fmt"
	"net/netip"
	"strings"

	"heddle/kernel/object"
)

// Table is a routing table for people: by its VRF, if it has one.
func Table(table uint32, vrf string) string {
	switch {
	case vrf != "":
		return fmt.Sprintf("table %d (VRF %s)", table, vrf)
	case table == object.TableMain:
		return fmt.Sprintf("table %d (main)", table)
	}
	return fmt.Sprintf("table %d", table)
}

var mainTable = Table(object.TableMain, "")

// next is how a packet with segments left goes on (RFC 8986 §4.1); one without is
// dropped (get_and_validate_srh in net/ipv6/seg6_local.c).
const (
	next    = "one of its segments left less: the next segment becomes its destination"
	dropped = "without a segment routing header, or with no segments left, it is dropped"
	opened  = "it must have no segments left, or no segment routing header; otherwise it is dropped"
)

// SID says what becomes of a packet to s; nothing for a behaviour that is not known.
func SID(s *object.LocalSID) []string {
	steps := behavior(s)
	if len(steps) > 0 && s.Flavors&object.PSP != 0 {
		steps = append(steps, "where the next segment is the last one, the segment routing header is taken off")
	}
	if len(steps) > 0 && s.Flavors&object.NextCSID != 0 {
		list := fmt.Sprintf("as long as its destination has other than zeros behind the first %d bits, it goes on by its destination alone, without a segment used up: what is behind bit %d moves to bit %d",
			s.Prefix().Bits(), s.Prefix().Bits(), s.BlockLength)
		steps = append([]string{list}, steps...)
	}
	return steps
}

// Proxy says what becomes of a packet to a SID that is a proxy, whose route is o, and of
// what the NF gives back.
func Proxy(p *object.Proxy, o object.Object) []string {
	switch o := o.(type) {
	case *object.LocalSID:
		return opening(p, o)
	case *object.Route:
		if p.Behavior == object.EndAM && len(o.NextHops) == 1 {
			return masquerading(p, o.NextHops[0])
		}
	}
	return nil
}

func masquerading(p *object.Proxy, nf object.NextHop) []string {
	back := "what comes back by " + p.In + " with that destination has one of its segments left less: the segment after this one becomes its destination; with another destination it is dropped"
	if p.DestinationNAT {
		back = "what comes back by " + p.In + " has its destination, which may be another one, as its last segment, and one of its segments left less: the segment after this one becomes its destination"
	}
	return []string{
		"it is sent to the NF " + way(nf) + " as it is, with its last segment as destination; " + dropped,
		back,
	}
}

func opening(p *object.Proxy, s *object.LocalSID) []string {
	const (
		last   = "one without a segment routing header, or without segments left, is dropped"
		onward = "as its NF is down it goes on to its next segment, past the NF"
	)
	inside, nf := map[object.InnerType]string{object.InnerIPv4: "IPv4 packet", object.InnerIPv6: "IPv6 packet"}[p.Inner], s.NextHop.String()
	if p.Inner == object.InnerEthernet {
		inside, nf = "Ethernet frame", "by "+s.OutLink
	}
	sent := fmt.Sprintf("the %s in it is sent to the NF, %s", inside, nf)
	links := p.In
	if p.Standby != "" && p.Standby != p.In {
		links += " or " + p.Standby
	}
	switch p.Mode {
	case object.ProxyDrop:
		return []string{"it is dropped, as its NF is down"}
	case object.ProxyBypass:
		return []string{onward, last}
	case object.ProxyToStandby:
		sent = fmt.Sprintf("as its NF is down, the %s in it is sent to the standby NF, %s", inside, nf)
	}
	var words []string
	switch p.Behavior {
	case object.EndAD:
		words = []string{
			"it must have a segment routing header with segments left, and an " + inside + " in it; otherwise it is dropped",
			"its headers, with one of its segments left less, are kept in place of those before",
			sent,
			"what comes back by " + links + " gets the headers that are kept, and goes on to their next segment",
		}
	case object.EndAS:
		words = []string{
			"it must have an " + inside + " in it, whatever segments are left; otherwise it is dropped",
			sent,
			fmt.Sprintf("what comes back by %s gets a header from %s with a hop limit of %d, and goes by %s", links, p.Encap.Source, p.HopLimit, inOrder(p.Encap.Segments)),
		}
	}
	for _, nf := range []netip.Addr{p.Echo, p.StandbyEcho} {
		if nf.IsValid() {
			words = append(words, fmt.Sprintf("an echo reply of %s itself is for this node, which probes it", nf))
		}
	}
	return words
}

func behavior(s *object.LocalSID) []string {
	switch s.Behavior {
	case object.End:
		return []string{next, "it is looked up in " + mainTable, dropped}
	case object.EndX:
		return []string{next, "it is sent " + way(object.NextHop{Gateway: s.NextHop, Link: s.OutLink}), dropped}
	case object.EndT:
		return []string{next, "it is looked up in " + Table(s.VRFTable, s.VRF), dropped}
	case object.EndDX2:
		return []string{opened, "the Ethernet frame in it is sent by " + s.OutLink}
	case object.EndDX4:
		return []string{opened, "the IPv4 packet in it " + inner(s.NextHop)}
	case object.EndDX6:
		return []string{opened, "the IPv6 packet in it " + inner(s.NextHop)}
	case object.EndDT4:
		return []string{opened, "the IPv4 packet in it is looked up in " + Table(s.VRFTable, s.VRF)}
	case object.EndDT6:
		return []string{opened, "the IPv6 packet in it is looked up in " + Table(s.VRFTable, s.VRF)}
	case object.EndDT46:
		return []string{opened, "the IPv4 or IPv6 packet in it is looked up in " + Table(s.VRFTable, s.VRF)}
	case object.EndB6, object.EndB6Encaps:
		if s.Policy == nil {
			return nil
		}
		if s.Behavior == object.EndB6 {
			return append([]string{"none of its own segments is used up", dropped}, encapsulated(s.Policy, "")...)
		}
		return append([]string{next, dropped}, encapsulated(s.Policy, "")...)
	}
	return nil
}

// inner is where a packet goes that a behaviour takes out of another one.
func inner(hop netip.Addr) string {
	if !hop.IsValid() || hop.IsUnspecified() {
		return "is looked up in " + mainTable + " by its own destination"
	}
	return "is sent the way to " + hop.String()
}

// way is where a next hop without encapsulation leads.
func way(n object.NextHop) string {
	var parts []string
	if n.Gateway.IsValid() {
		parts = append(parts, "to "+n.Gateway.String())
	}
	switch {
	case n.Link != "":
		parts = append(parts, "by "+n.Link)
	case n.Gateway.IsValid():
		parts = append(parts, "by the link on which that is a neighbour")
	}
	if len(parts) == 1 && !n.Gateway.IsValid() {
		parts = append(parts, "to its destination, a neighbour there")
	}
	return strings.Join(parts, " ")
}

func inOrder(segments []netip.Addr) string {
	texts := make([]string, len(segments))
	for i, a := range segments {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", then ")
}

// encapsulated is what an encapsulation in a table does to a packet.
func encapsulated(e *object.Encap, vrf string) []string {
	list := inOrder(e.Segments)
	if e.Source.IsValid() {
		list += ", from " + e.Source.String()
	}
	first := "the outer packet"
	var does string
	switch e.Mode {
	case object.HInsert:
		does, first = "a segment routing header is put into it: by "+list+", then its own destination", "it"
	case object.HEncaps:
		does = "it is put into an IPv6 packet by " + list
	case object.HEncapsRed:
		does = "it is put into an IPv6 packet (reduced: the first segment is its destination only) by " + list
	case object.HEncapsL2:
		does = "the Ethernet frame that it came in by is put into an IPv6 packet by " + list
	case object.HEncapsL2Red:
		does = "the Ethernet frame that it came in by is put into an IPv6 packet (reduced: the first segment is its destination only) by " + list
	default:
		return nil
	}
	if e.HMACKey != 0 {
		does += fmt.Sprintf("; the header is signed with HMAC key %d", e.HMACKey)
	}
	where := mainTable
	if vrf != "" {
		where = "the table of VRF " + vrf + ", then in " + mainTable
	}
	return []string{does, first + " is looked up by the first segment in " + where}
}

// Route says what becomes of a packet that takes r; shared are the next hops that the
// route shares with others, none if it has its own. vrf finds the routing table of a
// link that is a VRF: what is sent by it is looked up there.
func Route(r *object.Route, shared []object.NextHop, vrf func(link string) (table uint32, ok bool)) []string {
	switch r.Type {
	case object.Blackhole:
		return []string{"it is dropped in silence"}
	case object.Unreachable:
		return []string{"it is dropped, and its sender is told that the destination is unreachable (ICMP)"}
	case object.Throw:
		return []string{"the lookup in " + Table(r.Table, r.VRF) + " ends, and goes on in the next table"}
	}
	hops := r.NextHops
	if len(shared) > 0 {
		hops = shared
	}
	var steps []string
	if len(hops) > 1 {
		steps = append(steps, fmt.Sprintf("its flow goes one of %d ways", len(hops)))
	}
	for i, n := range hops {
		of := []string{"it is sent " + way(n)}
		if n.Encap != nil {
			of = encapsulated(n.Encap, r.VRF)
		} else if table, ok := vrf(n.Link); ok && !n.Gateway.IsValid() {
			of = []string{"it is looked up in " + Table(table, n.Link)}
		}
		for _, s := range of {
			if len(hops) > 1 {
				s = fmt.Sprintf("way %d of weight %d: %s", i+1, max(n.Weight, 1), s)
			}
			steps = append(steps, s)
		}
	}
	return steps
}
