// Package reconcile brings the kernel from what it holds to what is wanted, in
// one transaction.
//
// It serves the datastore's commit (through the translators' engine), which
// hands it changes of wanted objects, and telemetry, which reads from it what is
// there. It knows objects by their interface only: no YANG, no netlink, no
// protocol. What a commit costs follows the objects it changes and those that
// have to be rebuilt with them, never the number of all objects.
package reconcile

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"sync"

	"heddle/kernel/object"
)

// State is what is known of one key.
type State struct {
	Key object.Key

	// Have is what the kernel holds of ours, as last read back; nil: nothing.
	// Where it equals Want and needs the same, it is the same object.
	Have object.Object
	Want object.Object // nil: nothing is wanted

	// Origin is where the configuration asks for Want, as Wanted has it.
	Origin string
}

// Reconciler keeps what the kernel holds of ours and what is wanted of it. Its
// methods may be called from several goroutines: those that change something
// wait for each other, those that read do not wait for the kernel.
type Reconciler struct {
	driver     Driver
	onChange   func([]object.Key)
	text       func(origin string) string
	reportOnly bool

	// writer is held for as long as a change takes: it makes plans, talks to the
	// driver and guards generation and looks. The graph has a lock of its own for readers.
	writer     sync.Mutex
	graph      *graph
	generation uint64
	looks      uint32 // readings of the kernel
	committed  bool   // what is wanted is known: what else is there is left over

	// stale are the objects that read back as wanted and are not, because what
	// they need was made anew by somebody else.
	stale    map[object.Key]struct{}
	troubles troubles

	// owed is what Start could not put in place, while drift is only reported: that
	// is put in place all the same when it can be.
	owed map[object.Key]struct{}

	// wake guards what Notice hands to Run.
	wake    sync.Mutex
	noticed noticed
	woken   chan struct{} // capacity 1
}

// An Option sets up a Reconciler.
type Option func(*Reconciler)

// OnChange has fn called with the keys of which the object in the kernel, the
// wanted one or its origin changed, after each change as a whole, apart from
// those that a Commit, or its undo, was asked to change: who asks knows them. The
// next change waits for it; it may read from the Reconciler but change nothing.
func OnChange(fn func(keys []object.Key)) Option {
	return func(r *Reconciler) { r.onChange = fn }
}

// OriginText has fn make the model path of an origin, for errors and reports. It
// is called only where one is written, so that origins can be kept short.
func OriginText(fn func(origin string) string) Option {
	return func(r *Reconciler) {
		r.text = func(origin string) string {
			if origin == "" {
				return ""
			}
			return fn(origin)
		}
	}
}

// ReportOnly has drift found, reported and left as it is. A commit that is not
// about the object leaves it, too.
func ReportOnly() Option {
	return func(r *Reconciler) { r.reportOnly = true }
}

// OriginText is the model path of an origin.
func (r *Reconciler) OriginText(origin string) string { return r.text(origin) }

// New returns a Reconciler that works through d. Load comes before anything
// else.
func New(d Driver, options ...Option) *Reconciler {
	r := &Reconciler{driver: d, graph: newGraph(), text: func(s string) string { return s }, stale: map[object.Key]struct{}{}, woken: make(chan struct{}, 1)}
	for _, o := range options {
		o(r)
	}
	return r
}

// Load reads what the kernel holds of ours. Whatever of it the first commit, or
// Start, does not want is removed by that.
func (r *Reconciler) Load(ctx context.Context) error {
	_, err := r.Resync(ctx)
	return err
}

// Plan works out the steps to a state in which changes are fulfilled, and all
// that was wanted before as well: an object that somebody else took away, or
// left over, is among the steps, unless Trouble has a word on it. It touches
// nothing. Errors are *ConflictError
// and *RingError.
func (r *Reconciler) Plan(changes []Change) (Plan, error) {
	r.writer.Lock()
	defer r.writer.Unlock()
	return r.plan(changes)
}

func (r *Reconciler) plan(changes []Change) (Plan, error) {
	p, err := r.graph.build(changes, pending{leave: r.troubles.pending()})
	p.generation, p.text = r.generation, r.text
	if e, ok := errors.AsType[*ConflictError](err); ok {
		e.A.Origin, e.B.Origin = r.text(e.A.Origin), r.text(e.B.Origin)
	}
	return p, err
}

// DryRun plans changes as Commit does, and has the driver look whether the plan can
// be carried out, with the errors of Commit before its first step. It touches
// nothing.
func (r *Reconciler) DryRun(ctx context.Context, changes []Change) (Plan, error) {
	r.writer.Lock()
	defer r.writer.Unlock()
	p, err := r.mayCommit(changes)
	if err == nil && !p.Empty() {
		_, err = r.look(ctx, p)
	}
	return p, err
}

// mayCommit makes the plan of a Commit.
func (r *Reconciler) mayCommit(changes []Change) (Plan, error) {
	p, err := r.plan(changes)
	if err != nil {
		return p, err
	}
	return p, r.needsTroubled(p)
}

