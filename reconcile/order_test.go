package reconcile_test

import (
	"testing"

	"heddle/kernel/object"
)

// tenant is a VRF with a customer link, its routes and its SID.
func tenant(name string, table uint32, link string) []object.Object {
	return []object.Object{
		vrf(name, table), up(name), strict, dummy("sr0"), up("sr0"),
		member(link, name), address(link, "10.0.5.1/24"), address(link, "2001:db8:5::1/64"),
		unreachable(name, table),
		route(name, table, "10.5.0.0/16", "10.0.5.2 dev "+link),
		dt4("fc00::d4", name, table),
	}
}

func with(base []object.Object, more ...object.Object) []object.Object {
	return append(append([]object.Object(nil), base...), more...)
}

func core() []object.Object { return []object.Object{dummy("sr0"), up("sr0"), strict} }

func encapTo(segment, link string) object.NextHop {
	return object.NextHop{Link: link, Encap: &object.Encap{Mode: object.HEncaps, Segments: addrs(segment)}}
}

func toSegment(segment string) *object.SharedNextHop {
	return object.HopByContent(encapTo(segment, "sr0"))
}
func policy(segment string) *object.SharedNextHop {
	return object.HopByName("policy", encapTo(segment, "sr0"))
}

func by(p string, h *object.SharedNextHop) object.Object {
	return &object.Route{Table: object.TableMain, Prefix: prefix(p), SharedHop: h.ID}
}

// inBlue leaves by the device of a VRF.
var inBlue = object.HopByContent(encapTo("fc00::1", "blue"))

func byPolicy(p string) object.Object           { return by(p, policy("fc00::1")) }
func bySegment(p, segment string) object.Object { return by(p, toSegment(segment)) }

func veth(name, peer string) object.Object {
	return object.Link{Name: name, Type: object.LinkVeth, Peer: peer}
}

