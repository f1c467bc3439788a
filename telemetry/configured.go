package telemetry

import (
	"fmt"

	"heddle/gen/config"
	"heddle/gen/state"
	"heddle/kernel/object"
	"heddle/schema"
)

// defaultInstance is the instance whose routes are in the main table.
const defaultInstance = "DEFAULT"

// Configured makes the state of list entries of the configuration anew: of those
// that a commit changed, and of those whose objects changed in the kernel. cfg
// is the configuration as it is now, revision its number. Entries that are not in
// it lose their state. Interfaces are the kernel's: of theirs only what the
// configuration alone knows is made here.
//
// What it costs follows the entries, and what is translated together with them:
// a next hop stands for its prefix.
func (t *Telemetry) Configured(cfg schema.Tree, revision uint64, entries []schema.EntryKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cfg, t.wants = cfg, t.intent.Of(cfg)
	b := newBatch(len(entries) + 2)
	for _, k := range entries {
		t.addConfigured(b, k)
	}
	// The link that carries the SIDs comes and goes with them.
	t.addConfigured(b, t.nodes.defaultInstance)
	b.updates = append(b.updates, update{"", t.deviceEntry(revision)})
	t.store.apply(b.updates)
	t.counters.flush()
}

// batch is the state that is being made.
type batch struct {
	updates []update
	done    map[schema.EntryKey]struct{}

	// For static routes: the ways of the one at hand, the nexthop object that was
	// last found to be as it should, and state that many next hops share.
	ways   []way
	intact *object.SharedNextHop
	encaps map[*object.Encap]*encapState
	links  map[string]*linkState
}

func newBatch(size int) *batch {
	return &batch{
		updates: make([]update, 0, size), done: make(map[schema.EntryKey]struct{}, size),
		encaps: map[*object.Encap]*encapState{}, links: map[string]*linkState{},
	}
}

func (b *batch) has(k schema.EntryKey) bool {
	_, ok := b.done[k]
	return ok
}

// add makes entry, nil for none, the state under k.
func (b *batch) add(k schema.EntryKey, entry schema.GoStruct) {
	b.done[k] = struct{}{}
	b.updates = append(b.updates, update{k, entry})
}

func (t *Telemetry) addConfigured(b *batch, k schema.EntryKey) {
	if b.has(k) || k == "" {
		return
	}
	list := t.schema.Node(k)
	if within(list, t.nodes.interfaces) {
		t.addDescribed(b, k)
		return
	}
	if list == t.nodes.nextHops || list == t.nodes.candidatePaths || list == t.nodes.pathLists {
		// Its route is that of the prefix, which sees to all of its next hops; so does
		// a policy to its paths.
		if above, ok := k.Parent(); ok {
			t.addConfigured(b, above)
		}
		if b.has(k) {
			return
		}
	}
	entry, ok := t.cfg.Get(k)
	if !ok {
		t.addGone(b, k, list)
		return
	}
	switch e := entry.(type) {
	case *config.NetworkInstance:
		b.add(k, t.instanceEntry(k, e))
	case *config.NetworkInstance_Interface:
		if instance, _ := k.Parent(); instance == t.nodes.defaultInstance {
			t.members.set(k, e.Interface)
		}
		b.add(k, t.memberEntry(k, e))
	case *config.NetworkInstance_Protocol:
		b.add(k, &state.NetworkInstance_Protocol{
			Identifier: state.E_HeddlePolicyTypes_INSTALL_PROTOCOL_TYPE(e.Identifier),
			Name:       e.Name, Enabled: ptr(e.GetEnabled()),
		})
	case *config.NetworkInstance_Protocol_Static:
		t.addStatic(b, k, e)
	case *config.NetworkInstance_SegmentRouting_Srv6_Interface:
		b.add(k, t.srv6InterfaceEntry(e))
	case *config.NetworkInstance_SegmentRouting_Srv6_HmacKey:
		b.add(k, t.hmacKeyEntry(k, e))
	case *config.NetworkInstance_SegmentRouting_Srv6_Locator:
		b.add(k, t.locatorEntry(k, e))
	case *config.NetworkInstance_SegmentRouting_Srv6_SegmentList:
		b.add(k, &state.NetworkInstance_SegmentRouting_Srv6_SegmentList{Name: e.Name, Segment: e.Segment, Description: e.Description})
	case *policyConfig:
		t.addPolicy(b, k, e)
	case *config.NetworkInstance_SegmentRouting_Srv6_Sid:
		b.add(k, t.sidEntry(k, e))
	case *config.NetworkInstance_SegmentRouting_Srv6_DynamicSid:
		t.addDynamic(b, k, e)
	}
}

