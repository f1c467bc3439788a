package telemetry

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"heddle/gen/config"
	"heddle/gen/state"
	"heddle/kernel/object"
	"heddle/schema"
)

// sidEntry needs t.mu. What the kernel says the same as the configuration is
// shown from the memory that the configuration has it in.
func (t *Telemetry) sidEntry(k schema.EntryKey, e *config.NetworkInstance_SegmentRouting_Srv6_Sid) schema.GoStruct {
	have, ok, reason := t.programmed(k)
	s := &state.NetworkInstance_SegmentRouting_Srv6_Sid{
		Address: e.Address, Description: e.Description, Standalone: yesOrNo(e.GetStandalone()),
		Programmed: yesOrNo(ok), ProgrammedReason: reason,
	}
	var total object.SIDCounters
	counted := false
	if sid, err := netip.ParseAddr(*e.Address); err == nil {
		total, counted = t.counters.track(sid)
	}
	for _, o := range have {
		if p, ok := o.(*object.Proxy); ok {
			t.showProxy(k, s, p, e)
		}
		if r, ok := o.(*object.Route); ok && len(r.NextHops) == 1 { // of End.AM
			s.NextHop = addressText(r.NextHops[0].Gateway, nil)
		}
		sid, ok := o.(*object.LocalSID)
		if !ok {
			continue
		}
		s.Behavior = behaviors[sid.Behavior]
		switch {
		case sid.VRF != "":
			s.NetworkInstance = &sid.VRF
		case sid.VRFTable == object.TableMain:
			s.NetworkInstance = ptr(defaultInstance)
		}
		if sid.NextHop.IsValid() {
			s.NextHop = addressText(sid.NextHop, e.NextHop)
		}
		if sid.OutLink != "" {
			s.Interface = &sid.OutLink
		}
		s.Flavors = flavorsEntry(sid)
		if sid.Policy != nil {
			s.Policy = &state.NetworkInstance_SegmentRouting_Srv6_Sid_Policy{SegmentList: addressTexts(sid.Policy.Segments)}
		}
		if counted {
			s.Counters = countersEntry(total)
		}
	}
	return s
}

// What many entries show is there once. Nobody writes to an entry that is shown.
var (
	yes, no = true, false
	zero    uint64
	nothing = state.NetworkInstance_SegmentRouting_Srv6_Sid_Counters{Packets: &zero, Octets: &zero, Errors: &zero}
)

func yesOrNo(b bool) *bool {
	if b {
		return &yes
	}
	return &no
}

// addressText is the text of an address: same, if that says it.
func addressText(a netip.Addr, same *string) *string {
	var buf [48]byte
	text := a.AppendTo(buf[:0])
	if same != nil && *same == string(text) {
		return same
	}
	return ptr(string(text))
}

// flavorsEntry makes the flavors of a SID as they are shown.
func flavorsEntry(sid *object.LocalSID) *state.NetworkInstance_SegmentRouting_Srv6_Sid_Flavors {
	if sid.Flavors == 0 {
		return nil
	}
	s := &state.NetworkInstance_SegmentRouting_Srv6_Sid_Flavors{}
	if sid.Flavors&object.PSP != 0 {
		s.Flavor = append(s.Flavor, state.HeddleSrv6_SRV6_ENDPOINT_FLAVOR_PSP)
	}
	if sid.Flavors&object.NextCSID != 0 {
		s.Flavor = append(s.Flavor, state.HeddleSrv6_SRV6_ENDPOINT_FLAVOR_NEXT_CSID)
		s.LocatorBlockLength, s.LocatorNodeFunctionLength = &sid.BlockLength, &sid.NodeFunctionLength
	}
	return s
}

