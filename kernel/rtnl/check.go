package rtnl

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// CheckPrivilege reports, in one line, when the process may not change the
// network configuration.
func CheckPrivilege() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	if data[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return errors.New("no permission to change the network configuration: run as root or with CAP_NET_ADMIN")
	}
	return nil
}

// checker looks at a plan before it is carried out. Everything it keeps is
// bounded by the number of steps.
type checker struct {
	d     *Driver
	v     view
	steps []reconcile.Step
	errs  []error

	makes   map[string]object.Link          // links that the plan creates
	drops   map[string]bool                 // links that the plan deletes
	leaves  map[string]bool                 // links whose membership the plan deletes or changes
	raised  map[string]bool                 // links that the plan changes the settings of
	sids    map[object.Key]*object.LocalSID // that the plan takes away, or changes
	hops    map[string]bool                 // shared next hops that the plan makes (true) or deletes
	lookups []reconcile.Step                // routes whose slot is to be looked at
	addrs   map[int32][]address             // IPv4 addresses by link, read once
	hmac    map[uint32]object.HMACKey       // keys of the kernel, read once
	support map[Feature]error               // nil: supported, or not known
}

// slotChecks bounds the routes whose slot is looked at ahead, one query for each
// (3 to 10 us). Beyond, a foreign route is found by the creation itself, which
// never replaces one, and then costs an undo; a change relies on the events of
// Watch having told that a route of ours was replaced by somebody else.
const slotChecks = 1024

