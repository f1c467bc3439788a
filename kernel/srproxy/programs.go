package srproxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"heddle/bpf"
	"heddle/kernel/object"
)

// programs are the programs and maps, loaded.
type programs struct {
	bpf.SRProxyObjects
	toNF, back *ebpf.Program
	by         map[role]*ebpf.Program // all

	boot int64 // when the programs' clock was 0, in nanoseconds since 1970
}

// pinned are the maps that outlive an agent.
var pinned = []string{bpf.SRProxyMapSids, bpf.SRProxyMapRows, bpf.SRProxyMapCounts, bpf.SRProxyMapChanges}

// VerifierError says that the kernel does not take a program. Log is what its
// verifier said, for the operator.
type VerifierError struct {
	Err error
	Log string
}

func (e *VerifierError) Error() string {
	return fmt.Sprintf("the kernel's verifier refuses the program (%v): report it with the log of the agent", e.Err)
}

func (e *VerifierError) Unwrap() error { return e.Err }

// refused is what the kernel says of programs that it does not take, in one line.
func refused(err error) error {
	if v, ok := errors.AsType[*ebpf.VerifierError](err); ok {
		return &VerifierError{v.Cause, fmt.Sprintf("%+v", v)}
	}
	return fmt.Errorf("load programs of SR proxies: %w", err)
}

// load loads the programs. The maps that are pinned are used, as long as they have
// the layout that the programs know.
func load(p *pins) (*programs, error) {
	if err := p.make(); err != nil {
		return nil, err
	}
	c, err := loadPinned(p)
	if errors.Is(err, ebpf.ErrMapIncompatible) {
		if c, err = renewMaps(p); err != nil {
			return nil, err
		}
	}
	return c, err
}

func loadPinned(p *pins) (*programs, error) {
	spec, err := bpf.LoadSRProxy()
	if err != nil {
		return nil, err
	}
	for _, name := range pinned {
		spec.Maps[name].Pinning = ebpf.PinByName
	}
	c := new(programs)
	err = spec.LoadAndAssign(&c.SRProxyObjects, &ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: p.dir()}})
	if err != nil {
		return nil, refused(err)
	}
	c.toNF, c.back, c.boot = c.SrIngress, c.NfIngress, bootTime()
	c.by = map[role]*ebpf.Program{roleToNF: c.toNF, roleBack: c.back, roleMasquerade: c.AmEgress, roleUnmask: c.AmIngress}
	return c, nil
}

func (c *programs) close() { _ = c.SRProxyObjects.Close() }

func key(sid netip.Addr) bpf.SRProxyIn6Addr {
	var k bpf.SRProxyIn6Addr
	k.In6U.U6Addr8 = sid.As16()
	return k
}

// write makes the rows of a proxy whose packets come back on these links (0: on none),
// the one that is packets' way last. What it is to be already is not written: packets
// change it.
func (c *programs) write(o *object.Proxy, in, standby int) error {
	sid := key(o.SID)
	var was bpf.SRProxySid
	known, err := found(c.Sids.Lookup(sid, &was))
	if err != nil {
		return fmt.Errorf("read SID: %w", err)
	}
	if err := c.count(sid); err != nil {
		return err
	}
	links := linksOf(in, standby)
	for _, link := range links {
		if err := c.writeRow(o, link, known && was.Inner == uint8(o.Inner)); err != nil {
			return err
		}
	}
	entry := bpf.SRProxySid{IfaceIn: uint32(in), IfaceStandby: uint32(standby), Behavior: uint8(o.Behavior), Inner: uint8(o.Inner), Mode: uint8(o.Mode)}
	entry.Nf[0].In6U.U6Addr8, entry.Nf[1].In6U.U6Addr8 = echo(o.Echo), echo(o.StandbyEcho)
	if known && o.Behavior == object.EndAD && was.Inner == entry.Inner {
		if err := c.handOver(sid, inUse(was), inUse(entry)); err != nil {
			return err
		}
	}
	if entry != was {
		if err := c.Sids.Update(sid, entry, ebpf.UpdateAny); err != nil {
			return fmt.Errorf("write SID: %w", err)
		}
	}
	if !known {
		return nil
	}
	for _, link := range rowsOf(was) {
		if !slices.Contains(links, link) { // gone, has another name now, or is another NF's
			if err := c.eraseRow(sid, link); err != nil {
				return err
			}
		}
	}
	return nil
}

