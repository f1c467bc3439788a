package all_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"heddle/kernel/object"
	"heddle/schema"
	"heddle/translators"
)

// probed is a node with an NF that is probed, and a standby NF with two arms.
const probed = `{"interfaces": {"interface": [
  {"name": "e1", "config": {"name": "e1"}, "subinterfaces": {"subinterface": [{"index": 0, "ipv4": {"addresses": {"address": [{"ip": "192.168.1.1", "config": {"prefix-length": 24}}]}}}]}},
  {"name": "e2", "config": {"name": "e2"}, "subinterfaces": {"subinterface": [{"index": 0, "ipv4": {"addresses": {"address": [{"ip": "192.168.2.1", "config": {"prefix-length": 24}}]}}}]}},
  {"name": "e3", "config": {"name": "e3"}}]},
 "network-instances": {"network-instance": [{"name": "DEFAULT", "config": {"name": "DEFAULT", "type": "DEFAULT_INSTANCE"},
  "segment-routing": {"srv6": {"sids": {"sid": [{"address": "2001:db8:0:1:ad01::", "config": {"address": "2001:db8:0:1:ad01::", "behavior": "END_AD", "standalone": true},
   "proxy": {"config": {"inner-type": "IPV4", "next-hop": "192.168.1.2", "outgoing-interface": "e1"},
    "liveness": {"config": {"probe": "ICMP", "when-down": "STANDBY", "standby-next-hop": "192.168.2.2", "standby-outgoing-interface": "e2", "standby-incoming-interface": "e3"}}}}]}}}}]}}`

