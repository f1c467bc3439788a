// Package routing translates the sources of routes of a network instance: today
// its static routes.
//
// The unit is a prefix with its next hops. Those of one metric are one route of
// the kernel and share the load.
//
// The kernel looks for the link to a neighbour once, when the route is made, and
// the route does not follow when addresses move. So where a next hop names no
// interface the link is found here, by the addresses that are configured, and found
// again when they change.
//
// An encapsulated packet is routed again, by its first segment, and in a VRF the
// kernel looks that up in the VRF's own table first (the packet is still on the
// VRF's device), where the unreachable default route would end it. So each first
// segment that a VRF encapsulates to gets a throw route there, which sends the
// lookup on to the main table. It holds for that one address; a customer's own
// IPv6 packet to it passes as well, which the edge of an SR domain has to filter
// anyway (RFC 8754 §5.1).
//
// Routes with the same encapsulation and way out share one next hop, which the
// kernel makes once instead of a copy in each route. That is for links that are
// never without carrier: the kernel drops a shared next hop, and every route by
// it, with the carrier of its link, and a route with an encapsulation of its own
// stays.
package routing

import (
	"errors"
	"fmt"
	"net/netip"

	"heddle/kernel/object"
	"heddle/schema"
	"heddle/translators"
)

var modes = map[translators.Mode]object.EncapMode{
	translators.ModeUnset:     object.HEncaps, // the default of the model
	translators.ModeEncaps:    object.HEncaps,
	translators.ModeEncapsRed: object.HEncapsRed,
	translators.ModeInsert:    object.HInsert,
	translators.ModeL2:        object.HEncapsL2,
	translators.ModeL2Red:     object.HEncapsL2Red,
}

// Units are the prefixes of static routes.
func Units(m *translators.Model) []translators.Unit {
	return []translators.Unit{
		{List: m.Static, Parts: []*schema.Node{m.NextHop}, Translate: static},
	}
}

// Ripples: a route depends on its instance, its protocol and the interfaces that
// it leaves by; in the default instance, an encapsulation without an interface
// on the link that carries the SIDs.
func Ripples(m *translators.Model) []translators.Ripple {
	below := func(v translators.View, parent schema.EntryKey, redo func(schema.EntryKey)) {
		translators.Each(v, parent, m.Static, func(k schema.EntryKey, _ *translators.Static) bool {
			redo(k)
			return true
		})
	}
	inInstance := func(v translators.View, instance schema.EntryKey, redo func(schema.EntryKey)) {
		translators.Each(v, instance, m.Protocol, func(k schema.EntryKey, _ *translators.Protocol) bool {
			below(v, k, redo)
			return true
		})
	}
	referrers := func(v translators.View, key schema.EntryKey, redo func(schema.EntryKey)) {
		v.Referrers(key, func(k schema.EntryKey) bool {
			if k.List() == m.NextHop.ListID {
				redo(k)
			}
			return true
		})
	}
	ripples := m.OnInterface(
		func(v translators.View, _ string, key schema.EntryKey, redo func(schema.EntryKey)) {
			referrers(v, key, redo)
		})
	ripples = append(ripples, m.OnSubnet(translators.View.OpenNextHops)...)
	ripples = append(ripples, m.OnSIDLink(func(v translators.View, redo func(schema.EntryKey)) {
		inInstance(v, v.DefaultKey(), redo)
	})...)
	return append(ripples,
		m.OnInstance(func(v translators.View, key schema.EntryKey, redo func(schema.EntryKey)) {
			inInstance(v, key, redo)
			referrers(v, key, redo)
		}),
		translators.Ripple{List: m.Protocol, Affected: func(v translators.View, c schema.Change, redo func(schema.EntryKey)) {
			before, _ := c.Old.(*translators.Protocol)
			after, _ := c.New.(*translators.Protocol)
			if before != nil && after != nil && translators.On(before.Enabled) != translators.On(after.Enabled) {
				below(v, c.Key, redo)
			}
		}})
}

