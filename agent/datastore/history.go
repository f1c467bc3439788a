package datastore

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"heddle/schema"
)

// Past is a commit that was made.
type Past struct {
	Commit
	// Reachable: the configuration after it can be made again, and compared with.
	Reachable bool
}

// HistoryError says why a configuration of the past is not to be had.
type HistoryError struct {
	Revision uint64
	Reason   string
	// Never is set if there was no such revision.
	Never bool
}

func (e *HistoryError) Error() string { return fmt.Sprintf("revision %d: %s", e.Revision, e.Reason) }

// History lists the last commits, at most limit, newest first, also those of
// earlier lives of the process.
func (s *Store) History(limit int) ([]Past, error) {
	now := s.Snapshot()
	recs, err := s.records(now.revision, math.MaxUint64)
	if err != nil {
		return nil, err
	}
	var list []Past
	reachable := true // what comes after it leads to the present
	next := now.revision + 1
	for _, r := range slices.Backward(recs) {
		if len(list) == limit {
			break
		}
		reachable = reachable && r.Revision == next-1
		list = append(list, Past{Commit: r.commit(), Reachable: reachable})
		reachable = reachable && !r.Lost
		next = r.Revision
	}
	return list, nil
}

func (r *record) commit() Commit {
	return Commit{Revision: r.Revision, Time: r.Time, User: r.User, Source: r.Source, Request: r.Request, Confirm: r.Confirm, Entries: r.Entries}
}

// records are those up to a revision, the oldest first, with what was before if
// they came after another one.
func (s *Store) records(upTo, before uint64) ([]record, error) {
	var recs []record
	err := s.disk.journal.read(func(r uint64) bool { return r > before && r <= upTo }, func(r record) {
		for len(recs) > 0 && recs[len(recs)-1].Revision >= r.Revision {
			recs = recs[:len(recs)-1]
		}
		if r.Revision <= upTo {
			recs = append(recs, r)
		}
	})
	return recs, err
}

// overlay is what entries were at a revision, by path, where they have changed up to
// now.
type overlay map[string]entryBefore

// overlays are those of two revisions, from being the earlier one.
func (s *Store) overlays(now *Snapshot, from, to uint64) (a, b overlay, err error) {
	if last := max(from, to); last > now.revision {
		return nil, nil, &HistoryError{Revision: last, Reason: fmt.Sprintf("there is none yet: the last one is %d", now.revision), Never: true}
	}
	a, b = overlay{}, overlay{}
	if from == now.revision {
		return a, b, nil
	}
	recs, err := s.records(now.revision, from)
	if err != nil {
		return nil, nil, err
	}
	next := from + 1
	for i := range recs {
		r := &recs[i]
		if r.Revision <= from {
			continue
		}
		if r.Revision != next || r.Lost {
			break
		}
		next++
		for _, e := range r.before {
			if _, done := a[e.Path]; !done {
				a[e.Path] = e
			}
			if _, done := b[e.Path]; !done && r.Revision > to {
				b[e.Path] = e
			}
		}
	}
	if next != now.revision+1 {
		return nil, nil, &HistoryError{Revision: from, Reason: fmt.Sprintf("what commit %d changed is not kept any more: heddle history says how far back it goes", next)}
	}
	return a, b, nil
}

// difference is what changed from one state of entries to another, in key order.
// What a state says nothing of is as it is now.
func (s *Store) difference(now *Snapshot, from, to overlay) ([]schema.Change, error) {
	var changes []schema.Change
	for path := range from {
		p, err := s.schema.ParsePath(path)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", journalName, err)
		}
		c := schema.Change{Key: p.Entry()}
		if c.Old, err = s.entry(now, c.Key, path, from); err != nil {
			return nil, err
		}
		if c.New, err = s.entry(now, c.Key, path, to); err != nil {
			return nil, err
		}
		if !s.same(c) {
			changes = append(changes, c)
		}
	}
	slices.SortFunc(changes, func(a, b schema.Change) int { return cmp.Compare(a.Key, b.Key) })
	return changes, nil
}

// same reports whether both sides of a change are equal.
func (s *Store) same(c schema.Change) bool {
	switch {
	case c.Old == c.New:
		return true
	case c.Old == nil || c.New == nil:
		return false
	}
	return bytes.Equal(s.schema.EncodeEntry(nil, c.Key, c.Old), s.schema.EncodeEntry(nil, c.Key, c.New))
}

