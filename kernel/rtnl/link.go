package rtnl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

const vethPeerMark = Mark + "veth peer "

// aliasOf is the alias that marks l. That of a veth keeps the peer's name for
// the time when the peer was moved to another namespace.
func aliasOf(l object.Link) string {
	if l.Type == object.LinkVeth {
		return vethPeerMark + l.Peer
	}
	return Mark + string(l.Type)
}

func (d *Driver) doLink(ctx context.Context, s reconcile.Step) (object.Object, error) {
	if s.New == nil {
		l, ok := s.Old.(object.Link)
		if !ok {
			return nil, wrongType(s.Old)
		}
		return nil, describe(opDelete, l.String(), d.deleteLink(ctx, l))
	}
	l, ok := s.New.(object.Link)
	if !ok {
		return nil, wrongType(s.New)
	}
	if s.Old != nil {
		return d.bind(ctx, s.Old, l)
	}
	if err := d.createLink(ctx, l); err != nil {
		return nil, linkError(l, err)
	}
	d.restoreOn(ctx, within(l))
	got, err := d.readLink(ctx, l.Name)
	if err != nil {
		return nil, describe(opCreate, l.String(), err)
	}
	d.noteOwn(ctx, l, &d.own.made)
	if !l.Equal(got) {
		err := error(&DroppedError{Object: l.String(), Dropped: "settings", Held: got.String()})
		return nil, errors.Join(err, describe("take back", l.String(), d.deleteLink(ctx, l)))
	}
	return got, nil
}

// bind changes whether a VLAN goes down with its parent: nothing else of a link is
// changed in place.
func (d *Driver) bind(ctx context.Context, old object.Object, l object.Link) (object.Object, error) {
	if !old.Mutable(l) {
		return nil, fmt.Errorf("change %s: a link is deleted and created anew", l)
	}
	have, err := d.links.name(ctx, l.Name)
	if err != nil {
		return nil, describe(opChange, l.String(), err)
	}
	if have == nil {
		return nil, &MissingLinkError{Link: l.Name, Object: l.String()}
	}
	c := d.query
	h := c.begin(unix.RTM_NEWLINK, unix.NLM_F_ACK, unix.SizeofIfInfomsg)
	native.PutUint32(h[4:], uint32(have.index))
	info := c.out.nest(unix.IFLA_LINKINFO)
	c.out.str(unix.IFLA_INFO_KIND, string(l.Type))
	data := c.out.nest(unix.IFLA_INFO_DATA)
	vlanBinding(&c.out, l.Bound)
	c.out.unnest(data)
	c.out.unnest(info)
	c.out.end()
	if err := c.request(ctx, nil); err != nil {
		return nil, describe(opChange, l.String(), err)
	}
	got, err := d.readLink(ctx, l.Name)
	if err != nil {
		return nil, describe(opChange, l.String(), err)
	}
	if !l.Equal(got) {
		return nil, &DroppedError{Object: l.String(), Dropped: "settings", Held: got.String()}
	}
	return got, nil
}

func wrongType(o object.Object) error {
	return fmt.Errorf("apply %s: a value of type %T does not belong to it", o.Key(), o)
}

// linkError names the missing driver when the kernel does not know the type.
func linkError(l object.Link, err error) error {
	if a, ok := errors.AsType[*answer](err); ok && a.errno == unix.EOPNOTSUPP && (a.text == "" || a.text == unknownType) {
		for _, f := range linkFeatures(l) {
			err := &UnsupportedError{Feature: f, Reason: unknownType,
				Remedy: fmt.Sprintf("load the kernel module %s", linkModule(l.Type))}
			return fmt.Errorf("create %s: %w", l, err)
		}
	}
	return describe(opCreate, l.String(), err)
}

// unknownType is what the kernel says where it lacks the driver.
const unknownType = "Unknown device type"

// linkModule is the kernel module that makes links of a type.
func linkModule(t object.LinkType) string {
	switch t {
	case object.LinkVLAN:
		return "8021q"
	case object.LinkGRE, object.LinkGRETap:
		return "ip_gre"
	case object.LinkIP6GRE, object.LinkIP6GRETap:
		return "ip6_gre"
	}
	return string(t)
}

// createLink makes the device and marks it; after an error nothing is left.
func (d *Driver) createLink(ctx context.Context, l object.Link) error {
	if !l.Creates() {
		return d.adoptPeer(ctx, l)
	}
	var parent *link
	if l.Parent != "" {
		var err error
		if parent, err = d.links.name(ctx, l.Parent); err != nil {
			return err
		}
		if parent == nil {
			return &MissingLinkError{Link: l.Parent, Object: l.String()}
		}
	}
	if !slices.Contains(linkTypes, l.Type) {
		return fmt.Errorf("link type %q is not one that can be created: use one of %v", l.Type, linkTypes)
	}
	c := d.query
	c.begin(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK, unix.SizeofIfInfomsg)
	m := &c.out
	m.str(unix.IFLA_IFNAME, l.Name)
	m.u32(unix.IFLA_GROUP, linkGroup)
	if parent != nil && l.Type != object.LinkVXLAN {
		m.u32(unix.IFLA_LINK, uint32(parent.index))
	}
	d.kept.likeness(m, l, parent)
	d.linkInfo(m, l, parent)
	m.end()
	if err := c.request(ctx, nil); err != nil {
		return err
	}
	if err := d.markLink(ctx, l, aliasOf(l)); err != nil {
		return errors.Join(err, d.deleteLink(ctx, l))
	}
	return nil
}

