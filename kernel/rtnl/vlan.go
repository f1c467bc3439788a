package rtnl

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// maxDepth bounds how many links lie one on top of the other, as the kernel does
// (MAX_NEST_DEV in linux/netdevice.h).
const maxDepth = 8

// depth is how many links of this namespace l is on top of.
func (v view) depth(l *link) int {
	n := 0
	for p := v.parent(l); p != nil && n < maxDepth; p = v.parent(p) {
		n++
	}
	return n
}

// byMTU is the order in which changes of links are made: a VLAN has no larger MTU
// than its parent, which takes that of the VLAN down with its own
// (vlan_device_event in net/8021q/vlan.c). So what shrinks does so from the top,
// the rest is done from below.
func byMTU(changes []*linkChange) []int {
	order := make([]int, len(changes))
	for i := range order {
		order[i] = i
	}
	rank := func(i int) int {
		c := changes[i]
		switch {
		case c == nil:
			return 0
		case c.shrinks():
			return -1 - c.depth
		}
		return c.depth
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rank(a), rank(b)) })
	return order
}

func (c *linkChange) shrinks() bool {
	to, toErr := strconv.ParseUint(c.to[propMTU], 10, 32)
	from, fromErr := strconv.ParseUint(c.from[propMTU], 10, 32)
	return toErr == nil && fromErr == nil && to < from
}

// fitMTU has a VLAN that is given its former MTU back take no larger one than its
// parent has now: the parent's may have been ours when the VLAN was made.
func (d *Driver) fitMTU(ctx context.Context, c *linkChange) error {
	if o, ok := c.step.New.(object.LinkConfig); ok && o.MTU != 0 || c.to[propMTU] == "" {
		return nil
	}
	return d.links.with(ctx, func(v view) {
		p := v.parent(c.link)
		if n, err := strconv.ParseUint(c.to[propMTU], 10, 32); err == nil && c.link.kind == string(object.LinkVLAN) && p != nil && uint64(p.mtu) < n {
			c.to[propMTU] = property(v, p, propMTU)
		}
	})
}

// vlan checks that a VLAN can be where it is to be.
func (c *checker) vlan(l object.Link) error {
	if err := c.present(l.Parent, l); err != nil {
		return err
	}
	if _, made := c.makes[l.Parent]; made {
		return nil
	}
	parent := c.v.byName[l.Parent]
	if parent.hardware == unix.ARPHRD_LOOPBACK || parent.kind == string(object.LinkVRF) {
		return fmt.Errorf("link %s takes no VLANs: use an Ethernet device as the parent", l.Parent)
	}
	for _, have := range c.v.byIndex {
		if have.kind != string(object.LinkVLAN) || have.vlan != l.VLAN || c.v.parent(have) != parent || c.drops[have.name] {
			continue
		}
		return &ConflictError{Object: l.String(), Holder: fmt.Sprintf("%s, which has VLAN %s on %s,", holder(have), l.VLAN, l.Parent),
			Remedy: fmt.Sprintf("delete it (ip link del %s) or use another VLAN id", have.name)}
	}
	return nil
}

// vlanMTUs checks, once all steps are known, that no VLAN gets a larger MTU than
// its parent, and that no parent takes down that of a VLAN that keeps it.
func (c *checker) vlanMTUs() {
	steps := map[string]reconcile.Step{}
	for _, s := range c.steps {
		if o, ok := cmpStep(s).(object.LinkConfig); ok {
			// The step that makes it is behind the one that takes it away.
			steps[o.Link] = s
		}
	}
	if len(steps) == 0 {
		return
	}
	complain := func(name, parent string) {
		mtu, most := c.mtu(name, steps), c.mtu(parent, steps)
		if mtu <= most || most == 0 {
			return
		}
		err := &ConflictError{Object: "link " + name, Holder: fmt.Sprintf("mtu %d of %s, which VLAN %s is on,", most, parent, name),
			Remedy: fmt.Sprintf("use %d or less for %s, or %d or more for %s", most, name, mtu, parent)}
		s, planned := steps[name]
		if o, _ := s.New.(object.LinkConfig); o.MTU == 0 {
			s, planned = steps[parent]
			err = &ConflictError{Object: "link " + parent, Holder: fmt.Sprintf("mtu %d of VLAN %s, which is on %s,", mtu, name, parent),
				Remedy: fmt.Sprintf("lower it first (ip link set dev %s mtu %d), or use %d or more for %s", name, most, mtu, parent)}
		}
		if planned {
			c.add(s, err)
		}
	}
	for _, l := range c.v.byIndex {
		if p := c.v.parent(l); l.kind == string(object.LinkVLAN) && p != nil && !c.drops[l.name] {
			complain(l.name, p.name)
		}
	}
	for _, l := range c.makes {
		if l.Type == object.LinkVLAN {
			complain(l.Name, l.Parent)
		}
	}
}

// mtu is the MTU that a link has after the plan; 0: not known.
func (c *checker) mtu(name string, steps map[string]reconcile.Step) uint32 {
	s, planned := steps[name]
	if o, ok := s.New.(object.LinkConfig); ok && o.MTU != 0 {
		return o.MTU
	}
	if made, ok := c.makes[name]; ok {
		switch {
		case made.Type == object.LinkVLAN && made.Parent != name:
			return c.mtu(made.Parent, steps)
		case c.v.byName[name] == nil && (made.Type == object.LinkDummy || made.Type == object.LinkVeth):
			return ethernetMTU
		}
		return 0
	}
	l := c.v.byName[name]
	if l == nil {
		return 0
	}
	rec, recorded := c.d.prior.Get(object.LinkConfigKey(name))
	if planned && recorded && rec.Ifindex == l.index && rec.Set[propMTU] == property(c.v, l, propMTU) {
		if n, err := strconv.ParseUint(rec.Before[propMTU], 10, 32); err == nil {
			return uint32(n)
		}
	}
	return l.mtu
}

// ethernetMTU is that of a new Ethernet device in octets.
const ethernetMTU = 1500
