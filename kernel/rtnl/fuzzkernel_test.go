package rtnl

import (
	"fmt"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// FuzzKernelMessages: whatever the kernel sends of links, addresses, nexthop
// objects and routes, of each kind as if it were any other, decoding ends without a
// panic; the links that are kept agree with each other, and an event names what it
// is about.
func FuzzKernelMessages(f *testing.F) {
	f.Add(vrfMessage("blue", 5, 110)) // the rest is in testdata, from a kernel
	f.Fuzz(func(t *testing.T, b []byte) {
		hops := &hopTable{}
		hops.set("policy", hopIDFirst+1)
		w := &watch{links: &linkCache{}, hops: hops}
		w.links.reset()
		for len(b) > 0 {
			m, rest, ok := splitMessage(b)
			if !ok {
				return
			}
			b = rest
			if a := m.ack(); a != nil {
				_ = a.Error()
			}
			sent := m.typ
			for _, typ := range []uint16{sent, unix.RTM_NEWLINK, unix.RTM_NEWADDR, unix.RTM_DELADDR, unix.RTM_NEWROUTE, unix.RTM_DELROUTE,
				unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP, unix.RTM_DELLINK} {
				m.typ = typ
				if e, ok := w.event(&m); ok && len(e.Keys) == 0 {
					t.Errorf("an event of message type %d without keys", typ)
				}
			}
			m.typ = sent
			w.links.apply(&m)
			consistent(t, w.links)
			dec := decoder{w.view(), hops}
			if r, ok := parseNextHop(m.data); ok {
				if o, ok := dec.nextHop("", &r); ok {
					_ = fmt.Sprint(o)
				}
			}
			if r, ok := parseRoute(m.data); ok {
				if o, ok := dec.object(&r); ok {
					_ = o.Key()
				}
			}
			for _, l := range w.links.byIndex {
				_ = w.view().state(l)
			}
		}
	})
}

// vrfMessage tells of a VRF link.
func vrfMessage(name string, index int32, table uint32) []byte {
	var m msgBuf
	h := m.begin(unix.RTM_NEWLINK, 0, 1, unix.SizeofIfInfomsg)
	native.PutUint32(h[4:], uint32(index))
	m.str(unix.IFLA_IFNAME, name)
	info := m.nest(unix.IFLA_LINKINFO)
	m.str(unix.IFLA_INFO_KIND, "vrf")
	data := m.nest(unix.IFLA_INFO_DATA)
	m.u32(nl.IFLA_VRF_TABLE, table)
	m.unnest(data)
	m.unnest(info)
	m.end()
	return m.b
}

// consistent checks the three tables of the links against each other.
func consistent(t *testing.T, c *linkCache) {
	t.Helper()
	for name, l := range c.byName {
		if l.name != name {
			t.Errorf("link %q is kept as %q", l.name, name)
		}
	}
	for table, l := range c.byTable {
		if l.table != table {
			t.Errorf("the VRF of table %d is kept as that of %d", l.table, table)
		}
	}
	for index, l := range c.byIndex {
		if l.index != index {
			t.Errorf("link %d is kept as %d", l.index, index)
		}
	}
}
