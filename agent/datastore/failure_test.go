package datastore

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"heddle/schema"
)

// scenario is a commit on a store, of every kind that goes another way to the
// disk.
type scenario struct {
	name string
	// prepare brings the store where the commit starts.
	prepare func(r *rig)
	edits   func(t testing.TB) []schema.Edit
}

var scenarios = []scenario{
	{
		name:    "first commit",
		prepare: func(*rig) {},
		edits:   func(t testing.TB) []schema.Edit { return []schema.Edit{link(t, "e3", "one")} },
	},
	{
		name:    "small commit",
		prepare: func(r *rig) { r.must(link(r.t, "e3", "one")); r.must(link(r.t, "e3", "two")) },
		edits: func(t testing.TB) []schema.Edit {
			return []schema.Edit{link(t, "e3", "three"), link(t, "e4", "new"), instance(t, "blue")}
		},
	},
	{
		name:    "large commit",
		prepare: func(r *rig) { r.must(link(r.t, "e3", "one")); r.must(link(r.t, "e3", "two")) },
		edits: func(t testing.TB) []schema.Edit {
			return []schema.Edit{instance(t, "DEFAULT"), replace(t, sids, manySIDs(large, "e3"))}
		},
	},
	{
		name: "commit after the log was given up",
		prepare: func(r *rig) {
			r.must(link(r.t, "e3", "one"))
			r.must(link(r.t, "e3", "two"))
			r.disk.giveUpLog()
		},
		edits: func(t testing.TB) []schema.Edit { return []schema.Edit{link(t, "e3", "three")} },
	},
	{
		name: "small commit without a log",
		prepare: func(r *rig) {
			r.must(link(r.t, "e3", "one"))
			_ = r.disk.log.Close()
			r.disk.log = nil
		},
		edits: func(t testing.TB) []schema.Edit { return []schema.Edit{link(t, "e3", "two")} },
	},
	{
		name: "replacing what start refused",
		prepare: func(r *rig) {
			r.must(link(r.t, "e3", "one"))
			r.fs.put(startupName, r.fs.get(r.t, startupName)[:40])
			*r = *open(r.t, r.fs, r.kernel)
			if _, err := r.Start(r.t.Context()); err == nil {
				r.t.Fatal("a file cut short was loaded")
			}
			r.kernel.has = nil
		},
		edits: func(t testing.TB) []schema.Edit {
			return []schema.Edit{replace(t, "/", `{"interfaces":{"interface":[{"name":"e3"}]}}`)}
		},
	},
}

// operations runs the scenario undisturbed and counts the file operations of its
// commit, and those of a restart with a commit.
func (s scenario) operations(t *testing.T) int {
	r := start(t, newMemFS(), &kernel{})
	s.prepare(r)
	r.fs.ops, r.fs.trace = 0, nil
	r.must(s.edits(t)...)
	r.agree()
	return r.fs.ops
}

// reopened is what a restart finds: the configuration as text, or "refused" if
// it does not start.
func reopened(t *testing.T, fs *memFS) (string, StartResult) {
	t.Helper()
	r := open(t, fs, &kernel{})
	res, err := r.Start(t.Context())
	var refused *StartupError
	if errors.As(err, &refused) {
		return "refused", res
	}
	if err != nil {
		t.Fatal(err)
	}
	r.agree()
	return text(t, r.Snapshot()), res
}

// TestEveryFileOperationFails has one operation after the other fail, each in
// every way, and then all operations from one on.
func TestEveryFileOperationFails(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			n := s.operations(t)
			if n < 3 {
				t.Fatalf("the commit does %d file operations", n)
			}
			for op := 1; op <= n; op++ {
				for name, err := range diskErrors {
					s.fails(t, fmt.Sprintf("%s at %d", name, op), failOp(op, err, false), err, false)
					s.fails(t, fmt.Sprintf("%s at %d in part", name, op), failOp(op, err, true), err, false)
					s.fails(t, fmt.Sprintf("%s from %d", name, op), failFrom(op, err), err, true)
				}
				s.fails(t, fmt.Sprintf("short write at %d", op), failOp(op, nil, true), nil, false)
			}
		})
	}
}

// fails runs the scenario with a plan for the disk. dead says that the disk
// does not come back, so that what it holds may be uncertain.
func (s scenario) fails(t *testing.T, what string, plan func(int, string) fault, cause error, dead bool) {
	t.Helper()
	r := start(t, newMemFS(), &kernel{})
	s.prepare(r)
	before, beforeDisk := r.Snapshot(), "refused"
	if r.Status().Phase == Running {
		beforeDisk = text(t, before)
	}
	r.fs.ops, r.fs.trace, r.fs.plan = 0, nil, plan
	_, err := r.commit(s.edits(t)...)
	r.fs.plan = nil
	fatal := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%s (%s): %s", what, r.fs.trace[len(r.fs.trace)-1], fmt.Sprintf(format, args...))
	}
	uncertain := false
	want := beforeDisk
	if err == nil {
		want = text(t, r.Snapshot())
		if r.Snapshot().Revision() != before.Revision()+1 {
			fatal("revision %d", r.Snapshot().Revision())
		}
	} else {
		var persist *PersistError
		if !errors.As(err, &persist) || cause != nil && !errors.Is(err, cause) || persist.Undo != nil {
			fatal("Commit: %v; want a PersistError because of %v", err, cause)
		}
		uncertain = persist.Uncertain
		if r.Snapshot() != before {
			fatal("the running configuration changed")
		}
		if r.Status().Persist != persist {
			fatal("the status does not show the failure")
		}
	}
	r.agree()
	if uncertain && !dead {
		fatal("a single fault made the disk uncertain: %v", err)
	}
	for name, l := range losses {
		got, _ := reopened(t, r.fs.reboot(l))
		if got != want && !uncertain {
			fatal("after losing %s a restart finds %s\nwant %s", name, got, want)
		}
	}
	// The disk is well again: another request goes through, and the same.
	if err != nil && r.Status().Phase == Running {
		if _, err := r.commit(link(t, "e8", "between")); err != nil {
			fatal("between: %v", err)
		}
		if got, _ := reopened(t, r.fs.reboot(loseAll)); got != text(t, r.Snapshot()) {
			fatal("between: a restart finds %s\nwant %s", got, text(t, r.Snapshot()))
		}
	}
	if _, err := r.commit(s.edits(t)...); err != nil {
		fatal("again: %v", err)
	}
	r.agree()
	if st := r.Status(); st.Phase != Running || st.Persist != nil {
		fatal("status after a good commit: %+v", st)
	}
	for name, l := range losses {
		if got, _ := reopened(t, r.fs.reboot(l)); got != text(t, r.Snapshot()) {
			fatal("again: after losing %s a restart finds %s\nwant %s", name, got, text(t, r.Snapshot()))
		}
	}
}

