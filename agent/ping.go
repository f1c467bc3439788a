package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"heddle/agent/operation"
	"heddle/kernel/object"
	"heddle/kernel/sidprobe"
	"heddle/translators"
)

// Limits of a ping.
const (
	mostSegments = 64
	mostProbes   = 1000
	longestPing  = time.Minute
)

// Ping sends probes through segments. What keeps it from being tried is an
// *operation.InvalidError, *operation.NotFoundError or *operation.UnableError, and
// never a loss; where a beginning of the list cannot be tried, its hop says why.
func (a *Agent) Ping(ctx context.Context, req operation.PingRequest) (operation.PingAnswer, error) {
	var answer operation.PingAnswer
	req.Count, req.Interval, req.Wait = cmp.Or(req.Count, 5), cmp.Or(req.Interval, 200*time.Millisecond), cmp.Or(req.Wait, time.Second)
	if err := checkPing(req); err != nil {
		return answer, err
	}
	p, err := a.probe(ctx, &req)
	if err != nil {
		return answer, unable(err)
	}
	if answer.Source = p.Source; p.Inner.IsValid() && p.Inner != p.Source {
		answer.Home = p.Inner
	}
	first := len(req.Segments)
	if req.Each {
		first = 1
	}
	for n := first; n <= len(req.Segments); n++ {
		hop, err := a.pingHop(ctx, p, n)
		if err != nil {
			return answer, err
		}
		if hop.Unable != "" && !req.Each {
			return answer, &operation.UnableError{Reason: hop.Unable, Remedy: hop.Hint}
		}
		answer.Hops = append(answer.Hops, hop)
	}
	return answer, nil
}

func checkPing(req operation.PingRequest) error {
	hops := 1
	if req.Each {
		hops = len(req.Segments)
	}
	switch n := len(req.Segments); {
	case n == 0:
		return &operation.InvalidError{What: "no segments: name at least one SID"}
	case n > mostSegments:
		return &operation.InvalidError{What: fmt.Sprintf("%d segments: name %d at most", n, mostSegments)}
	case req.Count < 0 || req.Count > mostProbes:
		return &operation.InvalidError{What: fmt.Sprintf("count %d: use 1 to %d", req.Count, mostProbes)}
	case req.Interval < time.Millisecond || req.Wait < time.Millisecond:
		return &operation.InvalidError{What: "interval and wait: use a millisecond or more"}
	case req.Interval > longestPing || req.Wait > longestPing ||
		time.Duration(hops)*(time.Duration(req.Count)*req.Interval+req.Wait) > longestPing:
		return &operation.InvalidError{What: fmt.Sprintf("it would take more than %s: use fewer probes, a shorter interval or a shorter wait", longestPing)}
	}
	for _, s := range req.Segments {
		if !s.Is6() || s.Is4In6() || s.Zone() != "" || s.IsMulticast() || s.IsUnspecified() || s.IsLoopback() || s.IsLinkLocalUnicast() {
			return &operation.InvalidError{What: fmt.Sprintf("segment %s: it is no IPv6 address that a SID can have", s)}
		}
	}
	return nil
}

// probe is the ping of the whole list. It fills in the instance that is known.
func (a *Agent) probe(ctx context.Context, req *operation.PingRequest) (sidprobe.Probe, error) {
	p := sidprobe.Probe{Segments: req.Segments, Count: req.Count, Interval: req.Interval, Wait: req.Wait}
	links, addresses, err := a.view.Links(ctx)
	if err != nil {
		return p, err
	}
	for _, own := range addresses {
		if slices.Contains(req.Segments, own.Prefix.Addr()) {
			return p, &operation.UnableError{Reason: fmt.Sprintf("%s is an address of this node, on %s", own.Prefix.Addr(), own.Link), Remedy: "name SIDs"}
		}
	}
	first, err := a.ownSID(ctx, req.Segments[0])
	if err != nil {
		return p, err
	}
	if first != nil {
		return p, &operation.UnableError{Reason: fmt.Sprintf("%s is a SID of this node, which Linux applies to packets that come in only, not to its own", req.Segments[0]),
			Remedy: "ping it from another node, or by way of a SID of another node in front of it"}
	}
	last, err := a.ownSID(ctx, req.Segments[len(req.Segments)-1])
	if err != nil {
		return p, err
	}
	family := 0
	if last != nil {
		if family, err = takenOut(last, req); err != nil {
			return p, err
		}
	}
	main := req.Source
	if req.Instance != "" {
		if p.Inner, err = a.inner(req, family, links, addresses); err != nil {
			return p, err
		}
		p.InnerSource = innerSource(p.Inner, addresses)
		if req.Instance != translators.DefaultInstance {
			p.Device, main = req.Instance, netip.Addr{}
		} else if main.Is4() {
			main = netip.Addr{}
		}
	}
	p.Source, err = a.source(main, req.Segments[0], addresses)
	if p.Inner.IsValid() || req.Instance == "" {
		return p, err
	}
	p.Inner = p.Source
	return p, err
}