// orderTests are the steps from one state to another, "--" between batches.
var orderTests = []struct {
	name       string
	have, want []object.Object
	plan       string
}{
	{
		name: "nothing to do",
		have: tenant("blue", 110, "ext0"), want: tenant("blue", 110, "ext0"),
	},
	{
		name: "one end of a veth gets another peer: the new pair waits for the name",
		have: []object.Object{veth("v1", "v2"), veth("v2", "v1")},
		want: []object.Object{veth("v2", "v3"), veth("v3", "v2")},
		plan: `
			del link v2 type veth peer v1
			--
			del link v1 type veth peer v2
			--
			add link v2 type veth peer v3
			--
			add link v3 type veth peer v2
		`,
	},
	{
		name: "VRF created with its routes and SID",
		want: tenant("blue", 110, "ext0"),
		plan: `
			add link blue type vrf table 110
			add link sr0 type dummy
			--
			add sysctl net/vrf/strict_mode=1
			--
			add link ext0 master blue
			--
			add link blue up
			add link sr0 up
			--
			add address 10.0.5.1/24 dev ext0
			add address 2001:db8:5::1/64 dev ext0
			--
			add route unreachable 0.0.0.0/0 table 110 metric 4278198272
			add route 10.5.0.0/16 table 110 via 10.0.5.2 dev ext0
			--
			add sid fc00::d4 action End.DT4 vrftable 110 dev sr0`,
	},
	{
		name: "a shared next hop with a name changes under its routes",
		have: with(core(), policy("fc00::1"), byPolicy("2001:db8:1::/48"), byPolicy("10.1.0.0/16")),
		want: with(core(), policy("fc00::2"), byPolicy("2001:db8:1::/48"), byPolicy("10.1.0.0/16")),
		plan: `
			set nexthop @policy encap seg6 mode encap segs fc00::2 dev sr0`,
	},
	{
		name: "routes move to another shared next hop: make before break",
		have: with(core(), toSegment("fc00::1"), bySegment("2001:db8:1::/48", "fc00::1"), bySegment("10.1.0.0/16", "fc00::1")),
		want: with(core(), toSegment("fc00::2"), bySegment("2001:db8:1::/48", "fc00::2"), bySegment("10.1.0.0/16", "fc00::2")),
		plan: `
			add nexthop encap seg6 mode encap segs fc00::2 dev sr0
			--
			set route 10.1.0.0/16 by nexthop encap seg6 mode encap segs fc00::2 dev sr0
			set route 2001:db8:1::/48 by nexthop encap seg6 mode encap segs fc00::2 dev sr0
			--
			del nexthop encap seg6 mode encap segs fc00::1 dev sr0`,
	},
	{
		name: "a shared next hop is rebuilt with its link, and its routes with it",
		have: []object.Object{vrf("blue", 110), up("blue"), inBlue, &object.Route{Table: 110, VRF: "blue", Prefix: prefix("10.1.0.0/16"), SharedHop: inBlue.ID}},
		want: []object.Object{vrf("blue", 120), up("blue"), inBlue, &object.Route{Table: 120, VRF: "blue", Prefix: prefix("10.1.0.0/16"), SharedHop: inBlue.ID}},
		plan: `
			del route 10.1.0.0/16 table 110 by nexthop encap seg6 mode encap segs fc00::1 dev blue
			--
			del nexthop encap seg6 mode encap segs fc00::1 dev blue
			--
			del link blue up
			--
			del link blue type vrf table 110
			--
			add link blue type vrf table 120
			--
			add link blue up
			--
			add nexthop encap seg6 mode encap segs fc00::1 dev blue
			--
			add route 10.1.0.0/16 table 120 by nexthop encap seg6 mode encap segs fc00::1 dev blue`,
	},
	{
		name: "VRF moved to another table takes along what depends on it",
		have: tenant("blue", 110, "ext0"), want: tenant("blue", 120, "ext0"),
		plan: `
			del sid fc00::d4 action End.DT4 vrftable 110 dev sr0
			--
			del route unreachable 0.0.0.0/0 table 110 metric 4278198272
			del route 10.5.0.0/16 table 110 via 10.0.5.2 dev ext0
			--
			del address 10.0.5.1/24 dev ext0
			del address 2001:db8:5::1/64 dev ext0
			--
			del link blue up
			--
			del link ext0 master blue
			--
			del link blue type vrf table 110
			--
			add link blue type vrf table 120
			--
			add link ext0 master blue
			--
			add link blue up
			--
			add address 10.0.5.1/24 dev ext0
			add address 2001:db8:5::1/64 dev ext0
			--
			add route unreachable 0.0.0.0/0 table 120 metric 4278198272
			add route 10.5.0.0/16 table 120 via 10.0.5.2 dev ext0
			--
			add sid fc00::d4 action End.DT4 vrftable 120 dev sr0`,
	},
	{
		name: "VRF deleted with its routes and SID",
		have: tenant("blue", 110, "ext0"),
		plan: `
			del sid fc00::d4 action End.DT4 vrftable 110 dev sr0
			--
			del route unreachable 0.0.0.0/0 table 110 metric 4278198272
			del route 10.5.0.0/16 table 110 via 10.0.5.2 dev ext0
			--
			del address 10.0.5.1/24 dev ext0
			del address 2001:db8:5::1/64 dev ext0
			--
			del link blue up
			del link sr0 up
			--
			del link ext0 master blue
			--
			del sysctl net/vrf/strict_mode=1
			--
			del link blue type vrf table 110
			del link sr0 type dummy`,
	},
	{
		name: "two VRFs swap tables",
		have: with(core(), vrf("blue", 10), vrf("red", 20), dt4("fc00::b", "blue", 10), dt4("fc00::c", "red", 20)),
		want: with(core(), vrf("blue", 20), vrf("red", 10), dt4("fc00::b", "blue", 20), dt4("fc00::c", "red", 10)),
		plan: `
			del sid fc00::b action End.DT4 vrftable 10 dev sr0
			del sid fc00::c action End.DT4 vrftable 20 dev sr0
			--
			del link blue type vrf table 10
			del link red type vrf table 20
			--
			add link blue type vrf table 20
			add link red type vrf table 10
			--
			add sid fc00::b action End.DT4 vrftable 20 dev sr0
			add sid fc00::c action End.DT4 vrftable 10 dev sr0`,
	},
	{
		name: "VRF takes over the table of one that goes",
		have: with(core(), vrf("blue", 10)), want: with(core(), vrf("red", 10)),
		plan: `
			del link blue type vrf table 10
			--
			add link red type vrf table 10`,
	},
	{
		name: "SID follows a table to another VRF: a ring, opened by deleting the SID",
		have: with(core(), vrf("blue", 10), dt4("fc00::b", "blue", 10)),
		want: with(core(), vrf("red", 10), dt4("fc00::b", "red", 10)),
		plan: `
			del sid fc00::b action End.DT4 vrftable 10 dev sr0
			--
			del link blue type vrf table 10
			--
			add link red type vrf table 10
			--
			add sid fc00::b action End.DT4 vrftable 10 dev sr0`,
	},
	{
		name: "SID re-pointed from a vanishing VRF stays without a gap",
		have: with(core(), vrf("blue", 10), dt4("fc00::b", "blue", 10)),
		want: with(core(), vrf("red", 20), dt4("fc00::b", "red", 20)),
		plan: `
			add link red type vrf table 20
			--
			set sid fc00::b action End.DT4 vrftable 20 dev sr0
			--
			del link blue type vrf table 10`,
	},
	{
		name: "route re-pointed from a vanishing link",
		have: with(core(), dummy("d0"), up("d0"), route("", 254, "2001:db8:9::/48", "dev d0")),
		want: with(core(), dummy("d1"), up("d1"), route("", 254, "2001:db8:9::/48", "dev d1")),
		plan: `
			add link d1 type dummy
			--
			add link d1 up
			--
			set route 2001:db8:9::/48 dev d1
			--
			del link d0 up
			--
			del link d0 type dummy`,
	},
	{
		name: "addresses swapped: both are there before either goes",
		have: []object.Object{address("ext0", "10.0.1.1/24"), address("ext1", "10.0.2.1/24")},
		want: []object.Object{address("ext0", "10.0.2.1/24"), address("ext1", "10.0.1.1/24")},
		plan: `
			add address 10.0.2.1/24 dev ext0
			add address 10.0.1.1/24 dev ext1
			--
			del address 10.0.1.1/24 dev ext0
			del address 10.0.2.1/24 dev ext1`,
	},
	{
		name: "address comes before the route whose gateway it makes reachable, and goes after",
		have: []object.Object{address("ext0", "10.0.1.1/24"), route("", 254, "10.9.0.0/16", "10.0.1.2")},
		want: []object.Object{address("ext1", "10.0.3.1/24"), route("", 254, "10.9.0.0/16", "10.0.3.2")},
		plan: `
			add address 10.0.3.1/24 dev ext1
			--
			set route 10.9.0.0/16 via 10.0.3.2
			--
			del address 10.0.1.1/24 dev ext0`,
	},
	{
		name: "link joins a VRF: its addresses and routes are made again",
		have: []object.Object{vrf("blue", 10), up("blue"), address("ext0", "2001:db8:1::1/64"),
			route("", 254, "2001:db8:9::/48", "2001:db8:1::2 dev ext0")},
		want: []object.Object{vrf("blue", 10), up("blue"), address("ext0", "2001:db8:1::1/64"), member("ext0", "blue"),
			route("blue", 10, "2001:db8:9::/48", "2001:db8:1::2 dev ext0")},
		plan: `
			del route 2001:db8:9::/48 via 2001:db8:1::2 dev ext0
			--
			del address 2001:db8:1::1/64 dev ext0
			--
			add link ext0 master blue
			--
			add address 2001:db8:1::1/64 dev ext0
			--
			add route 2001:db8:9::/48 table 10 via 2001:db8:1::2 dev ext0`,
	},
	{
		name: "route without a link is made again with the link that its gateway was found on",
		have: []object.Object{address("ext0", "2001:db8:1::1/64"), route("", 254, "2001:db8:9::/48", "2001:db8:1::2")},
		want: []object.Object{address("ext0", "2001:db8:1::1/64"), route("", 254, "2001:db8:9::/48", "2001:db8:1::2"), up("ext0")},
		plan: `
			del route 2001:db8:9::/48 via 2001:db8:1::2 dev ext0
			--
			del address 2001:db8:1::1/64 dev ext0
			--
			add link ext0 up
			--
			add address 2001:db8:1::1/64 dev ext0
			--
			add route 2001:db8:9::/48 via 2001:db8:1::2`,
	},
	{
		name: "link leaves a VRF",
		have: []object.Object{vrf("blue", 10), address("ext0", "2001:db8:1::1/64"), member("ext0", "blue")},
		want: []object.Object{vrf("blue", 10), address("ext0", "2001:db8:1::1/64")},
		plan: `
			del address 2001:db8:1::1/64 dev ext0
			--
			del link ext0 master blue
			--
			add address 2001:db8:1::1/64 dev ext0`,
	},
	{
		name: "route gives its slot to a SID",
		have: with(core(), route("", 254, "fc00::1/128", "dev sr0")),
		want: with(core(), end("fc00::1")),
		plan: `
			del route fc00::1/128 dev sr0
			--
			add sid fc00::1 action End dev sr0`,
	},
	{
		name: "what has nothing to do with a rebuilt VRF is made before anything goes",
		have: with(core(), vrf("blue", 10), up("blue"), unreachable("blue", 10), route("", 254, "2001:db8:9::/48", "dev ext0")),
		want: with(core(), vrf("blue", 20), up("blue"), unreachable("blue", 20), route("", 254, "2001:db8:a::/48", "dev ext0")),
		plan: `
			del route unreachable 0.0.0.0/0 table 10 metric 4278198272
			--
			del link blue up
			--
			del link blue type vrf table 10
			--
			add link blue type vrf table 20
			--
			add link blue up
			--
			add route unreachable 0.0.0.0/0 table 20 metric 4278198272
			add route 2001:db8:a::/48 dev ext0
			--
			del route 2001:db8:9::/48 dev ext0`,
	},
	{
		name: "mtu changes in place and disturbs nobody",
		have: []object.Object{object.LinkConfig{Link: "ext0", MTU: 1500, Admin: object.AdminUp}, address("ext0", "2001:db8:1::1/64")},
		want: []object.Object{object.LinkConfig{Link: "ext0", MTU: 1400, Admin: object.AdminUp}, address("ext0", "2001:db8:1::1/64")},
		plan: `set link ext0 mtu 1400 up`,
	},
	{
		name: "of SIDs with one address and different prefixes the former goes first",
		have: []object.Object{dummy("sr0"), up("sr0"), end("fcbb:bb00:100::"), csid("fcbb:bb00:200::", 16)},
		want: []object.Object{dummy("sr0"), up("sr0"), csid("fcbb:bb00:100::", 16), csid("fcbb:bb00:200::", 32)},
		plan: `
			del sid fcbb:bb00:100:: action End dev sr0
			--
			add sid fcbb:bb00:100::/48 action End flavors next-csid lblen 32 nflen 16 dev sr0
			--
			del sid fcbb:bb00:200::/48 action End flavors next-csid lblen 32 nflen 16 dev sr0
			--
			add sid fcbb:bb00:200::/64 action End flavors next-csid lblen 32 nflen 32 dev sr0`,
	},
	{
		name: "a veth waits for the link that has the name of its second end",
		have: []object.Object{dummy("v1"), up("v1")},
		want: []object.Object{object.Link{Name: "v0", Type: object.LinkVeth, Peer: "v1"}, object.Link{Name: "v1", Type: object.LinkVeth, Peer: "v0"}},
		plan: `
			del link v1 up
			--
			del link v1 type dummy
			--
			add link v0 type veth peer v1
			--
			add link v1 type veth peer v0`,
	},
	{
		name: "both ends of a veth come and go",
		have: []object.Object{object.Link{Name: "v0", Type: object.LinkVeth, Peer: "v1"}, object.Link{Name: "v1", Type: object.LinkVeth, Peer: "v0"}},
		want: []object.Object{object.Link{Name: "v0", Type: object.LinkVeth, Peer: "v2"}, object.Link{Name: "v2", Type: object.LinkVeth, Peer: "v0"}},
		plan: `
			del link v1 type veth peer v0
			--
			del link v0 type veth peer v1
			--
			add link v0 type veth peer v2
			--
			add link v2 type veth peer v0`,
	},
}

