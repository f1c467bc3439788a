package telemetry

import (
	"slices"

	"heddle/gen/config"
	"heddle/gen/state"
	"heddle/kernel/object"
	"heddle/schema"
)

type (
	policyConfig = config.NetworkInstance_SegmentRouting_Srv6_Policy
	pathConfig   = config.NetworkInstance_SegmentRouting_Srv6_Policy_CandidatePath
)

// addPolicy makes the state of a policy and of its candidate paths. The active one
// is the one whose segments are in the kernel's nexthop object.
func (t *Telemetry) addPolicy(b *batch, k schema.EntryKey, e *policyConfig) {
	have, ok, reason := t.programmed(k)
	s := &state.NetworkInstance_SegmentRouting_Srv6_Policy{
		Name: e.Name, Description: e.Description, Enabled: ptr(e.GetEnabled()), Color: e.Color, Endpoint: e.Endpoint,
		Programmed: ptr(ok), ProgrammedReason: reason,
	}
	var segments []string
	for _, o := range have {
		switch o := o.(type) {
		case *object.SharedNextHop:
			if o.Hop.Encap != nil {
				segments, s.Mode = addressTexts(o.Hop.Encap.Segments), encapMode(o.Hop.Encap.Mode)
			}
		case *object.LocalSID:
			s.BindingSid = ptr(o.SID.String())
		}
	}
	active := t.activePath(k, segments)
	if active != "" {
		s.ActiveCandidatePath = &active
	}
	b.add(k, s)
	t.eachPath(k, func(key schema.EntryKey, p *pathConfig) {
		b.add(key, &state.NetworkInstance_SegmentRouting_Srv6_Policy_CandidatePath{
			Name: p.Name, Preference: ptr(p.GetPreference()), Enabled: ptr(p.GetEnabled()), SegmentList: p.SegmentList,
			Active: ptr(active != "" && *p.Name == active),
		})
	})
}

// activePath is the candidate path with some segments; of several the one that is
// preferred.
func (t *Telemetry) activePath(policy schema.EntryKey, segments []string) (name string) {
	if segments == nil {
		return ""
	}
	var best *pathConfig
	better := func(p *pathConfig) bool {
		return best == nil || p.GetEnabled() && !best.GetEnabled() ||
			p.GetEnabled() == best.GetEnabled() && p.GetPreference() > best.GetPreference()
	}
	t.eachPath(policy, func(_ schema.EntryKey, p *pathConfig) {
		l, ok := t.segmentList(p)
		if ok && slices.Equal(l.Segment, segments) && better(p) {
			best = p
		}
	})
	if best == nil {
		return ""
	}
	return *best.Name
}

func (t *Telemetry) eachPath(policy schema.EntryKey, fn func(schema.EntryKey, *pathConfig)) {
	t.cfg.Scan(policy, func(k schema.EntryKey, e schema.GoStruct) bool {
		if p, ok := e.(*pathConfig); ok {
			fn(k, p)
		}
		return true
	})
}

func (t *Telemetry) segmentList(p *pathConfig) (*config.NetworkInstance_SegmentRouting_Srv6_SegmentList, bool) {
	if p.SegmentList == nil {
		return nil, false
	}
	k, err := t.schema.Key(t.nodes.defaultInstance, t.nodes.segmentLists, *p.SegmentList)
	if err != nil {
		return nil, false
	}
	e, _ := t.cfg.Get(k)
	l, ok := e.(*config.NetworkInstance_SegmentRouting_Srv6_SegmentList)
	return l, ok
}

// steeringState is the policy that a route leaves by; nil if it is none, or not the
// one that is asked for.
func steeringState(e *config.NetworkInstance_Protocol_Static_NextHop, r *object.Route) *state.NetworkInstance_Protocol_Static_NextHop_Srv6Policy {
	name, ok := object.PolicyOfHop(r.SharedHop)
	if !ok || e.Srv6Policy.Policy != nil && *e.Srv6Policy.Policy != name {
		return nil
	}
	return &state.NetworkInstance_Protocol_Static_NextHop_Srv6Policy{Policy: &name, Color: e.Srv6Policy.Color}
}
