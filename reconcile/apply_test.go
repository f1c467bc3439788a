package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/reconcile"
)

var errInjected = errors.New("injected")

// known is all that r knows, as text.
func known(r *reconcile.Reconciler) string {
	var b strings.Builder
	for _, k := range object.Kinds() {
		for s := range r.All(k) {
			fmt.Fprintf(&b, "%s: have %v want %v (%s)\n", s.Key, s.Have, s.Want, s.Origin)
		}
	}
	return b.String()
}

// truthful checks that what r takes the kernel to hold is what it holds.
func truthful(t testing.TB, f *kerneltest.Fake, r *reconcile.Reconciler) {
	t.Helper()
	var held, believed []string
	for _, k := range object.Kinds() {
		objects, err := f.Dump(context.Background(), k)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			held = append(held, fmt.Sprint(o))
		}
		for s := range r.All(k) {
			if s.Have != nil {
				believed = append(believed, fmt.Sprint(s.Have))
			}
		}
	}
	sameText(t, "believed to be in the kernel", strings.Join(believed, "\n"), strings.Join(held, "\n"))
}

func TestEveryStepFailsOnce(t *testing.T) {
	blue, moved := tenant("blue", 110, "ext0"), tenant("blue", 120, "ext1")
	for _, tt := range []struct {
		name       string
		have, want []object.Object
	}{
		{"create", nil, blue}, {"move", blue, moved}, {"delete", blue, nil},
	} {
		for _, stop := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s stop=%v", tt.name, stop), func(t *testing.T) {
				f, r := running(t, tt.have...)
				f.StopAtError(stop)
				kernel, knew := f.Snapshot(), known(r)
				p, err := r.Plan(from(tt.have, tt.want))
				if err != nil {
					t.Fatal(err)
				}
				for n := 1; n <= len(p.Steps); n++ {
					f.FailOps(errInjected, n)
					_, err := r.Commit(t.Context(), from(tt.have, tt.want))
					var failed *reconcile.ApplyError
					if !errors.As(err, &failed) || !errors.Is(err, errInjected) || failed.Undo != nil {
						t.Fatalf("step %d: got %v", n, err)
					}
					if got, want := failed.Step.String(), p.Steps[n-1].String(); got != want {
						t.Errorf("step %d: error is about %q, want %q", n, got, want)
					}
					if !strings.HasPrefix(err.Error(), "/config/") {
						t.Errorf("step %d: error has no origin: %v", n, err)
					}
					sameText(t, fmt.Sprintf("kernel after failure of step %d", n), f.Snapshot(), kernel)
					sameText(t, fmt.Sprintf("known after failure of step %d", n), known(r), knew)
				}
				f.FailWith(nil)
				commit(t, r, from(tt.have, tt.want))
				fresh, _ := running(t, tt.want...)
				sameText(t, "kernel in the end", f.Snapshot(), fresh.Snapshot())
			})
		}
	}
}

func TestUndoFails(t *testing.T) {
	blue, moved := tenant("blue", 110, "ext0"), tenant("blue", 120, "ext1")
	fresh, _ := running(t, blue...)
	kernel := fresh.Snapshot()
	reported := 0
	steps := func() int {
		_, r := running(t, blue...)
		p, err := r.Plan(from(blue, moved))
		if err != nil {
			t.Fatal(err)
		}
		return len(p.Steps)
	}()
	for n := 1; n <= steps; n++ {
		for m := n + 1; m <= 2*n; m++ {
			f, r := running(t, blue...)
			f.FailOps(errInjected, n, m)
			_, err := r.Commit(t.Context(), from(blue, moved))
			var failed *reconcile.ApplyError
			if !errors.As(err, &failed) {
				t.Fatalf("steps %d and %d fail: got %v", n, m, err)
			}
			f.FailWith(nil)
			truthful(t, f, r)
			if failed.Undo == nil {
				sameText(t, "kernel after an undo without errors", f.Snapshot(), kernel)
				continue
			}
			reported++
			var step *reconcile.StepError
			if !errors.As(failed.Undo, &step) {
				t.Fatalf("undo error %v is no StepError", failed.Undo)
			}
			commit(t, r, nil)
			sameText(t, fmt.Sprintf("kernel after repair of %d, %d", n, m), f.Snapshot(), kernel)
		}
	}
	if reported == 0 {
		t.Error("no undo failed")
	}
}

func TestContextEndsInTheMiddle(t *testing.T) {
	f, r := running(t)
	kernel := f.Snapshot()
	ctx, cancel := context.WithCancel(t.Context())
	f.FailWith(func(op int, _ reconcile.Step) error {
		if op == 5 {
			cancel()
		}
		return nil
	})
	_, err := r.Commit(ctx, want(tenant("blue", 110, "ext0")...))
	var failed *reconcile.ApplyError
	if !errors.As(err, &failed) || !errors.Is(err, context.Canceled) || failed.Undo != nil {
		t.Fatalf("got %v", err)
	}
	sameText(t, "kernel", f.Snapshot(), kernel)
}

