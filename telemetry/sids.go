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

// sidCounter makes the counters of a SID monotonic: the kernel starts again from
// zero when the route is replaced or rebuilt with its VRF.
type sidCounter struct {
	last, base object.SIDCounters
	read       bool
}

// add takes a reading in.
func (c *sidCounter) add(now object.SIDCounters) {
	if now.Packets < c.last.Packets || now.Octets < c.last.Octets || now.Errors < c.last.Errors {
		c.base.Packets += c.last.Packets
		c.base.Octets += c.last.Octets
		c.base.Errors += c.last.Errors
	}
	c.last, c.read = now, true
}

func (c *sidCounter) total() object.SIDCounters {
	return object.SIDCounters{
		Packets: c.base.Packets + c.last.Packets,
		Octets:  c.base.Octets + c.last.Octets,
		Errors:  c.base.Errors + c.last.Errors,
	}
}

// sidEntry needs t.mu.
func (t *Telemetry) sidEntry(cfg schema.Tree, k schema.EntryKey, e *config.NetworkInstance_SegmentRouting_Srv6_Sid) schema.GoStruct {
	have, ok, reason := t.programmed(cfg, k)
	s := &state.NetworkInstance_SegmentRouting_Srv6_Sid{
		Address: e.Address, Description: e.Description, Standalone: ptr(e.GetStandalone()),
		Programmed: &ok, ProgrammedReason: reason,
	}
	for _, o := range have {
		sid, ok := o.(*object.LocalSID)
		if !ok {
			continue
		}
		s.Behavior = behavior(sid.Behavior)
		if sid.VRF != "" {
			s.NetworkInstance = &sid.VRF
		}
		if sid.NextHop.IsValid() {
			s.NextHop = ptr(sid.NextHop.String())
		}
		if sid.OutLink != "" {
			s.Interface = &sid.OutLink
		}
		c := t.counters[sid.SID]
		if c == nil {
			c = &sidCounter{}
			t.counters[sid.SID] = c
		}
		s.Counters = countersEntry(c.total())
	}
	return s
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

// refreshSIDs reads the counters of the SIDs that a path covers: of one by its
// key, of more than a few with one dump.
func (t *Telemetry) refreshSIDs(ctx context.Context, p schema.Path) error {
	const few = 16
	var keys []schema.EntryKey
	var sids []netip.Addr
	t.Snapshot().Scan(p.Entry(), func(k schema.EntryKey, _ schema.GoStruct) bool {
		if t.schema.Node(k) == t.nodes.sids && p.MatchesEntry(k) {
			if addr, err := netip.ParseAddr(lastValue(k)); err == nil {
				keys, sids = append(keys, k), append(sids, addr)
			}
		}
		return true
	})
	if len(keys) == 0 {
		return nil
	}
	asked := sids
	if len(sids) > few {
		asked = nil
	}
	read, err := t.kernel.SIDCounters(ctx, asked)
	if err != nil {
		return fmt.Errorf("read SID counters: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var updates []update
	now := t.Snapshot()
	for i, k := range keys {
		before, ok := now.Get(k)
		c, counted := read[sids[i]]
		if !ok || !counted || t.counters[sids[i]] == nil {
			continue
		}
		t.counters[sids[i]].add(c)
		entry := *before.(*state.NetworkInstance_SegmentRouting_Srv6_Sid)
		entry.Counters = countersEntry(t.counters[sids[i]].total())
		updates = append(updates, update{k, &entry})
	}
	t.store.apply(updates)
	return nil
}
