package scenario

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// cmdCounters: counters mark NAME NODE PATH reads counters over gNMI; counters
// rose NAME COUNTER=BY... reads them again and says by exactly how much each has
// risen since. Every counter under PATH must be named: one that is not is
// expected not to have moved.
func (s *session) cmdCounters(c call) error {
	const usage = "counters mark NAME NODE PATH | counters rose NAME COUNTER=BY..."
	switch {
	case len(c.args) == 4 && c.args[0] == "mark":
		values, err := s.readCounters(c, c.args[2], c.args[3])
		if err != nil {
			return err
		}
		s.readings[c.args[1]] = &reading{node: c.args[2], path: c.args[3], values: values}
		return nil
	case len(c.args) >= 2 && c.args[0] == "rose":
		r := s.readings[c.args[1]]
		if r == nil {
			return &usageError{fmt.Sprintf("counters rose %s: it was not marked", c.args[1])}
		}
		want := map[string]uint64{}
		for _, a := range c.args[2:] {
			name, by, _ := strings.Cut(a, "=")
			n, err := strconv.ParseUint(by, 10, 64)
			if err != nil {
				return &usageError{usage}
			}
			want[name] = n
		}
		return s.compareCounters(c, r, want)
	}
	return &usageError{usage}
}

// reading is what the counters of one list entry were.
type reading struct {
	node, path string
	values     map[string]uint64 // by the leaf's name
}

func (s *session) compareCounters(c call, r *reading, want map[string]uint64) error {
	now, err := s.readCounters(c, r.node, r.path)
	if err != nil {
		return err
	}
	for name := range want {
		if _, there := now[name]; !there {
			return fmt.Errorf("%s on %s has no counter %s", r.path, r.node, name)
		}
	}
	var wrong []string
	for name, value := range now {
		if value-r.values[name] != want[name] {
			wrong = append(wrong, fmt.Sprintf("%s rose by %d (from %d to %d), expected %d", name, value-r.values[name], r.values[name], value, want[name]))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("counters %s on %s: %s", r.path, r.node, strings.Join(wrong, "; "))
	}
	return nil
}

// readCounters reads the numbers below a path; there must be some.
func (s *session) readCounters(c call, node, at string) (map[string]uint64, error) {
	text, err := s.output(c, "", s.client(node, []string{"get", "--type", "state", "--leaves", at}))
	if err != nil {
		return nil, err
	}
	values := map[string]uint64{}
	for line := range strings.Lines(text) {
		i := strings.LastIndex(line, ": ")
		if i < 0 {
			continue
		}
		if n, err := strconv.ParseUint(strings.TrimSpace(line[i+2:]), 10, 64); err == nil {
			values[path.Base(line[:i])] = n
		}
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("%s on %s has no counters: %s", at, node, strings.TrimSpace(text))
	}
	return values, nil
}
