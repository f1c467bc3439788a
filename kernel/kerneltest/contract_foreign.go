package kerneltest

import (
	"errors"
	"net/netip"
	"strings"

	"heddle/kernel/object"
	"heddle/reconcile"
)

func contains(err error, word string) bool { return strings.Contains(err.Error(), word) }

// conflictCase is something of somebody else where an object of ours would go.
type conflictCase struct {
	name    string
	before  []object.Object // ours
	foreign object.Object
	object  object.Object
	names   string // what the error names
}

func conflictCases() []conflictCase {
	const main = object.TableMain
	other := object.Link{Name: "theirs", Type: object.LinkVRF, Table: vrfBlue.Table}
	return []conflictCase{
		{"link/name", nil, object.Link{Name: "wire-a", Type: object.LinkVeth, Peer: "theirs"}, vethA, "wire-a"},
		{"link/vrf-name", nil, object.Link{Name: "blue", Type: object.LinkVRF, Table: 999}, vrfBlue, "blue"},
		{"link/vrf-table", nil, other, vrfBlue, "theirs"},
		{"link/gre-ends", nil, object.Link{Name: "theirs", Type: object.LinkGRE, Tunnel: gre1.Tunnel}, gre1, "theirs"},
		{"link/vxlan-id", nil, object.Link{Name: "theirs", Type: object.LinkVXLAN, Tunnel: vxlan5.Tunnel}, vxlan5, "theirs"},
		{"link/vlan-id", nil, object.Link{Name: "theirs", Type: object.LinkVLAN, Parent: "ext1", VLAN: vlan7.VLAN, Bound: true}, vlan7, "theirs"},
		{"address/ipv4", nil, addr4, addr4, addr4.Prefix.String()},
		{"address/ipv6", nil, addr6, addr6, addr6.Prefix.String()},
		{"neighbour", nil, object.Neighbour{Link: "ext1", Addr: neigh4.Addr, MAC: object.MAC{2, 0, 0, 0, 0, 7}}, neigh4, neigh4.Addr.String()},
		{"hmackey", nil, object.HMACKey{ID: hmacKey.ID, Algorithm: object.HMACSHA256, Secret: "theirs"}, hmacKey, "HMAC key 7"},
		{"route/ipv4", []object.Object{addr4}, route(main, "10.1.0.0/16", via("192.0.2.9", "ext1")),
			route(main, "10.1.0.0/16", via("192.0.2.2", "ext1")), "10.1.0.0/16"},
		{"route/ipv6", nil, route(main, "2001:db8:10::/48", via("fe80::9", "ext1")),
			route(main, "2001:db8:10::/48", via("fe80::2", "ext1")), "2001:db8:10::/48"},
		{"sid", nil, route(main, "fc00:9::1/128", via("fe80::9", "ext1")), sid("fc00:9::1", object.End), "fc00:9::1"},
	}
}

// conflict is seen by Check, refused by Do, and leaves the other one's object as
// it is, also when it takes the place of one of ours.
func (k *contract) conflict(c conflictCase) {
	k.need(append(c.before, c.foreign, c.object)...)
	k.create(c.before...)
	k.put(c.foreign)
	step := reconcile.Step{New: c.object}
	k.refused(step, c.names)
	if r := k.do(step); r.Err == nil {
		// A kernel in strict mode refuses a second VRF on a table, others do not.
		if l, ok := c.object.(object.Link); !ok || l.Type != object.LinkVRF {
			k.Fatalf("%v was accepted beside %v", c.object, c.foreign)
		}
		k.remove(c.object)
	}
	k.holds(c.foreign)
	if k.listed(c.object) {
		k.Fatalf("%v passes for ours", c.foreign)
	}
	if c.object.Key() == c.foreign.Key() {
		// Whether that is an error is left open; that it does nothing is not.
		k.do(reconcile.Step{Old: c.object})
		k.holds(c.foreign)
	}
}

// foreignWithinLocator: a locator is not made where somebody else has a route to its
// prefix or into it, of any metric. Routes around it, in other tables, of this node's
// addresses and of its own are no obstacle, and neither is what comes later.
func (k *contract) foreignWithinLocator() {
	const main = object.TableMain
	locator := route(main, "2001:db8:10::/48")
	locator.Metric = object.LastMetric
	own, address := sid("2001:db8:10:1::", object.End), object.Address{Link: "ext0", Prefix: netip.MustParsePrefix("2001:db8:10:2::1/64")}
	k.need(locator, own, address)
	k.create(own, address)
	k.put(route(main, "2001:db8::/32", via("fe80::2", "ext1")), route(main, "2001:db8:11::/48", via("fe80::2", "ext1")),
		route(main, "::/0", via("fe80::2", "ext1")), route(300, "2001:db8:10:3::/64", via("fe80::2", "ext1")))
	k.create(locator)
	k.remove(locator)
	for prefix, theirs := range map[string]string{"2001:db8:20::/48": "2001:db8:20::/48", "2001:db8:21::/48": "2001:db8:21:4000::/50", "2001:db8:22::/48": "2001:db8:22:5::9/128"} {
		k.put(route(main, theirs, via("fe80::2", "ext1")))
		covers := route(main, prefix)
		covers.Metric = object.LastMetric
		k.refused(reconcile.Step{New: covers}, theirs)
	}
	step := reconcile.Step{New: locator}
	if err := k.Driver.Check(k.ctx, []reconcile.Step{step}); err != nil {
		k.Fatalf("with no route of others in it: %v", err)
	}
	k.create(locator)
	k.put(route(main, "2001:db8:10:6::/64", via("fe80::2", "ext1")))
	other := reconcile.Step{New: sid("2001:db8:10:7::", object.End)}
	if err := k.Driver.Check(k.ctx, []reconcile.Step{other}); err != nil {
		k.Fatalf("a SID beside a route that came later: %v", err)
	}
}

