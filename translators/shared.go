package translators

import (
	"net/netip"
	"strconv"

	"heddle/kernel/object"
)

// LoopbackLink is the kernel's own loopback device.
const LoopbackLink = "lo"

// Made once, because many thousands ask for them.
var (
	forward4   object.Object = object.Sysctl{Name: object.SysctlForward4, Value: "1"}
	forward6   object.Object = object.Sysctl{Name: object.SysctlForward6, Value: "1"}
	noCompat   object.Object = object.Sysctl{Name: object.SysctlNextHopCompat, Value: "0"}
	strictMode object.Object = object.Sysctl{Name: object.SysctlStrictMode, Value: "1"}
)

// ShareForwarding asks for IPv4 and IPv6 forwarding, without which a router
// drops what is not for itself: for a VRF, a SID and an encapsulation.
func (r *Result) ShareForwarding() { r.Share(forward4, forward6) }

// ShareQuietNextHops asks that the change of a nexthop object cost the same
// whatever the number of routes by it.
func (r *Result) ShareQuietNextHops() { r.Share(noCompat) }

// ShareStrictMode asks that a routing table belong to one VRF at most: the
// kernel makes no End.DT4 and End.DT46, nor End.DT6 by VRF table, without it.
func (r *Result) ShareStrictMode() { r.Share(strictMode) }

// sidLinkState is what a snapshot says of the link that carries the SIDs: the
// same for every SID.
type sidLinkState struct {
	known      bool
	name, down string
	steady     bool
	objects    []object.Object
}

// ShareSIDLink returns the link that carries SIDs and encapsulations without a
// way out of their own, and asks for it where no interface of the name is
// configured. down says why it cannot be used; it is empty if it can.
func (v View) ShareSIDLink(r *Result) (link, down string) {
	s := v.sidLinkState()
	r.Share(s.objects...)
	return s.name, s.down
}

// SIDLinkSteady returns the name of the link that carries the SIDs if it is one
// of ours, or another dummy, which are never without carrier; otherwise "".
func (v View) SIDLinkSteady() string {
	if s := v.sidLinkState(); s.steady {
		return s.name
	}
	return ""
}

// CanShare reports whether IPv4 or IPv6 routes of the kernel can share their
// encapsulation.
func (v View) CanShare(ipv4 bool) bool {
	if ipv4 {
		return !v.kernel.OwnEncap4
	}
	return !v.kernel.OwnEncap6
}

// Encap is an encapsulation. Many thousands ask for the same few, which are one
// object; nil where a segment is no address.
func (v View) Encap(mode object.EncapMode, segments []string) *object.Encap {
	return v.EncapLike(object.Encap{Mode: mode}, segments)
}

// EncapLike is an encapsulation that is like another one in all but its segments.
func (v View) EncapLike(like object.Encap, segments []string) *object.Encap {
	var buf [256]byte
	text := append(buf[:0], byte(like.Mode))
	if like.Source.IsValid() {
		text = append(like.Source.AppendTo(text), ';')
	}
	if like.HMACKey != 0 {
		text = append(strconv.AppendUint(text, uint64(like.HMACKey), 10), '#')
	}
	for _, s := range segments {
		text = append(append(text, s...), ',')
	}
	e, known := v.encaps[string(text)]
	if known {
		return e
	}
	e = &like
	e.Segments = make([]netip.Addr, len(segments))
	for i := range segments {
		if e.Segments[i] = Addr(&segments[i]); !e.Segments[i].IsValid() {
			return nil
		}
	}
	v.encaps[string(text)] = e
	return e
}

// throwKey tells throw routes apart.
type throwKey struct {
	vrf   string
	table uint32
	to    netip.Addr
}

// ShareThrow asks for a route in the table of a VRF that sends the lookup of an
// address on to the main table.
func (v View) ShareThrow(r *Result, vrf string, table uint32, to netip.Addr) {
	k := throwKey{vrf, table, to}
	throw := v.throws[k]
	if throw == nil {
		throw = &object.Route{Table: table, Prefix: netip.PrefixFrom(to, to.BitLen()), Type: object.Throw, VRF: vrf}
		v.throws[k] = throw
	}
	r.Share(throw)
}

// hopKey tells next hops with an encapsulation of Encap apart.
type hopKey struct {
	encap   *object.Encap
	gateway netip.Addr
	link    string
}

// ShareHop asks for a next hop that routes share, and returns it.
func (v View) ShareHop(r *Result, hop object.NextHop) *object.SharedNextHop {
	k := hopKey{hop.Encap, hop.Gateway, hop.Link}
	h := v.hops[k]
	if h == nil {
		h = object.HopByContent(hop)
		v.hops[k] = h
	}
	r.Share(h)
	return h
}

func (v View) sidLinkState() *sidLinkState {
	s := &v.sidLink
	if !s.known {
		s.known, s.name = true, v.SIDLink()
		if i, ok := v.InterfaceNamed(s.name); ok {
			s.down = v.InterfaceDown(s.name)
			s.steady = i.Type == TypeDummy || i.Type == TypeSoftwareLoopback && s.name != LoopbackLink
		} else if s.name != LoopbackLink {
			kind := object.LinkDummy
			if v.kernel.SIDLinkIFB {
				kind = object.LinkIFB
			}
			s.objects = []object.Object{
				object.Link{Name: s.name, Type: kind},
				object.LinkConfig{Link: s.name, Admin: object.AdminUp},
			}
			s.steady = true
		}
	}
	return s
}

// InterfaceDown says why packets cannot leave by a configured interface; it is
// empty if they can. The kernel refuses a route by a link that is down.
func (v View) InterfaceDown(name string) string {
	down, known := v.down[name]
	if !known {
		down = v.interfaceDown(name)
		v.down[name] = down
	}
	return down
}

func (v View) interfaceDown(name string) string {
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
