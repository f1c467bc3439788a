package translators

import (
	"net/netip"

	"heddle/schema"
)

// Structure is how the SIDs of a locator are built (RFC 8986 §3.1): prefix, function
// and argument, and zeros behind them.
type Structure struct {
	Prefix   netip.Prefix // masked
	Function int          // bits; 0: all between prefix and argument
	Argument int          // bits
}

// StructureOf is that of a locator; its prefix is invalid if the locator has none.
func StructureOf(l *Locator) Structure {
	s := Structure{Prefix: Prefix(l.Prefix).Masked(), Argument: int(l.GetArgumentLength())}
	if l.FunctionLength != nil {
		s.Function = int(*l.FunctionLength)
	}
	return s
}

// Bits is the length of prefix and function: what follows is the argument.
func (s Structure) Bits() int {
	if s.Function == 0 {
		return 128 - s.Argument
	}
	return s.Prefix.Bits() + s.Function
}

// locatorTerm is what a locator can be found by: the ones' complement of its first
// address, as terms are found in ascending order and a locator is found from an
// address behind that.
func locatorTerm(a netip.Addr) string {
	b := addressTerm(termLocator, a)
	for i := range b[2:] {
		b[2+i] ^= 0xff
	}
	return string(b)
}

// locatorTerms is what a locator can be found by.
func locatorTerms(terms []string, l *Locator) []string {
	if p := Prefix(l.Prefix); p.IsValid() {
		terms = append(terms, locatorTerm(p.Masked().Addr()))
	}
	return terms
}

// LocatorBefore finds the locator of the default instance, other than one, that
// begins last of those that begin at an address or before it.
func (v View) LocatorBefore(a netip.Addr, except schema.EntryKey) (found schema.EntryKey, l *Locator) {
	v.Terms(locatorTerm(a), locatorTerm(netip.IPv6Unspecified())+behind, func(k schema.EntryKey) bool {
		if parent, _ := k.Parent(); k != except && parent == v.defaultKey {
			if one, ok := get[*Locator](v, k); ok {
				found, l = k, one
			}
		}
		return l == nil
	})
	return found, l
}

// LocatorOf finds the locator that an address is in: one, as locators do not overlap.
func (v View) LocatorOf(a netip.Addr) (schema.EntryKey, *Locator, bool) {
	if !a.Is6() {
		return "", nil, false
	}
	k, l := v.LocatorBefore(a, "")
	if l == nil || !Prefix(l.Prefix).Masked().Contains(a) {
		return "", nil, false
	}
	return k, l, true
}
