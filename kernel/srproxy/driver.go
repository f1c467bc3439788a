// Package srproxy runs SR proxies (draft-ietf-spring-sr-service-programming): it
// loads the programs of heddle/bpf into the kernel, attaches them to links, and
// writes and reads their maps. It serves reconcile, by way of reconcile.Driver, for
// objects of the kinds proxyport and proxy. It knows the kernel and no model.
//
// Programs are attached and maps pinned below /sys/fs/bpf, so all of it goes on
// working while no agent runs; the next one takes it over. With the last object
// everything goes.
package srproxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"heddle/kernel/netns"
	"heddle/kernel/object"
	"heddle/kernel/prior"
	"heddle/kernel/rtnl"
	"heddle/reconcile"
)

// Config says where the driver keeps what outlives it.
type Config struct {
	// Scope tells this network namespace from others, as a file name.
	Scope string

	// Prior keeps what was there before us; nil: it is kept in memory.
	Prior *prior.Store

	// Support knows what the kernel can do; nil: everything is tried.
	Support rtnl.Support

	// Told is called with each SID whose kept headers have changed, and with an invalid
	// address when those of any may have. It must not wait for the driver. Nil: nobody
	// wants to know.
	Told func(sid netip.Addr)

	// Clsact attaches by clsact also where the kernel has tcx (Linux 6.6).
	Clsact bool
}

// Driver is the driver of SR proxies in one network namespace. It is safe for
// concurrent use.
type Driver struct {
	ns      *netns.Namespace
	links   *netlink.Handle
	support rtnl.Support
	record  *prior.Store
	pins    pins
	clsact  bool
	told    func(netip.Addr)

	mu      sync.Mutex // guards what follows
	code    *programs  // nil: not loaded
	changes *changes   // of code, if somebody is told
	hook    hook
}

var _ reconcile.Driver = (*Driver)(nil)

// Open binds a driver to the network namespace of the calling thread. It loads
// nothing yet, and removes what is pinned for namespaces that are gone.
func Open(cfg Config) (*Driver, error) {
	record := cfg.Prior
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
	links, err := netlink.NewHandleAt(vnetns.NsHandle(ns.FD()))
	if err != nil {
		ns.Close()
		return nil, fmt.Errorf("open netlink for SR proxies: %w", err)
	}
	// What cannot be removed is in nobody's way: the next agent tries again.
	_ = sweep(cfg.Scope, settled)
	return &Driver{ns: ns, links: links, support: cfg.Support, record: record, pins: pins{scope: cfg.Scope}, clsact: cfg.Clsact, told: cfg.Told}, nil
}

// Close lets go of the namespace. Programs and maps stay.
func (d *Driver) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unload()
	d.links.Close()
	d.ns.Close()
}

// unload drops the agent's own references.
func (d *Driver) unload() {
	if d.changes != nil {
		d.changes.close()
		d.changes = nil
	}
	if d.code != nil {
		d.code.close()
		d.code = nil
	}
}

// Kinds lists the kinds of object that the driver is for.
func (d *Driver) Kinds() []object.Kind { return []object.Kind{object.KindProxyPort, object.KindProxy} }

// load makes programs and maps available, those that are there or new ones. Maps whose
// pins somebody has removed serve nobody: programs would be attached that no next
// agent finds.
func (d *Driver) load() error {
	if d.code != nil {
		if there, err := d.pins.there(); err != nil || there {
			return err
		}
		d.unload()
	}
	code, err := load(&d.pins)
	if err != nil {
		return err
	}
	if d.told != nil {
		if d.changes, err = follow(code.Changes, d.told); err != nil {
			code.close()
			return err
		}
	}
	d.code, d.hook = code, tcx{d.pins.dir}
	if d.clsact || !hasTCX(code.by[roleBack]) {
		d.hook = clsact{d.links, d.record}
	}
	return nil
}

