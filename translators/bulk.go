package translators

import (
	"cmp"
	"runtime"
	"slices"
	"sync"

	"heddle/kernel/object"
	"heddle/schema"
)

// parallelShare is how many units are worth a goroutine.
const parallelShare = 2048

// translated is what became of one unit.
type translated struct {
	Result
	err error
}

// translateAll translates units of one snapshot, many of them on all processors.
// side picks what a change says of its entry in that snapshot; units and changes
// are in order.
func (e *Engine) translateAll(r Reader, f *facts, units []schema.EntryKey, changes []schema.Change, side func(*schema.Change) schema.GoStruct) []translated {
	out := make([]translated, len(units))
	workers := min(runtime.GOMAXPROCS(0), len(units)/parallelShare)
	if workers < 2 {
		e.translateShare(r, f, units, changes, side, out)
		return out
	}
	var wg sync.WaitGroup
	for i := range workers {
		from, to := i*len(units)/workers, (i+1)*len(units)/workers
		wg.Go(func() { e.translateShare(r, f, units[from:to], changes, side, out[from:to]) })
	}
	wg.Wait()
	return out
}

// translateShare lays the results of many units behind each other, and has those
// that share the same things share the list of them.
func (e *Engine) translateShare(r Reader, f *facts, units []schema.EntryKey, changes []schema.Change, side func(*schema.Change) schema.GoStruct, out []translated) {
	v := newView(e.model, r, f)
	var all Result
	same := map[object.Object][]object.Object{} // lists of shared objects, by their last
	if len(units) > 0 {
		at, _ := slices.BinarySearchFunc(changes, units[0], func(c schema.Change, k schema.EntryKey) int { return cmp.Compare(c.Key, k) })
		changes = changes[at:]
	}
	for i, k := range units {
		for len(changes) > 0 && changes[0].Key < k {
			changes = changes[1:]
		}
		var entry schema.GoStruct
		if len(changes) > 0 && changes[0].Key == k {
			entry = side(&changes[0])
		} else {
			entry, _ = r.Get(k)
		}
		one := &out[i]
		own, shared, withheld := len(all.Objects), len(all.Shared), len(all.Withheld)
		one.err = e.translate(v, k, entry, &all)
		one.Objects = all.Objects[own:len(all.Objects):len(all.Objects)]
		one.Shared = all.Shared[shared:len(all.Shared):len(all.Shared)]
		one.Withheld = all.Withheld[withheld:len(all.Withheld):len(all.Withheld)]
		one.Refused, all.Refused = all.Refused, nil
		if len(one.Shared) == 0 {
			continue
		}
		last := one.Shared[len(one.Shared)-1]
		if before := same[last]; slices.Equal(before, one.Shared) {
			one.Shared = before
			all.Shared = all.Shared[:shared]
		} else {
			same[last] = one.Shared
		}
	}
}
