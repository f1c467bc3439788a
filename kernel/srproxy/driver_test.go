package srproxy_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/kernel/prior"
	"heddle/kernel/srproxy"
	"heddle/reconcile"
)

func proxy(n int) *object.Proxy {
	return &object.Proxy{SID: netip.MustParseAddr(fmt.Sprintf("2001:db8:0:1:ad%02x::", n)), Behavior: object.EndAD,
		Inner: object.InnerIPv4, In: "nf"}
}

func static(n int) *object.Proxy {
	p := proxy(n)
	p.Behavior, p.HopLimit = object.EndAS, 63
	p.Encap = &object.Encap{Mode: object.HEncaps, Source: netip.MustParseAddr("2001:db8:0:1::1"),
		Segments: []netip.Addr{netip.MustParseAddr("2001:db8:0:4:d4::"), netip.MustParseAddr("2001:db8:0:5:d4::")}}
	return p
}

func open(t *testing.T, cfg srproxy.Config) *srproxy.Driver {
	t.Helper()
	d, err := srproxy.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func record(t *testing.T, dir string) *prior.Store {
	t.Helper()
	r, err := prior.Open(dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func do(t *testing.T, d *srproxy.Driver, steps ...reconcile.Step) {
	t.Helper()
	if err := d.Check(t.Context(), steps); err != nil {
		t.Fatal(err)
	}
	for i, r := range d.Do(t.Context(), steps) {
		if r.Err != nil {
			t.Fatalf("%v: %v", steps[i], r.Err)
		}
		if want := steps[i].New; want != nil && (r.Got == nil || !want.Equal(r.Got)) {
			t.Fatalf("%v reads back as %v", want, r.Got)
		}
	}
}

func held(t *testing.T, d *srproxy.Driver) []string {
	t.Helper()
	objects, err := d.Dump(t.Context(), object.KindProxyPort, object.KindProxy)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, o := range objects {
		all = append(all, fmt.Sprint(o))
	}
	slices.Sort(all)
	return all
}

// each runs a test with both ways to attach programs.
func each(t *testing.T, fn func(t *testing.T, cfg srproxy.Config)) {
	for _, clsact := range []bool{false, true} {
		t.Run(fmt.Sprintf("clsact=%t", clsact), func(t *testing.T) {
			kerneltest.Namespace(t)
			for _, name := range []string{"sr", "nf"} {
				if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "p" + name}); err != nil {
					t.Skipf("needs veth links: %v", err)
				}
			}
			scope := fmt.Sprintf("test-%d", os.Getpid())
			t.Cleanup(func() {
				if _, err := os.Stat(filepath.Join("/sys/fs/bpf/heddle", scope)); err == nil {
					t.Errorf("pins are left in %s", scope)
				}
			})
			fn(t, srproxy.Config{Scope: scope, Clsact: clsact})
		})
	}
}

func qdiscs(t *testing.T, link string) (names []string) {
	t.Helper()
	l, err := netlink.LinkByName(link)
	if err != nil {
		t.Fatal(err)
	}
	all, err := netlink.QdiscList(l)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range all {
		names = append(names, q.Type())
	}
	return append(names, fmt.Sprintf("queue of %d", l.Attrs().TxQLen))
}

// TestLife: what is made is there, also for the next driver, and nothing is left
// when it goes.
func TestLife(t *testing.T) {
	each(t, func(t *testing.T, cfg srproxy.Config) {
		dir := t.TempDir()
		cfg.Prior = record(t, dir)
		d := open(t, cfg)
		if got := held(t, d); len(got) > 0 {
			t.Fatalf("held before anything was made: %v", got)
		}
		before := qdiscs(t, "nf")
		port, ad, as := object.ProxyPort{Link: "sr"}, proxy(1), static(1)
		do(t, d, reconcile.Step{New: port})
		do(t, d, reconcile.Step{New: ad})
		want := []string{ad.String(), port.String()}
		if got := held(t, d); !slices.Equal(got, want) {
			t.Fatalf("held %q, want %q", got, want)
		}

		cfg.Prior = record(t, dir) // an agent that was killed left it like this
		next := open(t, cfg)
		if got := held(t, next); !slices.Equal(got, want) {
			t.Fatalf("the next driver finds %q, want %q", got, want)
		}
		do(t, next, reconcile.Step{Old: ad, New: as})
		if got := held(t, next); !slices.Contains(got, as.String()) {
			t.Fatalf("held %q, want %q", got, as)
		}
		do(t, next, reconcile.Step{Old: as})
		do(t, next, reconcile.Step{Old: port})
		if got := held(t, next); len(got) > 0 {
			t.Fatalf("held after everything was removed: %v", got)
		}
		if after := qdiscs(t, "nf"); !slices.Equal(after, before) {
			t.Errorf("qdiscs of nf are %q, were %q", after, before)
		}
	})
}

// TestMasqueradeLife: the programs of End.AM go with the last SID that wants them, on
// either side of a link.
func TestMasqueradeLife(t *testing.T) {
	each(t, func(t *testing.T, cfg srproxy.Config) {
		dir := t.TempDir()
		cfg.Prior = record(t, dir)
		d := open(t, cfg)
		before := [2][]string{qdiscs(t, "nf"), qdiscs(t, "sr")}
		am := &object.Proxy{SID: proxy(1).SID, Behavior: object.EndAM, In: "nf", Out: "sr"}
		nat := &object.Proxy{SID: proxy(2).SID, Behavior: object.EndAM, In: "nf", Out: "sr", DestinationNAT: true}
		ports := am.Ports()
		do(t, d, reconcile.Step{New: ports[0]}, reconcile.Step{New: ports[1]})
		do(t, d, reconcile.Step{New: am}, reconcile.Step{New: nat})
		want := []string{am.String(), nat.String(), ports[0].String(), ports[1].String()}
		if got := held(t, d); !slices.Equal(got, want) {
			t.Fatalf("held %q, want %q", got, want)
		}
		cfg.Prior = record(t, dir)
		next := open(t, cfg)
		if got := held(t, next); !slices.Equal(got, want) {
			t.Fatalf("the next driver finds %q, want %q", got, want)
		}
		do(t, next, reconcile.Step{Old: am, New: &object.Proxy{SID: am.SID, Behavior: object.EndAM, In: "nf", Out: "sr", DestinationNAT: true}})
		do(t, next, reconcile.Step{Old: am}, reconcile.Step{Old: nat})
		do(t, next, reconcile.Step{Old: ports[0]}, reconcile.Step{Old: ports[1]})
		if got := held(t, next); len(got) > 0 {
			t.Fatalf("held after everything was removed: %v", got)
		}
		for i, name := range []string{"nf", "sr"} {
			if after := qdiscs(t, name); !slices.Equal(after, before[i]) {
				t.Errorf("qdiscs of %s are %q, were %q", name, after, before[i])
			}
		}
	})
}

// TestQdisc: a qdisc that was made goes, and one that was there stays.
func TestQdisc(t *testing.T) {
	each(t, func(t *testing.T, cfg srproxy.Config) {
		l, err := netlink.LinkByName("sr")
		if err != nil {
			t.Fatal(err)
		}
		theirs := &netlink.GenericQdisc{QdiscType: "clsact", QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: l.Attrs().Index, Parent: netlink.HANDLE_CLSACT, Handle: netlink.MakeHandle(0xffff, 0)}}
		if err := netlink.QdiscAdd(theirs); err != nil {
			t.Skipf("needs clsact: %v", err)
		}
		before := [2][]string{qdiscs(t, "nf"), qdiscs(t, "sr")}
		d := open(t, cfg)
		port, ad := object.ProxyPort{Link: "sr"}, proxy(1)
		do(t, d, reconcile.Step{New: port})
		do(t, d, reconcile.Step{New: ad})
		do(t, d, reconcile.Step{Old: ad})
		do(t, d, reconcile.Step{Old: port})
		for i, name := range []string{"nf", "sr"} {
			if after := qdiscs(t, name); !slices.Equal(after, before[i]) {
				t.Errorf("qdiscs of %s are %q, were %q", name, after, before[i])
			}
		}
	})
}

