package telemetry

import (
	"context"
	"errors"
	"time"
)

// Commits tells of commits, which change the kernel step by step: what is there
// in between is not state.
type Commits interface {
	// UnderWay returns how many commits there have been, and a channel that is
	// closed when the one that is under way has ended, nil if none is.
	UnderWay() (n uint64, ended <-chan struct{})
}

// errInCommit says that a reading may show the middle of a commit, and that
// nothing of it was published.
var errInCommit = errors.New("a commit is under way")

const (
	// mostCommits is how many commits in a row may make a reading void before one
	// is published as it is: Sets without end must not hide the links.
	mostCommits = 5

	// refreshPatience is how long a reading on demand waits for commits to end.
	refreshPatience = 200 * time.Millisecond
)

// when says which readings may be published.
type when bool

const (
	outsideCommits when = false
	anyTime        when = true
)

// reading returns a function that tells whether what was read since is no middle
// of a commit; errInCommit if it would be anyway.
func (t *Telemetry) reading(w when) (whole func() bool, err error) {
	if w == anyTime || t.commits == nil {
		return func() bool { return true }, nil
	}
	n, ended := t.commits.UnderWay()
	if ended != nil {
		return nil, errInCommit
	}
	return func() bool {
		// One that has begun since has another number, even if it has ended.
		now, _ := t.commits.UnderWay()
		return now == n
	}, nil
}

// underWay is closed when the commit that is under way has ended; nil: none is.
func (t *Telemetry) underWay() (ended <-chan struct{}) {
	if t.commits == nil {
		return nil
	}
	_, ended = t.commits.UnderWay()
	return ended
}

// betweenCommits has something read for somebody who waits for it: between two
// commits if there is such a moment soon, and otherwise as it is.
func (t *Telemetry) betweenCommits(ctx context.Context, read func(context.Context, when) error) error {
	patience := time.NewTimer(refreshPatience)
	defer patience.Stop()
	for range mostCommits {
		if ended := t.underWay(); ended != nil {
			select {
			case <-ended:
			case <-patience.C:
				return read(ctx, anyTime)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := read(ctx, outsideCommits); !errors.Is(err, errInCommit) {
			return err
		}
	}
	return read(ctx, anyTime)
}