// place is where the routes of a prefix go.
type place struct {
	prefix   netip.Prefix
	instance schema.EntryKey
	table    uint32
	vrf      string
}

func static(v translators.View, key schema.EntryKey, entry schema.GoStruct, out *translators.Result) error {
	s := entry.(*translators.Static)
	instance, ni, ok := v.InstanceOf(key)
	_, proto, ok2 := v.ProtocolOf(key)
	prefix := translators.Prefix(s.Prefix)
	if !ok || !ok2 || !prefix.IsValid() {
		return errors.New("a static route needs its prefix, its protocol and its instance")
	}
	if down := translators.InstanceDown(ni); down != "" {
		out.Withhold(key, down)
		return nil
	}
	if !translators.On(proto.Enabled) {
		out.Withhold(key, "protocol "+translators.Str(proto.Name)+" is disabled")
		return nil
	}
	at := place{prefix: prefix.Masked(), instance: instance}
	at.table, at.vrf = translators.Table(ni)
	first := len(out.Objects)
	for _, w := range v.NextHopsOf(key) {
		if err := at.nextHop(v, key, w.NextHop, out, first); err != nil {
			return err
		}
	}
	for _, o := range out.Objects[first:] {
		r := o.(*object.Route)
		if len(r.NextHops) != 1 {
			continue
		}
		r.NextHops[0].Weight = 0 // there is nothing to share
		if at.shares(v, r.NextHops[0]) {
			r.SharedHop = v.ShareHop(out, r.NextHops[0]).ID
			r.NextHops = nil
		}
	}
	return nil
}

// shares reports whether the route to a place can share its next hop with others.
// The links are those that carry an encapsulation without a way out of its own.
func (at place) shares(v translators.View, hop object.NextHop) bool {
	four := at.prefix.Addr().Is4()
	if !v.CanShare(four) || hop.Encap == nil || hop.Gateway.IsValid() || hop.Link == "" {
		return false
	}
	if four && hop.Encap.Mode == object.HInsert {
		return false // as a shared next hop the kernel would not refuse it
	}
	steady := at.vrf
	if steady == "" {
		steady = v.SIDLinkSteady()
	}
	return hop.Link == steady
}

// nextHop adds a next hop to the route of its metric. The routes, from first on in
// out, are still being made: nobody else has seen them.
func (at place) nextHop(v translators.View, key schema.EntryKey, nh *translators.NextHop, out *translators.Result, first int) error {
	metric := translators.Metric(at.prefix, nh)
	if nh.NextHop == translators.NextHopDrop {
		out.Own(&object.Route{Table: at.table, Prefix: at.prefix, Metric: metric, Type: object.Blackhole, VRF: at.vrf})
		return nil
	}
	if nh.Srv6Policy != nil {
		return at.steer(v, key, nh, metric, out)
	}
	if translators.GoesOnInMain(nh) {
		out.Own(&object.Route{Table: at.table, Prefix: at.prefix, Metric: metric, Type: object.Throw, VRF: at.vrf})
		return nil
	}
	hop, down, err := at.hop(v, nh, out)
	if err != nil {
		return err
	}
	if down != "" {
		out.Withhold(key, down)
		return nil
	}
	for _, o := range out.Objects[first:] {
		if other := o.(*object.Route); other.Key() == object.RouteKey(at.table, at.prefix, metric) {
			other.NextHops = append(other.NextHops, hop)
			return nil
		}
	}
	out.Own(&object.Route{Table: at.table, Prefix: at.prefix, Metric: metric, VRF: at.vrf, NextHops: []object.NextHop{hop}})
	return nil
}

