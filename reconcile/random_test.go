package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/reconcile"
)

// world is a random state that the kernel can hold. Routes name their outgoing
// link: one that leaves it to the kernel to find depends on objects that it does
// not name.
type world struct {
	t       *rapid.T
	objects []object.Object
	vrfs    map[string]uint32
	up      map[string]bool
	policy  string                    // a next hop with a name that routes share, "" for none
	nets    map[string][]netip.Prefix // addresses of a link
}

func (w *world) yes(label string) bool { return rapid.Bool().Draw(w.t, label) }

func (w *world) add(o ...object.Object) { w.objects = append(w.objects, o...) }

func drawWorld(t *rapid.T) []object.Object {
	w := &world{t: t, vrfs: map[string]uint32{}, up: map[string]bool{"ext0": true, "ext1": true}, nets: map[string][]netip.Prefix{}}
	links := []string{"ext0", "ext1"}
	for _, d := range []string{"d0", "sr0"} {
		if w.yes(d) {
			w.add(dummy(d))
			links = append(links, d)
		}
	}
	if w.yes("veth") {
		w.add(object.Link{Name: "v0", Type: object.LinkVeth, Peer: "v1"}, object.Link{Name: "v1", Type: object.LinkVeth, Peer: "v0"})
		links = append(links, "v0", "v1")
	}
	tables := rapid.Permutation([]uint32{10, 20, 30, 40}).Draw(t, "tables")
	var vrfs []string
	for i, name := range []string{"blue", "green", "red"} {
		if w.yes(name) {
			w.vrfs[name] = tables[i]
			vrfs = append(vrfs, name)
			w.add(vrf(name, tables[i]))
			if w.yes(name + " up") {
				w.add(up(name))
			}
		}
	}
	w.add(sysctl("net/ipv4/conf/all/promote_secondaries", "1"))
	for _, l := range links {
		w.link(l, vrfs)
	}
	w.global()
	w.routes(vrfs, links)
	return w.objects
}

// link gives l a membership, settings and addresses.
func (w *world) link(l string, vrfs []string) {
	if len(vrfs) > 0 && w.yes(l+" member") {
		w.add(member(l, rapid.SampledFrom(vrfs).Draw(w.t, "master")))
	}
	c := object.LinkConfig{Link: l,
		MTU:   rapid.SampledFrom([]uint32{0, 1400, 1500}).Draw(w.t, "mtu"),
		Admin: rapid.SampledFrom([]object.Admin{object.AdminUp, object.AdminUp, object.AdminLeave, object.AdminDown}).Draw(w.t, "admin")}
	if w.yes(l + " config") {
		w.add(c)
		if c.Admin != object.AdminLeave {
			w.up[l] = c.Admin == object.AdminUp
		}
	}
	// The second address shares the subnet of the first.
	for _, p := range []string{"10.0.1.1/24", "10.0.1.9/24", "10.0.2.1/24", "2001:db8:1::1/64", "2001:db8:2::1/64"} {
		if w.yes(l + " " + p) {
			w.add(address(l, p))
			w.nets[l] = append(w.nets[l], prefix(p))
		}
	}
	if w.yes(l + " seg6") {
		w.add(object.Sysctl{Name: object.SysctlLinkSeg6Enabled(l), Value: "1", Link: l})
	}
}

func (w *world) global() {
	if w.yes("forward") {
		w.add(sysctl(object.SysctlForward4, "1"))
	}
	if w.yes("tunsrc") {
		w.add(object.TunnelSource{Source: addr(rapid.SampledFrom([]string{"fc00::a", "fc00::b"}).Draw(w.t, "source"))})
	}
}

// hop is a next hop for p, false when there is none.
func (w *world) hop(p netip.Prefix, links []string) (object.NextHop, bool) {
	var hops []object.NextHop
	for _, l := range links {
		if !w.up[l] {
			continue
		}
		if p.Addr().Is6() {
			hops = append(hops, object.NextHop{Link: l})
		}
		for _, n := range w.nets[l] {
			if n.Addr().Is4() == p.Addr().Is4() {
				// Neither of the two addresses of the subnet.
				hops = append(hops, object.NextHop{Link: l, Gateway: n.Masked().Addr().Next().Next()})
			}
		}
	}
	if len(hops) == 0 {
		return object.NextHop{}, false
	}
	h := rapid.SampledFrom(hops).Draw(w.t, "hop")
	if w.yes("encap") {
		h.Encap = &object.Encap{Mode: object.HEncaps, Segments: addrs("fc00::1", "fc00::2")}
	}
	return h, true
}

