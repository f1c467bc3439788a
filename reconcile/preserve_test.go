package reconcile_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/reconcile"
)

// losing is a kernel that does not take back what a plan with a step on key took
// along, as long as the plan stands.
type losing struct {
	*kerneltest.Fake
	key  object.Key
	left error // after the undo
}

type lost struct {
	*losing
	step reconcile.Step
	undo bool
}

func (l *losing) Preserve(ctx context.Context, steps []reconcile.Step) (reconcile.Preserved, error) {
	for _, s := range steps {
		if s.Key() == l.key {
			return &lost{losing: l, step: s}, nil
		}
	}
	return l.Fake.Preserve(ctx, steps)
}

func (l *lost) Undo() { l.undo = true }

func (l *lost) Restore(context.Context) error {
	if l.undo {
		return l.left
	}
	return errors.Join(&reconcile.StepError{Step: l.step, Err: errInjected})
}

// What a plan took along and could not put back is an error of the step that took
// it, and all is undone.
func TestWhatIsLostIsAnError(t *testing.T) {
	f := kerneltest.NewFake()
	l := &losing{Fake: f, key: object.MemberKey("ext0")}
	r := reconcile.New(l)
	if err := r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	commit(t, r, want(vrf("blue", 110)))
	before := f.Snapshot()
	in := want(member("ext0", "blue"), address("ext0", "192.0.2.1/24"), dummy("sr0"))
	_, err := r.Commit(t.Context(), in)
	failed, ok := errors.AsType[*reconcile.ApplyError](err)
	if !ok || failed.Undo != nil || failed.Step.Key() != l.key || failed.Origin != "/config/member/ext0" || !errors.Is(err, errInjected) {
		t.Fatalf("error: %+v", err)
	}
	if text := err.Error(); strings.Count(text, "ext0 master blue") != 1 {
		t.Errorf("error: %s", text)
	}
	if got := f.Snapshot(); got != before {
		t.Errorf("kernel:\n%s\nwant:\n%s", got, before)
	}
	l.left = errors.New("it stays away")
	if _, err = r.Commit(t.Context(), in); !errors.As(err, &failed) || failed.Undo == nil || !strings.Contains(err.Error(), "it stays away") {
		t.Errorf("error: %v", err)
	}
}

// A start withholds it, and runs the rest.
func TestStartWithholdsWhatWouldLose(t *testing.T) {
	l := &losing{Fake: kerneltest.NewFake(), key: object.MemberKey("ext0")}
	r := reconcile.New(l)
	if err := r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	withheld, err := r.Start(t.Context(), want(vrf("blue", 110), up("blue"), member("ext0", "blue"), dummy("sr0")))
	if err != nil || len(withheld) != 1 || withheld[0].Key != l.key || !errors.Is(withheld[0].Err, errInjected) {
		t.Fatalf("withheld: %v, %v", withheld, err)
	}
	if _, ok := l.Get(object.LinkKey("sr0")); !ok {
		t.Error("the rest does not run")
	}
}

// So it does with a link that would leave routes of somebody else behind, until
// these are gone.
func TestStartAmongRoutesOfOthers(t *testing.T) {
	f := kerneltest.NewFake()
	theirs := route("", object.TableMain, "10.77.0.0/16", "198.51.100.9 dev ext0")
	put(t, f, address("ext0", "198.51.100.1/24"), theirs)
	in := member("ext0", "blue")
	r, withheld := started(t, f, []object.Object{vrf("blue", 110), up("blue"), in, dummy("sr0")})
	expectWithheld(t, r, withheld, "leads over it", in)
	if _, ok := f.Get(theirs.Key()); !ok {
		t.Error("the route is gone")
	}
	remove(t, f, theirs.Key())
	if _, err := r.Commit(t.Context(), want(in)); err != nil {
		t.Error(err)
	}
}
