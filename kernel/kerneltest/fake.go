package kerneltest

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// Fake is a kernel in memory with a driver for it. It is as strict as Linux: it
// refuses duplicates, missing parents and what is not reachable; it takes away
// without a word what Linux takes away without a word (the addresses and routes
// of a link that goes, the IPv6 addresses of one that is enslaved or goes down,
// IPv4 routes with the last IPv4 address, secondary IPv4 addresses with the
// primary one, of which the driver puts back what an address of ours takes along);
// and a SID keeps the VRF that it was made with, so that it is a
// black hole once that is gone, which only Snapshot shows. A nexthop object goes
// with its link and when that goes down, and takes its routes along.
//
// It is a reconcile.Driver, whose records of prior values it keeps, too, and the
// hand of somebody else (Foreign). Not in it: IPv6 link-local addresses, an MTU
// below that of IPv6, carrier, recursive gateways, onlink next hops, where the next
// hops of SIDs lead.
//
// All methods are safe for concurrent use.
type Fake struct {
	mu sync.Mutex

	lastIndex int
	links     map[string]*fakeLink
	routes    map[object.Slot]*fakeRoute
	hops      map[string]*fakeHop // nexthop objects by the ID of the shared next hop
	sysctls   map[string]string   // those that are not at their default
	tunsrc    netip.Addr
	hmac      map[uint32]fakeHMAC

	// records are the values from before, by key of what we set.
	records map[object.Key]record
	proxyOf map[netip.Addr]*object.Proxy // by SID; that of a link that is gone is there in part

	// kept is what the plan that is carried out may take along; nil: nothing.
	kept *fakeKept

	ops, dumps, gone int
	fail             func(op int, s reconcile.Step) error
	distort          func(o object.Object) object.Object
	lacks            func(o object.Object) error
	stopAtError      bool
}

// refusal is an error of the kernel in its own words.
type refusal struct {
	text  string
	errno syscall.Errno
}

func says(text string, errno syscall.Errno) error { return &refusal{text, errno} }

func (r *refusal) Error() string { return r.text + ": " + r.errno.Error() }
func (r *refusal) Unwrap() error { return r.errno }

// record is what we have set, and what was there.
type record struct {
	object object.Object
	index  int // of the link it is about, 0: none
	before map[string]string
}

// NewFake returns a kernel with the links "lo", "ext0" and "ext1" of somebody
// else: up, the two of them Ethernet with an MTU of 1500 octets.
func NewFake() *Fake {
	f := &Fake{
		links:   map[string]*fakeLink{},
		routes:  map[object.Slot]*fakeRoute{},
		hops:    map[string]*fakeHop{},
		sysctls: map[string]string{},
		hmac:    map[uint32]fakeHMAC{},
		records: map[object.Key]record{},
		proxyOf: map[netip.Addr]*object.Proxy{},
	}
	f.newLink("lo", "", 65536).up = true
	f.newLink("ext0", "", 1500).up = true
	f.newLink("ext1", "", 1500).up = true
	return f
}

// FailWith has every operation of ours ask fn first: an error refuses it and
// leaves the kernel as it is. op counts the operations from 1 on, from this call
// on. A nil fn ends that.
func (f *Fake) FailWith(fn func(op int, s reconcile.Step) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ops, f.fail = 0, fn
}

// FailOps has the operations with the given numbers fail, counted from 1 on.
func (f *Fake) FailOps(err error, ops ...int) {
	f.FailWith(func(op int, _ reconcile.Step) error {
		if slices.Contains(ops, op) {
			return err
		}
		return nil
	})
}

// Distort has the kernel hold what fn makes of an object in its place, as Linux
// does when it drops attributes that it does not know. fn must keep the key.
func (f *Fake) Distort(fn func(object.Object) object.Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.distort = fn
}

// Lack has Check refuse what fn has an error for, as a kernel without a feature.
func (f *Fake) Lack(fn func(object.Object) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lacks = fn
}

// StopAtError has Do leave the steps behind a failed one undone; otherwise it
// goes on. Drivers may do either.
func (f *Fake) StopAtError(stop bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopAtError = stop
}

// Ops is the number of operations since the start or since FailWith, refused
// ones included.
func (f *Fake) Ops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ops
}

// Dumps is the number of kinds that Dump was called for.
func (f *Fake) Dumps() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dumps
}

// Gone is the number of deletions that found nothing to delete, because the
// kernel had taken it away before: steps in the wrong order, or drift.
func (f *Fake) Gone() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gone
}

// Dump implements reconcile.Driver, kind by kind in key order.
func (f *Fake) Dump(ctx context.Context, kinds ...object.Kind) ([]object.Object, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dumps += len(kinds)
	var objects []object.Object
	for _, kind := range kinds {
		for _, o := range f.all(kind) {
			if o.ours {
				objects = append(objects, o.object)
			}
		}
	}
	return objects, nil
}

