package agent

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

var (
	sidHopLeaf  = regexp.MustCompile(`/sids/sid\[[^/]*\]/config/next-hop$`)
	addressLeaf = regexp.MustCompile(`^/interfaces/interface\[name=([^]]*)\]/.*/address\[ip=([^]]*)\]/config/prefix-length$`)
	memberLeaf  = regexp.MustCompile(`^/network-instances/network-instance\[name=([^]]*)\]/interfaces/interface\[[^]]*\]/config/interface$`)
	hopLeaf     = regexp.MustCompile(`^(/network-instances/network-instance\[name=DEFAULT\]/protocols/.*/static\[prefix=([^]]*)\]/next-hops/next-hop\[index=[^]]*\])/config/index$`)
)

// leavesBehind is the other rule that is about a change: the next hop of a SID that the
// configuration led to is still led to.
func leavesBehind(before, after leaves) bool {
	for leaf, value := range after {
		hop, err := netip.ParseAddr(strings.Trim(value, `"`))
		if !sidHopLeaf.MatchString(leaf) || err != nil || hop.IsLinkLocalUnicast() {
			continue
		}
		neighbour := strings.HasSuffix(strings.Trim(after[strings.TrimSuffix(leaf, "next-hop")+"behavior"], `"`), "END_X")
		if before.leadsTo(hop, neighbour) && !after.leadsTo(hop, neighbour) {
			return true
		}
	}
	return false
}

// leadsTo reports whether the configuration leads to an address from the default
// instance, by the longest prefix and of that by the lowest metric.
func (l leaves) leadsTo(hop netip.Addr, neighbour bool) bool {
	longest, lowest := -1, uint64(0)
	var leads, onLink bool
	way := func(p netip.Prefix, metric uint64, goes, direct bool) {
		switch {
		case !p.Masked().Contains(hop) || p.Bits() < longest || p.Bits() == longest && metric > lowest:
		case p.Bits() == longest && metric == lowest:
			leads, onLink = leads || goes, false
		default:
			longest, lowest, leads, onLink = p.Bits(), metric, goes, direct
		}
	}
	elsewhere := map[string]bool{}
	for leaf, value := range l {
		if m := memberLeaf.FindStringSubmatch(leaf); m != nil && m[1] != "DEFAULT" {
			elsewhere[strings.Trim(value, `"`)] = true
		}
	}
	subnets := map[netip.Prefix]bool{}
	for leaf, value := range l {
		if m := addressLeaf.FindStringSubmatch(leaf); m != nil && !elsewhere[m[1]] {
			if p, err := netip.ParsePrefix(m[2] + "/" + value); err == nil {
				subnets[p.Masked()] = true
			}
		}
		if m := hopLeaf.FindStringSubmatch(leaf); m != nil {
			p, metric, to := netip.MustParsePrefix(m[2]), l.metricOf(m[1]), l[m[1]+"/config/next-hop"]
			direct := l[m[1]+"/interface-ref/config/interface"] != "" && l[m[1]+"/srv6-encapsulation/config/segment-list"] == "" &&
				(to == "" || strings.Contains(to, "LOCAL_LINK"))
			way(p, metric, !strings.Contains(to, "DROP"), direct)
		}
	}
	for p := range subnets {
		way(p, 0, true, true)
	}
	return leads && (onLink || !neighbour)
}

// metricOf is the metric of a next hop in the kernel, after that of a subnet.
func (l leaves) metricOf(hop string) uint64 {
	number := func(leaf string, otherwise uint64) uint64 {
		if n, err := strconv.ParseUint(strings.Trim(l[hop+"/config/"+leaf], `"`), 10, 32); err == nil && n > 0 {
			return n
		}
		return otherwise
	}
	return (number("preference", 1)-1)<<24 + number("metric", 1024)
}