// TestBesideFilters: what somebody else has in front of the filters of a link stays, and
// so do our own programs beside it.
func TestBesideFilters(t *testing.T) {
	each(t, func(t *testing.T, cfg srproxy.Config) {
		l, err := netlink.LinkByName("nf")
		if err != nil {
			t.Fatal(err)
		}
		index := l.Attrs().Index
		if err := netlink.QdiscAdd(&netlink.GenericQdisc{QdiscType: "clsact", QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: index, Parent: netlink.HANDLE_CLSACT, Handle: netlink.MakeHandle(0xffff, 0)}}); err != nil {
			t.Skipf("needs clsact: %v", err)
		}
		for priority, protocol := range map[uint16]uint16{1: unix.ETH_P_IP, 2: unix.ETH_P_ALL} {
			theirs := &netlink.U32{FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: netlink.HANDLE_MIN_INGRESS, Priority: priority, Protocol: protocol},
				ClassId: netlink.MakeHandle(1, 1)}
			if err := netlink.FilterAdd(theirs); err != nil {
				t.Skipf("needs filters of u32: %v", err)
			}
		}
		before, err := netlink.FilterList(l, netlink.HANDLE_MIN_INGRESS)
		if err != nil {
			t.Fatal(err)
		}
		d := open(t, cfg)
		one, other := static(1), proxy(1)
		do(t, d, reconcile.Step{New: one})
		do(t, d, reconcile.Step{Old: one, New: other})
		if got := held(t, open(t, cfg)); !slices.Equal(got, []string{other.String()}) {
			t.Errorf("held %q", got)
		}
		do(t, d, reconcile.Step{Old: other})
		after, err := netlink.FilterList(l, netlink.HANDLE_MIN_INGRESS)
		if err != nil || len(after) != len(before) {
			t.Errorf("%d filters are there, %d were before, %v", len(after), len(before), err)
		}
	})
}

