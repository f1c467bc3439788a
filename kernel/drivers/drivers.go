// Package drivers joins the drivers under kernel/ into one reconcile.Driver for
// all kinds of object, bound to one network namespace. It serves the agent,
// which opens it at start, and knows nothing of configuration.
package drivers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/kernel/prior"
	"heddle/kernel/probe"
	"heddle/kernel/rtnl"
	"heddle/kernel/srproxy"
	"heddle/kernel/sysctl"
	"heddle/reconcile"
)

// Config says where the drivers keep their record.
type Config struct {
	// StateDir holds the record of prior values. It must exist. Empty keeps the
	// record in memory, so that nothing can be given back after a restart.
	StateDir string

	// ProxyTold is called with each SID of an SR proxy whose kept headers have changed,
	// as srproxy.Config has it. Nil: nobody wants to know.
	ProxyTold func(sid netip.Addr)
}

// Drivers is the kernel side of one network namespace.
type Drivers struct {
	// Net is the rtnetlink driver, also for counters, state and events.
	Net *rtnl.Driver

	// Probe knows what this kernel can do.
	Probe *probe.Prober

	sysctl *sysctl.Driver
	proxy  *srproxy.Driver
	owner  net.Listener
}

var _ reconcile.Driver = (*Drivers)(nil)

// InUseError says that another process manages this network namespace.
type InUseError struct {
	PID int // of the other process, 0: not known
}

func (e *InUseError) Error() string {
	if e.PID == 0 {
		return "another heddled manages this network namespace: end it first"
	}
	return fmt.Sprintf("another heddled (process %d) manages this network namespace: end it first", e.PID)
}

// Open binds drivers to the network namespace of the calling thread. It fails
// with an *InUseError while another process has them open there, and with one
// clear line when the process lacks CAP_NET_ADMIN.
func Open(cfg Config) (*Drivers, error) {
	if err := rtnl.CheckPrivilege(); err != nil {
		return nil, err
	}
	d := &Drivers{Probe: new(probe.Prober)}
	if err := d.open(cfg); err != nil {
		d.Close()
		return nil, fmt.Errorf("open kernel drivers: %w", err)
	}
	return d, nil
}

func (d *Drivers) open(cfg Config) error {
	var err error
	if d.owner, err = claim(); err != nil {
		return err
	}
	scope, err := prior.Scope()
	if err != nil {
		return err
	}
	record, err := prior.Open(cfg.StateDir, scope)
	if err != nil {
		return err
	}
	if d.Net, err = rtnl.Open(rtnl.Config{Prior: record, Support: d.Probe}); err != nil {
		return err
	}
	if d.sysctl, err = sysctl.Open(record); err != nil {
		return err
	}
	d.proxy, err = srproxy.Open(srproxy.Config{Scope: folder(scope), Prior: record, Support: d.Probe, Told: cfg.ProxyTold})
	return err
}

// folder is the name of a folder for what belongs to a network namespace in this
// life of it.
func folder(scope string) string { return strings.ReplaceAll(scope, " ", "-") }

// ownerAddress is an abstract unix address. There is one of each name in a
// network namespace, and the kernel frees it however its process ends.
const ownerAddress = "@heddle/owner"

// claim takes the namespace, or says who has it.
func claim() (net.Listener, error) {
	l, err := net.Listen("unix", ownerAddress)
	if err == nil {
		return l, nil
	}
	if !errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("claim network namespace: %w", err)
	}
	return nil, &InUseError{PID: ownerPID()}
}

func ownerPID() int {
	c, err := net.Dial("unix", ownerAddress)
	if err != nil {
		return 0
	}
	defer c.Close()
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}

// Close releases everything and lets the namespace go. It changes nothing in the
// kernel.
func (d *Drivers) Close() {
	if d.proxy != nil {
		d.proxy.Close()
	}
	if d.sysctl != nil {
		d.sysctl.Close()
	}
	if d.Net != nil {
		d.Net.Close()
	}
	if d.owner != nil {
		_ = d.owner.Close()
	}
}

// of is the driver for a kind.
func (d *Drivers) of(k object.Kind) reconcile.Driver {
	switch k {
	case object.KindSysctl:
		return d.sysctl
	case object.KindProxyPort, object.KindProxy:
		return d.proxy
	}
	return d.Net
}

// Proxies lists what the SR proxies of these SIDs have kept and counted, of all for nil.
func (d *Drivers) Proxies(sids []netip.Addr) ([]object.ProxyReading, error) {
	return d.proxy.Readings(sids)
}

func (d *Drivers) all() []reconcile.Driver { return []reconcile.Driver{d.Net, d.sysctl, d.proxy} }

// Dump implements reconcile.Driver.
func (d *Drivers) Dump(ctx context.Context, kinds ...object.Kind) ([]object.Object, error) {
	of := map[reconcile.Driver][]object.Kind{}
	for _, k := range kinds {
		of[d.of(k)] = append(of[d.of(k)], k)
	}
	var all []object.Object
	for _, one := range d.all() { // the largest first: what comes behind is appended
		if len(of[one]) == 0 {
			continue
		}
		objects, err := one.Dump(ctx, of[one]...)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = objects
		} else {
			all = append(all, objects...)
		}
	}
	return all, nil
}

// Check implements reconcile.Driver: each driver sees the whole plan.
func (d *Drivers) Check(ctx context.Context, steps []reconcile.Step) error {
	var errs []error
	for _, one := range d.all() {
		errs = append(errs, one.Check(ctx, steps))
	}
	return errors.Join(errs...)
}

// Preserve implements reconcile.Driver: each driver sees the whole plan.
func (d *Drivers) Preserve(ctx context.Context, steps []reconcile.Step) (reconcile.Preserved, error) {
	var all preserved
	for _, one := range []reconcile.Driver{d.sysctl, d.Net} {
		p, err := one.Preserve(ctx, steps)
		if err != nil {
			return nil, err
		}
		if p != nil {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	return all, nil
}

// preserved is put back in its order: the parameters of links before what they may
// keep away.
type preserved []reconcile.Preserved

// Undo implements reconcile.Preserved.
func (p preserved) Undo() {
	for _, one := range p {
		one.Undo()
	}
}

// Restore implements reconcile.Preserved.
func (p preserved) Restore(ctx context.Context) error {
	var errs []error
	for _, one := range p {
		errs = append(errs, one.Restore(ctx))
	}
	return errors.Join(errs...)
}

// Do implements reconcile.Driver.
func (d *Drivers) Do(ctx context.Context, steps []reconcile.Step) []reconcile.Result {
	if len(steps) == 0 {
		return nil
	}
	return d.of(steps[0].Key().Kind).Do(ctx, steps)
}