// held is an object in the kernel.
type held struct {
	object object.Object
	ours   bool
	note   string // what the object does not tell
}

// all lists what is there of one kind, in key order; of the kinds that only have
// records, what is set by us.
func (f *Fake) all(kind object.Kind) []held {
	var hs []held
	switch kind {
	case object.KindLink:
		for _, l := range f.links {
			hs = append(hs, held{l.object(), l.alias, l.note()})
		}
	case object.KindAddress:
		for _, l := range f.links {
			for _, a := range l.addresses {
				hs = append(hs, held{object.Address{Link: l.name, Prefix: a.prefix}, a.ours, ""})
			}
		}
	case object.KindNeighbour:
		for _, l := range f.links {
			for a, n := range l.neighbours {
				hs = append(hs, held{object.Neighbour{Link: l.name, Addr: a, MAC: n.mac}, n.ours, ""})
			}
		}
	case object.KindHMACKey:
		for _, h := range f.hmac {
			hs = append(hs, held{h.key, h.ours, ""})
		}
	case object.KindNextHop:
		for _, h := range f.hops {
			hs = append(hs, held{h.object, h.ours, ""})
		}
	case object.KindRoute, object.KindLocalSID:
		for s, r := range f.routes {
			if o := f.routeObject(s, r); o.Key().Kind == kind {
				hs = append(hs, held{o, r.ours, f.routeNote(r)})
			}
		}
	case object.KindProxyPort, object.KindProxy:
		hs = f.proxies(kind)
	default:
		for k := range f.records {
			if k.Kind != kind {
				continue
			}
			if o, ok := f.get(k); ok && f.live(k) {
				hs = append(hs, held{o, true, ""})
			}
		}
	}
	slices.SortFunc(hs, func(a, b held) int { return a.object.Key().Compare(b.object.Key()) })
	return hs
}

// Do implements reconcile.Driver. A deletion that finds nothing is well: the
// kernel holds what was asked for.
func (f *Fake) Do(ctx context.Context, steps []reconcile.Step) []reconcile.Result {
	f.mu.Lock()
	defer f.mu.Unlock()
	results := make([]reconcile.Result, len(steps))
	var failed error
	for _, i := range f.byMTU(steps) {
		s := steps[i]
		if failed != nil && f.stopAtError {
			results[i].Err = fmt.Errorf("not tried after an error: %w", failed)
			continue
		}
		results[i].Got, results[i].Err = f.do(ctx, steps[0].Key().Kind, s)
		failed = cmp.Or(failed, results[i].Err)
		if f.kept != nil {
			_ = f.kept.putBack(true)
		}
	}
	return results
}

func (f *Fake) do(ctx context.Context, kind object.Kind, s reconcile.Step) (object.Object, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.ops++
	if f.fail != nil {
		if err := f.fail(f.ops, s); err != nil {
			return nil, err
		}
	}
	if k := s.Key(); k.Kind != kind {
		return nil, fmt.Errorf("one batch has steps of kinds %s and %s", kind, k.Kind)
	}
	if s.Old != nil && s.New != nil && !s.Old.Mutable(s.New) {
		return nil, fmt.Errorf("cannot be changed in place into %v: %w", s.New, syscall.EOPNOTSUPP)
	}
	if s.New == nil {
		return nil, f.remove(s.Old)
	}
	o := s.New
	if f.distort != nil {
		o = f.distort(o)
	}
	if err := f.put(s.Old, o, true); err != nil {
		return nil, err
	}
	got, _ := f.get(o.Key())
	return got, nil
}

// put creates o (old nil) or changes old into it.
func (f *Fake) put(old, o object.Object, ours bool) error {
	switch o := o.(type) {
	case object.Link:
		return f.putLink(old, o, ours)
	case object.Address:
		return f.addAddress(o, ours)
	case object.Neighbour:
		return f.putNeighbour(old, o, ours)
	case object.HMACKey:
		return f.putHMAC(old, o, ours)
	case *object.SharedNextHop, *object.NextHopGroup:
		return f.putNextHop(old, o, ours)
	case *object.Route:
		return f.putRoute(old, o, ours)
	case *object.LocalSID:
		return f.putSID(old, o, ours)
	case object.ProxyPort, *object.Proxy:
		return f.putProxy(old, o)
	case object.LinkConfig, object.Member, object.Sysctl, object.TunnelSource:
		return f.setOver(old, o)
	}
	return fmt.Errorf("a fake kernel knows no objects of type %T", o)
}

