package iproute_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"heddle/kernel/iproute"
	"heddle/kernel/object"
	"heddle/reconcile"
)

// bare is a kernel with nothing in it but one shared next hop.
type bare struct{}

func (bare) HopID(_ context.Context, hop string, taken map[uint32]bool) (uint32, bool, error) {
	id := uint32(0x48000001)
	for hop != sharedHop.ID && (id == 0x48000001 || taken[id]) {
		id++
	}
	return id, hop == sharedHop.ID, nil
}
func (bare) Likeness(context.Context, object.Link) (net.HardwareAddr, uint32, error) {
	return net.HardwareAddr{2, 0, 0, 0, 0, 1}, 1400, nil
}
func (bare) GivesBack(context.Context, reconcile.Step) (iproute.GivenBack, error) {
	return iproute.GivenBack{}, nil
}

var (
	sharedHop = object.HopByContent(object.NextHop{Link: "sr0", Encap: encap(object.HEncaps, "fc00:1::")})
	otherHop  = object.HopByContent(object.NextHop{Link: "sr0", Encap: encap(object.HEncaps, "fc00:2::")})
)

func encap(m object.EncapMode, segments ...string) *object.Encap {
	e := &object.Encap{Mode: m}
	for _, s := range segments {
		e.Segments = append(e.Segments, netip.MustParseAddr(s))
	}
	return e
}

func route(table uint32, prefix string, hops ...object.NextHop) *object.Route {
	return &object.Route{Table: table, Prefix: netip.MustParsePrefix(prefix), NextHops: hops}
}

func address(prefix, link string) object.Address {
	return object.Address{Link: link, Prefix: netip.MustParsePrefix(prefix)}
}

func neighbour(ip, link string) object.Neighbour {
	return object.Neighbour{Link: link, Addr: netip.MustParseAddr(ip), MAC: object.MAC{2, 0, 0, 0, 0, 7}}
}

func weighs(weight uint16, n object.NextHop) object.NextHop {
	n.Weight = weight
	return n
}

func via(gateway, link string) object.NextHop {
	return object.NextHop{Gateway: netip.MustParseAddr(gateway), Link: link}
}

func sid(address string, s object.LocalSID) *object.LocalSID {
	s.SID, s.Table, s.Dev = netip.MustParseAddr(address), object.TableMain, "sr0"
	return &s
}

// samples is an object of each kind.
var samples = map[object.Kind]object.Object{
	object.KindLink:         object.Link{Name: "sr0", Type: object.LinkDummy},
	object.KindSysctl:       object.Sysctl{Name: object.SysctlForward6, Value: "1"},
	object.KindMember:       object.Member{Link: "e1", Master: "vrfA"},
	object.KindLinkConfig:   object.LinkConfig{Link: "e1", MTU: 1400, Admin: object.AdminUp},
	object.KindAddress:      address("192.0.2.1/24", "e1"),
	object.KindNeighbour:    neighbour("192.0.2.7", "e1"),
	object.KindTunnelSource: object.TunnelSource{Source: netip.MustParseAddr("fc00::1")},
	object.KindHMACKey:      object.HMACKey{ID: 7, Algorithm: object.HMACSHA256, Secret: "hidden"},
	object.KindNextHop:      sharedHop,
	object.KindRoute:        route(object.TableMain, "198.51.100.0/24", via("192.0.2.9", "e1")),
	object.KindLocalSID:     sid("fc00::e", object.LocalSID{Behavior: object.End}),
	object.KindProxyPort:    object.ProxyPort{Link: "e1"},
	object.KindProxy:        &object.Proxy{SID: netip.MustParseAddr("fc00::ad"), Behavior: object.EndAD, Inner: object.InnerIPv4, In: "e1"},
}

// TestEveryKindIsWritten fails when there is a kind of object, or a behaviour of
// SIDs, that nobody has taught this package to write.
func TestEveryKindIsWritten(t *testing.T) {
	for _, k := range object.Kinds() {
		o := samples[k]
		if o == nil || o.Key().Kind != k {
			t.Errorf("there is no sample of kind %s: write its commands in kernel/iproute, and what it does in TestCommandsDoWhatDriversDo", k)
			continue
		}
		all, err := iproute.Commands(t.Context(), bare{}, []reconcile.Step{{New: o}})
		if err != nil || len(all[0]) == 0 {
			t.Errorf("%v is written as %v (%v)", o, all, err)
		}
	}
	for n := range 256 {
		b := object.Behavior(n)
		if strings.HasPrefix(b.String(), "action(") {
			continue
		}
		o := sid("fc00::e", object.LocalSID{Behavior: b, NextHop: netip.MustParseAddr("fe80::2")})
		if _, err := iproute.Commands(t.Context(), bare{}, []reconcile.Step{{New: o}}); err != nil {
			t.Error(err)
		}
	}
}

