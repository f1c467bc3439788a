package drivers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/kernel/prior"
	"heddle/kernel/probe"
	"heddle/kernel/rtnl"
	"heddle/reconcile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestContract runs the suite on this machine's kernel, each test in a namespace
// of its own. What the kernel lacks is skipped, with the probe's reason.
func TestContract(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	caps, err := probe.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	rest, err := probe.Rest(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(caps, rest)
	kerneltest.RunContract(t, func(t *testing.T) kerneltest.Env {
		kerneltest.Namespace(t)
		dir := t.TempDir()
		hand := newHand(t, dir)
		var d *Drivers
		open := func(t *testing.T) reconcile.Driver {
			if d != nil {
				d.Close()
			}
			var err error
			if d, err = Open(Config{StateDir: dir}); err != nil {
				t.Fatal(err)
			}
			return d
		}
		t.Cleanup(func() { d.Close() })
		return kerneltest.Env{Driver: open(t), Reopen: open, Foreign: hand, Lacks: caps.Lacks}
	})
}

// hand is somebody else: it talks to the kernel by a library that the drivers do
// not use, and reads routes, which that library cannot decode, by a driver that
// only looks.
type hand struct {
	nl   *netlink.Handle
	look *rtnl.Driver
	dir  string // of the agent's record
}

func newHand(t *testing.T, dir string) *hand {
	t.Helper()
	removePins(t)
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE, unix.NETLINK_GENERIC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nl.Close)
	look, err := rtnl.Open(rtnl.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(look.Close)
	h := &hand{nl, look, dir}
	if err := h.Put(object.LinkConfig{Link: "lo", Admin: object.AdminUp}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ext0", "ext1"} {
		peer := name + "-peer"
		err := h.Put(object.Link{Name: name, Type: object.LinkVeth, Peer: peer})
		for _, l := range []string{name, peer} {
			param := "net/ipv6/conf/" + l + "/accept_dad"
			err = errors.Join(err, writeParam(param, "0"), h.Put(object.LinkConfig{Link: l, MTU: 1500, Admin: object.AdminUp}))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func writeParam(name, value string) error {
	return os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0)
}

func (h *hand) Put(o object.Object) error {
	switch o := o.(type) {
	case object.Link:
		l := newLink(o)
		if o.Parent != "" {
			p, err := h.nl.LinkByName(o.Parent)
			if err != nil {
				return err
			}
			l.Attrs().ParentIndex = p.Attrs().Index
		}
		return h.nl.LinkAdd(l)
	case object.LinkConfig:
		return h.configure(o)
	case object.Member:
		l, err := h.nl.LinkByName(o.Link)
		if err != nil {
			return err
		}
		m, err := h.nl.LinkByName(o.Master)
		if err != nil {
			return err
		}
		return h.nl.LinkSetMaster(l, m)
	case object.Address:
		l, err := h.nl.LinkByName(o.Link)
		if err != nil {
			return err
		}
		return h.nl.AddrReplace(l, &netlink.Addr{IPNet: ipnet(o.Prefix)})
	case object.Neighbour:
		l, err := h.nl.LinkByName(o.Link)
		if err != nil {
			return err
		}
		return h.nl.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, Family: family(o.Addr), State: netlink.NUD_PERMANENT,
			IP: net.IP(o.Addr.AsSlice()), HardwareAddr: o.MAC[:]})
	case object.Sysctl:
		return writeParam(o.Name, o.Value)
	case object.TunnelSource:
		return h.source(o.Source)
	case object.HMACKey:
		return h.hmacKey(o)
	case *object.Route:
		return h.route(o)
	}
	return fmt.Errorf("nobody else makes %T", o)
}

// noSource is ip sr tunsrc set ::, for which the library has no call either.
func (h *hand) noSource() error {
	const setTunSrc, dst = 3, 1 // SEG6_CMD_SET_TUNSRC, SEG6_ATTR_DST of linux/seg6_genl.h
	family, err := h.nl.GenlFamilyGet("SEG6")
	if err != nil {
		return err
	}
	req := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_ACK)
	req.AddData(&nl.Genlmsg{Command: setTunSrc, Version: 1})
	req.AddData(nl.NewRtAttr(dst, netip.IPv6Unspecified().AsSlice()))
	_, err = req.Execute(unix.NETLINK_GENERIC, 0)
	return err
}

