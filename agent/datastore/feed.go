package datastore

import (
	"context"
	"errors"
	"time"

	"heddle/internal/feed"
	"heddle/schema"
)

// Commit describes one change of the running configuration.
type Commit struct {
	Revision uint64
	Time     time.Time
	User     string // who asked; "" if nobody in particular
	Source   string // what it came through, e.g. "gnmi", "startup"
	Request  string // what was asked for, in a few words
	Confirm  string // the ID under which it has to be confirmed, or had to be; "": it had not
	Entries  int    // how many entries changed
}

// commitHead is what is kept of a Commit besides its revision.
type commitHead struct {
	Time    time.Time `json:"time"`
	User    string    `json:"user,omitzero"`
	Source  string    `json:"source,omitzero"`
	Request string    `json:"request,omitzero"`
	Confirm string    `json:"confirm,omitzero"`
}

func (c Commit) head() commitHead {
	return commitHead{Time: c.Time, User: c.User, Source: c.Source, Request: c.Request, Confirm: c.Confirm}
}

// Event is one element of the feed.
type Event struct {
	Commit
	// Changes are in key order; the caller must not change the slice.
	Changes []schema.Change
	// Snapshot is the running configuration after the commit.
	Snapshot *Snapshot
	// Resync is set if the reader was too slow and commits were dropped for it:
	// Changes is nil, Commit is the latest, and the reader has to start over
	// from Snapshot. Events continue after it without a gap.
	Resync bool
}

// Watcher is one reader's position in the feed of commits. It is for one
// goroutine at a time, Close excepted.
type Watcher struct{ reader *feed.Reader[Event] }

// Next returns the next event, waiting for it as long as the context lasts. It
// fails with the context's error, or with ErrClosed once the watcher is closed,
// or the store is and all events have been read.
func (w *Watcher) Next(ctx context.Context) (Event, error) {
	e, lost, err := w.reader.Next(ctx)
	if errors.Is(err, feed.ErrClosed) {
		return Event{}, ErrClosed
	}
	e.Resync = lost
	return e, err
}

// Close lets go of the position and ends a Next that waits.
func (w *Watcher) Close() { w.reader.Close() }

// Watch returns the running configuration and a reader of all commits after it,
// in order. The reader never delays a commit. One that lags by more than
// Config.WatchLimit changed entries, and more than one commit, is told to start
// over from a snapshot (Event.Resync). Close it after use.
func (s *Store) Watch() (*Snapshot, *Watcher) {
	latest, r := s.feed.Watch()
	return latest.Snapshot, &Watcher{r}
}

// publish shows a configuration to readers.
func (s *Store) publish(e Event) {
	s.last = e.Commit
	latest := e
	latest.Changes = nil
	s.feed.PublishAs(e, latest, func() { s.current.Store(e.Snapshot) })
}
