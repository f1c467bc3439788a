package translators

import "heddle/schema"

// maxLevels bounds how many links can lie one on top of the other, as Linux does
// (MAX_NEST_DEV in linux/netdevice.h).
const maxLevels = 8

// ParentOf is the name of the interface that another one is on, "" if it is on
// none.
func ParentOf(i *Interface) string {
	switch {
	case i.Type == TypeVLAN && i.Vlan != nil:
		return Str(i.Vlan.ParentInterface)
	case i.Type == TypeVXLAN && i.Vxlan != nil:
		return Str(i.Vxlan.ParentInterface)
	}
	return ""
}

// BridgeOf is the name of the bridge that an interface is a port of, "" for none.
func BridgeOf(i *Interface) string {
	if i.BridgePort == nil {
		return ""
	}
	return Str(i.BridgePort.Bridge)
}

// Below calls fn for the interfaces that one is on, the nearest first, until fn
// returns false. Of a ring it reports one round at most.
func (v View) Below(i *Interface, fn func(name string, below *Interface) bool) {
	for range maxLevels {
		name := ParentOf(i)
		below, ok := v.InterfaceNamed(name)
		if name == "" || !ok || !fn(name, below) {
			return
		}
		i = below
	}
}

// Above calls fn for the interfaces that are on the one called key, and for those on
// top of them.
func (v View) Above(key schema.EntryKey, fn func(schema.EntryKey)) {
	v.above1(key, maxLevels, fn)
}

func (v View) above1(key schema.EntryKey, levels int, fn func(schema.EntryKey)) {
	name := key.Values()[0]
	var found []schema.EntryKey
	v.Referrers(key, func(r schema.EntryKey) bool {
		// In the order of the schema: interfaces come before routes, of which there
		// may be many.
		if r.List() != v.Model.Interface.ListID {
			return r.List() < v.Model.Interface.ListID
		}
		if i, ok := get[*Interface](v, r); ok && ParentOf(i) == name {
			found = append(found, r)
		}
		return true
	})
	for _, k := range found {
		fn(k)
		if levels > 1 {
			v.above1(k, levels-1, fn)
		}
	}
}

// ConfiguredMTU is the MTU that an interface is given, in octets; nil: it is left
// as it is. A VLAN is given that of its parent where it has none of its own: it
// takes over what the parent has when it is made, which may be before the parent has
// what is configured.
func (v View) ConfiguredMTU(i *Interface) *uint16 {
	mtu, vlan := i.Mtu, i.Type == TypeVLAN
	v.Below(i, func(_ string, below *Interface) bool {
		if mtu == nil && vlan {
			mtu, vlan = below.Mtu, below.Type == TypeVLAN
		}
		return mtu == nil && vlan
	})
	return mtu
}

// OnParentMTU makes the ripple of what takes its MTU from an interface that it is on:
// affected is called when that gets another one, or another parent.
func (m *Model) OnParentMTU(affected func(v View, key schema.EntryKey, redo func(schema.EntryKey))) Ripple {
	return Ripple{List: m.Interface, Affected: func(v View, c schema.Change, redo func(schema.EntryKey)) {
		before, _ := c.Old.(*Interface)
		after, _ := c.New.(*Interface)
		if before != nil && after != nil && (!sameMTU(before.Mtu, after.Mtu) || ParentOf(before) != ParentOf(after)) {
			affected(v, c.Key, redo)
		}
	}}
}

func sameMTU(a, b *uint16) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
