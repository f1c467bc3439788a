package translators

import "heddle/schema"

// OnInterface makes the ripples of what depends on whether packets can leave by
// an interface: affected is called when it comes, goes, or is enabled or
// disabled.
func (m *Model) OnInterface(affected func(v View, name string, key schema.EntryKey, redo func(schema.EntryKey))) []Ripple {
	return []Ripple{
		{List: m.Interface, Affected: func(v View, c schema.Change, redo func(schema.EntryKey)) {
			before, _ := c.Old.(*Interface)
			after, _ := c.New.(*Interface)
			if before == nil || after == nil || On(before.Enabled) != On(after.Enabled) {
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

// OnInstance makes the ripple of what depends on an instance: affected is called
// when it comes, goes, is enabled or disabled, or changes its type or table.
func (m *Model) OnInstance(affected func(v View, key schema.EntryKey, redo func(schema.EntryKey))) Ripple {
	return Ripple{List: m.Instance, Affected: func(v View, c schema.Change, redo func(schema.EntryKey)) {
		before, _ := c.Old.(*Instance)
		after, _ := c.New.(*Instance)
		if before != nil && after != nil && before.Type == after.Type && On(before.Enabled) == On(after.Enabled) {
			table, _ := Table(before)
			if now, _ := Table(after); now == table {
				return
			}
		}
		affected(v, c.Key, redo)
	}}
}

// OnSIDLink makes the ripples of what uses the link that carries the SIDs:
// affected is called when it gets another name, or when an interface of its name
// comes, goes, or is enabled or disabled.
func (m *Model) OnSIDLink(affected func(v View, redo func(schema.EntryKey))) []Ripple {
	ripples := m.OnInterface(func(v View, name string, _ schema.EntryKey, redo func(schema.EntryKey)) {
		if name == v.SIDLink() {
			affected(v, redo)
		}
	})
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
