// Package operation has the words in which an agent answers what an operator asks of
// it besides configuration and state. It serves every protocol that asks: each turns
// these values into messages of its own, and none of them works the answers out.
package operation

// Plan is what a Set would do.
type Plan struct {
	// Revision is the number of commits behind the configuration that it starts
	// from.
	Revision uint64

	// Difference is what would change in the configuration.
	Difference Difference

	// Steps are what would be done to the kernel, in this order.
	Steps []Step
}

// Action is what a step does to its object.
type Action uint8

// The actions. Change is in place.
const (
	Create Action = iota + 1
	Change
	Delete
)

// Step is one operation on one object of the kernel.
type Step struct {
	Action Action
	Object string // in the words of iproute2
	Path   string // of the list entry that asks for it, or asked; may be empty

	// Commands are what a person would type to the same effect, for a shell; none
	// where another step brings it about.
	Commands []string
}