func (w *world) routes(vrfs, links []string) {
	prefixes := []string{"10.9.0.0/16", "10.8.0.0/16", "2001:db8:9::/48", "fc00::1/128", "fc00::2/128"}
	taken := map[string]bool{} // SIDs' slots
	for _, owner := range append([]string{""}, vrfs...) {
		table := object.TableMain
		if owner != "" {
			table = w.vrfs[owner]
		}
		for _, p := range prefixes {
			if !w.yes(fmt.Sprintf("route %s in %s", p, owner)) {
				continue
			}
			r := &object.Route{Table: table, VRF: owner, Prefix: prefix(p)}
			for range rapid.IntRange(0, 2).Draw(w.t, "hops") {
				if h, ok := w.hop(r.Prefix, links); ok {
					r.NextHops = append(r.NextHops, h)
				}
			}
			if id := w.share(r.NextHops); id != "" {
				r.SharedHop, r.NextHops = id, nil
			} else if len(r.NextHops) == 0 {
				r.Type = object.Blackhole
			}
			taken[owner+p] = true
			w.add(r)
		}
	}
	w.sids(vrfs, links, taken)
}

// share returns a next hop for routes to share in place of hops, "" for none.
func (w *world) share(hops []object.NextHop) string {
	if len(hops) != 1 || !w.yes("share") {
		return ""
	}
	if w.policy != "" && w.yes("named") {
		return w.policy
	}
	if hops[0].Gateway.IsValid() {
		return "" // it would rely on an address of the link, which it does not name
	}
	o := object.HopByContent(hops[0])
	if w.policy == "" && w.yes("named") {
		o = object.HopByName("policy", hops[0])
		w.policy = o.ID
	}
	if !slices.ContainsFunc(w.objects, func(x object.Object) bool { return x.Key() == o.Key() }) {
		w.add(o)
	}
	return o.ID
}

func (w *world) sids(vrfs, links []string, taken map[string]bool) {
	var devs []string
	for _, l := range links {
		if w.up[l] {
			devs = append(devs, l)
		}
	}
	strictly := false
	for _, sid := range []string{"fc00::1", "fc00::2", "fc00::3", "fcbb:bb00:100::"} {
		if len(devs) == 0 || taken[sid+"/128"] || !w.yes(sid) {
			continue
		}
		s := &object.LocalSID{SID: addr(sid), Table: object.TableMain, Behavior: object.End, Dev: rapid.SampledFrom(devs).Draw(w.t, "dev")}
		switch b := rapid.SampledFrom([]object.Behavior{object.End, object.EndX, object.EndT, object.EndDX2, object.EndDX6,
			object.EndB6Encaps, object.EndDT4, object.EndDT46, object.EndDT6}).Draw(w.t, "behavior"); {
		case b == object.EndX:
			s.Behavior, s.NextHop = b, addr("2001:db8:1::2")
			if w.yes("oif") {
				s.OutLink = rapid.SampledFrom(links).Draw(w.t, "oif")
			}
		case b == object.EndDX2:
			s.Behavior, s.OutLink = b, rapid.SampledFrom(links).Draw(w.t, "oif")
		case b == object.EndDX6:
			s.Behavior = b
		case b == object.EndB6Encaps:
			s.Behavior, s.Policy = b, &object.Encap{Mode: object.HEncaps, Segments: []netip.Addr{addr(rapid.SampledFrom([]string{"fc00:1::", "fc00:2::"}).Draw(w.t, "segment"))}}
		case b != object.End && len(vrfs) > 0:
			s.Behavior, s.VRF = b, rapid.SampledFrom(vrfs).Draw(w.t, "vrf")
			s.VRFTable = w.vrfs[s.VRF]
			strictly = strictly || b != object.EndT
		}
		switch flavor := rapid.SampledFrom([]object.Flavors{0, 0, object.PSP, object.NextCSID}).Draw(w.t, "flavor"); {
		case flavor == object.PSP && s.Behavior == object.End:
			s.Flavors = flavor
		case flavor == object.NextCSID && sid == "fcbb:bb00:100::" && (s.Behavior == object.End || s.Behavior == object.EndX):
			s.Flavors, s.BlockLength, s.NodeFunctionLength = flavor, 32, rapid.SampledFrom([]uint8{16, 24}).Draw(w.t, "node function")
		}
		w.add(s)
	}
	if strictly {
		w.add(strict)
	}
}

