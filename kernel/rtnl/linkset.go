package rtnl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/kernel/prior"
	"heddle/reconcile"
)

// Properties of a link in the record of prior values.
const (
	propMTU    = "mtu"
	propAdmin  = "admin"
	propMaster = "master"
)

// property reads one property of a link as text.
func property(v view, l *link, name string) string {
	switch name {
	case propMTU:
		return strconv.FormatUint(uint64(l.mtu), 10)
	case propAdmin:
		if l.up() {
			return object.AdminUp.String()
		}
		return object.AdminDown.String()
	case propMaster:
		if m := v.byIndex[l.master]; m != nil {
			return m.name
		}
	}
	return ""
}

// linkProps is what a step wants of a link, by property.
func linkProps(o object.Object) (name string, props map[string]string) {
	switch o := o.(type) {
	case object.LinkConfig:
		props = make(map[string]string, 2)
		if o.MTU != 0 {
			props[propMTU] = strconv.FormatUint(uint64(o.MTU), 10)
		}
		if o.Admin != object.AdminLeave {
			props[propAdmin] = o.Admin.String()
		}
		return o.Link, props
	case object.Member:
		return o.Link, map[string]string{propMaster: o.Master}
	}
	return "", nil
}

// linkChange is one step on the properties of a link.
type linkChange struct {
	step  reconcile.Step
	link  *link
	depth int               // how many links of this namespace it is on top of
	entry prior.Entry       // to be recorded, without Set for a deletion
	after *prior.Entry      // to be recorded once done, where properties are given back; else nil
	to    map[string]string // what to write
	from  map[string]string // what is there now, of the same properties
}

func (d *Driver) doLinkConfigs(ctx context.Context, steps []reconcile.Step, results []reconcile.Result) {
	d.doLinkProps(ctx, steps, results)
}

func (d *Driver) doMembers(ctx context.Context, steps []reconcile.Step, results []reconcile.Result) {
	d.doLinkProps(ctx, steps, results)
}

// doLinkProps records what is there, for all steps in one write, then makes the
// changes, then forgets the records of what was given back.
func (d *Driver) doLinkProps(ctx context.Context, steps []reconcile.Step, results []reconcile.Result) {
	if err := ctx.Err(); err != nil {
		for i := range results {
			results[i].Err = err
		}
		return
	}
	// A step that has begun is finished, or taken back.
	ctx = context.WithoutCancel(ctx)
	changes := make([]*linkChange, len(steps))
	var record []prior.Entry
	for i, s := range steps {
		if d.goesAnyway(s) {
			continue
		}
		c, err := d.planLinkChange(ctx, s)
		if err != nil {
			results[i].Err = describe(op(s), describeStep(s), err)
			continue
		}
		if changes[i] = c; c != nil && s.New != nil {
			record = append(record, c.entry)
		}
	}
	before := make(map[object.Key]prior.Entry)
	for _, e := range record {
		if old, ok := d.prior.Get(e.Key); ok {
			before[e.Key] = old
		}
	}
	if err := d.prior.Put(record...); err != nil {
		for i, s := range steps {
			if results[i].Err == nil {
				results[i].Err = describe(op(s), describeStep(s), err)
			}
		}
		return
	}
	var forget []object.Key
	var restore []prior.Entry
	for _, i := range byMTU(changes) {
		s := steps[i]
		if results[i].Err != nil {
			continue
		}
		results[i].Got, results[i].Err = d.makeLinkChange(ctx, s, changes[i])
		old, had := before[s.Key()]
		switch {
		case results[i].Err != nil && s.New != nil && had:
			restore = append(restore, old)
		case results[i].Err != nil && s.New != nil, results[i].Err == nil && s.New == nil:
			forget = append(forget, s.Key())
		case changes[i] != nil && changes[i].after != nil:
			restore = append(restore, *changes[i].after)
		}
	}
	// A record too many does no harm: Dump compares it with the kernel. So the
	// changes stand, and a full disk shows at the next one.
	_ = d.prior.Put(restore...)
	_ = d.prior.Delete(forget...)
}

