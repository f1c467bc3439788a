package gnmi

//lint:file-ignore SA1019 old clients still send what gNMI gave up.

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"heddle/schema"
)

func encode(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func value(v any) *gpb.TypedValue {
	switch v := v.(type) {
	case string:
		return &gpb.TypedValue{Value: &gpb.TypedValue_StringVal{StringVal: v}}
	case int:
		return &gpb.TypedValue{Value: &gpb.TypedValue_IntVal{IntVal: int64(v)}}
	case uint:
		return &gpb.TypedValue{Value: &gpb.TypedValue_UintVal{UintVal: uint64(v)}}
	case bool:
		return &gpb.TypedValue{Value: &gpb.TypedValue_BoolVal{BoolVal: v}}
	case []byte:
		return &gpb.TypedValue{Value: &gpb.TypedValue_BytesVal{BytesVal: v}}
	case float32:
		return &gpb.TypedValue{Value: &gpb.TypedValue_FloatVal{FloatVal: v}}
	case float64:
		return &gpb.TypedValue{Value: &gpb.TypedValue_DoubleVal{DoubleVal: v}}
	case []any:
		list := &gpb.ScalarArray{}
		for _, e := range v {
			list.Element = append(list.Element, value(e))
		}
		return &gpb.TypedValue{Value: &gpb.TypedValue_LeaflistVal{LeaflistVal: list}}
	}
	return nil
}

func ietf(doc string) *gpb.TypedValue {
	return &gpb.TypedValue{Value: &gpb.TypedValue_JsonIetfVal{JsonIetfVal: []byte(doc)}}
}

// anyValues are values of every kind, for leaves of every type.
var anyValues = []*gpb.TypedValue{
	value("x"), value(""), value("\xff"), value(1), value(-1), value(uint(7)), value(uint(math.MaxUint64)), value(true),
	value([]byte{1, 0xff}), value([]byte{}), value(float32(1.5)), value(2.0), value(math.Inf(-1)),
	value([]any{}), value([]any{"x", uint(3), -4, true, []byte{5}, 1.5, float32(2.5)}), value([]any{nil}), value([]any{[]any{"x"}}),
	ietf(`1`), ietf(`"x"`), ietf(``), ietf(`{"mtu":`), {Value: &gpb.TypedValue_JsonVal{JsonVal: []byte(`{}`)}},
	{Value: &gpb.TypedValue_LeaflistVal{LeaflistVal: &gpb.ScalarArray{Element: []*gpb.TypedValue{ietf(`1`)}}}},
	{Value: &gpb.TypedValue_DecimalVal{DecimalVal: &gpb.Decimal64{Digits: -15, Precision: 1}}},
	{Value: &gpb.TypedValue_DecimalVal{DecimalVal: &gpb.Decimal64{Digits: 1, Precision: 99}}},
	{Value: &gpb.TypedValue_AsciiVal{AsciiVal: "x"}}, {Value: &gpb.TypedValue_ProtoBytes{ProtoBytes: []byte("x")}},
	{Value: &gpb.TypedValue_AnyVal{AnyVal: &anypb.Any{TypeUrl: "x", Value: []byte("y")}}}, {},
}

// place is a container with leaves and what fits them.
type place struct {
	path   string
	leaves map[string][]any
}

var (
	linkLeaves = map[string][]any{
		"mtu": {uint(1500), 1400, uint(70000)}, "description": {"one", "two", "old"}, "enabled": {true, false}, "name": {"c", "a"},
	}
	sidLeaves = map[string][]any{
		"address": {"2001:db8::1", "2001:db8:0::7"}, "behavior": {"END", "heddle-srv6:END_X", "END_NOWHERE"}, "heddle-srv6:behavior": {"END_X"},
		"next-hop": {"fe80::1", "FE80::2", "x"}, "description": {"three"}, "standalone": {false, true}, "nosuch": {1},
	}
	srv6Path = "/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6"
	hopPath  = "/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=s]/static-routes/static[prefix=2001:db8:1::/48]/next-hops/next-hop[index=1]"
	places   = []place{
		{"/interfaces/interface[name=a]/config", linkLeaves},
		{"/interfaces/interface[name=c]/config", linkLeaves},
		{"/heddle-interfaces:interfaces/interface[name=c]/config", linkLeaves},
		{"/interfaces/interface[name=*]/config", linkLeaves},
		{"/interfaces/interface/config", linkLeaves},
		{"/interfaces/interface[nosuch=a]/config", linkLeaves},
		{"/interfaces/interface[name=a]/state", map[string][]any{"mtu": {uint(1)}, "oper-status": {"UP"}}},
		{srv6Path + "/sids/sid[address=2001:db8::1]/config", sidLeaves},
		{srv6Path + "/sids/sid[address=2001:DB8:0::7]/config", sidLeaves},
		{srv6Path + "/sids/sid[address=2001:db8::8]", map[string][]any{"address": {"2001:db8::8", "2001:db8::9"}}},
		{hopPath + "/config", map[string][]any{"index": {"1"}, "next-hop": {"2001:db8::2"}, "metric": {uint(5), -5}}},
		{hopPath + "/srv6-encapsulation/config", map[string][]any{"segment-list": {
			[]any{"2001:db8::a", "2001:db8::b"}, []any{"2001:db8::c"}, []any{}, "2001:db8::d", []any{"2001:db8::a", "2001:db8::a"}, []any{"x"}}}},
		{"/interfaces/*/config", linkLeaves},
		{"/...", linkLeaves},
		{"/bridges", linkLeaves},
		{"", map[string][]any{"interfaces": {"x"}}},
	}
)

// wireGen writes SetRequests: mostly as every encoder does, at times in ways that
// protobuf allows and hardly anybody goes.
type wireGen struct {
	testing.TB
	*rand.Rand
	rare int // one in so many
}

// odd is seldom true.
func (g *wireGen) odd() bool { return g.IntN(g.rare) == 0 }

func (g *wireGen) veryOdd() bool { return g.IntN(g.rare*g.rare) == 0 }

func lengthField(num protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), b)
}