func TestReadBackDiffers(t *testing.T) {
	f, r := running(t, tenant("blue", 110, "ext0")...)
	kernel := f.Snapshot()
	f.Distort(func(o object.Object) object.Object {
		if rt, ok := o.(*object.Route); ok && rt.Prefix == prefix("10.6.0.0/16") {
			dropped := *rt
			dropped.NextHops = slices.Clone(rt.NextHops)
			dropped.NextHops[0].Encap = nil
			return &dropped
		}
		return o
	})
	encap := route("blue", 110, "10.6.0.0/16", "10.0.5.2 dev ext0").(*object.Route)
	encap.NextHops[0].Encap = &object.Encap{Mode: object.HEncapsRed, Segments: addrs("fc00::1")}
	_, err := r.Commit(t.Context(), want(encap, end("fc00::e")))
	if err == nil || !strings.Contains(err.Error(), "the kernel holds route 10.6.0.0/16 table 110 via 10.0.5.2 dev ext0 instead") {
		t.Errorf("got %v", err)
	}
	sameText(t, "kernel", f.Snapshot(), kernel)
}

func TestUndoOfACommit(t *testing.T) {
	blue, moved := tenant("blue", 110, "ext0"), tenant("blue", 120, "ext1")
	f, r := running(t, blue...)
	kernel, knew := f.Snapshot(), known(r)
	undo := commit(t, r, from(blue, moved))
	if err := undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	sameText(t, "kernel", f.Snapshot(), kernel)
	sameText(t, "known", known(r), knew)

	undo = commit(t, r, from(blue, moved))
	if err := f.Delete(object.LocalSIDKey(addr("fc00::d4"))); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Repair(t.Context(), reconcile.Look{Behind: []object.Key{object.LocalSIDKey(addr("fc00::d4"))}}); err != nil {
		t.Fatal(err)
	}
	if err := undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	sameText(t, "kernel after a repair and the undo", f.Snapshot(), kernel)
	sameText(t, "known after a repair and the undo", known(r), knew)
}

func TestCheckFails(t *testing.T) {
	f, r := running(t, tenant("blue", 110, "ext0")...)
	if err := f.Put(object.Link{Name: "theirs", Type: object.LinkVRF, Table: 200}); err != nil {
		t.Fatal(err)
	}
	kernel := f.Snapshot()
	f.FailWith(nil)
	_, err := r.Commit(t.Context(), want(vrf("red", 200), address("nowhere", "10.1.1.1/24")))
	if f.Ops() != 0 {
		t.Errorf("%d operations", f.Ops())
	}
	for _, text := range []string{
		"/config/link/red: add link red type vrf table 200: link theirs type vrf table 200 is there and is not ours",
		"/config/address/nowhere/10.1.1.1/24: add address 10.1.1.1/24 dev nowhere: link nowhere does not exist",
	} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
	sameText(t, "kernel", f.Snapshot(), kernel)
}

func TestRestart(t *testing.T) {
	blue := tenant("blue", 110, "ext0")
	f, _ := running(t, blue...)
	f.FailWith(nil)
	again := reconcile.New(f)
	if err := again.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(again.Leftovers()); n != len(blue) {
		t.Errorf("%d leftovers before the first commit, want %d", n, len(blue))
	}
	commit(t, again, want(blue...))
	if f.Ops() != 0 {
		t.Errorf("a restart with everything in place made %d operations", f.Ops())
	}

	third := reconcile.New(f)
	if err := third.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	commit(t, third, want(blue[:len(blue)-1]...))
	if f.Ops() != 1 {
		t.Errorf("removing one leftover took %d operations", f.Ops())
	}
	if left := third.Leftovers(); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestDrift(t *testing.T) {
	blue := tenant("blue", 110, "ext0")
	tests := []struct {
		name string
		do   func(*kerneltest.Fake) error
		wake object.Key
	}{
		{"route deleted", func(f *kerneltest.Fake) error { return f.Delete(blue[9].Key()) }, blue[9].Key()},
		{"link deleted with all that is on it", func(f *kerneltest.Fake) error { return f.Delete(object.LinkKey("sr0")) }, object.LinkKey("sr0")},
		{"VRF deleted", func(f *kerneltest.Fake) error { return f.Delete(object.LinkKey("blue")) }, object.LinkKey("blue")},
		{"sysctl changed", func(f *kerneltest.Fake) error { return f.Put(sysctl(object.SysctlStrictMode, "0")) }, strict.Key()},
		{"link set down", func(f *kerneltest.Fake) error {
			return f.Put(object.LinkConfig{Link: "sr0", Admin: object.AdminDown})
		}, object.LinkConfigKey("sr0")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, r := running(t, blue...)
			kernel := f.Snapshot()
			if err := tt.do(f); err != nil {
				t.Fatal(err)
			}
			if f.Snapshot() == kernel {
				t.Fatal("nothing drifted")
			}
			reports := make(chan []reconcile.Found, 1)
			ctx, cancel := context.WithCancel(t.Context())
			var run sync.WaitGroup
			run.Go(func() {
				r.Run(ctx, func(found []reconcile.Found, err error) {
					if err != nil {
						t.Error(err)
					}
					reports <- found
				})
			})
			r.Notice(reconcile.Look{Behind: []object.Key{tt.wake}})
			found := <-reports
			if !slices.ContainsFunc(found, func(f reconcile.Found) bool { return f.Key == tt.wake && f.First }) {
				t.Errorf("%s is not among %v", tt.wake, found)
			}
			for _, f := range found {
				if f.Err != nil || f.Origin != "/config/"+f.Key.String() {
					t.Errorf("%s: %s: %v", f.Origin, f.Wrong(), f.Err)
				}
			}
			cancel()
			run.Wait()
			sameText(t, "kernel", f.Snapshot(), kernel)
		})
	}
}

