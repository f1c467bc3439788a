package telemetry

import (
	"fmt"
	"slices"

	"heddle/gen/config"
	"heddle/gen/state"
	"heddle/kernel/object"
	"heddle/schema"
)

// addStatic makes the state of a static route and of its next hops, which are
// those of the kernel's routes: a next hop that is not in one of them shows its
// key alone.
func (t *Telemetry) addStatic(b *batch, k schema.EntryKey, e *config.NetworkInstance_Protocol_Static) {
	have, ok, reason := t.programmed(k)
	astray := t.findWays(b, have)
	if ok && astray != "" {
		ok, reason = false, &astray
	}
	if ok && len(have) == 0 {
		ok, reason = false, ptr("it has no next hop")
	}
	b.add(k, &state.NetworkInstance_Protocol_Static{
		Prefix: e.Prefix, Description: e.Description, Programmed: ptr(ok), ProgrammedReason: reason,
	})
	t.cfg.Scan(k, func(key schema.EntryKey, entry schema.GoStruct) bool {
		if n, ok := entry.(*config.NetworkInstance_Protocol_Static_NextHop); ok {
			b.add(key, b.nextHopEntry(n))
		}
		return true
	})
}

// way is one way out of a route of the kernel; hop is nil for one that drops, and for
// one by the group of a policy.
type way struct {
	route *object.Route
	hop   *object.NextHop
}

// findWays makes the ways of the batch those of some routes; that of one that leaves
// by a nexthop object is the object's. astray says what is wrong with an object: it
// is gone, or somebody else has changed it; empty if nothing is.
func (t *Telemetry) findWays(b *batch, have []object.Object) (astray string) {
	b.ways = b.ways[:0]
	for _, o := range have {
		r, ok := o.(*object.Route)
		switch {
		case !ok:
			continue
		case r.Type == object.Blackhole || r.Type == object.Throw:
			b.ways = append(b.ways, way{route: r})
		}
		for i := range r.NextHops {
			b.ways = append(b.ways, way{r, &r.NextHops[i]})
		}
		if r.SharedHop == "" {
			continue
		}
		by := t.actual.Have(object.SharedHopKey(r.SharedHop))
		if _, group := by.(*object.NextHopGroup); group {
			b.ways = append(b.ways, way{route: r}) // the policy shows where it leads
			continue
		}
		h, ok := by.(*object.SharedNextHop)
		if !ok {
			astray = "the kernel does not hold nexthop " + r.SharedHop
			continue
		}
		b.ways = append(b.ways, way{r, &h.Hop})
		if b.intact != h {
			if !h.Intact() {
				astray = fmt.Sprintf("the kernel holds %v", h)
				continue
			}
			b.intact = h
		}
	}
	return astray
}

func (b *batch) nextHopEntry(e *config.NetworkInstance_Protocol_Static_NextHop) schema.GoStruct {
	s := &state.NetworkInstance_Protocol_Static_NextHop{Index: e.Index}
	kind := kindOf(e)
	for _, w := range b.ways {
		wanted := object.RouteMetric(w.route.Prefix, e.GetPreference(), e.GetMetric())
		switch {
		case w.route.Type != kind || kernelMetric(w.route, w.route.Metric) != kernelMetric(w.route, wanted):
			continue
		case kind == object.Blackhole:
			s.NextHop = state.HeddleLocalRoutingTypes_LOCAL_DEFINED_NEXT_HOP_DROP
		case kind == object.Throw:
			s.NetworkInstance = e.NetworkInstance
		case e.Srv6Policy != nil:
			if s.Srv6Policy = steeringState(e, w.route); s.Srv6Policy == nil {
				continue
			}
			if e.Srv6Policy.Policy == nil {
				s.NextHop = stateNextHop(e)
			}
		case w.hop != nil && b.isNextHop(e, w.hop):
			b.fillNextHop(s, e, w)
		default:
			continue
		}
		s.Metric, s.Preference = metricState(w.route, e)
		return s
	}
	return s
}

// stateNextHop is the endpoint of a policy that was found by its color.
func stateNextHop(e *config.NetworkInstance_Protocol_Static_NextHop) state.NetworkInstance_Protocol_Static_NextHop_NextHop_Union {
	if text, ok := e.NextHop.(config.UnionString); ok {
		return state.UnionString(text)
	}
	return nil
}

// kindOf is the type of the route that a next hop is of. A lookup that goes on in
// the default instance is thrown out of the table (object.Throw).
func kindOf(e *config.NetworkInstance_Protocol_Static_NextHop) object.RouteType {
	switch {
	case e.NextHop == config.HeddleLocalRoutingTypes_LOCAL_DEFINED_NEXT_HOP_DROP:
		return object.Blackhole
	case goesOn(e) && *e.NetworkInstance == defaultInstance:
		return object.Throw
	}
	return object.Unicast
}

// goesOn reports whether the lookup goes on in another instance.
func goesOn(e *config.NetworkInstance_Protocol_Static_NextHop) bool {
	_, gateway := e.NextHop.(config.UnionString)
	return e.NetworkInstance != nil && !gateway && (e.InterfaceRef == nil || e.InterfaceRef.Interface == nil)
}

