package rtnl

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// neighbour is a neighbour as the kernel describes it.
type neighbour struct {
	index int32
	addr  netip.Addr
	mac   []byte
	state uint16 // NUD_*
	flags uint8  // NTF_*
	proto uint8
}

func readNeighbour(b []byte) (n neighbour, ok bool) {
	if len(b) < sizeofNdmsg {
		return n, false
	}
	n = neighbour{index: int32(native.Uint32(b[4:])), state: native.Uint16(b[8:]), flags: b[10]}
	for a := (attrs{rest: b[sizeofNdmsg:]}); a.next(); {
		switch a.typ {
		case unix.NDA_DST:
			n.addr = a.addr()
		case unix.NDA_LLADDR:
			n.mac = append([]byte(nil), a.data...)
		case ndaProtocol:
			n.proto = a.u8()
		}
	}
	return n, n.addr.IsValid()
}

// ours reports whether we made the neighbour, and nobody has made another of it.
func (n *neighbour) ours() bool {
	return n.proto == Protocol && n.state&unix.NUD_PERMANENT != 0 && n.flags&unix.NTF_PROXY == 0
}

// learned reports whether the kernel has found the neighbour by itself, and would
// again.
func (n *neighbour) learned() bool {
	return n.state&(unix.NUD_PERMANENT|unix.NUD_NOARP) == 0 && n.flags&unix.NTF_EXT_LEARNED == 0
}

func (n *neighbour) object(link string) object.Neighbour {
	o := object.Neighbour{Link: link, Addr: n.addr}
	copy(o.MAC[:], n.mac)
	return o
}

func (d *Driver) doNeighbour(ctx context.Context, s reconcile.Step) (object.Object, error) {
	o, ok := cmpStep(s).(object.Neighbour)
	if !ok {
		return nil, wrongType(cmpStep(s))
	}
	l, err := d.links.name(ctx, o.Link)
	switch {
	case err != nil:
	case s.New == nil && l == nil:
	case s.New == nil:
		err = d.deleteNeighbour(ctx, l.index, o.Addr)
	case l == nil:
		err = &MissingLinkError{Link: o.Link, Object: o.String()}
	default:
		return d.writeNeighbour(ctx, s, l, o)
	}
	return nil, describe(op(s), describeStep(s), err)
}

// writeNeighbour makes or changes a neighbour and reads it back. One that the kernel
// has learned is in nobody's way.
func (d *Driver) writeNeighbour(ctx context.Context, s reconcile.Step, l *link, o object.Neighbour) (object.Object, error) {
	have, there, err := d.neighbour(ctx, l.index, o.Addr)
	flags := uint16(unix.NLM_F_CREATE | unix.NLM_F_EXCL)
	switch {
	case err != nil:
	case s.Old != nil && (!there || !have.ours()):
		err = &answer{errno: unix.ENOENT, text: "no such neighbour of ours"}
	case s.Old != nil, there && have.learned():
		flags = unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	}
	if err == nil {
		err = d.sendNeighbour(ctx, flags, l.index, o)
	}
	if err != nil {
		return nil, describe(op(s), o.String(), err)
	}
	have, there, err = d.neighbour(ctx, l.index, o.Addr)
	if err != nil {
		return nil, describe("read back", o.String(), err)
	}
	if !there || !have.ours() || have.object(l.name) != o {
		held := "nothing"
		if there {
			held = have.object(l.name).String()
		}
		err := error(&DroppedError{Object: o.String(), Dropped: "the link-layer address or the protocol mark", Held: held})
		if s.Old == nil {
			err = errors.Join(err, describe("take back", o.String(), d.deleteNeighbour(ctx, l.index, o.Addr)))
		}
		return nil, err
	}
	return have.object(l.name), nil
}

// buildNeighbour writes a request about a neighbour.
func buildNeighbour(c *conn, typ, flags uint16, index int32, a netip.Addr) {
	h := c.begin(typ, flags|unix.NLM_F_ACK, sizeofNdmsg)
	h[0] = family(a)
	native.PutUint32(h[4:], uint32(index))
	if typ == unix.RTM_NEWNEIGH {
		native.PutUint16(h[8:], unix.NUD_PERMANENT)
	}
	c.out.addr(unix.NDA_DST, a)
}

func (d *Driver) sendNeighbour(ctx context.Context, flags uint16, index int32, o object.Neighbour) error {
	c := d.query
	buildNeighbour(c, unix.RTM_NEWNEIGH, flags, index, o.Addr)
	c.out.bytes(unix.NDA_LLADDR, o.MAC[:])
	c.out.u8(ndaProtocol, Protocol)
	c.out.end()
	return c.request(ctx, nil)
}

