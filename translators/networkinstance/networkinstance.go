// Package networkinstance translates /network-instances/network-instance itself
// and its interfaces: a VRF link with its routing table, and who belongs to it.
//
// A VRF without config/table-id gets translators.AllocateTable of its name. Its
// table ends in an unreachable default route of each family, or a lookup that
// finds nothing would go on in the main table. The default instance is the main
// table, which needs no link and no member.
package networkinstance

import (
	"errors"
	"fmt"
	"net/netip"

	"heddle/kernel/object"
	"heddle/schema"
	"heddle/translators"
)

var everything = []netip.Prefix{
	netip.PrefixFrom(netip.IPv4Unspecified(), 0),
	netip.PrefixFrom(netip.IPv6Unspecified(), 0),
}

// Units are the instance and each of its interfaces.
func Units(m *translators.Model) []translators.Unit {
	return []translators.Unit{
		{List: m.Instance, Translate: instance},
		{List: m.Member, Translate: member},
	}
}

// Ripples: an instance that changes takes its members along.
func Ripples(m *translators.Model) []translators.Ripple {
	return []translators.Ripple{
		m.OnInstance(func(v translators.View, key schema.EntryKey, redo func(schema.EntryKey)) {
			translators.Each(v, key, m.Member, func(k schema.EntryKey, _ *translators.Member) bool {
				redo(k)
				return true
			})
		}),
	}
}

func instance(v translators.View, key schema.EntryKey, entry schema.GoStruct, out *translators.Result) error {
	ni := entry.(*translators.Instance)
	if down := translators.InstanceDown(ni); down != "" {
		out.Withhold(key, down)
		return nil
	}
	switch ni.Type {
	case translators.InstanceDefault:
		return nil
	case translators.InstanceL3VRF:
	default:
		return fmt.Errorf("a network instance needs config/type, not %q", translators.EnumName(ni.Type))
	}
	table, vrf := translators.Table(ni)
	out.Own(
		object.Link{Name: vrf, Type: object.LinkVRF, Table: table},
		object.LinkConfig{Link: vrf, Admin: object.AdminUp},
	)
	for _, p := range everything {
		out.Own(&object.Route{Table: table, Prefix: p, Metric: object.LastMetric, Type: object.Unreachable, VRF: vrf})
	}
	out.ShareForwarding()
	return nil
}

func member(v translators.View, key schema.EntryKey, entry schema.GoStruct, out *translators.Result) error {
	m := entry.(*translators.Member)
	_, ni, ok := v.InstanceOf(key)
	if !ok || m.Interface == nil {
		return errors.New("a member needs its instance and config/interface")
	}
	if ni.Type != translators.InstanceL3VRF {
		return nil
	}
	if down := translators.InstanceDown(ni); down != "" {
		out.Withhold(key, down)
		return nil
	}
	out.Own(object.Member{Link: *m.Interface, Master: translators.Str(ni.Name)})
	return nil
}
