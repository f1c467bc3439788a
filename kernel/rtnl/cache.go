package rtnl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
)

// Mark is what the alias of a link of ours starts with.
const Mark = "heddle:"

// linkGroup marks a link of ours from the moment it is created until its alias
// is set, which the kernel does not take in the same message: "Hedl".
const linkGroup = 0x4865646c

const vethKind = string(object.LinkVeth)

// link is what the driver knows about a network device.
type link struct {
	index        int32
	name         string
	kind         string // rtnl_link_ops kind, empty for hardware
	hardware     uint16 // ARPHRD_*
	alias        string
	group        uint32
	flags        uint32
	mtu          uint32
	minMTU       uint32
	maxMTU       uint32
	operState    uint8
	master       int32
	linked       int32 // IFLA_LINK: the other end of a veth, for others what they are on
	linkedAbroad bool  // IFLA_LINK counts in another namespace
	table        uint32
	vlan         object.VLAN
	bound        bool // a VLAN without loose binding
	tunnel       object.Tunnel
	lower        int32 // IFLA_VXLAN_LINK: what a VXLAN is on, which older kernels do not tell as IFLA_LINK
	mac          net.HardwareAddr
	carrierUp    uint32
	carrierDown  uint32
	stats        LinkCounters
}

// ours reports whether we made the link.
func (l *link) ours() bool {
	return strings.HasPrefix(l.alias, Mark) || l.alias == "" && l.group == linkGroup
}

func (l *link) up() bool { return l.flags&unix.IFF_UP != 0 }

// linkCache mirrors the links of the namespace. It is brought up to date from
// the link events that have queued up, never by a timer.
type linkCache struct {
	mu      sync.Mutex // guards all below; events and query are used under it
	events  *conn
	query   *conn
	byIndex map[int32]*link
	byName  map[string]*link
	byTable map[uint32]*link // VRFs
	stale   bool             // events were lost: everything is read again
	shared  bool             // a snapshot holds the maps: copy before writing
}

func newLinkCache() (*linkCache, error) {
	events, err := dial(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		return nil, err
	}
	query, err := dial(unix.NETLINK_ROUTE)
	if err != nil {
		events.close()
		return nil, err
	}
	return &linkCache{events: events, query: query, stale: true}, nil
}

func (c *linkCache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events.close()
	c.query.close()
}

// snapshot returns the present state of the links, to keep. It costs nothing as
// long as no link changes.
func (c *linkCache) snapshot(ctx context.Context) (view, error) {
	var v view
	err := c.with(ctx, func(now view) { v, c.shared = now, true })
	return v, err
}

// view is the state of all links at one moment; its links are never changed.
type view struct {
	byIndex map[int32]*link
	byName  map[string]*link
	byTable map[uint32]*link
}

// refresh applies the events that have come in since the last call.
func (c *linkCache) refresh(ctx context.Context) error {
	for !c.stale {
		b, err := c.events.tryRecv()
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if err != nil {
			c.stale = true
			break
		}
		for len(b) > 0 {
			m, rest, ok := splitMessage(b)
			if !ok {
				break
			}
			b = rest
			c.apply(&m)
		}
	}
	c.events.drain()
	err := c.query.dump(ctx, func() { buildLinkDump(c.query, false) }, c.reset, c.apply)
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	c.stale = false
	return nil
}

// reset forgets all links.
func (c *linkCache) reset() {
	c.byIndex = make(map[int32]*link)
	c.byName = make(map[string]*link)
	c.byTable = make(map[uint32]*link)
	c.shared = false
}

// apply takes one link message into the mirror.
func (c *linkCache) apply(m *message) {
	l, ok := parseLink(m.data)
	if !ok {
		return
	}
	if c.shared {
		c.byIndex, c.byName, c.byTable = maps.Clone(c.byIndex), maps.Clone(c.byName), maps.Clone(c.byTable)
		c.shared = false
	}
	if old := c.byIndex[l.index]; old != nil {
		delete(c.byIndex, old.index)
		if c.byName[old.name] == old {
			delete(c.byName, old.name)
		}
		if c.byTable[old.table] == old {
			delete(c.byTable, old.table)
		}
	}
	if m.typ == unix.RTM_DELLINK {
		return
	}
	// The second end of a veth is announced before it has a peer and not again
	// when it gets one: the first end's message tells.
	if p := c.byIndex[l.linked]; l.kind == vethKind && !l.linkedAbroad && p != nil && p.kind == vethKind && p.linked == 0 {
		twin := *p
		twin.linked = l.index
		c.byIndex[p.index], c.byName[p.name] = &twin, &twin
	}
	c.byIndex[l.index] = l
	c.byName[l.name] = l
	if l.kind == string(object.LinkVRF) {
		c.byTable[l.table] = l
	}
}

