package all_test

import (
	"fmt"
	"net/netip"
	"testing"

	"heddle/agent/rules"
	"heddle/schema"
	"heddle/translators"
	"heddle/translators/all"
	"heddle/translators/modeltest"
)

// many makes a configuration of n End.X SIDs.
func many(b *testing.B, m *translators.Model, n int) *modeltest.Snapshot {
	b.Helper()
	base, _, err := modeltest.New(m.Schema, schema.Entries{}).Apply([]schema.Edit{{Op: schema.Update, JSON: []byte(`{"network-instances": {"network-instance": [
		{"name": "DEFAULT", "config": {"type": "DEFAULT_INSTANCE"}, "segment-routing": {"srv6": {"locators": {"locator": [
			{"name": "main", "config": {"prefix": "2001:db8::/32"}}]}}}}]}}`)}})
	if err != nil {
		b.Fatal(err)
	}
	parent, err := m.Key("", m.Instance, translators.DefaultInstance)
	if err != nil {
		b.Fatal(err)
	}
	changes := make([]schema.Change, n)
	hop := "2001:db8:ffff::1"
	for i := range changes {
		a := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 1, byte(i >> 16), byte(i >> 8), byte(i)}).String()
		k, err := m.Key(parent, m.SID, a)
		if err != nil {
			b.Fatal(err)
		}
		changes[i] = schema.Change{Key: k, New: &translators.SID{Address: &a, Behavior: translators.BehaviorEndX, NextHop: &hop}}
	}
	return base.Put(changes)
}

// BenchmarkWhole is the first translation of everything.
func BenchmarkWhole(b *testing.B) {
	m := model(b)
	for _, n := range []int{100, 100_000} {
		config, nothing := many(b, m, n), modeltest.New(m.Schema, schema.Entries{})
		changes := config.All()
		b.Run(fmt.Sprintf("translate/sids=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d, err := all.Engine(m).Prepare(nothing, config, changes)
				if err != nil {
					b.Fatal(err)
				}
				d.Commit()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/sid")
		})
		b.Run(fmt.Sprintf("rules/sids=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			r := rules.New(m)
			for b.Loop() {
				if errs := r.Check(nothing, config, changes); len(errs) > 0 {
					b.Fatal(errs[0])
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/sid")
		})
	}
}

// BenchmarkOneSID is a change of one SID among n: it must cost the same.
func BenchmarkOneSID(b *testing.B) {
	m := model(b)
	for _, n := range []int{100, 100_000} {
		config, nothing := many(b, m, n), modeltest.New(m.Schema, schema.Entries{})
		engine, r := all.Engine(m), rules.New(m)
		d, err := engine.Prepare(nothing, config, config.All())
		if err != nil {
			b.Fatal(err)
		}
		d.Commit()
		all := config.All()
		last := all[len(all)-1]
		old := last.New.(*translators.SID)
		hop := "2001:db8:ffff::2"
		changed := []schema.Change{{Key: last.Key, Old: old, New: &translators.SID{Address: old.Address, Behavior: old.Behavior, NextHop: &hop}}}
		next := config.Put(changed)
		b.Run(fmt.Sprintf("sids=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if errs := r.Check(config, next, changed); len(errs) > 0 {
					b.Fatal(errs[0])
				}
				d, err := engine.Prepare(config, next, changed)
				if err != nil || len(d.Changes) != 1 {
					b.Fatalf("%v, %d changes", err, len(d.Changes))
				}
				d.Commit()()
			}
		})
	}
}
