package telemetry

import (
	"slices"
	"strings"

	"heddle/gen/config"
	"heddle/gen/state"
	"heddle/kernel/object"
	"heddle/schema"
)

type (
	policyConfig = config.NetworkInstance_SegmentRouting_Srv6_Policy
	pathConfig   = config.NetworkInstance_SegmentRouting_Srv6_Policy_CandidatePath
	listConfig   = config.NetworkInstance_SegmentRouting_Srv6_Policy_CandidatePath_SegmentList
)

// addPolicy makes the state of a policy and of its candidate paths. The active one
// is the one whose valid segment lists are in the kernel's group.
func (t *Telemetry) addPolicy(b *batch, k schema.EntryKey, e *policyConfig) {
	have, ok, reason := t.programmed(k)
	s := &state.NetworkInstance_SegmentRouting_Srv6_Policy{
		Name: e.Name, Description: e.Description, Enabled: ptr(e.GetEnabled()), Color: e.Color, Endpoint: e.Endpoint,
		Programmed: ptr(ok), ProgrammedReason: reason,
	}
	for _, o := range have {
		switch o := o.(type) {
		case *object.SharedNextHop:
			if o.Hop.Encap != nil {
				s.Mode = encapMode(o.Hop.Encap.Mode)
				if o.Hop.Encap.HMACKey != 0 {
					s.HmacKeyId = &o.Hop.Encap.HMACKey
				}
			}
		case *object.LocalSID:
			s.BindingSid = ptr(o.SID.String())
		}
	}
	held := heldLists(have)
	paths := t.pathsOf(k)
	var active *path
	for i := range paths {
		p := &paths[i]
		if e.GetEnabled() && p.GetEnabled() {
			t.judge(p)
		}
		if p.leads(held) && (active == nil || p.better(active)) {
			active = p
		}
	}
	if active != nil {
		s.ActiveCandidatePath = active.Name
	}
	b.add(k, s)
	for i := range paths {
		p := &paths[i]
		b.add(p.key, &state.NetworkInstance_SegmentRouting_Srv6_Policy_CandidatePath{
			Name: p.Name, Preference: ptr(p.GetPreference()), Enabled: ptr(p.GetEnabled()), Active: ptr(p == active),
			Valid: p.valid, InvalidReason: p.invalid,
		})
		for _, l := range p.lists {
			b.add(l.key, &state.NetworkInstance_SegmentRouting_Srv6_Policy_CandidatePath_SegmentList{
				Name: l.Name, Weight: ptr(l.GetWeight()), Valid: l.valid, InvalidReason: l.invalid,
			})
		}
	}
}

// path is a candidate path with its segment lists.
type path struct {
	key schema.EntryKey
	*pathConfig
	lists []pathList
	validity
}

type pathList struct {
	key schema.EntryKey
	*listConfig
	segments []string
	validity
}

// validity is whether there is a way to the first segment; nil where that is not known.
type validity struct {
	valid   *bool
	invalid *string // why not
}

// judge finds out whether a path and its lists are valid.
func (t *Telemetry) judge(p *path) {
	is := func(k schema.EntryKey) validity {
		_, why := t.wants.Wanted(k)
		if why == "" {
			return validity{valid: ptr(true)}
		}
		return validity{ptr(false), &why}
	}
	p.validity = is(p.key)
	for i := range p.lists {
		p.lists[i].validity = is(p.lists[i].key)
	}
}

// usable are the lists of a path that packets may go by.
func (p *path) usable() (lists []pathList) {
	for _, l := range p.lists {
		if l.valid != nil && *l.valid {
			lists = append(lists, l)
		}
	}
	return lists
}

// share is a segment list, as text, with its weight.
type share struct {
	segments string
	weight   uint32
}

// heldLists are the segment lists of the kernel's group; empty where a member or the
// group is missing.
func heldLists(have []object.Object) (held []share) {
	members := map[string]string{}
	for _, o := range have {
		if h, ok := o.(*object.SharedNextHop); ok && h.Hop.Encap != nil {
			members[h.ID] = strings.Join(addressTexts(h.Hop.Encap.Segments), " ")
		}
	}
	for _, o := range have {
		g, ok := o.(*object.NextHopGroup)
		if !ok {
			continue
		}
		for _, m := range g.Members {
			if members[m.Hop] == "" {
				return nil
			}
			held = append(held, share{members[m.Hop], uint32(m.Weight)})
		}
	}
	return held
}

// leads reports whether the valid lists of a path are those that the kernel holds, with
// weights in the same proportion.
func (p *path) leads(held []share) bool {
	lists := p.usable()
	if len(held) == 0 || len(held) != len(lists) {
		return false
	}
	var of, all uint32
	for _, h := range held {
		all += h.weight
	}
	for _, l := range lists {
		of += l.GetWeight()
	}
	rest := slices.Clone(held)
	for _, l := range lists {
		text := strings.Join(l.segments, " ")
		i := slices.IndexFunc(rest, func(h share) bool { return h.segments == text && h.weight*of == l.GetWeight()*all })
		if i < 0 {
			return false
		}
		rest = slices.Delete(rest, i, i+1)
	}
	return true
}

func (p *path) better(than *path) bool { return p.GetPreference() > than.GetPreference() }

// pathsOf lists the candidate paths of a policy by name.
func (t *Telemetry) pathsOf(policy schema.EntryKey) (paths []path) {
	t.cfg.Scan(policy, func(k schema.EntryKey, e schema.GoStruct) bool {
		switch e := e.(type) {
		case *pathConfig:
			paths = append(paths, path{key: k, pathConfig: e})
		case *listConfig: // behind the path that it is of
			p := &paths[len(paths)-1]
			p.lists = append(p.lists, pathList{key: k, listConfig: e, segments: t.segments(e)})
		}
		return true
	})
	return paths
}

func (t *Telemetry) segments(l *listConfig) []string {
	if l.Name == nil {
		return nil
	}
	k, err := t.schema.Key(t.nodes.defaultInstance, t.nodes.segmentLists, *l.Name)
	if err != nil {
		return nil
	}
	e, _ := t.cfg.Get(k)
	list, ok := e.(*config.NetworkInstance_SegmentRouting_Srv6_SegmentList)
	if !ok {
		return nil
	}
	return list.Segment
}

// steeringState is the policy that a route leaves by; nil if it is none, or not the
// one that is asked for.
func steeringState(e *config.NetworkInstance_Protocol_Static_NextHop, r *object.Route) *state.NetworkInstance_Protocol_Static_NextHop_Srv6Policy {
	name, ok := object.PolicyOfGroup(r.SharedHop)
	if !ok || e.Srv6Policy.Policy != nil && *e.Srv6Policy.Policy != name {
		return nil
	}
	return &state.NetworkInstance_Protocol_Static_NextHop_Srv6Policy{Policy: &name, Color: e.Srv6Policy.Color}
}
