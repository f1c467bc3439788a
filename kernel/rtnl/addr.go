package rtnl

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// address is an address as the kernel describes it.
type address struct {
	index  int32
	prefix netip.Prefix
	proto  uint8
	flags  uint32
	raw    []byte // the message behind the netlink header, to put it back
}

// parseAddress decodes an RTM_NEWADDR or RTM_DELADDR.
func parseAddress(b []byte) (a address, ok bool) {
	if len(b) < unix.SizeofIfAddrmsg {
		return a, false
	}
	var local, addr netip.Addr
	a.flags = uint32(b[2])
	a.index = int32(native.Uint32(b[4:]))
	for at := (attrs{rest: b[unix.SizeofIfAddrmsg:]}); at.next(); {
		switch at.typ {
		case unix.IFA_LOCAL:
			local = at.addr()
		case unix.IFA_ADDRESS:
			addr = at.addr()
		case unix.IFA_FLAGS:
			a.flags = at.u32()
		case ifaProto:
			a.proto = at.u8()
		}
	}
	if local.IsValid() {
		addr = local
	}
	a.prefix = netip.PrefixFrom(addr, int(b[1]))
	return a, a.prefix.IsValid()
}

func family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// buildAddress writes a request about the address p of a link.
func buildAddress(c *conn, typ, flags uint16, index int32, p netip.Prefix) {
	h := c.begin(typ, flags|unix.NLM_F_ACK, unix.SizeofIfAddrmsg)
	h[0], h[1] = family(p.Addr()), uint8(p.Bits())
	if p.Addr().IsLoopback() {
		h[3] = unix.RT_SCOPE_HOST
	}
	native.PutUint32(h[4:], uint32(index))
	c.out.addr(unix.IFA_LOCAL, p.Addr())
	c.out.addr(unix.IFA_ADDRESS, p.Addr())
}

func (d *Driver) doAddress(ctx context.Context, s reconcile.Step) (object.Object, error) {
	o := s.New
	if o == nil {
		o = s.Old
	}
	a, ok := o.(object.Address)
	if !ok {
		return nil, wrongType(o)
	}
	l, err := d.links.name(ctx, a.Link)
	switch {
	case err != nil:
	case s.New == nil && l == nil:
	case s.New == nil:
		err = d.deleteAddress(ctx, l.index, a.Prefix)
	case l == nil:
		err = &MissingLinkError{Link: a.Link, Object: a.String()}
	default:
		return d.writeAddress(ctx, s, l, a)
	}
	return nil, describe(op(s), describeStep(s), err)
}

// writeAddress creates an address and reads it back. There is nothing about an
// address that could be changed, so a change only makes sure that it is there.
func (d *Driver) writeAddress(ctx context.Context, s reconcile.Step, l *link, a object.Address) (object.Object, error) {
	flags := uint16(unix.NLM_F_CREATE | unix.NLM_F_EXCL)
	if s.Old != nil {
		have, ok, err := d.findAddress(ctx, l.index, a.Prefix)
		if err == nil && (!ok || have.proto != Protocol) {
			err = &answer{errno: unix.ENOENT, text: "no such address of ours"}
		}
		if err != nil {
			return nil, describe(opChange, a.String(), err)
		}
		flags = unix.NLM_F_REPLACE
	}
	if err := d.sendAddress(ctx, flags, l.index, a); err != nil {
		return nil, describe(op(s), a.String(), err)
	}
	have, ok, err := d.findAddress(ctx, l.index, a.Prefix)
	if err != nil {
		return nil, describe("read back", a.String(), err)
	}
	if !ok || have.proto != Protocol {
		held := "nothing"
		if ok {
			held = "the address without it"
		}
		err := error(&DroppedError{Object: a.String(), Dropped: "the protocol mark (Linux 5.18 or later keeps it)", Held: held})
		return nil, errors.Join(err, describe("take back", a.String(), d.dropAddress(ctx, l.index, a.Prefix)))
	}
	return object.Address{Link: l.name, Prefix: have.prefix}, nil
}

// sendAddress makes an address. One that is deleted and made again in one plan was
// through with duplicate address detection a moment ago: it is in use at once.
func (d *Driver) sendAddress(ctx context.Context, flags uint16, index int32, a object.Address) error {
	send := func(flags uint16, nodad bool) error {
		c := d.query
		buildAddress(c, unix.RTM_NEWADDR, flags, index, a.Prefix)
		c.out.u8(ifaProto, Protocol)
		if nodad {
			c.out.u32(unix.IFA_FLAGS, atOnce)
		}
		c.out.end()
		return c.request(ctx, nil)
	}
	nodad := flags&unix.NLM_F_EXCL != 0 && d.kept.wasInUse(a)
	if err := send(flags, nodad); err != nil || !nodad {
		return err
	}
	return send(unix.NLM_F_REPLACE, false)
}

// deleteAddress removes an address of ours; somebody else's stays. After an error
// it is there as before, with what the kernel took along with it.
func (d *Driver) deleteAddress(ctx context.Context, index int32, p netip.Prefix) error {
	if p.Addr().Is4() {
		return d.deleteAddress4(ctx, index, p)
	}
	have, ok, err := d.findAddress(ctx, index, p)
	if err != nil || !ok || have.proto != Protocol {
		return err
	}
	return d.dropAddress(ctx, index, p)
}

