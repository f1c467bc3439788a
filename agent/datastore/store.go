package datastore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"heddle/internal/feed"
	"heddle/schema"
)

// Applier makes a configuration run.
type Applier interface {
	// Apply brings the kernel from old to new; changes are the entries that
	// differ, in key order. When it returns without error the kernel holds what
	// new asks for, read back, and undo brings it back to old. With an error the
	// kernel is as it was, or the error says what is left.
	//
	// For the commit after a failed start, old is the empty configuration and
	// changes are all there is, possibly nothing: the Applier compares with what
	// the kernel holds of ours, writes only the difference and removes leftovers.
	// undo may be nil if there is nothing to undo.
	Apply(ctx context.Context, old, new *Snapshot, changes []schema.Change) (undo func(context.Context) error, err error)

	// Start makes the saved configuration run; old is empty and changes are all
	// there is, as above. What the kernel does not take, because a link is missing
	// for example, keeps the rest from nothing: the Applier says so in state and
	// sees to it that it follows when it can. An error is for a configuration that
	// cannot run at all; the kernel is then as it was, or the error says what is
	// left.
	Start(ctx context.Context, old, new *Snapshot, changes []schema.Change) error
}

// Rules are the semantic rules: what YANG's types and references cannot say. An
// error may be a *Cause, or a type with a method
//
//	Violation() (path, value, reason, remedy string)
//
// to tell where it belongs, perhaps with RuleName() string beside it; errors.Join makes
// several of one, and a *schema.Errors counts those that are left out.
type Rules interface {
	Check(old, new *Snapshot, changes []schema.Change) []error
}

// RulesFunc is a function as Rules.
type RulesFunc func(old, new *Snapshot, changes []schema.Change) []error

// Check implements Rules.
func (f RulesFunc) Check(old, new *Snapshot, changes []schema.Change) []error {
	return f(old, new, changes)
}

// Terms appends what an entry can be found by besides its key: Snapshot.Terms
// finds entries by a range of terms. It is a pure function of the entry. No term is
// the beginning of another one.
type Terms func(k schema.EntryKey, e schema.GoStruct, terms []string) []string

// Config is what Open needs.
type Config struct {
	Schema   *schema.Schema
	Applier  Applier
	Rules    Rules        // nil: none
	Terms    Terms        // nil: none
	Complete Complete     // nil: nothing is left to the agent
	Log      *slog.Logger // nil: discard

	// Dir is the state directory. It is made if it is missing, and taken for
	// this process if FS is nil.
	Dir string
	// FS replaces the operating system's file system below Dir.
	FS FS

	// Now is the clock; nil is time.Now. After is its alarm; nil is time.After.
	Now   func() time.Time
	After func(time.Duration) <-chan time.Time
	// WatchLimit is how many changed entries the feed keeps for watchers that
	// lag; 0 is 262,144.
	WatchLimit int

	// MaxConfirm is how long a commit may wait to be confirmed, and MaxLock how long a
	// lock may last; 0 is LongestConfirm and LongestLock.
	MaxConfirm, MaxLock time.Duration
}

// Phase is where a store is in its life.
type Phase string

// The phases.
const (
	Loading Phase = "loading"
	Running Phase = "running"
	// Unloaded: the startup configuration could not be loaded or applied; see
	// StartupError.
	Unloaded Phase = "unloaded"
	Closed   Phase = "closed"
)

// Status tells how a store is.
type Status struct {
	Phase Phase
	// Startup is set while Phase is Unloaded.
	Startup *StartupError
	// Persist is the last commit's failure to become durable, nil after the
	// next success.
	Persist *PersistError
}

// Store is the running configuration. All methods are safe for concurrent use.
type Store struct {
	schema   *schema.Schema
	applier  Applier
	rules    Rules
	terms    Terms
	complete Complete
	log      *slog.Logger
	now      func() time.Time
	after    func(time.Duration) <-chan time.Time
	dir      string
	lock     *os.File

	maxConfirm, maxLock time.Duration

	current atomic.Pointer[Snapshot]
	status  atomic.Pointer[Status]
	feed    *feed.Feed[Event]

	// unconfirmed is changed by the writer.
	unconfirmed atomic.Pointer[unconfirmed]
	// locked is changed by the writer.
	locked atomic.Pointer[locked]

	// writer is held by the one who may change anything; a channel, so that
	// waiting ends with the context.
	writer chan struct{}
	disk   *disk  // the writer's
	last   Commit // the writer's
}

