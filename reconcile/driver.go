package reconcile

import (
	"context"

	"heddle/kernel/object"
)

// Step is one operation on one object: Old nil creates, New nil deletes, both
// set changes in place.
type Step struct {
	Old, New object.Object
}

// Key is the key of the object that the step is about.
func (s Step) Key() object.Key {
	if s.New != nil {
		return s.New.Key()
	}
	return s.Old.Key()
}

// Result is what one step came to.
type Result struct {
	// Err is nil when the kernel holds what the step asked for. A step that
	// failed left the kernel as it was.
	Err error

	// Got is the object as the kernel now holds it, read back, not echoed from
	// the request; nil after a deletion.
	Got object.Object
}

// Driver does the work for the kinds of object it knows. The implementations
// are in kernel/; kernel/kerneltest has a strict fake and the suite that both
// the fake and the real ones pass.
type Driver interface {
	// Dump lists what is ours of some kinds, by its mark in the kernel or, where
	// the kernel has no room for a mark, by the driver's own record. Kinds that
	// the kernel keeps together are read together.
	Dump(ctx context.Context, kinds ...object.Kind) ([]object.Object, error)

	// Check finds, before anything is touched, what would make the steps fail:
	// an object of somebody else in the way, a link that is not there, a feature
	// this kernel lacks. steps is the whole plan, so that what an earlier step
	// makes or frees counts as made or free. Each problem is one error with the
	// step it is about (*StepError).
	Check(ctx context.Context, steps []Step) error

	// Preserve reads what somebody else has where steps reach, before anything is
	// touched and after Check: what the kernel takes along with them, as it takes
	// the routes of a link that changes its VRF. steps is the whole plan. What
	// could not be put back afterwards is refused, with a *StepError for each
	// problem. nil without an error: the steps take nothing along.
	Preserve(ctx context.Context, steps []Step) (Preserved, error)

	// Do carries out steps, all of one kind and independent of each other, and
	// returns one result for each, in their order. It may send them together;
	// those behind a failed one may have been done all the same, and their
	// results say so.
	Do(ctx context.Context, steps []Step) []Result
}

// Preserved is what somebody else had before a plan was carried out.
type Preserved interface {
	// Restore puts back what is missing once the steps are done: all that went by
	// the way, and not what the steps were to end, as they end the routes over a
	// link that is taken down. Errors are *StepError, joined; each names what is
	// missing.
	Restore(ctx context.Context) error

	// Undo says that the steps are taken back from now on: Restore, which follows,
	// puts everything back.
	Undo()
}
