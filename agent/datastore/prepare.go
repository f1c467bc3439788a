package datastore

import (
	"fmt"

	"heddle/schema"
)

// prepare makes the configuration that a request asks for, and checks it. next is
// nil where that is what there is.
func (s *Store) prepare(req Request) (old, next *Snapshot, changes []schema.Change, err error) {
	old = s.current.Load()
	if c := req.Confirm; c != nil && c.Action == ConfirmCancel && req.Administrator {
		req.Authority = nil // whatever the policy: somebody has to be able to end it
	}
	// Before all that tells of what there is.
	if req.Authority != nil {
		if err := req.Authority.Some(); err != nil {
			return old, nil, nil, err
		}
		if err := req.Authority.Asked(req.Edits); err != nil {
			return old, nil, nil, err
		}
	}
	whole, err := s.mayCommit(req)
	if err != nil {
		return old, nil, nil, err
	}
	if changes, err = s.wanted(old, req); err != nil {
		return old, nil, nil, err
	}
	if req.Authority != nil {
		if err := s.judge(old, req, changes); err != nil {
			return old, nil, nil, err
		}
	}
	if len(changes) == 0 && !whole {
		return old, nil, nil, nil
	}
	b := old.builder(s.schema, s.terms)
	b.apply(changes)
	if changes = s.completed(b, changes); len(changes) == 0 && !whole {
		return old, nil, nil, nil
	}
	if err := s.validate(old, b.next, changes); err != nil {
		return old, nil, nil, err
	}
	return old, b.next, changes, nil
}

// judge asks the authority of a request about what it changes. To keep a commit, or to
// set when it is taken back, is to decide about all that the commit changed.
func (s *Store) judge(old *Snapshot, req Request, changes []schema.Change) error {
	if c := req.Confirm; c != nil && (c.Action == ConfirmAccept || c.Action == ConfirmExtend) {
		var err error
		if changes, err = s.back(old, s.Unconfirmed().Before); err != nil {
			return err
		}
	}
	return req.Authority.Changed(changes)
}

// wanted are the changes that a request asks for.
func (s *Store) wanted(old *Snapshot, req Request) ([]schema.Change, error) {
	switch c := req.Confirm; {
	case req.Rollback != nil:
		return s.back(old, *req.Rollback)
	case c == nil || c.Action == ConfirmBegin:
		changes, err := s.schema.Apply(old, req.Edits)
		if err != nil {
			return nil, Mistakes(err)
		}
		return changes, nil
	case c.Action == ConfirmCancel || c.Action == ConfirmExpire:
		return s.back(old, s.Unconfirmed().Before)
	}
	return nil, nil
}

// mayCommit says whether the store takes this request now; whole is set if it
// replaces a startup configuration that could not be loaded.
func (s *Store) mayCommit(req Request) (whole bool, err error) {
	status := s.Status()
	switch status.Phase {
	case Closed:
		return false, fmt.Errorf("commit: %w", ErrClosed)
	case Loading:
		return false, fmt.Errorf("commit: %w", ErrNotStarted)
	}
	if err := s.passLock(req); err != nil {
		return false, err
	}
	if status.Phase == Unloaded {
		if req.nothing() {
			return false, nil
		}
		if req.Authority != nil {
			// What would be lost is in a file that says nothing: nobody can judge it,
			// nor whether the caller may know what is wrong with it.
			return false, ErrNotLoaded
		}
		// An edit of a part would answer OK while the rest of the configuration
		// is gone.
		if len(req.Edits) == 0 || req.Edits[0].Op == schema.Update || len(req.Edits[0].Path) > 0 {
			return false, status.Startup
		}
		return true, nil
	}
	return false, s.mayConfirm(req)
}
