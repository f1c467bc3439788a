package rtnl

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/kernel/prior"
	"heddle/reconcile"
)

// The ids of our nexthop objects: what has another id is never touched. "H" is
// the first octet.
const (
	hopIDFirst uint32 = Protocol << 24
	hopIDs     uint32 = 1 << 24 // how many there are
)

// propID is the id of a nexthop object with a name, in the record.
const propID = "id"

// hopTable ties the nexthop objects of ours to their ids. It is read from the
// kernel at the start and at each Dump, and kept in step by our own changes. The
// zero value is empty; a nil one, too.
type hopTable struct {
	mu    sync.Mutex
	ids   map[string]uint32
	names map[uint32]string
}

// id finds the id of a shared next hop.
func (t *hopTable) id(name string) (uint32, bool) {
	if t == nil || name == "" {
		return 0, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	id, ok := t.ids[name]
	return id, ok
}

// name is the shared next hop with an id; one that is not ours has a name that
// no shared next hop of ours can have.
func (t *hopTable) name(id uint32) string {
	if name, ok := t.known(id); ok {
		return name
	}
	return numbered(id)
}

func numbered(id uint32) string { return "#" + strconv.FormatUint(uint64(id), 10) }

func (t *hopTable) known(id uint32) (string, bool) {
	if t == nil {
		return "", false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	name, ok := t.names[id]
	return name, ok
}

func (t *hopTable) set(name string, id uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ids == nil {
		t.ids, t.names = map[string]uint32{}, map[uint32]string{}
	}
	t.ids[name], t.names[id] = id, name
}

func (t *hopTable) drop(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.names, t.ids[name])
	delete(t.ids, name)
}

// forget takes a name from an object that has another one.
func (t *hopTable) forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.ids, name)
}

