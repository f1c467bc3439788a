package bench

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The marks of the page between which the figures go.
const (
	Begin = "<!-- figures: begin; written by make bench -->"
	End   = "<!-- figures: end -->"
)

// Insert puts the figures between the marks of a page, instead of what was
// there.
func Insert(page string, list []Result) (string, error) {
	before, rest, found := strings.Cut(page, Begin)
	_, after, ended := strings.Cut(rest, End)
	if !found || !ended {
		return "", errors.New("it lacks the lines \"" + Begin + "\" and \"" + End + "\": put them back")
	}
	return before + Begin + "\n" + Table(list) + End + after, nil
}

// figures finds results.
type figures []Result

func (f figures) find(name string, count int) (Result, bool) {
	for _, r := range f {
		if r.Name == name && (count == 0 || r.Count == count) {
			return r, true
		}
	}
	return Result{}, false
}

// get is a median, 0 if it was not measured.
func (f figures) get(name string, count int) float64 {
	r, _ := f.find(name, count)
	return r.Median()
}

// worst is the largest sample.
func (f figures) worst(name string, count int) float64 {
	worst := 0.0
	r, _ := f.find(name, count)
	for _, v := range r.Samples {
		worst = max(worst, v)
	}
	return worst
}

// large is the number of SIDs and routes of the goals.
const large = 100_000

// goal is a line of the table.
type goal struct {
	what, goal string
	// needs are the results without which there is nothing to show.
	needs []string
	// show gives the figure, what it is beside, and whether the goal is reached.
	show func(f figures) (reached, peer string, ok bool)
}

