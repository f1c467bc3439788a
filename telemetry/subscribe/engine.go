package subscribe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"

	"heddle/schema"
)

// Intervals that apply where Options leaves them out.
const (
	MinSample     = time.Second
	DefaultSample = 10 * time.Second
)

// Options is what an Engine is made of.
type Options struct {
	Schema *schema.Schema
	// Config and State are read through their feeds; their leaves are disjoint.
	Config, State Dataset
	// Refresher, if not nil, is asked before counters are read.
	Refresher Refresher
	// MinSample is the shortest sample and heartbeat interval; 0 is MinSample.
	MinSample time.Duration
	// DefaultSample is how often TargetDefined samples counters; 0 is
	// DefaultSample.
	DefaultSample time.Duration
}

// Engine serves subscriptions. It is safe for concurrent use.
type Engine struct {
	opts    Options
	plan    *plan
	sources [numSources]*source
	stopped chan struct{}
}

// Sink takes what a subscription yields. Calls come from one goroutine; one that
// blocks holds up its own subscription only.
type Sink interface {
	Send(*gnmi.Notification) error
	// Sync says that all initial values have been sent.
	Sync() error
}

// IntervalError is about an interval that the engine does not offer.
type IntervalError struct {
	Name      string // "sample_interval", "heartbeat_interval"
	Got, Want time.Duration
}

func (e *IntervalError) Error() string {
	return fmt.Sprintf("%s %v: the shortest offered is %v", e.Name, e.Got, e.Want)
}

// New returns an engine that follows both datasets from now on, once Run is
// called.
func New(o Options) *Engine {
	if o.MinSample == 0 {
		o.MinSample = MinSample
	}
	if o.DefaultSample == 0 {
		o.DefaultSample = max(DefaultSample, o.MinSample)
	}
	e := &Engine{opts: o, plan: newPlan(o.Schema), stopped: make(chan struct{})}
	for i, d := range [numSources]Dataset{o.Config, o.State} {
		e.sources[i] = newSource(i, o.Schema, d)
	}
	return e
}

// Run follows the feeds until ctx ends or a dataset closes; subscriptions then
// end with ErrStopped. It is called once.
func (e *Engine) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, numSources)
	for i, s := range e.sources {
		wg.Go(func() {
			defer cancel()
			errs[i] = s.run(ctx)
		})
	}
	wg.Wait()
	close(e.stopped)
	for _, err := range errs {
		if !errors.Is(err, context.Canceled) {
			return fmt.Errorf("follow changes: %w", err)
		}
	}
	return nil
}

// Once sends what the paths hold now, and Sync.
func (e *Engine) Once(ctx context.Context, req Request, sink Sink) error {
	if req.UpdatesOnly {
		return sink.Sync()
	}
	sel := newSelection(e.opts.Schema, e.patterns(req, nil))
	if err := e.refresh(ctx, sel.patterns); err != nil {
		return err
	}
	w := &writer{Encoder: req.Encoder, schema: e.opts.Schema, plan: e.plan}
	var trees [numSources]schema.Tree
	for i, s := range e.sourcesOf(req) {
		trees[i] = s.data.Snapshot()
	}
	if err := send(sink, w, sel, trees, time.Now(), everything); err != nil {
		return err
	}
	return sink.Sync()
}

// sourcesOf are those that a request wants.
func (e *Engine) sourcesOf(req Request) []*source {
	if req.ConfigOnly {
		return e.sources[:1]
	}
	return e.sources[:]
}

// HasConfig reports whether there is configuration at or under one of the paths.
func (e *Engine) HasConfig(paths []schema.Path) bool {
	for _, p := range paths {
		if e.plan.hasConfig[e.pattern(p).last] {
			return true
		}
	}
	return false
}

// Collect returns what one path holds in the given trees, leaf by leaf, for a
// Get in PROTO encoding; depth is that of a Request. Paths in the result are absolute.
func (e *Engine) Collect(trees []schema.Tree, path schema.Path, filter schema.Filter, depth int, enc Encoder, fn func(*gnmi.Update)) {
	p := e.pattern(path)
	p.limit(depth)
	sel := newSelection(e.opts.Schema, []*pattern{p})
	sc := e.opts.Schema
	for _, t := range trees {
		_ = sel.scan(t, func(k schema.EntryKey, entry schema.GoStruct, _ []*pattern) error {
			list, sees := sc.Node(k), enc.sees(k)
			if sees == nil {
				return nil
			}
			sc.Leaves(k, entry, schema.LeafOptions{Filter: filter, Defaults: true}, func(n *schema.Node, v schema.Value) bool {
				if p.covers(n, list) && sees(n) {
					fn(&gnmi.Update{Path: ProtoPath(sc.NodePath(k, n)), Val: enc.Value(sc, n, v)})
				}
				return true
			})
			return nil
		})
	}
}

// Refresh brings the state below the paths up to date.
func (e *Engine) Refresh(ctx context.Context, paths []schema.Path) error {
	if e.opts.Refresher == nil {
		return nil
	}
	var state []schema.Path
	for _, p := range paths {
		last := p.Last()
		if last == nil {
			last = e.opts.Schema.Root()
		}
		if e.plan.hasState[last] {
			state = append(state, p)
		}
	}
	if len(state) == 0 {
		return nil
	}
	if err := e.opts.Refresher.Refresh(ctx, state); err != nil {
		return fmt.Errorf("refresh state: %w", err)
	}
	return nil
}

// OnlyCounters reports whether the paths hold nothing but counters, of which
// OnChange would never tell anything.
func (e *Engine) OnlyCounters(paths []schema.Path) bool {
	for _, p := range paths {
		if !e.plan.onlyCounters(e.pattern(p).last) {
			return false
		}
	}
	return len(paths) > 0
}

func (e *Engine) refresh(ctx context.Context, patterns []*pattern) error {
	paths := make([]schema.Path, len(patterns))
	for i, p := range patterns {
		paths[i] = p.path
	}
	return e.Refresh(ctx, paths)
}

// pattern makes a pattern that wants no changes.
func (e *Engine) pattern(path schema.Path) *pattern {
	p := &pattern{path: path, last: path.Last(), isCounter: e.plan.isCounter, mode: Sample}
	if p.last == nil {
		p.last = e.opts.Schema.Root()
	}
	return p
}

// patterns makes those of a request; each is told of its subscription.
func (e *Engine) patterns(req Request, fn func(*pattern, Subscription)) []*pattern {
	var all []*pattern
	for _, s := range req.Subscriptions {
		for _, path := range s.Paths {
			p := e.pattern(path)
			p.mode, p.order = s.Mode, len(all)
			p.limit(req.Depth)
			all = append(all, p)
			if fn != nil {
				fn(p, s)
			}
		}
	}
	return all
}

func everything(*pattern, *schema.Node) bool { return true }

// send sends what the trees hold of a selection.
func send(sink Sink, w *writer, sel *selection, trees [numSources]schema.Tree, at time.Time, want func(*pattern, *schema.Node) bool) error {
	for _, t := range trees {
		if t == nil {
			continue
		}
		err := sel.scan(t, func(k schema.EntryKey, entry schema.GoStruct, hits []*pattern) error {
			if n := w.values(k, nil, entry, at, hits, want); n != nil {
				return sink.Send(n)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
