package telemetry

import (
	"fmt"
	"net/netip"
	"testing"

	"heddle/kernel/object"
	"heddle/schema"
	"heddle/translators/modeltest"
)

// BenchmarkConfigured makes the state of one SID anew, among few and among many:
// the two differ by the depth of the tree.
func BenchmarkConfigured(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		w, keys := manySIDs(b, n)
		b.Run(fmt.Sprintf("sids=%d", n), func(b *testing.B) {
			one := keys[n/2 : n/2+1]
			k := object.LocalSIDKey(benchSID(n / 2))
			there := w.wants.have[k]
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%2 == 0 {
					delete(w.wants.have, k)
				} else {
					w.wants.have[k] = there
				}
				w.wants.asked = w.wants.asked[:0]
				w.tel.Configured(w.config, uint64(i), one)
			}
		})
	}
}

// BenchmarkRefreshSIDs takes in a dump of the counters of 100,000 SIDs: of which
// none, some, or all have counted since the last.
func BenchmarkRefreshSIDs(b *testing.B) {
	for _, every := range []int{0, 100, 1} {
		name := "counted=none"
		if every > 0 {
			name = fmt.Sprintf("counted=%d%%", 100/every)
		}
		b.Run(name, func(b *testing.B) {
			w, _ := manySIDs(b, 100_000)
			for i := range 100_000 {
				w.kernel.dump = append(w.kernel.dump, object.SIDReading{SID: benchSID(i)})
			}
			clear(w.kernel.counters)
			w.refresh(srv6 + "/sids/sid/state/counters")
			b.ReportAllocs()
			for i := 1; b.Loop(); i++ {
				for j := range w.kernel.dump {
					if every > 0 && j%every == 0 {
						w.kernel.dump[j].SIDCounters = count(uint64(i))
					}
				}
				w.refresh(srv6 + "/sids/sid/state/counters")
			}
		})
	}
}

func benchSID(i int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
}

func manySIDs(b testing.TB, n int) (*world, []schema.EntryKey) {
	b.Helper()
	w := newWorld(b)
	entries := schema.Entries{}
	keys := make([]schema.EntryKey, n)
	for i := range n {
		a := benchSID(i)
		k, err := w.tel.schema.Key(w.tel.nodes.defaultInstance, w.tel.nodes.sids, a.String())
		if err != nil {
			b.Fatal(err)
		}
		if entries[k], err = w.tel.schema.New(k); err != nil {
			b.Fatal(err)
		}
		keys[i] = k
		w.wants.hold(sidPath(a), &object.LocalSID{SID: a, Table: object.TableMain, Behavior: object.End, Dev: "sr0"})
		w.kernel.counters[a] = object.SIDCounters{}
	}
	w.config = modeltest.New(w.tel.schema, entries)
	w.tel.Configured(w.config, 1, keys)
	return w, keys
}
