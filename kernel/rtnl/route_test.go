package rtnl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/reconcile"
)

func testDriver(t testing.TB) *Driver {
	t.Helper()
	kerneltest.Namespace(t)
	// Addresses are usable at once.
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	d, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func do(t testing.TB, d *Driver, s reconcile.Step) reconcile.Result {
	t.Helper()
	return d.Do(context.Background(), []reconcile.Step{s})[0]
}

func mustDo(t testing.TB, d *Driver, objs ...object.Object) {
	t.Helper()
	for _, o := range objs {
		r := do(t, d, reconcile.Step{New: o})
		if r.Err != nil {
			t.Fatalf("create %s: %v", o, r.Err)
		}
		if !o.Equal(r.Got) {
			t.Fatalf("create %s: read back %s", o, r.Got)
		}
	}
}

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// wires makes the veth pair v0-v1, up, with addresses that make gateways
// reachable.
func wires(t testing.TB, d *Driver) {
	t.Helper()
	mustDo(t, d,
		object.Link{Name: "v0", Type: object.LinkVeth, Peer: "v1"},
		object.Link{Name: "v1", Type: object.LinkVeth, Peer: "v0"},
		object.LinkConfig{Link: "v0", Admin: object.AdminUp},
		object.LinkConfig{Link: "v1", Admin: object.AdminUp, MTU: 1600},
		object.Address{Link: "v0", Prefix: prefix("192.0.2.1/24")},
		object.Address{Link: "v0", Prefix: prefix("2001:db8:1::1/64")},
	)
}

func TestRouteForms(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	segs := []netip.Addr{addr("fc00:1::"), addr("fc00:2::"), addr("fc00:3::")}
	red := &object.Encap{Mode: object.HEncapsRed, Segments: segs}
	enc := &object.Encap{Mode: object.HEncaps, Segments: segs}
	main := object.TableMain
	objs := []object.Object{
		&object.Route{Table: main, Prefix: prefix("10.0.0.0/8"), NextHops: []object.NextHop{{Gateway: addr("192.0.2.2"), Link: "v0"}}},
		&object.Route{Table: main, Prefix: prefix("10.1.0.0/16"), Metric: 5, NextHops: []object.NextHop{{Gateway: addr("192.0.2.2")}}},
		&object.Route{Table: 110, Prefix: prefix("10.2.0.0/16"), NextHops: []object.NextHop{{Link: "v0"}}},
		&object.Route{Table: 1110, Prefix: prefix("10.3.0.0/16"), NextHops: []object.NextHop{{Gateway: addr("fe80::1"), Link: "v0"}}},
		&object.Route{Table: main, Prefix: prefix("10.4.0.0/16"), NextHops: []object.NextHop{{Link: "v0", Encap: red}}},
		&object.Route{Table: main, Prefix: prefix("10.5.0.0/16"), Type: object.Blackhole},
		&object.Route{Table: 110, Prefix: prefix("0.0.0.0/0"), Type: object.Unreachable, Metric: 4278198272},
		&object.Route{Table: main, Prefix: prefix("10.6.0.0/16"), NextHops: []object.NextHop{
			{Gateway: addr("192.0.2.2"), Link: "v0", Encap: enc}, {Gateway: addr("192.0.2.3"), Link: "v0"}}},
		&object.Route{Table: main, Prefix: prefix("2001:db8:a::/48"), NextHops: []object.NextHop{{Gateway: addr("2001:db8:1::2"), Link: "v0"}}},
		&object.Route{Table: main, Prefix: prefix("2001:db8:b::/48"), Metric: 7, NextHops: []object.NextHop{{Gateway: addr("2001:db8:1::2")}}},
		&object.Route{Table: 1110, Prefix: prefix("2001:db8:c::/48"), NextHops: []object.NextHop{{Link: "v0", Encap: enc}}},
		&object.Route{Table: main, Prefix: prefix("2001:db8:d::/48"), NextHops: []object.NextHop{{Link: "v0", Encap: &object.Encap{Mode: object.HInsert, Segments: segs}}}},
		&object.Route{Table: main, Prefix: prefix("2001:db8:e::/48"), NextHops: []object.NextHop{{Gateway: addr("fe80::2"), Link: "v0", Encap: red}}},
		&object.Route{Table: main, Prefix: prefix("2001:db8:f::/48"), Type: object.Blackhole},
		&object.Route{Table: 110, Prefix: prefix("2001:db8:e::1/128"), Type: object.Throw},
		&object.Route{Table: 110, Prefix: prefix("::/0"), Type: object.Unreachable, Metric: 4278198272},
		&object.Route{Table: main, Prefix: prefix("2001:db8:10::/48"), NextHops: []object.NextHop{
			{Gateway: addr("2001:db8:1::3"), Link: "v0", Encap: enc}, {Gateway: addr("2001:db8:1::2"), Link: "v0"}, {Gateway: addr("2001:db8:1::4"), Link: "v0"}}},
		&object.LocalSID{SID: addr("fc00:9::1"), Table: main, Behavior: object.End, Dev: "v0"},
		&object.LocalSID{SID: addr("fc00:9::2"), Table: main, Behavior: object.EndX, NextHop: addr("2001:db8:1::2"), Dev: "v0"},
		&object.LocalSID{SID: addr("fc00:9::3"), Table: 300, Behavior: object.EndDT6, VRFTable: 254, Dev: "v1"},
		&object.LocalSID{SID: addr("fc00:9::4"), Table: main, Behavior: object.EndX, NextHop: addr("fe80::2"), OutLink: "v1", Dev: "v0"},
		&object.LocalSID{SID: addr("fc00:9::5"), Table: main, Behavior: object.EndT, VRFTable: main, Dev: "v0"},
		&object.LocalSID{SID: addr("fc00:9::6"), Table: main, Behavior: object.EndDX2, OutLink: "v1", Dev: "v0"},
		&object.LocalSID{SID: addr("fc00:9::7"), Table: main, Behavior: object.EndDX4, NextHop: addr("192.0.2.2"), Dev: "v0"},
		&object.LocalSID{SID: addr("fc00:9::8"), Table: main, Behavior: object.EndDX6, Dev: "v0"},
		&object.LocalSID{SID: addr("fc00:9::9"), Table: main, Behavior: object.EndB6, Policy: &object.Encap{Mode: object.HInsert, Segments: segs}, Dev: "v0"},
		&object.LocalSID{SID: addr("fc00:9::a"), Table: main, Behavior: object.EndB6Encaps, Policy: enc, Dev: "v0"},
	}
	for _, o := range objs {
		t.Run(fmt.Sprint(o), func(t *testing.T) {
			r := do(t, d, reconcile.Step{New: o})
			if dropped, ok := errors.AsType[*DroppedError](r.Err); ok && slices.Contains(Features(o), FeatureEndXOutLink) {
				if got, _, held, err := d.Slot(context.Background(), o); held || err != nil {
					t.Fatalf("what the kernel dropped part of was left: %v, %v", got, err)
				}
				t.Skipf("before Linux 6.17: %v", dropped)
			}
			if r.Err != nil || !o.Equal(r.Got) {
				t.Fatalf("%v, read back %v", r.Err, r.Got)
			}
			if r := do(t, d, reconcile.Step{New: o}); r.Err == nil {
				t.Fatal("a duplicate was accepted")
			}
			inDump := func() bool {
				got, err := d.Dump(context.Background(), o.Key().Kind)
				if err != nil {
					t.Fatal(err)
				}
				for _, g := range got {
					if g.Key() == o.Key() {
						if !o.Equal(g) {
							t.Fatalf("dump has %s", g)
						}
						return true
					}
				}
				return false
			}
			if !inDump() {
				t.Fatal("not in the dump")
			}
			if r := do(t, d, reconcile.Step{Old: o, New: o}); r.Err != nil || !o.Equal(r.Got) {
				t.Fatalf("replace: %v, %v", r.Err, r.Got)
			}
			for range 2 {
				if r := do(t, d, reconcile.Step{Old: o}); r.Err != nil || r.Got != nil {
					t.Fatalf("delete: %v, %v", r.Err, r.Got)
				}
				if inDump() {
					t.Fatal("still in the dump")
				}
			}
			mustDo(t, d, o)
		})
	}
}

// TestEncapSource: the kernel keeps the source of an encapsulation, or it is refused
// and nothing is left; of a route and of a next hop that routes share.
func TestEncapSource(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	hop := object.NextHop{Link: "v0", Encap: &object.Encap{Mode: object.HEncaps, Segments: []netip.Addr{addr("fc00:1::")}, Source: addr("fc00::9")}}
	for _, o := range []object.Object{
		&object.Route{Table: object.TableMain, Prefix: prefix("2001:db8:a::/48"), NextHops: []object.NextHop{hop}},
		&object.Route{Table: object.TableMain, Prefix: prefix("10.0.0.0/8"), NextHops: []object.NextHop{hop}},
		object.HopByContent(hop),
	} {
		r := do(t, d, reconcile.Step{New: o})
		if r.Err == nil && o.Equal(r.Got) {
			continue
		}
		dropped, drops := errors.AsType[*DroppedError](r.Err)
		_, refuses := errors.AsType[*KernelError](r.Err)
		if !drops && !refuses || drops && dropped.Dropped != "tunsrc fc00::9" {
			t.Errorf("%v: %v, read back %v", o, r.Err, r.Got)
		}
		left, err := d.Dump(context.Background(), o.Key().Kind)
		if err != nil || len(left) != 0 {
			t.Errorf("%v: left %v, %v", o, left, err)
		}
	}
}

// TestFirstMessage writes each form of route as the first message of a driver,
// whose buffers are still empty.
func TestFirstMessage(t *testing.T) {
	for _, r := range []*object.Route{
		{Table: object.TableMain, Prefix: prefix("2001:db8:f::/48"), Type: object.Blackhole},
		{Table: object.TableMain, Prefix: prefix("10.0.0.0/8"), Type: object.Unreachable},
	} {
		t.Run(r.Prefix.String(), func(t *testing.T) {
			d := testDriver(t)
			mustDo(t, d, r)
			if res := do(t, d, reconcile.Step{Old: r}); res.Err != nil {
				t.Fatal(res.Err)
			}
		})
	}
}

func mask(p netip.Prefix) net.IPMask { return net.CIDRMask(p.Bits(), p.Addr().BitLen()) }
