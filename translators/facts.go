package translators

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
)

// LinkFact is what a link is good for at the moment.
type LinkFact uint8

// The facts about links.
const (
	// LinkUp carries packets.
	LinkUp LinkFact = iota
	// LinkDead is there and carries none. The kernel keeps the routes by it.
	LinkDead
	// LinkAbsent is not there or set down: there are no routes by it.
	LinkAbsent
)

func (f LinkFact) String() string {
	return [...]string{"is up", "carries no packets", "is not there or is down"}[f]
}

// Source tells how the kernel is, as far as translation depends on it. It is asked
// under a lock of the engine's, for as little as the first segments of policies need.
type Source interface {
	// Link is how a link is.
	Link(name string) LinkFact

	// Reaches reports whether a route that is not ours leads to an address.
	Reaches(a netip.Addr) bool

	// NF is what the probes of an NF have found so far.
	NF(p NFProbe) NFFact

	// Follow has these NFs probed, and no others.
	Follow(all []NFProbe)
}

// facts are what translation has seen of the kernel. They stay as they are until the
// engine's Refresh, so that an entry that is translated again gives the same objects.
// Nil facts are those of a kernel where all links are up and everything is reached.
//
// A link that nobody has asked about before is taken to be up: the commit that asks may
// be the one that makes it. Refresh finds out.
type facts struct {
	source Source

	mu      sync.Mutex // guards the rest
	links   map[string]*linkFact
	reached map[netip.Addr]bool
	nfs     map[NFProbe]NFFact
	unsure  bool // something has been asked for the first time
}

// linkFact is how a link is, and the first segments whose way out has been looked for
// there.
type linkFact struct {
	fact  LinkFact
	asked map[netip.Addr]struct{}
}

func newFacts(s Source) *facts {
	return &facts{source: s, links: map[string]*linkFact{}, reached: map[netip.Addr]bool{}, nfs: map[NFProbe]NFFact{}}
}

// link is how a link is that the way to a first segment may leave by.
func (f *facts) link(name string, segment netip.Addr) LinkFact {
	if f == nil {
		return LinkUp
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.links[name]
	if l == nil {
		l = &linkFact{asked: map[netip.Addr]struct{}{}}
		f.links[name], f.unsure = l, true
	}
	l.asked[segment] = struct{}{}
	return l.fact
}

// reaches reports whether a route that is not ours leads to a first segment.
func (f *facts) reaches(segment netip.Addr) bool {
	if f == nil {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	known, ok := f.reached[segment]
	if !ok {
		known = f.source.Reaches(segment)
		f.reached[segment], f.unsure = known, true
	}
	return known
}

// nf is what the probes of an NF have found.
func (f *facts) nf(p NFProbe) NFFact {
	if f == nil {
		return NFFact{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	known, ok := f.nfs[p]
	if !ok {
		known = f.source.NF(p)
		f.nfs[p], f.unsure = known, true
	}
	return known
}

// none reports whether nothing was asked.
func (f *facts) none() bool {
	if f == nil {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.links) == 0 && len(f.reached) == 0 && len(f.nfs) == 0
}

// isUnsure reports whether something has been asked for the first time since the last
// renewal: by a commit that may itself change the answer.
func (f *facts) isUnsure() bool {
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unsure
}

// renewed asks again what was asked so far for segments and NFs that are in use, and
// returns the segments, and the SIDs of NFs, for which an answer has changed.
func (f *facts) renewed(inUse func(netip.Addr) bool, probed func(NFProbe) bool) (next *facts, changed, sids []netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unsure = false
	next = newFacts(f.source)
	differ := map[netip.Addr]struct{}{}
	for name, was := range f.links {
		is := &linkFact{asked: maps.Clone(was.asked)}
		maps.DeleteFunc(is.asked, func(a netip.Addr, _ struct{}) bool { return !inUse(a) })
		if len(is.asked) == 0 {
			continue
		}
		next.links[name] = is
		if is.fact = f.source.Link(name); is.fact != was.fact {
			maps.Copy(differ, is.asked)
		}
	}
	for a, was := range f.reached {
		if !inUse(a) {
			continue
		}
		if next.reached[a] = f.source.Reaches(a); next.reached[a] != was {
			differ[a] = struct{}{}
		}
	}
	return next, slices.SortedFunc(maps.Keys(differ), netip.Addr.Compare), f.renewNFs(next, probed)
}

// renewNFs is renewed for NFs. It needs f.mu.
func (f *facts) renewNFs(next *facts, probed func(NFProbe) bool) (sids []netip.Addr) {
	if len(f.nfs) == 0 {
		return nil
	}
	all := make([]NFProbe, 0, len(f.nfs))
	for p := range f.nfs {
		if probed(p) {
			all = append(all, p)
		}
	}
	f.source.Follow(all)
	for _, p := range all {
		if next.nfs[p] = f.source.NF(p); next.nfs[p] != f.nfs[p] {
			sids = append(sids, p.SID)
		}
	}
	return sids
}
