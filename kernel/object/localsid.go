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
	End     Behavior = 1
	EndX    Behavior = 2
	EndDT6  Behavior = 7
	EndDT4  Behavior = 8
	EndDT46 Behavior = 16
)

func (b Behavior) String() string {
	switch b {
	case End:
		return "End"
	case EndX:
		return "End.X"
	case EndDT6:
		return "End.DT6"
	case EndDT4:
		return "End.DT4"
	case EndDT46:
		return "End.DT46"
	}
	return fmt.Sprintf("action(%d)", uint8(b))
}

// LocalSID is a seg6local route: an IPv6 address of this node that stands for a
// behaviour. Counters are always on. The pointer is the object.
type LocalSID struct {
	SID      netip.Addr
	Table    uint32 // routing table that holds it
	Behavior Behavior

	// VRF and VRFTable say where End.DT4, End.DT6 and End.DT46 look the inner
	// packet up; empty and 0 for the others. VRF is empty where End.DT6 uses a
	// table that belongs to no VRF.
	VRF      string
	VRFTable uint32

	NextHop netip.Addr // IPv6 neighbour of End.X
	OutLink string     // outgoing link of End.X, empty: found by resolving NextHop
	Dev     string     // link that carries the route; the behaviour does not use it
}

// LocalSIDKey is the key of a SID in the main table.
func LocalSIDKey(sid netip.Addr) Key { return sidKey(TableMain, sid) }

func sidKey(table uint32, sid netip.Addr) Key { return Key{KindLocalSID, sidSlot(table, sid).id()} }

func (s *LocalSID) Key() Key { return sidKey(s.Table, s.SID) }

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
	return into
}

func (s *LocalSID) Equal(o Object) bool {
	t, ok := o.(*LocalSID)
	return ok && *s == *t
}

// Mutable is true: NLM_F_REPLACE swaps the behaviour without a lost packet. It
// resets the counters, so it must not be sent without a difference.
func (s *LocalSID) Mutable(to Object) bool {
	t, ok := to.(*LocalSID)
	return ok && t.Table == s.Table
}

func (s *LocalSID) Claims(into []Claim) []Claim {
	return slotClaim(into, s.Table, netip.PrefixFrom(s.SID, 128), 0)
}

func (s *LocalSID) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "sid %s action %s", s.SID, s.Behavior)
	switch s.Behavior {
	case EndX:
		fmt.Fprintf(&b, " nh6 %s", s.NextHop)
		if s.OutLink != "" {
			fmt.Fprintf(&b, " oif %s", s.OutLink)
		}
	case EndDT4, EndDT6, EndDT46:
		if s.VRF == "" {
			fmt.Fprintf(&b, " table %d", s.VRFTable)
		} else {
			fmt.Fprintf(&b, " vrftable %d", s.VRFTable)
		}
	}
	fmt.Fprintf(&b, " dev %s", s.Dev)
	if s.Table != TableMain {
		fmt.Fprintf(&b, " table %d", s.Table)
	}
	return b.String()
}
