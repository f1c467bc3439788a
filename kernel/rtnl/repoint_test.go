package rtnl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// commits is a reconciler over a driver with wires, and what is wanted besides them.
type commits struct {
	t    *testing.T
	d    *Driver
	rec  *reconcile.Reconciler
	want map[object.Key]object.Object
}

func newCommits(t *testing.T) *commits {
	t.Helper()
	d := testDriver(t)
	wires(t, d)
	c := &commits{t: t, d: d, rec: reconcile.New(netOnly{d}), want: map[object.Key]object.Object{}}
	if err := c.rec.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	changes := []reconcile.Change{}
	for _, o := range c.rec.Leftovers() {
		changes = append(changes, reconcile.Change{Key: o.Key(), Want: reconcile.Wanted{Object: o}})
	}
	if _, err := c.rec.Commit(context.Background(), changes); err != nil {
		t.Fatal(err)
	}
	return c
}

// to commits what leads to just these objects, and on success keeps them.
func (c *commits) to(objects ...object.Object) (undo func(context.Context) error, err error) {
	want := map[object.Key]object.Object{}
	var changes []reconcile.Change
	for _, o := range objects {
		want[o.Key()] = o
		changes = append(changes, reconcile.Change{Key: o.Key(), Want: reconcile.Wanted{Object: o}})
	}
	for k := range c.want {
		if want[k] == nil {
			changes = append(changes, reconcile.Change{Key: k})
		}
	}
	if undo, err = c.rec.Commit(context.Background(), changes); err == nil {
		c.want = want
	}
	return undo, err
}

// held checks that the kernel holds what is wanted, as a driver that starts anew
// sees it, and returns its nexthop objects in the words of iproute2.
func (c *commits) held() string {
	c.t.Helper()
	fresh, err := Open(Config{})
	if err != nil {
		c.t.Fatal(err)
	}
	defer fresh.Close()
	var there []string
	for _, k := range []object.Kind{object.KindNextHop, object.KindRoute, object.KindLocalSID} {
		objs, err := fresh.Dump(context.Background(), k)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, o := range objs {
			there = append(there, fmt.Sprint(o))
		}
	}
	var want []string
	for o := range maps.Values(c.want) {
		want = append(want, fmt.Sprint(o))
	}
	slices.Sort(there)
	slices.Sort(want)
	if !slices.Equal(there, want) {
		c.t.Fatalf("the kernel holds\n%s\nwanted is\n%s", strings.Join(there, "\n"), strings.Join(want, "\n"))
	}
	return inKernel(c.t, "-6", "nexthop")
}

// id is what the one nexthop object is called in the kernel.
func id(t *testing.T, nexthops string) string {
	t.Helper()
	if strings.Count(nexthops, "id ") != 1 {
		t.Fatalf("nexthop objects:\n%s", nexthops)
	}
	return strings.Fields(nexthops)[1]
}

