package rtnl

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sort"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// reserved finds routes of others to the prefixes that the plan reserves, or into
// them. The kernel does not list routes by prefix, so all of main is read, once for
// the whole plan and only where it reserves something.
func (c *checker) reserved(ctx context.Context) error {
	var steps []reconcile.Step
	for _, s := range c.steps {
		if r, ok := s.New.(*object.Route); ok && s.Old == nil && r.Reserves() {
			steps = append(steps, s)
		}
	}
	if len(steps) == 0 {
		return nil
	}
	prefix := func(i int) netip.Prefix { return steps[i].New.(*object.Route).Prefix }
	slices.SortFunc(steps, func(a, b reconcile.Step) int {
		return a.New.(*object.Route).Prefix.Addr().Compare(b.New.(*object.Route).Prefix.Addr())
	})
	found := make([][]string, len(steps))
	err := dumpRoutes(ctx, c.d.query, routeFilter{family: unix.AF_INET6, table: object.TableMain}, func() { clear(found) }, func(r *rawRoute) {
		// Locators do not overlap: of those that begin before it, the last.
		i := sort.Search(len(steps), func(i int) bool { return r.dst.Addr().Less(prefix(i).Addr()) }) - 1
		if i >= 0 && prefix(i).Bits() <= r.dst.Bits() && prefix(i).Contains(r.dst.Addr()) && c.foreignRoute(r) {
			found[i] = append(found[i], fmt.Sprintf("%s metric %d of protocol %s", r.dst, r.metric, ProtocolName(r.proto)))
		}
	})
	if err != nil {
		return fmt.Errorf("look for routes into a locator: %w", err)
	}
	for i, routes := range found {
		if len(routes) > 0 {
			c.add(steps[i], &ConflictError{Object: fmt.Sprint(steps[i].New), Holder: "route " + list(routes),
				Remedy: "delete it, or use a prefix that no route of others is in"})
		}
	}
	return nil
}

// foreignRoute: somebody has said it. What the kernel makes of addresses and
// redirects is none of these.
func (c *checker) foreignRoute(r *rawRoute) bool {
	return r.proto != Protocol && r.proto != unix.RTPROT_KERNEL && r.proto != unix.RTPROT_REDIRECT && !c.goes(r)
}
