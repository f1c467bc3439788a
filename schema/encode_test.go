package schema

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/openconfig/ygot/ygot"

	zoostate "heddle/schema/internal/zoo/state"
)

// zooTrees is a configuration with the animals a and b and a state with a and
// c, and of d only a toy.
func zooTrees(t testing.TB, s *Schema) (config, state Entries) {
	t.Helper()
	config, state = Entries{}, Entries{}
	config.Put(apply(t, s, config, script(t, s, `update /animals/animal[name=a]/config {"legs":4,"u64":"5","food":"HAY"}
		update /animals/animal[name=a]/toys/toy [{"kind":"BIG","number":1},{"kind":"BIG","number":2}]
		update /animals/animal[name=b]/cage {"bars":1}`)...))
	add := func(path string, g GoStruct) { state[mustPath(t, s, path).Entry()] = g }
	add("/", &zoostate.Device{Log: &zoostate.Log{Status: &zoostate.Log_Status{Uptime: ygot.Uint64(9), Alarms: []string{"x", "x"}}}})
	add("/animals/animal[name=a]", &zoostate.Animal{Name: ygot.String("a"), Seen: ygot.Uint64(3), Enabled: ygot.Bool(true)})
	add("/animals/animal[name=a]/toys/toy[kind=BIG][number=2]", &zoostate.Animal_Toy{Kind: zoostate.Zoo_Size_BIG, Number: ygot.Uint32(2), Plays: ygot.Uint64(8)})
	add("/animals/animal[name=c]", &zoostate.Animal{Name: ygot.String("c"), Counters: &zoostate.Animal_Counters{Meals: ygot.Uint64(1)}})
	add("/animals/animal[name=d]/toys/toy[kind=SMALL][number=1]", &zoostate.Animal_Toy{Kind: zoostate.Zoo_Size_SMALL, Number: ygot.Uint32(1), Plays: ygot.Uint64(2)})
	add("/log/hits/hit[id=7]", &zoostate.Log_Hit{Id: ygot.Uint64(7), N: ygot.Uint32(1)})
	return config, state
}

