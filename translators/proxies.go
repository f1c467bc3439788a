package translators

import (
	"net/netip"

	"heddle/schema"
)

// ProxyIn is the interface on which the NF of a proxy gives packets back.
func ProxyIn(p *Proxy) string {
	if p.IncomingInterface != nil {
		return *p.IncomingInterface
	}
	return Str(p.OutgoingInterface)
}

// ProxiesWith calls fn for the SIDs that are proxies whose NF, or standby NF, has this
// incoming interface, until it returns false.
func (v View) ProxiesWith(in string, fn func(schema.EntryKey) bool) {
	term := namedTerm(termProxyIn, in)
	v.Terms(term, term+behind, fn)
}

// Proxies calls fn for all of them, until it returns false.
func (v View) Proxies(fn func(schema.EntryKey) bool) {
	v.Terms(string(rune(termProxyIn)), string(rune(termProxyIn+1)), fn)
}

// HasProxies reports whether there are any.
func (v View) HasProxies() (has bool) {
	v.Proxies(func(schema.EntryKey) bool {
		has = true
		return false
	})
	return has
}

// IsEthernet reports whether an interface carries Ethernet frames: all do but the
// loopback and tunnels of IP.
func (v View) IsEthernet(name string) bool {
	i, ok := v.InterfaceNamed(name)
	return name != LoopbackLink && (!ok || i.Type != TypeSoftwareLoopback && i.Type != TypeTunnel)
}

// NodeSource is the source of encapsulations of the node; invalid: none is
// configured.
func (v View) NodeSource() netip.Addr {
	ni, ok := get[*Instance](v, v.defaultKey)
	if !ok {
		return netip.Addr{}
	}
	if s := SRv6(ni); s != nil {
		return Addr(s.SourceAddress)
	}
	return netip.Addr{}
}

// OnProxies makes the ripple of what depends on there being proxies: affected is
// called when a SID becomes one, or ceases to be.
func (m *Model) OnProxies(affected func(v View, redo func(schema.EntryKey))) Ripple {
	return Ripple{List: m.SID, Affected: func(v View, c schema.Change, redo func(schema.EntryKey)) {
		before, _ := c.Old.(*SID)
		after, _ := c.New.(*SID)
		if (before != nil && before.Proxy != nil) != (after != nil && after.Proxy != nil) {
			affected(v, redo)
		}
	}}
}

// OnNodeSource makes the ripple of what has the node's source: affected is called when
// it becomes another.
func (m *Model) OnNodeSource(affected func(v View, redo func(schema.EntryKey))) Ripple {
	source := func(e schema.GoStruct) netip.Addr {
		ni, _ := e.(*Instance)
		if s := SRv6(ni); s != nil {
			return Addr(s.SourceAddress)
		}
		return netip.Addr{}
	}
	return Ripple{List: m.Instance, Affected: func(v View, c schema.Change, redo func(schema.EntryKey)) {
		if c.Key == m.defaultKey && source(c.Old) != source(c.New) {
			affected(v, redo)
		}
	}}
}