// name finds a link by name; nil when there is none.
func (c *linkCache) name(ctx context.Context, name string) (*link, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refresh(ctx); err != nil {
		return nil, err
	}
	return c.byName[name], nil
}

// read asks the kernel for one link and takes the answer into the mirror. Links
// that are down do not announce every change, their alias for one.
func (c *linkCache) read(ctx context.Context, name string) (*link, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refresh(ctx); err != nil {
		return nil, err
	}
	q := c.query
	q.begin(unix.RTM_GETLINK, unix.NLM_F_ACK, unix.SizeofIfInfomsg)
	q.out.str(unix.IFLA_IFNAME, name)
	q.out.u32(unix.IFLA_EXT_MASK, rtextSkipStats)
	q.out.end()
	if err := q.request(ctx, c.apply); err != nil && !isErrno(err, unix.ENODEV) && !isErrno(err, unix.ERANGE) {
		return nil, fmt.Errorf("read link %s: %w", name, err)
	}
	return c.byName[name], nil
}

// forget has everything read again at the next look.
func (c *linkCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stale = true
}

// with calls fn on the present state of the links. fn keeps links, not maps.
func (c *linkCache) with(ctx context.Context, fn func(view)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refresh(ctx); err != nil {
		return err
	}
	fn(view{c.byIndex, c.byName, c.byTable})
	return nil
}

// buildLinkDump writes a request for all links. Statistics are left out unless
// wanted: they are most of the answer.
func buildLinkDump(c *conn, stats bool) {
	c.begin(unix.RTM_GETLINK, unix.NLM_F_DUMP, unix.SizeofIfInfomsg)
	mask := uint32(rtextSkipStats)
	if stats {
		mask = 0
	}
	c.out.u32(unix.IFLA_EXT_MASK, mask)
	c.out.end()
}

// parseLink decodes an RTM_NEWLINK or RTM_DELLINK; false for messages of the
// bridge, which describe ports and not links.
func parseLink(b []byte) (*link, bool) {
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC {
		return nil, false
	}
	l := &link{hardware: native.Uint16(b[2:]), index: int32(native.Uint32(b[4:])), flags: native.Uint32(b[8:])}
	for a := (attrs{rest: b[unix.SizeofIfInfomsg:]}); a.next(); {
		switch a.typ {
		case unix.IFLA_IFNAME:
			l.name = a.str()
		case unix.IFLA_MTU:
			l.mtu = a.u32()
		case unix.IFLA_MIN_MTU:
			l.minMTU = a.u32()
		case unix.IFLA_MAX_MTU:
			l.maxMTU = a.u32()
		case unix.IFLA_IFALIAS:
			l.alias = a.str()
		case unix.IFLA_GROUP:
			l.group = a.u32()
		case unix.IFLA_OPERSTATE:
			l.operState = a.u8()
		case unix.IFLA_MASTER:
			l.master = int32(a.u32())
		case unix.IFLA_LINK:
			l.linked = int32(a.u32())
		case unix.IFLA_LINK_NETNSID:
			l.linkedAbroad = true
		case unix.IFLA_ADDRESS:
			l.mac = append(net.HardwareAddr(nil), a.data...)
		case unix.IFLA_CARRIER_UP_COUNT:
			l.carrierUp = a.u32()
		case unix.IFLA_CARRIER_DOWN_COUNT:
			l.carrierDown = a.u32()
		case unix.IFLA_STATS64:
			l.stats = parseStats64(a.data)
		case unix.IFLA_LINKINFO:
			parseLinkInfo(l, a.data)
		}
	}
	return l, l.name != ""
}

// waitTimer waits for d or the end of the context.
func waitTimer(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