// replace makes names the table.
func (t *hopTable) replace(names map[uint32]string) {
	ids := make(map[string]uint32, len(names))
	for id, name := range names {
		ids[name] = id
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ids, t.names = ids, names
}

// rawNextHop is a nexthop object as the kernel describes it.
type rawNextHop struct {
	id            uint32
	family, proto uint8
	other         bool // one that drops
	hop           rawHop
	group         []rawMember
}

// rawMember is a member of a group.
type rawMember struct {
	id     uint32
	weight uint16
}

func (r *rawNextHop) ours() bool {
	return r.proto == Protocol && r.id >= hopIDFirst && r.id-hopIDFirst < hopIDs
}

// parseNextHop decodes an RTM_NEWNEXTHOP or RTM_DELNEXTHOP. Slices point into b.
func parseNextHop(b []byte) (r rawNextHop, ok bool) {
	if len(b) < sizeofNhmsg {
		return r, false
	}
	r = rawNextHop{family: b[0], proto: b[nhProtocolOctet]}
	for a := (attrs{rest: b[sizeofNhmsg:]}); a.next(); {
		switch a.typ {
		case nhaID:
			r.id = a.u32()
		case nhaOIF:
			r.hop.oif = int32(a.u32())
		case nhaGateway:
			r.hop.gateway = a.addr()
		case nhaEncapType:
			r.hop.encapType = a.u16()
		case nhaEncap:
			r.hop.encap = a.data
		case nhaGroup:
			for g := a.data; len(g) >= sizeofNhGrp; g = g[sizeofNhGrp:] {
				r.group = append(r.group, rawMember{native.Uint32(g), (uint16(g[5])<<8 | uint16(g[4])) + 1})
			}
		case nhaBlackhole:
			r.other = true
		}
	}
	return r, r.id != 0
}

// nextHop makes r the object of a name; whole is false when it is of a form that no
// object of ours has.
func (d decoder) nextHop(name string, r *rawNextHop) (o object.Object, whole bool) {
	if len(r.group) > 0 {
		g := &object.NextHopGroup{ID: name, Members: make([]object.GroupMember, len(r.group))}
		for i, m := range r.group {
			g.Members[i] = object.GroupMember{Hop: d.hops.name(m.id), Weight: m.weight}
		}
		return g, !r.other
	}
	n, whole := d.hop(&r.hop)
	if whole = whole && !r.other && r.family == unix.AF_INET6; !whole {
		n = object.NextHop{}
	}
	return &object.SharedNextHop{ID: name, Hop: n}, whole
}

// nextHop writes a message that creates or replaces a nexthop object.
func (e encoder) nextHop(m *msgBuf, flags uint16, seq, id uint32, o object.Object) (err error) {
	h := m.begin(unix.RTM_NEWNEXTHOP, flags|unix.NLM_F_ACK, seq, sizeofNhmsg)
	h[nhProtocolOctet] = Protocol
	switch o := o.(type) {
	case *object.SharedNextHop:
		h[0] = unix.AF_INET6
		err = e.nextHopAttrs(m, id, o)
	case *object.NextHopGroup:
		err = e.groupAttrs(m, id, o)
	default:
		err = wrongType(o)
	}
	if err != nil {
		m.abort()
		return err
	}
	m.end()
	return nil
}

func (e encoder) groupAttrs(m *msgBuf, id uint32, g *object.NextHopGroup) error {
	grp := make([]byte, 0, sizeofNhGrp*len(g.Members))
	for _, n := range g.Members {
		member, ok := e.hops.id(n.Hop)
		if !ok {
			return &MissingNextHopError{NextHop: n.Hop}
		}
		if n.Weight < 1 || n.Weight > object.MaxGroupWeight {
			return fmt.Errorf("weight %d of %s is not one of 1 to %d", n.Weight, n.Hop, object.MaxGroupWeight)
		}
		grp = native.AppendUint32(grp, member)
		grp = append(grp, byte(n.Weight-1), 0, 0, 0)
	}
	m.u32(nhaID, id)
	m.bytes(nhaGroup, grp)
	return nil
}

func (e encoder) nextHopAttrs(m *msgBuf, id uint32, o *object.SharedNextHop) error {
	index, err := e.index(o.Hop.Link, o)
	if err != nil {
		return err
	}
	m.u32(nhaID, id)
	m.u32(nhaOIF, index)
	if gw := o.Hop.Gateway; gw.IsValid() {
		if !gw.Is6() || gw.Is4In6() {
			return fmt.Errorf("gateway %s of a shared next hop is not an IPv6 address", gw)
		}
		m.addr(nhaGateway, gw.WithZone(""))
	}
	if o.Hop.Encap == nil {
		return nil
	}
	m.u16(nhaEncapType, encapSeg6)
	off := m.nest(nhaEncap | unix.NLA_F_NESTED)
	if err := encap(m, o.Hop.Encap); err != nil {
		return err
	}
	m.unnest(off)
	return nil
}

// doNextHop carries out one step on a shared next hop or a group.
func (d *Driver) doNextHop(ctx context.Context, s reconcile.Step) (object.Object, error) {
	v, err := d.links.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	o := s.New
	if o == nil {
		if done, err := d.endMove(ctx, v, s.Old.Key().ID); done {
			return nil, err
		}
		return nil, d.deleteNextHop(ctx, s.Old)
	}
	if s.Old != nil {
		return d.changeNextHop(ctx, v, s.Old, o)
	}
	if from := d.repoints[o.Key().ID]; from != nil {
		if got, err := d.takePlace(ctx, v, from, o); got != nil || err != nil {
			return got, err
		}
	}
	return d.createNextHop(ctx, v, o)
}

// createNextHop looks for an id that is free, from one that follows from the
// name, so that a restart finds the same ids in use for the same things.
func (d *Driver) createNextHop(ctx context.Context, v view, o object.Object) (object.Object, error) {
	name := o.Key().ID
	if id, ok := d.hops.id(name); ok {
		if held, there, err := d.readNextHop(ctx, id); err != nil || there && held.ours() {
			return nil, errors.Join(err, describe(opCreate, fmt.Sprint(o), &answer{errno: unix.EEXIST}))
		}
		d.hops.drop(name)
	}
	for n := hopHash(name); ; n++ {
		id := hopID(n)
		if _, used := d.hops.known(id); used {
			continue
		}
		if err := d.recordHop(o, id); err != nil {
			return nil, err
		}
		got, err := d.sendNextHop(ctx, v, unix.NLM_F_CREATE|unix.NLM_F_EXCL, id, o)
		if isErrno(err, unix.EEXIST) {
			continue // of somebody else
		}
		if err != nil {
			return nil, errors.Join(err, d.forgetHop(o))
		}
		d.hops.set(name, id)
		return got, nil
	}
}

// hopHash is the number from which on an object looks for a free id.
func hopHash(name string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return h.Sum32()
}

func hopID(n uint32) uint32 { return hopIDFirst + n%hopIDs }

func (d *Driver) changeNextHop(ctx context.Context, v view, old, o object.Object) (object.Object, error) {
	id, ok := d.hops.id(o.Key().ID)
	if !ok {
		return nil, describe(opChange, fmt.Sprint(o), &answer{errno: unix.ENOENT})
	}
	return d.changeTo(ctx, v, id, old, o)
}

// sendNextHop writes one nexthop object and reads it back by a query of its own:
// the echo of a change is one of every route that leaves by the object, too, as
// long as net.ipv4.nexthop_compat_mode is on.
func (d *Driver) sendNextHop(ctx context.Context, v view, flags uint16, id uint32, o object.Object) (object.Object, error) {
	enc, dec, text := encoder{v, &d.hops}, decoder{v, &d.hops}, fmt.Sprint(o)
	op := opCreate
	if flags&unix.NLM_F_REPLACE != 0 {
		op = opChange
	}
	c := d.query
	var is object.Object
	var held, whole bool
	var err error
	for try, delay := 0, retryFirst; ; try, delay = try+1, min(2*delay, retryMost) {
		c.seq++
		c.out.reset()
		if err := enc.nextHop(&c.out, flags, c.seq, id, o); err != nil {
			return nil, err
		}
		err = c.request(ctx, nil)
		a, refused := errors.AsType[*answer](err)
		if !refused || !transient(a.errno) || try == retryTimes || waitTimer(ctx, delay) != nil {
			break
		}
		d.retried++
	}
	if err != nil {
		if uerr := d.unsupported(ctx, o); uerr != nil && (isErrno(err, unix.EOPNOTSUPP) || isErrno(err, unix.EINVAL)) {
			return nil, because(uerr, describe(op, text, err))
		}
		return nil, describe(op, text, err)
	}
	err = d.requestNextHop(ctx, unix.RTM_GETNEXTHOP, id, func(m *message) {
		if r, ok := parseNextHop(m.data); ok && m.typ == unix.RTM_NEWNEXTHOP && r.id == id {
			is, whole = dec.nextHop(o.Key().ID, &r)
			held = r.ours()
		}
	})
	if err == nil && held && whole && o.Equal(is) {
		return is, nil
	}
	if err != nil {
		err = describe("read back", text, err)
	} else {
		err = &DroppedError{Object: text, Dropped: droppedFromShared(o, is), Held: fmt.Sprint(is)}
	}
	if op == opCreate {
		err = errors.Join(err, describe("take back", text, d.requestNextHop(ctx, unix.RTM_DELNEXTHOP, id, nil)))
	}
	return nil, err
}

// droppedFromShared names what was asked of a nexthop object and is not held.
func droppedFromShared(want, is object.Object) string {
	w, hop := want.(*object.SharedNextHop)
	h, held := is.(*object.SharedNextHop)
	if hop && held {
		return droppedFromHop(w.Hop, h.Hop)
	}
	return "members of the group, or their weights"
}

// deleteNextHop deletes what is ours: the kernel takes any protocol for an id.
func (d *Driver) deleteNextHop(ctx context.Context, o object.Object) error {
	id, ok := d.hops.id(o.Key().ID)
	if !ok {
		return d.forgetHop(o)
	}
	held, there, err := d.readNextHop(ctx, id)
	if err == nil && there && held.ours() {
		err = d.requestNextHop(ctx, unix.RTM_DELNEXTHOP, id, nil)
	}
	if err != nil && !isErrno(err, unix.ENOENT) {
		return describe(opDelete, fmt.Sprint(o), err)
	}
	d.hops.drop(o.Key().ID)
	return d.forgetHop(o)
}

// readNextHop reads one nexthop object without what its slices point to.
func (d *Driver) readNextHop(ctx context.Context, id uint32) (r rawNextHop, there bool, err error) {
	err = d.requestNextHop(ctx, unix.RTM_GETNEXTHOP, id, func(m *message) {
		if got, ok := parseNextHop(m.data); ok && got.id == id {
			r, there = got, true
			r.hop.encap = nil
		}
	})
	if isErrno(err, unix.ENOENT) {
		return r, false, nil
	}
	return r, there, err
}

func (d *Driver) requestNextHop(ctx context.Context, typ uint16, id uint32, fn func(*message)) error {
	c := d.query
	c.begin(typ, unix.NLM_F_ACK, sizeofNhmsg)
	c.out.u32(nhaID, id)
	c.out.end()
	return c.request(ctx, fn)
}

// recordHop notes the id of an object with a name before the object is made.
func (d *Driver) recordHop(o object.Object, id uint32) error {
	if !object.NamedHop(o.Key().ID) {
		return nil
	}
	return d.prior.Put(prior.Entry{Key: o.Key(), Set: map[string]string{propID: strconv.FormatUint(uint64(id), 10)}})
}

func (d *Driver) forgetHop(o object.Object) error {
	if !object.NamedHop(o.Key().ID) {
		return nil
	}
	return d.prior.Delete(o.Key())
}

// readHops reads the nexthop objects of ours and makes them the table. An object
// keeps the name that it is known by; else its name is in the record, or is its
// content. Two that lead the same way, of which one is left over from a crash,
// are told apart by the id.
func (d *Driver) readHops(ctx context.Context) ([]object.Object, error) {
	v, err := d.links.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	found, err := d.dumpHops(ctx)
	if err != nil {
		return nil, err
	}
	dec := decoder{v, &d.hops}
	recorded := d.recordedHops()
	names := make(map[uint32]string, len(found))
	taken := make(map[string]bool, len(found))
	for _, id := range slices.Sorted(maps.Keys(found)) {
		name, ok := d.hops.known(id)
		if !ok {
			name, ok = recorded[id]
		}
		if !ok && len(found[id].group) == 0 {
			way, _ := dec.nextHop("", found[id])
			name = object.HopByContent(way.(*object.SharedNextHop).Hop).ID
		}
		if name == "" || taken[name] {
			name = numbered(id)
		}
		names[id], taken[name] = name, true
	}
	d.hops.replace(names)
	d.moved = nil // each object has one name again
	objects := make([]object.Object, 0, len(found))
	for _, id := range slices.Sorted(maps.Keys(found)) {
		o, _ := dec.nextHop(names[id], found[id]) // groups by the new names of their members
		objects = append(objects, o)
	}
	return objects, nil
}

// dumpHops lists the nexthop objects of ours by id.
func (d *Driver) dumpHops(ctx context.Context) (map[uint32]*rawNextHop, error) {
	found := map[uint32]*rawNextHop{}
	c := d.query
	err := c.dump(ctx, func() {
		c.begin(unix.RTM_GETNEXTHOP, unix.NLM_F_DUMP, sizeofNhmsg)
		c.out.end()
	}, func() { clear(found) }, func(m *message) {
		if r, ok := parseNextHop(m.data); ok && m.typ == unix.RTM_NEWNEXTHOP && r.ours() {
			r.hop.encap = slices.Clone(r.hop.encap)
			found[r.id] = &r
		}
	})
	if err != nil && !isErrno(err, unix.EOPNOTSUPP) { // before Linux 5.3
		return nil, fmt.Errorf("list nexthop objects: %w", err)
	}
	return found, nil
}

// recordedHops are the names of nexthop objects in the record, by id.
func (d *Driver) recordedHops() map[uint32]string {
	names := map[uint32]string{}
	for _, e := range d.prior.Kind(object.KindNextHop) {
		if id, err := strconv.ParseUint(e.Set[propID], 10, 32); err == nil {
			names[uint32(id)] = e.Key.ID
		}
	}
	return names
}
