package operation

import "time"

// Commit is a change of the configuration that was made.
type Commit struct {
	Revision uint64
	Time     time.Time
	User     string // "" where nobody in particular asked
	Source   string // through what, e.g. "gnmi"
	Request  string // what for, in a few words
	Confirm  string // the ID of one that had to be confirmed, and of its end
	Entries  int    // how many list entries changed

	// Reachable: the configuration after it can be compared with and be had back.
	Reachable bool
}

// History is the past of the configuration.
type History struct {
	Commits []Commit // newest first
	// Unconfirmed is the commit that waits to be confirmed, nil if there is none.
	Unconfirmed *Unconfirmed
}

// Unconfirmed is a commit that waits to be confirmed.
type Unconfirmed struct {
	ID       string
	Deadline time.Time
	Before   uint64 // the revision that comes back
	User     string
}

// Difference is what differs between two configurations.
//
// Of what its reader may not see there is nothing in it.
type Difference struct {
	Leaves  []LeafChange // in the order of the model
	More    int          // how many were left out
	Entries int          // in how many list entries
}

// LeafChange is a leaf that differs. Values are JSON_IETF, "" where it is not set.
type LeafChange struct{ Path, Before, After string }

// Lock is how long nobody else may change the configuration.
type Lock struct{ Since, Until time.Time }
