package srv6

import (
	"fmt"
	"net/netip"

	"heddle/kernel/object"
	"heddle/translators"
)

// way is where packets for a proxy go.
type way struct {
	there []translators.NFPlace // NFs whose interfaces are there: routes lead to them
	hop   netip.Addr            // the NF that packets are sent to

	// wrong says why packets cannot be sent to any NF; it is empty if they can. down:
	// nothing else is to become of them either.
	wrong string
	down  bool
}

// choose says where packets for a SID go, with what the probes of its NF have found,
// and notes in around what the programs have to know of it.
func choose(v translators.View, s *translators.SID, around *object.Proxy) (w way) {
	nf := translators.NFOf(s.Proxy)
	probe, probed := translators.ProbeOf(s)
	if !probed {
		w.hop, w.there, w.wrong = nf.Hop, []translators.NFPlace{nf}, disabled(v, nf)
		w.down, around.In = w.wrong != "", nf.In
		return w
	}
	fact := v.NF(probe)
	wrong := missing(v, nf, fact.Gone)
	around.Mode, w.hop = fact.Mode, nf.Hop
	if around.Mode == object.ProxyToNF && wrong != "" {
		around.Mode = probe.WhenDown
	}
	echo := func(nf translators.NFPlace) netip.Addr {
		if probe.Kind == translators.ProbeICMP {
			return nf.Hop
		}
		return netip.Addr{}
	}
	if wrong == "" {
		w.there, around.In, around.Echo = append(w.there, nf), nf.In, echo(nf)
	}
	standby := "there is none"
	if probe.Standby.Out != "" {
		standby = missing(v, probe.Standby, fact.StandbyGone)
	}
	if standby == "" {
		w.there, around.Standby, around.StandbyEcho = append(w.there, probe.Standby), probe.Standby.In, echo(probe.Standby)
	}
	switch {
	case around.Mode == object.ProxyToStandby && standby == "":
		wrong, w.hop = "", probe.Standby.Hop
	case around.Mode == object.ProxyToStandby:
		around.Mode = object.ProxyDrop
	}
	w.wrong = wrong
	return w
}

// disabled says which interface of an NF is disabled, "" if none is.
func disabled(v translators.View, nf translators.NFPlace) string {
	for _, link := range []string{nf.Out, nf.In} {
		if down := v.InterfaceDown(link); down != "" {
			return down
		}
	}
	return ""
}

// missing says which interface of an NF cannot be used.
func missing(v translators.View, nf translators.NFPlace, gone bool) string {
	if down := disabled(v, nf); down != "" || !gone {
		return down
	}
	if nf.In == nf.Out {
		return fmt.Sprintf("interface %s of the NF %s is not there", nf.Out, nf.Hop)
	}
	return fmt.Sprintf("interface %s or %s of the NF %s is not there", nf.Out, nf.In, nf.Hop)
}
