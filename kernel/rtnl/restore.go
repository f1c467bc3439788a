package rtnl

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// routesOver lists our IPv4 routes with a next hop over a link, of all tables. The
// kernel selects them, which takes it a walk through its tables, as the flush does
// that the list is for.
func (d *Driver) routesOver(ctx context.Context, index int32) ([]object.Object, error) {
	var os []object.Object
	err := d.eachRouteOver(ctx, index, func() { os = nil }, func(o *object.Route, _ *rawRoute) { os = append(os, o) })
	return os, err
}

func (d *Driver) eachRouteOver(ctx context.Context, index int32, start func(), fn func(*object.Route, *rawRoute)) error {
	v, err := d.links.snapshot(ctx)
	if err != nil {
		return err
	}
	dec := decoder{v, &d.hops}
	f := routeFilter{family: unix.AF_INET, proto: Protocol, oif: index}
	return dumpRoutes(ctx, d.query, f, start, func(r *rawRoute) {
		if o, ok := dec.route(r); ok {
			fn(o, r)
		}
	})
}

// restoreRoutes puts those of before back that the kernel has dropped as a side
// effect, all of a route or one of its next hops.
func (d *Driver) restoreRoutes(ctx context.Context, index int32, before []object.Object) error {
	if len(before) == 0 {
		return nil
	}
	const whole, lame = 1, 2
	now := make(map[object.Key]int, len(before))
	err := d.eachRouteOver(ctx, index, func() { clear(now) }, func(o *object.Route, r *rawRoute) {
		now[o.Key()] = whole
		if r.dead() {
			now[o.Key()] = lame
		}
	})
	if err != nil {
		return err
	}
	// A change in place would find the next hops that are known, the dead ones, and
	// so would a new route as long as one like it is there: first all go.
	var gone, steps []reconcile.Step
	for _, o := range before {
		switch now[o.Key()] {
		case whole:
			continue
		case lame:
			gone = append(gone, reconcile.Step{Old: o})
		}
		steps = append(steps, reconcile.Step{New: o})
	}
	d.doRoutes(ctx, gone, make([]reconcile.Result, len(gone)))
	results := make([]reconcile.Result, len(steps))
	d.doRoutes(ctx, steps, results)
	var errs []error
	for i, r := range results {
		if r.Err != nil {
			errs = append(errs, fmt.Errorf("put %s back, which the kernel drops with the last IPv4 address of its link: %w", steps[i].New, r.Err))
		}
	}
	return errors.Join(errs...)
}

// dead reports whether the kernel has given up a next hop of r, which it does not
// take up again before its link gets an address or goes up.
func (r *rawRoute) dead() bool {
	for b := r.multipath; len(b) >= unix.SizeofRtNexthop; {
		n := int(native.Uint16(b))
		if b[2]&unix.RTNH_F_DEAD != 0 {
			return true
		}
		if n < unix.SizeofRtNexthop || n > len(b) {
			break
		}
		b = b[min(align4(n), len(b)):]
	}
	return false
}