func TestEncode(t *testing.T) {
	s := zoo(t)
	config, state := zooTrees(t, s)
	both := []Tree{config, state}
	opened := Entries{}
	opened.Put(apply(t, s, opened, Edit{Op: Update, JSON: []byte(`{"settings":{"config":{"open":false}}}`)}))
	for _, tc := range []struct {
		at    string
		o     EncodeOptions
		trees []Tree
		want  string
	}{
		{"/", EncodeOptions{}, []Tree{Entries{}}, `{}`},
		{"/", EncodeOptions{}, both, `{"animals":{"animal":[` +
			`{"name":"a","config":{"food":"HAY","legs":4,"name":"a","u64":5},"state":{"enabled":true,"name":"a","seen":3},"toys":{"toy":[` +
			`{"kind":"BIG","number":1,"config":{"kind":"BIG","number":1}},` +
			`{"kind":"BIG","number":2,"config":{"kind":"BIG","number":2},"state":{"kind":"BIG","number":2,"plays":8}}]}},` +
			`{"name":"b","config":{"name":"b"},"cage":{"bars":1}},` +
			`{"name":"c","state":{"name":"c","counters":{"meals":1}}},` +
			`{"name":"d","toys":{"toy":[{"kind":"SMALL","number":1,"state":{"kind":"SMALL","number":1,"plays":2}}]}}]},` +
			`"log":{"hits":{"hit":[{"id":7,"state":{"id":7,"n":1}}]},"status":{"alarms":["x","x"],"uptime":9}}}`},
		{"/", EncodeOptions{Encoding: JSONIETF, Filter: State}, both, `{"zoo:animals":{"animal":[` +
			`{"name":"a","state":{"enabled":true,"name":"a","seen":"3"},"toys":{"toy":[{"kind":"BIG","number":2,"state":{"kind":"BIG","number":2,"plays":"8"}}]}},` +
			`{"name":"c","state":{"name":"c","counters":{"meals":"1"}}},` +
			`{"name":"d","toys":{"toy":[{"kind":"SMALL","number":1,"state":{"kind":"SMALL","number":1,"plays":"2"}}]}}]},` +
			`"zoo:log":{"hits":{"hit":[{"id":"7","state":{"id":"7","n":1}}]},"status":{"alarms":["x","x"],"uptime":"9"}}}`},
		{"/animals/animal[name=a]", EncodeOptions{Filter: Operational}, both, `{"name":"a","state":{"seen":3},"toys":{"toy":[{"kind":"BIG","number":2,"state":{"plays":8}}]}}`},
		{"/animals/animal[name=a]", EncodeOptions{Filter: Config, Encoding: JSONIETF}, both,
			`{"zoo:name":"a","zoo:config":{"food":"zoo:HAY","legs":4,"name":"a","u64":"5"},"zoo:toys":{"toy":[{"kind":"BIG","number":1,"config":{"kind":"BIG","number":1}},{"kind":"BIG","number":2,"config":{"kind":"BIG","number":2}}]}}`},
		{"/animals/animal[name=a]/config", EncodeOptions{Encoding: JSONIETF, ModuleNames: map[string]string{"zoo": "public-zoo"}}, both,
			`{"public-zoo:food":"public-zoo:HAY","public-zoo:legs":4,"public-zoo:name":"a","public-zoo:u64":"5"}`},
		{"/animals/animal[name=a]/config/legs", EncodeOptions{}, both, `4`},
		{"/animals/animal[name=a]/config/u64", EncodeOptions{Encoding: JSONIETF}, both, `"5"`},
		{"/animals/animal[name=a]/config/legs", EncodeOptions{Filter: State}, both, `-`},
		{"/animals/animal[name=a]/config/size", EncodeOptions{}, both, `-`},
		{"/animals/animal[name=a]/config/size", EncodeOptions{Defaults: true}, both, `"SMALL"`},
		{"/animals/animal[name=z]/config/size", EncodeOptions{Defaults: true}, both, `-`},
		{"/animals/animal[name=a]/name", EncodeOptions{}, both, `"a"`},
		{"/animals/animal[name=c]/name", EncodeOptions{}, both, `"c"`},
		{"/animals/animal[name=b]/cage", EncodeOptions{Defaults: true}, both, `{"bars":1,"paint":"green"}`},
		{"/animals/animal[name=a]/cage", EncodeOptions{Defaults: true}, both, `-`},
		{"/animals/animal[name=a]/branch", EncodeOptions{Defaults: true}, both, `-`},
		{"/animals/animal[name=a]/toys", EncodeOptions{Filter: State}, both, `{"toy":[{"kind":"BIG","number":2,"state":{"kind":"BIG","number":2,"plays":8}}]}`},
		{"/animals/animal[name=a]/toys/toy", EncodeOptions{Filter: Config, Encoding: JSONIETF}, both,
			`[{"zoo:kind":"BIG","zoo:number":1,"zoo:config":{"kind":"BIG","number":1}},{"zoo:kind":"BIG","zoo:number":2,"zoo:config":{"kind":"BIG","number":2}}]`},
		{"/animals/animal[name=b]/toys/toy", EncodeOptions{}, both, `-`},
		{"/animals/animal[name=b]/toys", EncodeOptions{}, both, `-`},
		{"/animals/animal[name=z]", EncodeOptions{Defaults: true}, both, `-`},
		{"/settings", EncodeOptions{}, both, `-`},
		{"/settings", EncodeOptions{Defaults: true}, both, `-`},
		{"/settings/config/motto", EncodeOptions{Defaults: true}, both, `-`},
		{"/settings", EncodeOptions{Defaults: true}, []Tree{opened, state}, `{"config":{"days":["sat","sun"],"motto":"look, don't touch","open":false}}`},
		{"/settings/config/motto", EncodeOptions{Defaults: true}, []Tree{opened, state}, `"look, don't touch"`},
		{"/settings/config", EncodeOptions{Defaults: true, Indent: true}, []Tree{opened}, "{\n  \"days\": [\n    \"sat\",\n    \"sun\"\n  ],\n  \"motto\": \"look, don't touch\",\n  \"open\": false\n}"},
		{"/log/hits/hit[id=7]", EncodeOptions{}, both, `{"id":7,"state":{"id":7,"n":1}}`},
		{"/log", EncodeOptions{Filter: Config}, both, `-`},
	} {
		if got := showAt(t, s, mustPath(t, s, tc.at), tc.o, tc.trees...); got != tc.want {
			t.Errorf("%s %+v:\ngot  %s\nwant %s", tc.at, tc.o, got, tc.want)
		}
	}
	var pe *PathError
	if _, err := s.EncodeJSON(&bytes.Buffer{}, both, mustPath(t, s, "/animals/animal/config"), EncodeOptions{}); !errors.As(err, &pe) {
		t.Errorf("wildcards: %v", err)
	}
}

