package rtnl

import (
	"bytes"
	"net"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"heddle/kernel/object"
)

// linkInfo writes what is special about the type of l: IFLA_LINKINFO, in the terms
// of linux/if_link.h. parent is nil where l has none.
func (d *Driver) linkInfo(m *msgBuf, l object.Link, parent *link) {
	info := m.nest(unix.IFLA_LINKINFO)
	m.str(unix.IFLA_INFO_KIND, string(l.Type))
	data := m.nest(unix.IFLA_INFO_DATA)
	switch l.Type {
	case object.LinkVRF:
		m.u32(nl.IFLA_VRF_TABLE, l.Table)
	case object.LinkVeth:
		peer := m.nest(nl.VETH_INFO_PEER)
		m.b = append(m.b, make([]byte, unix.SizeofIfInfomsg)...)
		m.str(unix.IFLA_IFNAME, l.Peer)
		m.u32(unix.IFLA_GROUP, linkGroup)
		d.kept.likeness(m, object.Link{Name: l.Peer, Type: l.Type}, nil)
		m.unnest(peer)
	case object.LinkVLAN:
		m.u16(nl.IFLA_VLAN_ID, l.VLAN.ID)
		m.be16(nl.IFLA_VLAN_PROTOCOL, tpid(l.VLAN))
		// Loosely bound, a VLAN is up when it is set up, not when its parent is: it
		// neither goes down with that, losing its addresses and routes, nor comes up
		// with it (vlan_device_event in net/8021q/vlan.c).
		vlanBinding(m, l.Bound)
	case object.LinkGRE, object.LinkGRETap, object.LinkIP6GRE, object.LinkIP6GRETap:
		greInfo(m, l.Tunnel)
	case object.LinkVXLAN:
		vxlanInfo(m, l.Tunnel, parent)
	}
	m.unnest(data)
	m.unnest(info)
}

// vlanBinding is a struct ifla_vlan_flags: flags, and which of them are meant.
func vlanBinding(m *msgBuf, bound bool) {
	flags := uint32(vlanLooseBinding)
	if bound {
		flags = 0
	}
	m.hdr(nl.IFLA_VLAN_FLAGS, 8)
	m.b = native.AppendUint32(m.b, flags)
	m.b = native.AppendUint32(m.b, vlanLooseBinding)
}

func tpid(v object.VLAN) uint16 {
	if v.Service {
		return unix.ETH_P_8021AD
	}
	return unix.ETH_P_8021Q
}

// parseLinkInfo decodes what is special about a link.
func parseLinkInfo(l *link, b []byte) {
	var data attrs
	for a := (attrs{rest: b}); a.next(); {
		switch a.typ {
		case unix.IFLA_INFO_KIND:
			l.kind = a.str()
		case unix.IFLA_INFO_DATA:
			data.rest = a.data
		}
	}
	switch object.LinkType(l.kind) {
	case object.LinkVRF:
		for data.next() {
			if data.typ == nl.IFLA_VRF_TABLE {
				l.table = data.u32()
			}
		}
	case object.LinkVLAN:
		parseVLAN(l, data)
	case object.LinkGRE, object.LinkGRETap, object.LinkIP6GRE, object.LinkIP6GRETap:
		parseGRE(l, data)
	case object.LinkVXLAN:
		parseVXLAN(l, data)
	}
}

func parseVLAN(l *link, data attrs) {
	l.bound = true // the kernel does not tell flags of which none is set
	for data.next() {
		switch data.typ {
		case nl.IFLA_VLAN_ID:
			l.vlan.ID = data.u16()
		case nl.IFLA_VLAN_PROTOCOL:
			l.vlan.Service = data.be16() == unix.ETH_P_8021AD
		case nl.IFLA_VLAN_FLAGS:
			l.bound = data.u32()&vlanLooseBinding == 0
		}
	}
}

// parent is the link that l is on; nil if there is none in this namespace.
func (v view) parent(l *link) *link {
	if l.kind == vethKind || l.linkedAbroad || l.linked == l.index {
		return nil
	}
	if l.lower != 0 {
		return v.byIndex[l.lower]
	}
	return v.byIndex[l.linked]
}

// ownMAC is the address of l unless it has that of the link it is on: a VLAN that is
// moved takes over that of its new parent, which would have to listen to all packets
// for another one.
func (v view) ownMAC(l *link) net.HardwareAddr {
	if p := v.parent(l); l.hardware != unix.ARPHRD_ETHER || p != nil && bytes.Equal(p.mac, l.mac) {
		return nil // that of a GRE tunnel is its source address
	}
	return l.mac
}
