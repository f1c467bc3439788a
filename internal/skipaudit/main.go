// Command skipaudit reads the test logs of one run (test2json lines, one file
// for this machine's kernel and one for each run in the virtual machine), prints
// every test that was skipped with its reason, and fails when a test was skipped
// everywhere: a test that no kernel of the run could run shows nothing.
//
//	skipaudit DIR
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errOut io.Writer) int {
	if len(args) != 1 {
		fmt.Fprintln(errOut, "usage: skipaudit DIR")
		return 2
	}
	files, err := filepath.Glob(filepath.Join(args[0], "*.json"))
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("find test logs in %s: there are none", args[0])
	}
	a := newAudit()
	for _, f := range files {
		if err != nil {
			break
		}
		err = a.readFile(f)
	}
	if err != nil {
		fmt.Fprintln(errOut, "skipaudit:", err)
		return 2
	}
	return a.report(out)
}

// event is a line of test2json (go doc test2json).
type event struct {
	Action, Package, Test, Output string
}

// testID names a test wherever it runs.
type testID struct{ pkg, test string }

// skip is one test not run in one place.
type skip struct {
	where, reason string
}

type audit struct {
	ran    map[testID]bool
	skips  map[testID][]skip
	passed int
	failed int
}

func newAudit() *audit {
	return &audit{ran: map[testID]bool{}, skips: map[testID][]skip{}}
}

func (a *audit) readFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := a.read(strings.TrimSuffix(filepath.Base(name), ".json"), f); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// read takes the log of one place in.
func (a *audit) read(where string, r io.Reader) error {
	output := map[testID]string{}
	s := bufio.NewScanner(r)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		var e event
		if json.Unmarshal(s.Bytes(), &e) != nil || e.Test == "" {
			continue // a line that a crashing test wrote over the log's own
		}
		id := testID{e.Package, e.Test}
		switch e.Action {
		case "output":
			output[id] += e.Output
		case "pass":
			a.ran[id] = true
			a.passed++
		case "fail":
			a.ran[id] = true
			a.failed++
		case "skip":
			a.skips[id] = append(a.skips[id], skip{where, reason(output[id])})
		}
	}
	return s.Err()
}

// reason is what the test said when it skipped: a line "SKIP NAME: REASON", which
// scenarios print because their script follows, else the last line that is not
// one of go test's own.
func reason(output string) string {
	last := "no reason given"
	for _, line := range strings.Split(output, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") {
			continue
		}
		if text, ok := strings.CutPrefix(line, "SKIP "); ok {
			if _, text, ok := strings.Cut(text, ": "); ok {
				return text
			}
		}
		if _, text, ok := strings.Cut(line, ".go:"); ok {
			if _, text, ok := strings.Cut(text, ": "); ok {
				line = text
			}
		}
		last = line
	}
	return last
}

func (a *audit) report(out io.Writer) int {
	ids := make([]testID, 0, len(a.skips))
	total := 0
	for id, s := range a.skips {
		ids = append(ids, id)
		total += len(s)
	}
	slices.SortFunc(ids, func(x, y testID) int {
		return strings.Compare(x.pkg+" "+x.test, y.pkg+" "+y.test)
	})
	nowhere := 0
	for _, id := range ids {
		mark := "skipped"
		if !a.ran[id] {
			mark = "RAN NOWHERE"
			nowhere++
		}
		for _, s := range a.skips[id] {
			fmt.Fprintf(out, "%s: %s %s on %s: %s\n", mark, id.pkg, id.test, s.where, s.reason)
		}
	}
	if nowhere > 0 {
		fmt.Fprintf(out, "%d tests were skipped on every kernel of this run\n", nowhere)
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", a.passed, a.failed, total)
	if nowhere > 0 || a.failed > 0 {
		return 1
	}
	return 0
}
