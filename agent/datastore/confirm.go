package datastore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-json-experiment/json"

	"heddle/schema"
)

// confirmName is the file that says that a commit waits to be confirmed. It is there,
// on stable storage, before the commit is.
const confirmName = "confirm.json"

// DefaultRollback is how long a commit waits to be confirmed if the request does not
// say (gnmi-commit-confirmed.md §3.2.1).
const DefaultRollback = 10 * time.Minute

// LongestConfirm is how long a commit may wait to be confirmed where Config does not
// say: meanwhile nobody else commits.
const LongestConfirm = 24 * time.Hour

var (
	// ErrNoneToConfirm: no commit waits to be confirmed.
	ErrNoneToConfirm = errors.New("no commit waits to be confirmed")
	// ErrOtherToConfirm: the one that waits has another ID.
	ErrOtherToConfirm = errors.New("the commit that waits to be confirmed has another ID")
)

// PendingError refuses a commit because another one waits to be confirmed. Its text has
// the ID for who may confirm that one.
type PendingError struct {
	Unconfirmed
	Theirs bool // it is somebody else's than who asks
}

func (e *PendingError) Error() string {
	until := e.Deadline.UTC().Format(time.RFC3339)
	if e.Theirs {
		return fmt.Sprintf("a commit of %s waits to be confirmed until %s: wait, or have %s or an administrator confirm or cancel it", named(e.User), until, named(e.User))
	}
	return fmt.Sprintf("commit %q waits to be confirmed until %s: confirm or cancel it first", e.ID, until)
}

// named is a user in a text.
func named(user string) string {
	if user == "" {
		return "somebody"
	}
	return user
}

// ConfirmAction is what a request is about besides its edits.
type ConfirmAction uint8

const (
	// ConfirmBegin makes the commit one that has to be confirmed.
	ConfirmBegin ConfirmAction = iota + 1
	// ConfirmAccept confirms the one that waits, ConfirmCancel takes it back,
	// ConfirmExtend gives it another time from now on.
	ConfirmAccept
	ConfirmCancel
	ConfirmExtend
	// ConfirmExpire is ConfirmCancel, if its time is over.
	ConfirmExpire
)

// Confirm is the part of a request about commits that have to be confirmed: if they
// are not, the configuration from before comes back. Except with ConfirmBegin, the
// request has no edits.
type Confirm struct {
	Action ConfirmAction
	ID     string
	// Within is for ConfirmBegin and ConfirmExtend; 0 is DefaultRollback.
	Within time.Duration
}

// Unconfirmed is a commit that waits to be confirmed.
type Unconfirmed struct {
	ID       string    `json:"id"`
	Before   uint64    `json:"before"` // the revision that comes back
	Deadline time.Time `json:"deadline"`
	User     string    `json:"user,omitzero"`

	// Time is that of the commit, which tells it from another one of the same revision
	// where this could not be forgotten.
	Time time.Time `json:"time"`
}

// unconfirmed is what is known to those who wait: waits is nil if nothing waits.
type unconfirmed struct {
	waits   *Unconfirmed
	changed chan struct{} // closed when it is not the latest any more
}

// Unconfirmed is the commit that waits to be confirmed, nil if there is none.
func (s *Store) Unconfirmed() *Unconfirmed { return s.unconfirmed.Load().waits }

func (s *Store) setUnconfirmed(u *Unconfirmed) {
	old := s.unconfirmed.Swap(&unconfirmed{waits: u, changed: make(chan struct{})})
	if old != nil {
		close(old.changed)
	}
}

// AwaitExpiry waits until the time of a commit that waits to be confirmed is over,
// and returns its ID. The caller commits with ConfirmExpire.
func (s *Store) AwaitExpiry(ctx context.Context) (id string, err error) {
	for {
		u := s.unconfirmed.Load()
		var over <-chan time.Time
		if u.waits != nil {
			left := u.waits.Deadline.Sub(s.now())
			if left <= 0 {
				return u.waits.ID, nil
			}
			over = s.after(left)
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-u.changed:
		case <-over:
		}
	}
}

