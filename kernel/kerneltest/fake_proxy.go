package kerneltest

import (
	"fmt"
	"syscall"

	"heddle/kernel/object"
)

// putProxy attaches programs. A link has one proxy whose packets come back on it.
func (f *Fake) putProxy(old, o object.Object) error {
	switch _, there := f.proxy(o.Key()); {
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
		l.proxyPort = true
	case *object.Proxy:
		l := f.links[o.In]
		if l == nil {
			return says("link "+o.In, syscall.ENODEV)
		}
		if l.proxy != nil && l.proxy.SID != o.SID {
			return fmt.Errorf("what comes back on %s gets the headers of %s: %w", o.In, l.proxy.SID, syscall.EBUSY)
		}
		f.removeProxy(o.Key())
		l.proxy = o
	}
	return nil
}

func (f *Fake) proxies(kind object.Kind) (hs []held) {
	for _, l := range f.links {
		if kind == object.KindProxyPort && l.proxyPort {
			hs = append(hs, held{object.ProxyPort{Link: l.name}, true, ""})
		}
		if kind == object.KindProxy && l.proxy != nil {
			p := *l.proxy
			p.In = l.name
			hs = append(hs, held{&p, true, ""})
		}
	}
	return hs
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
	for _, l := range f.links {
		switch {
		case k == object.ProxyPort{Link: l.name}.Key() && l.proxyPort:
			l.proxyPort, there = false, true
		case l.proxy != nil && l.proxy.Key() == k:
			l.proxy, there = nil, true
		}
	}
	return there
}
