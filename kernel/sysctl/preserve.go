package sysctl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// perLink are the directories that have one for each link.
var perLink = []string{"net/ipv4/conf", "net/ipv6/conf", "net/ipv4/neigh", "net/ipv6/neigh", "net/mpls/conf"}

// kept are the parameters of links that a plan deletes. One that is made anew under
// its name starts with the defaults of the namespace, and somebody else may have
// set it otherwise.
type kept struct {
	d      *Driver
	values map[string]string // by parameter
	steps  map[string]reconcile.Step
}

// Preserve implements reconcile.Driver: it reads the parameters of the links that
// the plan deletes.
func (d *Driver) Preserve(_ context.Context, steps []reconcile.Step) (reconcile.Preserved, error) {
	k := &kept{d: d, values: map[string]string{}, steps: map[string]reconcile.Step{}}
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.inNamespace(func() {
		for _, s := range steps {
			if l, ok := s.Old.(object.Link); ok && s.New == nil {
				k.read(l.Name, s)
			}
		}
	})
	if err != nil || len(k.values) == 0 {
		return nil, err
	}
	return k, nil
}

// read notes the parameters of a link that are not ours. Those that cannot be read
// have no value.
func (k *kept) read(link string, s reconcile.Step) {
	for _, parent := range perLink {
		dir := filepath.Join(parent, link)
		files, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			continue // IPv6 is off, or the kernel has none of this
		}
		for _, f := range files {
			name := filepath.Join(dir, f.Name())
			if _, ours := k.d.record(object.SysctlKey(name)); ours {
				continue
			}
			if value, err := read(name); err == nil {
				k.values[name], k.steps[name] = value, s
			}
		}
	}
}

// outgrown reports whether a value is an IPv6 MTU of a link that has a smaller MTU
// now, which bounds it (addrconf_sysctl_mtu in net/ipv6/addrconf.c).
func outgrown(name, value, now string) bool {
	was, err := strconv.ParseUint(value, 10, 32)
	is, nowErr := strconv.ParseUint(now, 10, 32)
	return filepath.Base(name) == "mtu" && err == nil && nowErr == nil && is < was
}

// Undo implements reconcile.Preserved.
func (k *kept) Undo() {}

// Restore implements reconcile.Preserved. A link that is gone has no parameters.
func (k *kept) Restore(context.Context) error {
	k.d.mu.Lock()
	defer k.d.mu.Unlock()
	var errs []error
	err := k.d.inNamespace(func() {
		gone := "" // the last directory that is not there any more
		for _, name := range slices.Sorted(maps.Keys(k.values)) {
			dir := filepath.Dir(name)
			if dir == gone {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, dir)); err != nil {
				gone = dir
				continue
			}
			value := k.values[name]
			now, err := read(name)
			if _, ours := k.d.record(object.SysctlKey(name)); err != nil || now == value || ours || outgrown(name, value, now) {
				continue
			}
			if _, err := write(name, value); err != nil {
				errs = append(errs, &reconcile.StepError{Step: k.steps[name], Err: fmt.Errorf("put parameter %s of a link that was made anew back: %w", name, err)})
			}
		}
	})
	return errors.Join(append(errs, err)...)
}
