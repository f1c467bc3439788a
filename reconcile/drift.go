package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"heddle/kernel/object"
)

// Look says where somebody else may have changed something.
type Look struct {
	// Kinds are read again as a whole, and nothing behind them.
	Kinds []object.Kind

	// Behind are objects, of ours or only needed by ours, that may have changed
	// and have taken along what needs them. Those that nothing is known of are
	// passed over.
	Behind []object.Key

	// Renewed are as Behind; what needs them and survived is made again, because
	// they are others now under the same name.
	Renewed []object.Key

	// Seen are single objects as an event showed them, nil for gone. It need not
	// be the last word on them.
	Seen map[object.Key]object.Object
}

// noticed collects looks until somebody takes them.
type noticed struct {
	kinds           map[object.Kind]struct{}
	behind, renewed map[object.Key]struct{}
	seen            map[object.Key]object.Object
}

func (n *noticed) add(l Look) {
	n.kinds = with(n.kinds, l.Kinds)
	n.behind = with(n.behind, l.Behind)
	n.renewed = with(n.renewed, l.Renewed)
	if n.seen == nil && len(l.Seen) > 0 {
		n.seen = make(map[object.Key]object.Object, len(l.Seen))
	}
	maps.Copy(n.seen, l.Seen)
}

func with[K comparable](set map[K]struct{}, keys []K) map[K]struct{} {
	if set == nil && len(keys) > 0 {
		set = make(map[K]struct{}, len(keys))
	}
	for _, k := range keys {
		set[k] = struct{}{}
	}
	return set
}

func (n *noticed) take() Look {
	l := Look{slices.Collect(maps.Keys(n.kinds)), slices.Collect(maps.Keys(n.behind)), slices.Collect(maps.Keys(n.renewed)), n.seen}
	*n = noticed{}
	return l
}

// Found is an object that was not as it is wanted.
type Found struct {
	Key    object.Key
	Origin string // model path that asks for it, or did; may be empty

	Have object.Object // what the kernel held; nil: nothing
	Want object.Object // nil: nothing

	// Err is nil when it was put right, and says otherwise why not.
	Err error

	// First is set when it was in order before, Repeated when Err is what was
	// reported already.
	First, Repeated bool
}

// Wrong says what was found, in the words of iproute2.
func (f Found) Wrong() string {
	switch {
	case f.Have == nil && f.Want == nil:
		return "it cannot be put right"
	case f.Have == nil:
		return fmt.Sprintf("%v is gone", f.Want)
	case f.Want == nil:
		return fmt.Sprintf("%v has our mark and is not configured", f.Have)
	case f.Want.Equal(f.Have):
		return fmt.Sprintf("what %v needs was made anew", f.Want)
	}
	return fmt.Sprintf("%v was changed into %v", f.Want, f.Have)
}

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

// Repair looks where l says and puts right what is not as it is wanted, with all
// that was found before and is not held back by Trouble. It returns what it
// found. What cannot be put right keeps nothing else from it. The error is about
// reading the kernel.
//
// Before the first commit nothing is known to be wanted, and nothing is touched.
func (r *Reconciler) Repair(ctx context.Context, l Look) ([]Found, error) {
	r.writer.Lock()
	defer r.writer.Unlock()
	now := time.Now()
	behind := map[object.Kind]struct{}{}
	r.behind(behind, l.Behind)
	r.behind(behind, l.Renewed)
	kinds := maps.Clone(behind)
	for _, k := range l.Kinds {
		kinds[k] = struct{}{}
	}
	drifted, err := r.resync(ctx, slices.Sorted(maps.Keys(kinds)))
	if err != nil {
		return nil, err
	}
	seen, err := r.take(ctx, l.Seen, kinds)
	if err != nil {
		return nil, err
	}
	drifted = append(drifted, seen...)
	r.renew(l.Renewed)
	if !r.committed {
		return nil, nil
	}
	r.troubles.prune(now)
	if r.reportOnly {
		return r.leaveAll(), nil
	}
	found := r.fought(r.troubles.drifted(drifted, now))
	r.troubles.reconsider(behind, now)
	mended, err := r.mend(ctx, l.Seen)
	return append(found, mended...), err
}

// fought are the objects that are left alone for a while although nothing keeps
// them from being put right.
func (r *Reconciler) fought(keys []object.Key) []Found {
	var found []Found
	for _, k := range keys {
		f := Found{Key: k, Err: errors.New(r.Trouble(k)), First: true}
		if n := r.graph.find(k); n != nil {
			f.Origin, f.Have, f.Want = r.text(n.origin), n.have, n.want
		}
		found = append(found, f)
	}
	r.tell(keys)
	return found
}

