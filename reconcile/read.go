package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

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
	if len(kinds) == 0 {
		return nil, nil
	}
	objects, err := r.driver.Dump(ctx, kinds...)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", kindList(kinds), err)
	}
	r.looks++
	var now []held
	for _, o := range objects {
		k := o.Key()
		n := r.graph.find(k)
		if n != nil {
			n.looked = r.looks
		}
		if n == nil || n.have == nil || !n.have.Equal(o) {
			now = append(now, held{k, o})
		}
	}
	for _, kind := range kinds {
		for _, n := range r.graph.kinds[kind] {
			if n.looked != r.looks && n.have != nil {
				now = append(now, held{n.key, nil})
			}
		}
	}
	return r.note(now), nil
}

func kindList(kinds []object.Kind) string {
	if len(kinds) == 1 {
		return "objects of kind " + kinds[0].String()
	}
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.String()
	}
	return "objects of the kinds " + strings.Join(names, ", ")
}

// take notes what events have shown of objects of kinds that were not read. What
// nobody wants is read for certain: it may have been ours until now.
func (r *Reconciler) take(ctx context.Context, seen map[object.Key]object.Object, read map[object.Kind]struct{}) ([]object.Key, error) {
	var now []held
	unsure := map[object.Kind]struct{}{}
	for k, o := range seen {
		if _, ok := read[k.Kind]; ok {
			continue
		}
		var have, want object.Object
		if n := r.graph.find(k); n != nil {
			have, want = n.have, n.want
		}
		switch {
		case o == nil && have == nil, o != nil && have != nil && have.Equal(o):
		case o != nil && want == nil:
			unsure[k.Kind] = struct{}{}
		default:
			now = append(now, held{k, o})
		}
	}
	keys := r.note(now)
	more, err := r.resync(ctx, slices.Sorted(maps.Keys(unsure)))
	return append(keys, more...), err
}

// held is what the kernel holds under a key, nil for nothing.
type held struct {
	key    object.Key
	object object.Object
}

func heldOf(objects map[object.Key]object.Object) []held {
	list := make([]held, 0, len(objects))
	for k, o := range objects {
		list = append(list, held{k, o})
	}
	return list
}

// note corrects what the kernel holds of some keys, and returns them in order.
// Of a key that comes twice the last counts.
func (r *Reconciler) note(now []held) []object.Key {
	if len(now) == 0 {
		return nil
	}
	r.generation++
	slices.SortStableFunc(now, func(a, b held) int { return a.key.Compare(b.key) })
	keys := make([]object.Key, 0, len(now))
	makeRoom(r.graph, now, func(h held) object.Kind { return h.key.Kind })
	for part := range slices.Chunk(now, chunk) {
		r.graph.mu.Lock()
		for _, h := range part {
			n := r.graph.ensure(h.key)
			r.graph.set(n, h.object, n.want, n.origin)
			if len(keys) == 0 || keys[len(keys)-1] != h.key {
				keys = append(keys, h.key)
			}
		}
		r.graph.mu.Unlock()
	}
	r.tell(keys)
	return keys
}
