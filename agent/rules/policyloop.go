package rules

import (
	"slices"
	"strings"

	"heddle/schema"
	"heddle/translators"
)

// policyLoop follows the segments of the paths that are enabled as far as they are SIDs of this
// node that put packets on segments again: binding SIDs of policies, and SIDs of
// END_B6 and END_B6_ENCAPS. The packets must not come back to the policy.
func policyLoop(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	p := entry.(*translators.Policy)
	if translators.PolicyDown(p) != "" {
		return
	}
	if way := c.comesBack(k); way != nil {
		c.fail(k, "config/binding-sid", translators.Str(p.BindingSid), "the policy leads back to itself: "+strings.Join(way, " to "),
			"take the binding SID out of the segment list")
	}
}

// sidLoop is the same from an END_B6 or END_B6_ENCAPS; that it is in its own list is
// found by the rule about that.
func sidLoop(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	sid := entry.(*translators.SID)
	if leavesOf[sid.Behavior].policy == refused {
		return
	}
	if way := c.comesBack(k); len(way) > 2 {
		c.fail(k, "policy/config/segment-list", translators.Str(sid.Address), "the SID leads back to itself: "+strings.Join(way, " to "),
			"take one of them out of the list of the one before")
	}
}

// comesBack is the way from a policy or SID back to it, with both ends; nil if there
// is none.
func (c *check) comesBack(k schema.EntryKey) []string {
	return c.leadsTo(k, k, []string{k.Values()[0]}, map[schema.EntryKey]bool{})
}

// leadsTo goes on from a policy or SID, and into each one once: seen are those that
// were gone into, none of which leads to the one to be found.
func (c *check) leadsTo(to, at schema.EntryKey, way []string, seen map[schema.EntryKey]bool) []string {
	for _, s := range c.segmentsFrom(at) {
		for _, next := range c.binding(s) {
			on := append(slices.Clone(way), next.Values()[0])
			if next == to {
				return on
			}
			if seen[next] {
				continue
			}
			seen[next] = true
			if back := c.leadsTo(to, next, on, seen); back != nil {
				return back
			}
		}
	}
	return nil
}

// segmentsFrom are the segments that a policy or SID puts packets on.
func (c *check) segmentsFrom(k schema.EntryKey) (segments []string) {
	if k.List() != c.Model.Policy.ListID {
		if sid, ok := c.SIDWith(k); ok && leavesOf[sid.Behavior].policy != refused {
			segments = policyOf(sid)
		}
		return segments
	}
	for _, path := range c.PathsOf(k) {
		if !translators.On(path.Enabled) {
			continue
		}
		for _, l := range path.Lists {
			segments = append(segments, l.Segments...)
		}
	}
	return segments
}

// binding lists what a segment leads into on this node: policies by their binding
// SID, and the SID.
func (c *check) binding(segment string) (keys []schema.EntryKey) {
	for _, k := range c.PoliciesBound(segment) {
		if e, _ := c.Get(k); translators.PolicyDown(e.(*translators.Policy)) == "" {
			keys = append(keys, k)
		}
	}
	if k, err := c.Key(c.DefaultKey(), c.Model.SID, segment); err == nil {
		if _, there := c.Get(k); there {
			keys = append(keys, k)
		}
	}
	if k, ok := c.DynamicAt(translators.Addr(&segment)); ok {
		keys = append(keys, k)
	}
	return keys
}