// addGone takes away the state of what is not configured any more.
func (t *Telemetry) addGone(b *batch, k schema.EntryKey, list *schema.Node) {
	switch list {
	case t.nodes.members:
		t.members.set(k, nil)
	case t.nodes.dynamicSIDs:
		t.dropSID(b, k)
	case t.nodes.sids:
		t.addSIDAt(b, k)
		return
	}
	b.add(k, nil)
}

// programmed compares what an entry asks for with what the kernel was last read
// to hold, and returns that.
func (t *Telemetry) programmed(k schema.EntryKey) (have []object.Object, ok bool, reason *string) {
	wanted, withheld := t.wants.Wanted(k)
	if withheld != "" {
		reason = &withheld
	}
	for _, w := range wanted {
		h := t.actual.Have(w.Key())
		if h != nil {
			have = append(have, h)
		}
		if reason != nil {
			continue
		}
		if why := t.actual.Trouble(w.Key()); why != "" {
			reason = &why
		} else if h == nil || !w.Equal(h) {
			reason = ptr(fmt.Sprintf("the kernel does not hold %v", w))
		}
	}
	return have, reason == nil, reason
}

func (t *Telemetry) instanceEntry(k schema.EntryKey, e *config.NetworkInstance) schema.GoStruct {
	have, ok, reason := t.programmed(k)
	s := &state.NetworkInstance{
		Name: e.Name, Description: e.Description, Enabled: ptr(e.GetEnabled()),
		Type:       state.HeddleNetworkInstanceTypes_NETWORK_INSTANCE_TYPE_L3VRF,
		Programmed: ptr(ok), ProgrammedReason: reason,
	}
	if e.Type == config.HeddleNetworkInstanceTypes_NETWORK_INSTANCE_TYPE_DEFAULT_INSTANCE {
		s.Type = state.HeddleNetworkInstanceTypes_NETWORK_INSTANCE_TYPE_DEFAULT_INSTANCE
		s.TableId = ptr(object.TableMain)
	}
	for _, o := range have {
		switch o := o.(type) {
		case object.Link:
			s.TableId = ptr(o.Table)
		case object.TunnelSource:
			srv6State(s).SourceAddress = ptr(o.Source.String())
		}
	}
	if k == t.nodes.defaultInstance {
		if link := sidLink(e); t.carriesSIDs(link) {
			srv6State(s).SidInterface = &link
		}
	}
	return s
}

// sidLink is the link that the SIDs are to be on.
func sidLink(e *config.NetworkInstance) string {
	var s *config.NetworkInstance_SegmentRouting_Srv6
	if e.SegmentRouting != nil {
		s = e.SegmentRouting.Srv6
	}
	return s.GetSidInterface()
}

// carriesSIDs reports whether the kernel has the link up for SIDs.
func (t *Telemetry) carriesSIDs(link string) bool {
	c, ok := t.actual.Have(object.LinkConfigKey(link)).(object.LinkConfig)
	return ok && c.Admin == object.AdminUp
}

func srv6State(s *state.NetworkInstance) *state.NetworkInstance_SegmentRouting_Srv6 {
	if s.SegmentRouting == nil {
		s.SegmentRouting = &state.NetworkInstance_SegmentRouting{Srv6: &state.NetworkInstance_SegmentRouting_Srv6{}}
	}
	return s.SegmentRouting.Srv6
}

// memberEntry shows the membership that the kernel has: without one, only the
// key is there. A link is in a VRF that it is enslaved to, and in the default
// instance while it is enslaved to nothing.
func (t *Telemetry) memberEntry(k schema.EntryKey, e *config.NetworkInstance_Interface) *state.NetworkInstance_Interface {
	s := &state.NetworkInstance_Interface{Id: e.Id}
	link := ""
	if instance, _ := k.Parent(); instance == t.nodes.defaultInstance {
		if e.Interface != nil && t.members.free(*e.Interface) {
			link = *e.Interface
		}
	} else {
		have, _, _ := t.programmed(k)
		for _, o := range have {
			if m, ok := o.(object.Member); ok {
				link = m.Link
			}
		}
	}
	if link != "" {
		s.Interface, s.Subinterface = &link, ptr(uint32(0))
	}
	return s
}

