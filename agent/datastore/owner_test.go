package datastore

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"heddle/schema"
)

var errNothing = errors.New("may write nothing")

// bystander may write nothing.
type bystander struct{}

func (bystander) Some() error                   { return errNothing }
func (bystander) Asked([]schema.Edit) error     { return nil }
func (bystander) Changed([]schema.Change) error { return nil }

// Who may write nothing begins no commit that keeps others from theirs, and is told
// nothing of those that wait.
func TestBystander(t *testing.T) {
	r := start(t, newMemFS(), &kernel{})
	try := func() {
		t.Helper()
		for _, c := range []*Confirm{
			nil, {Action: ConfirmBegin, ID: "x"}, {Action: ConfirmAccept, ID: "x"}, {Action: ConfirmExtend, ID: "x", Within: 1}, {Action: ConfirmCancel, ID: "x"},
		} {
			if _, err := r.Commit(t.Context(), Request{User: "eve", Confirm: c, Authority: bystander{}}); !errors.Is(err, errNothing) {
				t.Errorf("%+v: %v", c, err)
			}
		}
		if _, err := r.Lock(t.Context(), LockRequest{Holder: Holder{User: "eve"}, Authority: bystander{}}); !errors.Is(err, errNothing) {
			t.Error(err)
		}
	}
	try()
	r.must(link(t, "e3", "one"))
	if err := r.as(ann, &Confirm{Action: ConfirmBegin, ID: "x"}, link(t, "e3", "two")); err != nil {
		t.Fatal(err)
	}
	try()
	if u := r.Unconfirmed(); u == nil || u.User != "ann" {
		t.Errorf("%+v", u)
	}
}

// Who began a commit, or an administrator, confirms or cancels it.
func TestOwnerOfACommit(t *testing.T) {
	for _, action := range []ConfirmAction{ConfirmAccept, ConfirmExtend, ConfirmCancel} {
		for _, end := range []Request{{User: "ann"}, {User: "root", Administrator: true}} {
			r := start(t, newMemFS(), &kernel{})
			if err := r.as(ann, &Confirm{Action: ConfirmBegin, ID: "x"}, link(t, "e3", "x")); err != nil {
				t.Fatal(err)
			}
			err := r.as(bob, &Confirm{Action: action, ID: "y", Within: time.Minute})
			if e := wantErr[*OwnerError](t, err); !strings.Contains(e.Error(), "ann") || strings.Contains(e.Error(), `"x"`) {
				t.Error(err)
			}
			if p := wantErr[*PendingError](t, r.as(bob, nil)); strings.Contains(p.Error(), `"x"`) {
				t.Error(p)
			}
			end.Confirm = &Confirm{Action: action, ID: "x", Within: time.Minute}
			if _, err := r.Commit(t.Context(), end); err != nil {
				t.Error(err)
			}
		}
	}
}

// An administrator cancels whatever a policy of paths says.
func TestAdministratorCancels(t *testing.T) {
	r := start(t, newMemFS(), &kernel{})
	if err := r.as(ann, &Confirm{Action: ConfirmBegin, ID: "x"}, link(t, "e3", "x")); err != nil {
		t.Fatal(err)
	}
	req := Request{User: "root", Administrator: true, Authority: bystander{}, Confirm: &Confirm{Action: ConfirmAccept, ID: "x"}}
	if _, err := r.Commit(t.Context(), req); !errors.Is(err, errNothing) {
		t.Error(err)
	}
	req.Confirm.Action = ConfirmCancel
	if _, err := r.Commit(t.Context(), req); err != nil || r.Unconfirmed() != nil {
		t.Error(err)
	}
}

// A commit does not wait to be confirmed longer than the agent is told to let it.
func TestLongestConfirm(t *testing.T) {
	r := start(t, newMemFS(), &kernel{}, func(c *Config) { c.MaxConfirm = time.Hour })
	wantErr[*DurationError](t, r.confirm(ConfirmBegin, "x", time.Hour+1, link(t, "e3", "x")))
	if err := r.confirm(ConfirmBegin, "x", time.Hour, link(t, "e3", "x")); err != nil {
		t.Error(err)
	}
	wantErr[*DurationError](t, r.confirm(ConfirmExtend, "x", time.Hour+1))
}

// A confirm.json that could not be removed is not taken for one of the commit that
// comes next.
func TestConfirmThatCannotBeForgotten(t *testing.T) {
	r := start(t, newMemFS(), &kernel{})
	r.must(link(t, "e3", "one"))
	r.fs.plan = func(_ int, what string) fault {
		if what == "remove "+confirmName {
			return fault{err: syscall.EIO}
		}
		return fault{}
	}
	r.kernel.refuse = errRefused
	if err := r.confirm(ConfirmBegin, "x", time.Minute, link(t, "e3", "two")); err == nil {
		t.Fatal("it was taken")
	}
	r.kernel.refuse = nil
	if data, err := readOptional(r.fs, confirmName); err != nil || data == nil {
		t.Fatal("it is gone")
	}
	r.must(link(t, "e3", "three"))
	r = start(t, r.fs.reboot(loseNothing), &kernel{})
	if u := r.Unconfirmed(); u != nil {
		t.Errorf("%+v waits, and was never to be confirmed", u)
	}
}