// behind adds the kinds of keys and of all that needs them.
func (r *Reconciler) behind(kinds map[object.Kind]struct{}, keys []object.Key) {
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
		if n := r.graph.find(k); n != nil {
			visit(n)
		}
	}
}

// kindsBehind lists the kinds of keys and of all that needs them.
func (r *Reconciler) kindsBehind(keys []object.Key) []object.Kind {
	kinds := map[object.Kind]struct{}{}
	for _, k := range keys {
		kinds[k.Kind] = struct{}{}
	}
	r.behind(kinds, keys)
	return slices.Sorted(maps.Keys(kinds))
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

// renew marks what needs keys and is still there.
func (r *Reconciler) renew(keys []object.Key) {
	for _, k := range keys {
		if n := r.graph.find(k); n != nil {
			n.dependents(func(d *node) {
				if d.have != nil && d.want != nil {
					r.stale[d.key] = struct{}{}
				}
			})
		}
	}
}

// mend carries out all that is to be done. What fails is held back, and the rest
// is tried again without it.
func (r *Reconciler) mend(ctx context.Context, seen map[object.Key]object.Object) ([]Found, error) {
	const rounds = 12 // what fails does so one kind after the other
	var found []Found
	for round := 0; ; round++ {
		leave := r.troubles.holding(time.Now())
		p, err := r.graph.build(nil, pending{leave: leave, stale: r.stale, leaveDependents: true})
		p.text = r.text
		p.generation = r.generation
		what := r.foundBy(p)
		var j journal
		if err == nil {
			j, err = r.apply(ctx, p)
		}
		if err == nil {
			return append(found, r.mended(what, leave)...), nil
		}
		if ctx.Err() != nil {
			return found, ctx.Err()
		}
		if len(seen) > 0 {
			// What an event said may be outdated.
			kinds := map[object.Kind]struct{}{}
			for k := range seen {
				kinds[k.Kind] = struct{}{}
			}
			if seen = nil; r.refreshed(ctx, kinds) {
				continue
			}
		}
		bad := failures(p, j, err)
		if len(bad) == 0 || round == rounds {
			bad = map[object.Key]error{}
			for _, f := range what {
				bad[f.Key] = err
			}
		}
		if len(bad) == 0 {
			return found, err
		}
		found = append(found, r.failed(what, bad)...)
	}
}

func (r *Reconciler) refreshed(ctx context.Context, kinds map[object.Kind]struct{}) bool {
	_, err := r.resync(ctx, slices.Sorted(maps.Keys(kinds)))
	return err == nil
}

// foundBy lists the objects that p has steps for.
func (r *Reconciler) foundBy(p Plan) []Found {
	var found []Found
	for _, t := range p.touched {
		if t.first >= 0 {
			found = append(found, Found{Key: t.key, Origin: r.text(t.from), Have: p.Steps[t.first].Old, Want: t.want.Object,
				First: r.troubles.first(t.key)})
		}
	}
	return found
}

// failures says what of p failed, by key.
func failures(p Plan, j journal, err error) map[object.Key]error {
	bad := map[object.Key]error{}
	for i, res := range j.results {
		e := res.Err
		if e == nil {
			e = readBack(p.Steps[i], res)
		}
		if e != nil {
			bad[p.Steps[i].Key()] = e
		}
	}
	var visit func(error)
	visit = func(err error) {
		switch e := any(err).(type) {
		case *ApplyError: // what its undo did is no reason
		case *StepError:
			bad[e.Step.Key()] = e.Err
		case interface{ Unwrap() error }:
			visit(e.Unwrap())
		case interface{ Unwrap() []error }:
			for _, one := range e.Unwrap() {
				visit(one)
			}
		}
	}
	visit(err)
	return bad
}

// mended takes note that all is in order but what leave names.
func (r *Reconciler) mended(what []Found, leave func(object.Key) bool) []Found {
	maps.DeleteFunc(r.stale, func(k object.Key, _ struct{}) bool { return leave == nil || !leave(k) })
	for _, f := range what {
		r.troubles.solved(f.Key)
	}
	// What came in order by itself has no step.
	keys := r.troubles.solvedBut(leave)
	for _, f := range what {
		keys = append(keys, f.Key)
	}
	r.tell(keys)
	return what
}

// failed holds back what failed.
func (r *Reconciler) failed(what []Found, bad map[object.Key]error) []Found {
	now := time.Now()
	var found []Found
	var keys []object.Key
	for _, f := range what {
		if f.Err = bad[f.Key]; f.Err == nil {
			continue
		}
		f.Repeated = r.troubles.failed(f.Key, f.Err.Error(), now)
		found, keys = append(found, f), append(keys, f.Key)
		delete(bad, f.Key)
	}
	// A step on something that is not among the objects found cannot be left out.
	for k, err := range bad {
		f := Found{Key: k, Err: err, First: r.troubles.first(k)}
		f.Repeated = r.troubles.failed(k, err.Error(), now)
		found, keys = append(found, f), append(keys, k)
	}
	r.tell(keys)
	return found
}

// errLeft is why nothing is done about it.
var errLeft = errors.New("drift is only reported (--drift=report)")

// leaveAll holds back all that is not as it is wanted, for good.
func (r *Reconciler) leaveAll() []Found {
	// What was put right by somebody else is in order.
	var keys []object.Key
	for _, k := range r.troubles.heldKeys() {
		n := r.graph.find(k)
		if n == nil || !r.differs(n) {
			r.troubles.solved(k)
			keys = append(keys, k)
		}
	}
	var found []Found
	leave := func(n *node) {
		f := Found{Key: n.key, Origin: r.text(n.origin), Have: n.have, Want: n.want, Err: errLeft, First: r.troubles.first(n.key)}
		if f.Repeated = r.troubles.leave(n.key, f.Wrong()); !f.Repeated {
			found, keys = append(found, f), append(keys, n.key)
		}
	}
	for n := range r.graph.differ {
		leave(n)
	}
	for k := range r.stale {
		if n := r.graph.find(k); n != nil && n.have != nil && n.want != nil && n.have.Equal(n.want) {
			leave(n)
		}
	}
	slices.SortFunc(found, func(a, b Found) int { return a.Key.Compare(b.Key) })
	r.tell(keys)
	return found
}

func (r *Reconciler) differs(n *node) bool {
	_, differs := r.graph.differ[n]
	_, stale := r.stale[n.key]
	return differs || stale
}

// tell says that what is known of keys changed.
func (r *Reconciler) tell(keys []object.Key) {
	if r.onChange != nil && len(keys) > 0 {
		r.onChange(keys)
	}
}

// Trouble says why the object under key is not put right at present; empty: there
// is no reason known. Commits that are not about it leave it alone.
func (r *Reconciler) Trouble(key object.Key) string { return r.troubles.reason(key) }

// Troubled reports whether there may be an object with a Trouble.
func (r *Reconciler) Troubled() bool { return !r.troubles.none() }

// Notice has Run look. It returns at once.
func (r *Reconciler) Notice(l Look) {
	r.wake.Lock()
	r.noticed.add(l)
	r.wake.Unlock()
	select {
	case r.woken <- struct{}{}:
	default: // Run has not yet looked
	}
}

// Run repairs where Notice says until ctx ends, tries again what failed, and
// reports what it finds. What arrives while one repair runs is one further repair,
// and of the time repairs take no more than a fifth, so that a storm of events
// does not keep commits waiting.
func (r *Reconciler) Run(ctx context.Context, report func(found []Found, err error)) {
	const share, longest = 4, 2 * time.Second
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.woken:
		case <-again.C:
		}
		r.wake.Lock()
		l := r.noticed.take()
		r.wake.Unlock()

		began := time.Now()
		found, err := r.Repair(ctx, l)
		took := time.Since(began)
		if ctx.Err() != nil {
			return
		}
		if len(found) > 0 || err != nil {
			report(found, err)
		}
		wait := r.troubles.next(time.Now())
		if err != nil {
			// The kernel could not be read: the look is still to be taken.
			r.wake.Lock()
			r.noticed.add(l)
			r.wake.Unlock()
			wait = troubleFirst
		}
		if !pause(ctx, min(share*took, longest)) {
			return
		}
		again.Reset(max(wait-share*took, 0))
	}
}

// pause waits for d; false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// settleTroubles forgets the troubles of what a plan was about and brought in
// order.
func (r *Reconciler) settleTroubles(p Plan) {
	if r.troubles.none() && len(r.stale) == 0 {
		return
	}
	for _, t := range p.touched {
		if t.last >= 0 {
			delete(r.stale, t.key)
		}
		if n := r.graph.find(t.key); t.last >= 0 || n == nil || !r.differs(n) {
			r.troubles.solved(t.key)
		}
	}
}
