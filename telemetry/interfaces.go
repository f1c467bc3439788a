package telemetry

import (
	"context"
	"fmt"

	"heddle/gen/state"
	"heddle/kernel/object"
	"heddle/schema"
)

// readLinks replaces all interfaces with what the kernel has.
func (t *Telemetry) readLinks(ctx context.Context) error {
	links, addresses, err := t.kernel.Links(ctx)
	if err != nil {
		return fmt.Errorf("read links: %w", err)
	}
	byLink := map[string][]object.AddressState{}
	for _, a := range addresses {
		byLink[a.Link] = append(byLink[a.Link], a)
	}
	var updates []update
	for _, l := range links {
		updates = append(updates, t.interfaceEntries(l, byLink[l.Name])...)
	}
	t.replace(t.schema.ListPrefix("", t.nodes.interfaces), updates)
	return nil
}

// readLink replaces one interface with what the kernel has.
func (t *Telemetry) readLink(ctx context.Context, name string) error {
	key, err := t.schema.Key("", t.nodes.interfaces, name)
	if err != nil {
		return nil // no name that a link could have: an event without one
	}
	link, addresses, ok, err := t.kernel.Link(ctx, name)
	if err != nil {
		return fmt.Errorf("read link %s: %w", name, err)
	}
	var updates []update
	if ok {
		updates = t.interfaceEntries(link, addresses)
	}
	t.replace(key, updates)
	return nil
}

// refreshLinks reads the interfaces that a path covers.
func (t *Telemetry) refreshLinks(ctx context.Context, p schema.Path) error {
	if p.HasWildcard() || p.Entry() == "" {
		return t.readLinks(ctx)
	}
	return t.readLink(ctx, p.Entry().Values()[0])
}

// replace publishes updates and takes away what else lies under prefix.
func (t *Telemetry) replace(prefix schema.EntryKey, updates []update) {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	there := make(map[schema.EntryKey]bool, len(updates))
	for _, u := range updates {
		there[u.key] = true
	}
	t.store.cur.Load().Scan(prefix, func(k schema.EntryKey, _ schema.GoStruct) bool {
		if !there[k] {
			updates = append(updates, update{key: k})
		}
		return true
	})
	t.store.applyLocked(updates)
}

// interfaceEntries are the entries of one link: itself, subinterface 0, and the
// addresses. An address whose text the model cannot take is left out.
func (t *Telemetry) interfaceEntries(l object.LinkState, addresses []object.AddressState) []update {
	key, err := t.schema.Key("", t.nodes.interfaces, l.Name)
	if err != nil {
		return nil
	}
	updates := []update{{key, interfaceEntry(l)}}
	sub, err := t.schema.Key(key, t.nodes.subinterfaces, "0")
	if err != nil {
		return updates
	}
	enabled := l.Up
	updates = append(updates, update{sub, &state.Interface_Subinterface{Index: ptr(uint32(0)), Enabled: &enabled}})
	for _, a := range addresses {
		list := t.nodes.ipv4Addresses
		if a.Prefix.Addr().Is6() {
			list = t.nodes.ipv6Addresses
		}
		if k, err := t.schema.Key(sub, list, a.Prefix.Addr().String()); err == nil {
			updates = append(updates, update{k, addressEntry(a)})
		}
	}
	return updates
}

func interfaceEntry(l object.LinkState) *state.Interface {
	e := &state.Interface{
		Name:        &l.Name,
		Type:        interfaceType(l),
		Enabled:     &l.Up,
		Ifindex:     ptr(uint32(l.Index)),
		Managed:     &l.Ours,
		AdminStatus: state.Interface_AdminStatus_DOWN,
		OperStatus:  operStatus(l),
		Counters: &state.Interface_Counters{
			InOctets:    ptr(l.Stats.RxOctets),
			InPkts:      ptr(l.Stats.RxPackets),
			InErrors:    ptr(l.Stats.RxErrors),
			InDiscards:  ptr(l.Stats.RxDropped),
			OutOctets:   ptr(l.Stats.TxOctets),
			OutPkts:     ptr(l.Stats.TxPackets),
			OutErrors:   ptr(l.Stats.TxErrors),
			OutDiscards: ptr(l.Stats.TxDropped),
		},
	}
	if l.Up {
		e.AdminStatus = state.Interface_AdminStatus_UP
	}
	if l.Kind != "" {
		e.Kind = &l.Kind
	}
	// The loopback's MTU of 65536 is one more than the model's type holds.
	if l.MTU <= 65535 {
		e.Mtu = ptr(uint16(l.MTU))
	}
	if !l.Changed.IsZero() {
		e.LastChange = ptr(uint64(l.Changed.UnixNano()))
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

func addressEntry(a object.AddressState) schema.GoStruct {
	ip, bits := a.Prefix.Addr().String(), uint8(a.Prefix.Bits())
	if a.Prefix.Addr().Is4() {
		return &state.Interface_Subinterface_Ipv4_Address{Ip: &ip, PrefixLength: &bits, Origin: addressOrigin(a)}
	}
	return &state.Interface_Subinterface_Ipv6_Address{Ip: &ip, PrefixLength: &bits, Origin: addressOrigin(a)}
}

func addressOrigin(a object.AddressState) state.E_HeddleIfIp_IpAddressOrigin {
	const scopeLink = 253
	switch {
	case a.Ours:
		return state.HeddleIfIp_IpAddressOrigin_STATIC
	case a.Prefix.Addr().Is6() && a.Scope == scopeLink:
		return state.HeddleIfIp_IpAddressOrigin_LINK_LAYER
	}
	return state.HeddleIfIp_IpAddressOrigin_OTHER
}

func ptr[T any](v T) *T { return &v }
