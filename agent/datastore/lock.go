package datastore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// lockName is the file of a lock that belongs to a user: it outlives the process. One
// that belongs to a session does not, since no session does.
const lockName = "locked.json"

// Times of locks.
const (
	// DefaultLock is how long a lock lasts if the request does not say.
	DefaultLock = 10 * time.Minute
	// LongestLock is how long one may last where Config does not say.
	LongestLock = 24 * time.Hour
)

// ErrNotLocked: nobody has locked the configuration.
var ErrNotLocked = errors.New("the configuration is not locked")

// Holder is who holds a lock.
type Holder struct {
	User string `json:"user,omitzero"`
	// Session is set where the lock belongs to one session of the user, as those of
	// NETCONF do (RFC 6241 §7.5), and not to the user in whatever session.
	Session string `json:"session,omitzero"`
}

func (h Holder) String() string {
	if h.Session == "" {
		return named(h.User)
	}
	return fmt.Sprintf("session %s of %s", h.Session, named(h.User))
}

// Lock keeps everybody but its holder from changing the configuration.
type Lock struct {
	Holder
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

// admits reports whether a lock lets somebody commit.
func (l *Lock) admits(h Holder) bool {
	return l.User == h.User && (l.Session == "" || l.Session == h.Session)
}

// LockedError refuses a commit, or another lock, because of a lock.
type LockedError struct{ Lock }

func (e *LockedError) Error() string {
	return fmt.Sprintf("the configuration is locked by %s since %s, until %s: wait, or have %s or an administrator unlock it",
		e.Holder, e.Since.UTC().Format(time.RFC3339), e.Until.UTC().Format(time.RFC3339), named(e.User))
}

// locked is what is known to those who wait: lock is nil if there is none.
type locked struct {
	lock    *Lock
	changed chan struct{} // closed when it is not the latest any more
}

func (s *Store) setLock(l *Lock) {
	if old := s.locked.Swap(&locked{lock: l, changed: make(chan struct{})}); old != nil {
		close(old.changed)
	}
}

// Locked is the lock, nil if there is none or its time is over. changed is closed when
// it becomes another one before that.
func (s *Store) Locked() (lock *Lock, changed <-chan struct{}) {
	now := s.locked.Load()
	if now.lock != nil && !s.now().Before(now.lock.Until) {
		return nil, now.changed
	}
	return now.lock, now.changed
}

// AwaitLock waits until the lock is another one than it was when Locked returned it
// with changed: somebody has changed it, or its time is over.
func (s *Store) AwaitLock(ctx context.Context, lock *Lock, changed <-chan struct{}) error {
	for {
		var over <-chan time.Time
		if lock != nil {
			left := lock.Until.Sub(s.now())
			if left <= 0 {
				return nil
			}
			over = s.after(left)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			return nil
		case <-over:
		}
	}
}

// LockRequest asks for the lock.
type LockRequest struct {
	Holder
	Within    time.Duration // 0 is DefaultLock
	Authority Authority     // nil: everything may be changed
}

// Lock gives the lock to who asks, from when the commit that is under way has ended.
// Who has it already, has it for so long from now on. Errors are *LockedError,
// *PendingError, *DurationError, *PersistError and those of the Authority, or wrap
// ErrBusy, ErrNotStarted or ErrClosed.
func (s *Store) Lock(ctx context.Context, req LockRequest) (Lock, error) {
	if req.Authority != nil {
		if err := req.Authority.Some(); err != nil {
			return Lock{}, err
		}
	}
	if req.Within > s.maxLock {
		return Lock{}, &DurationError{What: "lock the configuration", Asked: req.Within, Max: s.maxLock}
	}
	if req.Within <= 0 {
		req.Within = min(DefaultLock, s.maxLock)
	}
	if err := s.acquire(ctx); err != nil {
		return Lock{}, fmt.Errorf("lock: %w", err)
	}
	defer s.release()
	if err := s.mayLock(req.Holder); err != nil {
		return Lock{}, err
	}
	now := s.now() // Until is by the clock that does not jump, as deadline is
	l := Lock{Holder: req.Holder, Since: now.Round(0).UTC(), Until: now.Add(req.Within)}
	if held, _ := s.Locked(); held != nil {
		l.Since = held.Since
	}
	if err := s.keepLock(&l); err != nil {
		return Lock{}, &PersistError{Err: err}
	}
	s.setLock(&l)
	return l, nil
}

// mayLock says whether somebody may have the lock.
func (s *Store) mayLock(h Holder) error {
	switch s.Status().Phase {
	case Closed:
		return fmt.Errorf("lock: %w", ErrClosed)
	case Loading:
		return fmt.Errorf("lock: %w", ErrNotStarted)
	}
	if held, _ := s.Locked(); held != nil && !(held.admits(h) && held.Session == h.Session) {
		return &LockedError{*held}
	}
	if u := s.Unconfirmed(); u != nil && u.User != h.User {
		return &PendingError{*u, true}
	}
	return nil
}

// keepLock writes a lock down that outlives the process.
func (s *Store) keepLock(l *Lock) error {
	if l == nil || l.Session != "" {
		return s.disk.removeNote(lockName)
	}
	kept := *l
	kept.Until = l.Until.UTC()
	return s.disk.writeNote(lockName, kept)
}

// Unlock ends the lock of a holder; an administrator ends that of anybody. Errors are
// *OwnerError and *PersistError, or wrap ErrBusy or ErrNotLocked.
func (s *Store) Unlock(ctx context.Context, h Holder, administrator bool) error {
	if err := s.acquire(ctx); err != nil {
		return fmt.Errorf("unlock: %w", err)
	}
	defer s.release()
	held, _ := s.Locked()
	switch {
	case held == nil:
		return ErrNotLocked
	case !held.admits(h) && !administrator:
		return &OwnerError{What: "the lock of the configuration", Owner: held.String()}
	}
	if err := s.keepLock(nil); err != nil {
		return &PersistError{Err: err}
	}
	s.setLock(nil)
	return nil
}

// passLock refuses a request because of somebody else's lock. What a commit that was
// not confirmed has to leave, and what an administrator has taken back, goes on.
func (s *Store) passLock(req Request) error {
	held, _ := s.Locked()
	if held == nil || held.admits(req.holder()) {
		return nil
	}
	if c := req.Confirm; c != nil && (c.Action == ConfirmExpire || c.Action == ConfirmCancel && req.Administrator) {
		return nil
	}
	return &LockedError{*held}
}

// recoverLock finds the lock that was there when the process before ended.
func (s *Store) recoverLock() {
	data, err := readOptional(s.disk.fs, lockName)
	if err == nil && data == nil {
		return
	}
	var l Lock
	if err == nil {
		err = json.Unmarshal(data, &l)
	}
	if err == nil && l.Session == "" && l.Until.After(s.now()) && l.Until.Sub(s.now()) <= s.maxLock {
		l.Until = s.remaining(l.Until, s.maxLock)
		s.log.Info("the configuration is locked", "user", l.User, "since", l.Since, "until", l.Until)
		s.setLock(&l)
		return
	}
	if err != nil {
		s.log.Error("it is not known whether the configuration was locked: it is not", "file", lockName, "error", err)
	}
	if err := s.disk.removeNote(lockName); err != nil {
		s.log.Warn("leftover file stays", "file", lockName, "error", err)
	}
}
