package agent

import (
	"context"
	"fmt"

	"heddle/agent/datastore"
	"heddle/agent/operation"
	"heddle/telemetry"
)

// Lock gives the lock of the configuration to who asks; the state tree shows it when
// this returns.
func (a *Agent) Lock(ctx context.Context, req datastore.LockRequest) (operation.Lock, error) {
	var l datastore.Lock
	err := a.inTurn(ctx, func() error {
		var err error
		l, err = a.store.Lock(ctx, req)
		return err
	})
	return operation.Lock{Since: l.Since, Until: l.Until}, err
}

// Unlock ends the lock of a holder, or for an administrator that of anybody.
func (a *Agent) Unlock(ctx context.Context, h datastore.Holder, administrator bool) error {
	return a.inTurn(ctx, func() error { return a.store.Unlock(ctx, h, administrator) })
}

// inTurn changes something besides the configuration, between two commits, and has the
// state tree show it.
func (a *Agent) inTurn(ctx context.Context, change func() error) error {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait for the commit under way: %w: %w", datastore.ErrBusy, ctx.Err())
	}
	defer func() { <-a.turn }()
	if err := change(); err != nil {
		return err
	}
	a.refreshState(nil)
	return nil
}

// followLock keeps the state true when the time of a lock is over.
func (a *Agent) followLock(ctx context.Context) error {
	for {
		l, changed := a.store.Locked()
		if err := a.inTurn(ctx, func() error { return nil }); err != nil {
			return nil // the context ended
		}
		if err := a.store.AwaitLock(ctx, l, changed); err != nil {
			return nil
		}
	}
}

// lockState is the lock as the state tree has it.
func (a *Agent) lockState() telemetry.Lock {
	l, _ := a.store.Locked()
	if l == nil {
		return telemetry.Lock{}
	}
	return telemetry.Lock{Owner: l.User, Session: l.Session, Since: l.Since, Until: l.Until}
}
