package iproute_test

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"heddle/kernel/drivers"
	"heddle/kernel/iproute"
	"heddle/kernel/object"
	"heddle/kernel/probe"
	"heddle/reconcile"
)

// place is a network namespace with a thread in it.
type place struct {
	t    *testing.T
	work chan func()
	macs map[string]string

	// model is where the commands are from that are run here, with the MAC addresses
	// in them.
	model *place
}

func newPlace(t *testing.T) *place {
	p := &place{t: t, work: make(chan func()), macs: map[string]string{}}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends, and the namespace with it
		ready <- unix.Unshare(unix.CLONE_NEWNET)
		for fn := range p.work {
			fn()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(p.work) })
	for _, args := range []string{
		"sysctl -w net.ipv6.conf.all.accept_dad=0", "sysctl -w net.ipv6.conf.default.accept_dad=0", "ip link set lo up",
		"ip link add ext0 type veth peer name far0", "ip link add ext1 type veth peer name far1",
		"sysctl -w net.ipv6.conf.ext1.forwarding=1", // a value of its own, to be given back
	} {
		p.run(strings.Fields(args))
	}
	for _, l := range []string{"ext0", "far0", "ext1", "far1"} {
		for _, name := range []string{"accept_dad", "router_solicitations"} {
			p.run(iproute.Command{"sysctl", "-w", "net.ipv6.conf." + l + "." + name + "=0"})
		}
		p.run(iproute.Command{"ip", "link", "set", "dev", l, "up"})
	}
	return p
}

// in calls fn in the namespace.
func (p *place) in(fn func()) {
	done := make(chan struct{})
	p.work <- func() { defer close(done); fn() }
	<-done
}

func (p *place) run(c iproute.Command) string {
	p.t.Helper()
	var out, stderr bytes.Buffer
	var err error
	p.in(func() {
		cmd := exec.CommandContext(p.t.Context(), c[0], c[1:]...)
		cmd.Stdout, cmd.Stderr = &out, &stderr
		err = cmd.Run()
	})
	if err != nil {
		p.t.Fatalf("%s: %v\n%s", c, err, stderr.String())
	}
	return out.String()
}

var (
	mac = regexp.MustCompile(`\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b`)
	// What differs by chance, or follows a moment later, as all that waits for carrier.
	moving    = regexp.MustCompile(`(?m)^\d+: |@if\d+|qlen \d+|numtxqueues.*$|expires \S+|state [A-Z]+|(LOWER_UP|NO-CARRIER|M-DOWN),|,(LOWER_UP|M-DOWN)|linkdown|permaddr \S+|\w+_timer +\S+|(bridge_id|designated_\w+) \S+`)
	automatic = regexp.MustCompile(`(?m)^.*\b(inet6 |local |anycast |multicast |^)(fe80:|ff00:)\S* .*\n`)
)

// snapshot is all that ip shows of the namespace, without what differs by chance.
// MAC addresses are numbered as they appear: one that stays keeps its number.
func (p *place) snapshot() []string {
	p.t.Helper()
	var all []string
	for _, what := range []string{"-o -d link show", "-o addr show", "-4 -d route show table all", "-6 -d route show table all", "neigh show nud permanent", "nexthop show", "sr tunsrc show"} {
		text := p.run(append(iproute.Command{"ip"}, strings.Fields(what)...))
		text = moving.ReplaceAllString(automatic.ReplaceAllString(text, ""), "")
		lines := strings.Split(text, "\n")
		slices.Sort(lines)
		for _, l := range lines {
			if l = strings.TrimSpace(l); l != "" {
				all = append(all, mac.ReplaceAllStringFunc(l, p.macName))
			}
		}
	}
	p.in(func() {
		for _, pattern := range []string{"net/ipv4/ip_forward", "net/ipv4/conf/*/forwarding", "net/ipv6/conf/*/forwarding", "net/ipv6/conf/*/seg6_enabled", "net/vrf/strict_mode"} {
			files, err := filepath.Glob("/proc/sys/" + pattern)
			if err != nil {
				p.t.Error(err)
			}
			for _, f := range files {
				v, err := os.ReadFile(f)
				if err != nil {
					p.t.Error(err)
				}
				all = append(all, f+"="+strings.TrimSpace(string(v)))
			}
		}
	})
	return all
}

