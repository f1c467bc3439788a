// Package probe finds out what this kernel can do, by doing it in a network
// namespace of its own: version numbers say little about distribution kernels,
// and success says little either, because kernels ignore what they do not know.
// A feature counts as there when the kernel takes an object and holds it as
// asked for.
//
// It serves the drivers' checks before a commit, the capability report, and
// tests that decide what to skip. It knows the drivers and no configuration.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/kernel/prior"
	"heddle/kernel/rtnl"
	"heddle/kernel/srproxy"
	"heddle/kernel/sysctl"
	"heddle/reconcile"
)

// Support is whether the kernel has a feature.
type Support struct {
	OK     bool
	Reason string // what the kernel answered; empty when OK
	Remedy string // what to do about it; empty when OK
	Log    string // more of what the kernel said, for who has to find out why; may be empty
}

// Capabilities is what a kernel can do, by feature.
type Capabilities map[rtnl.Feature]Support

// Lacks says in one line which feature o needs and the kernel lacks; empty when
// it has them all.
func (c Capabilities) Lacks(o object.Object) string {
	for _, f := range rtnl.Features(o) {
		if s, tried := c[f]; tried && !s.OK {
			return fmt.Sprintf("kernel lacks %s (%s): %s", f, s.Reason, s.Remedy)
		}
	}
	return ""
}

// Prober runs the probe when it is first asked and keeps the answer. The zero
// value is ready. It implements rtnl.Support.
type Prober struct {
	kernel, programs asked
}

// asked is what a probe has found, once it was asked.
type asked struct {
	mu   sync.Mutex // guards what follows
	caps Capabilities
	err  error
}

// Capabilities returns what the kernel can do, but for Programs.
func (p *Prober) Capabilities(ctx context.Context) (Capabilities, error) {
	return p.kernel.ask(ctx, Run)
}

// Programs returns what it can do with programs of ours.
func (p *Prober) Programs(ctx context.Context) (Capabilities, error) {
	return p.programs.ask(ctx, Programs)
}

func (p *asked) ask(ctx context.Context, probe func(context.Context) (Capabilities, error)) (Capabilities, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.caps == nil && p.err == nil {
		p.caps, p.err = probe(ctx)
		if p.err != nil && ctx.Err() != nil {
			err := p.err
			p.err = nil // ended early, not answered
			return nil, err
		}
	}
	return p.caps, p.err
}

// Supports implements rtnl.Support.
func (p *Prober) Supports(ctx context.Context, f rtnl.Feature) error {
	ask := p.Capabilities
	if f == rtnl.FeatureProxy {
		ask = p.Programs
	}
	caps, err := ask(ctx)
	if err != nil {
		return err
	}
	if s, tried := caps[f]; tried && !s.OK {
		return &rtnl.UnsupportedError{Feature: f, Reason: s.Reason, Remedy: s.Remedy}
	}
	return nil
}

// Run tries every feature in a new network namespace, which is gone, with all
// that was tried, when it returns. It needs CAP_SYS_ADMIN. It takes some tens of
// milliseconds, and longer where kernel modules are loaded for it.
func Run(ctx context.Context) (Capabilities, error) { return inNamespace(ctx, run) }

// Rest tries the types of links that Run leaves out, because loading their modules
// makes devices in the first network namespace.
func Rest(ctx context.Context) (Capabilities, error) {
	return inNamespace(ctx, func(ctx context.Context) (Capabilities, error) {
		d, err := rtnl.Open(rtnl.Config{})
		if err != nil {
			return nil, err
		}
		defer d.Close()
		over := func(a, b string) object.Tunnel {
			return object.Tunnel{Local: netip.MustParseAddr(a), Remote: netip.MustParseAddr(b)}
		}
		v4, v6 := over("192.0.2.1", "192.0.2.2"), over("2001:db8::1", "2001:db8::2")
		caps := make(Capabilities)
		for f, l := range map[rtnl.Feature]object.Link{
			rtnl.FeatureIFB:       {Type: object.LinkIFB},
			rtnl.FeatureGRE:       {Type: object.LinkGRE, Tunnel: v4},
			rtnl.FeatureGRETap:    {Type: object.LinkGRETap, Tunnel: v4},
			rtnl.FeatureIP6GRE:    {Type: object.LinkIP6GRE, Tunnel: v6},
			rtnl.FeatureIP6GRETap: {Type: object.LinkIP6GRETap, Tunnel: v6},
		} {
			l.Name = "hp-" + string(l.Type) // at most 15 octets
			caps[f] = Support{OK: true}
			if r := d.Do(ctx, []reconcile.Step{{New: l}})[0]; r.Err != nil {
				caps[f] = Support{Reason: reason(r.Err), Remedy: "load the kernel module for links of type " + string(l.Type)}
			}
		}
		return caps, ctx.Err()
	})
}

