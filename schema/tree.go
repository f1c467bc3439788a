package schema

import (
	"maps"
	"slices"
)

// Tree is an ordered set of entries that does not change while it is read: a
// configuration snapshot, a state snapshot.
type Tree interface {
	// Get returns the entry with this key.
	Get(k EntryKey) (GoStruct, bool)
	// Scan calls fn for every entry whose key starts with prefix, in key
	// order, until fn returns false. The entry with key prefix itself is
	// included.
	Scan(prefix EntryKey, fn func(EntryKey, GoStruct) bool)
}

// Seeker is what a Tree may offer besides: Expand then skips the descendants
// of the entries it enumerates instead of walking over them.
type Seeker interface {
	// Ascend calls fn for every entry with key >= from, in key order, until fn
	// returns false.
	Ascend(from EntryKey, fn func(EntryKey, GoStruct) bool)
}

// Indexed is what a Tree may offer besides: EncodeChunks then writes parts of a
// large list at the same time.
type Indexed interface {
	Seeker
	// Len is the number of entries.
	Len() int
	// KeyAt returns the i-th key, from 0.
	KeyAt(i int) EntryKey
}

// Entries is a Tree over a map, for tests and small trees: Scan sorts.
type Entries map[EntryKey]GoStruct

// Get implements Tree.
func (e Entries) Get(k EntryKey) (GoStruct, bool) { s, ok := e[k]; return s, ok }

// Scan implements Tree.
func (e Entries) Scan(prefix EntryKey, fn func(EntryKey, GoStruct) bool) {
	for _, k := range sortedKeys(e) {
		if k.Under(prefix) && !fn(k, e[k]) {
			return
		}
	}
}

// Put applies changes to the map.
func (e Entries) Put(changes []Change) {
	for _, c := range changes {
		if c.New == nil {
			delete(e, c.Key)
		} else {
			e[c.Key] = c.New
		}
	}
}

func sortedKeys[V any](m map[EntryKey]V) []EntryKey {
	return slices.Sorted(maps.Keys(m))
}
