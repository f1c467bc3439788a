package agent

import (
	"context"
	"fmt"
	"net/netip"

	"heddle/agent/datastore"
	"heddle/agent/explain"
	"heddle/agent/operation"
	"heddle/kernel/object"
	"heddle/kernel/rtnl"
	"heddle/schema"
	"heddle/translators"
)

// slots reads what the kernel holds at the place of a route or SID, and what leads to
// an address, whoever made it; *rtnl.Driver does.
type slots interface {
	Slot(ctx context.Context, o object.Object) (got object.Object, protocol uint8, ok bool, err error)
	RouteTo(ctx context.Context, a netip.Addr) (got object.Object, protocol uint8, ok bool, err error)
}

// Places in the model.
const (
	sidAt        = "/network-instances/network-instance[name=" + translators.DefaultInstance + "]/segment-routing/srv6/sids/sid[address=%s]"
	instanceAt   = "/network-instances/network-instance[name=%s]"
	protocolList = "/network-instances/network-instance/protocols/protocol"
	staticList   = protocolList + "/static-routes/static"
)

// ExplainSID says what is configured, what the kernel holds, what it has counted and
// what it does with packets. Errors are *operation.NotFoundError, and those of the
// kernel.
func (a *Agent) ExplainSID(ctx context.Context, sid netip.Addr) (operation.Explanation, error) {
	if !sid.Is6() || sid.Is4In6() {
		return operation.Explanation{}, &operation.InvalidError{What: fmt.Sprintf("SID %s: it is not an IPv6 address", sid)}
	}
	path, err := a.schema.ParsePath(fmt.Sprintf(sidAt, sid))
	if err != nil {
		return operation.Explanation{}, err
	}
	k := path.Entry()
	if _, ok := a.store.Snapshot().Get(k); !ok {
		// A binding SID is part of a policy.
		s, _ := a.rec.Get(object.LocalSIDKey(sid))
		if s.Want == nil {
			return operation.Explanation{}, a.noSID(ctx, sid)
		}
		k = schema.EntryKey(s.Origin)
	}
	e, err := a.explain(ctx, k, sid)
	if err != nil {
		return e, err
	}
	if err := (refresher{a}).Refresh(ctx, []schema.Path{path}); err != nil {
		return e, err
	}
	if c, ok := a.counters.Total(sid); ok {
		e.Counters = &operation.Counters{Packets: c.Packets, Octets: c.Octets, Errors: c.Errors}
	}
	return e, nil
}

// noSID says that a SID is not there, and what its packets meet in its place.
func (a *Agent) noSID(ctx context.Context, sid netip.Addr) error {
	held, protocol, ok, err := a.slots.RouteTo(ctx, sid)
	if err != nil {
		return err
	}
	meets := "the kernel has no way to it, or one that rejects"
	switch {
	case held != nil && protocol == rtnl.Protocol:
		meets = fmt.Sprintf("packets to it meet %v%s", held, a.from(held.Key()))
	case held != nil:
		meets = fmt.Sprintf("packets to it meet %v of protocol %s", held, rtnl.ProtocolName(protocol))
	case ok:
		meets = "packets to it meet a route of protocol " + rtnl.ProtocolName(protocol)
	}
	for s := range a.rec.All(object.KindRoute) {
		r, isRoute := s.Have.(*object.Route)
		if !ok && isRoute && r.Table == object.TableMain && r.Type == object.Blackhole && r.Prefix.Contains(sid) {
			meets = fmt.Sprintf("packets to it are dropped by %v%s", r, a.from(s.Key))
		}
	}
	return &operation.NotFoundError{What: fmt.Sprintf("SID %s is not configured; %s", sid, meets)}
}

// from is where the configuration asks for an object.
func (a *Agent) from(k object.Key) string {
	s, _ := a.rec.Get(k)
	if s.Origin == "" {
		return ""
	}
	return " (" + a.rec.OriginText(s.Origin) + ")"
}

// ExplainRoute says what is configured for a prefix, what the kernel holds and what
// it does with packets. Errors are *operation.NotFoundError, and those of the
// kernel.
func (a *Agent) ExplainRoute(ctx context.Context, instance string, prefix netip.Prefix) (operation.Explanation, error) {
	if instance == "" {
		instance = translators.DefaultInstance
	}
	if prefix != prefix.Masked() {
		return operation.Explanation{}, &operation.InvalidError{What: fmt.Sprintf("prefix %s: bits are set behind its length: use %s", prefix, prefix.Masked())}
	}
	path, err := a.schema.ParsePath(fmt.Sprintf(instanceAt, instance))
	if err != nil {
		return operation.Explanation{}, &operation.InvalidError{What: err.Error()}
	}
	running := a.store.Snapshot()
	if _, ok := running.Get(path.Entry()); !ok {
		return operation.Explanation{}, &operation.NotFoundError{What: fmt.Sprintf("network instance %s is not configured", instance)}
	}
	k, ok, err := a.staticRoute(running, path.Entry(), prefix)
	if err != nil {
		return operation.Explanation{}, err
	}
	if !ok {
		return operation.Explanation{}, &operation.NotFoundError{What: fmt.Sprintf("network instance %s has no static route to %s", instance, prefix)}
	}
	return a.explain(ctx, k, netip.Addr{})
}

