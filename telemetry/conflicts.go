package telemetry

import (
	"net/netip"
	"time"

	"heddle/gen/state"
	"heddle/kernel/object"
)

// conflictCalm is for how long chains are taken to share a SID since that was counted
// last.
const conflictCalm = 5 * time.Second

// conflict reports whether chains share the SID of a reading, nil if they may, and tells
// the log when it begins. before is what was shown. It needs t.mu.
func (t *Telemetry) conflict(r *object.ProxyReading, before *state.NetworkInstance_SegmentRouting_Srv6_Sid, now time.Time) *bool {
	if before.Behavior != state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_AD {
		return nil
	}
	_, shared := t.conflicts[r.SID]
	// What was counted before the agent started is no news.
	if c := before.Proxy.Counters; c != nil && c.ChainConflict != nil && r.Counters.ChainConflict > *c.ChainConflict {
		if !shared {
			t.log.Warn("chains share a SID, and each gets the packets of the other: give each a SID of its own", "sid", r.SID,
				"chain-conflict", r.Counters.ChainConflict)
		}
		t.conflicts[r.SID], shared = now.Add(conflictCalm), true
	}
	return &shared
}

// calmed takes out the SIDs that chains do not share any more, which are to be read again.
// next is when others may be; zero: there are none.
func (t *Telemetry) calmed(now time.Time) (sids []netip.Addr, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for sid, until := range t.conflicts {
		switch {
		case !until.After(now):
			delete(t.conflicts, sid)
			sids = append(sids, sid)
			t.log.Info("chains do not share a SID any more", "sid", sid)
		case next.IsZero() || until.Before(next):
			next = until
		}
	}
	return sids, next
}
