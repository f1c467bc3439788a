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

// Diff is what differs between the configurations after two commits.
func (a *Agent) Diff(from, to uint64) (operation.Difference, error) {
	changes, err := a.store.Diff(from, to)
	if err != nil {
		return operation.Difference{}, err
	}
	return difference(a.schema, changes), nil
}

// Rollback makes the configuration after a commit the running one again.
func (a *Agent) Rollback(ctx context.Context, req datastore.Request) (operation.Commit, error) {
	res, err := a.Commit(ctx, req)
	if err != nil {
		return operation.Commit{}, err
	}
	return operation.Commit{Revision: res.Revision, Time: res.Time, Entries: len(res.Changes)}, nil
}

// maxDifference is how many leaves a difference names at most.
const maxDifference = 10_000

// difference takes changes apart into leaves.
func difference(sc *schema.Schema, changes []schema.Change) operation.Difference {
	var d operation.Difference
	for _, c := range changes {
		if len(d.Leaves) == maxDifference {
			sc.Diff(c, schema.LeafOptions{}, func(schema.Delta) bool { d.More++; return true })
			continue
		}
		before, after := written(sc, c.Key, c.Old), written(sc, c.Key, c.New)
		for _, n := range inOrder(before, after) {
			b, a := before.text[n], after.text[n]
			switch {
			case b == a:
			case len(d.Leaves) == maxDifference:
				d.More++
			default:
				if n.Secret() {
					b, a = hide(b), hide(a)
				}
				d.Leaves = append(d.Leaves, operation.LeafChange{Path: sc.NodePath(c.Key, n).String(), Before: b, After: a})
			}
		}
	}
	return d
}

// hide is what is shown in place of a secret.
func hide(value string) string {
	if value == "" {
		return ""
	}
	return `"(secret)"`
}

// writtenLeaves are those of an entry, in schema order, with their values.
type writtenLeaves struct {
	order []*schema.Node
	text  map[*schema.Node]string
}

func written(sc *schema.Schema, k schema.EntryKey, e schema.GoStruct) writtenLeaves {
	l := writtenLeaves{text: map[*schema.Node]string{}}
	if e == nil {
		return l
	}
	sc.Leaves(k, e, schema.LeafOptions{Filter: schema.Config}, func(n *schema.Node, v schema.Value) bool {
		l.order = append(l.order, n)
		l.text[n] = string(sc.AppendValue(nil, n, v, schema.JSONIETF))
		return true
	})
	return l
}

// inOrder are the leaves of either, each once.
func inOrder(a, b writtenLeaves) []*schema.Node {
	all := a.order
	for _, n := range b.order {
		if _, there := a.text[n]; !there {
			all = append(all, n)
		}
	}
	return all
}
