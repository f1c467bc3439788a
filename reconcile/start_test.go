package reconcile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/reconcile"
)

// started is a reconciler that started on f with objects wanted, and what it had to
// withhold.
func started(t testing.TB, f *kerneltest.Fake, objects []object.Object, options ...reconcile.Option) (*reconcile.Reconciler, map[object.Key]reconcile.Found) {
	t.Helper()
	r := reconcile.New(f, options...)
	if err := r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	found, err := r.Start(t.Context(), want(objects...))
	if err != nil {
		t.Fatal(err)
	}
	withheld := map[object.Key]reconcile.Found{}
	for _, f := range found {
		if f.Err == nil || f.Want == nil {
			t.Errorf("withheld: %+v", f)
		}
		withheld[f.Key] = f
	}
	return r, withheld
}

// expectWithheld checks what is withheld, and that the reason, there and as a
// trouble, has the text.
func expectWithheld(t *testing.T, r *reconcile.Reconciler, withheld map[object.Key]reconcile.Found, text string, objects ...object.Object) {
	t.Helper()
	if len(withheld) != len(objects) {
		t.Errorf("%d objects are withheld, want %d: %v", len(withheld), len(objects), withheld)
	}
	for _, o := range objects {
		f, ok := withheld[o.Key()]
		if !ok || !strings.Contains(f.Err.Error(), text) || f.Origin != "/config/"+o.Key().String() {
			t.Errorf("%v: %+v", o, f)
		}
		if why := r.Trouble(o.Key()); !strings.Contains(why, text) {
			t.Errorf("trouble of %v: %q", o, why)
		}
	}
}

// What needs a link that is not there is withheld, the rest runs, what is left over
// goes, and Sets go on; when the link comes, all is in place.
func TestStartWithoutALink(t *testing.T) {
	behind := []object.Object{up("ext0"), address("ext0", "192.0.2.1/24"), route("", object.TableMain, "10.9.0.0/16", "192.0.2.7 dev ext0")}
	rest := []object.Object{dummy("sr0"), up("sr0"), end("fc00::1"), end("fc00::2")}
	f, _ := running(t, dummy("sr0"), up("sr0"), end("fc00::1"), end("fc00::dead"))
	remove(t, f, object.LinkKey("ext0"))

	r, withheld := started(t, f, append(behind, rest...))
	expectWithheld(t, r, withheld, "link ext0 does not exist", behind...)
	for _, x := range withheld {
		if !x.First || x.Have != nil {
			t.Errorf("withheld: %+v", x)
		}
	}
	alone, _ := started(t, kerneltest.NewFake(), rest)
	for _, kind := range object.Kinds() {
		for s := range alone.All(kind) {
			if got, ok := f.Get(s.Key); !ok || !got.Equal(s.Want) {
				t.Errorf("the kernel holds %v instead of %v", got, s.Want)
			}
		}
	}
	if _, ok := f.Get(object.LocalSIDKey(addr("fc00::dead"))); ok {
		t.Error("what was left over is still there")
	}
	kernel := f.Snapshot()
	if err := commit(t, r, want(end("fc00::3")))(t.Context()); err != nil {
		t.Fatal(err)
	}
	sameText(t, "kernel after an undo", f.Snapshot(), kernel)
	if _, err := r.Commit(t.Context(), want(address("ext0", "192.0.2.9/24"))); err == nil {
		t.Error("an address on a link that is not there was committed")
	}
	commit(t, r, []reconcile.Change{{Key: behind[1].Key()}}) // nobody wants it any more
	if why := r.Trouble(behind[1].Key()); why != "" {
		t.Errorf("trouble of what nobody wants: %q", why)
	}
	put(t, f, dummy("ext0"))
	found := repair(t, r, reconcile.Look{Renewed: []object.Key{object.LinkKey("ext0")}})
	if found[behind[0].Key()].Err != nil || found[behind[2].Key()].Err == nil {
		t.Errorf("without the address that the gateway needs: %v", found)
	}
	commit(t, r, want(behind[1]))
	if found := repair(t, r, reconcile.Look{}); len(found) != 1 {
		t.Errorf("with the address: %v", found)
	}
	for _, o := range behind {
		if got, ok := f.Get(o.Key()); !ok || !got.Equal(o) || r.Trouble(o.Key()) != "" {
			t.Errorf("the kernel holds %v instead of %v, because %q", got, o, r.Trouble(o.Key()))
		}
	}
}