// remove deletes what we have made.
func (f *Fake) remove(o object.Object) error {
	var there, ours bool
	switch o := o.(type) {
	case object.Link:
		l := f.links[o.Name]
		if there = l != nil; there && l.alias {
			ours = true
			f.deleteLink(o, l)
		}
	case object.Address:
		if l := f.links[o.Link]; l != nil {
			if i := l.address(o.Prefix); i >= 0 {
				there = true
				if ours = l.addresses[i].ours; ours {
					if err := f.removeAddress(l, o.Prefix); err != nil {
						return err
					}
				}
			}
		}
	case object.Neighbour:
		if l := f.links[o.Link]; l != nil {
			var n fakeNeighbour
			if n, there = l.neighbours[o.Addr]; n.ours {
				ours = true
				delete(l.neighbours, o.Addr)
			}
		}
	case object.HMACKey:
		h, found := f.hmac[o.ID]
		if there = found; h.ours {
			ours = true
			delete(f.hmac, o.ID)
		}
	case *object.SharedNextHop, *object.NextHopGroup:
		id := o.Key().ID
		h := f.hops[id]
		if there = h != nil; there && h.ours {
			ours = true
			f.deleteHop(id)
		}
	case *object.Route, *object.LocalSID:
		s := object.SlotOf(o)
		r := f.routes[s]
		if there = r != nil; there && r.ours {
			ours = true
			delete(f.routes, s)
		}
	case object.ProxyPort, *object.Proxy:
		there = f.removeProxy(o.Key())
		ours = there
	default:
		k := o.Key()
		_, recorded := f.records[k]
		if there, ours = recorded && f.live(k), recorded; ours {
			f.giveBack(k)
		}
	}
	if !there {
		f.gone++
	} else if !ours {
		return fmt.Errorf("is not ours: %w", syscall.EPERM)
	}
	return nil
}

// get returns what the kernel holds under k, whoever made it.
func (f *Fake) get(k object.Key) (object.Object, bool) {
	switch k.Kind {
	case object.KindLink:
		if l := f.links[k.ID]; l != nil {
			return l.object(), true
		}
	case object.KindAddress:
		name, prefix, _ := strings.Cut(k.ID, "/")
		p, err := netip.ParsePrefix(prefix)
		if l := f.links[name]; err == nil && l != nil && l.address(p) >= 0 {
			return object.Address{Link: name, Prefix: p}, true
		}
	case object.KindNeighbour:
		name, addr, _ := strings.Cut(k.ID, "/")
		a, err := netip.ParseAddr(addr)
		if l := f.links[name]; err == nil && l != nil {
			if n, ok := l.neighbours[a]; ok {
				return object.Neighbour{Link: name, Addr: a, MAC: n.mac}, true
			}
		}
	case object.KindHMACKey:
		return f.getHMAC(k)
	case object.KindNextHop:
		if h := f.hops[k.ID]; h != nil {
			return h.object, true
		}
	case object.KindRoute, object.KindLocalSID:
		if s, ok := object.SlotOfKey(k); ok {
			if r := f.routes[s]; r != nil && r.object.Key() == k {
				return f.routeObject(s, r), true
			}
		}
	case object.KindProxyPort, object.KindProxy:
		return f.proxy(k)
	default:
		return f.getSetting(k)
	}
	return nil, false
}

// Put implements Foreign.
func (f *Fake) Put(o object.Object) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch o := o.(type) {
	case object.LinkConfig, object.Member, object.Sysctl, object.TunnelSource:
		return f.apply(o)
	}
	old, _ := f.get(o.Key())
	return f.put(old, o, false)
}

// Get implements Foreign.
func (f *Fake) Get(k object.Key) (object.Object, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.get(k)
}

// Delete implements Foreign.
func (f *Fake) Delete(k object.Key) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, ok := f.get(k)
	if !ok {
		return fmt.Errorf("delete %s: %w", k, syscall.ENOENT)
	}
	switch o := o.(type) {
	case object.Link:
		f.unlink(f.links[o.Name])
	case object.Address:
		f.deleteAddress(f.links[o.Link], o.Prefix)
	case object.Neighbour:
		delete(f.links[o.Link].neighbours, o.Addr)
	case object.HMACKey:
		delete(f.hmac, o.ID)
	case *object.SharedNextHop, *object.NextHopGroup:
		f.deleteHop(o.Key().ID)
	case *object.Route, *object.LocalSID:
		delete(f.routes, object.SlotOf(o))
	case object.ProxyPort, *object.Proxy:
		f.removeProxy(k)
	case object.Member:
		f.enslave(f.links[o.Link], "")
	case object.LinkConfig:
		return f.apply(object.LinkConfig{Link: o.Link, Admin: object.AdminDown})
	case object.Sysctl:
		delete(f.sysctls, o.Name)
	case object.TunnelSource:
		f.tunsrc = netip.Addr{}
	}
	return nil
}