// TestNFDown: what becomes of packets for an NF follows from what its probes have found,
// and from whether its interfaces can be used.
func TestNFDown(t *testing.T) {
	m := model(t)
	r := newRun(m)
	kernel := &kernelNow{}
	r.engine.Look(kernel)
	set := func(path, json string) {
		t.Helper()
		p, err := m.ParsePath(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.set([]schema.Edit{{Op: schema.Update, Path: p, Encoding: schema.JSONIETF, JSON: []byte(json)}}); err != nil {
			t.Fatal(err)
		}
	}
	// shown is what concerns the proxy.
	shown := func() string {
		var lines []string
		for _, line := range strings.Split(r.wanted()+"\n"+r.withheld(), "\n") {
			for _, part := range []string{"proxy ", "End.DX4", "route 192.168.", "sid[address="} {
				if strings.Contains(line, part) && !strings.HasPrefix(line, "sysctl") {
					lines = append(lines, strings.TrimSpace(line))
					break
				}
			}
		}
		return strings.Join(lines, "\n")
	}
	nf := func(f translators.NFFact) func() { return func() { kernel.nf = f } }
	when := func(what string) func() {
		return func() {
			set("/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6/sids/sid[address=2001:db8:0:1:ad01::]/proxy/liveness/config", what)
		}
	}
	var got []string
	for _, step := range []struct {
		what string
		do   func()
	}{
		{"both are there", func() { set("/", probed) }},
		{"the NF is down", nf(translators.NFFact{Mode: object.ProxyToStandby})},
		{"its link is gone, too", nf(translators.NFFact{Mode: object.ProxyToStandby, Gone: true})},
		{"and that of the standby NF", nf(translators.NFFact{Mode: object.ProxyToStandby, Gone: true, StandbyGone: true})},
		{"the NF is back", nf(translators.NFFact{StandbyGone: true})},
		{"so is the standby", nf(translators.NFFact{})},
		{"e1 is disabled", func() { set("/interfaces/interface[name=e1]/config", `{"enabled": false}`) }},
		{"and e3", func() { set("/interfaces/interface[name=e3]/config", `{"enabled": false}`) }},
		{"only e1 is enabled, and the NF is down", func() {
			kernel.nf.Mode = object.ProxyToStandby
			set("/interfaces/interface[name=e1]/config", `{"enabled": true}`)
		}},
		{"no probe", func() {
			p, err := m.ParsePath("/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6/sids/sid[address=2001:db8:0:1:ad01::]/proxy/liveness")
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := r.set([]schema.Edit{{Op: schema.Delete, Path: p}}); err != nil {
				t.Fatal(err)
			}
		}},
		{"another probe, and bypass", when(`{"probe": "LINK", "when-down": "BYPASS"}`)},
		{"the link is gone", func() { kernel.nf.Gone = true }},
	} {
		step.do()
		for {
			d, err := r.engine.Refresh(r.config)
			if err != nil {
				t.Fatal(err)
			}
			if d == nil {
				break
			}
			d.Commit()
			if _, err := r.note(d); err != nil {
				t.Fatal(err)
			}
		}
		got = append(got, "# "+step.what, shown())
	}
	want := `
# both are there
route 192.168.1.2/32 via 192.168.1.2 dev e1
route 192.168.2.2/32 via 192.168.2.2 dev e2
sid 2001:db8:0:1:ad01:: action End.DX4 nh4 192.168.1.2 dev sr0
proxy 2001:db8:0:1:ad01:: action End.AD inner ipv4 iif e1 standby e3 echo 192.168.1.2 echo 192.168.2.2
# the NF is down
route 192.168.1.2/32 via 192.168.1.2 dev e1
route 192.168.2.2/32 via 192.168.2.2 dev e2
sid 2001:db8:0:1:ad01:: action End.DX4 nh4 192.168.2.2 dev sr0
proxy 2001:db8:0:1:ad01:: action End.AD inner ipv4 iif e1 standby e3 mode standby echo 192.168.1.2 echo 192.168.2.2
# its link is gone, too
route 192.168.2.2/32 via 192.168.2.2 dev e2
sid 2001:db8:0:1:ad01:: action End.DX4 nh4 192.168.2.2 dev sr0
proxy 2001:db8:0:1:ad01:: action End.AD inner ipv4 standby e3 mode standby echo 192.168.2.2
# and that of the standby NF
proxy 2001:db8:0:1:ad01:: action End.AD inner ipv4 mode drop
/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6/sids/sid[address=2001:db8:0:1:ad01::]: interface e1 of the NF 192.168.1.2 is not there
# the NF is back
route 192.168.1.2/32 via 192.168.1.2 dev e1
sid 2001:db8:0:1:ad01:: action End.DX4 nh4 192.168.1.2 dev sr0
proxy 2001:db8:0:1:ad01:: action End.AD inner ipv4 iif e1 echo 192.168.1.2
# so is the standby
route 192.168.1.2/32 via 192.168.1.2 dev e1
route 192.168.2.2/32 via 192.168.2.2 dev e2
sid 2001:db8:0:1:ad01:: action End.DX4 nh4 192.168.1.2 dev sr0
proxy 2001:db8:0:1:ad01:: action End.AD inner ipv4 iif e1 standby e3 echo 192.168.1.2 echo 192.168.2.2
# e1 is disabled
route 192.168.2.2/32 via 192.168.2.2 dev e2
sid 2001:db8:0:1:ad01:: action End.DX4 nh4 192.168.2.2 dev sr0
proxy 2001:db8:0:1:ad01:: action End.AD inner ipv4 standby e3 mode standby echo 192.168.2.2
# and e3
proxy 2001:db8:0:1:ad01:: action End.AD inner ipv4 mode drop
/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6/sids/sid[address=2001:db8:0:1:ad01::]: interface e1 is disabled
# only e1 is enabled, and the NF is down
route 192.168.1.2/32 via 192.168.1.2 dev e1
sid 2001:db8:0:1:ad01:: action End.DX4 nh4 192.168.1.2 dev sr0
proxy 2001:db8:0:1:ad01:: action End.AD inner ipv4 iif e1 mode drop echo 192.168.1.2
# no probe
route 192.168.1.2/32 via 192.168.1.2 dev e1
sid 2001:db8:0:1:ad01:: action End.DX4 nh4 192.168.1.2 dev sr0
proxy 2001:db8:0:1:ad01:: action End.AD inner ipv4 iif e1
# another probe, and bypass
route 192.168.1.2/32 via 192.168.1.2 dev e1
sid 2001:db8:0:1:ad01:: action End.DX4 nh4 192.168.1.2 dev sr0
proxy 2001:db8:0:1:ad01:: action End.AD inner ipv4 iif e1 mode bypass
# the link is gone
proxy 2001:db8:0:1:ad01:: action End.AD inner ipv4 mode bypass
/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6/sids/sid[address=2001:db8:0:1:ad01::]: interface e1 of the NF 192.168.1.2 is not there`
	if diff := cmp.Diff(strings.TrimSpace(want), strings.Join(got, "\n")); diff != "" {
		t.Error(diff)
	}
}
