package reconcile

import (
	"errors"
	"fmt"
	"time"

	"heddle/kernel/object"
)

// Trouble says why the object under key is not put right at present: what keeps
// it, or what keeps an object that it needs. Empty: there is no reason known.
// Commits that are not about it leave it alone.
func (r *Reconciler) Trouble(key object.Key) string {
	if why := r.troubles.reason(key); why != "" || r.troubles.none() {
		return why
	}
	r.graph.mu.RLock()
	defer r.graph.mu.RUnlock()
	return r.troubleOf(r.graph.find(key))
}

// troubleOf is Trouble for those who hold the graph's lock.
func (r *Reconciler) troubleOf(n *node) string {
	if n == nil || n.want == nil || !r.graph.differs(n) {
		return ""
	}
	if why := r.troubles.reason(n.key); why != "" {
		return why
	}
	if l := n.needs[wantSide]; l != nil {
		for _, on := range l.on {
			if why := r.troubleOf(on); why != "" && on.have == nil {
				return fmt.Sprintf("it needs %v: %s", on.want, why)
			}
		}
	}
	return ""
}

// needsTroubled finds the steps of p that need what has a trouble and is not there:
// something else in its place is not what they need.
func (r *Reconciler) needsTroubled(p Plan) error {
	if r.troubles.none() {
		return nil
	}
	var errs []error
	for _, s := range p.Steps {
		if s.New == nil {
			continue
		}
		for _, k := range s.New.Needs(nil) {
			n := r.graph.find(k)
			if n == nil || n.want == nil || n.have != nil {
				continue
			}
			if t := p.find(k); t != nil && t.last >= 0 {
				continue
			}
			if why := r.Trouble(k); why != "" {
				errs = append(errs, &StepError{Step: s, Origin: p.Origin(s), Err: fmt.Errorf("it needs %v: %s", n.want, why)})
				break
			}
		}
	}
	return errors.Join(errs...)
}

// Troubled reports whether there may be an object with a Trouble.
func (r *Reconciler) Troubled() bool { return !r.troubles.none() }

// settleTroubles forgets the troubles of what a plan was about and brought in
// order, and has those of what needs that tried again.
func (r *Reconciler) settleTroubles(p Plan) {
	if r.troubles.none() && len(r.stale) == 0 {
		return
	}
	now, again := time.Now(), false
	for _, t := range p.touched {
		n := r.graph.find(t.key)
		if t.last >= 0 {
			delete(r.stale, t.key)
			again = true
			r.retryBehind(n, now)
		}
		if t.last >= 0 || n == nil || !r.differs(n) {
			r.troubles.solved(t.key)
			delete(r.owed, t.key)
		}
	}
	if again {
		r.Notice(Look{})
	}
}

// retryBehind has what needs n tried again; and what needs the same as n where it
// may rely on n without naming it, as routes do on the address of their link.
func (r *Reconciler) retryBehind(n *node, now time.Time) {
	if n == nil {
		return
	}
	n.dependents(func(d *node) { r.troubles.retry(d.key, now) })
	if n.key.Kind >= object.KindNextHop || n.needs[haveSide] == nil {
		return
	}
	for _, on := range n.needs[haveSide].on {
		on.dependents(func(d *node) {
			if d.key.Kind > n.key.Kind {
				r.troubles.retry(d.key, now)
			}
		})
	}
}

// park spares commits what is held back and what waits for it.
func (r *Reconciler) park() {
	if held := r.troubles.pending(); held != nil {
		r.graph.park(pending{leave: held}.waits)
	}
}

// inOrder forgets the troubles of what is as it is wanted, whoever saw to that.
func (r *Reconciler) inOrder() []object.Key {
	var keys []object.Key
	for _, k := range r.troubles.heldKeys() {
		if n := r.graph.find(k); n == nil || !r.differs(n) {
			r.troubles.solved(k)
			keys = append(keys, k)
		}
	}
	return keys
}
