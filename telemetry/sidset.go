package telemetry

import (
	"cmp"
	"encoding/binary"
	"iter"
	"net/netip"
	"slices"
)

// sidRecord is what is known of a SID: 24 octets, since most SIDs have nothing
// to them but that they are there.
type sidRecord struct {
	hi, lo uint64 // the address; compared as numbers they are in its order
	counts uint32 // where its totals are, in Counters.counts from 1; 0: it has counted nothing
	flags  sidFlags
}

type sidFlags uint8

const (
	sidTracked sidFlags = 1 << iota // it is configured, not only in the file
	sidRead                         // there was something to read
	sidChanged                      // its total is not the one that was last handed out
)

func (r *sidRecord) is(f sidFlags) bool { return r.flags&f != 0 }

func (r *sidRecord) compare(hi, lo uint64) int {
	return cmp.Or(cmp.Compare(r.hi, hi), cmp.Compare(r.lo, lo))
}

func (r *sidRecord) address() netip.Addr {
	var a [16]byte
	binary.BigEndian.PutUint64(a[:8], r.hi)
	binary.BigEndian.PutUint64(a[8:], r.lo)
	return netip.AddrFrom16(a)
}

func halves(sid netip.Addr) (hi, lo uint64) {
	a := sid.As16()
	return binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])
}

// blockSize is how many records lie in a row: what one insertion moves at most.
const blockSize = 128

// sidSet holds records in the order of their addresses, which is the order that
// the kernel dumps them in: a reading of all walks along. The zero value is empty.
type sidSet struct {
	blocks [][]sidRecord // none is empty
	len    int
}

// place is a position in a sidSet, good until the set changes. The zero value is
// the first.
type place struct{ block, at int }

// locate finds where an address is or would be.
func (s *sidSet) locate(hi, lo uint64) (p place, found bool) {
	// The last block that begins at or before it, or the first.
	p.block, found = slices.BinarySearchFunc(s.blocks, struct{}{}, func(b []sidRecord, _ struct{}) int { return b[0].compare(hi, lo) })
	if found || p.block == 0 {
		return p, found
	}
	p.block--
	p.at, found = slices.BinarySearchFunc(s.blocks[p.block], struct{}{}, func(r sidRecord, _ struct{}) int { return r.compare(hi, lo) })
	return p, found
}

// get returns the record of a SID, nil if there is none. It is good until the set
// changes.
func (s *sidSet) get(sid netip.Addr) *sidRecord {
	if p, found := s.locate(halves(sid)); found {
		return &s.blocks[p.block][p.at]
	}
	return nil
}

// next is get for who asks in order: it looks first at the place behind the last
// one, which it moves on.
func (s *sidSet) next(p *place, sid netip.Addr) *sidRecord {
	hi, lo := halves(sid)
	if p.block < len(s.blocks) && p.at >= len(s.blocks[p.block]) {
		*p = place{block: p.block + 1}
	}
	if p.block < len(s.blocks) {
		if r := &s.blocks[p.block][p.at]; r.hi == hi && r.lo == lo {
			p.at++
			return r
		}
	}
	at, found := s.locate(hi, lo)
	*p = at
	if !found {
		return nil
	}
	p.at++
	return &s.blocks[at.block][at.at]
}

// add returns the record of a SID, made if there is none.
func (s *sidSet) add(sid netip.Addr) *sidRecord {
	hi, lo := halves(sid)
	p, found := s.locate(hi, lo)
	if found {
		return &s.blocks[p.block][p.at]
	}
	s.len++
	one := sidRecord{hi: hi, lo: lo}
	if len(s.blocks) == 0 {
		s.blocks = append(s.blocks, append(make([]sidRecord, 0, blockSize), one))
		return &s.blocks[0][0]
	}
	if len(s.blocks[p.block]) == blockSize {
		p = s.makeRoom(p)
	}
	s.blocks[p.block] = slices.Insert(s.blocks[p.block], p.at, one)
	return &s.blocks[p.block][p.at]
}

// makeRoom splits a full block, and says where the place is then. At the end of
// the block nothing is moved: what is added in order fills its blocks.
func (s *sidSet) makeRoom(p place) place {
	half := blockSize / 2
	if p.at == blockSize {
		if p.block+1 < len(s.blocks) && len(s.blocks[p.block+1]) < blockSize {
			return place{block: p.block + 1}
		}
		half = blockSize
	}
	b := s.blocks[p.block]
	right := append(make([]sidRecord, 0, blockSize), b[half:]...)
	s.blocks[p.block] = b[:half]
	s.blocks = slices.Insert(s.blocks, p.block+1, right)
	if p.at >= half {
		return place{p.block + 1, p.at - half}
	}
	return p
}

// remove takes the record of a SID out, if there is one.
func (s *sidSet) remove(sid netip.Addr) {
	p, found := s.locate(halves(sid))
	if !found {
		return
	}
	s.len--
	b := slices.Delete(s.blocks[p.block], p.at, p.at+1)
	s.blocks[p.block] = b
	if len(b) > blockSize/4 {
		return
	}
	// A block that is nearly empty goes into a neighbour that has room for it.
	for _, left := range []int{p.block - 1, p.block} {
		if left < 0 || left+1 >= len(s.blocks) || len(s.blocks[left])+len(s.blocks[left+1]) > blockSize*3/4 {
			continue
		}
		s.blocks[left] = append(s.blocks[left], s.blocks[left+1]...)
		s.blocks = slices.Delete(s.blocks, left+1, left+2)
		return
	}
	if len(b) == 0 {
		s.blocks = slices.Delete(s.blocks, p.block, p.block+1)
	}
}

// all goes through the records in order; the set must not change meanwhile.
func (s *sidSet) all() iter.Seq[*sidRecord] {
	return func(yield func(*sidRecord) bool) {
		for _, b := range s.blocks {
			for i := range b {
				if !yield(&b[i]) {
					return
				}
			}
		}
	}
}
