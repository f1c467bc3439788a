package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// full is the number of SIDs or routes that the goals speak of.
const full = 100_000

// rounds is how often each bulk measurement is taken; BENCHROUNDS changes it.
func rounds(t testing.TB) int {
	t.Helper()
	text := os.Getenv("BENCHROUNDS")
	if text == "" {
		return 5
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("BENCHROUNDS is %q, want the number of rounds", text)
	}
	return n
}

// record keeps a result for the page in the file that BENCHRESULTS names, and
// shows it in the benchmark's line.
func record(b *testing.B, r Result) {
	b.Helper()
	if r.Text == "" {
		unit := strings.ReplaceAll(r.Unit, " ", "-") // testing takes no blank
		b.ReportMetric(r.Median(), fmt.Sprintf("%s-%d-%s", r.Name, r.Count, unit))
	}
	if file := os.Getenv("BENCHRESULTS"); file != "" {
		if err := Append(file, r); err != nil {
			b.Fatal(err)
		}
	}
}

// times are seconds.
type times []float64

func (t *times) add(d time.Duration) { *t = append(*t, d.Seconds()) }

// once skips what a benchmark does anyway, as often as it needs to: ns/op means
// nothing here, and b.N is 1.
func once(b *testing.B) {
	b.Helper()
	if testing.Short() {
		b.Skip("short: makes 100,000 routes")
	}
	if b.N > 1 {
		b.Skip("it takes its rounds by itself: run it with -benchtime 1x")
	}
	b.ReportMetric(0, "ns/op")
}

// profiled has the agent profile what it does meanwhile, into the folder that
// BENCHPROFILES names.
func (p *process) profiled(name string, do func()) {
	p.t.Helper()
	p.ask("profile " + os.Getenv("BENCHPROFILES") + "/" + name + ".pprof")
	do()
	p.ask("stop")
}

func profiles() bool { return os.Getenv("BENCHPROFILES") != "" }
