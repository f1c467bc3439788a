package agent

import (
	"context"

	"heddle/agent/datastore"
	"heddle/agent/operation"
	"heddle/schema"
)

// History lists the last commits, at most limit.
func (a *Agent) History(limit int) (operation.History, error) {
	var h operation.History
	past, err := a.store.History(limit)
	if err != nil {
		return h, err
	}
	for _, p := range past {
		h.Commits = append(h.Commits, operation.Commit{
			Revision: p.Revision, Time: p.Time, User: p.User, Source: p.Source, Request: p.Request,
			Confirm: p.Confirm, Entries: p.Entries, Reachable: p.Reachable,
		})
	}
	if u := a.store.Unconfirmed(); u != nil {
		h.Unconfirmed = &operation.Unconfirmed{ID: u.ID, Deadline: u.Deadline, Before: u.Before, User: u.User}
	}
	return h, nil
}

// Diff is what may be seen of what differs between the configurations after two commits;
// a nil view sees everything.
func (a *Agent) Diff(from, to uint64, view schema.View) (operation.Difference, error) {
	changes, err := a.store.Diff(from, to)
	if err != nil {
		return operation.Difference{}, err
	}
	return difference(a.schema, changes, view), nil
}

// Rollback makes the configuration after a commit the running one again. What is said of
// it is what may be seen.
func (a *Agent) Rollback(ctx context.Context, req datastore.Request, view schema.View) (operation.Commit, error) {
	res, err := a.Commit(ctx, req)
	if err != nil {
		return operation.Commit{}, err
	}
	entries := len(res.Changes)
	if view != nil {
		entries = difference(a.schema, res.Changes, view).Entries
	}
	return operation.Commit{Revision: res.Revision, Time: res.Time, Entries: entries}, nil
}
