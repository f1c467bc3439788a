package agent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"

	"heddle/bpf"
	"heddle/gen/state"
	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/kernel/prior"
	"heddle/kernel/rtnl"
)

const (
	nfSID  = srv6 + "/sids/sid[address=2001:db8:1:ad01::]"
	nfLive = nfSID + "/proxy/liveness/state"
)

// nfNode is base with an NF behind a link, in a namespace of its own, which sends back
// what it gets.
func nfNode(t *testing.T) (r *router, nf *netlink.Handle, there vnetns.NsHandle) {
	r = newRouter(t)
	here, err := vnetns.Get()
	if err != nil {
		t.Fatal(err)
	}
	if there, err = vnetns.New(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"all", "default"} {
		r.sysctl("net/ipv4/conf/"+name+"/rp_filter", "0")
	}
	r.sysctl("net/ipv4/ip_forward", "1")
	if err := vnetns.Set(here); err != nil {
		t.Fatal(err)
	}
	if nf, err = netlink.NewHandleAt(there); err != nil {
		t.Fatal(err)
	}
	pins := pinsHere(t)
	t.Cleanup(func() {
		nf.Close()
		_, _ = here.Close(), there.Close()
		// The namespace goes with what is configured in it.
		if err := os.RemoveAll(pins); err != nil {
			t.Error(err)
		}
	})
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "nf"}, PeerName: "n1", PeerNamespace: netlink.NsFd(there)}); err != nil {
		t.Fatal(err)
	}
	n1, err := nf.LinkByName("n1")
	if err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr("192.168.1.2/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := nf.AddrAdd(n1, addr); err != nil {
		t.Fatal(err)
	}
	setNFLink(t, nf, true)
	return r, nf, there
}

// pinsHere is the folder of what an agent of this namespace pins.
func pinsHere(t *testing.T) string {
	t.Helper()
	scope, err := prior.Scope()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join("/sys/fs/bpf/heddle", strings.ReplaceAll(scope, " ", "-"))
}

// startForProxies starts the agent, and skips the test on a kernel that takes no proxies.
func (r *router) startForProxies() (stop func()) {
	r.t.Helper()
	r.start()
	stop = func() {
		if err := r.stop(); err != nil {
			r.t.Error(err)
		}
	}
	if err := r.agent.kernel.Probe.Supports(r.t.Context(), rtnl.FeatureProxy); err != nil {
		stop()
		r.t.Skip(err)
	}
	return stop
}

