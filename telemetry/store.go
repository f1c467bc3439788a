package telemetry

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"heddle/internal/feed"
	"heddle/schema"
)

// feedLimit is how many changed entries a reader may lag behind before it has
// to start over from the latest snapshot.
const feedLimit = 200_000

// Snapshot is the state tree at one moment. It implements schema.Tree and
// schema.Indexed.
type Snapshot struct {
	entries schema.Map
	time    time.Time
}

// Time is when the latest change in it was seen.
func (s *Snapshot) Time() time.Time { return s.time }

// Get implements schema.Tree.
func (s *Snapshot) Get(k schema.EntryKey) (schema.GoStruct, bool) { return s.entries.Get(k) }

// Len implements schema.Indexed.
func (s *Snapshot) Len() int { return s.entries.Len() }

// KeyAt implements schema.Indexed.
func (s *Snapshot) KeyAt(i int) schema.EntryKey { return s.entries.KeyAt(i) }

// Ascend implements schema.Seeker.
func (s *Snapshot) Ascend(from schema.EntryKey, fn func(schema.EntryKey, schema.GoStruct) bool) {
	s.entries.Ascend(from, fn)
}

// find returns the entry with this key, and the key in the memory that the tree
// has it in; nil if there is none.
func (s *Snapshot) find(k schema.EntryKey) (key schema.EntryKey, entry schema.GoStruct) {
	s.entries.Ascend(k, func(at schema.EntryKey, e schema.GoStruct) bool {
		if at == k {
			key, entry = at, e
		}
		return false
	})
	return key, entry
}

// Scan implements schema.Tree.
func (s *Snapshot) Scan(prefix schema.EntryKey, fn func(schema.EntryKey, schema.GoStruct) bool) {
	s.entries.Scan(prefix, fn)
}

// Event is one change of the state tree.
type Event struct {
	Time     time.Time
	Changes  []schema.Change // in key order; not to be changed by the reader
	Snapshot *Snapshot       // the tree after it
}

// store is the tree with its one writer.
type store struct {
	schema *schema.Schema

	mu   sync.Mutex // one writer at a time
	feed *feed.Feed[Event]
	cur  atomic.Pointer[Snapshot]
	now  func() time.Time
}

func newStore(sc *schema.Schema, now func() time.Time) *store {
	s := &store{schema: sc, now: now}
	first := &Snapshot{entries: schema.NewMap(), time: now()}
	s.cur.Store(first)
	s.feed = feed.New(feedLimit, Event{Time: first.time, Snapshot: first}, func(e Event) int { return len(e.Changes) })
	return s
}

// update is what a source wants of one entry; a nil Entry takes it away.
type update struct {
	key   schema.EntryKey
	entry schema.GoStruct
}

// apply publishes what differs; updates has each key once. Entries that are as they were keep their
// identity and are not reported.
func (s *store) apply(updates []update) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.cur.Load()
	changes := make([]schema.Change, 0, len(updates))
	for _, u := range updates {
		before, ok := old.entries.Get(u.key)
		switch {
		case !ok && u.entry == nil:
		case ok && u.entry != nil && s.equal(u.key, before, u.entry):
		case !ok:
			changes = append(changes, schema.Change{Key: u.key, New: u.entry})
		default:
			changes = append(changes, schema.Change{Key: u.key, Old: before, New: u.entry})
		}
	}
	s.put(old, changes)
}

// publish publishes changes of what is there now, which differ from it.
func (s *store) publish(changes []schema.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(s.cur.Load(), changes)
}

// put needs s.mu.
func (s *store) put(old *Snapshot, changes []schema.Change) {
	if len(changes) == 0 {
		return
	}
	sortChanges(changes)
	next := &Snapshot{entries: old.entries.With(changes), time: s.now()}
	s.feed.Publish(Event{Time: next.time, Changes: changes, Snapshot: next}, func() { s.cur.Store(next) })
}

// equal reports whether no leaf differs.
func (s *store) equal(k schema.EntryKey, a, b schema.GoStruct) bool {
	equal := true
	s.schema.Diff(schema.Change{Key: k, Old: a, New: b}, schema.LeafOptions{}, func(schema.Delta) bool {
		equal = false
		return false
	})
	return equal
}

func sortChanges(changes []schema.Change) {
	slices.SortFunc(changes, func(a, b schema.Change) int { return cmp.Compare(a.Key, b.Key) })
}
