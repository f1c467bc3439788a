package interfaces

import (
	"errors"

	"heddle/kernel/object"
	"heddle/translators"
)

// vxlanPort is the UDP port of VXLAN (RFC 7348 §8).
const vxlanPort = 4789

func gre(i *translators.Interface) (l object.Link, made bool, err error) {
	t := i.Tunnel
	if t == nil || t.Src == nil || t.Dst == nil {
		return l, false, errors.New("a tunnel needs tunnel/config/src and dst")
	}
	l = object.Link{Name: translators.Str(i.Name), Tunnel: object.Tunnel{Local: translators.Addr(t.Src), Remote: translators.Addr(t.Dst),
		Fragment: t.PathMtuDiscovery != nil && !*t.PathMtuDiscovery}}
	frames := i.Type == translators.TypeGRETap
	switch {
	case l.Tunnel.Over6() && frames:
		l.Type = object.LinkIP6GRETap
	case l.Tunnel.Over6():
		l.Type = object.LinkIP6GRE
	case frames:
		l.Type = object.LinkGRETap
	default:
		l.Type = object.LinkGRE
	}
	if t.Ttl != nil {
		l.Tunnel.TTL = *t.Ttl
	}
	if t.GreKey != nil {
		l.Tunnel.Key, l.Tunnel.Keyed = *t.GreKey, true
	}
	return l, true, nil
}

func vxlan(i *translators.Interface) (l object.Link, made bool, err error) {
	x := i.Vxlan
	if x == nil || x.Vni == nil {
		return l, false, errors.New("an interface of type VXLAN needs vxlan/config/vni")
	}
	l = object.Link{Name: translators.Str(i.Name), Type: object.LinkVXLAN, Parent: translators.Str(x.ParentInterface),
		Tunnel: object.Tunnel{Local: translators.Addr(x.Src), Remote: translators.Addr(x.Dst), VNI: *x.Vni, Port: vxlanPort, Learn: translators.On(x.Learning)}}
	if x.DestinationPort != nil {
		l.Tunnel.Port = *x.DestinationPort
	}
	if x.Ttl != nil {
		l.Tunnel.TTL = *x.Ttl
	}
	return l, true, nil
}
