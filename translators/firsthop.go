package translators

import (
	"fmt"
	"net/netip"

	"heddle/schema"
)

// FirstHop is what is known of the way to the first segment of a list.
type FirstHop struct {
	// Invalid says why there is none; it is empty if there is one.
	Invalid string

	// Configured: by configuration there is one, or the kernel has one that is not
	// ours; what is missing is a link.
	Configured bool
}

// FirstHop finds the way to the first segment of a list as the kernel does: by the
// longest prefix among the subnets of the addresses and the static routes of the
// default instance. It has to leave by a link that carries packets. Where the
// configuration has no way the kernel may have one that is not ours.
func (v View) FirstHop(segment netip.Addr) FirstHop {
	h, known := v.firstHops[segment]
	if !known {
		h = v.firstHop(segment)
		v.firstHops[segment] = h
	}
	return h
}

func (v View) firstHop(segment netip.Addr) (h FirstHop) {
	if v.isOwnSID(segment) {
		return FirstHop{Configured: true}
	}
	own := false
	v.AddressesAt(segment, func(iface schema.EntryKey) bool {
		own = v.InstanceOfLink(iface) == v.defaultKey
		return !own
	})
	if own {
		return FirstHop{Invalid: fmt.Sprintf("%s is an address of this node", segment)}
	}
	for bits := segment.BitLen(); bits >= 0; bits-- {
		p, _ := segment.Prefix(bits)
		w := v.waysTo(p)
		if w.drops && len(w.links) == 0 {
			return FirstHop{Invalid: fmt.Sprintf("the route to %s drops packets to %s", p, segment), Configured: h.Configured}
		}
		if w.elsewhere {
			return FirstHop{Configured: true}
		}
		dead := ""
		for _, link := range w.links {
			h.Configured = true
			switch f := v.facts.link(link, segment); f {
			case LinkUp:
				return FirstHop{Configured: true}
			case LinkDead:
				dead = fmt.Sprintf("%s is reached by %s, which %s", segment, link, f)
			case LinkAbsent:
				if h.Invalid == "" {
					h.Invalid = fmt.Sprintf("%s is reached by %s, which %s", segment, link, f)
				}
			}
		}
		if dead != "" { // the kernel keeps to this prefix
			return FirstHop{Invalid: dead, Configured: true}
		}
	}
	if v.facts.reaches(segment) {
		return FirstHop{Configured: true}
	}
	if h.Invalid == "" {
		h.Invalid = fmt.Sprintf("no subnet of an address or static route of instance %s, and no other route of the kernel, leads to %s", DefaultInstance, segment)
	}
	return h
}

// isOwnSID reports whether an address is a SID of this node, dynamic or not, or the binding SID of a
// policy that is enabled.
func (v View) isOwnSID(a netip.Addr) bool {
	if k, err := v.Key(v.defaultKey, v.Model.SID, a.String()); err == nil {
		if _, ok := v.Get(k); ok {
			return true
		}
	}
	if _, ok := v.DynamicAt(a); ok {
		return true
	}
	for _, k := range v.PoliciesBound(a.String()) {
		if p, ok := get[*Policy](v, k); ok && PolicyDown(p) == "" {
			return true
		}
	}
	return false
}

// waysOut are those of one prefix.
type waysOut struct {
	links     []string
	elsewhere bool // encapsulated, or in another instance: by no link of its own
	drops     bool
}

// waysTo finds the ways to a prefix that the kernel is given.
func (v View) waysTo(p netip.Prefix) (w waysOut) {
	term := prefixTerm(termSubnet, p)
	v.Terms(term, term+behind, func(k schema.EntryKey) bool {
		iface, i, ok := v.InterfaceOf(k)
		if ok && v.InterfaceDown(Str(i.Name)) == "" && v.InstanceOfLink(iface) == v.defaultKey {
			w.links = append(w.links, Str(i.Name))
		}
		return true
	})
	for _, proto := range v.ProtocolsOf(v.defaultKey) {
		e, ok := get[*Protocol](v, proto)
		k, err := v.Key(proto, v.Model.Static, p.String())
		if !ok || err != nil || !On(e.Enabled) {
			continue
		}
		for _, nh := range v.NextHopsOf(k) {
			v.addWayOut(&w, nh.NextHop)
		}
	}
	return w
}

// addWayOut adds the way of one next hop.
func (v View) addWayOut(w *waysOut, nh *NextHop) {
	instance := v.defaultKey
	if nh.NetworkInstance != nil {
		instance, _ = v.InstanceKey(*nh.NetworkInstance)
	}
	gateway, link := Gateway(nh), OutLink(nh)
	if link == "" && gateway.IsValid() && nh.Srv6Policy == nil {
		link = v.LinkTo(instance, gateway)
	}
	switch {
	case nh.NextHop == NextHopDrop:
		w.drops = true
	case link == "":
		w.elsewhere = true
	case v.InterfaceDown(link) == "":
		w.links = append(w.links, link)
	}
}

// FirstsWithin calls fn with the candidate paths that have a list whose first segment
// is in a prefix.
func (v View) FirstsWithin(p netip.Prefix, fn func(schema.EntryKey)) {
	if !p.IsValid() || !p.Addr().Is6() || !v.HasFirsts() {
		return
	}
	v.Terms(string(addressTerm(termFirst, p.Masked().Addr())), string(addressTerm(termFirst, LastOf(p)))+behind, func(list schema.EntryKey) bool {
		v.Referrers(list, func(k schema.EntryKey) bool {
			if k.List() == v.Model.WeightedList.ListID {
				fn(k)
			}
			return true
		})
		return true
	})
}

// HasFirsts reports whether there is a segment list.
func (v View) HasFirsts() bool {
	if v.firsts == nil {
		has := false
		v.Terms(string([]byte{termFirst}), string([]byte{termFirst + 1}), func(schema.EntryKey) bool {
			has = true
			return false
		})
		v.firsts = &has
	}
	return *v.firsts
}

// FirstsBy calls fn with the candidate paths whose first segment may be reached by a
// next hop of a static route.
func (v View) FirstsBy(nextHop schema.EntryKey, fn func(schema.EntryKey)) {
	if nextHop.List() != v.Model.NextHop.ListID || !v.HasFirsts() || inVRF(nextHop) {
		return
	}
	if static, ok := nextHop.Parent(); ok {
		v.FirstsWithin(Prefix(&static.Values()[0]), fn)
	}
}

// FirstsOver calls fn with the candidate paths whose first segment may be reached by an
// interface.
func (v View) FirstsOver(iface schema.EntryKey, fn func(schema.EntryKey)) {
	if !v.HasFirsts() {
		return
	}
	v.SubnetsOf(iface, func(p netip.Prefix) { v.FirstsBeside(p, fn) })
	v.Referrers(iface, func(k schema.EntryKey) bool {
		v.FirstsBy(k, fn)
		return true
	})
}

// FirstsBeside calls fn with the candidate paths whose first segment is in a subnet, or
// is reached by a neighbour there.
func (v View) FirstsBeside(subnet netip.Prefix, fn func(schema.EntryKey)) {
	if !subnet.IsValid() || !v.HasFirsts() {
		return
	}
	v.FirstsWithin(subnet, fn)
	v.NextHopsIn(subnet, func(k schema.EntryKey) { v.FirstsBy(k, fn) })
}