func (p *place) macName(m string) string {
	// Of a neighbour, or the group address of bridges: not by chance.
	if strings.HasPrefix(m, "02:00:00:00:00:") || strings.HasPrefix(m, "01:80:c2:") {
		return m
	}
	if p.model != nil && p.model.macs[m] != "" {
		return p.model.macs[m]
	}
	if strings.Trim(m, "0:f") != "" && p.macs[m] == "" {
		p.macs[m] = fmt.Sprintf("mac%d", len(p.macs))
	}
	if name := p.macs[m]; name != "" {
		return name
	}
	return m
}

// stage is what is wanted, next to what every stage has.
type stage struct {
	name    string
	objects []object.Object
}

func with(objects ...object.Object) []object.Object { return objects }

func vlan(name, parent string, v object.VLAN) object.Link {
	return object.Link{Name: name, Type: object.LinkVLAN, Parent: parent, VLAN: v}
}

func vxlan(name, parent string, t object.Tunnel) object.Link {
	return object.Link{Name: name, Type: object.LinkVXLAN, Parent: parent, Tunnel: t}
}

func ends4(ttl uint8) object.Tunnel {
	return object.Tunnel{Local: netip.MustParseAddr("192.0.2.1"), Remote: netip.MustParseAddr("192.0.2.9"), TTL: ttl, Fragment: ttl == 0}
}

func ends6(key uint32) object.Tunnel {
	return object.Tunnel{Local: netip.MustParseAddr("2001:db8:1::1"), Remote: netip.MustParseAddr("2001:db8:1::9"), Key: key, Keyed: key != 0}
}

func shared(hop *object.SharedNextHop, prefixes ...string) []object.Object {
	objects := []object.Object{hop}
	for _, p := range prefixes {
		r := route(object.TableMain, p)
		r.SharedHop = hop.ID
		objects = append(objects, r)
	}
	return objects
}

// grouped are routes of both families by the group of a policy, with a member for each
// of the segments.
func grouped(weights []uint16, segments ...string) []object.Object {
	g := object.PolicyGroup("gold", weights)
	objects := []object.Object{g}
	for i, s := range segments {
		objects = append(objects, object.PolicyMember("gold", i, object.NextHop{Link: "sr0", Encap: encap(object.HEncaps, s)}))
	}
	for _, p := range []string{"2001:db8:8::/48", "198.18.9.0/24"} {
		r := route(object.TableMain, p)
		r.SharedHop = g.ID
		objects = append(objects, r)
	}
	return objects
}

func kind(t object.RouteType, r *object.Route) *object.Route {
	r.Type = t
	return r
}

func metric(n uint32, r *object.Route) *object.Route {
	r.Metric = n
	return r
}

