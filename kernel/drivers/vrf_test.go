package drivers

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/kernel/rtnl"
	"heddle/reconcile"
)

// openWithVRF opens drivers in a new namespace, or skips where the kernel has no
// VRFs.
func openWithVRF(t *testing.T) (*Drivers, *hand) {
	t.Helper()
	kerneltest.Namespace(t)
	dir := t.TempDir()
	h := newHand(t, dir)
	d, err := Open(Config{StateDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	caps, err := d.Probe.Capabilities(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if why := caps.Lacks(object.Link{Name: "blue", Type: object.LinkVRF, Table: 110}); why != "" {
		t.Skip(why)
	}
	return d, h
}

func apply(t *testing.T, d *Drivers, steps ...reconcile.Step) {
	t.Helper()
	if err := d.Check(context.Background(), steps); err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		if r := d.Do(context.Background(), []reconcile.Step{s})[0]; r.Err != nil {
			t.Fatalf("%v: %v", s, r.Err)
		}
	}
}

func creations(objs ...object.Object) []reconcile.Step {
	steps := make([]reconcile.Step, len(objs))
	for i, o := range objs {
		steps[i].New = o
	}
	return steps
}

// TestTenant makes what a provider edge router has for one tenant, in one plan,
// moves the VRF to another table, and takes all of it away.
func TestTenant(t *testing.T) {
	d, h := openWithVRF(t)
	ctx := context.Background()
	tenant := func(table uint32) []object.Object {
		inTable := func(prefix string, hop object.NextHop) *object.Route {
			return &object.Route{Table: table, VRF: "blue", Prefix: netip.MustParsePrefix(prefix), NextHops: []object.NextHop{hop}}
		}
		unreachable := &object.Route{Table: table, VRF: "blue", Prefix: netip.MustParsePrefix("0.0.0.0/0"), Type: object.Unreachable, Metric: 4278198272}
		segs := []netip.Addr{netip.MustParseAddr("fc00:1::"), netip.MustParseAddr("fc00:4:0:f:1::")}
		return []object.Object{
			object.Link{Name: "blue", Type: object.LinkVRF, Table: table},
			object.Sysctl{Name: object.SysctlStrictMode, Value: "1"},
			object.Member{Link: "ext0", Master: "blue"},
			object.LinkConfig{Link: "blue", Admin: object.AdminUp},
			object.Address{Link: "ext0", Prefix: netip.MustParsePrefix("192.168.3.1/24")},
			object.Address{Link: "ext0", Prefix: netip.MustParsePrefix("2001:db8:3::1/64")},
			object.TunnelSource{Source: netip.MustParseAddr("fc00:3::1")},
			unreachable,
			inTable("192.168.4.0/24", object.NextHop{Link: "ext1", Encap: &object.Encap{Mode: object.HEncaps, Segments: segs}}),
			inTable("192.168.5.0/24", object.NextHop{Gateway: netip.MustParseAddr("192.168.3.9"), Link: "ext0"}),
			inTable("2001:db8:5::/48", object.NextHop{Gateway: netip.MustParseAddr("2001:db8:3::9")}),
			&object.LocalSID{SID: netip.MustParseAddr("fc00:3:0:f:1::"), Table: 254, Behavior: object.EndDT4, VRF: "blue", VRFTable: table, Dev: "ext1"},
			&object.LocalSID{SID: netip.MustParseAddr("fc00:3:0:f:2::"), Table: 254, Behavior: object.EndDT46, VRF: "blue", VRFTable: table, Dev: "ext1"},
			&object.LocalSID{SID: netip.MustParseAddr("fc00:3:0:f:3::"), Table: 254, Behavior: object.EndDT6, VRF: "blue", VRFTable: table, Dev: "ext1"},
		}
	}
	down := func(objs []object.Object) []reconcile.Step {
		steps := make([]reconcile.Step, len(objs))
		for i, o := range objs {
			steps[len(objs)-1-i].Old = o
		}
		return steps
	}
	counted := func() int {
		n := 0
		if err := d.Net.Counters(ctx, object.TableMain, func(r []object.SIDReading) { n += len(r) }); err != nil {
			t.Error(err)
		}
		return n
	}
	was, _ := h.Get(object.LinkConfigKey("ext0"))
	apply(t, d, creations(tenant(110)...)...)
	if n := counted(); n != 3 {
		t.Errorf("%d SIDs counted", n)
	}
	apply(t, d, append(down(tenant(110)), creations(tenant(210)...)...)...)
	for _, o := range tenant(210) {
		if got, ok := h.Get(o.Key()); !ok || o.Key().Kind != object.KindLinkConfig && !o.Equal(got) {
			t.Errorf("%v: kernel holds %v", o, got)
		}
	}
	// A VRF of somebody else on the table of ours is seen before it is made.
	err := d.Check(ctx, creations(object.Link{Name: "red", Type: object.LinkVRF, Table: 210}))
	if err == nil || !strings.Contains(err.Error(), "blue") {
		t.Errorf("check of a second vrf on one table: %v", err)
	}
	// A SID of a VRF that moves, and would stay behind.
	err = d.Check(ctx, []reconcile.Step{{Old: object.Link{Name: "blue", Type: object.LinkVRF, Table: 210}},
		{New: object.Link{Name: "blue", Type: object.LinkVRF, Table: 211}}, {New: tenant(210)[11]}})
	if err == nil || !strings.Contains(err.Error(), "table 211") {
		t.Errorf("check of a SID in a vrf that moves: %v", err)
	}
	apply(t, d, down(tenant(210))...)
	for _, kind := range object.Kinds() {
		if got, err := d.Dump(ctx, kind); err != nil || len(got) != 0 {
			t.Errorf("left of %s: %v, %v", kind, got, err)
		}
	}
	if now, _ := h.Get(object.LinkConfigKey("ext0")); now != was {
		t.Errorf("ext0 was %v and is %v", was, now)
	}
}

// TestDecapWithoutStrictMode: the kernel's own words reach the error.
func TestDecapWithoutStrictMode(t *testing.T) {
	d, _ := openWithVRF(t)
	apply(t, d, creations(object.Link{Name: "blue", Type: object.LinkVRF, Table: 110})...)
	sid := &object.LocalSID{SID: netip.MustParseAddr("fc00::1"), Table: 254, Behavior: object.EndDT4, VRF: "blue", VRFTable: 110, Dev: "ext1"}
	r := d.Do(context.Background(), creations(sid))[0]
	if r.Err == nil || !strings.Contains(r.Err.Error(), "Strict mode for VRF is disabled") {
		t.Errorf("error: %v", r.Err)
	}
	t.Log(r.Err)
}

// TestStrictModeImpossible: the VRFs that share a table are named, and the plan that
// takes one of them away is good.
func TestStrictModeImpossible(t *testing.T) {
	d, h := openWithVRF(t)
	for _, name := range []string{"one", "two"} {
		if err := h.Put(object.Link{Name: name, Type: object.LinkVRF, Table: 300}); err != nil {
			t.Fatal(err)
		}
	}
	strict := reconcile.Step{New: object.Sysctl{Name: object.SysctlStrictMode, Value: "1"}}
	err := d.Check(context.Background(), []reconcile.Step{strict})
	const says = "vrf one and vrf two share table 300"
	if unfit, ok := errors.AsType[*rtnl.UnfitError](err); !ok || !strings.Contains(err.Error(), says) || !strings.Contains(unfit.Remedy, "ip link del two") {
		t.Errorf("check: %v, expected %s", err, says)
	}
	if err := h.Delete(object.LinkKey("two")); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(context.Background(), []reconcile.Step{strict}); err != nil {
		t.Error(err)
	}
}