// inUse is the link on which the NF gives packets back that they are sent to.
func inUse(s bpf.SRProxySid) uint32 {
	if object.ProxyMode(s.Mode) == object.ProxyToStandby {
		return s.IfaceStandby
	}
	return s.IfaceIn
}

// handOver has the headers that are kept for one link put on what comes back on
// another, where the other NF gives back from now on: so none of it is without headers,
// whichever packets come first.
func (c *programs) handOver(sid bpf.SRProxyIn6Addr, from, to uint32) error {
	if from == to || from == 0 || to == 0 {
		return nil
	}
	var row bpf.SRProxyRow
	there, err := found(c.Rows.LookupWithFlags(from, &row, ebpf.LookupLock))
	if err == nil && there && row.Sid == sid && row.Length > 0 {
		err = c.Rows.Update(to, row, ebpf.UpdateAny|ebpf.UpdateLock)
	}
	if err != nil {
		return fmt.Errorf("hand headers over: %w", err)
	}
	return nil
}

// linksOf are the links on which packets come back, each once.
func linksOf(in, standby int) (links []uint32) {
	for _, l := range []int{in, standby} {
		if l != 0 && !slices.Contains(links, uint32(l)) {
			links = append(links, uint32(l))
		}
	}
	return links
}

// rowsOf are the links with headers of a SID.
func rowsOf(s bpf.SRProxySid) []uint32 {
	if object.ProxyBehavior(s.Behavior) == object.EndAM {
		return nil
	}
	return linksOf(int(s.IfaceIn), int(s.IfaceStandby))
}

// count makes counters for a SID, unless there are some.
func (c *programs) count(sid bpf.SRProxyIn6Addr) error {
	if err := c.Counts.Update(sid, make([]bpf.SRProxyCounters, possible()), ebpf.UpdateNoExist); err != nil && !errors.Is(err, ebpf.ErrKeyExist) {
		return fmt.Errorf("make counters: %w", err)
	}
	return nil
}

// echo is how the programs know an NF: zero for none.
func echo(nf netip.Addr) (b [16]byte) {
	if nf.Is4() {
		a := nf.As4()
		copy(b[12:], a[:])
	} else if nf.IsValid() {
		b = nf.As16()
	}
	return b
}

// echoOf is the NF that the programs know.
func echoOf(b [16]byte, inner object.InnerType) netip.Addr {
	switch {
	case b == [16]byte{}:
		return netip.Addr{}
	case inner == object.InnerIPv4:
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return netip.AddrFrom16(b)
}

// writeRow writes the headers for what comes back on a link. Those that End.AD has kept
// stay as long as what is inside stays the same: their next header is about that.
func (c *programs) writeRow(o *object.Proxy, link uint32, sameInner bool) error {
	row := bpf.SRProxyRow{Sid: key(o.SID)}
	var had bpf.SRProxyRow
	there, err := found(c.Rows.LookupWithFlags(link, &had, ebpf.LookupLock))
	switch {
	case err != nil:
		return fmt.Errorf("read headers: %w", err)
	case there && had.Sid != row.Sid && c.uses(had.Sid, link):
		return fmt.Errorf("what comes back on the link gets the headers of %s already: take another incoming-interface", addrOf(had.Sid.In6U.U6Addr8))
	}
	same := there && had.Sid == row.Sid
	if o.Behavior == object.EndAS {
		row.Length = fill(&row.Headers, o)
		same = same && had.Hash == 0 && had.Length == row.Length && had.Headers == row.Headers
	} else {
		same = same && sameInner && (had.Hash != 0 || had.Length == 0)
	}
	if same {
		return nil
	}
	if err := c.Rows.Update(link, row, ebpf.UpdateAny|ebpf.UpdateLock); err != nil {
		return fmt.Errorf("write headers: %w", err)
	}
	return nil
}

// found tells what is not in a map from a map that cannot be read.
func found(err error) (bool, error) {
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return false, nil
	}
	return err == nil, err
}

// uses reports whether a SID is one of a proxy whose packets come back on a link. A
// row of a link that is gone stays until its proxy is written anew, and the number of
// the link may be another one's by then.
func (c *programs) uses(sid bpf.SRProxyIn6Addr, link uint32) bool {
	var s bpf.SRProxySid
	return c.Sids.Lookup(sid, &s) == nil && slices.Contains(rowsOf(s), link)
}

