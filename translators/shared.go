package translators

import "heddle/kernel/object"

// LoopbackLink is the kernel's own loopback device.
const LoopbackLink = "lo"

// ShareForwarding asks for IPv4 and IPv6 forwarding, without which a router
// drops what is not for itself: for a VRF, a SID and an encapsulation.
func (r *Result) ShareForwarding() {
	r.Share(
		object.Sysctl{Name: object.SysctlForward4, Value: "1"},
		object.Sysctl{Name: object.SysctlForward6, Value: "1"},
	)
}

// ShareStrictMode asks that a routing table belong to one VRF at most: the
// kernel makes no End.DT4 and End.DT46, nor End.DT6 by VRF table, without it.
func (r *Result) ShareStrictMode() {
	r.Share(object.Sysctl{Name: object.SysctlStrictMode, Value: "1"})
}

// ShareSIDLink returns the link that carries SIDs and encapsulations without a
// way out of their own, and asks for it where no interface of the name is
// configured. down says why it cannot be used; it is empty if it can.
func (v View) ShareSIDLink(r *Result) (link, down string) {
	link = v.SIDLink()
	if _, ok := v.InterfaceNamed(link); ok {
		return link, v.InterfaceDown(link)
	}
	if link != LoopbackLink {
		r.Share(
			object.Link{Name: link, Type: object.LinkDummy},
			object.LinkConfig{Link: link, Admin: object.AdminUp},
		)
	}
	return link, ""
}

// InterfaceDown says why packets cannot leave by a configured interface; it is
// empty if they can. The kernel refuses a route by a link that is down.
func (v View) InterfaceDown(name string) string {
	k, ok := v.InterfaceKey(name)
	if !ok {
		return ""
	}
	i, ok := get[*Interface](v, k)
	if !ok {
		return ""
	}
	if !On(i.Enabled) {
		return "interface " + name + " is disabled"
	}
	if sub, ok := v.SubinterfaceZero(k); ok && !On(sub.Enabled) {
		return "subinterface 0 of interface " + name + " is disabled"
	}
	return ""
}

// InstanceDown says why an instance is not in the kernel; it is empty if it is.
func InstanceDown(ni *Instance) string {
	if On(ni.Enabled) {
		return ""
	}
	return "network instance " + Str(ni.Name) + " is disabled"
}

// Table is the routing table of an instance, and the VRF link that owns it: ""
// for the default instance.
func Table(ni *Instance) (table uint32, vrf string) {
	if Str(ni.Name) == DefaultInstance {
		return object.TableMain, ""
	}
	if ni.TableId != nil {
		return *ni.TableId, Str(ni.Name)
	}
	return AllocateTable(Str(ni.Name)), Str(ni.Name)
}
