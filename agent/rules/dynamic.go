package rules

import (
	"fmt"

	"heddle/schema"
	"heddle/translators"
)

// ofDynamic is a rule of SIDs as one of dynamic SIDs.
func ofDynamic(rule func(c *check, k schema.EntryKey, entry, was schema.GoStruct)) func(c *check, k schema.EntryKey, entry, was schema.GoStruct) {
	return func(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
		rule(c, k, c.AsSID(entry.(*translators.DynamicSID)), nil)
	}
}

// dynamicLocator: a function in a locator that has a place for it.
func dynamicLocator(c *check, k schema.EntryKey, entry, _ schema.GoStruct) {
	d := entry.(*translators.DynamicSID)
	if d.Locator == nil {
		c.fail(k, "config/locator", "", "a function is one of a locator", "set config/locator")
		return
	}
	at, l, ok := c.LocatorNamed(*d.Locator)
	if !ok {
		return // srv6Place
	}
	s := translators.StructureOf(l)
	if !s.Prefix.IsValid() || s.Prefix.Bits()+s.Function+s.Argument > 128 {
		return // locatorPrefix, locatorLengths
	}
	last := uint64(1)<<s.Function - 1
	switch {
	case s.Function == 0:
		c.fail(at, "config/function-length", "", "functions of the locator are allocated for "+c.Text(k), "set it: 16, for example")
		return
	case d.Function == nil:
		c.fail(k, "config/locator", *d.Locator, fmt.Sprintf("all %d functions of the locator are taken", last),
			"delete SIDs, make function-length of the locator greater, or use another locator")
		return
	case uint64(*d.Function) > last:
		c.fail(k, "config/function", text(*d.Function), fmt.Sprintf("the locator has functions of %d bits", s.Function),
			fmt.Sprintf("use 1 to %d, or make function-length of the locator greater", last))
		return
	}
	flavors := (*translators.Flavors)(d.Flavors)
	if flavors == nil || !hasFlavor(&translators.SID{Flavors: flavors}, translators.FlavorNextCSID) {
		return
	}
	if block, node := translators.CSIDLengths(flavors); int(block)+int(node) != s.Bits() {
		c.fail(k, "flavors/config/locator-node-function-length", text(node),
			fmt.Sprintf("with a block of %d bits the compressed SID does not end with the function, at %d bits", block, s.Bits()),
			"make the two lengths as long together")
	}
}

// recheckDynamicSIDs: those whose functions a locator has, when it is built otherwise.
func recheckDynamicSIDs(_, is translators.View, ch schema.Change, again func(schema.EntryKey)) {
	before, _ := ch.Old.(*translators.Locator)
	after, _ := ch.New.(*translators.Locator)
	if before == nil || after == nil || translators.StructureOf(after) == translators.StructureOf(before) {
		return
	}
	is.Referrers(ch.Key, func(k schema.EntryKey) bool {
		again(k)
		return true
	})
}
