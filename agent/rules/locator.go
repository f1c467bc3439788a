package rules

import (
	"fmt"
	"net/netip"

	"heddle/schema"
	"heddle/translators"
)

func locatorPrefix(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	l := entry.(*translators.Locator)
	if l.Prefix == nil {
		c.fail(k, "config/prefix", "", "a locator is a prefix", "set config/prefix")
		return
	}
	p := translators.Prefix(l.Prefix)
	switch {
	case p.Bits() < 1 || p.Bits() > 127:
		c.fail(k, "config/prefix", *l.Prefix, "a locator leaves bits for functions, and is not everything", "use a length from 1 to 127")
	case p != p.Masked():
		c.fail(k, "config/prefix", *l.Prefix, "bits are set beyond the length of the prefix", "use "+p.Masked().String())
	case p.Addr().IsMulticast() || p.Addr().IsLinkLocalUnicast():
		c.fail(k, "config/prefix", *l.Prefix, "SIDs are global unicast addresses", "use a prefix that is routed to this node")
	}
}

// locatorLengths: prefix, function and argument are in one address.
func locatorLengths(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	l := entry.(*translators.Locator)
	s := translators.StructureOf(l)
	left := 128 - s.Prefix.Bits()
	if !s.Prefix.IsValid() || left == 0 {
		return // see locatorPrefix
	}
	switch {
	case s.Argument >= left:
		c.fail(k, "config/argument-length", text(s.Argument), fmt.Sprintf("behind the prefix are %d bits, and the function needs some", left),
			fmt.Sprintf("use %d at most, or a shorter prefix", left-1))
	case s.Function+s.Argument > left:
		c.fail(k, "config/function-length", text(s.Function), fmt.Sprintf("behind the prefix are %d bits, and the argument has %d", left, s.Argument),
			fmt.Sprintf("use %d at most, or a shorter argument or prefix", left-s.Argument))
	}
}

// locatorOverlap: of two locators that overlap the one that begins last is found from
// the end of the other.
func locatorOverlap(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	p := translators.Prefix(entry.(*translators.Locator).Prefix)
	if !p.IsValid() {
		return
	}
	other, l := c.LocatorBefore(translators.LastOf(p), k)
	if l == nil {
		return
	}
	if q := translators.Prefix(l.Prefix); q.Overlaps(p) {
		c.fail(k, "config/prefix", p.String(), "it overlaps "+q.String()+" of "+c.Text(other),
			"make the two disjoint: a SID belongs to one locator")
	}
}

// located is a locator with its name.
type located struct {
	translators.Structure
	name string
}

// locatorOf finds the locator that an address is in. SIDs that are checked together
// are often of one.
func (c *check) locatorOf(a netip.Addr) (located, bool) {
	if c.locator.Prefix.IsValid() && c.locator.Prefix.Contains(a) {
		return c.locator, true
	}
	_, l, ok := c.LocatorOf(a)
	if !ok {
		return located{}, false
	}
	c.locator = located{translators.StructureOf(l), translators.Str(l.Name)}
	return c.locator, true
}

func sidLocator(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	s := entry.(*translators.SID)
	if parent, _ := k.Parent(); parent != c.DefaultKey() || (s.Standalone != nil && *s.Standalone) {
		return
	}
	a := translators.Addr(s.Address)
	l, ok := c.locatorOf(a)
	if !ok {
		c.fail(k, "config/address", translators.Str(s.Address), "the SID is in no locator, so nothing would be routed to it",
			"use an address of a locator, configure the locator, or set config/standalone to true")
		return
	}
	if hasFlavor(s, translators.FlavorNextCSID) {
		c.compressedInLocator(k, s, l)
		return
	}
	c.inStructure(k, "config/address", a, l)
}

// inStructure: an address of a locator has zeros behind its function.
func (c *check) inStructure(k schema.EntryKey, leaf string, a netip.Addr, l located) {
	if p := netip.PrefixFrom(a, l.Bits()).Masked(); p.Addr() != a {
		c.fail(k, leaf, a.String(), fmt.Sprintf("behind the %d bits of prefix and function of locator %s it has to be zero", l.Bits(), l.name),
			"use "+p.Addr().String()+", or change function-length or argument-length of the locator")
	}
}

// compressedInLocator: the argument of a compressed SID is all that follows it.
func (c *check) compressedInLocator(k schema.EntryKey, s *translators.SID, l located) {
	block, node := translators.CSIDLengths(s.Flavors)
	bits := int(block) + int(node)
	switch {
	case l.Prefix.Bits() > bits:
		c.fail(k, "config/address", translators.Str(s.Address),
			fmt.Sprintf("block, node and function have %d bits, and locator %s has more: it would drop some of the packets to the SID", bits, l.name),
			"make the locator's prefix as short, or the SID's lengths greater")
	case l.Function > 0 && bits > l.Bits():
		c.fail(k, "config/address", translators.Str(s.Address),
			fmt.Sprintf("block, node and function have %d bits, and locator %s has %d for prefix and function", bits, l.name, l.Bits()),
			"make the SID's lengths smaller, or function-length of the locator greater")
	}
}
