package iproute

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"heddle/kernel/object"
	"heddle/kernel/rtnl"
	"heddle/reconcile"
)

var protocol = number(uint32(rtnl.Protocol))

// slot begins a command about a route with what identifies it. The metric is always
// there for IPv6, where 0 is not what it says.
func slot(s reconcile.Step, o object.Object, kind object.RouteType) Command {
	at := object.SlotOf(o)
	c := Command{"ip", "-4", "route", verb(s)}
	if at.Prefix.Addr().Is6() {
		c[1] = "-6"
	}
	if kind != object.Unicast {
		c = append(c, kind.String())
	}
	c = append(c, at.Prefix.String())
	if at.Table != object.TableMain {
		c = append(c, "table", number(at.Table))
	}
	if at.Metric != 0 {
		c = append(c, "metric", number(at.Metric))
	}
	return append(c, "proto", protocol)
}

func (w *writer) route(ctx context.Context, s reconcile.Step, r *object.Route) ([]Command, error) {
	if r.Type > object.Throw {
		return nil, &UnknownError{r, "its type"}
	}
	if w.follows(s) {
		return nil, nil
	}
	c := slot(s, r, r.Type)
	v4 := r.Prefix.Addr().Is4()
	// The driver, too, tells IPv4 routes apart by their way out: metric 0 stands for
	// any metric there.
	if s.New == nil && !v4 {
		return []Command{c}, nil
	}
	if r.SharedHop != "" {
		id, err := w.hopID(ctx, r.SharedHop)
		if err != nil {
			return nil, err
		}
		return []Command{append(c, "nhid", number(id))}, nil
	}
	if s.New == nil {
		if len(r.NextHops) == 1 {
			n := r.NextHops[0]
			n.Encap = nil
			c, _ = nextHop(c, n, v4)
		}
		return []Command{c}, nil
	}
	for _, n := range r.NextHops {
		if len(r.NextHops) > 1 {
			c = append(c, "nexthop")
		}
		var ok bool
		if c, ok = nextHop(c, n, v4); !ok {
			return nil, &UnknownError{r, n.Encap.String()}
		}
	}
	return []Command{c}, nil
}

// follows reports whether a route goes along with its next hop, which takes the
// place of the one it has.
func (w *writer) follows(s reconcile.Step) bool {
	old, ok := s.Old.(*object.Route)
	r, changed := s.New.(*object.Route)
	if !ok || !changed || !rtnl.MovesOnly(old, r) {
		return false
	}
	from := w.places[r.SharedHop]
	return from != nil && from.ID == old.SharedHop
}

// nextHop appends a way out; false: with an encapsulation that is not known.
func nextHop(c Command, n object.NextHop, v4 bool) (Command, bool) {
	if e := n.Encap; e != nil {
		switch e.Mode {
		case object.HInsert, object.HEncaps, object.HEncapsRed, object.HEncapsL2, object.HEncapsL2Red:
		default:
			return c, false
		}
		c = append(c, "encap", "seg6", "mode", e.Mode.String(), "segs", segments(e))
		if e.HMACKey != 0 {
			c = append(c, "hmac", number(e.HMACKey))
		}
		if e.Source.IsValid() {
			c = append(c, "tunsrc", e.Source.String())
		}
	}
	if n.Gateway.IsValid() {
		c = append(c, "via")
		if v4 && n.Gateway.Is6() {
			c = append(c, "inet6")
		}
		c = append(c, n.Gateway.WithZone("").String())
	}
	if n.Link != "" {
		c = append(c, "dev", n.Link)
	}
	if n.OnLink {
		c = append(c, "onlink")
	}
	if n.Weight > 1 {
		c = append(c, "weight", number(uint32(n.Weight)))
	}
	return c, true
}

