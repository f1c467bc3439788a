package subscribe

import (
	"slices"
	"sync"
	"time"

	"heddle/schema"
)

// subscriber is one STREAM: its patterns and what waits to be sent to it.
type subscriber struct {
	schema   *schema.Schema
	patterns []*pattern
	wake     chan struct{} // holds one token when something was filed
	// hits are the patterns that one change matches, per source; guarded by the
	// source's lock.
	hits [numSources][]*pattern

	mu      sync.Mutex // guards all below; taken inside source.mu
	waiting map[itemKey]*item
	first   *item // oldest
	last    *item
	marks   int // how many are among them
}

// maxMarks is how many commits a subscriber is told of that it did not wait for.
const maxMarks = 4096

type itemKey struct {
	source int
	entry  schema.EntryKey
}

// item is what happened to one entry since the subscriber was told of it.
type item struct {
	itemKey
	mark     *Mark // instead of all below: a commit is through
	next     *item
	old, now schema.GoStruct // what the subscriber knows, what is
	at       time.Time       // of the latest change
	patterns []*pattern      // those that match the entry
	// changes counts how often each leaf changed; nil while one change is all
	// there is.
	changes map[*schema.Node]uint32
}

// file puts a change into the queue, or adds it to the item that waits for the
// entry. patterns are those that match the entry: always the same for one entry.
func (s *subscriber) file(source int, c schema.Change, at time.Time, patterns []*pattern) {
	key := itemKey{source, c.Key}
	s.mu.Lock()
	defer s.mu.Unlock()
	if it := s.waiting[key]; it != nil {
		if it.changes == nil {
			it.changes = map[*schema.Node]uint32{}
			it.count(s.schema, schema.Change{Key: c.Key, Old: it.old, New: it.now})
		}
		it.count(s.schema, c)
		it.now, it.at = c.New, at
		return
	}
	it := &item{itemKey: key, old: c.Old, now: c.New, at: at, patterns: slices.Clone(patterns)}
	s.waiting[key] = it
	s.add(it)
}

// mark puts the end of a commit into the queue.
func (s *subscriber) mark(m *Mark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.marks >= maxMarks && s.last.mark != nil {
		s.last.mark = m // between others there is an entry: they are bounded, too
		return
	}
	s.marks++
	s.add(&item{mark: m})
}

// add needs s.mu.
func (s *subscriber) add(it *item) {
	if s.last == nil {
		s.first = it
	} else {
		s.last.next = it
	}
	s.last = it
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// count adds one to the count of every leaf that a change sets.
func (it *item) count(sc *schema.Schema, c schema.Change) {
	if c.New == nil {
		// What comes after the entry went is a new story.
		clear(it.changes)
		return
	}
	sc.Diff(c, schema.LeafOptions{Defaults: true}, func(d schema.Delta) bool {
		if !d.Deleted {
			it.changes[d.Node]++
		}
		return true
	})
}

// pop takes the oldest item, nil if nothing waits.
func (s *subscriber) pop() *item {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.first
	if it == nil {
		return nil
	}
	s.first = it.next
	if s.first == nil {
		s.last = nil
	}
	if it.mark != nil {
		s.marks--
		return it
	}
	delete(s.waiting, it.itemKey)
	return it
}
