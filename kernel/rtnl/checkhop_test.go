package rtnl

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// TestNextHopsOfSIDs: the kernel takes any next hop; Check finds out whether a
// packet would get there, in the kernel and in the plan.
func TestNextHopsOfSIDs(t *testing.T) {
	d := testDriver(t)
	wires(t, d) // v0 has 192.0.2.1/24 and 2001:db8:1::1/64
	route := func(p, gw string) *object.Route {
		return &object.Route{Table: object.TableMain, Prefix: prefix(p), NextHops: []object.NextHop{{Gateway: addr(gw), Link: "v0"}}}
	}
	mustDo(t, d, route("10.0.0.0/8", "192.0.2.2"), route("2001:db8:a::/48", "2001:db8:1::2"),
		&object.Route{Table: object.TableMain, Prefix: prefix("2001:db8:b::/48"), Type: object.Blackhole})
	for _, c := range []struct {
		behavior object.Behavior
		hop      string // LINK after a %
		plan     []object.Object
		refused  string
	}{
		{object.EndX, "2001:db8:1::2", nil, ""},
		{object.EndX, "fe80::2", nil, ""},
		{object.EndX, "2001:db8:a::1", nil, "route 2001:db8:a::/48 leads to it by other nodes"},
		{object.EndX, "2001:db8:b::1", nil, "reached by no route"},
		{object.EndX, "2001:db8:c::1", nil, "reached by no route"},
		{object.EndX, "2001:db8:c::1", []object.Object{object.Address{Link: "v1", Prefix: prefix("2001:db8:c::7/64")}}, ""},
		{object.EndX, "2001:db8:c::7", []object.Object{object.Address{Link: "v1", Prefix: prefix("2001:db8:c::7/64")}}, "is an address of this node"},
		{object.EndX, "2001:db8:1::2", []object.Object{object.Address{Link: "v1", Prefix: prefix("2001:db8:1::2/64")}}, "is an address of this node"},
		{object.EndX, "2001:db8:c::1", []object.Object{object.Link{Name: "blue", Type: object.LinkVRF, Table: 110},
			object.Member{Link: "v1", Master: "blue"}, object.Address{Link: "v1", Prefix: prefix("2001:db8:c::7/64")}}, "reached by no route"},
		{object.EndX, "2001:db8:c::1", []object.Object{object.Link{Name: "br", Type: object.LinkBridge},
			object.Member{Link: "v1", Master: "br"}, object.Address{Link: "v1", Prefix: prefix("2001:db8:c::7/64")}}, ""},
		{object.EndX, "2001:db8:c::1", []object.Object{route("2001:db8:c::/48", "2001:db8:1::2")}, "reached by no route"},
		{object.EndX, "2001:db8:1::2%v0", nil, ""},
		{object.EndX, "2001:db8:1::2%v1", nil, "is not on v1"},
		{object.EndX, "2001:db8:a::1%v1", nil, "is not on v1"},
		{object.EndX, "2001:db8:1::2%v1", []object.Object{object.Address{Link: "v1", Prefix: prefix("2001:db8:1::7/64")}}, ""},
		{object.EndX, "2001:db8:c::1%v0", []object.Object{object.Address{Link: "v1", Prefix: prefix("2001:db8:c::7/64")}}, "is not on v0"},
		{object.EndX, "2001:db8:c::1%new", []object.Object{object.Link{Name: "new", Type: object.LinkDummy},
			object.Address{Link: "new", Prefix: prefix("2001:db8:c::7/64")}}, ""},
		{object.EndX, "2001:db8:1::2%new", []object.Object{object.Link{Name: "new", Type: object.LinkDummy}}, "is not on new"},
		{object.EndDX6, "2001:db8:a::1", nil, ""},
		{object.EndDX6, "2001:db8:b::1", nil, "reached by no route"},
		{object.EndDX6, "2001:db8:c::1", nil, "reached by no route"},
		{object.EndDX6, "2001:db8:c::1", []object.Object{route("2001:db8:c::/48", "2001:db8:1::2")}, ""},
		{object.EndDX4, "10.1.1.1", nil, ""},
		{object.EndDX4, "192.0.2.9", nil, ""},
		{object.EndDX4, "192.0.2.1", nil, "is an address of this node"},
		{object.EndDX4, "198.51.100.1", nil, "reached by no route"},
		{object.EndDX4, "", nil, ""},
	} {
		sid := &object.LocalSID{SID: addr("fc00::1"), Table: object.TableMain, Behavior: c.behavior, Dev: "v0"}
		if c.hop != "" {
			hop, link, _ := strings.Cut(c.hop, "%")
			sid.NextHop, sid.OutLink = netip.MustParseAddr(hop), link
		}
		var steps []reconcile.Step
		for _, o := range append(c.plan, sid) {
			steps = append(steps, reconcile.Step{New: o})
		}
		err := d.Check(context.Background(), steps)
		unfit, ok := errors.AsType[*UnfitError](err)
		if ok != (c.refused != "") || err != nil && (!ok || !strings.Contains(unfit.Reason, c.refused)) {
			t.Errorf("%v with %v: %v, expected %q", sid, c.plan, err, c.refused)
		}
	}
}

// TestFramesBy: what End.DX2 sends by carries Ethernet, as it is and as a plan makes
// it.
func TestFramesBy(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	local := prefix("192.0.2.1/24").Addr()
	gre := object.Link{Name: "g0", Type: object.LinkGRE, Tunnel: object.Tunnel{Local: local, Remote: local.Next()}}
	tap := gre
	tap.Type = object.LinkGRETap
	ip(t, "link add c0 type veth peer name c1")
	ip(t, "link set c0 up") // and c1 is down
	ran := &object.LocalSID{SID: addr("fc00::1"), Table: object.TableMain, Behavior: object.EndDX2, OutLink: "c0", Dev: "v0"}
	for _, c := range []struct {
		link    string
		made    []reconcile.Step
		refused bool
	}{
		{"v1", nil, false},
		{"lo", nil, true},
		{"c0", nil, true},
		{"c0", []reconcile.Step{{New: object.LinkConfig{Link: "c0", Admin: object.AdminUp}}}, false},
		{"c0", []reconcile.Step{{Old: ran}}, false},
		{"g0", []reconcile.Step{{New: gre}}, true},
		{"g0", []reconcile.Step{{New: tap}}, false},
	} {
		sid := &object.LocalSID{SID: addr("fc00::1"), Table: object.TableMain, Behavior: object.EndDX2, OutLink: c.link, Dev: "v0"}
		err := d.Check(context.Background(), append(c.made, reconcile.Step{New: sid}))
		if _, unfit := errors.AsType[*UnfitError](err); unfit != c.refused || err != nil && !unfit {
			t.Errorf("%v with %v: %v", sid, c.made, err)
		}
	}
}
