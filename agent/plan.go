package agent

import (
	"context"
	"fmt"

	"heddle/agent/datastore"
	"heddle/agent/operation"
	"heddle/kernel/iproute"
	"heddle/reconcile"
	"heddle/schema"
)

// Plan says what a Commit of req would do to the kernel, and does nothing. It is
// refused as the Commit would be, as far as that can be known before the kernel's
// answer. What is said of the configuration is what may be seen; a nil view sees everything.
func (a *Agent) Plan(ctx context.Context, req datastore.Request, view schema.View) (operation.Plan, error) {
	var plan operation.Plan
	res, err := a.store.DryRun(ctx, req, func(ctx context.Context, old, new *datastore.Snapshot, changes []schema.Change) error {
		p, err := a.applier.plan(ctx, old, new, changes)
		if err != nil {
			return err
		}
		plan.Steps, err = a.inWords(ctx, p)
		return err
	})
	plan.Revision, plan.Difference = res.Revision, difference(a.schema, res.Changes, view)
	return plan, err
}

// plan is Apply without doing it.
func (a *applier) plan(ctx context.Context, old, new *datastore.Snapshot, changes []schema.Change) (reconcile.Plan, error) {
	delta, wanted, err := a.prepare(old, new, changes)
	if err == nil {
		err = delta.Refusal()
	}
	if err != nil {
		return reconcile.Plan{}, err
	}
	return a.kernel.DryRun(ctx, wanted)
}

// inWords describes the steps of a plan.
func (a *Agent) inWords(ctx context.Context, p reconcile.Plan) ([]operation.Step, error) {
	commands, err := iproute.Commands(ctx, a.words, p.Steps)
	if err != nil {
		return nil, err
	}
	steps := make([]operation.Step, len(p.Steps))
	for i, s := range p.Steps {
		steps[i] = operation.Step{Action: operation.Change, Object: fmt.Sprint(s.New), Path: p.Origin(s)}
		switch {
		case s.Old == nil:
			steps[i].Action = operation.Create
		case s.New == nil:
			steps[i].Action, steps[i].Object = operation.Delete, fmt.Sprint(s.Old)
		}
		for _, c := range commands[i] {
			steps[i].Commands = append(steps[i].Commands, c.String())
		}
	}
	return steps, nil
}
