package telemetry

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"heddle/kernel/object"
	"heddle/schema"
)

func ethernet(name string) object.LinkState {
	return object.LinkState{Name: name, Type: 1, MTU: 1500, Up: true, Oper: object.OperUp}
}

func dummy(name string) object.LinkState {
	return object.LinkState{Name: name, Kind: "dummy", Type: 1, MTU: 1500, Up: true, Ours: true}
}

func veth(name, peer string) object.LinkState {
	l := ethernet(name)
	l.Kind, l.Peer = "veth", peer
	return l
}

func address(link, prefix string) object.AddressState {
	return object.AddressState{Link: link, Prefix: netip.MustParsePrefix(prefix), Permanent: true}
}

// TestLinks shows every kind of link and address.
func TestLinks(t *testing.T) {
	lo := object.LinkState{Name: "lo", Type: arphrdLoopback, MTU: 65536, Up: true}
	down := ethernet("e9")
	down.Oper = object.OperLowerLayerDown
	off := dummy("d0")
	off.Up = false
	blue := object.LinkState{Name: "blue", Kind: "vrf", Type: 1, MTU: 1500, Up: true, Table: 110, Ours: true}
	e1 := veth("e1", "e2")
	e1.Stats = object.LinkStats{RxOctets: 1, RxPackets: 2, RxErrors: 3, RxDropped: 4, TxOctets: 5, TxPackets: 6, TxErrors: 7, TxDropped: 8}
	w := newWorld(t, lo, e1, veth("e2", "e1"), down, off, blue, dummy("loop1"),
		object.LinkState{Name: "br0", Kind: "bridge", Type: 1, MTU: 9000},
		object.LinkState{Name: "e3", Type: 1, MTU: 1500, Master: "br0", Bridge: "br0"},
		object.LinkState{Name: "tun0", Kind: "tun", Type: 65534, MTU: 1500},
		object.LinkState{Name: "e1.7", Kind: "vlan", Type: 1, MTU: 1500, Up: true, Parent: "e1", VLAN: object.VLAN{ID: 7}, Ours: true},
		object.LinkState{Name: "tag0", Kind: "vlan", Type: 1, MTU: 1500, VLAN: object.VLAN{ID: 8, Service: true}},
		object.LinkState{Name: "g4", Kind: "gre", Type: 778, MTU: 1476, Tunnel: object.Tunnel{Local: netip.MustParseAddr("192.0.2.1"), Remote: netip.MustParseAddr("192.0.2.2"), Key: 7, Keyed: true}},
		object.LinkState{Name: "t6", Kind: "ip6gretap", Type: 1, MTU: 1434, Tunnel: object.Tunnel{Local: netip.MustParseAddr("2001:db8::1"), Remote: netip.MustParseAddr("2001:db8::2"), TTL: 9}},
		object.LinkState{Name: "x1", Kind: "vxlan", Type: 1, MTU: 1450, Parent: "e1", Tunnel: object.Tunnel{Remote: netip.MustParseAddr("239.0.0.1"), VNI: 5, Port: 4789, Learn: true}},
		object.LinkState{Name: "bad/name", Kind: "dummy"})

	static := address("e1", "2001:db8::1/64")
	static.Ours = true
	linkLocal := address("e1", "fe80::1/64")
	linkLocal.Proto = protoKernelLL
	tentative := address("e1", "2001:db8::2/64")
	tentative.Tentative = true
	optimistic := address("e1", "2001:db8::3/64")
	optimistic.Tentative, optimistic.Optimistic = true, true
	duplicate := address("e1", "2001:db8::4/64")
	duplicate.Tentative, duplicate.DADFailed = true, true
	temporary := address("e1", "2001:db8::5/64")
	temporary.Temporary, temporary.Deprecated = true, true
	// One address with two prefix lengths: ours is shown.
	other, ours := address("e2", "192.0.2.1/32"), address("e2", "192.0.2.1/24")
	ours.Ours = true
	w.kernel.addresses = []object.AddressState{
		static, linkLocal, tentative, optimistic, duplicate, temporary, other, ours,
		address("e9", "2001:db8:9::1/64"), address("lo", "127.0.0.1/8"), address("lo", "::1/128"),
	}
	w.commit(
		w.edit(schema.Update, "/interfaces/interface[name=e1]/config", `{"description": "to CR1"}`),
		w.edit(schema.Update, "/interfaces/interface[name=e1]/subinterfaces/subinterface[index=0]/config", `{"description": "untagged"}`),
		w.edit(schema.Update, "/interfaces/interface[name=loop1]/config", `{"type": "heddle-interface-types:softwareLoopback"}`),
		w.edit(schema.Update, "/interfaces/interface[name=gone]/config", `{"description": "its link is not there"}`),
	)
	w.refresh("/")
	w.golden("links.json", "/")
}

