package drivers

import (
	"context"
	"strings"
	"testing"

	"heddle/kernel/object"
)

// newOthersWithVRF is newOthers, or skips where the kernel has no VRFs.
func newOthersWithVRF(t *testing.T, parts ...[]string) *others {
	t.Helper()
	o := newOthers(t, parts...)
	caps, err := o.d.Probe.Capabilities(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if why := caps.Lacks(vrf(110)[0]); why != "" {
		t.Skip(why)
	}
	// With the first VRF the kernel makes rules, and keeps them.
	o.ip("link add first type vrf table 9", "link del first")
	return o
}

func vrf(table uint32) []object.Object {
	return []object.Object{object.Link{Name: "blue", Type: object.LinkVRF, Table: table}, object.LinkConfig{Link: "blue", Admin: object.AdminUp}}
}

var allInUse = []string{"2001:db8:1::1", "2001:db8:1::2", "2001:db8:1::3", "fe80::99"}

// followsVRF is in the lines of what is in the table of a link's VRF by itself.
var followsVRF = []string{"proto kernel", "blue"}

// TestMoveToVRF: a link goes into a VRF and out again, and what somebody else has
// on it goes with it.
func TestMoveToVRF(t *testing.T) {
	o := newOthersWithVRF(t, hangsOn, leadsOver)
	o.commit(nil, vrf(110))
	in := append(vrf(110), object.Member{Link: "e1", Master: "blue"})
	before := o.settled()
	o.refusedLate(vrf(110), in)
	o.inUse(allInUse...)
	o.same("refused", before)
	undo := o.commit(vrf(110), in)
	o.inUse(allInUse...)
	o.same("moved", before, append(followsVRF, "e1@")...)
	moved := o.settled()
	for _, want := range []string{"10.1.0.0/24 dev e1 table 110", "2001:db8:1::/64 dev e1 table 110"} {
		if !strings.Contains(strings.Join(moved, "\n"), want) {
			o.Errorf("no %s after the move", want)
		}
	}
	if err := undo(o.Context()); err != nil {
		o.Fatal(err)
	}
	o.inUse(allInUse...)
	o.same("undone", before)
	o.commit(vrf(110), in)
	o.refusedLate(in, vrf(110))
	o.same("release refused", moved)
	o.commit(in, vrf(110))
	o.inUse(allInUse...)
	o.same("released", before)
}

// TestMoveLeavesRoutes: routes cannot stay where a link no longer is.
func TestMoveLeavesRoutes(t *testing.T) {
	o := newOthersWithVRF(t, hangsOn, inMain)
	in := append(vrf(110), object.Member{Link: "e1", Master: "blue"})
	o.refused(nil, in, "what leads over e1 (route 10.9.0.0/16 of protocol boot (3), ", "route 2001:db8:4::/64 metric 700 of protocol kernel (2) and 1 more)", "leave e1 where it is")
	o.ip("route del 10.9.0.0/16", "route del 10.16.0.0/16", "-6 route del 2001:db8:9::/64", "-6 route del 2001:db8:4::/64 dev e1", "-6 addr del 2001:db8:4::1/64 dev e1")
	o.commit(nil, in)
	// The same in a VRF that stays, and not in one that goes.
	o.ip("route add 10.9.0.0/16 via 10.1.0.9 table 110")
	o.refused(in, vrf(110), "what leads over e1 (route 10.9.0.0/16 table 110 of protocol boot (3))")
	o.commit(in, nil)
}

// TestSourceMoves: what can be seen only when it is done is undone. Outside of its
// VRF an address is no source for the kernel (fib_valid_prefsrc in
// net/ipv4/fib_semantics.c).
func TestSourceMoves(t *testing.T) {
	o := newOthersWithVRF(t, hangsOn, leadsOver)
	o.ip("route add 10.17.0.0/16 via 10.1.0.9 dev e1 table 77 src 10.1.0.2 proto bird")
	before := o.settled()
	_, err := o.r.Commit(o.Context(), changes(nil, append(vrf(110), object.Member{Link: "e1", Master: "blue"})))
	if err == nil || strings.Contains(err.Error(), "undo") || !strings.Contains(err.Error(), "route 10.17.0.0/16 table 77 of protocol bird (12) went with it and cannot be put back (Invalid prefsrc address") {
		o.Errorf("error: %v", err)
	}
	o.same("undone", before)
}

// inBlue is what somebody else has in the VRF that is ours.
var inBlue = []string{
	"link set e1 master blue", "link set e2 master blue",
	"addr add 127.0.0.1/8 dev blue", "-6 addr add 2001:db8:3::1/128 dev blue",
	"link set blue mtu 9000",
}

var routesOfBlue = []string{
	"route add 10.77.0.0/16 dev blue", "-6 route add 2001:db8:77::/64 dev blue",
	"route add 10.78.0.0/16 via 10.1.0.9 table 110 proto bird", "-6 route add 2001:db8:78::/64 via 2001:db8:1::9 table 110 proto 186",
	"route add 10.79.0.0/16 table 110 nexthop via 10.1.0.9 nexthop via 10.2.0.9",
	"-6 route add 2001:db8:79::/64 table 110 nexthop via 2001:db8:1::9 nexthop via 2001:db8:2::9",
	"route add blackhole 10.80.0.0/16 table 110",
}

// TestVRFMadeAnew: a VRF gets another table, and so is another link. Its members
// are somebody else's, and so is what is on them but for one address and route.
func TestVRFMadeAnew(t *testing.T) {
	o := newOthersWithVRF(t)
	ours := func(table uint32) []object.Object {
		return append(vrf(table), object.Address{Link: "e1", Prefix: prefix("2001:db8:5::1/64")},
			&object.Route{Table: table, VRF: "blue", Prefix: prefix("2001:db8:55::/64"),
				NextHops: []object.NextHop{{Gateway: prefix("2001:db8:5::9/128").Addr(), Link: "e1"}}})
	}
	o.commit(nil, ours(110))
	for _, lines := range [][]string{inBlue, hangsOn, leadsOver, routesOfBlue} {
		o.ip(lines...)
		o.settled()
	}
	// With the VRF went the route over its member, which the reconciler does not
	// know to be one.
	if _, err := o.r.Resync(o.Context()); err != nil {
		o.Fatal(err)
	}
	o.commit(nil, ours(110))
	before := o.settled()
	o.refusedLate(ours(110), ours(210))
	o.inUse(append(allInUse, "2001:db8:5::1")...)
	o.same("refused", before)
	undo := o.commit(ours(110), ours(210))
	o.inUse(append(allInUse, "2001:db8:5::1")...)
	o.same("made anew", before, "vrf table", "vrf_slave table", "proto kernel", "2001:db8:55::/64")
	if err := undo(o.Context()); err != nil {
		o.Fatal(err)
	}
	o.same("undone", before)
}

// TestVRFGoes: members of somebody else are let go, with what is on them. What was
// in the table goes with the VRF.
func TestVRFGoes(t *testing.T) {
	o := newOthersWithVRF(t)
	o.commit(nil, vrf(110))
	for _, lines := range [][]string{inBlue[:2], hangsOn, leadsOver, routesOfBlue[2:4]} {
		o.ip(lines...)
		o.settled()
	}
	before := o.settled()
	undo := o.commit(vrf(110), nil)
	o.inUse(allInUse...)
	o.same("gone", before, append(followsVRF, "e1@", "e2@", "10.78.0.0/16", "2001:db8:78::/64")...)
	if err := undo(o.Context()); err != nil {
		o.Fatal(err)
	}
	o.same("undone", before)
}