func newLink(o object.Link) netlink.Link {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = o.Name
	switch o.Type {
	case object.LinkVRF:
		return &netlink.Vrf{LinkAttrs: attrs, Table: o.Table}
	case object.LinkDummy:
		return &netlink.Dummy{LinkAttrs: attrs}
	case object.LinkIFB:
		return &netlink.Ifb{LinkAttrs: attrs}
	case object.LinkBridge:
		return &netlink.Bridge{LinkAttrs: attrs}
	case object.LinkGRE:
		return &netlink.Gretun{LinkAttrs: attrs, Local: o.Tunnel.Local.AsSlice(), Remote: o.Tunnel.Remote.AsSlice(), PMtuDisc: 1,
			IKey: o.Tunnel.Key, OKey: o.Tunnel.Key, Ttl: o.Tunnel.TTL}
	case object.LinkVXLAN:
		return &netlink.Vxlan{LinkAttrs: attrs, VxlanId: int(o.Tunnel.VNI), Port: int(o.Tunnel.Port), Learning: o.Tunnel.Learn,
			SrcAddr: o.Tunnel.Local.AsSlice(), Group: o.Tunnel.Remote.AsSlice()}
	case object.LinkVLAN:
		v := &netlink.Vlan{LinkAttrs: attrs, VlanId: int(o.VLAN.ID), VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}
		if o.VLAN.Service {
			v.VlanProtocol = netlink.VLAN_PROTOCOL_8021AD
		}
		return v
	}
	return &netlink.Veth{LinkAttrs: attrs, PeerName: o.Peer}
}

func (h *hand) configure(o object.LinkConfig) error {
	l, err := h.nl.LinkByName(o.Link)
	if err == nil && o.MTU != 0 {
		err = h.nl.LinkSetMTU(l, int(o.MTU))
	}
	if err == nil && o.Admin == object.AdminUp {
		err = h.nl.LinkSetUp(l)
	}
	if err == nil && o.Admin == object.AdminDown {
		err = h.nl.LinkSetDown(l)
	}
	return err
}

// source goes through a driver whose record is thrown away: the library has no
// call for it.
func (h *hand) source(a netip.Addr) error {
	d, err := rtnl.Open(rtnl.Config{})
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Do(context.Background(), []reconcile.Step{{New: object.TunnelSource{Source: a}}})[0].Err
}

// hmacKey sets a key by a driver whose record nobody else reads.
func (h *hand) hmacKey(k object.HMACKey) error {
	d, err := rtnl.Open(rtnl.Config{})
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Do(context.Background(), []reconcile.Step{{New: k}})[0].Err
}

func (h *hand) getHMACKey(k object.Key) (object.Object, bool) {
	keys, err := h.look.HMACKeys(context.Background())
	for _, have := range keys {
		if have.Key() == k {
			return have, err == nil
		}
	}
	return nil, false
}

func (h *hand) route(o *object.Route) error {
	r := &netlink.Route{Dst: ipnet(o.Prefix), Table: int(o.Table), Priority: int(o.Metric), Protocol: unix.RTPROT_STATIC, Type: unix.RTN_UNICAST}
	if o.Type == object.Blackhole {
		r.Type = unix.RTN_BLACKHOLE
		return h.nl.RouteReplace(r)
	}
	n := o.NextHops[0]
	l, err := h.nl.LinkByName(n.Link)
	if err != nil {
		return err
	}
	r.LinkIndex = l.Attrs().Index
	if n.Gateway.IsValid() {
		r.Gw = net.IP(n.Gateway.AsSlice())
	}
	return h.nl.RouteReplace(r)
}

