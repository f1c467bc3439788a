package rtnl

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"

	"heddle/kernel/object"
)

// greInfo writes the data of a GRE tunnel (IFLA_GRE_* of linux/if_tunnel.h).
func greInfo(m *msgBuf, t object.Tunnel) {
	m.addr(nl.IFLA_GRE_LOCAL, t.Local)
	m.addr(nl.IFLA_GRE_REMOTE, t.Remote)
	m.u8(nl.IFLA_GRE_TTL, t.TTL)
	if t.Keyed {
		for _, flags := range []uint16{nl.IFLA_GRE_IFLAGS, nl.IFLA_GRE_OFLAGS} {
			m.be16(flags, greKey)
		}
		for _, key := range []uint16{nl.IFLA_GRE_IKEY, nl.IFLA_GRE_OKEY} {
			m.be32(key, t.Key)
		}
	}
	if t.Over6() {
		// Without a destination option that counts how often a packet was put into
		// another one (RFC 2473 section 4.1.1), which many routers drop.
		m.u32(nl.IFLA_GRE_FLAGS, ip6IgnoreEncapLimit)
		return
	}
	discover := uint8(1)
	if t.Fragment {
		discover = 0
	}
	m.u8(nl.IFLA_GRE_PMTUDISC, discover)
}

// parseGRE decodes the data of a GRE tunnel. Of keys only one for both directions is
// told.
func parseGRE(l *link, data attrs) {
	t := &l.tunnel
	var in, out uint16
	for data.next() {
		switch data.typ {
		case nl.IFLA_GRE_LOCAL:
			t.Local = data.endpoint()
		case nl.IFLA_GRE_REMOTE:
			t.Remote = data.endpoint()
		case nl.IFLA_GRE_TTL:
			t.TTL = data.u8()
		case nl.IFLA_GRE_IFLAGS:
			in = data.be16()
		case nl.IFLA_GRE_OFLAGS:
			out = data.be16()
		case nl.IFLA_GRE_OKEY:
			t.Key = data.be32()
		case nl.IFLA_GRE_PMTUDISC:
			t.Fragment = data.u8() == 0
		}
	}
	if t.Over6() {
		t.Fragment = false
	}
	if t.Keyed = in&out&greKey != 0; !t.Keyed {
		t.Key = 0
	}
}

// vxlanInfo writes the data of a VXLAN (IFLA_VXLAN_* of linux/if_link.h).
func vxlanInfo(m *msgBuf, t object.Tunnel, parent *link) {
	m.u32(nl.IFLA_VXLAN_ID, t.VNI)
	m.be16(nl.IFLA_VXLAN_PORT, t.Port)
	m.u8(nl.IFLA_VXLAN_TTL, t.TTL)
	learn := uint8(0)
	if t.Learn {
		learn = 1
	}
	m.u8(nl.IFLA_VXLAN_LEARNING, learn)
	if parent != nil {
		m.u32(nl.IFLA_VXLAN_LINK, uint32(parent.index))
	}
	for _, e := range []struct {
		of4, of6 uint16
		local    bool
	}{{nl.IFLA_VXLAN_LOCAL, nl.IFLA_VXLAN_LOCAL6, true}, {nl.IFLA_VXLAN_GROUP, nl.IFLA_VXLAN_GROUP6, false}} {
		a := t.Remote
		if e.local {
			a = t.Local
		}
		switch {
		case a.Is4():
			m.addr(e.of4, a)
		case a.Is6():
			m.addr(e.of6, a)
		}
	}
}

func parseVXLAN(l *link, data attrs) {
	t := &l.tunnel
	for data.next() {
		switch data.typ {
		case nl.IFLA_VXLAN_ID:
			t.VNI = data.u32()
		case nl.IFLA_VXLAN_PORT:
			t.Port = data.be16()
		case nl.IFLA_VXLAN_TTL:
			t.TTL = data.u8()
		case nl.IFLA_VXLAN_LEARNING:
			t.Learn = data.u8() != 0
		case nl.IFLA_VXLAN_LINK:
			l.lower = int32(data.u32())
		case nl.IFLA_VXLAN_LOCAL, nl.IFLA_VXLAN_LOCAL6:
			t.Local = data.endpoint()
		case nl.IFLA_VXLAN_GROUP, nl.IFLA_VXLAN_GROUP6:
			t.Remote = data.endpoint()
		}
	}
}

// endpoint is the address of an end of a tunnel; the kernel has zeros for none.
func (a *attrs) endpoint() (none netip.Addr) {
	if e := a.addr(); !e.IsUnspecified() {
		return e
	}
	return none
}

// tunnel checks that somebody else has no tunnel that the kernel could not tell from
// l.
func (c *checker) tunnel(l object.Link) error {
	if l.Parent != "" {
		if err := c.present(l.Parent, l); err != nil {
			return err
		}
	}
	want := l.Exclusive(nil)
	for _, have := range c.v.byIndex {
		o, ok := linkObject(c.v, have)
		if !ok || o.Type != l.Type || o.Name == l.Name || c.drops[o.Name] || !slices.Equal(o.Exclusive(nil), want) {
			continue
		}
		return &ConflictError{Object: l.String(), Holder: fmt.Sprintf("%s, which is %s,", holder(have), want[0]),
			Remedy: fmt.Sprintf("delete it (ip link del %s) or use other ends, another key or another VNI", o.Name)}
	}
	return nil
}