func (t *Telemetry) srv6InterfaceEntry(e *config.NetworkInstance_SegmentRouting_Srv6_Interface) schema.GoStruct {
	s := &state.NetworkInstance_SegmentRouting_Srv6_Interface{InterfaceId: e.InterfaceId}
	if e.InterfaceId != nil {
		v, ok := t.actual.Have(object.SysctlKey(object.SysctlLinkSeg6Enabled(*e.InterfaceId))).(object.Sysctl)
		s.Enabled = ptr(ok && v.Value == "1")
		if v, ok := t.actual.Have(object.SysctlKey(object.SysctlLinkSeg6HMAC(*e.InterfaceId))).(object.Sysctl); ok {
			s.HmacPolicy = hmacPolicies[v.Value]
		}
	}
	return s
}

var hmacPolicies = map[string]state.E_Interface_HmacPolicy{
	"-1": state.Interface_HmacPolicy_IGNORE, "0": state.Interface_HmacPolicy_OPTIONAL, "1": state.Interface_HmacPolicy_REQUIRED,
}

// hmacKeyEntry leaves out the secret.
func (t *Telemetry) hmacKeyEntry(k schema.EntryKey, e *config.NetworkInstance_SegmentRouting_Srv6_HmacKey) schema.GoStruct {
	have, ok, reason := t.programmed(k)
	s := &state.NetworkInstance_SegmentRouting_Srv6_HmacKey{KeyId: e.KeyId, Programmed: ptr(ok), ProgrammedReason: reason}
	for _, o := range have {
		if h, ok := o.(object.HMACKey); ok {
			s.CryptoAlgorithm = state.HeddleSrv6_SRV6_HMAC_ALGORITHM_HMAC_SHA_256
			if h.Algorithm == object.HMACSHA1 {
				s.CryptoAlgorithm = state.HeddleSrv6_SRV6_HMAC_ALGORITHM_HMAC_SHA_1
			}
		}
	}
	return s
}

func (t *Telemetry) locatorEntry(k schema.EntryKey, e *config.NetworkInstance_SegmentRouting_Srv6_Locator) schema.GoStruct {
	have, ok, reason := t.programmed(k)
	s := &state.NetworkInstance_SegmentRouting_Srv6_Locator{
		Name: e.Name, FunctionLength: e.FunctionLength, ArgumentLength: ptr(e.GetArgumentLength()),
		Programmed: ptr(ok), ProgrammedReason: reason,
	}
	for _, o := range have {
		if r, ok := o.(*object.Route); ok {
			s.Prefix = ptr(r.Prefix.String())
		}
	}
	return s
}

// deviceEntry is the root: the system's own state.
func (t *Telemetry) deviceEntry(revision uint64) schema.GoStruct {
	s := t.system
	e := &state.System{
		Hostname: &s.Hostname, SoftwareVersion: &s.Version, KernelRelease: &s.KernelRelease,
		BootTime:       ptr(uint64(s.Boot.UnixNano())),
		AgentStartTime: ptr(uint64(s.AgentStart.UnixNano())),
		ConfigRevision: &revision,
	}
	if t.drift != nil {
		d := t.drift()
		e.Drift = &state.System_Drift{Detected: &d.Detected, Repaired: &d.Repaired, Failed: &d.Failed}
		if !d.At.IsZero() {
			e.Drift.LastObject, e.Drift.LastReason = &d.Object, &d.Reason
			e.Drift.LastTime = ptr(uint64(d.At.UnixNano()))
		}
	}
	if t.lock != nil {
		if l := t.lock(); !l.Until.IsZero() {
			e.Lock = &state.System_Lock{Owner: &l.Owner, Since: ptr(uint64(l.Since.UnixNano())), Until: ptr(uint64(l.Until.UnixNano()))}
			if l.Session != "" {
				e.Lock.Session = &l.Session
			}
		}
	}
	return &state.Device{System: e}
}
