// Package agent puts the rooms together: it opens the drivers, loads the
// configuration, starts telemetry and serves. It is the only place that knows
// all of them, and holds no logic of its own beyond the order of start and stop.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"heddle/agent/access"
	"heddle/agent/datastore"
	"heddle/agent/rules"
	"heddle/kernel/drivers"
	"heddle/kernel/iproute"
	"heddle/kernel/nfprobe"
	"heddle/kernel/object"
	"heddle/kernel/prior"
	"heddle/kernel/probe"
	"heddle/kernel/rtnl"
	"heddle/kernel/sidprobe"
	"heddle/reconcile"
	"heddle/schema"
	"heddle/telemetry"
	"heddle/translators"
	"heddle/translators/all"
)

// revision is what this was built from; the linker sets it.
var revision = "unknown"

// Config is what an agent needs to know.
type Config struct {
	Listen   string // TCP address of the gNMI server; empty for none
	Unix     string // path of its unix socket; empty for none
	StateDir string

	// Plaintext is a TCP address where TLS is not spoken; empty for none. UnixGroup is
	// a group whose members may connect to the unix socket; empty for none.
	Plaintext, UnixGroup string

	// ClientCA and ClientCRL are PEM files: the authorities whose certificates name
	// clients over TCP, and what they revoked. Empty: client-ca.pem and client-crl.pem
	// in tls in StateDir, if they are there. TLSNames are further names and addresses
	// that the certificate made at first start is for.
	ClientCA, ClientCRL string
	TLSNames            []string

	// Limits are what clients may take.
	Limits access.Limits
	// Reload, if not nil, has certificates, passwords and roles read again at once.
	Reload <-chan os.Signal

	Drift DriftMode
	Log   *slog.Logger

	// between, if it is not nil, puts something between the agent and the kernel: for
	// tests of what happens in the middle of a Set.
	between func(reconcile.Driver) reconcile.Driver
}

// Agent is an agent that runs in the network namespace of the thread that made
// it.
type Agent struct {
	cfg     Config
	log     *slog.Logger
	started time.Time
	schema  *schema.Schema
	kernel  *drivers.Drivers
	words   iproute.Kernel // what commands have to say of the kernel
	slots   slots
	view    telemetry.Kernel
	prober  *sidprobe.Prober
	rec     *reconcile.Reconciler
	applier *applier
	dirty   *dirty
	store   *datastore.Store
	tel     *telemetry.Telemetry
	drift   *drift
	reach   *reach
	headers *telemetry.Headers

	capabilities []telemetry.Capability // of the kernel

	// disk is where the configuration is kept; nil: in the state directory.
	disk datastore.FS

	// scope names the life of the kernel state that counters belong to.
	scope    string
	counters *telemetry.Counters

	// turn is taken by a commit and the state made after it, and by state made
	// without a commit: what is in the middle of a commit is not state.
	turn    chan struct{}
	commits *commits
	late    late
}

// Run runs an agent until the context ends, which is no error.
func Run(ctx context.Context, cfg Config) error {
	a, err := New(cfg)
	if err != nil {
		return err
	}
	err = a.Run(ctx)
	return errors.Join(err, a.Close())
}

func newAgent(cfg Config) *Agent {
	return &Agent{cfg: cfg, log: cfg.Log, started: time.Now(), dirty: newDirty(), reach: newReach(), headers: telemetry.NewHeaders(), turn: make(chan struct{}, 1), commits: new(commits)}
}

// New takes the network namespace and the state directory, and reads what the
// kernel holds of an earlier life. It changes nothing in the kernel.
func New(cfg Config) (_ *Agent, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	a := newAgent(cfg)
	go func() { _, _ = schema.Heddle() }() // compiled while the kernel is asked; wire has the error
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	if a.scope, err = prior.Scope(); err != nil {
		return nil, fmt.Errorf("name this life of the network namespace: %w", err)
	}
	if a.kernel, err = drivers.Open(drivers.Config{StateDir: cfg.StateDir, ProxyTold: a.headers.Changed}); err != nil {
		return nil, err
	}
	known := a.knowKernel()
	a.capabilities = a.kernelCapabilities(a.kernel.Probe.Capabilities)
	driver := reconcile.Driver(a.kernel)
	if cfg.between != nil {
		driver = cfg.between(driver)
	}
	if err := a.wire(driver, kernelView{a.kernel}, known); err != nil {
		return nil, err
	}
	a.drift.net, a.words, a.slots = a.kernel.Net, a.kernel, a.kernel.Net
	a.reach.slots = a.slots
	if a.prober, err = sidprobe.Open(); err != nil {
		return nil, err
	}
	if a.reach.nfs.prober, err = nfprobe.Open(a.reach.nfs.reply); err != nil {
		return nil, err
	}
	return a, nil
}

