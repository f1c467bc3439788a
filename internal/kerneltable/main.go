// Kerneltable keeps the table of docs/kernels.md: what each kernel takes and keeps,
// as agents on it have said (heddle capabilities).
//
//	kerneltable [-write] PAGE KERNEL=FILE...
//
// Without -write it fails when the table says something else of these kernels.
// Columns of other kernels stay as they are.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
)

const (
	begin = "<!-- kernels: begin; written by make kernels -->\n"
	end   = "<!-- kernels: end -->\n"
)

func main() {
	write := flag.Bool("write", false, "write the table")
	flag.Parse()
	if flag.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "usage: kerneltable [-write] PAGE KERNEL=FILE...")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Args()[1:], *write); err != nil {
		fmt.Fprintln(os.Stderr, "kerneltable:", err)
		os.Exit(1)
	}
}

func run(page string, sources []string, write bool) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(text, []byte(begin))
	old, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		return fmt.Errorf("%s has no place for the table: %q and %q", page, begin, end)
	}
	t, err := parseTable(string(old))
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	for _, s := range sources {
		kernel, file, ok := strings.Cut(s, "=")
		if !ok {
			return fmt.Errorf("%q is not KERNEL=FILE", s)
		}
		said, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := t.take(kernel, string(said)); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	table := t.String()
	if table == string(old) {
		return nil
	}
	if !write {
		return errors.New(page + " does not say what these kernels do: run make kernels and look at the difference")
	}
	return os.WriteFile(page, bytes.Join([][]byte{before, []byte(begin), []byte(table), []byte(end), after}, nil), 0o644)
}
