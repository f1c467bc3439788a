package datastore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"heddle/schema"
)

// rollback goes back to a revision.
func (r *rig) rollback(to uint64) error {
	r.t.Helper()
	_, err := r.Commit(context.Background(), Request{Rollback: &to, User: "bob", Source: "test", Request: fmt.Sprint("rollback to ", to)})
	return err
}

// someEdits are edits of any kind on a few entries.
func someEdits(t testing.TB, rnd *rand.Rand) []schema.Edit {
	switch rnd.IntN(7) {
	case 0:
		return []schema.Edit{instance(t, "DEFAULT"), link(t, "e3", "carries"), replace(t, sids, manySIDs(rnd.IntN(2*large), "e3"))}
	case 1:
		return []schema.Edit{del(t, sids)}
	case 2:
		return []schema.Edit{instance(t, fmt.Sprint("i", rnd.IntN(3)))}
	case 3:
		return []schema.Edit{del(t, fmt.Sprintf("/interfaces/interface[name=e%d]", 10+rnd.IntN(3)))}
	}
	return []schema.Edit{link(t, fmt.Sprint("e", 10+rnd.IntN(3)), fmt.Sprint(rnd.IntN(100)))}
}

// TestRollback makes commits, with restarts between them, and goes back to any of
// them, from any of them; what differs between two is what leads from one to the
// other.
func TestRollback(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		r := start(t, newMemFS(), &kernel{})
		r.must(instance(t, "DEFAULT"), link(t, "e3", "carries"))
		texts := map[uint64]string{0: "{}", 1: text(t, r.Snapshot())}
		trees := map[uint64]*Snapshot{0: emptySnapshot(), 1: r.Snapshot()}
		note := func() {
			now := r.Snapshot()
			if _, known := texts[now.Revision()]; !known {
				texts[now.Revision()], trees[now.Revision()] = text(t, now), now
			}
		}
		for range 40 {
			switch rnd.IntN(8) {
			case 0:
				to := rnd.Uint64N(r.Snapshot().Revision() + 1)
				if err := r.rollback(to); err != nil {
					t.Fatalf("seed %d: back to %d: %v", seed, to, err)
				}
				if got := text(t, r.Snapshot()); got != texts[to] {
					t.Fatalf("seed %d: back to %d\ngot  %s\nwant %s", seed, to, got, texts[to])
				}
			case 1:
				fs, k := r.fs.reboot(loseNothing), &kernel{} // killed
				r = start(t, fs, k)
			default:
				r.must(someEdits(t, rnd)...)
			}
			note()
			r.agree()
		}
		last := r.Snapshot().Revision()
		from, to := rnd.Uint64N(last+1), rnd.Uint64N(last+1)
		changes, err := r.Diff(from, to)
		if err != nil {
			t.Fatal(err)
		}
		b := trees[from].builder(r.schema, nil)
		b.apply(changes)
		if got := text(t, b.next); got != texts[to] {
			t.Errorf("seed %d: what differs between %d and %d leads to\n%s\nwant %s", seed, from, to, got, texts[to])
		}
		past, err := r.History(1000)
		if err != nil || uint64(len(past)) != last {
			t.Fatalf("seed %d: %d commits of %d: %v", seed, len(past), last, err)
		}
		for i, p := range past {
			if p.Revision != last-uint64(i) || !p.Reachable || p.Time.IsZero() || p.Source != "test" {
				t.Errorf("seed %d: %+v", seed, p)
			}
		}
	}
}

func TestHistoryOfATime(t *testing.T) {
	r := start(t, newMemFS(), &kernel{})
	first := r.must(link(t, "e3", "one"))
	want := text(t, r.Snapshot())
	second := r.must(link(t, "e3", "two"))
	for _, at := range []time.Time{first.Time, second.Time.Add(-1)} {
		got, err := r.At(t.Context(), at)
		if err != nil || text(t, got) != want || got.Revision() != 1 {
			t.Errorf("at %v: %v", at, err)
		}
	}
	if now, err := r.At(t.Context(), second.Time); err != nil || now != r.Snapshot() {
		t.Errorf("now: %v", err)
	}
	if nothing, err := r.At(t.Context(), first.Time.Add(-1)); err != nil || nothing.Len() != 0 {
		t.Errorf("before the first commit: %v", err)
	}
	r.fs.put(journalName, nil)
	r = start(t, r.fs.reboot(loseNothing), &kernel{})
	var never *HistoryError
	if _, err := r.At(t.Context(), first.Time); !errors.As(err, &never) || !never.Never {
		t.Errorf("what is forgotten: %v", err)
	}
}

