package schema

import (
	"cmp"
	"slices"

	"github.com/tidwall/btree"
)

// Map is a Tree of which a changed version costs what changed, and leaves the
// earlier ones as they are. Reading is safe for concurrent use; With is for one
// goroutine at a time, because copying a tree writes to it, in a place that
// readers do not look at.
type Map struct {
	m *btree.Map[EntryKey, GoStruct]
}

// mapDegree of the B-tree. With 32, the library's default, a changed leaf copies
// three times as many octets.
const mapDegree = 8

// NewMap returns an empty Map.
func NewMap() Map { return Map{btree.NewMap[EntryKey, GoStruct](mapDegree)} }

// Len is the number of entries.
func (m Map) Len() int { return m.m.Len() }

// Get implements Tree.
func (m Map) Get(k EntryKey) (GoStruct, bool) { return m.m.Get(k) }

// Scan implements Tree.
func (m Map) Scan(prefix EntryKey, fn func(EntryKey, GoStruct) bool) {
	if prefix == "" {
		m.m.Scan(fn)
		return
	}
	m.m.Ascend(prefix, func(k EntryKey, e GoStruct) bool { return k.Under(prefix) && fn(k, e) })
}

// Ascend implements Seeker.
func (m Map) Ascend(from EntryKey, fn func(EntryKey, GoStruct) bool) { m.m.Ascend(from, fn) }

// KeyAt implements Indexed.
func (m Map) KeyAt(i int) EntryKey {
	k, _, _ := m.m.GetAt(i)
	return k
}

// With returns the map after changes, which have each key once. Where they are
// about as many as the entries, and in key order, the tree is built anew, which
// compares no keys but neighbours.
func (m Map) With(changes []Change) Map {
	if 2*len(changes) > m.Len() && slices.IsSortedFunc(changes, func(a, b Change) int { return cmp.Compare(a.Key, b.Key) }) {
		return m.merged(changes)
	}
	next := m.m.Copy()
	for _, c := range changes {
		if c.New == nil {
			next.Delete(c.Key)
		} else {
			next.Set(c.Key, c.New)
		}
	}
	return Map{next}
}

func (m Map) merged(changes []Change) Map {
	next := NewMap()
	upTo := func(k EntryKey) (replaced bool) {
		for len(changes) > 0 && changes[0].Key < k {
			if changes[0].New != nil {
				next.m.Load(changes[0].Key, changes[0].New)
			}
			changes = changes[1:]
		}
		return len(changes) > 0 && changes[0].Key == k
	}
	m.m.Scan(func(k EntryKey, e GoStruct) bool {
		if upTo(k) {
			e = changes[0].New
			changes = changes[1:]
		}
		if e != nil {
			next.m.Load(k, e)
		}
		return true
	})
	for _, c := range changes {
		if c.New != nil {
			next.m.Load(c.Key, c.New)
		}
	}
	return next
}