func addressTexts(as []netip.Addr) []string {
	texts := make([]string, len(as))
	for i, a := range as {
		texts[i] = a.String()
	}
	return texts
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

// countersEntry makes the counters as they are shown.
func countersEntry(c object.SIDCounters) *state.NetworkInstance_SegmentRouting_Srv6_Sid_Counters {
	if c == (object.SIDCounters{}) {
		return &nothing
	}
	both := &struct {
		shown state.NetworkInstance_SegmentRouting_Srv6_Sid_Counters
		are   object.SIDCounters
	}{are: c}
	both.shown.Packets, both.shown.Octets, both.shown.Errors = &both.are.Packets, &both.are.Octets, &both.are.Errors
	return &both.shown
}

var behaviors = map[object.Behavior]state.E_HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR{
	object.End:         state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END,
	object.EndX:        state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_X,
	object.EndT:        state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_T,
	object.EndDX2:      state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_DX2,
	object.EndDX4:      state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_DX4,
	object.EndDX6:      state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_DX6,
	object.EndDT4:      state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_DT4,
	object.EndDT6:      state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_DT6,
	object.EndDT46:     state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_DT46,
	object.EndB6:       state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_B6,
	object.EndB6Encaps: state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_B6_ENCAPS,
}

// refreshSIDs reads the counters of the SIDs that a path covers: of a few by
// their addresses, of more with one dump for all who want that now.
func (t *Telemetry) refreshSIDs(ctx context.Context, p schema.Path) error {
	const few = 16
	sids := t.sidsUnder(p, few+1)
	switch {
	case len(sids) == 0:
		return nil
	case len(sids) > few:
		return t.sids.do(ctx, func(ctx context.Context) error { return t.readSIDs(ctx, nil) })
	}
	t.sids.reading.Lock()
	defer t.sids.reading.Unlock()
	return t.readSIDs(ctx, sids)
}

// sidsUnder lists the SIDs below a path, as many as limit.
func (t *Telemetry) sidsUnder(p schema.Path, limit int) (sids []netip.Addr) {
	// SIDs are in the default instance, behind all of its routes.
	under := p.Entry()
	if under.List() != t.nodes.sids.ListID {
		under = t.schema.ListPrefix(t.nodes.defaultInstance, t.nodes.sids)
	}
	t.Snapshot().Scan(under, func(k schema.EntryKey, _ schema.GoStruct) bool {
		if t.schema.Node(k) == t.nodes.sids && (len(p) == 0 || p.MatchesEntry(k)) {
			if sid, ok := sidOf(k); ok {
				sids = append(sids, sid)
			}
		}
		return len(sids) < limit
	})
	return sids
}

// readSIDs reads the counters of these SIDs, of all for nil, and publishes the
// totals that have changed. It needs t.sids.reading.
func (t *Telemetry) readSIDs(ctx context.Context, sids []netip.Addr) error {
	look := t.counters.look()
	err := t.kernel.SIDCounters(ctx, sids, look.take)
	look.end()
	if err != nil {
		return fmt.Errorf("read SID counters: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.store.publish(t.counted(t.counters.takeChanged(sids)))
	return nil
}

// counted are the changes that totals, in the order of addresses, make to what is
// shown. It needs t.mu.
func (t *Telemetry) counted(totals []object.SIDReading) []schema.Change {
	changes := make([]schema.Change, 0, len(totals))
	add := func(k schema.EntryKey, entry schema.GoStruct, c object.SIDCounters) {
		before, isSID := entry.(*state.NetworkInstance_SegmentRouting_Srv6_Sid)
		// Without a behaviour the kernel does not hold it, so there is nothing
		// that counts.
		if !isSID || before.Behavior == state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_UNSET {
			return
		}
		if b := before.Counters; b != nil && *b.Packets == c.Packets && *b.Octets == c.Octets && *b.Errors == c.Errors {
			return // shown already, by the commit that made the entry
		}
		after := *before
		after.Counters = countersEntry(c)
		changes = append(changes, schema.Change{Key: k, Old: before, New: &after})
	}
	now := t.Snapshot()
	if len(totals) < now.Len()/8 {
		for _, r := range totals {
			k, entry := now.find(t.schema.KeyOf(t.nodes.defaultInstance, t.nodes.sids, r.SID.String()))
			add(k, entry, r.SIDCounters)
		}
		return changes
	}
	// Of so many, a walk along the tree costs less, and has them in its order.
	now.Scan(t.schema.ListPrefix(t.nodes.defaultInstance, t.nodes.sids), func(k schema.EntryKey, entry schema.GoStruct) bool {
		if e, ok := entry.(*state.NetworkInstance_SegmentRouting_Srv6_Sid); ok && e.Address != nil {
			sid, err := netip.ParseAddr(*e.Address)
			at, ok := slices.BinarySearchFunc(totals, sid, func(r object.SIDReading, sid netip.Addr) int { return r.SID.Compare(sid) })
			if err == nil && ok {
				add(k, entry, totals[at].SIDCounters)
			}
		}
		return true
	})
	return changes
}
