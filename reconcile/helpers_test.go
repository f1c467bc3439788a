package reconcile_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/reconcile"
)

func addrs(s ...string) []netip.Addr {
	var as []netip.Addr
	for _, a := range s {
		as = append(as, addr(a))
	}
	return as
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func vrf(name string, table uint32) object.Object {
	return object.Link{Name: name, Type: object.LinkVRF, Table: table}
}
func dummy(name string) object.Object { return object.Link{Name: name, Type: object.LinkDummy} }
func up(link string) object.Object    { return object.LinkConfig{Link: link, Admin: object.AdminUp} }
func member(link, vrf string) object.Object {
	return object.Member{Link: link, Master: vrf}
}
func address(link, p string) object.Object {
	return object.Address{Link: link, Prefix: prefix(p)}
}
func sysctl(name, value string) object.Object { return object.Sysctl{Name: name, Value: value} }

var strict = sysctl(object.SysctlStrictMode, "1")

// route in the table of a VRF, or in main for an empty name; to is "gateway dev
// link", "dev link" or a gateway.
func route(vrf string, table uint32, p, to string) object.Object {
	r := &object.Route{Table: table, VRF: vrf, Prefix: prefix(p)}
	var n object.NextHop
	gateway, link, found := strings.Cut(to, "dev ")
	if found {
		n.Link = link
	}
	if g := strings.TrimSpace(gateway); g != "" {
		n.Gateway = addr(g)
	}
	r.NextHops = []object.NextHop{n}
	return r
}

func unreachable(vrf string, table uint32) object.Object {
	return &object.Route{Table: table, VRF: vrf, Prefix: prefix("0.0.0.0/0"), Metric: 4278198272, Type: object.Unreachable}
}

func dt4(sid, vrf string, table uint32) object.Object {
	return &object.LocalSID{SID: addr(sid), Table: object.TableMain, Behavior: object.EndDT4, VRF: vrf, VRFTable: table, Dev: "sr0"}
}
func csid(sid string, nodeFunction uint8) object.Object {
	return &object.LocalSID{SID: addr(sid), Table: object.TableMain, Behavior: object.End, Dev: "sr0",
		Flavors: object.NextCSID, BlockLength: 32, NodeFunctionLength: nodeFunction}
}
func end(sid string) object.Object {
	return &object.LocalSID{SID: addr(sid), Table: object.TableMain, Behavior: object.End, Dev: "sr0"}
}

// want makes changes that want the objects.
func want(objects ...object.Object) []reconcile.Change {
	changes := make([]reconcile.Change, len(objects))
	for i, o := range objects {
		changes[i] = reconcile.Change{Key: o.Key(), Want: reconcile.Wanted{Object: o, Origin: "/config/" + o.Key().String()}}
	}
	return changes
}

// from is the change from wanting old to wanting new.
func from(old, new []object.Object) []reconcile.Change {
	kept := map[object.Key]bool{}
	for _, o := range new {
		kept[o.Key()] = true
	}
	changes := want(new...)
	for _, o := range old {
		if !kept[o.Key()] {
			changes = append(changes, reconcile.Change{Key: o.Key()})
		}
	}
	return changes
}

// running is a fake kernel and a reconciler with objects in place.
func running(t testing.TB, objects ...object.Object) (*kerneltest.Fake, *reconcile.Reconciler) {
	t.Helper()
	f := kerneltest.NewFake()
	r := reconcile.New(f)
	if err := r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	commit(t, r, want(objects...))
	return f, r
}

func commit(t testing.TB, r *reconcile.Reconciler, changes []reconcile.Change) func(context.Context) error {
	t.Helper()
	undo, err := r.Commit(t.Context(), changes)
	if err != nil {
		t.Fatal(err)
	}
	return undo
}

// text is a plan as lines, with a line "--" between batches.
func text(p reconcile.Plan) string {
	var b strings.Builder
	for i, batch := range p.Batches() {
		if i > 0 {
			b.WriteString("--\n")
		}
		for _, s := range batch {
			fmt.Fprintln(&b, s)
		}
	}
	return b.String()
}

func sameText(t testing.TB, what, got, want string) {
	t.Helper()
	clean := func(s string) string {
		lines := strings.Split(strings.TrimSpace(s), "\n")
		for i := range lines {
			lines[i] = strings.TrimSpace(lines[i])
		}
		return strings.Join(lines, "\n")
	}
	if got, want := clean(got), clean(want); got != want {
		t.Errorf("%s:\n%s\nwant:\n%s", what, got, want)
	}
}