// What is not there any more is said to be, and the rest is.
func TestHistoryWithGaps(t *testing.T) {
	unreachable := func(r *rig, to uint64) {
		t.Helper()
		before := r.Snapshot()
		var gone *HistoryError
		if err := r.rollback(to); !errors.As(err, &gone) || r.Snapshot() != before {
			t.Errorf("back to %d: %v", to, err)
		}
	}
	t.Run("a damaged record", func(t *testing.T) {
		r := start(t, newMemFS(), &kernel{})
		for i := range 4 {
			r.must(link(t, "e3", fmt.Sprint("number ", i+1)))
		}
		data := r.fs.get(t, journalName)
		r.fs.put(journalName, bytes.Replace(data, []byte(`"record":2,`), []byte(`"record":7,`), 1))
		r = start(t, r.fs.reboot(loseNothing), &kernel{})
		unreachable(r, 1)
		unreachable(r, 9) // is still to come
		if err := r.rollback(2); err != nil {
			t.Error(err)
		}
		past, err := r.History(10)
		if err != nil || len(past) != 4 || !past[1].Reachable || past[2].Revision != 3 || past[3].Reachable {
			t.Errorf("%+v, %v", past, err)
		}
	})
	t.Run("a file too large", func(t *testing.T) {
		r := start(t, newMemFS(), &kernel{})
		r.disk.journal.limit = 4 << 10
		for i := range 100 {
			r.must(link(t, "e3", fmt.Sprint("number ", i+1)))
		}
		if size := len(r.fs.get(t, journalName)) + len(r.fs.get(t, journalName+olderSuffix)); size > 10<<10 {
			t.Errorf("%d octets", size)
		}
		unreachable(r, 1)
		if err := r.rollback(95); err != nil {
			t.Error(err)
		}
	})
	t.Run("a record too large", func(t *testing.T) {
		r := start(t, newMemFS(), &kernel{})
		r.disk.journal.limit = 1 << 20
		r.must(instance(t, "DEFAULT"), link(t, "e3", ""))
		r.must(replace(t, sids, manySIDs(20_000, "e3")))
		unreachable(r, 1)
		r.must(link(t, "e4", ""))
		if err := r.rollback(2); err != nil {
			t.Error(err)
		}
	})
	t.Run("a record too large of a commit to be confirmed", func(t *testing.T) {
		r := start(t, newMemFS(), &kernel{})
		r.disk.journal.limit = 1 << 20
		r.must(instance(t, "DEFAULT"), link(t, "e3", ""))
		before, calls := text(t, r.Snapshot()), r.kernel.calls
		var failed *PersistError
		if err := r.confirm(ConfirmBegin, "x", 0, replace(t, sids, manySIDs(20_000, "e3"))); !errors.As(err, &failed) {
			t.Errorf("a commit that could not be taken back: %v", err)
		}
		if text(t, r.Snapshot()) != before || r.kernel.calls != calls || r.Unconfirmed() != nil {
			t.Error("it left something")
		}
		r.must(link(t, "e4", ""))
		if err := r.confirm(ConfirmBegin, "x", 0, link(t, "e5", "")); err != nil {
			t.Error(err)
		}
		if err := r.confirm(ConfirmCancel, "x", 0); err != nil {
			t.Error(err)
		}
	})
	t.Run("edited by hand", func(t *testing.T) {
		r := start(t, newMemFS(), &kernel{})
		r.must(link(t, "e3", "one"))
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.fs.put(startupName, bytes.Replace(r.fs.get(t, startupName), []byte(`"one"`), []byte(`"two"`), 1))
		r = start(t, r.fs.reboot(loseNothing), &kernel{})
		unreachable(r, 0)
		r.must(link(t, "e3", "three"))
		if err := r.rollback(1); err != nil || !bytes.Contains([]byte(text(t, r.Snapshot())), []byte("two")) {
			t.Errorf("%v: %s", err, text(t, r.Snapshot()))
		}
	})
	t.Run("a disk that took nothing", func(t *testing.T) {
		r := start(t, newMemFS(), &kernel{})
		r.must(link(t, "e3", "one"))
		r.fs.plan = func(_ int, what string) fault {
			if what == "write "+journalName {
				return fault{err: diskErrors["ENOSPC"], part: true}
			}
			return fault{}
		}
		r.must(link(t, "e3", "two"))
		r.fs.plan = nil
		r.must(link(t, "e3", "three"))
		unreachable(r, 1)
		if err := r.rollback(2); err != nil {
			t.Error(err)
		}
	})
}

