package rtnl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
)

// LinkCounters are the statistics of a link, as struct rtnl_link_stats64.
type LinkCounters struct {
	InPackets, OutPackets   uint64
	InOctets, OutOctets     uint64
	InErrors, OutErrors     uint64
	InDiscards, OutDiscards uint64
	InMulticast             uint64
}

// OperState is the operational state of a link (RFC 2863, linux/if.h IF_OPER_*).
type OperState uint8

// The operational states.
const (
	OperUnknown        OperState = 0
	OperNotPresent     OperState = 1
	OperDown           OperState = 2
	OperLowerLayerDown OperState = 3
	OperTesting        OperState = 4
	OperDormant        OperState = 5
	OperUp             OperState = 6
)

func (s OperState) String() string {
	names := [...]string{"unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("operstate(%d)", uint8(s))
}

// LinkState is what the kernel says about a link, whoever made it.
type LinkState struct {
	Name   string
	Index  int
	Kind   string // "vrf", "dummy", "veth", ...; empty for hardware and loopback
	Type   uint16 // ARPHRD_*: 1 Ethernet, 772 loopback
	Ours   bool   // made by heddle
	MTU    uint32 // octets
	Up     bool   // administratively
	Oper   OperState
	Flags  uint32 // IFF_*
	MAC    net.HardwareAddr
	Alias  string
	Master string // link it is enslaved to, empty for none
	Bridge string // the same, if that is a bridge
	Peer   string // other end of a veth in this namespace, empty for none
	Parent string // link that it is on, empty for none in this namespace
	VLAN   object.VLAN
	Bound  bool // a VLAN that goes down with its parent
	Tunnel object.Tunnel
	Table  uint32 // of a VRF

	CarrierChanges uint64
	Counters       LinkCounters // only from Links and Link, zero in events
}

// AddressState is an address of a link, whoever made it.
type AddressState struct {
	Link       string
	Index      int
	Prefix     netip.Prefix
	Ours       bool
	Proto      uint8 // IFA_PROTO: who added it; 0: not said
	Tentative  bool  // duplicate address detection is not through
	Optimistic bool  // usable while it is not
	Failed     bool  // somebody else has the address
	Deprecated bool  // its preferred lifetime is over
	Temporary  bool  // made by chance, of RFC 8981
	Permanent  bool  // has no lifetime
}

// parseStats64 decodes struct rtnl_link_stats64.
func parseStats64(b []byte) LinkCounters {
	at := func(i int) uint64 {
		if len(b) < 8*(i+1) {
			return 0
		}
		return native.Uint64(b[8*i:])
	}
	return LinkCounters{
		InPackets: at(0), OutPackets: at(1), InOctets: at(2), OutOctets: at(3),
		InErrors: at(4), OutErrors: at(5), InDiscards: at(6), OutDiscards: at(7), InMulticast: at(8),
	}
}

func (v view) state(l *link) LinkState {
	s := LinkState{
		Name: l.name, Index: int(l.index), Kind: l.kind, Type: l.hardware, Ours: l.ours(), MTU: l.mtu, Up: l.up(),
		Oper: OperState(l.operState), Flags: l.flags, MAC: l.mac, Alias: l.alias, Table: l.table, VLAN: l.vlan, Bound: l.bound, Tunnel: l.tunnel,
		CarrierChanges: uint64(l.carrierUp) + uint64(l.carrierDown), Counters: l.stats,
	}
	if m := v.byIndex[l.master]; l.master != 0 && m != nil {
		s.Master = m.name
		if m.kind == string(object.LinkBridge) {
			s.Bridge = m.name
		}
	}
	if p := v.byIndex[l.linked]; l.kind == "veth" && !l.linkedAbroad && p != nil {
		s.Peer = p.name
	}
	if p := v.parent(l); p != nil {
		s.Parent = p.name
	}
	return s
}

// Links lists every link of the namespace with its statistics.
func (d *Driver) Links(ctx context.Context) ([]LinkState, error) {
	d.stateMu.Lock()
	defer d.stateMu.Unlock()
	var ls []*link
	err := d.state.dump(ctx, func() { buildLinkDump(d.state, true) }, func() { ls = nil }, func(m *message) {
		if l, ok := parseLink(m.data); ok {
			ls = append(ls, l)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	v := view{byIndex: make(map[int32]*link, len(ls))}
	for _, l := range ls {
		v.byIndex[l.index] = l
	}
	states := make([]LinkState, len(ls))
	for i, l := range ls {
		states[i] = v.state(l)
	}
	return states, nil
}

// Link is one link with its statistics; false when there is none of this name.
func (d *Driver) Link(ctx context.Context, name string) (LinkState, bool, error) {
	v, err := d.links.snapshot(ctx)
	if err != nil {
		return LinkState{}, false, err
	}
	d.stateMu.Lock()
	defer d.stateMu.Unlock()
	c := d.state
	c.begin(unix.RTM_GETLINK, unix.NLM_F_ACK, unix.SizeofIfInfomsg)
	c.out.str(unix.IFLA_IFNAME, name)
	c.out.end()
	var s LinkState
	var ok bool
	err = c.request(ctx, func(m *message) {
		if l, valid := parseLink(m.data); valid {
			s, ok = v.state(l), true
		}
	})
	if isErrno(err, unix.ENODEV) {
		return s, false, nil
	}
	return s, ok, describe("read", "link "+name, err)
}

// Addresses lists every address of the namespace, whoever made it.
func (d *Driver) Addresses(ctx context.Context) ([]AddressState, error) { return d.AddressesOf(ctx, 0) }

// AddressesOf lists the addresses of the link with this index, chosen by the
// kernel; 0 is all links.
func (d *Driver) AddressesOf(ctx context.Context, index int) ([]AddressState, error) {
	v, err := d.links.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	d.stateMu.Lock()
	defer d.stateMu.Unlock()
	var as []AddressState
	err = dumpAddresses(ctx, d.state, int32(index), unix.AF_UNSPEC, func() { as = nil }, func(a address) {
		as = append(as, v.address(a))
	})
	return as, err
}

func (v view) address(a address) AddressState {
	s := AddressState{
		Index: int(a.index), Prefix: a.prefix, Ours: a.proto == Protocol, Proto: a.proto,
		Tentative: a.flags&unix.IFA_F_TENTATIVE != 0, Failed: a.flags&unix.IFA_F_DADFAILED != 0,
		Optimistic: a.flags&unix.IFA_F_OPTIMISTIC != 0, Deprecated: a.flags&unix.IFA_F_DEPRECATED != 0,
		Permanent: a.flags&unix.IFA_F_PERMANENT != 0,
		// The flag is IFA_F_SECONDARY for IPv4.
		Temporary: a.prefix.Addr().Is6() && a.flags&unix.IFA_F_TEMPORARY != 0,
	}
	if l := v.byIndex[a.index]; l != nil {
		s.Link = l.name
	}
	return s
}

func isInterrupted(err error) bool { return errors.Is(err, errInterrupted) }
