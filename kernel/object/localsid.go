package object

import (
	"fmt"
	"net/netip"
	"strings"
)

// Behavior is an SRv6 endpoint behaviour of RFC 8986 §4, as the kernel's
// SEG6_LOCAL_ACTION_* numbers it (include/uapi/linux/seg6_local.h).
type Behavior uint8

// The behaviours that can be configured.
const (
	End         Behavior = 1
	EndX        Behavior = 2
	EndT        Behavior = 3
	EndDX2      Behavior = 4
	EndDX6      Behavior = 5
	EndDX4      Behavior = 6
	EndDT6      Behavior = 7
	EndDT4      Behavior = 8
	EndB6       Behavior = 9
	EndB6Encaps Behavior = 10
	EndDT46     Behavior = 16
)

var behaviorNames = [...]string{
	End: "End", EndX: "End.X", EndT: "End.T",
	EndDX2: "End.DX2", EndDX6: "End.DX6", EndDX4: "End.DX4",
	EndDT6: "End.DT6", EndDT4: "End.DT4", EndDT46: "End.DT46",
	EndB6: "End.B6", EndB6Encaps: "End.B6.Encaps",
}

// Known reports whether it is one of those that can be configured.
func (b Behavior) Known() bool { return int(b) < len(behaviorNames) && behaviorNames[b] != "" }

func (b Behavior) String() string {
	if b.Known() {
		return behaviorNames[b]
	}
	return fmt.Sprintf("action(%d)", uint8(b))
}

// Flavors are variants of a behaviour: a set, by the kernel's SEG6_LOCAL_FLV_OP_*
// (include/uapi/linux/seg6_local.h).
type Flavors uint8

// The flavors that the kernel has.
const (
	PSP      Flavors = 1 << 1 // RFC 8986 §4.16.1, Linux 6.3
	NextCSID Flavors = 1 << 4 // RFC 9800 §4.1, Linux 6.1
)

func (f Flavors) String() string {
	var names []string
	if f&PSP != 0 {
		names = append(names, "psp")
	}
	if f&NextCSID != 0 {
		names = append(names, "next-csid")
	}
	return strings.Join(names, ",")
}

// LocalSID is a seg6local route: an IPv6 address of this node that stands for a
// behaviour. Counters are always on. The pointer is the object.
//
// With NextCSID it is a prefix, block and node-function, and SID has zeros behind
// it: the rest of a packet's destination is the argument, the next compressed SIDs.
type LocalSID struct {
	SID      netip.Addr
	Table    uint32 // routing table that holds it
	Behavior Behavior
	Flavors  Flavors

	// Of NextCSID, 0 without: bits, multiples of 8.
	BlockLength, NodeFunctionLength uint8

	// VRF and VRFTable say where End.DT4, End.DT6 and End.DT46 look the inner
	// packet up, and End.T the next segment; empty and 0 for the others. VRF is
	// empty where End.DT6 and End.T use a table that belongs to no VRF.
	VRF      string
	VRFTable uint32

	// NextHop is the IPv6 neighbour of End.X; of End.DX4 and End.DX6 the address
	// whose route the inner packet takes, invalid: its own destination's.
	NextHop netip.Addr

	OutLink string // link that End.DX2 sends by; of End.X, empty: found by resolving NextHop
	Dev     string // link that carries the route; the behaviour does not use it

	Policy *Encap // what End.B6 (HInsert) and End.B6.Encaps (HEncaps) put on; nil for the others
}

// LocalSIDKey is the key of a SID in the main table.
func LocalSIDKey(sid netip.Addr) Key { return sidKey(TableMain, sid) }

func sidKey(table uint32, sid netip.Addr) Key {
	return SIDKey(table, netip.PrefixFrom(sid, sid.BitLen()))
}

// SIDKey is the key of the SID in a table whose route is for a prefix.
func SIDKey(table uint32, prefix netip.Prefix) Key {
	return Key{KindLocalSID, sidSlot(table, prefix).id()}
}

func (s *LocalSID) Key() Key { return SIDKey(s.Table, s.Prefix()) }

// Prefix is what the route of the SID is for.
func (s *LocalSID) Prefix() netip.Prefix {
	if s.Flavors&NextCSID != 0 {
		return netip.PrefixFrom(s.SID, int(s.BlockLength)+int(s.NodeFunctionLength))
	}
	return netip.PrefixFrom(s.SID, s.SID.BitLen())
}

