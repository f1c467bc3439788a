package rtnl

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"testing"
	"time"

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

func benchBulk(b *testing.B, steps []reconcile.Step) {
	if testing.Short() {
		b.Skip("short: makes 100,000 routes")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		b.Skip("needs iproute2 to compare with")
	}
	d := testDriver(b)
	wires(b, d)
	ctx := context.Background()
	batch := ipBatch(steps)
	var ours, dels, theirs time.Duration
	lost := 0
	for b.Loop() {
		start := time.Now()
		for _, r := range d.Do(ctx, steps) {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
		ours += time.Since(start)
		start = time.Now()
		for _, r := range d.Do(ctx, deletions(steps)) {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
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

func BenchmarkBulkSIDs(b *testing.B)   { benchBulk(b, bulkSIDs()) }
func BenchmarkBulkEncaps(b *testing.B) { benchBulk(b, bulkEncaps()) }

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
			if err := d.Counters(ctx, 0, func(SIDCounter) { n++ }); err != nil || n != bulk {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("counters-by-key-100", func(b *testing.B) {
		var sids []*object.LocalSID
		for _, s := range steps[:100] {
			sids = append(sids, s.New.(*object.LocalSID))
		}
		for b.Loop() {
			if got, err := d.CountersOf(ctx, sids); err != nil || len(got) != 100 {
				b.Fatal(len(got), err)
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
