package schema

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// FuzzEntryKey: the key of an entry says which entry it is: its values, its parent,
// its path and its place among others. Octets that are no key of this schema do no
// harm.
func FuzzEntryKey(f *testing.F) {
	s := zoo(f)
	animal := s.Root().Child("animals").Child("animal")
	toy := animal.Child("toys").Child("toy")
	for _, seed := range [][4]string{
		{"", "lion", "BIG", "3"}, {"\x00\x01a\x00", "a]b", "zoo-types:BIG", "0"}, {"\x00\x01a\x00\x00\x02b\x01c\x00", `a\b=c`, "SMALL", "-1"},
		{"\xff\xffa\x00", "a/b", "BIG", "4294967296"}, {"\x00", "\x01", "BIG", "03"}, {"\x00\x01", "ü", "", ""},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], seed[1]+"x")
	}
	f.Fuzz(func(t *testing.T, octets, name, kind, number, other string) {
		anyKey(t, s, EntryKey(octets))
		k, err := s.Key("", animal, name)
		if err != nil {
			var bad *PathError
			if !errors.As(err, &bad) || bad.Code != BadKey {
				t.Fatalf("key %q: %v", name, err)
			}
			return
		}
		sameEntry(t, s, k, "", animal)
		if o, err := s.Key("", animal, other); err == nil {
			if (o == k) != (o.Values()[0] == k.Values()[0]) || (o < k) != (o.Values()[0] < k.Values()[0]) || o != k && (o.Under(k) || k.Under(o)) {
				t.Fatalf("%q and %q are kept as %q and %q", name, other, k, o)
			}
		}
		below, err := s.Key(k, toy, kind, number)
		if err != nil {
			return
		}
		sameEntry(t, s, below, k, toy)
		if !below.Under(k) || below <= k || k.Under(below) || !strings.HasPrefix(string(below), string(s.ListPrefix(k, toy))) {
			t.Fatalf("%q is not below %q", below, k)
		}
	})
}

// anyKey asks everything of octets that may be no key.
func anyKey(t *testing.T, s *Schema, k EntryKey) {
	t.Helper()
	_, _, _, _ = k.List(), k.Values(), k.String(), s.Text(k)
	_ = s.Node(k)
	for rest, ok := k.Parent(); ok; {
		if len(rest) >= len(k) {
			t.Fatalf("the parent of %q is %q", k, rest)
		}
		k = rest
		rest, ok = k.Parent()
	}
}

func sameEntry(t *testing.T, s *Schema, k, parent EntryKey, list *Node) {
	t.Helper()
	if up, ok := k.Parent(); !ok || up != parent || k.List() != list.ListID || s.Node(k) != list || len(k.Values()) != len(list.Keys) {
		t.Fatalf("%q: parent %q, list %d, values %q", k, up, k.List(), k.Values())
	}
	again, err := s.Key(parent, list, k.Values()...)
	if err != nil || again != k || s.KeyOf(parent, list, k.Values()...) != k {
		t.Fatalf("%q: its values make %q, %v", k, again, err)
	}
	texts := s.Texts()
	for _, k := range []EntryKey{k, parent, k} {
		if got := string(texts.Append(nil, k)); got != s.Text(k) {
			t.Fatalf("%q: its path is %s, and %s after others", k, s.Text(k), got)
		}
	}
	p, err := s.ParsePath(s.Text(k))
	if err != nil || p.Entry() != k || s.Path(k).String() != s.Text(k) {
		t.Fatalf("%q: its path %s leads to %q, %v", k, s.Text(k), p.Entry(), err)
	}
}

// FuzzScalar: a value as it comes in a gNMI message fits a leaf or does not. One
// that fits is in canonical form: given again, as it is or as JSON, it is the same.
func FuzzScalar(f *testing.F) {
	s := zoo(f)
	leaves := s.Root().Child("animals").Child("animal").Child("config").Children
	for i := range leaves {
		f.Add(uint8(i), uint8(i), "BIG", int64(-3), 1.5, uint8(0))
		f.Add(uint8(i), uint8(0), "2001:DB8::1", int64(math.MaxInt64), math.Inf(1), uint8(2))
	}
	f.Fuzz(func(t *testing.T, which, kind uint8, text string, number int64, float float64, elements uint8) {
		n := leaves[int(which)%len(leaves)]
		one := func(kind uint8) Value {
			switch kind % 7 {
			case 0:
				return StringValue(text)
			case 1:
				return IntValue(number)
			case 2:
				return UintValue(uint64(number))
			case 3:
				return BoolValue(number%2 == 0)
			case 4:
				return FloatValue(float)
			case 5:
				return DecimalValue(text)
			}
			return BinaryValue([]byte(text))
		}
		v := one(kind)
		if elements > 0 {
			list := make([]Value, elements%5)
			for i := range list {
				list[i] = one(kind + uint8(i))
			}
			v = ListValue(list)
		}
		got, reason := n.scalar(v)
		if reason != "" {
			return
		}
		if again, reason := n.scalar(got); reason != "" || !again.Equal(got) {
			t.Fatalf("%s: %v is %v, and that %v: %s", n.Name, v, got, again, reason)
		}
		var d decoder
		again, err := d.leaf(s.AppendValue(nil, n, got, JSONIETF), Path{{Node: n}}, n)
		if err != nil || !again.Equal(got) {
			t.Fatalf("%s: %v is %v, and as JSON %s %v, %v", n.Name, v, got, s.AppendValue(nil, n, got, JSONIETF), again, err)
		}
	})
}

// FuzzDecodeEntry: an entry as the log of commits has it is read as it was written,
// or refused.
func FuzzDecodeEntry(f *testing.F) {
	s := heddleSchema(f)
	keys := map[string]EntryKey{}
	for path, value := range map[string]string{
		"/":                              `{}`,
		"/interfaces/interface[name=e1]": `{"config":{"name":"e1","mtu":1500,"enabled":false}}`,
		"/network-instances/network-instance[name=DEFAULT]":                                                                                                       `{"config":{"name":"DEFAULT"},"segment-routing":{"srv6":{"config":{"source-address":"2001:db8::1"}}}}`,
		"/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6/sids/sid[address=2001:db8:1::1]":                                                  `{"config":{"address":"2001:db8:1::1","behavior":"heddle-srv6:END"}}`,
		"/network-instances/network-instance[name=b]/protocols/protocol[identifier=STATIC][name=s]/static-routes/static[prefix=::/0]/next-hops/next-hop[index=0]": `{"config":{"index":"0","next-hop":"DROP"},"srv6-encapsulation":{"config":{"segment-list":["2001:db8::1"]}}}`,
	} {
		p, err := s.ParsePath(path)
		if err != nil {
			f.Fatal(err)
		}
		keys[path] = p.Entry()
		f.Add(path, []byte(value))
	}
	f.Fuzz(func(t *testing.T, path string, value []byte) {
		k, ok := keys[path]
		if !ok {
			k = keys["/interfaces/interface[name=e1]"]
		}
		e, err := s.DecodeEntry(k, value)
		if err != nil {
			return
		}
		again, err := s.DecodeEntry(k, s.EncodeEntry(nil, k, e))
		if err != nil || !s.planOf(e).equal(base(e), base(again)) {
			t.Fatalf("%s: %s is written as %s, and that read as %s, %v", path, value, s.EncodeEntry(nil, k, e), s.EncodeEntry(nil, k, again), err)
		}
	})
}
