package kerneltest

import (
	"fmt"
	"net/netip"
	"syscall"

	"heddle/kernel/object"
)

// putProxy attaches programs. A link has one proxy whose packets come back on it.
func (f *Fake) putProxy(old, o object.Object) error {
	_, there := f.proxy(o.Key())
	if p, ok := o.(*object.Proxy); ok && old != nil {
		there = f.proxyOf[p.SID] != nil // to be changed it need not be whole
	}
	switch {
	case old == nil && there:
		return syscall.EEXIST
	case old != nil && !there:
		return syscall.ENOENT
	}
	switch o := o.(type) {
	case object.ProxyPort:
		l := f.links[o.Link]
		if l == nil {
			return says("link "+o.Link, syscall.ENODEV)
		}
		if l.proxyPorts == nil {
			l.proxyPorts = map[object.PortRole]bool{}
		}
		l.proxyPorts[o.Role] = true
	case *object.Proxy:
		if port, ok := f.portMissing(o); ok {
			return fmt.Errorf("no program for %v: %w", port, syscall.ENOENT)
		}
		for _, link := range o.Links() {
			switch l := f.links[link]; {
			case l == nil:
				return says("link "+link, syscall.ENODEV)
			case l.proxy.IsValid() && l.proxy != o.SID:
				return fmt.Errorf("what comes back on %s gets the headers of %s: %w", link, l.proxy, syscall.EBUSY)
			}
		}
		f.removeProxy(o.Key())
		f.proxyOf[o.SID] = o
		for _, link := range o.Links() {
			f.links[link].proxy = o.SID
		}
	}
	return nil
}

// proxies are those whose links are there.
func (f *Fake) proxies(kind object.Kind) (hs []held) {
	for _, l := range f.links {
		for role := range l.proxyPorts {
			if kind == object.KindProxyPort {
				hs = append(hs, held{object.ProxyPort{Link: l.name, Role: role}, true, ""})
			}
		}
	}
	if kind != object.KindProxy {
		return hs
	}
	for _, o := range f.proxyOf {
		p := *o
		if o.Behavior == object.EndAM {
			if _, missing := f.portMissing(o); !missing {
				hs = append(hs, held{&p, true, ""})
			}
			continue
		}
		p.In, p.Standby = f.comesBack(o.SID, o.In), f.comesBack(o.SID, o.Standby)
		if (p.In == "") == (o.In == "") && (p.Standby == "") == (o.Standby == "") {
			hs = append(hs, held{&p, true, ""})
		}
	}
	return hs
}

// portMissing is a port that a proxy needs and that is not there.
func (f *Fake) portMissing(p *object.Proxy) (object.ProxyPort, bool) {
	for _, port := range p.Ports() {
		if l := f.links[port.Link]; l == nil || !l.proxyPorts[port.Role] {
			return port, true
		}
	}
	return object.ProxyPort{}, false
}

// comesBack is a link on which packets of a SID come back, empty if it is not there any
// more.
func (f *Fake) comesBack(sid netip.Addr, link string) string {
	if l := f.links[link]; l != nil && l.proxy == sid {
		return l.name
	}
	return ""
}

func (f *Fake) proxy(k object.Key) (object.Object, bool) {
	for _, h := range f.proxies(k.Kind) {
		if h.object.Key() == k {
			return h.object, true
		}
	}
	return nil, false
}

func (f *Fake) removeProxy(k object.Key) (there bool) {
	for sid, p := range f.proxyOf {
		if p.Key() == k {
			delete(f.proxyOf, sid)
			there = true
		}
	}
	for _, l := range f.links {
		for role := range l.proxyPorts {
			if k == (object.ProxyPort{Link: l.name, Role: role}).Key() {
				delete(l.proxyPorts, role)
				there = true
			}
		}
		if l.proxy.IsValid() && object.ProxyKey(l.proxy) == k {
			l.proxy = netip.Addr{}
		}
	}
	return there
}