// steer makes the route into a policy, which leaves by the group of that.
func (at place) steer(v translators.View, key schema.EntryKey, nh *translators.NextHop, metric uint32, out *translators.Result) error {
	k, p, ok := v.PolicyOf(nh)
	if !ok {
		return errors.New("the policy that srv6-policy names is not configured")
	}
	_, ni, _ := v.InstanceOf(k)
	down := translators.InstanceDown(ni)
	if down == "" {
		down = translators.PolicyDown(p)
	}
	if down == "" {
		_, down = v.ShareSIDLink(out)
	}
	if down != "" {
		out.Withhold(key, down)
		return nil
	}
	out.ShareForwarding()
	if at.vrf != "" {
		for _, path := range v.PathsOf(k) {
			for _, l := range path.Lists {
				if len(l.Segments) > 0 {
					v.ShareThrow(out, at.vrf, at.table, translators.Addr(&l.Segments[0]))
				}
			}
		}
	}
	out.Own(&object.Route{Table: at.table, Prefix: at.prefix, Metric: metric, VRF: at.vrf, SharedHop: object.PolicyGroupID(translators.Str(p.Name))})
	return nil
}

// hop is one way out; down says why it cannot be used.
func (at place) hop(v translators.View, nh *translators.NextHop, out *translators.Result) (hop object.NextHop, down string, err error) {
	hop.Gateway, hop.Link = translators.Gateway(nh), translators.OutLink(nh)
	if nh.WecmpWeight != nil {
		hop.Weight = *nh.WecmpWeight
	}
	instance := at.instance
	if nh.NetworkInstance != nil {
		other, ok := v.InstanceNamed(*nh.NetworkInstance)
		if !ok {
			return hop, "", fmt.Errorf("network instance %q is not configured", *nh.NetworkInstance)
		}
		if down = translators.InstanceDown(other); down != "" {
			return hop, down, nil
		}
		instance, _ = v.InstanceKey(*nh.NetworkInstance)
		if !hop.Gateway.IsValid() && hop.Link == "" {
			hop.Link = *nh.NetworkInstance // its VRF device routes what is sent to it
			return hop, "", nil
		}
	}
	if hop.Gateway.IsValid() && hop.Link == "" {
		if hop.Link = v.LinkTo(instance, hop.Gateway); hop.Link == "" {
			return hop, "", fmt.Errorf("no address of an interface in network instance %s reaches %s", instance.Values()[0], hop.Gateway)
		}
	}
	if hop.Link != "" {
		down = v.InterfaceDown(hop.Link)
	}
	if hop.Encap, err = encap(v, nh); err != nil || down != "" {
		return hop, down, err
	}
	switch {
	case hop.Encap != nil:
		if !hop.Gateway.IsValid() && hop.Link == "" {
			// The packet is routed again once it is encapsulated; until then the
			// kernel wants a device to write down.
			if hop.Link = at.vrf; hop.Link == "" {
				if hop.Link, down = v.ShareSIDLink(out); down != "" {
					return hop, down, nil
				}
			}
		}
		out.ShareForwarding()
		if at.vrf != "" {
			v.ShareThrow(out, at.vrf, at.table, hop.Encap.Segments[0])
		}
	case !hop.Gateway.IsValid() && hop.Link == "":
		return hop, "", fmt.Errorf("next hop %s leads nowhere: set config/next-hop, interface-ref or srv6-encapsulation", translators.Str(nh.Index))
	}
	return hop, "", nil
}

// encap is the encapsulation of a next hop, nil if it has none.
func encap(v translators.View, nh *translators.NextHop) (*object.Encap, error) {
	c := nh.Srv6Encapsulation
	if c == nil || len(c.SegmentList) == 0 {
		return nil, nil
	}
	like := object.Encap{Mode: modes[c.Mode], Source: translators.Addr(c.SourceAddress)}
	if c.HmacKeyId != nil {
		like.HMACKey = *c.HmacKeyId
	}
	e := v.EncapLike(like, c.SegmentList)
	if e == nil {
		return nil, fmt.Errorf("a segment of %q is no address", c.SegmentList)
	}
	return e, nil
}