// TestEveryMomentToDie cuts the power before every file operation of a series of
// commits, and loses in every way what was not synced.
func TestEveryMomentToDie(t *testing.T) {
	series := [][]schema.Edit{
		{link(t, "e3", "one"), instance(t, "DEFAULT")},
		{link(t, "e3", "two")},
		{sid(t, 1, "e3"), link(t, "e3", "three")},
		{replace(t, sids, manySIDs(large, "e3"))},
		{link(t, "e3", "four"), del(t, sids+"/sid[address=2001:db8:0:1:1:5::]")},
		{del(t, sids)},
		{link(t, "e3", "five")},
	}
	run := func(plan func(int, string) fault) (r *rig, states []string, acknowledged int) {
		r = start(t, newMemFS(), &kernel{})
		r.fs.ops, r.fs.trace, r.fs.plan = 0, nil, plan
		states = []string{text(t, r.Snapshot())}
		for i, edits := range series {
			if _, err := r.commit(edits...); err != nil {
				if !errors.Is(err, errCrash) {
					t.Fatal(err)
				}
				return r, states, i
			}
			states = append(states, text(t, r.Snapshot()))
		}
		if err := r.Close(t.Context()); err != nil && !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		return r, states, len(series)
	}
	whole, states, _ := run(nil)
	unfinished := 0
	for op := 1; op <= whole.fs.ops; op++ {
		r, _, acknowledged := run(crashAt(op))
		for name, l := range losses {
			got, res := reopened(t, r.fs.reboot(l))
			at := slices.Index(states, got)
			if at != acknowledged && at != acknowledged+1 {
				t.Fatalf("power cut before operation %d (%s), %s lost: a restart finds state %d of the series, %d were acknowledged",
					op, whole.fs.trace[op-1], name, at, acknowledged)
			}
			if int(res.Revision) != at {
				t.Errorf("power cut before operation %d: state %d has revision %d", op, at, res.Revision)
			}
			if res.Unfinished != 0 {
				unfinished++
				if int(res.Unfinished) != at+1 || at != acknowledged {
					t.Errorf("power cut before operation %d: state %d, and commit %d is said not to be finished", op, at, res.Unfinished)
				}
			}
		}
	}
	if unfinished == 0 {
		t.Error("no restart noticed an unfinished commit")
	}
}

// TestEveryMomentToDieWhileMending does the same to the commit that replaces a
// configuration that start refused, with logs of several generations around.
func TestEveryMomentToDieWhileMending(t *testing.T) {
	mend := func(plan func(int, string) fault) (r *rig, err error) {
		fs := pair(t)
		fs.put(startupName, fs.get(t, startupName)[:20])
		r = open(t, fs, &kernel{})
		if _, err := r.Start(t.Context()); err == nil {
			t.Fatal("a file cut short was loaded")
		}
		r.fs.ops, r.fs.trace, r.fs.plan = 0, nil, plan
		_, err = r.commit(replace(t, "/", `{"interfaces":{"interface":[{"name":"e7"}]}}`))
		return r, err
	}
	whole, err := mend(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := text(t, whole.Snapshot())
	for op := 1; op <= whole.fs.ops; op++ {
		r, err := mend(crashAt(op))
		for name, l := range losses {
			got, _ := reopened(t, r.fs.reboot(l))
			if got != want && (got != "refused" || err == nil) {
				t.Fatalf("power cut before operation %d (%s), %s lost: a restart finds %s, want all or what was refused",
					op, whole.fs.trace[op-1], name, got)
			}
		}
	}
}

func TestUndoFails(t *testing.T) {
	r := start(t, newMemFS(), &kernel{noUndo: errRefused})
	r.must(link(t, "e3", "one"))
	r.fs.ops = 0
	r.fs.plan = func(_ int, what string) fault {
		if what == "sync "+logName+tmpSuffix {
			return fault{err: diskErrors["EIO"]}
		}
		return fault{}
	}
	_, err := r.commit(link(t, "e3", "two"))
	var persist *PersistError
	if !errors.As(err, &persist) || !errors.Is(persist.Undo, errRefused) || !errors.Is(err, errRefused) {
		t.Errorf("Commit: %v; want it to say that the undo failed", err)
	}
}
