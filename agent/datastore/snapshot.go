package datastore

import (
	"slices"
	"time"

	"github.com/tidwall/btree"

	"heddle/schema"
)

// degree of the B-trees of references: small nodes make small copies.
const degree = 8

// Snapshot is the whole configuration at one moment. It never changes, and it
// costs nothing to keep one but the entries that were replaced since. It
// implements schema.Tree and schema.Indexed. All methods are safe for concurrent use.
type Snapshot struct {
	entries  schema.Map
	refs     *btree.Map[schema.EntryKey, referrers]
	terms    *btree.Map[string, schema.EntryKey] // by term and entry
	revision uint64
	time     time.Time
}

// referrers is the set of entries that refer to one target. It wraps the set so
// that the map of targets, which calls a Copy method of its values, sees none.
type referrers struct {
	set *btree.Map[schema.EntryKey, struct{}]
}

func emptySnapshot() *Snapshot {
	return &Snapshot{
		entries: schema.NewMap(),
		refs:    btree.NewMap[schema.EntryKey, referrers](degree),
		terms:   btree.NewMap[string, schema.EntryKey](degree),
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
	if r, ok := s.refs.Get(target); ok {
		r.set.Scan(func(k schema.EntryKey, _ struct{}) bool { return fn(k) })
	}
}

// Terms calls fn for every entry with a term (Config.Terms) from one up to, and
// without, another one, by term and then by key, until fn returns false.
func (s *Snapshot) Terms(from, to string, fn func(k schema.EntryKey) bool) {
	s.terms.Ascend(from, func(term string, k schema.EntryKey) bool { return term < to && fn(k) })
}

// builder makes a snapshot out of another. Only the one writer may have one:
// copying a tree writes to it, in a place that readers do not look at.
type builder struct {
	schema *schema.Schema
	next   *Snapshot
	// own are the targets whose set of referrers was already copied.
	own map[schema.EntryKey]bool
	// before and after are scratch space.
	before, after []schema.EntryKey

	// terms is Config.Terms; beforeTerms and afterTerms are scratch space, too.
	terms                   Terms
	beforeTerms, afterTerms []string
}

func (s *Snapshot) builder(sc *schema.Schema, terms Terms) *builder {
	return &builder{
		schema: sc,
		terms:  terms,
		next: &Snapshot{
			entries:  s.entries,
			refs:     s.refs.Copy(),
			terms:    s.terms.Copy(),
			revision: s.revision,
			time:     s.time,
		},
		own: map[schema.EntryKey]bool{},
	}
}

func (b *builder) apply(changes []schema.Change) {
	b.next.entries = b.next.entries.With(changes)
	for _, c := range changes {
		b.before = b.targets(b.before[:0], c.Key, c.Old)
		b.after = b.targets(b.after[:0], c.Key, c.New)
		for _, t := range b.before {
			if !contains(b.after, t) {
				b.unrefer(t, c.Key)
			}
		}
		for _, t := range b.after {
			if !contains(b.before, t) {
				b.refer(t, c.Key)
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
		b.next.terms.Delete(t + string(c.Key))
	}
	for _, t := range b.afterTerms {
		b.next.terms.Set(t+string(c.Key), c.Key)
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

func (b *builder) refer(target, referrer schema.EntryKey) {
	r := b.ownSet(target)
	if r.set == nil {
		r.set = btree.NewMap[schema.EntryKey, struct{}](degree)
		b.next.refs.Set(target, r)
		b.own[target] = true
	}
	r.set.Set(referrer, struct{}{})
}

func (b *builder) unrefer(target, referrer schema.EntryKey) {
	r := b.ownSet(target)
	if r.set == nil {
		return
	}
	r.set.Delete(referrer)
	if r.set.Len() == 0 {
		b.next.refs.Delete(target)
		delete(b.own, target)
	}
}

// ownSet is the set of referrers of a target as one that this builder may
// change; its set is nil if nobody refers to the target.
func (b *builder) ownSet(target schema.EntryKey) referrers {
	r, ok := b.next.refs.Get(target)
	if !ok || b.own[target] {
		return r
	}
	r.set = r.set.Copy()
	b.next.refs.Set(target, r)
	b.own[target] = true
	return r
}
