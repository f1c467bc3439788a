package agent

import (
	"context"
	"log/slog"
	"testing"

	"heddle/agent/datastore"
	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/reconcile"
	"heddle/schema"
	"heddle/telemetry"
)

// tellingKernel is a fake kernel that announces the links of each step when that
// is done, and waits until the announcement before has been taken in.
type tellingKernel struct {
	fakeView
	events chan telemetry.LinkEvent
	told   int
}

func (k *tellingKernel) Do(ctx context.Context, steps []reconcile.Step) []reconcile.Result {
	results := k.fakeView.Do(ctx, steps)
	for _, s := range steps {
		if s.Key().Kind == object.KindLink && k.events != nil {
			// Several, so that all but the last have been looked at.
			for range 3 {
				k.events <- telemetry.LinkEvent{Link: s.Key().ID}
			}
			k.told++
		}
	}
	return results
}

func (k *tellingKernel) Watch(context.Context) (<-chan telemetry.LinkEvent, error) {
	return k.events, nil
}

// TestVRFMadeAnewByASet: a table-id that changes makes the VRF's link anew. One
// batch of the state leads from the old link to the new one.
func TestVRFMadeAnewByASet(t *testing.T) {
	k := &tellingKernel{fakeView: fakeView{kerneltest.NewFake(), []string{"lo", "ext0"}}}
	a := newAgent(Config{StateDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	startOn(t, a, k, k)
	defer a.Close()
	set := func(doc string) {
		t.Helper()
		if _, err := a.Commit(t.Context(), datastore.Request{Edits: []schema.Edit{edit(t, a.schema, schema.Update, inBlue+"/config", doc)}}); err != nil {
			t.Fatal(err)
		}
	}
	set(`{"type": "L3VRF", "table-id": 100}`)

	k.events = make(chan telemetry.LinkEvent)
	ctx, cancel := context.WithCancel(t.Context())
	ended, started := make(chan error, 1), make(chan struct{})
	go func() { ended <- a.tel.Run(ctx, func() { close(started) }) }()
	<-started
	key := edit(t, a.schema, schema.Delete, "/interfaces/interface[name=blue]", "").Path.Entry()
	if _, ok := a.tel.Snapshot().Get(key); !ok {
		t.Fatal("the VRF is not shown")
	}
	_, feed := a.tel.Watch()
	defer feed.Close()
	set(`{"table-id": 200}`)
	if k.told != 2 {
		t.Fatalf("%d steps for links, want a delete and an addition", k.told)
	}
	set(`{"description": "done"}`)
	shown(t, a.schema, a.tel) // reads all, between two Sets
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	done, stop := context.WithCancel(t.Context())
	stop()
	for {
		e, _, err := feed.Next(done)
		if err != nil {
			break // there was no more
		}
		for _, c := range e.Changes {
			if c.Key == key && c.New == nil {
				t.Error("the link was shown as gone")
			}
		}
	}
}
