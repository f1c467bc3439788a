package explain_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"heddle/agent/explain"
	"heddle/kernel/object"
)

func encap(m object.EncapMode, segments ...string) *object.Encap {
	e := &object.Encap{Mode: m}
	for _, s := range segments {
		e.Segments = append(e.Segments, netip.MustParseAddr(s))
	}
	return e
}

// TestEveryBehaviorIsExplained fails for a behaviour that has no words.
func TestEveryBehaviorIsExplained(t *testing.T) {
	for n := range 256 {
		b := object.Behavior(n)
		if steps := explain.SID(&object.LocalSID{Behavior: b, Policy: encap(object.HEncaps, "fc00::1")}); b.Known() != (len(steps) > 0) {
			t.Errorf("%s is explained as %q", b, steps)
		}
	}
}

// TestEveryModeIsExplained is the same for encapsulations.
func TestEveryModeIsExplained(t *testing.T) {
	for n := range 256 {
		e := encap(object.EncapMode(n), "fc00::1")
		known := !strings.HasPrefix(e.Mode.String(), "mode(")
		if steps := explain.Route(&object.Route{NextHops: []object.NextHop{{Link: "e1", Encap: e}}}, nil, noVRF); known != (len(steps) > 0) {
			t.Errorf("%s is explained as %q", e.Mode, steps)
		}
	}
}

// TestEveryFieldIsExplained fails when an object has a new field: what it means for a
// packet has to be in the words, and then here.
func TestEveryFieldIsExplained(t *testing.T) {
	for _, c := range []struct {
		object any
		fields string
	}{
		{object.Route{}, "Table Prefix Metric Type VRF NextHops SharedHop"},
		{object.NextHop{}, "Gateway Link Encap OnLink Weight"},
		{object.Encap{}, "Mode Segments Source HMACKey"},
		{object.LocalSID{}, "SID Table Behavior Flavors BlockLength NodeFunctionLength VRF VRFTable NextHop OutLink Dev Policy"},
		{object.Proxy{}, "SID Behavior Inner Mode In Standby Echo StandbyEcho Encap HopLimit Out DestinationNAT"},
	} {
		var names []string
		for f := range reflect.TypeOf(c.object).Fields() {
			names = append(names, f.Name)
		}
		if got := strings.Join(names, " "); got != c.fields {
			t.Errorf("%T has the fields %s, and those that are explained are %s", c.object, got, c.fields)
		}
	}
}

func TestSID(t *testing.T) {
	hop := netip.MustParseAddr("fe80::2")
	for name, c := range map[string]struct {
		sid  object.LocalSID
		says string
	}{
		"End":            {object.LocalSID{Behavior: object.End}, "looked up in table 254 (main)"},
		"End.X":          {object.LocalSID{Behavior: object.EndX, NextHop: hop, OutLink: "e1"}, "sent to fe80::2 by e1"},
		"End.X resolved": {object.LocalSID{Behavior: object.EndX, NextHop: hop}, "sent to fe80::2 by the link on which that is a neighbour"},
		"End.T":          {object.LocalSID{Behavior: object.EndT, VRF: "vrfA", VRFTable: 110}, "looked up in table 110 (VRF vrfA)"},
		"End.DX2":        {object.LocalSID{Behavior: object.EndDX2, OutLink: "e3"}, "frame in it is sent by e3"},
		"End.DX4":        {object.LocalSID{Behavior: object.EndDX4, NextHop: netip.MustParseAddr("192.0.2.1")}, "sent the way to 192.0.2.1"},
		"End.DX6":        {object.LocalSID{Behavior: object.EndDX6}, "by its own destination"},
		"End.DT4":        {object.LocalSID{Behavior: object.EndDT4, VRF: "vrfA", VRFTable: 110}, "IPv4 packet in it is looked up in table 110 (VRF vrfA)"},
		"End.DT6 main":   {object.LocalSID{Behavior: object.EndDT6, VRFTable: 254}, "IPv6 packet in it is looked up in table 254 (main)"},
		"End.DT46":       {object.LocalSID{Behavior: object.EndDT46, VRF: "b", VRFTable: 7}, "table 7 (VRF b)"},
		"End.B6":         {object.LocalSID{Behavior: object.EndB6, Policy: encap(object.HInsert, "fc00::1", "fc00::2")}, "put into it: by fc00::1, then fc00::2, then its own destination"},
		"PSP":            {object.LocalSID{Behavior: object.End, Flavors: object.PSP}, "where the next segment is the last one, the segment routing header is taken off"},
		"NEXT-CSID": {object.LocalSID{Behavior: object.End, SID: netip.MustParseAddr("fcbb:bb00:100::"), Flavors: object.NextCSID, BlockLength: 32, NodeFunctionLength: 16},
			"other than zeros behind the first 48 bits, it goes on by its destination alone, without a segment used up: what is behind bit 48 moves to bit 32"},
		"End.B6.Encaps": {object.LocalSID{Behavior: object.EndB6Encaps, Policy: encap(object.HEncaps, "fc00::1")}, "IPv6 packet by fc00::1; the outer packet is looked up by the first segment in table 254 (main)"},
	} {
		if got := strings.Join(explain.SID(&c.sid), "; "); !strings.Contains(got, c.says) {
			t.Errorf("%s: no %q in %q", name, c.says, got)
		}
	}
}