// TestLinkGone: with its link a proxy is gone, and can be made anew on another of
// the same name.
func TestLinkGone(t *testing.T) {
	each(t, func(t *testing.T, cfg srproxy.Config) {
		d := open(t, cfg)
		ad := proxy(1)
		do(t, d, reconcile.Step{New: ad})
		l, err := netlink.LinkByName("nf")
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkDel(l); err != nil {
			t.Fatal(err)
		}
		if got := held(t, d); len(got) > 0 {
			t.Fatalf("held on a link that is gone: %v", got)
		}
		err = d.Check(t.Context(), []reconcile.Step{{New: ad}})
		if err == nil {
			t.Fatal("a link that is not there is not missed")
		}
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "nf"}, PeerName: "pnf"}); err != nil {
			t.Fatal(err)
		}
		do(t, d, reconcile.Step{New: ad})
		if got := held(t, d); !slices.Equal(got, []string{ad.String()}) {
			t.Fatalf("held %q", got)
		}
		do(t, d, reconcile.Step{Old: ad})
	})
}

// TestTaken: what comes back on one link gets the headers of one SID.
func TestTaken(t *testing.T) {
	each(t, func(t *testing.T, cfg srproxy.Config) {
		d := open(t, cfg)
		one, other := static(1), static(2)
		do(t, d, reconcile.Step{New: one})
		r := d.Do(context.Background(), []reconcile.Step{{New: other}})
		if r[0].Err == nil {
			t.Fatal("two SIDs share what comes back on nf")
		}
		if got := held(t, d); !slices.Equal(got, []string{one.String()}) {
			t.Fatalf("held %q after a refusal", got)
		}
		do(t, d, reconcile.Step{Old: one})
	})
}

// TestNumberTaken: another link can have the number of one that is gone, and a proxy on
// it is no business of the one that had the number.
func TestNumberTaken(t *testing.T) {
	each(t, func(t *testing.T, cfg srproxy.Config) {
		d := open(t, cfg)
		one, other := static(1), static(2)
		other.In = "other"
		do(t, d, reconcile.Step{New: one})
		gone, err := netlink.LinkByName("nf")
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkDel(gone); err != nil {
			t.Fatal(err)
		}
		for _, l := range []netlink.LinkAttrs{{Name: "nf"}, {Name: "other", Index: gone.Attrs().Index}} {
			if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: l, PeerName: "p" + l.Name}); err != nil {
				t.Fatal(err)
			}
		}
		do(t, d, reconcile.Step{New: one})
		do(t, d, reconcile.Step{New: other})
		if got := held(t, d); !slices.Equal(got, []string{one.String(), other.String()}) {
			t.Fatalf("held %q", got)
		}
		do(t, d, reconcile.Step{Old: one})
		do(t, d, reconcile.Step{Old: other})
	})
}

