package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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
		return fmt.Sprintf("%v is not there", f.Want)
	case f.Want == nil:
		return fmt.Sprintf("%v has our mark and is not configured", f.Have)
	case f.Want.Equal(f.Have):
		return fmt.Sprintf("what %v needs was made anew", f.Want)
	}
	return fmt.Sprintf("%v was changed into %v", f.Want, f.Have)
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
	r.troubles.reconsider(behind, now)
	if r.reportOnly {
		found, err := r.mendOwed(ctx, l.Seen)
		return append(found, r.leaveAll()...), err
	}
	found := r.fought(r.troubles.drifted(drifted, now))
	mended, err := r.mend(ctx, l.Seen, r.holding)
	return append(found, mended...), err
}

// holding tells what is to be left alone at present; nil: nothing is.
func (r *Reconciler) holding() func(object.Key) bool { return r.troubles.holding(time.Now()) }

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

// mend carries out all that is to be done but what holding tells to leave. What
// fails is held back, and the rest is tried again without it.
func (r *Reconciler) mend(ctx context.Context, seen map[object.Key]object.Object, holding func() func(object.Key) bool) ([]Found, error) {
	const rounds = 12 // what fails does so one kind after the other
	defer r.park()
	var found []Found
	for round := 0; ; round++ {
		scouts := r.troubles.send(time.Now())
		leave := holding()
		rest := pending{leave: leave, stale: r.stale, leaveDependents: true}
		r.graph.unpark(rest.waits)
		p, err := r.graph.build(nil, rest)
		p.text = r.text
		p.generation = r.generation
		what := r.foundBy(p)
		var j journal
		if err == nil {
			j, err = r.apply(ctx, p)
		}
		if err == nil {
			taken := r.taken(p, leave)
			found = append(found, r.mended(what, leave)...)
			again := r.troubles.follow(scouts, time.Now())
			drifted, err := r.resync(ctx, r.kindsBehind(taken))
			if err != nil || len(drifted) == 0 && !again || round == rounds {
				return found, err
			}
			continue
		}
		if ctx.Err() != nil {
			r.troubles.follow(scouts, time.Now())
			return found, ctx.Err()
		}
		if len(seen) > 0 {
			// What an event said may be outdated.
			kinds := map[object.Kind]struct{}{}
			for k := range seen {
				kinds[k.Kind] = struct{}{}
			}
			if seen = nil; r.refreshed(ctx, kinds) {
				r.troubles.follow(scouts, time.Now())
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
		nobody := len(bad) == 0
		found = append(found, r.failed(what, bad)...)
		r.troubles.follow(scouts, time.Now())
		if nobody {
			return found, err
		}
		if len(j.results) > 0 {
			// The undo has put back only what p is about.
			if _, err := r.resync(ctx, r.kindsBehind(r.taken(p, leave))); err != nil {
				return found, err
			}
		}
	}
}

// taken lists what was left alone and may have gone all the same, because p has
// made or taken away what it needs.
func (r *Reconciler) taken(p Plan, leave func(object.Key) bool) []object.Key {
	if leave == nil {
		return nil
	}
	var keys []object.Key
	for _, s := range p.Steps {
		if n := r.graph.find(s.Key()); n != nil && (s.Old == nil || s.New == nil) {
			n.dependents(func(d *node) {
				if d.have != nil && leave(d.key) {
					keys = append(keys, d.key)
				}
			})
		}
	}
	return keys
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
	if apply, ok := errors.AsType[*ApplyError](err); ok && len(bad) == 0 {
		bad[apply.Step.Key()] = apply.Err // done, and took along what could not be put back
	}
	return bad
}

// mended takes note that all is in order but what leave names.
func (r *Reconciler) mended(what []Found, leave func(object.Key) bool) []Found {
	maps.DeleteFunc(r.stale, func(k object.Key, _ struct{}) bool { return leave == nil || !leave(k) })
	for _, f := range what {
		r.troubles.solved(f.Key)
	}
	// What came in order by itself has no step.
	keys := append(r.troubles.solvedBut(leave), r.inOrder()...)
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
	var keys, news []object.Key
	for _, f := range what {
		if f.Err = bad[f.Key]; f.Err == nil {
			continue
		}
		f.Repeated = r.troubles.failed(f.Key, f.Err.Error(), now)
		found, keys = append(found, f), append(keys, f.Key)
		if !f.Repeated {
			news = append(news, f.Key)
		}
		delete(bad, f.Key)
	}
	// A step on something that is not among the objects found cannot be left out.
	for k, err := range bad {
		f := Found{Key: k, Err: err, First: r.troubles.first(k)}
		f.Repeated = r.troubles.failed(k, err.Error(), now)
		found, keys = append(found, f), append(keys, k)
	}
	r.tell(append(keys, r.waitsFor(news)...))
	return found
}

// errLeft is why nothing is done about it.
var errLeft = errors.New("drift is only reported (--drift=report)")

// leaveAll holds back all that is not as it is wanted, for good.
func (r *Reconciler) leaveAll() []Found {
	keys := r.inOrder()
	var found []Found
	leave := func(n *node) {
		if _, owed := r.owed[n.key]; owed {
			return // what keeps it is known
		}
		f := Found{Key: n.key, Origin: r.text(n.origin), Have: n.have, Want: n.want, Err: errLeft, First: r.troubles.first(n.key)}
		if f.Repeated = r.troubles.leave(n.key, f.Wrong()); !f.Repeated {
			found, keys = append(found, f), append(keys, n.key)
		}
	}
	for n := range r.graph.differing {
		leave(n)
	}
	for k := range r.stale {
		if n := r.graph.find(k); n != nil && n.have != nil && n.want != nil && n.have.Equal(n.want) {
			leave(n)
		}
	}
	slices.SortFunc(found, func(a, b Found) int { return a.Key.Compare(b.Key) })
	r.tell(keys)
	r.park()
	return found
}

func (r *Reconciler) differs(n *node) bool {
	_, stale := r.stale[n.key]
	return stale || r.graph.differs(n)
}

// tell says that what is known of keys changed.
func (r *Reconciler) tell(keys []object.Key) {
	if r.onChange != nil && len(keys) > 0 {
		r.onChange(keys)
	}
}

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
