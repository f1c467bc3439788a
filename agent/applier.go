package agent

import (
	"context"
	"sync"

	"heddle/agent/datastore"
	"heddle/kernel/object"
	"heddle/reconcile"
	"heddle/schema"
	"heddle/translators"
)

// applier makes a configuration run: it has the changed entries translated and
// hands the wanted objects to reconcile. It is the datastore's Applier, so there
// is one call at a time.
type applier struct {
	schema *schema.Schema
	engine *translators.Engine
	kernel *reconcile.Reconciler

	// swept is set once leftovers of an earlier life are gone.
	swept bool
}

// Apply implements datastore.Applier.
func (a *applier) Apply(ctx context.Context, old, new *datastore.Snapshot, changes []schema.Change) (func(context.Context) error, error) {
	delta, err := a.engine.Prepare(old, new, changes)
	if err != nil {
		return nil, err
	}
	wanted := make([]reconcile.Change, 0, len(delta.Changes))
	for _, c := range delta.Changes {
		ch := reconcile.Change{Key: c.Key}
		if c.Want != nil {
			ch.Want = reconcile.Wanted{Object: c.Want, Origin: a.schema.Text(c.Origin)}
		}
		wanted = append(wanted, ch)
	}
	if !a.swept {
		wanted = append(wanted, a.leftovers(wanted)...)
	}
	undoKernel, err := a.kernel.Commit(ctx, wanted)
	if err != nil {
		return nil, err
	}
	swept := a.swept
	a.swept = true
	undoWanted := delta.Commit()
	return func(ctx context.Context) error {
		undoWanted()
		a.swept = swept
		return undoKernel(ctx)
	}, nil
}

// leftovers are objects of ours that an earlier life of the agent left and the
// configuration no longer asks for.
func (a *applier) leftovers(wanted []reconcile.Change) []reconcile.Change {
	asked := make(map[object.Key]bool, len(wanted))
	for _, w := range wanted {
		asked[w.Key] = true
	}
	var gone []reconcile.Change
	for _, o := range a.kernel.Leftovers() {
		if !asked[o.Key()] {
			gone = append(gone, reconcile.Change{Key: o.Key()})
		}
	}
	return gone
}

// Wanted implements telemetry.Intent by translating the entry again: what it
// asks for is a pure function of the configuration, so it is not kept.
func (a *applier) Wanted(cfg schema.Tree, k schema.EntryKey) ([]object.Object, string) {
	if reason, ok := a.engine.Withheld(k); ok {
		return nil, reason
	}
	snapshot, ok := cfg.(*datastore.Snapshot)
	if !ok {
		return nil, "its configuration is not at hand"
	}
	objects, err := a.engine.Wanted(snapshot, k)
	if err != nil {
		return nil, err.Error()
	}
	return objects, ""
}

// Have implements telemetry.Actual.
func (a *applier) Have(k object.Key) object.Object {
	s, ok := a.kernel.Get(k)
	if !ok {
		return nil
	}
	return s.Have
}

// dirty collects the keys of kernel objects that changed until somebody makes
// their state anew.
type dirty struct {
	mu   sync.Mutex // guards keys
	keys []object.Key
	wake chan struct{}
}

func newDirty() *dirty { return &dirty{wake: make(chan struct{}, 1)} }

func (d *dirty) add(keys []object.Key) {
	d.mu.Lock()
	d.keys = append(d.keys, keys...)
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *dirty) take() []object.Key {
	d.mu.Lock()
	defer d.mu.Unlock()
	keys := d.keys
	d.keys = nil
	return keys
}
