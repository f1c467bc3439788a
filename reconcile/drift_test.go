package reconcile_test

import (
	"errors"
	"strings"
	"testing"

	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/reconcile"
)

func repair(t *testing.T, r *reconcile.Reconciler, l reconcile.Look) map[object.Key]reconcile.Found {
	t.Helper()
	found, err := r.Repair(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	byKey := map[object.Key]reconcile.Found{}
	for _, f := range found {
		byKey[f.Key] = f
	}
	return byKey
}

func behind(keys ...object.Key) reconcile.Look { return reconcile.Look{Behind: keys} }

func put(t *testing.T, f *kerneltest.Fake, objects ...object.Object) {
	t.Helper()
	for _, o := range objects {
		if err := f.Put(o); err != nil {
			t.Fatal(err)
		}
	}
}

func remove(t *testing.T, f *kerneltest.Fake, keys ...object.Key) {
	t.Helper()
	for _, k := range keys {
		if err := f.Delete(k); err != nil {
			t.Fatal(err)
		}
	}
}

// What nobody can put right now, because a link is not there, keeps neither other
// repairs nor commits from going on, and is put right when it can be.
func TestTroubleStaysAlone(t *testing.T) {
	f, r := running(t, dummy("sr0"), up("sr0"), end("fc00::1"), end("fc00::2"), address("ext0", "192.0.2.1/24"))
	kernel := f.Snapshot()
	lost := object.Address{Link: "ext0", Prefix: prefix("192.0.2.1/24")}.Key()
	remove(t, f, object.LinkKey("ext0"), object.LocalSIDKey(addr("fc00::1")))
	found := repair(t, r, behind(object.LinkKey("ext0"), object.LocalSIDKey(addr("fc00::1"))))
	if x := found[object.LocalSIDKey(addr("fc00::1"))]; x.Err != nil || x.Have != nil || x.Want == nil {
		t.Errorf("the SID: %+v", x)
	}
	if x := found[lost]; x.Err == nil || !x.First || x.Repeated {
		t.Errorf("the address: %+v", x)
	}
	if why := r.Trouble(lost); !strings.Contains(why, "ext0") {
		t.Errorf("trouble of the address: %q", why)
	}
	if found = repair(t, r, behind(object.LinkKey("ext0"))); found[lost].First || !found[lost].Repeated {
		t.Errorf("the address again: %+v", found[lost])
	}

	undo := commit(t, r, want(end("fc00::3")))
	if err := undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Commit(t.Context(), want(address("ext0", "192.0.2.9/24"))); err == nil {
		t.Error("an address on a link that is not there was committed")
	}

	put(t, f, vrf("ext0", 99)) // a link of that name
	if found = repair(t, r, behind(object.LinkKey("ext0"))); found[lost].Err != nil || found[lost].First {
		t.Errorf("the address at last: %+v", found[lost])
	}
	if why := r.Trouble(lost); why != "" {
		t.Errorf("trouble of the address that is there: %q", why)
	}
	if found = repair(t, r, reconcile.Look{}); len(found) != 0 {
		t.Errorf("found %v", found)
	}
	if f.Snapshot() == kernel {
		t.Error("ext0 was to be another link")
	}
}

// A VRF of the same name is another one: SIDs that read back as wanted lead
// nowhere.
func TestRenewedVRF(t *testing.T) {
	f, r := running(t, vrf("blue", 110), up("blue"), dummy("sr0"), up("sr0"), strict, dt4("fc00::d4", "blue", 110), end("fc00::1"))
	kernel := f.Snapshot()
	remove(t, f, object.LinkKey("blue"))
	// Somebody who knows our mark.
	if res := f.Do(t.Context(), []reconcile.Step{{New: vrf("blue", 110)}}); res[0].Err != nil {
		t.Fatal(res[0].Err)
	}
	if !strings.Contains(f.Snapshot(), "black hole") {
		t.Fatal("the SID leads somewhere")
	}
	found := repair(t, r, reconcile.Look{Renewed: []object.Key{object.LinkKey("blue")}})
	if x := found[object.LocalSIDKey(addr("fc00::d4"))]; x.Err != nil || !strings.Contains(x.Wrong(), "made anew") {
		t.Errorf("the SID: %+v", x)
	}
	if _, ok := found[object.LocalSIDKey(addr("fc00::1"))]; ok {
		t.Error("a SID that has nothing to do with it was made again")
	}
	sameText(t, "kernel", f.Snapshot(), kernel)
}

// Somebody else's object in our place is left alone and named.
func TestForeignInOurPlace(t *testing.T) {
	f, r := running(t, vrf("blue", 110), up("blue"))
	remove(t, f, object.LinkKey("blue"))
	put(t, f, vrf("blue", 110))
	kernel := f.Snapshot()
	found := repair(t, r, behind(object.LinkKey("blue")))
	if x := found[object.LinkKey("blue")]; x.Err == nil || !strings.Contains(x.Err.Error(), "not ours") {
		t.Errorf("%+v", x)
	}
	sameText(t, "kernel", f.Snapshot(), kernel)
	remove(t, f, object.LinkKey("blue"))
	if x := repair(t, r, behind(object.LinkKey("blue")))[object.LinkKey("blue")]; x.Err != nil {
		t.Errorf("%+v", x)
	}
}

func TestReportOnly(t *testing.T) {
	f := kerneltest.NewFake()
	r := reconcile.New(f, reconcile.ReportOnly())
	if err := r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	sid := object.LocalSIDKey(addr("fc00::1"))
	commit(t, r, want(dummy("sr0"), up("sr0"), end("fc00::1")))
	remove(t, f, sid)
	kernel := f.Snapshot()
	if x := repair(t, r, behind(sid))[sid]; x.Err == nil || !x.First {
		t.Errorf("%+v", x)
	}
	if len(repair(t, r, behind(sid))) != 0 {
		t.Error("reported twice")
	}
	if r.Trouble(sid) == "" {
		t.Error("no trouble is known of the SID")
	}
	sameText(t, "kernel", f.Snapshot(), kernel)
	commit(t, r, want(end("fc00::2")))
	if _, ok := f.Get(sid); ok {
		t.Error("a commit about something else has put it right")
	}
	commit(t, r, want(end("fc00::1")))
	if _, ok := f.Get(sid); !ok || r.Trouble(sid) != "" {
		t.Errorf("a commit about it: there %v, trouble %q", ok, r.Trouble(sid))
	}
}

// Another program that always has it its way is answered less and less often.
func TestFight(t *testing.T) {
	f, r := running(t, dummy("sr0"), up("sr0"), end("fc00::1"))
	sid := object.LocalSIDKey(addr("fc00::1"))
	fought := false
	for range 10 {
		if _, ok := f.Get(sid); ok {
			remove(t, f, sid)
		}
		if x := repair(t, r, behind(sid))[sid]; x.Err != nil {
			fought = true
			break
		}
	}
	if _, there := f.Get(sid); !fought || there || !strings.Contains(r.Trouble(sid), "somebody else") {
		t.Errorf("fought %v, there %v, trouble %q", fought, there, r.Trouble(sid))
	}
	commit(t, r, want(end("fc00::1"))) // that is no repair
	if _, there := f.Get(sid); !there || r.Trouble(sid) != "" {
		t.Errorf("after a commit: there %v, trouble %q", there, r.Trouble(sid))
	}
}

// What an event said may be out of date.
func TestStaleEvents(t *testing.T) {
	f, r := running(t, dummy("sr0"), up("sr0"), end("fc00::1"), end("fc00::2"))
	kernel := f.Snapshot()
	one, two := object.LocalSIDKey(addr("fc00::1")), object.LocalSIDKey(addr("fc00::2"))
	remove(t, f, two)
	dumps := f.Dumps()
	found := repair(t, r, reconcile.Look{Seen: map[object.Key]object.Object{two: nil}})
	if x := found[two]; x.Err != nil || f.Dumps() != dumps {
		t.Errorf("%+v with %d dumps", x, f.Dumps()-dumps)
	}
	sameText(t, "kernel", f.Snapshot(), kernel)
	repair(t, r, reconcile.Look{Seen: map[object.Key]object.Object{one: nil, object.LocalSIDKey(addr("fc00::9")): nil}})
	if why := r.Trouble(one); why != "" {
		t.Errorf("trouble %q", why)
	}
	sameText(t, "kernel", f.Snapshot(), kernel)
}

// Before the first commit everything looks left over.
func TestNoRepairBeforeTheFirstCommit(t *testing.T) {
	f, _ := running(t, dummy("sr0"), up("sr0"), end("fc00::1"))
	again := reconcile.New(f)
	if err := again.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	remove(t, f, object.LocalSIDKey(addr("fc00::1")))
	if found := repair(t, again, reconcile.Look{Kinds: object.Kinds(), Behind: []object.Key{object.LinkKey("sr0")}}); len(found) != 0 {
		t.Errorf("found %v", found)
	}
	if _, there := f.Get(object.LinkKey("sr0")); !there {
		t.Error("sr0 was removed")
	}
	f.FailWith(func(int, reconcile.Step) error { return errors.New("touched") })
	if _, err := again.Repair(t.Context(), reconcile.Look{Kinds: object.Kinds()}); err != nil {
		t.Error(err)
	}
}