// TestRepoint has all routes by one next hop leave by another: the kernel's object
// stays, with another way out, and no route is written. Where one of them stays, or
// goes elsewhere, it does not.
func TestRepoint(t *testing.T) {
	c := newCommits(t)
	s := newScarce(t, c.d, func(netip.Prefix, int) bool { return false })
	writes := 0 // of routes, in the last step
	a, b, z := object.HopByContent(hopTo("fc00:1::", "fc00:2::")), object.HopByContent(hopTo("fc00:3::")), object.HopByContent(hopTo("fc00:4::"))
	const one, two, three = "2001:db8:5::/48", "2001:db8:6::/48", "198.51.100.0/24"
	step := func(objects ...object.Object) (string, func(context.Context) error) {
		t.Helper()
		before := s.messages()
		undo, err := c.to(objects...)
		if err != nil {
			t.Fatal(err)
		}
		writes = s.messages() - before
		return c.held(), undo
	}
	before, _ := step(a, byHop(one, a), byHop(two, a), byHop(three, a))
	after, undo := step(b, byHop(one, b), byHop(two, b), byHop(three, b))
	if id(t, before) != id(t, after) || !strings.Contains(after, "fc00:3::") || writes != 0 {
		t.Errorf("%d routes were written, and the kernel holds\n%s", writes, after)
	}
	if err := undo(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.want = map[object.Key]object.Object{}
	for _, o := range []object.Object{a, byHop(one, a), byHop(two, a), byHop(three, a)} {
		c.want[o.Key()] = o
	}
	c.held()

	// New ones may join, and others that had a next hop of their own.
	own := byHop(one, a)
	own.SharedHop, own.NextHops = "", []object.NextHop{hopTo("fc00:9::")}
	before, _ = step(a, own, byHop(two, a))
	after, _ = step(b, byHop(one, b), byHop(two, b), byHop(three, b))
	if id(t, before) != id(t, after) || writes != 2 {
		t.Errorf("%d routes were written, and the kernel holds\n%s", writes, after)
	}
	for name, next := range map[string][]object.Object{
		"one goes elsewhere":  {a, z, byHop(one, a), byHop(two, a), byHop(three, z)},
		"one goes":            {a, byHop(one, a), byHop(two, a)},
		"one gets its own":    {a, own, byHop(two, a), byHop(three, a)},
		"one stays behind":    {a, b, byHop(one, a), byHop(two, a), byHop(three, b)},
		"one gets a metric":   {a, byHop(one, a), byHop(two, a), metric(byHop(three, a), 7)},
		"two become one hop":  {a, byHop(one, a), byHop(two, a), byHop(three, a)},
		"they have no routes": {a},
	} {
		first := []object.Object{b, byHop(one, b), byHop(two, b), byHop(three, b)}
		switch name {
		case "two become one hop":
			first = []object.Object{b, z, byHop(one, b), byHop(two, b), byHop(three, z)}
		case "they have no routes":
			first = []object.Object{b}
		}
		step(first...)
		if step(next...); writes == 0 && name != "they have no routes" {
			t.Errorf("%s: no route was written", name)
		}
	}
}

func metric(r *object.Route, m uint32) *object.Route {
	r.Metric = m
	return r
}

// TestRepointRandom moves routes between next hops at random. Now and then the
// kernel refuses a route, so that the commit is undone from the middle, or what was
// done is undone as a whole.
func TestRepointRandom(t *testing.T) {
	for seed := range uint64(8) {
		c := newCommits(t)
		rnd := rand.New(rand.NewPCG(seed, 0))
		var refuse netip.Prefix
		s := newScarce(t, c.d, func(p netip.Prefix, _ int) bool { return p == refuse })
		s.order(false, unix.EPERM)
		hops := make([]*object.SharedNextHop, 4)
		for i := range hops {
			hops[i] = object.HopByContent(hopTo(fmt.Sprintf("fc00:%d::", i+1)))
		}
		prefixes := []string{"2001:db8:5::/48", "2001:db8:6::/48", "2001:db8:7::/48", "198.51.100.0/24", "198.51.101.0/24", "198.51.102.0/24"}
		last := &object.LocalSID{SID: addr("fc00::1"), Table: object.TableMain, Behavior: object.End, Dev: "v0"}
		for range 40 {
			want := map[object.Key]object.Object{}
			few := hops[:1+rnd.IntN(len(hops))]
			for _, p := range prefixes {
				h := few[rnd.IntN(len(few))]
				switch r := byHop(p, h); rnd.IntN(8) {
				case 0:
				case 1:
					r.SharedHop, r.NextHops = "", []object.NextHop{h.Hop}
					want[r.Key()] = r
				default:
					want[h.Key()], want[r.Key()] = h, r
				}
			}
			s.mu.Lock()
			refuse = netip.Prefix{}
			switch rnd.IntN(6) {
			case 0:
				refuse = netip.MustParsePrefix(prefixes[rnd.IntN(len(prefixes))])
			case 1: // what comes behind all routes
				want[last.Key()] = last
				refuse = netip.PrefixFrom(last.SID, 128)
			}
			s.mu.Unlock()
			before := c.want
			undo, err := c.to(slices.Collect(maps.Values(want))...)
			s.mu.Lock()
			refuse = netip.Prefix{}
			s.mu.Unlock()
			switch {
			case errors.Is(err, unix.EPERM):
				if failed, ok := errors.AsType[*reconcile.ApplyError](err); !ok || failed.Undo != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			case err != nil:
				t.Fatalf("seed %d: %v", seed, err)
			case rnd.IntN(3) == 0:
				if err := undo(context.Background()); err != nil {
					t.Fatalf("seed %d: undo: %v", seed, err)
				}
				c.want = before
			}
			c.held()
			if len(c.d.moved) > 0 {
				t.Fatalf("seed %d: a move has not ended", seed)
			}
		}
	}
}
