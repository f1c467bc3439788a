package rtnl

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"heddle/kernel/object"
	"heddle/reconcile"
)

const bulk = 100_000

func bulkSIDs() []reconcile.Step {
	steps := make([]reconcile.Step, bulk)
	for i := range steps {
		a := netip.AddrFrom16([16]byte{0xfc, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
		steps[i].New = &object.LocalSID{SID: a, Table: object.TableMain, Behavior: object.EndX, NextHop: addr("2001:db8:1::2"), Dev: "v0"}
	}
	return steps
}

func bulkEncaps() []reconcile.Step {
	var encaps [16]*object.Encap
	for i := range encaps {
		encaps[i] = &object.Encap{Mode: object.HEncaps, Segments: []netip.Addr{addr(fmt.Sprintf("fc00:%x::", i+1)), addr("fc00:100::")}}
	}
	steps := make([]reconcile.Step, bulk)
	for i := range steps {
		a := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0xff, byte(i >> 16), byte(i >> 8), byte(i)})
		steps[i].New = &object.Route{Table: object.TableMain, Prefix: netip.PrefixFrom(a, 64),
			NextHops: []object.NextHop{{Gateway: addr("2001:db8:1::2"), Link: "v0", Encap: encaps[i%16]}}}
	}
	return steps
}

// bulkShared are routes over the same segment lists as those of bulkEncaps, each
// list in one nexthop object.
func bulkShared() (hops, routes []reconcile.Step) {
	routes = bulkEncaps()
	made := map[string]bool{}
	for i := range routes {
		own := routes[i].New.(*object.Route)
		h := object.HopByContent(own.NextHops[0])
		if !made[h.ID] {
			made[h.ID] = true
			hops = append(hops, reconcile.Step{New: h})
		}
		by := *own
		by.NextHops, by.SharedHop = nil, h.ID
		routes[i].New = &by
	}
	return hops, routes
}

// ipBatch writes what iproute2 needs to make the same objects.
func ipBatch(steps []reconcile.Step) []byte {
	var b bytes.Buffer
	for _, s := range steps {
		switch o := s.New.(type) {
		case *object.LocalSID:
			fmt.Fprintf(&b, "route add %s encap seg6local action End.X nh6 %s count dev %s\n", o.SID, o.NextHop, o.Dev)
		case *object.Route:
			n := o.NextHops[0]
			fmt.Fprintf(&b, "route add %s %s\n", o.Prefix, n)
		}
	}
	return b.Bytes()
}

func deletions(steps []reconcile.Step) []reconcile.Step {
	out := make([]reconcile.Step, len(steps))
	for i, s := range steps {
		out[i].Old = s.New
	}
	return out
}

// benchBulk makes and deletes the objects of steps, after those of first, and has
// iproute2 make those of theirs.
func benchBulk(b *testing.B, first, steps, peer []reconcile.Step) {
	if testing.Short() {
		b.Skip("short: makes 100,000 routes")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		b.Skip("needs iproute2 to compare with")
	}
	d := testDriver(b)
	wires(b, d)
	ctx := context.Background()
	batch := ipBatch(peer)
	var ours, dels, theirs time.Duration
	lost := 0
	for b.Loop() {
		start := time.Now()
		mustAll(b, d.Do(ctx, first))
		mustAll(b, d.Do(ctx, steps))
		ours += time.Since(start)
		start = time.Now()
		mustAll(b, d.Do(ctx, deletions(steps)))
		mustAll(b, d.Do(ctx, deletions(first)))
		dels += time.Since(start)
		start = time.Now()
		cmd := exec.Command("ip", "-6", "-force", "-batch", "-")
		cmd.Stdin = bytes.NewReader(batch)
		out, _ := cmd.CombinedOutput()
		lost += bytes.Count(out, []byte("Command failed"))
		theirs += time.Since(start)
		if out, err := exec.Command("ip", "-6", "route", "flush", "proto", "boot").CombinedOutput(); err != nil {
			b.Fatalf("flush: %s", out)
		}
	}
	n := float64(b.N)
	b.ReportMetric(ours.Seconds()*1e3/n, "ms/create")
	b.ReportMetric(dels.Seconds()*1e3/n, "ms/delete")
	b.ReportMetric(theirs.Seconds()*1e3/n, "ms/ip-batch")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "x-ip-batch")
	b.ReportMetric(float64(lost)/n, "lost-by-ip/op")
	b.ReportMetric(float64(d.retried)/n, "retried/op")
}

