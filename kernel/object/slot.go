package object

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Slot is a place in a routing table, which one route or SID takes: those with
// the same slot replace each other.
type Slot struct {
	Table  uint32
	Prefix netip.Prefix // masked
	Metric uint32       // as the kernel stores it: for IPv6 never 0
}

// SlotOf is the slot of a *Route or *LocalSID, the zero Slot of anything else.
func SlotOf(o Object) Slot {
	switch o := o.(type) {
	case *Route:
		return Slot{o.Table, o.Prefix, kernelMetric(o.Prefix, o.Metric)}
	case *LocalSID:
		return sidSlot(o.Table, o.Prefix())
	}
	return Slot{}
}

func sidSlot(table uint32, prefix netip.Prefix) Slot { return Slot{table, prefix, defaultMetricIPv6} }

// defaultMetricIPv6 is what the kernel makes of metric 0 (IP6_RT_PRIO_USER).
const defaultMetricIPv6 = 1024

// kernelMetric is the metric as the kernel stores it.
func kernelMetric(p netip.Prefix, metric uint32) uint32 {
	if metric == 0 && p.Addr().Is6() {
		return defaultMetricIPv6
	}
	return metric
}

// The identities of routes and SIDs are made and compared by the hundred thousand,
// so they are not text: the table, the address, the length of the prefix and the
// metric, numbers with the high octet first, so that their order is the numeric
// one. IPv4 comes before IPv6.
const (
	slotTable   = 4
	slotSuffix  = 1 + 4
	slotFamily4 = 4
	slotFamily6 = 6
)

// id is the identity of what is in the slot.
func (s Slot) id() string {
	var buf [slotTable + 1 + 16 + slotSuffix]byte
	b := binary.BigEndian.AppendUint32(buf[:0], s.Table)
	if a := s.Prefix.Addr(); a.Is4() {
		v := a.As4()
		b = append(append(b, slotFamily4), v[:]...)
	} else {
		v := a.As16()
		b = append(append(b, slotFamily6), v[:]...)
	}
	b = append(b, uint8(s.Prefix.Bits()))
	return string(binary.BigEndian.AppendUint32(b, s.Metric))
}

// SlotOfKey is the slot of the route or SID with the key k; false for other keys.
func SlotOfKey(k Key) (Slot, bool) {
	if k.Kind != KindRoute && k.Kind != KindLocalSID {
		return Slot{}, false
	}
	b := []byte(k.ID)
	size := len(b) - slotTable - 1 - slotSuffix // of the address
	if size != 4 && size != 16 {
		return Slot{}, false
	}
	rest := b[slotTable+1:]
	a, _ := netip.AddrFromSlice(rest[:size])
	return Slot{
		Table:  binary.BigEndian.Uint32(b),
		Prefix: netip.PrefixFrom(a, int(rest[size])),
		Metric: binary.BigEndian.Uint32(rest[size+1:]),
	}, true
}

// text is the identity of a key for people.
func (s Slot) text(kind Kind) string {
	if kind == KindRoute {
		return fmt.Sprintf("%d/%s/%d", s.Table, s.Prefix, s.Metric)
	}
	sid := s.Prefix.Addr().String()
	if !s.Prefix.IsSingleIP() {
		sid = s.Prefix.String()
	}
	if s.Table == TableMain {
		return sid
	}
	return fmt.Sprintf("%s/table/%d", sid, s.Table)
}
