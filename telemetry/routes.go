package telemetry

import (
	"fmt"

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
	have, astray := t.withHops(have)
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
			b.add(key, nextHopEntry(n, have))
		}
		return true
	})
}

// withHops puts the next hop of the kernel's nexthop object into the routes that
// leave by one. astray says what is wrong with an object: it is gone, or somebody
// else has changed it; empty if nothing is.
func (t *Telemetry) withHops(have []object.Object) (routes []object.Object, astray string) {
	for i, o := range have {
		r, ok := o.(*object.Route)
		if !ok || r.SharedHop == "" {
			continue
		}
		h, ok := t.actual.Have(object.SharedHopKey(r.SharedHop)).(*object.SharedNextHop)
		switch {
		case !ok:
			astray = "the kernel does not hold nexthop " + r.SharedHop
			continue
		case !h.Intact():
			astray = fmt.Sprintf("the kernel holds %v", h)
		}
		leads := *r
		leads.NextHops = []object.NextHop{h.Hop}
		have[i] = &leads
	}
	return have, astray
}

func nextHopEntry(e *config.NetworkInstance_Protocol_Static_NextHop, have []object.Object) schema.GoStruct {
	s := &state.NetworkInstance_Protocol_Static_NextHop{Index: e.Index}
	drop := e.NextHop == config.HeddleLocalRoutingTypes_LOCAL_DEFINED_NEXT_HOP_DROP
	for _, o := range have {
		r, ok := o.(*object.Route)
		if !ok || r.Key() != object.RouteKey(r.Table, r.Prefix, e.GetMetric()) {
			continue
		}
		if drop && r.Type == object.Blackhole {
			s.NextHop = state.HeddleLocalRoutingTypes_LOCAL_DEFINED_NEXT_HOP_DROP
			s.Metric = routeMetric(r)
		}
		for _, n := range r.NextHops {
			if !drop && isNextHop(e, n) {
				fillNextHop(s, r, n)
				break
			}
		}
	}
	return s
}

// routeMetric is the metric as the kernel has it: for IPv6 it turns none into
// 1024 (IP6_RT_PRIO_USER).
func routeMetric(r *object.Route) *uint32 {
	if r.Metric == 0 && r.Prefix.Addr().Is6() {
		return ptr(uint32(1024))
	}
	return &r.Metric
}

// isNextHop reports whether n is what e asks for. A link that e leaves to the
// kernel may be any.
func isNextHop(e *config.NetworkInstance_Protocol_Static_NextHop, n object.NextHop) bool {
	gateway := ""
	if g, ok := e.NextHop.(config.UnionString); ok {
		gateway = string(g)
	}
	if n.Gateway.IsValid() != (gateway != "") || n.Gateway.IsValid() && gateway != n.Gateway.String() {
		return false
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
	if state.E_HeddleSrv6_SRV6_HEADEND_MODE(mode) != encapMode(n.Encap.Mode) || len(enc.SegmentList) != len(n.Encap.Segments) {
		return false
	}
	for i, s := range n.Encap.Segments {
		if enc.SegmentList[i] != s.String() {
			return false
		}
	}
	return true
}

func fillNextHop(s *state.NetworkInstance_Protocol_Static_NextHop, r *object.Route, n object.NextHop) {
	s.Metric = routeMetric(r)
	if n.Gateway.IsValid() {
		s.NextHop = state.UnionString(n.Gateway.String())
	}
	if n.Link != "" {
		s.InterfaceRef = &state.NetworkInstance_Protocol_Static_NextHop_InterfaceRef{Interface: &n.Link, Subinterface: ptr(uint32(0))}
	}
	if n.Encap == nil {
		return
	}
	enc := &state.NetworkInstance_Protocol_Static_NextHop_Srv6Encapsulation{Mode: encapMode(n.Encap.Mode)}
	for _, seg := range n.Encap.Segments {
		enc.SegmentList = append(enc.SegmentList, seg.String())
	}
	s.Srv6Encapsulation = enc
}

func encapMode(m object.EncapMode) state.E_HeddleSrv6_SRV6_HEADEND_MODE {
	switch m {
	case object.HEncaps:
		return state.HeddleSrv6_SRV6_HEADEND_MODE_H_ENCAPS
	case object.HEncapsRed:
		return state.HeddleSrv6_SRV6_HEADEND_MODE_H_ENCAPS_RED
	case object.HInsert:
		return state.HeddleSrv6_SRV6_HEADEND_MODE_H_INSERT
	}
	return state.HeddleSrv6_SRV6_HEADEND_MODE_UNSET
}
