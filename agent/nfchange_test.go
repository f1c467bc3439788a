package agent

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

// TestProxiesChange: a SID becomes a proxy of any other kind, with anything else inside
// and other interfaces, in one Set, also two at once that swap what they have; and nothing
// of what it was before is left.
func TestProxiesChange(t *testing.T) {
	r, nf, there := nfNode(t)
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "nf2"}, PeerName: "n2", PeerNamespace: netlink.NsFd(there)}); err != nil {
		t.Fatal(err)
	}
	n2, err := nf.LinkByName("n2")
	if err != nil {
		t.Fatal(err)
	}
	if err := nf.LinkSetUp(n2); err != nil {
		t.Fatal(err)
	}
	defer r.startForProxies()()
	if err := r.set(append(base,
		[2]string{"/interfaces/interface[name=nf]", `{"config": {"enabled": true}, "subinterfaces": {"subinterface": [{"index": 0,
			"ipv4": {"addresses": {"address": [{"ip": "192.168.1.1", "config": {"prefix-length": 24}}]}},
			"ipv6": {"addresses": {"address": [{"ip": "fd00:1::1", "config": {"prefix-length": 64}}]}}}]}}`},
		[2]string{"/interfaces/interface[name=nf2]", `{"config": {"enabled": true}, "subinterfaces": {"subinterface": [{"index": 0,
			"ipv4": {"addresses": {"address": [{"ip": "192.168.2.1", "config": {"prefix-length": 24}}]}},
			"ipv6": {"addresses": {"address": [{"ip": "fd00:2::1", "config": {"prefix-length": 64}}]}}}]}}`})...); err != nil {
		t.Fatal(err)
	}
	r.settled("nf", "nf2")
	before := r.kernel()
	nf2SID := strings.Replace(nfSID, "ad01", "ad02", 1)
	on := map[string][2]string{
		"nf": {"192.168.1.2", "fd00:1::2"}, "nf2": {"192.168.2.2", "fd00:2::2"},
	}
	// kinds are what a SID may be, by the link that it has, and what comes back on.
	kinds := map[string]func(out, in string) string{
		"END": func(string, string) string { return `{"config": {"behavior": "END"}}` },
		"END_AD of IPv4": func(out, in string) string {
			return `{"config": {"behavior": "END_AD"}, "proxy": {"config": {"inner-type": "IPV4", "next-hop": "` + on[out][0] + `", "outgoing-interface": "` + out + `", "incoming-interface": "` + in + `"}}}`
		},
		"END_AS of IPv6": func(out, in string) string {
			return `{"config": {"behavior": "END_AS"}, "proxy": {"config": {"inner-type": "IPV6", "next-hop": "` + on[out][1] + `", "segment-list": ["2001:db8:4::1"], "outgoing-interface": "` + out + `", "incoming-interface": "` + in + `"}}}`
		},
		"END_AS of IPv4": func(out, in string) string {
			return `{"config": {"behavior": "END_AS"}, "proxy": {"config": {"inner-type": "IPV4", "next-hop": "` + on[out][0] + `", "segment-list": ["2001:db8:4::1"], "outgoing-interface": "` + out + `", "incoming-interface": "` + in + `"}}}`
		},
		"END_AM": func(out, in string) string {
			return `{"config": {"behavior": "END_AM"}, "proxy": {"config": {"next-hop": "` + on[out][1] + `", "outgoing-interface": "` + out + `", "incoming-interface": "` + in + `"}}}`
		},
		"END_AD of frames": func(out, in string) string {
			return `{"config": {"behavior": "END_AD"}, "proxy": {"config": {"inner-type": "ETHERNET", "outgoing-interface": "` + out + `", "incoming-interface": "` + in + `"}}}`
		},
	}
	order := []string{"END_AD of IPv4", "END_AM", "END_AS of IPv6", "END_AD of frames", "END_AM", "END_AD of IPv4", "END_AS of IPv4", "END_AD of IPv4", "END", "END_AS of IPv6", "END_AM", "END", "END_AD of frames", "END_AS of IPv4"}
	outs, ins := [2]string{"nf", "nf2"}, [2]string{"nf", "nf2"}
	for i, kind := range order {
		other := order[(i+3)%len(order)]
		if i%2 == 1 {
			ins[0], ins[1] = ins[1], ins[0]
		}
		if i%3 == 2 {
			outs[0], outs[1] = outs[1], outs[0]
		}
		if err := r.set([2]string{nfSID, ""}, [2]string{nf2SID, ""}, [2]string{nfSID, kinds[kind](outs[0], ins[0])}, [2]string{nf2SID, kinds[other](outs[1], ins[1])}); err != nil {
			t.Fatalf("%s by %s and %s, beside %s: %v", kind, outs[0], ins[0], other, err)
		}
		for sid, kind := range map[string]string{nfSID: kind, nf2SID: other} {
			r.expectState(sid+"/state/programmed", "true")
			if behavior, _, _ := strings.Cut(kind, " "); !strings.Contains(r.state(sid+"/state/behavior"), behavior) {
				t.Errorf("shown as %s, want %s", r.state(sid+"/state/behavior"), behavior)
			}
		}
	}
	if err := r.set([2]string{nfSID, ""}, [2]string{nf2SID, ""}); err != nil {
		t.Fatal(err)
	}
	r.expectKernel(before)
	left, err := filepath.Glob("/sys/fs/bpf/heddle/*/srproxy/heddle_*")
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}
