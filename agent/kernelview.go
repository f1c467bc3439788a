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
	return links, addressStates(as, ""), nil
}

// Link implements telemetry.Kernel.
func (v kernelView) Link(ctx context.Context, name string) (object.LinkState, []object.AddressState, bool, error) {
	l, ok, err := v.drivers.Net.Link(ctx, name)
	if err != nil || !ok {
		return object.LinkState{}, nil, false, err
	}
	as, err := v.drivers.Net.Addresses(ctx)
	if err != nil {
		return object.LinkState{}, nil, false, err
	}
	return linkState(l), addressStates(as, name), true, nil
}

// SIDCounters implements telemetry.Kernel.
func (v kernelView) SIDCounters(ctx context.Context, sids []netip.Addr) (map[netip.Addr]object.SIDCounters, error) {
	read := map[netip.Addr]object.SIDCounters{}
	if sids == nil {
		err := v.drivers.Net.Counters(ctx, object.TableMain, func(c rtnl.SIDCounter) {
			read[c.SID] = object.SIDCounters{Packets: c.Packets, Octets: c.Octets, Errors: c.Errors}
		})
		return read, err
	}
	asked := make([]*object.LocalSID, len(sids))
	for i, s := range sids {
		asked[i] = &object.LocalSID{SID: s, Table: object.TableMain}
	}
	byKey, err := v.drivers.Net.CountersOf(ctx, asked)
	for _, c := range byKey {
		read[c.SID] = object.SIDCounters{Packets: c.Packets, Octets: c.Octets, Errors: c.Errors}
	}
	return read, err
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
		for e := range in {
			var l telemetry.LinkEvent
			switch e.Kind {
			case rtnl.EventResync:
				l.Resync = true
			case rtnl.EventLink:
				l.Link = e.Link.Name
			case rtnl.EventAddress:
				l.Link = e.Address.Link
			default:
				continue
			}
			select {
			case out <- l:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func linkState(l rtnl.LinkState) object.LinkState {
	c := l.Counters
	return object.LinkState{
		Name: l.Name, Index: l.Index, Kind: l.Kind, MTU: l.MTU, Up: l.Up, Oper: object.Oper(l.Oper),
		Alias: l.Alias, Master: l.Master, Table: l.Table, Ours: l.Ours,
		Stats: object.LinkStats{
			RxOctets: c.InOctets, RxPackets: c.InPackets, RxErrors: c.InErrors, RxDropped: c.InDiscards, RxMulticast: c.InMulticast,
			TxOctets: c.OutOctets, TxPackets: c.OutPackets, TxErrors: c.OutErrors, TxDropped: c.OutDiscards,
			CarrierChanges: l.CarrierChanges,
		},
	}
}

func addressStates(as []rtnl.AddressState, link string) []object.AddressState {
	var states []object.AddressState
	for _, a := range as {
		if link == "" || a.Link == link {
			states = append(states, object.AddressState{
				Link: a.Link, Prefix: a.Prefix, Ours: a.Ours,
				Tentative: a.Tentative, DADFailed: a.Failed, Permanent: a.Permanent,
			})
		}
	}
	return states
}
