package telemetry

import (
	"fmt"
	"net/netip"

	"heddle/gen/config"
	"heddle/gen/state"
	"heddle/kernel/object"
	"heddle/schema"
)

// Configured makes the state of list entries of the configuration anew: of those
// that a commit changed, and of those whose objects changed in the kernel. cfg
// is the configuration as it is now, revision its number. Entries that are not in
// it lose their state; those that do not stand for configured kernel state
// (interfaces come from the kernel itself) are passed over.
func (t *Telemetry) Configured(cfg schema.Tree, revision uint64, entries []schema.EntryKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	updates := make([]update, 0, len(entries)+1)
	for _, k := range entries {
		updates = t.appendConfigured(updates, cfg, k)
	}
	updates = append(updates, update{"", t.deviceEntry(revision)})
	t.store.apply(updates)
}

func (t *Telemetry) appendConfigured(updates []update, cfg schema.Tree, k schema.EntryKey) []update {
	entry, ok := cfg.Get(k)
	if !ok {
		// The node tells whether the state was ours to give.
		if n := t.schema.Node(k); within(n, t.nodes.interfaces) || k == "" {
			return updates
		}
		if addr, err := netip.ParseAddr(lastValue(k)); err == nil && t.schema.Node(k) == t.nodes.sids {
			delete(t.counters, addr)
		}
		return append(updates, update{key: k})
	}
	switch e := entry.(type) {
	case *config.NetworkInstance:
		return append(updates, update{k, t.instanceEntry(cfg, k, e)})
	case *config.NetworkInstance_Interface:
		return append(updates, update{k, t.memberEntry(cfg, k, e)})
	case *config.NetworkInstance_Protocol:
		return append(updates, update{k, &state.NetworkInstance_Protocol{
			Identifier: state.E_HeddlePolicyTypes_INSTALL_PROTOCOL_TYPE(e.Identifier),
			Name:       e.Name, Enabled: ptr(e.GetEnabled()),
		}})
	case *config.NetworkInstance_Protocol_Static:
		return t.appendStatic(updates, cfg, k, e)
	case *config.NetworkInstance_Protocol_Static_NextHop:
		// Its route is that of the static entry above it.
		if parent, ok := k.Parent(); ok {
			return t.appendConfigured(updates, cfg, parent)
		}
	case *config.NetworkInstance_SegmentRouting_Srv6_Interface:
		return append(updates, update{k, t.srv6InterfaceEntry(e)})
	case *config.NetworkInstance_SegmentRouting_Srv6_Locator:
		return append(updates, update{k, t.locatorEntry(cfg, k, e)})
	case *config.NetworkInstance_SegmentRouting_Srv6_Sid:
		return append(updates, update{k, t.sidEntry(cfg, k, e)})
	}
	return updates
}

// programmed compares what an entry asks for with what the kernel was last read
// to hold.
func (t *Telemetry) programmed(cfg schema.Tree, k schema.EntryKey) (have []object.Object, ok bool, reason *string) {
	wanted, withheld := t.intent.Wanted(cfg, k)
	if withheld != "" {
		return nil, false, &withheld
	}
	for _, w := range wanted {
		h := t.actual.Have(w.Key())
		if h == nil || !w.Equal(h) {
			return have, false, ptr(fmt.Sprintf("the kernel does not hold %v", w))
		}
		have = append(have, h)
	}
	return have, true, nil
}

func (t *Telemetry) instanceEntry(cfg schema.Tree, k schema.EntryKey, e *config.NetworkInstance) schema.GoStruct {
	have, ok, reason := t.programmed(cfg, k)
	s := &state.NetworkInstance{
		Name: e.Name, Description: e.Description, Enabled: ptr(e.GetEnabled()),
		Type:       state.HeddleNetworkInstanceTypes_NETWORK_INSTANCE_TYPE_L3VRF,
		Programmed: &ok, ProgrammedReason: reason,
	}
	if e.Name != nil && *e.Name == "DEFAULT" || e.Type == config.HeddleNetworkInstanceTypes_NETWORK_INSTANCE_TYPE_DEFAULT_INSTANCE {
		s.Type = state.HeddleNetworkInstanceTypes_NETWORK_INSTANCE_TYPE_DEFAULT_INSTANCE
		s.TableId = ptr(object.TableMain)
	}
	for _, o := range have {
		switch o := o.(type) {
		case object.Link:
			if o.Type == object.LinkVRF {
				s.TableId = ptr(o.Table)
			} else {
				srv6State(s).SidInterface = ptr(o.Name)
			}
		case object.TunnelSource:
			srv6State(s).SourceAddress = ptr(o.Source.String())
		}
	}
	return s
}

func srv6State(s *state.NetworkInstance) *state.NetworkInstance_SegmentRouting_Srv6 {
	if s.SegmentRouting == nil {
		s.SegmentRouting = &state.NetworkInstance_SegmentRouting{Srv6: &state.NetworkInstance_SegmentRouting_Srv6{}}
	}
	return s.SegmentRouting.Srv6
}

// memberEntry shows the membership that the kernel holds: without one, only the
// key is there.
func (t *Telemetry) memberEntry(cfg schema.Tree, k schema.EntryKey, e *config.NetworkInstance_Interface) schema.GoStruct {
	s := &state.NetworkInstance_Interface{Id: e.Id}
	have, _, _ := t.programmed(cfg, k)
	for _, o := range have {
		if m, ok := o.(object.Member); ok {
			s.Interface, s.Subinterface = &m.Link, ptr(uint32(0))
		}
	}
	return s
}

