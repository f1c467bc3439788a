package telemetry

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"heddle/gen/config"
	"heddle/gen/state"
	"heddle/kernel/object"
	"heddle/schema"
)

// linkReader orders the readings of links and remembers what the kernel does not.
type linkReader struct {
	sharedRead

	// seen is of the links that are there; sharedRead.reading guards it. nil: no
	// reading of all of them so far.
	seen map[string]linkSeen
}

// linkSeen tells when the operational state of a link changed last. The carrier
// changes of the kernel tell of those that came and went between two readings.
type linkSeen struct {
	index          int
	status         state.E_Interface_OperStatus
	carrierChanges uint64
	changed        time.Time
}

// link is what was read of one link.
type link struct {
	object.LinkState
	addresses []object.AddressState
	changed   time.Time // of the operational state
}

// readLinks replaces all interfaces with what the kernel has. Who takes what there
// is at any time shares a reading with nobody: others would not publish it.
func (t *Telemetry) readLinks(ctx context.Context, w when) error {
	if w == anyTime {
		t.links.reading.Lock()
		defer t.links.reading.Unlock()
		return t.readAllLinks(ctx, w)
	}
	return t.links.do(ctx, func(ctx context.Context) error { return t.readAllLinks(ctx, w) })
}

// readAllLinks needs t.links.reading.
func (t *Telemetry) readAllLinks(ctx context.Context, w when) error {
	whole, err := t.reading(w)
	if err != nil {
		return err
	}
	states, addresses, err := t.kernel.Links(ctx)
	if err != nil {
		return fmt.Errorf("read links: %w", err)
	}
	if !whole() {
		return errInCommit
	}
	byLink := map[string][]object.AddressState{}
	for _, a := range addresses {
		byLink[a.Link] = append(byLink[a.Link], a)
	}
	seen := make(map[string]linkSeen, len(states))
	links := make([]link, len(states))
	for i, l := range states {
		seen[l.Name] = t.links.look(l, t.system.AgentStart, t.store.now())
		links[i] = link{l, byLink[l.Name], seen[l.Name].changed}
	}
	t.links.seen = seen
	t.publishLinks(t.schema.ListPrefix("", t.nodes.interfaces), links, "")
	return nil
}

// readLink replaces one interface with what the kernel has, and returns the links
// of which something changed with it: the other end of a veth is not announced
// when this one gets another name.
func (t *Telemetry) readLink(ctx context.Context, name string, w when) (also []string, err error) {
	key, err := t.schema.Key("", t.nodes.interfaces, name)
	if err != nil {
		return nil, nil // no name that a link could have: an event without one
	}
	t.links.reading.Lock()
	defer t.links.reading.Unlock()
	whole, err := t.reading(w)
	if err != nil {
		return nil, err
	}
	l, addresses, ok, err := t.kernel.Link(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("read link %s: %w", name, err)
	}
	if !whole() {
		return nil, errInCommit
	}
	before := t.peer(key)
	var links []link
	switch {
	case ok:
		seen := t.links.look(l, t.system.AgentStart, t.store.now())
		if t.links.seen != nil {
			t.links.seen[name] = seen
		}
		links = []link{{l, addresses, seen.changed}}
	default:
		delete(t.links.seen, name)
	}
	t.publishLinks(key, links, name)
	if after := t.peer(key); after != before {
		for _, other := range []string{before, after} {
			if other != "" {
				also = append(also, other)
			}
		}
	}
	return also, nil
}

// peer is the other end of a veth as it is shown.
func (t *Telemetry) peer(key schema.EntryKey) string {
	e, _ := t.Snapshot().Get(key)
	if i, ok := e.(*state.Interface); ok && i.Veth != nil && i.Veth.Peer != nil {
		return *i.Veth.Peer
	}
	return ""
}

// look compares a link with what was seen of it before. What was there at the
// first look has been as it is since the agent started, as far as it knows.
func (r *linkReader) look(l object.LinkState, start, now time.Time) linkSeen {
	s := linkSeen{l.Index, operStatus(l), l.Stats.CarrierChanges, now}
	if r.seen == nil {
		s.changed = start
	} else if old, ok := r.seen[l.Name]; ok && old.index == s.index && old.status == s.status && old.carrierChanges == s.carrierChanges {
		s.changed = old.changed
	}
	return s
}

