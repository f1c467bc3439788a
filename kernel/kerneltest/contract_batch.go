package kerneltest

import (
	"context"
	"net/netip"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// ownershipAfterReopen: a restart finds all that is ours and nothing else.
func (k *contract) ownershipAfterReopen() {
	const main = object.TableMain
	ours := []object.Object{
		vethA, vethB, object.LinkConfig{Link: "wire-a", Admin: object.AdminUp}, addr4, addr6,
		object.Sysctl{Name: object.SysctlSeg6Enabled, Value: "1"},
		object.TunnelSource{Source: segments[0]},
		route(main, "10.1.0.0/16", via("192.0.2.2", "ext1")),
		route(main, "2001:db8:10::/48", encap(via("", "ext1"), object.HEncaps, segments...)),
		sid("fc00:9::1", object.End), sid("fc00:9::2", object.EndX, toHop("fe80::2")),
		hopA, hopNamed, byHop(main, "2001:db8:18::/48", hopA), byHop(main, "10.13.0.0/16", hopNamed),
	}
	k.need(ours...)
	for _, o := range []object.Object{dummySR, dummyUp, vrfBlue, blueUp, inBlue} {
		if k.Lacks(o) == "" && (o.Key().Kind != object.KindMember || k.Lacks(vrfBlue) == "") && (o != object.Object(blueUp) || k.Lacks(vrfBlue) == "") && (o != object.Object(dummyUp) || k.Lacks(dummySR) == "") {
			ours = append(ours, o)
		}
	}
	k.create(ours...)
	k.put(object.Link{Name: "their-a", Type: object.LinkVeth, Peer: "their-b"},
		object.Address{Link: "ext1", Prefix: netip.MustParsePrefix("198.51.100.1/24")},
		route(main, "10.2.0.0/16", via("192.0.2.2", "ext1")),
		route(main, "2001:db8:11::/48"))
	k.reopen()
	k.exactly(ours)
}

// exactly checks that the objects, and no others, are ours.
func (k *contract) exactly(ours []object.Object) {
	k.Helper()
	want := make(map[object.Key]object.Object, len(ours))
	for _, o := range ours {
		want[o.Key()] = o
	}
	for _, kind := range object.Kinds() {
		got, err := k.Driver.Dump(k.ctx, kind)
		if err != nil {
			k.Fatalf("list %s: %v", kind, err)
		}
		for _, o := range got {
			if w := want[o.Key()]; w == nil || !w.Equal(o) {
				k.Errorf("listed as ours: %v, expected %v", o, w)
			}
			delete(want, o.Key())
		}
	}
	for _, o := range want {
		k.Errorf("not listed as ours: %v", o)
	}
}

// batchWithFailures: each result tells what has become of its own step.
func (k *contract) batchWithFailures() {
	theirs := route(object.TableMain, "2001:db8:7::/48", via("fe80::9", "ext1"))
	k.put(theirs)
	const n = 300 // more than goes out in one send
	steps := make([]reconcile.Step, n)
	bad := map[int]bool{0: true, 7: true, 100: true, n - 1: true}
	for i := range steps {
		p := netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 0x80, 0, byte(i >> 8), byte(i)}), 64)
		r := &object.Route{Table: object.TableMain, Prefix: p, NextHops: []object.NextHop{via("fe80::2", "ext1")}}
		switch i {
		case 0, n - 1: // refused before it is sent
			r.NextHops = []object.NextHop{via("", "nowhere")}
		case 7: // in the way
			r.Prefix = theirs.Prefix
		case 100: // refused by the kernel
			r.NextHops = []object.NextHop{via("2001:db8:ffff::1", "ext1")}
		}
		steps[i].New = r
	}
	results := k.Driver.Do(k.ctx, steps)
	if len(results) != n {
		k.Fatalf("%d results for %d steps", len(results), n)
	}
	done := 0
	for i, r := range results {
		got, there := k.Foreign.Get(steps[i].Key())
		switch {
		case bad[i] && r.Err == nil:
			k.Errorf("step %d (%v) was accepted", i, steps[i].New)
		case bad[i] && i != 7 && there:
			k.Errorf("step %d was refused and is there: %v", i, got)
		case bad[i]:
		case r.Err != nil && there:
			k.Errorf("step %d says %v and is there", i, r.Err)
		case r.Err == nil && (!there || !steps[i].New.Equal(got) || !steps[i].New.Equal(r.Got)):
			k.Errorf("step %d says it is done, and the kernel holds %v, the result %v", i, got, r.Got)
		case r.Err == nil:
			done++
		}
	}
	if done == 0 {
		k.Error("nothing of the batch was done")
	}
	k.holds(theirs)
	k.Logf("%d of %d done", done, n)
	for i, r := range results {
		if r.Err == nil {
			k.remove(steps[i].New)
		}
	}
	k.exactly(nil)
}

