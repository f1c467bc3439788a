package translators

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"

	"heddle/schema"
)

// Addr is the SID of a function; ok is false if the structure has no place for it.
func (s Structure) Addr(function uint32) (a netip.Addr, ok bool) {
	if s.Function == 0 || uint64(function) > s.lastFunction() || !s.Prefix.Addr().Is6() || s.Bits() > 128 {
		return netip.Addr{}, false
	}
	b := s.Prefix.Addr().As16()
	for i := range s.Function {
		if function>>i&1 == 1 {
			at := s.Bits() - 1 - i
			b[at/8] |= 0x80 >> (at % 8)
		}
	}
	return netip.AddrFrom16(b), true
}

// lastFunction is the greatest one: 2 to the power of the length less 1. Functions
// that are allocated begin with 1, as 0 is the locator's own address.
func (s Structure) lastFunction() uint64 { return 1<<s.Function - 1 }

// functionOf is the function of an address in the locator.
func (s Structure) functionOf(a netip.Addr) (function uint32) {
	b := a.As16()
	for at := s.Prefix.Bits(); at < s.Bits(); at++ {
		function = function<<1 | uint32(b[at/8]>>(7-at%8)&1)
	}
	return function
}

// functionTerm is what a dynamic SID is found by.
func functionTerm(locator string, function uint32) string {
	return string(binary.BigEndian.AppendUint32([]byte(namedTerm(termFunction, locator)), function))
}

func dynamicTerms(terms []string, d *DynamicSID) []string {
	if d.Locator == nil || d.Function == nil {
		return terms
	}
	return append(terms, functionTerm(*d.Locator, *d.Function))
}

// LocatorNamed is a locator of the default instance.
func (v View) LocatorNamed(name string) (schema.EntryKey, *Locator, bool) {
	k, err := v.Key(v.defaultKey, v.Model.Locator, name)
	if err != nil {
		return "", nil, false
	}
	l, ok := get[*Locator](v, k)
	return k, l, ok
}

// AddrOf is the SID of a dynamic SID, invalid if it has none.
func (v View) AddrOf(d *DynamicSID) netip.Addr {
	if d.Function == nil {
		return netip.Addr{}
	}
	_, l, ok := v.LocatorNamed(Str(d.Locator))
	if !ok {
		return netip.Addr{}
	}
	a, _ := StructureOf(l).Addr(*d.Function)
	return a
}

// DynamicAt finds the dynamic SID whose SID an address is.
func (v View) DynamicAt(a netip.Addr) (found schema.EntryKey, ok bool) {
	_, l, ok := v.LocatorOf(a)
	if !ok || l.FunctionLength == nil {
		return "", false
	}
	s := StructureOf(l)
	function := s.functionOf(a)
	if is, fits := s.Addr(function); !fits || is != a {
		return "", false
	}
	return v.withFunction(Str(l.Name), function)
}

func (v View) withFunction(locator string, function uint32) (found schema.EntryKey, ok bool) {
	term := functionTerm(locator, function)
	v.Terms(term, term+behind, func(k schema.EntryKey) bool {
		found = k
		return false
	})
	return found, found != ""
}

// AsSID is a dynamic SID as one with an address.
func (v View) AsSID(d *DynamicSID) *SID {
	s := &SID{
		Behavior: d.Behavior, NetworkInstance: d.NetworkInstance, NextHop: d.NextHop, Interface: d.Interface,
		Description: d.Description, Flavors: (*Flavors)(d.Flavors), Policy: (*sidPolicy)(d.Policy),
	}
	if a := v.AddrOf(d); a.IsValid() {
		text := a.String()
		s.Address = &text
	}
	return s
}

// SIDWith is the SID, dynamic or not, with a key.
func (v View) SIDWith(k schema.EntryKey) (*SID, bool) {
	switch e, _ := v.Get(k); e := e.(type) {
	case *SID:
		return e, true
	case *DynamicSID:
		return v.AsSID(e), true
	}
	return nil, false
}

