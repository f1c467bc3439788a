package rtnl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/reconcile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// other is somebody else's handle on the kernel.
func other(t testing.TB) *netlink.Handle {
	t.Helper()
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// TestClosesEverything opens, uses and closes drivers and watches, and counts
// what stays open.
func TestClosesEverything(t *testing.T) {
	kerneltest.Namespace(t)
	ctx := context.Background()
	use := func() {
		d, err := Open(Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		wctx, cancel := context.WithCancel(ctx)
		events, err := d.Watch(wctx)
		if err != nil {
			t.Fatal(err)
		}
		mustDo(t, d, object.Link{Name: "v0", Type: object.LinkVeth, Peer: "v1"})
		if r := do(t, d, reconcile.Step{Old: object.Link{Name: "v0", Type: object.LinkVeth, Peer: "v1"}}); r.Err != nil {
			t.Fatal(r.Err)
		}
		cancel()
		for range events {
		}
	}
	use()
	before := kerneltest.OpenFiles(t)
	for range 5 {
		use()
	}
	if after := kerneltest.OpenFiles(t); after != before {
		t.Errorf("%d files open, %d before", after, before)
	}
	d, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if r := do(t, d, reconcile.Step{New: object.Link{Name: "v0", Type: object.LinkVeth, Peer: "v1"}}); r.Err == nil {
		t.Error("a closed driver made a link")
	}
}

// TestFromOtherThreads calls a driver from a thread in another namespace.
func TestFromOtherThreads(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	done := make(chan error)
	go func() {
		done <- func() error {
			r := d.Do(context.Background(), []reconcile.Step{{New: &object.LocalSID{SID: addr("fc00::1"), Table: 254, Behavior: object.End, Dev: "v0"}}})
			if r[0].Err != nil {
				return r[0].Err
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			events, err := d.Watch(ctx)
			if err != nil {
				return err
			}
			if e := <-events; e.Kind != EventResync {
				return fmt.Errorf("first event: %+v", e)
			}
			ls, err := d.Links(ctx)
			if len(ls) != 3 {
				return fmt.Errorf("%d links, %w", len(ls), err)
			}
			cancel()
			for range events {
			}
			return nil
		}()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// next waits for an event that fits.
func next(t *testing.T, events <-chan Event, what string, fits func(Event) bool) Event {
	t.Helper()
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatalf("%s: the stream has ended", what)
			}
			if fits(e) {
				return e
			}
		case <-timer.C:
			t.Fatalf("%s: no such event", what)
		}
	}
}

func TestWatch(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	h := other(t)
	sid := &object.LocalSID{SID: addr("fc00::1"), Table: object.TableMain, Behavior: object.End, Dev: "v0"}
	gone := &object.LocalSID{SID: addr("fc00::2"), Table: object.TableMain, Behavior: object.End, Dev: "v0"}
	taken := &object.Route{Table: object.TableMain, Prefix: prefix("2001:db8:a::/48"), NextHops: []object.NextHop{{Gateway: addr("fe80::2"), Link: "v0"}}}
	mustDo(t, d, gone, taken)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	events, err := d.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if e := <-events; e.Kind != EventResync {
		t.Fatalf("first event: %+v", e)
	}
	mustDo(t, d, sid) // by the driver itself: no event
	l, err := h.LinkByName("v0")
	if err != nil {
		t.Fatal(err)
	}
	route := func(p string, via string) *netlink.Route {
		pr := prefix(p)
		return &netlink.Route{LinkIndex: l.Attrs().Index, Dst: &net.IPNet{IP: pr.Addr().AsSlice(), Mask: mask(pr)},
			Gw: addr(via).AsSlice(), Protocol: unix.RTPROT_STATIC}
	}
	if err := h.RouteAdd(route("2001:db8:99::/48", "fe80::2")); err != nil { // foreign: no event
		t.Fatal(err)
	}
	dst := gone.SID
	if err := h.RouteDel(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: &net.IPNet{IP: dst.AsSlice(), Mask: mask(netip.PrefixFrom(dst, 128))}}); err != nil {
		t.Fatal(err)
	}
	e := next(t, events, "deleted SID", func(e Event) bool { return e.Kind == EventRoute })
	if !e.Gone || !gone.Equal(e.Route) || e.Keys[len(e.Keys)-1] != gone.Key() {
		t.Errorf("deleted SID: %+v", e)
	}
	if err := h.RouteReplace(route("2001:db8:a::/48", "fe80::3")); err != nil {
		t.Fatal(err)
	}
	e = next(t, events, "replaced route", func(e Event) bool { return e.Kind == EventRoute })
	if !e.Gone || e.Keys[0] != taken.Key() {
		t.Errorf("replaced route: %+v", e)
	}
	if err := h.LinkSetMTU(l, 1450); err != nil {
		t.Fatal(err)
	}
	e = next(t, events, "mtu", func(e Event) bool { return e.Kind == EventLink && e.Link.MTU == 1450 })
	if e.Link.Name != "v0" || !e.Link.Ours || e.Link.Peer != "v1" {
		t.Errorf("mtu: %+v", e)
	}
	if err := h.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: addr("198.51.100.1").AsSlice(), Mask: mask(prefix("198.51.100.0/24"))}}); err != nil {
		t.Fatal(err)
	}
	e = next(t, events, "address", func(e Event) bool { return e.Kind == EventAddress && e.Address.Prefix.Addr().Is4() })
	if e.Gone || e.Address.Ours || e.Address.Link != "v0" {
		t.Errorf("address: %+v", e)
	}
	if err := h.LinkDel(l); err != nil {
		t.Fatal(err)
	}
	e = next(t, events, "link gone", func(e Event) bool { return e.Kind == EventLink && e.Gone })
	if e.Keys[0].Kind != object.KindLink {
		t.Errorf("link gone: %+v", e)
	}
	cancel()
	for range events {
	}
}

