package datastore

import (
	"context"
	"errors"
	"strings"
	"testing"

	"heddle/schema"
)

func TestCommit(t *testing.T) {
	base := []schema.Edit{link(t, "e3", "to PE3"), instance(t, "DEFAULT"), instance(t, "blue"), sid(t, 1, "e3"), dt4(t, 2, "blue")}
	tests := []struct {
		name  string
		edits []schema.Edit
		// wrong are parts of the error's text; none: the commit succeeds.
		wrong []string
		// changes is how many entries change.
		changes int
	}{
		{name: "one leaf", edits: []schema.Edit{link(t, "e3", "elsewhere")}, changes: 1},
		{name: "what is there", edits: []schema.Edit{link(t, "e3", "to PE3")}},
		{name: "nothing at all"},
		{name: "delete of nothing", edits: []schema.Edit{del(t, "/interfaces/interface[name=e9]")}},
		{name: "there and back", edits: []schema.Edit{link(t, "e3", "x"), link(t, "e3", "to PE3")}},
		{
			name: "delete of an instance in use", edits: []schema.Edit{del(t, "/network-instances/network-instance[name=blue]")},
			wrong: []string{
				"/network-instances/network-instance[name=blue]: cannot be deleted",
				"sid[address=2001:db8:0:1:2::]/config/network-instance",
			},
		},
		{
			name: "delete of an instance with what refers to it",
			edits: []schema.Edit{
				del(t, "/network-instances/network-instance[name=blue]"),
				del(t, sids+"/sid[address=2001:db8:0:1:2::]"),
			},
			changes: 2,
		},
		{
			name: "delete of an instance while its user moves",
			edits: []schema.Edit{
				del(t, "/network-instances/network-instance[name=blue]"),
				instance(t, "red"),
				dt4(t, 2, "red"),
			},
			changes: 3,
		},
		{
			name: "reference to nothing", edits: []schema.Edit{dt4(t, 3, "green")},
			wrong: []string{"sid[address=2001:db8:0:1:3::]/config/network-instance", "green", "does not exist"},
		},
		{
			name: "reference to nothing beside what is good", edits: []schema.Edit{link(t, "e4", ""), dt4(t, 3, "green"), sid(t, 4, "e9")},
			wrong: []string{"green", "e9"},
		},
		{
			name: "an address that is none", edits: []schema.Edit{update(t, sids+"/sid[address=2001:db8::1]", `{"config":{"next-hop":"192.0.2.256"}}`)},
			wrong: []string{"next-hop", "192.0.2.256"},
		},
		{
			name: "an unknown member", edits: []schema.Edit{update(t, "/interfaces/interface[name=e3]", `{"config":{"colour":"red"}}`)},
			wrong: []string{"colour"},
		},
		{name: "delete of everything", edits: []schema.Edit{del(t, "/")}, changes: 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, newMemFS(), &kernel{})
			r.must(base...)
			_, w := r.Watch()
			defer w.Close()
			before, calls, ops := r.Snapshot(), r.kernel.calls, r.fs.ops
			was := text(t, before)
			res, err := r.commit(tt.edits...)
			r.agree()
			if got := text(t, before); got != was {
				t.Errorf("the commit changed a snapshot taken before it, from %s to %s", was, got)
			}
			if len(tt.wrong) > 0 {
				var invalid *ValidationError
				if !errors.As(err, &invalid) || len(invalid.Causes) == 0 || invalid.Causes[0].Path == "" {
					t.Fatalf("Commit: %v; want a ValidationError with a path", err)
				}
				for _, w := range tt.wrong {
					if !strings.Contains(err.Error(), w) {
						t.Errorf("error says %q, want it to say %q", err, w)
					}
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if len(res.Changes) != tt.changes {
				t.Errorf("%d changes, want %d", len(res.Changes), tt.changes)
			}
			if tt.changes == 0 {
				if r.Snapshot() != before || r.kernel.calls != calls || r.fs.ops != ops {
					t.Errorf("something happened: revision %d, %d kernel calls, file operations %q",
						r.Snapshot().Revision(), r.kernel.calls-calls, r.fs.trace[ops:])
				}
				return
			}
			if got := r.Snapshot().Revision(); got != before.Revision()+1 || res.Revision != got {
				t.Errorf("revision %d, result %d, want %d", got, res.Revision, before.Revision()+1)
			}
			e, err := w.Next(t.Context())
			if err != nil || e.Snapshot != r.Snapshot() || len(e.Changes) != tt.changes || e.User != "ann" {
				t.Errorf("event %+v, %v", e, err)
			}
			again := start(t, r.fs.reboot(loseAll), &kernel{})
			if got, want := text(t, again.Snapshot()), text(t, r.Snapshot()); got != want {
				t.Errorf("after a restart %s\nwant %s", got, want)
			}
			if again.Snapshot().Revision() != res.Revision || !again.Snapshot().Time().Equal(res.Time) {
				t.Errorf("after a restart revision %d of %s, want %d of %s",
					again.Snapshot().Revision(), again.Snapshot().Time(), res.Revision, res.Time)
			}
			again.agree()
		})
	}
}

