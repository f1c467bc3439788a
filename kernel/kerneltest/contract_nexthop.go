package kerneltest

import (
	"heddle/kernel/object"
	"heddle/reconcile"
)

// Shared next hops that several tests use.
var (
	hopA     = object.HopByContent(encap(via("", "ext1"), object.HEncaps, segments...))
	hopB     = object.HopByContent(encap(via("", "ext1"), object.HEncaps, segments[1]))
	hopBlue  = object.HopByContent(encap(via("", vrfBlue.Name), object.HEncaps, segments...))
	hopNamed = object.HopByName("policy", encap(via("", "ext1"), object.HEncaps, segments...))
)

// The group of a policy with two members, of which the first gets another way out.
var (
	memberA  = object.PolicyMember("gold", 0, hopA.Hop)
	memberA2 = object.PolicyMember("gold", 0, hopB.Hop)
	memberB  = object.PolicyMember("gold", 1, hopB.Hop)
	groupAB  = object.PolicyGroup("gold", []uint16{3, object.MaxGroupWeight})
	groupA   = object.PolicyGroup("gold", []uint16{1})
)

// byHop is a route by a shared next hop or a group.
func byHop(table uint32, prefix string, h object.Object) *object.Route {
	r := route(table, prefix, object.NextHop{})
	r.NextHops, r.SharedHop = nil, h.Key().ID
	return r
}

// sharedHop: routes of both families leave by one object, which changes under
// them, and moving them to another one is make before break.
func (k *contract) sharedHop() {
	six, four := byHop(object.TableMain, "2001:db8:16::/48", hopNamed), byHop(object.TableMain, "10.11.0.0/16", hopNamed)
	to := object.HopByName("policy", encap(via("", "ext0"), object.HEncaps, segments[1]))
	k.need(hopNamed, six, four)
	plan := []reconcile.Step{{New: hopNamed}, {New: six}, {New: four}}
	if err := k.Driver.Check(k.ctx, plan); err != nil {
		k.Fatalf("a next hop that the plan makes: %v", err)
	}
	k.create(hopNamed, six, four)
	if err := k.Driver.Check(k.ctx, []reconcile.Step{{Old: hopNamed}, {Old: four, New: four}}); err == nil {
		k.Error("a route by a next hop that the plan deletes was accepted")
	}
	if r := k.do(reconcile.Step{Old: hopNamed, New: to}); r.Err != nil || !to.Equal(r.Got) {
		k.Fatalf("change: %v, holds %v", r.Err, r.Got)
	}
	k.holds(six)
	k.holds(four)
	if !k.listed(to) || !k.listed(six) || !k.listed(four) {
		k.Error("not all is listed as ours")
	}
	k.create(hopB)
	for _, r := range []*object.Route{six, four} {
		moved := byHop(r.Table, r.Prefix.String(), hopB)
		if got := k.do(reconcile.Step{Old: r, New: moved}); got.Err != nil || !moved.Equal(got.Got) {
			k.Fatalf("move %v: %v, holds %v", r, got.Err, got.Got)
		}
	}
	k.remove(to)
	k.holds(byHop(six.Table, six.Prefix.String(), hopB))
	k.holds(byHop(four.Table, four.Prefix.String(), hopB))
}

// sharedHopGoes: it goes with its link and takes the routes along, whose deletion
// then is no error.
func (k *contract) sharedHopGoes() {
	six, four := byHop(object.TableMain, "2001:db8:16::/48", hopA), byHop(object.TableMain, "10.11.0.0/16", hopA)
	k.need(hopA, six, four)
	k.create(hopA, six, four)
	k.put(object.LinkConfig{Link: "ext1", Admin: object.AdminDown})
	k.exactly(nil)
	k.remove(four, six, hopA)
	if r := k.do(reconcile.Step{New: hopA}); r.Err == nil {
		k.Error("made on a link that is down")
	}
	k.put(object.LinkConfig{Link: "ext1", Admin: object.AdminUp})
	k.create(hopA, six, four)
	k.remove(hopA)
	k.lacks(six)
	k.lacks(four)
	k.remove(four, six)
	k.exactly(nil)
}

// group: routes of both families leave by a group, whose members and weights change
// under them. A member that is deleted leaves the group, and the last one takes the
// group and the routes along.
func (k *contract) group() {
	six, four := byHop(object.TableMain, "2001:db8:16::/48", groupAB), byHop(object.TableMain, "10.11.0.0/16", groupAB)
	objects := []object.Object{memberA, memberB, groupAB, six, four}
	k.need(objects...)
	var plan []reconcile.Step
	for _, o := range objects {
		plan = append(plan, reconcile.Step{New: o})
	}
	if err := k.Driver.Check(k.ctx, plan); err != nil {
		k.Fatalf("a group whose members the plan makes: %v", err)
	}
	k.create(objects...)
	if r := k.do(reconcile.Step{Old: memberA, New: memberA2}); r.Err != nil || !memberA2.Equal(r.Got) {
		k.Fatalf("change of a member: %v, holds %v", r.Err, r.Got)
	}
	if r := k.do(reconcile.Step{Old: groupAB, New: groupA}); r.Err != nil || !groupA.Equal(r.Got) {
		k.Fatalf("change of a group: %v, holds %v", r.Err, r.Got)
	}
	k.remove(memberB)
	for _, o := range []object.Object{groupA, six, four} {
		k.holds(o)
		if !k.listed(o) {
			k.Errorf("%v is not listed as ours", o)
		}
	}
	single := &object.SharedNextHop{ID: groupA.ID, Hop: hopA.Hop}
	if r := k.do(reconcile.Step{Old: groupA, New: single}); r.Err == nil {
		k.Error("a group was replaced by a next hop")
	}
	if r := k.do(reconcile.Step{Old: memberA2, New: &object.NextHopGroup{ID: memberA2.ID, Members: groupA.Members}}); r.Err == nil {
		k.Error("a next hop was replaced by a group")
	}
	k.create(memberB)
	if r := k.do(reconcile.Step{Old: groupA, New: groupAB}); r.Err != nil {
		k.Fatal(r.Err)
	}
	k.remove(memberA2)
	left := &object.NextHopGroup{ID: groupAB.ID, Members: groupAB.Members[1:]}
	k.holds(left)
	k.holds(six)
	k.remove(memberB)
	k.lacks(left)
	k.lacks(six)
	k.lacks(four)
	k.remove(four, six, groupAB)
	k.exactly(nil)
}
