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
	"context"
	"iter"

	"heddle/kernel/object"
)

// State is what is known of one key.
type State struct {
	Key  object.Key
	Have object.Object // what the kernel holds, as last read back; nil: nothing of ours
	Want object.Object // nil: nothing is wanted

	// Origin is where the configuration asks for Want.
	Origin string
}

// Reconciler keeps what the kernel holds of ours and what is wanted of it. Its
// methods may be called from several goroutines: those that change something
// wait for each other, those that only read do not wait for the kernel.
type Reconciler struct {
	driver Driver
}

// New returns a Reconciler that works through d. Call Load before anything else.
func New(d Driver) *Reconciler { return &Reconciler{driver: d} }

// API sketch, bodies follow.
type api interface {
	// OnChange: fn gets the keys whose have, want or origin changed, after each
	// commit, repair or resync; called by the writer, must not call back into it.
	OnChange(fn func([]object.Key))
	Load(ctx context.Context) error
	Plan(changes []Change) (Plan, error)
	Apply(ctx context.Context, p Plan) error
	Commit(ctx context.Context, changes []Change) (undo func(context.Context) error, err error)
	Repair(ctx context.Context, keys ...object.Key) ([]object.Key, error)
	Resync(ctx context.Context, kinds ...object.Kind) ([]object.Key, error)
	Leftovers() []object.Object
	Get(key object.Key) (State, bool)
	All(kind object.Kind) iter.Seq[State]
}
