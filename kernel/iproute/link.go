package iproute

import (
	"context"
	"fmt"

	"heddle/kernel/object"
	"heddle/kernel/rtnl"
	"heddle/reconcile"
)

// link makes or deletes a device. The kernel takes no alias when it makes one, so
// that is another command.
func (w *writer) link(ctx context.Context, s reconcile.Step, l object.Link) ([]Command, error) {
	if s.Old != nil && s.New != nil {
		if !s.Old.Mutable(l) {
			return nil, &UnknownError{l, "changing a link in place"}
		}
		return one("ip", "link", "set", "dev", l.Name, "type", string(l.Type), "loose_binding", binding(l)), nil
	}
	if s.New == nil {
		w.dropped[l.Name] = true
		if l.Type == object.LinkVeth {
			w.dropped[l.Peer] = true
		}
		if !l.Creates() {
			return one("ip", "link", "set", "dev", l.Name, "alias", ""), nil
		}
		return one("ip", "link", "del", "dev", l.Name), nil
	}
	mark := Command{"ip", "link", "set", "dev", l.Name, "alias", rtnl.Alias(l)}
	if !l.Creates() {
		return []Command{mark}, nil
	}
	add := Command{"ip", "link", "add", "name", l.Name}
	if l.Type == object.LinkVLAN {
		add = append(add, "link", l.Parent)
	}
	if err := w.likeness(ctx, &add, l); err != nil {
		return nil, err
	}
	add = append(add, "type", string(l.Type))
	switch l.Type {
	case object.LinkVRF:
		add = append(add, "table", number(l.Table))
	case object.LinkVeth:
		add = append(add, "peer", "name", l.Peer)
		if err := w.likeness(ctx, &add, object.Link{Name: l.Peer, Type: l.Type}); err != nil {
			return nil, err
		}
	case object.LinkVLAN:
		if l.VLAN.Service {
			add = append(add, "protocol", "802.1ad")
		}
		add = append(add, "id", number(uint32(l.VLAN.ID)), "loose_binding", binding(l))
	case object.LinkGRE, object.LinkGRETap, object.LinkIP6GRE, object.LinkIP6GRETap:
		add = gre(add, l.Tunnel)
	case object.LinkVXLAN:
		add = vxlan(add, l)
	case object.LinkDummy, object.LinkIFB, object.LinkBridge:
	default:
		return nil, &UnknownError{l, fmt.Sprintf("links of type %s", l.Type)}
	}
	return []Command{add, mark}, nil
}

// binding is the loose binding of a VLAN.
func binding(l object.Link) string {
	if l.Bound {
		return "off"
	}
	return "on"
}

// likeness adds what a link that is made anew has of the one before.
func (w *writer) likeness(ctx context.Context, add *Command, l object.Link) error {
	if !w.dropped[l.Name] {
		return nil
	}
	mac, mtu, err := w.k.Likeness(ctx, l)
	if len(mac) > 0 {
		*add = append(*add, "address", mac.String())
	}
	if mtu != 0 {
		*add = append(*add, "mtu", number(mtu))
	}
	return err
}

func (w *writer) member(ctx context.Context, s reconcile.Step, m object.Member) ([]Command, error) {
	set := Command{"ip", "link", "set", "dev", m.Link}
	if s.New != nil {
		return []Command{append(set, "master", m.Master)}, nil
	}
	back, err := w.k.GivesBack(ctx, s)
	switch master := back.Link.Master; {
	case err != nil || master == nil:
		return nil, err
	case *master == "":
		return []Command{append(set, "nomaster")}, nil
	default:
		return []Command{append(set, "master", *master)}, nil
	}
}

func (w *writer) linkConfig(ctx context.Context, s reconcile.Step) ([]Command, error) {
	back, err := w.k.GivesBack(ctx, s)
	if err != nil {
		return nil, err
	}
	props := back.Link
	if c, ok := s.New.(object.LinkConfig); ok {
		if c.MTU != 0 {
			props.MTU = number(c.MTU)
		}
		if c.Admin != object.AdminLeave {
			props.Admin = c.Admin.String()
		}
	}
	set := Command{"ip", "link", "set", "dev", s.Key().ID}
	bare := len(set)
	if props.MTU != "" {
		set = append(set, "mtu", props.MTU)
	}
	if props.Admin != "" {
		set = append(set, props.Admin)
	}
	if len(set) == bare {
		return nil, nil
	}
	return []Command{set}, nil
}

func address(s reconcile.Step, a object.Address) []Command {
	return one("ip", "address", verb(s), a.Prefix.String(), "dev", a.Link)
}

// neighbour replaces one that the kernel has found.
func neighbour(s reconcile.Step, n object.Neighbour) []Command {
	if s.New == nil {
		return one("ip", "neighbour", "del", n.Addr.String(), "dev", n.Link)
	}
	return one("ip", "neighbour", "replace", n.Addr.String(), "lladdr", n.MAC.String(), "dev", n.Link,
		"nud", "permanent", "protocol", number(rtnl.Protocol))
}

func gre(add Command, t object.Tunnel) Command {
	add = append(add, "local", t.Local.String(), "remote", t.Remote.String())
	if t.Keyed {
		add = append(add, "key", number(t.Key))
	}
	ttl := "inherit"
	if t.TTL != 0 {
		ttl = number(uint32(t.TTL))
	}
	switch {
	case t.Over6():
		add = append(add, "hoplimit", ttl, "encaplimit", "none")
	case t.Fragment:
		add = append(add, "ttl", ttl, "nopmtudisc")
	default:
		add = append(add, "ttl", ttl)
	}
	return add
}

func vxlan(add Command, l object.Link) Command {
	t := l.Tunnel
	add = append(add, "id", number(t.VNI))
	if t.Local.IsValid() {
		add = append(add, "local", t.Local.String())
	}
	switch {
	case t.Remote.IsMulticast():
		add = append(add, "group", t.Remote.String())
	case t.Remote.IsValid():
		add = append(add, "remote", t.Remote.String())
	}
	if l.Parent != "" {
		add = append(add, "dev", l.Parent)
	}
	add = append(add, "dstport", number(uint32(t.Port)))
	if t.TTL != 0 {
		add = append(add, "ttl", number(uint32(t.TTL)))
	}
	if !t.Learn {
		add = append(add, "nolearning")
	}
	return add
}