// inNamespace calls fn in a new network namespace, which is gone when it returns.
func inNamespace(ctx context.Context, fn func(context.Context) (Capabilities, error)) (Capabilities, error) {
	type answer struct {
		caps Capabilities
		err  error
	}
	done := make(chan answer)
	go func() {
		// Stays locked: the thread, and with it the namespace, ends here.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- answer{err: fmt.Errorf("make network namespace: %w", err)}
			return
		}
		caps, err := fn(ctx)
		done <- answer{caps, err}
	}()
	a := <-done
	if a.err != nil {
		return nil, fmt.Errorf("probe kernel: %w", a.err)
	}
	return a.caps, nil
}

const (
	table     = 1000
	probeVRF  = "hprobevrf"
	probeLink = "hprobe0"
	probePeer = "hprobe1"
)

// trial is one feature and the object that shows it.
type trial struct {
	feature rtnl.Feature
	object  object.Object
	remedy  string
}

func run(ctx context.Context) (Capabilities, error) {
	links, err := rtnl.Open(rtnl.Config{})
	if err != nil {
		return nil, err
	}
	defer links.Close()
	params, err := sysctl.Open(nil)
	if err != nil {
		return nil, err
	}
	defer params.Close()

	caps := make(Capabilities)
	try := func(d reconcile.Driver, t trial) {
		r := d.Do(ctx, []reconcile.Step{{New: t.object}})[0]
		if r.Err == nil {
			caps[t.feature] = Support{OK: true}
			return
		}
		caps[t.feature] = Support{Reason: reason(r.Err), Remedy: t.remedy}
	}
	for _, t := range linkTrials() {
		try(links, t)
	}
	if !caps[rtnl.FeatureDummy].OK {
		// Not tried elsewhere: it is wanted in place of a dummy only, and loading
		// the module makes two devices in the first namespace.
		try(links, trial{rtnl.FeatureIFB, object.Link{Name: "hprobei", Type: object.LinkIFB},
			"load the kernel module ifb, or use a kernel built with CONFIG_IFB"})
	}
	dev := "lo"
	if caps[rtnl.FeatureVeth].OK {
		dev = probeLink
	}
	up := links.Do(ctx, []reconcile.Step{
		{New: object.LinkConfig{Link: dev, Admin: object.AdminUp}}, {New: object.LinkConfig{Link: peerOf(dev), Admin: object.AdminUp}}})
	if up[0].Err != nil {
		return nil, fmt.Errorf("set link up: %w", up[0].Err)
	}
	try(params, trial{rtnl.FeatureStrictMode, object.Sysctl{Name: object.SysctlStrictMode, Value: "1"},
		"use Linux 5.9 or later with the module vrf"})
	hop := sharedHop(dev)
	try(links, trial{rtnl.FeatureSharedHop6, hop, sharedRemedy})
	caps[rtnl.FeatureSharedHop4], caps[rtnl.FeatureHopGroup] = caps[rtnl.FeatureSharedHop6], caps[rtnl.FeatureSharedHop6]
	if caps[rtnl.FeatureSharedHop6].OK {
		try(links, sharedTrial(rtnl.FeatureSharedHop6, hop, "2001:db8:5::/48"))
		try(links, sharedTrial(rtnl.FeatureSharedHop4, hop, "198.18.5.0/24"))
		try(links, trial{rtnl.FeatureHopGroup, object.PolicyMember("probe", 0, hop.Hop), groupRemedy})
		try(links, trial{rtnl.FeatureHopGroup, object.PolicyMember("probe", 1, hop.Hop), groupRemedy})
		try(links, trial{rtnl.FeatureHopGroup, object.PolicyGroup("probe", []uint16{1, object.MaxGroupWeight}), groupRemedy})
	}
	for _, t := range append(sidTrials(dev), routeTrials(dev)...) {
		try(links, t)
	}
	return caps, ctx.Err()
}