func TestOrder(t *testing.T) {
	for _, tt := range orderTests {
		t.Run(tt.name, func(t *testing.T) {
			f, r := running(t, tt.have...)
			changes := from(tt.have, tt.want)
			p, err := r.Plan(changes)
			if err != nil {
				t.Fatal(err)
			}
			sameText(t, "plan", text(p), tt.plan)
			f.FailWith(nil)
			if err := r.Apply(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			if f.Ops() != len(p.Steps) {
				t.Errorf("%d operations for %d steps", f.Ops(), len(p.Steps))
			}
			if f.Gone() != 0 {
				t.Errorf("%d objects were gone before they were deleted", f.Gone())
			}
			fresh, _ := running(t, tt.want...)
			sameText(t, "kernel", f.Snapshot(), fresh.Snapshot())
		})
	}
}

// A VRF gets another name and keeps its table: what is in the table is the same to
// the kernel, and waits for the new VRF all the same, also where something else
// pulls it ahead.
func TestRenamedVRFKeepsItsTable(t *testing.T) {
	sid := func(dev string) object.Object {
		return &object.LocalSID{SID: addr("fc00::3"), Table: object.TableMain, Behavior: object.End, Dev: dev}
	}
	drop := func(vrf string) object.Object {
		return &object.Route{Table: 30, VRF: vrf, Prefix: prefix("10.9.0.0/16"), Type: object.Blackhole}
	}
	old := []object.Object{dummy("sr0"), up("sr0"), vrf("green", 30), up("green"), member("sr0", "green"), sid("sr0"), drop("green")}
	_, r := running(t, old...)
	p, err := r.Plan(from(old, []object.Object{vrf("red", 30), drop("red"), sid("ext1")}))
	if err != nil {
		t.Fatal(err)
	}
	sameText(t, "plan", p.String(), `
set sid fc00::3 action End dev ext1
		del route blackhole 10.9.0.0/16 table 30
		del link green up
		del link sr0 up
		del link sr0 master green
		del link green type vrf table 30
		add link red type vrf table 30
		add route blackhole 10.9.0.0/16 table 30
		del link sr0 type dummy`)
}
