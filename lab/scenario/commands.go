package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"heddle/lab/netlab"
	"heddle/lab/topologies"
	"heddle/lab/topology"
)

// cmdTopology: topology NAME|FILE
func (s *session) cmdTopology(c call) error {
	if len(c.args) != 1 {
		return &usageError{"topology NAME, or a .yaml file of the scenario"}
	}
	name := c.args[0]
	if strings.HasSuffix(name, ".yaml") && !filepath.IsAbs(name) {
		name = filepath.Join(c.dir, name)
	}
	file, text, err := topologies.Find(name)
	if err != nil {
		return &usageError{err.Error()}
	}
	topo, err := topology.Parse(file, text)
	if err != nil {
		return &usageError{err.Error()}
	}
	return s.lab.Up(context.Background(), topo)
}

// cmdAgent: agent start|stop|kill9 NODE...
func (s *session) cmdAgent(c call) error {
	const usage = "agent start|stop|kill9 NODE..."
	if len(c.args) < 2 {
		return &usageError{usage}
	}
	act := map[string]func(string) error{
		"start": func(n string) error { return s.lab.StartAgent(context.Background(), n) },
		"stop":  s.lab.StopAgent,
		"kill9": s.lab.KillAgent,
	}[c.args[0]]
	if act == nil {
		return &usageError{usage}
	}
	for _, node := range c.args[1:] {
		if err := act(node); err != nil {
			return err
		}
	}
	return nil
}

// cmdOn: on NODE COMMAND ARGUMENTS...
func (s *session) cmdOn(c call) error {
	if len(c.args) < 2 {
		return &usageError{"on NODE COMMAND ARGUMENTS..."}
	}
	return s.runOn(c, c.args[0], c.args[1:])
}

func (s *session) runOn(c call, node string, argv []string) error {
	cmd, err := s.lab.Command(node, argv)
	if err != nil {
		return err
	}
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, c.out, c.errw
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("on %s: %s: %w", node, strings.Join(argv, " "), err)
	}
	return nil
}

