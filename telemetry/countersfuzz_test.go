package telemetry

import (
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"heddle/kernel/object"
)

// FuzzCounterFile: of any file what can be read is read, and written as a whole it
// is read the same; so it is with a line added to it.
func FuzzCounterFile(f *testing.F) {
	f.Add([]byte("{\"version\":1,\"scope\":\"s\"}\n{\"sid\":\"2001:db8::1\",\"packets\":3,\"octets\":300,\"errors\":1}\n"))
	f.Add([]byte("{\"version\":1,\"scope\":\"s\"}\n{\"sid\":\"2001:db8::1\",\"packets\":3}\n{\"sid\":\"2001:db8::1\"}\n{\"sid\":\"2001"))
	f.Add([]byte("{\"version\":1,\"scope\":\"another\"}\n"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		path := filepath.Join(t.TempDir(), "sid-counters")
		if err := os.WriteFile(path, doc, 0o600); err != nil {
			t.Fatal(err)
		}
		file := &counterFile{path: path, scope: "s"}
		bases, _ := file.read() // of a damaged file what comes before the damage
		for sid, base := range bases {
			if base == (object.SIDCounters{}) {
				t.Fatalf("%s has a base of zero", sid)
			}
		}
		one := netip.MustParseAddr("2001:db8:ffff::1")
		for _, packets := range []uint64{7, 8, 0} {
			if bases == nil {
				bases = map[netip.Addr]object.SIDCounters{}
			}
			bases[one] = object.SIDCounters{Packets: packets}
			if packets == 0 {
				delete(bases, one)
			}
			some := func(yield func(netip.Addr, object.SIDCounters)) { yield(one, object.SIDCounters{Packets: packets}) }
			all := func(yield func(netip.Addr, object.SIDCounters)) {
				for sid, base := range bases {
					yield(sid, base)
				}
			}
			if err := file.write(some, all); err != nil {
				t.Fatal(err)
			}
			again, err := (&counterFile{path: path, scope: "s"}).read()
			if err != nil || !maps.Equal(again, bases) {
				t.Fatalf("written %v, read %v, %v", bases, again, err)
			}
		}
	})
}