func TestOneMistakeIsOneCause(t *testing.T) {
	r := start(t, newMemFS(), &kernel{})
	r.must(instance(t, "DEFAULT"), instance(t, "blue"), dt4(t, 2, "blue"))
	_, err := r.commit(
		del(t, "/network-instances/network-instance[name=blue]"),
		update(t, sids+"/sid[address=2001:db8:0:1:2::]", `{"config":{"behavior":"END_DT46"}}`),
	)
	var invalid *ValidationError
	if !errors.As(err, &invalid) || len(invalid.Causes) != 1 || !strings.HasSuffix(invalid.Causes[0].Path, "/config/network-instance") {
		t.Errorf("Commit: %v, want the changed referrer as the only cause", err)
	}
}

func TestKernelRefuses(t *testing.T) {
	r := start(t, newMemFS(), &kernel{})
	r.must(link(t, "e3", "one"))
	for _, edits := range [][]schema.Edit{
		{link(t, "e3", "two")},
		{replace(t, "/", `{"interfaces":{"interface":[`+manyLinks(large)+`]}}`)},
	} {
		before := r.Snapshot()
		r.kernel.refuse = errRefused
		_, err := r.commit(edits...)
		var apply *ApplyError
		if !errors.As(err, &apply) || !errors.Is(err, errRefused) {
			t.Fatalf("Commit: %v, want an ApplyError with the kernel's words", err)
		}
		r.kernel.refuse = nil
		if r.Snapshot() != before {
			t.Error("the running configuration changed")
		}
		again := start(t, r.fs.reboot(loseNothing), &kernel{})
		if got, want := text(t, again.Snapshot()), text(t, before); got != want {
			t.Errorf("after a restart %s\nwant %s", got, want)
		}
	}
	if got := r.must(link(t, "e3", "three")).Revision; got != 2 {
		t.Errorf("revision %d after refused commits, want 2", got)
	}
	r.agree()
}

func TestKernelPanics(t *testing.T) {
	r := start(t, newMemFS(), &kernel{})
	r.must(link(t, "e3", "one"))
	r.must(link(t, "e3", "two"))
	r.applier = panics{}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_, _ = r.commit(link(t, "e3", "three"))
	}()
	r.applier = r.kernel
	r.must(link(t, "e3", "four"))
	if got, _ := reopened(t, r.fs.reboot(loseNothing)); got != text(t, r.Snapshot()) {
		t.Errorf("a restart finds %s", got)
	}
}

type panics struct{}

func (panics) Apply(context.Context, *Snapshot, *Snapshot, []schema.Change) (func(context.Context) error, error) {
	panic("applier")
}

func (panics) Start(context.Context, *Snapshot, *Snapshot, []schema.Change) error { panic("applier") }

func manyLinks(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		name := "l" + strings.Repeat("a", i/26/26) + string(rune('a'+i/26%26)) + string(rune('a'+i%26))
		b.WriteString(`{"name":"` + name + `","config":{"name":"` + name + `"}}`)
	}
	return b.String()
}

func TestRules(t *testing.T) {
	broken := &Cause{Path: "/interfaces", Value: "e13", Reason: "bad luck", Remedy: "count differently"}
	var asked int
	r := start(t, newMemFS(), &kernel{}, func(c *Config) {
		c.Rules = RulesFunc(func(old, new *Snapshot, changes []schema.Change) []error {
			asked++
			if _, ok := new.Get(key(t, "/interfaces/interface[name=e13]")); ok {
				return []error{errors.Join(broken, structured{}), errors.New("plain")}
			}
			return nil
		})
	})
	r.must(link(t, "e12", ""))
	_, err := r.commit(link(t, "e13", ""))
	var invalid *ValidationError
	if !errors.As(err, &invalid) || len(invalid.Causes) != 3 {
		t.Fatalf("Commit: %v, want 3 causes", err)
	}
	if invalid.Causes[0] != broken || invalid.Causes[1].Remedy != "remedy" || invalid.Causes[2].Reason != "plain" {
		t.Errorf("causes %v", invalid.Causes)
	}
	asked = 0
	if _, err := r.commit(link(t, "e13", ""), dt4(t, 1, "none")); err == nil || asked != 0 {
		t.Errorf("rules were asked %d times about a configuration with a reference to nothing (%v)", asked, err)
	}
}

