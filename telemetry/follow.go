package telemetry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// retryAfter is how long a link that could not be read, and a watch that ended,
// is left alone.
const retryAfter = time.Second

// Run follows the kernel's links and addresses until the context ends, which is
// no error. started is called once the tree holds all of them; Run fails if it
// does not come to that. Later it goes on through every error: what could not be
// read is read again, and what is shown of it until then is the last that was
// seen.
func (t *Telemetry) Run(ctx context.Context, started func()) error {
	events, err := t.kernel.Watch(ctx)
	if err != nil {
		return fmt.Errorf("watch links: %w", err)
	}
	// What happens while everything is read is only read again.
	if err := t.readLinks(ctx, anyTime); err != nil {
		return err
	}
	started()
	var todo backlog
	for {
		t.follow(ctx, events, &todo)
		if ctx.Err() != nil {
			return nil
		}
		t.log.Warn("the kernel's events ended: watch again", "after", retryAfter)
		todo.all = true
		for events = nil; events == nil; {
			if !wait(ctx, retryAfter) {
				return nil
			}
			if events, err = t.kernel.Watch(ctx); err != nil {
				t.log.Warn("watch links", "error", err)
				events = nil
			}
		}
	}
}

// backlog is what has to be read.
type backlog struct {
	all   bool
	links map[string]bool
}

func (b *backlog) empty() bool { return !b.all && len(b.links) == 0 }

func (b *backlog) add(e LinkEvent) {
	if e.Resync {
		b.all = true
		return
	}
	if b.links == nil {
		b.links = map[string]bool{}
	}
	b.links[e.Link] = true
}

// follow reads what the events are about, each link once however many there are,
// until there will be no more. What is still to be read stays in todo. While a
// commit is under way it only takes events in, so that a link which is made anew
// is another afterwards and was not away in between.
func (t *Telemetry) follow(ctx context.Context, events <-chan LinkEvent, todo *backlog) {
	retry := time.NewTimer(0)
	defer retry.Stop()
	if todo.empty() {
		retry.Stop()
	}
	var ended <-chan struct{} // of the commit that is under way
	commits := 0              // that have ended since something was read
	now := make(chan struct{})
	close(now)
	for {
		select {
		case <-ctx.Done():
			return
		case <-retry.C:
		case <-ended:
			commits++
		case e, ok := <-events:
			if !ok {
				return
			}
			todo.add(e)
			for more := true; more; {
				select {
				case e, more = <-events:
					if more {
						todo.add(e)
					}
				default:
					more = false
				}
			}
		}
		w := when(commits >= mostCommits)
		if ended = t.underWay(); ended != nil && w == outsideCommits {
			continue
		}
		ended = nil
		err := t.catchUp(ctx, todo, w)
		if errors.Is(err, errInCommit) {
			ended = now // whether that commit has ended is to be seen
			continue
		}
		commits = 0
		if err != nil && ctx.Err() == nil {
			t.log.Warn("read links", "error", err)
			retry.Reset(retryAfter)
		}
	}
}

// catchUp reads what there is to be read. One link that cannot be read does not
// keep the others from it.
func (t *Telemetry) catchUp(ctx context.Context, todo *backlog, w when) error {
	if todo.all {
		if err := t.readLinks(ctx, w); err != nil {
			return err
		}
		*todo = backlog{}
		return nil
	}
	var errs []error
	failed := map[string]bool{}
	for len(todo.links) > 0 {
		for _, name := range slices.Collect(maps.Keys(todo.links)) {
			delete(todo.links, name)
			also, err := t.readLink(ctx, name, w)
			if err != nil {
				errs = append(errs, err)
				failed[name] = true
			}
			for _, other := range also {
				todo.links[other] = true
			}
		}
	}
	todo.links = failed
	return errors.Join(errs...)
}

// wait reports whether d has passed; false: the context ended before.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
