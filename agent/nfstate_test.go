package agent

import (
	"net/netip"
	"testing"
	"time"

	"heddle/kernel/object"
	"heddle/telemetry"
	"heddle/translators"
)

func probeOf(whenDown object.ProxyMode) translators.NFProbe {
	p := translators.NFProbe{SID: netip.MustParseAddr("2001:db8:0:1:ad01::"), Kind: translators.ProbeICMP, Interval: 1000, Down: 3, Up: 2,
		WhenDown: whenDown, NF: translators.NFPlace{Hop: netip.MustParseAddr("192.168.1.2"), Out: "e1", In: "e1"}}
	if whenDown == object.ProxyToStandby {
		p.Standby = translators.NFPlace{Hop: netip.MustParseAddr("192.168.2.2"), Out: "e2", In: "e2"}
	}
	return p
}

// TestVerdicts: an NF is down after so many probes without an answer in a row, and back
// after so many with one; a link without carrier is enough at once.
func TestVerdicts(t *testing.T) {
	const (
		unknown, up, down = telemetry.UnknownReachability, telemetry.Reachable, telemetry.Unreachable
	)
	p := probeOf(object.ProxyBypass)
	for name, tt := range map[string]struct {
		presumed bool
		probes   string // + answered, - not, ! a link without carrier
		want     []telemetry.Reachability
	}{
		"the first answer is enough":            {false, "+--+---+-++", []telemetry.Reachability{up, up, up, up, up, up, down, down, down, down, up}},
		"silence from the beginning":            {false, "---++", []telemetry.Reachability{unknown, unknown, down, down, up}},
		"known to be down from before":          {true, "+-++", []telemetry.Reachability{unknown, unknown, unknown, up}},
		"known to be down, and it is":           {true, "---", []telemetry.Reachability{unknown, unknown, down}},
		"a carrier is lost":                     {false, "+!+!++", []telemetry.Reachability{up, down, down, down, down, up}},
		"an answer now and then is no comeback": {false, "!+-+-+-++", []telemetry.Reachability{down, down, down, down, down, down, down, down, up}},
	} {
		t.Run(name, func(t *testing.T) {
			n := nf{presumed: tt.presumed}
			for i, c := range tt.probes {
				before := n.verdict
				changed := false
				if c == '!' {
					changed = n.cut()
				} else {
					changed = n.seen(c == '+', &p)
				}
				if n.verdict != tt.want[i] || changed != (before != n.verdict) {
					t.Fatalf("after %s: %d (changed %t), want %d", tt.probes[:i+1], n.verdict, changed, tt.want[i])
				}
			}
		})
	}
	n := nf{}
	for range 1000 {
		n.seen(true, &p)
	}
	for range 1000 {
		n.seen(false, &p)
	}
	if n.verdict != telemetry.Unreachable || n.good != 0 || n.bad != 255 {
		t.Errorf("after a thousand of each: %+v", n)
	}
}

// TestModes: what becomes of packets, of what is known of both NFs, and what an agent
// takes over of one before it.
func TestModes(t *testing.T) {
	is := func(w *watched, want object.ProxyMode, when string) {
		t.Helper()
		if got := w.mode(); got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	w := watchedFor(probeOf(object.ProxyToStandby), nil, object.ProxyToNF)
	is(w, object.ProxyToNF, "nothing is known")
	w.primary.cut()
	is(w, object.ProxyToStandby, "the NF is down")
	w.standby.cut()
	is(w, object.ProxyDrop, "both are down")
	for range 2 {
		w.standby.seen(true, &w.probe)
	}
	is(w, object.ProxyToStandby, "the standby NF is back")
	w.transitions, w.since = 7, time.Unix(1, 0)

	again := watchedFor(probeOf(object.ProxyBypass), w, object.ProxyToNF)
	is(again, object.ProxyBypass, "bypass instead")
	if again.transitions != 7 || again.since != w.since {
		t.Error("what has been counted is lost with another policy")
	}
	other := probeOf(object.ProxyToStandby)
	other.NF.Hop = netip.MustParseAddr("192.168.1.3")
	is(watchedFor(other, w, object.ProxyToNF), object.ProxyToNF, "another NF, of which nothing is known")

	for held, want := range map[object.ProxyMode]object.ProxyMode{object.ProxyToNF: object.ProxyToNF, object.ProxyToStandby: object.ProxyToStandby, object.ProxyDrop: object.ProxyDrop} {
		w := watchedFor(probeOf(object.ProxyToStandby), nil, held)
		is(w, want, "taken over from "+held.String())
		w.primary.seen(true, &w.probe)
		w.primary.seen(true, &w.probe)
		is(w, object.ProxyToNF, "and the NF answers")
	}
	is(watchedFor(probeOf(object.ProxyBypass), nil, object.ProxyBypass), object.ProxyBypass, "taken over")
}