// Check implements reconcile.Driver.
func (d *Driver) Check(ctx context.Context, steps []reconcile.Step) error {
	var errs []error
	net := d.network()
	made := map[string]bool{}
	for _, s := range steps {
		if l, ok := s.New.(object.Link); ok {
			made[l.Name] = true
		}
	}
	for _, s := range steps {
		if err := d.checkFilter(s); err != nil {
			errs = append(errs, &reconcile.StepError{Step: s, Err: err})
		}
		for _, link := range linksFor(s.New) {
			if made[link] {
				continue
			}
			if err := d.checkLink(ctx, net, link, s.New); err != nil {
				errs = append(errs, &reconcile.StepError{Step: s, Err: err})
			}
		}
	}
	return errors.Join(errs...)
}

func (d *Driver) checkLink(ctx context.Context, net *network, link string, o object.Object) error {
	l, err := net.named(link)
	if err != nil {
		return err
	}
	if l == nil {
		return &rtnl.MissingLinkError{Link: link, Object: o.Key().String()}
	}
	if len(l.Attrs().HardwareAddr) != 6 {
		return &rtnl.UnfitError{Named: "link " + link, Reason: "carries no Ethernet frames", Remedy: "an SR proxy needs a link with Ethernet addresses"}
	}
	if d.support == nil {
		return nil
	}
	return d.support.Supports(ctx, rtnl.FeatureProxy)
}

// linksFor are the links that programs are attached to for an object of ours.
func linksFor(o object.Object) []string {
	switch o := o.(type) {
	case object.ProxyPort:
		return []string{o.Link}
	case *object.Proxy:
		return o.Links()
	}
	return nil
}

// Preserve implements reconcile.Driver: nothing of anybody else is reached.
func (d *Driver) Preserve(context.Context, []reconcile.Step) (reconcile.Preserved, error) {
	return nil, nil
}

// Do implements reconcile.Driver.
func (d *Driver) Do(ctx context.Context, steps []reconcile.Step) []reconcile.Result {
	results := make([]reconcile.Result, len(steps))
	d.mu.Lock()
	defer d.mu.Unlock()
	net := d.network()
	err := d.ns.Run(func() error {
		less := false
		for i, s := range steps {
			if results[i].Err = ctx.Err(); results[i].Err == nil {
				results[i] = d.step(net, s)
			}
			less = less || s.New == nil || results[i].Err != nil
		}
		if !less {
			return nil
		}
		return d.leave()
	})
	if err != nil {
		for i := range results {
			results[i] = reconcile.Result{Err: cmp.Or(results[i].Err, err)}
		}
	}
	return results
}

func (d *Driver) step(net *network, s reconcile.Step) reconcile.Result {
	if err := d.load(); err != nil {
		return reconcile.Result{Err: err}
	}
	if s.New == nil {
		return reconcile.Result{Err: d.remove(net, s.Old)}
	}
	for _, link := range linksFor(s.New) {
		if l, err := net.named(link); err != nil || l == nil {
			return reconcile.Result{Err: cmp.Or(err, error(&rtnl.MissingLinkError{Link: link, Object: s.New.Key().String()}))}
		}
	}
	switch there, err := d.there(net, s.New, s.Old != nil); {
	case err != nil:
		return reconcile.Result{Err: err}
	case s.Old == nil && there:
		return reconcile.Result{Err: unix.EEXIST}
	case s.Old != nil && !there:
		return reconcile.Result{Err: unix.ENOENT}
	}
	switch o := s.New.(type) {
	case object.ProxyPort:
		index, err := net.index(o.Link)
		if err == nil {
			err = d.hook.attach(index, d.code.by[roleOf(o)], roleOf(o))
		}
		return reconcile.Result{Got: o, Err: err}
	case *object.Proxy:
		had, _ := s.Old.(*object.Proxy)
		if err := d.putProxy(net, had, o); err != nil {
			return reconcile.Result{Err: err}
		}
		got, err := d.code.read(o.SID, net)
		if got == nil {
			return reconcile.Result{Err: err}
		}
		return reconcile.Result{Got: got, Err: err}
	}
	return reconcile.Result{Err: fmt.Errorf("%T is no object of an SR proxy", s.New)}
}