// unknown is a field that the message does not have, or not of this type.
func (g *wireGen) unknown() []byte {
	num := []protowire.Number{1, 2, 3, 4, 5, 6, 7, 15, 16, 5000, protowire.MaxValidNumber, protowire.MaxValidNumber + 1}[g.IntN(12)]
	switch g.IntN(6) {
	case 0:
		return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), math.MaxUint64)
	case 1:
		return protowire.AppendFixed32(protowire.AppendTag(nil, num, protowire.Fixed32Type), 1)
	case 2:
		return protowire.AppendFixed64(protowire.AppendTag(nil, num, protowire.Fixed64Type), 1)
	case 3:
		return lengthField(num, []byte("?"))
	case 4:
		b := protowire.AppendTag(nil, num, protowire.StartGroupType)
		b = append(b, lengthField(1, bytes.Repeat([]byte("x"), 40))...)
		return protowire.AppendTag(b, num+protowire.Number(g.IntN(8)/7), protowire.EndGroupType)
	}
	return protowire.AppendTag(nil, num, []protowire.Type{protowire.StartGroupType, protowire.EndGroupType, 6, 7}[g.IntN(4)])
}

// message is a message of these fields.
func (g *wireGen) message(fields ...[]byte) []byte {
	if g.odd() {
		i := g.IntN(len(fields) + 1)
		fields = append(fields[:i:i], append([][]byte{g.unknown()}, fields[i:]...)...)
	}
	if len(fields) > 0 && g.odd() {
		fields = append(fields[:len(fields):len(fields)], fields[g.IntN(len(fields))])
	}
	if len(fields) > 1 && g.odd() {
		i, j := g.IntN(len(fields)), g.IntN(len(fields))
		fields = append([][]byte{}, fields...)
		fields[i], fields[j] = fields[j], fields[i]
	}
	b := bytes.Join(fields, nil)
	if len(b) > 0 && g.veryOdd() {
		b = b[:len(b)-1]
	}
	if len(b) > 0 && g.veryOdd() {
		b = bytes.Clone(b)
		b[g.IntN(len(b))] ^= 1 << g.IntN(8)
	}
	return b
}

func (g *wireGen) path(text string) []byte {
	elems, err := schema.ParseElems(text)
	if err != nil {
		g.Fatal(err)
	}
	var fields [][]byte
	if g.odd() {
		fields = append(fields, lengthField(2, []byte([]string{"openconfig", "cli", "", "\xff"}[g.IntN(4)])))
	}
	for _, e := range elems {
		parts := [][]byte{lengthField(1, []byte(e.Name))}
		for _, k := range schemaKeys(e) {
			parts = append(parts, lengthField(2, g.message(lengthField(1, []byte(k)), lengthField(2, []byte(e.Keys[k])))))
		}
		fields = append(fields, lengthField(3, g.message(parts...)))
	}
	if g.odd() {
		fields = append(fields, lengthField(protowire.Number(1+3*g.IntN(2)), []byte("target")))
	}
	return g.message(fields...)
}

