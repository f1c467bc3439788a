// Package bench measures a whole agent: the heddled binary in a network
// namespace of its own, spoken to over its unix socket by another process, each
// figure beside iproute2 doing the same in the same run, the two taking turns.
//
// It serves docs/performance.md, which bench/page writes from the results that
// the benchmarks leave. Its tests kill that agent in the middle of Sets, and see
// that nothing grows while it works. It knows the agent only as an operator does: flags, gNMI,
// the process and the kernel. Nothing timed ever fails: a goal that is missed is
// shown as missed.
package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

// Result is one measured figure.
type Result struct {
	// Name is what was measured, Count the number of SIDs or routes it was
	// measured with.
	Name  string `json:"name"`
	Count int    `json:"count,omitempty"`
	Unit  string `json:"unit"`
	// Samples are all the measurements; the figure is their median.
	Samples []float64 `json:"samples,omitempty"`
	// Text stands for the figure where it is none.
	Text string `json:"text,omitempty"`
}

// Median of the samples, 0 without any.
func (r Result) Median() float64 { return Median(r.Samples) }

// Median of a list, which stays as it is; 0 of an empty one.
func Median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(list))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// Append adds a result to a file, one JSON object a line.
func Append(file string, r Result) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode result %s: %w", r.Name, err)
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("keep result %s: %w", r.Name, err)
	}
	defer f.Close()
	if _, err := f.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("keep result %s: %w", r.Name, err)
	}
	return nil
}

// Read reads what Append wrote.
func Read(file string) ([]Result, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	defer f.Close()
	var list []Result
	s := bufio.NewScanner(f)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		var r Result
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("read results: line %d: %w", len(list)+1, err)
		}
		list = append(list, r)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	return list, nil
}