// planLinkChange looks up what the step starts from; nil when nothing is to do.
func (d *Driver) planLinkChange(ctx context.Context, s reconcile.Step) (*linkChange, error) {
	obj := s.New
	if obj == nil {
		obj = s.Old
	}
	name, want := linkProps(obj)
	if want == nil {
		return nil, wrongType(obj)
	}
	if s.New == nil {
		want = nil
	}
	c := &linkChange{step: s, to: maps.Clone(want), from: make(map[string]string)}
	if c.to == nil {
		c.to = make(map[string]string)
	}
	if _, err := d.links.read(ctx, name); err != nil {
		return nil, err
	}
	var err error
	verr := d.links.with(ctx, func(v view) {
		if c.link = v.byName[name]; c.link == nil {
			if s.New != nil {
				err = &MissingLinkError{Link: name, Object: describeStep(s)}
			}
			return
		}
		c.depth = v.depth(c.link)
		err = d.fillLinkChange(v, c, want)
	})
	if err = errors.Join(verr, err); err != nil {
		return nil, err
	}
	if c.link == nil {
		return nil, nil
	}
	return c, nil
}

func (d *Driver) fillLinkChange(v view, c *linkChange, want map[string]string) error {
	key := c.step.Key()
	rec, had := d.prior.Get(key)
	if had = had && rec.Ifindex == c.link.index; !had {
		rec = prior.Entry{}
	}
	if had && c.step.Old == nil && c.held(v, rec) {
		return &answer{errno: unix.EEXIST}
	}
	if !had && c.step.Old != nil && c.step.New != nil {
		return &answer{errno: unix.ENOENT}
	}
	c.entry = prior.Entry{Key: key, Ifindex: c.link.index, Before: make(map[string]string), Set: want}
	for p, value := range want {
		now := property(v, c.link, p)
		c.from[p] = now
		c.entry.Before[p] = now
		if old, ok := rec.Before[p]; ok {
			c.entry.Before[p] = old
		}
		if p == propMaster && now != "" && now != value {
			return &ConflictError{Object: describeStep(c.step), Holder: "membership in " + now,
				Remedy: fmt.Sprintf("release the link (ip link set dev %s nomaster) or leave it out of the configuration", c.link.name)}
		}
	}
	for p, was := range givenBack(v, c.link, rec, want) {
		now := property(v, c.link, p)
		c.to[p], c.from[p] = was, now
		if c.step.New == nil {
			continue
		}
		// Until it is given back the record keeps it: a process killed in
		// between gives it back at the next start.
		if c.after == nil {
			c.after = &prior.Entry{Key: key, Ifindex: c.link.index, Before: maps.Clone(c.entry.Before), Set: want}
			c.entry.Set = maps.Clone(want)
			if c.entry.Set == nil {
				c.entry.Set = make(map[string]string)
			}
		}
		c.entry.Before[p], c.entry.Set[p] = was, now
	}
	return nil
}

// givenBack are the properties of a link that we set, by its record, and no longer
// want: they get their old value back, unless somebody else has changed them since.
func givenBack(v view, l *link, rec prior.Entry, want map[string]string) map[string]string {
	back := map[string]string{}
	for p, was := range rec.Before {
		if _, wanted := want[p]; !wanted && property(v, l, p) == rec.Set[p] {
			back[p] = was
		}
	}
	return back
}

// held reports whether the link still has what the record says we set.
func (c *linkChange) held(v view, rec prior.Entry) bool {
	for p, value := range rec.Set {
		if property(v, c.link, p) != value {
			return false
		}
	}
	return true
}

// makeLinkChange writes and reads back; after an error the link is as before.
func (d *Driver) makeLinkChange(ctx context.Context, s reconcile.Step, c *linkChange) (object.Object, error) {
	if c == nil {
		return nil, nil
	}
	defer d.restoreOn(ctx, named(c.link.name))
	if err := d.fitMTU(ctx, c); err != nil {
		return nil, describe(op(s), describeStep(s), err)
	}
	if err := d.setLink(ctx, c.link, c.to); err != nil {
		undo := d.setLink(ctx, c.link, c.from)
		return nil, errors.Join(describe(op(s), describeStep(s), err), describe("restore", c.link.name, undo))
	}
	if s.New == nil {
		return nil, nil
	}
	var got object.Object
	if _, err := d.links.read(ctx, c.link.name); err != nil {
		return nil, describe("read back", describeStep(s), err)
	}
	err := d.links.with(ctx, func(v view) {
		if l := v.byIndex[c.link.index]; l != nil {
			held := c.entry
			if c.after != nil {
				held = *c.after
			}
			got = linkPropsObject(v, l, held)
		}
	})
	if err != nil {
		return nil, describe("read back", describeStep(s), err)
	}
	if got == nil || !s.New.Equal(got) {
		undo := d.setLink(ctx, c.link, c.from)
		dropped := &DroppedError{Object: describeStep(s), Dropped: "settings", Held: fmt.Sprint(got)}
		return nil, errors.Join(dropped, describe("restore", c.link.name, undo))
	}
	return got, nil
}