// stages lead from one to the next; the last is what was before the first.
func stages() []stage {
	up := func(l string) object.LinkConfig { return object.LinkConfig{Link: l, Admin: object.AdminUp} }
	vrf := func(table uint32, routes ...*object.Route) []object.Object {
		objects := with(object.Link{Name: "vrfA", Type: object.LinkVRF, Table: table}, up("vrfA"), object.Member{Link: "ext1", Master: "vrfA"},
			object.Sysctl{Name: object.SysctlStrictMode, Value: "1"},
			sid("fc00::d4", object.LocalSID{Behavior: object.EndDT4, VRF: "vrfA", VRFTable: table}),
			sid("fc00::d6", object.LocalSID{Behavior: object.EndDT6, VRF: "vrfA", VRFTable: table}),
			sid("fc00::d46", object.LocalSID{Behavior: object.EndDT46, VRF: "vrfA", VRFTable: table}))
		for _, r := range append(routes, metric(4278198272, kind(object.Unreachable, route(table, "0.0.0.0/0"))),
			metric(4278198272, kind(object.Unreachable, route(table, "::/0"))), kind(object.Throw, route(table, "fc00:1::/128")),
			route(table, "203.0.113.0/24", object.NextHop{Link: "ext0", Encap: encap(object.HEncaps, "fc00:1::", "fc00:2::")})) {
			r.VRF = "vrfA"
			objects = append(objects, r)
		}
		return objects
	}
	base := with(object.Link{Name: "sr0", Type: object.LinkVeth, Peer: "sr1"}, object.Link{Name: "sr1", Type: object.LinkVeth, Peer: "sr0"},
		up("sr0"), up("sr1"), object.Sysctl{Name: object.SysctlForward4, Value: "1"}, object.Sysctl{Name: object.SysctlForward6, Value: "1"})
	first := append(slices.Clone(base),
		object.LinkConfig{Link: "ext0", MTU: 1400, Admin: object.AdminUp}, address("192.0.2.1/24", "ext0"), address("2001:db8:1::1/64", "ext0"), address("2001:db8:2::1/64", "ext1"),
		object.Sysctl{Name: object.SysctlSeg6Enabled, Value: "1"}, object.Sysctl{Name: object.SysctlLinkSeg6Enabled("ext0"), Value: "1", Link: "ext0"},
		object.TunnelSource{Source: netip.MustParseAddr("2001:db8:1::1")},
		route(object.TableMain, "198.51.100.0/24", via("192.0.2.9", "ext0")), metric(7, route(object.TableMain, "198.51.100.0/24", object.NextHop{Link: "ext0"})),
		route(object.TableMain, "2001:db8:5::/48", via("2001:db8:1::9", "ext0")), kind(object.Blackhole, route(object.TableMain, "fc00::/48")),
		kind(object.Blackhole, route(object.TableMain, "198.18.0.0/24")),
		sid("fc00::e", object.LocalSID{Behavior: object.End}), sid("fc00::e1", object.LocalSID{Behavior: object.EndX, NextHop: netip.MustParseAddr("2001:db8:1::9")}),
		sid("fc00::d", object.LocalSID{Behavior: object.EndDT6, VRFTable: object.TableMain}))
	second := append(slices.Clone(base),
		up("ext0"), address("192.0.2.1/24", "ext0"), address("2001:db8:1::2/64", "ext0"),
		object.TunnelSource{Source: netip.MustParseAddr("2001:db8:1::2")},
		metric(9, route(object.TableMain, "198.51.100.0/24", via("192.0.2.8", "ext0"))),
		route(object.TableMain, "2001:db8:5::/48", object.NextHop{Link: "ext0", Encap: encap(object.HEncapsRed, "fc00:1::", "fc00:2::")}),
		route(object.TableMain, "2001:db8:6::/48", object.NextHop{Link: "ext0", Encap: encap(object.HInsert, "fc00:1::")}),
		kind(object.Unreachable, route(object.TableMain, "198.18.0.0/24")),
		sid("fc00::e", object.LocalSID{Behavior: object.EndX, NextHop: netip.MustParseAddr("2001:db8:1::7")}))
	return []stage{
		{"first", first},
		{"changed", second},
		{"multipath", append(slices.Clone(second), route(object.TableMain, "2001:db8:7::/48", via("2001:db8:1::8", "ext0"), via("2001:db8:1::9", "ext0")),
			route(object.TableMain, "198.18.7.0/24", via("192.0.2.8", "ext0"), via("192.0.2.9", "ext0")))},
		{"weights", append(slices.Clone(second), route(object.TableMain, "2001:db8:7::/48", via("2001:db8:1::8", "ext0"), weighs(256, via("2001:db8:1::9", "ext0"))),
			route(object.TableMain, "198.18.7.0/24", weighs(3, via("192.0.2.8", "ext0")), via("192.0.2.9", "ext0")))},
		{"ipv4 by ipv6", append(slices.Clone(second), route(object.TableMain, "198.18.8.0/24", via("fe80::9", "ext0")))},
		{"shared", append(slices.Clone(second), shared(sharedHop, "2001:db8:8::/48", "198.18.9.0/24")...)},
		{"shared moves", append(slices.Clone(second), shared(otherHop, "2001:db8:8::/48", "198.18.9.0/24")...)},
		{"shared apart", slices.Concat(second, shared(otherHop, "2001:db8:8::/48"), shared(sharedHop, "198.18.9.0/24"))},
		{"group", append(slices.Clone(second), grouped([]uint16{1}, "fc00:1::")...)},
		{"another member", append(slices.Clone(second), grouped([]uint16{1}, "fc00:2::")...)},
		{"more members", append(slices.Clone(second), grouped([]uint16{3, object.MaxGroupWeight}, "fc00:2::", "fc00:1::")...)},
		{"less members", append(slices.Clone(second), grouped([]uint16{2}, "fc00:1::")...)},
		{"outgoing link", append(slices.Clone(second), sid("fc00::e2", object.LocalSID{Behavior: object.EndX, NextHop: netip.MustParseAddr("fe80::9"), OutLink: "ext0"}))},
		{"behaviours", append(slices.Clone(second), sid("fc00::7", object.LocalSID{Behavior: object.EndT, VRFTable: object.TableMain}),
			sid("fc00::d2", object.LocalSID{Behavior: object.EndDX2, OutLink: "ext0"}),
			sid("fc00::d16", object.LocalSID{Behavior: object.EndDX6, NextHop: netip.MustParseAddr("2001:db8:1::9")}), sid("fc00::d26", object.LocalSID{Behavior: object.EndDX6}),
			sid("fc00::d14", object.LocalSID{Behavior: object.EndDX4, NextHop: netip.MustParseAddr("192.0.2.9")}), sid("fc00::d24", object.LocalSID{Behavior: object.EndDX4}),
			sid("fc00::b6", object.LocalSID{Behavior: object.EndB6, Policy: encap(object.HInsert, "fc00:1::", "fc00:2::")}),
			sid("fc00::b6e", object.LocalSID{Behavior: object.EndB6Encaps, Policy: encap(object.HEncaps, "fc00:1::", "fc00:2::")}))},
		{"flavors", append(slices.Clone(second), sid("fc00::e5", object.LocalSID{Behavior: object.End, Flavors: object.PSP}),
			sid("fcbb:bb00:100::", object.LocalSID{Behavior: object.End, Flavors: object.NextCSID, BlockLength: 32, NodeFunctionLength: 16}),
			sid("fcbb:bb00:100:e1::", object.LocalSID{Behavior: object.EndX, NextHop: netip.MustParseAddr("2001:db8:1::9"),
				Flavors: object.NextCSID, BlockLength: 48, NodeFunctionLength: 16}))},
		{"frames", append(slices.Clone(second), route(object.TableMain, "198.18.10.0/24", object.NextHop{Link: "ext0", Encap: encap(object.HEncapsL2, "fc00:1::")}),
			route(object.TableMain, "2001:db8:a::/48", object.NextHop{Link: "ext0", Encap: encap(object.HEncapsL2Red, "fc00:1::", "fc00:2::")}))},
		// The command for a key asks for the secret at the terminal: the route alone.
		{"hmac", append(slices.Clone(second), route(object.TableMain, "2001:db8:b::/48", object.NextHop{Link: "ext0",
			Encap: &object.Encap{Mode: object.HEncaps, Segments: encap(object.HEncaps, "fc00:1::", "fc00:2::").Segments, HMACKey: 7}}))},
		{"dummy", append(slices.Clone(second), object.Link{Name: "lo7", Type: object.LinkDummy}, address("2001:db8:a::7/128", "lo7"), up("lo7"))},
		{"vlan", append(slices.Clone(second), vlan("tag7", "ext1", object.VLAN{ID: 7}), up("tag7"), address("10.7.0.1/24", "tag7"),
			vlan("tag8", "tag7", object.VLAN{ID: 8, Service: true}), object.LinkConfig{Link: "tag8", MTU: 1400, Admin: object.AdminUp},
			neighbour("10.7.0.7", "tag7"), neighbour("2001:db8:1::7", "ext0"))},
		{"vlan with another number", append(slices.Clone(second), vlan("tag7", "ext1", object.VLAN{ID: 9}), up("tag7"), address("10.7.0.1/24", "tag7"),
			vlan("tag8", "tag7", object.VLAN{ID: 8, Service: true}), object.LinkConfig{Link: "tag8", MTU: 1300, Admin: object.AdminUp},
			object.Neighbour{Link: "tag7", Addr: netip.MustParseAddr("10.7.0.7"), MAC: object.MAC{2, 0, 0, 0, 0, 8}})},
		{"vxlan", append(slices.Clone(second), vxlan("vx5", "", object.Tunnel{Local: netip.MustParseAddr("192.0.2.1"), Remote: netip.MustParseAddr("192.0.2.9"), VNI: 5, Port: 4789, Learn: true}),
			vxlan("vx6", "ext0", object.Tunnel{Remote: netip.MustParseAddr("ff02::77"), VNI: 6, Port: 8472, TTL: 3}), up("vx5"))},
		{"bridge", append(slices.Clone(second), object.Link{Name: "bridge0", Type: object.LinkBridge}, up("bridge0"), object.Member{Link: "ext1", Master: "bridge0"}, address("10.7.0.1/24", "bridge0"))},
		{"gre", append(slices.Clone(second), object.Link{Name: "tun0", Type: object.LinkGRE, Tunnel: ends4(0)}, object.Link{Name: "tap0", Type: object.LinkGRETap, Tunnel: ends4(64)},
			object.Link{Name: "tun6", Type: object.LinkIP6GRE, Tunnel: ends6(7)}, object.Link{Name: "tap6", Type: object.LinkIP6GRETap, Tunnel: ends6(0)}, up("tun0"), address("10.7.0.1/30", "tun0"))},
		{"vrf", slices.Concat(second, vrf(110), with(address("2001:db8:3::1/64", "ext1"), address("10.0.0.1/24", "ext1")))},
		{"vrf with another table", slices.Concat(second, vrf(130), with(address("2001:db8:3::1/64", "ext1"), address("10.0.0.1/24", "ext1")))},
		{"nothing", nil},
	}
}