// clock is set by hand.
type clock struct {
	mu    sync.Mutex // guards now
	now   time.Time
	alarm chan time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func withClock(c *clock) func(*Config) {
	return func(cfg *Config) {
		cfg.Now = c.Now
		cfg.After = func(time.Duration) <-chan time.Time { return c.alarm }
	}
}

func newClock() *clock {
	return &clock{now: time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC), alarm: make(chan time.Time)}
}

func (r *rig) confirm(action ConfirmAction, id string, within time.Duration, edits ...schema.Edit) error {
	_, err := r.Commit(context.Background(), Request{Edits: edits, Source: "test", Confirm: &Confirm{action, id, within}})
	return err
}

func TestConfirm(t *testing.T) {
	c := newClock()
	r := start(t, newMemFS(), &kernel{}, withClock(c))
	r.must(link(t, "e3", "one"))
	before := text(t, r.Snapshot())
	check := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	pending := func(err error) {
		t.Helper()
		var p *PendingError
		if !errors.As(err, &p) || p.ID != "x" {
			t.Errorf("%v, want a PendingError", err)
		}
	}
	check(r.confirm(ConfirmAccept, "x", 0), ErrNoneToConfirm)
	check(r.confirm(ConfirmCancel, "x", 0), ErrNoneToConfirm)
	check(r.confirm(ConfirmExtend, "x", 1), ErrNoneToConfirm)
	check(r.confirm(ConfirmBegin, "x", 0, link(t, "e3", "two")), nil)
	if u := r.Unconfirmed(); u == nil || u.ID != "x" || !u.Deadline.Equal(c.now.Add(DefaultRollback)) {
		t.Errorf("%+v", u)
	}
	pending(r.confirm(ConfirmBegin, "y", 0, link(t, "e3", "three")))
	_, err := r.commit(link(t, "e3", "three"))
	pending(err)
	pending(r.rollback(0))
	check(r.confirm(ConfirmAccept, "y", 0), ErrOtherToConfirm)
	check(r.confirm(ConfirmExpire, "x", 0), ErrNoneToConfirm) // not yet
	check(r.confirm(ConfirmExtend, "x", time.Second), nil)

	// Its time is over: whoever waits for that is told.
	told := make(chan string)
	go func() {
		id, _ := r.AwaitExpiry(t.Context())
		told <- id
	}()
	c.alarm <- c.Now() // too early
	c.advance(time.Second)
	id := ""
	select {
	case c.alarm <- c.Now():
		id = <-told
	case id = <-told: // it has looked at the clock only after that went on
	}
	if id != "x" {
		t.Errorf("told of %q", id)
	}
	check(r.confirm(ConfirmExpire, "x", 0), nil)
	if got := text(t, r.Snapshot()); got != before || r.Unconfirmed() != nil {
		t.Errorf("got %s\nwant %s", got, before)
	}
	r.agree()

	check(r.confirm(ConfirmBegin, "z", time.Minute, link(t, "e3", "four")), nil)
	check(r.confirm(ConfirmAccept, "z", 0), nil)
	check(r.confirm(ConfirmCancel, "z", 0), ErrNoneToConfirm)
	r.must(link(t, "e3", "five"))
	check(r.confirm(ConfirmBegin, "w", time.Minute, link(t, "e3", "six")), nil)
	check(r.confirm(ConfirmCancel, "w", 0), nil)
	if !bytes.Contains([]byte(text(t, r.Snapshot())), []byte("five")) {
		t.Error("a cancelled commit is still there")
	}
	past, err := r.History(2)
	if err != nil || past[0].Confirm != "w" || past[1].Confirm != "w" {
		t.Errorf("%+v, %v", past, err)
	}
}

