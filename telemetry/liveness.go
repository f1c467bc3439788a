package telemetry

import (
	"time"

	"heddle/gen/config"
	"heddle/gen/state"
	"heddle/kernel/object"
)

// Reachability says whether an NF is there.
type Reachability uint8

// What can be known.
const (
	UnknownReachability Reachability = iota
	Reachable
	Unreachable
)

// NFState is what the probes of an NF have found.
type NFState struct {
	Reachability Reachability
	Standby      Reachability // of the standby NF, if there is one

	Since       time.Time // of Reachability; zero: since the agent started
	Transitions uint64    // between Reachable and Unreachable
	Reason      string    // why it was found Unreachable last
}

type proxyLiveness = state.NetworkInstance_SegmentRouting_Srv6_Sid_Proxy_Liveness

var (
	reachabilities = map[Reachability]state.E_HeddleSrProxy_Reachability{
		UnknownReachability: state.HeddleSrProxy_Reachability_UNKNOWN,
		Reachable:           state.HeddleSrProxy_Reachability_REACHABLE,
		Unreachable:         state.HeddleSrProxy_Reachability_UNREACHABLE,
	}
	active = map[object.ProxyMode]state.E_Liveness_Active{
		object.ProxyToNF:      state.Liveness_Active_PRIMARY,
		object.ProxyToStandby: state.Liveness_Active_STANDBY,
		object.ProxyBypass:    state.Liveness_Active_BYPASS,
		object.ProxyDrop:      state.Liveness_Active_DROP,
	}
	probes = map[config.E_Liveness_Probe]state.E_Liveness_Probe{
		config.Liveness_Probe_NONE:     state.Liveness_Probe_NONE,
		config.Liveness_Probe_LINK:     state.Liveness_Probe_LINK,
		config.Liveness_Probe_NEIGHBOR: state.Liveness_Probe_NEIGHBOR,
		config.Liveness_Probe_ICMP:     state.Liveness_Probe_ICMP,
	}
	whenDown = map[config.E_Liveness_WhenDown]state.E_Liveness_WhenDown{
		config.Liveness_WhenDown_DROP:    state.Liveness_WhenDown_DROP,
		config.Liveness_WhenDown_BYPASS:  state.Liveness_WhenDown_BYPASS,
		config.Liveness_WhenDown_STANDBY: state.Liveness_WhenDown_STANDBY,
	}
)

// livenessEntry shows how the NF of a proxy is, and what the kernel does about it; nil
// if it is not probed.
func (t *Telemetry) livenessEntry(p *object.Proxy, e *config.NetworkInstance_SegmentRouting_Srv6_Sid_Proxy) *proxyLiveness {
	if e == nil || e.Liveness == nil || e.Liveness.GetProbe() == config.Liveness_Probe_NONE {
		return nil
	}
	var n NFState // nothing is known as long as nobody has begun to probe
	if t.nf != nil {
		n = t.nf(p.SID)
	}
	l := e.Liveness
	interval, down, up := l.GetInterval(), l.GetDownMultiplier(), l.GetUpMultiplier()
	shown := &proxyLiveness{
		Probe: probes[l.GetProbe()], WhenDown: whenDown[l.GetWhenDown()], Interval: &interval, DownMultiplier: &down, UpMultiplier: &up,
		StandbyNextHop: l.StandbyNextHop, StandbyOutgoingInterface: l.StandbyOutgoingInterface, StandbyIncomingInterface: l.StandbyIncomingInterface,
		Active: active[p.Mode], Reachability: reachabilities[n.Reachability], Transitions: &n.Transitions,
	}
	if l.WhenDown == config.Liveness_WhenDown_STANDBY {
		shown.StandbyReachability = reachabilities[n.Standby]
	}
	if !n.Since.IsZero() {
		at := uint64(n.Since.UnixNano())
		shown.LastChange = &at
	}
	if n.Reason != "" {
		shown.LastReason = &n.Reason
	}
	return shown
}