// putProxy makes a proxy, in the place of the one before it. What gives packets back
// only from now on gets its program first, and what did so before loses its last.
func (d *Driver) putProxy(net *network, had, o *object.Proxy) error {
	if o.Behavior == object.EndAM {
		return d.masquerade(net, o)
	}
	in, err := net.index(o.In)
	if err != nil {
		return err
	}
	standby, err := net.index(o.Standby)
	if err != nil {
		return err
	}
	indexes := linksOf(in, standby)
	var fresh []uint32
	for _, index := range indexes {
		// A proxy without its program is there in part: an agent was killed meanwhile.
		// Dump does not tell of it, so it is in nobody's way.
		switch whole, err := d.hook.has(int(index), roleBack); {
		case err != nil:
			return err
		case !whole:
			fresh = append(fresh, index)
			if err := d.code.evict(o.SID, int(index)); err != nil {
				return err
			}
		}
	}
	if err := d.code.write(o, in, standby); err != nil {
		return err
	}
	for _, index := range indexes {
		if err := d.hook.attach(int(index), d.code.by[roleBack], roleBack); err != nil {
			for _, f := range fresh {
				err = errors.Join(err, d.hook.detach(int(f), roleBack))
			}
			if had == nil {
				return errors.Join(err, d.code.erase(o.SID))
			}
			wasIn, _ := net.index(had.In)
			wasStandby, _ := net.index(had.Standby)
			return errors.Join(err, d.code.write(had, wasIn, wasStandby))
		}
	}
	if had == nil {
		return nil
	}
	for _, link := range had.Links() {
		index, err := net.index(link)
		if err == nil && index != 0 && !slices.Contains(indexes, uint32(index)) {
			err = d.hook.detach(index, roleBack)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// masquerade writes the row of End.AM, whose programs are those of ports.
func (d *Driver) masquerade(net *network, o *object.Proxy) error {
	var indexes [2]int
	for i, port := range o.Ports() {
		index, err := net.index(port.Link)
		if err != nil {
			return err
		}
		if index == 0 {
			return &rtnl.MissingLinkError{Link: port.Link, Object: o.Key().String()}
		}
		indexes[i] = index
	}
	return d.code.writeMasquerade(o, indexes[0], indexes[1])
}

// there reports whether an object is there: whole, since what is there in part Dump
// does not know, so it is made; to change it a part is enough, of a proxy whose link
// has gone for example.
func (d *Driver) there(net *network, o object.Object, part bool) (bool, error) {
	if p, ok := o.(*object.Proxy); ok {
		if part {
			return d.code.known(p.SID)
		}
		had, err := d.code.read(p.SID, net)
		if err != nil || had == nil {
			return false, err
		}
		o = had
	}
	for _, a := range attachmentsOf(o) {
		index, err := net.index(a.link)
		if err != nil || index == 0 {
			return false, err
		}
		if has, err := d.hook.has(index, a.role); err != nil || !has {
			return false, err
		}
	}
	return true, nil
}

// attachment is a program on a link.
type attachment struct {
	link string
	role role
}

// attachmentsOf are those without which an object is not there.
func attachmentsOf(o object.Object) (all []attachment) {
	switch o := o.(type) {
	case object.ProxyPort:
		return []attachment{{o.Link, roleOf(o)}}
	case *object.Proxy:
		for _, link := range o.Links() {
			all = append(all, attachment{link, roleBack})
		}
		for _, port := range o.Ports() {
			all = append(all, attachment{port.Link, roleOf(port)})
		}
	}
	return all
}

// remove takes away the program of a port; of a proxy also its rows in the maps. A
// link that is gone has taken its programs along.
func (d *Driver) remove(net *network, o object.Object) error {
	attached := attachmentsOf(o)
	if p, ok := o.(*object.Proxy); ok {
		if p.Behavior == object.EndAM {
			attached = nil // the ports are others' too
		}
		if err := d.code.erase(p.SID); err != nil {
			return err
		}
	}
	for _, a := range attached {
		index, err := net.index(a.link)
		if err == nil && index != 0 {
			err = d.hook.detach(index, a.role)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// leave removes everything when nothing is left of the objects.
func (d *Driver) leave() error {
	if d.code == nil {
		return nil
	}
	// One that lives is enough: to find it costs the same however many there are.
	switch s, some, err := d.code.anySID(); {
	case err != nil:
		return err
	case some:
		back, links := roleBack, rowsOf(s)
		if object.ProxyBehavior(s.Behavior) == object.EndAM {
			back, links = roleUnmask, []uint32{s.IfaceIn}
		}
		if len(links) == 0 {
			return nil
		}
		if lives, err := d.hook.has(int(links[0]), back); err != nil || lives {
			return err
		}
	}
	held, err := d.hook.list()
	if err != nil {
		return err
	}
	for _, indexes := range held {
		if len(indexes) > 0 {
			return nil
		}
	}
	d.unload()
	return d.pins.removeAll()
}

// Dump implements reconcile.Driver.
func (d *Driver) Dump(_ context.Context, kinds ...object.Kind) (objects []object.Object, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	there, err := d.pins.there()
	if err != nil || !there {
		return nil, err
	}
	net := d.network()
	if err := net.readAll(); err != nil {
		return nil, err
	}
	err = d.ns.Run(func() error {
		if err := d.load(); err != nil {
			return err
		}
		held, err := d.hook.list()
		if err != nil {
			return err
		}
		if err := d.hook.renew(held, d.code.by); err != nil {
			return err
		}
		if slices.Contains(kinds, object.KindProxyPort) {
			for r, as := range roleOfPort {
				for _, index := range held[as] {
					if name, ok, _ := net.numbered(index); ok {
						objects = append(objects, object.ProxyPort{Link: name, Role: object.PortRole(r)})
					}
				}
			}
		}
		if slices.Contains(kinds, object.KindProxy) {
			proxies, err := d.proxies(net, held)
			objects = append(objects, proxies...)
			return err
		}
		return nil
	})
	return objects, err
}

// proxies lists those whose programs are in their places.
func (d *Driver) proxies(net *network, held map[role][]int) (objects []object.Object, err error) {
	sids, err := d.code.allSIDs()
	if err != nil {
		return nil, err
	}
	for _, indexes := range held {
		slices.Sort(indexes)
	}
	for _, sid := range sids {
		p, err := d.code.read(sid, net)
		if err != nil {
			return nil, err
		}
		whole := p != nil
		if whole {
			for _, a := range attachmentsOf(p) {
				index, _ := net.index(a.link)
				_, there := slices.BinarySearch(held[a.role], index)
				whole = whole && there
			}
		}
		if whole { // else as if it were not there: what is wrong is mended by making it anew
			objects = append(objects, p)
		}
	}
	return objects, nil
}

// Readings lists what the proxies of these SIDs have kept and counted, of all for nil.
func (d *Driver) Readings(sids []netip.Addr) (all []object.ProxyReading, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	there, err := d.pins.there()
	if err != nil || !there {
		return nil, err
	}
	if err := d.load(); err != nil {
		return nil, err
	}
	if sids == nil {
		if sids, err = d.code.allSIDs(); err != nil {
			return nil, err
		}
	}
	for _, sid := range sids {
		r, ok, err := d.code.reading(sid)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, r)
		}
	}
	return all, nil
}

func addrOf(b [16]byte) netip.Addr { return netip.AddrFrom16(b) }
