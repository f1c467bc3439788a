package main

import (
	"fmt"
	"slices"
	"strings"
)

// group is a line of a summary: its features begin with one of the prefixes, or if it
// has none end with the suffix.
type group struct {
	title    string
	prefixes []string
	suffix   string
}

// groups has the rest in the last one.
var groups = []group{
	{"SIDs", []string{"End", "flavor "}, ""},
	{"Headend", []string{"H.", "inline insertion "}, ""},
	{"Links", nil, " links"},
	{"Besides", nil, ""},
}

// groupOf is the place of a feature among the groups.
func groupOf(feature string) int {
	return slices.IndexFunc(groups, func(g group) bool {
		if g.prefixes == nil {
			return strings.HasSuffix(feature, g.suffix)
		}
		return slices.ContainsFunc(g.prefixes, func(p string) bool { return strings.HasPrefix(feature, p) })
	})
}

// summary says in a line for each group what all kernels have, and in a table what
// some have not.
func (t *table) summary() string {
	have := make([][]string, len(groups))
	var rest []string
	for _, f := range t.features {
		if !t.everywhere(f) {
			rest = append(rest, f)
			continue
		}
		i := groupOf(f)
		have[i] = append(have[i], strings.TrimSuffix(f, groups[i].suffix))
	}
	var b strings.Builder
	b.WriteString("\n")
	for i, g := range groups {
		if len(have[i]) > 0 {
			fmt.Fprintf(&b, "- %s: %s\n", g.title, strings.Join(families(have[i]), ", "))
		}
	}
	fmt.Fprintf(&b, "\n| Not on each kernel | %s |\n|---|%s\n", strings.Join(t.kernels, " | "), strings.Repeat("---|", len(t.kernels)))
	for _, f := range rest {
		b.WriteString("| " + f)
		for _, k := range t.kernels {
			if v := t.has[f][k]; v != "" {
				b.WriteString(" | " + v)
			} else {
				b.WriteString(" | -")
			}
		}
		b.WriteString(" |\n")
	}
	return b.String() + "\n"
}

// everywhere reports whether all kernels have a feature.
func (t *table) everywhere(f string) bool {
	for _, k := range t.kernels {
		if t.has[f][k] != "yes" {
			return false
		}
	}
	return true
}

// families names once what is there for IPv4 and for IPv6.
func families(names []string) []string {
	const routes, four, six = " routes", " IPv4", " IPv6"
	var all []string
	for _, n := range names {
		name := strings.TrimSuffix(n, routes)
		base, isSix := strings.CutSuffix(name, six)
		base, isFour := strings.CutSuffix(base, four)
		switch {
		case isSix && slices.Contains(names, base+four+routes):
		case isFour && slices.Contains(names, base+six+routes):
			all = append(all, strings.TrimSuffix(strings.TrimSuffix(base, " on"), " by"))
		default:
			all = append(all, name)
		}
	}
	return all
}
