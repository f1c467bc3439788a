package schema

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/openconfig/goyang/pkg/yang"

	heddleconfig "heddle/gen/config"
)

// patternsOf collects the patterns of every known typedef in a model.
func patternsOf(e *yang.Entry, out map[string][]string) {
	var walk func(t *yang.YangType)
	walk = func(t *yang.YangType) {
		if t == nil {
			return
		}
		if knownTypedefs[t.Name] != notKnown {
			out[t.Name] = t.Pattern
		}
		for _, m := range t.Type {
			walk(m)
		}
	}
	walk(e.Type)
	for _, c := range e.Dir {
		patternsOf(c, out)
	}
}

func knownPatterns(t testing.TB) map[known][]*regexp.Regexp {
	t.Helper()
	texts := map[string][]string{}
	patternsOf(heddleconfig.SchemaTree["Device"], texts)
	out := map[known][]*regexp.Regexp{}
	for name, list := range texts {
		for _, p := range list {
			out[knownTypedefs[name]] = append(out[knownTypedefs[name]], regexp.MustCompile(goPattern(p)))
		}
	}
	if len(out) < 4 {
		t.Fatalf("the model has only %d known typedefs", len(out))
	}
	return out
}

// The code that stands in for the patterns of the model accepts what they accept.
func TestKnownTypedefs(t *testing.T) {
	patterns := knownPatterns(t)
	r := rand.New(rand.NewPCG(3, 3))
	agree := func(s string) {
		for k, list := range patterns {
			if _, ok := k.canonical(s); ok != matchAll(list, s) {
				t.Errorf("%q as %s: the code says %v", s, k.want(), ok)
			}
		}
	}
	for _, s := range probes {
		agree(s)
	}
	const alphabet = "0123456789abcdefABCDEF::::....//%g-"
	for range 20_000 {
		s := []byte(probes[r.IntN(len(probes))])
		for range 1 + r.IntN(3) {
			c := alphabet[r.IntN(len(alphabet))]
			switch at := r.IntN(len(s) + 1); {
			case r.IntN(3) == 0 || at == len(s):
				s = append(s[:at:at], append([]byte{c}, s[at:]...)...)
			case r.IntN(2) == 0:
				s = append(s[:at:at], s[at+1:]...)
			default:
				s[at] = c
			}
		}
		agree(string(s))
	}
	// No address of the model is checked the slow way.
	var check func(n *Node)
	check = func(n *Node) {
		if n.IsLeaf() {
			for _, ty := range append([]*Type{n.Type}, n.Type.members...) {
				if knownTypedefs[ty.Typedef] != notKnown && ty.known == notKnown {
					t.Errorf("%s of type %s is checked by its pattern", n.Path(), ty.Typedef)
				}
			}
		}
		for _, c := range n.Children {
			check(c)
		}
	}
	check(heddleSchema(t).Root())
}