// fatal is rapid.T and testing.T.
type fatal interface {
	Context() context.Context
	Fatalf(format string, args ...any)
}

func newKernel(t fatal, objects []object.Object) (*kerneltest.Fake, *reconcile.Reconciler) {
	f := kerneltest.NewFake()
	r := reconcile.New(f)
	if err := r.Load(t.Context()); err != nil {
		t.Fatalf("load: %v", err)
	}
	if _, err := r.Commit(t.Context(), want(objects...)); err != nil {
		t.Fatalf("commit on an empty kernel: %v", err)
	}
	return f, r
}

func describeChange(t fatal, r *reconcile.Reconciler, changes []reconcile.Change) string {
	p, err := r.Plan(changes)
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	return p.String()
}

// One kernel goes through random states; after each it is as a fresh kernel in
// that state, no deletion came too late and no SID leads nowhere.
func TestRandomStates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, r := newKernel(t, nil)
		var have []object.Object
		for range 4 {
			next := drawWorld(t)
			changes := from(have, next)
			plan := describeChange(t, r, changes)
			if _, err := r.Commit(t.Context(), changes); err != nil {
				t.Fatalf("%v\nplan:\n%s", err, plan)
			}
			have = next
			fresh, _ := newKernel(t, next)
			got, want := f.Snapshot(), fresh.Snapshot()
			if got != want || f.Gone() != 0 || strings.Contains(got, "black hole") {
				t.Fatalf("%d deletions came too late; kernel:\n%s\nwant:\n%s\nplan:\n%s", f.Gone(), got, want, plan)
			}
			if p := describeChange(t, r, from(nil, next)); p != "" {
				t.Fatalf("something is left to do:\n%s", p)
			}
		}
	})
}

// A random change fails at every step in turn; each time all is as before.
func TestRandomFailures(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have, next := drawWorld(t), drawWorld(t)
		f, r := newKernel(t, have)
		f.StopAtError(rapid.Bool().Draw(t, "stop at error"))
		kernel, knew, changes := f.Snapshot(), known(r), from(have, next)
		plan := describeChange(t, r, changes)
		for n := 1; n <= strings.Count(plan, "\n"); n++ {
			f.FailOps(errInjected, n)
			_, err := r.Commit(t.Context(), changes)
			failed, ok := errors.AsType[*reconcile.ApplyError](err)
			if !ok || failed.Undo != nil {
				t.Fatalf("step %d: %v\nplan:\n%s", n, err, plan)
			}
			if got := f.Snapshot(); got != kernel {
				t.Fatalf("step %d: kernel:\n%s\nwant:\n%s\nplan:\n%s", n, got, kernel, plan)
			}
			if got := known(r); got != knew {
				t.Fatalf("step %d: known:\n%s\nwant:\n%s\nplan:\n%s", n, got, knew, plan)
			}
		}
	})
}

// strange is what somebody else has on the links: addresses, routes by them in a
// table of no VRF, a next hop for routes to share.
func strange(t fatal, f *kerneltest.Fake) {
	hop := object.HopByName("theirs", object.NextHop{Link: "ext0"})
	for _, o := range []object.Object{
		address("ext0", "198.51.100.1/24"), address("ext0", "2001:db8:77::1/64"), address("ext1", "203.0.113.1/24"),
		route("", 300, "10.77.0.0/16", "198.51.100.9 dev ext0"), route("", 300, "2001:db8:78::/48", "2001:db8:77::9 dev ext0"),
		route("", 300, "10.78.0.0/16", "203.0.113.9 dev ext1"), hop,
		&object.Route{Table: 300, Prefix: prefix("10.79.0.0/16"), SharedHop: hop.ID},
	} {
		// Not on a link that is down.
		if err := f.Put(o); err != nil && !errors.Is(err, syscall.ENETDOWN) && !errors.Is(err, syscall.EINVAL) {
			t.Fatalf("put %v: %v", o, err)
		}
	}
}

