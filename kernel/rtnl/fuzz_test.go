package rtnl

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// FuzzDecode: whatever comes over the socket, decoding ends without a panic, and
// what it makes of it can be printed.
func FuzzDecode(f *testing.F) {
	segs := &object.Encap{Mode: object.HEncaps, Segments: []netip.Addr{addr("fc00:1::"), addr("fc00:2::")}}
	from := &object.Encap{Mode: object.HEncapsRed, Segments: segs.Segments, Source: addr("fc00::9")}
	enc := encoder{view: view{byName: map[string]*link{"v0": {index: 3, name: "v0"}}}}
	for _, o := range []object.Object{
		&object.Route{Table: 254, Prefix: prefix("10.0.0.0/8"), NextHops: []object.NextHop{{Gateway: addr("fe80::1"), Link: "v0", Encap: segs}}},
		&object.Route{Table: 1000, Prefix: prefix("2001:db8::/32"), NextHops: []object.NextHop{{Gateway: addr("fe80::1"), Link: "v0", Encap: segs}, {Gateway: addr("fe80::2"), Link: "v0"}}},
		&object.Route{Table: 254, Prefix: prefix("2001:db8::/32"), NextHops: []object.NextHop{{Link: "v0", Encap: from}}},
		&object.LocalSID{SID: addr("fc00::1"), Table: 254, Behavior: object.EndX, NextHop: addr("fe80::1"), OutLink: "v0", Dev: "v0"},
		&object.LocalSID{SID: addr("fc00::3"), Table: 254, Behavior: object.EndB6Encaps, Policy: segs, Dev: "v0"},
		&object.LocalSID{SID: addr("fc00::4"), Table: 254, Behavior: object.EndDX4, NextHop: addr("192.0.2.1"), Dev: "v0"},
		&object.LocalSID{SID: addr("fcbb:bb00:100::"), Table: 254, Behavior: object.End, Flavors: object.NextCSID, BlockLength: 32, NodeFunctionLength: 16, Dev: "v0"},
	} {
		var m msgBuf
		if err := enc.write(&m, 0, 1, o); err != nil {
			f.Fatal(err)
		}
		f.Add(m.b)
	}
	var m msgBuf
	if err := enc.write(&m, 0, 1, &object.LocalSID{SID: addr("fc00::2"), Table: 254, Behavior: object.EndX, NextHop: addr("fe80::1"), Dev: "v0"}); err != nil {
		f.Fatal(err)
	}
	f.Add(m.b)
	sid := m.b[unix.NLMSG_HDRLEN:]
	if _, ok := new(sidLayouts).read(sid, 254); !ok {
		f.Fatal("a SID is not read")
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		dec := decoder{view: view{byIndex: map[int32]*link{3: {index: 3, name: "v0"}}, byTable: map[uint32]*link{}}}
		w := &watch{links: &linkCache{}}
		w.links.reset()
		var layouts sidLayouts
		layouts.of(sid)
		for len(b) > 0 {
			m, rest, ok := splitMessage(b)
			if !ok {
				return
			}
			b = rest
			_ = m.ack()
			if r, ok := parseRoute(m.data); ok {
				o, _ := dec.object(&r)
				_ = describe("read", "x", conflict(o, &r))
				// What fits the layout of another message is read as if it were
				// taken apart.
				if got, ok := layouts.read(m.data, r.table); ok && got != takenApart(&r) {
					t.Errorf("read %+v, taken apart it is %+v", got, takenApart(&r))
				}
				_, _ = dec.compare(&object.LocalSID{}, &r)
				_, _ = dec.compare(&object.Route{}, &r)
			}
			for _, typ := range []uint16{unix.RTM_NEWROUTE, unix.RTM_NEWLINK, unix.RTM_NEWADDR, unix.RTM_DELLINK} {
				m.typ = typ
				if e, ok := w.event(&m); ok && len(e.Keys) == 0 {
					t.Error("an event without keys")
				}
			}
		}
	})
}

