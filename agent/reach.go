package agent

import (
	"context"
	"net/netip"
	"time"

	"heddle/agent/datastore"
	"heddle/kernel/object"
	"heddle/kernel/rtnl"
	"heddle/telemetry"
	"heddle/translators"
)

// reachRetry is the pause before what has failed is tried again: a repair may be under
// way of what went with the link.
const reachRetry = 100 * time.Millisecond

// reachPeriod is how often the kernel's other routes are asked about: the events about
// these are filtered out, as there may be a million of them.
const reachPeriod = 5 * time.Second

// reach follows how the kernel is as far as it decides which paths of policies are
// valid, and which way packets for NFs go: the links that first segments are reached
// by, routes that are not ours, and the NFs.
type reach struct {
	kernel telemetry.Kernel
	nfs    *liveness // which way packets for SIDs of NFs go
	slots  slots     // nil: everything is reached
	wake   chan struct{}
}

func newReach() *reach { return &reach{nfs: newLiveness(), wake: make(chan struct{}, 1)} }

// look has it looked again.
func (r *reach) look() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// event has it looked again if an event is about whether a link carries packets.
func (r *reach) event(e rtnl.Event) {
	r.nfs.event(e)
	switch e.Kind {
	case rtnl.EventResync, rtnl.EventAddress: // which is in use, or not any more
		r.look()
	case rtnl.EventLink:
		was, is := e.Before, e.Link
		if e.Gone || was.Index == 0 || was.Name != is.Name || was.Up != is.Up || was.Oper != is.Oper {
			r.look()
		}
	}
}

// Link implements translators.Source. A link carries packets only when it has a
// link-local address in use: without, the kernel finds no neighbour.
func (r *reach) Link(name string) translators.LinkFact {
	l, addresses, ok, err := r.kernel.Link(context.Background(), name)
	switch {
	case err != nil || !ok || !l.Up:
		return translators.LinkAbsent
	case l.Oper != object.OperUp && l.Oper != object.OperUnknown:
		return translators.LinkDead
	}
	for _, a := range addresses {
		if a.Prefix.Addr().Is6() && a.Prefix.Addr().IsLinkLocalUnicast() && a.Tentative && !a.Optimistic {
			return translators.LinkDead
		}
	}
	return translators.LinkUp
}

// NF implements translators.Source.
func (r *reach) NF(p translators.NFProbe) translators.NFFact { return r.nfs.fact(p) }

// Follow implements translators.Source.
func (r *reach) Follow(probes []translators.NFProbe) { r.nfs.follow(probes) }

// Reaches implements translators.Source. What is ours does not count: the configuration
// says whether it stays.
func (r *reach) Reaches(a netip.Addr) bool {
	if r.slots == nil {
		return true
	}
	got, protocol, ok, err := r.slots.RouteTo(context.Background(), a)
	if err != nil || !ok || protocol == rtnl.Protocol {
		return false
	}
	route, known := got.(*object.Route)
	if !known {
		return true
	}
	for _, n := range route.NextHops {
		if n.Link == "" || r.Link(n.Link) == translators.LinkUp {
			return true
		}
	}
	return len(route.NextHops) == 0
}

// followReach has the paths of policies, and of packets for NFs, follow how the kernel is.
func (a *Agent) followReach(ctx context.Context) error {
	again := time.NewTicker(reachPeriod)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.reach.wake:
		case <-again.C:
		}
		if !a.applier.engine.Asks() {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case a.turn <- struct{}{}:
			if err := a.refreshPaths(ctx); err != nil && ctx.Err() == nil {
				a.log.Error("policies and SR proxies do not follow the kernel: it is tried again", "error", err)
				again.Reset(reachRetry)
			} else {
				again.Reset(reachPeriod)
			}
			<-a.turn
		}
	}
}

// refreshPaths has them follow once, and the state. It needs a.turn.
func (a *Agent) refreshPaths(ctx context.Context) error {
	changed := true
	for changed { // another path may ask about another link
		err := a.store.Hold(ctx, func(ctx context.Context, running *datastore.Snapshot) (err error) {
			changed, err = a.applier.refresh(ctx, running)
			return err
		})
		if err != nil {
			return err
		}
		if changed {
			a.refreshState(nil)
		}
	}
	return nil
}