// metricState takes the one number of the kernel apart, as far as it was put
// together of two.
func metricState(r *object.Route, e *config.NetworkInstance_Protocol_Static_NextHop) (metric *uint32, preference *uint8) {
	if e.Preference == nil {
		return routeMetric(r), nil
	}
	p, m := object.PreferenceOf(kernelMetric(r, r.Metric))
	return &m, &p
}

// kernelMetric is a metric as the kernel has it: for IPv6 it turns none into 1024
// (IP6_RT_PRIO_USER).
func kernelMetric(r *object.Route, metric uint32) uint32 {
	if metric == 0 && r.Prefix.Addr().Is6() {
		return 1024
	}
	return metric
}

func routeMetric(r *object.Route) *uint32 {
	if m := kernelMetric(r, r.Metric); m != r.Metric {
		return &m
	}
	return &r.Metric
}

// isNextHop reports whether n is what e asks for. A link that e leaves to the
// kernel may be any.
func (b *batch) isNextHop(e *config.NetworkInstance_Protocol_Static_NextHop, n *object.NextHop) bool {
	gateway := ""
	if g, ok := e.NextHop.(config.UnionString); ok {
		gateway = string(g)
	}
	if n.Gateway.IsValid() != (gateway != "") || n.Gateway.IsValid() && gateway != n.Gateway.String() {
		return false
	}
	if goesOn(e) {
		return n.Link == *e.NetworkInstance && n.Encap == nil
	}
	if e.InterfaceRef != nil && e.InterfaceRef.Interface != nil && n.Link != "" && *e.InterfaceRef.Interface != n.Link {
		return false
	}
	enc := e.Srv6Encapsulation
	if enc == nil || len(enc.SegmentList) == 0 || n.Encap == nil {
		return n.Encap == nil && (enc == nil || len(enc.SegmentList) == 0)
	}
	mode := enc.Mode
	if mode == config.HeddleSrv6_SRV6_HEADEND_MODE_UNSET {
		mode = config.HeddleSrv6_SRV6_HEADEND_MODE_H_ENCAPS
	}
	held := b.encapState(n.Encap)
	if enc.GetHmacKeyId() != n.Encap.HMACKey {
		return false
	}
	return state.E_HeddleSrv6_SRV6_HEADEND_MODE(mode) == held.Mode && slices.Equal(enc.SegmentList, held.SegmentList) &&
		(enc.SourceAddress == nil) == (held.SourceAddress == nil) && (enc.SourceAddress == nil || *enc.SourceAddress == *held.SourceAddress)
}

func (b *batch) fillNextHop(s *state.NetworkInstance_Protocol_Static_NextHop, e *config.NetworkInstance_Protocol_Static_NextHop, w way) {
	if e.NextHop == config.HeddleLocalRoutingTypes_LOCAL_DEFINED_NEXT_HOP_LOCAL_LINK {
		s.NextHop = state.HeddleLocalRoutingTypes_LOCAL_DEFINED_NEXT_HOP_LOCAL_LINK
	}
	if e.WecmpWeight != nil && len(w.route.NextHops) > 1 {
		s.WecmpWeight = ptr(max(w.hop.Weight, 1))
	}
	s.NetworkInstance = e.NetworkInstance
	if goesOn(e) {
		return // the link is the VRF's
	}
	if w.hop.Gateway.IsValid() {
		s.NextHop = state.UnionString(w.hop.Gateway.String())
	}
	if w.hop.Link != "" {
		s.InterfaceRef = b.linkState(w.hop.Link)
	}
	if w.hop.Encap != nil {
		s.Srv6Encapsulation = b.encapState(w.hop.Encap)
	}
}

// The next hops of many routes are the same few: what is shown of those is made
// once and shared, as entries are never changed.
type (
	encapState = state.NetworkInstance_Protocol_Static_NextHop_Srv6Encapsulation
	linkState  = state.NetworkInstance_Protocol_Static_NextHop_InterfaceRef
)

func (b *batch) encapState(e *object.Encap) *encapState {
	s := b.encaps[e]
	if s == nil {
		s = &encapState{Mode: encapMode(e.Mode), SegmentList: addressTexts(e.Segments)}
		if e.Source.IsValid() {
			s.SourceAddress = ptr(e.Source.String())
		}
		if e.HMACKey != 0 {
			s.HmacKeyId = &e.HMACKey
		}
		b.encaps[e] = s
	}
	return s
}

func (b *batch) linkState(name string) *linkState {
	s := b.links[name]
	if s == nil {
		s = &linkState{Interface: &name, Subinterface: ptr(uint32(0))}
		b.links[name] = s
	}
	return s
}

func encapMode(m object.EncapMode) state.E_HeddleSrv6_SRV6_HEADEND_MODE {
	switch m {
	case object.HEncaps:
		return state.HeddleSrv6_SRV6_HEADEND_MODE_H_ENCAPS
	case object.HEncapsRed:
		return state.HeddleSrv6_SRV6_HEADEND_MODE_H_ENCAPS_RED
	case object.HEncapsL2:
		return state.HeddleSrv6_SRV6_HEADEND_MODE_H_ENCAPS_L2
	case object.HEncapsL2Red:
		return state.HeddleSrv6_SRV6_HEADEND_MODE_H_ENCAPS_L2_RED
	case object.HInsert:
		return state.HeddleSrv6_SRV6_HEADEND_MODE_H_INSERT
	}
	return state.HeddleSrv6_SRV6_HEADEND_MODE_UNSET
}