// Allocate gives the changed dynamic SIDs that say no function one: the one that they
// have had, else one that is free in their locator. It returns those entries, as they
// are in next and with it. What gets none is for the rules to refuse.
//
// The first try is a hash of the name, so that the same names have mostly the same
// functions on another node, and a free one is found at once unless the locator is
// nearly full. It is a pure function of what it is given.
func Allocate(m *Model, next Reader, changes []schema.Change) (filled []schema.Change) {
	var a *allocator
	for _, c := range changes {
		d, ok := c.New.(*DynamicSID)
		if !ok || d == nil || d.Function != nil {
			continue
		}
		if a == nil {
			a = &allocator{View: NewView(m, next), given: map[given]bool{}, full: map[string]bool{}}
			a.keepAll(changes)
		}
		if function, ok := a.function(c, d); ok {
			with := *d
			with.Function = &function
			filled = append(filled, schema.Change{Key: c.Key, Old: d, New: &with})
		}
	}
	return filled
}

// given is a function that is not in the snapshot yet.
type given struct {
	locator  string
	function uint32
}

type allocator struct {
	View
	given map[given]bool
	full  map[string]bool // by the name of the locator
}

// kept is the function that a dynamic SID has had in the locator that it still has.
func kept(c schema.Change) (given, bool) {
	d, _ := c.New.(*DynamicSID)
	old, _ := c.Old.(*DynamicSID)
	if d == nil || old == nil || d.Function != nil || old.Function == nil || Str(d.Locator) != Str(old.Locator) {
		return given{}, false
	}
	return given{Str(d.Locator), *old.Function}, true
}

func (a *allocator) keepAll(changes []schema.Change) {
	for _, c := range changes {
		if g, ok := kept(c); ok {
			a.given[g] = true
		}
	}
}

// tries is how many functions are looked at that follow from the name: of a locator
// that is half full none is free in one of 2^tries cases.
const tries = 32

func (a *allocator) function(c schema.Change, d *DynamicSID) (uint32, bool) {
	if g, ok := kept(c); ok {
		return g.function, true
	}
	locator := Str(d.Locator)
	_, l, ok := a.LocatorNamed(locator)
	if !ok || a.full[locator] {
		return 0, false
	}
	s := StructureOf(l)
	if _, ok := s.Addr(1); !ok {
		return 0, false
	}
	count := s.lastFunction()
	take := func(n uint64) (uint32, bool) {
		function := uint32(1 + n%count)
		g := given{locator, function}
		if a.given[g] || a.taken(locator, s, function) {
			return 0, false
		}
		a.given[g] = true
		return function, true
	}
	h := fnv.New64a()
	h.Write([]byte(Str(d.Name)))
	for range tries {
		h.Write([]byte{0})
		if function, ok := take(h.Sum64() >> 16); ok {
			return function, true
		}
	}
	for n := range count {
		if function, ok := take(n); ok {
			return function, true
		}
	}
	a.full[locator] = true
	return 0, false
}

// taken reports whether something of the configuration has a function, or its address.
func (a *allocator) taken(locator string, s Structure, function uint32) bool {
	if _, ok := a.withFunction(locator, function); ok {
		return true
	}
	sid, _ := s.Addr(function)
	if _, ok := a.Get(a.KeyOf(a.defaultKey, a.Model.SID, sid.String())); ok {
		return true
	}
	for _, protocol := range a.ProtocolsOf(a.defaultKey) {
		if _, ok := a.Get(a.KeyOf(protocol, a.Static, netip.PrefixFrom(sid, sid.BitLen()).String())); ok {
			return true
		}
	}
	for _, letter := range []byte{termBindingSID, termAddress} {
		if len(a.withTerm(nil, string(addressTerm(letter, sid)))) > 0 {
			return true
		}
	}
	return false
}