var pingCounts = regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`)

// cmdPing: ping NODE ADDRESS [count=N] [loss=PERCENT] [size=OCTETS]. All of the
// packets must be answered, or with loss=100 none.
func (s *session) cmdPing(c call) error {
	const usage = "ping NODE ADDRESS [count=5] [loss=0] [size=56]"
	if len(c.args) < 2 {
		return &usageError{usage}
	}
	opts := map[string]int{"count": 5, "loss": 0, "size": 56}
	for _, o := range c.args[2:] {
		key, value, _ := strings.Cut(o, "=")
		n, err := strconv.Atoi(value)
		if _, known := opts[key]; !known || err != nil || n < 0 {
			return &usageError{usage}
		}
		opts[key] = n
	}
	var out, errw bytes.Buffer
	run := call{dir: c.dir, out: &out, errw: &errw}
	pingErr := s.runOn(run, c.args[0], []string{"ping", "-n", "-c", strconv.Itoa(opts["count"]), "-i", "0.2", "-W", "1",
		"-s", strconv.Itoa(opts["size"]), c.args[1]})
	_, errOut := c.out.Write(out.Bytes())
	_, errErr := c.errw.Write(errw.Bytes())
	if err := errors.Join(errOut, errErr); err != nil {
		return err
	}
	m := pingCounts.FindSubmatch(out.Bytes())
	if m == nil {
		return errors.Join(fmt.Errorf("ping %s from %s: no count in its output", c.args[1], c.args[0]), pingErr)
	}
	sent, _ := strconv.Atoi(string(m[1]))
	received, _ := strconv.Atoi(string(m[2]))
	if loss := 100 * (sent - received) / max(sent, 1); sent != opts["count"] || loss != opts["loss"] {
		return fmt.Errorf("ping %s from %s: %d sent, %d answered: loss is %d %%, expected %d %%", c.args[1], c.args[0], sent, received, loss, opts["loss"])
	}
	return nil
}

// cmdGNMI: gnmi NODE set FILE.json replaces the node's whole configuration by
// the file's; any other arguments go to the heddle command as they are, with the
// target in front.
func (s *session) cmdGNMI(c call) error {
	if len(c.args) < 2 {
		return &usageError{"gnmi NODE set FILE.json | gnmi NODE get PATH | gnmi NODE ARGUMENTS of heddle..."}
	}
	node, args := c.args[0], c.args[1:]
	if args[0] == "set" && len(args) == 2 && !strings.HasPrefix(args[1], "-") {
		file := args[1]
		if !filepath.IsAbs(file) {
			file = filepath.Join(c.dir, file)
		}
		if _, err := os.Stat(file); err != nil {
			return &usageError{err.Error()}
		}
		args = []string{"set", "--replace", "/=" + file}
	}
	// From the root namespace: the socket is a file, and gNMI a client's matter.
	return s.runOn(c, "", s.client(node, args))
}

// client is the heddle command with a node's agent as its target.
func (s *session) client(node string, args []string) []string {
	return append([]string{"heddle", "--target", "unix://" + s.lab.SocketPath(node)}, args...)
}

// cmdRequire: require FEATURE... ends the scenario as skipped, with the reason,
// when this machine lacks one. "agent" is the project's own binaries.
func (s *session) cmdRequire(c call) error {
	if len(c.args) == 0 {
		return &usageError{"require FEATURE...: one of agent, " + strings.Join(featureNames(), ", ")}
	}
	for _, name := range c.args {
		if name == "agent" {
			// Nothing of the machine's: whoever runs the scenario forgot to build.
			if err := haveAgent(); err != nil {
				return err
			}
			continue
		}
		f, ok := findFeature(name)
		if !ok {
			return &usageError{fmt.Sprintf("require %s: there is no such feature: use agent, %s", name, strings.Join(featureNames(), ", "))}
		}
		err := s.probe(f)
		if err == nil {
			continue
		}
		// Debian's kernels have what their release brings: in the virtual
		// machine a probe that fails is a fault, not a reason to skip.
		if s.vm && atLeast(kernelRelease(), f.since) {
			return fmt.Errorf("kernel %s should have %s, which came with %s: %w", kernelRelease(), name, f.since, err)
		}
		return &skipError{fmt.Sprintf("%s is not to be had with kernel %s: %v", name, kernelRelease(), err)}
	}
	return nil
}

// cmdLacks: lacks FEATURE ends the scenario as skipped, with the reason, when the
// kernel has it.
func (s *session) cmdLacks(c call) error {
	if len(c.args) != 1 {
		return &usageError{"lacks FEATURE"}
	}
	f, ok := findFeature(c.args[0])
	if !ok {
		return &usageError{fmt.Sprintf("lacks %s: there is no such feature: use %s", c.args[0], strings.Join(featureNames(), ", "))}
	}
	if s.probe(f) == nil {
		return &skipError{fmt.Sprintf("kernel %s has %s: this is for a machine that was booted without (heddle-lab run --without-module)", kernelRelease(), f.name)}
	}
	return nil
}

func haveAgent() error {
	for _, name := range []string{"heddled", "heddle"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%s is not in PATH: build it, and have heddle-lab take it along with --bin-dir", name)
		}
	}
	return nil
}

// logTails returns the ends of all agents' logs, for a scenario that failed.
func logTails(lab *netlab.Lab) string {
	topo := lab.Topology()
	if topo == nil {
		return ""
	}
	var b strings.Builder
	for _, n := range topo.Routers() {
		text, err := netlab.Tail(lab.LogPath(n.Name), 80)
		if err != nil || text == "" {
			continue
		}
		fmt.Fprintf(&b, "--- log of the agent of %s ---\n%s\n", n.Name, text)
	}
	return b.String()
}
