package agent

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"heddle/agent/datastore"
	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/schema"
)

// TestNotConfirmed: what was not confirmed goes from the kernel when its time is over,
// in this life of the agent or after it was killed.
func TestNotConfirmed(t *testing.T) {
	for _, killed := range []bool{false, true} {
		fake, dir := kerneltest.NewFake(), t.TempDir()
		a := fakeAgent(t, fake, dir)
		dummy := edit(t, a.schema, schema.Update, "/interfaces/interface[name=d1]/config", `{"type":"DUMMY"}`)
		within := 20 * time.Millisecond
		if killed {
			within = time.Hour
		}
		commit := func(c *datastore.Confirm, edits ...schema.Edit) {
			t.Helper()
			if _, err := a.Commit(t.Context(), datastore.Request{Edits: edits, Confirm: c}); err != nil {
				t.Fatal(err)
			}
		}
		commit(&datastore.Confirm{Action: datastore.ConfirmBegin, ID: "x", Within: within}, dummy)
		if _, ok := fake.Get(object.LinkKey("d1")); !ok {
			t.Fatal("the link is not there")
		}
		if killed {
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil { // what a process that is killed leaves
				t.Fatal(err)
			}
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			a = newAgent(Config{StateDir: copied, Log: slog.New(slog.DiscardHandler)})
			startOn(t, a, fake, fakeView{fake, []string{"lo"}})
			if a.store.Unconfirmed() == nil {
				t.Fatal("it does not wait any more")
			}
			commit(&datastore.Confirm{Action: datastore.ConfirmExtend, ID: "x", Within: 20 * time.Millisecond})
		}
		_, watch := a.store.Watch()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.takeBack(ctx) }()
		if e, err := watch.Next(t.Context()); err != nil || e.Confirm != "x" || e.Source != "rollback" {
			t.Errorf("%+v, %v", e.Commit, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, ok := fake.Get(object.LinkKey("d1")); ok {
			t.Error("the link is still there")
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}
