package rtnl

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
)

// sidLayouts read the counters of SIDs out of RTM_NEWROUTE messages. The kernel
// writes those of a hundred thousand SIDs alike: one is taken apart, and others
// that are as long and have the same attributes in the same places are read there.
type sidLayouts struct {
	known [16]sidLayout
	next  int // the one to give up for another
}

// sidLayout is where things are in a message.
type sidLayout struct {
	size  int        // of the message; 0: this is no layout yet
	heads []attrHead // of all attributes, nested ones too
	sid   bool       // it is that of a SID that counts

	// Offsets of values.
	dst, table, metric, encapType int
	packets, octets, errors       int
}

// attrHead is the length and type of an attribute, and where they are.
type attrHead struct {
	at   int
	head uint32
}

// read reads what an RTM_NEWROUTE says of one of our SIDs in a table; ok is false
// when it is of something else.
func (ls *sidLayouts) read(b []byte, table uint32) (r object.SIDReading, ok bool) {
	if len(b) < unix.SizeofRtMsg || b[0] != unix.AF_INET6 || b[5] != Protocol {
		return r, false
	}
	l := ls.of(b)
	if !l.sid || native.Uint32(b[8:])&unix.RTM_F_CLONED != 0 || native.Uint32(b[l.table:]) != table ||
		native.Uint32(b[l.metric:]) != defaultMetricIPv6 || native.Uint16(b[l.encapType:]) != encapSeg6Local {
		return r, false
	}
	r.SID = netip.AddrFrom16([16]byte(b[l.dst:]))
	r.Packets, r.Octets, r.Errors = native.Uint64(b[l.packets:]), native.Uint64(b[l.octets:]), native.Uint64(b[l.errors:])
	return r, true
}

// of returns the layout of b.
func (ls *sidLayouts) of(b []byte) *sidLayout {
	for i := range ls.known {
		if ls.known[i].fits(b) {
			return &ls.known[i]
		}
	}
	l := &ls.known[ls.next]
	ls.next = (ls.next + 1) % len(ls.known)
	l.learn(b)
	return l
}

// fits reports whether b has this layout.
func (l *sidLayout) fits(b []byte) bool {
	if len(b) != l.size {
		return false
	}
	for _, h := range l.heads {
		if native.Uint32(b[h.at:]) != h.head {
			return false
		}
	}
	return true
}

// learn takes b apart.
func (l *sidLayout) learn(b []byte) {
	*l = sidLayout{size: len(b), heads: l.heads[:0]}
	var encap, counters section
	l.walk(b, section{unix.SizeofRtMsg, len(b)}, func(typ uint16, at section) {
		switch {
		case typ == unix.RTA_DST && at.size() == 16:
			l.dst = at.from
		case typ == unix.RTA_TABLE && at.size() == 4:
			l.table = at.from
		case typ == unix.RTA_PRIORITY && at.size() == 4:
			l.metric = at.from
		case typ == unix.RTA_ENCAP_TYPE && at.size() == 2:
			l.encapType = at.from
		case typ == unix.RTA_ENCAP:
			encap = at
		}
	})
	l.walk(b, encap, func(typ uint16, at section) {
		if typ == seg6LocalCounters {
			counters = at
		}
	})
	l.walk(b, counters, func(typ uint16, at section) {
		switch {
		case at.size() != 8:
		case typ == seg6CntPackets:
			l.packets = at.from
		case typ == seg6CntBytes:
			l.octets = at.from
		case typ == seg6CntErrors:
			l.errors = at.from
		}
	})
	l.sid = l.dst != 0 && l.table != 0 && l.metric != 0 && l.encapType != 0 && l.packets != 0 && l.octets != 0 && l.errors != 0
}

// section is a part of a message, by offsets.
type section struct{ from, until int }

func (s section) size() int { return s.until - s.from }

// walk notes the attributes in a part of b and calls fn with each.
func (l *sidLayout) walk(b []byte, in section, fn func(typ uint16, at section)) {
	for a := (attrs{rest: b[in.from:in.until]}); ; {
		at := in.until - len(a.rest)
		if !a.next() {
			return
		}
		l.heads = append(l.heads, attrHead{at, native.Uint32(b[at:])})
		fn(a.typ, section{at + 4, at + 4 + len(a.data)})
	}
}
