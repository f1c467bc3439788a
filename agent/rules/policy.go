package rules

import (
	"slices"

	"heddle/kernel/object"
	"heddle/schema"
	"heddle/translators"
)

func policyRules(m *translators.Model) []rule {
	return []rule{
		{"srv6-default-only", m.SegmentList, policyPlace},
		{"srv6-default-only", m.Policy, policyPlace},
		{"segment-list-segments", m.SegmentList, listSegments},
		{"policy-paths", m.Policy, policyPaths},
		{"policy-mode", m.Policy, policyMode},
		{"policy-color", m.Policy, policyColor},
		{"policy-link", m.Policy, policyLink},
		{"binding-sid", m.Policy, bindingSID},
		{"policy-hmac", m.Policy, policyHMAC},
		{"policy-loop", m.Policy, policyLoop},
		{"policy-loop", m.SID, sidLoop},
		{"policy-loop", m.DynamicSID, ofDynamic(sidLoop)},
		{"path-lists", m.CandidatePath, pathLists},
		{"path-weight", m.WeightedList, pathWeight},
		{"steering", m.NextHop, steering},
	}
}

func policyPlace(c *check, k schema.EntryKey, _, _ schema.GoStruct) {
	if parent, _ := k.Parent(); parent != c.DefaultKey() {
		c.fail(k, "", "", onlyDefault, "move it there; routes of any instance can be steered into its policies")
	}
}

func listSegments(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	l := entry.(*translators.SegmentList)
	const leaf = "config/segment"
	switch n := len(l.Segment); {
	case n == 0:
		c.fail(k, leaf, "", "a segment list has segments", "list at least one, or delete it")
	case n > maxSegments:
		c.fail(k, leaf, text(n)+" segments", "a segment routing header holds 127", "shorten the list, with a binding SID where it must be that long")
	}
	for _, s := range l.Segment {
		if a := translators.Addr(&s); !unicast6(a) || a.IsLinkLocalUnicast() {
			c.fail(k, leaf, s, "a segment is an IPv6 unicast address", "use the SID of a node on the way")
		}
	}
}

func pathLists(c *check, k schema.EntryKey, _, _ schema.GoStruct) {
	n := 0
	translators.Each(c.View, k, c.Model.WeightedList, func(schema.EntryKey, *translators.WeightedList) bool {
		n++
		return true
	})
	switch _, p, ok := c.PolicyAbove(k); {
	case n == 0:
		c.fail(k, "segment-lists", "", "a candidate path is a segment list, or several", "name one")
	case n > 1 && ok && p.BindingSid != nil:
		c.fail(k, "segment-lists", text(n)+" lists", "the policy has a binding SID, to which the kernel gives one segment list",
			"leave one list here, or delete config/binding-sid of the policy")
	}
}

func pathWeight(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	if w := entry.(*translators.WeightedList).GetWeight(); w < 1 || w > object.MaxGroupWeight {
		c.fail(k, "config/weight", text(w), "a weight is "+text(1)+" to "+text(object.MaxGroupWeight)+", as the kernel has it",
			"divide the weights of the path by the same number, or delete the list")
	}
}

func policyPaths(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	p := entry.(*translators.Policy)
	usable := slices.ContainsFunc(c.PathsOf(k), func(p translators.Path) bool { return p.Usable() })
	if !usable && translators.On(p.Enabled) {
		c.fail(k, "candidate-paths", "", "a policy needs a valid path", "add a candidate path with a segment list, enable one, or disable the policy")
	}
}

func policyMode(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	switch m := entry.(*translators.Policy).Mode; m {
	case translators.ModeUnset, translators.ModeEncaps, translators.ModeEncapsRed:
	default:
		c.fail(k, "config/mode", translators.EnumName(m), "a policy carries packets of any kind, in an outer header", "use H_ENCAPS or H_ENCAPS_RED")
	}
}

func policyColor(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	p := entry.(*translators.Policy)
	if (p.Color == nil) != (p.Endpoint == nil) {
		c.fail(k, "config/color", "", "color and endpoint identify a policy together", "set both, or none")
		return
	}
	for _, other := range c.PoliciesOfColor(p.Color, p.Endpoint) {
		if other != k {
			c.fail(k, "config/color", text(*p.Color), c.Text(other)+" has this color and endpoint", "give one of the two another color")
			return
		}
	}
}

// policyLink: the kernel takes a nexthop object away, with all routes by it, when
// its link has lost the carrier.
func policyLink(c *check, k schema.EntryKey, _, _ schema.GoStruct) {
	if c.SIDLinkSteady() == "" {
		c.fail(k, "", "", "policies need a link that never loses its carrier, and "+c.SIDLink()+" can",
			"let segment-routing/srv6/config/sid-interface be an interface of type DUMMY, or leave it out")
	}
}

