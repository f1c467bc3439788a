// Package feed is an ordered list of events with one writer and any number of
// readers, none of which can hold up the writer or each other.
//
// It serves the datastore (commits) and telemetry (changes of state), whose
// readers are subscriptions. It knows nothing of what it carries.
package feed

import (
	"context"
	"errors"
	"sync"
)

// ErrClosed is what Next fails with once the reader is closed, or the feed is
// and all its events have been read.
var ErrClosed = errors.New("feed is closed")

// Feed holds events for as long as a reader has still to read them. A reader
// that falls more than the limit behind, and more than one event, loses its
// position and is told so: memory is bounded by the limit and one event, however
// many sleep.
type Feed[E any] struct {
	limit int64
	size  func(E) int

	mu       sync.Mutex // guards all below and the readers' positions
	end      *link[E]   // an empty link; the writer fills it and hangs a new one behind
	latest   E
	readers  map[*Reader[E]]struct{}
	appended chan struct{} // closed and replaced at every change of the list
	closed   bool
}

type link[E any] struct {
	event E
	next  *link[E]
	total int64 // size of all events before this link
}

// New returns a feed whose readers may lag by limit, measured by size (1 is
// added for each event). latest is what a reader that starts now has seen.
func New[E any](limit int, latest E, size func(E) int) *Feed[E] {
	return &Feed[E]{
		limit:    int64(limit),
		size:     size,
		end:      &link[E]{},
		latest:   latest,
		readers:  map[*Reader[E]]struct{}{},
		appended: make(chan struct{}),
	}
}

// Publish appends an event and calls swap, as one step for readers to come.
func (f *Feed[E]) Publish(e E, swap func()) { f.PublishAs(e, e, swap) }

// PublishAs is Publish with latest as what Watch and readers that lost their
// position get: e without what only those need who follow, which would be kept
// until the next event.
func (f *Feed[E]) PublishAs(e, latest E, swap func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	swap()
	f.latest = latest
	end := f.end
	end.event = e
	end.next = &link[E]{total: end.total + 1 + int64(f.size(e))}
	f.end = end.next
	for r := range f.readers {
		if r.at != nil && r.at != end && f.end.total-r.at.total > f.limit {
			r.at = nil
		}
	}
	f.wake()
}

// wake needs f.mu.
func (f *Feed[E]) wake() {
	close(f.appended)
	f.appended = make(chan struct{})
}

// Close ends the feed: readers get what is there and then ErrClosed.
func (f *Feed[E]) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed = true
		f.wake()
	}
}

// Reader is one position in the feed. It is for one goroutine at a time, Close
// excepted.
type Reader[E any] struct {
	feed *Feed[E]
	at   *link[E] // nil: fell too far behind
}

// Watch returns the latest event and a reader of all that come after it.
func (f *Feed[E]) Watch() (latest E, r *Reader[E]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r = &Reader[E]{feed: f, at: f.end}
	f.readers[r] = struct{}{}
	return f.latest, r
}

// Next returns the next event, waiting for it as long as the context lasts.
// lost is true when the reader was too slow and events were dropped for it: e is
// then the latest one, and the reader has to start over from it. Events go on
// after it without a gap.
func (r *Reader[E]) Next(ctx context.Context) (e E, lost bool, err error) {
	for {
		f := r.feed
		f.mu.Lock()
		_, open := f.readers[r]
		switch {
		case !open:
			f.mu.Unlock()
			return e, false, ErrClosed
		case r.at == nil:
			r.at = f.end
			e = f.latest
			f.mu.Unlock()
			return e, true, nil
		case r.at.next != nil:
			e = r.at.event
			r.at = r.at.next
			f.mu.Unlock()
			return e, false, nil
		case f.closed:
			f.mu.Unlock()
			return e, false, ErrClosed
		}
		appended := f.appended
		f.mu.Unlock()
		select {
		case <-appended:
		case <-ctx.Done():
			return e, false, ctx.Err()
		}
	}
}

// Close lets go of the position and ends a Next that waits.
func (r *Reader[E]) Close() {
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	if _, open := r.feed.readers[r]; open {
		delete(r.feed.readers, r)
		r.at = nil
		r.feed.wake()
	}
}
