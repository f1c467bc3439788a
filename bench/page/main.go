// Command page writes the figures of the agent's benchmarks into
// docs/performance.md, between the two marks, and the plot beside it.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"heddle/bench"
)

func main() { os.Exit(run()) }

func run() int {
	results := flag.String("results", "build/bench-agent.jsonl", "`file` of results")
	page := flag.String("page", "docs/performance.md", "the page, a `file` with the marks")
	flag.Parse()
	if err := write(*results, *page); err != nil {
		fmt.Fprintln(os.Stderr, "page:", err)
		return 1
	}
	return 0
}

func write(results, page string) error {
	list, err := bench.Read(results)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("read page: %w", err)
	}
	text, err := bench.Insert(string(old), list)
	if err != nil {
		return fmt.Errorf("write %s: %w", page, err)
	}
	plot := filepath.Join(filepath.Dir(page), "performance-growth.svg")
	if err := os.WriteFile(plot, []byte(bench.Plot(list)), 0o644); err != nil {
		return fmt.Errorf("write plot: %w", err)
	}
	if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}
