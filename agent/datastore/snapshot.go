package datastore

import (
	"slices"
	"time"

	"heddle/schema"
)

// Snapshot is the whole configuration at one moment. It never changes, and it
// costs nothing to keep one but the entries that were replaced since. It
// implements schema.Tree and schema.Indexed. All methods are safe for concurrent use.
type Snapshot struct {
	entries  schema.Map
	refs     index // who refers to an entry, by its key
	terms    index // by term
	revision uint64
	time     time.Time
}

func emptySnapshot() *Snapshot {
	return &Snapshot{
		entries: schema.NewMap(),
		refs:    newIndex(),
		terms:   newIndex(),
	}
}

// Revision is the number of the commit that made this configuration; 0 is the
// empty configuration before any commit.
func (s *Snapshot) Revision() uint64 { return s.revision }

// Time is when that commit was made.
func (s *Snapshot) Time() time.Time { return s.time }

// Len is the number of entries.
func (s *Snapshot) Len() int { return s.entries.Len() }

// Get implements schema.Tree.
func (s *Snapshot) Get(k schema.EntryKey) (schema.GoStruct, bool) { return s.entries.Get(k) }

// KeyAt implements schema.Indexed.
func (s *Snapshot) KeyAt(i int) schema.EntryKey { return s.entries.KeyAt(i) }

// Ascend implements schema.Seeker.
func (s *Snapshot) Ascend(from schema.EntryKey, fn func(schema.EntryKey, schema.GoStruct) bool) {
	s.entries.Ascend(from, fn)
}

// Scan implements schema.Tree.
func (s *Snapshot) Scan(prefix schema.EntryKey, fn func(schema.EntryKey, schema.GoStruct) bool) {
	s.entries.Scan(prefix, fn)
}

// Referrers calls fn for every entry with a leaf that refers to the entry
// target, in key order, until fn returns false. The target need not exist.
func (s *Snapshot) Referrers(target schema.EntryKey, fn func(referrer schema.EntryKey) bool) {
	s.refs.of(string(target), fn)
}

// Terms calls fn for every entry with a term (Config.Terms) from one up to, and
// without, another one, by term and then by key, until fn returns false.
func (s *Snapshot) Terms(from, to string, fn func(k schema.EntryKey) bool) {
	s.terms.between(from, to, fn)
}

// builder makes a snapshot out of another. Only the one writer may have one:
// copying a tree writes to it, in a place that readers do not look at.
type builder struct {
	schema       *schema.Schema
	next         *Snapshot
	refs, byTerm indexBuilder
	// before and after are scratch space.
	before, after []schema.EntryKey

	// terms is Config.Terms; beforeTerms and afterTerms are scratch space, too.
	terms                   Terms
	beforeTerms, afterTerms []string
}

func (s *Snapshot) builder(sc *schema.Schema, terms Terms) *builder {
	b := &builder{schema: sc, terms: terms, refs: s.refs.builder(), byTerm: s.terms.builder()}
	b.next = &Snapshot{entries: s.entries, refs: b.refs.next, terms: b.byTerm.next, revision: s.revision, time: s.time}
	return b
}

func (b *builder) apply(changes []schema.Change) {
	b.next.entries = b.next.entries.With(changes)
	for _, c := range changes {
		b.before = b.targets(b.before[:0], c.Key, c.Old)
		b.after = b.targets(b.after[:0], c.Key, c.New)
		for _, t := range b.before {
			if !contains(b.after, t) {
				b.refs.remove(string(t), c.Key)
			}
		}
		for _, t := range b.after {
			if !contains(b.before, t) {
				b.refs.add(string(t), c.Key)
			}
		}
		b.index(c)
	}
}

// index brings the terms up to date.
func (b *builder) index(c schema.Change) {
	if b.terms == nil {
		return
	}
	b.beforeTerms, b.afterTerms = b.beforeTerms[:0], b.afterTerms[:0]
	if c.Old != nil {
		b.beforeTerms = b.terms(c.Key, c.Old, b.beforeTerms)
	}
	if c.New != nil {
		b.afterTerms = b.terms(c.Key, c.New, b.afterTerms)
	}
	if slices.Equal(b.beforeTerms, b.afterTerms) {
		return
	}
	for _, t := range b.beforeTerms {
		b.byTerm.remove(t, c.Key)
	}
	for _, t := range b.afterTerms {
		b.byTerm.add(t, c.Key)
	}
}

// targets appends what an entry refers to, each once.
func (b *builder) targets(dst []schema.EntryKey, k schema.EntryKey, e schema.GoStruct) []schema.EntryKey {
	if e == nil {
		return dst
	}
	b.schema.Refs(k, e, func(r schema.Ref) bool {
		if r.Target != "" && !contains(dst, r.Target) {
			dst = append(dst, r.Target)
		}
		return true
	})
	return dst
}

// contains is a linear search: an entry refers to a handful of others.
func contains(list []schema.EntryKey, k schema.EntryKey) bool {
	for _, l := range list {
		if l == k {
			return true
		}
	}
	return false
}