// refreshLinks reads the interfaces that a path covers.
func (t *Telemetry) refreshLinks(ctx context.Context, p schema.Path) error {
	if p.HasWildcard() || p.Entry() == "" {
		return t.betweenCommits(ctx, t.readLinks)
	}
	// The first level of the key is the interface.
	key := p.Entry()
	for parent, ok := key.Parent(); ok && parent != ""; parent, ok = key.Parent() {
		key = parent
	}
	return t.betweenCommits(ctx, func(ctx context.Context, w when) error {
		_, err := t.readLink(ctx, key.Values()[0], w)
		return err
	})
}

// publishLinks replaces what lies under prefix with these links. only is the one
// link that lies there, "" for all links.
func (t *Telemetry) publishLinks(prefix schema.EntryKey, links []link, only string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := newBatch(4 * len(links))
	there := make(map[string]string, len(links))
	for _, l := range links {
		t.addLink(b, l)
		there[l.Name] = l.Master
	}
	t.Snapshot().Scan(prefix, func(k schema.EntryKey, _ schema.GoStruct) bool {
		if !b.has(k) {
			b.add(k, nil)
		}
		return true
	})
	for _, name := range t.members.move(there, only) {
		for k := range t.members.entries[name] {
			if e, ok := get[*config.NetworkInstance_Interface](t.cfg, k); ok {
				b.add(k, t.memberEntry(k, e))
			}
		}
	}
	t.store.apply(b.updates)
}

// addLink adds the entries of one link: itself, subinterface 0, and the
// addresses. What the model cannot take as a name or address is left out. It
// needs t.mu.
func (t *Telemetry) addLink(b *batch, l link) {
	key, err := t.schema.Key("", t.nodes.interfaces, l.Name)
	if err != nil {
		return
	}
	e := interfaceEntry(l)
	t.describeInterface(key, e)
	b.add(key, e)
	sub, err := t.schema.Key(key, t.nodes.subinterfaces, "0")
	if err != nil {
		return
	}
	s := &state.Interface_Subinterface{Index: ptr(uint32(0)), Enabled: ptr(l.Up)}
	t.describeSubinterface(sub, s)
	b.add(sub, s)
	t.addNeighbours(b, sub)
	operational := e.OperStatus == state.Interface_OperStatus_UP
	// Linux takes one address with several prefix lengths, the model does not:
	// ours goes before others, the first before the rest.
	for _, ours := range []bool{true, false} {
		for _, a := range l.addresses {
			if a.Ours != ours {
				continue
			}
			list := t.nodes.ipv4Addresses
			if a.Prefix.Addr().Is6() {
				list = t.nodes.ipv6Addresses
			}
			if k, err := t.schema.Key(sub, list, a.Prefix.Addr().String()); err == nil && !b.has(k) {
				b.add(k, addressEntry(a, operational))
			}
		}
	}
}

// describeInterface sets what only the configuration knows. A software loopback
// is a dummy link to the kernel, which has one loopback device.
func (t *Telemetry) describeInterface(k schema.EntryKey, e *state.Interface) {
	c, _ := get[*config.Interface](t.cfg, k)
	e.Description = nil
	if c != nil {
		e.Description = c.Description
	}
	if e.Kind == nil || *e.Kind != "dummy" {
		return
	}
	e.Type = state.HeddleInterfaceTypes_INTERFACE_TYPE_DUMMY
	if c != nil && c.Type == config.HeddleInterfaceTypes_INTERFACE_TYPE_softwareLoopback {
		e.Type = state.HeddleInterfaceTypes_INTERFACE_TYPE_softwareLoopback
	}
}

func (t *Telemetry) describeSubinterface(k schema.EntryKey, e *state.Interface_Subinterface) {
	c, ok := get[*config.Interface_Subinterface](t.cfg, k)
	e.Description = nil
	if ok {
		e.Description = c.Description
	}
}

// addDescribed makes what only the configuration knows of an interface anew, if
// the kernel has it.
func (t *Telemetry) addDescribed(b *batch, k schema.EntryKey) {
	if list := t.schema.Node(k); list == t.nodes.ipv4Neighbours || list == t.nodes.ipv6Neighbours {
		b.add(k, t.neighbourEntry(k))
		return
	}
	switch before, _ := t.Snapshot().Get(k); e := before.(type) {
	case *state.Interface:
		after := *e
		t.describeInterface(k, &after)
		b.add(k, &after)
	case *state.Interface_Subinterface:
		after := *e
		t.describeSubinterface(k, &after)
		b.add(k, &after)
	}
}

