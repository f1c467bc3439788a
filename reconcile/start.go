package reconcile

import (
	"context"
	"errors"
	"slices"

	"heddle/kernel/object"
)

// Start is the first commit for those who cannot be asked to change what they
// want: what the kernel does not take, because a link is not there, something of
// somebody else is in the way or a feature is missing, keeps nothing else from
// being put in place. It is held back like a repair that failed, together with
// all that needs it, and returned in key order with the reasons; Repair tries it
// again. With ReportOnly that is so, too: nobody has changed anything.
//
// With an error nothing is wanted and the kernel is as it was, or the error says
// what is left.
func (r *Reconciler) Start(ctx context.Context, changes []Change) (withheld []Found, err error) {
	r.writer.Lock()
	defer r.writer.Unlock()
	p, err := r.plan(changes)
	if err != nil {
		return nil, err
	}
	j, err := r.apply(ctx, p)
	if err == nil {
		r.committed = true
		return nil, nil
	}
	bad := failures(p, j, err)
	if len(bad) == 0 || ctx.Err() != nil {
		return nil, err // nothing that can be left out
	}
	r.settle(p, func(i int, n *node) (object.Object, Wanted) { return n.have, p.touched[i].want })
	found := r.failed(r.foundBy(p), bad)
	mended, err := r.mend(ctx, nil, r.holding)
	if err != nil {
		r.settle(p, func(_ int, n *node) (object.Object, Wanted) { return n.have, Wanted{} })
		return nil, err
	}
	r.committed = true
	withheld = r.withheld(append(found, mended...))
	if r.reportOnly {
		r.owed = make(map[object.Key]struct{}, len(withheld))
		for _, f := range withheld {
			r.owed[f.Key] = struct{}{}
		}
	}
	r.Notice(Look{}) // Run is to know of it
	return withheld, nil
}

// withheld lists what is not as it is wanted, because of what failed or because it
// waits for that.
func (r *Reconciler) withheld(failed []Found) []Found {
	errs := make(map[object.Key]error, len(failed))
	for _, f := range failed {
		errs[f.Key] = f.Err
	}
	var list []Found
	for n := range r.graph.differing {
		f := Found{Key: n.key, Origin: r.text(n.origin), Have: n.have, Want: n.want, Err: errs[n.key], First: true}
		if f.Err == nil {
			f.Err, f.First = errors.New(r.Trouble(n.key)), false
		}
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b Found) int { return a.Key.Compare(b.Key) })
	return list
}

// waitsFor lists what is not as it is wanted and needs one of keys.
func (r *Reconciler) waitsFor(keys []object.Key) []object.Key {
	var waiting []object.Key
	seen := map[*node]struct{}{}
	var visit func(*node)
	visit = func(n *node) {
		if n.have != nil {
			return
		}
		n.dependents(func(d *node) {
			if _, ok := seen[d]; !ok && d.want != nil && r.graph.differs(d) {
				seen[d] = struct{}{}
				waiting = append(waiting, d.key)
				visit(d)
			}
		})
	}
	for _, k := range keys {
		if n := r.graph.find(k); n != nil {
			visit(n)
		}
	}
	return waiting
}

// mendOwed puts in place what Start could not, as far as that is possible now.
func (r *Reconciler) mendOwed(ctx context.Context, seen map[object.Key]object.Object) ([]Found, error) {
	if len(r.owed) == 0 {
		return nil, nil
	}
	return r.mend(ctx, seen, func() func(object.Key) bool {
		held := r.holding()
		return func(k object.Key) bool {
			_, owed := r.owed[k]
			return !owed || held != nil && held(k)
		}
	})
}
