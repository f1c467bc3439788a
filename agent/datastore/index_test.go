package datastore

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"heddle/schema"
)

// A chain of indexes beside sets made of maps: each has what it should, also the
// older ones after the newer were made.
func TestIndex(t *testing.T) {
	type naive map[string]map[schema.EntryKey]bool
	random := rand.New(rand.NewPCG(1, 2))
	now, want := newIndex(), naive{}
	var olds []index
	var wants []naive
	for range 60 {
		b := now.builder()
		next := naive{}
		for name, set := range want {
			next[name] = maps.Clone(set)
		}
		for range random.IntN(40) {
			name, k := fmt.Sprint("n", random.IntN(6)), schema.EntryKey(fmt.Sprint("k", random.IntN(9)))
			if random.IntN(2) == 0 {
				b.add(name, k)
				if next[name] == nil {
					next[name] = map[schema.EntryKey]bool{}
				}
				next[name][k] = true
			} else {
				b.remove(name, k)
				if delete(next[name], k); len(next[name]) == 0 {
					delete(next, name)
				}
			}
		}
		now, want = b.next, next
		olds, wants = append(olds, now), append(wants, want)
	}
	list := func(n naive, from, to string) (all []string) {
		for _, name := range slices.Sorted(maps.Keys(n)) {
			if name >= from && name < to {
				for _, k := range slices.Sorted(maps.Keys(n[name])) {
					all = append(all, string(k))
				}
			}
		}
		return all
	}
	for i, x := range olds {
		for _, r := range [][2]string{{"", "z"}, {"n1", "n3"}, {"n2", "n2"}, {"n5", "n50"}} {
			var got []string
			x.between(r[0], r[1], func(k schema.EntryKey) bool { got = append(got, string(k)); return true })
			if want := list(wants[i], r[0], r[1]); !slices.Equal(got, want) {
				t.Fatalf("index %d from %q to %q: %v, want %v", i, r[0], r[1], got, want)
			}
			if n := len(got); n > 1 {
				stop := 0
				x.between(r[0], r[1], func(schema.EntryKey) bool { stop++; return stop < n-1 })
				if stop != n-1 {
					t.Fatalf("index %d: %d members after being told to stop at %d", i, stop, n-1)
				}
			}
		}
		if got := x.sets.Len(); got != len(wants[i]) {
			t.Fatalf("index %d has %d names, want %d", i, got, len(wants[i]))
		}
	}
}
