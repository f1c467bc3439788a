// Package sysctl sets kernel parameters of one network namespace and gives the
// old values back. It serves reconcile, by way of reconcile.Driver, for objects
// of the kind sysctl. It knows /proc/sys and the record of kernel/prior, and
// neither netlink nor what a parameter means.
//
// /proc/sys/net shows the parameters of whoever opens a file in it, so every
// access is made on a thread in the namespace that the driver was opened in.
package sysctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"heddle/kernel/netns"
	"heddle/kernel/object"
	"heddle/kernel/prior"
	"heddle/reconcile"
)

const (
	root      = "/proc/sys"
	propValue = "value"
)

// MissingError says that the kernel has no such parameter.
type MissingError struct {
	Name   string
	Remedy string
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("this kernel has no parameter %s: %s", e.Name, e.Remedy)
}

// Driver is the driver of kernel parameters. It is safe for concurrent use.
type Driver struct {
	ns    *netns.Namespace
	prior *prior.Store

	mu sync.Mutex // one change at a time
}

var _ reconcile.Driver = (*Driver)(nil)

// Open binds a driver to the network namespace of the calling thread. The record
// keeps what the parameters were before; nil keeps it in memory.
func Open(record *prior.Store) (*Driver, error) {
	if record == nil {
		var err error
		if record, err = prior.Open("", ""); err != nil {
			return nil, err
		}
	}
	ns, err := netns.Current()
	if err != nil {
		return nil, err
	}
	return &Driver{ns: ns, prior: record}, nil
}

// Close releases the namespace.
func (d *Driver) Close() { d.ns.Close() }

// Kinds lists the kind of object that the driver is for.
func (d *Driver) Kinds() []object.Kind { return []object.Kind{object.KindSysctl} }

// inNamespace calls fn on a thread in the namespace.
func (d *Driver) inNamespace(fn func()) error {
	return d.ns.Run(func() error {
		fn()
		return nil
	})
}

// path is the file of a parameter. A name that leaves /proc/sys is refused.
func path(name string) (string, error) {
	if !filepath.IsLocal(name) || !strings.Contains(name, "/") {
		return "", fmt.Errorf("parameter name %q is not a path below %s", name, root)
	}
	return filepath.Join(root, name), nil
}

func read(name string) (string, error) {
	p, err := path(name)
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(p)
	if errors.Is(err, fs.ErrNotExist) {
		return "", missing(name)
	}
	if err != nil {
		return "", fmt.Errorf("read parameter: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func missing(name string) error {
	e := &MissingError{Name: name, Remedy: "use a kernel that has it"}
	parts := strings.Split(name, "/")
	switch {
	case strings.HasPrefix(name, "net/vrf/"):
		e.Remedy = "load the kernel module vrf (modprobe vrf), or use a kernel built with CONFIG_NET_VRF"
	case strings.Contains(name, "seg6"):
		e.Remedy = "use a kernel built with CONFIG_IPV6_SEG6_LWTUNNEL"
	case strings.HasPrefix(name, "net/ipv6/"):
		e.Remedy = "use a kernel built with CONFIG_IPV6, and boot it without ipv6.disable=1"
	}
	if len(parts) == 5 && parts[2] == "conf" {
		if _, err := os.Stat(filepath.Join(root, parts[0], parts[1], parts[2], parts[3])); err != nil {
			e.Remedy = fmt.Sprintf("link %s does not exist, or has an mtu below 1280 and so no IPv6", parts[3])
		}
	}
	return e
}

// write sets a parameter and reads it back; the result is what the kernel holds.
func write(name, value string) (string, error) {
	p, err := path(name)
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(p, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", missing(name)
	}
	if errors.Is(err, unix.EROFS) {
		return "", fmt.Errorf("write parameter: %s is mounted read-only: mount it read-write: %w", root, err)
	}
	if err != nil {
		return "", fmt.Errorf("write parameter: %w", err)
	}
	_, err = f.WriteString(value)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", explain(name, value, err)
	}
	return read(name)
}

// explain adds what is known about a refusal.
func explain(name, value string, err error) error {
	if name == object.SysctlStrictMode && errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("write parameter: two vrf links share one table; give each its own (ip -d link show type vrf): %w", err)
	}
	return fmt.Errorf("write %q: %w", value, err)
}