// Programs tries what is done by programs of our own, as Run tries the rest: it is
// apart because the verifier takes its time.
func Programs(ctx context.Context) (Capabilities, error) {
	return inNamespace(ctx, func(ctx context.Context) (Capabilities, error) {
		scope, err := prior.Scope() // of this namespace: several processes may be at it
		if err != nil {
			return nil, err
		}
		links, err := rtnl.Open(rtnl.Config{})
		if err != nil {
			return nil, err
		}
		defer links.Close()
		if r := links.Do(ctx, []reconcile.Step{{New: object.Link{Name: probeLink, Type: object.LinkVeth, Peer: probePeer}}}); r[0].Err != nil {
			return nil, r[0].Err
		}
		d, err := srproxy.Open(srproxy.Config{Scope: "probe-" + strings.ReplaceAll(scope, " ", "-")})
		if err != nil {
			return nil, err
		}
		defer d.Close()
		p := &object.Proxy{SID: netip.MustParseAddr("fc00::fd"), Behavior: object.EndAD, Inner: object.InnerIPv4, In: probeLink}
		if r := d.Do(ctx, []reconcile.Step{{New: p}}); r[0].Err != nil {
			return Capabilities{rtnl.FeatureProxy: {Reason: reason(r[0].Err), Log: verifierLog(r[0].Err),
				Remedy: "use Linux 6.1 or later built with CONFIG_BPF_SYSCALL, CONFIG_DEBUG_INFO_BTF and CONFIG_NET_CLS_BPF"}}, ctx.Err()
		}
		gone := d.Do(context.WithoutCancel(ctx), []reconcile.Step{{Old: p}}) // nothing stays pinned
		return Capabilities{rtnl.FeatureProxy: {OK: true}}, gone[0].Err
	})
}

// verifierLog is what the verifier of the kernel said of a program.
func verifierLog(err error) string {
	if v, ok := errors.AsType[*srproxy.VerifierError](err); ok {
		return v.Log
	}
	return ""
}

// peerOf is the link to take up with dev; taking lo up twice does no harm.
func peerOf(dev string) string {
	if dev == probeLink {
		return probePeer
	}
	return dev
}

// reason is what the kernel said, or what it dropped.
func reason(err error) string {
	if k, ok := errors.AsType[*rtnl.KernelError](err); ok {
		if k.Text != "" {
			return k.Text
		}
		return k.Errno.Error()
	}
	if u, ok := errors.AsType[*rtnl.UnsupportedError](err); ok && u.Reason != "" {
		return u.Reason
	}
	if d, ok := errors.AsType[*rtnl.DroppedError](err); ok {
		return "accepted, but dropped " + d.Dropped
	}
	return err.Error()
}

func linkTrials() []trial {
	return []trial{
		{rtnl.FeatureVeth, object.Link{Name: probeLink, Type: object.LinkVeth, Peer: probePeer},
			"load the kernel module veth, or use a kernel built with CONFIG_VETH"},
		{rtnl.FeatureDummy, object.Link{Name: "hprobed", Type: object.LinkDummy},
			"load the kernel module dummy, or use a kernel built with CONFIG_DUMMY"},
		{rtnl.FeatureVLAN, object.Link{Name: "hprobev1", Type: object.LinkVLAN, Parent: probeLink, VLAN: object.VLAN{ID: 1}},
			"load the kernel module 8021q, or use a kernel built with CONFIG_VLAN_8021Q"},
		{rtnl.FeatureVLANService, object.Link{Name: "hprobev2", Type: object.LinkVLAN, Parent: probeLink, VLAN: object.VLAN{ID: 1, Service: true}},
			"use a kernel built with CONFIG_VLAN_8021Q, and the tag TPID_0X8100"},
		{rtnl.FeatureBridge, object.Link{Name: "hprobeb", Type: object.LinkBridge},
			"load the kernel module bridge, or use a kernel built with CONFIG_BRIDGE"},
		// GRE is not tried: loading its modules makes devices in the first namespace
		// (gre0, gretap0, erspan0, ip6gre0).
		{rtnl.FeatureVXLAN, object.Link{Name: "hprobevx", Type: object.LinkVXLAN, Tunnel: object.Tunnel{VNI: 1, Port: 4789, Learn: true}},
			"load the kernel module vxlan, or use a kernel built with CONFIG_VXLAN"},
		{rtnl.FeatureVRF, object.Link{Name: probeVRF, Type: object.LinkVRF, Table: table},
			"load the kernel module vrf, or use a kernel built with CONFIG_NET_VRF"},
		{rtnl.FeatureTunnelSource, object.TunnelSource{Source: netip.MustParseAddr("fc00::1")},
			"use a kernel built with CONFIG_IPV6_SEG6_LWTUNNEL"},
		{rtnl.FeatureHMACSHA1, object.HMACKey{ID: 1, Algorithm: object.HMACSHA1, Secret: "probe"}, hmacRemedy},
		{rtnl.FeatureHMACSHA256, object.HMACKey{ID: 2, Algorithm: object.HMACSHA256, Secret: "probe"}, hmacRemedy},
	}
}