// TestCommandsDoWhatDriversDo goes through the stages twice: in one namespace the
// drivers take the steps, in another one the commands are run. What ip shows of the
// two is the same after each stage, and in the end what it was.
func TestCommandsDoWhatDriversDo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	caps, err := probe.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rest, err := probe.Rest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(caps, rest)
	driven, typed := newPlace(t), newPlace(t)
	typed.model = driven
	var d *drivers.Drivers
	driven.in(func() { d, err = drivers.Open(drivers.Config{StateDir: t.TempDir()}) })
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	rec := reconcile.New(d)
	if err := rec.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := differ(driven.snapshot, typed.snapshot); diff != "" {
		t.Fatalf("the two namespaces differ from the start:\n%s", diff)
	}
	before := driven.snapshot()
	var was []object.Object
	for _, s := range stages() {
		t.Run(s.name, func(t *testing.T) {
			for _, o := range s.objects {
				if why := caps.Lacks(o); why != "" {
					t.Skip(why)
				}
			}
			take(t, d, rec, changes(was, s.objects), typed)
			was = s.objects
			if diff := differ(driven.snapshot, typed.snapshot); diff != "" {
				t.Fatalf("-as driven +as typed:\n%s", diff)
			}
		})
	}
	if diff := differ(func() []string { return before }, typed.snapshot); diff != "" {
		t.Errorf("in the end (-before +now):\n%s", diff)
	}
}