// Open makes a store whose configuration is empty until Start.
func Open(c Config) (*Store, error) {
	if c.Schema == nil || c.Applier == nil {
		return nil, errors.New("open datastore: schema and applier are needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.After == nil {
		c.After = time.After
	}
	if c.MaxConfirm <= 0 {
		c.MaxConfirm = LongestConfirm
	}
	if c.MaxLock <= 0 {
		c.MaxLock = LongestLock
	}
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	}
	if c.WatchLimit <= 0 {
		c.WatchLimit = 1 << 18
	}
	if c.Rules == nil {
		c.Rules = RulesFunc(func(_, _ *Snapshot, _ []schema.Change) []error { return nil })
	}
	s := &Store{
		schema:   c.Schema,
		applier:  c.Applier,
		rules:    c.Rules,
		terms:    c.Terms,
		complete: c.Complete,
		log:      c.Log,
		now:      c.Now,
		after:    c.After,
		dir:      c.Dir,
		writer:   make(chan struct{}, 1),

		maxConfirm: c.MaxConfirm, maxLock: c.MaxLock,
	}
	if c.FS == nil {
		if err := os.MkdirAll(c.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("open datastore: %w", err)
		}
		var err error
		if s.lock, err = lockDir(c.Dir); err != nil {
			return nil, fmt.Errorf("open datastore: %w", err)
		}
		c.FS = DirFS(c.Dir)
	}
	s.disk = &disk{
		fs: c.FS, schema: c.Schema, notes: c.Log, logEmpty: true,
		logFloor: logFloor, largeChange: largeChange,
		journal: &journal{fs: c.FS, schema: c.Schema, notes: c.Log, limit: maxJournal},
	}
	s.setUnconfirmed(nil)
	s.setLock(nil)
	empty := emptySnapshot()
	s.current.Store(empty)
	s.status.Store(&Status{Phase: Loading})
	s.feed = feed.New(c.WatchLimit, Event{Snapshot: empty}, func(e Event) int { return len(e.Changes) })
	return s, nil
}

// Snapshot is the running configuration.
func (s *Store) Snapshot() *Snapshot { return s.current.Load() }

// Status tells how the store is.
func (s *Store) Status() Status { return *s.status.Load() }

// Request is a change of the configuration, all or nothing.
type Request struct {
	Edits   []schema.Edit
	User    string // who asks
	Session string // in which session, for locks that belong to one; "" is none
	Source  string // through what, e.g. "gnmi"
	Request string // what for, in a few words

	// Rollback, if not nil, asks for the configuration of a revision in place of
	// edits.
	Rollback *uint64
	// Confirm, if not nil, has to do with commits that have to be confirmed.
	Confirm *Confirm
	// Authority says what of it may be done; nil: everything.
	Authority Authority
	// Administrator is set for who may end what others have begun.
	Administrator bool
}

// holder is who asks, as locks know it.
func (r *Request) holder() Holder { return Holder{User: r.User, Session: r.Session} }

// Authority says what a request may change. Its errors are passed on as they are.
type Authority interface {
	// Some is about whether anything at all may be changed.
	Some() error
	// Asked is about what is asked for, whether or not it makes a difference.
	Asked(edits []schema.Edit) error
	// Changed is about all that would become different, however it was asked for.
	Changed(changes []schema.Change) error
}

// nothing reports whether a request asks for nothing.
func (r *Request) nothing() bool { return len(r.Edits) == 0 && r.Rollback == nil && r.Confirm == nil }

// Result is what a commit came to.
type Result struct {
	// Revision and Time are those of the running configuration afterwards.
	Revision uint64
	Time     time.Time
	// Changes are the entries that changed, in key order; none if the request
	// asked for what was there, in which case nothing was written anywhere.
	Changes []schema.Change
}

// Commit applies a request: when it returns without error the configuration
// runs, is durable, and is what Snapshot returns. With an error the running
// configuration, the kernel and the files are as before; the error is a
// *ValidationError, *ApplyError, *PersistError, *StartupError, *HistoryError or
// *PendingError, *LockedError, *OwnerError or *DurationError, or wraps ErrBusy (and the
// context's error), ErrNotStarted, ErrClosed, ErrNotLoaded, ErrNoneToConfirm or
// ErrOtherToConfirm.
//
// The context bounds the waiting for other commits and what the Applier does.
// Once the Applier is done, it no longer matters.
func (s *Store) Commit(ctx context.Context, req Request) (Result, error) {
	if err := s.acquire(ctx); err != nil {
		return Result{}, fmt.Errorf("commit: %w", err)
	}
	defer s.release()
	old, next, changes, err := s.prepare(req)
	if err != nil {
		return Result{}, err
	}
	same := Result{Revision: old.revision, Time: old.time}
	if c := req.Confirm; c != nil && (c.Action == ConfirmAccept || c.Action == ConfirmExtend) {
		return same, s.settle(c)
	}
	waits := s.awaited(req, old.revision)
	if next == nil {
		s.conclude(req, waits)
		return same, nil
	}
	next.revision = old.revision + 1
	next.time = s.now().Round(0).UTC()
	c := Commit{Revision: next.revision, Time: next.time, User: req.User, Source: req.Source, Request: req.Request, Entries: len(changes)}
	if req.Confirm != nil {
		c.Confirm = req.Confirm.ID
	}
	if waits != nil {
		waits.Time = c.Time
	}
	forget, err := s.remember(waits, c, changes)
	if err != nil {
		return Result{}, s.persistFailed(&PersistError{Err: err})
	}
	err = s.carryOut(ctx, old, next, changes, c)
	s.disk.journalDone() // also of a commit that has failed before it came to that
	if err != nil {
		forget()
		return Result{}, err
	}
	s.publish(Event{Commit: c, Changes: changes, Snapshot: next})
	s.conclude(req, waits)
	return Result{Revision: c.Revision, Time: c.Time, Changes: changes}, nil
}