// Apply has the driver check p and then carries it out. When a step is refused,
// does not read back as asked, or ctx ends, what was done is undone in the
// opposite order, whatever has become of ctx, and an *ApplyError says what
// happened. What Check objects to comes as the driver said it, every *StepError
// with its origin. In both cases what is wanted stays what it was.
func (r *Reconciler) Apply(ctx context.Context, p Plan) error {
	r.writer.Lock()
	defer r.writer.Unlock()
	if p.generation != r.generation {
		return ErrStalePlan
	}
	_, err := r.apply(ctx, p)
	r.committed = r.committed || err == nil
	return err
}

// Commit plans and applies changes. The returned undo, never nil when err is,
// puts kernel and wanted objects back to where they were, because what comes
// after the kernel (persisting) may yet fail; like any undo it goes on when a
// step fails, and returns one *StepError for each of them.
func (r *Reconciler) Commit(ctx context.Context, changes []Change) (undo func(context.Context) error, err error) {
	r.writer.Lock()
	defer r.writer.Unlock()
	p, err := r.mayCommit(changes)
	if err != nil {
		return nil, err
	}
	before := r.wantedBefore(p)
	j, err := r.apply(ctx, p)
	if err != nil {
		return nil, err
	}
	r.committed = true
	after := r.generation
	return func(ctx context.Context) error {
		r.writer.Lock()
		defer r.writer.Unlock()
		if r.generation == after {
			return r.revert(ctx, p, j, before)
		}
		// Something was repaired since: the way back is another one.
		back, err := r.plan(before)
		if err != nil {
			return err
		}
		if _, err = r.apply(ctx, back); j.others != nil {
			j.others.Undo()
			rerr := j.others.Restore(ctx)
			p.fillOrigins(rerr)
			err = errors.Join(err, rerr)
		}
		return err
	}, nil
}

func (r *Reconciler) wantedBefore(p Plan) []Change {
	before := make([]Change, len(p.touched))
	for i, t := range p.touched {
		before[i].Key = t.key
		if n := t.node; n != nil && n.want != nil {
			before[i].Want = Wanted{n.want, n.origin}
		}
	}
	return before
}

// Leftovers lists what the kernel holds of ours and nobody wants, in key order.
// The next commit removes it.
func (r *Reconciler) Leftovers() []object.Object {
	r.graph.mu.RLock()
	var left []*node
	for n := range r.graph.differing {
		if n.want == nil {
			left = append(left, n)
		}
	}
	objects := make([]object.Object, len(left))
	slices.SortFunc(left, func(a, b *node) int { return a.key.Compare(b.key) })
	for i, n := range left {
		objects[i] = n.have
	}
	r.graph.mu.RUnlock()
	return objects
}

// Knows reports whether anything of ours is, or needs, the object under key.
func (r *Reconciler) Knows(key object.Key) bool {
	r.graph.mu.RLock()
	defer r.graph.mu.RUnlock()
	return r.graph.find(key) != nil
}

// Get returns what is known of key; false: nothing of ours, nothing wanted.
func (r *Reconciler) Get(key object.Key) (State, bool) {
	r.graph.mu.RLock()
	defer r.graph.mu.RUnlock()
	n := r.graph.find(key)
	if n == nil {
		return State{Key: key}, false
	}
	return n.state()
}

func (n *node) state() (State, bool) {
	return State{n.key, n.have, n.want, n.origin}, n.have != nil || n.want != nil
}

// NeededBy lists what needs key, as it is or as it is wanted. A key may come more
// than once.
func (r *Reconciler) NeededBy(key object.Key) []object.Key {
	r.graph.mu.RLock()
	defer r.graph.mu.RUnlock()
	var keys []object.Key
	if n := r.graph.find(key); n != nil {
		n.dependents(func(d *node) { keys = append(keys, d.key) })
	}
	return keys
}

// All goes through what is known of one kind, in key order. Each State is as of
// the moment it is handed out: a commit that runs meanwhile can be half seen.
func (r *Reconciler) All(kind object.Kind) iter.Seq[State] {
	return func(yield func(State) bool) {
		r.graph.mu.RLock()
		nodes := make([]*node, 0, len(r.graph.kinds[kind]))
		for _, n := range r.graph.kinds[kind] {
			nodes = append(nodes, n)
		}
		r.graph.mu.RUnlock()
		slices.SortFunc(nodes, func(a, b *node) int { return cmp.Compare(a.key.ID, b.key.ID) })
		states := make([]State, 0, chunk)
		for part := range slices.Chunk(nodes, chunk) {
			states = states[:0]
			r.graph.mu.RLock()
			for _, n := range part {
				if s, known := n.state(); known {
					states = append(states, s)
				}
			}
			r.graph.mu.RUnlock()
			for _, s := range states {
				if !yield(s) {
					return
				}
			}
		}
	}
}

// chunk is how many nodes are read or set under one hold of the graph's lock:
// some 100 us.
const chunk = 256
