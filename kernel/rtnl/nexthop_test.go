package rtnl

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// hopTo is the encapsulation to some segments, by v0.
func hopTo(segments ...string) object.NextHop {
	e := &object.Encap{Mode: object.HEncaps}
	for _, s := range segments {
		e.Segments = append(e.Segments, addr(s))
	}
	return object.NextHop{Link: "v0", Encap: e}
}

// byHop is a route by a shared next hop or a group.
func byHop(p string, h object.Object) *object.Route {
	return &object.Route{Table: object.TableMain, Prefix: prefix(p), SharedHop: h.Key().ID}
}

// inKernel is what iproute2 says of all nexthop objects or routes of ours.
func inKernel(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %v: %s", args, out)
	}
	return string(out)
}

func TestSharedNextHop(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	a, b := object.HopByContent(hopTo("fc00:1::", "fc00:2::")), object.HopByContent(hopTo("fc00:3::"))
	r6, r4 := byHop("2001:db8:5::/48", a), byHop("198.51.100.0/24", a)
	if r := do(t, d, reconcile.Step{New: r6}); r.Err == nil {
		t.Fatal("a route by a next hop that is not there")
	}
	mustDo(t, d, a, r6, r4)
	if r := do(t, d, reconcile.Step{New: a}); !errors.Is(r.Err, unix.EEXIST) {
		t.Fatalf("a second one: %v", r.Err)
	}
	for _, f := range []string{"-4", "-6"} {
		if out := inKernel(t, f, "route", "show", "proto", "72"); !strings.Contains(out, "nhid 12") || !strings.Contains(out, "fc00:1:: fc00:2::") {
			t.Fatalf("kernel holds %s", out)
		}
	}
	// Another way out is another object, and the route moves over to it: from its
	// own encapsulation and back, too.
	mustDo(t, d, b)
	for _, r := range []*object.Route{r6, r4} {
		over := *r
		over.SharedHop = b.ID
		inline := *r
		inline.SharedHop, inline.NextHops = "", []object.NextHop{hopTo("fc00:4::")}
		last := r
		for _, to := range []*object.Route{&over, &inline, r, &over} {
			if got := do(t, d, reconcile.Step{Old: last, New: to}); got.Err != nil || !to.Equal(got.Got) {
				t.Fatalf("change %v into %v: %v, holds %v", last, to, got.Err, got.Got)
			}
			last = to
		}
		if got := do(t, d, reconcile.Step{Old: &over}); got.Err != nil {
			t.Fatal(got.Err)
		}
	}
	for _, o := range []object.Object{a, b} {
		if r := do(t, d, reconcile.Step{Old: o}); r.Err != nil || r.Got != nil {
			t.Fatal(r)
		}
	}
	if out := inKernel(t, "nexthop"); out != "" {
		t.Fatalf("left over: %s", out)
	}
}

// TestNamedNextHop: one message changes what all of its routes do.
func TestNamedNextHop(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	a, b := object.HopByName("policy", hopTo("fc00:1::")), object.HopByName("policy", hopTo("fc00:2::", "fc00:3::"))
	mustDo(t, d, a, byHop("2001:db8:5::/48", a), byHop("198.51.100.0/24", a))
	if r := do(t, d, reconcile.Step{Old: a, New: b}); r.Err != nil || !b.Equal(r.Got) {
		t.Fatal(r)
	}
	for _, f := range []string{"-4", "-6"} {
		if out := inKernel(t, f, "route", "show", "proto", "72"); !strings.Contains(out, "fc00:2:: fc00:3::") {
			t.Fatalf("kernel holds %s", out)
		}
	}
}

