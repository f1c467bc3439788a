package telemetry

import (
	"net/netip"
	"strings"

	"heddle/gen/state"
	"heddle/kernel/object"
)

// addTunnel shows what a GRE tunnel or a VXLAN puts around packets.
func addTunnel(e *state.Interface, l object.LinkState) {
	t := l.Tunnel
	if t == (object.Tunnel{}) {
		return
	}
	if l.Kind != string(object.LinkVXLAN) {
		e.Tunnel = &state.Interface_Tunnel{Src: addrText(t.Local), Dst: addrText(t.Remote), Ttl: &t.TTL}
		if t.Keyed {
			e.Tunnel.GreKey = &t.Key
		}
		if !strings.HasPrefix(l.Kind, "ip6") {
			e.Tunnel.PathMtuDiscovery = ptr(!t.Fragment)
		}
		return
	}
	e.Vxlan = &state.Interface_Vxlan{Vni: &t.VNI, Src: addrText(t.Local), Dst: addrText(t.Remote),
		DestinationPort: &t.Port, Ttl: &t.TTL, Learning: &t.Learn}
	if l.Parent != "" {
		e.Vxlan.ParentInterface = ptr(l.Parent)
	}
}

func addrText(a netip.Addr) *string {
	if !a.IsValid() {
		return nil
	}
	return ptr(a.String())
}