const hmacRemedy = "use a kernel built with CONFIG_IPV6_SEG6_HMAC"

func sidTrials(dev string) []trial {
	sid := func(n byte, s object.LocalSID) *object.LocalSID {
		s.SID = netip.AddrFrom16([16]byte{0xfc, 15: n})
		s.Table, s.Dev = object.TableMain, dev
		return &s
	}
	csid := func(n byte, s object.LocalSID) *object.LocalSID {
		s.SID = netip.AddrFrom16([16]byte{0xfc, 0xbb, 0xbb, 0, n})
		s.Table, s.Dev = object.TableMain, dev
		s.Flavors, s.BlockLength, s.NodeFunctionLength = object.NextCSID, 32, 16
		return &s
	}
	hop := netip.MustParseAddr("fe80::2")
	segments := []netip.Addr{netip.MustParseAddr("fc00:1::"), netip.MustParseAddr("fc00:2::")}
	const seg6, vrf511, v514 = "use Linux 5.14 or later built with CONFIG_IPV6_SEG6_LWTUNNEL",
		"use Linux 5.14 or later with the module vrf",
		"use Linux 5.14 or later with the module vrf"
	return []trial{
		{rtnl.FeatureEnd, sid(1, object.LocalSID{Behavior: object.End}), seg6},
		{rtnl.FeatureEndX, sid(2, object.LocalSID{Behavior: object.EndX, NextHop: hop}), seg6},
		{rtnl.FeatureEndXOutLink, sid(3, object.LocalSID{Behavior: object.EndX, NextHop: hop, OutLink: dev}),
			"use Linux 6.17 or later, or leave the interface out and use a next hop that is not link-local"},
		{rtnl.FeatureEndPSP, sid(14, object.LocalSID{Behavior: object.End, Flavors: object.PSP}),
			"use Linux 6.3 or later, or delete the flavor"},
		{rtnl.FeatureEndNextCSID, csid(1, object.LocalSID{Behavior: object.End}),
			"use Linux 6.1 or later, or delete the flavor"},
		{rtnl.FeatureEndXNextCSID, csid(2, object.LocalSID{Behavior: object.EndX, NextHop: hop}),
			"use Linux 6.6 or later, or delete the flavor"},
		{rtnl.FeatureEndT, sid(8, object.LocalSID{Behavior: object.EndT, VRFTable: object.TableMain}), seg6},
		{rtnl.FeatureEndDX2, sid(9, object.LocalSID{Behavior: object.EndDX2, OutLink: dev}), seg6},
		{rtnl.FeatureEndDX4, sid(10, object.LocalSID{Behavior: object.EndDX4}), seg6},
		{rtnl.FeatureEndDX6, sid(11, object.LocalSID{Behavior: object.EndDX6}), seg6},
		{rtnl.FeatureEndB6, sid(12, object.LocalSID{Behavior: object.EndB6,
			Policy: &object.Encap{Mode: object.HInsert, Segments: segments}}), seg6},
		{rtnl.FeatureEndB6Encaps, sid(13, object.LocalSID{Behavior: object.EndB6Encaps,
			Policy: &object.Encap{Mode: object.HEncaps, Segments: segments}}), seg6},
		{rtnl.FeatureEndDT6, sid(4, object.LocalSID{Behavior: object.EndDT6, VRFTable: object.TableMain}), seg6},
		{rtnl.FeatureEndDT6VRF, sid(5, object.LocalSID{Behavior: object.EndDT6, VRF: probeVRF, VRFTable: table}), vrf511},
		{rtnl.FeatureEndDT4, sid(6, object.LocalSID{Behavior: object.EndDT4, VRF: probeVRF, VRFTable: table}), vrf511},
		{rtnl.FeatureEndDT46, sid(7, object.LocalSID{Behavior: object.EndDT46, VRF: probeVRF, VRFTable: table}), v514},
	}
}

