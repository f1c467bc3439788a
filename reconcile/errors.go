package reconcile

import (
	"errors"
	"fmt"
	"strings"
)

// ErrStalePlan is returned by Apply for a plan that was made before the last
// change.
var ErrStalePlan = errors.New("plan is out of date: make it again")

// StepError is a problem with one step, found by Driver.Check before anything
// was touched. Drivers leave Origin empty; the Reconciler fills it in.
type StepError struct {
	Step   Step
	Origin string // model path that asked for the object; may be empty
	Err    error
}

func (e *StepError) Error() string { return describe(e.Origin, e.Step) + ": " + e.Err.Error() }

// Unwrap returns what the driver said.
func (e *StepError) Unwrap() error { return e.Err }

// ApplyError is a step that the kernel refused or did not carry out as asked.
type ApplyError struct {
	Step   Step
	Origin string // model path that asked for the object; may be empty
	Err    error

	// Undo is nil when everything was put back. Otherwise it joins one
	// *StepError for each step that could not be taken back: those objects are
	// left as they are now.
	Undo error
}

func (e *ApplyError) Error() string {
	text := describe(e.Origin, e.Step) + ": " + e.Err.Error()
	if e.Undo != nil {
		text += "; undo: " + e.Undo.Error()
	}
	return text
}

// Unwrap returns the cause and, where there is one, the error of the undo.
func (e *ApplyError) Unwrap() []error {
	if e.Undo == nil {
		return []error{e.Err}
	}
	return []error{e.Err, e.Undo}
}

// RingError says that the steps wait for each other in a ring that no deletion
// and recreation can open: the wanted objects need each other.
type RingError struct {
	Steps []Step // in the order in which each waits for the next one
}

func (e *RingError) Error() string {
	texts := make([]string, len(e.Steps))
	for i, s := range e.Steps {
		texts[i] = s.String()
	}
	return "order steps: these wait for each other: " + strings.Join(texts, "; ")
}

// ConflictError says that two wanted objects exclude each other.
type ConflictError struct {
	What string // the claim, or the key, that both want
	A, B Wanted
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s is wanted twice: by %s and by %s", e.What, e.A, e.B)
}

func describe(origin string, s Step) string {
	if origin == "" {
		return s.String()
	}
	return origin + ": " + s.String()
}