// cancelled: a call that is over before it began does nothing and says so.
func (k *contract) cancelled() {
	ctx, cancel := context.WithCancel(k.ctx)
	cancel()
	for _, o := range []object.Object{addr4, route(object.TableMain, "2001:db8:7::/48", via("fe80::2", "ext1")),
		sid("fc00:9::1", object.End), vethA} {
		r := k.Driver.Do(ctx, []reconcile.Step{{New: o}})
		if len(r) != 1 || r[0].Err == nil {
			k.Errorf("%v was made after the end", o)
		}
		k.lacks(o)
	}
}

// vethPair: the first end makes and removes both, the second end is marked.
func (k *contract) vethPair() {
	k.need(vethA)
	k.create(vethA)
	k.create(vethB)
	if r := k.do(reconcile.Step{New: vethB}); r.Err == nil {
		k.Error("the second end was made twice")
	}
	k.remove(vethB)
	k.holds(vethA)
	if k.listed(vethB) {
		k.Error("the second end is still ours")
	}
	k.create(vethB)
	k.remove(vethB, vethA)
	k.lacks(vethA)
	k.lacks(vethB)
	k.create(vethA, vethB)
	k.remove(vethA, vethB)
	k.exactly(nil)
}

// planAsAWhole: what the plan makes counts as there, what it deletes as gone.
func (k *contract) planAsAWhole() {
	k.need(vethA)
	check := func(steps ...reconcile.Step) error { return k.Driver.Check(k.ctx, steps) }
	on := object.Address{Link: "wire-a", Prefix: addr4.Prefix}
	if err := check(reconcile.Step{New: vethA}, reconcile.Step{New: vethB}, reconcile.Step{New: on},
		reconcile.Step{New: object.LinkConfig{Link: "wire-b", Admin: object.AdminUp}}); err != nil {
		k.Errorf("links that the plan makes: %v", err)
	}
	k.create(vethA, vethB)
	if err := check(reconcile.Step{Old: vethB}, reconcile.Step{Old: vethA}, reconcile.Step{New: vethA},
		reconcile.Step{New: vethB}, reconcile.Step{New: on}); err != nil {
		k.Errorf("links that the plan makes anew: %v", err)
	}
	if err := check(reconcile.Step{Old: vethB}, reconcile.Step{Old: vethA}, reconcile.Step{New: on}); err == nil {
		k.Error("an address on a link that the plan deletes was accepted")
	}
	if why := k.Lacks(vrfBlue); why != "" {
		k.Logf("without vrf: %s", why)
		return
	}
	k.put(vrfBlue)
	k.create(vrfRed)
	taker := object.Link{Name: "taker", Type: object.LinkVRF, Table: vrfBlue.Table}
	if err := check(reconcile.Step{New: taker}); err == nil || !contains(err, "blue") {
		k.Errorf("a table in use: %v", err)
	}
	taker.Table = vrfRed.Table
	if err := check(reconcile.Step{Old: vrfRed}, reconcile.Step{New: taker}); err != nil {
		k.Errorf("a table that the plan frees: %v", err)
	}
	if err := check(reconcile.Step{New: object.Member{Link: "ext0", Master: "red"}}); err != nil {
		k.Errorf("a membership: %v", err)
	}
}

// lastAddress: the kernel drops every IPv4 route over a link with its last IPv4
// address. Those of ours that can do without it are put back; where one cannot,
// the address stays, and so does everything else.
func (k *contract) lastAddress() {
	tunnel := route(object.TableMain, "192.168.4.0/24", encap(via("", "ext1"), object.HEncaps, segments...))
	k.need(tunnel)
	second := object.Address{Link: "ext1", Prefix: netip.MustParsePrefix("192.0.2.7/24")}
	elsewhere := object.Address{Link: "ext1", Prefix: netip.MustParsePrefix("198.51.100.1/24")}
	needs := route(object.TableMain, "10.1.0.0/16", via("192.0.2.2", "ext1"))
	k.create(addr4, second, elsewhere, tunnel, needs)
	k.remove(elsewhere)
	k.holds(tunnel)

	k.remove(second)
	before := []object.Object{addr4, tunnel, needs}
	if r := k.do(reconcile.Step{Old: addr4}); r.Err == nil || !contains(r.Err, "10.1.0.0/16") {
		k.Errorf("the last address of a gateway's subnet is deleted: %v", r.Err)
	}
	k.exactly(before)

	k.remove(needs)
	k.create(second)
	k.remove(addr4) // the primary one of its subnet
	k.exactly([]object.Object{second, tunnel})
	k.remove(second)
	k.exactly([]object.Object{tunnel})
	k.holds(tunnel)
}
