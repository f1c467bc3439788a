package kerneltest

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// The fake passes what the real drivers pass. A restart of the agent leaves it as
// it is: it keeps the records, too.
func TestFakeContract(t *testing.T) {
	RunContract(t, func(*testing.T) Env {
		f := NewFake()
		return Env{
			Driver:  f,
			Reopen:  func(*testing.T) reconcile.Driver { return f },
			Foreign: f,
			Lacks:   func(object.Object) string { return "" },
		}
	})
}

// takesAwayCase is something done to the kernel and what is gone after it.
type takesAwayCase struct {
	name    string
	objects []object.Object
	do      func(f *Fake) error
	gone    []object.Object
}

func takesAwayCases() []takesAwayCase {
	const main = object.TableMain
	address := func(link, p string) object.Object {
		return object.Address{Link: link, Prefix: netip.MustParsePrefix(p)}
	}
	blue := object.Link{Name: "blue", Type: object.LinkVRF, Table: 10}
	dt4 := sid("fc00:9::1", object.EndDT4, inVRF(blue))
	promote := object.Sysctl{Name: "net/ipv4/conf/all/promote_secondaries", Value: "1"}
	six := route(main, "2001:db8:9::/48", via("2001:db8:1::2", "ext0"))
	four := route(main, "10.9.0.0/16", via("", "ext0"))
	multi := route(main, "10.9.0.0/16", via("", "ext0"), via("", "ext1"))
	return []takesAwayCase{
		{
			name:    "the last IPv4 address takes the IPv4 routes",
			objects: []object.Object{address("ext0", "10.0.1.1/24"), address("ext0", "2001:db8:1::1/64"), four, six},
			do:      func(f *Fake) error { return f.Delete(address("ext0", "10.0.1.1/24").Key()) },
			gone:    []object.Object{address("ext0", "10.0.1.1/24"), four},
		},
		{
			name:    "another IPv4 address keeps them",
			objects: []object.Object{address("ext0", "10.0.1.1/24"), address("ext0", "10.0.2.1/24"), four},
			do:      func(f *Fake) error { return f.Delete(address("ext0", "10.0.1.1/24").Key()) },
			gone:    []object.Object{address("ext0", "10.0.1.1/24")},
		},
		{
			name:    "a primary address takes the others of its subnet",
			objects: []object.Object{address("ext0", "10.0.1.1/24"), address("ext0", "10.0.1.9/24")},
			do:      func(f *Fake) error { return f.Delete(address("ext0", "10.0.1.1/24").Key()) },
			gone:    []object.Object{address("ext0", "10.0.1.1/24"), address("ext0", "10.0.1.9/24")},
		},
		{
			name:    "promote_secondaries keeps them",
			objects: []object.Object{promote, address("ext0", "10.0.1.1/24"), address("ext0", "10.0.1.9/24")},
			do:      func(f *Fake) error { return f.Delete(address("ext0", "10.0.1.1/24").Key()) },
			gone:    []object.Object{address("ext0", "10.0.1.1/24")},
		},
		{
			name:    "a link that goes down loses its routes and IPv6 addresses",
			objects: []object.Object{address("ext0", "10.0.1.1/24"), address("ext0", "2001:db8:1::1/64"), four, six},
			do:      func(f *Fake) error { return f.Put(object.LinkConfig{Link: "ext0", Admin: object.AdminDown}) },
			gone:    []object.Object{address("ext0", "2001:db8:1::1/64"), four, six},
		},
		{
			name:    "a route with another way out stays",
			objects: []object.Object{multi},
			do:      func(f *Fake) error { return f.Put(object.LinkConfig{Link: "ext0", Admin: object.AdminDown}) },
		},
		{
			name:    "a link that is enslaved loses its routes and IPv6 addresses",
			objects: []object.Object{blue, address("ext0", "10.0.1.1/24"), address("ext0", "2001:db8:1::1/64"), four, six},
			do:      func(f *Fake) error { return f.Put(object.Member{Link: "ext0", Master: "blue"}) },
			gone:    []object.Object{address("ext0", "2001:db8:1::1/64"), four, six},
		},
		{
			name:    "a deleted VRF lets its links go and leaves its SID behind",
			objects: []object.Object{blue, strict, object.Member{Link: "ext0", Master: "blue"}, dt4},
			do:      func(f *Fake) error { return f.Delete(blue.Key()) },
			gone:    []object.Object{blue, object.Member{Link: "ext0", Master: "blue"}},
		},
	}
}