func TestRefusedPlans(t *testing.T) {
	_, r := running(t, dummy("sr0"), up("sr0"))
	_, err := r.Plan(want(vrf("blue", 10), vrf("red", 10)))
	var conflict *reconcile.ConflictError
	if !errors.As(err, &conflict) || err.Error() != "vrf table 10 is wanted twice: by link blue type vrf table 10 (/config/link/blue) and by link red type vrf table 10 (/config/link/red)" {
		t.Errorf("got %v", err)
	}
	_, err = r.Plan(want(end("fc00::1"), dt4("fc00::1", "", 0)))
	if !errors.As(err, &conflict) {
		t.Errorf("two objects with one key: got %v", err)
	}
	_, err = r.Plan(want(ringed{"a", "b"}, ringed{"b", "c"}, ringed{"c", "a"}, ringed{"d", "a"}))
	var ring *reconcile.RingError
	if !errors.As(err, &ring) || len(ring.Steps) != 3 {
		t.Errorf("got %v", err)
	}
	stale, err := r.Plan(want(end("fc00::1")))
	if err != nil {
		t.Fatal(err)
	}
	commit(t, r, want(end("fc00::2")))
	if err := r.Apply(t.Context(), stale); !errors.Is(err, reconcile.ErrStalePlan) {
		t.Errorf("got %v", err)
	}
}

// ringed is an object that needs another one of its kind.
type ringed struct{ name, needs string }

func (r ringed) Key() object.Key                      { return object.LinkKey(r.name) }
func (r ringed) Needs(into []object.Key) []object.Key { return append(into, object.LinkKey(r.needs)) }
func (r ringed) Equal(o object.Object) bool           { return object.Object(r) == o }
func (r ringed) Mutable(object.Object) bool           { return true }
func (r ringed) String() string                       { return r.name + " needs " + r.needs }

// Two VRFs with 500 SIDs each swap their tables, and each SID is to follow its
// table: every one of the 1000 rings has to be opened.
func TestManyRings(t *testing.T) {
	state := func(a, b string) []object.Object {
		objects := []object.Object{dummy("sr0"), up("sr0"), strict, vrf(a, 10), vrf(b, 20)}
		for i := range 500 {
			objects = append(objects, dt4(fmt.Sprintf("fc00:a::%x", i+1), a, 10), dt4(fmt.Sprintf("fc00:b::%x", i+1), b, 20))
		}
		return objects
	}
	have, next := state("blue", "red"), state("red", "blue")
	f, r := running(t, have...)
	commit(t, r, from(have, next))
	fresh, _ := running(t, next...)
	sameText(t, "kernel", f.Snapshot(), fresh.Snapshot())
}

func TestReadersBesideTheWriter(t *testing.T) {
	f := kerneltest.NewFake()
	var mu sync.Mutex
	told := map[object.Key]int{}
	r := reconcile.New(f, reconcile.OnChange(func(keys []object.Key) {
		mu.Lock()
		defer mu.Unlock()
		for _, k := range keys {
			told[k]++
		}
	}))
	if err := r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	commit(t, r, base())
	clear(told)
	changes := sids(2000)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				last := ""
				for s := range r.All(object.KindLocalSID) {
					if s.Key.ID <= last || s.Have == nil || s.Want == nil {
						t.Errorf("got %+v after %q", s, last)
						return
					}
					last = s.Key.ID
				}
				r.Get(changes[0].Key)
				r.Leftovers()
			}
		})
	}
	none := make([]reconcile.Change, len(changes))
	for i, c := range changes {
		none[i].Key = c.Key
	}
	for range 5 {
		commit(t, r, changes)
		commit(t, r, none)
	}
	close(done)
	readers.Wait()
	mu.Lock()
	defer mu.Unlock()
	if len(told) > 0 {
		t.Errorf("told of %v, which the commits asked for", slices.Collect(maps.Keys(told)))
	}
	if _, ok := r.Get(changes[0].Key); ok {
		t.Error("a deleted SID is still known")
	}
}