func bindingSID(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	p := entry.(*translators.Policy)
	if p.BindingSid == nil {
		return
	}
	const leaf = "config/binding-sid"
	sid := translators.Addr(p.BindingSid)
	if !unicast6(sid) || sid.IsLinkLocalUnicast() {
		c.fail(k, leaf, *p.BindingSid, "a SID is a global IPv6 unicast address", "use one out of a locator")
		return
	}
	if l, ok := c.locatorOf(sid); ok {
		c.inStructure(k, leaf, sid, l)
	} else {
		c.fail(k, leaf, *p.BindingSid, "it is in no locator", "use an address of a locator, or configure the locator")
	}
	for _, other := range c.PoliciesBound(*p.BindingSid) {
		if other != k {
			c.fail(k, leaf, *p.BindingSid, c.Text(other)+" has it", "use another one")
			return
		}
	}
}

// steering: what a next hop that is a policy needs.
func steering(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	nh := entry.(*translators.NextHop)
	s := nh.Srv6Policy
	if s == nil {
		return
	}
	if translators.OutLink(nh) != "" || encapsulates(nh) || nh.NetworkInstance != nil || nh.WecmpWeight != nil {
		c.fail(k, "srv6-policy", "", "a policy stands alone: it is the way out and the encapsulation", "delete what is beside it")
		return
	}
	switch {
	case s.Policy == nil && s.Color == nil:
		c.fail(k, "srv6-policy/config/policy", "", "no policy is named", "set policy, or color and config/next-hop")
	case s.Policy != nil && s.Color != nil:
		c.fail(k, "srv6-policy/config/color", text(*s.Color), "a policy is named by its name or by its color", "delete one of the two")
	case s.Policy != nil && nh.NextHop != nil:
		c.fail(k, "config/next-hop", "", "the policy leads to its own endpoint", "delete it")
	case s.Policy != nil:
		if _, _, ok := c.PolicyOf(nh); !ok {
			c.fail(k, "srv6-policy/config/policy", *s.Policy, "there is no such policy", "configure it in instance "+translators.DefaultInstance+", or change or delete the route in the request that deletes it")
		}
	case !translators.Gateway(nh).Is6():
		c.fail(k, "config/next-hop", "", "a policy is found by color and endpoint, an IPv6 address", "set config/next-hop to the endpoint")
	default:
		if _, _, ok := c.PolicyOf(nh); !ok {
			c.fail(k, "srv6-policy/config/color", text(*s.Color), "no policy has this color and the endpoint "+translators.Gateway(nh).String(),
				"configure one, or change or delete the route in the request that takes it away")
		}
	}
}

// recheckSteered: those who are steered into a policy that goes or gets another
// color, and the paths of one that has a binding SID.
func recheckSteered(_, is translators.View, ch schema.Change, again func(schema.EntryKey)) {
	before, _ := ch.Old.(*translators.Policy)
	after, _ := ch.New.(*translators.Policy)
	if after != nil && after.BindingSid != nil { // its paths have one segment list
		translators.Each(is, ch.Key, is.Model.CandidatePath, func(k schema.EntryKey, _ *translators.CandidatePath) bool {
			again(k)
			return true
		})
	}
	if before != nil && (after == nil || before.GetColor() != after.GetColor() || translators.Str(before.Endpoint) != translators.Str(after.Endpoint)) {
		is.Steered(before, false, again)
	}
}

// recheckPolicyLink: whether the link that carries the SIDs can lose its carrier.
func recheckPolicyLink(_, is translators.View, ch schema.Change, again func(schema.EntryKey)) {
	switch {
	case ch.Key.List() == is.Interface.ListID:
		before, _ := ch.Old.(*translators.Interface)
		after, _ := ch.New.(*translators.Interface)
		if ch.Key.Values()[0] != is.SIDLink() || before != nil && after != nil && before.Type == after.Type {
			return
		}
	case ch.Key != is.DefaultKey() || sidInterfaceOf(ch.Old) == sidInterfaceOf(ch.New):
		return
	}
	translators.Each(is, is.DefaultKey(), is.Model.Policy, func(k schema.EntryKey, _ *translators.Policy) bool {
		again(k)
		return true
	})
}

func sidInterfaceOf(e schema.GoStruct) string {
	ni, _ := e.(*translators.Instance)
	if ni == nil || translators.SRv6(ni) == nil {
		return ""
	}
	return translators.Str(translators.SRv6(ni).SidInterface)
}

// recheckPolicies: those that use a segment list.
func recheckPolicies(_, is translators.View, ch schema.Change, again func(schema.EntryKey)) {
	is.Referrers(ch.Key, func(k schema.EntryKey) bool {
		if p, _, ok := is.PolicyAbove(k); ok {
			again(p)
		}
		return true
	})
}

// recheckBindingSIDs: a locator that goes or moves leaves them behind.
func recheckBindingSIDs(_, is translators.View, ch schema.Change, again func(schema.EntryKey)) {
	before, _ := ch.Old.(*translators.Locator)
	after, _ := ch.New.(*translators.Locator)
	if before == nil || after != nil && translators.StructureOf(after) == translators.StructureOf(before) {
		return
	}
	if old := translators.Prefix(before.Prefix); old.IsValid() {
		is.BoundWithin(old, again)
	}
}
