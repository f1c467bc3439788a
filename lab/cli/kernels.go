package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"heddle/lab/debian"
)

func (a *app) kernels(ctx context.Context, args []string) error {
	fs := a.flags("kernels", "[get NAME...]")
	refresh := fs.Bool("refresh", false, "with get: look for a newer version of what is in the cache")
	words, rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	store := &debian.Store{Dir: a.cache, Progress: a.progress}
	switch {
	case len(rest) > 0 || len(words) == 1 || len(words) > 0 && words[0] != "get":
		return &usageError{"kernels lists; kernels get 6.1 6.12 fetches"}
	case len(words) > 1:
		for _, name := range words[1:] {
			src, err := debian.FindSource(name)
			if err != nil {
				return &usageError{err.Error()}
			}
			if _, err := store.Get(ctx, src, *refresh); err != nil {
				return err
			}
		}
	}
	return a.listKernels(store)
}

func (a *app) listKernels(store *debian.Store) error {
	cached, err := store.List()
	if err != nil {
		return err
	}
	have := map[string]debian.Kernel{}
	for _, k := range cached {
		have[k.Name] = k
	}
	w := tabwriter.NewWriter(a.stdout, 2, 8, 3, ' ', 0)
	fmt.Fprintln(w, "NAME\tSUITES\tIN THE CACHE\tPACKAGE VERSION")
	for _, s := range debian.Sources() {
		release, version := "-", "-"
		if k, ok := have[s.Name]; ok {
			release, version = k.Release+" ("+k.Suite+")", k.Version
			delete(have, s.Name)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Name, strings.Join(s.Suites, ", "), release, version)
	}
	for _, k := range cached {
		if _, other := have[k.Name]; other {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.Name, k.Suite, k.Release, k.Version)
		}
	}
	return w.Flush()
}