// setNFLink sets the NF's end of its link up or down. With it goes the carrier.
func setNFLink(t *testing.T, nf *netlink.Handle, up bool) {
	t.Helper()
	n1, err := nf.LinkByName("n1")
	if err != nil {
		t.Fatal(err)
	}
	if !up {
		err = nf.LinkSetDown(n1)
	} else if err = nf.LinkSetUp(n1); err == nil {
		gateway := &netlink.Route{LinkIndex: n1.Attrs().Index, Gw: []byte{192, 168, 1, 1}}
		err = nf.RouteReplace(gateway)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// nfPacket is an IPv4 packet for the NF, whose next segment is behind e1.
func nfPacket() []byte {
	p := srhPacket(netip.MustParseAddr("2001:db8:1:ad01::"), netip.MustParseAddr("2001:db8:4::7"))
	p[40] = 4
	inner := make([]byte, 20)
	inner[0], inner[8], inner[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(inner[2:], 20)
	copy(inner[12:], []byte{192, 168, 3, 5, 192, 168, 4, 6})
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(inner[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(inner[10:], ^uint16(sum+sum>>16))
	p = append(p, inner...)
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	return p
}

func (r *router) count(counter string) string {
	r.t.Helper()
	return strings.Trim(r.state(nfSID+"/proxy/state/counters/"+counter), `"`)
}

// goes sends a packet and waits until it is counted.
func (r *router) goes(counter string) {
	r.t.Helper()
	before := r.count(counter)
	r.within(10*time.Second, "a packet is counted as "+counter, func() bool {
		r.send(nfPacket())
		return r.count(counter) != before
	})
}

func (r *router) nfIs(reachability, active string) {
	r.t.Helper()
	r.within(20*time.Second, "the NF is "+reachability+" and "+active+" active", func() bool {
		return r.state(nfLive+"/reachability") == `"`+reachability+`"` && r.state(nfLive+"/active") == `"`+active+`"`
	})
}

// TestNFDownAndUp: an NF goes down and comes back, with its link and without, a hundred
// times in a row, under an agent that is restarted, and beside somebody who changes what
// the kernel does; nothing is left of all that.
func TestNFDownAndUp(t *testing.T) {
	r, nf, _ := nfNode(t)
	defer r.startForProxies()()
	before := kerneltest.OpenFiles(t)
	if err := r.set(append(base,
		[2]string{"/interfaces/interface[name=nf]", `{"config": {"enabled": true}, "subinterfaces": {"subinterface": [{"index": 0, "ipv4": {"addresses": {"address": [{"ip": "192.168.1.1", "config": {"prefix-length": 24}}]}}}]}}`},
		[2]string{nfSID, `{"config": {"behavior": "END_AD"}, "proxy": {"config": {"inner-type": "IPV4", "next-hop": "192.168.1.2", "outgoing-interface": "nf"},
			"liveness": {"config": {"probe": "ICMP", "interval": 50, "down-multiplier": 2, "up-multiplier": 2, "when-down": "BYPASS"}}}}`})...); err != nil {
		t.Fatal(err)
	}
	r.nfIs("REACHABLE", "PRIMARY")
	r.goes("returned")
	files := kerneltest.OpenFiles(t)

	for range 100 {
		setNFLink(t, nf, false)
		setNFLink(t, nf, true)
	}
	r.nfIs("REACHABLE", "PRIMARY")
	r.goes("returned")
	if now := kerneltest.OpenFiles(t); now > files {
		t.Errorf("%d files are open, %d were", now, files)
	}
	if l := r.agent.reach.nfs; len(l.queue) != 1 {
		t.Errorf("%d NFs are probed", len(l.queue))
	}

	setNFLink(t, nf, false)
	r.nfIs("UNREACHABLE", "BYPASS")
	r.goes("bypassed")
	r.expectState(nfLive+"/last-reason", `"interface nf is down or has no carrier"`)
	setNFLink(t, nf, true)
	r.nfIs("REACHABLE", "PRIMARY")

	// It stays silent, with its link up.
	n1, err := nf.LinkByName("n1")
	if err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr("192.168.1.2/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := nf.AddrDel(n1, addr); err != nil {
		t.Fatal(err)
	}
	r.nfIs("UNREACHABLE", "BYPASS")
	r.expectState(nfLive+"/last-reason", `"192.168.1.2 has not answered 2 ICMP echo requests by nf"`)
	r.goes("bypassed")

	// The next agent goes on with that, and knows by itself why soon after.
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.expectState(nfLive+"/active", `"BYPASS"`)
	r.nfIs("UNREACHABLE", "BYPASS")
	r.expectState(nfLive+"/transitions", `"0"`)

	// Somebody else has packets go to the NF.
	r.otherMode(t, object.ProxyToNF)
	r.within(20*time.Second, "it is noticed", func() bool { return strings.Contains(r.state("/system/drift/state/last-object"), "ad01") })
	r.goes("bypassed")

	if err := nf.AddrAdd(n1, addr); err != nil {
		t.Fatal(err)
	}
	setNFLink(t, nf, true)
	r.nfIs("REACHABLE", "PRIMARY")
	r.goes("returned")
	if err := r.set([2]string{"/network-instances", ""}, [2]string{"/interfaces", ""}); err != nil {
		t.Fatal(err)
	}
	r.within(10*time.Second, "nobody is probed", func() bool {
		l := r.agent.reach.nfs
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.all) == 0
	})
	if now := kerneltest.OpenFiles(t); now > before+4 { // the sockets of probes stay
		t.Errorf("%d files are open, %d were before", now, before)
	}
}

// TestHeadersAreTold: who subscribes to the headers that are kept hears of others by an
// event of the programs, the last ones too of many in a row.
func TestHeadersAreTold(t *testing.T) {
	r, _, _ := nfNode(t)
	defer r.startForProxies()()
	if err := r.set(append(base,
		[2]string{"/interfaces/interface[name=nf]", `{"config": {"enabled": true}, "subinterfaces": {"subinterface": [{"index": 0, "ipv4": {"addresses": {"address": [{"ip": "192.168.1.1", "config": {"prefix-length": 24}}]}}}]}}`},
		[2]string{nfSID, `{"config": {"behavior": "END_AD"}, "proxy": {"config": {"inner-type": "IPV4", "next-hop": "192.168.1.2", "outgoing-interface": "nf"}}}`})...); err != nil {
		t.Fatal(err)
	}
	at, err := r.agent.schema.ParsePath(nfSID)
	if err != nil {
		t.Fatal(err)
	}
	const n = 200
	for i := range n {
		p := nfPacket()
		p[7] = uint8(1 + 30*(i%8) + 5) // a hop limit that is another chain's
		r.send(p)
	}
	last := fmt.Sprint(n)
	r.within(10*time.Second, "the last headers are shown", func() bool {
		s, ok := r.agent.tel.Snapshot().Get(at.Entry())
		if !ok {
			return false
		}
		sid := s.(*state.NetworkInstance_SegmentRouting_Srv6_Sid)
		return sid.Proxy != nil && sid.Proxy.Cache != nil && fmt.Sprint(*sid.Proxy.Cache.Changes) == last
	})
}

// TestSharedByChains: that two chains share a SID is shown while they do, and not when one
// is left.
func TestSharedByChains(t *testing.T) {
	r, _, _ := nfNode(t)
	defer r.startForProxies()()
	if err := r.set(append(base,
		[2]string{"/interfaces/interface[name=nf]", `{"config": {"enabled": true}, "subinterfaces": {"subinterface": [{"index": 0, "ipv4": {"addresses": {"address": [{"ip": "192.168.1.1", "config": {"prefix-length": 24}}]}}}]}}`},
		[2]string{nfSID, `{"config": {"behavior": "END_AD"}, "proxy": {"config": {"inner-type": "IPV4", "next-hop": "192.168.1.2", "outgoing-interface": "nf"}}}`})...); err != nil {
		t.Fatal(err)
	}
	at, err := r.agent.schema.ParsePath(nfSID)
	if err != nil {
		t.Fatal(err)
	}
	// What is pushed, without anybody asking the kernel.
	shared := func(want bool) func() bool {
		return func() bool {
			s, ok := r.agent.tel.Snapshot().Get(at.Entry())
			if !ok {
				return false
			}
			p := s.(*state.NetworkInstance_SegmentRouting_Srv6_Sid).Proxy
			return p != nil && p.Cache != nil && p.Cache.ChainConflict != nil && *p.Cache.ChainConflict == want
		}
	}
	r.send(nfPacket())
	r.within(10*time.Second, "one chain is taken for one", shared(false))
	other := uint8(0)
	r.within(10*time.Second, "two chains are seen", func() bool {
		p := nfPacket()
		other ^= 1 // one headend's address and the other's
		p[8+15] ^= other
		r.send(p)
		return shared(true)()
	})
	r.within(20*time.Second, "one is left", func() bool {
		r.send(nfPacket())
		return shared(false)()
	})
}

// otherMode has somebody else change what the kernel does with packets for the NF.
func (r *router) otherMode(t *testing.T, m object.ProxyMode) {
	t.Helper()
	all, err := filepath.Glob("/sys/fs/bpf/heddle/*/srproxy/sids")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		sids, err := ebpf.LoadPinnedMap(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		key := netip.MustParseAddr("2001:db8:1:ad01::").As16()
		var sid bpf.SRProxySid
		if err = sids.Lookup(key, &sid); err == nil {
			sid.Mode = uint8(m)
			err = sids.Put(key, sid)
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) { // another test's
			err = nil
		}
		if err = errors.Join(err, sids.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
