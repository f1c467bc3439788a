package subscribe

import (
	"context"
	"time"

	"heddle/schema"
)

// Batch is what one commit, or one reading of the kernel, changed.
type Batch struct {
	// Time is when it happened: the commit, the kernel's event, the reading.
	Time time.Time
	// Changes has each entry at most once.
	Changes []schema.Change
	// Tree is the dataset after the changes.
	Tree schema.Tree
	// Mark names the commit that it is, nil if it is none.
	Mark *Mark
	// Lost is set when batches were dropped because the reader was too slow:
	// Changes is then to be found by comparing Tree with the tree before.
	Lost bool
}

// Mark names a commit.
type Mark struct {
	ServerID  string // that the agent gave it
	ConfirmID string // that the client gave it, of one that has to be confirmed
}

// Feed hands out the batches of a dataset in order. Next waits for one; it fails
// when ctx ends or the dataset closes.
type Feed interface {
	Next(ctx context.Context) (Batch, error)
	Close()
}

// Dataset is a tree that changes: the running configuration, the state. Its
// trees never change and are pointers: a Batch and the Snapshot taken after it
// have the same one.
type Dataset interface {
	// Snapshot is the dataset as it is: the Tree of the latest batch.
	Snapshot() schema.Tree
	// Watch is a snapshot with the feed of all batches after it.
	Watch() (schema.Tree, Feed)
}

// Refresher brings state that is not pushed (counters) up to date. What it
// finds is in Snapshot when it returns and in the feed.
type Refresher interface {
	Refresh(ctx context.Context, paths []schema.Path) error
}

// Mode is how a STREAM subscription wants its leaves.
type Mode uint8

const (
	// TargetDefined samples counters and reports the rest on change.
	TargetDefined Mode = iota
	// OnChange leaves counters out altogether: there is no event when they count.
	OnChange
	Sample
)

// Subscription is one line of a SubscriptionList.
type Subscription struct {
	// Paths is what its path resolved to; it may hold wildcard keys.
	Paths []schema.Path
	Mode  Mode
	// SampleInterval is for Sample and the counters of TargetDefined; 0 is the
	// shortest that the engine offers.
	SampleInterval time.Duration
	// Heartbeat, if not 0, re-sends what did not change.
	Heartbeat time.Duration
	// SuppressRedundant leaves out of a sample what is as it was in the last.
	SuppressRedundant bool
}

// Request is a SubscriptionList.
type Request struct {
	Subscriptions []Subscription
	// UpdatesOnly leaves out the initial values.
	UpdatesOnly bool
	// Depth, if not 0, leaves out leaves that are more than so many levels below
	// their path.
	Depth int
	// ConfigOnly leaves out state.
	ConfigOnly bool
	// Done, if not nil, is told of every commit after Sync, when what it changed has
	// been sent. Who is much too slow is told of the latest ones.
	Done    func(Mark) error
	Encoder Encoder
}
