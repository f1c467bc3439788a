package datastore

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"heddle/schema"
)

// nothing is an Applier without a kernel.
type nothing struct{}

func (nothing) Apply(context.Context, *Snapshot, *Snapshot, []schema.Change) (func(context.Context) error, error) {
	return nil, nil
}

func (nothing) Start(context.Context, *Snapshot, *Snapshot, []schema.Change) error { return nil }

func filled(b *testing.B, n int, fs FS) *Store {
	b.Helper()
	s, err := Open(Config{Schema: model(b), Applier: nothing{}, FS: fs})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	if _, err := s.Commit(b.Context(), Request{Edits: []schema.Edit{
		link(b, "e3", ""), instance(b, "DEFAULT"), replace(b, sids, manySIDs(n, "e3")),
	}}); err != nil {
		b.Fatal(err)
	}
	return s
}

// quickFS is a state directory whose syncs cost nothing: the disk is not what is
// measured.
type quickFS struct{ FS }

func (q quickFS) OpenFile(name string, flag int) (File, error) {
	f, err := q.FS.OpenFile(name, flag)
	return quickFile{f}, err
}

type quickFile struct{ File }

func (quickFile) Sync() error { return nil }

// BenchmarkOneLeaf changes one leaf of one SID, with and without a disk.
func BenchmarkOneLeaf(b *testing.B) {
	for _, disk := range []string{"page-cache", "fdatasync"} {
		for _, n := range []int{100, 1000, 10_000, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", disk, n), func(b *testing.B) {
				fs := DirFS(b.TempDir())
				if disk == "page-cache" {
					fs = quickFS{fs}
				}
				s := filled(b, n, fs)
				var edits [2]schema.Edit
				for i := range edits {
					edits[i] = update(b, sids+"/sid[address=2001:db8:0:1:1:1::]", fmt.Sprintf(`{"config":{"next-hop":"2001:db8::%d"}}`, i))
				}
				runtime.GC()
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					res, err := s.Commit(b.Context(), Request{Edits: edits[i&1 : i&1+1]})
					if err != nil || len(res.Changes) != 1 {
						b.Fatalf("%d changes, %v", len(res.Changes), err)
					}
					i++
				}
			})
		}
	}
}

// BenchmarkReplace100k puts 100,000 SIDs in place of none.
func BenchmarkReplace100k(b *testing.B) {
	edits := []schema.Edit{link(b, "e3", ""), instance(b, "DEFAULT"), replace(b, sids, manySIDs(100_000, "e3"))}
	b.SetBytes(int64(len(edits[2].JSON)))
	b.ReportAllocs()
	for b.Loop() {
		s := filled(b, 0, DirFS(b.TempDir()))
		if _, err := s.Commit(b.Context(), Request{Edits: edits}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReplaceSame100k replaces 100,000 SIDs with nearly the same: one in a
// thousand differs.
func BenchmarkReplaceSame100k(b *testing.B) {
	s := filled(b, 100_000, DirFS(b.TempDir()))
	var payloads [2]string
	payloads[0] = manySIDs(100_000, "e3")
	other := []byte(payloads[0])
	step := len(other) / 100
	for i := step; i < len(other); i += step {
		for j := i; j < len(other)-6; j++ {
			if string(other[j:j+6]) == "13::3\"" {
				other[j+4] = '7'
				break
			}
		}
	}
	payloads[1] = string(other)
	i := 1
	b.ReportAllocs()
	for b.Loop() {
		res, err := s.Commit(b.Context(), Request{Edits: []schema.Edit{replace(b, sids, payloads[i&1])}})
		if err != nil || len(res.Changes) == 0 || len(res.Changes) > 100 {
			b.Fatalf("%d changes, %v", len(res.Changes), err)
		}
		i++
	}
}

// BenchmarkStart100k loads 100,000 SIDs from startup.json.
func BenchmarkStart100k(b *testing.B) {
	fs := DirFS(b.TempDir())
	filled(b, 100_000, fs)
	b.ReportAllocs()
	for b.Loop() {
		s, err := Open(Config{Schema: model(b), Applier: nothing{}, FS: fs})
		if err != nil {
			b.Fatal(err)
		}
		if res, err := s.Start(b.Context()); err != nil || res.Entries < 100_000 {
			b.Fatalf("%+v, %v", res, err)
		}
	}
}

// BenchmarkStart100kWithLog loads 100,000 SIDs, the last state of 10,000 of which
// is in the log.
func BenchmarkStart100kWithLog(b *testing.B) {
	fs := DirFS(b.TempDir())
	s := filled(b, 100_000, fs)
	changed := strings.ReplaceAll(manySIDs(10_000, "e3"), "13::3", "13::4")
	if _, err := s.Commit(b.Context(), Request{Edits: []schema.Edit{update(b, sids, changed)}}); err != nil {
		b.Fatal(err)
	}
	if s.disk.logEmpty {
		b.Fatal("the commit went to startup.json")
	}
	for b.Loop() {
		s, err := Open(Config{Schema: model(b), Applier: nothing{}, FS: fs})
		if err != nil {
			b.Fatal(err)
		}
		if res, err := s.Start(b.Context()); err != nil || res.Entries < 100_000 {
			b.Fatalf("%+v, %v", res, err)
		}
	}
}

// BenchmarkMemory100k reports what an entry costs in memory.
func BenchmarkMemory100k(b *testing.B) {
	const n = 100_000
	fs := DirFS(b.TempDir())
	filled(b, n, fs)
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		s, err := Open(Config{Schema: model(b), Applier: nothing{}, FS: fs})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/entry")
		runtime.KeepAlive(s)
	}
}