// deleteNeighbour removes a neighbour of ours; somebody else's stays.
func (d *Driver) deleteNeighbour(ctx context.Context, index int32, a netip.Addr) error {
	have, there, err := d.neighbour(ctx, index, a)
	if err != nil || !there || !have.ours() {
		return err
	}
	c := d.query
	buildNeighbour(c, unix.RTM_DELNEIGH, 0, index, a)
	c.out.end()
	if err := c.request(ctx, nil); err != nil && !isErrno(err, unix.ENOENT) {
		return err
	}
	return nil
}

// neighbour looks one neighbour up (neigh_get in net/core/neighbour.c, Linux 5.0).
func (d *Driver) neighbour(ctx context.Context, index int32, a netip.Addr) (got neighbour, ok bool, err error) {
	c := d.query
	buildNeighbour(c, unix.RTM_GETNEIGH, 0, index, a)
	c.out.end()
	err = c.request(ctx, func(m *message) {
		if n, valid := readNeighbour(m.data); valid && n.index == index && n.addr == a {
			got, ok = n, true
		}
	})
	if isErrno(err, unix.ENOENT) {
		err = nil
	}
	// What is being given up is not there.
	return got, ok && got.state&unix.NUD_FAILED == 0, err
}

// ownNeighbours lists our IPv4 or IPv6 neighbours on a link, on all for index 0, both
// for family 0.
func (d *Driver) ownNeighbours(ctx context.Context, index int32, fam uint8) ([]neighbour, error) {
	var ours []neighbour
	err := d.query.dump(ctx, func() {
		h := d.query.begin(unix.RTM_GETNEIGH, unix.NLM_F_DUMP, sizeofNdmsg)
		h[0] = fam
		if index != 0 {
			d.query.out.u32(unix.NDA_IFINDEX, uint32(index))
		}
		d.query.out.end()
	}, func() { ours = nil }, func(m *message) {
		if n, ok := readNeighbour(m.data); ok && n.ours() && (index == 0 || n.index == index) {
			ours = append(ours, n)
		}
	})
	if err != nil && !isErrno(err, unix.ENODEV) {
		return nil, fmt.Errorf("list neighbours: %w", err)
	}
	return ours, nil
}

// restoreNeighbours puts those of before back that the kernel has dropped as a side
// effect.
func (d *Driver) restoreNeighbours(ctx context.Context, index int32, before []neighbour) error {
	var errs []error
	for i := range before {
		o := before[i].object("")
		err := d.sendNeighbour(ctx, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, index, o)
		if err != nil {
			errs = append(errs, fmt.Errorf("put neighbour %s back: %w", o.Addr, err))
		}
	}
	return errors.Join(errs...)
}

func (d *Driver) dumpOwnNeighbours(ctx context.Context) ([]object.Object, error) {
	ours, err := d.ownNeighbours(ctx, 0, unix.AF_UNSPEC)
	if err != nil {
		return nil, err
	}
	os := make([]object.Object, 0, len(ours))
	err = d.links.with(ctx, func(v view) {
		for i := range ours {
			if l := v.byIndex[ours[i].index]; l != nil {
				os = append(os, ours[i].object(l.name))
			}
		}
	})
	return os, err
}

// neighbour checks that nobody else has put the neighbour there.
func (c *checker) neighbour(ctx context.Context, s reconcile.Step, o object.Neighbour) error {
	if err := c.present(o.Link, o); err != nil {
		return err
	}
	l := c.v.byName[o.Link]
	if l == nil || s.Old != nil {
		return nil
	}
	have, there, err := c.d.neighbour(ctx, l.index, o.Addr)
	if err != nil || !there || have.proto == Protocol || have.learned() {
		return err
	}
	return &ConflictError{Object: o.String(), Holder: fmt.Sprintf("neighbour %s on %s, not made by heddle,", o.Addr, o.Link),
		Remedy: fmt.Sprintf("delete it (ip neigh del %s dev %s) or leave it out of the configuration", o.Addr, o.Link)}
}

// neighbourEvent is about one of ours, or what has become of it.
func (w *watch) neighbourEvent(m *message) (Event, bool) {
	n, ok := readNeighbour(m.data)
	l := w.links.byIndex[n.index]
	if !ok || l == nil {
		return Event{}, false // it went with its link
	}
	o := n.object(l.name)
	e := Event{Kind: EventNeighbour, Gone: m.typ == unix.RTM_DELNEIGH || !n.ours(), Keys: []object.Key{o.Key()}}
	if !e.Gone {
		e.Neighbour = o
	}
	return e, true
}
