package telemetry

import (
	"context"
	"fmt"
	"net/netip"

	"heddle/gen/config"
	"heddle/gen/state"
	"heddle/kernel/object"
	"heddle/schema"
)

// sidEntry needs t.mu.
func (t *Telemetry) sidEntry(k schema.EntryKey, e *config.NetworkInstance_SegmentRouting_Srv6_Sid) schema.GoStruct {
	have, ok, reason := t.programmed(k)
	s := &state.NetworkInstance_SegmentRouting_Srv6_Sid{
		Address: e.Address, Description: e.Description, Standalone: ptr(e.GetStandalone()),
		Programmed: ptr(ok), ProgrammedReason: reason,
	}
	if sid, ok := sidOf(k); ok {
		t.counters.track(sid)
	}
	for _, o := range have {
		sid, ok := o.(*object.LocalSID)
		if !ok {
			continue
		}
		s.Behavior = behavior(sid.Behavior)
		switch {
		case sid.VRF != "":
			s.NetworkInstance = &sid.VRF
		case sid.VRFTable == object.TableMain:
			s.NetworkInstance = ptr(defaultInstance)
		}
		if sid.NextHop.IsValid() {
			s.NextHop = ptr(sid.NextHop.String())
		}
		if sid.OutLink != "" {
			s.Interface = &sid.OutLink
		}
		if total, ok := t.counters.total(sid.SID); ok {
			s.Counters = countersEntry(total)
		}
	}
	return s
}

// sidOf is the SID that an entry of the list of SIDs is about.
func sidOf(k schema.EntryKey) (netip.Addr, bool) {
	v := k.Values()
	if len(v) != 1 {
		return netip.Addr{}, false
	}
	sid, err := netip.ParseAddr(v[0])
	return sid, err == nil
}

func countersEntry(c object.SIDCounters) *state.NetworkInstance_SegmentRouting_Srv6_Sid_Counters {
	return &state.NetworkInstance_SegmentRouting_Srv6_Sid_Counters{
		Packets: &c.Packets, Octets: &c.Octets, Errors: &c.Errors,
	}
}

func behavior(b object.Behavior) state.E_HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR {
	switch b {
	case object.End:
		return state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END
	case object.EndX:
		return state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_X
	case object.EndDT4:
		return state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_DT4
	case object.EndDT6:
		return state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_DT6
	case object.EndDT46:
		return state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_DT46
	}
	return state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_UNSET
}

// refreshSIDs reads the counters of the SIDs that a path covers: of a few by
// their keys, of more with one dump for all who want that now.
func (t *Telemetry) refreshSIDs(ctx context.Context, p schema.Path) error {
	const few = 16
	keys, sids := t.sidsUnder(p, few+1)
	switch {
	case len(keys) == 0:
		return nil
	case len(keys) > few:
		return t.sids.do(ctx, func(ctx context.Context) error {
			keys, sids := t.sidsUnder(nil, 0)
			return t.readSIDs(ctx, keys, sids, nil)
		})
	}
	t.sids.reading.Lock()
	defer t.sids.reading.Unlock()
	return t.readSIDs(ctx, keys, sids, sids)
}

// sidsUnder lists the SIDs below a path, as many as limit if that is not 0.
func (t *Telemetry) sidsUnder(p schema.Path, limit int) (keys []schema.EntryKey, sids []netip.Addr) {
	// SIDs are in the default instance, behind all of its routes.
	under := p.Entry()
	if under.List() != t.nodes.sids.ListID {
		under = t.schema.ListPrefix(t.nodes.defaultInstance, t.nodes.sids)
	}
	t.Snapshot().Scan(under, func(k schema.EntryKey, _ schema.GoStruct) bool {
		if t.schema.Node(k) == t.nodes.sids && (len(p) == 0 || p.MatchesEntry(k)) {
			if sid, ok := sidOf(k); ok {
				keys, sids = append(keys, k), append(sids, sid)
			}
		}
		return limit == 0 || len(keys) < limit
	})
	return keys, sids
}

// readSIDs reads the counters of asked, of all for nil, and publishes those of
// keys. It needs t.sids.reading.
func (t *Telemetry) readSIDs(ctx context.Context, keys []schema.EntryKey, sids, asked []netip.Addr) error {
	stood := t.counters.stand(sids)
	read, err := t.kernel.SIDCounters(ctx, asked)
	if err != nil {
		return fmt.Errorf("read SID counters: %w", err)
	}
	t.counters.take(stood, read)
	t.mu.Lock()
	defer t.mu.Unlock()
	updates := make([]update, 0, len(keys))
	now := t.Snapshot()
	for i, k := range keys {
		entry, ok := now.Get(k)
		before, isSID := entry.(*state.NetworkInstance_SegmentRouting_Srv6_Sid)
		total, counted := t.counters.total(sids[i])
		// Without a behaviour the kernel does not hold it, so there is nothing
		// that counts.
		if !ok || !isSID || !counted || before.Behavior == state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_UNSET {
			continue
		}
		if b := before.Counters; b != nil && *b.Packets == total.Packets && *b.Octets == total.Octets && *b.Errors == total.Errors {
			continue
		}
		after := *before
		after.Counters = countersEntry(total)
		updates = append(updates, update{k, &after})
	}
	t.store.apply(updates)
	return nil
}
