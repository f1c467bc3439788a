package rules

import (
	"heddle/schema"
	"heddle/translators"
)

func instanceRules(m *translators.Model) []rule {
	return []rule{
		{"instance-type", m.Instance, instanceType},
		{"instance-name", m.Instance, instanceName},
		{"instance-table", m.Instance, instanceTable},
		{"member-interface", m.Member, memberInterface},
		{"member-once", m.Member, memberOnce},
	}
}

func instanceType(c *check, k schema.EntryKey, entry, was schema.GoStruct) {
	ni := entry.(*translators.Instance)
	name := translators.Str(ni.Name)
	switch {
	case ni.Type == translators.InstanceUnset:
		c.fail(k, "config/type", "", "a network instance needs a type",
			"set config/type to L3VRF, or to DEFAULT_INSTANCE for the instance "+translators.DefaultInstance)
	case (name == translators.DefaultInstance) != (ni.Type == translators.InstanceDefault):
		c.fail(k, "config/type", translators.EnumName(ni.Type), "the instance "+translators.DefaultInstance+" is the default instance, and no other is",
			"use DEFAULT_INSTANCE for "+translators.DefaultInstance+" and L3VRF for every other name")
	}
}

func instanceName(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	ni := entry.(*translators.Instance)
	name := translators.Str(ni.Name)
	if ni.Type != translators.InstanceL3VRF {
		return
	}
	switch name {
	case "all", "default", translators.LoopbackLink:
		c.fail(k, "config/name", name, "the kernel keeps this name for itself, and the VRF is a link of this name", "choose another name")
		return
	case c.carrier():
		c.fail(k, "config/name", name, "the link that carries the SIDs has this name",
			"choose another name, or another sid-interface in instance "+translators.DefaultInstance)
		return
	}
	if _, ok := c.InterfaceNamed(name); ok {
		c.fail(k, "config/name", name, "an interface has this name, and the VRF is a link of this name", "rename one of the two")
	}
}

func instanceTable(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	ni := entry.(*translators.Instance)
	if ni.TableId == nil {
		return
	}
	switch table := *ni.TableId; {
	case ni.Type == translators.InstanceDefault:
		c.fail(k, "config/table-id", text(table), "the default instance is the kernel's main table", "delete config/table-id")
	case table == 0 || table >= 253 && table <= 255:
		c.fail(k, "config/table-id", text(table), "the kernel keeps tables 0 and 253 to 255 for itself", "use another number")
	}
}

func memberInterface(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	m := entry.(*translators.Member)
	if m.Interface == nil {
		c.fail(k, "config/interface", "", "the entry names no interface", "set config/interface to the name of one")
		return
	}
	if m.Subinterface != nil && *m.Subinterface != 0 {
		c.fail(k, "config/subinterface", text(*m.Subinterface), "only subinterface 0, the link itself, can be configured", "use 0")
	}
	_, ni, ok := c.InstanceOf(k)
	if !ok || ni.Type != translators.InstanceL3VRF {
		return
	}
	switch *m.Interface {
	case translators.LoopbackLink:
		c.fail(k, "config/interface", *m.Interface, "lo cannot leave the default instance", "use a dummy interface")
	case c.carrier():
		c.fail(k, "config/interface", *m.Interface, "this link carries the SIDs, which are in the default instance",
			"use another interface, or another sid-interface in instance "+translators.DefaultInstance)
	}
}

func memberOnce(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	m := entry.(*translators.Member)
	if m.Interface == nil {
		return
	}
	target, ok := c.InterfaceKey(*m.Interface)
	if !ok {
		return
	}
	c.Referrers(target, func(other schema.EntryKey) bool {
		if other == k || other.List() != c.Member.ListID {
			return true
		}
		c.fail(k, "config/interface", *m.Interface, "the interface belongs to one instance at most, and "+c.Text(other)+" has it",
			"delete one of the two")
		return false
	})
}
