package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"heddle/kernel/object"
)

// undoTime is how long an undo may take. The context of the change that failed
// does not end it: that may be the reason why it failed.
const undoTime = time.Minute

// journal is what has become of the steps of a plan: results has one entry for
// each step that was tried, in order.
type journal struct {
	results []Result
	others  Preserved // what somebody else had; nil: nothing that the steps reach
}

// apply carries out p and, when that went well, takes note of it.
func (r *Reconciler) apply(ctx context.Context, p Plan) (journal, error) {
	var j journal
	if !p.Empty() {
		var err error
		if j.others, err = r.look(ctx, p); err != nil {
			return j, err
		}
		j.results = make([]Result, 0, len(p.Steps))
		if failed := r.forward(ctx, p, &j); failed != nil {
			left, err := r.backward(ctx, p, j)
			r.note(heldOf(left))
			if failed.Undo = err; err != nil {
				r.lookAgain(ctx, p)
			}
			return j, failed
		}
	}
	r.settle(p, func(i int, n *node) (object.Object, Wanted) {
		t := &p.touched[i]
		if t.last >= 0 {
			return j.results[t.last].Got, t.want
		}
		return n.have, t.want
	})
	return j, nil
}

// look has the driver say what keeps p from being carried out, and read what that
// takes along of somebody else.
func (r *Reconciler) look(ctx context.Context, p Plan) (others Preserved, err error) {
	if err = r.driver.Check(ctx, p.Steps); err == nil {
		others, err = r.driver.Preserve(ctx, p.Steps)
	}
	p.fillOrigins(err)
	return others, err
}

// forward does the steps of p up to the batch in which one fails.
func (r *Reconciler) forward(ctx context.Context, p Plan, j *journal) *ApplyError {
	start := 0
	for _, end := range p.ends {
		batch := p.Steps[start:end]
		if err := ctx.Err(); err != nil {
			return &ApplyError{Step: batch[0], Origin: p.Origin(batch[0]), Err: err}
		}
		j.results = append(j.results, r.do(ctx, batch)...)
		for i, s := range batch {
			res := j.results[start+i]
			err := res.Err
			if err == nil {
				err = readBack(s, res)
			}
			if err != nil {
				return &ApplyError{Step: s, Origin: p.Origin(s), Err: err}
			}
		}
		start = end
	}
	return j.restore(ctx, p)
}

// restore puts back what p took along of somebody else. It is not ended half way:
// the steps are done.
func (j *journal) restore(ctx context.Context, p Plan) *ApplyError {
	if j.others == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	err := j.others.Restore(ctx)
	if err == nil {
		return nil
	}
	failed := &ApplyError{Step: p.Steps[len(p.Steps)-1], Err: err}
	if s, ok := errors.AsType[*StepError](err); ok {
		failed.Step = s.Step
		if s.Error() == err.Error() { // there is no other
			failed.Err = s.Err
		}
	}
	p.fillOrigins(failed.Err)
	failed.Origin = p.Origin(failed.Step)
	return failed
}

// do is Driver.Do with one result for each step, whatever the driver returns.
func (r *Reconciler) do(ctx context.Context, batch []Step) []Result {
	results := r.driver.Do(ctx, batch)
	if len(results) == len(batch) {
		return results
	}
	all := make([]Result, len(batch))
	for i := range all {
		all[i].Err = fmt.Errorf("the driver gave %d results for %d steps", len(results), len(batch))
	}
	return all
}

// readBack compares what the kernel holds with what it was asked for.
func readBack(s Step, res Result) error {
	switch {
	case s.New == nil && res.Got == nil:
		return nil
	case s.New == nil:
		return fmt.Errorf("the kernel still holds %v", res.Got)
	case res.Got == nil:
		return errors.New("the kernel does not hold it")
	case !s.New.Equal(res.Got):
		return fmt.Errorf("the kernel holds %v instead", res.Got)
	}
	return nil
}