// hopID is the id of a shared next hop, as of where the plan is.
func (w *writer) hopID(ctx context.Context, hop string) (uint32, error) {
	if id, ok := w.ids[hop]; ok {
		return id, nil
	}
	id, there, err := w.k.HopID(ctx, hop, w.taken)
	if err != nil {
		return 0, err
	}
	if !there {
		w.taken[id] = true
	}
	w.ids[hop] = id
	return id, nil
}

func (w *writer) sharedNextHop(ctx context.Context, s reconcile.Step, o *object.SharedNextHop) ([]Command, error) {
	do := verb(s)
	if from := w.places[o.ID]; from != nil {
		id, err := w.hopID(ctx, from.ID)
		if err != nil {
			return nil, err
		}
		do, w.ids[o.ID] = "replace", id
	}
	id, err := w.hopID(ctx, o.ID)
	if err != nil {
		return nil, err
	}
	if s.New == nil {
		for _, from := range w.places {
			if from.ID == o.ID {
				return nil, nil // another one has its place
			}
		}
		return one("ip", "nexthop", "del", "id", number(id)), nil
	}
	c := Command{"ip", "-6", "nexthop", do, "id", number(id)}
	c, ok := nextHop(c, o.Hop, false)
	if !ok {
		return nil, &UnknownError{o, o.Hop.Encap.String()}
	}
	return []Command{append(c, "proto", protocol)}, nil
}

func (w *writer) group(ctx context.Context, s reconcile.Step, g *object.NextHopGroup) ([]Command, error) {
	id, err := w.hopID(ctx, g.ID)
	if err != nil {
		return nil, err
	}
	if s.New == nil {
		return one("ip", "nexthop", "del", "id", number(id)), nil
	}
	members := make([]string, len(g.Members))
	for i, m := range g.Members {
		member, err := w.hopID(ctx, m.Hop)
		if err != nil {
			return nil, err
		}
		members[i] = number(member) + "," + number(uint32(m.Weight))
	}
	return one("ip", "nexthop", verb(s), "id", number(id), "group", strings.Join(members, "/"), "proto", protocol), nil
}

func sid(s reconcile.Step, o *object.LocalSID) ([]Command, error) {
	c := slot(s, o, object.Unicast)
	if s.New == nil {
		return []Command{c}, nil
	}
	c = append(c, "encap", "seg6local", "action", o.Behavior.String())
	switch o.Behavior {
	case object.End, object.EndDX2, object.EndB6, object.EndB6Encaps:
	case object.EndX, object.EndDX6:
		c = append(c, "nh6", hopOr(o.NextHop, netip.IPv6Unspecified()))
	case object.EndDX4:
		c = append(c, "nh4", hopOr(o.NextHop, netip.IPv4Unspecified()))
	case object.EndT:
		c = append(c, "table", number(o.VRFTable))
	case object.EndDT4, object.EndDT6, object.EndDT46:
		if o.VRF == "" {
			c = append(c, "table", number(o.VRFTable))
		} else {
			c = append(c, "vrftable", number(o.VRFTable))
		}
	default:
		return nil, &UnknownError{o, fmt.Sprintf("behaviour %s", o.Behavior)}
	}
	if o.OutLink != "" {
		c = append(c, "oif", o.OutLink)
	}
	if o.Policy != nil {
		c = append(c, "srh", "segs", segments(o.Policy))
	}
	if o.Flavors != 0 {
		c = append(c, "flavors", o.Flavors.String())
	}
	if o.Flavors&object.NextCSID != 0 {
		c = append(c, "lblen", number(uint32(o.BlockLength)), "nflen", number(uint32(o.NodeFunctionLength)))
	}
	return []Command{append(c, "count", "dev", o.Dev)}, nil
}

// hopOr is the address that a behaviour leads to; none stands for the packet's own
// destination.
func hopOr(a, none netip.Addr) string {
	if !a.IsValid() {
		return none.String()
	}
	return a.WithZone("").String()
}

func segments(e *object.Encap) string {
	s := make([]string, len(e.Segments))
	for i, a := range e.Segments {
		s[i] = a.String()
	}
	return strings.Join(s, ",")
}