// A document that is written in many pieces is the same as in one.
func TestEncodeStreams(t *testing.T) {
	s := heddleSchema(t)
	tr := sidTree(t, s, 3000)
	var w pieces
	if _, err := s.EncodeJSON(&w, []Tree{tr, Entries{}}, nil, EncodeOptions{Encoding: JSONIETF}); err != nil {
		t.Fatal(err)
	}
	if w.count < 10 || w.largest > 2*flushSize {
		t.Errorf("%d pieces, the largest of %d octets", w.count, w.largest)
	}
	ch, err := s.Apply(tr, []Edit{{Op: Replace, JSON: w.all}})
	if err != nil || len(ch) > 0 {
		t.Errorf("reads back with %d changes, %v", len(ch), err)
	}
	boom := errors.New("boom")
	if _, err := s.EncodeJSON(failing{boom}, []Tree{tr}, nil, EncodeOptions{}); !errors.Is(err, boom) {
		t.Errorf("write error became %v", err)
	}
}

// Strings are looked at by eight octets at a time: an octet that has to be
// escaped is found wherever it is, and no other.
func TestStringsAreQuoted(t *testing.T) {
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				b := bytes.Repeat([]byte{'a'}, length)
				b[at] = byte(c)
				want := c >= 0x20 && c < 0x7f+1 && c != '"' && c != '\\'
				if got := isPlain(string(b)); got != want {
					t.Fatalf("%q is plain: %t", b, got)
				}
			}
		}
	}
	for in, want := range map[string]string{"": `""`, "plain": `"plain"`, `a "b" \ c`: `"a \"b\" \\ c"`, "é\n": `"é\n"`, "bad \xff": "\"bad \ufffd\""} {
		if got := string(appendString(nil, in)); got != want {
			t.Errorf("%q is quoted %s, want %s", in, got, want)
		}
	}
}

type pieces struct {
	all            []byte
	count, largest int
}

func (p *pieces) Write(b []byte) (int, error) {
	p.all = append(p.all, b...)
	p.count++
	p.largest = max(p.largest, len(b))
	return len(b), nil
}

type failing struct{ error }

func (f failing) Write([]byte) (int, error) { return 0, f.error }

