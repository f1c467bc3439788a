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

// Kernel is what telemetry reads of the network namespace. All methods are safe
// for concurrent use.
type Kernel interface {
	// Links lists every link and every address.
	Links(ctx context.Context) ([]object.LinkState, []object.AddressState, error)

	// Link reads one link with its addresses; ok is false when there is none.
	Link(ctx context.Context, name string) (l object.LinkState, a []object.AddressState, ok bool, err error)

	// SIDCounters hands fn the counters of these SIDs of ours, of all for nil, in
	// portions that are valid during the call. A SID that the kernel does not hold
	// is not among them; one that comes twice is newer the second time.
	SIDCounters(ctx context.Context, sids []netip.Addr, fn func([]object.SIDReading)) error

	// Proxies lists what the SR proxies of these SIDs have kept and counted, of all for
	// nil.
	Proxies(ctx context.Context, sids []netip.Addr) ([]object.ProxyReading, error)

	// Watch delivers what happens to links and addresses from now on until the
	// context ends, and then closes the channel; earlier if it cannot go on.
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
	// Of returns the wants of a configuration, for one goroutine.
	Of(cfg schema.Tree) Wants
}

// Wants are those of one configuration.
type Wants interface {
	// Wanted is what one list entry alone asks for, valid until the next call,
	// and why something is withheld ("interface e1 is disabled"), "" if nothing
	// is.
	Wanted(entry schema.EntryKey) (objects []object.Object, withheld string)

	// SIDOf is the address of a dynamic SID, invalid if it has none; DynamicSID
	// finds the dynamic SID with an address.
	SIDOf(dynamic schema.EntryKey) netip.Addr
	DynamicSID(sid netip.Addr) (dynamic schema.EntryKey, ok bool)
}

// Actual is what the kernel was last read to hold, nil for nothing.
type Actual interface {
	Have(key object.Key) object.Object

	// Trouble says why the object is not as the configuration asks, "" if it is,
	// or if the reason is not known.
	Trouble(key object.Key) string
}

// Drift is what somebody else changed of what the configuration asks for.
type Drift struct {
	Detected, Repaired, Failed uint64

	// Of the object that was found last; At is zero when none was.
	Object, Reason string
	At             time.Time
}

// Lock is who alone may change the configuration; nobody where Until is zero.
type Lock struct {
	Owner, Session string
	Since, Until   time.Time
}

// System describes the machine and the agent.
type System struct {
	Hostname, Version, KernelRelease string
	Boot, AgentStart                 time.Time

	// Capabilities are what not every kernel can do.
	Capabilities []Capability
}

// Capability is one of them.
type Capability struct {
	Name      string
	Supported bool

	// Answer is what the kernel said, Remedy what it would take; empty where it is
	// supported.
	Answer, Remedy string
}

// Config is what New needs.
type Config struct {
	Schema *schema.Schema
	Kernel Kernel
	Intent Intent
	Actual Actual
	System System
	Log    *slog.Logger

	// Counters is who sees the SIDs being written; nil if nobody does.
	Counters *Counters

	// Drift is asked for each time that state is made; nil: nobody watches.
	Drift func() Drift

	// Lock is asked for each time that state is made; nil: there are no locks.
	Lock func() Lock

	// NF tells what the probes of the NF of a SID have found; nil: there are none.
	NF func(sid netip.Addr) NFState

	// Commits keeps links as they are in the middle of a commit from being shown;
	// nil: there are no commits.
	Commits Commits
}

// Telemetry is the state tree with its sources.
type Telemetry struct {
	schema   *schema.Schema
	kernel   Kernel
	intent   Intent
	actual   Actual
	system   System
	log      *slog.Logger
	nodes    nodes
	store    *store
	counters *Counters
	drift    func() Drift
	lock     func() Lock
	nf       func(sid netip.Addr) NFState
	commits  Commits

	// Of links and of counters, one reading at a time: what is read later is
	// published later.
	links linkReader
	sids  sharedRead

	// mu is held while entries are made from the configuration and published. It
	// is never held while the kernel is read.
	mu      sync.Mutex
	cfg     schema.Tree // as last given to Configured
	wants   Wants       // of cfg
	members members

	// conflicts are the SIDs that chains share, with the time until which that is taken
	// to be so.
	conflicts map[netip.Addr]time.Time
}

// New returns a state tree that holds nothing yet but the system.
func New(c Config) (*Telemetry, error) {
	n, err := findNodes(c.Schema)
	if err != nil {
		return nil, fmt.Errorf("look up the model's state: %w", err)
	}
	t := &Telemetry{
		schema: c.Schema, kernel: c.Kernel, intent: c.Intent, actual: c.Actual, system: c.System,
		log: c.Log, nodes: n, store: newStore(c.Schema, time.Now), counters: c.Counters,
		cfg: schema.Entries{}, members: newMembers(), drift: c.Drift, nf: c.NF, lock: c.Lock, commits: c.Commits,
		conflicts: map[netip.Addr]time.Time{},
	}
	if t.counters == nil {
		t.counters = NewCounters(CountersConfig{Kernel: c.Kernel, Log: c.Log})
	}
	updates, err := t.capabilities(c.System.Capabilities)
	if err != nil {
		return nil, err
	}
	t.store.apply(append(updates, update{key: "", entry: t.deviceEntry(0)}))
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

// Refresh reads what the paths cover of links and counters, so that the next
// Snapshot holds what is true now.
func (t *Telemetry) Refresh(ctx context.Context, paths []schema.Path) error {
	for _, p := range paths {
		if overlaps(p, t.nodes.interfaces) {
			if err := t.refreshLinks(ctx, p); err != nil {
				return err
			}
		}
		if overlaps(p, t.nodes.proxies) {
			if err := t.refreshProxies(ctx, nil); err != nil {
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