func TestProxy(t *testing.T) {
	local := &object.LocalSID{Behavior: object.EndDX4, NextHop: netip.MustParseAddr("192.168.1.2")}
	route := &object.Route{NextHops: []object.NextHop{{Gateway: netip.MustParseAddr("fd00:12::2"), Link: "e6"}}}
	for name, c := range map[string]struct {
		proxy object.Proxy
		says  []string
	}{
		"End.AD": {object.Proxy{Behavior: object.EndAD, Inner: object.InnerIPv4, In: "e5"},
			[]string{"with segments left, and an IPv4 packet", "sent to the NF, 192.168.1.2", "comes back by e5 gets the headers that are kept"}},
		"End.AS": {object.Proxy{Behavior: object.EndAS, Inner: object.InnerIPv4, In: "e7", HopLimit: 63,
			Encap: &object.Encap{Source: netip.MustParseAddr("fc00::9"), Segments: []netip.Addr{netip.MustParseAddr("fc00::1"), netip.MustParseAddr("fc00::2")}}},
			[]string{"whatever segments are left", "from fc00::9 with a hop limit of 63, and goes by fc00::1, then fc00::2"}},
		"Ethernet": {object.Proxy{Behavior: object.EndAD, Inner: object.InnerEthernet, In: "e5"},
			[]string{"with segments left, and an Ethernet frame", "the Ethernet frame in it is sent to the NF, by e4"}},
		"End.AM": {object.Proxy{Behavior: object.EndAM, In: "e7", Out: "e6"},
			[]string{"sent to the NF to fd00:12::2 by e6", "with its last segment as destination", "no segments left, it is dropped", "comes back by e7", "another destination it is dropped"}},
		"End.AM with NAT": {object.Proxy{Behavior: object.EndAM, In: "e7", Out: "e6", DestinationNAT: true},
			[]string{"its destination, which may be another one, as its last segment"}},
	} {
		var way object.Object = local
		switch {
		case c.proxy.Behavior == object.EndAM:
			way = route
		case c.proxy.Inner == object.InnerEthernet:
			way = &object.LocalSID{Behavior: object.EndDX2, OutLink: "e4"}
		}
		got := strings.Join(explain.Proxy(&c.proxy, way), "; ")
		for _, says := range c.says {
			if !strings.Contains(got, says) {
				t.Errorf("%s: no %q in %q", name, says, got)
			}
		}
	}
}

func noVRF(string) (uint32, bool) { return 0, false }

func blueVRF(link string) (uint32, bool) { return 110, link == "blue" }

func TestRoute(t *testing.T) {
	via := object.NextHop{Gateway: netip.MustParseAddr("fe80::2"), Link: "e1"}
	by := object.NextHop{Link: "e1", Encap: encap(object.HEncaps, "fc00::1", "fc00::2")}
	for name, c := range map[string]struct {
		route  object.Route
		shared []object.NextHop
		want   string
	}{
		"blackhole":   {object.Route{Type: object.Blackhole}, nil, "it is dropped in silence"},
		"unreachable": {object.Route{Type: object.Unreachable}, nil, "it is dropped, and its sender is told that the destination is unreachable (ICMP)"},
		"throw":       {object.Route{Type: object.Throw, Table: 110, VRF: "vrfA"}, nil, "the lookup in table 110 (VRF vrfA) ends, and goes on in the next table"},
		"next hop":    {object.Route{NextHops: []object.NextHop{via}}, nil, "it is sent to fe80::2 by e1"},
		"on link":     {object.Route{NextHops: []object.NextHop{{Link: "e1"}}}, nil, "it is sent by e1 to its destination, a neighbour there"},
		"leak":        {object.Route{NextHops: []object.NextHop{{Link: "blue"}}}, nil, "it is looked up in table 110 (VRF blue)"},
		"two ways":    {object.Route{NextHops: []object.NextHop{via, {Link: "e2", Weight: 3}}}, nil, "its flow goes one of 2 ways; way 1 of weight 1: it is sent to fe80::2 by e1; way 2 of weight 3: it is sent by e2 to its destination, a neighbour there"},
		"signed": {object.Route{Table: object.TableMain, NextHops: []object.NextHop{{Encap: &object.Encap{Mode: object.HEncaps, Segments: by.Encap.Segments, HMACKey: 7}}}}, nil,
			"it is put into an IPv6 packet by fc00::1, then fc00::2; the header is signed with HMAC key 7; the outer packet is looked up by the first segment in table 254 (main)"},
		"encapsulated in a VRF": {object.Route{VRF: "vrfA", Table: 110, NextHops: []object.NextHop{by}}, nil,
			"it is put into an IPv6 packet by fc00::1, then fc00::2; the outer packet is looked up by the first segment in the table of VRF vrfA, then in table 254 (main)"},
		"frames, from a source of their own": {object.Route{NextHops: []object.NextHop{{Link: "sr0", Encap: &object.Encap{Mode: object.HEncapsL2Red,
			Segments: by.Encap.Segments, Source: netip.MustParseAddr("fc00::9")}}}}, nil,
			"the Ethernet frame that it came in by is put into an IPv6 packet (reduced: the first segment is its destination only) by fc00::1, then fc00::2, from fc00::9; " +
				"the outer packet is looked up by the first segment in table 254 (main)"},
		"shared": {object.Route{SharedHop: "x"}, []object.NextHop{by},
			"it is put into an IPv6 packet by fc00::1, then fc00::2; the outer packet is looked up by the first segment in table 254 (main)"},
		"group": {object.Route{SharedHop: "x"}, []object.NextHop{{Encap: by.Encap, Weight: 3}, {Encap: encap(object.HEncaps, "fc00::3")}},
			"its flow goes one of 2 ways; way 1 of weight 3: it is put into an IPv6 packet by fc00::1, then fc00::2; way 1 of weight 3: the outer packet is looked up by the first segment in table 254 (main); " +
				"way 2 of weight 1: it is put into an IPv6 packet by fc00::3; way 2 of weight 1: the outer packet is looked up by the first segment in table 254 (main)"},
	} {
		if got := strings.Join(explain.Route(&c.route, c.shared, blueVRF), "; "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
