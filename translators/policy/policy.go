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
	"net/netip"
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

// Ripples: a policy depends on its segment lists, on the way to their first segments, on
// the link that carries the SIDs and on its instance; what is steered into it on whether it is enabled and, in a
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
	ripples = append(ripples, onFirstHops(m, all)...)
	return append(ripples,
		translators.Ripple{List: m.Policy, Affected: onPolicy},
		translators.Ripple{List: m.WeightedList, Affected: onPathList},
		translators.Ripple{List: m.SegmentList, Affected: onSegmentList(m)},
	)
}

// onFirstHops: the addresses, links, static routes and SIDs of this node that first
// segments are reached by.
func onFirstHops(m *translators.Model, all func(translators.View, func(schema.EntryKey))) []translators.Ripple {
	ripples := m.OnInterface(func(v translators.View, _ string, key schema.EntryKey, redo func(schema.EntryKey)) {
		v.FirstsOver(key, redo)
	})
	sid := func(v translators.View, a netip.Addr, redo func(schema.EntryKey)) {
		if a.IsValid() {
			v.FirstsWithin(netip.PrefixFrom(a, a.BitLen()), redo)
		}
	}
	return append(ripples,
		translators.Ripple{List: m.Address6, Affected: func(v translators.View, c schema.Change, redo func(schema.EntryKey)) {
			if before, after := translators.Subnet(c.Old), translators.Subnet(c.New); before != after {
				v.FirstsBeside(before, redo)
				v.FirstsBeside(after, redo)
			}
		}},
		translators.Ripple{List: m.Member, Affected: func(v translators.View, c schema.Change, redo func(schema.EntryKey)) {
			for _, e := range []schema.GoStruct{c.Old, c.New} {
				if i, _ := e.(*translators.Member); i != nil {
					if k, ok := v.InterfaceKey(translators.Str(i.Interface)); ok {
						v.FirstsOver(k, redo)
					}
				}
			}
		}},
		translators.Ripple{List: m.NextHop, Affected: func(v translators.View, c schema.Change, redo func(schema.EntryKey)) {
			v.FirstsBy(c.Key, redo)
		}},
		translators.Ripple{List: m.Protocol, Affected: func(v translators.View, c schema.Change, redo func(schema.EntryKey)) {
			before, _ := c.Old.(*translators.Protocol)
			after, _ := c.New.(*translators.Protocol)
			if before != nil && after != nil && translators.On(before.Enabled) != translators.On(after.Enabled) {
				all(v, redo)
			}
		}},
		translators.Ripple{List: m.SID, Affected: func(v translators.View, c schema.Change, redo func(schema.EntryKey)) {
			if (c.Old == nil || c.New == nil) && v.HasFirsts() {
				sid(v, translators.Addr(&c.Key.Values()[0]), redo)
			}
		}},
		translators.Ripple{List: m.DynamicSID, Affected: func(v translators.View, c schema.Change, redo func(schema.EntryKey)) {
			for _, e := range []schema.GoStruct{c.Old, c.New} {
				if d, _ := e.(*translators.DynamicSID); d != nil {
					sid(v, v.AddrOf(d), redo)
				}
			}
		}},
		translators.Ripple{List: m.Locator, Affected: func(v translators.View, c schema.Change, redo func(schema.EntryKey)) {
			for _, e := range []schema.GoStruct{c.Old, c.New} { // its dynamic SIDs
				if l, _ := e.(*translators.Locator); l != nil {
					v.FirstsWithin(translators.Prefix(l.Prefix), redo)
				}
			}
		}},
		translators.Ripple{List: m.Policy, Affected: func(v translators.View, c schema.Change, redo func(schema.EntryKey)) {
			for _, e := range []schema.GoStruct{c.Old, c.New} {
				if p, _ := e.(*translators.Policy); p != nil {
					sid(v, translators.Addr(p.BindingSid), redo)
				}
			}
		}},
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
	mode, ok := modes[p.Mode]
	if !ok {
		return fmt.Errorf("a policy has no mode %q", translators.EnumName(p.Mode))
	}
	link, down := v.ShareSIDLink(out)
	if down != "" {
		out.Withhold(key, down)
		return nil
	}
	lists, ok := choose(v, key, out)
	if !ok {
		return fmt.Errorf("policy %s has no candidate path that is enabled and has segments", name)
	}
	out.ShareForwarding()
	out.ShareQuietNextHops()
	for i, l := range lists {
		encap := v.EncapLike(object.Encap{Mode: mode, HMACKey: p.GetHmacKeyId()}, l.Segments)
		if encap == nil {
			return fmt.Errorf("a segment of %q is no address", l.Segments)
		}
		out.Own(object.PolicyMember(name, i, object.NextHop{Link: link, Encap: encap}))
	}
	out.Own(object.PolicyGroup(name, weights(lists)))
	if sid := translators.Addr(p.BindingSid); sid.IsValid() {
		out.Own(&object.LocalSID{SID: sid, Table: object.TableMain, Behavior: object.EndB6Encaps,
			Policy: v.Encap(object.HEncaps, lists[0].Segments), Dev: link})
	}
	return nil
}

// choose picks the segment lists that packets are put on: the valid ones of the best
// candidate path that has one (RFC 9256 sections 2.9, 2.11 and 5). A list is valid while
// there is a way to its first segment. Where no path is valid it is all lists of the best
// one: the kernel has no way to their first segments and drops the packets, so that they
// leave by no other one without the policy's header (section 8.2, Drop-Upon-Invalid).
// ok is false if there is no path at all.
func choose(v translators.View, policy schema.EntryKey, out *translators.Result) (lists []translators.PathList, ok bool) {
	found, configured := false, false
	why := ""
	for _, p := range v.PathsOf(policy) {
		if !p.Usable() {
			continue
		}
		var valid []translators.PathList
		first := ""
		for _, l := range p.Lists {
			h := v.FirstHop(translators.Addr(&l.Segments[0]))
			configured = configured || h.Configured
			if h.Invalid == "" {
				valid = append(valid, l)
				continue
			}
			out.Withhold(l.Key, h.Invalid)
			if first == "" {
				first = h.Invalid
			}
		}
		switch {
		case len(valid) > 0 && !found:
			lists, found = valid, true
		case len(valid) == 0:
			out.Withhold(p.Key, first)
		}
		if lists == nil {
			lists, why = p.Lists, first
		}
	}
	if lists == nil || found {
		return lists, found
	}
	out.Withhold(policy, "no candidate path is valid, and packets are dropped: "+why)
	if !configured {
		out.Refuse(translators.Refusal{Entry: policy, Below: "candidate-paths", Reason: "no candidate path is valid: " + why,
			Remedy: "configure an address or a static route towards a first segment, or disable the policy"})
	}
	return lists, true
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
