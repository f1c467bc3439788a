package agent

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"

	"heddle/agent/datastore"
	"heddle/kernel/object"
	"heddle/schema"
)

// largeCommit is how many changed entries are too many for the one who set them
// to wait for their state: some milliseconds.
const largeCommit = 1024

// Commit is the store's Commit, after which the state tree shows the result. That
// of a large commit is made after the answer: until then refresh waits, and the
// next commit.
func (a *Agent) Commit(ctx context.Context, req datastore.Request) (datastore.Result, error) {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return datastore.Result{}, fmt.Errorf("commit: %w", ctx.Err())
	}
	a.commits.begin()
	late := false
	unbound := boundGarbage(req.Edits)
	end := func() {
		a.commits.end()
		<-a.turn
	}
	defer func() {
		if !late {
			end()
			unbound()
		}
	}()
	res, err := a.store.Commit(ctx, req)
	keys := make([]schema.EntryKey, len(res.Changes))
	for i, c := range res.Changes {
		keys[i] = c.Key
	}
	if late = len(keys) >= largeCommit; late {
		a.late.run(func() {
			defer end()
			a.refreshState(keys)
		}, func() {
			unbound()
			debug.FreeOSMemory() // what a large request needed besides is not needed again soon
		})
	} else {
		a.refreshState(keys)
	}
	return res, err
}

// late is state that is being made after the answer to the commit. There is one
// at a time.
type late struct {
	mu   sync.Mutex // guards made
	made chan struct{}
}

// run has fn make the state, and then does what nobody has to wait for.
func (l *late) run(fn, then func()) {
	made := make(chan struct{})
	l.mu.Lock()
	l.made = made
	l.mu.Unlock()
	go func() {
		func() {
			defer close(made)
			fn()
		}()
		then()
	}()
}

// done is closed when no state is missing; nil stands for that, too.
func (l *late) done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.made
}

func (l *late) wait() {
	if done := l.done(); done != nil {
		<-done
	}
}

// refresher brings state up to date for those who ask for it: nobody who has the
// answer to a Set sees the state before it.
type refresher struct{ *Agent }

// Refresh implements subscribe.Refresher.
func (a refresher) Refresh(ctx context.Context, paths []schema.Path) error {
	if done := a.late.done(); done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("wait for the state after the last commit: %w", ctx.Err())
		}
	}
	return a.tel.Refresh(ctx, paths)
}

// refreshState makes the state of these entries anew, and of those that are
// dirty. It needs a.turn.
func (a *Agent) refreshState(keys []schema.EntryKey) {
	objects, entries := a.dirty.take()
	keys = append(keys, entries...)
	origin := func(o object.Key) {
		if k, ok := a.applier.engine.Origin(o); ok {
			keys = append(keys, k)
		}
	}
	for _, o := range objects {
		origin(o)
		if o.Kind == object.KindNextHop { // the state of routes is where it leads
			for _, r := range a.rec.NeededBy(o) {
				origin(r)
			}
		}
	}
	slices.Sort(keys)
	snapshot := a.store.Snapshot()
	a.tel.Configured(snapshot, snapshot.Revision(), slices.Compact(keys))
}

// followKernel keeps state true when the kernel changes without a commit.
func (a *Agent) followKernel(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.dirty.wake:
		}
		select {
		case <-ctx.Done():
			return nil
		case a.turn <- struct{}{}:
			a.refreshState(nil)
			<-a.turn
		}
	}
}