// TestPinsGone: what somebody has removed the pins of is made anew.
func TestPinsGone(t *testing.T) {
	each(t, func(t *testing.T, cfg srproxy.Config) {
		d := open(t, cfg)
		ad := proxy(1)
		do(t, d, reconcile.Step{New: ad})
		if err := os.RemoveAll(filepath.Join("/sys/fs/bpf/heddle", cfg.Scope)); err != nil {
			t.Fatal(err)
		}
		if got := held(t, d); len(got) > 0 {
			t.Fatalf("held without pins: %v", got)
		}
		do(t, d, reconcile.Step{New: ad})
		if got := held(t, open(t, cfg)); !slices.Equal(got, []string{ad.String()}) {
			t.Fatalf("the next driver finds %q", got)
		}
		do(t, d, reconcile.Step{Old: ad})
	})
}

// TestOtherMaps: an agent of another version finds one map that is not as its own. It has
// a new one, and the others as they are.
func TestOtherMaps(t *testing.T) {
	for _, name := range []string{"counts", "sids", "rows"} {
		each(t, func(t *testing.T, cfg srproxy.Config) {
			d := open(t, cfg)
			one := static(1)
			do(t, d, reconcile.Step{New: one})
			file := filepath.Join("/sys/fs/bpf/heddle", cfg.Scope, "srproxy", name)
			other, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 16, ValueSize: 8, MaxEntries: 8})
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			if err := errors.Join(os.Remove(file), other.Pin(file)); err != nil {
				t.Fatal(err)
			}
			next := open(t, cfg)
			got := held(t, next)
			if name == "counts" && !slices.Equal(got, []string{one.String()}) {
				t.Errorf("without the counters of before it holds %q", got)
			}
			if len(got) == 0 {
				do(t, next, reconcile.Step{New: one})
			}
			if all, err := next.Readings(nil); err != nil || len(all) != 1 {
				t.Errorf("shown: %v, %v", all, err)
			}
			do(t, next, reconcile.Step{Old: one})
		})
	}
}

// TestInPart: a proxy that has no program, as an agent leaves it that is killed in the
// middle, keeps its link from nobody.
func TestInPart(t *testing.T) {
	each(t, func(t *testing.T, cfg srproxy.Config) {
		d := open(t, cfg)
		one, other := static(1), static(2)
		do(t, d, reconcile.Step{New: one})
		detach(t, cfg)
		if got := held(t, d); len(got) > 0 {
			t.Fatalf("held without a program: %v", got)
		}
		do(t, d, reconcile.Step{New: other})
		if got := held(t, d); !slices.Equal(got, []string{other.String()}) {
			t.Fatalf("held %q", got)
		}
		do(t, d, reconcile.Step{Old: other})
	})
}

// TestInPartGone: nor does it keep anything in the kernel when everything else goes.
func TestInPartGone(t *testing.T) {
	each(t, func(t *testing.T, cfg srproxy.Config) {
		d := open(t, cfg)
		port := object.ProxyPort{Link: "sr"}
		do(t, d, reconcile.Step{New: port})
		do(t, d, reconcile.Step{New: static(1)})
		detach(t, cfg)
		do(t, d, reconcile.Step{Old: port})
	})
}

// detach takes the program that is on the way back away from nf, as others can.
func detach(t *testing.T, cfg srproxy.Config) {
	t.Helper()
	l, err := netlink.LinkByName("nf")
	if err != nil {
		t.Fatal(err)
	}
	index := l.Attrs().Index
	pin := filepath.Join("/sys/fs/bpf/heddle", cfg.Scope, "srproxy", fmt.Sprintf("heddle_back-%d", index))
	if _, missing := os.Stat(pin); missing != nil { // by clsact, whether asked for or for want of tcx
		err = netlink.QdiscDel(&netlink.GenericQdisc{QdiscType: "clsact", QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: index, Parent: netlink.HANDLE_CLSACT, Handle: netlink.MakeHandle(0xffff, 0)}})
	} else {
		var held link.Link
		if held, err = link.LoadPinnedLink(pin, nil); err == nil {
			err = errors.Join(held.Detach(), held.Close())
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