func ipnet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: net.IP(p.Addr().AsSlice()), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func (h *hand) Get(k object.Key) (object.Object, bool) {
	switch k.Kind {
	case object.KindRoute, object.KindLocalSID:
		return h.slot(k)
	case object.KindNextHop:
		return h.nextHop(k)
	case object.KindTunnelSource:
		return h.getSource()
	case object.KindHMACKey:
		return h.getHMACKey(k)
	case object.KindSysctl:
		b, err := os.ReadFile(filepath.Join("/proc/sys", k.ID))
		return object.Sysctl{Name: k.ID, Value: strings.TrimSpace(string(b))}, err == nil
	case object.KindAddress:
		return h.getAddress(k)
	case object.KindNeighbour:
		return h.getNeighbour(k)
	case object.KindProxyPort, object.KindProxy:
		return h.getProxy(k)
	}
	if k.Kind == object.KindLink {
		return h.getLink(k.ID)
	}
	l, err := h.nl.LinkByName(k.ID)
	if err != nil {
		return nil, false
	}
	switch k.Kind {
	case object.KindLinkConfig:
		c := object.LinkConfig{Link: k.ID, MTU: uint32(l.Attrs().MTU), Admin: object.AdminDown}
		if l.Attrs().Flags&net.FlagUp != 0 {
			c.Admin = object.AdminUp
		}
		return c, true
	case object.KindMember:
		m, err := h.nl.LinkByIndex(l.Attrs().MasterIndex)
		if l.Attrs().MasterIndex == 0 || err != nil {
			return nil, false
		}
		return object.Member{Link: k.ID, Master: m.Attrs().Name}, true
	}
	return nil, false
}

func (h *hand) getLink(name string) (object.Object, bool) {
	l, err := h.nl.LinkByName(name)
	if err != nil {
		return nil, false
	}
	o := object.Link{Name: name, Type: object.LinkType(l.Type())}
	switch v := l.(type) {
	case *netlink.Vrf:
		o.Table = v.Table
	case *netlink.Veth:
		if p, err := h.nl.LinkByIndex(l.Attrs().ParentIndex); err == nil {
			o.Peer = p.Attrs().Name
		}
	case *netlink.Gretun:
		o.Tunnel = ends(v.Local, v.Remote)
		o.Tunnel.TTL, o.Tunnel.Key, o.Tunnel.Keyed, o.Tunnel.Fragment = v.Ttl, v.IKey, v.IFlags&uint16(nl.GRE_KEY) != 0, v.PMtuDisc == 0 && o.Type == object.LinkGRE
	case *netlink.Gretap:
		o.Tunnel = ends(v.Local, v.Remote)
		o.Tunnel.TTL, o.Tunnel.Key, o.Tunnel.Keyed = v.Ttl, v.IKey, v.IFlags&uint16(nl.GRE_KEY) != 0
	case *netlink.Vxlan:
		o.Tunnel = ends(v.SrcAddr, v.Group)
		o.Tunnel.VNI, o.Tunnel.Port, o.Tunnel.TTL, o.Tunnel.Learn = uint32(v.VxlanId), uint16(v.Port), uint8(v.TTL), v.Learning
		if p, err := h.nl.LinkByIndex(v.VtepDevIndex); v.VtepDevIndex != 0 && err == nil {
			o.Parent = p.Attrs().Name
		}
	case *netlink.Vlan:
		o.Bound = v.LooseBinding == nil || !*v.LooseBinding
		o.VLAN = object.VLAN{ID: uint16(v.VlanId), Service: v.VlanProtocol == netlink.VLAN_PROTOCOL_8021AD}
		if p, err := h.nl.LinkByIndex(l.Attrs().ParentIndex); err == nil {
			o.Parent = p.Attrs().Name
		}
	}
	return o, true
}

// atKey is an object whose slot is that of k.
func atKey(k object.Key) object.Object {
	s, _ := object.SlotOfKey(k)
	if k.Kind == object.KindLocalSID {
		sid := &object.LocalSID{SID: s.Prefix.Addr(), Table: s.Table}
		if !s.Prefix.IsSingleIP() {
			sid.Flavors, sid.BlockLength, sid.NodeFunctionLength = object.NextCSID, 8, uint8(s.Prefix.Bits()-8)
		}
		return sid
	}
	return &object.Route{Table: s.Table, Prefix: s.Prefix, Metric: s.Metric}
}