// addNeighbours adds the configured neighbours of a subinterface. It needs t.mu.
func (t *Telemetry) addNeighbours(b *batch, sub schema.EntryKey) {
	if t.cfg == nil {
		return
	}
	for _, list := range []*schema.Node{t.nodes.ipv4Neighbours, t.nodes.ipv6Neighbours} {
		t.cfg.Scan(t.schema.ListPrefix(sub, list), func(k schema.EntryKey, _ schema.GoStruct) bool {
			if e := t.neighbourEntry(k); e != nil {
				b.add(k, e)
			}
			return true
		})
	}
}

// neighbourEntry is a configured neighbour as the kernel holds it; nil if it does
// not.
func (t *Telemetry) neighbourEntry(k schema.EntryKey) schema.GoStruct {
	addr, err := netip.ParseAddr(k.Values()[0])
	sub, _ := k.Parent()
	link, ok := sub.Parent()
	if _, configured := t.cfg.Get(k); err != nil || !ok || !configured {
		return nil
	}
	have, ok := t.actual.Have(object.Neighbour{Link: link.Values()[0], Addr: addr}.Key()).(object.Neighbour)
	if !ok {
		return nil
	}
	ip, mac := addr.String(), have.MAC.String()
	if addr.Is4() {
		return &state.Interface_Subinterface_Ipv4_Neighbor{Ip: &ip, LinkLayerAddress: &mac, Origin: state.HeddleIfIp_NeighborOrigin_STATIC}
	}
	return &state.Interface_Subinterface_Ipv6_Neighbor{Ip: &ip, LinkLayerAddress: &mac, Origin: state.HeddleIfIp_NeighborOrigin_STATIC}
}

func interfaceEntry(l link) *state.Interface {
	n := l.Stats
	e := &state.Interface{
		Name:        ptr(l.Name),
		Type:        interfaceType(l.LinkState),
		Enabled:     ptr(l.Up),
		Ifindex:     ptr(uint32(l.Index)),
		Managed:     ptr(l.Ours),
		AdminStatus: state.Interface_AdminStatus_DOWN,
		OperStatus:  operStatus(l.LinkState),
		Counters: &state.Interface_Counters{
			InOctets:    &n.RxOctets,
			InPkts:      &n.RxPackets,
			InErrors:    &n.RxErrors,
			InDiscards:  &n.RxDropped,
			OutOctets:   &n.TxOctets,
			OutPkts:     &n.TxPackets,
			OutErrors:   &n.TxErrors,
			OutDiscards: &n.TxDropped,
		},
	}
	if l.Up {
		e.AdminStatus = state.Interface_AdminStatus_UP
	}
	if l.Kind != "" {
		e.Kind = ptr(l.Kind)
	}
	if l.Peer != "" {
		e.Veth = &state.Interface_Veth{Peer: ptr(l.Peer)}
	}
	if l.VLAN.ID != 0 {
		e.Vlan = &state.Interface_Vlan{VlanId: ptr(l.VLAN.ID), Tpid: state.HeddleVlanTypes_TPID_TYPES_TPID_0X8100}
		if l.VLAN.Service {
			e.Vlan.Tpid = state.HeddleVlanTypes_TPID_TYPES_TPID_0X88A8
		}
		if l.Parent != "" {
			e.Vlan.ParentInterface = ptr(l.Parent)
		}
	}
	addTunnel(e, l.LinkState)
	if l.Bridge != "" {
		e.BridgePort = &state.Interface_BridgePort{Bridge: ptr(l.Bridge)}
	}
	// The loopback's MTU of 65536 is one more than the model's type holds.
	if l.MTU <= 65535 {
		e.Mtu = ptr(uint16(l.MTU))
	}
	if !l.changed.IsZero() {
		e.LastChange = ptr(uint64(l.changed.UnixNano()))
	}
	return e
}

// Hardware types of include/uapi/linux/if_arp.h.
const (
	arphrdEther    = 1
	arphrdLoopback = 772
)

