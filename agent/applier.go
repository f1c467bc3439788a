package agent

import (
	"context"
	"sync"

	"heddle/agent/datastore"
	"heddle/kernel/object"
	"heddle/reconcile"
	"heddle/schema"
	"heddle/telemetry"
	"heddle/translators"
)

// applier makes a configuration run: it has the changed entries translated and
// hands the wanted objects to reconcile. It is the datastore's Applier, so there
// is one call at a time.
type applier struct {
	schema *schema.Schema
	engine *translators.Engine
	kernel *reconcile.Reconciler
	dirty  *dirty

	// looked is called when how the kernel is may matter otherwise than before.
	looked func()

	// Of the start: loaded waits until it is known what the kernel holds, withheld
	// gets what it did not take.
	loaded   func() error
	withheld func([]reconcile.Found)
}

// Apply implements datastore.Applier.
func (a *applier) Apply(ctx context.Context, old, new *datastore.Snapshot, changes []schema.Change) (func(context.Context) error, error) {
	delta, wanted, err := a.prepare(old, new, changes)
	if err == nil {
		err = delta.Refusal()
	}
	if err != nil {
		return nil, err
	}
	undoKernel, err := a.kernel.Commit(ctx, wanted)
	if err != nil {
		return nil, err
	}
	undoWanted := delta.Commit()
	a.dirty.addEntries(delta)
	if a.engine.Unsure() {
		a.looked()
	}
	return func(ctx context.Context) error {
		undoWanted()
		a.dirty.addEntries(delta)
		return undoKernel(ctx)
	}, nil
}

// Start implements datastore.Applier: it goes on without what the kernel does not
// take.
func (a *applier) Start(ctx context.Context, old, new *datastore.Snapshot, changes []schema.Change) error {
	delta, wanted, err := a.prepare(old, new, changes)
	if err != nil {
		return err
	}
	if err := a.loaded(); err != nil {
		return err
	}
	// Nobody asks what is wanted before this is over: it is noted meanwhile.
	noted := make(chan func(), 1)
	go func() { noted <- delta.Commit() }()
	withheld, err := a.kernel.Start(ctx, wanted)
	undo := <-noted
	if err != nil {
		undo()
		return err
	}
	a.withheld(withheld)
	a.looked()
	return nil
}

// refresh has the kernel follow what has changed about the kernel; false: nothing that
// matters.
func (a *applier) refresh(ctx context.Context, running *datastore.Snapshot) (changed bool, err error) {
	delta, err := a.engine.Refresh(running)
	if err != nil || delta == nil {
		return false, err
	}
	if _, err := a.kernel.Commit(ctx, inKernel(delta)); err != nil {
		return false, err
	}
	delta.Commit()
	a.dirty.addEntries(delta)
	return true, nil
}

// prepare has the changes translated.
func (a *applier) prepare(old, new *datastore.Snapshot, changes []schema.Change) (*translators.Delta, []reconcile.Change, error) {
	delta, err := a.engine.Prepare(old, new, changes)
	if err != nil {
		return nil, nil, err
	}
	return delta, inKernel(delta), nil
}

// inKernel is what a delta changes about the kernel.
func inKernel(delta *translators.Delta) []reconcile.Change {
	wanted := make([]reconcile.Change, 0, len(delta.Changes))
	for _, c := range delta.Changes {
		ch := reconcile.Change{Key: c.Key}
		if c.Want != nil {
			ch.Want = reconcile.Wanted{Object: c.Want, Origin: string(c.Origin)}
		}
		wanted = append(wanted, ch)
	}
	return wanted
}

// Of implements telemetry.Intent by translating entries again: what they ask for
// is a pure function of the configuration, so it is not kept.
func (a *applier) Of(cfg schema.Tree) telemetry.Wants {
	return wants{a.engine.Ask(cfg.(*datastore.Snapshot))}
}

type wants struct{ *translators.Asker }

// Wanted implements telemetry.Wants.
func (w wants) Wanted(k schema.EntryKey) ([]object.Object, string) {
	objects, withheld, err := w.Asker.Wanted(k)
	if err != nil {
		return nil, err.Error()
	}
	for _, w := range withheld {
		if w.Entry == k {
			return objects, w.Reason
		}
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

// Trouble implements telemetry.Actual.
func (a *applier) Trouble(k object.Key) string { return a.kernel.Trouble(k) }

// dirty collects what has other state now until somebody makes that anew: the
// keys of kernel objects that changed, and the entries that asked for something
// else, or for nothing any more.
type dirty struct {
	mu      sync.Mutex // guards keys and entries
	keys    []object.Key
	entries []schema.EntryKey
	wake    chan struct{}
}

func newDirty() *dirty { return &dirty{wake: make(chan struct{}, 1)} }

func (d *dirty) add(keys []object.Key) {
	d.mu.Lock()
	d.keys = append(d.keys, keys...)
	d.mu.Unlock()
	d.signal()
}

// addEntries adds those that a commit has translated to something else.
func (d *dirty) addEntries(delta *translators.Delta) {
	d.mu.Lock()
	for _, c := range delta.Changes {
		d.entries = append(d.entries, c.Origin)
		// What is shown of a route into a policy is the policy, whatever its path.
		if c.Key.Kind == object.KindNextHop && !object.OfPolicy(c.Key.ID) {
			d.keys = append(d.keys, c.Key)
		}
	}
	for _, w := range delta.Withheld {
		d.entries = append(d.entries, w.Entry)
	}
	d.mu.Unlock()
	d.signal()
}

func (d *dirty) signal() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *dirty) take() ([]object.Key, []schema.EntryKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	keys, entries := d.keys, d.entries
	d.keys, d.entries = nil, nil
	return keys, entries
}
