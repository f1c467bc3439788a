package drivers

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/reconcile"
)

// others is a namespace in which somebody else works beside us, by iproute2, and a
// reconciler on it.
type others struct {
	*testing.T
	d *meddled
	r *reconcile.Reconciler
}

// meddled is the drivers, and somebody who is faster: before the step on a key is
// carried out, after Check, ip is run.
type meddled struct {
	*Drivers
	key object.Key
	run func()
}

func (m *meddled) Do(ctx context.Context, steps []reconcile.Step) []reconcile.Result {
	if m.run != nil && slices.ContainsFunc(steps, func(s reconcile.Step) bool { return s.Key() == m.key }) {
		m.run()
		m.run = nil
	}
	return m.Drivers.Do(ctx, steps)
}

// newOthers makes the wires e1 and e2 of somebody else, up.
func newOthers(t *testing.T, parts ...[]string) *others {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	kerneltest.Namespace(t)
	d, err := Open(Config{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	o := &others{T: t, d: &meddled{Drivers: d}}
	o.r = reconcile.New(o.d)
	if err := o.r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.ip("link set lo up", "link add e1 type veth peer name p1", "link add e2 type veth peer name p2")
	for _, l := range []string{"e1", "p1", "e2", "p2"} {
		// Duplicate address detection takes a second or two otherwise.
		for name, value := range map[string]string{"conf/" + l + "/router_solicitation_delay": "0", "neigh/" + l + "/retrans_time_ms": "50"} {
			if err := writeParam("net/ipv6/"+name, value); err != nil {
				t.Fatal(err)
			}
		}
		o.ip("link set " + l + " up")
	}
	for strings.Count(strings.Join(o.settled(), "\n"), "inet6 fe80::") < 4 {
		waitTick(t) // for carrier
	}
	for _, lines := range parts {
		o.ip(lines...)
		o.settled() // an address that is tentative cannot be the source of a route
	}
	return o
}

// ip runs iproute2, one batch for each run of lines of one family.
func (o *others) ip(lines ...string) string {
	o.Helper()
	path, err := exec.LookPath("ip")
	if err == nil {
		if target, lerr := os.Readlink(path); lerr == nil && strings.Contains(target, "busybox") {
			err = exec.ErrNotFound
		}
	}
	if err != nil {
		o.Skip("needs iproute2")
	}
	var out strings.Builder
	for len(lines) > 0 {
		six := strings.HasPrefix(lines[0], "-6 ")
		n := 1
		for n < len(lines) && strings.HasPrefix(lines[n], "-6 ") == six {
			n++
		}
		args := []string{"-batch", "-"}
		if six {
			args = append([]string{"-6"}, args...)
		}
		cmd := exec.Command(path, args...)
		batch := strings.ReplaceAll("\n"+strings.Join(lines[:n], "\n"), "\n-6 ", "\n")
		cmd.Stdin = strings.NewReader(batch + "\n")
		b, err := cmd.CombinedOutput()
		if err != nil {
			o.Fatalf("ip: %v: %s\n%s", err, b, strings.Join(lines[:n], "\n"))
		}
		out.Write(b)
		lines = lines[n:]
	}
	return out.String()
}

// hangsOn is what somebody else may have on e1, of every kind.
var hangsOn = []string{
	"addr add 10.1.0.1/24 dev e1",
	"addr add 10.1.0.2/24 dev e1 label e1:x valid_lft 3000 preferred_lft 2000",
	"addr add 10.3.0.1 peer 10.3.0.2/32 dev e1",
	"addr add 10.2.0.1/24 dev e2",
	"-6 addr add 2001:db8:1::1/64 dev e1 nodad",
	"-6 addr add 2001:db8:1::2/64 dev e1 valid_lft 3000 preferred_lft 2000",
	"-6 addr add 2001:db8:1::3/64 dev e1",
	"-6 addr add fe80::99/64 dev e1",
	"-6 addr add 2001:db8:2::1/64 dev e2 nodad",
	"neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev e1 nud permanent",
	"neigh add 10.1.0.8 lladdr 02:00:00:00:00:08 dev e1 nud noarp",
	"neigh add proxy 10.1.0.77 dev e1",
	"-6 neigh add 2001:db8:1::9 lladdr 02:00:00:00:00:09 dev e1 nud permanent",
	"-6 neigh add proxy 2001:db8:1::77 dev e1",
}

// leadsOver is what leads over e1, in tables of no VRF.
var leadsOver = []string{
	"route add 10.10.0.0/16 dev e1 table 77",
	"route add 10.10.1.0/24 via 10.1.0.9 dev e1 table 77 proto bird mtu lock 1200 advmss 1000",
	"route add 10.10.2.0/24 via inet6 2001:db8:1::9 dev e1 table 77 proto 186",
	"route add 10.10.3.0/24 via 10.99.0.9 dev e1 onlink table 77",
	"route add 10.10.4.0/24 encap seg6 mode encap segs 2001:db8::1,2001:db8::2 dev e1 table 77",
	"route add 10.10.5.0/24 tos 4 via 10.1.0.9 dev e1 table 77",
	"route add local 10.10.6.0/24 dev e1 table 77",
	"route add 10.10.7.0/24 table 77 nexthop via 10.1.0.9 dev e1 weight 3 nexthop via 10.1.0.10 dev e1",
	"-6 route add 2001:db8:a::/64 via 2001:db8:1::9 dev e1 table 77 src 2001:db8:1::3 proto bird",
	"-6 route add 2001:db8:b::/64 via fe80::9 dev e1 table 77 metric 7 mtu 1300 pref high",
	"-6 route add 2001:db8:c::/64 dev e1 table 77 expires 500",
	"-6 route add 2001:db8:d::/64 encap seg6local action End.X nh6 2001:db8:1::9 count dev e1 table 77",
	"-6 route add 2001:db8:e::/64 encap seg6 mode inline segs 2001:db8::1 dev e1 table 77",
	"-6 route add 2001:db8:f::/64 from 2001:db8:2::/64 dev e1 table 77",
	"-6 route add 2001:db8:10::/64 table 77 nexthop via 2001:db8:1::9 dev e1 weight 2 nexthop via 2001:db8:1::a dev e1",
	"-6 route add 2001:db8:1f::/64 via 2001:db8:2::9 dev e2 src 2001:db8:1::3 table 77",
	"nexthop add id 1 via 10.1.0.9 dev e1",
	"nexthop add id 2 via 10.2.0.9 dev e2",
	"nexthop add id 3 group 1,3/2",
	"nexthop add id 4 group 1",
	"-6 nexthop add id 11 via 2001:db8:1::9 dev e1 proto 186",
	"-6 nexthop add id 12 encap seg6 mode encap segs 2001:db8::1 dev e1",
	"nexthop add id 13 group 11/12 type resilient buckets 8 idle_timer 60",
	"route add 10.13.0.0/16 nhid 3 table 77",
	"route add 10.14.0.0/16 nhid 1 table 77",
	"route add 10.15.0.0/16 nhid 4 table 77",
	"-6 route add 2001:db8:13::/64 nhid 13 table 77",
	"-6 route add 2001:db8:14::/64 nhid 11 table 77",
}

// inMain is what leads over e1 in the main table.
var inMain = []string{
	"-6 addr add 2001:db8:4::1/64 dev e1 noprefixroute", "-6 route add 2001:db8:4::/64 dev e1 proto kernel metric 700",
	"route add 10.9.0.0/16 via 10.1.0.9",
	"route add 10.16.0.0/16 via 10.1.0.9 src 10.1.0.2",
	"route add 10.11.0.0/16 nexthop via 10.1.0.9 nexthop via 10.2.0.9",
	"-6 route add 2001:db8:9::/64 via 2001:db8:1::9",
	"-6 route add 2001:db8:11::/64 nexthop via 2001:db8:1::9 nexthop via 2001:db8:2::9",
}

var (
	// volatile are times, which go on.
	volatile = regexp.MustCompile(`(valid_lft|preferred_lft|expires) [0-9]+sec`)
	// index is the number of a link, which is another one when it is made anew.
	index = regexp.MustCompile(`(?m)^[0-9]+: `)
	// byItself is what the kernel makes when it needs it.
	byItself = regexp.MustCompile(`(?m)^.*(lladdr 33:33:|lladdr 01:00:|10\.250\.|STALE|REACHABLE|DELAY|PROBE|INCOMPLETE|FAILED).*\n`)
	// counted is what passed a SID.
	counted = regexp.MustCompile(`packets [0-9]+ bytes [0-9]+ errors [0-9]+`)
)

// state is all there is, in the words of ip, one thing a line.
func (o *others) state() []string {
	o.Helper()
	var lines []string
	for family, what := range map[string]string{
		"-0": "link show\naddr show\nneigh show nud all\nneigh show proxy\nnexthop show\n",
		"-4": "route show table all\n", "-6": "route show table all\n",
	} {
		args := []string{"-d", "-o", "-batch", "-"}
		if family != "-0" {
			args = append([]string{family}, args...)
		}
		cmd := exec.Command("ip", args...)
		cmd.Stdin = strings.NewReader(what)
		b, err := cmd.Output()
		if err != nil {
			o.Fatalf("ip %s: %v", args, err)
		}
		text := byItself.ReplaceAllString(index.ReplaceAllString(string(b), ""), "")
		text = volatile.ReplaceAllString(counted.ReplaceAllString(text, "counted"), "$1 Nsec")
		for line := range strings.Lines(text) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	slices.Sort(lines)
	return lines
}

// settled waits until no address is tentative, but on e1 when it is down, and
// returns the state then.
func (o *others) settled() []string {
	o.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		b, err := exec.Command("ip", "-6", "-o", "addr", "show", "tentative").Output()
		if err != nil {
			o.Fatal(err)
		}
		waits := strings.Fields(strings.ReplaceAll(string(b), "\n", " "))
		if len(waits) > 0 && slices.Contains(waits, "e1") && !o.isUp("e1") {
			waits = nil
		}
		if len(waits) == 0 {
			return o.state()
		}
		if time.Now().After(deadline) {
			o.Fatalf("addresses do not settle:\n%s", b)
		}
		waitTick(o.T)
	}
}

func (o *others) isUp(link string) bool {
	l, there, err := o.d.Net.Link(o.Context(), link)
	if err != nil || !there {
		o.Fatalf("link %s: %t, %v", link, there, err)
	}
	return l.Up
}

func waitTick(t *testing.T) {
	t.Helper()
	timer := time.NewTimer(50 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

// differences lists the lines that one of two states has alone.
func differences(before, now []string) []string {
	var diff []string
	for _, l := range before {
		if !slices.Contains(now, l) {
			diff = append(diff, "- "+l)
		}
	}
	for _, l := range now {
		if !slices.Contains(before, l) {
			diff = append(diff, "+ "+l)
		}
	}
	return diff
}

// same checks that all is as it was, but for lines that one of the words is in.
func (o *others) same(what string, before []string, but ...string) {
	o.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		diff := slices.DeleteFunc(differences(before, o.settled()), func(l string) bool {
			return slices.ContainsFunc(but, func(word string) bool { return strings.Contains(l, word) })
		})
		switch {
		case len(diff) == 0:
			return
		case time.Now().After(deadline): // the kernel's own routes follow an address after a while
			o.Fatalf("%s: something is not as it was:\n%s", what, strings.Join(diff, "\n"))
		}
		waitTick(o.T)
	}
}

// inUse checks that addresses are in use at once, without detection of duplicates.
func (o *others) inUse(addrs ...string) {
	o.Helper()
	for _, l := range o.state() {
		for _, a := range addrs {
			if strings.Contains(l, " "+a+"/") && strings.Contains(l, "tentative") {
				o.Errorf("it is not in use: %s", l)
			}
		}
	}
}

func changes(old, wanted []object.Object) []reconcile.Change {
	var cs []reconcile.Change
	for _, w := range wanted {
		cs = append(cs, reconcile.Change{Key: w.Key(), Want: reconcile.Wanted{Object: w}})
	}
	for _, w := range old {
		if !slices.ContainsFunc(wanted, func(n object.Object) bool { return n.Key() == w.Key() }) {
			cs = append(cs, reconcile.Change{Key: w.Key()})
		}
	}
	return cs
}

func (o *others) commit(old, wanted []object.Object) (undo func(context.Context) error) {
	o.Helper()
	undo, err := o.r.Commit(o.Context(), changes(old, wanted))
	if err != nil {
		o.Fatal(err)
	}
	return undo
}

// late is a route whose creation fails, after everything else.
var late = &object.Route{Table: object.TableMain, Prefix: netip.MustParsePrefix("10.250.0.0/16"), Type: object.Blackhole}

// refusedLate commits, and has the last step refused: somebody else is faster.
func (o *others) refusedLate(old, wanted []object.Object) {
	o.Helper()
	o.d.key, o.d.run = late.Key(), func() { o.ip("route add blackhole 10.250.0.0/16") }
	_, err := o.r.Commit(o.Context(), changes(old, append(slices.Clone(wanted), late)))
	if err == nil || !strings.Contains(err.Error(), "10.250.0.0/16 table 254 metric 0 of protocol boot (3) is in the way") || strings.Contains(err.Error(), "undo") {
		o.Fatalf("the conflict: %v", err)
	}
	o.ip("route del blackhole 10.250.0.0/16")
}

// refused checks that a commit is refused before anything is touched, and names
// things.
func (o *others) refused(old, wanted []object.Object, names ...string) {
	o.Helper()
	before := o.settled()
	_, err := o.r.Commit(o.Context(), changes(old, wanted))
	if err == nil {
		o.Fatal("it was accepted")
	}
	for _, n := range names {
		if !strings.Contains(err.Error(), n) {
			o.Errorf("the error does not name %q: %v", n, err)
		}
	}
	if diff := differences(before, o.state()); len(diff) > 0 {
		o.Errorf("something changed:\n%s", strings.Join(diff, "\n"))
	}
	o.Log(err)
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// TestLinkDown: who has a link taken down has what is on it taken away, as with ip
// link set down. When that is refused later, or undone, all of it is there again.
func TestLinkDown(t *testing.T) {
	o := newOthers(t, hangsOn, leadsOver, inMain)
	down := []object.Object{object.LinkConfig{Link: "e1", Admin: object.AdminDown}}
	before := o.settled()
	o.refusedLate(nil, down)
	o.inUse("2001:db8:1::1", "2001:db8:1::2", "2001:db8:1::3", "fe80::99")
	o.same("refused", before)
	undo := o.commit(nil, down)
	for _, l := range o.state() {
		if strings.Contains(l, "2001:db8:1::") && strings.Contains(l, "dev e1") && !strings.Contains(l, "e2") || strings.Contains(l, "10.10.0.0/16") {
			o.Errorf("it is there although its link was to go down: %s", l)
		}
	}
	if err := undo(o.Context()); err != nil {
		o.Fatal(err)
	}
	o.inUse("2001:db8:1::1", "2001:db8:1::2", "2001:db8:1::3", "fe80::99")
	o.same("undone", before)
}

// TestLinkUpUndone: what is on a link that is down would go when it is taken down
// again.
func TestLinkUpUndone(t *testing.T) {
	o := newOthers(t, []string{"link set e1 down"}, hangsOn[:4], hangsOn[4:8], hangsOn[9:])
	up := []object.Object{object.LinkConfig{Link: "e1", Admin: object.AdminUp}}
	before := o.settled()
	o.refusedLate(nil, up)
	o.same("refused", before)
	undo := o.commit(nil, up)
	o.settled()
	if err := undo(o.Context()); err != nil {
		o.Fatal(err)
	}
	o.same("undone", before)
}

// over has what is said of e1 said of another link.
func over(link string, lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = strings.NewReplacer("e1:", link+":", "dev e1", "dev "+link).Replace(l)
	}
	return out
}

func wire(end, peer string) []object.Object {
	return []object.Object{
		object.Link{Name: end, Type: object.LinkVeth, Peer: peer}, object.LinkConfig{Link: end, Admin: object.AdminUp},
		object.Link{Name: peer, Type: object.LinkVeth, Peer: end}, object.LinkConfig{Link: peer, Admin: object.AdminUp},
	}
}

// TestWireMadeAnew: a veth of ours gets another peer, and so is another link.
// Somebody else has put addresses and all the rest on it.
func TestWireMadeAnew(t *testing.T) {
	o := newOthers(t)
	had, wanted := wire("v0", "v1"), wire("v0", "v2")
	o.commit(nil, had)
	o.ip("link set v0 mtu 1480", "link set v1 mtu 1480", "link set e1 down")
	for _, lines := range [][]string{over("v0", hangsOn), over("v0", leadsOver), over("v0", inMain)} {
		o.ip(lines...)
		o.settled()
	}
	const filter = "net/ipv4/conf/v0/rp_filter"
	if err := writeParam(filter, "2"); err != nil {
		t.Fatal(err)
	}
	before := o.settled()
	o.refusedLate(had, wanted)
	o.inUse("2001:db8:1::1", "2001:db8:1::2", "2001:db8:1::3", "fe80::99")
	o.same("refused", before)
	undo := o.commit(had, wanted)
	o.inUse("2001:db8:1::1", "2001:db8:1::2", "2001:db8:1::3", "fe80::99")
	if b, err := os.ReadFile("/proc/sys/" + filter); err != nil || string(b) != "2\n" {
		t.Errorf("%s is %q, %v", filter, b, err)
	}
	o.same("made anew", before, " v1", "v1@", " v2", "v2@", "v0@", "v1 ", "v2 ")
	if err := undo(o.Context()); err != nil {
		o.Fatal(err)
	}
	o.same("undone", before)
}

// TestLastAddress: with the last IPv4 address of a link the kernel drops all IPv4
// routes over it and its neighbours. What does not need the address stays.
func TestLastAddress(t *testing.T) {
	o := newOthers(t)
	ours := []object.Object{object.Address{Link: "e1", Prefix: prefix("10.1.0.1/24")}}
	o.commit(nil, ours)
	o.ip("addr add 10.2.0.1/24 dev e2", "-6 addr add 2001:db8:1::1/64 dev e1 nodad")
	o.ip(hangsOn[9:]...)
	stays := []string{leadsOver[0], leadsOver[2], leadsOver[3], leadsOver[4], leadsOver[6], "route add 10.11.0.0/16 nexthop via 10.1.0.9 nexthop via 10.2.0.9"}
	goes := []string{"route add 10.9.0.0/16 via 10.1.0.9", "route add 10.12.0.0/16 via 10.2.0.9 src 10.1.0.1"}
	o.ip(stays...)
	o.ip(goes...)
	before := o.settled()
	undo := o.commit(ours, nil)
	o.same("deleted", before, "10.9.0.0/16", "10.12.0.0/16", "10.1.0.1", "nexthop via 10.1.0.9", "10.11.0.0/16")
	if now := o.state(); slices.ContainsFunc(now, func(l string) bool { return strings.Contains(l, "10.9.0.0/16") }) {
		o.Error("a route is there whose gateway cannot be reached")
	}
	if err := undo(o.Context()); err != nil {
		o.Fatal(err)
	}
	o.same("undone", before, "10.12.0.0/16")

	// With a primary address go the secondary ones, for a moment, and what names
	// them.
	o.ip("addr add 10.1.0.2/24 dev e1", "addr add 10.4.0.1/24 dev e1", "route add 10.18.0.0/16 via 10.2.0.9 src 10.1.0.2")
	before = o.settled()
	o.commit(ours, nil)
	o.same("secondary", before, "10.1.0.", "10.12.0.0/16")
	if now := strings.Join(o.state(), "\n"); !strings.Contains(now, "10.18.0.0/16 via 10.2.0.9 dev e2") || !strings.Contains(now, "10.9.0.0/16") {
		o.Errorf("routes are lost:\n%s", now)
	}
}

// TestSourceMadeAnew: an address of ours is deleted and made again, and routes of
// somebody else name it as their source.
func TestSourceMadeAnew(t *testing.T) {
	o := newOthers(t)
	addresses := []object.Object{object.Address{Link: "e1", Prefix: prefix("10.1.0.1/24")}, object.Address{Link: "e1", Prefix: prefix("2001:db8:1::1/64")}}
	had := append(addresses, object.LinkConfig{Link: "e1", MTU: 1400})
	wanted := append(addresses[:2:2], object.LinkConfig{Link: "e1", Admin: object.AdminUp})
	o.commit(nil, had)
	o.ip("addr add 10.2.0.1/24 dev e2", "-6 addr add 2001:db8:2::1/64 dev e2 nodad")
	o.settled()
	o.ip("route add 10.12.0.0/16 via 10.2.0.9 src 10.1.0.1", "route add 10.13.0.0/16 via 10.1.0.9 src 10.1.0.1",
		"-6 route add 2001:db8:1f::/64 via 2001:db8:2::9 src 2001:db8:1::1", "-6 route add 2001:db8:2f::/64 via 2001:db8:1::9 src 2001:db8:1::1 table 77")
	before := o.settled()
	o.refusedLate(had, wanted)
	o.same("refused", before)
	o.commit(had, wanted)
	o.same("made again", before, "mtu 1400", "mtu 1500")
}

// TestRefusedAhead: what could not be put back is refused before anything is
// touched.
func TestRefusedAhead(t *testing.T) {
	o := newOthers(t)
	had, wanted := wire("v0", "v1"), wire("v0", "v2")
	o.commit(nil, had)
	o.ip("addr add 10.1.0.1/24 dev v0", "addr add 10.4.0.1/24 dev v0", "-6 addr add 2001:db8:1::1/64 dev e1 nodad",
		"-6 route add 2001:db8:9::/64 via 2001:db8:1::9", "link add br0 type bridge")

	// A gateway that nothing leads to any more.
	o.ip("route add 10.9.0.0/16 via 10.1.0.9 dev v0 proto bird", "addr del 10.1.0.1/24 dev v0")
	o.refused(had, wanted, "route 10.9.0.0/16 of protocol bird (12)", "Nexthop has invalid gateway")
	o.ip("route del 10.9.0.0/16")

	// A port of a bridge.
	o.ip("link set v0 master br0")
	o.refused(had, wanted, "membership of v0 in br0")
	o.refused(had, nil, "membership of v0 in br0")
	o.ip("link set v0 nomaster")

	// An MTU that IPv6 does not work with.
	o.refused(nil, []object.Object{object.LinkConfig{Link: "e1", MTU: 1279}},
		"what needs IPv6 on e1 (address 2001:db8:1::1/64, route 2001:db8:9::/64 of protocol boot (3))", "1280")
	o.ip("-6 addr del 2001:db8:1::1/64 dev e1", "-6 route del 2001:db8:9::/64")
	o.commit(had, append(had, object.LinkConfig{Link: "e1", MTU: 1279}))
}

// TestOnTop: a link of somebody else on top of one of ours.
func TestOnTop(t *testing.T) {
	o := newOthers(t)
	had := wire("v0", "v1")
	o.commit(nil, had)
	kind := ""
	for _, k := range []string{"vlan id 7", "macvlan", "ipvlan"} {
		if exec.Command("ip", strings.Fields("link add link v0 name top type "+k)...).Run() == nil {
			kind, _, _ = strings.Cut(k, " ")
			break
		}
	}
	if kind == "" {
		t.Skip("the kernel has no links that go on top of another one")
	}
	o.refused(had, nil, "link top ("+kind+", not made by heddle), which is on top of v0", "ip link del top")
	o.ip("link del top")
	o.commit(had, nil)
}