// enslavedElsewhere: a link in a VRF of somebody else is not moved.
func (k *contract) enslavedElsewhere() {
	theirs := object.Link{Name: "theirs", Type: object.LinkVRF, Table: 999}
	taken := object.Member{Link: "ext0", Master: "theirs"}
	k.need(vrfBlue)
	k.create(vrfBlue)
	k.put(theirs, taken)
	k.refused(reconcile.Step{New: inBlue}, "theirs")
	if r := k.do(reconcile.Step{New: inBlue}); r.Err == nil {
		k.Fatal("a link was taken out of a vrf of somebody else")
	}
	k.holds(taken)
	if k.listed(taken) {
		k.Fatal("a membership of somebody else passes for ours")
	}
	k.do(reconcile.Step{Old: inBlue})
	k.holds(taken)
}

// What somebody else has on ext0, and what leads over it in a table of no VRF.
var (
	theirs4   = object.Address{Link: "ext0", Prefix: netip.MustParsePrefix("198.51.100.1/24")}
	theirs6   = object.Address{Link: "ext0", Prefix: netip.MustParsePrefix("2001:db8:77::1/64")}
	overExt04 = route(300, "10.77.0.0/16", via("198.51.100.9", "ext0"))
	overExt06 = route(300, "2001:db8:78::/48", via("2001:db8:77::9", "ext0"))
)

// carryOut does a plan as the reconciler does, up to what is put back.
func (k *contract) carryOut(steps ...reconcile.Step) reconcile.Preserved {
	k.Helper()
	if err := k.Driver.Check(k.ctx, steps); err != nil {
		k.Fatal(err)
	}
	others, err := k.Driver.Preserve(k.ctx, steps)
	if err != nil {
		k.Fatal(err)
	}
	for _, s := range steps {
		if r := k.do(s); r.Err != nil {
			k.Fatal(r.Err)
		}
	}
	return others
}

func (k *contract) restore(others reconcile.Preserved) {
	k.Helper()
	if others == nil {
		k.Fatal("the driver sees nothing that the plan reaches")
	}
	if err := others.Restore(k.ctx); err != nil {
		k.Fatal(err)
	}
}

// preserved: a link that is taken down takes along what is on it, and all of that
// is back when the plan is undone. A plan of another kind reaches nothing.
func (k *contract) preserved() {
	k.put(theirs4, theirs6, overExt04, overExt06)
	if others := k.carryOut(reconcile.Step{New: addr4}, reconcile.Step{New: route(object.TableMain, "10.5.0.0/16")}); others != nil {
		k.Error("an address and a route reach something")
	}
	down := object.LinkConfig{Link: "ext0", Admin: object.AdminDown}
	others := k.carryOut(reconcile.Step{New: down})
	k.restore(others)
	k.lacks(theirs6)
	k.lacks(overExt04)
	others.Undo()
	k.remove(down)
	k.restore(others)
	for _, o := range []object.Object{theirs4, theirs6, overExt04, overExt06} {
		k.holds(o)
	}
}

// preservedInVRF: a link takes what is on it along into a VRF and out again, but no
// route out of a table that it leaves.
func (k *contract) preservedInVRF() {
	all := []object.Object{theirs4, theirs6, overExt04, overExt06}
	k.need(vrfBlue)
	k.create(vrfBlue, blueUp)
	k.put(all...)
	k.restore(k.carryOut(reconcile.Step{New: inBlue}))
	for _, o := range all {
		k.holds(o)
	}
	stays := route(vrfBlue.Table, "10.79.0.0/16", via("198.51.100.9", "ext0"))
	k.put(stays)
	var se *reconcile.StepError
	if _, err := k.Driver.Preserve(k.ctx, []reconcile.Step{{Old: inBlue}}); !errors.As(err, &se) || se.Step.Key() != inBlue.Key() || !contains(err, "10.79.0.0/16") {
		k.Fatalf("a link that leaves a route behind: %v", err)
	}
	k.holds(inBlue)
	// With the VRF the route goes, and nothing else.
	k.restore(k.carryOut(reconcile.Step{Old: inBlue}, reconcile.Step{Old: blueUp}, reconcile.Step{Old: vrfBlue}))
	k.lacks(stays)
	for _, o := range all {
		k.holds(o)
	}
}

