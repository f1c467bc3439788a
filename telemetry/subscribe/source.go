package subscribe

import (
	"context"
	"errors"
	"iter"
	"sync"

	"heddle/schema"
)

// numSources: configuration and state.
const numSources = 2

// ErrStopped is what a subscription ends with when the engine does.
var ErrStopped = errors.New("the subscription engine has stopped")

// source is one dataset with the patterns that wait for its changes. tree is
// where its goroutine stands in the feed: what subscribers have been told is
// always exactly what leads to tree.
type source struct {
	data Dataset
	feed Feed
	id   int // its place in Engine.sources

	mu      sync.Mutex // guards all below, and orders deliveries
	tree    schema.Tree
	index   index
	marked  map[*subscriber]bool // who is told of commits
	waiters map[schema.Tree][]chan struct{}
	stopped bool
}

func newSource(id int, sc *schema.Schema, data Dataset) *source {
	s := &source{id: id, data: data, index: newIndex(sc), marked: map[*subscriber]bool{}, waiters: map[schema.Tree][]chan struct{}{}}
	s.tree, s.feed = data.Watch()
	return s
}

// run follows the feed until ctx ends or the dataset closes.
func (s *source) run(ctx context.Context) error {
	defer s.stop()
	for {
		b, err := s.feed.Next(ctx)
		if err != nil {
			return err
		}
		s.deliver(b)
	}
}

func (s *source) stop() {
	s.feed.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for t := range s.waiters {
		s.wake(t)
	}
}

// wake needs s.mu.
func (s *source) wake(t schema.Tree) {
	for _, c := range s.waiters[t] {
		close(c)
	}
	delete(s.waiters, t)
}

// deliver files every change with the subscribers that it matches.
func (s *source) deliver(b Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.Lost {
		b.Changes = compare(s.tree, b.Tree)
	}
	var subs []*subscriber
	for _, c := range b.Changes {
		s.index.match(c.Key, func(p *pattern) {
			hits := &p.sub.hits[s.id]
			if len(*hits) == 0 {
				subs = append(subs, p.sub)
			}
			*hits = append(*hits, p)
		})
		for _, sub := range subs {
			sub.file(s.id, c, b.Time, sub.hits[s.id])
			sub.hits[s.id] = sub.hits[s.id][:0]
		}
		subs = subs[:0]
	}
	if b.Mark != nil {
		for sub := range s.marked {
			sub.mark(b.Mark)
		}
	}
	s.tree = b.Tree
	if b.Lost {
		// Whoever waits for a tree that was skipped has it behind him now.
		for t := range s.waiters {
			s.wake(t)
		}
		return
	}
	s.wake(b.Tree)
}

// catchUp waits until everything that the dataset holds now has been delivered,
// so that who has seen a commit answered finds it in the tree.
func (s *source) catchUp(ctx context.Context) error {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return ErrStopped
	}
	// Taken under the lock: the snapshot cannot be behind s.tree, so one that
	// is not s.tree is still to come.
	now := s.data.Snapshot()
	if now == s.tree {
		s.mu.Unlock()
		return nil
	}
	c := make(chan struct{})
	s.waiters[now] = append(s.waiters[now], c)
	s.mu.Unlock()
	select {
	case <-c:
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		s.forget(now, c)
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return ErrStopped
	}
	return nil
}

// forget needs s.mu.
func (s *source) forget(t schema.Tree, c chan struct{}) {
	rest := s.waiters[t][:0]
	for _, o := range s.waiters[t] {
		if o != c {
			rest = append(rest, o)
		}
	}
	if len(rest) == 0 {
		delete(s.waiters, t)
		return
	}
	s.waiters[t] = rest
}

// join files a subscriber's patterns and returns the tree from which on it will
// be told of changes.
func (s *source) join(sub *subscriber, marked bool) schema.Tree {
	s.mu.Lock()
	defer s.mu.Unlock()
	if marked {
		s.marked[sub] = true
	}
	for _, p := range sub.patterns {
		s.index.add(p)
	}
	return s.tree
}

func (s *source) leave(sub *subscriber) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.marked, sub)
	for _, p := range sub.patterns {
		s.index.remove(p)
	}
}

// current is where the subscribers stand.
func (s *source) current() schema.Tree {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tree
}

// compare finds what differs between two trees by walking both; entries that
// are the same pointer are passed over.
func compare(old, now schema.Tree) []schema.Change {
	var changes []schema.Change
	next, stop := iter.Pull2(entries(old))
	defer stop()
	k, e, ok := next()
	for nk, ne := range entries(now) {
		for ok && k < nk {
			changes = append(changes, schema.Change{Key: k, Old: e})
			k, e, ok = next()
		}
		if !ok || k != nk {
			changes = append(changes, schema.Change{Key: nk, New: ne})
			continue
		}
		if e != ne {
			changes = append(changes, schema.Change{Key: nk, Old: e, New: ne})
		}
		k, e, ok = next()
	}
	for ok {
		changes = append(changes, schema.Change{Key: k, Old: e})
		k, e, ok = next()
	}
	return changes
}

func entries(t schema.Tree) iter.Seq2[schema.EntryKey, schema.GoStruct] {
	return func(yield func(schema.EntryKey, schema.GoStruct) bool) { t.Scan("", yield) }
}