// Dump implements reconcile.Driver: what the record says we set, with the value
// that the kernel has now.
func (d *Driver) Dump(_ context.Context, kinds ...object.Kind) ([]object.Object, error) {
	for _, kind := range kinds {
		if kind != object.KindSysctl {
			return nil, fmt.Errorf("list %s objects: /proc/sys has none", kind)
		}
	}
	if len(kinds) == 0 {
		return nil, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var os []object.Object
	err := d.inNamespace(func() {
		for _, e := range d.prior.Kind(object.KindSysctl) {
			if _, valid := d.record(e.Key); !valid {
				continue
			}
			// One whose link is gone is gone, too.
			if now, err := read(e.Key.ID); err == nil {
				os = append(os, object.Sysctl{Name: e.Key.ID, Value: now, Link: e.Set[propLink]})
			}
		}
	})
	return os, err
}

// propLink keeps the object's link in the record.
const propLink = "link"

// Check implements reconcile.Driver.
func (d *Driver) Check(_ context.Context, steps []reconcile.Step) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	makesVRF := false
	for _, s := range steps {
		if l, ok := s.New.(object.Link); ok && l.Type == object.LinkVRF {
			makesVRF = true
		}
	}
	var errs []error
	err := d.inNamespace(func() {
		for _, s := range steps {
			o, ok := s.New.(object.Sysctl)
			// The parameters of a link come with the link, those of the vrf driver
			// at the latest with the first vrf.
			if !ok || o.Link != "" || makesVRF && strings.HasPrefix(o.Name, "net/vrf/") {
				continue
			}
			if _, err := read(o.Name); err != nil {
				errs = append(errs, &reconcile.StepError{Step: s, Err: err})
			}
		}
	})
	return errors.Join(append(errs, err)...)
}

// Do implements reconcile.Driver. Deleting what is not ours (any more) is no
// error.
func (d *Driver) Do(ctx context.Context, steps []reconcile.Step) []reconcile.Result {
	d.mu.Lock()
	defer d.mu.Unlock()
	results := make([]reconcile.Result, len(steps))
	err := d.inNamespace(func() {
		// The record is written before the first parameter is, and once for all of them:
		// that waits for the disk.
		todo := make([]change, len(steps))
		var entries []prior.Entry
		for i, s := range steps {
			if results[i].Err = ctx.Err(); results[i].Err != nil || s.New == nil {
				continue
			}
			if todo[i], results[i].Err = d.prepare(s); results[i].Err == nil {
				entries = append(entries, todo[i].entry)
			}
		}
		recorded := d.prior.Put(entries...)
		var gone []object.Key
		for i, s := range steps {
			switch {
			case results[i].Err != nil:
			case s.New == nil:
				if results[i].Err = d.giveBack(s.Key()); results[i].Err == nil {
					gone = append(gone, s.Key())
				}
			case recorded != nil:
				results[i].Err = recorded
			default:
				results[i].Got, results[i].Err = d.set(todo[i])
			}
		}
		if err := d.prior.Delete(gone...); err != nil {
			for i, s := range steps {
				if s.New == nil && results[i].Err == nil {
					results[i].Err = err
				}
			}
		}
	})
	if err != nil {
		for i := range results {
			results[i].Err = err
		}
	}
	return results
}

// change is what it takes to set a parameter.
type change struct {
	to    object.Sysctl
	now   string // its value until now
	entry prior.Entry
	rec   prior.Entry // the record before, if had
	had   bool
}