// backward undoes what j says was done of p, batch by batch in the opposite
// order, puts back what that took along of somebody else, and goes on when a step
// cannot be undone. It returns what the kernel
// holds of the keys where it is not what it was before, and why.
func (r *Reconciler) backward(ctx context.Context, p Plan, j journal) (map[object.Key]object.Object, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	if j.others != nil {
		j.others.Undo()
	}
	left := map[object.Key]object.Object{}
	var errs []error
	var steps []Step
	var undone []int
	for b := len(p.ends) - 1; b >= 0; b-- {
		start, end := 0, min(p.ends[b], len(j.results))
		if b > 0 {
			start = p.ends[b-1]
		}
		steps, undone = steps[:0], undone[:0]
		for i := end - 1; i >= start; i-- {
			back := Step{Old: j.results[i].Got, New: p.Steps[i].Old}
			if j.results[i].Err == nil && !back.idle() {
				steps = append(steps, back)
				undone = append(undone, i)
			}
		}
		if len(steps) == 0 {
			continue
		}
		for i, res := range r.do(ctx, steps) {
			s, key := steps[i], p.Steps[undone[i]].Key()
			err := res.Err
			if err == nil {
				err = readBack(s, res)
			}
			// Where an earlier undo on the key failed, left has what is there.
			if _, differs := left[key]; res.Err == nil && (err != nil || differs) {
				left[key] = res.Got
			} else if res.Err != nil && !differs {
				left[key] = s.Old
			}
			if err == nil {
				continue
			}
			errs = append(errs, &StepError{Step: s, Origin: p.Origin(p.Steps[undone[i]]), Err: err})
		}
	}
	if j.others != nil {
		err := j.others.Restore(ctx)
		p.fillOrigins(err)
		errs = append(errs, err)
	}
	return left, errors.Join(errs...)
}

// idle reports whether the kernel already holds what s asks for.
func (s Step) idle() bool {
	if s.Old == nil || s.New == nil {
		return s.Old == s.New
	}
	return s.New.Equal(s.Old)
}

// revert undoes a plan that was carried out, and gives back what was wanted
// before it.
func (r *Reconciler) revert(ctx context.Context, p Plan, j journal, before []Change) error {
	left, err := r.backward(ctx, p, j)
	r.settle(p, func(i int, n *node) (object.Object, Wanted) {
		have := n.have
		if first := p.touched[i].first; first >= 0 {
			have = p.Steps[first].Old
		}
		if now, differs := left[n.key]; differs {
			have = now
		}
		return have, before[i].Want
	})
	if err != nil {
		r.lookAgain(ctx, p)
	}
	return err
}

// lookAgain reads what the kernel holds after an undo that went wrong: what could
// be undone may have taken along what could not. If that fails, too, the results
// of the steps stand.
func (r *Reconciler) lookAgain(ctx context.Context, p Plan) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	keys := make([]object.Key, len(p.touched))
	for i, t := range p.touched {
		keys[i] = t.key
	}
	_, _ = r.resync(ctx, r.kindsBehind(keys))
}

// settle takes note of what the kernel holds now, and of what is wanted, for all
// keys of p; next gets positions in p.touched.
func (r *Reconciler) settle(p Plan, next func(i int, n *node) (have object.Object, want Wanted)) {
	if len(p.touched) == 0 {
		return
	}
	r.generation++
	makeRoom(r.graph, p.touched, func(t touched) object.Kind { return t.key.Kind })
	for i := 0; i < len(p.touched); {
		r.graph.mu.Lock()
		for end := min(i+chunk, len(p.touched)); i < end; i++ {
			n := p.touched[i].node
			if n == nil || n.dropped {
				n = r.graph.ensure(p.touched[i].key)
			}
			have, want := next(i, n)
			r.graph.set(n, have, want.Object, want.Origin)
		}
		r.graph.mu.Unlock()
	}
	r.settleTroubles(p)
	if r.onChange == nil {
		return
	}
	var keys []object.Key
	for _, t := range p.touched {
		if !t.asked {
			keys = append(keys, t.key)
		}
	}
	if len(keys) > 0 {
		r.onChange(keys)
	}
}

// fillOrigins gives every *StepError in the tree of err the origin of its object.
func (p Plan) fillOrigins(err error) {
	switch e := any(err).(type) {
	case *StepError:
		e.Origin = cmp.Or(e.Origin, p.Origin(e.Step))
	case interface{ Unwrap() error }:
		p.fillOrigins(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			p.fillOrigins(one)
		}
	}
}
