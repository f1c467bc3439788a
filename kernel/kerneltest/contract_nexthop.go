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

func byHop(table uint32, prefix string, h *object.SharedNextHop) *object.Route {
	r := route(table, prefix, object.NextHop{})
	r.NextHops, r.SharedHop = nil, h.ID
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