// knowKernel asks the kernel what the translators have to know of it.
func (a *Agent) knowKernel() translators.Kernel {
	lacks := func(f rtnl.Feature, so string) bool {
		err := a.kernel.Probe.Supports(context.Background(), f)
		if err != nil {
			a.log.Info(so, "reason", err)
		}
		return err != nil
	}
	const own, ifb = "each route carries its encapsulation itself", "the link that carries the SIDs is an ifb"
	return translators.Kernel{
		OwnEncap4:  lacks(rtnl.FeatureSharedHop4, own),
		OwnEncap6:  lacks(rtnl.FeatureSharedHop6, own),
		SIDLinkIFB: a.kernel.Probe.Supports(context.Background(), rtnl.FeatureIFB) == nil && lacks(rtnl.FeatureDummy, ifb),
	}
}

// kernelCapabilities is all that a probe of the kernel has found out.
func (a *Agent) kernelCapabilities(probe func(context.Context) (probe.Capabilities, error)) []telemetry.Capability {
	caps, err := probe(context.Background())
	if err != nil {
		a.log.Warn("what the kernel can do is not known", "error", err)
		return nil
	}
	var all []telemetry.Capability
	for _, f := range slices.Sorted(maps.Keys(caps)) {
		s := caps[f]
		if s.Log != "" {
			a.log.Warn("the kernel refuses a program", "feature", f, "reason", s.Reason, "log", s.Log)
		}
		all = append(all, telemetry.Capability{Name: string(f), Supported: s.OK, Answer: s.Reason, Remedy: s.Remedy})
	}
	return all
}

// wire puts together what runs between a kernel and the clients.
func (a *Agent) wire(driver reconcile.Driver, view telemetry.Kernel, kernel translators.Kernel) error {
	var err error
	a.view = view
	if a.schema, err = schema.Heddle(); err != nil {
		return fmt.Errorf("compile the model: %w", err)
	}
	a.counters = telemetry.NewCounters(telemetry.CountersConfig{
		Kernel: view, Log: a.log, File: filepath.Join(a.cfg.StateDir, "sid-counters"), Scope: a.scope,
	})
	options := []reconcile.Option{
		reconcile.OnChange(a.dirty.add),
		reconcile.OriginText(func(origin string) string { return a.schema.Text(schema.EntryKey(origin)) }),
	}
	if a.cfg.Drift == DriftReport {
		options = append(options, reconcile.ReportOnly())
	}
	a.rec = reconcile.New(counting{driver, a.counters, a.log}, options...)
	a.drift = &drift{rec: a.rec, log: a.log, told: a.dirty.signal, event: a.reach.event, links: map[string]int{}}
	model, err := translators.NewModel(a.schema)
	if err != nil {
		return fmt.Errorf("find the model's nodes: %w", err)
	}
	a.applier = &applier{schema: a.schema, engine: all.Engine(model.For(kernel)), kernel: a.rec, dirty: a.dirty, withheld: a.drift.withheld, looked: a.reach.look}
	a.reach.kernel = view
	a.reach.nfs.attach(view, a.log, func(sid netip.Addr, matters bool) {
		a.dirty.add([]object.Key{object.ProxyKey(sid)})
		if matters {
			a.reach.look()
		}
	})
	a.applier.engine.Look(a.reach)
	check := rules.New(model)
	a.store, err = datastore.Open(datastore.Config{
		Schema: a.schema, Dir: filepath.Join(a.cfg.StateDir, "config"), FS: a.disk, Applier: a.applier, Log: a.log,
		MaxConfirm: a.cfg.Limits.Confirm, MaxLock: a.cfg.Limits.Lock,
		Terms: translators.Terms,
		Complete: func(next *datastore.Snapshot, changes []schema.Change) []schema.Change {
			return translators.Allocate(model, next, changes)
		},
		Rules: datastore.RulesFunc(func(old, new *datastore.Snapshot, changes []schema.Change) []error {
			return check.Check(old, new, changes)
		}),
	})
	if err != nil {
		return err
	}
	a.tel, err = telemetry.New(telemetry.Config{
		Schema: a.schema, Kernel: view, Intent: a.applier, Actual: a.applier, Log: a.log,
		Counters: a.counters, Drift: a.drift.counts, Lock: a.lockState, Commits: a.commits, NF: a.reach.nfs.state,
		System: telemetry.System{
			Hostname: hostname(), Version: revision, KernelRelease: kernelRelease(),
			Boot: bootTime(a.started), AgentStart: a.started, Capabilities: a.capabilities,
		},
	})
	return err
}

