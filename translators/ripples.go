package translators

import (
	"net/netip"

	"heddle/schema"
)

// An entry that comes or goes needs no ripple to what is below it nor to what
// refers to it: the entries below it come and go with it, and a reference to
// what is not there is refused, so all of those are changes themselves.

// OnInterface makes the ripples of what refers to an interface and depends on
// whether packets can leave by it: affected is called when it is enabled or
// disabled.
func (m *Model) OnInterface(affected func(v View, name string, key schema.EntryKey, redo func(schema.EntryKey))) []Ripple {
	return []Ripple{
		{List: m.Interface, Affected: func(v View, c schema.Change, redo func(schema.EntryKey)) {
			before, _ := c.Old.(*Interface)
			after, _ := c.New.(*Interface)
			if before != nil && after != nil && On(before.Enabled) != On(after.Enabled) {
				affected(v, c.Key.Values()[0], c.Key, redo)
			}
		}},
		{List: m.Subinterface, Affected: func(v View, c schema.Change, redo func(schema.EntryKey)) {
			before, _ := c.Old.(*Subinterface)
			after, _ := c.New.(*Subinterface)
			on := func(s *Subinterface) bool { return s == nil || On(s.Enabled) }
			parent, _ := c.Key.Parent()
			if c.Key.Values()[0] == "0" && on(before) != on(after) {
				affected(v, parent.Values()[0], parent, redo)
			}
		}},
	}
}

// OnSubnet makes the ripples of what is on a link by the addresses that are configured:
// affected is called with a subnet when an address with it comes, changes or goes, when
// its interface moves to another instance, or is enabled or disabled.
func (m *Model) OnSubnet(affected func(v View, subnet netip.Prefix, redo func(schema.EntryKey))) []Ripple {
	address := func(v View, c schema.Change, redo func(schema.EntryKey)) {
		before, after := Subnet(c.Old), Subnet(c.New)
		if before == after {
			return
		}
		for _, p := range []netip.Prefix{before, after} {
			if p.IsValid() {
				affected(v, p, redo)
			}
		}
	}
	of := func(v View, iface schema.EntryKey, redo func(schema.EntryKey)) {
		v.SubnetsOf(iface, func(p netip.Prefix) { affected(v, p, redo) })
	}
	member := func(v View, c schema.Change, redo func(schema.EntryKey)) {
		before, _ := c.Old.(*Member)
		after, _ := c.New.(*Member)
		for _, i := range []*Member{before, after} {
			if i == nil || before != nil && after != nil && Str(before.Interface) == Str(after.Interface) {
				continue
			}
			if k, ok := v.InterfaceKey(Str(i.Interface)); ok {
				of(v, k, redo)
			}
		}
	}
	return append(m.OnInterface(func(v View, _ string, key schema.EntryKey, redo func(schema.EntryKey)) { of(v, key, redo) }),
		Ripple{List: m.Address4, Affected: address},
		Ripple{List: m.Address6, Affected: address},
		Ripple{List: m.Member, Affected: member})
}

// OnInstance makes the ripple of what is in an instance or refers to it: affected
// is called when it is enabled or disabled, or changes its type or table.
func (m *Model) OnInstance(affected func(v View, key schema.EntryKey, redo func(schema.EntryKey))) Ripple {
	return Ripple{List: m.Instance, Affected: func(v View, c schema.Change, redo func(schema.EntryKey)) {
		before, _ := c.Old.(*Instance)
		after, _ := c.New.(*Instance)
		if before == nil || after == nil {
			return
		}
		table, _ := Table(before)
		now, _ := Table(after)
		if before.Type != after.Type || On(before.Enabled) != On(after.Enabled) || table != now {
			affected(v, c.Key, redo)
		}
	}}
}

// OnSIDLink makes the ripples of what uses the link that carries the SIDs:
// affected is called when it gets another name, or when an interface of its name
// comes, goes, changes its type, or is enabled or disabled. The name is no reference: an interface
// of that name need not be there.
func (m *Model) OnSIDLink(affected func(v View, redo func(schema.EntryKey))) []Ripple {
	ripples := m.OnInterface(func(v View, name string, _ schema.EntryKey, redo func(schema.EntryKey)) {
		if name == v.SIDLink() {
			affected(v, redo)
		}
	})
	ripples = append(ripples, Ripple{List: m.Interface, Affected: func(v View, c schema.Change, redo func(schema.EntryKey)) {
		before, _ := c.Old.(*Interface)
		after, _ := c.New.(*Interface)
		if (before == nil || after == nil || before.Type != after.Type) && c.Key.Values()[0] == v.SIDLink() {
			affected(v, redo)
		}
	}})
	return append(ripples, Ripple{List: m.Instance, Affected: func(v View, c schema.Change, redo func(schema.EntryKey)) {
		before, _ := c.Old.(*Instance)
		after, _ := c.New.(*Instance)
		if c.Key == m.defaultKey && sidLink(before) != sidLink(after) {
			affected(v, redo)
		}
	}})
}

func sidLink(ni *Instance) string {
	if s := SRv6(ni); s != nil && s.SidInterface != nil {
		return *s.SidInterface
	}
	return defaultSIDLink
}