// TestSIDsOfManyKinds: kinds of SIDs that take turns are learnt once.
func TestSIDsOfManyKinds(t *testing.T) {
	enc := encoder{view: view{byName: map[string]*link{"v0": {index: 3, name: "v0"}}}}
	var layouts sidLayouts
	for turn := range 3 {
		for i, o := range []object.Object{
			&object.LocalSID{Behavior: object.End},
			&object.LocalSID{Behavior: object.EndX, NextHop: addr("fe80::1")},
			&object.LocalSID{Behavior: object.EndX, NextHop: addr("fe80::1"), OutLink: "v0"},
			&object.LocalSID{Behavior: object.EndDT4, VRF: "blue", VRFTable: 10},
			&object.LocalSID{Behavior: object.EndDT6, VRFTable: 254},
			&object.LocalSID{Behavior: object.EndT, VRFTable: 254},
			&object.LocalSID{Behavior: object.EndDX4},
			&object.LocalSID{Behavior: object.EndB6, Policy: &object.Encap{Mode: object.HInsert, Segments: []netip.Addr{addr("fc00:1::"), addr("fc00:2::")}}},
			&object.Route{NextHops: []object.NextHop{{Link: "v0"}}},
		} {
			sid := addr(fmt.Sprintf("fc00::%d%d", turn, i))
			switch o := o.(type) {
			case *object.LocalSID:
				o.SID, o.Table, o.Dev = sid, 254, "v0"
			case *object.Route:
				o.Prefix, o.Table = netip.PrefixFrom(sid, 128), 254
			}
			var m msgBuf
			if err := enc.write(&m, 0, 1, o); err != nil {
				t.Fatal(err)
			}
			_, isSID := o.(*object.LocalSID)
			got, ok := layouts.read(m.b[unix.NLMSG_HDRLEN:], 254)
			if ok != isSID || isSID && got.SID != sid {
				t.Errorf("%v: read %+v, %t", o, got, ok)
			}
			if _, ok := layouts.read(m.b[unix.NLMSG_HDRLEN:], 100); ok {
				t.Errorf("%v: read in another table", o)
			}
		}
		if layouts.next > 9 {
			t.Errorf("%d layouts learnt in turn %d", layouts.next, turn)
		}
	}
}

// takenApart is the reading in a route, attribute by attribute.
func takenApart(r *rawRoute) (c object.SIDReading) {
	c.SID = r.dst.Addr()
	for a := (attrs{rest: r.hop.encap}); a.next(); {
		for n := (attrs{rest: a.data}); a.typ == seg6LocalCounters && n.next(); {
			switch n.typ {
			case seg6CntPackets:
				c.Packets = n.u64()
			case seg6CntBytes:
				c.Octets = n.u64()
			case seg6CntErrors:
				c.Errors = n.u64()
			}
		}
	}
	return c
}

// TestEncodedIsDecoded: what is written is understood the same.
func TestEncodedIsDecoded(t *testing.T) {
	v0 := &link{index: 3, name: "v0", hardware: unix.ARPHRD_ETHER}
	v := view{byName: map[string]*link{"v0": v0}, byIndex: map[int32]*link{3: v0}, byTable: map[uint32]*link{}}
	for n := 1; n <= maxSegments-1; n += 25 {
		segs := make([]netip.Addr, n)
		for i := range segs {
			segs[i] = addr("fc00::1")
			for range i {
				segs[i] = segs[i].Next()
			}
		}
		for _, mode := range []object.EncapMode{object.HInsert, object.HEncaps, object.HEncapsRed, object.HEncapsL2, object.HEncapsL2Red} {
			want := &object.Route{Table: 254, Prefix: prefix("2001:db8::/32"), NextHops: []object.NextHop{{Link: "v0", Encap: &object.Encap{Mode: mode, Segments: segs}}}}
			var m msgBuf
			if err := (encoder{view: v}).write(&m, 0, 1, want); err != nil {
				t.Fatal(err)
			}
			msg, _, _ := splitMessage(m.b)
			r, ok := parseRoute(msg.data)
			if got, whole := (decoder{view: v}).object(&r); !ok || !whole || !want.Equal(got) {
				t.Fatalf("%d segments: wrote %v, read %v", n, want, got)
			}
		}
	}
	segs := []netip.Addr{addr("fc00:1::"), addr("fc00:2::"), addr("fc00:3::")}
	from := &object.Route{Table: 254, Prefix: prefix("2001:db8::/32"), NextHops: []object.NextHop{{Link: "v0",
		Encap: &object.Encap{Mode: object.HEncaps, Segments: segs, Source: addr("fc00::9")}}}}
	var m msgBuf
	if err := (encoder{view: v}).write(&m, 0, 1, from); err != nil {
		t.Fatal(err)
	}
	msg, _, _ := splitMessage(m.b)
	r, ok := parseRoute(msg.data)
	if got, whole := (decoder{view: v}).object(&r); !ok || !whole || !from.Equal(got) {
		t.Fatalf("wrote %v, read %v", from, got)
	}
	for _, want := range []*object.LocalSID{
		{Behavior: object.End},
		{Behavior: object.End, Flavors: object.PSP},
		{Behavior: object.End, SID: addr("fcbb:bb00:100::"), Flavors: object.NextCSID, BlockLength: 32, NodeFunctionLength: 16},
		{Behavior: object.EndX, SID: addr("fcbb:bb00::"), Flavors: object.NextCSID, BlockLength: 120, NodeFunctionLength: 8, NextHop: addr("fe80::1")},
		{Behavior: object.EndX, NextHop: addr("fe80::1"), OutLink: "v0"},
		{Behavior: object.EndT, VRFTable: 254},
		{Behavior: object.EndDX2, OutLink: "v0"},
		{Behavior: object.EndDX4},
		{Behavior: object.EndDX4, NextHop: addr("192.0.2.1")},
		{Behavior: object.EndDX6},
		{Behavior: object.EndDX6, NextHop: addr("2001:db8::1")},
		{Behavior: object.EndDT6, VRFTable: 254},
		{Behavior: object.EndB6, Policy: &object.Encap{Mode: object.HInsert, Segments: segs}},
		{Behavior: object.EndB6Encaps, Policy: &object.Encap{Mode: object.HEncaps, Segments: segs}},
	} {
		if want.Table, want.Dev = 254, "v0"; !want.SID.IsValid() {
			want.SID = addr("fc00::1")
		}
		var m msgBuf
		if err := (encoder{view: v}).write(&m, 0, 1, want); err != nil {
			t.Fatal(err)
		}
		msg, _, _ := splitMessage(m.b)
		r, ok := parseRoute(msg.data)
		if got, whole := (decoder{view: v}).object(&r); !ok || !whole || !want.Equal(got) {
			t.Fatalf("wrote %v, read %v", want, got)
		}
	}
}

