package rtnl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// namesMost is how many things an error names.
const namesMost = 3

// list names the first of some things and counts the rest.
func list(names []string) string {
	if more := len(names) - namesMost; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:namesMost], ", "), more)
	}
	return strings.Join(names, ", ")
}

// refuse finds what the plan would take along and could not put back.
func (k *kept) refuse(ctx context.Context, v view) error {
	var errs []error
	on := map[int32][]*link{} // links that are on top of another one
	for _, l := range v.byIndex {
		if p := v.parent(l); p != nil {
			on[p.index] = append(on[p.index], l)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(k.links)) {
		l := k.links[name]
		for _, err := range []error{k.underneath(v, l, on[l.index]), k.leaves(l), k.losesIPv6(l)} {
			if err != nil {
				errs = append(errs, &reconcile.StepError{Step: l.step, Err: err})
			}
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return k.rehearse(ctx)
}

// underneath: links on top of one that is deleted go with it, and what it is in a
// bridge or bond is lost.
func (k *kept) underneath(v view, l *keptLink, on []*link) error {
	if !l.dropped {
		return nil
	}
	for _, upper := range on {
		if kl := k.links[upper.name]; kl == nil || !kl.dropped {
			return &ConflictError{Object: "link " + l.name, Holder: holder(upper) + ", which is on top of " + l.name + " and would go with it,",
				Remedy: fmt.Sprintf("delete it first (ip link del %s)", upper.name)}
		}
	}
	if m := v.byIndex[l.master]; m != nil && m.kind != string(object.LinkVRF) && l.foreign {
		return &ConflictError{Object: "link " + l.name, Holder: fmt.Sprintf("the membership of %s in %s (%s)", l.name, m.name, m.kind),
			Remedy: fmt.Sprintf("release it first (ip link set dev %s nomaster)", l.name)}
	}
	return nil
}

// leaves: routes over a link cannot stay in the table of a VRF, or in main, that
// the link leaves. A VRF that goes for good takes its routes along.
func (k *kept) leaves(l *keptLink) error {
	if vrf := k.links[l.vrf]; l.target == l.vrf || l.ends || vrf != nil && vrf.dropped && !vrf.remade {
		return nil
	}
	var names []string
	for _, i := range l.routes {
		if r := &k.routes[i]; r.proto != Protocol && l.has(r.table) && k.goes(r) {
			names = append(names, r.String())
		}
	}
	if len(names) == 0 {
		return nil
	}
	return &ConflictError{Object: "link " + l.name, Holder: fmt.Sprintf("what leads over %s (%s)", l.name, list(names)),
		Remedy: fmt.Sprintf("delete it first, for routes cannot follow a link to another VRF, or leave %s where it is", l.name)}
}

// goes reports whether the kernel drops a route when all links of the plan go down.
func (k *kept) goes(r *keptRoute) bool {
	return !slices.ContainsFunc(r.links, func(index int32) bool {
		l := k.index[index]
		return l == nil || !l.up() || !l.reach.has(r.family)
	})
}

func (k *kept) losesIPv6(l *keptLink) error {
	if !l.narrow || l.ends {
		return nil
	}
	var names []string
	for _, a := range l.addresses {
		if a.prefix.Addr().Is6() {
			names = append(names, "address "+a.prefix.String())
		}
	}
	for _, i := range l.routes {
		if r := &k.routes[i]; r.family == unix.AF_INET6 {
			names = append(names, r.String())
		}
	}
	for _, n := range l.neighbours {
		if n.dst.Is6() {
			names = append(names, "neighbour "+n.dst.String())
		}
	}
	if len(names) == 0 {
		return nil
	}
	return &ConflictError{Object: "link " + l.name, Holder: fmt.Sprintf("what needs IPv6 on %s (%s)", l.name, list(names)),
		Remedy: fmt.Sprintf("use an mtu of %d or more, or delete it first", minMTU6)}
}

// rehearse asks the kernel for what it has: that it is there is the answer to a
// message that it would take. It does not take a route whose gateway nothing leads
// to any more, or an encapsulation that it shows in part only.
func (k *kept) rehearse(ctx context.Context) error {
	const flags = unix.NLM_F_CREATE | unix.NLM_F_EXCL
	var msgs []outMessage
	var names []string
	var links []*keptLink
	for i := range k.hops {
		h := &k.hops[i]
		msgs = append(msgs, outMessage{unix.RTM_NEWNEXTHOP, flags, h.msg})
		names, links = append(names, h.String()), append(links, k.index[h.index])
	}
	ways := map[string]bool{}
	for i := range k.routes {
		r := &k.routes[i]
		if way := r.way(); !ways[way] && !k.asked(r) {
			ways[way] = true
			msgs = append(msgs, outMessage{unix.RTM_NEWROUTE, flags, r.message(nil, 0)})
			names, links = append(names, r.String()), append(links, k.over(r))
		}
	}
	var errs []error
	for i, err := range k.d.sendEach(ctx, msgs) {
		if err == nil {
			// It went in the meantime, and came with the question.
			if i < len(k.hops) {
				err = k.d.requestNextHop(ctx, unix.RTM_DELNEXTHOP, k.hops[i].id, nil)
			} else {
				err = errors.Join(k.d.sendEach(ctx, []outMessage{{unix.RTM_DELROUTE, 0, msgs[i].body}})...)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("delete %s again, which came with a question about it: %w", names[i], err))
			}
			continue
		}
		if l := links[i]; isErrno(err, unix.EEXIST) || l != nil && l.ends {
			continue
		}
		errs = append(errs, &reconcile.StepError{Step: k.stepOf(links[i]), Err: &ConflictError{Object: names[i],
			Holder: fmt.Sprintf("%s, which would go with it and which the kernel would not take back (%v),", names[i], err),
			Remedy: "delete it first"}})
	}
	if more := len(errs) - namesMost; more > 0 {
		errs = append(errs[:namesMost], fmt.Errorf("and %d more of this kind", more))
	}
	return errors.Join(errs...)
}

// over is the first of the links that a route leads over and that the plan takes
// down; nil if there is none.
func (k *kept) over(r *keptRoute) *keptLink {
	for _, index := range r.links {
		if l := k.index[index]; l != nil {
			return l
		}
	}
	return nil
}

// asked reports whether the plan is to end a link of the route.
func (k *kept) asked(r *keptRoute) bool {
	return slices.ContainsFunc(r.links, func(index int32) bool {
		l := k.index[index]
		return l != nil && l.ends
	})
}

// stepOf is the step that takes along what is on l.
func (k *kept) stepOf(l *keptLink) reconcile.Step {
	if l != nil {
		return l.step
	}
	return k.steps[max(slices.IndexFunc(k.steps, takesAlong), 0)]
}

func (h *keptHop) String() string { return fmt.Sprintf("nexthop id %d", h.id) }
