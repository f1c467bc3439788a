package agent

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"heddle/kernel/object"
	"heddle/kernel/rtnl"
	"heddle/reconcile"
	"heddle/telemetry"
)

// DriftMode says what to do about what somebody else changed in the kernel.
type DriftMode uint8

// The modes; the first is the default.
const (
	DriftRepair DriftMode = iota // put it right
	DriftReport                  // log it, count it, show it, and leave it
)

// MarshalText implements encoding.TextMarshaler.
func (m DriftMode) MarshalText() ([]byte, error) {
	if m == DriftReport {
		return []byte("report"), nil
	}
	return []byte("repair"), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *DriftMode) UnmarshalText(b []byte) error {
	switch string(b) {
	case "repair":
		*m = DriftRepair
	case "report":
		*m = DriftReport
	default:
		return fmt.Errorf("%q is neither repair nor report", b)
	}
	return nil
}

const (
	// settingsPeriod is how often sysctls and the tunnel source are read: Linux has
	// no event for them, and inotify sees nothing below /proc/sys.
	settingsPeriod = 5 * time.Second

	// reopenAfter is the pause before events are asked for again.
	reopenAfter = time.Second

	// logMost is how many objects of one repair are logged each for itself.
	logMost = 20

	// minMTUIPv6 is the MTU in octets below which a link loses IPv6 (RFC 8200 §5).
	minMTUIPv6 = 1280
)

// drift watches for changes of our objects that somebody else makes.
type drift struct {
	net  *rtnl.Driver
	rec  *reconcile.Reconciler
	log  *slog.Logger
	told func() // that the counts changed

	// event is told of each event first.
	event func(rtnl.Event)

	// links are the indices of the links by name, to find out after a loss of
	// events which are others now. Only watch uses it.
	links map[string]int

	mu   sync.Mutex // guards seen
	seen telemetry.Drift
}

// open starts to listen. What happens from now on is not missed.
func (d *drift) open(ctx context.Context) (<-chan rtnl.Event, error) {
	events, err := d.net.Watch(ctx)
	if err != nil {
		return nil, fmt.Errorf("watch for drift: %w", err)
	}
	return events, nil
}

// watch hands on what may have drifted until the context ends. events are those
// of open, before the kernel was read.
func (d *drift) watch(ctx context.Context, events <-chan rtnl.Event) error {
	settings := time.NewTicker(settingsPeriod)
	defer settings.Stop()
	first := true
	for {
		select {
		case <-ctx.Done():
			for range events { // until its goroutine has ended
			}
			return nil
		case <-settings.C:
			d.rec.Notice(reconcile.Look{Kinds: []object.Kind{object.KindSysctl, object.KindTunnelSource, object.KindHMACKey,
				object.KindProxyPort, object.KindProxy}})
		case e, ok := <-events:
			if !ok {
				if events = d.reopen(ctx); events == nil {
					return nil
				}
				continue
			}
			d.event(e)
			l := d.look(ctx, e)
			if first && e.Kind == rtnl.EventResync {
				first = false // everything is read behind it anyway
				continue
			}
			d.rec.Notice(l)
		}
	}
}

// reopen returns new events, nil when the context ended.
func (d *drift) reopen(ctx context.Context) <-chan rtnl.Event {
	for ctx.Err() == nil {
		events, err := d.open(ctx)
		if err == nil {
			return events
		}
		d.log.Error("drift goes unseen until events can be watched again", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(reopenAfter):
		}
	}
	return nil
}

// look says where to look after an event.
func (d *drift) look(ctx context.Context, e rtnl.Event) reconcile.Look {
	switch e.Kind {
	case rtnl.EventResync:
		return reconcile.Look{Kinds: object.Kinds(), Renewed: d.renewed(ctx)}
	case rtnl.EventLink:
		return d.lookAtLink(e)
	case rtnl.EventAddress:
		return d.lookAtAddress(e)
	case rtnl.EventNeighbour:
		return d.lookAtNeighbour(e)
	case rtnl.EventRoute:
		return d.lookAtRoute(e)
	case rtnl.EventNextHop:
		if e.Gone {
			return reconcile.Look{Behind: e.Keys} // with the routes by it
		}
		return reconcile.Look{Kinds: []object.Kind{object.KindNextHop}}
	}
	return reconcile.Look{}
}

// renewed lists the links that are others now than those last known by their
// names.
func (d *drift) renewed(ctx context.Context) []object.Key {
	links, err := d.net.Links(ctx)
	if err != nil {
		// The kinds are read, too, and that error is reported.
		return nil
	}
	var keys []object.Key
	now := make(map[string]int, len(links))
	for _, l := range links {
		now[l.Name] = l.Index
		if d.links[l.Name] != l.Index && !d.net.Made(l.Index) {
			keys = append(keys, object.LinkKey(l.Name))
		}
	}
	d.links = now
	return keys
}