// TestRefusedBeforeSending: values that the kernel would misread do not reach it.
func TestRefusedBeforeSending(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	hop := func(e *object.Encap) []object.NextHop { return []object.NextHop{{Link: "v0", Encap: e}} }
	seg := func(as ...netip.Addr) *object.Encap { return &object.Encap{Mode: object.HEncaps, Segments: as} }
	many := make([]netip.Addr, maxSegments+1)
	for i := range many {
		many[i] = addr("fc00::1")
	}
	for name, o := range map[string]object.Object{
		"IPv4 segment":      &object.Route{Table: 254, Prefix: prefix("10.0.0.0/8"), NextHops: hop(seg(addr("192.0.2.1")))},
		"mapped segment":    &object.Route{Table: 254, Prefix: prefix("10.0.0.0/8"), NextHops: hop(seg(addr("::ffff:192.0.2.1")))},
		"no segment":        &object.Route{Table: 254, Prefix: prefix("10.0.0.0/8"), NextHops: hop(seg())},
		"too many segments": &object.Route{Table: 254, Prefix: prefix("10.0.0.0/8"), NextHops: hop(seg(many...))},
		"no next hop":       &object.Route{Table: 254, Prefix: prefix("10.0.0.0/8")},
		"IPv4 gateway":      &object.Route{Table: 254, Prefix: prefix("2001:db8::/32"), NextHops: []object.NextHop{{Gateway: addr("192.0.2.2"), Link: "v0"}}},
		"IPv4 source": &object.Route{Table: 254, Prefix: prefix("10.0.0.0/8"), NextHops: hop(&object.Encap{Mode: object.HEncaps,
			Segments: many[:1], Source: addr("192.0.2.1")})},
		"source without outer header": &object.Route{Table: 254, Prefix: prefix("2001:db8::/32"), NextHops: hop(&object.Encap{Mode: object.HInsert,
			Segments: many[:1], Source: addr("fc00::1")})},
		"IPv4 SID":            &object.LocalSID{SID: addr("192.0.2.9"), Table: 254, Behavior: object.End, Dev: "v0"},
		"IPv4 End.X":          &object.LocalSID{SID: addr("fc00::1"), Table: 254, Behavior: object.EndX, NextHop: addr("192.0.2.9"), Dev: "v0"},
		"IPv6 End.DX4":        &object.LocalSID{SID: addr("fc00::1"), Table: 254, Behavior: object.EndDX4, NextHop: addr("fe80::1"), Dev: "v0"},
		"IPv4 End.DX6":        &object.LocalSID{SID: addr("fc00::1"), Table: 254, Behavior: object.EndDX6, NextHop: addr("192.0.2.9"), Dev: "v0"},
		"no policy":           &object.LocalSID{SID: addr("fc00::1"), Table: 254, Behavior: object.EndB6, Dev: "v0"},
		"too long a policy":   &object.LocalSID{SID: addr("fc00::1"), Table: 254, Behavior: object.EndB6, Policy: &object.Encap{Mode: object.HInsert, Segments: many[1:]}, Dev: "v0"},
		"bits behind a SID":   &object.LocalSID{SID: addr("fcbb:bb00:100::1"), Table: 254, Behavior: object.End, Flavors: object.NextCSID, BlockLength: 32, NodeFunctionLength: 16, Dev: "v0"},
		"lengths that exceed": &object.LocalSID{SID: addr("fcbb::"), Table: 254, Behavior: object.End, Flavors: object.NextCSID, BlockLength: 120, NodeFunctionLength: 16, Dev: "v0"},
		"IPv4 tunnel source":  object.TunnelSource{Source: addr("192.0.2.1")},
	} {
		if r := d.Do(context.Background(), []reconcile.Step{{New: o}})[0]; r.Err == nil {
			t.Errorf("%s: %v was accepted", name, o)
		}
	}
}
