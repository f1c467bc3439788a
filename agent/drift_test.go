package agent

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"heddle/kernel/object"
)

const tunnel4 = realStatics + "[prefix=192.168.4.0/24]"

// driftBase is base with an IPv4 address, and an IPv4 route that goes with it.
var driftBase = append(base[:len(base):len(base)],
	[2]string{"/interfaces/interface[name=e1]/subinterfaces/subinterface[index=0]/ipv4/addresses/address[ip=192.0.2.1]", `{"config": {"prefix-length": 24}}`},
	[2]string{tunnel4, `{"next-hops": {"next-hop": [{"index": "0", "interface-ref": {"config": {"interface": "e1"}},
		"srv6-encapsulation": {"config": {"segment-list": ["2001:db8:4::1"]}}}]}}`})

// chance is what a link has of its own each time that it is made.
var chance = regexp.MustCompile(`(?m)^\d+: |link/ether \S+|fe80::\S+`)

// ours is what there is of ours in the kernel, whatever the indices of links.
func (r *router) ours() string {
	r.t.Helper()
	var b strings.Builder
	for _, args := range []string{"-4 route show table all proto 72", "-6 route show table all proto 72", "-br addr show dev e1 scope global", "-o link show dev e1"} {
		out, err := exec.CommandContext(r.t.Context(), "ip", strings.Fields(args)...).CombinedOutput()
		if err != nil {
			return err.Error()
		}
		b.Write(out)
	}
	v, err := os.ReadFile("/proc/sys/net/ipv6/conf/e1/seg6_enabled")
	if err != nil {
		return err.Error()
	}
	b.Write(v)
	text := chance.ReplaceAllString(b.String(), "")
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// within waits until done holds and returns how long that took.
func (r *router) within(limit time.Duration, what string, done func() bool) time.Duration {
	r.t.Helper()
	began := time.Now()
	end, tick := time.NewTimer(limit), time.NewTicker(2*time.Millisecond)
	defer end.Stop()
	defer tick.Stop()
	for !done() {
		select {
		case <-end.C:
			r.t.Fatalf("%s: not within %v; the kernel:\n%s", what, limit, r.ours())
		case <-tick.C:
		}
	}
	return time.Since(began)
}

// settled waits for links, besides e1 and far, and their addresses, which take their
// time.
func (r *router) settled(links ...string) {
	r.t.Helper()
	r.within(30*time.Second, "links are up", func() bool {
		for _, l := range append(links, "e1", "far") {
			if !strings.Contains(r.ip("-o link show "+l), "state UP") || !strings.Contains(r.ip("-6 addr show dev "+l), "fe80::") {
				return false
			}
		}
		return r.ip("-6 addr show tentative") == ""
	})
}

// drifted is something that somebody else does, with ip.
type drifted struct {
	name  string
	do    []string
	limit time.Duration
}

// driftsBack does each of tests and waits until all is as it was.
func (r *router) driftsBack(tests []drifted) {
	r.t.Helper()
	want := r.ours()
	for _, text := range []string{"192.0.2.1/24", "192.168.4.0/24", "2001:db8:13::1/64", "seg6local"} {
		if !strings.Contains(want, text) {
			r.t.Fatalf("no %s in\n%s", text, want)
		}
	}
	for _, tt := range tests {
		detected := r.state("/system/drift/state/detected")
		for _, args := range tt.do {
			r.ip(args)
		}
		// The change is there until the agent has seen it.
		r.within(tt.limit, tt.name+" is noticed", func() bool { return r.state("/system/drift/state/detected") != detected })
		took := r.within(tt.limit, tt.name, func() bool { return r.ours() == want })
		r.t.Logf("%s: as it was %v after it was counted", tt.name, took)
	}
}

// TestDriftRepaired: what somebody else takes away or changes is as it was soon
// after, without a Set.
func TestDriftRepaired(t *testing.T) {
	r := newRouter(t)
	r.settled()
	r.start()
	if err := r.set(driftBase...); err != nil {
		t.Fatal(err)
	}
	const limit = 2 * time.Second
	r.driftsBack([]drifted{
		{"SID deleted", []string{"-6 route del 2001:db8:1:e000::"}, limit},
		{"IPv6 route deleted", []string{"-6 route del 2001:db8:4::/48"}, limit},
		{"IPv4 route deleted", []string{"route del 192.168.4.0/24"}, limit},
		{"route changed", []string{"-6 route change 2001:db8:4::/48 via 2001:db8:13::77 dev e1 proto 72"}, limit},
		{"all routes flushed", []string{"-6 route flush table main proto 72"}, limit},
		{"a route of nobody with our mark", []string{"-6 route add 2001:db8:77::/48 dev e1 proto 72"}, limit},
		{"IPv6 address deleted", []string{"addr del 2001:db8:13::1/64 dev e1"}, limit},
		{"last IPv4 address deleted", []string{"addr del 192.0.2.1/24 dev e1"}, limit},
		{"MTU", []string{"link set e1 mtu 1500"}, limit},
	})
	want, detected := r.ours(), r.state("/system/drift/state/detected")
	r.sysctl("net/ipv6/conf/e1/seg6_enabled", "0")
	r.within(settingsPeriod+2*time.Second, "sysctl is noticed", func() bool { return r.state("/system/drift/state/detected") != detected })
	r.within(limit, "sysctl", func() bool { return r.ours() == want })

	r.expectState("/system/drift/state/failed", `"0"`)
	if d, m := r.state("/system/drift/state/detected"), r.state("/system/drift/state/repaired"); d != m {
		t.Errorf("%s were detected and %s repaired", d, m)
	}
	r.expectState("/system/drift/state/last-object", `"`+object.SysctlKey(object.SysctlLinkSeg6Enabled("e1")).String()+`"`)
	for _, path := range []string{endSID, endXSID, tunnel4} {
		r.expectState(path+"/state/programmed", "true")
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// TestDriftOfLinks: what goes with a link comes back with it. While the link is
// not there, or without IPv6, repairs fail, which is counted and then over.
func TestDriftOfLinks(t *testing.T) {
	r := newRouter(t)
	r.settled()
	r.start()
	if err := r.set(driftBase...); err != nil {
		t.Fatal(err)
	}
	const limit = 5 * time.Second
	r.driftsBack([]drifted{
		{"link down", []string{"link set e1 down"}, limit},
		{"link down and up", []string{"link set e1 down", "link set e1 up"}, limit},
		{"MTU without IPv6", []string{"link set e1 mtu 1000"}, limit},
		{"link recreated", []string{"link del e1", "link add e1 type veth peer name far", "link set far up"}, limit},
	})
	for _, path := range []string{endSID, endXSID, tunnel4} {
		r.within(limit, path+" is programmed", func() bool { return r.state(path+"/state/programmed") == "true" })
	}
	if err := r.set([2]string{endXSID + "/config/description", `"still there"`}); err != nil {
		t.Error(err)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// TestDriftSpeed: a deleted SID is back within 100 ms, by the kernel's own events.
func TestDriftSpeed(t *testing.T) {
	r := newRouter(t)
	r.settled()
	r.start()
	if err := r.set(driftBase...); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	monitor := exec.CommandContext(ctx, "ip", "-6", "-o", "-ts", "monitor", "route")
	out, err := monitor.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := monitor.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan time.Time, 64)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			// "[2026-11-21T06:16:08.422121] Deleted 2001:db8:1:e001:: ..."
			stamp, rest, _ := strings.Cut(strings.TrimPrefix(s.Text(), "["), "] ")
			at, err := time.ParseInLocation("2006-01-02T15:04:05.999999", stamp, time.Local)
			if err == nil && strings.Contains(rest, "2001:db8:1:e001::") {
				lines <- at
			}
		}
	}()
	// Until the monitor listens nothing is to be seen of it.
	r.within(10*time.Second, "monitor listens", func() bool {
		r.ip("-6 route replace 2001:db8:1:e001::/128 table 77 dev e1 proto static")
		return len(lines) > 0
	})
	r.ip("-6 route del 2001:db8:1:e001::/128 table 77")
	best := time.Hour
	for range 3 { // not more: whoever does that is fought
		r.within(time.Second, "SID is there", func() bool { return strings.Contains(r.ip("-6 route show 2001:db8:1:e001::"), "seg6local") })
		for len(lines) > 0 {
			<-lines
		}
		r.ip("-6 route del 2001:db8:1:e001::")
		gone, back := <-lines, <-lines
		best = min(best, back.Sub(gone))
		t.Logf("back after %v", back.Sub(gone))
	}
	if best > 100*time.Millisecond {
		t.Errorf("the best of three took %v", best)
	}
	cancel()
	_ = monitor.Wait() // killed
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// TestDriftReported: with --drift=report it is seen, and stays.
func TestDriftReported(t *testing.T) {
	r := newRouter(t)
	r.settled()
	r.drift = DriftReport
	r.start()
	if err := r.set(driftBase...); err != nil {
		t.Fatal(err)
	}
	r.ip("-6 route del 2001:db8:1:e000::")
	r.within(time.Second, "SID shows as not programmed", func() bool { return r.state(endSID+"/state/programmed") == "false" })
	if why := r.state(endSID + "/state/programmed-reason"); !strings.Contains(why, "not there") {
		t.Errorf("reason %s", why)
	}
	r.within(time.Second, "it is counted", func() bool { return r.state("/system/drift/state/failed") == `"1"` })
	r.expectState("/system/drift/state/repaired", `"0"`)
	r.expectState("/system/drift/state/last-object", `"`+object.LocalSIDKey(netip.MustParseAddr("2001:db8:1:e000::")).String()+`"`)
	if err := r.set([2]string{endXSID + "/config/description", `"unrelated"`}); err != nil {
		t.Fatal(err)
	}
	if out := r.ip("-6 route show 2001:db8:1:e000::"); strings.Contains(out, "seg6local") {
		t.Errorf("it was put right:\n%s", out)
	}
	// A Set about it is one.
	if err := r.set([2]string{endSID + "/config", `{"behavior": "END_X", "next-hop": "2001:db8:13::9"}`}); err != nil {
		t.Fatal(err)
	}
	r.expectState(endSID+"/state/programmed", "true")
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// TestStorm: ten thousand changes of routes that are not ours are no drift, and
// Sets go on.
func TestStorm(t *testing.T) {
	r := newRouter(t)
	r.settled()
	r.start()
	if err := r.set(driftBase...); err != nil {
		t.Fatal(err)
	}
	detected := r.state("/system/drift/state/detected")
	var batch strings.Builder
	const routes = 2500
	for _, verb := range []string{"add", "replace", "change", "del"} {
		for i := range routes {
			fmt.Fprintf(&batch, "route %s 2001:db8:8000:%x::/64 dev far\n", verb, i)
		}
	}
	storm := exec.CommandContext(t.Context(), "ip", "-6", "-batch", "-")
	storm.Stdin = strings.NewReader(batch.String())
	var said bytes.Buffer
	storm.Stderr = &said
	if err := storm.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() { over <- storm.Wait() }()
	sets, longest := 0, time.Duration(0)
	for ended := false; !ended; sets++ {
		began := time.Now()
		if err := r.set([2]string{endXSID + "/config", fmt.Sprintf(`{"behavior": "END_X", "next-hop": "2001:db8:13::%x"}`, 2+sets%9)}); err != nil {
			t.Fatal(err)
		}
		longest = max(longest, time.Since(began))
		select {
		case err := <-over:
			if err != nil {
				t.Fatalf("%v\n%s", err, said.String())
			}
			ended = true
		default:
		}
	}
	t.Logf("%d Sets meanwhile, the longest took %v", sets, longest)
	if longest > 2*time.Second {
		t.Errorf("a Set took %v", longest)
	}
	r.expectState("/system/drift/state/detected", detected)

	// Drift is still noticed behind it.
	r.ip("-6 route del 2001:db8:1:e000::")
	r.within(2*time.Second, "SID is back", func() bool { return strings.Contains(r.ip("-6 route show 2001:db8:1:e000::"), "seg6local") })
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}
