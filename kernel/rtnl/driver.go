// Package rtnl makes links, addresses, routes and SRv6 local SIDs in one network
// namespace and tells what is there. It is the only package that talks
// rtnetlink (and the generic netlink family SEG6), and it serves reconcile, by
// way of reconcile.Driver, and telemetry, by counters, state and a stream of
// events. It knows objects and the kernel, and nothing of YANG, gNMI or the
// datastore.
//
// Everything written is read back: from the kernel's echo of the request where
// there is one (routes and SIDs, IPv4 and IPv6), from the link's own messages
// or a query for that one object elsewhere. Kernels ignore attributes they do
// not know, so what comes back is compared with what was asked for.
//
// Ours is: a link whose alias starts with "heddle:" (or that has the group
// 0x4865646c and no alias yet, while it is being made), a route or SID of
// protocol 72, a nexthop object of protocol 72 with an id of 0x48000000 to
// 0x48ffffff, an address of protocol 72 (IFA_PROTO, Linux 5.18), a permanent
// neighbour of protocol 72 (NDA_PROTOCOL, Linux 5.0). Settings of
// links, memberships and the tunnel source have no room for a mark; they are in
// the record of kernel/prior, and so are the names of nexthop objects that have
// one. Nothing else is changed or deleted.
package rtnl

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"heddle/kernel/netns"
	"heddle/kernel/object"
	"heddle/kernel/prior"
	"heddle/reconcile"
)

// writers is the number of sockets that a bulk of routes is spread over. The
// kernel adds IPv6 routes of different sockets side by side.
const writers = 2

// Config is what a driver needs to know.
type Config struct {
	// Prior keeps what was there before; nil keeps it in memory, so that it is
	// lost at the end of the process.
	Prior *prior.Store

	// Support answers what the kernel can do, before commit; nil leaves it to
	// the read-back to find out.
	Support Support
}

// Driver is the driver of links, their settings and memberships, addresses,
// neighbours, the
// tunnel source, routes and SIDs. It is safe for concurrent use; changes are
// made one call at a time, reading state does not wait for them.
type Driver struct {
	ns      *netns.Namespace
	links   *linkCache
	hops    hopTable
	prior   *prior.Store
	support Support

	mu      sync.Mutex // held for each Do, Check and Dump; guards the sockets below
	writers [writers]*conn
	query   *conn
	genl    *conn
	seg6    uint16 // generic netlink family, 0: not asked yet
	retried int    // messages sent again after a passing shortage
	own     ownLinks
	kept    *kept // what the plan that is carried out may take along; nil: nothing

	// repoints are those of the plan that was last checked, moved those that are
	// under way: what was there before, by the ID of what has taken its place.
	repoints, moved map[string]*object.SharedNextHop

	// ending are the links that the plan that was last checked deletes.
	ending map[string]bool

	stateMu sync.Mutex // guards state, the socket that telemetry reads through
	state   *conn
}

var _ reconcile.Driver = (*Driver)(nil)

// Open binds a driver to the network namespace of the calling thread; later
// calls may come from any thread. The caller closes it.
func Open(cfg Config) (*Driver, error) {
	d, err := open(cfg)
	if err != nil {
		d.Close()
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	return d, nil
}

func open(cfg Config) (d *Driver, err error) {
	d = &Driver{prior: cfg.Prior, support: cfg.Support}
	if d.prior == nil {
		if d.prior, err = prior.Open("", ""); err != nil {
			return d, err
		}
	}
	if d.ns, err = netns.Current(); err != nil {
		return d, err
	}
	if d.links, err = newLinkCache(); err != nil {
		return d, err
	}
	for i := range d.writers {
		if d.writers[i], err = dial(unix.NETLINK_ROUTE); err != nil {
			return d, err
		}
	}
	if d.query, err = dial(unix.NETLINK_ROUTE); err != nil {
		return d, err
	}
	if d.state, err = dial(unix.NETLINK_ROUTE); err != nil {
		return d, err
	}
	if d.genl, err = dial(unix.NETLINK_GENERIC); err != nil {
		return d, err
	}
	if err := d.forgetGoneLinks(); err != nil {
		return d, err
	}
	_, err = d.readHops(context.Background())
	return d, err
}

// forgetGoneLinks drops the records of links that are gone or recreated.
func (d *Driver) forgetGoneLinks() error {
	v, err := d.links.snapshot(context.Background())
	if err != nil {
		return err
	}
	var gone []object.Key
	for _, kind := range []object.Kind{object.KindMember, object.KindLinkConfig} {
		for _, e := range d.prior.Kind(kind) {
			if l := v.byIndex[e.Ifindex]; l == nil || l.name != e.Key.ID {
				gone = append(gone, e.Key)
			}
		}
	}
	return d.prior.Delete(gone...)
}

// Close releases the sockets. Watches end with their own contexts.
func (d *Driver) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stateMu.Lock()
	defer d.stateMu.Unlock()
	if d.links != nil {
		d.links.close()
	}
	for _, c := range append(d.writers[:], d.query, d.state, d.genl) {
		if c != nil {
			c.close()
		}
	}
	if d.ns != nil {
		d.ns.Close()
	}
}