// TestNextHopsAfterRestart: what is ours is found again under its key, what has
// the number of ours or the mark alone is left alone.
func TestNextHopsAfterRestart(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	a, named := object.HopByContent(hopTo("fc00:1::")), object.HopByName("policy", hopTo("fc00:1::"))
	first, second := object.PolicyMember("gold", 0, hopTo("fc00:1::")), object.PolicyMember("gold", 1, hopTo("fc00:1::"))
	group := object.PolicyGroup("gold", []uint16{7, object.MaxGroupWeight})
	mustDo(t, d, a, named, byHop("2001:db8:5::/48", a), byHop("2001:db8:6::/48", named), first, second, group, byHop("2001:db8:7::/48", group))
	inKernel(t, "-6", "nexthop", "add", "id", "7", "dev", "v0", "protocol", "72")
	inKernel(t, "-6", "nexthop", "add", "id", "1207959999", "dev", "v0", "protocol", "4")
	// Somebody has put a twin of ours beside it.
	inKernel(t, "-6", "nexthop", "add", "id", "1224736767", "dev", "v0", "protocol", "72", "encap", "seg6", "mode", "encap", "segs", "fc00:1::")

	again, err := Open(Config{Prior: d.prior})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	ctx := context.Background()
	hops, err := again.Dump(ctx, object.KindNextHop)
	if err != nil || len(hops) != 6 {
		t.Fatal(hops, err)
	}
	routes, err := again.Dump(ctx, object.KindRoute)
	if err != nil || len(routes) != 3 {
		t.Fatal(routes, err)
	}
	found := map[object.Key]object.Object{}
	for _, o := range append(hops, routes...) {
		found[o.Key()] = o
	}
	for _, o := range []object.Object{a, named, first, second, group, byHop("2001:db8:5::/48", a), byHop("2001:db8:6::/48", named), byHop("2001:db8:7::/48", group)} {
		if got := found[o.Key()]; got == nil || !o.Equal(got) {
			t.Errorf("found %v for %v", got, o)
		}
	}
	for _, o := range append(routes, hops...) {
		if r := do(t, again, reconcile.Step{Old: o}); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if out := inKernel(t, "nexthop"); strings.Count(out, "\n") != 2 || !strings.Contains(out, "id 7 ") || !strings.Contains(out, "id 1207959999 ") {
		t.Fatalf("left: %s", out)
	}
}

// TestNextHopIDTaken: an id in use by somebody else is passed over.
func TestNextHopIDTaken(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	a := object.HopByContent(hopTo("fc00:1::"))
	mustDo(t, d, a)
	id, _ := d.hops.id(a.ID)
	do(t, d, reconcile.Step{Old: a})
	inKernel(t, "-6", "nexthop", "add", "id", itoa(id), "dev", "v0", "protocol", "4")
	mustDo(t, d, a)
	if now, _ := d.hops.id(a.ID); now != id+1 {
		t.Fatalf("id %d instead of %d", now, id+1)
	}
	// Nor is it deleted when it has come in the place of ours.
	mine, _ := d.hops.id(a.ID)
	inKernel(t, "nexthop", "del", "id", itoa(mine))
	inKernel(t, "-6", "nexthop", "add", "id", itoa(mine), "dev", "v0", "protocol", "4")
	if r := do(t, d, reconcile.Step{Old: a}); r.Err != nil {
		t.Fatal(r.Err)
	}
	if out := inKernel(t, "nexthop"); strings.Count(out, "\n") != 2 {
		t.Fatalf("left: %s", out)
	}
}

func itoa(id uint32) string { return strings.TrimPrefix(numbered(id), "#") }

// TestNextHopGoes: with its carrier the kernel takes a nexthop object and all
// that leaves by it, which a look tells; and what somebody else does is an event.
func TestNextHopGoes(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a := object.HopByContent(hopTo("fc00:1::"))
	r := byHop("2001:db8:5::/48", a)
	mustDo(t, d, a, r)
	events, err := d.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	<-events
	id, _ := d.hops.id(a.ID)
	inKernel(t, "nexthop", "del", "id", itoa(id))
	for e := range events {
		if e.Kind == EventNextHop {
			if !e.Gone || len(e.Keys) != 1 || e.Keys[0] != a.Key() {
				t.Fatalf("event %+v", e)
			}
			break
		}
	}
	if got, err := d.Dump(ctx, object.KindNextHop); err != nil || len(got) != 0 {
		t.Fatal(got, err)
	}
	mustDo(t, d, a, r)
	inKernel(t, "link", "set", "v1", "down")
	for e := range events { // the kernel notices a little later
		if e.Kind == EventLink && e.Link.Name == "v0" && e.Link.Flags&unix.IFF_RUNNING == 0 {
			break
		}
	}
	for _, k := range []object.Kind{object.KindNextHop, object.KindRoute} {
		if got, err := d.Dump(ctx, k); err != nil || len(got) != 0 {
			t.Fatal(got, err)
		}
	}
	if got := do(t, d, reconcile.Step{New: a}); got.Err == nil || !strings.Contains(got.Err.Error(), "Carrier") {
		t.Fatalf("without carrier: %v", got.Err)
	}
}
