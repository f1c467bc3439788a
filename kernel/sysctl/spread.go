package sysctl

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"heddle/kernel/object"
)

// spreads says to which parameters of links the kernel copies a parameter when
// its value changes (net/ipv4/devinet.c inet_forward_change, net/ipv6/addrconf.c
// addrconf_forward_change): parent/LINK/leaf, where LINK is also "default". Giving
// back the parameter alone would leave links that had a value of their own with
// another one.
func spreads(name string) (parent, leaf string, ok bool) {
	switch name {
	case object.SysctlForward4:
		return "net/ipv4/conf", "forwarding", true
	case object.SysctlForward6:
		return "net/ipv6/conf", "forwarding", true
	}
	return "", "", false
}

// apart are the parameters of links that differ from value before name changes
// from it, for the record: the name with the link's ifindex, so that a link that
// comes back with the same name is another one.
func apart(name, value string) (map[string]string, error) {
	parent, leaf, ok := spreads(name)
	if !ok {
		return nil, nil
	}
	links, err := os.ReadDir(filepath.Join(root, parent))
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	out := map[string]string{}
	for _, l := range links {
		if l.Name() == "all" {
			continue
		}
		// A link that has gone since has nothing to be given back.
		p := parent + "/" + l.Name() + "/" + leaf
		if now, err := read(p); err == nil && now != value {
			out[p+"#"+strconv.Itoa(int(linkIndex(l.Name())))] = now
		}
	}
	return out, nil
}

// unchanged returns those of apart that still have the value that name spread:
// the others are somebody else's by now, or have gone.
func unchanged(before map[string]string, set string) map[string]string {
	out := map[string]string{}
	for k, value := range before {
		p, index, ok := strings.Cut(k, "#")
		if !ok || strconv.Itoa(int(linkIndex(filepath.Base(filepath.Dir(p))))) != index {
			continue
		}
		if now, err := read(p); err == nil && now == set {
			out[p] = value
		}
	}
	return out
}

// writeAll writes each parameter; one that has gone is no error.
func writeAll(values map[string]string) error {
	var errs []error
	for p, value := range values {
		_, err := write(p, value)
		if _, gone := errors.AsType[*MissingError](err); err != nil && !gone {
			errs = append(errs, fmt.Errorf("give back %s: %w", p, err))
		}
	}
	return errors.Join(errs...)
}
