package operation

// Explanation is what there is about one SID or route.
type Explanation struct {
	Path string // of the list entry

	// Programmed is whether the kernel holds all that the entry asks for, Reason why
	// not.
	Programmed bool
	Reason     string

	Objects []Object

	// Counters are those of a SID that counts, nil for anything else.
	Counters *Counters
}

// Object is one route or SID of the kernel.
type Object struct {
	Wanted string // in the words of iproute2
	Held   string // as the kernel holds it now, whoever made it; empty: nothing
	Reason string // why it is not as wanted; empty: it is

	// Packet is what becomes of a packet that meets what the kernel holds, step by
	// step.
	Packet []string
}

// Counters are those of a SID: octets count packets as they came in.
type Counters struct{ Packets, Octets, Errors uint64 }

// NotFoundError says that there is nothing to be told about.
type NotFoundError struct{ What string }

func (e *NotFoundError) Error() string { return e.What }

// InvalidError says that a question cannot be meant.
type InvalidError struct{ What string }

func (e *InvalidError) Error() string { return e.What }
