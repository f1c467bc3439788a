// Package modeltest lets tests read configuration as text: snapshots over a map,
// and scenarios in txtar form that a person can read.
//
// A scenario is a sequence of Sets on one snapshot. A file called
// "update PATH", "replace PATH" or "delete PATH" is an edit with JSON_IETF in it;
// edits that follow each other are one Set. Files of any other name after them
// are what is expected of that Set; what they are called and hold is for the
// test to say. "# ..." is a comment.
//
// It is for tests only and must not be imported by anything else.
package modeltest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"

	"heddle/schema"
	"heddle/translators"
)

// Snapshot is a translators.Reader over maps. It does not change.
type Snapshot struct {
	schema    *schema.Schema
	entries   schema.Entries
	keys      []schema.EntryKey // of entries, in order
	referrers map[schema.EntryKey][]schema.EntryKey
	terms     []term // in order
}

// term is what an entry can be found by, with its key behind it.
type term struct {
	text string
	key  schema.EntryKey
}

// New makes a snapshot of entries, which must not be changed any more.
func New(s *schema.Schema, entries schema.Entries) *Snapshot {
	n := &Snapshot{schema: s, entries: entries, referrers: map[schema.EntryKey][]schema.EntryKey{}}
	n.keys = slices.Sorted(maps.Keys(entries))
	for _, k := range n.keys {
		s.Refs(k, entries[k], func(r schema.Ref) bool {
			// The keys come in order, so that one that is there is the last.
			if list := n.referrers[r.Target]; len(list) == 0 || list[len(list)-1] != k {
				n.referrers[r.Target] = append(list, k)
			}
			return true
		})
		for _, t := range translators.Terms(k, entries[k], nil) {
			n.terms = append(n.terms, term{t + string(k), k})
		}
	}
	slices.SortFunc(n.terms, func(a, b term) int { return strings.Compare(a.text, b.text) })
	return n
}

// Get implements schema.Tree.
func (s *Snapshot) Get(k schema.EntryKey) (schema.GoStruct, bool) { return s.entries.Get(k) }

// Scan implements schema.Tree.
func (s *Snapshot) Scan(prefix schema.EntryKey, fn func(schema.EntryKey, schema.GoStruct) bool) {
	i, _ := slices.BinarySearch(s.keys, prefix)
	for _, k := range s.keys[i:] {
		if !strings.HasPrefix(string(k), string(prefix)) || !fn(k, s.entries[k]) {
			return
		}
	}
}

// Referrers implements translators.Reader.
func (s *Snapshot) Referrers(target schema.EntryKey, fn func(schema.EntryKey) bool) {
	for _, k := range s.referrers[target] {
		if !fn(k) {
			return
		}
	}
}

// Terms implements translators.Reader.
func (s *Snapshot) Terms(from, to string, fn func(schema.EntryKey) bool) {
	i, _ := slices.BinarySearchFunc(s.terms, from, func(t term, from string) int { return strings.Compare(t.text, from) })
	for _, t := range s.terms[i:] {
		if t.text >= to || !fn(t.key) {
			return
		}
	}
}

// Apply makes the next snapshot and the changes that lead to it. References that
// lead nowhere are an error, as they are in the datastore.
func (s *Snapshot) Apply(edits []schema.Edit) (*Snapshot, []schema.Change, error) {
	changes, err := s.schema.Apply(s, edits)
	if err != nil {
		return nil, nil, err
	}
	next := s.Put(changes)
	if next, changes, err = s.complete(next, changes); err != nil {
		return nil, nil, err
	}
	for _, k := range next.keys {
		next.schema.Refs(k, next.entries[k], func(r schema.Ref) bool {
			if _, ok := next.entries[r.Target]; !ok {
				err = fmt.Errorf("%s refers to %s, which is not there", s.schema.Text(k), r.Value)
			}
			return err == nil
		})
	}
	return next, changes, err
}

// complete has dynamic SIDs given functions, as the datastore does.
func (s *Snapshot) complete(next *Snapshot, changes []schema.Change) (*Snapshot, []schema.Change, error) {
	m, err := translators.NewModel(s.schema)
	if err != nil {
		return nil, nil, err
	}
	filled := translators.Allocate(m, next, changes)
	if len(filled) == 0 {
		return next, changes, nil
	}
	next = next.Put(filled)
	changes = slices.Clone(changes)
	for i := range changes {
		if e, ok := next.Get(changes[i].Key); ok {
			changes[i].New = e
		}
	}
	return next, slices.DeleteFunc(changes, func(c schema.Change) bool { return s.schema.Equal(c.Old, c.New) }), nil
}

// Put makes the next snapshot, unchecked.
func (s *Snapshot) Put(changes []schema.Change) *Snapshot {
	entries := maps.Clone(s.entries)
	entries.Put(changes)
	return New(s.schema, entries)
}

// All lists the whole snapshot as changes from nothing.
func (s *Snapshot) All() []schema.Change {
	changes := make([]schema.Change, 0, len(s.entries))
	for _, k := range s.keys {
		changes = append(changes, schema.Change{Key: k, New: s.entries[k]})
	}
	return changes
}

// Step is one Set of a scenario with what is expected of it.
type Step struct {
	Title string // of its edits, for messages
	Edits []schema.Edit

	// Expect are indexes into the archive's files, in their order.
	Expect []int
}

// Scenario reads the steps of an archive.
func Scenario(s *schema.Schema, a *txtar.Archive) ([]Step, error) {
	ops := map[string]schema.Op{"update": schema.Update, "replace": schema.Replace, "delete": schema.Delete}
	var steps []Step
	edits := false
	for i, f := range a.Files {
		verb, path, _ := strings.Cut(f.Name, " ")
		if verb == "#" {
			edits = false
			continue
		}
		op, ok := ops[verb]
		if !ok {
			if len(steps) == 0 {
				return nil, fmt.Errorf("file %s: there is no edit before it", f.Name)
			}
			last := &steps[len(steps)-1]
			last.Expect, edits = append(last.Expect, i), false
			continue
		}
		if !edits {
			steps, edits = append(steps, Step{Title: f.Name}), true
		}
		p, err := s.ParsePath(path)
		if err != nil {
			return nil, fmt.Errorf("file %s: %w", f.Name, err)
		}
		e := schema.Edit{Op: op, Path: p, Encoding: schema.JSONIETF}
		if op != schema.Delete {
			e.JSON = f.Data
		}
		steps[len(steps)-1].Edits = append(steps[len(steps)-1].Edits, e)
	}
	return steps, nil
}