// differ is how two snapshots differ once carriers and addresses have settled, for
// which it waits.
func differ(a, b func() []string) (diff string) {
	end, tick := time.NewTimer(10*time.Second), time.NewTicker(20*time.Millisecond)
	defer end.Stop()
	defer tick.Stop()
	for {
		if diff = cmp.Diff(a(), b()); diff == "" {
			return ""
		}
		select {
		case <-end.C:
			return diff
		case <-tick.C:
		}
	}
}

// take has the drivers take the steps, and the commands of the same steps run.
func take(t *testing.T, d *drivers.Drivers, rec *reconcile.Reconciler, changes []reconcile.Change, typed *place) {
	t.Helper()
	p, err := rec.DryRun(t.Context(), changes)
	if err != nil {
		t.Fatal(err)
	}
	all, err := iproute.Commands(t.Context(), d, p.Steps)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rec.Commit(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	for i, of := range all {
		for _, c := range of {
			t.Logf("%s", c)
			typed.run(c)
		}
		if len(of) == 0 {
			t.Logf("nothing for %v", p.Steps[i])
		}
	}
}

// changes lead from one stage to another.
func changes(old, new []object.Object) []reconcile.Change {
	var all []reconcile.Change
	wanted := map[object.Key]bool{}
	for _, o := range new {
		wanted[o.Key()] = true
		all = append(all, reconcile.Change{Key: o.Key(), Want: reconcile.Wanted{Object: o}})
	}
	for _, o := range old {
		if !wanted[o.Key()] {
			all = append(all, reconcile.Change{Key: o.Key()})
		}
	}
	return all
}
