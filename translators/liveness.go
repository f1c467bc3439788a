package translators

import (
	"net/netip"

	"heddle/gen/config"
	"heddle/kernel/object"
	"heddle/schema"
)

// ProbeKind is how an NF is probed.
type ProbeKind = config.E_Liveness_Probe

// What is used where nothing is configured (heddle-sr-proxy.yang).
const (
	usualInterval   = 1000 // milliseconds
	usualMultiplier = 3
)

// NFPlace is where an NF is; without a next hop there is none.
type NFPlace struct {
	Hop     netip.Addr
	Out, In string // interfaces: to it, and on which it gives packets back
}

// NFProbe is how the NF of a SID is probed, and what is to become of packets while it
// is down. It is comparable.
type NFProbe struct {
	SID         netip.Addr
	Kind        ProbeKind
	Interval    uint32 // milliseconds
	Down, Up    uint8  // probes in a row that tell
	WhenDown    object.ProxyMode
	NF, Standby NFPlace
}

// NFFact is what probes have found. The zero NFFact is that of an NF that is there.
type NFFact struct {
	Mode object.ProxyMode

	// Gone, StandbyGone: an interface of the NF, or of the standby NF, is not there.
	Gone, StandbyGone bool
}

// NFOf is where the NF of a proxy is.
func NFOf(p *Proxy) NFPlace {
	return NFPlace{Hop: Addr(p.NextHop), Out: Str(p.OutgoingInterface), In: ProxyIn(p)}
}

// StandbyOf is where its standby NF is.
func StandbyOf(p *Proxy) (n NFPlace) {
	l := p.Liveness
	if l == nil || l.WhenDown != DownStandby || l.StandbyOutgoingInterface == nil {
		return n
	}
	n = NFPlace{Hop: Addr(l.StandbyNextHop), Out: *l.StandbyOutgoingInterface, In: *l.StandbyOutgoingInterface}
	if l.StandbyIncomingInterface != nil {
		n.In = *l.StandbyIncomingInterface
	}
	return n
}

// ProbeOf is how the NF of a SID is probed; false: it is not.
func ProbeOf(s *SID) (n NFProbe, ok bool) {
	if s.Proxy == nil || s.Proxy.Liveness == nil {
		return n, false
	}
	l := s.Proxy.Liveness
	if l.Probe == ProbeUnset || l.Probe == ProbeNone {
		return n, false
	}
	n = NFProbe{SID: Addr(s.Address), Kind: l.Probe, Interval: usualInterval, Down: usualMultiplier, Up: usualMultiplier,
		WhenDown: object.ProxyDrop, NF: NFOf(s.Proxy), Standby: StandbyOf(s.Proxy)}
	if l.Interval != nil {
		n.Interval = *l.Interval
	}
	if l.DownMultiplier != nil {
		n.Down = *l.DownMultiplier
	}
	if l.UpMultiplier != nil {
		n.Up = *l.UpMultiplier
	}
	switch l.WhenDown {
	case DownBypass:
		n.WhenDown = object.ProxyBypass
	case DownStandby:
		n.WhenDown = object.ProxyToStandby
	}
	return n, true
}

// NF is what the probes of an NF have found.
func (v View) NF(p NFProbe) NFFact { return v.facts.nf(p) }

// probeAt is how the NF of a SID is probed in a configuration; false: it is not.
func (v View) probeAt(sid netip.Addr) (n NFProbe, k schema.EntryKey, ok bool) {
	k, err := v.Key(v.defaultKey, v.Model.SID, sid.String())
	if err != nil {
		return n, k, false
	}
	if s, is := get[*SID](v, k); is {
		n, ok = ProbeOf(s)
	}
	return n, k, ok
}
