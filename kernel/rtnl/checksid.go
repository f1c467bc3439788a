package rtnl

import (
	"cmp"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

func (c *checker) sid(s reconcile.Step, o *object.LocalSID) error {
	if err := c.present(o.Dev, o); err != nil {
		return err
	}
	if o.OutLink != "" {
		if err := c.present(o.OutLink, o); err != nil {
			return err
		}
		if o.Behavior == object.EndDX2 && !c.ran(o) {
			if err := c.frames(o.OutLink); err != nil {
				return err
			}
		}
	}
	if err := c.vrf(o.VRF, o.VRFTable, o); err != nil {
		return err
	}
	c.look(s)
	return nil
}

// ran reports whether the SID does before the plan what it does after it: what it
// leads to is not asked about again.
func (c *checker) ran(o *object.LocalSID) bool {
	was, ok := c.sids[o.Key()]
	return ok && was.Behavior == o.Behavior && was.NextHop == o.NextHop && was.OutLink == o.OutLink
}

// frames checks the link that End.DX2 sends by, as it is or as the plan makes it.
func (c *checker) frames(name string) error {
	if made, ok := c.makes[name]; ok && (made.Type == object.LinkGRE || made.Type == object.LinkIP6GRE) {
		return noFrames(name)
	}
	l := c.v.byName[name]
	if l == nil || c.drops[name] {
		return nil
	}
	if err := takesFrames(l); err != nil {
		return err
	}
	// Of one that is set up by the plan it is not known yet.
	if l.up() && l.flags&unix.IFF_LOWER_UP == 0 && !c.raised[name] {
		return &UnfitError{Named: "link " + name, Reason: "has no carrier, so that End.DX2 could not send a frame by it",
			Remedy: "connect it, or set up what is at its other end"}
	}
	return nil
}

// takesFrames reports whether End.DX2 can send by a link: the kernel takes any,
// and drops every frame for one that is not of Ethernet (input_action_end_dx2).
func takesFrames(l *link) error {
	if l.hardware == unix.ARPHRD_ETHER {
		return nil
	}
	return noFrames(l.name)
}

func noFrames(link string) error {
	return &UnfitError{Named: "link " + link, Reason: "is no Ethernet device, so that End.DX2 could not send a frame by it",
		Remedy: "name an Ethernet interface"}
}

// strictMode finds the VRFs that keep the kernel from switching VRF strict mode on:
// there is one VRF to a table then (vrf_strict_mode_change in drivers/net/vrf.c).
func (c *checker) strictMode(o object.Sysctl) error {
	if o.Name != object.SysctlStrictMode || o.Value == "0" {
		return nil
	}
	vrfs := make([]*link, 0, len(c.v.byTable))
	for _, l := range c.v.byIndex {
		if l.kind == string(object.LinkVRF) && !c.drops[l.name] {
			vrfs = append(vrfs, l)
		}
	}
	slices.SortFunc(vrfs, func(a, b *link) int { return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.name, b.name)) })
	for i := 1; i < len(vrfs); i++ {
		if a, b := vrfs[i-1], vrfs[i]; a.table == b.table {
			return &UnfitError{Named: fmt.Sprintf("vrf %s and vrf %s", a.name, b.name),
				Reason: fmt.Sprintf("share table %d, and what is decapsulated into a VRF needs VRF strict mode, which has one VRF to a table", a.table),
				Remedy: fmt.Sprintf("delete one of the two (ip link del %s), or make it anew with a table of its own", b.name)}
		}
	}
	return nil
}
