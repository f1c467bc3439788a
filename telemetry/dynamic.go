package telemetry

import (
	"net/netip"

	"heddle/gen/config"
	"heddle/gen/state"
	"heddle/schema"
)

// A dynamic SID is shown in its own list, which says what its address is, and by that
// address among the SIDs, where it has its counters.

// addDynamic makes both. It needs t.mu.
func (t *Telemetry) addDynamic(b *batch, k schema.EntryKey, e *config.NetworkInstance_SegmentRouting_Srv6_DynamicSid) {
	b.done[k] = struct{}{} // two may have swapped their addresses
	sid := t.wants.SIDOf(k)
	if t.shownSID(k) != sid {
		t.dropSID(b, k)
	}
	s := &state.NetworkInstance_SegmentRouting_Srv6_DynamicSid{
		Name: e.Name, Locator: e.Locator, Function: e.Function, Description: e.Description, Programmed: &no,
	}
	if !sid.IsValid() {
		b.add(k, s)
		return
	}
	text := sid.String()
	at := t.schema.KeyOf(t.nodes.defaultInstance, t.nodes.sids, text)
	shown := t.sidEntry(k, &config.NetworkInstance_SegmentRouting_Srv6_Sid{
		Address: &text, Description: e.Description, NextHop: e.NextHop,
	}).(*state.NetworkInstance_SegmentRouting_Srv6_Sid)
	b.add(at, shown)
	s.Sid, s.Programmed, s.ProgrammedReason = &text, shown.Programmed, shown.ProgrammedReason
	s.Behavior, s.NetworkInstance, s.NextHop, s.Interface = shown.Behavior, shown.NetworkInstance, shown.NextHop, shown.Interface
	s.Flavors = (*state.NetworkInstance_SegmentRouting_Srv6_DynamicSid_Flavors)(shown.Flavors)
	s.Policy = (*state.NetworkInstance_SegmentRouting_Srv6_DynamicSid_Policy)(shown.Policy)
	b.add(k, s)
}

// shownSID is the address that is shown of a dynamic SID, invalid for none.
func (t *Telemetry) shownSID(k schema.EntryKey) netip.Addr {
	_, e := t.Snapshot().find(k)
	s, ok := e.(*state.NetworkInstance_SegmentRouting_Srv6_DynamicSid)
	if !ok || s.Sid == nil {
		return netip.Addr{}
	}
	sid, err := netip.ParseAddr(*s.Sid)
	if err != nil {
		return netip.Addr{}
	}
	return sid
}

// dropSID takes away what is shown of the address of a dynamic SID, unless another
// entry has it now. It needs t.mu.
func (t *Telemetry) dropSID(b *batch, k schema.EntryKey) {
	if sid := t.shownSID(k); sid.IsValid() {
		if at := t.schema.KeyOf(t.nodes.defaultInstance, t.nodes.sids, sid.String()); !b.has(at) {
			t.addConfigured(b, at)
		}
	}
}

// addSIDAt shows what is at an address that no SID is configured for: a dynamic one,
// or nothing. It needs t.mu.
func (t *Telemetry) addSIDAt(b *batch, k schema.EntryKey) {
	sid, ok := sidOf(k)
	if !ok {
		b.add(k, nil)
		return
	}
	if dynamic, ok := t.wants.DynamicSID(sid); ok {
		if !b.has(dynamic) {
			t.addConfigured(b, dynamic)
		}
		return
	}
	t.counters.forget(sid)
	b.add(k, nil)
}
