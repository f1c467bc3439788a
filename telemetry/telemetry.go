package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"heddle/internal/feed"
	"heddle/kernel/object"
	"heddle/schema"
)

// Kernel is what telemetry reads of the network namespace.
type Kernel interface {
	// Links lists every link and every address.
	Links(ctx context.Context) ([]object.LinkState, []object.AddressState, error)

	// Link reads one link with its addresses; ok is false when there is none.
	Link(ctx context.Context, name string) (l object.LinkState, a []object.AddressState, ok bool, err error)

	// SIDCounters reads the counters of these SIDs of ours, of all for nil.
	SIDCounters(ctx context.Context, sids []netip.Addr) (map[netip.Addr]object.SIDCounters, error)

	// Watch delivers what happens to links and addresses until the context ends,
	// and then closes the channel.
	Watch(ctx context.Context) (<-chan LinkEvent, error)
}

// LinkEvent says that a link or its addresses changed, came or went.
type LinkEvent struct {
	Link string

	// Resync is set when events were lost: everything has to be read again.
	Resync bool
}

// Intent tells what the configuration asks of the kernel.
type Intent interface {
	// Wanted is what one list entry of a configuration asks for, and the reason
	// when it is withheld ("interface e1 is disabled").
	Wanted(cfg schema.Tree, entry schema.EntryKey) (objects []object.Object, withheld string)
}

// Actual is what the kernel was last read to hold, nil for nothing.
type Actual interface {
	Have(key object.Key) object.Object
}

// System describes the machine and the agent.
type System struct {
	Hostname, Version, KernelRelease string
	Boot, AgentStart                 time.Time
}

// Config is what New needs.
type Config struct {
	Schema *schema.Schema
	Kernel Kernel
	Intent Intent
	Actual Actual
	System System
	Log    *slog.Logger
}

// Telemetry is the state tree with its sources.
type Telemetry struct {
	schema *schema.Schema
	kernel Kernel
	intent Intent
	actual Actual
	system System
	log    *slog.Logger
	nodes  nodes
	store  *store

	mu       sync.Mutex // guards counters; held while SID state is made and published
	counters map[netip.Addr]*sidCounter
}

// New returns a state tree that holds nothing yet but the system.
func New(c Config) (*Telemetry, error) {
	n, err := findNodes(c.Schema)
	if err != nil {
		return nil, fmt.Errorf("look up the model's state: %w", err)
	}
	t := &Telemetry{
		schema: c.Schema, kernel: c.Kernel, intent: c.Intent, actual: c.Actual, system: c.System,
		log: c.Log, nodes: n, store: newStore(c.Schema, time.Now),
		counters: map[netip.Addr]*sidCounter{},
	}
	t.store.apply([]update{{key: "", entry: t.deviceEntry(0)}})
	return t, nil
}

// Snapshot is the state tree as it is now.
func (t *Telemetry) Snapshot() *Snapshot { return t.store.cur.Load() }

// Watch returns the present snapshot and a reader of every change after it.
func (t *Telemetry) Watch() (*Snapshot, *feed.Reader[Event]) {
	e, r := t.store.feed.Watch()
	return e.Snapshot, r
}

// Close ends the feed.
func (t *Telemetry) Close() { t.store.feed.Close() }

// Run follows the kernel's links and addresses until the context ends. started
// is called once the tree holds all of them.
func (t *Telemetry) Run(ctx context.Context, started func()) error {
	events, err := t.kernel.Watch(ctx)
	if err != nil {
		return fmt.Errorf("watch links: %w", err)
	}
	// Events that come while everything is read are only read again.
	if err := t.readLinks(ctx); err != nil {
		return err
	}
	started()
	for first := range events {
		if err := t.follow(ctx, events, first); err != nil && ctx.Err() == nil {
			t.log.Warn("read links", "error", err)
		}
	}
	return ctx.Err()
}

// follow reads what the events are about, each link once however many there are.
func (t *Telemetry) follow(ctx context.Context, events <-chan LinkEvent, first LinkEvent) error {
	dirty := map[string]bool{first.Link: true}
	resync := first.Resync
	for more := true; more; {
		select {
		case e, ok := <-events:
			if more = ok; ok {
				dirty[e.Link] = true
				resync = resync || e.Resync
			}
		default:
			more = false
		}
	}
	if resync {
		return t.readLinks(ctx)
	}
	for name := range dirty {
		if err := t.readLink(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// Refresh reads the counters that the paths cover, so that the next Snapshot
// holds their present values.
func (t *Telemetry) Refresh(ctx context.Context, paths []schema.Path) error {
	for _, p := range paths {
		if overlaps(p, t.nodes.interfaceCounters) {
			if err := t.refreshLinks(ctx, p); err != nil {
				return err
			}
		}
		if overlaps(p, t.nodes.sidCounters) {
			if err := t.refreshSIDs(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}
