package telemetry

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"heddle/gen/config"
	"heddle/gen/state"
	"heddle/kernel/object"
	"heddle/schema"
)

type (
	proxyState    = state.NetworkInstance_SegmentRouting_Srv6_Sid_Proxy
	proxyCache    = state.NetworkInstance_SegmentRouting_Srv6_Sid_Proxy_Cache
	proxyCounters = state.NetworkInstance_SegmentRouting_Srv6_Sid_Proxy_Counters
)

var (
	proxyBehaviors = map[object.ProxyBehavior]state.E_HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR{
		object.EndAS: state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_AS,
		object.EndAD: state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_AD,
		object.EndAM: state.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_AM,
	}
	innerTypes = map[object.InnerType]state.E_Proxy_InnerType{
		object.InnerIPv4:     state.Proxy_InnerType_IPV4,
		object.InnerIPv6:     state.Proxy_InnerType_IPV6,
		object.InnerEthernet: state.Proxy_InnerType_ETHERNET,
	}
)

// showProxy makes s, which shows the route of a SID, show the proxy that it is part of:
// programmed gives the route first. What programs have kept and counted
// stays as it was read last, until somebody asks.
func (t *Telemetry) showProxy(k schema.EntryKey, s *state.NetworkInstance_SegmentRouting_Srv6_Sid, p *object.Proxy, e *config.NetworkInstance_SegmentRouting_Srv6_Sid) {
	shown := &proxyState{InnerType: innerTypes[p.Inner], NextHop: s.NextHop, Liveness: t.livenessEntry(p, e.Proxy)}
	if p.In != "" {
		shown.IncomingInterface = &p.In
	}
	if e.Proxy != nil { // the kernel finds it by the route to the next hop
		shown.OutgoingInterface = e.Proxy.OutgoingInterface
		if p.Mode == object.ProxyToStandby { // the kernel has the other one's
			shown.NextHop = e.Proxy.NextHop
		}
	}
	if s.Interface != nil {
		shown.OutgoingInterface, s.Interface = s.Interface, nil
	}
	if p.Encap != nil {
		shown.SegmentList, shown.SourceAddress = addressTexts(p.Encap.Segments), addressText(p.Encap.Source, nil)
		shown.HopLimit = &p.HopLimit
	}
	if p.Behavior == object.EndAM {
		shown.OutgoingInterface, shown.DestinationNat = &p.Out, yesOrNo(p.DestinationNAT)
	}
	s.Behavior, s.NextHop, s.Proxy = proxyBehaviors[p.Behavior], nil, shown
	_, entry := t.Snapshot().find(k)
	if was, ok := entry.(*state.NetworkInstance_SegmentRouting_Srv6_Sid); ok && was.Proxy != nil && was.Behavior == s.Behavior {
		shown.Cache, shown.Counters = was.Proxy.Cache, was.Proxy.Counters
	}
}

// refreshProxies reads what the proxies of these SIDs have kept and counted, of all for
// nil, and publishes what has changed.
func (t *Telemetry) refreshProxies(ctx context.Context, sids []netip.Addr) error {
	_, err := t.readProxies(ctx, sids)
	return err
}

func (t *Telemetry) readProxies(ctx context.Context, sids []netip.Addr) ([]object.ProxyReading, error) {
	read, err := t.kernel.Proxies(ctx, sids)
	if err != nil {
		return nil, fmt.Errorf("read SR proxies: %w", err)
	}
	t.publishProxies(read)
	return read, nil
}

func (t *Telemetry) publishProxies(read []object.ProxyReading) {
	if len(read) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now, at := t.Snapshot(), time.Now()
	var updates []update
	for i := range read {
		r := &read[i]
		k, entry := now.find(t.schema.KeyOf(t.nodes.defaultInstance, t.nodes.sids, r.SID.String()))
		before, ok := entry.(*state.NetworkInstance_SegmentRouting_Srv6_Sid)
		if !ok || before.Proxy == nil {
			continue
		}
		after, shown := *before, *before.Proxy
		shown.Cache, shown.Counters = cacheEntry(r), proxyCountersEntry(&r.Counters)
		if conflict := t.conflict(r, before, at); shown.Cache != nil {
			shown.Cache.ChainConflict = conflict
		}
		after.Proxy = &shown
		updates = append(updates, update{key: k, entry: &after})
	}
	t.store.apply(updates)
}

func cacheEntry(r *object.ProxyReading) *proxyCache {
	if len(r.Segments) == 0 {
		return nil
	}
	c := &proxyCache{SegmentList: addressTexts(r.Segments), SegmentsLeft: &r.Left, SourceAddress: addressText(r.Source, nil),
		HopLimit: &r.HopLimit, Changes: &r.Changes}
	if r.Changed != 0 {
		at := uint64(r.Changed)
		c.LastChange = &at
	}
	return c
}

func proxyCountersEntry(c *object.ProxyCounters) *proxyCounters {
	return &proxyCounters{
		Forwarded: &c.Forwarded, Returned: &c.Returned, NoSrh: &c.NoSRH, SegmentsLeftZero: &c.SegmentsLeftZero,
		BadSrh: &c.BadSRH, WrongInnerType: &c.WrongInnerType, NoCache: &c.NoCache, TooBig: &c.TooBig,
		WrongDestination: &c.WrongDestination, ChainConflict: &c.ChainConflict, CacheUpdates: &c.CacheUpdates, Expired: &c.Expired,
		Bypassed: &c.Bypassed, NfDown: &c.NFDown,
	}
}
