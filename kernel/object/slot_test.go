package object_test

import (
	"net/netip"
	"testing"

	"heddle/kernel/object"
)

// TestSlotKeys goes through keys in their order: each leads back to its slot, and
// says in text what it is.
func TestSlotKeys(t *testing.T) {
	route := func(table uint32, prefix string, metric uint32) object.Key {
		return object.RouteKey(table, netip.MustParsePrefix(prefix), metric)
	}
	csid := func(a string, node uint8) object.Key {
		s := &object.LocalSID{SID: netip.MustParseAddr(a), Table: 254, Flavors: object.NextCSID, BlockLength: 32, NodeFunctionLength: node}
		return s.Key()
	}
	sid := func(a string, table uint32) object.Key {
		return (&object.LocalSID{SID: netip.MustParseAddr(a), Table: table}).Key()
	}
	slot := func(table uint32, prefix string, metric uint32) object.Slot {
		return object.Slot{Table: table, Prefix: netip.MustParsePrefix(prefix), Metric: metric}
	}
	var before object.Key
	for _, c := range []struct {
		key  object.Key
		slot object.Slot
		text string
	}{
		{route(254, "9.0.0.0/8", 0), slot(254, "9.0.0.0/8", 0), "route/254/9.0.0.0/8/0"},
		{route(254, "10.0.0.0/8", 0), slot(254, "10.0.0.0/8", 0), "route/254/10.0.0.0/8/0"},
		{route(254, "10.0.0.0/8", 5), slot(254, "10.0.0.0/8", 5), "route/254/10.0.0.0/8/5"},
		{route(254, "10.0.0.0/16", 0), slot(254, "10.0.0.0/16", 0), "route/254/10.0.0.0/16/0"},
		{route(254, "::/0", 4278198272), slot(254, "::/0", 4278198272), "route/254/::/0/4278198272"},
		{route(254, "::ffff:0:0/96", 0), slot(254, "::ffff:0:0/96", 1024), "route/254/::ffff:0.0.0.0/96/1024"},
		{route(254, "2001:db8::/32", 0), slot(254, "2001:db8::/32", 1024), "route/254/2001:db8::/32/1024"},
		{route(1000000, "0.0.0.0/0", 0), slot(1000000, "0.0.0.0/0", 0), "route/1000000/0.0.0.0/0/0"},
		{sid("2001:db8::9", 254), slot(254, "2001:db8::9/128", 1024), "localsid/2001:db8::9"},
		{sid("2001:db8::10", 254), slot(254, "2001:db8::10/128", 1024), "localsid/2001:db8::10"},
		{csid("fcbb:bb00:100::", 16), slot(254, "fcbb:bb00:100::/48", 1024), "localsid/fcbb:bb00:100::/48"},
		{sid("2001:db8::10", 300), slot(300, "2001:db8::10/128", 1024), "localsid/2001:db8::10/table/300"},
	} {
		if got, ok := object.SlotOfKey(c.key); !ok || got != c.slot {
			t.Errorf("%v: slot %v (%t), want %v", c.key, got, ok, c.slot)
		}
		if c.key.String() != c.text {
			t.Errorf("%v is written %q", c.slot, c.key)
		}
		if before.Compare(c.key) >= 0 {
			t.Errorf("%v does not come after %v", c.key, before)
		}
		before = c.key
	}
	for _, o := range []object.Object{
		&object.Route{Table: 254, Prefix: netip.MustParsePrefix("2001:db8::10/128")},
		&object.LocalSID{Table: 254, SID: netip.MustParseAddr("2001:db8::10")},
	} {
		if s, _ := object.SlotOfKey(o.Key()); s != object.SlotOf(o) || s != slot(254, "2001:db8::10/128", 1024) {
			t.Errorf("%v: slot %v of its key, %v of itself", o, s, object.SlotOf(o))
		}
	}
	for _, k := range []object.Key{object.LinkKey("sr0"), {Kind: object.KindRoute, ID: "254/::/0/1"}} {
		if s, ok := object.SlotOfKey(k); ok {
			t.Errorf("%v has the slot %v", k, s)
		}
	}
	if s := object.SlotOf(object.Link{Name: "sr0"}); s != (object.Slot{}) {
		t.Errorf("a link has the slot %v", s)
	}
}