// evict takes away what is left on a link of the proxy of another SID.
func (c *programs) evict(sid netip.Addr, in int) error {
	var row bpf.SRProxyRow
	there, err := found(c.Rows.Lookup(uint32(in), &row))
	if err != nil {
		return fmt.Errorf("read headers: %w", err)
	}
	if !there || row.Sid == key(sid) || !c.uses(row.Sid, uint32(in)) {
		return nil
	}
	return c.erase(addrOf(row.Sid.In6U.U6Addr8))
}

// eraseRow takes the headers of a SID away from a link. What is not there, or
// another's, is no error.
func (c *programs) eraseRow(sid bpf.SRProxyIn6Addr, link uint32) error {
	var row bpf.SRProxyRow
	there, err := found(c.Rows.Lookup(link, &row))
	if there && row.Sid == sid {
		_, err = found(c.Rows.Delete(link))
	}
	if err != nil {
		return fmt.Errorf("remove headers: %w", err)
	}
	return nil
}

// erase takes the rows of a proxy away, those that the packets look for first. What
// is not there is no error.
func (c *programs) erase(sid netip.Addr) error {
	var s bpf.SRProxySid
	k := key(sid)
	there, err := found(c.Sids.Lookup(k, &s))
	if there {
		_, err = found(c.Sids.Delete(k))
		for _, link := range rowsOf(s) {
			if err == nil {
				err = c.eraseRow(k, link)
			}
		}
	}
	if err == nil {
		_, err = found(c.Counts.Delete(k))
	}
	if err != nil {
		return fmt.Errorf("remove rows of SID %s: %w", sid, err)
	}
	return nil
}

// known reports whether there is something of a proxy.
func (c *programs) known(sid netip.Addr) (bool, error) {
	var s bpf.SRProxySid
	there, err := found(c.Sids.Lookup(key(sid), &s))
	return there, readError(sid, err)
}

// read is a proxy as the maps have it; nil: it is not there, or not whole.
func (c *programs) read(sid netip.Addr, net *network) (*object.Proxy, error) {
	var s bpf.SRProxySid
	k := key(sid)
	if there, err := found(c.Sids.Lookup(k, &s)); err != nil || !there {
		return nil, readError(sid, err)
	}
	p := &object.Proxy{SID: sid, Behavior: object.ProxyBehavior(s.Behavior), Inner: object.InnerType(s.Inner), Mode: object.ProxyMode(s.Mode)}
	if p.Behavior == object.EndAM {
		return readMasquerade(p, &s, net)
	}
	p.Echo, p.StandbyEcho = echoOf(s.Nf[0].In6U.U6Addr8, p.Inner), echoOf(s.Nf[1].In6U.U6Addr8, p.Inner)
	var headers *[38]uint64
	for _, l := range []struct {
		index uint32
		name  *string
	}{{s.IfaceIn, &p.In}, {s.IfaceStandby, &p.Standby}} {
		if l.index == 0 {
			continue
		}
		var row bpf.SRProxyRow
		there, err := found(c.Rows.LookupWithFlags(l.index, &row, ebpf.LookupLock))
		if err != nil {
			return nil, readError(sid, err)
		}
		name, up, err := net.numbered(int(l.index))
		if err != nil || !up || !there || row.Sid != k {
			return nil, err
		}
		if *l.name = name; p.Behavior == object.EndAS {
			if headers != nil && *headers != row.Headers {
				return nil, nil
			}
			headers = &row.Headers
			var r object.ProxyReading
			headersOf(&row, &r)
			p.Encap = &object.Encap{Mode: object.HEncaps, Segments: r.Segments, Source: r.Source}
			p.HopLimit = r.HopLimit
		}
	}
	return p, nil
}

func readError(sid netip.Addr, err error) error {
	if err != nil {
		return fmt.Errorf("read rows of SID %s: %w", sid, err)
	}
	return nil
}

func (c *programs) allSIDs() (sids []netip.Addr, err error) {
	var k bpf.SRProxyIn6Addr
	var s bpf.SRProxySid
	all := c.Sids.Iterate()
	for all.Next(&k, &s) {
		sids = append(sids, addrOf(k.In6U.U6Addr8))
	}
	return sids, all.Err()
}