const sharedRemedy = "use Linux 5.3 or later; until then each route carries the encapsulation itself"

const groupRemedy = "use Linux 5.3 or later: policies are groups of nexthop objects"

// sharedHop is what the routes share that show whether they can.
func sharedHop(dev string) *object.SharedNextHop {
	return object.HopByContent(object.NextHop{Link: dev, Encap: &object.Encap{Mode: object.HEncaps,
		Segments: []netip.Addr{netip.MustParseAddr("fc00:1::")}}})
}

func sharedTrial(f rtnl.Feature, hop *object.SharedNextHop, prefix string) trial {
	return trial{f, &object.Route{Table: object.TableMain, Prefix: netip.MustParsePrefix(prefix), SharedHop: hop.ID}, sharedRemedy}
}

func routeTrials(dev string) []trial {
	segments := []netip.Addr{netip.MustParseAddr("fc00:1::"), netip.MustParseAddr("fc00:2::")}
	route := func(prefix string, hops ...object.NextHop) *object.Route {
		return &object.Route{Table: object.TableMain, Prefix: netip.MustParsePrefix(prefix), NextHops: hops}
	}
	encap := func(m object.EncapMode) object.NextHop {
		return object.NextHop{Link: dev, Encap: &object.Encap{Mode: m, Segments: segments}}
	}
	via := func(a string) object.NextHop { return object.NextHop{Gateway: netip.MustParseAddr(a), Link: dev} }
	const seg6, red = "use a kernel built with CONFIG_IPV6_SEG6_LWTUNNEL", "use Linux 6.0 or later, or the mode encap"
	const redL2 = "use Linux 6.0 or later, or the mode l2encap"
	return []trial{
		{rtnl.FeatureHEncaps6, route("2001:db8:1::/48", encap(object.HEncaps)), seg6},
		{rtnl.FeatureHEncaps4, route("198.18.1.0/24", encap(object.HEncaps)), seg6},
		{rtnl.FeatureHEncapsRed6, route("2001:db8:2::/48", encap(object.HEncapsRed)), red},
		{rtnl.FeatureHEncapsRed4, route("198.18.2.0/24", encap(object.HEncapsRed)), red},
		{rtnl.FeatureHEncapsL26, route("2001:db8:6::/48", encap(object.HEncapsL2)), seg6},
		{rtnl.FeatureHEncapsL24, route("198.18.6.0/24", encap(object.HEncapsL2)), seg6},
		{rtnl.FeatureHEncapsL2Red6, route("2001:db8:7::/48", encap(object.HEncapsL2Red)), redL2},
		{rtnl.FeatureHEncapsL2Red4, route("198.18.7.0/24", encap(object.HEncapsL2Red)), redL2},
		{rtnl.FeatureEncapSource, route("2001:db8:8::/48", object.NextHop{Link: dev, Encap: &object.Encap{Mode: object.HEncaps,
			Segments: segments, Source: netip.MustParseAddr("fc00::1")}}),
			"use a kernel that has it, about Linux 7.1, or delete source-address and set that of the node"},
		{rtnl.FeatureEncapHMAC, route("2001:db8:9::/48", object.NextHop{Link: dev, Encap: &object.Encap{Mode: object.HEncaps,
			Segments: segments, HMACKey: 2}}), hmacRemedy},
		{rtnl.FeatureHInsert6, route("2001:db8:3::/48", encap(object.HInsert)), seg6},
		{rtnl.FeatureHInsert4, route("198.18.3.0/24", encap(object.HInsert)),
			"inline insertion carries IPv6 only: use the mode encap"},
		{rtnl.FeatureMultipath, route("2001:db8:4::/48", via("fe80::2"), via("fe80::3")),
			"use a kernel built with CONFIG_IPV6_MULTIPLE_TABLES and CONFIG_IP_ROUTE_MULTIPATH"},
		{rtnl.FeatureGateway6Over4, route("198.18.4.0/24", via("fe80::2")), "use Linux 5.2 or later"},
	}
}