func interfaceType(l object.LinkState) state.E_HeddleInterfaceTypes_INTERFACE_TYPE {
	switch {
	case l.Kind == "dummy":
		return state.HeddleInterfaceTypes_INTERFACE_TYPE_DUMMY
	case l.Kind == "veth":
		return state.HeddleInterfaceTypes_INTERFACE_TYPE_VETH
	case l.Kind == "gre", l.Kind == "ip6gre":
		return state.HeddleInterfaceTypes_INTERFACE_TYPE_tunnel
	case l.Kind == "gretap", l.Kind == "ip6gretap":
		return state.HeddleInterfaceTypes_INTERFACE_TYPE_GRETAP
	case l.Kind == "bridge":
		return state.HeddleInterfaceTypes_INTERFACE_TYPE_bridge
	case l.Kind == "vxlan":
		return state.HeddleInterfaceTypes_INTERFACE_TYPE_VXLAN
	case l.Kind == "vlan":
		return state.HeddleInterfaceTypes_INTERFACE_TYPE_l2vlan
	case l.Kind == "vrf":
		return state.HeddleInterfaceTypes_INTERFACE_TYPE_VRF
	case l.Kind == "" && l.Type == arphrdLoopback:
		return state.HeddleInterfaceTypes_INTERFACE_TYPE_softwareLoopback
	case l.Kind == "" && l.Type == arphrdEther:
		return state.HeddleInterfaceTypes_INTERFACE_TYPE_ethernetCsmacd
	}
	return state.HeddleInterfaceTypes_INTERFACE_TYPE_OTHER
}

// operStatus follows the kernel, except that it leaves software devices at
// unknown for good: they pass packets whenever they are up (RFC 2863 §3.1.12).
func operStatus(l object.LinkState) state.E_Interface_OperStatus {
	switch l.Oper {
	case object.OperUp:
		return state.Interface_OperStatus_UP
	case object.OperDown:
		return state.Interface_OperStatus_DOWN
	case object.OperNotPresent:
		return state.Interface_OperStatus_NOT_PRESENT
	case object.OperLowerLayerDown:
		return state.Interface_OperStatus_LOWER_LAYER_DOWN
	case object.OperTesting:
		return state.Interface_OperStatus_TESTING
	case object.OperDormant:
		return state.Interface_OperStatus_DORMANT
	}
	if l.Up {
		return state.Interface_OperStatus_UP
	}
	return state.Interface_OperStatus_DOWN
}

func addressEntry(a object.AddressState, operational bool) schema.GoStruct {
	ip, bits := a.Prefix.Addr().String(), uint8(a.Prefix.Bits())
	if a.Prefix.Addr().Is4() {
		return &state.Interface_Subinterface_Ipv4_Address{Ip: &ip, PrefixLength: &bits, Origin: addressOrigin(a)}
	}
	return &state.Interface_Subinterface_Ipv6_Address{
		Ip: &ip, PrefixLength: &bits, Origin: addressOrigin(a), Status: addressStatus(a, operational),
	}
}

// Who added an address, of include/uapi/linux/if_addr.h (Linux 5.18).
const (
	protoKernelRA = 2 // IFAPROT_KERNEL_RA
	protoKernelLL = 3 // IFAPROT_KERNEL_LL
)

func addressOrigin(a object.AddressState) state.E_HeddleIfIp_IpAddressOrigin {
	switch {
	case a.Ours:
		return state.HeddleIfIp_IpAddressOrigin_STATIC
	case a.Temporary:
		return state.HeddleIfIp_IpAddressOrigin_RANDOM
	case a.Proto == protoKernelLL, a.Proto == protoKernelRA:
		return state.HeddleIfIp_IpAddressOrigin_LINK_LAYER
	}
	return state.HeddleIfIp_IpAddressOrigin_OTHER
}

// addressStatus puts what keeps an address from being used before the rest.
func addressStatus(a object.AddressState, operational bool) state.E_Address_Status {
	switch {
	case a.DADFailed:
		return state.Address_Status_DUPLICATE
	case !operational:
		return state.Address_Status_INACCESSIBLE
	case a.Tentative && a.Optimistic:
		return state.Address_Status_OPTIMISTIC
	case a.Tentative:
		return state.Address_Status_TENTATIVE
	case a.Deprecated:
		return state.Address_Status_DEPRECATED
	}
	return state.Address_Status_PREFERRED
}

func ptr[T any](v T) *T { return &v }

func get[T schema.GoStruct](tree schema.Tree, k schema.EntryKey) (T, bool) {
	e, ok := tree.Get(k)
	t, is := e.(T)
	return t, ok && is
}
