package agent

import (
	"container/heap"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"heddle/kernel/nfprobe"
	"heddle/kernel/object"
	"heddle/kernel/rtnl"
	"heddle/telemetry"
	"heddle/translators"
)

// liveness probes NFs, and says what is to become of packets for their SIDs. What it
// finds is a fact for the translators, by way of reach.
type liveness struct {
	kernel telemetry.Kernel
	log    *slog.Logger
	prober *nfprobe.Prober // nil: nobody is asked
	wake   chan struct{}   // the queue has another head

	// told is called when there is something new about the NF of a SID; matters: what
	// becomes of packets changes.
	told func(sid netip.Addr, matters bool)

	mu     sync.Mutex // guards what follows
	all    map[netip.Addr]*watched
	byAddr map[netip.Addr]map[*watched]struct{} // by the addresses of NFs
	links  map[string]*nfLink
	queue  queue
	lastID uint64

	// held is what the kernel does for SIDs in the place of sending packets to their NF,
	// as the agent found it when it started; nil: nobody has asked, or it is of no use
	// any more.
	held    map[netip.Addr]object.ProxyMode
	started bool
}

// linkFact is how a link is; zero: it is not there.
type linkFact struct {
	index          int
	there, carries bool
}

// nfLink is a link that NFs are reached by.
type nfLink struct {
	linkFact
	users map[*watched]struct{}
}

func newLiveness() *liveness {
	return &liveness{wake: make(chan struct{}, 1), all: map[netip.Addr]*watched{}, byAddr: map[netip.Addr]map[*watched]struct{}{},
		links: map[string]*nfLink{}}
}

// attach has it look at a kernel, and tell of what it finds.
func (l *liveness) attach(kernel telemetry.Kernel, log *slog.Logger, told func(sid netip.Addr, matters bool)) {
	l.kernel, l.log, l.told = kernel, log, told
}

// fact is what the probes of an NF have found so far.
func (l *liveness) fact(p translators.NFProbe) translators.NFFact {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.all[p.SID]
	if w == nil || w.probe != p {
		w = l.begin(p)
	}
	return l.factOf(w)
}

// begin makes what p asks for. It needs l.mu.
func (l *liveness) begin(p translators.NFProbe) *watched {
	if !l.started && l.held == nil {
		l.held = map[netip.Addr]object.ProxyMode{}
		read, err := l.kernel.Proxies(context.Background(), nil)
		if err != nil {
			l.log.Warn("what became of packets for NFs that were down is not known: they are taken to be there", "error", err)
		}
		for i := range read {
			l.held[read[i].SID] = read[i].Mode
		}
	}
	return watchedFor(p, l.all[p.SID], l.held[p.SID])
}

// factOf needs l.mu.
func (l *liveness) factOf(w *watched) translators.NFFact {
	f := translators.NFFact{Mode: w.mode(), Gone: l.gone(w.primary.place)}
	if w.standby.place.Out != "" {
		f.StandbyGone = l.gone(w.standby.place)
	}
	return f
}

// gone reports whether a link of an NF is not there. One that is not known may be made
// by the Set that asks.
func (l *liveness) gone(n translators.NFPlace) bool {
	for _, name := range []string{n.Out, n.In} {
		if k := l.links[name]; k != nil && !k.there {
			return true
		}
	}
	return false
}

// follow has these NFs probed, and no others.
func (l *liveness) follow(probes []translators.NFProbe) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	keep := make(map[netip.Addr]struct{}, len(probes))
	for _, p := range probes {
		keep[p.SID] = struct{}{}
		had := l.all[p.SID]
		if had != nil && had.probe == p {
			continue
		}
		w := l.begin(p)
		if had != nil {
			l.forget(had)
		}
		l.watch(w, now)
	}
	for sid, w := range l.all {
		if _, ok := keep[sid]; !ok {
			l.forget(w)
		}
	}
	l.held, l.started = nil, true
}

// watch needs l.mu.
func (l *liveness) watch(w *watched, now time.Time) {
	l.all[w.probe.SID] = w
	w.each(func(n *nf) {
		l.lastID++
		n.id = l.lastID
		if l.byAddr[n.place.Hop] == nil {
			l.byAddr[n.place.Hop] = map[*watched]struct{}{}
		}
		l.byAddr[n.place.Hop][w] = struct{}{}
		for _, name := range []string{n.place.Out, n.place.In} {
			if l.links[name] == nil {
				l.links[name] = &nfLink{linkFact: l.look(name), users: map[*watched]struct{}{}}
			}
			l.links[name].users[w] = struct{}{}
		}
	})
	w.next = now
	heap.Push(&l.queue, w)
	l.check(w, now)
	l.told(w.probe.SID, false)
	if w.place == 0 {
		l.signal()
	}
}

// forget needs l.mu.
func (l *liveness) forget(w *watched) {
	delete(l.all, w.probe.SID)
	heap.Remove(&l.queue, w.place)
	w.each(func(n *nf) {
		if delete(l.byAddr[n.place.Hop], w); len(l.byAddr[n.place.Hop]) == 0 {
			delete(l.byAddr, n.place.Hop)
		}
		for _, name := range []string{n.place.Out, n.place.In} {
			if k := l.links[name]; k != nil {
				if delete(k.users, w); len(k.users) == 0 {
					delete(l.links, name)
				}
			}
		}
	})
}

func (l *liveness) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func linkFactOf(index int, there, up bool, oper object.Oper) linkFact {
	if !there {
		return linkFact{}
	}
	return linkFact{index, true, up && (oper == object.OperUp || oper == object.OperUnknown)}
}