// staticRoute finds a prefix among the protocols of an instance.
func (a *Agent) staticRoute(running *datastore.Snapshot, instance schema.EntryKey, prefix netip.Prefix) (schema.EntryKey, bool, error) {
	nodes := make([]*schema.Node, 2)
	for i, text := range []string{protocolList, staticList} {
		p, err := a.schema.ParsePath(text)
		if err != nil {
			return "", false, err
		}
		nodes[i] = p.Last()
	}
	protocols, statics := nodes[0], nodes[1]
	var found schema.EntryKey
	running.Scan(a.schema.ListPrefix(instance, protocols), func(k schema.EntryKey, _ schema.GoStruct) bool {
		if a.schema.Node(k) != protocols {
			return true
		}
		at := a.schema.KeyOf(k, statics, prefix.String())
		if _, ok := running.Get(at); ok {
			found = at
		}
		return found == ""
	})
	return found, found != "", nil
}

// explain is about the routes and SIDs that one list entry asks for, or one SID of it.
func (a *Agent) explain(ctx context.Context, k schema.EntryKey, sid netip.Addr) (operation.Explanation, error) {
	e := operation.Explanation{Path: a.schema.Text(k)}
	wanted, withheld := a.applier.Of(a.store.Snapshot()).Wanted(k)
	e.Reason = withheld
	var around *object.Proxy
	for _, w := range wanted {
		switch o := w.(type) {
		case *object.Proxy:
			if around = o; o.SID != sid {
				around = nil
			}
			continue
		case *object.Route:
			if sid.IsValid() && o.Prefix != netip.PrefixFrom(sid, sid.BitLen()) {
				continue
			}
		case *object.LocalSID:
			if sid.IsValid() && o.SID != sid {
				continue
			}
		default:
			continue
		}
		o, err := a.explainObject(ctx, w)
		if err != nil {
			return e, err
		}
		if e.Reason == "" {
			e.Reason = o.Reason
		}
		e.Objects = append(e.Objects, o)
	}
	if around != nil {
		a.explainProxy(&e, around)
	}
	e.Programmed = e.Reason == ""
	return e, nil
}

// explainProxy adds what is around the route of a SID, which is what becomes of its
// packets.
func (a *Agent) explainProxy(e *operation.Explanation, w *object.Proxy) {
	o := operation.Object{Wanted: fmt.Sprint(w)}
	held, _ := a.applier.Have(w.Key()).(*object.Proxy)
	route := a.applier.Have(object.LocalSIDKey(w.SID))
	if w.Behavior == object.EndAM {
		route = a.applier.Have((&object.Route{Table: object.TableMain, Prefix: netip.PrefixFrom(w.SID, w.SID.BitLen())}).Key())
	}
	switch trouble := a.rec.Trouble(w.Key()); {
	case held != nil && w.Equal(held):
	case trouble != "":
		o.Reason = trouble
	default:
		o.Reason = "the kernel does not hold it"
	}
	if e.Reason == "" {
		e.Reason = o.Reason
	}
	if held != nil {
		o.Held = fmt.Sprint(held)
	}
	if held != nil && route != nil {
		o.Packet = explain.Proxy(held, route)
		for i := range e.Objects {
			e.Objects[i].Packet = nil // part of the proxy
		}
	}
	e.Objects = append(e.Objects, o)
}

// explainObject reads what the kernel holds where w is wanted.
func (a *Agent) explainObject(ctx context.Context, w object.Object) (operation.Object, error) {
	o := operation.Object{Wanted: fmt.Sprint(w)}
	held, protocol, ok, err := a.slots.Slot(ctx, w)
	if err != nil {
		return o, err
	}
	switch {
	case held != nil:
		o.Held = fmt.Sprint(held)
	case ok:
		o.Held = fmt.Sprintf("a route of another form, of protocol %s", rtnl.ProtocolName(protocol))
	}
	trouble := a.rec.Trouble(w.Key())
	switch {
	case held != nil && protocol == rtnl.Protocol && w.Equal(held):
	case trouble != "":
		o.Reason = trouble
	case !ok:
		o.Reason = "the kernel does not hold it"
	case protocol != rtnl.Protocol:
		o.Reason = fmt.Sprintf("a route of protocol %s is in its place", rtnl.ProtocolName(protocol))
	default:
		o.Reason = "the kernel holds something else"
	}
	switch h := held.(type) {
	case *object.LocalSID:
		o.Packet = explain.SID(h)
	case *object.Route:
		o.Packet = explain.Route(h, a.sharedHops(h.SharedHop, 0), a.tableOfVRF)
	}
	return o, nil
}

// sharedHops are the ways out of a shared next hop, or of the members of a group.
func (a *Agent) sharedHops(id string, weight uint16) (hops []object.NextHop) {
	switch o := a.applier.Have(object.SharedHopKey(id)).(type) {
	case *object.SharedNextHop:
		hop := o.Hop
		hop.Weight = weight
		hops = append(hops, hop)
	case *object.NextHopGroup:
		for _, m := range o.Members {
			hops = append(hops, a.sharedHops(m.Hop, m.Weight)...)
		}
	}
	return hops
}

// tableOfVRF is the routing table of a link if that is a VRF of ours.
func (a *Agent) tableOfVRF(link string) (table uint32, ok bool) {
	l, _ := a.applier.Have(object.LinkKey(link)).(object.Link)
	return l.Table, l.Type == object.LinkVRF
}
