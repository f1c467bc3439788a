package bench

import (
	"fmt"
	"slices"
	"strings"
)

// A Level is something that must not grow while an agent works: it is sampled at
// equal steps, and the last quarter of the samples is compared with the second.
// The first quarter is for caches and pools to fill.
type Level struct {
	Name, Unit string
	// Peak compares the highest of a quarter and not the median: of what swings
	// by design, or comes in whole numbers.
	Peak bool
	// Share of the second quarter, and Slack on top, that the last may exceed it
	// by.
	Share, Slack float64
}

// Levels are those of the long run. What is on the disk swings: the log of commits
// may grow to 1 MiB before startup.json is written anew, and the one before is
// kept. The history is not in it: it grows to its bound of twice 64 MiB, over some
// 100,000 commits.
var Levels = []Level{
	{Name: "heap", Unit: "octets", Share: 0.05, Slack: 256 << 10},
	{Name: "resident", Unit: "octets", Share: 0.05, Slack: 4 << 20},
	{Name: "goroutines", Unit: "goroutines", Peak: true, Slack: 4},
	{Name: "files", Unit: "open files", Peak: true, Slack: 4},
	{Name: "disk", Unit: "octets", Peak: true, Share: 0.05, Slack: 5 << 19},
	{Name: "kept", Unit: "files kept", Peak: true, Slack: 2},
}

// Quarters are what the second and the last quarter of the samples come to.
func (l Level) Quarters(samples []float64) (second, last float64) {
	n := len(samples)
	one := Median
	if l.Peak {
		one = slices.Max[[]float64]
	}
	return one(samples[n/4 : n/2]), one(samples[n-n/4:])
}

// Flat reports whether the last quarter is no more than the second. It needs four
// samples.
func (l Level) Flat(samples []float64) bool {
	second, last := l.Quarters(samples)
	return last <= second*(1+l.Share)+l.Slack
}

// soak is the line of the table about the long run.
func soak(f figures) (reached, peer string, ok bool) {
	var parts []string
	ok = true
	for _, l := range Levels {
		r, found := f.find("soak-"+l.Name, 0)
		if !found || len(r.Samples) < 4 {
			return "too few samples", "", false
		}
		second, last := l.Quarters(r.Samples)
		text := fmt.Sprintf("%.0f → %.0f %s", second, last, l.Unit)
		if l.Unit == "octets" {
			text = l.Name + " " + megabytes(second) + " → " + megabytes(last)
		}
		parts, ok = append(parts, text), ok && l.Flat(r.Samples)
	}
	sets, _ := f.find("soak-sets", 0)
	return strings.Join(parts, ", "), fmt.Sprintf("%.0f Sets taken, %.0f refused", Median(sets.Samples), f.get("soak-refused", 0)), ok
}
