package agent

import (
	"context"
	"net/netip"

	"heddle/kernel/drivers"
	"heddle/kernel/object"
	"heddle/kernel/rtnl"
	"heddle/telemetry"
)

// kernelView is what telemetry reads of the kernel, by the drivers that are
// open anyway.
type kernelView struct{ drivers *drivers.Drivers }

// Links implements telemetry.Kernel.
func (v kernelView) Links(ctx context.Context) ([]object.LinkState, []object.AddressState, error) {
	ls, err := v.drivers.Net.Links(ctx)
	if err != nil {
		return nil, nil, err
	}
	as, err := v.drivers.Net.Addresses(ctx)
	if err != nil {
		return nil, nil, err
	}
	links := make([]object.LinkState, len(ls))
	for i, l := range ls {
		links[i] = linkState(l)
	}
	return links, addressStates(as), nil
}

// Link implements telemetry.Kernel.
func (v kernelView) Link(ctx context.Context, name string) (object.LinkState, []object.AddressState, bool, error) {
	l, ok, err := v.drivers.Net.Link(ctx, name)
	if err != nil || !ok {
		return object.LinkState{}, nil, false, err
	}
	as, err := v.drivers.Net.AddressesOf(ctx, l.Index)
	if err != nil {
		return object.LinkState{}, nil, false, err
	}
	for i := range as {
		as[i].Link = name // the link may have been renamed in between
	}
	return linkState(l), addressStates(as), true, nil
}

// SIDCounters implements telemetry.Kernel.
func (v kernelView) SIDCounters(ctx context.Context, sids []netip.Addr, fn func([]object.SIDReading)) error {
	if sids == nil {
		return v.drivers.Net.Counters(ctx, object.TableMain, fn)
	}
	return v.drivers.Net.CountersOf(ctx, object.TableMain, sids, fn)
}

// Proxies implements telemetry.Kernel.
func (v kernelView) Proxies(_ context.Context, sids []netip.Addr) ([]object.ProxyReading, error) {
	return v.drivers.Proxies(sids)
}

// Watch implements telemetry.Kernel.
func (v kernelView) Watch(ctx context.Context) (<-chan telemetry.LinkEvent, error) {
	in, err := v.drivers.Net.Watch(ctx)
	if err != nil {
		return nil, err
	}
	out := make(chan telemetry.LinkEvent)
	go func() {
		defer close(out)
		first := true
		for e := range in {
			// Who starts to watch reads everything anyway.
			skip := first && e.Kind == rtnl.EventResync
			first = false
			if skip {
				continue
			}
			for _, l := range linkEvents(e) {
				select {
				case out <- l:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out, nil
}

// linkEvents are the links that an event is about: of one that was renamed, both
// names.
func linkEvents(e rtnl.Event) []telemetry.LinkEvent {
	switch e.Kind {
	case rtnl.EventResync:
		return []telemetry.LinkEvent{{Resync: true}}
	case rtnl.EventAddress:
		return []telemetry.LinkEvent{{Link: e.Address.Link}}
	case rtnl.EventLink:
		var events []telemetry.LinkEvent
		for _, k := range e.Keys {
			if k.Kind == object.KindLink {
				events = append(events, telemetry.LinkEvent{Link: k.ID})
			}
		}
		return events
	}
	return nil
}

func linkState(l rtnl.LinkState) object.LinkState {
	c := l.Counters
	return object.LinkState{
		Name: l.Name, Index: l.Index, Kind: l.Kind, Type: l.Type, MTU: l.MTU, Up: l.Up, Oper: object.Oper(l.Oper),
		Alias: l.Alias, Master: l.Master, Table: l.Table, Peer: l.Peer, Parent: l.Parent, VLAN: l.VLAN, Tunnel: l.Tunnel, Bridge: l.Bridge,
		Ours: l.Ours,
		Stats: object.LinkStats{
			RxOctets: c.InOctets, RxPackets: c.InPackets, RxErrors: c.InErrors, RxDropped: c.InDiscards, RxMulticast: c.InMulticast,
			TxOctets: c.OutOctets, TxPackets: c.OutPackets, TxErrors: c.OutErrors, TxDropped: c.OutDiscards,
			CarrierChanges: l.CarrierChanges,
		},
	}
}

func addressStates(as []rtnl.AddressState) []object.AddressState {
	states := make([]object.AddressState, len(as))
	for i, a := range as {
		states[i] = object.AddressState{
			Link: a.Link, Prefix: a.Prefix, Ours: a.Ours, Proto: a.Proto,
			Tentative: a.Tentative, Optimistic: a.Optimistic, DADFailed: a.Failed,
			Deprecated: a.Deprecated, Temporary: a.Temporary, Permanent: a.Permanent,
		}
	}
	return states
}
