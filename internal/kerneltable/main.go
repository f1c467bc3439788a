// Kerneltable keeps the table of docs/kernels.md: what each kernel takes and keeps,
// as agents on it have said (heddle capabilities), and the summary of it in the README.
//
//	kerneltable [-write] [-summary PAGE] PAGE KERNEL=FILE...
//
// Without -write it fails when the table says something else of these kernels, or the
// summary something else than the table. Columns of other kernels stay as they are.
package main

import (
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
	write := flag.Bool("write", false, "write the table, and the summary")
	summary := flag.String("summary", "", "page that has the table in short")
	flag.Parse()
	if flag.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "usage: kerneltable [-write] [-summary PAGE] PAGE KERNEL=FILE...")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *summary, flag.Args()[1:], *write); err != nil {
		fmt.Fprintln(os.Stderr, "kerneltable:", err)
		os.Exit(1)
	}
}

func run(page, summary string, sources []string, write bool) error {
	p, err := readPage(page)
	if err != nil {
		return err
	}
	t, err := parseTable(p.between)
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
	if err := p.keep(t.String(), write); err != nil || summary == "" {
		return err
	}
	if p, err = readPage(summary); err != nil {
		return err
	}
	return p.keep(t.summary(), write)
}

// page is a file with a place for what kernels can do.
type page struct{ name, before, between, after string }

func readPage(name string) (*page, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	before, rest, ok := strings.Cut(string(text), begin)
	between, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return nil, fmt.Errorf("%s has no place for what kernels can do: %q and %q", name, begin, end)
	}
	return &page{name, before, between, after}, nil
}

// keep writes what is to be between the marks, or fails if it is not there.
func (p *page) keep(between string, write bool) error {
	if between == p.between {
		return nil
	}
	if !write {
		return errors.New(p.name + " does not say what these kernels do: run make kernels and look at the difference")
	}
	return os.WriteFile(p.name, []byte(p.before+begin+between+end+p.after), 0o644)
}
