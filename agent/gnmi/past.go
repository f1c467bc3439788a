package gnmi

import (
	"context"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"

	"heddle/agent/datastore"
	"heddle/schema"
	"heddle/telemetry/subscribe"
)

// Past is the configuration as it was; *datastore.Store has it.
type Past interface {
	// At is the configuration at a time. Errors are *datastore.HistoryError.
	At(ctx context.Context, t time.Time) (*datastore.Snapshot, error)
	// Between are the commits from one time on and before another one, in order.
	Between(from, to time.Time) ([]datastore.Event, error)
}

// past answers a Subscribe with the history extension (gnmi-history.md §2.2): of the
// configuration, since nothing else is kept.
func (s *Server) past(ctx context.Context, mode gpb.SubscriptionList_Mode, req subscribe.Request, ext extensions, sink *sink) error {
	if s.cfg.Past == nil {
		return notOffered("extension history is not offered: leave it out")
	}
	if ext.has&extConfigSubscription != 0 {
		return invalid("extensions history and config_subscription do not go together: leave one out")
	}
	var all []schema.Path
	for _, one := range req.Subscriptions {
		all = append(all, one.Paths...)
	}
	if !s.engine.HasConfig(all) {
		return notOffered("extension history: no history of state is kept: ask for configuration")
	}
	if rng := ext.history.GetRange(); rng != nil {
		if mode != gpb.SubscriptionList_STREAM {
			return invalid("extension history: a range is for a STREAM")
		}
		if err := s.cfg.Guard.WaitLikeGet(ctx); err != nil {
			return err
		}
		return s.pastRange(ctx, req, time.Unix(0, rng.GetStart()), time.Unix(0, rng.GetEnd()), sink)
	}
	if ext.history.GetRequest() == nil {
		return invalid("extension history: neither snapshot_time nor range is set")
	}
	if mode != gpb.SubscriptionList_ONCE {
		return invalid("extension history: a snapshot is for ONCE")
	}
	at := time.Unix(0, ext.history.GetSnapshotTime())
	if at.After(time.Now()) {
		return notOffered("extension history: the snapshot_time is still to come")
	}
	if err := s.cfg.Guard.WaitLikeGet(ctx); err != nil {
		return err
	}
	base, err := s.cfg.Past.At(ctx, at)
	if err != nil {
		return s.statusOf(err, query)
	}
	return s.ended(s.engine.Replay(req, base, at, nil, sink))
}

func (s *Server) pastRange(ctx context.Context, req subscribe.Request, from, to time.Time, sink *sink) error {
	switch {
	case from.After(to):
		return invalid("extension history: the range ends before it starts")
	case to.After(time.Now()):
		return notOffered("extension history: the end of the range is still to come: subscribe without the extension from then on")
	}
	// What was there when it started is what commits before have left.
	base, err := s.cfg.Past.At(ctx, from.Add(-1))
	if err != nil {
		return s.statusOf(err, query)
	}
	events, err := s.cfg.Past.Between(from, to)
	if err != nil {
		return s.statusOf(err, query)
	}
	later := make([]subscribe.Batch, len(events))
	for i, e := range events {
		later[i] = subscribe.Batch{Time: e.Time, Changes: e.Changes}
	}
	return s.ended(s.engine.Replay(req, base, from, later, sink))
}
