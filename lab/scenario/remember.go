package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A node as others see it, for `remember` and `unchanged`: what its kernel
// holds, in ip's words, and what its agent says is configured.
var kernelParts = []struct {
	name   string
	script string
	sorted bool // the order is the kernel's history, which is no state
}{
	{"links", "ip -d -o link show | sed -E 's/[a-z_]+_timer +[0-9.]+//g'", false}, // those of bridges run
	{"addresses", "ip -o addr show", true},
	{"IPv4 routes", "ip -4 -o route show table all", true},
	{"IPv6 routes", "ip -o -6 route show table all", true},
	{"nexthop objects", "ip nexthop show", true},
	{"neighbours", "ip neigh show nud permanent; ip -4 neigh show proxy; ip -6 neigh show proxy", true},
	{"rules", "ip rule show; ip -6 rule show", false},
	{"SRv6 tunnel source", "ip sr tunsrc show", false},
	// Everything there is for links, new ones of later kernels included, and
	// what an agent may touch beside it. What is unreadable (stable_secret) has
	// no value.
	{"sysctls", "cd /proc/sys/net; [ -e vrf ] && vrf=vrf; grep -rs '' ipv4/conf ipv6/conf ipv4/ip_forward $vrf; true", true},
}

// partEnd stands between the parts in what the node prints.
const partEnd = "---- end of part"

type memory struct {
	parts  []string // as kernelParts
	config string   // empty when no agent ran
}

// cmdRemember: remember NODE [as=NAME] notes what the node is like, for unchanged.
func (s *session) cmdRemember(c call) error {
	const usage = "remember NODE [as=NAME]"
	if len(c.args) < 1 || len(c.args) > 2 {
		return &usageError{usage}
	}
	node, name := c.args[0], ""
	if len(c.args) == 2 {
		var ok bool
		if name, ok = strings.CutPrefix(c.args[1], "as="); !ok {
			return &usageError{usage}
		}
	}
	m, err := s.look(c, node)
	if err != nil {
		return err
	}
	s.memories[node+" "+name] = m
	return nil
}

// cmdUnchanged: unchanged NODE [since=NAME] [kernel] compares with what was
// remembered: the kernel, and the configuration that the agent gives out (not
// with "kernel").
func (s *session) cmdUnchanged(c call) error {
	const usage = "unchanged NODE [since=NAME] [kernel]"
	if len(c.args) < 1 {
		return &usageError{usage}
	}
	node, name, kernelOnly := c.args[0], "", false
	for _, a := range c.args[1:] {
		since, ok := strings.CutPrefix(a, "since=")
		switch {
		case ok:
			name = since
		case a == "kernel":
			kernelOnly = true
		default:
			return &usageError{usage}
		}
	}
	before := s.memories[node+" "+name]
	if before == nil {
		return &usageError{fmt.Sprintf("unchanged %s %s: remember it first", node, name)}
	}
	now, err := s.look(c, node)
	if err != nil {
		return err
	}
	var diffs []string
	for i, p := range kernelParts {
		diffs = append(diffs, lineDiff(p.name, before.parts[i], now.parts[i])...)
	}
	if !kernelOnly {
		diffs = append(diffs, lineDiff("configuration", before.config, now.config)...)
	}
	if len(diffs) > 0 {
		return fmt.Errorf("%s has changed:\n  %s", node, strings.Join(diffs, "\n  "))
	}
	return nil
}

func (s *session) look(c call, node string) (*memory, error) {
	// One process for all of it: to enter a node takes its time.
	var script strings.Builder
	for _, p := range kernelParts {
		fmt.Fprintf(&script, "( %s ) || exit 1; echo '%s'; ", p.script, partEnd)
	}
	text, err := s.output(c, node, []string{"sh", "-c", script.String()})
	if err != nil {
		return nil, err
	}
	parts := strings.Split(text, partEnd+"\n")
	if len(parts) != len(kernelParts)+1 {
		return nil, fmt.Errorf("look at %s: %d parts instead of %d", node, len(parts)-1, len(kernelParts))
	}
	m := &memory{parts: parts[:len(kernelParts)]}
	for i, p := range kernelParts {
		if p.sorted {
			lines := strings.Split(m.parts[i], "\n")
			slices.Sort(lines)
			m.parts[i] = strings.Join(lines, "\n")
		}
	}
	if s.lab.Agent(node).PID == 0 {
		return m, nil
	}
	m.config, err = s.output(c, "", s.client(node, []string{"get", "--type", "config", "/"}))
	return m, err
}

// output runs a command and returns what it prints; what it complains about is
// in the error.
func (s *session) output(c call, node string, argv []string) (string, error) {
	var out, errw bytes.Buffer
	if err := s.runOn(call{dir: c.dir, out: &out, errw: &errw}, node, argv); err != nil {
		if text := strings.TrimSpace(errw.String()); text != "" {
			err = errors.Join(err, errors.New(text))
		}
		return "", err
	}
	return out.String(), nil
}

// lineDiff lists the lines that only one of two texts has, or says that they are
// in another order.
func lineDiff(name, before, now string) []string {
	if before == now {
		return nil
	}
	count := map[string]int{}
	for line := range strings.Lines(before) {
		count[line]++
	}
	for line := range strings.Lines(now) {
		count[line]--
	}
	var out []string
	for _, side := range []struct {
		sign, text string
		want       int
	}{{"-", before, 1}, {"+", now, -1}} {
		for line := range strings.Lines(side.text) {
			if count[line]*side.want > 0 {
				count[line] -= side.want
				out = append(out, fmt.Sprintf("%s: %s %s", name, side.sign, strings.TrimRight(line, "\n")))
			}
		}
	}
	if len(out) == 0 {
		out = append(out, name+": the same lines in another order")
	}
	return out
}
