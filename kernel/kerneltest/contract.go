package kerneltest

import (
	"context"
	"testing"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// Env is one kernel, fake or real, that a contract test may do with as it
// likes: nobody else looks at it.
type Env struct {
	// Driver is the driver under test, for every kind of object.
	Driver reconcile.Driver

	// Reopen ends Driver and opens another one over the same kernel and the same
	// records, as a restart of the agent does.
	Reopen func(t *testing.T) reconcile.Driver

	// Foreign is the hand of somebody else on the same kernel. The kernel starts
	// with the links "ext0" and "ext1" of somebody else: Ethernet, up, MTU 1500,
	// without IPv6 duplicate address detection.
	Foreign Foreign

	// Lacks says why this kernel cannot hold o, with a remedy; empty when it can.
	// What needs it is skipped, with this reason.
	Lacks func(o object.Object) string
}

// Foreign does to the kernel what another program or an operator would.
type Foreign interface {
	// Put makes o, or sets it, without any mark of ours: a link without alias,
	// an address without protocol, a route of protocol "static".
	Put(o object.Object) error

	// Get tells what the kernel holds under k, whoever made it.
	Get(k object.Key) (object.Object, bool)

	// Delete removes what is under k, whoever made it. A link takes its
	// addresses and routes along.
	Delete(k object.Key) error
}

// background is the context of calls that a test does not want to end early.
func background() context.Context { return context.Background() }