// Kinds lists the kinds of object that the driver is for.
func (d *Driver) Kinds() []object.Kind {
	return []object.Kind{object.KindLink, object.KindMember, object.KindLinkConfig, object.KindAddress,
		object.KindNeighbour, object.KindTunnelSource, object.KindHMACKey, object.KindNextHop, object.KindRoute, object.KindLocalSID}
}

// Dump implements reconcile.Driver. IPv6 routes and SIDs are in one table of the
// kernel and are read in one go.
func (d *Driver) Dump(ctx context.Context, kinds ...object.Kind) ([]object.Object, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []object.Object
	var routes routeKinds
	for _, kind := range kinds {
		if routes.add(kind) {
			continue
		}
		objects, err := d.dumpKind(ctx, kind)
		if err != nil {
			return nil, err
		}
		all = append(all, objects...)
	}
	return d.dumpRoutes(ctx, all, routes)
}

func (d *Driver) dumpKind(ctx context.Context, kind object.Kind) ([]object.Object, error) {
	switch kind {
	case object.KindLink:
		return d.dumpLinks(ctx)
	case object.KindMember:
		return d.dumpMembers(ctx)
	case object.KindLinkConfig:
		return d.dumpLinkConfigs(ctx)
	case object.KindAddress:
		return d.dumpAddresses(ctx)
	case object.KindNeighbour:
		return d.dumpOwnNeighbours(ctx)
	case object.KindTunnelSource:
		return d.dumpTunnelSource(ctx)
	case object.KindHMACKey:
		return d.dumpHMACKeys(ctx)
	case object.KindNextHop:
		return d.readHops(ctx)
	}
	return nil, fmt.Errorf("list %s objects: rtnetlink has none", kind)
}

// Do implements reconcile.Driver. Deleting what is not there (any more) is no
// error; creating what is there, and changing what is not there, is.
func (d *Driver) Do(ctx context.Context, steps []reconcile.Step) []reconcile.Result {
	if len(steps) == 0 {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	results := make([]reconcile.Result, len(steps))
	switch kind := steps[0].Key().Kind; kind {
	case object.KindLink:
		d.doLinks(ctx, steps, results)
	case object.KindMember:
		d.doMembers(ctx, steps, results)
	case object.KindLinkConfig:
		d.doLinkConfigs(ctx, steps, results)
	case object.KindAddress:
		d.each(ctx, steps, results, d.doAddress)
	case object.KindNeighbour:
		d.each(ctx, steps, results, d.doNeighbour)
	case object.KindTunnelSource:
		d.each(ctx, steps, results, d.doTunnelSource)
	case object.KindHMACKey:
		d.each(ctx, steps, results, d.doHMACKey)
	case object.KindNextHop:
		d.each(ctx, steps, results, d.doNextHop)
	case object.KindRoute, object.KindLocalSID:
		d.doRoutes(ctx, steps, results)
	default:
		for i := range results {
			results[i].Err = fmt.Errorf("apply %s: rtnetlink has no such objects", kind)
		}
	}
	return results
}

// each carries the steps out one after the other.
func (d *Driver) each(ctx context.Context, steps []reconcile.Step, results []reconcile.Result,
	do func(context.Context, reconcile.Step) (object.Object, error)) {
	for i, s := range steps {
		if err := ctx.Err(); err != nil {
			results[i].Err = describe(op(s), describeStep(s), err)
			continue
		}
		// A step that has begun is finished, or taken back.
		results[i].Got, results[i].Err = do(context.WithoutCancel(ctx), s)
	}
}

// The verbs of a step.
const (
	opCreate = "create"
	opChange = "change"
	opDelete = "delete"
)

// op is the verb for a step.
func op(s reconcile.Step) string {
	switch {
	case s.Old == nil:
		return opCreate
	case s.New == nil:
		return opDelete
	}
	return opChange
}

func describeStep(s reconcile.Step) string {
	if s.New != nil {
		return fmt.Sprint(s.New)
	}
	return fmt.Sprint(s.Old)
}

// errno reports whether err is the kernel's answer e.
func isErrno(err error, e unix.Errno) bool { return errors.Is(err, e) }
