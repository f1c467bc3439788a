package main

import (
	"fmt"
	"slices"
	"strings"
)

// table is what kernels can do, by feature, in the order in which agents say it.
type table struct {
	kernels  []string
	features []string
	has      map[string]map[string]string // by feature and kernel: "yes", "no" or "" for not asked
	remedy   map[string]string            // what it takes to have the feature
}

// parseTable reads a table that String has made.
func parseTable(text string) (*table, error) {
	t := &table{has: map[string]map[string]string{}, remedy: map[string]string{}}
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		switch {
		case line == "" || i == 1:
		case len(cells) < 2:
			return nil, fmt.Errorf("line %q is none of the table's", line)
		case i == 0:
			t.kernels = slices.Clone(cells[1 : len(cells)-1])
		default:
			name := cells[0]
			t.add(name)
			for n, k := range t.kernels {
				if n+1 < len(cells) {
					t.has[name][k] = strings.Trim(cells[n+1], "- ")
				}
			}
			if last := len(t.kernels) + 1; last < len(cells) {
				t.remedy[name] = strings.TrimSpace(cells[last])
			}
		}
	}
	return t, nil
}

func (t *table) add(feature string) {
	if t.has[feature] == nil {
		t.features = append(t.features, feature)
		t.has[feature] = map[string]string{}
	}
}

// take takes in what heddle capabilities says of a kernel:
//
//	kernel RELEASE takes and keeps:
//	  yes  FEATURE
//	  no   FEATURE: ANSWER: REMEDY
func (t *table) take(kernel, said string) error {
	if !slices.Contains(t.kernels, kernel) {
		t.kernels = append(t.kernels, kernel)
	}
	for _, f := range t.features {
		delete(t.has[f], kernel)
	}
	_, list, ok := strings.Cut(said, " takes and keeps:\n")
	if !ok {
		return fmt.Errorf("it does not say what the kernel takes and keeps")
	}
	n := 0
	for line := range strings.Lines(list) {
		verdict, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if verdict != "yes" && verdict != "no" {
			break
		}
		name, why, _ := strings.Cut(strings.TrimSpace(rest), ": ")
		t.add(name)
		t.has[name][kernel] = verdict
		if at := strings.LastIndex(why, ": "); verdict == "no" && at >= 0 {
			t.remedy[name] = why[at+2:]
		}
		n++
	}
	if n == 0 {
		return fmt.Errorf("it says nothing of any feature")
	}
	t.features = slices.DeleteFunc(t.features, func(f string) bool { return len(t.has[f]) == 0 })
	return nil
}

func (t *table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n| Feature | %s | To have it |\n|---|%s---|\n", strings.Join(t.kernels, " | "), strings.Repeat("---|", len(t.kernels)))
	for _, f := range t.features {
		b.WriteString("| " + f)
		missing := false
		for _, k := range t.kernels {
			v := t.has[f][k]
			missing = missing || v == "no"
			if v == "" {
				v = "-"
			}
			b.WriteString(" | " + v)
		}
		remedy := t.remedy[f]
		if !missing || remedy == "" {
			remedy = "-"
		}
		b.WriteString(" | " + remedy + " |\n")
	}
	return b.String() + "\n"
}
