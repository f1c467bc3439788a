package datastore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"heddle/schema"
)

func TestWatchersSeeEveryCommitInOrder(t *testing.T) {
	r := start(t, newMemFS(), &kernel{})
	const commits, watchers = 100, 8
	var wg sync.WaitGroup
	for range watchers {
		snap, w := r.Watch()
		wg.Go(func() {
			defer w.Close()
			for rev := snap.Revision(); rev < commits; rev++ {
				e, err := w.Next(t.Context())
				if err != nil || e.Resync || e.Revision != rev+1 || e.Snapshot.Revision() != e.Revision || len(e.Changes) != 1 {
					t.Errorf("after %d came %+v, %v", rev, e.Commit, err)
					return
				}
			}
		})
	}
	for i := range commits {
		r.must(link(t, "e3", fmt.Sprint(i)))
	}
	wg.Wait()
}

func TestSlowWatcherStartsOver(t *testing.T) {
	r := start(t, newMemFS(), &kernel{}, func(c *Config) { c.WatchLimit = 10 })
	_, w := r.Watch()
	defer w.Close()
	for i := range 50 {
		r.must(link(t, "e3", fmt.Sprint(i)))
	}
	e, err := w.Next(t.Context())
	if err != nil || !e.Resync || e.Changes != nil || e.Snapshot != r.Snapshot() || e.Revision != 50 {
		t.Fatalf("Next: %+v, %v", e, err)
	}
	r.must(link(t, "e3", "next"))
	if e, err := w.Next(t.Context()); err != nil || e.Resync || e.Revision != 51 || len(e.Changes) != 1 {
		t.Errorf("Next: %+v, %v", e, err)
	}
}

// TestNobodySeesHalfASet has one Set give many entries the same text, and many
// readers who look for two that differ.
func TestNobodySeesHalfASet(t *testing.T) {
	r := start(t, newMemFS(), &kernel{})
	const entries, commits, readers = 40, 60, 50
	set := func(n int) []schema.Edit {
		edits := []schema.Edit{instance(t, "DEFAULT")}
		for i := range entries {
			edits = append(edits, link(t, fmt.Sprintf("e%d", i), fmt.Sprintf("set %d", n)))
		}
		// An entry that comes and goes, and with it a reference.
		if n%2 == 0 {
			return append(edits, sid(t, 1, fmt.Sprintf("e%d", n%entries)))
		}
		return append(edits, del(t, sids))
	}
	r.must(set(0)...)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range readers {
		_, w := r.Watch()
		wg.Go(func() {
			defer w.Close()
			var buf []byte
			var last uint64
			for ctx.Err() == nil {
				// A few look all the time, the others once for each commit: all at
				// once would leave the writer no processor.
				if i >= 2 {
					if _, err := w.Next(ctx); err != nil {
						return
					}
				}
				if err := consistent(r.schema, r.Snapshot(), &buf, &last); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := 1; n <= commits; n++ {
		edits := set(n)
		if n%10 == 0 {
			// One that is refused must not be seen either.
			if _, err := r.commit(append(edits, dt4(t, 9, "nowhere"))...); err == nil {
				t.Error("a reference to nothing went through")
			}
		}
		r.must(edits...)
	}
	cancel()
	wg.Wait()
	r.agree()
}

// consistent checks that all links of a snapshot have one description, which is
// that of its revision, and that the SID is there when it should be.
func consistent(sc *schema.Schema, s *Snapshot, buf *[]byte, last *uint64) error {
	if s.Revision() < *last {
		return fmt.Errorf("revision %d after %d", s.Revision(), *last)
	}
	*last = s.Revision()
	want := fmt.Appendf(nil, `"set %d"`, s.Revision()-1)
	links, others := 0, 0
	var err error
	s.Scan("", func(k schema.EntryKey, e schema.GoStruct) bool {
		*buf = sc.EncodeEntry((*buf)[:0], k, e)
		switch {
		case bytes.Contains(*buf, []byte(`"description"`)):
			links++
			if !bytes.Contains(*buf, want) {
				err = fmt.Errorf("revision %d holds %s", s.Revision(), *buf)
			}
		case bytes.Contains(*buf, []byte("END_X")):
			others++
			n := 0
			sc.Refs(k, e, func(ref schema.Ref) bool {
				s.Referrers(ref.Target, func(schema.EntryKey) bool { n++; return true })
				return true
			})
			if n == 0 {
				err = errors.New("the index of references lags behind")
			}
		}
		return err == nil
	})
	if err == nil && (links != 40 || others != int(s.Revision())%2) {
		err = fmt.Errorf("revision %d has %d links and %d SIDs", s.Revision(), links, others)
	}
	return err
}
