package rtnl

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/kernel/prior"
	"heddle/reconcile"
)

const (
	propSource = "source"

	genlHeader = 4 // struct genlmsghdr: cmd, version, reserved
)

// seg6Family asks for the number of the generic netlink family SEG6.
func (d *Driver) seg6Family(ctx context.Context) (uint16, error) {
	if d.seg6 != 0 {
		return d.seg6, nil
	}
	c := d.genl
	h := c.begin(unix.GENL_ID_CTRL, unix.NLM_F_ACK, genlHeader)
	h[0], h[1] = unix.CTRL_CMD_GETFAMILY, 1
	c.out.str(unix.CTRL_ATTR_FAMILY_NAME, seg6GenlName)
	c.out.end()
	err := c.request(ctx, func(m *message) {
		for a := (attrs{rest: m.data[min(genlHeader, len(m.data)):]}); a.next(); {
			if a.typ == unix.CTRL_ATTR_FAMILY_ID {
				d.seg6 = a.u16()
			}
		}
	})
	if isErrno(err, unix.ENOENT) {
		return 0, &UnsupportedError{Feature: FeatureTunnelSource, Reason: "no generic netlink family SEG6",
			Remedy: "use a kernel built with CONFIG_IPV6_SEG6_LWTUNNEL"}
	}
	return d.seg6, err
}

// tunnelSource reads the tunnel source; the zero Addr is none.
func (d *Driver) tunnelSource(ctx context.Context) (netip.Addr, error) {
	family, err := d.seg6Family(ctx)
	if err != nil {
		return netip.Addr{}, err
	}
	var src netip.Addr
	c := d.genl
	h := c.begin(family, unix.NLM_F_ACK, genlHeader)
	h[0], h[1] = seg6CmdGetTunSrc, seg6GenlVersion
	c.out.end()
	err = c.request(ctx, func(m *message) {
		for a := (attrs{rest: m.data[min(genlHeader, len(m.data)):]}); a.next(); {
			if a.typ == seg6AttrDst {
				src = a.addr()
			}
		}
	})
	if src.IsValid() && src.IsUnspecified() {
		src = netip.Addr{}
	}
	return src, err
}

// TunnelSource reads the tunnel source, whoever set it; the zero Addr is none.
func (d *Driver) TunnelSource(ctx context.Context) (netip.Addr, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, err := d.tunnelSource(ctx)
	return a, describe("read", "sr tunsrc", err)
}

func (d *Driver) setTunnelSource(ctx context.Context, src netip.Addr) error {
	family, err := d.seg6Family(ctx)
	if err != nil {
		return err
	}
	if !src.IsValid() {
		src = netip.IPv6Unspecified()
	}
	c := d.genl
	h := c.begin(family, unix.NLM_F_ACK, genlHeader)
	h[0], h[1] = seg6CmdSetTunSrc, seg6GenlVersion
	c.out.addr(seg6AttrDst, src)
	c.out.end()
	return c.request(ctx, nil)
}

func (d *Driver) doTunnelSource(ctx context.Context, s reconcile.Step) (object.Object, error) {
	now, err := d.tunnelSource(ctx)
	if err != nil {
		return nil, describe(op(s), describeStep(s), err)
	}
	rec, had := d.prior.Get(object.TunnelSourceKey())
	if s.New == nil {
		return nil, describe(opDelete, describeStep(s), d.giveBackSource(ctx, now, rec, had))
	}
	t, ok := s.New.(object.TunnelSource)
	if !ok {
		return nil, wrongType(s.New)
	}
	switch ours := had && rec.Set[propSource] == addrText(now); {
	case s.Old == nil && ours:
		return nil, describe(opCreate, t.String(), &answer{errno: unix.EEXIST})
	case s.Old != nil && !had:
		return nil, describe(opChange, t.String(), &answer{errno: unix.ENOENT, text: "no tunnel source of ours"})
	}
	if !t.Source.Is6() || t.Source.Is4In6() {
		return nil, fmt.Errorf("%s %s: the source must be an IPv6 address", op(s), t)
	}
	entry := prior.Entry{Key: t.Key(), Before: map[string]string{propSource: addrText(now)},
		Set: map[string]string{propSource: addrText(t.Source)}}
	if had {
		entry.Before = rec.Before
	}
	if err := d.prior.Put(entry); err != nil {
		return nil, describe(op(s), t.String(), err)
	}
	got, err := d.writeSource(ctx, t)
	if err != nil {
		undo := d.setTunnelSource(ctx, now)
		if had {
			undo = errors.Join(undo, d.prior.Put(rec))
		} else {
			undo = errors.Join(undo, d.prior.Delete(t.Key()))
		}
		return nil, errors.Join(describe(op(s), t.String(), err), describe("restore", t.String(), undo))
	}
	return got, nil
}

func (d *Driver) writeSource(ctx context.Context, t object.TunnelSource) (object.Object, error) {
	if err := d.setTunnelSource(ctx, t.Source); err != nil {
		return nil, err
	}
	now, err := d.tunnelSource(ctx)
	if err != nil {
		return nil, err
	}
	if now != t.Source {
		return nil, &DroppedError{Object: t.String(), Dropped: "the source", Held: addrText(now)}
	}
	return object.TunnelSource{Source: now}, nil
}

// giveBackSource writes the value that was there before us, unless somebody else
// has changed it since.
func (d *Driver) giveBackSource(ctx context.Context, now netip.Addr, rec prior.Entry, had bool) error {
	if !had {
		return nil
	}
	if addrText(now) == rec.Set[propSource] {
		before, err := parseAddrText(rec.Before[propSource])
		if err != nil {
			return fmt.Errorf("read recorded tunnel source: %w", err)
		}
		if err := d.setTunnelSource(ctx, before); err != nil {
			return err
		}
	}
	return d.prior.Delete(object.TunnelSourceKey())
}

func (d *Driver) dumpTunnelSource(ctx context.Context) ([]object.Object, error) {
	if _, had := d.prior.Get(object.TunnelSourceKey()); !had {
		return nil, nil
	}
	now, err := d.tunnelSource(ctx)
	if err != nil || !now.IsValid() {
		return nil, describe("read", "sr tunsrc", err)
	}
	return []object.Object{object.TunnelSource{Source: now}}, nil
}

// addrText is the address as text, empty for none.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func parseAddrText(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	return netip.ParseAddr(s)
}