// ownSID is the SID of this node that takes packets to an address, nil for none: the
// address may be a list of compressed SIDs, of which it is the first.
func (a *Agent) ownSID(ctx context.Context, at netip.Addr) (*object.LocalSID, error) {
	if s, ok := a.applier.Have(object.LocalSIDKey(at)).(*object.LocalSID); ok {
		return s, nil
	}
	held, _, _, err := a.slots.RouteTo(ctx, at)
	s, _ := held.(*object.LocalSID)
	return s, err
}

// takenOut is the family, 4 or 6, of the packets that the last segment, a SID of this
// node, takes out of others; 0: either.
func takenOut(last *object.LocalSID, req *operation.PingRequest) (family int, err error) {
	instance := cmp.Or(last.VRF, translators.DefaultInstance)
	switch b := last.Behavior; {
	case b == object.EndDT6 && last.VRF == "":
		return 0, &operation.UnableError{Reason: fmt.Sprintf("%s of this node looks packets up in table %d, in which this node's own addresses are not", last.SID, last.VRFTable),
			Remedy: "ping it from another node"}
	case b == object.EndDT4:
		family = 4
	case b == object.EndDT6:
		family = 6
	case b == object.EndDT46:
	default:
		return 0, &operation.UnableError{Reason: fmt.Sprintf("%s is %s of this node: the next segment would be this node's own address, which Linux drops there (seg6_lookup_any_nexthop)", last.SID, last.Behavior),
			Remedy: "put a SID of another node behind it"}
	}
	if req.Instance != "" && req.Instance != instance {
		return 0, &operation.InvalidError{What: fmt.Sprintf("instance %s: %s of this node is for %s", req.Instance, last.SID, instance)}
	}
	req.Instance = instance
	return family, nil
}

// inner is the address of an instance that probes come back to. None is needed yet
// for the default instance, where the source of the probes will do.
func (a *Agent) inner(req *operation.PingRequest, family int, links []object.LinkState, addresses []object.AddressState) (netip.Addr, error) {
	if req.Instance == translators.DefaultInstance {
		if req.Source.Is4() {
			return req.Source, nil
		}
		return netip.Addr{}, nil
	}
	in := map[string]bool{}
	for _, l := range links {
		if l.Name == req.Instance && l.Kind == string(object.LinkVRF) || l.Master == req.Instance {
			in[l.Name] = true
		}
	}
	if !in[req.Instance] {
		return netip.Addr{}, &operation.NotFoundError{What: fmt.Sprintf("network instance %s has no VRF in the kernel", req.Instance)}
	}
	var found netip.Addr
	for _, own := range addresses {
		at := own.Prefix.Addr()
		if !in[own.Link] || !usable(own) || family == 4 && !at.Is4() || family == 6 && !at.Is6() {
			continue
		}
		if at == req.Source {
			return at, nil
		}
		if !found.IsValid() || at.Is4() && found.Is6() {
			found = at
		}
	}
	what := map[int]string{4: "IPv4 ", 6: "IPv6 "}[family]
	switch {
	case req.Source.IsValid():
		return found, &operation.InvalidError{What: fmt.Sprintf("source %s is no %saddress of network instance %s that is in use", req.Source, what, req.Instance)}
	case !found.IsValid():
		return found, &operation.UnableError{Reason: fmt.Sprintf("network instance %s has no %saddress that a probe could come back to", req.Instance, what), Remedy: "configure one on an interface of it"}
	}
	return found, nil
}

