package datastore

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"heddle/schema"
)

var (
	ann     = Holder{User: "ann"}
	bob     = Holder{User: "bob"}
	session = Holder{User: "ann", Session: "7"}
)

func (r *rig) lock(h Holder, within time.Duration) (Lock, error) {
	return r.Lock(context.Background(), LockRequest{Holder: h, Within: within})
}

// as commits for somebody.
func (r *rig) as(h Holder, c *Confirm, edits ...schema.Edit) error {
	_, err := r.Commit(context.Background(), Request{Edits: edits, User: h.User, Session: h.Session, Source: "test", Confirm: c})
	return err
}

// wantErr checks that an error is one of a type.
func wantErr[E error](t *testing.T, err error) E {
	t.Helper()
	e, ok := errors.AsType[E](err)
	if !ok {
		t.Fatalf("%v, want %T", err, e)
	}
	return e
}

// A lock keeps everybody but its holder from committing, until its time is over or
// somebody who may ends it.
func TestLock(t *testing.T) {
	c := newClock()
	r := start(t, newMemFS(), &kernel{}, withClock(c))
	at := c.now
	if l, err := r.lock(ann, 0); err != nil || !l.Until.Equal(at.Add(DefaultLock)) || !l.Since.Equal(at) {
		t.Fatalf("%+v, %v", l, err)
	}
	before := r.Snapshot()
	err := r.as(bob, nil, link(t, "e3", "bob"))
	for _, part := range []string{"ann", "2026-11-21T04:00:00Z", "2026-11-21T04:10:00Z"} {
		if got := wantErr[*LockedError](t, err).Error(); !strings.Contains(got, part) {
			t.Errorf("%q does not say %q", got, part)
		}
	}
	_, err = r.lock(bob, 0)
	wantErr[*LockedError](t, err)
	wantErr[*LockedError](t, r.as(bob, &Confirm{Action: ConfirmBegin, ID: "x"}))
	to := uint64(0)
	_, err = r.Commit(t.Context(), Request{Rollback: &to, User: "bob"})
	wantErr[*LockedError](t, err)
	if r.Snapshot() != before {
		t.Error("it was committed")
	}
	if err := r.as(ann, nil, link(t, "e3", "ann")); err != nil {
		t.Error(err)
	}

	// It is given more time, which does not make it younger.
	c.advance(time.Minute)
	if l, err := r.lock(ann, time.Hour); err != nil || !l.Since.Equal(at) || !l.Until.Equal(c.now.Add(time.Hour)) {
		t.Errorf("%+v, %v", l, err)
	}
	c.advance(time.Hour)
	if l, _ := r.Locked(); l != nil {
		t.Errorf("%+v is over", l)
	}
	if err := r.as(bob, nil, link(t, "e3", "bob")); err != nil {
		t.Error(err)
	}
	if err := r.Unlock(t.Context(), ann, false); !errors.Is(err, ErrNotLocked) {
		t.Error(err)
	}

	for _, by := range []struct {
		h             Holder
		administrator bool
	}{{ann, false}, {bob, true}} {
		if _, err := r.lock(ann, 0); err != nil {
			t.Fatal(err)
		}
		err := r.Unlock(t.Context(), bob, false)
		if e := wantErr[*OwnerError](t, err); !strings.Contains(e.Error(), "ann") {
			t.Error(err)
		}
		if err := r.Unlock(t.Context(), by.h, by.administrator); err != nil {
			t.Error(err)
		}
		if err := r.as(bob, nil, link(t, "e3", "again")); err != nil {
			t.Error(err)
		}
	}
	_, err = r.lock(ann, LongestLock+1)
	wantErr[*DurationError](t, err)
	r.agree()
}

// A lock of a session is not one of the same user's other sessions.
func TestLockOfASession(t *testing.T) {
	r := start(t, newMemFS(), &kernel{})
	if _, err := r.lock(session, 0); err != nil {
		t.Fatal(err)
	}
	if got := wantErr[*LockedError](t, r.as(ann, nil, link(t, "e3", "x"))).Error(); !strings.Contains(got, "session 7 of ann") {
		t.Error(got)
	}
	_, err := r.lock(ann, 0)
	wantErr[*LockedError](t, err)
	if err := r.as(session, nil, link(t, "e3", "x")); err != nil {
		t.Error(err)
	}
	if r = start(t, r.fs.reboot(loseNothing), &kernel{}); r.locked.Load().lock != nil {
		t.Error("no session outlives the process")
	}
}

