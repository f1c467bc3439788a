// Package interfaces translates /interfaces: links that are made, settings of
// links that are there, addresses, and neighbours.
//
// An interface without a type, or of type ethernetCsmacd, is a link that
// somebody else made: it gets settings and addresses and is never created or
// deleted. The same goes for softwareLoopback lo; any other name of that type is
// a dummy link, because Linux has one loopback device.
//
// It is a pure function of the configuration and knows nothing of network
// instances: that an address is put on after its link joined a VRF is in the
// objects' needs.
package interfaces

import (
	"errors"
	"fmt"
	"net/netip"

	"heddle/kernel/object"
	"heddle/schema"
	"heddle/translators"
)

// Units are the interface and each of its addresses and neighbours.
func Units(m *translators.Model) []translators.Unit {
	return []translators.Unit{
		{List: m.Interface, Parts: []*schema.Node{m.Subinterface}, Translate: translate},
		{List: m.Address4, Translate: address},
		{List: m.Address6, Translate: address},
		{List: m.Neighbour4, Translate: neighbour},
		{List: m.Neighbour6, Translate: neighbour},
	}
}

// Ripples: a VLAN has the MTU of its parent.
func Ripples(m *translators.Model) []translators.Ripple {
	return []translators.Ripple{
		m.OnParentMTU(func(v translators.View, key schema.EntryKey, redo func(schema.EntryKey)) { v.Above(key, redo) }),
	}
}

func translate(v translators.View, key schema.EntryKey, entry schema.GoStruct, out *translators.Result) error {
	i := entry.(*translators.Interface)
	name := translators.Str(i.Name)
	link, made, err := link(i)
	if err != nil {
		return err
	}
	if made {
		out.Own(link)
	}
	config := object.LinkConfig{Link: name, Admin: object.AdminUp}
	if v.InterfaceDown(name) != "" {
		config.Admin = object.AdminDown
	}
	if mtu := v.ConfiguredMTU(i); mtu != nil {
		config.MTU = uint32(*mtu)
	}
	out.Own(config)
	if bridge := translators.BridgeOf(i); bridge != "" {
		out.Own(object.Member{Link: name, Master: bridge})
	}
	return nil
}

// link is the link that an interface asks for; made is false if it is about one
// that is there.
func link(i *translators.Interface) (l object.Link, made bool, err error) {
	name := translators.Str(i.Name)
	switch i.Type {
	case translators.TypeUnset, translators.TypeEthernet:
		return l, false, nil
	case translators.TypeSoftwareLoopback:
		return object.Link{Name: name, Type: object.LinkDummy}, name != translators.LoopbackLink, nil
	case translators.TypeDummy:
		return object.Link{Name: name, Type: object.LinkDummy}, true, nil
	case translators.TypeBridge:
		return object.Link{Name: name, Type: object.LinkBridge}, true, nil
	case translators.TypeVeth:
		if i.Veth == nil || i.Veth.Peer == nil {
			return l, false, errors.New("an interface of type VETH needs veth/config/peer")
		}
		return object.Link{Name: name, Type: object.LinkVeth, Peer: *i.Veth.Peer}, true, nil
	case translators.TypeVLAN:
		if i.Vlan == nil || i.Vlan.ParentInterface == nil || i.Vlan.VlanId == nil {
			return l, false, errors.New("an interface of type l2vlan needs vlan/config/parent-interface and vlan-id")
		}
		tag := object.VLAN{ID: *i.Vlan.VlanId, Service: i.Vlan.Tpid == translators.TPIDService}
		return object.Link{Name: name, Type: object.LinkVLAN, Parent: *i.Vlan.ParentInterface, VLAN: tag}, true, nil
	case translators.TypeTunnel, translators.TypeGRETap:
		return gre(i)
	case translators.TypeVXLAN:
		return vxlan(i)
	}
	return l, false, fmt.Errorf("an interface of type %s cannot be configured", translators.EnumName(i.Type))
}

func address(v translators.View, key schema.EntryKey, entry schema.GoStruct, out *translators.Result) error {
	var ip *string
	var length *uint8
	switch a := entry.(type) {
	case *translators.Address4:
		ip, length = a.Ip, a.PrefixLength
	case *translators.Address6:
		ip, length = a.Ip, a.PrefixLength
	}
	addr := translators.Addr(ip)
	if !addr.IsValid() || length == nil {
		return errors.New("an address needs config/ip and config/prefix-length")
	}
	_, i, ok := v.InterfaceOf(key)
	if !ok {
		return errors.New("an address needs the interface it is on")
	}
	out.Own(object.Address{Link: translators.Str(i.Name), Prefix: netip.PrefixFrom(addr, int(*length))})
	return nil
}

func neighbour(v translators.View, key schema.EntryKey, entry schema.GoStruct, out *translators.Result) error {
	var ip, mac *string
	switch n := entry.(type) {
	case *translators.Neighbour4:
		ip, mac = n.Ip, n.LinkLayerAddress
	case *translators.Neighbour6:
		ip, mac = n.Ip, n.LinkLayerAddress
	}
	_, i, ok := v.InterfaceOf(key)
	if !ok {
		return errors.New("a neighbour needs the interface it is on")
	}
	addr := translators.Addr(ip)
	to, err := object.ParseMAC(translators.Str(mac))
	if !addr.IsValid() || err != nil {
		return errors.New("a neighbour needs config/ip and config/link-layer-address")
	}
	out.Own(object.Neighbour{Link: translators.Str(i.Name), Addr: addr, MAC: to})
	return nil
}