// entry is an entry in a state.
func (s *Store) entry(now *Snapshot, k schema.EntryKey, path string, o overlay) (schema.GoStruct, error) {
	e, changed := o[path]
	if !changed {
		is, _ := now.Get(k)
		return is, nil
	}
	if e.Value == nil {
		return nil, nil
	}
	g, err := s.schema.DecodeEntry(k, e.Value)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", journalName, err)
	}
	return g, nil
}

// back is what has to change for the configuration of a revision to be the running
// one again.
func (s *Store) back(now *Snapshot, to uint64) ([]schema.Change, error) {
	was, is, err := s.overlays(now, to, now.revision)
	if err != nil {
		return nil, err
	}
	changes, err := s.difference(now, was, is)
	for i, c := range changes {
		changes[i].Old, changes[i].New = c.New, c.Old
	}
	return changes, err
}

// Diff is what changed between two revisions, in key order; from may be the later
// one. Errors are *HistoryError.
func (s *Store) Diff(from, to uint64) ([]schema.Change, error) {
	now := s.Snapshot()
	a, b, err := s.overlays(now, min(from, to), max(from, to))
	if err != nil {
		return nil, err
	}
	changes, err := s.difference(now, a, b)
	if from > to {
		for i, c := range changes {
			changes[i].Old, changes[i].New = c.New, c.Old
		}
	}
	return changes, err
}

// At is the configuration as it was at a time; before the first commit it was empty.
// Errors are *HistoryError.
func (s *Store) At(ctx context.Context, t time.Time) (*Snapshot, error) {
	// A commit that is under way may have been before that time. Nobody waits for what
	// comes after it, which may be a lot.
	if err := s.acquire(ctx); err != nil {
		return nil, fmt.Errorf("look back: %w", err)
	}
	now := s.Snapshot()
	s.release()
	if !t.Before(now.time) {
		return now, nil
	}
	recs, err := s.records(now.revision, math.MaxUint64)
	if err != nil {
		return nil, err
	}
	var made record // the last one up to t
	for _, r := range recs {
		if r.Time.After(t) {
			break
		}
		made = r
	}
	if made.Revision == 0 && (len(recs) == 0 || recs[0].Revision > 1) {
		return nil, &HistoryError{Reason: fmt.Sprintf("nothing is known of %s: heddle history says how far back it goes", t.UTC().Format(time.RFC3339Nano)), Never: true}
	}
	changes, err := s.back(now, made.Revision)
	if err != nil {
		return nil, err
	}
	b := now.builder(s.schema, s.terms)
	b.apply(changes)
	b.next.revision, b.next.time = made.Revision, made.Time
	return b.next, nil
}

// maxBetween is how many changed entries Between returns at most.
const maxBetween = 100_000

// Between are the commits from one time on and before another one, in order, without
// snapshots. Errors are *HistoryError.
func (s *Store) Between(from, to time.Time) ([]Event, error) {
	now := s.Snapshot()
	heads, err := s.records(now.revision, math.MaxUint64)
	if err != nil {
		return nil, err
	}
	first := slices.IndexFunc(heads, func(r record) bool { return !r.Time.Before(from) && r.Time.Before(to) })
	if first < 0 {
		return nil, nil
	}
	entries := 0
	var events []Event
	for _, r := range heads[first:] {
		if !r.Time.Before(to) {
			break
		}
		if entries += r.Entries; entries > maxBetween {
			return nil, &HistoryError{Revision: r.Revision, Reason: fmt.Sprintf("more than %d entries changed from %s up to it: ask for a shorter time", maxBetween, from.UTC().Format(time.RFC3339Nano))}
		}
		events = append(events, Event{Commit: r.commit()})
	}
	// Backwards: what an entry became is what it was before the next change.
	later, err := s.fold(now, events[len(events)-1].Revision)
	if err != nil {
		return nil, err
	}
	recs, err := s.records(events[len(events)-1].Revision, events[0].Revision-1)
	if err != nil {
		return nil, err
	}
	for i, e := range slices.Backward(events) {
		at := slices.IndexFunc(recs, func(r record) bool { return r.Revision == e.Revision })
		if at < 0 || recs[at].Lost {
			return nil, &HistoryError{Revision: e.Revision, Reason: "what it changed is not kept any more"}
		}
		before := overlay{}
		for _, b := range recs[at].before {
			before[b.Path] = b
		}
		if events[i].Changes, err = s.difference(now, before, later); err != nil {
			return nil, err
		}
		for path, b := range before {
			later[path] = b
		}
	}
	return events, nil
}

// fold is what entries were after a revision, where they have changed since.
func (s *Store) fold(now *Snapshot, revision uint64) (overlay, error) {
	o, _, err := s.overlays(now, revision, now.revision)
	return o, err
}