type structured struct{}

func (structured) Error() string { return "structured" }
func (structured) Violation() (path, value, reason, remedy string) {
	return "/a", "value", "reason", "remedy"
}

func TestWaitingForTheWriterEnds(t *testing.T) {
	r := start(t, newMemFS(), &kernel{})
	if err := r.acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := r.Commit(ctx, Request{Edits: []schema.Edit{link(t, "e3", "")}})
	if !errors.Is(err, ErrBusy) || !errors.Is(err, context.Canceled) {
		t.Errorf("Commit: %v, want ErrBusy and the context's error", err)
	}
	r.release()
	r.must(link(t, "e3", ""))
}

func TestPhases(t *testing.T) {
	r := open(t, newMemFS(), &kernel{})
	if _, err := r.commit(link(t, "e3", "")); !errors.Is(err, ErrNotStarted) {
		t.Errorf("Commit before Start: %v", err)
	}
	if _, err := r.Start(t.Context()); err != nil || r.kernel.calls != 1 {
		t.Errorf("Start: %v, and %d calls of the kernel, want 1 for leftovers", err, r.kernel.calls)
	}
	if _, err := r.Start(t.Context()); err == nil {
		t.Error("a second Start succeeded")
	}
	r.must(link(t, "e3", "one"))
	r.must(link(t, "e3", "two"))
	if h, err := r.History(10); err != nil || len(h) != 2 || h[0].Revision != 2 || h[0].User != "ann" {
		t.Errorf("history %+v, %v", h, err)
	}
	_, w := r.Watch()
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := r.commit(link(t, "e3", "")); !errors.Is(err, ErrClosed) {
		t.Errorf("Commit after Close: %v", err)
	}
	if _, err := w.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Next after Close: %v", err)
	}
	// Close leaves everything in the file that people read.
	if got := string(r.fs.get(t, startupName)); !strings.Contains(got, `"two"`) {
		t.Errorf("startup.json after Close is %s", got)
	}
	if again := start(t, r.fs.reboot(loseAll), &kernel{}); again.Snapshot().Revision() != 2 {
		t.Errorf("revision %d after Close and Start, want 2", again.Snapshot().Revision())
	}
}

func TestTwoAgentsInOneDirectory(t *testing.T) {
	c := Config{Schema: model(t), Applier: &kernel{}, Dir: t.TempDir()}
	first, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(c); !errors.Is(err, ErrDirInUse) {
		t.Errorf("second Open: %v, want ErrDirInUse", err)
	}
	if _, err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Commit(t.Context(), Request{Edits: []schema.Edit{link(t, "e3", "one")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Commit(t.Context(), Request{Edits: []schema.Edit{link(t, "e3", "two")}}); err != nil {
		t.Fatal(err)
	}
	want := text(t, first.Snapshot())
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close(t.Context())
	if _, err := again.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := text(t, again.Snapshot()); got != want {
		t.Errorf("after a restart %s, want %s", got, want)
	}
}

func TestLargeInvalidRequest(t *testing.T) {
	r := start(t, newMemFS(), &kernel{})
	r.must(instance(t, "DEFAULT"), link(t, "e3", ""))
	const n = 2*parallelShare + 10
	_, err := r.commit(replace(t, sids, manySIDs(n, "e9")))
	var invalid *ValidationError
	if !errors.As(err, &invalid) || len(invalid.Causes) != maxCauses || invalid.More != n-maxCauses {
		t.Fatalf("Commit: %v", err)
	}
	// Keys are in the order of their text.
	if want := sids + "/sid[address=2001:db8:0:1:1:1000::]/config/interface"; invalid.Causes[0].Path != want {
		t.Errorf("the first cause is about %s, want the first SID, %s", invalid.Causes[0].Path, want)
	}
	r.must(replace(t, sids, manySIDs(n, "e3")))
	if _, err := r.commit(del(t, "/interfaces/interface[name=e3]")); err == nil || !strings.Contains(err.Error(), "and 997 more") {
		t.Errorf("deleting what very many refer to: %v", err)
	}
	r.agree()
}
