package kerneltest

import (
	"errors"
	"net/netip"
	"strings"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// lifeCase is one object from its creation to its deletion.
type lifeCase struct {
	name   string
	before []object.Object // what it needs
	object object.Object
	change object.Object // what it is changed into in place; nil: it is not
}

func lifeCases() []lifeCase {
	const main = object.TableMain
	addrs := []object.Object{addr4, addr6}
	blue := []object.Object{vrfBlue, blueUp}
	decap := []object.Object{vrfBlue, vrfRed, strict}
	unreachable := route(vrfBlue.Table, "0.0.0.0/0")
	unreachable.Type, unreachable.Metric = object.Unreachable, 4278198272
	unreachable6 := route(vrfBlue.Table, "::/0")
	unreachable6.Type, unreachable6.Metric = object.Unreachable, 4278198272
	metric := route(main, "2001:db8:20::/48", via("2001:db8:1::2", "ext1"))
	metric.Metric = 7
	return []lifeCase{
		{"link/dummy", nil, dummySR, nil},
		{"link/ifb", nil, ifbSR, nil},
		{"link/vrf", nil, vrfBlue, nil},
		{"link/veth", nil, vethA, nil},
		{"link/vlan", nil, vlan7, nil},
		{"link/vlan-binding", nil, vlan7, object.Link{Name: vlan7.Name, Type: vlan7.Type, Parent: vlan7.Parent, VLAN: vlan7.VLAN, Bound: true}},
		{"link/bridge", nil, bridge0, nil},
		{"member/port", []object.Object{bridge0}, object.Member{Link: "ext0", Master: "bridge0"}, nil},
		{"member/port-vxlan", []object.Object{bridge0, vxlan5}, object.Member{Link: "vx5", Master: "bridge0"}, nil},
		{"link/gre", nil, gre1, nil},
		{"link/gre-plain", nil, object.Link{Name: "tun1", Type: object.LinkGRE, Tunnel: object.Tunnel{Local: addr4.Prefix.Addr(), Remote: neigh4.Addr, Fragment: true}}, nil},
		{"link/gretap", nil, object.Link{Name: "tap0", Type: object.LinkGRETap, Tunnel: gre1.Tunnel}, nil},
		{"link/ip6gre", nil, object.Link{Name: "tun6", Type: object.LinkIP6GRE, Tunnel: ends6}, nil},
		{"link/ip6gretap", nil, object.Link{Name: "tap6", Type: object.LinkIP6GRETap, Tunnel: ends6}, nil},
		{"link/vxlan", nil, vxlan5, nil},
		{"link/vxlan-ipv6", nil, object.Link{Name: "vx6", Type: object.LinkVXLAN, Tunnel: object.Tunnel{Local: ends6.Local, Remote: ends6.Remote, VNI: 6, Port: 8472}}, nil},
		{"link/vxlan-group", nil, object.Link{Name: "vx7", Type: object.LinkVXLAN, Parent: "ext1",
			Tunnel: object.Tunnel{Remote: netip.MustParseAddr("239.0.0.7"), VNI: 7, Port: 4789, TTL: 3, Learn: true}}, nil},
		{"link/vlan-service", nil, object.Link{Name: "tag0", Type: object.LinkVLAN, Parent: "ext1", VLAN: object.VLAN{ID: 7, Service: true}}, nil},
		{"link/vlan-on-vlan", []object.Object{vlan7}, object.Link{Name: "tag1", Type: object.LinkVLAN, Parent: "tag0", VLAN: object.VLAN{ID: 8}}, nil},
		{"member", []object.Object{vrfBlue}, inBlue, nil},
		{"linkconfig/mtu", nil, object.LinkConfig{Link: "ext0", MTU: 1400}, object.LinkConfig{Link: "ext0", MTU: 1450}},
		{"linkconfig/down", nil, object.LinkConfig{Link: "ext0", Admin: object.AdminDown}, nil},
		{"linkconfig/own", []object.Object{vethA}, object.LinkConfig{Link: "wire-a", MTU: 9000, Admin: object.AdminUp},
			object.LinkConfig{Link: "wire-a", MTU: 1500, Admin: object.AdminUp}},
		{"address/ipv4", nil, addr4, nil},
		{"address/ipv6", nil, addr6, nil},
		{"neighbour/ipv4", nil, neigh4, object.Neighbour{Link: "ext1", Addr: neigh4.Addr, MAC: object.MAC{2, 0, 0, 0, 0, 8}}},
		{"neighbour/ipv6", nil, neigh6, object.Neighbour{Link: "ext1", Addr: neigh6.Addr, MAC: object.MAC{2, 0, 0, 0, 0, 8}}},
		{"sysctl", nil, object.Sysctl{Name: object.SysctlForward6, Value: "1"}, object.Sysctl{Name: object.SysctlForward6, Value: "0"}},
		{"sysctl/link", nil, object.Sysctl{Name: object.SysctlLinkSeg6Enabled("ext0"), Value: "1", Link: "ext0"}, nil},
		{"sysctl/strict", []object.Object{vrfBlue}, strict, nil},
		{"sysctl/hmac", nil, object.Sysctl{Name: object.SysctlLinkSeg6HMAC("ext0"), Value: "1", Link: "ext0"},
			object.Sysctl{Name: object.SysctlLinkSeg6HMAC("ext0"), Value: "-1", Link: "ext0"}},
		{"hmackey/sha256", nil, hmacKey, object.HMACKey{ID: hmacKey.ID, Algorithm: object.HMACSHA256, Secret: "another one"}},
		{"hmackey/sha1", nil, object.HMACKey{ID: 1<<32 - 1, Algorithm: object.HMACSHA1, Secret: object.Secret(strings.Repeat("x", object.MaxHMACSecret))},
			object.HMACKey{ID: 1<<32 - 1, Algorithm: object.HMACSHA256, Secret: "x"}},
		{"encap/ipv4-hmac", append(addrs, hmacKey), route(main, "10.13.0.0/16", signed(encap(via("", "ext1"), object.HEncaps, segments...))),
			route(main, "10.13.0.0/16", encap(via("", "ext1"), object.HEncaps, segments...))},
		{"encap/ipv6-hmac-inline", append(addrs, hmacKey), route(main, "2001:db8:19::/48", signed(encap(via("", "ext1"), object.HInsert, segments...))), nil},
		{"encap/ipv6-hmac-red", append(addrs, hmacKey), route(main, "2001:db8:1a::/48", signed(encap(via("", "ext1"), object.HEncapsRed, segments[1]))), nil},
		{"nexthop/hmac", append(addrs, hmacKey), object.HopByContent(signed(encap(via("", "ext1"), object.HEncaps, segments...))), nil},
		{"tunsrc", nil, object.TunnelSource{Source: segments[0]}, object.TunnelSource{Source: segments[1]}},

		{"route/ipv4", addrs, route(main, "10.1.0.0/16", via("192.0.2.2", "ext1")), route(main, "10.1.0.0/16", via("192.0.2.3", "ext1"))},
		{"route/ipv4-on-link", addrs, route(main, "10.2.0.0/16", via("", "ext1")), nil},
		{"route/ipv4-via-ipv6", addrs, route(main, "10.3.0.0/16", via("fe80::2", "ext1")), nil},
		{"route/ipv4-multipath", addrs, route(main, "10.4.0.0/16", via("192.0.2.2", "ext1"), via("192.0.2.3", "ext1")),
			route(main, "10.4.0.0/16", via("192.0.2.3", "ext1"))},
		{"route/ipv4-blackhole", nil, route(main, "10.5.0.0/16"), nil},
		{"route/ipv4-gateway-only", addrs, route(main, "10.6.0.0/16", via("192.0.2.2", "")), nil},
		{"route/ipv6", addrs, route(main, "2001:db8:10::/48", via("2001:db8:1::2", "ext1")),
			route(main, "2001:db8:10::/48", via("fe80::3", "ext1"))},
		{"route/ipv6-metric", addrs, metric, nil},
		{"route/ipv6-multipath", addrs, route(main, "2001:db8:11::/48", via("2001:db8:1::3", "ext1"), via("2001:db8:1::2", "ext1")),
			route(main, "2001:db8:11::/48", via("2001:db8:1::2", "ext1"))},
		{"route/ipv6-blackhole", nil, route(main, "2001:db8:12::/48"), nil},
		{"route/vrf-ipv4", blue, unreachable, nil},
		{"route/vrf-ipv6", blue, unreachable6, nil},

		{"encap/ipv4", addrs, route(main, "10.7.0.0/16", encap(via("", "ext1"), object.HEncaps, segments...)),
			route(main, "10.7.0.0/16", encap(via("", "ext1"), object.HEncaps, segments[1]))},
		{"encap/ipv4-red", addrs, route(main, "10.8.0.0/16", encap(via("192.0.2.2", "ext1"), object.HEncapsRed, segments...)), nil},
		{"encap/ipv6", addrs, route(main, "2001:db8:13::/48", encap(via("2001:db8:1::2", "ext1"), object.HEncaps, segments[1])),
			route(main, "2001:db8:13::/48", via("2001:db8:1::2", "ext1"))},
		{"encap/ipv6-red", addrs, route(main, "2001:db8:14::/48", encap(via("", "ext1"), object.HEncapsRed, segments...)), nil},
		{"encap/ipv6-inline", addrs, route(main, "2001:db8:15::/48", encap(via("", "ext1"), object.HInsert, segments...)), nil},
		{"encap/ipv4-l2", addrs, route(main, "10.10.0.0/16", encap(via("", "ext1"), object.HEncapsL2, segments...)),
			route(main, "10.10.0.0/16", encap(via("", "ext1"), object.HEncaps, segments...))},
		{"encap/ipv6-l2-red", addrs, route(main, "2001:db8:18::/48", encap(via("", "ext1"), object.HEncapsL2Red, segments...)),
			route(main, "2001:db8:18::/48", encap(via("", "ext1"), object.HEncapsL2Red, segments[1]))},
		{"encap/vrf", append(blue, addrs...), route(vrfBlue.Table, "10.9.0.0/16", encap(via("", "ext1"), object.HEncaps, segments...)), nil},

		{"nexthop/content", addrs, hopA, nil},
		{"nexthop/gateway", addrs, object.HopByContent(encap(via("2001:db8:1::2", "ext1"), object.HEncapsRed, segments...)), nil},
		{"nexthop/name", addrs, hopNamed, object.HopByName("policy", encap(via("", "ext1"), object.HEncaps, segments[1]))},
		{"nexthop/ipv6", append(addrs, hopA, hopB), byHop(main, "2001:db8:16::/48", hopA), byHop(main, "2001:db8:16::/48", hopB)},
		{"nexthop/ipv4", append(addrs, hopA, hopB), byHop(main, "10.11.0.0/16", hopA), byHop(main, "10.11.0.0/16", hopB)},
		{"nexthop/ipv6-to-own", append(addrs, hopA), byHop(main, "2001:db8:16::/48", hopA),
			route(main, "2001:db8:16::/48", encap(via("", "ext1"), object.HEncaps, segments...))},
		{"nexthop/ipv4-from-own", append(addrs, hopA), route(main, "10.11.0.0/16", encap(via("", "ext1"), object.HEncaps, segments...)),
			byHop(main, "10.11.0.0/16", hopA)},
		{"nexthop/group", append(addrs, memberA, memberB), groupAB, groupA},
		{"nexthop/group-ipv6", append(addrs, memberA, groupA, hopA), byHop(main, "2001:db8:16::/48", groupA), byHop(main, "2001:db8:16::/48", hopA)},
		{"nexthop/group-ipv4", append(addrs, memberA, groupA, hopA), byHop(main, "10.11.0.0/16", hopA), byHop(main, "10.11.0.0/16", groupA)},
		{"nexthop/vrf-ipv4", append(blue, hopBlue), byHop(vrfBlue.Table, "10.12.0.0/16", hopBlue), nil},
		{"nexthop/vrf-ipv6", append(blue, hopBlue), byHop(vrfBlue.Table, "2001:db8:17::/48", hopBlue), nil},

		{"sid/end", nil, sid("fc00:9::1", object.End), sid("fc00:9::1", object.EndX, toHop("fe80::2"))},
		{"sid/end.x", nil, sid("fc00:9::2", object.EndX, toHop("fe80::2")), sid("fc00:9::2", object.EndX, toHop("fe80::3"))},
		{"sid/end.x-oif", nil, sid("fc00:9::3", object.EndX, toHop("fe80::2"), outBy("ext1")), nil},
		{"sid/end.dt6-table", nil, sid("fc00:9::4", object.EndDT6, func(s *object.LocalSID) { s.VRFTable = main }), nil},
		{"sid/end.dt6", decap, sid("fc00:9::5", object.EndDT6, inVRF(vrfBlue)), sid("fc00:9::5", object.EndDT6, inVRF(vrfRed))},
		{"sid/end.dt4", decap, sid("fc00:9::6", object.EndDT4, inVRF(vrfBlue)), sid("fc00:9::6", object.EndDT4, inVRF(vrfRed))},
		{"sid/end.dt46", decap, sid("fc00:9::7", object.EndDT46, inVRF(vrfBlue)), sid("fc00:9::7", object.EndDT46, inVRF(vrfRed))},
		{"sid/end.t", nil, sid("fc00:9::a", object.EndT, func(s *object.LocalSID) { s.VRFTable = main }), nil},
		{"sid/end.t-vrf", []object.Object{vrfBlue, vrfRed}, sid("fc00:9::b", object.EndT, inVRF(vrfBlue)), sid("fc00:9::b", object.EndT, inVRF(vrfRed))},
		{"sid/end.dx2", nil, sid("fc00:9::c", object.EndDX2, outBy("ext0")), sid("fc00:9::c", object.EndDX2, outBy("ext1"))},
		{"sid/end.dx4", nil, sid("fc00:9::d", object.EndDX4), sid("fc00:9::d", object.EndDX4, toHop("192.0.2.2"))},
		{"sid/end.dx6", nil, sid("fc00:9::e", object.EndDX6), sid("fc00:9::e", object.EndDX6, toHop("2001:db8:1::2"))},
		{"sid/end.b6", nil, sid("fc00:9::f", object.EndB6, bound(object.HInsert, segments...)), sid("fc00:9::f", object.EndB6, bound(object.HInsert, segments[1]))},
		{"sid/end.b6.encaps", nil, sid("fc00:9::10", object.EndB6Encaps, bound(object.HEncaps, segments...)),
			sid("fc00:9::10", object.EndB6Encaps, bound(object.HEncaps, segments[1], segments[0]))},
		{"sid/end-psp", nil, sid("fc00:9::11", object.End), sid("fc00:9::11", object.End, psp)},
		{"sid/end-next-csid", nil, sid("fcbb:bb00:100::", object.End, csid(32, 16)), sid("fcbb:bb00:100::", object.End, csid(24, 24))},
		{"sid/end-next-csid-16-8", nil, sid("fcbb:1::", object.End, csid(16, 16)), sid("fcbb:1::", object.End, csid(24, 8))},
		{"sid/end.x-next-csid", nil, sid("fcbb:bb00:100:e001::", object.EndX, toHop("fe80::2"), csid(32, 32)),
			sid("fcbb:bb00:100:e001::", object.EndX, toHop("fe80::3"), csid(48, 16))},
		{"sid/own-table", nil, sid("fc00:9::8", object.End, func(s *object.LocalSID) { s.Table = 300 }), nil},

		{"proxyport", nil, object.ProxyPort{Link: "ext1"}, nil},
		{"proxyport/out", nil, object.ProxyPort{Link: "ext1", Role: object.PortMasquerade}, nil},
		{"proxyport/back", nil, object.ProxyPort{Link: "ext1", Role: object.PortUnmask}, nil},
		{"proxy/end.am", []object.Object{proxyAM.Ports()[0], proxyAM.Ports()[1]}, proxyAM, proxyNAT},
		{"proxy/ethernet", nil, proxyL2, proxyAD},
		{"proxy/end.ad", nil, proxyAD, proxyAS},
		{"proxy/end.as", nil, proxyAS, proxyAD},
		{"proxy/bypass", nil, proxyAD, isDown(proxyAD, object.ProxyBypass)},
		{"proxy/back", nil, isDown(proxyAS, object.ProxyDrop), proxyAS},
		{"proxy/standby", nil, proxyAD, withStandby(proxyAD, "ext1", object.ProxyToStandby)},
		{"proxy/standby-gone", nil, withStandby(proxyAD, "ext1", object.ProxyToNF), proxyAD},
		{"proxy/standby-same-link", nil, withStandby(proxyAD, "ext0", object.ProxyToNF), withStandby(proxyAD, "ext0", object.ProxyDrop)},
	}
}

// life creates, reads back, changes and deletes, and refuses what makes no sense
// on the way.
func (k *contract) life(c lifeCase) {
	k.need(append(c.before, c.object)...)
	if c.change != nil {
		k.need(c.change)
		if r := k.do(reconcile.Step{Old: c.object, New: c.change}); r.Err == nil {
			k.Errorf("change of %v, which is not there, was accepted", c.object)
		}
	}
	k.create(c.before...)
	was, had := k.Foreign.Get(c.object.Key())
	if err := k.Driver.Check(k.ctx, []reconcile.Step{{New: c.object}}); err != nil {
		k.Fatalf("check %v: %v", c.object, err)
	}
	k.create(c.object)
	if !k.listed(c.object) {
		k.Fatalf("%v is not among what is ours", c.object)
	}
	if r := k.do(reconcile.Step{New: c.object}); r.Err == nil {
		k.Fatalf("a second %v was accepted", c.object)
	}
	k.holds(c.object)
	last := c.object
	if c.change != nil {
		// A link that stays is not in its own way.
		step := reconcile.Step{Old: c.object, New: c.change}
		if _, isLink := c.change.(object.Link); isLink {
			if err := k.Driver.Check(k.ctx, []reconcile.Step{step}); err != nil {
				k.Fatalf("check the change into %v: %v", c.change, err)
			}
		}
		r := k.do(step)
		if r.Err != nil || !c.change.Equal(r.Got) {
			k.Fatalf("change into %v: %v, holds %v", c.change, r.Err, r.Got)
		}
		k.holds(c.change)
		last = c.change
	}
	k.remove(last)
	if k.listed(last) {
		k.Fatalf("%v is still among what is ours", last)
	}
	if had {
		k.holds(was)
	} else {
		k.lacks(c.object)
	}
	k.remove(last)
	k.create(c.object)
}

// orphanCase is an object whose parent is not there.
type orphanCase struct {
	name   string
	object object.Object
	link   string // the link or next hop that is missing; empty: the kernel has to find out
}

func orphanCases() []orphanCase {
	const main = object.TableMain
	onNowhere := func(s *object.LocalSID) { s.Dev = "nowhere" }
	return []orphanCase{
		{"address", object.Address{Link: "nowhere", Prefix: addr4.Prefix}, "nowhere"},
		{"neighbour", object.Neighbour{Link: "nowhere", Addr: neigh4.Addr, MAC: neigh4.MAC}, "nowhere"},
		{"linkconfig", object.LinkConfig{Link: "nowhere", MTU: 1400}, "nowhere"},
		{"member-link", object.Member{Link: "nowhere", Master: "ext1"}, "nowhere"},
		{"member-master", object.Member{Link: "ext0", Master: "nowhere"}, "nowhere"},
		{"route", route(main, "10.1.0.0/16", via("", "nowhere")), "nowhere"},
		{"route-gateway", route(main, "10.1.0.0/16", via("198.51.100.1", "")), ""},
		{"nexthop", object.HopByContent(encap(via("", "nowhere"), object.HEncaps, segments...)), "nowhere"},
		{"group-member", groupA, memberA.ID},
		{"route-nexthop", byHop(main, "2001:db8:16::/48", hopA), hopA.ID},
		{"sid", sid("fc00:9::1", object.End, onNowhere), "nowhere"},
		{"sid-out-link", sid("fc00:9::1", object.EndDX2, outBy("nowhere")), "nowhere"},
		{"sid-no-ethernet", sid("fc00:9::1", object.EndDX2, outBy("lo")), "lo"},
		{"vxlan-parent", object.Link{Name: "vx7", Type: object.LinkVXLAN, Parent: "nowhere", Tunnel: vxlan5.Tunnel}, "nowhere"},
		{"vlan-parent", object.Link{Name: "tag0", Type: object.LinkVLAN, Parent: "nowhere", VLAN: object.VLAN{ID: 7}}, "nowhere"},
		{"veth-peer", object.Link{Name: "wire-b", Type: object.LinkVeth, Peer: "wire-a"}, ""},
	}
}

// orphan is refused by Check, which names the link, and by Do, which makes nothing.
func (k *contract) orphan(c orphanCase) {
	k.need(c.object)
	step := reconcile.Step{New: c.object}
	if c.link != "" {
		k.refused(step, c.link)
	}
	if r := k.do(step); r.Err == nil {
		k.Fatalf("%v was accepted", c.object)
	}
	if k.listed(c.object) {
		k.Fatalf("%v is among what is ours", c.object)
	}
}

// refused checks that Check refuses the last step of a plan, and says why.
func (k *contract) refused(step reconcile.Step, word string) {
	k.Helper()
	err := k.Driver.Check(k.ctx, []reconcile.Step{step})
	var se *reconcile.StepError
	if !errors.As(err, &se) {
		k.Fatalf("check of %v: %v is no *StepError", step, err)
	}
	if se.Step.Key() != step.Key() {
		k.Fatalf("check of %v is about %v", step, se.Step)
	}
	if word != "" && !contains(err, word) {
		k.Fatalf("check of %v does not name %q: %v", step, word, err)
	}
}