// Who needs what is withheld waits for it, by name, and is put in place with it.
func TestStartWithForeignInTheWay(t *testing.T) {
	f := kerneltest.NewFake()
	put(t, f, vrf("sr0", 99))
	waiting := []object.Object{up("sr0"), end("fc00::1")}
	r, withheld := started(t, f, append(waiting, dummy("sr0"), address("ext0", "192.0.2.1/24")))
	expectWithheld(t, r, withheld, "not ours", append(waiting, dummy("sr0"))...)
	for _, o := range waiting {
		if x := withheld[o.Key()]; x.First || !strings.Contains(x.Err.Error(), "it needs link sr0") {
			t.Errorf("%+v", x)
		}
	}
	remove(t, f, object.LinkKey("sr0"))
	if found := repair(t, r, behind(object.LinkKey("sr0"))); len(found) != 3 || found[object.LinkKey("sr0")].Err != nil {
		t.Errorf("found %v", found)
	}
	if p, err := r.Plan(nil); err != nil || !p.Empty() {
		t.Errorf("still to be done: %v\n%v", err, p)
	}
}

// What a commit puts in place has what waits for it tried again, and Run is told.
func TestStartThenCommit(t *testing.T) {
	f := kerneltest.NewFake()
	put(t, f, vrf("theirs", 110))
	r, withheld := started(t, f, []object.Object{dummy("sr0"), up("sr0"), strict, vrf("blue", 110), up("blue"), dt4("fc00::d4", "blue", 110)})
	expectWithheld(t, r, withheld, "not ours", vrf("blue", 110), up("blue"), dt4("fc00::d4", "blue", 110))
	commit(t, r, want(vrf("blue", 120), dt4("fc00::d4", "blue", 120)))
	if found := repair(t, r, reconcile.Look{}); len(found) != 1 || found[up("blue").Key()].Err != nil {
		t.Errorf("found %v", found)
	}
}

// Of many that fail alike one is tried again; when it goes the way is free for all
// of them, but for those with another obstacle.
func TestStartScout(t *testing.T) {
	f := kerneltest.NewFake()
	remove(t, f, object.LinkKey("ext0"))
	var objects []object.Object
	for i := range 50 {
		objects = append(objects, &object.LocalSID{SID: addr(fmt.Sprintf("fc00::%x", i+1)), Table: object.TableMain, Behavior: object.End, Dev: "ext0"})
	}
	r, withheld := started(t, f, append(objects, up("ext0")))
	expectWithheld(t, r, withheld, "link ext0 does not exist", append(objects, up("ext0"))...)
	if found := repair(t, r, behind(object.LinkKey("ext0"))); len(found) != 2 || !found[objects[0].Key()].Repeated || !found[up("ext0").Key()].Repeated {
		t.Errorf("tried again: %v", found)
	}
	for _, o := range objects {
		if why := r.Trouble(o.Key()); !strings.Contains(why, "link ext0 does not exist") {
			t.Errorf("trouble of %v: %q", o, why)
		}
	}
	put(t, f, dummy("ext0"))
	inTheWay := &object.Route{Table: object.TableMain, Prefix: prefix("fc00::7/128"), Type: object.Blackhole}
	put(t, f, inTheWay)
	for range 2 {
		for k, x := range repair(t, r, behind(object.LinkKey("ext0"))) {
			if taken := k == objects[6].Key(); taken != (x.Err != nil) {
				t.Errorf("%+v", x)
			}
		}
	}
	for i, o := range objects {
		if got, ok := f.Get(o.Key()); i != 6 && (!ok || !got.Equal(o)) || (i == 6) != (r.Trouble(o.Key()) != "") {
			t.Errorf("the kernel holds %v instead of %v, because %q", got, o, r.Trouble(o.Key()))
		}
	}
}

// What the kernel refuses only when it is asked, and what it cannot do at all, is
// withheld like what a check finds.
func TestStartRefused(t *testing.T) {
	f := kerneltest.NewFake()
	f.FailWith(func(_ int, s reconcile.Step) error {
		if s.New != nil && s.New.Key() == end("fc00::1").Key() {
			return errInjected
		}
		return nil
	})
	lacks := errors.New("not in this kernel")
	f.Lack(func(o object.Object) error {
		if o.Key() == vrf("blue", 110).Key() {
			return lacks
		}
		return nil
	})
	r, withheld := started(t, f, []object.Object{dummy("sr0"), up("sr0"), end("fc00::1"), end("fc00::2"), vrf("blue", 110)})
	if len(withheld) != 2 || !errors.Is(withheld[end("fc00::1").Key()].Err, errInjected) || !errors.Is(withheld[object.LinkKey("blue")].Err, lacks) {
		t.Errorf("withheld: %v", withheld)
	}
	if _, ok := f.Get(end("fc00::2").Key()); !ok {
		t.Error("the other SID is not there")
	}
	f.FailWith(nil)
	f.Lack(nil)
	repair(t, r, behind(object.LinkKey("sr0"), object.LinkKey("blue")))
	if p, err := r.Plan(nil); err != nil || !p.Empty() {
		t.Errorf("still to be done: %v\n%v", err, p)
	}
}