// TestWatchOverrun floods a stream that nobody reads: it says so and goes on.
func TestWatchOverrun(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	events, err := d.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	<-events
	h := other(t)
	l, err := h.LinkByName("v0")
	if err != nil {
		t.Fatal(err)
	}
	resynced := make(chan struct{})
	flood := func() {
		for i := range 200 {
			if err := h.LinkSetMTU(l, 1400+i%2); err != nil {
				t.Error(err)
			}
		}
	}
	for range 60 { // about 8 MiB of events and the buffer of the stream
		flood()
	}
	go func() {
		defer close(resynced)
		next(t, events, "resync", func(e Event) bool { return e.Kind == EventResync })
	}()
	<-resynced
	if err := h.LinkSetMTU(l, 1500); err != nil {
		t.Fatal(err)
	}
	next(t, events, "event after the overrun", func(e Event) bool { return e.Link.MTU == 1500 })
	cancel()
	for range events {
	}
}

// TestSecondaryAddresses deletes the primary address of a subnet: the kernel
// takes the others of it along, and the driver puts them back.
func TestSecondaryAddresses(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	h := other(t)
	l, err := h.LinkByName("v0")
	if err != nil {
		t.Fatal(err)
	}
	foreign := &netlink.Addr{IPNet: &net.IPNet{IP: addr("192.0.2.7").AsSlice(), Mask: mask(prefix("192.0.2.0/24"))}}
	if err := h.AddrAdd(l, foreign); err != nil {
		t.Fatal(err)
	}
	second := object.Address{Link: "v0", Prefix: prefix("192.0.2.8/24")}
	mustDo(t, d, second)
	ip(t, "addr add 192.0.2.9/24 dev v0 valid_lft 300 preferred_lft 200")
	if r := do(t, d, reconcile.Step{Old: object.Address{Link: "v0", Prefix: prefix("192.0.2.1/24")}}); r.Err != nil {
		t.Fatal(r.Err)
	}
	as, err := d.Addresses(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range as {
		if a.Prefix.Addr().Is4() {
			got = append(got, fmt.Sprint(a.Prefix, a.Ours))
		}
	}
	if strings.Join(got, " ") != "192.0.2.7/24 false 192.0.2.8/24 true 192.0.2.9/24 false" {
		t.Errorf("addresses left: %q", got)
	}
}

// TestForeignRouteThatCannotBeDecoded: a dump passes over what it does not know.
func TestForeignRoutesInDumps(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	ip(t, "-6 route add 2001:db8:90::/48 encap seg6local action End.DX6 nh6 2001:db8:1::2 dev v0")
	ip(t, "-6 route add 2001:db8:91::/48 encap seg6local action End.B6.Encaps srh segs fc00::1 dev v0 proto 72")
	ip(t, "-6 route add 2001:db8:92::/48 encap ip6 id 1 dst fc00::1 dev v0 proto 72")
	ip(t, "route add 10.9.0.0/16 encap ip id 1 dst 192.0.2.2 dev v0 proto 72")
	sid := &object.LocalSID{SID: addr("fc00::1"), Table: object.TableMain, Behavior: object.End, Dev: "v0"}
	mustDo(t, d, sid)
	for _, k := range []object.Kind{object.KindRoute, object.KindLocalSID} {
		got, err := d.Dump(context.Background(), k)
		if err != nil {
			t.Fatal(err)
		}
		if k == object.KindLocalSID && len(got) != 1 || k == object.KindRoute && len(got) != 0 {
			t.Errorf("%s: %v", k, got)
		}
	}
}

// TestAgainstIproute2 compares what the kernel holds with the words of ip.
func TestAgainstIproute2(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	segs := []netip.Addr{addr("fc00:1::"), addr("fc00:2::"), addr("fc00:3::")}
	for want, o := range map[string]object.Object{
		"encap seg6 mode encap segs 3 [ fc00:1:: fc00:2:: fc00:3:: ]": &object.Route{Table: object.TableMain, Prefix: prefix("2001:db8:a::/48"),
			NextHops: []object.NextHop{{Link: "v0", Encap: &object.Encap{Mode: object.HEncaps, Segments: segs}}}},
		"encap seg6 mode inline segs 4 [ fc00:1:: fc00:2:: fc00:3:: :: ]": &object.Route{Table: object.TableMain, Prefix: prefix("2001:db8:b::/48"),
			NextHops: []object.NextHop{{Link: "v0", Encap: &object.Encap{Mode: object.HInsert, Segments: segs}}}},
		"encap seg6local action End.X nh6 2001:db8:1::2 dev v0 ": &object.LocalSID{SID: addr("fc00::2"), Table: object.TableMain,
			Behavior: object.EndX, NextHop: addr("2001:db8:1::2"), Dev: "v0"},
		"10.3.0.0/16 via inet6 fe80::1 dev v0 ": &object.Route{Table: object.TableMain, Prefix: prefix("10.3.0.0/16"),
			NextHops: []object.NextHop{{Gateway: addr("fe80::1"), Link: "v0"}}},
	} {
		mustDo(t, d, o)
		if all := ip(t, "-6 route show proto 72") + ip(t, "route show proto 72"); !strings.Contains(all, want) {
			t.Errorf("%v is not %q in:\n%s", o, want, all)
		}
	}
}

// ip runs iproute2 in the namespace of the test.
func ip(t *testing.T, args string) string {
	t.Helper()
	path, err := exec.LookPath("ip")
	if err != nil || isBusybox(path) {
		t.Skip("needs iproute2")
	}
	out, err := exec.Command(path, strings.Fields(args)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
	return string(out)
}

func isBusybox(path string) bool {
	target, err := os.Readlink(path)
	return err == nil && strings.Contains(target, "busybox")
}

// TestCountersCount sends a packet to an End SID with no segments left, which
// the behaviour drops and counts as an error, and reads it by dump and by key.
func TestCountersCount(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	a := &object.LocalSID{SID: addr("fc00::1"), Table: object.TableMain, Behavior: object.End, Dev: "v0"}
	b := &object.LocalSID{SID: addr("fc00::2"), Table: object.TableMain, Behavior: object.End, Dev: "v0"}
	mustDo(t, d, a, b)
	for range 3 {
		inject(t, "v1", "v0", a.SID)
	}
	read := func(sids ...netip.Addr) map[netip.Addr]object.SIDCounters {
		t.Helper()
		got := map[netip.Addr]object.SIDCounters{}
		take := func(portion []object.SIDReading) {
			for _, r := range portion {
				got[r.SID] = r.SIDCounters
			}
		}
		err := d.Counters(context.Background(), object.TableMain, take)
		if sids != nil {
			clear(got)
			err = d.CountersOf(context.Background(), object.TableMain, sids, take)
		}
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	waitFor(t, "packets to be counted", func() bool { return read(a.SID)[a.SID].Errors == 3 })
	all := read()
	if len(all) != 2 || all[a.SID].Errors != 3 || all[b.SID].Errors != 0 {
		t.Errorf("counters: %+v", all)
	}
	if keyed := read(a.SID, b.SID); !maps.Equal(keyed, all) {
		t.Errorf("by key: %+v, all: %+v", keyed, all)
	}
	if other := read(addr("fc00::3")); len(other) != 0 {
		t.Errorf("of a SID that is not there: %+v", other)
	}
	// What an identical replace would do, and why reconcile must not send one.
	if r := do(t, d, reconcile.Step{Old: a, New: a}); r.Err != nil {
		t.Fatal(r.Err)
	}
	if keyed := read(a.SID); len(keyed) != 1 || keyed[a.SID].Errors != 0 {
		t.Errorf("after replace: %+v", keyed)
	}
}

// TestCountersOfManyAreInOrder: who takes readings in relies on it for speed. They
// are more than one datagram holds, and follow an answer that is an error.
func TestCountersOfManyAreInOrder(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	var sids []object.Object
	for i := range 2048 {
		sids = append(sids, &object.LocalSID{
			SID: addr(fmt.Sprintf("fc00:%x::%x", i*7919%251, i)), Table: object.TableMain, Behavior: object.End, Dev: "v0",
		})
	}
	mustDo(t, d, sids...)
	var got []netip.Addr
	if err := d.Counters(context.Background(), 4711, func(r []object.SIDReading) { t.Errorf("of a table that does not exist: %v", r) }); err != nil {
		t.Error(err)
	}
	err := d.Counters(context.Background(), object.TableMain, func(portion []object.SIDReading) {
		for _, r := range portion {
			got = append(got, r.SID)
		}
	})
	if err != nil || len(got) != len(sids) || !slices.IsSortedFunc(got, netip.Addr.Compare) {
		t.Errorf("%d SIDs of %d, %v: %v", len(got), len(sids), err, got)
	}
}

// inject sends an IPv6 packet without a next header out of one end of a wire, to
// the other end. The behaviours work on packets that come in only.
func inject(t *testing.T, from, to string, dst netip.Addr) {
	t.Helper()
	out, err := net.InterfaceByName(from)
	if err != nil {
		t.Fatal(err)
	}
	in, err := net.InterfaceByName(to)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	frame := append(append([]byte(nil), in.HardwareAddr...), out.HardwareAddr...)
	frame = append(frame, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 59, 64) // RFC 8200 §3, next header 59: none
	src := addr("fc00:77::1").As16()
	to16 := dst.As16()
	frame = append(append(frame, src[:]...), to16[:]...)
	if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: out.Index}); err != nil {
		t.Fatal(err)
	}
}

// waitFor polls the kernel for what it does in its own time.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-timer.C:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestWithoutPrivilege takes CAP_NET_ADMIN from the thread.
func TestWithoutPrivilege(t *testing.T) {
	d := testDriver(t)
	if err := CheckPrivilege(); err != nil {
		t.Fatal(err)
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&hdr, &caps[0]); err != nil {
		t.Fatal(err)
	}
	// The thread ends with the test.
	runtime.LockOSThread()
	caps[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	if err := unix.Capset(&hdr, &caps[0]); err != nil {
		t.Fatal(err)
	}
	err := d.Check(context.Background(), []reconcile.Step{{New: object.Link{Name: "v0", Type: object.LinkVeth, Peer: "v1"}}})
	if err == nil || !strings.Contains(err.Error(), "CAP_NET_ADMIN") || strings.Contains(err.Error(), "\n") {
		t.Errorf("check: %v", err)
	}
}

// TestDeleteMeetsItsOwn: IPv4 takes metric 0 for any metric, so a deletion of
// what is gone must not take the next route of ours along.
func TestDeleteMeetsItsOwn(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	hop := []object.NextHop{{Gateway: addr("192.0.2.2"), Link: "v0"}}
	first := &object.Route{Table: object.TableMain, Prefix: prefix("10.0.0.0/8"), NextHops: hop}
	second := &object.Route{Table: object.TableMain, Prefix: prefix("10.0.0.0/8"), Metric: 100, NextHops: hop}
	mustDo(t, d, second)
	if r := do(t, d, reconcile.Step{Old: first}); r.Err != nil {
		t.Fatal(r.Err)
	}
	if got, _, ok, err := d.Slot(context.Background(), second); err != nil || !ok || !second.Equal(got) {
		t.Errorf("the other route is %v, %v", got, err)
	}
}

// TestRefusalNamesTheHolder: without a check ahead, the refusal says what is in
// the way, also where a lookup does not lead to it.
func TestRefusalNamesTheHolder(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	ip(t, "-6 route add 2001:db8:90::/48 via 2001:db8:1::9 dev v0 proto bird")
	ip(t, "-6 route add 2001:db8:90::/64 via 2001:db8:1::9 dev v0 proto static")
	r := do(t, d, reconcile.Step{New: &object.Route{Table: object.TableMain, Prefix: prefix("2001:db8:90::/48"),
		NextHops: []object.NextHop{{Gateway: addr("2001:db8:1::2"), Link: "v0"}}}})
	if _, ok := errors.AsType[*ConflictError](r.Err); !ok || !strings.Contains(r.Err.Error(), "bird (12)") {
		t.Errorf("error: %v", r.Err)
	}
	if k, ok := errors.AsType[*KernelError](r.Err); !ok || k.Errno != unix.EEXIST || strings.Contains(r.Err.Error(), "\n") {
		t.Errorf("error: %q", r.Err)
	}
}

// TestEncapsUnderPressure makes more H.Encaps routes at once than the kernel has
// room for without a breath: none is lost.
func TestEncapsUnderPressure(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	steps := bulkEncaps()[:20_000]
	for _, r := range d.Do(context.Background(), steps) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	got, err := d.Dump(context.Background(), object.KindRoute)
	if err != nil || len(got) != len(steps) {
		t.Errorf("%d of %d routes, %v", len(got), len(steps), err)
	}
	t.Logf("%d messages were sent again", d.retried)
}

// TestLastAddress deletes the last IPv4 address of a link: the kernel takes every
// IPv4 route over the link along, without a word, and the driver puts ours back.
func TestLastAddress(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	first := object.Address{Link: "v0", Prefix: prefix("192.0.2.1/24")}
	second := object.Address{Link: "v0", Prefix: prefix("192.0.2.8/24")}
	far := object.Address{Link: "v1", Prefix: prefix("198.51.100.1/24")}
	enc := &object.Encap{Mode: object.HEncaps, Segments: []netip.Addr{addr("fc00:1::"), addr("fc00:2::")}}
	v0, v1 := object.NextHop{Link: "v0", Encap: enc}, object.NextHop{Link: "v1"}
	mustDo(t, d, second, far,
		&object.Route{Table: object.TableMain, Prefix: prefix("192.168.4.0/24"), NextHops: []object.NextHop{v0}},
		&object.Route{Table: 110, Prefix: prefix("192.168.5.0/24"), NextHops: []object.NextHop{v0}},
		&object.Route{Table: object.TableMain, Prefix: prefix("192.168.6.0/24"), NextHops: []object.NextHop{v0, v1}},
		&object.Route{Table: object.TableMain, Prefix: prefix("192.168.7.0/24"), NextHops: []object.NextHop{v1}})
	ip(t, "route add 10.9.0.0/16 dev v0")

	ours := func() string { return sortedLines(ip(t, "-d route show table all proto 72")) }
	want := ours()
	if strings.Count(want, "192.168.") != 4 {
		t.Fatalf("routes of ours:\n%s", want)
	}
	for _, a := range []object.Address{first, second, far} {
		if r := do(t, d, reconcile.Step{Old: a}); r.Err != nil {
			t.Fatal(r.Err)
		}
		if got := ours(); got != want {
			t.Errorf("after %s was deleted:\n%swant\n%s", a, got, want)
		}
	}
	if got := ip(t, "-4 addr show"); strings.Contains(got, "inet ") {
		t.Errorf("addresses are left:\n%s", got)
	}
}

// TestLastAddressOfGateway: without the address the gateway is out of reach, so
// the route cannot come back, and the address stays.
func TestLastAddressOfGateway(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	route := &object.Route{Table: object.TableMain, Prefix: prefix("10.1.0.0/16"), NextHops: []object.NextHop{{Gateway: addr("192.0.2.2"), Link: "v0"}}}
	other := &object.Route{Table: object.TableMain, Prefix: prefix("10.2.0.0/16"), NextHops: []object.NextHop{{Link: "v0"}}}
	mustDo(t, d, route, other)
	before := ip(t, "-4 route show table all") + ip(t, "-4 addr show dev v0")
	a := object.Address{Link: "v0", Prefix: prefix("192.0.2.1/24")}
	if r := do(t, d, reconcile.Step{Old: a}); r.Err == nil || !strings.Contains(r.Err.Error(), "10.1.0.0/16") {
		t.Errorf("deletion answers %v", r.Err)
	}
	if now := ip(t, "-4 route show table all") + ip(t, "-4 addr show dev v0"); sortedLines(now) != sortedLines(before) {
		t.Errorf("before:\n%snow:\n%s", before, now)
	}
}

func sortedLines(text string) string {
	lines := strings.SplitAfter(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}
