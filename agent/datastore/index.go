package datastore

import (
	"github.com/tidwall/btree"

	"heddle/schema"
)

// degree of the B-trees of indexes: small nodes make small copies.
const degree = 8

// index has sets of entries by a name: those that refer to an entry, those that have
// a term. An index that was published never changes.
type index struct {
	sets *btree.Map[string, members]
}

// members is a set that is not empty. Most have one member, and some 100,000.
type members struct {
	one schema.EntryKey // the only one, if set is nil
	set *btree.Map[schema.EntryKey, struct{}]
}

func newIndex() index { return index{btree.NewMap[string, members](degree)} }

// each calls fn with the members in the order of their keys until it returns false,
// which it then reports.
func (m members) each(fn func(schema.EntryKey) bool) (all bool) {
	if m.set == nil {
		return fn(m.one)
	}
	all = true
	m.set.Scan(func(k schema.EntryKey, _ struct{}) bool {
		all = fn(k)
		return all
	})
	return all
}

// of calls fn with the members of one set, until it returns false.
func (x index) of(name string, fn func(schema.EntryKey) bool) {
	if m, ok := x.sets.Get(name); ok {
		m.each(fn)
	}
}

// between calls fn with the members of the sets from one name up to, and without,
// another, by name and then by key, until it returns false.
func (x index) between(from, to string, fn func(schema.EntryKey) bool) {
	x.sets.Ascend(from, func(name string, m members) bool { return name < to && m.each(fn) })
}

// indexBuilder makes an index out of another.
type indexBuilder struct {
	next index
	// own are the names of the sets that were copied already.
	own map[string]bool
}

func (x index) builder() indexBuilder {
	return indexBuilder{index{x.sets.Copy()}, map[string]bool{}}
}

func (b *indexBuilder) add(name string, k schema.EntryKey) {
	m, ok := b.next.sets.Get(name)
	switch {
	case !ok:
		b.next.sets.Set(name, members{one: k})
	case m.set != nil:
		b.owned(name, m).Set(k, struct{}{})
	case m.one != k:
		set := btree.NewMap[schema.EntryKey, struct{}](degree)
		set.Set(m.one, struct{}{})
		set.Set(k, struct{}{})
		b.next.sets.Set(name, members{set: set})
		b.own[name] = true
	}
}

func (b *indexBuilder) remove(name string, k schema.EntryKey) {
	m, ok := b.next.sets.Get(name)
	if !ok {
		return
	}
	if m.set != nil {
		set := b.owned(name, m)
		if set.Delete(k); set.Len() > 0 {
			return
		}
		delete(b.own, name)
	} else if m.one != k {
		return
	}
	b.next.sets.Delete(name)
}

// owned is a set as one that this builder may change.
func (b *indexBuilder) owned(name string, m members) *btree.Map[schema.EntryKey, struct{}] {
	if !b.own[name] {
		m.set = m.set.Copy()
		b.next.sets.Set(name, m)
		b.own[name] = true
	}
	return m.set
}