func TestCanonicalText(t *testing.T) {
	for _, tc := range []struct {
		k        known
		in, want string
	}{
		{ipv6Address, "2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
		{ipv6Address, "0:0:0:0:0:0:0:0", "::"},
		{ipv6Address, "1:0:0:2:0:0:0:3", "1:0:0:2::3"},
		{ipv6Address, "1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"},
		{ipv6Address, "::ffff:C000:201", "::ffff:192.0.2.1"},
		{ipv4Address, "192.0.2.1", "192.0.2.1"},
		{ipv4Prefix, "192.0.2.1/24", "192.0.2.0/24"},
		{ipv4Prefix, "192.0.2.1/0", "0.0.0.0/0"},
		{ipv6Prefix, "2001:DB8::1/32", "2001:db8::/32"},
		{ipv6Prefix, "2001:db8::1/128", "2001:db8::1/128"},
		{macAddress, "02:00:5E:00:53:0A", "02:00:5e:00:53:0a"},
	} {
		got, ok := tc.k.canonical(tc.in)
		if !ok || got != tc.want {
			t.Errorf("%s: got %s %v, want %s", tc.in, got, ok, tc.want)
		}
		if again, _ := tc.k.canonical(got); again != got {
			t.Errorf("%s becomes %s", got, again)
		}
	}
}

func TestScalars(t *testing.T) {
	s := zoo(t)
	for _, tc := range []struct {
		leaf string
		in   Value
		want string // kind and text, or part of the error
	}{
		{"name", StringValue("a"), "1 a"},
		{"enabled", BoolValue(true), "4 true"},
		{"enabled", StringValue("true"), "want true or false, got a string"},
		{"food", StringValue("zoo:HAY"), "6 HAY"},
		{"food", StringValue("public-zoo:HAY"), "6 HAY"},
		{"food", StringValue("MEAT"), "6 MEAT"},
		{"food", StringValue("zoo-types:HAY"), "the prefix zoo-types is not the module of identity HAY"},
		{"size", StringValue("BIG"), "5 BIG"},
		{"weight", FloatValue(2.5), "7 2.5"},
		{"weight", DecimalValue("002.50"), "7 2.5"},
		{"weight", IntValue(2), "7 2.0"},
		{"weight", FloatValue(0.001), "out of range"},
		{"u64", UintValue(1<<64 - 1), "2 18446744073709551615"},
		{"u64", IntValue(7), "2 7"},
		{"u64", IntValue(-7), "out of range"},
		{"i64", UintValue(1 << 63), "out of range"},
		{"i64", IntValue(-1 << 63), "3 -9223372036854775808"},
		{"i8", IntValue(7), "3 7"},
		{"i8", IntValue(6), "out of range, want int8 in -5..5 | 7"},
		{"legs", StringValue("4"), "got a string"},
		{"blob", BinaryValue([]byte{0, 255}), "8 AP8="},
		{"tame", BoolValue(true), "9 "},
		{"tame", BoolValue(false), "want [null], got a boolean"},
		{"mix", UintValue(5), "2 5"},
		{"mix", StringValue("DROP"), "5 DROP"},
		{"mix", StringValue("HAY"), "6 HAY"},
		{"mix", StringValue("1.2.3.4"), "1 1.2.3.4"},
		{"mix", BoolValue(true), "4 true"},
		{"mix", StringValue("nothing"), "want uint8 in 1..10, or one of DROP, KEEP"},
		{"tags", ListValue([]Value{StringValue("a"), StringValue("b")}), "10 [a, b]"},
		{"tags", StringValue("a"), "10 [a]"},
		{"tags", ListValue([]Value{StringValue("a"), StringValue("a")}), `holds "a" twice`},
		{"legs", ListValue([]Value{UintValue(1)}), "want one value, got a list"},
	} {
		n := mustPath(t, s, "/animals/animal[name=a]/config/"+tc.leaf).Last()
		v, reason := n.scalar(tc.in)
		got := fmt.Sprintf("%d %s", v.Kind(), v)
		if reason != "" {
			got = reason
		}
		if got != tc.want && (reason == "" || !strings.Contains(reason, tc.want)) {
			t.Errorf("%s = %s: got %s, want %s", tc.leaf, tc.in, got, tc.want)
		}
		if reason != "" {
			continue
		}
		// Through a struct and back, and through JSON and back.
		sl := n.plan.slot[inConfig]
		p := newStruct(sl.cont.typ)
		sl.store(sl.field(p), sl.cell(v))
		if back, ok := sl.get(p); !ok || !back.Equal(v) {
			t.Errorf("%s: stored %v, loaded %v", tc.leaf, v, back)
		}
		for _, enc := range []Encoding{JSON, JSONIETF} {
			text := s.AppendValue(nil, n, v, enc)
			if back, _, why := decodeValue(n, text); why != "" || !back.Equal(v) {
				t.Errorf("%s: %s reads back as %v: %s", tc.leaf, text, back, why)
			}
		}
	}
}

func FuzzValue(f *testing.F) {
	s := zoo(f)
	leaves := s.Root().Child("animals").Child("animal").Child("config").Children
	for i := range leaves {
		for _, text := range []string{`"a"`, `1`, `-1.5`, `true`, `[null]`, `["a","b"]`, `"2001:db8::1"`, `"18446744073709551615"`, `"\u0041"`, `{}`} {
			f.Add(uint8(i), []byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, text []byte) {
		n := leaves[int(which)%len(leaves)]
		var d decoder
		v, err := d.leaf(text, Path{{Node: n}}, n)
		if err != nil {
			return
		}
		sl := n.plan.slot[inConfig]
		p := newStruct(sl.cont.typ)
		if n.Kind == Leaf || len(v.List()) > 0 {
			sl.store(sl.field(p), sl.cell(v))
			if back, ok := sl.get(p); !ok || !back.Equal(v) {
				t.Fatalf("%s: %q stored as %v, loaded as %v", n.Name, text, v, back)
			}
		}
		again, err := d.leaf(s.AppendValue(nil, n, v, JSONIETF), Path{{Node: n}}, n)
		if err != nil || !again.Equal(v) {
			t.Fatalf("%s: %q is %v, written and read %v, %v", n.Name, text, v, again, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	s := zoo(f)
	for seed := range uint64(20) {
		f.Add([]byte(marshal(newDocGen(seed).object(s.Root(), nil))))
	}
	f.Add([]byte(`{"zoo:animals":{"animal":[{"toys":{"toy":[{"kind":"BIG","number":1}]},"name":"a"}]}}`))
	f.Add([]byte(`{"animals":{"animal":[{"name":"\u0061"},{"name":"a"}]}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		tr := Entries{}
		ch, err := s.Apply(tr, []Edit{{Op: Replace, JSON: doc}})
		if err != nil {
			return
		}
		tr.Put(ch)
		checkRoundTrips(t, s, tr, 0)
	})
}