func (d *Driver) dropAddress(ctx context.Context, index int32, p netip.Prefix) error {
	c := d.query
	buildAddress(c, unix.RTM_DELADDR, 0, index, p)
	c.out.end()
	if err := c.request(ctx, nil); err != nil && !isErrno(err, unix.EADDRNOTAVAIL) {
		return err
	}
	return nil
}

// deleteAddress4 puts back what Linux takes along with an IPv4 address: with a
// primary one the secondary ones of its subnet (unless promote_secondaries is
// set), and with the last one of a link every IPv4 route over that link, of which
// there is no event either (fib_inetaddr_event in net/ipv4/fib_frontend.c), and every
// IPv4 neighbour on it.
func (d *Driver) deleteAddress4(ctx context.Context, index int32, p netip.Prefix) error {
	before, err := d.linkAddresses(ctx, index, unix.AF_INET)
	if err != nil {
		return err
	}
	var have *address
	last := true // no address outside of the subnet keeps the routes
	for i, a := range before {
		if a.prefix == p {
			have = &before[i]
		}
		last = last && a.prefix.Masked() == p.Masked()
	}
	if have == nil || have.proto != Protocol {
		return nil
	}
	var routes []object.Object
	var neighbours []neighbour
	if last {
		if routes, err = d.routesOver(ctx, index); err != nil {
			return err
		}
		if neighbours, err = d.ownNeighbours(ctx, index, unix.AF_INET); err != nil {
			return err
		}
	}
	if err := d.dropAddress(ctx, index, p); err != nil {
		return err
	}
	others := slices.DeleteFunc(slices.Clone(before), func(a address) bool { return a.prefix == p })
	err = errors.Join(d.restoreAddresses(ctx, index, others), d.restoreNeighbours(ctx, index, neighbours),
		d.restoreRoutes(ctx, index, routes))
	if err == nil {
		return nil
	}
	return errors.Join(err, d.restoreAddresses(ctx, index, before), d.restoreRoutes(ctx, index, routes))
}

// findAddress looks one address up. IPv6 has a query for one address, IPv4 only
// (before Linux 6.13 or so) a list by link.
func (d *Driver) findAddress(ctx context.Context, index int32, p netip.Prefix) (address, bool, error) {
	if p.Addr().Is4() {
		as, err := d.linkAddresses(ctx, index, unix.AF_INET)
		for _, a := range as {
			if a.prefix == p {
				return a, true, err
			}
		}
		return address{}, false, err
	}
	got, ok, err := d.queryAddress6(ctx, index, p.Addr())
	return got, ok && got.prefix == p, err
}

// linkAddresses lists the addresses of one link, whoever made them.
func (d *Driver) linkAddresses(ctx context.Context, index int32, family uint8) ([]address, error) {
	var as []address
	err := dumpAddresses(ctx, d.query, index, family, func() { as = nil }, func(a address) {
		a.raw = append([]byte(nil), a.raw...)
		as = append(as, a)
	})
	return as, err
}

// dumpAddresses lists addresses; index 0 is all links, family 0 both. raw of
// what fn gets is valid only during the call.
func dumpAddresses(ctx context.Context, c *conn, index int32, family uint8, start func(), fn func(address)) error {
	err := c.dump(ctx, func() {
		h := c.begin(unix.RTM_GETADDR, unix.NLM_F_DUMP, unix.SizeofIfAddrmsg)
		h[0] = family
		native.PutUint32(h[4:], uint32(index))
		c.out.end()
	}, start, func(m *message) {
		if a, ok := parseAddress(m.data); ok && (index == 0 || a.index == index) {
			a.raw = m.data
			fn(a)
		}
	})
	if isErrno(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	return nil
}

// restoreAddresses puts those IPv4 addresses of before back that the kernel has
// dropped as a side effect.
func (d *Driver) restoreAddresses(ctx context.Context, index int32, before []address) error {
	if len(before) == 0 {
		return nil
	}
	now, err := d.linkAddresses(ctx, index, unix.AF_INET)
	if err != nil {
		return err
	}
	there := make(map[netip.Prefix]bool, len(now))
	for _, a := range now {
		there[a.prefix] = true
	}
	var errs []error
	c := d.query
	for _, a := range before {
		if there[a.prefix] {
			continue
		}
		c.begin(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK, 0)
		c.out.b = append(c.out.b, a.raw...)
		c.out.end()
		if err := c.request(ctx, nil); err != nil && !isErrno(err, unix.EEXIST) {
			errs = append(errs, fmt.Errorf("put address %s back: %w", a.prefix, err))
		}
	}
	return errors.Join(errs...)
}

func (d *Driver) dumpAddresses(ctx context.Context) ([]object.Object, error) {
	var ours []address
	err := dumpAddresses(ctx, d.query, 0, unix.AF_UNSPEC, func() { ours = nil }, func(a address) {
		if a.proto == Protocol {
			a.raw = nil
			ours = append(ours, a)
		}
	})
	if err != nil {
		return nil, err
	}
	os := make([]object.Object, 0, len(ours))
	err = d.links.with(ctx, func(v view) {
		for _, a := range ours {
			if l := v.byIndex[a.index]; l != nil {
				os = append(os, object.Address{Link: l.name, Prefix: a.prefix})
			}
		}
	})
	return os, err
}
