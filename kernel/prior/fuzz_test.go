package prior

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"heddle/kernel/object"
)

// FuzzOpen: any file is a record, or an error that names it; what was read is still
// there after something was added to it.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(`{"version":1,"scope":"s","entries":[{"kind":"linkconfig","id":"eth0","ifindex":2,"before":{"mtu":"1500"},"set":{"mtu":"1400"}}]}`))
	f.Add([]byte(`{"version":1,"scope":"another"}`))
	f.Add([]byte(`{"version":1,"scope":"s","entries":[{"kind":"linkconfig","id":"a"},{"kind":"linkconfig","id":"a","before":null}]}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, fileName)
		if err := os.WriteFile(path, doc, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, "s")
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Fatalf("error %v does not name the file", err)
			}
			return
		}
		added := Entry{Key: object.LinkConfigKey("e9"), Ifindex: 9, Before: map[string]string{"mtu": "1500"}, Set: map[string]string{"mtu": "1400"}}
		if err := s.Put(added); err != nil {
			t.Fatal(err)
		}
		again, err := Open(dir, "s")
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range object.Kinds() {
			was, is := s.Kind(k), again.Kind(k)
			if len(was) != len(is) {
				t.Fatalf("%d entries of kind %s, %d read again", len(was), k, len(is))
			}
			for i := range was {
				if !was[i].equal(is[i]) {
					t.Fatalf("%+v is read as %+v", was[i], is[i])
				}
			}
		}
	})
}