// adoptPeer marks the second end of a veth, which the first one's creation made.
func (d *Driver) adoptPeer(ctx context.Context, l object.Link) error {
	var self, peer *link
	if _, err := d.links.read(ctx, l.Name); err != nil {
		return err
	}
	if err := d.links.with(ctx, func(v view) { self, peer = v.byName[l.Name], v.byName[l.Peer] }); err != nil {
		return err
	}
	switch {
	case peer == nil || !peer.ours():
		return fmt.Errorf("its first end %s is not a link of ours", l.Peer)
	case self == nil || self.kind != string(object.LinkVeth) || self.linkedAbroad || self.linked != peer.index:
		return fmt.Errorf("the other end of %s is not called %s", l.Peer, l.Name)
	case strings.HasPrefix(self.alias, Mark):
		return &answer{errno: unix.EEXIST}
	}
	return d.markLink(ctx, l, aliasOf(l))
}

// markLink sets the alias and takes the group that stood for it away.
func (d *Driver) markLink(ctx context.Context, l object.Link, alias string) error {
	c := d.query
	c.begin(unix.RTM_SETLINK, unix.NLM_F_ACK, unix.SizeofIfInfomsg)
	c.out.str(unix.IFLA_IFNAME, l.Name)
	// Without its terminating zero: an empty alias is one of length 0.
	c.out.bytes(unix.IFLA_IFALIAS, []byte(alias))
	c.out.u32(unix.IFLA_GROUP, 0)
	c.out.end()
	return c.request(ctx, nil)
}

// deleteLink removes a link of ours; what is gone already, or somebody else's,
// stays as it is. The second end of a veth only loses its mark: it goes with the
// first end.
func (d *Driver) deleteLink(ctx context.Context, l object.Link) error {
	have, err := d.links.read(ctx, l.Name)
	if err != nil || have == nil || !have.ours() {
		return err
	}
	if !l.Creates() {
		return d.markLink(ctx, l, "")
	}
	d.noteOwn(ctx, l, &d.own.ended)
	c := d.query
	h := c.begin(unix.RTM_DELLINK, unix.NLM_F_ACK, unix.SizeofIfInfomsg)
	native.PutUint32(h[4:], uint32(have.index))
	c.out.end()
	if err := c.request(ctx, nil); err != nil && !isErrno(err, unix.ENODEV) {
		return err
	}
	d.restoreOn(ctx, within(l))
	return nil
}

// readLink is the link as the kernel describes it; a zero Link when it is not
// there or not ours.
func (d *Driver) readLink(ctx context.Context, name string) (object.Link, error) {
	var got object.Link
	if _, err := d.links.read(ctx, name); err != nil {
		return got, err
	}
	err := d.links.with(ctx, func(v view) {
		if l := v.byName[name]; l != nil && l.ours() {
			got, _ = linkObject(v, l)
		}
	})
	return got, err
}

// linkTypes are those that can be created.
var linkTypes = []object.LinkType{object.LinkVRF, object.LinkDummy, object.LinkIFB, object.LinkVeth, object.LinkVLAN,
	object.LinkGRE, object.LinkGRETap, object.LinkIP6GRE, object.LinkIP6GRETap, object.LinkVXLAN, object.LinkBridge}

// linkObject describes l; false when it is of a type that we do not create.
func linkObject(v view, l *link) (object.Link, bool) {
	o := object.Link{Name: l.name, Type: object.LinkType(l.kind), VLAN: l.vlan, Bound: l.bound, Tunnel: l.tunnel}
	if p := v.parent(l); p != nil {
		o.Parent = p.name
	}
	switch o.Type {
	case object.LinkVRF:
		o.Table = l.table
	case object.LinkVeth:
		if p := v.byIndex[l.linked]; p != nil && !l.linkedAbroad {
			o.Peer = p.name
		} else {
			o.Peer, _ = strings.CutPrefix(l.alias, vethPeerMark)
		}
	}
	return o, slices.Contains(linkTypes, o.Type)
}

func (d *Driver) dumpLinks(ctx context.Context) ([]object.Object, error) {
	var os []object.Object
	d.links.forget()
	err := d.links.with(ctx, func(v view) {
		for _, l := range v.byIndex {
			if !l.ours() {
				continue
			}
			if o, ok := linkObject(v, l); ok {
				os = append(os, o)
			}
		}
	})
	return os, err
}