func (d *drift) lookAtLink(e rtnl.Event) (l reconcile.Look) {
	was, is := e.Before, e.Link
	key := object.LinkKey(is.Name)
	if e.Gone {
		if d.links[is.Name] == is.Index {
			delete(d.links, is.Name)
		}
		if !d.net.Ended(is.Index) {
			l.Behind = []object.Key{key}
		}
		return l
	}
	d.links[is.Name] = is.Index
	if was.Index == 0 {
		if !d.net.Made(is.Index) {
			l.Renewed = []object.Key{key}
		}
		return l
	}
	if was.Name != is.Name {
		if d.links[was.Name] == is.Index {
			delete(d.links, was.Name)
		}
		l.Kinds = append(l.Kinds, object.KindLink)
		l.Behind = append(l.Behind, key, object.LinkKey(was.Name))
	}
	// Down takes addresses and routes along, and so does moving to a VRF. Up takes
	// nothing, but what could not be put right while it was down can be now.
	up := !was.Up && is.Up && d.rec.Troubled()
	if up || was.Up && !is.Up || was.Master != is.Master || was.MTU >= minMTUIPv6 != (is.MTU >= minMTUIPv6) {
		l.Behind = append(l.Behind, key)
	}
	if was.MTU != is.MTU {
		l.Kinds = append(l.Kinds, object.KindLinkConfig)
	}
	if was.Ours != is.Ours || was.Peer != is.Peer || was.Table != is.Table || was.Parent != is.Parent || was.Bound != is.Bound || was.Tunnel != is.Tunnel {
		l.Kinds = append(l.Kinds, object.KindLink)
	}
	return l
}

func (d *drift) lookAtAddress(e rtnl.Event) (l reconcile.Look) {
	a := e.Address
	if a.Link == "" {
		return l // with its link, of which there is an event
	}
	o := object.Address{Link: a.Link, Prefix: a.Prefix}
	switch {
	case a.Ours && !e.Gone:
		l.Seen = map[object.Key]object.Object{o.Key(): o}
	case a.Ours, d.rec.Knows(o.Key()):
		l.Seen = map[object.Key]object.Object{o.Key(): nil}
	}
	if e.Gone && a.Prefix.Addr().Is4() {
		// The last one takes the IPv4 routes along, without an event.
		l.Behind = []object.Key{object.LinkKey(a.Link)}
	}
	return l
}

func (d *drift) lookAtNeighbour(e rtnl.Event) (l reconcile.Look) {
	key := e.Keys[0]
	switch {
	case !e.Gone:
		l.Seen = map[object.Key]object.Object{key: e.Neighbour}
	case d.rec.Knows(key):
		l.Seen = map[object.Key]object.Object{key: nil}
	}
	return l
}

func (d *drift) lookAtRoute(e rtnl.Event) (l reconcile.Look) {
	l.Seen = make(map[object.Key]object.Object, len(e.Keys))
	for _, k := range e.Keys {
		switch {
		case e.Route != nil && !e.Gone && e.Route.Key() == k:
			l.Seen[k] = e.Route
		case d.rec.Knows(k):
			l.Seen[k] = nil
		}
	}
	return l
}

// withheld takes what a start could not put in place to the log and to the counts.
func (d *drift) withheld(found []reconcile.Found) {
	if len(found) == 0 {
		return
	}
	d.log.Error("the saved configuration does not run as a whole: what is withheld follows when what keeps it is over", "withheld", len(found))
	d.count(found, "withheld", func(f reconcile.Found) {
		d.log.Warn("withheld", "object", f.Key.String(), "path", f.Origin, "error", f.Err)
	})
}

// report takes what a repair found to the log and to the counts.
func (d *drift) report(found []reconcile.Found, err error) {
	if err != nil {
		d.log.Error("cannot look for drift: it is tried again", "error", err)
	}
	if len(found) > 0 {
		d.count(found, "drift", d.logOne)
	}
}

// count takes found to the counts, and has each logged unless they are many.
func (d *drift) count(found []reconcile.Found, what string, logOne func(reconcile.Found)) {
	logged := 0
	d.mu.Lock()
	for _, f := range found {
		if f.First {
			d.seen.Detected++
		}
		reason := f.Wrong()
		if f.Err != nil {
			d.seen.Failed++
			reason += ": " + f.Err.Error()
		} else {
			d.seen.Repaired++
		}
		if f.Repeated {
			continue
		}
		d.seen.Object, d.seen.Reason, d.seen.At = f.Key.String(), reason, time.Now()
		if logged++; logged <= logMost {
			logOne(f)
		}
	}
	d.mu.Unlock()
	if logged > logMost {
		d.log.Warn(what+" of more objects", "objects", logged-logMost)
	}
	d.told()
}

func (d *drift) logOne(f reconcile.Found) {
	args := []any{"object", f.Key.String(), "path", f.Origin, "found", f.Wrong()}
	if f.Err != nil {
		d.log.Warn("drift, not repaired", append(args, "error", f.Err)...)
		return
	}
	d.log.Warn("drift, repaired", args...)
}

// counts is what telemetry shows.
func (d *drift) counts() telemetry.Drift {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen
}
