package agent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// TestThousandProxies: a thousand NFs, each behind a link of its own, come in one Set and
// go in another, without a trace; the last one has what is sent to it.
func TestThousandProxies(t *testing.T) {
	const n = 1000
	r, nf, there := nfNode(t)
	hop := func(i int) netip.Addr {
		a := [4]byte{10}
		binary.BigEndian.PutUint16(a[1:], uint16(i))
		a[3] = 2
		return netip.AddrFrom4(a)
	}
	for i := range n {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("v%d", i)}, PeerName: fmt.Sprintf("w%d", i), PeerNamespace: netlink.NsFd(there)}
		if err := netlink.LinkAdd(veth); err != nil {
			t.Fatal(err)
		}
		peer, err := nf.LinkByName(veth.PeerName)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(nf.LinkSetUp(peer), netlink.LinkSetUp(veth)); err != nil {
			t.Fatal(err)
		}
	}
	last, err := nf.LinkByName(fmt.Sprintf("w%d", n-1))
	if err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr(hop(n-1).String() + "/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := nf.AddrAdd(last, addr); err != nil {
		t.Fatal(err)
	}
	if err := nf.RouteReplace(&netlink.Route{LinkIndex: last.Attrs().Index, Gw: hop(n - 1).Prev().AsSlice()}); err != nil {
		t.Fatal(err)
	}
	defer r.startForProxies()()
	if err := r.set(append(base, [2]string{"/interfaces/interface[name=nf]/config", `{"enabled": true}`})...); err != nil {
		t.Fatal(err)
	}
	r.settled("nf")
	before := r.kernel()
	var links, sids []string
	for i := range n {
		links = append(links, fmt.Sprintf(`{"name": "v%d", "config": {"name": "v%d"},
			"subinterfaces": {"subinterface": [{"index": 0, "ipv4": {"addresses": {"address": [{"ip": "%s", "config": {"prefix-length": 24}}]}}}]}}`, i, i, hop(i).Prev()))
		sids = append(sids, fmt.Sprintf(`{"address": "%s", "config": {"address": "%s", "behavior": "END_AD"},
			"proxy": {"config": {"inner-type": "IPV4", "next-hop": "%s", "outgoing-interface": "v%d"}}}`, manySID(i), manySID(i), hop(i), i))
	}
	one := func(i int) [][2]string {
		return [][2]string{{"/interfaces", `{"interface": [` + links[i] + `]}`}, {srv6 + "/sids", `{"sid": [` + sids[i] + `]}`}}
	}
	away := func(i int) [][2]string {
		return [][2]string{{fmt.Sprintf("/interfaces/interface[name=v%d]", i), ""}, {srv6 + "/sids/sid[address=" + manySID(i) + "]", ""}}
	}
	took := func(updates [][2]string) time.Duration {
		t.Helper()
		began := time.Now()
		if err := r.setOnce(updates); err != nil {
			t.Fatal(err)
		}
		return time.Since(began)
	}
	// comes is the least that it takes for the last one to come, of some times.
	comes := func() (least time.Duration) {
		t.Helper()
		for i := range 5 {
			if i > 0 {
				took(away(n - 1))
			}
			if d := took(one(n - 1)); i == 0 || d < least {
				least = d
			}
		}
		return least
	}
	took(one(0))
	few := comes()
	all := took([][2]string{{"/interfaces", `{"interface": [` + strings.Join(links[1:n-1], ",") + `]}`}, {srv6 + "/sids", `{"sid": [` + strings.Join(sids[1:n-1], ",") + `]}`}})
	took(away(n - 1))
	many := comes()
	t.Logf("%d in one Set: %v; one more beside 1: %v, beside %d: %v", n-2, all, few, n-1, many)

	packet := nfPacket()
	sid := netip.MustParseAddr(manySID(n - 1)).As16()
	copy(packet[24:], sid[:])
	copy(packet[64:], sid[:])
	counters := srv6 + "/sids/sid[address=" + manySID(n-1) + "]/proxy/state/counters/returned"
	r.within(10*time.Second, "the last NF gives a packet back", func() bool {
		r.send(packet)
		return r.state(counters) != `"0"`
	})

	var gone [][2]string
	for i := range n {
		gone = append(gone, away(i)...)
	}
	t.Logf("all gone in one Set: %v", took(gone))
	r.expectKernel(before)
	left, err := filepath.Glob(filepath.Join(pinsHere(t), "srproxy", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// setOnce does a Set without its plan.
func (r *router) setOnce(updates [][2]string) error {
	_, err := r.client.Set(r.t.Context(), setRequest(r.t, updates...))
	return err
}

func manySID(i int) string { return fmt.Sprintf("2001:db8:1:%x::", 0xb000+i) }
