package kerneltest

import (
	"net/netip"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// batch does steps of one kind together, as the reconciler does.
func (k *contract) batch(steps ...reconcile.Step) {
	k.Helper()
	if err := k.Driver.Check(k.ctx, steps); err != nil {
		k.Fatal(err)
	}
	for i, r := range k.Driver.Do(k.ctx, steps) {
		if r.Err != nil || !steps[i].New.Equal(r.Got) {
			k.Fatalf("%v: %v, holds %v", steps[i].New, r.Err, r.Got)
		}
	}
}

// vlanMTU: a VLAN has no larger MTU than its parent, whatever the order in which
// both get another one.
func (k *contract) vlanMTU() {
	k.need(vlan7)
	k.create(vlan7)
	mtu := func(link string, n uint32) object.Object { return object.LinkConfig{Link: link, MTU: n} }
	k.batch(reconcile.Step{New: mtu("tag0", 9000)}, reconcile.Step{New: mtu("ext1", 9000)})
	k.batch(reconcile.Step{Old: mtu("tag0", 9000), New: mtu("tag0", 1400)}, reconcile.Step{Old: mtu("ext1", 9000), New: mtu("ext1", 2000)})
	k.batch(reconcile.Step{Old: mtu("ext1", 2000), New: mtu("ext1", 1300)}, reconcile.Step{Old: mtu("tag0", 1400), New: mtu("tag0", 1300)})
	k.batch(reconcile.Step{Old: mtu("ext1", 1300), New: mtu("ext1", 2000)}, reconcile.Step{Old: mtu("tag0", 1300), New: mtu("tag0", 1400)})
	if r := k.do(reconcile.Step{Old: mtu("tag0", 1400), New: mtu("tag0", 2001)}); r.Err == nil {
		k.Fatal("a VLAN got a larger MTU than its parent")
	}
	k.holds(mtu("tag0", 1400))
	k.remove(mtu("tag0", 1400), vlan7)

	// Made while the parent has more than it gets back.
	k.create(vlan7, mtu("tag0", 1400))
	for _, r := range k.Driver.Do(k.ctx, []reconcile.Step{{Old: mtu("tag0", 1400)}, {Old: mtu("ext1", 2000)}}) {
		if r.Err != nil {
			k.Fatal(r.Err)
		}
	}
	k.holds(mtu("ext1", 1500))
	k.holds(mtu("tag0", 1500))
}

// vlanParent: a VLAN is up or down by itself, keeps what is on it when its parent
// goes down, and goes with its parent.
func (k *contract) vlanParent() {
	dummy := object.Link{Name: "base0", Type: object.LinkDummy}
	if k.Lacks(dummy) != "" {
		dummy.Type = object.LinkIFB
	}
	vlan := object.Link{Name: "tag0", Type: object.LinkVLAN, Parent: "base0", VLAN: object.VLAN{ID: 9}}
	k.need(dummy, vlan)
	up, down := object.LinkConfig{Link: "base0", Admin: object.AdminUp}, object.LinkConfig{Link: "base0", Admin: object.AdminDown}
	vlanUp := object.LinkConfig{Link: "tag0", Admin: object.AdminUp}
	address := object.Address{Link: "tag0", Prefix: netip.MustParsePrefix("2001:db8:9::1/64")}
	k.create(dummy, vlan, vlanUp, up, address)
	k.remove(up)
	k.create(down)
	k.holds(vlanUp)
	k.holds(address)
	k.remove(vlanUp, down)
	k.create(up)
	k.holds(object.LinkConfig{Link: "tag0", Admin: object.AdminDown})

	// The plan says that both go, and the kernel lets the second go with the first.
	k.remove(vlan, up, dummy)
	k.create(dummy, vlan)
	k.remove(dummy)
	k.lacks(vlan)
	k.remove(vlan)
}

// neighbourKept: a neighbour stays when the last IPv4 address of its link goes, with
// which the kernel forgets it, and when the link moves to a VRF, what somebody else
// has put there does, too.
func (k *contract) neighbourKept() {
	k.create(addr4, neigh4, neigh6)
	k.remove(addr4)
	k.holds(neigh4)
	k.holds(neigh6)
	k.remove(neigh4, neigh6)

	theirs := object.Neighbour{Link: "ext0", Addr: netip.MustParseAddr("198.51.100.7"), MAC: object.MAC{2, 0, 0, 0, 0, 7}}
	ours := object.Neighbour{Link: "ext0", Addr: netip.MustParseAddr("198.51.100.8"), MAC: object.MAC{2, 0, 0, 0, 0, 8}}
	k.need(vrfBlue)
	k.put(theirs4, theirs)
	k.create(vrfBlue, blueUp, ours)
	k.restore(k.carryOut(reconcile.Step{Old: ours}, reconcile.Step{New: inBlue}, reconcile.Step{New: ours}))
	k.holds(theirs)
	k.holds(ours)
	if k.listed(theirs) || !k.listed(ours) {
		k.Fatal("it is not told apart whose neighbour it is")
	}
}

// bridgeMoves: a link goes from a VRF to a bridge and back, what somebody else has on
// it stays, and a bridge of somebody else keeps its ports.
func (k *contract) bridgeMoves() {
	k.need(vrfBlue, bridge0)
	port := object.Member{Link: "ext0", Master: "bridge0"}
	k.put(theirs4)
	k.create(vrfBlue, blueUp, bridge0, inBlue)
	k.restore(k.carryOut(reconcile.Step{Old: inBlue}, reconcile.Step{New: port}))
	k.holds(theirs4)
	k.restore(k.carryOut(reconcile.Step{Old: port}, reconcile.Step{New: inBlue}))
	k.holds(theirs4)
	k.remove(inBlue, bridge0)

	theirs, taken := object.Link{Name: "theirs", Type: object.LinkBridge}, object.Member{Link: "ext0", Master: "theirs"}
	k.put(theirs, taken)
	k.refused(reconcile.Step{New: inBlue}, "theirs")
	if r := k.do(reconcile.Step{New: inBlue}); r.Err == nil {
		k.Fatal("a port was taken out of a bridge of somebody else")
	}
	k.holds(taken)
}
