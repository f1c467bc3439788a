package rtnl

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// What a step is going to do, for those who tell it beforehand (kernel/iproute), and
// what a packet would meet. Nothing here changes anything.

// Alias is the alias that marks a link of ours.
func Alias(l object.Link) string { return aliasOf(l) }

// Repoints are the shared next hops that the steps have take the place of another
// one, by their ID: the object of the other one is changed, and the routes that
// move, as MovesOnly says, are not written.
func Repoints(steps []reconcile.Step) map[string]*object.SharedNextHop { return repoints(steps) }

// MovesOnly reports whether two routes differ in nothing but the next hop that they
// share with others.
func MovesOnly(a, b *object.Route) bool { return movesOnly(a, b) }

// HopID is the id of a shared next hop: the one that it has (there), or the one that
// it is going to get. taken are ids that are promised to others.
func (d *Driver) HopID(ctx context.Context, hop string, taken map[uint32]bool) (id uint32, there bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if id, ok := d.hops.id(hop); ok {
		return id, true, nil
	}
	for n := hopHash(hop); ; n++ {
		id := hopID(n)
		if _, used := d.hops.known(id); used || taken[id] {
			continue
		}
		if _, foreign, err := d.readNextHop(ctx, id); err != nil || !foreign {
			return id, false, err
		}
	}
}

// Likeness is what a link that is deleted and made anew gets of the one before: the
// MAC address, nil for none, and the MTU in octets, 0 if that was ours.
func (d *Driver) Likeness(ctx context.Context, as object.Link) (mac net.HardwareAddr, mtu uint32, err error) {
	v, err := d.links.snapshot(ctx)
	l := v.byName[as.Name]
	if err != nil || l == nil {
		return nil, 0, err
	}
	if rec, ok := d.prior.Get(object.LinkConfigKey(as.Name)); l.kind == string(as.Type) && (!ok || rec.Ifindex != l.index || rec.Set[propMTU] == "") {
		mtu = l.mtu
	}
	return v.ownMAC(l), mtu, nil
}

// LinkProps are properties of a link to be written.
type LinkProps struct {
	MTU    string  // octets, empty: left
	Admin  string  // "up" or "down", empty: left
	Master *string // name, empty for none; nil: left
}

// GivesBack is what a step on the settings or the membership of a link takes back to
// what it was before us.
func (d *Driver) GivesBack(ctx context.Context, s reconcile.Step) (LinkProps, error) {
	name, want := linkProps(cmpStep(s))
	if s.New == nil {
		want = nil
	}
	v, err := d.links.snapshot(ctx)
	l := v.byName[name]
	rec, had := d.prior.Get(s.Key())
	if err != nil || l == nil || !had || rec.Ifindex != l.index {
		return LinkProps{}, err
	}
	back := givenBack(v, l, rec, want)
	props := LinkProps{MTU: back[propMTU], Admin: back[propAdmin]}
	if m, ok := back[propMaster]; ok {
		props.Master = &m
	}
	return props, nil
}

// SourceBefore is the tunnel source that deleting ours gives back, the zero Addr for
// none; ok is false where somebody else has changed it since.
func (d *Driver) SourceBefore(ctx context.Context) (source netip.Addr, ok bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rec, had := d.prior.Get(object.TunnelSourceKey())
	if !had {
		return source, false, nil
	}
	now, err := d.tunnelSource(ctx)
	if err != nil || addrText(now) != rec.Set[propSource] {
		return source, false, describe("read", "sr tunsrc", err)
	}
	source, err = parseAddrText(rec.Before[propSource])
	return source, err == nil, err
}

// RouteTo is the route that the kernel takes for a packet to a that belongs to no VRF,
// and its protocol. The object is nil when it is of a form that Heddle has no object
// for; ok is false where there is no route, or one that rejects: the kernel describes
// none of these.
func (d *Driver) RouteTo(ctx context.Context, a netip.Addr) (got object.Object, protocol uint8, ok bool, err error) {
	v, err := d.links.snapshot(ctx)
	if err != nil {
		return nil, 0, false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	dec := decoder{v, &d.hops}
	c := d.query
	c.seq++
	c.out.reset()
	buildLookup(&c.out, c.seq, dec, slot{table: object.TableMain, prefix: netip.PrefixFrom(a, a.BitLen())})
	c.out.askAck()
	err = c.request(ctx, func(m *message) {
		if r, parsed := parseRoute(m.data); parsed && !ok {
			ok, protocol = true, r.proto
			if o, decoded := dec.object(&r); decoded {
				got = o
			}
		}
	})
	if _, rejected := errors.AsType[*answer](err); rejected {
		return nil, 0, false, nil
	}
	return got, protocol, ok, err
}
