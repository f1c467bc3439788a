// Package cli is the heddle command behind its main: it reads the command line,
// speaks gNMI to a target, and writes for people or, with --json, for programs.
//
// It serves operators and scripts. It is a client like any other: it must not
// know the agent, and learns of the model only what the target says.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

const usage = `usage: heddle [flags] COMMAND [flags] ...

  heddle get [--type config|state] [--output json|yaml|path] PATH...
        what the paths hold, as JSON, as YAML, or one line for each leaf
  heddle set [--delete PATH] [--replace PATH=VALUE] [--update PATH=VALUE] ...
        change the configuration, all of it or nothing. VALUE is JSON
        (true, 5, "text", {"config": {...}}), the name of a file with JSON,
        or - for standard input.
        --confirm-within 5m: what was before comes back after that time, unless
        you say heddle confirm ID (--id chooses it)
  heddle confirm ID | confirm --later 10m ID | cancel ID
        keep that commit, give it more time, or have back what was before
  heddle plan [--delete PATH] [--replace PATH=VALUE] [--update PATH=VALUE] ...
        what such a set would do to the kernel, as commands of iproute2 and
        sysctl, checked like a set; nothing is changed. --diff: what would change
        in the configuration, too; --rollback REVISION plans that
  heddle history [--limit 20]
  heddle diff [REVISION [REVISION]]
  heddle rollback REVISION
        the last commits; what differs between two (the last one and the one before);
        the configuration of one again
  heddle lock [--for 10m] | unlock
        for that time nobody else changes the configuration; /system/lock says who
        has the lock. An administrator ends that of somebody else
  heddle explain sid ADDRESS
  heddle explain route PREFIX [INSTANCE]
        what is configured, what the kernel holds, and what it does with packets
  heddle ping sid SID | --segments SID,SID,...
  heddle trace --segments SID,SID,...
        send probes through the segments and back (trace: through each beginning
        of the list, too), and tell loss and round-trip time.
        --instance NAME: the last SID takes packets out for a tenant, and they come
        back to an address of NAME; --source ADDRESS, --count 5, --interval 200ms,
        --wait 1s
  heddle watch [--once] [--sample 1s] PATH...
        what the paths hold, and every change
  heddle drift
        what others changed of what is configured, and what became of it
  heddle capabilities
        models, encodings and version of the target, and what its kernel can do
  heddle password NAME
        reads a password and writes the line of a target's file of passwords
  heddle complete bash
        a script for bash that completes commands and paths:
        source <(heddle complete bash)

A PATH is like /interfaces/interface[name=eth0]/state/counters; * is a wildcard.
`

// Streams are where a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// usageError is a mistake on the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func wrongUsage(format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...)}
}

// command is one of the commands at work.
type command struct {
	Streams
	dial dialOptions
	args []string
}

// Run carries out one command and returns the exit code: 0, 1 when it did not
// succeed, 2 when the command line is wrong.
func Run(ctx context.Context, args []string, st Streams) int {
	err := run(ctx, args, st)
	var bad *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(st.Out, usage)
		return exitOK
	case errors.As(err, &bad):
		fmt.Fprintf(st.Err, "heddle: %s\n", bad.text)
		return exitUsage
	}
	fmt.Fprintf(st.Err, "heddle: %s\n", describe(err))
	return exitError
}

func run(ctx context.Context, args []string, st Streams) error {
	c := &command{Streams: st, dial: defaultDial()}
	fs := c.flags("heddle")
	if err := parse(fs, args); err != nil {
		return err
	}
	rest := fs.Args()
	if len(rest) == 0 {
		return wrongUsage("no command: use get, set, plan, confirm, cancel, history, diff, rollback, lock, unlock, explain, ping, trace, watch, drift, capabilities or password; --help tells more")
	}
	c.args = rest[1:]
	switch rest[0] {
	case "get":
		return c.get(ctx)
	case "set":
		return c.set(ctx)
	case "plan":
		return c.plan(ctx)
	case "complete":
		return c.complete(ctx)
	case "history":
		return c.history(ctx)
	case "diff":
		return c.diff(ctx)
	case "rollback":
		return c.rollback(ctx)
	case "confirm", "cancel":
		return c.conclude(ctx, rest[0])
	case "lock":
		return c.lock(ctx)
	case "unlock":
		return c.unlock(ctx)
	case "explain":
		return c.explain(ctx)
	case "ping", "trace":
		return c.ping(ctx, rest[0])
	case "watch":
		return c.watch(ctx)
	case "drift":
		return c.drift(ctx)
	case "capabilities":
		return c.capabilities(ctx)
	case "password":
		return c.password()
	case "help":
		return flag.ErrHelp
	}
	return wrongUsage("unknown command %q: use get, set, plan, confirm, cancel, history, diff, rollback, lock, unlock, explain, ping, trace, watch, drift, capabilities or password", rest[0])
}

// flags makes a set that has the connection's flags, which may stand before and
// after the command.
func (c *command) flags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	c.dial.register(fs)
	return fs
}

func parse(fs *flag.FlagSet, args []string) error {
	err := fs.Parse(args)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return err
	}
	return wrongUsage("%s; --help tells more", err)
}

// parseMixed takes flags and other arguments in any order.
func (c *command) parseMixed(fs *flag.FlagSet) (rest []string, err error) {
	args := c.args
	for {
		if err := parse(fs, args); err != nil {
			return nil, err
		}
		if args = fs.Args(); len(args) == 0 {
			return rest, nil
		}
		rest, args = append(rest, args[0]), args[1:]
	}
}

// describe writes an error for people: the code, the target's words, and the
// remedy if the target names one.
func describe(err error) string {
	var wrapped interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &wrapped) {
		return err.Error()
	}
	st := wrapped.GRPCStatus()
	var b strings.Builder
	if st.Code() == codes.Unknown {
		b.WriteString(st.Message())
	} else {
		fmt.Fprintf(&b, "%s: %s", st.Code(), st.Message())
	}
	for _, d := range st.Details() {
		if i, ok := d.(*errdetails.ErrorInfo); ok && i.GetMetadata()["remedy"] != "" && !strings.Contains(st.Message(), i.GetMetadata()["remedy"]) {
			fmt.Fprintf(&b, "\n  remedy: %s", i.GetMetadata()["remedy"])
		}
	}
	return b.String()
}