// TestDescription is what only the configuration knows of a link: it changes
// without a reading.
func TestDescription(t *testing.T) {
	w := newWorld(t, ethernet("e1"), dummy("l1"))
	w.refresh("/")
	w.kernel.took()
	const e1, l1 = "/interfaces/interface[name=e1]", "/interfaces/interface[name=l1]"
	w.commit(w.edit(schema.Update, e1+"/config", `{"description": "one"}`))
	w.expect(e1+"/state/description", `"one"`)
	w.commit(w.edit(schema.Update, e1+"/config", `{"description": "two"}`))
	w.expect(e1+"/state/description", `"two"`)
	w.commit(w.edit(schema.Update, l1+"/config", `{"type": "softwareLoopback"}`))
	w.expect(l1+"/state/type", `"heddle-interface-types:softwareLoopback"`)
	w.commit(w.edit(schema.Delete, e1, ""), w.edit(schema.Delete, l1, ""))
	w.expect(e1+"/state/description", "")
	w.expect(e1+"/state/oper-status", `"UP"`)
	w.expect(l1+"/state/type", `"heddle-interface-types:DUMMY"`)
	if reads := w.kernel.took(); len(reads) > 0 {
		t.Errorf("read %v", reads)
	}
}

func TestLastChange(t *testing.T) {
	w := newWorld(t, ethernet("e1"))
	const path = "/interfaces/interface[name=e1]/state/last-change"
	change := func(fn func(l *object.LinkState)) {
		w.kernel.set(func(k *kernel) {
			l := k.links["e1"]
			fn(&l)
			k.links["e1"] = l
		})
		w.refresh("/interfaces/interface[name=e1]")
	}
	w.refresh("/")
	atStart := w.at(path)
	if atStart != `"1772366400000000000"` {
		t.Errorf("at start: %s", atStart)
	}
	change(func(l *object.LinkState) { l.MTU = 9000 })
	w.expect(path, atStart)
	change(func(l *object.LinkState) { l.Oper = object.OperDown })
	down := w.at(path)
	change(func(l *object.LinkState) { l.Stats.CarrierChanges += 2 })
	flapped := w.at(path)
	change(func(l *object.LinkState) { l.Index = 77 })
	again := w.at(path)
	if !slices.IsSorted([]string{atStart, down, flapped, again}) || atStart == down || down == flapped || flapped == again {
		t.Errorf("down %s, down and up and down %s, recreated %s", down, flapped, again)
	}
}

// TestMembers: an interface is in the default instance for as long as it is there
// and enslaved to nothing, and in a VRF if the kernel holds that.
func TestMembers(t *testing.T) {
	w := newWorld(t, ethernet("e1"), ethernet("e2"))
	w.wants.hold("/network-instances/network-instance[name=blue]/interfaces/interface[id=e2]", object.Member{Link: "e2", Master: "blue"})
	w.commit(
		w.edit(schema.Update, "/interfaces", `{"interface": [{"name": "e1"}, {"name": "e2"}]}`),
		w.edit(schema.Update, "/network-instances/network-instance[name=DEFAULT]/interfaces/interface[id=x]/config", `{"interface": "e1"}`),
		w.edit(schema.Update, "/network-instances/network-instance[name=blue]/interfaces/interface[id=e2]/config", `{"interface": "e2"}`),
	)
	const inDefault = "/network-instances/network-instance[name=DEFAULT]/interfaces/interface[id=x]/state/interface"
	w.expect("/network-instances/network-instance[name=blue]/interfaces/interface[id=e2]/state/interface", `"e2"`)
	w.expect(inDefault, "") // nobody has looked
	w.refresh("/")
	w.expect(inDefault, `"e1"`)
	master := func(to string) {
		w.kernel.set(func(k *kernel) {
			l := k.links["e1"]
			l.Master = to
			k.links["e1"] = l
		})
		w.refresh("/interfaces/interface[name=e1]")
	}
	master("br0")
	w.expect(inDefault, "")
	master("")
	w.expect(inDefault, `"e1"`)
	w.kernel.set(func(k *kernel) { delete(k.links, "e1") })
	w.refresh("/interfaces/interface[name=e1]")
	w.expect(inDefault, "")
	w.kernel.set(func(k *kernel) { k.links["e1"] = ethernet("e1") })
	w.refresh("/")
	w.expect(inDefault, `"e1"`)
	w.kernel.set(func(k *kernel) { delete(k.links, "e1") })
	w.refresh("/")
	w.expect(inDefault, "")
}

// TestOneLink: what one link costs does not depend on the others.
func TestOneLink(t *testing.T) {
	w := newWorld(t, ethernet("e1"), ethernet("e2"), ethernet("e10"))
	w.refresh("/")
	w.kernel.took()
	before := w.tel.Snapshot()
	w.kernel.set(func(k *kernel) { delete(k.links, "e1") })
	w.refresh("/interfaces/interface[name=e1]/state/counters/in-octets")
	if reads := w.kernel.took(); !slices.Equal(reads, []string{"link e1"}) {
		t.Errorf("read %v", reads)
	}
	now := w.tel.Snapshot()
	before.Scan("", func(k schema.EntryKey, old schema.GoStruct) bool {
		e, ok := now.Get(k)
		if gone := strings.HasPrefix(w.tel.schema.Text(k), "/interfaces/interface[name=e1]"); gone == ok || ok && e != old {
			t.Errorf("%s: there %t, the same %t", w.tel.schema.Text(k), ok, e == old)
		}
		return true
	})
}