// schemaKeys are the names of the keys, in the order of the model.
func schemaKeys(e schema.NameElem) []string {
	var names []string
	for _, k := range []string{"identifier", "name", "address", "prefix", "index", "nosuch"} {
		if _, ok := e.Keys[k]; ok {
			names = append(names, k)
		}
	}
	return names
}

func (g *wireGen) val(v *gpb.TypedValue) []byte {
	b, err := proto.Marshal(v)
	if err != nil {
		// protobuf itself writes no invalid strings.
		b = lengthField(1, []byte(v.GetStringVal()))
	}
	if g.odd() {
		more, _ := proto.Marshal(anyValues[g.IntN(len(anyValues))])
		return g.message(b, more)
	}
	return g.message(b)
}

// updates are updates of some leaves of one place, mostly with what fits.
func (g *wireGen) updates(num protowire.Number, prefix string) (fields [][]byte) {
	at := places[g.IntN(len(places))]
	if g.odd() || len(at.leaves) < 2 || at.path[0] != '/' || strings.ContainsAny(at.path, "*.") {
		at = places[g.IntN(len(places))]
	}
	if g.IntN(3) > 0 {
		at = places[[]int{1, 2, 7, 10, 11}[g.IntN(5)]]
	}
	var names []string
	for _, n := range []string{"address", "behavior", "next-hop", "description", "standalone", "heddle-srv6:behavior", "name", "mtu", "enabled", "index", "metric", "segment-list", "oper-status", "interfaces"} {
		if at.leaves[n] != nil {
			names = append(names, n)
		}
	}
	path := strings.TrimPrefix(at.path, prefix)
	for range 1 + g.IntN(5) {
		name := names[g.IntN(len(names))]
		v := value(at.leaves[name][max(0, g.IntN(len(at.leaves[name])*5)-len(at.leaves[name])*4)])
		if g.odd() {
			v = anyValues[g.IntN(len(anyValues))]
		}
		if g.odd() {
			fields = append(fields, lengthField(num, g.message(lengthField(1, g.path(path)), lengthField(3, g.val(ietf(`{"config":{"description":"j"}}`))))))
		}
		parts := [][]byte{lengthField(1, g.path(path+"/"+name)), lengthField(3, g.val(v))}
		if g.odd() {
			parts = append(parts, lengthField(2, nil))
		}
		if g.odd() {
			parts = parts[g.IntN(2) : 1+g.IntN(2)]
		}
		fields = append(fields, lengthField(num, g.message(parts...)))
	}
	return fields
}

func (g *wireGen) request() []byte {
	prefix := ""
	var fields [][]byte
	if g.odd() {
		prefix = []string{"/interfaces", srv6Path, "", "/nosuch"}[g.IntN(4)]
		fields = append(fields, lengthField(requestPrefix, g.path(prefix)))
	}
	if g.odd() {
		fields = append(fields, lengthField(requestDelete, g.path(places[g.IntN(len(places))].path)))
	}
	if g.odd() {
		fields = append(fields, g.updates(requestReplace, prefix)...)
	}
	for range 1 + g.IntN(5) {
		fields = append(fields, g.updates(requestUpdate, prefix)...)
	}
	if g.veryOdd() {
		fields = append(fields, g.updates(requestUnionReplace, prefix)...)
	}
	if g.veryOdd() {
		fields = append(fields, lengthField(requestExtension, g.message(lengthField(protowire.Number(1+g.IntN(7)), nil))))
	}
	if g.odd() && len(fields) > 0 {
		fields = append(fields, lengthField(requestDelete, g.path(places[g.IntN(len(places))].path)))
	}
	return g.message(fields...)
}