// A start that cannot be is none: nothing is wanted, and a commit takes over.
func TestStartFails(t *testing.T) {
	f, _ := running(t, dummy("sr0"), up("sr0"), end("fc00::1"))
	kernel := f.Snapshot()
	r := reconcile.New(f)
	if err := r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Start(t.Context(), want(vrf("blue", 110), vrf("red", 110))); err == nil {
		t.Fatal("two VRFs got one table")
	}
	if found := repair(t, r, behind(object.LinkKey("sr0"))); len(found) != 0 {
		t.Errorf("found %v", found)
	}
	sameText(t, "kernel", f.Snapshot(), kernel)
	commit(t, r, want(vrf("blue", 110)))
	if _, ok := f.Get(object.LinkKey("sr0")); ok {
		t.Error("what was left over is still there")
	}
}

// Where drift is only reported, what was never in place is not drift.
func TestStartReportOnly(t *testing.T) {
	f := kerneltest.NewFake()
	remove(t, f, object.LinkKey("ext0"))
	objects := []object.Object{dummy("sr0"), up("sr0"), end("fc00::1"), up("ext0"), address("ext0", "192.0.2.1/24")}
	r, withheld := started(t, f, objects, reconcile.ReportOnly())
	expectWithheld(t, r, withheld, "link ext0 does not exist", up("ext0"), address("ext0", "192.0.2.1/24"))
	remove(t, f, end("fc00::1").Key())
	if x := repair(t, r, behind(object.LinkKey("sr0"), object.LinkKey("ext0")))[end("fc00::1").Key()]; x.Err == nil {
		t.Errorf("%+v", x)
	}
	expectWithheld(t, r, withheld, "link ext0 does not exist", up("ext0"), address("ext0", "192.0.2.1/24"))
	put(t, f, dummy("ext0"))
	found := repair(t, r, reconcile.Look{Renewed: []object.Key{object.LinkKey("ext0")}})
	if len(found) != 2 || found[up("ext0").Key()].Err != nil || found[address("ext0", "192.0.2.1/24").Key()].Err != nil {
		t.Errorf("found %v", found)
	}
	if _, ok := f.Get(end("fc00::1").Key()); ok {
		t.Error("drift was repaired")
	}
	// Now it is in place, and its loss is drift.
	remove(t, f, address("ext0", "192.0.2.1/24").Key())
	if x := repair(t, r, behind(object.LinkKey("ext0")))[address("ext0", "192.0.2.1/24").Key()]; x.Err == nil || !x.First {
		t.Errorf("%+v", x)
	}
}

// A random state is started without a link, in an empty kernel or on what is left
// of another state: what can be there is, and with the link everything.
func TestRandomStarts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var have []object.Object
		if rapid.Bool().Draw(t, "left over") {
			have = drawWorld(t)
		}
		next := drawWorld(t)
		missing := rapid.SampledFrom([]string{"ext0", "ext1"}).Draw(t, "missing")
		f, _ := newKernel(t, have)
		if err := f.Delete(object.LinkKey(missing)); err != nil {
			t.Fatalf("delete: %v", err)
		}
		r := reconcile.New(f)
		if err := r.Load(t.Context()); err != nil {
			t.Fatalf("load: %v", err)
		}
		found, err := r.Start(t.Context(), want(next...))
		if err != nil {
			t.Fatalf("start: %v", err)
		}
		withheld := map[object.Key]error{}
		for _, x := range found {
			withheld[x.Key] = x.Err
		}
		for _, o := range next {
			got, ok := f.Get(o.Key())
			why, is := withheld[o.Key()]
			if in := ok && o.Equal(got); !in && !is || is != (r.Trouble(o.Key()) != "") {
				t.Fatalf("%v: the kernel holds %v, withheld because %v, trouble %q", o, got, why, r.Trouble(o.Key()))
			}
			// What is there already may stand in the way of what replaces it.
			if is && have == nil && !strings.Contains(why.Error(), missing) && !reliesOn(o) {
				t.Fatalf("%v: %v", o, why)
			}
		}
		if err := errors.Join(f.Put(dummy(missing)), f.Put(up(missing))); err != nil {
			t.Fatalf("put: %v", err)
		}
		look := reconcile.Look{Renewed: []object.Key{object.LinkKey(missing)}}
		for range 3 { // what relies on something without naming it is tried again after it
			if _, err := r.Repair(t.Context(), look); err != nil {
				t.Fatalf("repair: %v", err)
			}
			look = behind(object.LinkKey(missing))
		}
		if p := describeChange(t, r, nil); p != "" || len(r.Leftovers()) > 0 {
			t.Fatalf("something is left to do:\n%s", p)
		}
		for _, o := range next {
			if got, ok := f.Get(o.Key()); !ok || !o.Equal(got) {
				t.Fatalf("%v: the kernel holds %v, trouble %q", o, got, r.Trouble(o.Key()))
			}
		}
	})
}

// reliesOn reports whether the kernel may refuse o for want of something that it
// does not name: the address that makes its gateway reachable.
func reliesOn(o object.Object) bool {
	switch o := o.(type) {
	case *object.Route:
		return len(o.NextHops) > 0
	case *object.SharedNextHop:
		return o.Hop.Gateway.IsValid()
	}
	return false
}
