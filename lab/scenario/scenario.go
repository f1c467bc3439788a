// Package scenario runs the lab's scenario files: scripts in txtar form that
// bring a topology up, start agents, configure them, send packets and say what
// must be seen. It serves `go test ./lab/scenario` and people who read the files
// to learn what Heddle does; it must not know a virtual machine from a host.
package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"heddle/lab/netlab"
)

// command is one command of the scenario language. What it writes to out and
// errw is what `stdout` and `stderr` match afterwards.
type command func(s *session, c call) error

// call is one use of a command.
type call struct {
	args      []string
	dir       string // the script's working directory
	out, errw io.Writer
}

// usageError is a mistake in the scenario file, as opposed to a lab that does
// not do what the file expects: it fails the scenario even behind "!".
type usageError struct{ text string }

func (e *usageError) Error() string { return "usage: " + e.text }

// skipError ends the scenario without a verdict.
type skipError struct{ reason string }

func (e *skipError) Error() string { return e.reason }

type sessionKey struct{}

func newSession(lab *netlab.Lab, vm bool, skip func(...any), features map[string]error) *session {
	return &session{lab: lab, vm: vm, skip: skip, features: features, captures: map[string]*capture{},
		jobs: map[string]*job{}, memories: map[string]*memory{}, readings: map[string]*reading{}}
}

// session is one run of one scenario.
type session struct {
	lab      *netlab.Lab
	vm       bool // LAB=vm: a kernel whose abilities we know
	skip     func(...any)
	captures map[string]*capture
	jobs     map[string]*job     // in the background, by name
	memories map[string]*memory  // what was remembered, by node and name
	readings map[string]*reading // of counters, by name
	features map[string]error    // what probes found, by feature
}

// commands is the scenario language beyond testscript's own; lab/README.md
// describes it for people who write scenarios.
func commands() map[string]command {
	table := map[string]command{
		"require":    (*session).cmdRequire,
		"topology":   (*session).cmdTopology,
		"agent":      (*session).cmdAgent,
		"on":         (*session).cmdOn,
		"ping":       (*session).cmdPing,
		"capture":    (*session).cmdCapture,
		"gnmi":       (*session).cmdGNMI,
		"background": (*session).cmdBackground,
		"said":       (*session).cmdSaid,
		"end":        (*session).cmdEnd,
		"remember":   (*session).cmdRemember,
		"unchanged":  (*session).cmdUnchanged,
		"counters":   (*session).cmdCounters,
		"lacks":      (*session).cmdLacks,
	}
	return table
}

// scriptCommands adapts the table, and eventually over it, to testscript.
func scriptCommands() map[string]func(*testscript.TestScript, bool, []string) {
	out := map[string]func(*testscript.TestScript, bool, []string){}
	table := commands()
	for name, c := range table {
		out[name] = adapt(c)
	}
	out["eventually"] = adapt(func(s *session, c call) error { return s.eventually(table, c) })
	return out
}

func adapt(c command) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		s := ts.Value(sessionKey{}).(*session)
		err := c(s, call{args: args, dir: ts.MkAbs("."), out: ts.Stdout(), errw: ts.Stderr()})
		var usage *usageError
		var skip *skipError
		switch {
		case errors.As(err, &skip):
			s.skip(skip.reason)
		case errors.As(err, &usage):
			ts.Fatalf("%v", err)
		case neg && err == nil:
			ts.Fatalf("unexpected success")
		case neg:
			fmt.Fprintln(ts.Stderr(), err)
		case err != nil:
			ts.Fatalf("%v", err)
		}
	}
}

// eventually repeats a command until it succeeds:
//
//	eventually DURATION [stdout=REGEXP] COMMAND ARGUMENTS...
func (s *session) eventually(table map[string]command, c call) error {
	const usage = "eventually DURATION [stdout=REGEXP] COMMAND ARGUMENTS..."
	if len(c.args) < 2 {
		return &usageError{usage}
	}
	limit, err := time.ParseDuration(c.args[0])
	if err != nil {
		return &usageError{usage + ": " + err.Error()}
	}
	rest := c.args[1:]
	var want *regexp.Regexp
	if text, ok := strings.CutPrefix(rest[0], "stdout="); ok {
		if want, err = regexp.Compile("(?m)" + text); err != nil {
			return &usageError{usage + ": " + err.Error()}
		}
		rest = rest[1:]
	}
	if len(rest) == 0 || table[rest[0]] == nil {
		return &usageError{usage + ": COMMAND is one of the scenario's own, not testscript's"}
	}
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for tries := 1; ; tries++ {
		var out, errw bytes.Buffer
		err := table[rest[0]](s, call{args: rest[1:], dir: c.dir, out: &out, errw: &errw})
		var bad *usageError
		if err == nil && want != nil && !want.Match(out.Bytes()) {
			err = fmt.Errorf("stdout does not match %s", want)
		}
		done := err == nil || errors.As(err, &bad)
		if late := time.Now().After(deadline); !done && late {
			err = fmt.Errorf("not within %s (%d tries): %w", limit, tries, err)
			done = true
		}
		if done {
			_, errOut := c.out.Write(out.Bytes())
			_, errErr := c.errw.Write(errw.Bytes())
			return errors.Join(err, errOut, errErr)
		}
		<-tick.C
	}
}