// Needs is the carrying link and the VRF: the kernel keeps the VRF's ifindex
// from the time the SID was made, so a recreated VRF would be a black hole.
func (s *LocalSID) Needs(into []Key) []Key {
	into = append(into, LinkKey(s.Dev), MemberKey(s.Dev), LinkConfigKey(s.Dev))
	if s.VRF != "" {
		into = append(into, LinkKey(s.VRF))
		if s.Behavior == EndDT4 || s.Behavior == EndDT46 || s.Behavior == EndDT6 {
			into = append(into, SysctlKey(SysctlStrictMode))
		}
	}
	if s.OutLink != "" {
		into = append(into, LinkKey(s.OutLink), MemberKey(s.OutLink), LinkConfigKey(s.OutLink))
	}
	if s.Behavior == EndDX2 || s.Behavior == EndDX4 || s.Behavior == EndDX6 {
		// Of a proxy: what comes back from the NF would have no headers without it.
		into = append(into, ProxyKey(s.SID))
	}
	return into
}

func (s *LocalSID) Equal(o Object) bool {
	t, ok := o.(*LocalSID)
	return ok && s.Same(t)
}

// Same is Equal among SIDs.
func (s *LocalSID) Same(t *LocalSID) bool {
	if s.Policy == t.Policy {
		return *s == *t
	}
	u := *t
	u.Policy = s.Policy
	return *s == u && s.Policy.equal(t.Policy)
}

// Mutable is true in one slot: NLM_F_REPLACE swaps the behaviour without a lost
// packet. It resets the counters, so it must not be sent without a difference.
func (s *LocalSID) Mutable(to Object) bool {
	t, ok := to.(*LocalSID)
	return ok && t.Table == s.Table && t.Prefix() == s.Prefix()
}

// Claims is the slot in the table. That of the address is claimed, too, so that of
// two SIDs with one address and different prefixes the former goes first: what it
// has counted is found by its address.
func (s *LocalSID) Claims(into []Claim) []Claim {
	into = slotClaim(into, s.Table, s.Prefix(), 0)
	if s.Prefix().Bits() != s.SID.BitLen() {
		into = slotClaim(into, s.Table, netip.PrefixFrom(s.SID, s.SID.BitLen()), 0)
	}
	return into
}

func (s *LocalSID) String() string {
	var b strings.Builder
	b.WriteString("sid " + s.SID.String())
	if s.Flavors&NextCSID != 0 {
		fmt.Fprintf(&b, "/%d", s.Prefix().Bits())
	}
	fmt.Fprintf(&b, " action %s", s.Behavior)
	s.parameters(&b)
	if s.Flavors != 0 {
		fmt.Fprintf(&b, " flavors %s", s.Flavors)
	}
	if s.Flavors&NextCSID != 0 {
		fmt.Fprintf(&b, " lblen %d nflen %d", s.BlockLength, s.NodeFunctionLength)
	}
	fmt.Fprintf(&b, " dev %s", s.Dev)
	if s.Table != TableMain {
		fmt.Fprintf(&b, " table %d", s.Table)
	}
	return b.String()
}

func (s *LocalSID) parameters(b *strings.Builder) {
	switch s.Behavior {
	case EndX, EndDX6:
		fmt.Fprintf(b, " nh6 %s", addrOr(s.NextHop, netip.IPv6Unspecified()))
	case EndDX4:
		fmt.Fprintf(b, " nh4 %s", addrOr(s.NextHop, netip.IPv4Unspecified()))
	case EndDT4, EndDT6, EndDT46, EndT:
		if s.VRF == "" || s.Behavior == EndT {
			fmt.Fprintf(b, " table %d", s.VRFTable)
		} else {
			fmt.Fprintf(b, " vrftable %d", s.VRFTable)
		}
	}
	if s.OutLink != "" {
		fmt.Fprintf(b, " oif %s", s.OutLink)
	}
	if s.Policy != nil {
		fmt.Fprintf(b, " srh segs %s", s.Policy.segments())
	}
}

func addrOr(a, other netip.Addr) netip.Addr {
	if a.IsValid() {
		return a
	}
	return other
}
