package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"heddle/kernel/object"
)

// Resync reads again what the kernel holds of ours of some kinds, of all when
// none is given, and returns the keys that were not as last seen. It changes
// nothing in the kernel: Repair does, and so does the next commit.
func (r *Reconciler) Resync(ctx context.Context, kinds ...object.Kind) ([]object.Key, error) {
	r.writer.Lock()
	defer r.writer.Unlock()
	if len(kinds) == 0 {
		kinds = object.Kinds()
	}
	return r.resync(ctx, kinds)
}

func (r *Reconciler) resync(ctx context.Context, kinds []object.Kind) ([]object.Key, error) {
	now := map[object.Key]object.Object{}
	for _, kind := range kinds {
		objects, err := r.driver.Dump(ctx, kind)
		if err != nil {
			return nil, fmt.Errorf("read objects of kind %s: %w", kind, err)
		}
		there := make(map[string]struct{}, len(objects))
		for _, o := range objects {
			k := o.Key()
			there[k.ID] = struct{}{}
			if n := r.graph.find(k); n == nil || n.have == nil || !n.have.Equal(o) {
				now[k] = o
			}
		}
		for id, n := range r.graph.kinds[kind] {
			if _, ok := there[id]; !ok && n.have != nil {
				now[n.key] = nil
			}
		}
	}
	r.note(now)
	return slices.SortedFunc(maps.Keys(now), object.Key.Compare), nil
}

// Repair reads the objects under keys again, and what may have gone with them,
// and puts right what is not as it is wanted. It returns the keys that were not
// as last seen.
func (r *Reconciler) Repair(ctx context.Context, keys ...object.Key) ([]object.Key, error) {
	r.writer.Lock()
	defer r.writer.Unlock()
	drifted, err := r.resync(ctx, r.kindsBehind(keys))
	if err != nil {
		return nil, err
	}
	p, err := r.plan(nil)
	if err != nil {
		return drifted, err
	}
	_, err = r.apply(ctx, p)
	return drifted, err
}

// kindsBehind lists the kinds of keys and of all that needs them.
func (r *Reconciler) kindsBehind(keys []object.Key) []object.Kind {
	kinds := map[object.Kind]struct{}{}
	seen := map[*node]struct{}{}
	var visit func(*node)
	visit = func(n *node) {
		if _, ok := seen[n]; ok {
			return
		}
		seen[n] = struct{}{}
		kinds[n.key.Kind] = struct{}{}
		n.dependents(visit)
	}
	for _, k := range keys {
		kinds[k.Kind] = struct{}{}
		if n := r.graph.find(k); n != nil {
			visit(n)
		}
	}
	return slices.Sorted(maps.Keys(kinds))
}

// Wake says that somebody may have changed the objects under keys. It returns at
// once: Run looks into it.
func (r *Reconciler) Wake(keys ...object.Key) {
	r.wake.Lock()
	if r.waking == nil {
		r.waking = map[object.Key]struct{}{}
	}
	for _, k := range keys {
		r.waking[k] = struct{}{}
	}
	r.wake.Unlock()
	select {
	case r.woken <- struct{}{}:
	default: // Run has not yet looked
	}
}

// Run repairs what Wake says until ctx ends, and reports each repair that found
// something or went wrong. What arrives while one repair runs is one further
// repair, so that a storm of events does not keep commits waiting.
func (r *Reconciler) Run(ctx context.Context, report func(drifted []object.Key, err error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.woken:
		}
		r.wake.Lock()
		keys := slices.Collect(maps.Keys(r.waking))
		r.waking = nil
		r.wake.Unlock()
		drifted, err := r.Repair(ctx, keys...)
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			return
		}
		if len(drifted) > 0 || err != nil {
			report(drifted, err)
		}
	}
}
