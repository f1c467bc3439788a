// Package cli is the host side of heddle-lab: its subcommands, what they print
// and where they keep what outlives them. It serves cmd/heddle-lab; how kernels
// are got, images made, machines run and topologies built is other packages'.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Exit codes of our own; a command's or test's code is passed through otherwise.
const (
	exitUsage = 2
	exitLab   = 125 // the lab itself did not work, as opposed to what ran in it
)

const usage = `usage: heddle-lab COMMAND ...

  up TOPOLOGY        boot a machine (LAB=netns: use this one) and bring a topology up
  status             what is up, with the gNMI ports on localhost
  exec [NODE] -- CMD run a command in a node, or beside the nodes without NODE
  shell [NODE]       an interactive shell there
  cp FROM TO         copy a file or directory; the lab's side is written NODE:PATH or lab:PATH
  agent ACTION NODE  start, stop or kill9 a router's agent
  log NODE           print the log of a router's agent
  down               end the lab; nothing of it is left
  run --bin X.test   boot a machine, run test binaries in it, end it
  kernels            list kernels; kernels get NAME... fetches them

heddle-lab COMMAND -h lists the options. LAB=netns works without a virtual machine.
HEDDLE_CACHE is where kernels and images are kept (default .cache in the repository).
`

// usageError is a mistake on the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// codeError carries the exit code of what ran in the lab.
type codeError struct{ code int }

func (e *codeError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// app is what all subcommands share.
type app struct {
	stdout, stderr io.Writer
	start          time.Time
	cache          string
	netns          bool // LAB=netns
}

// Main runs one subcommand and returns the exit code.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a := &app{stdout: stdout, stderr: stderr, start: time.Now()}
	err := a.dispatch(ctx, args)
	var code *codeError
	var bad *usageError
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &code):
		return code.code
	case errors.As(err, &bad):
		fmt.Fprintf(stderr, "heddle-lab: %v\n", err)
		return exitUsage
	}
	fmt.Fprintf(stderr, "heddle-lab: %v\n", err)
	return exitLab
}

func (a *app) dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		fmt.Fprint(a.stdout, usage)
		return nil
	}
	switch lab := os.Getenv("LAB"); lab {
	case "", "vm":
	case "netns":
		a.netns = true
	default:
		return &usageError{fmt.Sprintf("LAB=%s is not known: use LAB=netns, or leave it out for a virtual machine", lab)}
	}
	var err error
	if a.cache, err = cacheDir(); err != nil {
		return err
	}
	commands := map[string]func(context.Context, []string) error{
		"up": a.up, "down": a.down, "status": a.status, "exec": a.exec, "shell": a.shell, "cp": a.cp,
		"agent": a.agent, "log": a.log, "run": a.run, "kernels": a.kernels, serveCommand: a.serve,
	}
	command, ok := commands[args[0]]
	if !ok {
		return &usageError{fmt.Sprintf("there is no command %q: heddle-lab help lists them", args[0])}
	}
	return command(ctx, args[1:])
}

// progress prints a line about what is being done, with the time since start.
func (a *app) progress(format string, args ...any) {
	fmt.Fprintf(a.stderr, "[%5.1fs] %s\n", time.Since(a.start).Seconds(), fmt.Sprintf(format, args...))
}

// cacheDir is $HEDDLE_CACHE, else .cache at the top of the repository that the
// working directory is in, else .cache here.
func cacheDir() (string, error) {
	if dir := os.Getenv("HEDDLE_CACHE"); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("find cache: %w", err)
		}
		return abs, nil
	}
	root, err := repoRoot()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, ".cache"), nil
}

func repoRoot() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find working directory: %w", err)
	}
	for d := wd; d != "/"; d = filepath.Dir(d) {
		if text, err := os.ReadFile(filepath.Join(d, "go.mod")); err == nil && strings.HasPrefix(string(text), "module heddle\n") {
			return d, nil
		}
	}
	return wd, nil
}

// flags returns a flag set whose mistakes become usage errors.
func (a *app) flags(name, synopsis string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {
		fmt.Fprintf(a.stdout, "usage: heddle-lab %s %s\n", name, synopsis)
		fs.SetOutput(a.stdout)
		fs.PrintDefaults()
		fs.SetOutput(io.Discard)
	}
	return fs
}

// parse reads flags and words in any order up to "--"; what follows that is
// returned as rest.
func parse(fs *flag.FlagSet, args []string) (words, rest []string, err error) {
	for i, arg := range args {
		if arg == "--" {
			args, rest = args[:i], args[i+1:]
			break
		}
	}
	for {
		if err := parseFlags(fs, args); err != nil {
			return nil, nil, err
		}
		args = fs.Args()
		if len(args) == 0 {
			return words, rest, nil
		}
		words, args = append(words, args[0]), args[1:]
	}
}

func parseFlags(fs *flag.FlagSet, args []string) error {
	err := fs.Parse(args)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return err
	}
	return &usageError{fmt.Sprintf("%s: %v: heddle-lab %s -h lists the options", fs.Name(), err, fs.Name())}
}

// listFlag is a flag that may be given several times or with commas.
type listFlag []string

func (l *listFlag) String() string { return strings.Join(*l, ",") }
func (l *listFlag) Set(s string) error {
	for _, part := range strings.Split(s, ",") {
		if part != "" {
			*l = append(*l, part)
		}
	}
	return nil
}

// agentFiles are the binaries of the project that a lab carries when it is built.
func agentFiles() []string { return []string{"heddled", "heddle"} }

// binaries returns name -> file of the project's binaries in a directory, and
// whether the agent is among them.
func binaries(dir string) (found map[string]string, agent bool, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, false, fmt.Errorf("find binaries: %w", err)
	}
	found = map[string]string{}
	for _, name := range agentFiles() {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
			found[name] = filepath.Join(dir, name)
		}
	}
	_, agent = found["heddled"]
	return found, agent, nil
}

func missingAgent(dir string) error {
	return fmt.Errorf("find heddled in %s: not there: build it (CGO_ENABLED=0 go build -o %s ./cmd/...), or use --no-agents", dir, dir)
}