func (k *contract) reopen() {
	k.Helper()
	k.Driver = k.Reopen(k.T)
}

// priorOfLink: settings of a link that is not ours go back to what they were.
func (k *contract) priorOfLink() {
	k.put(object.LinkConfig{Link: "ext0", MTU: 1480, Admin: object.AdminDown})
	ours := object.LinkConfig{Link: "ext0", MTU: 1400, Admin: object.AdminUp}
	k.create(ours)
	k.reopen()
	if !k.listed(ours) {
		k.Fatal("settings are not ours any more after a restart")
	}
	// A change in between keeps the value from before the first one.
	next := object.LinkConfig{Link: "ext0", MTU: 1300, Admin: object.AdminUp}
	if r := k.do(reconcile.Step{Old: ours, New: next}); r.Err != nil {
		k.Fatal(r.Err)
	}
	k.reopen()
	k.remove(next)
	k.holds(object.LinkConfig{Link: "ext0", MTU: 1480, Admin: object.AdminDown})
}

// priorOfPart: what is no longer set goes back, the rest stays.
func (k *contract) priorOfPart() {
	both := object.LinkConfig{Link: "ext0", MTU: 1400, Admin: object.AdminUp}
	less := object.LinkConfig{Link: "ext0", Admin: object.AdminUp}
	k.create(both)
	r := k.do(reconcile.Step{Old: both, New: less})
	if r.Err != nil || !less.Equal(r.Got) {
		k.Fatalf("change into %v: %v, holds %v", less, r.Err, r.Got)
	}
	k.holds(object.LinkConfig{Link: "ext0", MTU: 1500, Admin: object.AdminUp})
	k.remove(less)
	k.holds(object.LinkConfig{Link: "ext0", MTU: 1500, Admin: object.AdminUp})
}

// priorOfNamespace: the same for parameters and the tunnel source.
func (k *contract) priorOfNamespace() {
	theirSource := object.TunnelSource{Source: netip.MustParseAddr("fc00:ff::1")}
	theirParam := object.Sysctl{Name: object.SysctlForward4, Value: "1"}
	ourSource := object.TunnelSource{Source: segments[0]}
	ourParam := object.Sysctl{Name: object.SysctlForward4, Value: "0"}
	k.need(ourSource)
	k.put(theirSource, theirParam)
	if k.listed(theirSource) || k.listed(theirParam) {
		k.Fatal("settings of somebody else pass for ours")
	}
	k.create(ourSource, ourParam)
	k.reopen()
	if !k.listed(ourSource) || !k.listed(ourParam) {
		k.Fatal("settings are not ours any more after a restart")
	}
	k.remove(ourSource, ourParam)
	k.holds(theirSource)
	k.holds(theirParam)
	if k.listed(theirSource) || k.listed(theirParam) {
		k.Fatal("settings given back pass for ours")
	}
}

// priorOverruled: what somebody else has changed since is not set back.
func (k *contract) priorOverruled() {
	ours := object.LinkConfig{Link: "ext0", MTU: 1400}
	k.create(ours)
	theirs := object.LinkConfig{Link: "ext0", MTU: 1350}
	k.put(theirs)
	if k.listed(ours) {
		k.Fatal("a setting that is not in the kernel any more is listed as if it were")
	}
	k.remove(ours)
	k.holds(theirs)
}

// priorTakenAway: what somebody else has taken away can be set again, and what was
// there before us is still known.
func (k *contract) priorTakenAway() {
	theirs := object.TunnelSource{Source: netip.MustParseAddr("fc00:ff::1")}
	ours := object.TunnelSource{Source: segments[0]}
	k.need(ours)
	k.put(theirs)
	k.create(ours)
	if err := k.Foreign.Delete(ours.Key()); err != nil {
		k.Fatal(err)
	}
	if k.listed(ours) {
		k.Fatal("a tunnel source that is not in the kernel any more is listed")
	}
	k.create(ours)
	k.remove(ours)
	k.holds(theirs)
}

// priorOfRecreatedLink: another link of the same name has nothing of ours.
func (k *contract) priorOfRecreatedLink() {
	k.need(vethA)
	k.put(vethA)
	ours := object.LinkConfig{Link: "wire-a", MTU: 1400}
	param := object.Sysctl{Name: object.SysctlLinkSeg6Enabled("wire-a"), Value: "1", Link: "wire-a"}
	k.create(ours, param)
	if err := k.Foreign.Delete(vethA.Key()); err != nil {
		k.Fatal(err)
	}
	k.put(vethA)
	if k.listed(param) || k.listed(object.Sysctl{Name: param.Name, Value: "0", Link: "wire-a"}) {
		k.Fatal("a parameter of a recreated link passes for ours")
	}
	k.remove(ours, param)
	k.put(object.LinkConfig{Link: "wire-a", MTU: 1350})
	if k.listed(object.LinkConfig{Link: "wire-a", MTU: 1350}) {
		k.Fatal("settings of a recreated link pass for ours")
	}
	k.create(ours)
	k.remove(ours)
	k.holds(object.LinkConfig{Link: "wire-a", MTU: 1350})
}