func TestExpand(t *testing.T) {
	s := zoo(t)
	config, state := zooTrees(t, s)
	seek := &btreeTree{}
	for k, g := range config {
		seek.m.Set(k, g)
	}
	for _, trees := range [][]Tree{{config, state}, {seek, state}} {
		for _, tc := range []struct{ in, want string }{
			{"/", "/"},
			{"/animals/animal", "a b c d"},
			{"/animals/animal[name=*]/config", "a/config b/config"},
			{"/animals/animal/state/counters", "c/state/counters"},
			{"/animals/animal/config/size", "a/config/size b/config/size"},
			{"/animals/animal/config/legs", "a/config/legs"},
			{"/animals/animal/toys/toy[kind=BIG]/config/number", "a/toys/toy[kind=BIG][number=1]/config/number a/toys/toy[kind=BIG][number=2]/config/number"},
			{"/animals/animal/toys/toy[number=1]", "a/toys/toy[kind=BIG][number=1] d/toys/toy[kind=SMALL][number=1]"},
			{"/animals/animal/toys", "a/toys d/toys"},
			{"/animals/animal[name=a]/cage", ""},
			{"/animals/animal[name=b]/cage", "b/cage"},
			{"/animals/animal[name=z]", ""},
			{"/settings/config/open", ""},
		} {
			var got []string
			s.Expand(trees, mustPath(t, s, tc.in), func(p Path) bool {
				text := strings.TrimPrefix(p.String(), "/animals/animal[name=")
				got = append(got, strings.Replace(text, "]", "", 1))
				return true
			})
			if g := strings.Join(got, " "); g != tc.want {
				t.Errorf("%s: got %s, want %s", tc.in, g, tc.want)
			}
		}
		n := 0
		s.Expand(trees, mustPath(t, s, "/animals/animal"), func(Path) bool { n++; return false })
		if n != 1 {
			t.Errorf("Expand went on %d times after false", n)
		}
	}
}

func TestLeaves(t *testing.T) {
	s := zoo(t)
	config, state := zooTrees(t, s)
	k := mustPath(t, s, "/animals/animal[name=a]").Entry()
	list := func(g GoStruct, o LeafOptions) string {
		var out []string
		s.Leaves(k, g, o, func(n *Node, v Value) bool {
			out = append(out, strings.TrimPrefix(n.Path(), "/animals/animal/")+"="+v.String())
			return true
		})
		return strings.Join(out, " ")
	}
	cfg := mustPath(t, s, "/animals/animal/config").Last()
	for _, tc := range []struct {
		g    GoStruct
		o    LeafOptions
		want string
	}{
		{config[k], LeafOptions{}, "name=a config/food=HAY config/legs=4 config/name=a config/u64=5"},
		{config[k], LeafOptions{Defaults: true, Under: cfg}, "config/enabled=true config/food=HAY config/legs=4 config/name=a config/size=SMALL config/u64=5"},
		{config[k], LeafOptions{Filter: State}, ""},
		{state[k], LeafOptions{Defaults: true}, "state/enabled=true state/name=a state/seen=3"},
		{state[k], LeafOptions{Filter: Operational}, "state/seen=3"},
	} {
		if got := list(tc.g, tc.o); got != tc.want {
			t.Errorf("%+v: got %s, want %s", tc.o, got, tc.want)
		}
	}
	hit := mustPath(t, s, "/log/hits/hit[id=7]").Entry()
	if got := fmt.Sprint(leafMap(s, hit, state[hit], LeafOptions{})); got != "map[/log/hits/hit[id=7]/id:7 /log/hits/hit[id=7]/state/id:7 /log/hits/hit[id=7]/state/n:1]" {
		t.Errorf("a state list lacks its keys: %s", got)
	}
	if v, ok := s.Get(state[k], mustPath(t, s, "/animals/animal/state/seen").Last()); !ok || v.Uint() != 3 {
		t.Errorf("Get: %v %v", v, ok)
	}
	if !s.IsState(state[k]) || s.IsState(config[k]) {
		t.Error("IsState is wrong")
	}
	for _, path := range []string{"/animals/animal[name=a]/toys/toy[kind=BIG][number=4]", "/animals/animal[name=x]"} {
		k := mustPath(t, s, path).Entry()
		for _, make := range []func(EntryKey) (GoStruct, error){s.New, s.NewState} {
			g, err := make(k)
			if err != nil {
				t.Fatal(err)
			}
			if got, missing := s.planOf(g).key(base(g), k[:k.last()]); got != k || missing != nil {
				t.Errorf("New(%s) holds the keys of %s", k, got)
			}
		}
	}
	if _, err := s.New(hit); err == nil {
		t.Error("New made a configuration entry of a state list")
	}
}
