package operation

import (
	"net/netip"
	"time"
)

// PingRequest asks whether packets get through segments and back.
type PingRequest struct {
	Segments []netip.Addr // SIDs in travel order

	// Instance is set where the last segment takes packets out of others and looks
	// them up for a tenant: the instance of this node that they come back to.
	Instance string

	// Source is the address that the probes are sent from; the zero Addr leaves it to
	// the agent. With Instance it is the address of that instance to come back to.
	Source netip.Addr

	// Each also tries every beginning of the list by itself, the shortest first.
	Each bool

	Count          int
	Interval, Wait time.Duration // between two probes, for the last one
}

// PingAnswer is what came back.
type PingAnswer struct {
	Source netip.Addr // of the probes
	Home   netip.Addr // where they come back to, if that is another address
	Hops   []PingHop
}

// PingHop is a list of segments that was tried, by its last one.
type PingHop struct {
	Segment netip.Addr

	Sent, Received int
	Min, Avg, Max  time.Duration // round trips of those that came back

	// Unable says why no probe was sent; Hint what may have kept them all.
	Unable, Hint string
}

// UnableError says why the question has no answer, and what would change that.
type UnableError struct{ Reason, Remedy string }

func (e *UnableError) Error() string { return e.Reason + ": " + e.Remedy }