// reader is a driver that starts anew, with the agent's record: the only place
// where the names of nexthop objects are.
func (h *hand) reader() (*rtnl.Driver, error) {
	scope, err := prior.Scope()
	if err != nil {
		return nil, err
	}
	record, err := prior.Open(h.dir, scope)
	if err != nil {
		return nil, err
	}
	return rtnl.Open(rtnl.Config{Prior: record})
}

func (h *hand) slot(k object.Key) (object.Object, bool) {
	got, _, ok, err := h.look.Slot(context.Background(), atKey(k))
	if r, route := got.(*object.Route); route && r.SharedHop != "" {
		d, derr := h.reader()
		if derr != nil {
			return nil, false
		}
		defer d.Close()
		got, _, ok, err = d.Slot(context.Background(), atKey(k))
	}
	return got, ok && err == nil && got != nil && got.Key() == k
}

func (h *hand) nextHop(k object.Key) (object.Object, bool) {
	d, err := h.reader()
	if err != nil {
		return nil, false
	}
	defer d.Close()
	os, err := d.Dump(context.Background(), object.KindNextHop)
	i := slices.IndexFunc(os, func(o object.Object) bool { return o.Key() == k })
	if err != nil || i < 0 {
		return nil, false
	}
	return os[i], true
}

func (h *hand) getSource() (object.Object, bool) {
	a, err := h.look.TunnelSource(context.Background())
	return object.TunnelSource{Source: a}, err == nil && a.IsValid()
}

func (h *hand) getAddress(k object.Key) (object.Object, bool) {
	name, text, _ := strings.Cut(k.ID, "/")
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return nil, false
	}
	l, err := h.nl.LinkByName(name)
	if err != nil {
		return nil, false
	}
	// The kernel marks a dump during which anything changed (IPv6 autoconfiguration
	// goes on while tests run).
	as, err := h.nl.AddrList(l, unix.AF_UNSPEC)
	for errors.Is(err, netlink.ErrDumpInterrupted) {
		as, err = h.nl.AddrList(l, unix.AF_UNSPEC)
	}
	for _, a := range as {
		ip, _ := netip.AddrFromSlice(a.IP)
		ones, _ := a.Mask.Size()
		if ip.Unmap() == p.Addr() && ones == p.Bits() {
			return object.Address{Link: name, Prefix: p}, err == nil
		}
	}
	return nil, false
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func (h *hand) getNeighbour(k object.Key) (object.Object, bool) {
	name, text, _ := strings.Cut(k.ID, "/")
	a, err := netip.ParseAddr(text)
	if err != nil {
		return nil, false
	}
	l, err := h.nl.LinkByName(name)
	if err != nil {
		return nil, false
	}
	ns, err := h.nl.NeighList(l.Attrs().Index, family(a))
	for _, n := range ns {
		if ip, _ := netip.AddrFromSlice(n.IP); ip.Unmap() == a && n.State == netlink.NUD_PERMANENT && len(n.HardwareAddr) == 6 {
			return object.Neighbour{Link: name, Addr: a, MAC: object.MAC(n.HardwareAddr)}, err == nil
		}
	}
	return nil, false
}

func (h *hand) Delete(k object.Key) error {
	switch k.Kind {
	case object.KindLink:
		l, err := h.nl.LinkByName(k.ID)
		if err != nil {
			return err
		}
		return h.nl.LinkDel(l)
	case object.KindTunnelSource:
		return h.noSource()
	}
	return fmt.Errorf("nobody else deletes a %s", k.Kind)
}

// TestOneOwner: a second set of drivers in a namespace is refused by name.
func TestOneOwner(t *testing.T) {
	kerneltest.Namespace(t)
	d, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(Config{})
	var in *InUseError
	if !errors.As(err, &in) || in.PID != os.Getpid() {
		t.Fatalf("second one: %v", err)
	}
	d.Close()
	if d, err = Open(Config{}); err != nil {
		t.Fatal(err)
	}
	d.Close()
}

func ends(local, remote net.IP) object.Tunnel {
	a, _ := netip.AddrFromSlice(local)
	b, _ := netip.AddrFromSlice(remote)
	return object.Tunnel{Local: a.Unmap(), Remote: b.Unmap()}
}
