// Package kerneltest is for tests of whatever works on a kernel: the contract that
// every driver passes, a strict fake of the kernel with a driver for it, and
// network namespaces for tests on the real one. It knows objects and the
// interface of drivers; nothing but tests imports it.
package kerneltest

import (
	"context"
	"net/netip"
	"testing"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// Env is one kernel, fake or real, that a contract test may do with as it
// likes: nobody else looks at it.
type Env struct {
	// Driver is the driver under test, for every kind of object.
	Driver reconcile.Driver

	// Reopen ends Driver and opens another one over the same kernel and the same
	// records, as a restart of the agent does.
	Reopen func(t *testing.T) reconcile.Driver

	// Foreign is the hand of somebody else on the same kernel. The kernel starts
	// with the links "ext0" and "ext1" of somebody else: Ethernet, up, MTU 1500,
	// without IPv6 duplicate address detection.
	Foreign Foreign

	// Lacks says why this kernel cannot hold o, with a remedy; empty when it can.
	// What needs it is skipped, with this reason.
	Lacks func(o object.Object) string
}

// Foreign does to the kernel what another program or an operator would.
type Foreign interface {
	// Put makes o, or sets it, without any mark of ours: a link without alias,
	// an address without protocol, a route of protocol "static".
	Put(o object.Object) error

	// Get tells what the kernel holds under k, whoever made it.
	Get(k object.Key) (object.Object, bool)

	// Delete removes what is under k, whoever made it. A link takes its
	// addresses and routes along.
	Delete(k object.Key) error
}

// RunContract runs the suite that every driver passes, the fake and the real
// ones, as subtests. newEnv makes a fresh kernel for each of them; it is called
// on the goroutine of the subtest.
//
// What the suite asks for, beyond the words of reconcile.Driver: creating what is
// there and changing what is not is refused; deleting what is not there is no
// error; nothing that somebody else made is ever changed or deleted; deleting a
// setting gives back what was there before, also after a restart.
func RunContract(t *testing.T, newEnv func(t *testing.T) Env) {
	run := func(name string, test func(*contract)) {
		t.Run(name, func(t *testing.T) {
			test(&contract{T: t, Env: newEnv(t), ctx: context.Background()})
		})
	}
	for _, c := range lifeCases() {
		run("life/"+c.name, func(k *contract) { k.life(c) })
	}
	for _, c := range orphanCases() {
		run("missing/"+c.name, func(k *contract) { k.orphan(c) })
	}
	for _, c := range conflictCases() {
		run("foreign/"+c.name, func(k *contract) { k.conflict(c) })
	}
	run("foreign/enslaved", (*contract).enslavedElsewhere)
	run("foreign/within-locator", (*contract).foreignWithinLocator)
	run("foreign/preserved", (*contract).preserved)
	run("foreign/preserved-in-vrf", (*contract).preservedInVRF)
	run("prior/link", (*contract).priorOfLink)
	run("prior/partial", (*contract).priorOfPart)
	run("prior/namespace", (*contract).priorOfNamespace)
	run("prior/changed-by-others", (*contract).priorOverruled)
	run("prior/taken-away", (*contract).priorTakenAway)
	run("prior/recreated-link", (*contract).priorOfRecreatedLink)
	run("reopen", (*contract).ownershipAfterReopen)
	run("batch", (*contract).batchWithFailures)
	run("batch/cancelled", (*contract).cancelled)
	run("address/last", (*contract).lastAddress)
	run("nexthop/shared", (*contract).sharedHop)
	run("nexthop/gone", (*contract).sharedHopGoes)
	run("nexthop/group", (*contract).group)
	run("veth", (*contract).vethPair)
	run("neighbour/kept", (*contract).neighbourKept)
	run("vlan/mtu", (*contract).vlanMTU)
	run("vlan/parent", (*contract).vlanParent)
	run("bridge/moves", (*contract).bridgeMoves)
	run("plan", (*contract).planAsAWhole)
}

// contract is one test of the suite on its own kernel.
type contract struct {
	*testing.T
	Env
	ctx context.Context
}

// need skips the test when the kernel cannot hold one of the objects.
func (k *contract) need(objs ...object.Object) {
	k.Helper()
	for _, o := range objs {
		if why := k.Lacks(o); why != "" {
			k.Skipf("%s: %s", o.Key(), why)
		}
	}
}

func (k *contract) do(s reconcile.Step) reconcile.Result {
	k.Helper()
	rs := k.Driver.Do(k.ctx, []reconcile.Step{s})
	if len(rs) != 1 {
		k.Fatalf("%d results for one step", len(rs))
	}
	return rs[0]
}

// create makes objects, in their order, and checks each against the kernel.
func (k *contract) create(objs ...object.Object) {
	k.Helper()
	for _, o := range objs {
		r := k.do(reconcile.Step{New: o})
		if r.Err != nil {
			k.Fatalf("create %v: %v", o, r.Err)
		}
		if r.Got == nil || !o.Equal(r.Got) {
			k.Fatalf("create %v: the driver says the kernel holds %v", o, r.Got)
		}
		k.holds(o)
	}
}

func (k *contract) remove(objs ...object.Object) {
	k.Helper()
	for _, o := range objs {
		if r := k.do(reconcile.Step{Old: o}); r.Err != nil || r.Got != nil {
			k.Fatalf("delete %v: %v, holds %v", o, r.Err, r.Got)
		}
	}
}

// put does something as somebody else.
func (k *contract) put(objs ...object.Object) {
	k.Helper()
	for _, o := range objs {
		if err := k.Foreign.Put(o); err != nil {
			k.Fatalf("make %v as somebody else: %v", o, err)
		}
	}
}

// holds checks that the kernel has o.
func (k *contract) holds(o object.Object) {
	k.Helper()
	got, ok := k.Foreign.Get(o.Key())
	if !ok || !covers(o, got) {
		k.Fatalf("kernel holds %v (%t) instead of %v", got, ok, o)
	}
}

// covers compares what o sets. Somebody else sees all properties of a link, or
// only those that are set.
func covers(o, got object.Object) bool {
	want, ok := o.(object.LinkConfig)
	has, ok2 := got.(object.LinkConfig)
	if !ok || !ok2 {
		return o.Equal(got)
	}
	return (want.MTU == 0 || has.MTU == 0 || want.MTU == has.MTU) && (want.Admin == object.AdminLeave || want.Admin == has.Admin)
}

// lacks checks that the kernel has nothing under the key of o.
func (k *contract) lacks(o object.Object) {
	k.Helper()
	if got, ok := k.Foreign.Get(o.Key()); ok {
		k.Fatalf("kernel still holds %v", got)
	}
}

// dump lists what is ours of o's kind and says whether o is among it.
func (k *contract) listed(o object.Object) bool {
	k.Helper()
	objs, err := k.Driver.Dump(k.ctx, o.Key().Kind)
	if err != nil {
		k.Fatalf("list %s: %v", o.Key().Kind, err)
	}
	for _, got := range objs {
		if got.Key() == o.Key() {
			return o.Equal(got)
		}
	}
	return false
}

// Objects that several tests use. ext0 and ext1 are somebody else's.
var (
	vrfBlue  = object.Link{Name: "blue", Type: object.LinkVRF, Table: 110}
	vrfRed   = object.Link{Name: "red", Type: object.LinkVRF, Table: 120}
	vethA    = object.Link{Name: "wire-a", Type: object.LinkVeth, Peer: "wire-b"}
	vethB    = object.Link{Name: "wire-b", Type: object.LinkVeth, Peer: "wire-a"}
	vlan7    = object.Link{Name: "tag0", Type: object.LinkVLAN, Parent: "ext1", VLAN: object.VLAN{ID: 7}}
	dummySR  = object.Link{Name: "sr0", Type: object.LinkDummy}
	ifbSR    = object.Link{Name: "sr0", Type: object.LinkIFB}
	blueUp   = object.LinkConfig{Link: "blue", Admin: object.AdminUp}
	dummyUp  = object.LinkConfig{Link: "sr0", Admin: object.AdminUp}
	inBlue   = object.Member{Link: "ext0", Master: "blue"}
	strict   = object.Sysctl{Name: object.SysctlStrictMode, Value: "1"}
	addr4    = object.Address{Link: "ext1", Prefix: netip.MustParsePrefix("192.0.2.1/24")}
	addr6    = object.Address{Link: "ext1", Prefix: netip.MustParsePrefix("2001:db8:1::1/64")}
	neigh4   = object.Neighbour{Link: "ext1", Addr: netip.MustParseAddr("192.0.2.77"), MAC: object.MAC{2, 0, 0, 0, 0, 9}}
	neigh6   = object.Neighbour{Link: "ext1", Addr: netip.MustParseAddr("2001:db8:1::77"), MAC: object.MAC{2, 0, 0, 0, 0, 9}}
	gre1     = object.Link{Name: "tun0", Type: object.LinkGRE, Tunnel: object.Tunnel{Local: addr4.Prefix.Addr(), Remote: neigh4.Addr, TTL: 64, Key: 70000, Keyed: true}}
	ends6    = object.Tunnel{Local: addr6.Prefix.Addr(), Remote: neigh6.Addr, Key: 0, Keyed: true}
	vxlan5   = object.Link{Name: "vx5", Type: object.LinkVXLAN, Tunnel: object.Tunnel{Local: addr4.Prefix.Addr(), Remote: neigh4.Addr, VNI: 5, Port: 4789, Learn: true}}
	bridge0  = object.Link{Name: "bridge0", Type: object.LinkBridge}
	segments = []netip.Addr{netip.MustParseAddr("fc00:1::"), netip.MustParseAddr("fc00:2:0:f:1::")}
	proxyAD  = &object.Proxy{SID: netip.MustParseAddr("fc00:9::ad"), Behavior: object.EndAD, Inner: object.InnerIPv4, In: "ext0"}
	proxyL2  = &object.Proxy{SID: proxyAD.SID, Behavior: object.EndAD, Inner: object.InnerEthernet, In: "ext0"}
	proxyAM  = &object.Proxy{SID: netip.MustParseAddr("fc00:9::a3"), Behavior: object.EndAM, In: "ext0", Out: "ext1"}
	proxyNAT = &object.Proxy{SID: proxyAM.SID, Behavior: object.EndAM, In: "ext0", Out: "ext1", DestinationNAT: true}
	proxyAS  = &object.Proxy{SID: proxyAD.SID, Behavior: object.EndAS, Inner: object.InnerIPv6, In: "ext0", HopLimit: 64,
		Encap: &object.Encap{Mode: object.HEncaps, Segments: segments, Source: netip.MustParseAddr("fc00:9::1")}}
)

// withStandby is a proxy with a second NF.
func withStandby(p *object.Proxy, link string, mode object.ProxyMode) *object.Proxy {
	q := *p
	q.Standby, q.Mode = link, mode
	q.Echo, q.StandbyEcho = netip.MustParseAddr("192.0.2.5"), netip.MustParseAddr("192.0.2.6")
	return &q
}

// isDown is a proxy whose NF, and its link, are gone.
func isDown(p *object.Proxy, mode object.ProxyMode) *object.Proxy {
	return &object.Proxy{SID: p.SID, Behavior: p.Behavior, Inner: p.Inner, Mode: mode}
}

func route(table uint32, prefix string, hops ...object.NextHop) *object.Route {
	r := &object.Route{Table: table, Prefix: netip.MustParsePrefix(prefix), NextHops: hops}
	if len(hops) == 0 {
		r.Type = object.Blackhole
	}
	if table == vrfBlue.Table {
		r.VRF = vrfBlue.Name
	}
	return r
}

// hmacKey is a key, and signed a next hop that signs with it.
var hmacKey = object.HMACKey{ID: 7, Algorithm: object.HMACSHA256, Secret: "a secret of ours"}

func signed(n object.NextHop) object.NextHop {
	n.Encap.HMACKey = hmacKey.ID
	return n
}

func via(gateway, link string) object.NextHop {
	n := object.NextHop{Link: link}
	if gateway != "" {
		n.Gateway = netip.MustParseAddr(gateway)
	}
	return n
}

func encap(n object.NextHop, mode object.EncapMode, segments ...netip.Addr) object.NextHop {
	n.Encap = &object.Encap{Mode: mode, Segments: segments}
	return n
}

func sid(addr string, b object.Behavior, more ...func(*object.LocalSID)) *object.LocalSID {
	s := &object.LocalSID{SID: netip.MustParseAddr(addr), Table: object.TableMain, Behavior: b, Dev: "ext1"}
	for _, m := range more {
		m(s)
	}
	return s
}

func toHop(a string) func(*object.LocalSID) {
	return func(s *object.LocalSID) { s.NextHop = netip.MustParseAddr(a) }
}

func outBy(link string) func(*object.LocalSID) {
	return func(s *object.LocalSID) { s.OutLink = link }
}

func bound(mode object.EncapMode, segments ...netip.Addr) func(*object.LocalSID) {
	return func(s *object.LocalSID) { s.Policy = &object.Encap{Mode: mode, Segments: segments} }
}

func psp(s *object.LocalSID) { s.Flavors |= object.PSP }

func csid(block, node uint8) func(*object.LocalSID) {
	return func(s *object.LocalSID) {
		s.Flavors |= object.NextCSID
		s.BlockLength, s.NodeFunctionLength = block, node
	}
}

func inVRF(l object.Link) func(*object.LocalSID) {
	return func(s *object.LocalSID) { s.VRF, s.VRFTable = l.Name, l.Table }
}
