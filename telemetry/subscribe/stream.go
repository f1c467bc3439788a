package subscribe

import (
	"context"
	"time"

	"heddle/schema"
)

// stream is one STREAM subscription at work.
type stream struct {
	engine   *Engine
	sink     Sink
	writer   *writer
	sub      *subscriber
	samplers []*sampler
	sources  []*source
	done     func(Mark) error // nil: nobody wants to know
	// floor is the time of the latest values that were read from a tree. A
	// change that was under way then may bear an earlier time, and collectors
	// drop what looks older than what they have.
	floor time.Time
}

// sampler sends the values of some patterns again and again.
type sampler struct {
	sel     *selection
	want    func(*pattern, *schema.Node) bool
	every   time.Duration
	next    time.Time
	refresh bool
	// suppress leaves out what is as in last, except once every beat, if that is
	// not 0.
	suppress bool
	beat     time.Duration
	nextBeat time.Time
	last     [numSources]schema.Tree
	// resend are entries of which the subscriber was told since that something
	// went: last does not say any more what it knows of them.
	resend map[itemKey]bool
}

// Stream sends what the paths hold, Sync, and then what their modes ask for,
// until ctx ends or the sink fails.
func (e *Engine) Stream(ctx context.Context, req Request, sink Sink) error {
	for _, s := range req.Subscriptions {
		if err := e.check(s); err != nil {
			return err
		}
	}
	sub := &subscriber{schema: e.opts.Schema, wake: make(chan struct{}, 1), waiting: map[itemKey]*item{}}
	st := &stream{
		engine:  e,
		sink:    sink,
		writer:  &writer{Encoder: req.Encoder, schema: e.opts.Schema, plan: e.plan},
		sub:     sub,
		sources: e.sourcesOf(req),
		done:    req.Done,
	}
	sub.patterns = e.patterns(req, func(p *pattern, _ Subscription) { p.sub = sub })
	st.addSamplers(req)
	if !req.UpdatesOnly {
		if err := e.refresh(ctx, sub.patterns); err != nil {
			return err
		}
	}
	for _, s := range st.sources {
		if err := s.catchUp(ctx); err != nil {
			return err
		}
	}
	var trees [numSources]schema.Tree
	for i, s := range st.sources {
		trees[i] = s.join(sub, req.Done != nil)
		defer s.leave(sub)
	}
	now := time.Now()
	if !req.UpdatesOnly {
		st.floor = now
		if err := send(sink, st.writer, newSelection(e.opts.Schema, sub.patterns), trees, now, (*pattern).has); err != nil {
			return err
		}
	}
	if err := sink.Sync(); err != nil {
		return err
	}
	for _, sm := range st.samplers {
		if sm.suppress && !req.UpdatesOnly {
			sm.last = trees
		}
		sm.next, sm.nextBeat = now.Add(sm.every), now.Add(sm.beat)
	}
	return st.loop(ctx)
}

// check refuses intervals that are not offered.
func (e *Engine) check(s Subscription) error {
	if s.SampleInterval != 0 && s.SampleInterval < e.opts.MinSample {
		return &IntervalError{Name: "sample_interval", Got: s.SampleInterval, Want: e.opts.MinSample}
	}
	if s.Heartbeat != 0 && s.Heartbeat < e.opts.MinSample {
		return &IntervalError{Name: "heartbeat_interval", Got: s.Heartbeat, Want: e.opts.MinSample}
	}
	return nil
}