// TestConfirmAfterACrash cuts the power, or kills, before every file operation of
// a commit that has to be confirmed: after the start it is not there, or it is there
// and waits, and goes when its time is over.
func TestConfirmAfterACrash(t *testing.T) {
	c := newClock()
	prepare := func() (*rig, string) {
		r := start(t, newMemFS(), &kernel{}, withClock(c))
		r.must(link(t, "e3", "one"))
		r.must(link(t, "e3", "two"))
		r.fs.ops = 0
		return r, text(t, r.Snapshot())
	}
	for _, edits := range [][]schema.Edit{
		{link(t, "e3", "three")},
		{instance(t, "DEFAULT"), replace(t, sids, manySIDs(large, "e3"))},
	} {
		r, _ := prepare()
		if err := r.confirm(ConfirmBegin, "x", time.Minute, edits...); err != nil {
			t.Fatal(err)
		}
		waited := 0
		for op := 1; op <= r.fs.ops+1; op++ {
			for name, l := range losses {
				r, before := prepare()
				r.fs.plan = crashAt(op)
				err := r.confirm(ConfirmBegin, "x", time.Minute, edits...)
				r = start(t, r.fs.reboot(l), &kernel{}, withClock(c))
				waits := r.Unconfirmed() != nil
				there := text(t, r.Snapshot()) != before
				if there != waits || err == nil && !there {
					t.Fatalf("operation %d, losing %s: there %v, waits %v, answered %v", op, name, there, waits, err)
				}
				if !waits {
					r.must(link(t, "e3", "again"))
					continue
				}
				waited++
				c.advance(time.Hour)
				if id, err := r.AwaitExpiry(t.Context()); err != nil || id != "x" {
					t.Fatal(id, err)
				}
				if err := r.confirm(ConfirmExpire, "x", 0); err != nil {
					t.Fatalf("operation %d, losing %s: %v", op, name, err)
				}
				if got := text(t, r.Snapshot()); got != before {
					t.Fatalf("operation %d, losing %s: got %s\nwant %s", op, name, got, before)
				}
				r = start(t, r.fs.reboot(loseAll), &kernel{}, withClock(c))
				if text(t, r.Snapshot()) != before || r.Unconfirmed() != nil {
					t.Fatal("it came back")
				}
			}
		}
		if waited == 0 {
			t.Error("it never waited")
		}
	}
}

// A commit that has to be confirmed and cannot be made leaves nothing behind.
func TestConfirmOfWhatFails(t *testing.T) {
	r := start(t, newMemFS(), &kernel{})
	r.must(link(t, "e3", "one"))
	r.kernel.refuse = errRefused
	var apply *ApplyError
	if err := r.confirm(ConfirmBegin, "x", 0, link(t, "e3", "two")); !errors.As(err, &apply) || r.Unconfirmed() != nil {
		t.Errorf("%v, %+v", err, r.Unconfirmed())
	}
	r.kernel.refuse = nil
	if data, err := readOptional(r.fs, confirmName); err != nil || data != nil {
		t.Errorf("%s is there", confirmName)
	}
	// What cannot be taken back yet goes on waiting.
	if err := r.confirm(ConfirmBegin, "x", 0, link(t, "e3", "two")); err != nil {
		t.Fatal(err)
	}
	r.kernel.refuse = errRefused
	if err := r.confirm(ConfirmCancel, "x", 0); !errors.As(err, &apply) || r.Unconfirmed() == nil {
		t.Errorf("%v, %+v", err, r.Unconfirmed())
	}
	r.kernel.refuse = nil
	if err := r.confirm(ConfirmCancel, "x", 0); err != nil {
		t.Error(err)
	}
}

// FuzzReadJournal: whatever is in the file, what is read of it is whole.
func FuzzReadJournal(f *testing.F) {
	r := start(f, newMemFS(), &kernel{})
	r.must(link(f, "e3", "one"))
	r.must(link(f, "e3", "two"), instance(f, "blue"))
	f.Add(r.fs.get(f, journalName))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		err := readRecords(bytes.NewReader(data), func(uint64) bool { return true }, func(rec record) {
			if !rec.Lost && len(rec.before) != rec.Entries {
				t.Errorf("%d entries of %d", len(rec.before), rec.Entries)
			}
		})
		if err != nil && len(data) < maxLine {
			t.Error(err)
		}
	})
}

// A revision that is still to come is none that was lost.
func TestRollbackToWhatIsToCome(t *testing.T) {
	r := start(t, newMemFS(), &kernel{})
	r.must(link(t, "e3", "one"))
	_, err := r.Diff(0, 9)
	for what, err := range map[string]error{"rollback": r.rollback(9), "difference": err} {
		if h := wantErr[*HistoryError](t, err); !h.Never || h.Revision != 9 || !strings.Contains(h.Reason, "the last one is 1") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Who looks back keeps nobody from committing while the past is read.
func TestLookingBackHoldsNobody(t *testing.T) {
	r := start(t, newMemFS(), &kernel{})
	first := r.must(link(t, "e3", "one"))
	r.must(link(t, "e3", "two"))
	reads := 0
	r.fs.plan = func(_ int, what string) fault {
		if strings.HasPrefix(what, "open "+journalName) {
			if reads++; len(r.writer) > 0 {
				t.Error("the writer's place is taken")
			}
		}
		return fault{}
	}
	s, err := r.At(t.Context(), first.Time)
	if err != nil || s.Revision() != first.Revision || reads == 0 {
		t.Errorf("%v, %v after %d reads", s, err, reads)
	}
}
