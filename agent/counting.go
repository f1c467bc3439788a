package agent

import (
	"context"
	"log/slog"
	"net/netip"

	"heddle/kernel/object"
	"heddle/reconcile"
	"heddle/telemetry"
)

// counting tells telemetry of the SIDs that are about to be replaced or deleted,
// which takes their counters with them.
type counting struct {
	reconcile.Driver
	counters *telemetry.Counters
	log      *slog.Logger
}

// Do implements reconcile.Driver.
func (c counting) Do(ctx context.Context, steps []reconcile.Step) []reconcile.Result {
	if len(steps) == 0 || steps[0].Key().Kind != object.KindLocalSID {
		return c.Driver.Do(ctx, steps)
	}
	var sids []netip.Addr
	var at []int // the step of each
	for i, s := range steps {
		if old, ok := s.Old.(*object.LocalSID); ok && old.Table == object.TableMain {
			sids, at = append(sids, old.SID), append(at, i)
		}
	}
	written, err := c.counters.Writing(ctx, sids)
	if err != nil {
		// No reason to refuse the write, which says itself what is wrong with the
		// kernel.
		c.log.Warn("SIDs are written without a last look at their counters: what these counted since the last one is lost", "error", err)
	}
	results := c.Driver.Do(ctx, steps)
	written(func(i int) bool { return at[i] < len(results) && results[at[i]].Err == nil })
	return results
}