// What somebody else has outlives a random change that fails, at whatever step, or
// is undone.
func TestRandomFailuresAmongOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have, next := drawWorld(t), drawWorld(t)
		f, r := newKernel(t, have)
		strange(t, f)
		kernel, changes := f.Snapshot(), from(have, next)
		plan := describeChange(t, r, changes)
		for n := 1; n <= strings.Count(plan, "\n"); n++ {
			f.FailOps(errInjected, n)
			_, err := r.Commit(t.Context(), changes)
			if failed, ok := errors.AsType[*reconcile.ApplyError](err); !ok || failed.Undo != nil {
				t.Fatalf("step %d: %v\nplan:\n%s", n, err, plan)
			}
			if got := f.Snapshot(); got != kernel {
				t.Fatalf("step %d: kernel:\n%s\nwant:\n%s\nplan:\n%s", n, got, kernel, plan)
			}
		}
		f.FailWith(nil)
		undo, err := r.Commit(t.Context(), changes)
		if err != nil {
			t.Fatalf("%v\nplan:\n%s", err, plan)
		}
		if err := undo(t.Context()); err != nil {
			t.Fatalf("undo: %v\nplan:\n%s", err, plan)
		}
		if got := f.Snapshot(); got != kernel {
			t.Fatalf("undone: kernel:\n%s\nwant:\n%s\nplan:\n%s", got, kernel, plan)
		}
	})
}

// A random change fails at a random step and the undo at another one: what is
// said to be left is what is left, and the next commit puts it right.
func TestRandomUndoFailures(t *testing.T) {
	undoFailed := 0
	rapid.Check(t, func(t *rapid.T) {
		have, next := drawWorld(t), drawWorld(t)
		f, r := newKernel(t, have)
		kernel, changes := f.Snapshot(), from(have, next)
		plan := describeChange(t, r, changes)
		steps := strings.Count(plan, "\n")
		if steps == 0 {
			return
		}
		n := rapid.IntRange(1, steps).Draw(t, "step")
		m := rapid.IntRange(n+1, 2*n+1).Draw(t, "undo")
		f.FailOps(errInjected, n, m)
		_, err := r.Commit(t.Context(), changes)
		failed, ok := errors.AsType[*reconcile.ApplyError](err)
		if !ok {
			t.Fatalf("got %v", err)
		}
		f.FailWith(nil)
		if failed.Undo == nil {
			if got := f.Snapshot(); got != kernel {
				t.Fatalf("kernel:\n%s\nwant:\n%s\nplan:\n%s", got, kernel, plan)
			}
			return
		}
		undoFailed++
		for _, k := range object.Kinds() {
			held, err := f.Dump(t.Context(), k)
			if err != nil {
				t.Fatalf("%v", err)
			}
			for s := range r.All(k) {
				i := slices.IndexFunc(held, func(o object.Object) bool { return o.Key() == s.Key })
				if (s.Have == nil) != (i < 0) || i >= 0 && !held[i].Equal(s.Have) {
					t.Fatalf("%s: believed %v, held %v\n%v\nplan:\n%s", s.Key, s.Have, held, err, plan)
				}
			}
		}
		repair := describeChange(t, r, nil)
		if _, err := r.Commit(t.Context(), nil); err != nil {
			t.Fatalf("repair: %v\nplan:\n%s\nrepair:\n%s", err, plan, repair)
		}
		if got := f.Snapshot(); got != kernel {
			t.Fatalf("after %v\nand repair, kernel:\n%s\nwant:\n%s\nplan:\n%s\nrepair:\n%s", failed, got, kernel, plan, repair)
		}
	})
	if undoFailed == 0 {
		t.Error("no undo failed")
	}
}