// What takes back a commit that was not confirmed does not ask for the lock; who
// wants the lock waits for others' commits to be confirmed.
func TestLockAndConfirm(t *testing.T) {
	c := newClock()
	r := start(t, newMemFS(), &kernel{}, withClock(c))
	for _, end := range []Request{
		{Source: "rollback", Confirm: &Confirm{Action: ConfirmExpire, ID: "x"}},
		{User: "root", Administrator: true, Confirm: &Confirm{Action: ConfirmCancel, ID: "x"}},
	} {
		if err := r.as(ann, &Confirm{Action: ConfirmBegin, ID: "x"}, link(t, "e3", "x")); err != nil {
			t.Fatal(err)
		}
		_, err := r.lock(bob, 0)
		if p := wantErr[*PendingError](t, err); strings.Contains(p.Error(), `"x"`) || !strings.Contains(p.Error(), "ann") {
			t.Error(p)
		}
		if _, err := r.lock(ann, time.Hour); err != nil {
			t.Fatal(err)
		}
		c.advance(DefaultRollback)
		if _, err := r.Commit(t.Context(), end); err != nil || r.Unconfirmed() != nil {
			t.Error(err)
		}
		if err := r.Unlock(t.Context(), ann, false); err != nil {
			t.Error(err)
		}
	}
}

// A lock of a user outlives the process, and no longer than its time.
func TestLockAfterARestart(t *testing.T) {
	c := newClock()
	for name, l := range losses {
		r := start(t, newMemFS(), &kernel{}, withClock(c))
		r.must(link(t, "e3", "one"))
		if _, err := r.lock(ann, time.Hour); err != nil {
			t.Fatal(err)
		}
		r = start(t, r.fs.reboot(l), &kernel{}, withClock(c))
		wantErr[*LockedError](t, r.as(bob, nil, link(t, "e3", "two")))
		fs := r.fs.reboot(l)
		c.advance(time.Hour)
		r = start(t, fs, &kernel{}, withClock(c))
		if got, _ := r.Locked(); got != nil {
			t.Errorf("losing %s: %+v is over", name, got)
		}
		if data, err := readOptional(r.fs, lockName); err != nil || data != nil {
			t.Errorf("%s is still there", lockName)
		}
	}
	fs := newMemFS()
	fs.names[lockName] = &memNode{data: []byte(`{"user":`)}
	r := start(t, fs, &kernel{})
	if got, _ := r.Locked(); got != nil {
		t.Errorf("%+v", got)
	}
	r.must(link(t, "e3", "one"))
}

// A lock that cannot be written down is not given, and one that stays on disk stays.
func TestLockWithoutDisk(t *testing.T) {
	r := start(t, newMemFS(), &kernel{})
	full := func(_ int, what string) fault {
		if strings.HasSuffix(what, lockName) || strings.HasSuffix(what, lockName+tmpSuffix) {
			return fault{err: syscall.EIO}
		}
		return fault{}
	}
	r.fs.plan = full
	_, err := r.lock(ann, 0)
	wantErr[*PersistError](t, err)
	if l, _ := r.Locked(); l != nil {
		t.Errorf("%+v", l)
	}
	r.fs.plan = nil
	if _, err := r.lock(ann, 0); err != nil {
		t.Fatal(err)
	}
	r.fs.plan = full
	wantErr[*PersistError](t, r.Unlock(t.Context(), ann, false))
	if l, _ := r.Locked(); l == nil {
		t.Error("it is gone, and would be back after a restart")
	}
}

// AwaitLock tells of each change, and of the end.
func TestAwaitLock(t *testing.T) {
	c := newClock()
	r := start(t, newMemFS(), &kernel{}, withClock(c))
	told := make(chan error)
	wait := func() {
		l, changed := r.Locked()
		go func() { told <- r.AwaitLock(t.Context(), l, changed) }()
	}
	for _, change := range []func() error{
		func() error { _, err := r.lock(ann, time.Minute); return err },
		func() error { return r.Unlock(t.Context(), ann, false) },
		func() error { _, err := r.lock(bob, time.Minute); return err },
	} {
		wait()
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if err := <-told; err != nil {
			t.Fatal(err)
		}
	}
	wait()
	c.advance(time.Minute)
	select {
	case c.alarm <- c.Now():
		if err := <-told; err != nil {
			t.Error(err)
		}
	case err := <-told: // it has looked at the clock only after that went on
		if err != nil {
			t.Error(err)
		}
	}
}