// innerSource is who an IPv4 packet to home is from: the lowest address of its
// subnet, which is nobody's, for which the far end has the same way back as for home
// (rp_filter), and which Linux takes for unicast since 5.14. Without one it is home
// itself.
func innerSource(home netip.Addr, addresses []object.AddressState) netip.Addr {
	for _, own := range addresses {
		if own.Prefix.Addr() != home || !home.Is4() || own.Prefix.Bits() > 30 {
			continue
		}
		if lowest := own.Prefix.Masked().Addr(); lowest != home {
			return lowest
		}
	}
	return netip.Addr{}
}

func usable(a object.AddressState) bool {
	return !a.Tentative && !a.DADFailed && !a.Prefix.Addr().IsLinkLocalUnicast() && !a.Prefix.Addr().IsLoopback()
}

// source is where probes are sent from: what was asked for, the source of SRv6
// encapsulation, or what the kernel chooses.
func (a *Agent) source(want, first netip.Addr, addresses []object.AddressState) (netip.Addr, error) {
	if want.IsValid() {
		if !want.Is6() || want.Is4In6() {
			return want, &operation.InvalidError{What: fmt.Sprintf("source %s is not an IPv6 address", want)}
		}
		return want, nil
	}
	if t, ok := a.applier.Have(object.TunnelSourceKey()).(object.TunnelSource); ok {
		for _, own := range addresses {
			if own.Prefix.Addr() == t.Source && usable(own) {
				return t.Source, nil
			}
		}
	}
	src, err := a.prober.SourceFor(first)
	if err == nil && (src.IsLinkLocalUnicast() || src.IsUnspecified()) {
		err = &operation.UnableError{Reason: "this node has no IPv6 address that a probe could come back to", Remedy: "configure one, or name a source"}
	}
	return src, err
}

// pingHop tries the first n segments.
func (a *Agent) pingHop(ctx context.Context, p sidprobe.Probe, n int) (operation.PingHop, error) {
	hop := operation.PingHop{Segment: p.Segments[n-1]}
	if n < len(p.Segments) {
		own, err := a.ownSID(ctx, hop.Segment)
		if err != nil {
			return hop, err
		}
		if own != nil {
			hop.Unable, hop.Hint = fmt.Sprintf("a probe cannot turn round at %s, %s of this node itself", own.SID, own.Behavior), "look at the hops behind it"
			return hop, nil
		}
		p.Inner, p.InnerSource, p.Device = netip.Addr{}, netip.Addr{}, ""
	}
	p.Segments = p.Segments[:n]
	res, err := a.prober.Run(ctx, p)
	if e, ok := errors.AsType[*sidprobe.UnableError](err); ok {
		hop.Unable, hop.Hint = e.Reason, e.Remedy
		return hop, nil
	}
	if err != nil {
		return hop, err
	}
	hop.Sent, hop.Received = res.Sent, len(res.RoundTrips)
	if hop.Received == 0 {
		hop.Hint = silence(p)
		return hop, nil
	}
	var sum time.Duration
	for _, d := range res.RoundTrips {
		sum += d
	}
	hop.Min, hop.Max, hop.Avg = slices.Min(res.RoundTrips), slices.Max(res.RoundTrips), sum/time.Duration(hop.Received)
	return hop, nil
}

// silence is what may have kept all probes, besides a loss.
func silence(p sidprobe.Probe) string {
	last := p.Segments[len(p.Segments)-1]
	if p.Inner.IsValid() {
		return fmt.Sprintf("where %s takes packets out there has to be a way to %s, and one from there for what is sent to it", last, p.Inner)
	}
	return fmt.Sprintf("%s has to lead to %s; if %s takes packets out of others (End.DT, End.DX), name the instance that they come back to", last, p.Source, last)
}

// unable gives an error of the prober the agent's words.
func unable(err error) error {
	if e, ok := errors.AsType[*sidprobe.UnableError](err); ok {
		return &operation.UnableError{Reason: e.Reason, Remedy: e.Remedy}
	}
	return err
}
