package gnmi

import (
	"context"
	"strconv"

	"heddle/agent/datastore"
	"heddle/schema"
	"heddle/telemetry/subscribe"
)

// Running is the running configuration of a store as a dataset.
func Running(s *datastore.Store) subscribe.Dataset { return running{s} }

type running struct{ store *datastore.Store }

func (r running) Snapshot() schema.Tree { return r.store.Snapshot() }

func (r running) Watch() (schema.Tree, subscribe.Feed) {
	snap, w := r.store.Watch()
	return snap, commits{w}
}

type commits struct{ *datastore.Watcher }

func (c commits) Next(ctx context.Context) (subscribe.Batch, error) {
	e, err := c.Watcher.Next(ctx)
	if err != nil {
		return subscribe.Batch{}, err
	}
	mark := &subscribe.Mark{ServerID: strconv.FormatUint(e.Revision, 10), ConfirmID: e.Confirm}
	return subscribe.Batch{Time: e.Time, Changes: e.Changes, Tree: e.Snapshot, Mark: mark, Lost: e.Resync}, nil
}