// Whatever is in a SetRequest, and however it is cut into buffers, reading it from
// its octets comes to what reading it with protobuf comes to: edits that do the
// same, the same answer or the same error.
func TestReadSetLikeProtobuf(t *testing.T) {
	r := newRig(t)
	seen := map[codes.Code]int{}
	valid := 0
	const runs = 1500
	for seed := range uint64(runs) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		g := &wireGen{t, rnd, []int{60, 300, 3000}[rnd.IntN(3)]}
		code, ok := r.compare(t, g.request(), 1+rnd.IntN(300))
		seen[code]++
		if ok {
			valid++
		}
	}
	t.Log(seen, "valid", valid)
	if valid < runs/5 || min(seen[codes.Internal], seen[codes.InvalidArgument], seen[codes.NotFound], seen[codes.Unimplemented]) < runs/200 {
		t.Errorf("%v, %d valid: the test says little", seen, valid)
	}
}

func FuzzSetRequest(f *testing.F) {
	r := newRig(f)
	add := func(b []byte) {
		for _, size := range []uint16{1, 7, 1 << 14} {
			f.Add(b, size)
		}
	}
	path := func(text string) *gpb.Path {
		elems, err := schema.ParseElems(text)
		if err != nil {
			f.Fatal(err)
		}
		p := &gpb.Path{}
		for _, e := range elems {
			p.Elem = append(p.Elem, &gpb.PathElem{Name: e.Name, Key: e.Keys})
		}
		return p
	}
	all := &gpb.SetRequest{Prefix: &gpb.Path{Target: "t"}, Delete: []*gpb.Path{path("/interfaces/interface[name=b]"), path("/interfaces/interface[name=*]/config/mtu")}}
	for _, p := range places[:3] {
		for name, values := range p.leaves {
			all.Update = append(all.Update, &gpb.Update{Path: path(p.path + "/" + name), Val: value(values[0])})
		}
	}
	whole := encode(f, all)
	add(whole)
	add(whole[:len(whole)-3])
	for _, v := range anyValues {
		if b, err := proto.Marshal(&gpb.SetRequest{Update: []*gpb.Update{{Path: path("/interfaces/interface[name=a]/config/mtu"), Val: v}}}); err == nil {
			add(b)
		}
	}
	mtu := encode(f, path("/interfaces/interface[name=a]/config/mtu"))
	up := func(parts ...[]byte) []byte { return lengthField(requestUpdate, bytes.Join(parts, nil)) }
	at, val := lengthField(1, mtu), func(v any) []byte { return lengthField(3, encode(f, value(v))) }
	group := append(protowire.AppendTag(nil, 9, protowire.StartGroupType), protowire.AppendTag(nil, 9, protowire.EndGroupType)...)
	for _, b := range [][]byte{
		{}, {0}, {0x0a}, {0x07}, {0x22, 0xff}, group, group[:1], group[1:],
		up(at, val(uint(1300)), val(uint(1301))),                       // val twice: the last
		up(at, val([]any{"x"}), val([]any{"y"})),                       // val twice: merged
		up(at[:0], lengthField(1, mtu[:15]), lengthField(1, mtu[15:])), // path twice: merged, without a value
		up(val(uint(1300)), at),                                        // in another order
		up(at, group, val(uint(1300))),                                 // unknown
		up(at, val(uint(1300)), group[:1]),                             // a group without end
		up(lengthField(1, append(bytes.Clone(mtu), group[:1]...)), lengthField(1, group[1:]), val(uint(1))), // a group over two occurrences of a message
		up(at, lengthField(3, nil)), up(at), up(), up(val(uint(1))), // without value, without path
		up(at, lengthField(2, nil), val(uint(1300))),                                             // deprecated value beside val
		up(at, lengthField(2, nil)),                                                              // instead
		up(at, protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), 1)),     // wrong wire type
		up(at, lengthField(3, lengthField(1, []byte("\xff")))),                                   // invalid UTF-8 in a value
		up(lengthField(1, bytes.Replace(mtu, []byte("mtu"), []byte("mt\xff"), 1)), val(uint(1))), // in a path
		bytes.Join([][]byte{up(at, val(uint(1300))), lengthField(requestDelete, mtu), lengthField(requestPrefix, lengthField(4, []byte("x"))), lengthField(requestPrefix, lengthField(2, []byte("openconfig")))}, nil),
		bytes.Join([][]byte{lengthField(requestPrefix, lengthField(2, []byte("cli"))), up(at, val(uint(1300)))}, nil),
		bytes.Join([][]byte{lengthField(requestPrefix, lengthField(1, []byte("interfaces"))), up(at, val(uint(1300)))}, nil),
		bytes.Join([][]byte{lengthField(requestPrefix, lengthField(2, []byte("openconfig"))), up(lengthField(1, append(lengthField(2, []byte("openconfig")), mtu...)), val(uint(1300)))}, nil),
		bytes.Join([][]byte{up(at, val("x")), {0x22, 0x05, 0x0a}}, nil), // wrong, then malformed
		lengthField(requestUnionReplace, up()), bytes.Join([][]byte{lengthField(requestUnionReplace, nil), up(at, val(uint(1)))}, nil),
		encode(f, &gpb.SetRequest{Extension: []*gnmi_ext.Extension{{Ext: &gnmi_ext.Extension_Depth{Depth: &gnmi_ext.Depth{Level: 1}}}}}),
		encode(f, &gpb.SetRequest{Extension: []*gnmi_ext.Extension{{}}}),
	} {
		add(b)
	}
	// As deep as protobuf goes, and one deeper: SetRequest, Update and TypedValue are
	// the first three messages.
	deep := []byte{}
	for n := 3; n <= protowire.DefaultRecursionLimit; n += 2 {
		if n+2 >= protowire.DefaultRecursionLimit {
			f.Add(up(at, lengthField(3, deep)), uint16(1<<14))
		}
		deep = lengthField(8, lengthField(1, deep))
	}
	f.Add(up(at, lengthField(3, deep)), uint16(1<<14))
	// A path of 10 MB.
	f.Add(up(lengthField(1, lengthField(3, lengthField(1, bytes.Repeat([]byte("x"), 10<<20)))), val(uint(1))), uint16(1<<14))
	f.Fuzz(func(t *testing.T, octets []byte, size uint16) {
		r.compare(t, octets, 1+int(size))
	})
}

