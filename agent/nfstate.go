package agent

import (
	"fmt"
	"time"

	"heddle/kernel/nfprobe"
	"heddle/kernel/object"
	"heddle/telemetry"
	"heddle/translators"
)

// nf is an NF and what its probes have found.
type nf struct {
	place   translators.NFPlace
	id      uint64 // of echo requests
	verdict telemetry.Reachability

	// presumed: an agent before this one has found it down. As long as nothing else is
	// known that stands.
	presumed bool

	good, bad     uint8  // probes in a row
	sent, replied bool   // the last probe
	unsent        error  // why it could not be sent
	reason        string // why it was found unreachable last
}

// isDown reports whether packets are not to go to it.
func (n *nf) isDown() bool {
	return n.verdict == telemetry.Unreachable || n.verdict == telemetry.UnknownReachability && n.presumed
}

// seen takes in whether a probe was answered, and reports whether that changes what is
// thought of the NF.
func (n *nf) seen(answered bool, p *translators.NFProbe) (changed bool) {
	was := n.verdict
	if !answered {
		n.good, n.bad = 0, min(n.bad, 254)+1
		if n.bad >= p.Down {
			n.verdict = telemetry.Unreachable
		}
		return n.verdict != was
	}
	n.good, n.bad = min(n.good, 254)+1, 0
	if first := was == telemetry.UnknownReachability && !n.presumed; first || n.good >= p.Up {
		n.verdict = telemetry.Reachable
	}
	return n.verdict != was
}

// cut takes in that one of its links carries no packets.
func (n *nf) cut() (changed bool) {
	changed = n.verdict != telemetry.Unreachable
	n.verdict, n.good, n.bad, n.sent = telemetry.Unreachable, 0, 0, false
	return changed
}

// watched is the NF of a SID, with its standby NF.
type watched struct {
	probe            translators.NFProbe
	primary, standby nf

	next  time.Time // when it is probed again
	place int       // in the queue

	since       time.Time // of the verdict; zero: not since the agent started
	transitions uint64
}

// watchedFor makes a watched NF, of one before it for the same SID, or of the mode that the
// kernel has for the SID.
func watchedFor(p translators.NFProbe, before *watched, held object.ProxyMode) *watched {
	w := &watched{probe: p, primary: nf{place: p.NF}, standby: nf{place: p.Standby}}
	if before == nil {
		w.primary.presumed = held != object.ProxyToNF
		w.standby.presumed = held == object.ProxyDrop
		return w
	}
	w.since, w.transitions = before.since, before.transitions
	for _, n := range []struct{ is, was *nf }{{&w.primary, &before.primary}, {&w.standby, &before.standby}} {
		if n.is.place == n.was.place && before.probe.Kind == p.Kind {
			*n.is = *n.was
		}
	}
	return w
}

// mode is what is to become of packets.
func (w *watched) mode() object.ProxyMode {
	switch {
	case !w.primary.isDown():
		return object.ProxyToNF
	case w.probe.WhenDown == object.ProxyToStandby && w.standby.isDown():
		return object.ProxyDrop
	}
	return w.probe.WhenDown
}

// each calls fn for the NFs that there are.
func (w *watched) each(fn func(*nf)) {
	fn(&w.primary)
	if w.standby.place.Out != "" {
		fn(&w.standby)
	}
}

// found notes that what is thought of an NF has changed.
func (w *watched) found(n *nf, was telemetry.Reachability, now time.Time, reason string) {
	if n.verdict == telemetry.Unreachable {
		n.reason = reason
	}
	if n != &w.primary {
		return
	}
	w.since = now
	if was != telemetry.UnknownReachability {
		w.transitions++
	}
}

// unanswered says why an NF is taken to be down that does not answer.
func (w *watched) unanswered(n *nf) string {
	if n.unsent != nil {
		return n.unsent.Error()
	}
	what := "ICMP echo requests"
	if w.probe.Kind == translators.ProbeNeighbor {
		if what = "ARP requests"; n.place.Hop.Is6() {
			what = "neighbour solicitations"
		}
	}
	return fmt.Sprintf("%s has not answered %d %s by %s", n.place.Hop, w.probe.Down, what, n.place.Out)
}

// kindOf is how the NF is asked, 0 if it is not.
func kindOf(p *translators.NFProbe) nfprobe.Kind {
	switch p.Kind {
	case translators.ProbeNeighbor:
		return nfprobe.Neighbor
	case translators.ProbeICMP:
		return nfprobe.Echo
	}
	return 0
}

// state is what telemetry shows.
func (w *watched) state() telemetry.NFState {
	return telemetry.NFState{Reachability: w.primary.verdict, Standby: w.standby.verdict,
		Transitions: w.transitions, Reason: w.primary.reason, Since: w.since}
}

// queue is the watched NFs in the order in which they are probed again, a
// heap.Interface.
type queue []*watched

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	w := x.(*watched)
	w.place = len(*q)
	*q = append(*q, w)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	w := (*q)[last]
	*q = (*q)[:last]
	return w
}