func mustAll(b testing.TB, results []reconcile.Result) {
	b.Helper()
	for _, r := range results {
		if r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}

func BenchmarkBulkSIDs(b *testing.B)   { benchBulk(b, nil, bulkSIDs(), bulkSIDs()) }
func BenchmarkBulkEncaps(b *testing.B) { benchBulk(b, nil, bulkEncaps(), bulkEncaps()) }

func BenchmarkBulkSharedEncaps(b *testing.B) {
	hops, routes := bulkShared()
	benchBulk(b, hops, routes, bulkEncaps())
}

// BenchmarkRepoint gives another way to 100,000 routes: in the next hop that they
// share, and in each of those that carry their own.
func BenchmarkRepoint(b *testing.B) {
	if testing.Short() {
		b.Skip("short: makes 100,000 routes")
	}
	ctx := context.Background()
	hop := func(segment string) object.NextHop {
		return object.NextHop{Gateway: addr("2001:db8:1::2"), Link: "v0",
			Encap: &object.Encap{Mode: object.HEncaps, Segments: []netip.Addr{addr(segment), addr("fc00:100::")}}}
	}
	shared := func(b *testing.B, compat string) {
		d := testDriver(b)
		wires(b, d)
		if err := os.WriteFile("/proc/sys/net/ipv4/nexthop_compat_mode", []byte(compat), 0); err != nil {
			b.Fatal(err)
		}
		ways := [2]*object.SharedNextHop{object.HopByName("policy", hop("fc00:1::")), object.HopByName("policy", hop("fc00:2::"))}
		routes := bulkEncaps()
		for i := range routes {
			by := *routes[i].New.(*object.Route)
			by.NextHops, by.SharedHop = nil, ways[0].ID
			routes[i].New = &by
		}
		mustAll(b, d.Do(ctx, []reconcile.Step{{New: ways[0]}}))
		mustAll(b, d.Do(ctx, routes))
		now := 0
		for b.Loop() {
			mustAll(b, d.Do(ctx, []reconcile.Step{{Old: ways[now], New: ways[1-now]}}))
			now = 1 - now
		}
	}
	b.Run("shared", func(b *testing.B) { shared(b, "1") })
	b.Run("shared-without-route-events", func(b *testing.B) { shared(b, "0") })
	b.Run("own", func(b *testing.B) {
		d := testDriver(b)
		wires(b, d)
		var ways [2][]reconcile.Step
		for w := range ways {
			ways[w] = bulkEncaps()
			for i := range ways[w] {
				ways[w][i].New.(*object.Route).NextHops[0] = hop(fmt.Sprintf("fc00:%d::", w+1))
			}
		}
		mustAll(b, d.Do(ctx, ways[0]))
		now := 0
		for b.Loop() {
			steps := make([]reconcile.Step, bulk)
			for i := range steps {
				steps[i] = reconcile.Step{Old: ways[now][i].New, New: ways[1-now][i].New}
			}
			mustAll(b, d.Do(ctx, steps))
			now = 1 - now
		}
	})
}

// BenchmarkCheck is the look ahead: creations are looked up one by one to a
// bound, changes always.
func BenchmarkCheck(b *testing.B) {
	d := testDriver(b)
	wires(b, d)
	ctx := context.Background()
	steps := bulkSIDs()
	for _, r := range d.Do(ctx, steps) {
		if r.Err != nil {
			b.Fatal(r.Err)
		}
	}
	changes := make([]reconcile.Step, len(steps))
	for i, s := range steps {
		changes[i] = reconcile.Step{Old: s.New, New: s.New}
	}
	for name, plan := range map[string][]reconcile.Step{"create-1": steps[:1], "create-100k": steps, "change-100k": changes} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := d.Check(ctx, plan); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("counters-100k", func(b *testing.B) {
		n := 0
		for b.Loop() {
			n = 0
			if err := d.Counters(ctx, object.TableMain, func(r []object.SIDReading) { n += len(r) }); err != nil || n != bulk {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("counters-by-key-100", func(b *testing.B) {
		var sids []netip.Addr
		for _, s := range steps[:100] {
			sids = append(sids, s.New.(*object.LocalSID).SID)
		}
		for b.Loop() {
			n := 0
			err := d.CountersOf(ctx, object.TableMain, sids, func(r []object.SIDReading) { n += len(r) })
			if err != nil || n != 100 {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("dump-100k", func(b *testing.B) {
		for b.Loop() {
			if got, err := d.Dump(ctx, object.KindLocalSID); err != nil || len(got) != bulk {
				b.Fatal(len(got), err)
			}
		}
	})
	b.Run("change-1", func(b *testing.B) {
		for b.Loop() {
			if r := d.Do(ctx, changes[:1]); r[0].Err != nil {
				b.Fatal(r[0].Err)
			}
		}
	})
}

// BenchmarkPreserve is what a link that is taken down costs for the sake of what
// somebody else has on it, ten routes and an address, beside few routes of ours and
// beside many. The kernel's own share, down and up again, is measured with it.
func BenchmarkPreserve(b *testing.B) {
	for _, n := range []int{100, bulk} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) { benchPreserve(b, n) })
	}
}

func benchPreserve(b *testing.B, routes int) {
	if testing.Short() && routes == bulk {
		b.Skip("short: makes 100,000 routes")
	}
	d := testDriver(b)
	wires(b, d)
	ctx := context.Background()
	h := other(b)
	mustAll(b, d.Do(ctx, bulkSIDs()[:routes]))
	if err := h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "w0"}, PeerName: "w1"}); err != nil {
		b.Fatal(err)
	}
	l, err := h.LinkByName("w0")
	if err != nil {
		b.Fatal(err)
	}
	up := []reconcile.Step{{New: object.LinkConfig{Link: "w0", Admin: object.AdminUp}}}
	down := []reconcile.Step{{Old: up[0].New}}
	mustAll(b, d.Do(ctx, up))
	mustAll(b, d.Do(ctx, []reconcile.Step{{New: object.LinkConfig{Link: "w1", Admin: object.AdminUp}}}))
	own := prefix("198.51.100.1/24")
	if err := h.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: own.Addr().AsSlice(), Mask: mask(own)}}); err != nil {
		b.Fatal(err)
	}
	for i := range 10 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16)
		r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: &net.IPNet{IP: p.Addr().AsSlice(), Mask: mask(p)}, Gw: addr("198.51.100.9").AsSlice()}
		if err := h.RouteAdd(r); err != nil {
			b.Fatal(err)
		}
	}
	var read, put, kernel time.Duration
	for b.Loop() {
		start := time.Now()
		others, err := d.Preserve(ctx, down)
		if err != nil || others == nil {
			b.Fatal(others, err)
		}
		read += time.Since(start)
		start = time.Now()
		mustAll(b, d.Do(ctx, down))
		others.Undo()
		mustAll(b, d.Do(ctx, up))
		kernel += time.Since(start)
		start = time.Now()
		if err := others.Restore(ctx); err != nil {
			b.Fatal(err)
		}
		put += time.Since(start)
	}
	n := float64(b.N)
	b.ReportMetric(read.Seconds()*1e3/n, "ms/read")
	b.ReportMetric(put.Seconds()*1e3/n, "ms/restore")
	b.ReportMetric(kernel.Seconds()*1e3/n, "ms/down+up")
	b.ReportMetric(0, "ns/op")
}
