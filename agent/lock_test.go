package agent

import (
	"context"
	"errors"
	"testing"
	"time"

	"heddle/agent/datastore"
	"heddle/gen/state"
	"heddle/kernel/kerneltest"
	"heddle/schema"
)

// The state tree shows the lock when the answer is there, and its end when its time is
// over.
func TestLockInState(t *testing.T) {
	a := fakeAgent(t, kerneltest.NewFake(), t.TempDir())
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	shownOf := func(tree schema.Tree) *state.System_Lock {
		e, _ := tree.Get("")
		return e.(*state.Device).System.Lock
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.followLock(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	ann := datastore.Holder{User: "ann"}
	l, err := a.Lock(t.Context(), datastore.LockRequest{Holder: ann, Within: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if s := shownOf(a.tel.Snapshot()); s == nil || *s.Owner != "ann" || s.Session != nil || *s.Since != uint64(l.Since.UnixNano()) || *s.Until != uint64(l.Until.UnixNano()) {
		t.Errorf("%+v", s)
	}
	dummy := edit(t, a.schema, schema.Update, "/interfaces/interface[name=d1]/config", `{"type":"DUMMY"}`)
	var locked *datastore.LockedError
	if _, err := a.Commit(t.Context(), datastore.Request{Edits: []schema.Edit{dummy}, User: "bob"}); !errors.As(err, &locked) {
		t.Error(err)
	}
	if err := a.Unlock(t.Context(), datastore.Holder{User: "bob"}, true); err != nil {
		t.Error(err)
	}
	if s := shownOf(a.tel.Snapshot()); s != nil {
		t.Errorf("%+v", s)
	}
	if _, err := a.Lock(t.Context(), datastore.LockRequest{Holder: ann, Within: 20 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	now, feed := a.tel.Watch()
	for tree := schema.Tree(now); shownOf(tree) != nil; {
		e, _, err := feed.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tree = e.Snapshot
	}
}
