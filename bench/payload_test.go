package bench

import (
	"bytes"
	"fmt"
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/protobuf/proto"

	"heddle/schema"
)

const (
	defaultInstance = "/network-instances/network-instance[name=DEFAULT]"
	srv6            = defaultInstance + "/segment-routing/srv6"
	sidsPath        = srv6 + "/sids"
	staticProtocol  = defaultInstance + "/protocols/protocol[identifier=STATIC][name=s]"
	staticsPath     = staticProtocol + "/static-routes"
)

// node is what is configured before anything is measured.
var node = [][2]string{
	{"/interfaces/interface[name=e1]", `{"subinterfaces": {"subinterface": [{"index": 0, "ipv6": {"addresses": {"address": [
		{"ip": "2001:db8:13::1", "config": {"prefix-length": 64}}]}}}]}}`},
	{defaultInstance + "/config", `{"type": "DEFAULT_INSTANCE"}`},
	{srv6 + "/config", `{"source-address": "2001:db8:1::1"}`},
	{srv6 + "/interfaces/interface[interface-id=e1]/config", `{"enabled": true}`},
	{srv6 + "/locators/locator[name=main]/config", `{"prefix": "2001:db8:1::/48"}`},
}

func sidAddress(i int) string { return fmt.Sprintf("2001:db8:1:%x:%x::1", 0xe000+i>>12, i&0xfff) }

func sidNextHop(i int) string { return fmt.Sprintf("2001:db8:13::%x", 16+i%64) }

// sidsJSON is a payload for sidsPath: n End.X SIDs of five leaves and a key.
func sidsJSON(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"heddle-srv6:sid":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"address":"%[1]s","config":{"address":"%[1]s","behavior":"heddle-srv6:END_X","next-hop":"%[2]s",`+
			`"description":"customer %[3]d","standalone":false}}`, sidAddress(i), sidNextHop(i), i)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// sidsBatch has iproute2 make the same routes.
func sidsBatch(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "route add %s encap seg6local action End.X nh6 %s count dev e1\n", sidAddress(i), sidNextHop(i))
	}
	return b.Bytes()
}

func staticPrefix(i int) string { return fmt.Sprintf("2001:db8:%x:%x::/64", 0x4000+i>>12, i&0xfff) }

// encaps are H.Encaps routes over 16 segment lists, which say no more than that, or
// name a next hop and its interface. The lists end at a node with a number.
type encaps struct {
	named bool
	end   int
}

func (e encaps) segments(i int) (first, second string) {
	return fmt.Sprintf("2001:db8:2:%x::1", i%16), fmt.Sprintf("2001:db8:%d::1", 3+e.end)
}

// json is a payload for staticsPath of n routes.
func (e encaps) json(n int) []byte {
	way := ""
	if e.named {
		way = `,"next-hop":"2001:db8:13::9"},"interface-ref":{"config":{"interface":"e1"}`
	}
	var b bytes.Buffer
	b.WriteString(`{"heddle-static-routes:static":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		first, second := e.segments(i)
		fmt.Fprintf(&b, `{"prefix":"%[1]s","config":{"prefix":"%[1]s"},"next-hops":{"next-hop":[{"index":"0",`+
			`"config":{"index":"0"%[4]s},`+
			`"heddle-srv6:srv6-encapsulation":{"config":{"segment-list":["%[2]s","%[3]s"]}}}]}}`, staticPrefix(i), first, second, way)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// batch has iproute2 add, or replace, the same routes: each carries its
// encapsulation.
func (e encaps) batch(verb string, n int) []byte {
	var b bytes.Buffer
	for i := range n {
		first, second := e.segments(i)
		fmt.Fprintf(&b, "route %s %s encap seg6 mode encap segs %s,%s via 2001:db8:13::9 dev e1\n", verb, staticPrefix(i), first, second)
	}
	return b.Bytes()
}

func path(t testing.TB, text string) *gpb.Path {
	t.Helper()
	elems, err := schema.ParseElems(text)
	if err != nil {
		t.Fatal(err)
	}
	p := &gpb.Path{}
	for _, e := range elems {
		p.Elem = append(p.Elem, &gpb.PathElem{Name: e.Name, Key: e.Keys})
	}
	return p
}

func ietf(doc []byte) *gpb.TypedValue {
	return &gpb.TypedValue{Value: &gpb.TypedValue_JsonIetfVal{JsonIetfVal: doc}}
}

func text(s string) *gpb.TypedValue {
	return &gpb.TypedValue{Value: &gpb.TypedValue_StringVal{StringVal: s}}
}

func update(t testing.TB, at string, v *gpb.TypedValue) *gpb.Update {
	return &gpb.Update{Path: path(t, at), Val: v}
}

// wire is a message as it goes over the wire, made before the clock runs.
func wire(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func replaceRequest(t testing.TB, at string, doc []byte) []byte {
	return wire(t, &gpb.SetRequest{Replace: []*gpb.Update{update(t, at, ietf(doc))}})
}

// leavesRequest is the content of sidsJSON, one update for each leaf.
func leavesRequest(t testing.TB, n int) []byte {
	req := &gpb.SetRequest{}
	for i := range n {
		sid := sidsPath + "/sid[address=" + sidAddress(i) + "]/config"
		base := path(t, sid).Elem
		add := func(leaf string, v *gpb.TypedValue) {
			p := &gpb.Path{Elem: append(base[:len(base):len(base)], &gpb.PathElem{Name: leaf})}
			req.Update = append(req.Update, &gpb.Update{Path: p, Val: v})
		}
		add("address", text(sidAddress(i)))
		add("behavior", text("heddle-srv6:END_X"))
		add("next-hop", text(sidNextHop(i)))
		add("description", text(fmt.Sprintf("customer %d", i)))
		add("standalone", &gpb.TypedValue{Value: &gpb.TypedValue_BoolVal{BoolVal: false}})
	}
	return wire(t, req)
}