// anySID is one of them.
func (c *programs) anySID() (s bpf.SRProxySid, ok bool, err error) {
	var k bpf.SRProxyIn6Addr
	if ok, err = found(c.Sids.NextKey(nil, &k)); ok {
		ok, err = found(c.Sids.Lookup(k, &s))
	}
	return s, ok, err
}

// possible is the number of processors that a map for each of them has room for.
func possible() int { return ebpf.MustPossibleCPU() }

// Lengths of headers in octets (RFC 8200 §3, RFC 8754 §2).
const (
	ipv6Len  = 40
	srhFixed = 8
	segment  = 16

	// MaxSegments is how many segments the headers that are put back may have.
	MaxSegments = 16
)

// octets are headers as they lie in memory, which is as they are sent.
func octets(words *[38]uint64) []byte {
	b := make([]byte, 0, 8*len(words))
	for _, w := range words {
		b = binary.NativeEndian.AppendUint64(b, w)
	}
	return b
}

// fill writes the headers of End.AS: an IPv6 header to the first segment and an SRH
// that lists all from the last to the first (RFC 8754 §4.1). It returns their length.
func fill(words *[38]uint64, o *object.Proxy) uint32 {
	b, segments := octets(words), o.Encap.Segments
	b[0] = 6 << 4
	b[6], b[7] = unix.IPPROTO_ROUTING, o.HopLimit
	copy(b[8:], o.Encap.Source.AsSlice())
	copy(b[24:], segments[0].AsSlice())
	srh := b[ipv6Len:]
	last := len(segments) - 1
	srh[0], srh[1], srh[2], srh[3], srh[4] = uint8(o.Inner), uint8(2*len(segments)), 4, uint8(last), uint8(last)
	for i, s := range segments {
		copy(srh[srhFixed+segment*(last-i):], s.AsSlice())
	}
	for i := range words {
		words[i] = binary.NativeEndian.Uint64(b[8*i:])
	}
	return uint32(ipv6Len + srhFixed + segment*len(segments))
}

// headersOf takes in the headers of a row.
func headersOf(row *bpf.SRProxyRow, r *object.ProxyReading) {
	b := octets(&row.Headers)
	n := (int(row.Length) - ipv6Len - srhFixed) / segment
	if n < 1 || n > MaxSegments {
		return
	}
	r.HopLimit, r.Left = b[7], b[ipv6Len+3]
	r.Source, _ = netip.AddrFromSlice(b[8:24])
	for i := n - 1; i >= 0; i-- {
		a, _ := netip.AddrFromSlice(b[ipv6Len+srhFixed+segment*i:][:segment])
		r.Segments = append(r.Segments, a)
	}
}

// reading is what a proxy has kept and counted; false: it is not there.
func (c *programs) reading(sid netip.Addr) (r object.ProxyReading, ok bool, err error) {
	var s bpf.SRProxySid
	var row bpf.SRProxyRow
	var counts []bpf.SRProxyCounters
	k := key(sid)
	ok, err = found(c.Sids.Lookup(k, &s))
	if ok {
		ok, err = found(c.Counts.Lookup(k, &counts))
	}
	if err != nil || !ok {
		return r, false, readError(sid, err)
	}
	if link := inUse(s); link != 0 {
		if _, err = found(c.Rows.LookupWithFlags(link, &row, ebpf.LookupLock)); err != nil {
			return r, false, readError(sid, err)
		}
	}
	r = object.ProxyReading{SID: sid, Mode: object.ProxyMode(s.Mode), Changes: row.Changes}
	if row.Changed != 0 {
		r.Changed = c.since() + int64(row.Changed)
	}
	headersOf(&row, &r)
	t := &r.Counters
	for i := range counts {
		n := &counts[i]
		t.Forwarded += n.Forwarded
		t.Returned += n.Returned
		t.NoSRH += n.NoSrh
		t.SegmentsLeftZero += n.SegmentsLeftZero
		t.BadSRH += n.BadSrh
		t.WrongInnerType += n.WrongInnerType
		t.NoCache += n.NoCache
		t.TooBig += n.TooBig
		t.ChainConflict += n.ChainConflict
		t.CacheUpdates += n.CacheUpdates
		t.WrongDestination += n.WrongDestination
		t.Expired += n.Expired
		t.Bypassed += n.Bypassed
		t.NFDown += n.NfDown
	}
	return r, true, nil
}
