package telemetry

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"heddle/kernel/object"
)

// headersPause is how often headers that go on changing are read: a little less often
// than the programs tell of a link (TELL_NS in bpf/srproxy.h).
const headersPause = 25 * time.Millisecond

// Headers are the SIDs whose kept headers have changed, until they have been read.
type Headers struct {
	mu   sync.Mutex // guards sids
	sids map[netip.Addr]struct{}
	wake chan struct{}
}

// NewHeaders makes an empty one.
func NewHeaders() *Headers {
	return &Headers{sids: map[netip.Addr]struct{}{}, wake: make(chan struct{}, 1)}
}

// Changed notes that the headers of a SID have changed; an invalid address stands for any.
func (h *Headers) Changed(sid netip.Addr) {
	h.mu.Lock()
	h.sids[sid] = struct{}{}
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func (h *Headers) take() (sids []netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	sids = slices.Collect(maps.Keys(h.sids))
	clear(h.sids)
	return sids
}

// FollowHeaders publishes headers that have changed, and looks again for as long as they
// go on changing, until the context ends.
func (t *Telemetry) FollowHeaders(ctx context.Context, h *Headers) error {
	pause, calm := time.NewTimer(0), time.NewTimer(0)
	defer pause.Stop()
	defer calm.Stop()
	seen := map[netip.Addr]uint64{} // what is to be read again, with the changes that were seen
	for {
		var again <-chan time.Time
		wake := h.wake
		if len(seen) > 0 { // not more often than that, whoever calls
			again, wake = pause.C, nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-again:
		case <-calm.C:
		}
		now := time.Now()
		calmed, _ := t.calmed(now)
		seen = t.readHeaders(ctx, append(h.take(), calmed...), seen)
		pause.Reset(headersPause)
		if _, next := t.calmed(now); !next.IsZero() {
			calm.Reset(time.Until(next))
		}
	}
}

// readHeaders reads the headers of SIDs that have changed, and of those that have been
// seen to, and returns those that are to be looked at again.
func (t *Telemetry) readHeaders(ctx context.Context, changed []netip.Addr, seen map[netip.Addr]uint64) map[netip.Addr]uint64 {
	all := slices.ContainsFunc(changed, func(a netip.Addr) bool { return !a.IsValid() })
	ask := append(changed, slices.Collect(maps.Keys(seen))...)
	var read []object.ProxyReading
	var err error
	switch {
	case all:
		read, err = t.readProxies(ctx, nil)
	case len(ask) > 0:
		read, err = t.readProxies(ctx, ask)
	}
	if err != nil {
		t.log.Warn("the headers of SR proxies are shown as they were", "error", err)
	}
	asked, next := map[netip.Addr]bool{}, map[netip.Addr]uint64{}
	for _, sid := range changed {
		asked[sid] = true
	}
	for i := range read {
		r := &read[i]
		if was, known := seen[r.SID]; known && was != r.Changes || asked[r.SID] || all {
			next[r.SID] = r.Changes
		}
	}
	return next
}