// mayConfirm checks a request against the commit that waits. Who has begun it, or an
// administrator, ends it or sets its time.
func (s *Store) mayConfirm(req Request) error {
	c, waits := req.Confirm, s.Unconfirmed()
	if c != nil && c.Within > s.maxConfirm {
		return &DurationError{What: "wait to be confirmed", Asked: c.Within, Max: s.maxConfirm}
	}
	theirs := waits != nil && waits.User != req.User && !req.Administrator
	switch {
	case c == nil || c.Action == ConfirmBegin:
		if waits != nil {
			return &PendingError{*waits, theirs}
		}
		return nil
	case waits == nil:
		return ErrNoneToConfirm
	case theirs && c.Action != ConfirmExpire:
		return &OwnerError{What: "the commit that waits to be confirmed", Owner: waits.User}
	case waits.ID != c.ID:
		return fmt.Errorf("%w: %q", ErrOtherToConfirm, waits.ID)
	case c.Action == ConfirmExpire && s.now().Before(waits.Deadline):
		return fmt.Errorf("%w: its time is not over", ErrNoneToConfirm)
	}
	return nil
}

// settle carries out what is no commit: to confirm one, or to give it more time.
func (s *Store) settle(c *Confirm) error {
	waits := *s.Unconfirmed()
	if c.Action == ConfirmExtend {
		waits.Deadline = s.deadline(c)
		if err := s.disk.writeConfirm(waits); err != nil {
			return &PersistError{Err: err}
		}
		s.setUnconfirmed(&waits)
		return nil
	}
	if err := s.disk.removeConfirm(); err != nil {
		return &PersistError{Err: err}
	}
	s.setUnconfirmed(nil)
	return nil
}

// deadline is when a commit is taken back, by a clock that does not jump where it is set
// (time, "Monotonic Clocks"): neither UTC nor Round keeps that.
func (s *Store) deadline(c *Confirm) time.Time {
	within := c.Within
	if within <= 0 {
		within = DefaultRollback
	}
	return s.now().Add(within)
}

// remaining is a time that was written down before a start, by a clock that does not
// jump. It is not further away than longest: else the clock was set back meanwhile.
func (s *Store) remaining(until time.Time, longest time.Duration) time.Time {
	now := s.now()
	return now.Add(min(until.Sub(now), longest))
}

// announce makes sure that a commit which has to be confirmed is taken back after a
// crash, too. undo forgets it if it does not come about.
func (s *Store) announce(u Unconfirmed, c Commit, changes []schema.Change) (undo func(), err error) {
	if err := s.disk.journal.write(c, changes, false, true); err != nil {
		return nil, err
	}
	if err := s.disk.writeConfirm(u); err != nil {
		return nil, err
	}
	return func() {
		if err := s.disk.removeConfirm(); err != nil {
			s.log.Warn("leftover file stays", "file", confirmName, "error", err)
		}
	}, nil
}

// recoverConfirm finds out whether the commit that was made last waits to be
// confirmed.
func (s *Store) recoverConfirm(now *Snapshot) {
	data, err := readOptional(s.disk.fs, confirmName)
	if err == nil && data == nil {
		return
	}
	var u Unconfirmed
	if err == nil {
		err = json.Unmarshal(data, &u)
	}
	if err == nil && u.ID != "" && u.Before+1 == now.revision && u.Time.Equal(now.time) {
		longest := s.maxConfirm
		if asked := u.Deadline.Sub(u.Time); asked > 0 {
			longest = min(longest, asked)
		}
		u.Deadline = s.remaining(u.Deadline, longest)
		s.log.Info("a commit waits to be confirmed", "id", u.ID, "deadline", u.Deadline)
		s.setUnconfirmed(&u)
		return
	}
	if err != nil {
		s.log.Error("it is not known whether a commit waits to be confirmed: none does", "file", confirmName, "error", err)
	}
	if err := s.disk.removeConfirm(); err != nil {
		s.log.Warn("leftover file stays", "file", confirmName, "error", err)
	}
}

func (d *disk) writeConfirm(u Unconfirmed) error {
	u.Deadline = u.Deadline.UTC()
	return d.writeNote(confirmName, u)
}

func (d *disk) removeConfirm() error { return d.removeNote(confirmName) }

// writeNote replaces a small file, on stable storage.
func (d *disk) writeNote(name string, what any) error {
	text, err := json.Marshal(what)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	f, err := d.fs.OpenFile(name+tmpSuffix, os.O_CREATE|os.O_WRONLY|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	if err = writeAll(f, append(text, '\n')); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = d.fs.Rename(name+tmpSuffix, name)
	}
	if err == nil {
		err = syncDir(d.fs)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func (d *disk) removeNote(name string) error {
	err := removeIfThere(d.fs, name)
	if err == nil {
		err = syncDir(d.fs)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}