// addSamplers makes what has to be sent by the clock: one or two samplers for
// each subscription.
func (st *stream) addSamplers(req Request) {
	e := st.engine
	counter := func(_ *pattern, n *schema.Node) bool { return e.plan.isCounter(n) }
	rest := func(_ *pattern, n *schema.Node) bool { return !e.plan.isCounter(n) }
	from := 0
	for _, s := range req.Subscriptions {
		patterns := st.sub.patterns[from : from+len(s.Paths)]
		from += len(s.Paths)
		interval := s.SampleInterval
		add := func(sm sampler) {
			sm.sel = newSelection(e.opts.Schema, patterns)
			sm.resend = map[itemKey]bool{}
			st.samplers = append(st.samplers, &sm)
		}
		switch s.Mode {
		case Sample:
			if interval == 0 {
				interval = e.opts.MinSample
			}
			add(sampler{want: everything, every: interval, refresh: true, suppress: s.SuppressRedundant, beat: s.Heartbeat})
		case OnChange:
			if s.Heartbeat != 0 {
				add(sampler{want: rest, every: s.Heartbeat})
			}
		case TargetDefined:
			if interval == 0 {
				interval = e.opts.DefaultSample
			}
			if e.plan.anyCounter(patterns) {
				add(sampler{want: counter, every: interval, refresh: true, suppress: s.SuppressRedundant, beat: s.Heartbeat})
			}
			if s.Heartbeat != 0 {
				add(sampler{want: rest, every: s.Heartbeat})
			}
		}
	}
}

// loop sends changes as they come and samples as they fall due.
func (st *stream) loop(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		due, err := st.sampleDue(ctx)
		if err != nil {
			return err
		}
		it := st.sub.pop()
		if it != nil {
			if err := st.sendItem(it); err != nil {
				return err
			}
			continue
		}
		var tick <-chan time.Time
		if !due.IsZero() {
			timer.Reset(time.Until(due))
			tick = timer.C
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-st.engine.stopped:
			return ErrStopped
		case <-st.sub.wake:
		case <-tick:
		}
	}
}

// sampleDue takes the samples that are due and says when the next one will be;
// the zero time if none ever.
func (st *stream) sampleDue(ctx context.Context) (next time.Time, err error) {
	if len(st.samplers) == 0 {
		return time.Time{}, nil
	}
	now := time.Now()
	for _, sm := range st.samplers {
		if !now.Before(sm.next) {
			if err := st.sample(ctx, sm); err != nil {
				return time.Time{}, err
			}
			// Samples that were missed because the subscriber is slow are not
			// made up for.
			now = time.Now()
			for !now.Before(sm.next) {
				sm.next = sm.next.Add(max(sm.every, now.Sub(sm.next).Truncate(sm.every)))
			}
		}
		if next.IsZero() || sm.next.Before(next) {
			next = sm.next
		}
	}
	return next, nil
}

func (st *stream) sample(ctx context.Context, sm *sampler) error {
	if sm.refresh {
		if err := st.engine.refresh(ctx, sm.sel.patterns); err != nil {
			return err
		}
	}
	for _, s := range st.sources {
		if err := s.catchUp(ctx); err != nil {
			return err
		}
	}
	now := time.Now()
	st.floor = now
	full := !sm.suppress
	if sm.beat != 0 && !now.Before(sm.nextBeat) {
		full = true
		sm.nextBeat = now.Add(sm.beat)
	}
	for i, s := range st.sources {
		// The tree is where this subscriber's queue stands: what is still in
		// the queue is older than what the sample says, or the same.
		tree, last := s.current(), sm.last[i]
		err := sm.sel.scan(tree, func(k schema.EntryKey, entry schema.GoStruct, hits []*pattern) error {
			var before schema.GoStruct
			if !full && last != nil && !sm.resend[itemKey{i, k}] {
				if before, _ = last.Get(k); before == entry {
					return nil
				}
			}
			if n := st.writer.values(k, before, entry, now, hits, sm.want); n != nil {
				return st.sink.Send(n)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if sm.suppress {
			sm.last[i] = tree
		}
	}
	clear(sm.resend)
	return nil
}

func (st *stream) sendItem(it *item) error {
	if it.mark != nil {
		return st.done(*it.mark)
	}
	if it.at.Before(st.floor) {
		it.at = st.floor
	}
	n := st.writer.change(it)
	if n == nil {
		return nil
	}
	if len(n.Delete) > 0 {
		for _, sm := range st.samplers {
			if sm.suppress {
				sm.resend[it.itemKey] = true
			}
		}
	}
	return st.sink.Send(n)
}
