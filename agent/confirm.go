package agent

import (
	"context"
	"errors"
	"time"

	"heddle/agent/datastore"
)

// takeBackAgain is after what time a commit that was not confirmed is taken back
// anew, where the kernel did not take that.
const takeBackAgain = 10 * time.Second

// takeBack takes back commits that were not confirmed in time.
func (a *Agent) takeBack(ctx context.Context) error {
	for {
		id, err := a.store.AwaitExpiry(ctx)
		if err != nil {
			return nil // the context ended
		}
		_, err = a.Commit(ctx, datastore.Request{
			Source: "rollback", Request: "commit " + id + " was not confirmed",
			Confirm: &datastore.Confirm{Action: datastore.ConfirmExpire, ID: id},
		})
		switch {
		case err == nil:
			a.log.Warn("a commit was not confirmed in time and is taken back", "id", id)
			continue
		case errors.Is(err, datastore.ErrNoneToConfirm), errors.Is(err, datastore.ErrOtherToConfirm):
			continue // it was confirmed, or cancelled, or given more time just now
		}
		a.log.Error("a commit was not confirmed in time, and what was before cannot be had back yet", "id", id, "again in", takeBackAgain, "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(takeBackAgain):
		}
	}
}