// leaves is a request of n SIDs, leaf by leaf.
func leaves(t testing.TB, n int) []byte {
	t.Helper()
	req := &gpb.SetRequest{}
	for i := range n {
		addr := fmt.Sprintf("2001:db8:1:%x:%x::1", 0xe000+i>>12, i&0xfff)
		at, err := schema.ParseElems(srv6Path + "/sids/sid[address=" + addr + "]/config")
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range []struct {
			name string
			val  any
		}{
			{"address", addr}, {"behavior", "heddle-srv6:END_X"}, {"next-hop", fmt.Sprintf("2001:db8:13::%x", 16+i%64)},
			{"description", fmt.Sprintf("customer %d", i)}, {"standalone", false},
		} {
			p := &gpb.Path{}
			for _, e := range append(at[:len(at):len(at)], schema.NameElem{Name: l.name}) {
				p.Elem = append(p.Elem, &gpb.PathElem{Name: e.Name, Key: e.Keys})
			}
			req.Update = append(req.Update, &gpb.Update{Path: p, Val: value(l.val)})
		}
	}
	return encode(t, req)
}

// Leaf updates that follow each other cost no object for each path.
func TestReadAllocatesByEntry(t *testing.T) {
	r := newRig(t)
	const n = 1000
	data := pieces(leaves(t, n), 16<<10)
	per := testing.AllocsPerRun(5, func() {
		if _, err := r.server.read(data); err != nil {
			t.Fatal(err)
		}
	}) / n
	if per > 18 {
		t.Errorf("%.1f allocations for a SID of five leaves", per)
	}
}

// BenchmarkReadSet is a Set of 20,000 SIDs leaf by leaf, from octets to changes and
// the answer: from the wire, and with messages of protobuf.
func BenchmarkReadSet(b *testing.B) {
	const n = 20_000
	r := newRig(b)
	octets := leaves(b, n)
	apply := func(b *testing.B, edits []schema.Edit, err error) {
		if err == nil {
			_, err = r.server.schema.Apply(r.base, edits)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	run := func(name string, fn func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(octets)))
			b.ReportAllocs()
			for b.Loop() {
				fn(b)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(5*n), "ns/leaf")
		})
	}
	data := pieces(octets, 16<<10)
	run("wire", func(b *testing.B) {
		read, err := r.server.read(data)
		if err != nil {
			b.Fatal(err)
		}
		apply(b, read.edits, nil)
	})
	run("protobuf", func(b *testing.B) {
		edits, resp, err := stockSet(r.server, octets)
		apply(b, edits, err)
		encode(b, resp)
	})
}