// look asks the kernel how a link is.
func (l *liveness) look(name string) linkFact {
	s, _, ok, err := l.kernel.Link(context.Background(), name)
	return linkFactOf(s.Index, ok && err == nil, s.Up, s.Oper)
}

// event takes in what happens to links.
func (l *liveness) event(e rtnl.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return
	}
	switch e.Kind {
	case rtnl.EventResync:
		for name := range l.links {
			l.update(name, l.look(name))
		}
	case rtnl.EventLink:
		was, is := e.Before.Name, e.Link
		if was != is.Name { // renamed; nobody else has its name yet
			l.update(was, linkFact{})
		}
		l.update(is.Name, linkFactOf(is.Index, !e.Gone, is.Up, object.Oper(is.Oper)))
	}
}

// update notes how a link is, and looks again at the NFs that are reached by it if it
// was not so before. It needs l.mu.
func (l *liveness) update(name string, now linkFact) {
	k := l.links[name]
	if k == nil || k.linkFact == now {
		return
	}
	k.linkFact = now
	for w := range k.users {
		l.check(w, time.Now())
		l.told(w.probe.SID, true)
	}
}

// check takes in which links of an NF carry no packets. It needs l.mu.
func (l *liveness) check(w *watched, now time.Time) {
	w.each(func(n *nf) {
		if reason := l.dead(n.place); reason != "" {
			if was := n.verdict; n.cut() {
				w.found(n, was, now, reason)
				l.note(w, n)
			}
		}
	})
}

// dead says which link of an NF carries no packets, "" if all do.
func (l *liveness) dead(n translators.NFPlace) string {
	for _, name := range []string{n.Out, n.In} {
		switch k := l.links[name]; {
		case !k.there:
			return fmt.Sprintf("interface %s is not there", name)
		case !k.carries:
			return fmt.Sprintf("interface %s is down or has no carrier", name)
		}
	}
	return ""
}

// note takes what has been found to the log. It needs l.mu.
func (l *liveness) note(w *watched, n *nf) {
	args := []any{"sid", w.probe.SID, "nf", n.place.Hop, "packets", w.mode()}
	if n.verdict == telemetry.Unreachable {
		l.log.Warn("an NF is down", append(args, "reason", n.reason)...)
	} else {
		l.log.Info("an NF is reachable", args...)
	}
}

// reply takes in an answer. The first one is enough to know that an NF is there.
func (l *liveness) reply(r nfprobe.Reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.byAddr[r.Addr] {
		w.each(func(n *nf) {
			k := l.links[n.place.Out]
			if n.place.Hop != r.Addr || kindOf(&w.probe) != r.Kind || r.Kind == nfprobe.Echo && r.ID != n.id || r.Kind == nfprobe.Neighbor && r.Index != k.index {
				return
			}
			if n.replied = true; n.verdict == telemetry.UnknownReachability && !n.presumed && l.dead(n.place) == "" {
				l.seen(w, n, true, time.Now())
			}
		})
	}
}

// seen takes in whether a probe was answered. It needs l.mu.
func (l *liveness) seen(w *watched, n *nf, answered bool, now time.Time) {
	was, mode := n.verdict, w.mode()
	if !n.seen(answered, &w.probe) {
		return
	}
	w.found(n, was, now, w.unanswered(n))
	l.note(w, n)
	l.told(w.probe.SID, w.mode() != mode)
}

// run probes until the context ends.
func (l *liveness) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if next, ok := l.due(time.Now()); ok {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		case <-timer.C:
		}
	}
}

// due does what is due, and returns when there is something to do again; false: never.
func (l *liveness) due(now time.Time) (next time.Time, ok bool) {
	var ask []question
	l.mu.Lock()
	for len(l.queue) > 0 && !l.queue[0].next.After(now) {
		w := l.queue[0]
		ask = l.turn(w, now, ask)
		interval := time.Duration(w.probe.Interval) * time.Millisecond
		if w.next = w.next.Add(interval); w.next.Before(now) { // the machine has slept, or is short of time
			w.next = now.Add(interval)
		}
		heap.Fix(&l.queue, 0)
	}
	if ok = len(l.queue) > 0; ok {
		next = l.queue[0].next
	}
	l.mu.Unlock()
	l.ask(ask)
	return next, ok
}

// question is a probe that is to be sent.
type question struct {
	nfprobe.Target
	of *nf
}

// turn takes in what has become of the last probes of an NF, and adds the next ones. It
// needs l.mu.
func (l *liveness) turn(w *watched, now time.Time, ask []question) []question {
	l.check(w, now)
	kind := kindOf(&w.probe)
	w.each(func(n *nf) {
		switch {
		case l.dead(n.place) != "":
			return
		case kind == 0:
			l.seen(w, n, true, now)
			return
		case n.sent:
			l.seen(w, n, n.replied, now)
		}
		n.sent, n.replied = true, false
		ask = append(ask, question{nfprobe.Target{Kind: kind, Addr: n.place.Hop, Link: n.place.Out, Index: l.links[n.place.Out].index, ID: n.id}, n})
	})
	return ask
}

// ask sends probes, without l.mu.
func (l *liveness) ask(all []question) {
	if l.prober == nil {
		return
	}
	for _, q := range all {
		err := l.prober.Send(q.Target)
		l.mu.Lock()
		q.of.unsent = err
		l.mu.Unlock()
	}
}

// state is what telemetry shows of the NF of a SID; zero if nobody has begun to probe it.
func (l *liveness) state(sid netip.Addr) telemetry.NFState {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.all[sid]
	if w == nil {
		return telemetry.NFState{}
	}
	return w.state()
}
