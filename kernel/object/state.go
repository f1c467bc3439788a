package object

import "net/netip"

// LinkState is a link as the kernel shows it, ours or not.
type LinkState struct {
	Name   string
	Index  int
	Kind   string // rtnl_link_ops kind ("veth", "vrf"), empty for devices without one
	Type   uint16 // ARPHRD_*: 1 Ethernet, 772 loopback
	MTU    uint32 // octets
	Up     bool   // administrative state: IFF_UP
	Oper   Oper
	Alias  string
	Master string // name of the link it is enslaved to
	Bridge string // Master, if that is a bridge
	Table  uint32 // of a VRF
	Peer   string // the other end of a veth, empty if it is in another namespace
	Parent string // the link that it is on, such as that of a VLAN; empty for none here
	VLAN   VLAN
	Tunnel Tunnel
	Ours   bool // made by us, by its alias
	Stats  LinkStats
}

// Oper is the operational state of RFC 2863, as IFLA_OPERSTATE numbers it.
type Oper uint8

// The operational states of include/uapi/linux/if.h (IF_OPER_*).
const (
	OperUnknown Oper = iota
	OperNotPresent
	OperDown
	OperLowerLayerDown
	OperTesting
	OperDormant
	OperUp
)

// LinkStats are the counters of a link (struct rtnl_link_stats64), in packets
// unless they say octets. The kernel's figures are monotonic for as long as the
// link exists.
type LinkStats struct {
	RxOctets, RxPackets, RxErrors, RxDropped, RxMulticast uint64
	TxOctets, TxPackets, TxErrors, TxDropped              uint64
	CarrierChanges                                        uint64
}

// AddressState is an address of a link, ours or not.
type AddressState struct {
	Link       string
	Prefix     netip.Prefix // the address with its prefix length
	Ours       bool         // added by us, by IFA_PROTO
	Proto      uint8        // IFA_PROTO: who added it; 0: not said
	Tentative  bool         // duplicate address detection is still running
	Optimistic bool         // usable while that is running
	DADFailed  bool         // another node has the address
	Deprecated bool         // its preferred lifetime is over
	Temporary  bool         // made by chance, of RFC 8981
	Permanent  bool         // not learned with a lifetime
}

// SIDCounters are the seg6local counters of one SID (SEG6_LOCAL_COUNTERS,
// Linux 5.14). Octets are those of the packet as it arrived, outer header
// included.
type SIDCounters struct {
	Packets, Octets, Errors uint64
}

// SIDReading is what a SID has counted since the kernel was last told to make or
// replace it.
type SIDReading struct {
	SID netip.Addr
	SIDCounters
}