// Check implements reconcile.Driver.
func (d *Driver) Check(ctx context.Context, steps []reconcile.Step) error {
	if len(steps) == 0 {
		return nil
	}
	if err := CheckPrivilege(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	v, err := d.links.snapshot(ctx)
	if err != nil {
		return err
	}
	c := &checker{d: d, v: v, steps: steps,
		makes: make(map[string]object.Link), drops: make(map[string]bool), leaves: make(map[string]bool),
		raised: make(map[string]bool), sids: make(map[object.Key]*object.LocalSID),
		hops:  make(map[string]bool),
		addrs: make(map[int32][]address), support: make(map[Feature]error)}
	c.survey()
	d.repoints, d.ending = repoints(steps), endings(steps)
	for _, s := range steps {
		if s.New == nil {
			continue
		}
		if err := c.step(ctx, s); err != nil {
			c.add(s, err)
		}
	}
	c.vlanMTUs()
	if err := errors.Join(c.slots(ctx), c.nextHops(ctx), c.reserved(ctx)); err != nil {
		return err
	}
	return errors.Join(c.errs...)
}

func (c *checker) add(s reconcile.Step, err error) {
	c.errs = append(c.errs, &reconcile.StepError{Step: s, Err: err})
}

// changesLink reports whether a step changes a link in place.
func changesLink(s reconcile.Step) bool {
	_, was := s.Old.(object.Link)
	return was && s.New != nil
}

// survey notes what the plan makes and frees.
func (c *checker) survey() {
	for _, s := range c.steps {
		if changesLink(s) {
			continue // it stays
		}
		if l, ok := s.New.(object.Link); ok {
			c.makes[l.Name] = l
		}
		if s.Key().Kind == object.KindNextHop {
			id := s.Key().ID
			c.hops[id] = c.hops[id] || s.New != nil
		}
		if l, ok := s.New.(object.LinkConfig); ok {
			c.raised[l.Link] = true
		}
		switch o := s.Old.(type) {
		case object.Link:
			c.drops[o.Name] = true
		case object.Member:
			c.leaves[o.Link] = true
		case *object.LocalSID:
			c.sids[o.Key()] = o
		}
	}
}

func (c *checker) step(ctx context.Context, s reconcile.Step) error {
	if err := c.features(ctx, s.New); err != nil {
		return err
	}
	switch o := s.New.(type) {
	case object.Link:
		if changesLink(s) {
			return c.present(o.Name, o)
		}
		return c.link(o)
	case object.Member:
		return c.member(o)
	case object.LinkConfig:
		return c.linkConfig(o)
	case object.Address:
		return c.address(ctx, s, o)
	case object.Neighbour:
		return c.neighbour(ctx, s, o)
	case object.HMACKey:
		return c.hmacKey(ctx, s, o)
	case *object.LocalSID:
		return c.sid(s, o)
	case *object.SharedNextHop:
		return c.nextHop(o)
	case *object.NextHopGroup:
		return c.group(o)
	case *object.Route:
		return c.route(s, o)
	case object.Sysctl:
		return c.strictMode(o)
	}
	return nil
}

func (c *checker) nextHop(o *object.SharedNextHop) error {
	if gw := o.Hop.Gateway; gw.IsValid() && (!gw.Is6() || gw.Is4In6()) {
		return fmt.Errorf("gateway %s of a shared next hop is not an IPv6 address", gw)
	}
	return c.present(o.Hop.Link, o)
}

func (c *checker) group(o *object.NextHopGroup) error {
	for _, m := range o.Members {
		if err := c.hop(m.Hop); err != nil {
			return err
		}
	}
	return nil
}

// hop refuses what leaves by a nexthop object that is not there when the plan comes
// to it.
func (c *checker) hop(id string) error {
	made, planned := c.hops[id]
	if _, there := c.d.hops.id(id); planned && !made || !planned && !there {
		return &MissingNextHopError{NextHop: id}
	}
	return nil
}

func (c *checker) features(ctx context.Context, o object.Object) error {
	for _, f := range Features(o) {
		err, asked := c.support[f]
		if !asked {
			if uerr, ok := errors.AsType[*UnsupportedError](c.d.supports(ctx, f)); ok {
				err = uerr
			}
			c.support[f] = err
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *Driver) supports(ctx context.Context, f Feature) error {
	if d.support == nil {
		return nil
	}
	return d.support.Supports(ctx, f)
}

// unsupported names the feature that o fails for; nil when none is known.
func (d *Driver) unsupported(ctx context.Context, o object.Object) error {
	for _, f := range Features(o) {
		if err, ok := errors.AsType[*UnsupportedError](d.supports(ctx, f)); ok {
			return err
		}
	}
	return nil
}

// present reports whether there will be a link of this name when it is needed.
func (c *checker) present(name string, of object.Object) error {
	if _, made := c.makes[name]; made {
		return nil
	}
	if c.v.byName[name] == nil || c.drops[name] {
		return &MissingLinkError{Link: name, Object: fmt.Sprint(of)}
	}
	return nil
}

// holder says whose link l is.
func holder(l *link) string {
	kind := l.kind
	if kind == "" {
		kind = "device"
	}
	if l.ours() {
		return fmt.Sprintf("link %s (%s, already made by heddle)", l.name, kind)
	}
	return fmt.Sprintf("link %s (%s, not made by heddle)", l.name, kind)
}

func (c *checker) link(l object.Link) error {
	if have := c.v.byName[l.Name]; have != nil && !c.drops[l.Name] {
		peer := c.v.byIndex[have.linked]
		waiting := !l.Creates() && peer != nil && peer.ours() && !c.drops[peer.name]
		if !waiting {
			return &ConflictError{Object: l.String(), Holder: holder(have),
				Remedy: fmt.Sprintf("delete it (ip link del %s) or choose another name", l.Name)}
		}
	}
	switch {
	case l.Type == object.LinkVRF:
		return c.vrfTable(l)
	case l.Type == object.LinkVeth && !l.Creates():
		return c.present(l.Peer, l)
	case l.Type == object.LinkVLAN:
		return c.vlan(l)
	case l.Tunnel != object.Tunnel{}:
		return c.tunnel(l)
	}
	return nil
}

func (c *checker) vrfTable(l object.Link) error {
	have := c.v.byTable[l.Table]
	if have == nil || have.name == l.Name || c.drops[have.name] {
		return nil
	}
	return &ConflictError{Object: l.String(),
		Holder: fmt.Sprintf("vrf %s, which uses table %d,", have.name, l.Table),
		Remedy: fmt.Sprintf("give %s another table number, or delete %s", l.Name, have.name)}
}

func (c *checker) member(m object.Member) error {
	if err := errors.Join(c.present(m.Link, m), c.present(m.Master, m)); err != nil {
		return err
	}
	kind := string(c.makes[m.Master].Type)
	if master := c.v.byName[m.Master]; kind == "" {
		kind = master.kind
	}
	if !masters(kind) {
		return fmt.Errorf("link %s is neither a vrf nor a bridge: a link can be a member of these only", m.Master)
	}
	l := c.v.byName[m.Link]
	if l == nil || l.master == 0 || c.drops[m.Link] || c.leaves[m.Link] {
		return nil
	}
	master := c.v.byIndex[l.master]
	if master == nil || master.name == m.Master || c.drops[master.name] {
		return nil
	}
	return &ConflictError{Object: m.String(), Holder: fmt.Sprintf("the membership of %s in %s", m.Link, master.name),
		Remedy: fmt.Sprintf("release it (ip link set dev %s nomaster) or leave the interface out", m.Link)}
}

// masters reports whether links of a kind have members.
func masters(kind string) bool {
	return kind == string(object.LinkVRF) || kind == string(object.LinkBridge)
}

func (c *checker) linkConfig(o object.LinkConfig) error {
	if err := c.present(o.Link, o); err != nil {
		return err
	}
	l := c.v.byName[o.Link]
	if l == nil || c.drops[o.Link] || o.MTU == 0 {
		return nil
	}
	if o.MTU < l.minMTU || l.maxMTU != 0 && o.MTU > l.maxMTU {
		return fmt.Errorf("mtu %d is out of the range of link %s: use %d to %d", o.MTU, o.Link, l.minMTU, l.maxMTU)
	}
	return nil
}

func (c *checker) address(ctx context.Context, s reconcile.Step, a object.Address) error {
	if err := c.present(a.Link, a); err != nil {
		return err
	}
	l := c.v.byName[a.Link]
	if l == nil || s.Old != nil {
		return nil
	}
	// On a link that is made anew, too: what somebody else has there is put back.
	var have []address
	if a.Prefix.Addr().Is4() {
		var err error
		if have, err = c.linkAddresses(ctx, l.index); err != nil {
			return err
		}
	} else {
		got, ok, err := c.d.queryAddress6(ctx, l.index, a.Prefix.Addr())
		if err != nil {
			return err
		}
		if ok {
			have = []address{got}
		}
	}
	for _, h := range have {
		same := h.prefix == a.Prefix || a.Prefix.Addr().Is6() && h.prefix.Addr() == a.Prefix.Addr()
		if same && h.proto != Protocol {
			return &ConflictError{Object: a.String(), Holder: fmt.Sprintf("address %s on %s, not made by heddle,", h.prefix, a.Link),
				Remedy: fmt.Sprintf("delete it (ip addr del %s dev %s) or leave it out of the configuration", h.prefix, a.Link)}
		}
	}
	return nil
}

func (c *checker) linkAddresses(ctx context.Context, index int32) ([]address, error) {
	if as, read := c.addrs[index]; read {
		return as, nil
	}
	as, err := c.d.linkAddresses(ctx, index, unix.AF_INET)
	c.addrs[index] = as
	return as, err
}

// vrf checks that the VRF of o will be there with its table.
func (c *checker) vrf(name string, table uint32, o object.Object) error {
	if name == "" {
		return nil
	}
	if err := c.present(name, o); err != nil {
		return err
	}
	have := uint32(0)
	if l := c.v.byName[name]; l != nil {
		have = l.table
	}
	if made, ok := c.makes[name]; ok {
		have = made.Table
	}
	if have != table {
		return fmt.Errorf("vrf %s has table %d, not %d", name, have, table)
	}
	return nil
}

func (c *checker) route(s reconcile.Step, r *object.Route) error {
	if err := c.vrf(r.VRF, r.Table, r); err != nil {
		return err
	}
	if r.SharedHop != "" {
		if err := c.hop(r.SharedHop); err != nil {
			return err
		}
	}
	for i, n := range r.NextHops {
		if n.Link != "" {
			if err := c.present(n.Link, r); err != nil {
				return err
			}
		}
		if len(r.NextHops) > 1 && r.Prefix.Addr().Is6() && !n.Gateway.IsValid() {
			return fmt.Errorf("next hop %d (%s) has no gateway: the kernel spreads IPv6 over gateways only", i+1, n)
		}
	}
	c.look(s)
	return nil
}

// look notes that the slot of a route is to be looked at.
func (c *checker) look(s reconcile.Step) {
	if len(c.lookups) < slotChecks {
		c.lookups = append(c.lookups, s)
	}
}

// slots asks the kernel, in batches, for what is where the plan's routes go.
func (c *checker) slots(ctx context.Context) error {
	dec := decoder{c.v, &c.d.hops}
	for rest := c.lookups; len(rest) > 0; {
		batch := rest[:min(batchSize, len(rest))]
		rest = rest[len(batch):]
		err := c.d.query.pipeline(ctx, len(batch), func(m *msgBuf, i int, seq uint32) error {
			buildLookup(m, seq, dec, slotOf(batch[i].New))
			return nil
		}, func(i int, m *message) {
			if m.typ != unix.RTM_NEWROUTE {
				return
			}
			r, ok := parseRoute(m.data)
			if ok && r.proto != Protocol && r.slot() == slotOf(batch[i].New) && !c.goes(&r) {
				c.add(batch[i], conflict(batch[i].New, &r))
			}
		})
		if err != nil {
			return fmt.Errorf("look for routes in the way: %w", err)
		}
	}
	return nil
}

// goes reports whether a foreign route disappears with a link that the plan
// deletes for good.
func (c *checker) goes(r *rawRoute) bool {
	l := c.v.byIndex[r.hop.oif]
	if l == nil {
		return false
	}
	_, made := c.makes[l.name]
	return c.drops[l.name] && !made
}

// queryAddress6 looks an IPv6 address up, whatever its prefix length.
func (d *Driver) queryAddress6(ctx context.Context, index int32, a netip.Addr) (got address, ok bool, err error) {
	c := d.query
	h := c.begin(unix.RTM_GETADDR, unix.NLM_F_ACK, unix.SizeofIfAddrmsg)
	h[0] = unix.AF_INET6
	native.PutUint32(h[4:], uint32(index))
	c.out.addr(unix.IFA_ADDRESS, a)
	c.out.end()
	err = c.request(ctx, func(m *message) {
		if have, valid := parseAddress(m.data); valid && have.index == index && have.prefix.Addr() == a {
			got, ok = have, true
		}
	})
	if isErrno(err, unix.EADDRNOTAVAIL) {
		err = nil
	}
	return got, ok, err
}
