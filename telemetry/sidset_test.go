package telemetry

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// sidOfNumber spreads numbers over both halves of an address.
func sidOfNumber(n uint16) netip.Addr {
	a := [16]byte{0x20, 0x01}
	binary.BigEndian.PutUint16(a[6:], n>>4)
	binary.BigEndian.PutUint16(a[14:], n&15)
	return netip.AddrFrom16(a)
}

// TestSIDSet does what a set is for, in any order, beside a map that does the
// same.
func TestSIDSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s sidSet
		model := map[netip.Addr]uint32{}
		run := func(t *rapid.T) (from, n uint16) {
			return rapid.Uint16Range(0, 3000).Draw(t, "from"), rapid.Uint16Range(1, 400).Draw(t, "n")
		}
		add := func(n uint16) {
			sid := sidOfNumber(n)
			r := s.add(sid)
			if r.counts != model[sid] || r.address() != sid {
				t.Fatalf("%v is %+v, want %d", sid, *r, model[sid])
			}
			r.counts = uint32(n) + 1
			model[sid] = r.counts
		}
		t.Repeat(map[string]func(*rapid.T){
			"add upwards": func(t *rapid.T) {
				for from, n := run(t); n > 0; n-- {
					add(from)
					from++
				}
			},
			"add downwards": func(t *rapid.T) {
				for from, n := run(t); n > 0; n-- {
					add(from + n)
				}
			},
			"remove": func(t *rapid.T) {
				step := rapid.Uint16Range(1, 5).Draw(t, "step")
				for from, n := run(t); n > 0; n-- {
					s.remove(sidOfNumber(from))
					delete(model, sidOfNumber(from))
					from += step
				}
			},
			"walk": func(t *rapid.T) {
				// In order or not, of what is there and of what is not.
				numbers := rapid.SliceOfN(rapid.Uint16Range(0, 3500), 1, 50).Draw(t, "numbers")
				if rapid.Bool().Draw(t, "in order") {
					slices.Sort(numbers)
				}
				var at place
				for _, n := range numbers {
					sid := sidOfNumber(n)
					r, want := s.next(&at, sid), model[sid]
					if (r != nil) != (want != 0) || r != nil && (r.counts != want || r.address() != sid) {
						t.Fatalf("%v is %+v, want %d", sid, r, want)
					}
					if r != s.get(sid) {
						t.Fatalf("%v is somewhere else when it is asked for alone", sid)
					}
				}
			},
			"": func(t *rapid.T) {
				var got []netip.Addr
				for r := range s.all() {
					got = append(got, r.address())
				}
				want := slices.SortedFunc(maps.Keys(model), netip.Addr.Compare)
				if !slices.Equal(got, want) || s.len != len(want) {
					t.Fatalf("%d SIDs, says %d, want %d:\n%v\n%v", len(got), s.len, len(want), got, want)
				}
				if most := 2 + len(want)/16; len(s.blocks) > most {
					t.Fatalf("%d SIDs in %d blocks, %d is the most", len(want), len(s.blocks), most)
				}
			},
		})
	})
}