func (t *Telemetry) srv6InterfaceEntry(e *config.NetworkInstance_SegmentRouting_Srv6_Interface) schema.GoStruct {
	s := &state.NetworkInstance_SegmentRouting_Srv6_Interface{InterfaceId: e.InterfaceId}
	if e.InterfaceId != nil {
		v, ok := t.actual.Have(object.SysctlKey(object.SysctlLinkSeg6Enabled(*e.InterfaceId))).(object.Sysctl)
		s.Enabled = ptr(ok && v.Value == "1")
	}
	return s
}

func (t *Telemetry) locatorEntry(cfg schema.Tree, k schema.EntryKey, e *config.NetworkInstance_SegmentRouting_Srv6_Locator) schema.GoStruct {
	have, ok, reason := t.programmed(cfg, k)
	s := &state.NetworkInstance_SegmentRouting_Srv6_Locator{Name: e.Name, Programmed: &ok, ProgrammedReason: reason}
	for _, o := range have {
		if r, ok := o.(*object.Route); ok {
			s.Prefix = ptr(r.Prefix.String())
		}
	}
	return s
}

// appendStatic makes the state of a static route and of its next hops, which are
// those of the kernel's routes: a next hop that is not in one of them shows its
// key alone.
func (t *Telemetry) appendStatic(updates []update, cfg schema.Tree, k schema.EntryKey, e *config.NetworkInstance_Protocol_Static) []update {
	have, ok, reason := t.programmed(cfg, k)
	updates = append(updates, update{k, &state.NetworkInstance_Protocol_Static{
		Prefix: e.Prefix, Description: e.Description, Programmed: &ok, ProgrammedReason: reason,
	}})
	cfg.Scan(k, func(key schema.EntryKey, entry schema.GoStruct) bool {
		if n, ok := entry.(*config.NetworkInstance_Protocol_Static_NextHop); ok {
			updates = append(updates, update{key, nextHopEntry(n, have)})
		}
		return true
	})
	return updates
}

func nextHopEntry(e *config.NetworkInstance_Protocol_Static_NextHop, have []object.Object) schema.GoStruct {
	s := &state.NetworkInstance_Protocol_Static_NextHop{Index: e.Index}
	for _, o := range have {
		r, ok := o.(*object.Route)
		if !ok || r.Metric != e.GetMetric() {
			continue
		}
		if e.NextHop == config.HeddleLocalRoutingTypes_LOCAL_DEFINED_NEXT_HOP_DROP {
			if r.Type == object.Blackhole {
				s.NextHop = state.HeddleLocalRoutingTypes_LOCAL_DEFINED_NEXT_HOP_DROP
				s.Metric = &r.Metric
			}
			continue
		}
		for _, n := range r.NextHops {
			if isNextHop(e, n) {
				fillNextHop(s, r, n)
			}
		}
	}
	return s
}

// isNextHop reports whether n is what e asks for.
func isNextHop(e *config.NetworkInstance_Protocol_Static_NextHop, n object.NextHop) bool {
	gateway, link := "", ""
	if g, ok := e.NextHop.(config.UnionString); ok {
		gateway = string(g)
	}
	if e.InterfaceRef != nil && e.InterfaceRef.Interface != nil {
		link = *e.InterfaceRef.Interface
	}
	if (gateway != "" || n.Gateway.IsValid()) && gateway != n.Gateway.String() || link != n.Link {
		return false
	}
	var want []string
	if e.Srv6Encapsulation != nil {
		want = e.Srv6Encapsulation.SegmentList
	}
	if n.Encap == nil || len(want) != len(n.Encap.Segments) {
		return n.Encap == nil && len(want) == 0
	}
	for i, s := range n.Encap.Segments {
		if want[i] != s.String() {
			return false
		}
	}
	return true
}

func fillNextHop(s *state.NetworkInstance_Protocol_Static_NextHop, r *object.Route, n object.NextHop) {
	s.Metric = &r.Metric
	if n.Gateway.IsValid() {
		s.NextHop = state.UnionString(n.Gateway.String())
	}
	if n.Link != "" {
		s.InterfaceRef = &state.NetworkInstance_Protocol_Static_NextHop_InterfaceRef{Interface: ptr(n.Link), Subinterface: ptr(uint32(0))}
	}
	if n.Encap == nil {
		return
	}
	enc := &state.NetworkInstance_Protocol_Static_NextHop_Srv6Encapsulation{}
	switch n.Encap.Mode {
	case object.HEncaps:
		enc.Mode = state.HeddleSrv6_SRV6_HEADEND_MODE_H_ENCAPS
	case object.HEncapsRed:
		enc.Mode = state.HeddleSrv6_SRV6_HEADEND_MODE_H_ENCAPS_RED
	case object.HInsert:
		enc.Mode = state.HeddleSrv6_SRV6_HEADEND_MODE_H_INSERT
	}
	for _, seg := range n.Encap.Segments {
		enc.SegmentList = append(enc.SegmentList, seg.String())
	}
	s.Srv6Encapsulation = enc
}

// deviceEntry is the root: the system's own state.
func (t *Telemetry) deviceEntry(revision uint64) schema.GoStruct {
	s := t.system
	return &state.Device{System: &state.System{
		Hostname: &s.Hostname, SoftwareVersion: &s.Version, KernelRelease: &s.KernelRelease,
		BootTime:       ptr(uint64(s.Boot.UnixNano())),
		AgentStartTime: ptr(uint64(s.AgentStart.UnixNano())),
		ConfigRevision: &revision,
	}}
}

func lastValue(k schema.EntryKey) string {
	if v := k.Values(); len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}
