// Package policy translates segment routing policies (RFC 9256).
//
// The unit is a policy with its candidate paths. It is a group of nexthop objects of
// the kernel, one for each segment list of the active path, on the link that carries
// the SIDs, which never loses its carrier: the kernel takes a nexthop object along with
// that, and with the last member the group and all routes by it. The routes that are
// steered into the policy, in any instance, hold the id of the group.
//
// The members are numbered, and keep their number when they get another way out. So
// another path with as many segment lists and the same weights is one message for each
// of them, whatever the number of routes, and loses no packet. A group of one member is
// a group, too: the kernel replaces no group by a nexthop object.
//
// A binding SID is a SID with the same segments. The kernel gives it one segment list.
package policy

import (
	"errors"
	"fmt"
	"slices"

	"heddle/kernel/object"
	"heddle/schema"
	"heddle/translators"
)

// modes are the headend modes of policies.
var modes = map[translators.Mode]object.EncapMode{
	translators.ModeUnset:     object.HEncaps,
	translators.ModeEncaps:    object.HEncaps,
	translators.ModeEncapsRed: object.HEncapsRed,
}

// Units are the policies.
func Units(m *translators.Model) []translators.Unit {
	return []translators.Unit{
		{List: m.Policy, Parts: []*schema.Node{m.CandidatePath, m.WeightedList}, Translate: policy},
	}
}

// Ripples: a policy depends on its segment lists, on the link that carries the SIDs
// and on its instance; what is steered into it on whether it is enabled and, in a
// VRF, on where its segment lists begin.
func Ripples(m *translators.Model) []translators.Ripple {
	all := func(v translators.View, redo func(schema.EntryKey)) {
		translators.Each(v, v.DefaultKey(), m.Policy, func(k schema.EntryKey, p *translators.Policy) bool {
			redo(k)
			v.Steered(p, false, redo)
			return true
		})
	}
	ripples := m.OnSIDLink(all)
	ripples = append(ripples, m.OnInstance(func(v translators.View, key schema.EntryKey, redo func(schema.EntryKey)) {
		if key == v.DefaultKey() {
			all(v, redo)
		}
	}))
	return append(ripples,
		translators.Ripple{List: m.Policy, Affected: onPolicy},
		translators.Ripple{List: m.WeightedList, Affected: onPathList},
		translators.Ripple{List: m.SegmentList, Affected: onSegmentList(m)},
	)
}

// onPolicy: those who are steered into it, when it comes, goes, is enabled or
// disabled, or gets another color or endpoint.
func onPolicy(v translators.View, c schema.Change, redo func(schema.EntryKey)) {
	before, _ := c.Old.(*translators.Policy)
	after, _ := c.New.(*translators.Policy)
	if before != nil && after != nil && translators.On(before.Enabled) == translators.On(after.Enabled) && sameColor(before, after) {
		return
	}
	for _, p := range []*translators.Policy{before, after} {
		if p != nil {
			v.Steered(p, false, redo)
		}
	}
}

func sameColor(a, b *translators.Policy) bool {
	return a.GetColor() == b.GetColor() && translators.Str(a.Endpoint) == translators.Str(b.Endpoint)
}

// onPathList: the VRFs that are steered into the policy send the lookup of the first
// segment of each list on to the main table.
func onPathList(v translators.View, c schema.Change, redo func(schema.EntryKey)) {
	if c.Old != nil && c.New != nil {
		return // of the same name
	}
	if _, p, ok := v.PolicyAbove(c.Key); ok {
		v.Steered(p, true, redo)
	}
}

// onSegmentList: the policies that use it.
func onSegmentList(m *translators.Model) func(translators.View, schema.Change, func(schema.EntryKey)) {
	return func(v translators.View, c schema.Change, redo func(schema.EntryKey)) {
		before, _ := c.Old.(*translators.SegmentList)
		after, _ := c.New.(*translators.SegmentList)
		if before != nil && after != nil && slices.Equal(before.Segment, after.Segment) {
			return
		}
		begins := before == nil || after == nil || len(before.Segment) == 0 || len(after.Segment) == 0 || before.Segment[0] != after.Segment[0]
		v.Referrers(c.Key, func(path schema.EntryKey) bool {
			if path.List() != m.WeightedList.ListID {
				return true
			}
			redo(path)
			if _, p, ok := v.PolicyAbove(path); ok && begins {
				v.Steered(p, true, redo)
			}
			return true
		})
	}
}

func policy(v translators.View, key schema.EntryKey, entry schema.GoStruct, out *translators.Result) error {
	p := entry.(*translators.Policy)
	name := translators.Str(p.Name)
	_, ni, ok := v.InstanceOf(key)
	if !ok {
		return errors.New("a policy needs the network instance it is in")
	}
	down := translators.InstanceDown(ni)
	if down == "" {
		down = translators.PolicyDown(p)
	}
	if down != "" {
		out.Withhold(key, down)
		return nil
	}
	path, ok := v.ActivePath(key)
	if !ok {
		return fmt.Errorf("policy %s has no candidate path that is enabled and has segments", name)
	}
	mode, ok := modes[p.Mode]
	if !ok {
		return fmt.Errorf("a policy has no mode %q", translators.EnumName(p.Mode))
	}
	link, down := v.ShareSIDLink(out)
	if down != "" {
		out.Withhold(key, down)
		return nil
	}
	out.ShareForwarding()
	out.ShareQuietNextHops()
	for i, l := range path.Lists {
		encap := v.Encap(mode, l.Segments)
		if encap == nil {
			return fmt.Errorf("a segment of %q is no address", l.Segments)
		}
		out.Own(object.PolicyMember(name, i, object.NextHop{Link: link, Encap: encap}))
	}
	out.Own(object.PolicyGroup(name, weights(path.Lists)))
	if sid := translators.Addr(p.BindingSid); sid.IsValid() {
		out.Own(&object.LocalSID{SID: sid, Table: object.TableMain, Behavior: object.EndB6Encaps,
			Policy: v.Encap(object.HEncaps, path.Lists[0].Segments), Dev: link})
	}
	return nil
}

// weights are those of some lists in lowest terms, so that paths that share the load
// alike have the same group.
func weights(lists []translators.PathList) []uint16 {
	var divisor uint32
	for _, l := range lists {
		divisor = gcd(l.Weight, divisor)
	}
	w := make([]uint16, len(lists))
	for i, l := range lists {
		w[i] = uint16(l.Weight / max(divisor, 1))
	}
	return w
}

func gcd(a, b uint32) uint32 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