// awaited is what has to be confirmed after a request, nil for nothing.
func (s *Store) awaited(req Request, before uint64) *Unconfirmed {
	if req.Confirm == nil || req.Confirm.Action != ConfirmBegin {
		return nil
	}
	return &Unconfirmed{ID: req.Confirm.ID, Before: before, Deadline: s.deadline(req.Confirm), User: req.User}
}

// remember writes down what a commit is about to change. forget is for a commit
// that does not come about.
func (s *Store) remember(waits *Unconfirmed, c Commit, changes []schema.Change) (forget func(), err error) {
	if waits != nil {
		return s.announce(*waits, c, changes)
	}
	s.disk.journaled = s.disk.journal.begin(c, changes, s.Status().Phase != Running, s.disk.largeChange)
	return func() {}, nil
}

// conclude notes which commit waits to be confirmed after a request that succeeded.
func (s *Store) conclude(req Request, waits *Unconfirmed) {
	if req.Confirm == nil {
		return
	}
	if waits == nil {
		if err := s.disk.removeConfirm(); err != nil {
			s.log.Warn("leftover file stays", "file", confirmName, "error", err) // the next start sees that it is over
		}
	}
	s.setUnconfirmed(waits)
}

// DryRun goes the way of Commit up to the Applier, with the same errors, and
// changes nothing: in place of the Applier it calls try, whose error is returned
// as that of an Applier. try gets what Apply would; it is not called for a request
// that asks for what is there. Result is that of the running configuration, with
// the changes that a Commit would make.
//
// Meanwhile no commit goes on.
func (s *Store) DryRun(ctx context.Context, req Request, try func(ctx context.Context, old, new *Snapshot, changes []schema.Change) error) (Result, error) {
	if err := s.acquire(ctx); err != nil {
		return Result{}, fmt.Errorf("dry run: %w", err)
	}
	defer s.release()
	old, next, changes, err := s.prepare(req)
	if err != nil {
		return Result{}, err
	}
	res := Result{Revision: old.revision, Time: old.time, Changes: changes}
	if next == nil {
		return res, nil
	}
	if err := try(ctx, old, next, changes); err != nil {
		return Result{}, &ApplyError{Err: err}
	}
	return res, nil
}

// Hold calls fn with the running configuration while no commit goes on. It is not called
// while there is none: before Start, after a start that failed, and after Close.
func (s *Store) Hold(ctx context.Context, fn func(ctx context.Context, running *Snapshot) error) error {
	if err := s.acquire(ctx); err != nil {
		return fmt.Errorf("hold the configuration: %w", err)
	}
	defer s.release()
	if s.Status().Phase != Running {
		return nil
	}
	return fn(ctx, s.current.Load())
}

// carryOut has the kernel follow and makes the commit durable.
func (s *Store) carryOut(ctx context.Context, old, next *Snapshot, changes []schema.Change, c Commit) error {
	p, err := s.disk.begin(next, changes, c)
	if err != nil {
		return s.persistFailed(&PersistError{Err: err})
	}
	applied := false
	defer s.disk.journalDone()
	defer func() {
		// Also if the Applier panics and somebody above recovers.
		if !applied {
			p.abort()
		}
	}()
	undo, err := s.applier.Apply(ctx, old, next, changes)
	if err != nil {
		return &ApplyError{Err: err}
	}
	applied = true
	if failed := p.finish(); failed != nil {
		if undo != nil {
			// The one who asked may be gone; what the kernel holds still has to
			// go back.
			failed.Undo = undo(context.WithoutCancel(ctx))
		}
		return s.persistFailed(failed)
	}
	if st := s.Status(); st.Phase != Running || st.Persist != nil {
		s.status.Store(&Status{Phase: Running})
	}
	return nil
}

func (s *Store) persistFailed(e *PersistError) error {
	st := s.Status()
	st.Persist = e
	s.status.Store(&st)
	return e
}

// acquire takes the writer's place, waiting for it as long as the context lasts.
func (s *Store) acquire(ctx context.Context) error {
	select {
	case s.writer <- struct{}{}:
		return nil
	default:
	}
	select {
	case s.writer <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
	}
}

func (s *Store) release() { <-s.writer }

// Close waits for a commit in progress, brings startup.json up to date and ends
// the feed. The kernel keeps the configuration. An error means that startup.json
// is not up to date; startup.log then has the rest.
func (s *Store) Close(ctx context.Context) error {
	if err := s.acquire(ctx); err != nil {
		return fmt.Errorf("close datastore: %w", err)
	}
	defer s.release()
	st := s.Status()
	if st.Phase == Closed {
		return nil
	}
	err := s.disk.close(s.Snapshot(), s.last)
	s.feed.Close()
	s.status.Store(&Status{Phase: Closed})
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	if err != nil {
		return fmt.Errorf("close datastore: %w", err)
	}
	return nil
}
