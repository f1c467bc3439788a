package telemetry

import (
	"net/netip"

	"heddle/kernel/object"
)

// look is a reading of SIDs that is under way. What happens to a SID meanwhile
// makes what it finds of that SID void: nobody could tell which life it is of.
type look struct {
	counters *Counters
	void     map[netip.Addr]struct{} // guarded by counters.mu; nil: nothing
}

// look begins to read. SIDs that are being written are left out of it. end has to
// be called when it is over.
func (c *Counters) look() *look {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begin()
}

// begin is look; it needs c.mu.
func (c *Counters) begin() *look {
	l := &look{counters: c}
	for _, sids := range c.writes {
		l.add(sids)
	}
	c.looks[l] = struct{}{}
	return l
}

// add needs counters.mu.
func (l *look) add(sids []netip.Addr) {
	if l.void == nil {
		l.void = make(map[netip.Addr]struct{}, len(sids))
	}
	for _, sid := range sids {
		l.void[sid] = struct{}{}
	}
}

// void makes void what the looks under way find of these SIDs. It needs c.mu.
func (c *Counters) void(sids []netip.Addr) {
	for l := range c.looks {
		l.add(sids)
	}
}

// take takes in what was found, in any order; in that of the addresses it is
// fast. A SID may come more than once, the newer reading later.
func (l *look) take(found []object.SIDReading) {
	c := l.counters
	c.mu.Lock()
	defer c.mu.Unlock()
	var at place
	for _, f := range found {
		r := c.sids.next(&at, f.SID)
		if r == nil {
			continue
		}
		if _, void := l.void[f.SID]; !void {
			c.see(r, f)
		}
	}
}

// end brings the file up to date, too.
func (l *look) end() {
	l.counters.mu.Lock()
	defer l.counters.mu.Unlock()
	delete(l.counters.looks, l)
	l.counters.saveNew()
}