// Run loads the configuration and serves until the context ends.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	defer wg.Wait()
	background := func(what string, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", what, err))
			}
		})
	}
	defer cancel(nil)

	doors, err := a.openDoors(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = closeAll(doors.listeners) }() // those that serve has not closed itself
	events, err := a.drift.open(ctx)
	if err != nil {
		return err
	}
	background("drift", func(ctx context.Context) error { return a.drift.watch(ctx, events) })
	programs := a.probePrograms()
	if err := a.start(ctx); err != nil {
		return err
	}
	if err := a.tel.AddCapabilities(<-programs); err != nil {
		return err
	}
	ready := make(chan struct{})
	background("telemetry", func(ctx context.Context) error {
		return a.tel.Run(ctx, func() { close(ready) })
	})
	select {
	case <-ready:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	background("state", a.followKernel)
	background("paths", a.followReach)
	background("headers of SR proxies", func(ctx context.Context) error { return a.tel.FollowHeaders(ctx, a.headers) })
	background("probes of NFs", a.reach.nfs.run)
	background("repair", func(ctx context.Context) error {
		a.rec.Run(ctx, a.drift.report)
		return nil
	})
	background("confirm", a.takeBack)
	background("lock", a.followLock)
	background("serve", func(ctx context.Context) error { return a.serve(ctx, doors) })
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// probePrograms tries what the kernel can do with programs of ours while the
// configuration is loaded.
func (a *Agent) probePrograms() <-chan []telemetry.Capability {
	found := make(chan []telemetry.Capability, 1)
	if a.kernel == nil { // another one, in a test
		found <- nil
		return found
	}
	go func() { found <- a.kernelCapabilities(a.kernel.Probe.Programs) }()
	return found
}

// start loads the saved configuration. One that cannot be loaded leaves the
// kernel as it is and the agent reachable, so that somebody can mend it. State is
// made after it, as after a large commit.
func (a *Agent) start(ctx context.Context) error {
	shrink := letGarbageGrow()
	loaded, err := a.load(ctx)
	if err != nil {
		shrink()
		return err
	}
	a.turn <- struct{}{}
	a.late.run(func() {
		defer func() { <-a.turn }()
		a.dirty.take() // its state is made with all the rest
		a.refreshState(a.allEntries())
		if loaded {
			a.counters.Settle()
		}
	}, shrink)
	return nil
}

// load makes the saved configuration run; false: it is none that could.
func (a *Agent) load(ctx context.Context) (loaded bool, err error) {
	// The kernel is read while the file is: whoever needs what it holds waits.
	read := make(chan error, 1)
	go func() { read <- a.rec.Load(ctx) }()
	a.applier.loaded = sync.OnceValue(func() error { return <-read })
	res, err := a.store.Start(ctx)
	if err := a.applier.loaded(); err != nil {
		return false, fmt.Errorf("read what the kernel holds of ours: %w", err)
	}
	var bad *datastore.StartupError
	switch {
	case errors.As(err, &bad):
		a.log.Error("the saved configuration does not run: the kernel is as it was, and a replace of / mends it", "error", err)
		return false, nil
	case err != nil:
		return false, err
	}
	a.log.Info("configuration loaded", "revision", res.Revision, "entries", res.Entries)
	return true, nil
}

// letGarbageGrow spares collections of a heap that is being filled, until the
// function it returns is called; that gives back what was needed meanwhile.
func letGarbageGrow() (shrink func()) {
	const percent = 400
	before := debug.SetGCPercent(percent)
	return func() {
		debug.SetGCPercent(before)
		debug.FreeOSMemory()
	}
}

func (a *Agent) allEntries() []schema.EntryKey {
	var keys []schema.EntryKey
	a.store.Snapshot().Scan("", func(k schema.EntryKey, _ schema.GoStruct) bool {
		keys = append(keys, k)
		return true
	})
	return keys
}

// Close gives up the namespace and the state directory. What is configured
// stays in the kernel.
func (a *Agent) Close() error {
	var errs []error
	a.late.wait()
	if a.tel != nil {
		a.tel.Close()
	}
	if a.store != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		errs = append(errs, a.store.Close(ctx))
	}
	if a.prober != nil {
		a.prober.Close()
	}
	if p := a.reach.nfs.prober; p != nil {
		p.Close()
	}
	if a.kernel != nil {
		a.kernel.Close()
	}
	return errors.Join(errs...)
}

// statically: the translators' engine reads datastore snapshots.
var _ translators.Reader = (*datastore.Snapshot)(nil)
