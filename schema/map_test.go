package schema

import (
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"heddle/gen/config"
)

// A Map after changes equals one made of a Go map, and the one before is as it was.
func TestMapWith(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, naive := NewMap(), Entries{}
		for range rapid.IntRange(1, 8).Draw(t, "commits") {
			picked := rapid.MapOf(rapid.IntRange(0, 60), rapid.Bool()).Draw(t, "changes")
			changed := Entries{}
			for i, keep := range picked {
				changed[EntryKey(fmt.Sprintf("%02d", i))] = nil
				if keep {
					changed[EntryKey(fmt.Sprintf("%02d", i))] = &config.Device{}
				}
			}
			var changes []Change
			for _, k := range sortedKeys(changed) {
				changes = append(changes, Change{Key: k, Old: naive[k], New: changed[k]})
			}
			before, old := maps.Clone(naive), m
			m = m.With(changes)
			naive.Put(changes)
			for what, pair := range map[string][2]Tree{"after": {m, naive}, "before": {old, before}} {
				if got, want := content(pair[0]), content(pair[1]); got != want {
					t.Fatalf("%s: got %s, want %s", what, got, want)
				}
			}
			if m.Len() != len(naive) {
				t.Fatalf("%d entries, want %d", m.Len(), len(naive))
			}
		}
	})
}

func content(t Tree) string {
	s := ""
	t.Scan("", func(k EntryKey, e GoStruct) bool {
		s += fmt.Sprintf("%s=%p ", k, e)
		return true
	})
	return s
}