// Table is the table of goals in Markdown, a line for each that was measured.
func Table(list []Result) string {
	f := figures(list)
	var b strings.Builder
	if c, ok := f.find("conditions", 0); ok {
		fmt.Fprintf(&b, "\n%s. Medians of %d rounds; the peer takes turns with the agent in the same run.\n", c.Text, f.rounds())
	}
	b.WriteString("\n| Measure | Goal | Reached | Beside it | |\n|---|---|---|---|---|\n")
	for _, g := range slices.Concat(goals, proxyGoals) {
		missing := false
		for _, n := range g.needs {
			_, ok := f.find(n, 0)
			missing = missing || !ok
		}
		if missing {
			fmt.Fprintf(&b, "| %s | %s | not measured | | |\n", g.what, g.goal)
			continue
		}
		reached, peer, ok := g.show(f)
		verdict := "**missed**"
		switch {
		case g.goal == "":
			verdict = ""
		case ok:
			verdict = "met"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", g.what, g.goal, reached, peer, verdict)
	}
	b.WriteString(f.growth())
	b.WriteString(f.proxies())
	return b.String()
}

func (f figures) rounds() int {
	r, _ := f.find("sids-set", large)
	return len(r.Samples)
}

func (f figures) growth() string {
	var b strings.Builder
	b.WriteString("\n| SIDs | one-leaf Set, p50 | bulk Set | `ip -6 -batch` |\n|---|---|---|---|\n")
	for n := 100; n <= 1_000_000; n *= 10 {
		leaf, ok := f.find("growth-leaf", n)
		if !ok {
			continue
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", n, seconds(leaf.Median()), seconds(f.get("sids-set", n)), seconds(f.get("sids-ip", n)))
	}
	return b.String() + "\n"
}

var goals = []goal{
	{"one-leaf Set, p50, 100,000 SIDs against 100", "<= 1.15x", []string{"leaf-set"}, func(f figures) (string, string, bool) {
		little, much := f.get("leaf-set", 100), f.get("leaf-set", large)
		return fmt.Sprintf("%.2fx (%s, %s)", much/little, seconds(much), seconds(little)), "", much <= 1.15*little
	}},
	{"a Set of 100,000 End.X SIDs, JSON_IETF, to read back and on disk", "2x as fast as `ip -6 -batch`; stretch 3x", []string{"sids-set"}, versus("sids")},
	{"a Set of 100,000 H.Encaps routes over 16 segment lists, which share nexthop objects", "2x as fast, no route lost", []string{"encaps-set"}, versus("encaps")},
	{"the same with routes that name an interface: each carries its encapsulation", "", []string{"encaps-named-set"}, versus("encaps-named")},
	{"a Set that gives 100,000 H.Encaps routes that share another segment list", "", []string{"repoint-set"}, versus("repoint")},
	{"a Set that has a policy take another path, p50, 100,000 routes steered into it against 1", "<= 10 ms more", []string{"policy", "policy-kernel"}, func(f figures) (string, string, bool) {
		little, much := f.get("policy", 1), f.get("policy", large)
		peer := max(f.get("policy-kernel", large)-f.get("policy-kernel", 1), 0)
		return fmt.Sprintf("%s more (%s, %s)", seconds(max(much-little, 0)), seconds(much), seconds(little)),
			"`ip nexthop replace` of the object: " + seconds(peer) + " more", much-little <= 0.010
	}},
	{"start with 100,000 SIDs saved, empty kernel", "<= 1.5 s", []string{"start-empty"}, func(f figures) (string, string, bool) {
		v := f.get("start-empty", large)
		return seconds(v), "", v <= 1.5
	}},
	{"start with 100,000 SIDs saved, all in place", "<= 0.6 s, 0 writes", []string{"start-in-place"}, func(f figures) (string, string, bool) {
		v, w := f.get("start-in-place", large), f.worst("start-in-place-writes", large)
		return fmt.Sprintf("%s, %.0f writes", seconds(v), w), "", v <= 0.6 && w == 0
	}},
	{"the same Set as leaf updates (PROTO)", "<= 1.5x JSON_IETF", []string{"leaves-proto"}, func(f figures) (string, string, bool) {
		json, proto := f.get("leaves-json", large), f.get("leaves-proto", large)
		size := f.get("leaves-payload", large)
		return fmt.Sprintf("%.2fx (%s; %s of processor time; peak resident %.1fx of %s on the wire)", proto/json, seconds(proto),
				seconds(f.get("leaves-proto-cpu", large)), f.get("leaves-proto-peak", large)/size, megabytes(size)),
			"JSON_IETF " + seconds(json) + "; " + seconds(f.get("leaves-json-cpu", large)) + " of processor time", proto <= 1.5*json
	}},
	{"Get of everything, configuration and state, JSON_IETF", ">= 400 MB/s", []string{"get-all"}, rate("all")},
	{"Get of the configuration alone, JSON_IETF", "", []string{"get-config"}, rate("config")},
	{"heap per SID with state, beyond an empty agent", "<= 1 kB", []string{"memory-heap"}, func(f figures) (string, string, bool) {
		v := (f.get("memory-heap", large) - f.get("memory-heap-idle", large)) / large
		rss := func(name string) string {
			return fmt.Sprintf("%.0f", (f.get(name, large)-f.get("memory-idle", large))/large)
		}
		return fmt.Sprintf("%.0f octets", v), "resident: " + rss("memory-after") + " at the answer, " + rss("memory-settled") +
			" 45 s later, " + rss("memory-restarted") + " after a restart", v <= 1000
	}},
	{"peak resident during the Set", "<= 10x its payload", []string{"memory-peak"}, func(f figures) (string, string, bool) {
		v := f.get("memory-peak", large) / f.get("memory-payload", large)
		return fmt.Sprintf("%.1fx (%s)", v, megabytes(f.get("memory-peak", large))), "payload " + megabytes(f.get("memory-payload", large)), v <= 10
	}},
	{"resident memory of an idle agent", "<= 60 MB", []string{"memory-idle"}, func(f figures) (string, string, bool) {
		v := f.get("memory-idle", large)
		return megabytes(v), "", v <= 60e6
	}},
	{"200,000 random Sets with subscribers: last quarter against the second", "flat", []string{"soak-heap"}, soak},
}

func versus(name string) func(figures) (string, string, bool) {
	return func(f figures) (string, string, bool) {
		ours, ip := f.get(name+"-set", large), f.get(name+"-ip", large)
		lost := f.worst(name+"-lost", large)
		state := ""
		if shown := f.get(name+"-shown", large); shown > 0 {
			state = "; its state shown after " + seconds(shown)
		}
		return fmt.Sprintf("%.2fx (%s%s; %s of processor time), %.0f lost",
				ip/ours, seconds(ours), state, seconds(f.get(name+"-set-cpu", large)), lost),
			fmt.Sprintf("`ip` %s; %s of processor time, %.0f lost", seconds(ip), seconds(f.get(name+"-ip-cpu", large)), f.worst(name+"-lost-by-ip", large)),
			ip >= 2*ours && lost == 0
	}
}

func rate(name string) func(figures) (string, string, bool) {
	return func(f figures) (string, string, bool) {
		v := f.get("get-"+name, large)
		return fmt.Sprintf("%.0f MB/s of %s", v, megabytes(f.get("get-"+name+"-size", large))), "", v >= 400
	}
}

func seconds(s float64) string {
	switch {
	case s < 1e-3:
		return fmt.Sprintf("%.0f us", s*1e6)
	case s < 1:
		return fmt.Sprintf("%.3g ms", s*1e3)
	}
	return fmt.Sprintf("%.2f s", s)
}

func megabytes(n float64) string { return fmt.Sprintf("%.1f MB", n/1e6) }