// linkPropsObject describes the present value of what the record says is set.
func linkPropsObject(v view, l *link, e prior.Entry) object.Object {
	if e.Key.Kind == object.KindMember {
		return object.Member{Link: l.name, Master: property(v, l, propMaster)}
	}
	o := object.LinkConfig{Link: l.name}
	if _, ok := e.Set[propMTU]; ok {
		o.MTU = l.mtu
	}
	if _, ok := e.Set[propAdmin]; ok {
		o.Admin = object.AdminDown
		if l.up() {
			o.Admin = object.AdminUp
		}
	}
	return o
}

// setLink writes properties of a link, all in one message.
func (d *Driver) setLink(ctx context.Context, l *link, props map[string]string) error {
	if len(props) == 0 {
		return nil
	}
	if master, ok := props[propMaster]; ok {
		return d.setMaster(ctx, l, master)
	}
	c := d.query
	h := c.begin(unix.RTM_SETLINK, unix.NLM_F_ACK, unix.SizeofIfInfomsg)
	native.PutUint32(h[4:], uint32(l.index))
	if admin, ok := props[propAdmin]; ok {
		if admin == object.AdminUp.String() {
			native.PutUint32(h[8:], unix.IFF_UP)
		}
		native.PutUint32(h[12:], unix.IFF_UP)
	}
	if mtu, ok := props[propMTU]; ok {
		n, err := strconv.ParseUint(mtu, 10, 32)
		if err != nil {
			return fmt.Errorf("read recorded mtu: %w", err)
		}
		c.out.u32(unix.IFLA_MTU, uint32(n))
	}
	c.out.end()
	return c.request(ctx, nil)
}

// setMaster enslaves or releases a link, for which the kernel takes it down and up
// where the master is a VRF (cycle_netdev in drivers/net/vrf.c).
func (d *Driver) setMaster(ctx context.Context, l *link, master string) error {
	var index int32
	if master != "" {
		m, err := d.links.name(ctx, master)
		if err != nil {
			return err
		}
		if m == nil {
			return &MissingLinkError{Link: master, Object: fmt.Sprintf("link %s master %s", l.name, master)}
		}
		index = m.index
	}
	return d.sendMaster(ctx, l.index, index)
}

// sendMaster writes the master of a link, 0 for none.
func (d *Driver) sendMaster(ctx context.Context, link, master int32) error {
	c := d.query
	h := c.begin(unix.RTM_SETLINK, unix.NLM_F_ACK, unix.SizeofIfInfomsg)
	native.PutUint32(h[4:], uint32(link))
	c.out.u32(unix.IFLA_MASTER, uint32(master))
	c.out.end()
	return c.request(ctx, nil)
}

func (d *Driver) dumpMembers(ctx context.Context) ([]object.Object, error) {
	return d.dumpLinkProps(ctx, object.KindMember)
}

func (d *Driver) dumpLinkConfigs(ctx context.Context) ([]object.Object, error) {
	return d.dumpLinkProps(ctx, object.KindLinkConfig)
}

// dumpLinkProps lists what the record says we set, with the values that the
// kernel has now. A link that is gone or recreated has none of it.
func (d *Driver) dumpLinkProps(ctx context.Context, kind object.Kind) ([]object.Object, error) {
	var os []object.Object
	err := d.links.with(ctx, func(v view) {
		for _, e := range d.prior.Kind(kind) {
			l := v.byIndex[e.Ifindex]
			if l == nil || l.name != e.Key.ID {
				continue
			}
			o := linkPropsObject(v, l, e)
			if m, ok := o.(object.Member); ok && m.Master == "" {
				continue
			}
			os = append(os, o)
		}
	})
	return os, err
}