// What Linux takes away without a word, tried on Linux 6.18.
func TestFakeTakesAway(t *testing.T) {
	for _, tt := range takesAwayCases() {
		t.Run(tt.name, func(t *testing.T) {
			f := NewFake()
			for _, o := range tt.objects {
				if r := f.Do(t.Context(), []reconcile.Step{{New: o}}); r[0].Err != nil {
					t.Fatalf("%v: %v", o, r[0].Err)
				}
			}
			if err := tt.do(f); err != nil {
				t.Fatal(err)
			}
			for _, o := range tt.objects {
				gone := slices.ContainsFunc(tt.gone, func(g object.Object) bool { return g.Key() == o.Key() })
				if _, there := f.Get(o.Key()); there == gone {
					t.Errorf("%v: there %v", o, there)
				}
			}
		})
	}
}

func TestFakeShowsBlackHoles(t *testing.T) {
	f := NewFake()
	blue := object.Link{Name: "blue", Type: object.LinkVRF, Table: 10}
	dt4 := sid("fc00:9::1", object.EndDT4, inVRF(blue))
	do := func(s reconcile.Step) {
		t.Helper()
		if r := f.Do(t.Context(), []reconcile.Step{s}); r[0].Err != nil {
			t.Fatalf("%v: %v", s, r[0].Err)
		}
	}
	do(reconcile.Step{New: blue})
	do(reconcile.Step{New: strict})
	do(reconcile.Step{New: dt4})
	whole := f.Snapshot()
	do(reconcile.Step{Old: blue})
	do(reconcile.Step{New: blue})
	if got := f.Snapshot(); !strings.Contains(got, "vrftable 10 dev ext1 (black hole) ours") {
		t.Errorf("a SID whose VRF was made anew is no black hole:\n%s", got)
	}
	do(reconcile.Step{Old: dt4, New: dt4})
	if got := f.Snapshot(); got != whole {
		t.Errorf("after the SID was made anew, too:\n%s\nwant:\n%s", got, whole)
	}
}

func TestFakeRefuses(t *testing.T) {
	blue := object.Link{Name: "blue", Type: object.LinkVRF, Table: 10}
	tests := []struct {
		name    string
		objects []object.Object
		refused object.Object
		err     error
	}{
		{"table of another VRF", []object.Object{blue}, object.Link{Name: "red", Type: object.LinkVRF, Table: 10}, syscall.EBUSY},
		{"decapsulation without strict mode", []object.Object{blue}, sid("fc00:9::1", object.EndDT4, inVRF(blue)), syscall.EPERM},
		{"decapsulation without VRF", []object.Object{strict}, sid("fc00:9::1", object.EndDT46, inVRF(blue)), syscall.ENODEV},
		{"route over a link that is down", []object.Object{blue}, route(10, "10.1.0.0/16", via("", "blue")), syscall.ENETDOWN},
		{"gateway that is not there", nil, route(object.TableMain, "10.1.0.0/16", via("10.0.0.1", "ext0")), syscall.ENETUNREACH},
		{"slot of a connected route", []object.Object{object.Address{Link: "ext0", Prefix: netip.MustParsePrefix("10.0.1.1/24")}},
			route(object.TableMain, "10.0.1.0/24", via("", "ext0")), syscall.EEXIST},
		{"slot of a SID", []object.Object{sid("fc00:9::1", object.End)}, route(object.TableMain, "fc00:9::1/128", via("", "ext0")), syscall.EEXIST},
		{"unknown parameter", nil, object.Sysctl{Name: "net/ipv6/conf/nowhere/seg6_enabled", Value: "1", Link: "nowhere"}, syscall.ENOENT},
		{"IPv4 address in a segment list", nil,
			route(object.TableMain, "10.1.0.0/16", encap(via("", "ext0"), object.HEncaps, netip.MustParseAddr("10.0.0.1"))), syscall.EINVAL},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := NewFake()
			for _, o := range tt.objects {
				if r := f.Do(t.Context(), []reconcile.Step{{New: o}}); r[0].Err != nil {
					t.Fatalf("%v: %v", o, r[0].Err)
				}
			}
			before := f.Snapshot()
			if r := f.Do(t.Context(), []reconcile.Step{{New: tt.refused}}); !errors.Is(r[0].Err, tt.err) {
				t.Errorf("got %v, want %v", r[0].Err, tt.err)
			}
			if got := f.Snapshot(); got != before {
				t.Errorf("the refused operation left:\n%s\nwant:\n%s", got, before)
			}
		})
	}
}
