package all_test

import (
	"fmt"
	"net/netip"
	"testing"

	"heddle/agent/rules"
	"heddle/gen/config"
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

// manyStatics makes a configuration of n H.Encaps routes over 16 segment lists.
func manyStatics(b *testing.B, m *translators.Model, n int) *modeltest.Snapshot {
	b.Helper()
	base, _, err := modeltest.New(m.Schema, schema.Entries{}).Apply([]schema.Edit{{Op: schema.Update, JSON: []byte(`{"network-instances": {"network-instance": [
		{"name": "DEFAULT", "config": {"type": "DEFAULT_INSTANCE"}, "protocols": {"protocol": [{"identifier": "STATIC", "name": "s"}]}}]}}`)}})
	if err != nil {
		b.Fatal(err)
	}
	key := func(parent schema.EntryKey, list *schema.Node, values ...string) schema.EntryKey {
		k, err := m.Key(parent, list, values...)
		if err != nil {
			b.Fatal(err)
		}
		return k
	}
	parent := key(key("", m.Instance, translators.DefaultInstance), m.Protocol, "STATIC", "s")
	changes := make([]schema.Change, 0, 2*n)
	index := "0"
	for i := range n {
		prefix := netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(i >> 16), byte(i >> 8), byte(i)}), 64).String()
		k := key(parent, m.Static, prefix)
		nh := &translators.NextHop{Index: &index, Srv6Encapsulation: &config.NetworkInstance_Protocol_Static_NextHop_Srv6Encapsulation{
			SegmentList: []string{fmt.Sprintf("2001:db8:2:%x::1", i%16), "2001:db8:3::1"}}}
		changes = append(changes, schema.Change{Key: k, New: &translators.Static{Prefix: &prefix}},
			schema.Change{Key: key(k, m.NextHop, index), New: nh})
	}
	return base.Put(changes)
}

// BenchmarkWhole is the first translation of everything.
func BenchmarkWhole(b *testing.B) {
	for kind, make := range map[string]func(*testing.B, *translators.Model, int) *modeltest.Snapshot{"sids": many, "routes": manyStatics} {
		b.Run(kind, func(b *testing.B) { benchWhole(b, make) })
	}
}

func benchWhole(b *testing.B, make func(*testing.B, *translators.Model, int) *modeltest.Snapshot) {
	m := model(b)
	for _, n := range []int{100, 100_000} {
		config, nothing := make(b, m, n), modeltest.New(m.Schema, schema.Entries{})
		changes := config.All()
		b.Run(fmt.Sprintf("translate/n=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d, err := all.Engine(m).Prepare(nothing, config, changes)
				if err != nil {
					b.Fatal(err)
				}
				d.Commit()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/entry")
		})
		b.Run(fmt.Sprintf("rules/n=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			r := rules.New(m)
			for b.Loop() {
				if errs := r.Check(nothing, config, changes); len(errs) > 0 {
					b.Fatal(errs[0])
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/entry")
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
