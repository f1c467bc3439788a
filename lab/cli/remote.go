package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"heddle/lab/control"
	"heddle/lab/netlab"
)

func (a *app) down(ctx context.Context, args []string) error {
	fs := a.flags("down", "[options]")
	lab := labFlag(fs)
	words, rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	if len(words)+len(rest) > 0 {
		return &usageError{"down takes no arguments"}
	}
	st, _, err := a.load(*lab)
	var none *errNoLab
	if errors.As(err, &none) {
		a.progress("no lab is up")
		return nil
	}
	if err != nil {
		return err
	}
	if err := a.takeDown(ctx, st); err != nil {
		return err
	}
	a.progress("lab is down")
	return nil
}

// takeDown ends a lab and removes its directory. A virtual machine has nothing
// to lose; the process of a lab in namespaces is asked to tear down first.
func (a *app) takeDown(ctx context.Context, st *labState) error {
	if st.alive() {
		if st.Mode == "netns" {
			ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
			err := st.client().Down(ctx)
			cancel()
			if err != nil {
				return fmt.Errorf("take the lab down: %w", err)
			}
		} else if err := syscall.Kill(st.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end the machine: %w", err)
		}
		if err := st.awaitEnd(20 * time.Second); err != nil {
			return err
		}
	}
	if st.Mode == "netns" {
		// Nothing to do after a tear-down in good order; after a crash the
		// namespaces and agents are still there.
		if err := a.sweep(); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(st.dir); err != nil {
		return fmt.Errorf("remove lab directory: %w", err)
	}
	return nil
}

// sweep removes what a lab in namespaces left whose process has died.
func (a *app) sweep() error {
	lab := netlab.New(netlab.HostConfig(slog.New(slog.NewTextHandler(a.stderr, nil))))
	if err := lab.Sweep(); err != nil {
		return fmt.Errorf("remove what the lab left: %w", err)
	}
	return nil
}

func (st *labState) awaitEnd(limit time.Duration) error {
	deadline := time.After(limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for st.alive() {
		select {
		case <-deadline:
			return fmt.Errorf("wait for process %d of the lab to end: it still runs after %s", st.PID, limit)
		case <-tick.C:
		}
	}
	return nil
}

func (a *app) status(ctx context.Context, args []string) error {
	fs := a.flags("status", "[options]")
	lab := labFlag(fs)
	words, rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	if len(words)+len(rest) > 0 {
		return &usageError{"status takes no arguments"}
	}
	st, err := a.running(*lab)
	if err != nil {
		return err
	}
	status, err := st.client().Status(ctx)
	if err != nil {
		return a.explain(*lab, st, err)
	}
	a.printStatus(st, status)
	return nil
}

func (a *app) printStatus(st *labState, status control.Status) {
	where := "virtual machine, kernel " + status.Kernel
	if st.Mode == "netns" {
		where = "namespaces of this computer, kernel " + status.Kernel
	}
	fmt.Fprintf(a.stdout, "lab %s: topology %s, %s, up for %s\n", labNameOf(st), st.Topology, where, time.Since(st.Created).Round(time.Second))
	w := tabwriter.NewWriter(a.stdout, 2, 8, 3, ' ', 0)
	fmt.Fprintln(w, "NODE\tKIND\tAGENT\tGNMI ON THIS COMPUTER\tSOCKET IN THE LAB")
	for _, n := range status.Nodes {
		agent, addr, socket := "-", "-", "-"
		if n.Kind == "router" {
			socket = n.Socket
			switch {
			case n.AgentPID != 0:
				agent = fmt.Sprintf("running (%d)", n.AgentPID)
			case n.AgentEnd != "":
				agent = "ended: " + n.AgentEnd
			default:
				agent = "not started"
			}
			if port := st.Ports[n.Name]; port != 0 {
				addr = fmt.Sprintf("127.0.0.1:%d", port)
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", n.Name, n.Kind, agent, addr, socket)
	}
	w.Flush()
}

func labNameOf(st *labState) string {
	return st.dir[strings.LastIndexByte(st.dir, '/')+1:]
}

// explain turns a lost connection to a machine that has died meanwhile into the
// machine's last words.
func (a *app) explain(lab string, st *labState, err error) error {
	var lost *control.LostError
	if errors.As(err, &lost) && st.awaitEnd(2*time.Second) == nil {
		return st.dead(lab)
	}
	return err
}

// nodeAndCommand splits "NODE -- CMD" and "-- CMD"; the dashes may be left out
// after a node.
func nodeAndCommand(args []string) (node string, argv []string) {
	if len(args) > 0 && args[0] != "--" {
		node, args = args[0], args[1:]
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	return node, args
}

func (a *app) exec(ctx context.Context, args []string) error {
	fs := a.flags("exec", "[options] [NODE] -- COMMAND [ARGUMENTS]")
	lab := labFlag(fs)
	tty := fs.Bool("t", false, "give the command a terminal")
	dashes := len(args)
	for i, arg := range args {
		if arg == "--" {
			dashes = i
			break
		}
	}
	if err := parseFlags(fs, args[:dashes]); err != nil {
		return err
	}
	node, argv := nodeAndCommand(append(fs.Args(), args[dashes:]...))
	if len(argv) == 0 {
		return &usageError{"exec wants a node and a command: heddle-lab exec pe3 -- ip route"}
	}
	return a.remote(ctx, *lab, control.Request{Node: node, Argv: argv, TTY: *tty})
}

func (a *app) shell(ctx context.Context, args []string) error {
	fs := a.flags("shell", "[options] [NODE]")
	lab := labFlag(fs)
	words, rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	if len(words) > 1 || len(rest) > 0 {
		return &usageError{"shell wants a node, or nothing for the machine beside them: heddle-lab shell pe3"}
	}
	node := ""
	if len(words) == 1 {
		node = words[0]
	}
	return a.remote(ctx, *lab, control.Request{Node: node, Argv: []string{"bash", "-l"}, TTY: isTerminal(os.Stdin)})
}

// remote runs a command with our own standard streams.
func (a *app) remote(ctx context.Context, lab string, req control.Request) error {
	st, err := a.running(lab)
	if err != nil {
		return err
	}
	streams := control.Streams{Stdin: os.Stdin, Stdout: a.stdout, Stderr: a.stderr}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)
	defer signal.Stop(signals)
	streams.Signals = signals
	// A signal is for the command; its end is ours.
	ctx = context.WithoutCancel(ctx)
	if req.TTY {
		restore, err := rawTerminal(os.Stdin)
		if err != nil {
			return err
		}
		defer restore()
		req.Rows, req.Cols = terminalSize(os.Stdin)
		req.Env = append(req.Env, "TERM="+os.Getenv("TERM"))
		resize, stop := watchSize(os.Stdin)
		defer stop()
		streams.Resize = resize
	}
	code, err := st.client().Exec(ctx, req, streams)
	if err != nil {
		return a.explain(lab, st, err)
	}
	if code != 0 {
		return &codeError{code}
	}
	return nil
}

func (a *app) cp(ctx context.Context, args []string) error {
	fs := a.flags("cp", "[options] FROM TO")
	lab := labFlag(fs)
	words, rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	if len(words) != 2 || len(rest) > 0 {
		return &usageError{"cp wants two paths, the lab's with a node in front: heddle-lab cp pe3:/var/lib/heddle/pe3 ."}
	}
	from, fromLab := labPath(words[0])
	to, toLab := labPath(words[1])
	if fromLab == toLab {
		return &usageError{"cp copies into or out of the lab: write one of the paths as NODE:PATH or lab:PATH"}
	}
	st, err := a.running(*lab)
	if err != nil {
		return err
	}
	if fromLab {
		err = st.client().CopyOut(ctx, from, to)
	} else {
		err = st.client().CopyIn(ctx, from, to)
	}
	return a.explain(*lab, st, err)
}

// labPath splits NODE:PATH. All nodes share one file system, so the node only
// marks the side.
func labPath(arg string) (path string, inLab bool) {
	node, path, ok := strings.Cut(arg, ":")
	if !ok || strings.Contains(node, "/") {
		return arg, false
	}
	if path == "" {
		path = "."
	}
	return path, true
}

func (a *app) agent(ctx context.Context, args []string) error {
	fs := a.flags("agent", "[options] start|stop|kill9 NODE")
	lab := labFlag(fs)
	words, rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	if len(words) != 2 || len(rest) > 0 {
		return &usageError{"agent wants an action and a router: heddle-lab agent kill9 pe3"}
	}
	st, err := a.running(*lab)
	if err != nil {
		return err
	}
	return a.explain(*lab, st, st.client().Agent(ctx, words[0], words[1]))
}

func (a *app) log(ctx context.Context, args []string) error {
	fs := a.flags("log", "[options] NODE")
	lab := labFlag(fs)
	words, rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	if len(words) != 1 || len(rest) > 0 {
		return &usageError{"log wants a router: heddle-lab log pe3"}
	}
	st, err := a.running(*lab)
	if err != nil {
		return err
	}
	status, err := st.client().Status(ctx)
	if err != nil {
		return a.explain(*lab, st, err)
	}
	for _, n := range status.Nodes {
		if n.Name == words[0] && n.Log != "" {
			return a.remote(ctx, *lab, control.Request{Argv: []string{"cat", n.Log}})
		}
	}
	return fmt.Errorf("print log of %s: there is no router of that name: heddle-lab status lists them", words[0])
}