func (d *Driver) prepare(s reconcile.Step) (c change, err error) {
	o, ok := s.New.(object.Sysctl)
	if !ok {
		return c, fmt.Errorf("apply %s: a value of type %T does not belong to it", s.Key(), s.New)
	}
	c.to = o
	if c.now, err = read(o.Name); err != nil {
		return c, err
	}
	index := linkIndex(o.Link)
	c.rec, c.had = d.record(o.Key())
	switch {
	case s.Old == nil && c.had && c.rec.Set[propValue] == c.now:
		return c, fmt.Errorf("parameter %s is set already: %w", o.Name, fs.ErrExist)
	case s.Old != nil && !c.had:
		return c, fmt.Errorf("parameter %s was not set by heddle: %w", o.Name, fs.ErrNotExist)
	}
	c.entry = prior.Entry{Key: o.Key(), Ifindex: index, Before: map[string]string{propValue: c.now},
		Set: map[string]string{propValue: o.Value, propLink: o.Link}}
	if c.had {
		c.entry.Before = c.rec.Before
	} else if c.now != o.Value {
		links, err := apart(o.Name, c.now)
		if err != nil {
			return c, err
		}
		maps.Copy(c.entry.Before, links)
	}
	return c, nil
}

func (d *Driver) set(c change) (object.Object, error) {
	got, err := write(c.to.Name, c.to.Value)
	if err == nil && got != c.to.Value {
		err = fmt.Errorf("kernel holds %q instead of %q", got, c.to.Value)
	}
	if err != nil {
		return nil, errors.Join(err, d.undo(c.entry, c.now, c.rec, c.had))
	}
	return object.Sysctl{Name: c.to.Name, Value: got, Link: c.to.Link}, nil
}

// record is what was there before k was set; false when nothing was set, or on a
// link of that name that is gone.
func (d *Driver) record(k object.Key) (prior.Entry, bool) {
	rec, had := d.prior.Get(k)
	if link := rec.Set[propLink]; had && link != "" && linkIndex(link) != rec.Ifindex {
		return prior.Entry{}, false
	}
	return rec, had
}

// linkIndex is the ifindex of a link in the namespace of the thread; 0 when
// there is none.
func linkIndex(name string) int32 {
	if name == "" {
		return 0
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	if unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req) != nil {
		return 0
	}
	return int32(req.Uint32())
}

// undo puts the value and the record back to what they were before a step.
func (d *Driver) undo(entry prior.Entry, value string, rec prior.Entry, had bool) error {
	var err error
	k := entry.Key
	if now, rerr := read(k.ID); rerr == nil && now != value {
		links := unchanged(entry.Before, now)
		_, err = write(k.ID, value)
		err = errors.Join(err, writeAll(links))
	}
	if had {
		return errors.Join(err, d.prior.Put(rec))
	}
	return errors.Join(err, d.prior.Delete(k))
}

// giveBack writes the values from before us.
func (d *Driver) giveBack(k object.Key) error {
	value, links, err := d.before(k)
	if err != nil {
		return err
	}
	if value != nil {
		if _, err := write(k.ID, *value); err != nil {
			return err
		}
		if err := writeAll(links); err != nil {
			return err
		}
	}
	return nil
}

// before is the value from before us, and those of the parameters of links that
// the kernel sets with it. value is nil where there is nothing to give back:
// somebody else has changed it since, or the parameter has gone with its link.
func (d *Driver) before(k object.Key) (value *string, links map[string]string, err error) {
	rec, had := d.record(k)
	if !had {
		return nil, nil, nil
	}
	now, err := read(k.ID)
	if _, gone := errors.AsType[*MissingError](err); gone {
		return nil, nil, nil
	}
	if err != nil || now != rec.Set[propValue] {
		return nil, nil, err
	}
	was := rec.Before[propValue]
	return &was, unchanged(rec.Before, now), nil
}

// GivesBack are the parameters that deleting the object under k writes, with their
// values: first its own, then those of links, by name. It writes nothing.
func (d *Driver) GivesBack(k object.Key) (params []object.Sysctl, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	nserr := d.inNamespace(func() {
		var value *string
		var links map[string]string
		if value, links, err = d.before(k); value == nil {
			return
		}
		params = append(params, object.Sysctl{Name: k.ID, Value: *value})
		for _, name := range slices.Sorted(maps.Keys(links)) {
			params = append(params, object.Sysctl{Name: name, Value: links[name]})
		}
	})
	return params, errors.Join(nserr, err)
}