// TestEveryFieldIsWritten fails when an object has a new field: what it means has
// to be in the commands, and then here.
func TestEveryFieldIsWritten(t *testing.T) {
	for _, c := range []struct {
		object any
		fields string
	}{
		{object.Link{}, "Name Type Table Peer Parent VLAN Tunnel Bound"},
		{object.Tunnel{}, "Local Remote TTL Key Keyed Fragment VNI Port Learn"},
		{object.VLAN{}, "ID Service"},
		{object.Neighbour{}, "Link Addr MAC"},
		{object.Sysctl{}, "Name Value Link"},
		{object.Member{}, "Link Master"},
		{object.LinkConfig{}, "Link MTU Admin"},
		{object.Address{}, "Link Prefix"},
		{object.TunnelSource{}, "Source"},
		{object.SharedNextHop{}, "ID Hop"},
		{object.NextHopGroup{}, "ID Members"},
		{object.GroupMember{}, "Hop Weight"},
		{object.Route{}, "Table Prefix Metric Type VRF NextHops SharedHop"},
		{object.NextHop{}, "Gateway Link Encap OnLink Weight"},
		{object.Encap{}, "Mode Segments Source HMACKey"},
		{object.HMACKey{}, "ID Algorithm Secret"},
		{object.LocalSID{}, "SID Table Behavior Flavors BlockLength NodeFunctionLength VRF VRFTable NextHop OutLink Dev Policy"},
	} {
		var names []string
		for f := range reflect.TypeOf(c.object).Fields() {
			names = append(names, f.Name)
		}
		if got := strings.Join(names, " "); got != c.fields {
			t.Errorf("%T has the fields %s, and those that are written are %s", c.object, got, c.fields)
		}
	}
}

// TestUnknown asks for what cannot be written.
func TestUnknown(t *testing.T) {
	for _, o := range []object.Object{
		sid("fc00::e", object.LocalSID{Behavior: 200}),
		object.Link{Name: "x", Type: "bridge-of-sighs"},
		&object.Route{Prefix: netip.MustParsePrefix("fc00::/64"), Type: 9},
		route(object.TableMain, "fc00::/64", object.NextHop{Link: "e1", Encap: encap(77, "fc00::1")}),
		object.HopByContent(object.NextHop{Link: "e1", Encap: encap(77, "fc00::1")}),
	} {
		all, err := iproute.Commands(t.Context(), bare{}, []reconcile.Step{{New: samples[object.KindLink]}, {New: o}})
		if _, ok := errors.AsType[*iproute.UnknownError](err); !ok || all != nil {
			t.Errorf("%T: %v, %v", o, all, err)
		}
	}
}

// TestCommands shows what the commands look like.
func TestCommands(t *testing.T) {
	vrf := object.Link{Name: "vrfA", Type: object.LinkVRF, Table: 110}
	moved := object.Link{Name: "vrfA", Type: object.LinkVRF, Table: 130}
	share := func(hop *object.SharedNextHop) *object.Route {
		r := route(object.TableMain, "fc00:9::/48")
		r.SharedHop = hop.ID
		return r
	}
	steps := []reconcile.Step{
		{New: vrf},
		{New: object.Link{Name: "it's", Type: object.LinkDummy}},
		{Old: object.LinkConfig{Link: "e1"}, New: object.LinkConfig{Link: "e1", MTU: 1400, Admin: object.AdminUp}},
		{New: object.Sysctl{Name: "net/ipv6/conf/e1.5/seg6_enabled", Value: "1", Link: "e1.5"}},
		{New: sid("fc00::d", object.LocalSID{Behavior: object.EndDT46, VRF: "vrfA", VRFTable: 110})},
		{New: route(110, "192.0.2.0/24", object.NextHop{Link: "e1", Encap: encap(object.HEncapsRed, "fc00:1::", "fc00:2::")})},
		{Old: route(110, "fc00:5::/48", via("fe80::1", "e1")), New: route(110, "fc00:5::/48", via("fe80::1", "e1"), via("fe80::2", "e1"))},
		{Old: route(110, "fc00:6::/48", via("fe80::1", "e1"))},
		{Old: vrf},
		{New: moved},
		{New: otherHop},
		{Old: share(sharedHop), New: share(otherHop)},
		{Old: sharedHop},
	}
	all, err := iproute.Commands(t.Context(), bare{}, steps)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, of := range all {
		for _, c := range of {
			got = append(got, c.String())
		}
	}
	want := []string{
		"ip link add name vrfA type vrf table 110",
		"ip link set dev vrfA alias heddle:vrf",
		`ip link add name 'it'\''s' type dummy`,
		`ip link set dev 'it'\''s' alias heddle:dummy`,
		"ip link set dev e1 mtu 1400 up",
		"sysctl -w net/ipv6/conf/e1.5/seg6_enabled=1",
		"ip -6 route add fc00::d/128 metric 1024 proto 72 encap seg6local action End.DT46 vrftable 110 count dev sr0",
		"ip -4 route add 192.0.2.0/24 table 110 proto 72 encap seg6 mode encap.red segs fc00:1::,fc00:2:: dev e1",
		"ip -6 route replace fc00:5::/48 table 110 metric 1024 proto 72 nexthop via fe80::1 dev e1 nexthop via fe80::2 dev e1",
		"ip -6 route del fc00:6::/48 table 110 metric 1024 proto 72",
		"ip link del dev vrfA",
		"ip link add name vrfA address 02:00:00:00:00:01 mtu 1400 type vrf table 130",
		"ip link set dev vrfA alias heddle:vrf",
		// The routes stay with the object, which gets another way out.
		"ip -6 nexthop replace id 1207959553 encap seg6 mode encap segs fc00:2:: dev sr0 proto 72",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if i := slices.IndexFunc(all, func(of []iproute.Command) bool { return len(of) == 0 }); i != 11 {
		t.Errorf("the first step without a command is %d", i)
	}
}
