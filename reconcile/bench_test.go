package reconcile_test

import (
	"context"
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"

	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/reconcile"
)

// sids makes n End.X SIDs on sr0, as changes.
func sids(n int) []reconcile.Change {
	changes := make([]reconcile.Change, n)
	for i := range changes {
		a := netip.MustParseAddr("fc00::").As16()
		binary.BigEndian.PutUint32(a[4:], uint32(i))
		o := &object.LocalSID{SID: netip.AddrFrom16(a), Table: object.TableMain, Behavior: object.EndX,
			NextHop: netip.MustParseAddr("fe80::1"), Dev: "sr0"}
		changes[i] = reconcile.Change{Key: o.Key(), Want: reconcile.Wanted{Object: o, Origin: "/sid"}}
	}
	return changes
}

func base() []reconcile.Change { return want(dummy("sr0"), up("sr0")) }

func BenchmarkPlan100kCreates(b *testing.B) {
	_, r := running(b, dummy("sr0"), up("sr0"))
	changes := sids(100_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Plan(changes); err != nil {
			b.Fatal(err)
		}
	}
}

// The link that carries them is made anew: all of them go and come.
func BenchmarkPlan100kRebuilt(b *testing.B) {
	_, r := running(b, dummy("sr0"), up("sr0"))
	commit(b, r, sids(100_000))
	changes := want(object.Link{Name: "sr0", Type: object.LinkVRF, Table: 7})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Plan(changes); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCommit100k(b *testing.B) {
	changes := sids(100_000)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		r := reconcile.New(kerneltest.NewFake())
		commit(b, r, base())
		b.StartTimer()
		commit(b, r, changes)
	}
}

// What the fake takes of BenchmarkCommit100k.
func BenchmarkFake100k(b *testing.B) {
	changes := sids(100_000)
	steps := make([]reconcile.Step, len(changes))
	for i, c := range changes {
		steps[i].New = c.Want.Object
	}
	for b.Loop() {
		b.StopTimer()
		f := kerneltest.NewFake()
		commit(b, reconcile.New(f), base())
		b.StartTimer()
		if err := f.Check(b.Context(), steps); err != nil {
			b.Fatal(err)
		}
		f.Do(b.Context(), steps)
	}
}

// One SID changes among n.
func benchmarkOne(b *testing.B, n int) {
	_, r := running(b, dummy("sr0"), up("sr0"))
	commit(b, r, sids(n))
	one := sids(1)[0]
	other := *one.Want.Object.(*object.LocalSID)
	other.NextHop = netip.MustParseAddr("fe80::2")
	both := [][]reconcile.Change{want(&other), {one}}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		commit(b, r, both[i%2])
		i++
	}
}

func BenchmarkCommitOneOf100(b *testing.B)  { benchmarkOne(b, 100) }
func BenchmarkCommitOneOf100k(b *testing.B) { benchmarkOne(b, 100_000) }

// beside100kWithheld is a reconciler whose 100,000 SIDs have no link, and 100 more
// that have one.
func beside100kWithheld(b *testing.B) *reconcile.Reconciler {
	f := kerneltest.NewFake()
	changes := sids(100_100)
	for i := range changes {
		sid := *changes[i].Want.Object.(*object.LocalSID)
		sid.Dev = "ext0"
		if i < 100_000 {
			sid.Dev = "missing"
		}
		changes[i].Want.Object = &sid
	}
	r := reconcile.New(f)
	if err := r.Load(b.Context()); err != nil {
		b.Fatal(err)
	}
	if withheld, err := r.Start(b.Context(), changes); err != nil || len(withheld) != 100_000 {
		b.Fatalf("%d objects are withheld, %v", len(withheld), err)
	}
	return r
}

// What cannot be put in place costs those nothing who want something else.
func BenchmarkCommitOneBeside100kWithheld(b *testing.B) {
	r := beside100kWithheld(b)
	i := 0
	for b.Loop() {
		sid := &object.LocalSID{SID: addr("fc01::"), Table: object.TableMain, Behavior: object.EndX,
			NextHop: addr([]string{"fe80::1", "fe80::2"}[i%2]), Dev: "ext0"}
		commit(b, r, want(sid))
		i++
	}
}

// Trying it again is trying one of them.
func BenchmarkRepair100kWithheld(b *testing.B) {
	r := beside100kWithheld(b)
	for b.Loop() {
		if _, err := r.Repair(b.Context(), behind(object.LinkKey("missing"))); err != nil {
			b.Fatal(err)
		}
	}
}

// echo is a kernel that does as it is told and keeps nothing.
type echo struct{}

func (echo) Dump(context.Context, ...object.Kind) ([]object.Object, error) { return nil, nil }
func (echo) Check(context.Context, []reconcile.Step) error                 { return nil }
func (echo) Preserve(context.Context, []reconcile.Step) (reconcile.Preserved, error) {
	return nil, nil
}

func (echo) Do(_ context.Context, steps []reconcile.Step) []reconcile.Result {
	results := make([]reconcile.Result, len(steps))
	for i, s := range steps {
		if o, ok := s.New.(*object.LocalSID); ok {
			got := *o
			results[i].Got = &got
		} else {
			results[i].Got = s.New
		}
	}
	return results
}

// What the reconciler keeps in memory for each SID, its key and the SID itself
// included.
func BenchmarkMemory100k(b *testing.B) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		before := heap()
		r := reconcile.New(echo{})
		commit(b, r, sids(100_000))
		b.ReportMetric(float64(heap()-before)/100_000, "B/SID")
		runtime.KeepAlive(r)
	}
}
