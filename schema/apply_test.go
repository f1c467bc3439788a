package schema

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// show is a tree as one compact JSON document.
func show(t testing.TB, s *Schema, trees ...Tree) string {
	t.Helper()
	return showAt(t, s, nil, EncodeOptions{}, trees...)
}

func showAt(t testing.TB, s *Schema, at Path, o EncodeOptions, trees ...Tree) string {
	t.Helper()
	var b bytes.Buffer
	present, err := s.EncodeJSON(&b, trees, at, o)
	if err != nil {
		t.Fatal(err)
	}
	if !present {
		if b.Len() > 0 {
			t.Fatalf("absent, but wrote %s", b.String())
		}
		return "-"
	}
	return b.String()
}

// script runs lines such as "update /path json" and "delete /path". A value in
// single quotes is a string scalar.
func script(t testing.TB, s *Schema, lines string) []Edit {
	t.Helper()
	var edits []Edit
	for _, line := range strings.Split(lines, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		f := strings.SplitN(line, " ", 3)
		e := Edit{Op: map[string]Op{"delete": Delete, "replace": Replace, "update": Update}[f[0]], Path: mustPath(t, s, f[1])}
		if len(f) == 3 {
			if strings.HasPrefix(f[2], "'") {
				e.Scalar = StringValue(strings.Trim(f[2], "'"))
			} else {
				e.JSON = []byte(f[2])
			}
		}
		edits = append(edits, e)
	}
	return edits
}

const twoAnimals = `update / {"animals":{"animal":[
	{"name":"a","config":{"name":"a","legs":4,"tags":["x","y"]},"toys":{"toy":[{"kind":"BIG","number":1,"config":{"kind":"BIG","number":1}}]}},
	{"name":"b","config":{"name":"b","food":"zoo:HAY"},"cage":{"bars":3,"lock":{"code":"1"}}}]}}`

func TestApply(t *testing.T) {
	s := zoo(t)
	for _, tc := range []struct{ name, edits, want, changed string }{
		{"update a leaf", "update /animals/animal[name=a]/config/legs 5",
			`{"animals":{"animal":[{"name":"a","config":{"legs":5,"name":"a","tags":["x","y"]},"toys":{"toy":[{"kind":"BIG","number":1,"config":{"kind":"BIG","number":1}}]}},B]}}`, "~a"},
		{"nothing new", "update /animals/animal[name=a]/config/legs 4\nreplace /animals/animal[name=a]/config/legs 4\nupdate /animals/animal[name=a] {}", `SAME`, ""},
		{"there and back", "update /animals/animal[name=a]/config/legs 5\nupdate /animals/animal[name=a]/config/legs 4", `SAME`, ""},
		{"delete and restore", "delete /animals/animal[name=b]\nupdate /animals/animal[name=b] {\"config\":{\"food\":\"HAY\"},\"cage\":{\"bars\":3,\"lock\":{\"code\":\"1\"}}}", `SAME`, ""},
		{"leaf-list update merges", `update /animals/animal[name=a]/config/tags ["y","z"]`,
			`{"animals":{"animal":[{"name":"a","config":{"legs":4,"name":"a","tags":["x","y","z"]},TOYS},B]}}`, "~a"},
		{"leaf-list update in an object merges", `update /animals/animal[name=a]/config {"tags":["z"]}`,
			`{"animals":{"animal":[{"name":"a","config":{"legs":4,"name":"a","tags":["x","y","z"]},TOYS},B]}}`, "~a"},
		{"leaf-list replace replaces", `replace /animals/animal[name=a]/config/tags ["z"]`,
			`{"animals":{"animal":[{"name":"a","config":{"legs":4,"name":"a","tags":["z"]},TOYS},B]}}`, "~a"},
		{"leaf-list of nothing", `replace /animals/animal[name=a]/config/tags []`,
			`{"animals":{"animal":[{"name":"a","config":{"legs":4,"name":"a"},TOYS},B]}}`, "~a"},
		{"one scalar for a leaf-list", `update /animals/animal[name=a]/config/tags 'z'`,
			`{"animals":{"animal":[{"name":"a","config":{"legs":4,"name":"a","tags":["x","y","z"]},TOYS},B]}}`, "~a"},
		{"replace of config keeps the key and the rest", `replace /animals/animal[name=a]/config {"u64":"7"}`,
			`{"animals":{"animal":[{"name":"a","config":{"name":"a","u64":7},TOYS},B]}}`, "~a"},
		{"delete of config keeps the key", `delete /animals/animal[name=a]/config`,
			`{"animals":{"animal":[{"name":"a","config":{"name":"a"},TOYS},B]}}`, "~a"},
		{"replace of an entry takes its lists along", `replace /animals/animal[name=a] {"config":{"legs":1}}`,
			`{"animals":{"animal":[{"name":"a","config":{"legs":1,"name":"a"}},B]}}`, "~a -a/toy"},
		{"replace of a list container", `replace /animals {"animal":[{"name":"c"}]}`,
			`{"animals":{"animal":[{"name":"c","config":{"name":"c"}}]}}`, "-a -a/toy -b +c"},
		{"replace of a list", `replace /animals/animal [{"name":"b"},{"config":{"name":"c"}}]`,
			`{"animals":{"animal":[{"name":"b","config":{"name":"b"}},{"name":"c","config":{"name":"c"}}]}}`, "-a -a/toy ~b +c"},
		{"replace of a list by nothing", `replace /animals/animal []`, `{}`, "-a -a/toy -b"},
		{"replace of the root", `replace / {"settings":{"config":{"open":true}}}`, `{"settings":{"config":{"open":true}}}`, "+root -a -a/toy -b"},
		{"replace of the root by nothing", `replace / {}`, `{}`, "-a -a/toy -b"},
		{"delete of the root", `delete /`, `{}`, "-a -a/toy -b"},
		{"delete of a list", `delete /animals/animal`, `{}`, "-a -a/toy -b"},
		{"delete by wildcard", `delete /animals/animal[name=*]/config/legs`,
			`{"animals":{"animal":[{"name":"a","config":{"name":"a","tags":["x","y"]},TOYS},B]}}`, "~a"},
		{"delete by part of the keys", `delete /animals/animal/toys/toy[kind=BIG]`,
			`{"animals":{"animal":[{"name":"a","config":{"legs":4,"name":"a","tags":["x","y"]}},B]}}`, "-a/toy"},
		{"delete of what is not there", "delete /animals/animal[name=z]\ndelete /animals/animal[name=z]/config/legs\ndelete /settings\ndelete /animals/animal[name=b]/toys", `SAME`, ""},
		{"delete of an entry and its own", "delete /animals/animal[name=a]", `{"animals":{"animal":[B]}}`, "-a -a/toy"},
		{"presence container stays", `replace /animals/animal[name=b]/cage {}`,
			`{"animals":{"animal":[A,{"name":"b","config":{"food":"HAY","name":"b"},"cage":{}}]}}`, "~b"},
		{"presence container goes", `delete /animals/animal[name=b]/cage`,
			`{"animals":{"animal":[A,{"name":"b","config":{"food":"HAY","name":"b"}}]}}`, "~b"},
		{"presence container in a payload", `update /animals/animal[name=a] {"cage":{}}`,
			`{"animals":{"animal":[{"name":"a","config":{"legs":4,"name":"a","tags":["x","y"]},"cage":{},TOYS},B]}}`, "~a"},
		{"parents are created", `update /animals/animal[name=c]/toys/toy[kind=SMALL][number=2]/config/kind 'SMALL'`,
			`{"animals":{"animal":[A,B,{"name":"c","config":{"name":"c"},"toys":{"toy":[{"kind":"SMALL","number":2,"config":{"kind":"SMALL","number":2}}]}}]}}`, "+c +c/toy"},
		{"a child list before the key of its entry", `update /animals/animal [{"toys":{"toy":[{"config":{"number":9,"kind":"SMALL"}}]},"config":{"name":"c"}}]`,
			`{"animals":{"animal":[A,B,{"name":"c","config":{"name":"c"},"toys":{"toy":[{"kind":"SMALL","number":9,"config":{"kind":"SMALL","number":9}}]}}]}}`, "+c +c/toy"},
		{"deleted, then written again", "delete /animals\nupdate /animals/animal[name=a]/toys/toy[kind=BIG][number=1]/config/owner 'a'",
			`{"animals":{"animal":[{"name":"a","config":{"name":"a"},"toys":{"toy":[{"kind":"BIG","number":1,"config":{"kind":"BIG","number":1,"owner":"a"}}]}}]}}`, "~a ~a/toy -b"},
		{"written, then deleted", "update /animals/animal[name=c]/config/legs 1\ndelete /animals/animal[name=c]", `SAME`, ""},
		{"written in one, deleted by wildcard", "update /animals/animal[name=c]/config/legs 1\ndelete /animals/animal[name=*]/config/legs",
			`{"animals":{"animal":[{"name":"a","config":{"name":"a","tags":["x","y"]},TOYS},B,{"name":"c","config":{"name":"c"}}]}}`, "~a +c"},
		{"module prefixes, ours and foreign", `update / {"public-zoo:animals":{"zoo:animal":[{"name":"a","public-zoo:config":{"food":"public-zoo-types:MEAT"}}]}}`,
			`{"animals":{"animal":[{"name":"a","config":{"food":"MEAT","legs":4,"name":"a","tags":["x","y"]},TOYS},B]}}`, "~a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := Entries{}
			tr.Put(apply(t, s, tr, script(t, s, strings.ReplaceAll(twoAnimals, "\n", " "))...))
			before := show(t, s, tr)
			ch, err := s.Apply(tr, script(t, s, tc.edits))
			if err != nil {
				t.Fatal(err)
			}
			if show(t, s, tr) != before {
				t.Fatal("Apply changed its base")
			}
			tr.Put(ch)
			want := tc.want
			for from, to := range map[string]string{
				"SAME": before,
				"TOYS": `"toys":{"toy":[{"kind":"BIG","number":1,"config":{"kind":"BIG","number":1}}]}`,
			} {
				want = strings.ReplaceAll(want, from, to)
			}
			if !strings.Contains(tc.want, "SAME") {
				want = strings.Replace(want, `[A,`, `[{"name":"a","config":{"legs":4,"name":"a","tags":["x","y"]},"toys":{"toy":[{"kind":"BIG","number":1,"config":{"kind":"BIG","number":1}}]}},`, 1)
				want = strings.Replace(want, `,B`, `,{"name":"b","config":{"food":"HAY","name":"b"},"cage":{"bars":3,"lock":{"code":"1"}}}`, 1)
				want = strings.Replace(want, `[B]`, `[{"name":"b","config":{"food":"HAY","name":"b"},"cage":{"bars":3,"lock":{"code":"1"}}}]`, 1)
			}
			if got := show(t, s, tr); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if got := summary(s, ch); got != tc.changed {
				t.Errorf("changes %s, want %s", got, tc.changed)
			}
		})
	}
}

// summary is the changes as "+new ~changed -gone".
func summary(s *Schema, ch []Change) string {
	var out []string
	for _, c := range ch {
		sign := "~"
		switch {
		case c.Old == nil:
			sign = "+"
		case c.New == nil:
			sign = "-"
		}
		name := "root"
		if n := s.Node(c.Key); n.Kind == List {
			name = c.Key.Values()[0]
			if parent, _ := c.Key.Parent(); parent != "" {
				name = parent.Values()[0] + "/" + n.Name
			}
		}
		out = append(out, sign+name)
	}
	return strings.Join(out, " ")
}

func TestBadInput(t *testing.T) {
	s := zoo(t)
	for _, tc := range []struct{ edit, want string }{
		{`update /animals/animal[name=a]/state/seen 1`, "path /animals/animal[name=a]/state/seen: is state (config false)"},
		{`update /log/status {}`, "is state (config false)"},
		{`delete /animals/animal[name=a]/state`, "is state (config false)"},
		{`update /animals/animal[name=a] {"state":{"seen":"1"}}`, "/animals/animal[name=a]/state: is state (config false)"},
		{`update /animals/animal[name=a]/config {"paws":4}`, "/animals/animal[name=a]/config: has no member paws, it takes addr, blob"},
		{`update /animals/animal[name=a]/config {"other:legs":4}`, "the module is zoo"},
		{`update /animals/animal[name=a]/config {"legs":4,"legs":4}`, "/animals/animal[name=a]/config/legs: occurs twice"},
		{`update /animals/animal[name=a]/config {"legs":4,"zoo:legs":4}`, "occurs twice"},
		{`update /animals/animal[name=a]/config {"legs":4} x`, "is not valid JSON at octet 11"},
		{`update /animals/animal[name=a]/config {"legs":4}{}`, "is not valid JSON"},
		{`update /animals/animal[name=a]/config {"legs":4`, "it ends too early"},
		{`update /animals/animal[name=a]/config `, "has no value"},
		{`update /animals/animal[name=a]/config {"legs":"4"}`, `legs: value "4": want a JSON number (uint16 in 0..1000), got a string`},
		{`update /animals/animal[name=a]/config {"legs":4.5}`, `legs: value 4.5: want uint16`},
		{`update /animals/animal[name=a]/config {"legs":1001}`, `legs: value 1001: out of range, want uint16 in 0..1000`},
		{`update /animals/animal[name=a]/config {"legs":-1}`, `out of range`},
		{`update /animals/animal[name=a]/config {"legs":null}`, "got null; to unset it send a delete"},
		{`update /animals/animal[name=a]/config {"legs":{}}`, "got an object"},
		{`update /animals/animal[name=a]/config {"legs":[1]}`, "got an array"},
		{`update /animals/animal[name=a]/config null`, "want a JSON object, got null"},
		{`update /animals/animal[name=a]/config []`, "want a JSON object, got an array"},
		{`update /animals {"animal":{}}`, "want a JSON array of entries, got an object"},
		{`update /animals/animal {}`, "want a JSON array of entries"},
		{`update /animals/animal [1]`, "want a JSON object, got a number"},
		{`update /animals/animal [{"name":"*"}]`, "/animals/animal/name: value \"*\": it stands for all entries in a path"},
		{`update /animals/animal [{"config":{"legs":1}}]`, "/animals/animal/name: the key is missing (entry 1 of the list)"},
		{`update /animals/animal [{"name":"c","config":{"name":"d"}}]`, "/animals/animal[name=c]/config/name: value \"d\": the entry has this key twice"},
		{`update /animals/animal [{"name":"c"},{"name":"c"}]`, "/animals/animal[name=c]: the payload has two entries with this key"},
		{`update /animals/animal[name=a] {"name":"b"}`, `/animals/animal[name=a]/name: value "b": differs from the key in the path`},
		{`update /animals/animal[name=a]/config {"name":"b"}`, `differs from the key in the path`},
		{`update /animals/animal[name=a]/config/name 'b'`, `differs from the key in the path`},
		{`delete /animals/animal[name=a]/config/name`, "is a key: delete the list entry instead"},
		{`replace /animals/animal[name=a] {}`, "cannot be replaced with {}"},
		{`update /animals/animal[name=a]/toys/toy[kind=BIG] {}`, "names one entry: give every key a value"},
		{`update /animals/animal[name=*]/config/legs 1`, "names one entry"},
		{`update /animals/animal/toys/toy []`, "names one list"},
		{`update /animals/animal[name=a]/config 'x'`, "takes a JSON object, not a scalar"},
		{`update /animals/animal 'x'`, "takes a JSON array of entries"},
		{`update /animals/animal[name=a]/config/legs 'x'`, "got a string"},
		{`update /animals/animal[name=a]/config/tags ["x","x"]`, `value "x": occurs twice in the leaf-list`},
		{`update /animals/animal[name=a]/config/tags "x"`, "want a JSON array"},
		{`update /animals/animal[name=a]/config/food "zoo-types:HAY"`, "the prefix zoo-types is not the module of identity HAY, write zoo:HAY"},
		{`update /animals/animal[name=a]/config/food "zoo:STONE"`, "unknown name, want one of HAY, LEAVES, MEAT"},
		{`update /animals/animal[name=a]/config/size "zoo:BIG"`, "unknown name"},
		{`update /animals/animal[name=a]/config/code "ab12"`, "want a string matching"},
		{`update /animals/animal[name=a]/config/code "xab-12"`, ""},
		{`update /animals/animal[name=a]/config/code "Xab-12"`, "want a string matching"},
		{`update /animals/animal[name=a]/config/blob "AAAAAAAAAAAAAAAA"`, "wrong length"},
		{`update /animals/animal[name=a]/config/blob "?"`, "want base64 text"},
		{`update /animals/animal[name=a]/config/tame true`, "want [null], got a boolean"},
		{`update /animals/animal[name=a]/config/weight "1.234"`, "out of range, want decimal64"},
		{`update /animals/animal[name=a]/config/weight "-1"`, "out of range"},
		{`update /animals/animal[name=a]/config/u64 18446744073709551616`, "out of range"},
		{`update /animals/animal[name=a]/config/mix 11`, "want uint8 in 1..10, or one of DROP, KEEP"},
		{"update /animals/animal[name=a]/config/tags [\"\xff\"]", "is not valid JSON"},
		{`update /animals/animal[name=a]/config/tags ["\u0000"]`, "holds a character that YANG strings cannot"},
		{`update /animals/animal[name=a]/config ` + strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100), "has no member a"},
		{`update /animals/animal[name=a]/config ` + strings.Repeat(`{"a":`, 20000), "is not valid JSON at octet 50000: exceeded max depth"},
		{`update /animals/animal[name=a]/config/legs ` + strings.Repeat(`[`, 20000), "is not valid JSON"},
	} {
		tr := Entries{}
		tr.Put(apply(t, s, tr, script(t, s, strings.ReplaceAll(twoAnimals, "\n", " "))...))
		before := show(t, s, tr)
		ch, err := s.Apply(tr, append(script(t, s, "update /settings/config/open true"), script(t, s, tc.edit)...))
		if tc.want == "" {
			if err != nil {
				t.Errorf("%.80s: %v", tc.edit, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.80s: got %v, want %s", tc.edit, err, tc.want)
			continue
		}
		var pe *PathError
		var ve *ValueError
		if !errors.As(err, &pe) && !errors.As(err, &ve) {
			t.Errorf("%.80s: %T is neither PathError nor ValueError", tc.edit, err)
		}
		if ch != nil || show(t, s, tr) != before {
			t.Errorf("%.80s: something was done", tc.edit)
		}
	}
}

func TestSeveralErrors(t *testing.T) {
	s := zoo(t)
	_, err := s.Apply(Entries{}, script(t, s, `update /animals/animal [{"name":"a","config":{"legs":-1,"u64":"x"}},{"name":"b","config":{"i8":6}}]
		update /animals/animal[name=c]/config/size "TINY"`))
	for _, want := range []string{"[name=a]/config/legs", "[name=a]/config/u64", "[name=b]/config/i8", "[name=c]/config/size"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	var list strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&list, `{"name":"n%d","config":{"legs":-1}},`, i)
	}
	_, err = s.Apply(Entries{}, []Edit{{Op: Update, Path: mustPath(t, s, "/animals/animal"), JSON: []byte("[" + strings.TrimSuffix(list.String(), ",") + "]")}})
	var several *Errors
	if !errors.As(err, &several) || len(several.Errs) != MaxErrors || several.More != 1000-MaxErrors {
		t.Errorf("%v", err)
	}
}

// In a payload in which everything is wrong not everything is looked at.
func TestErrorsWithoutEnd(t *testing.T) {
	s := zoo(t)
	at := mustPath(t, s, "/animals/animal")
	for name, doc := range map[string]string{
		"members": `[{"name":"a"` + strings.Repeat(`,"nosuch":1`, 20*MaxCounted) + `}]`,
		"entries": `[{}` + strings.Repeat(`,{}`, 20*MaxCounted) + `]`,
		"nested":  `[{"name":"a","config":{"legs":-1` + strings.Repeat(`,"legs":-1`, 20*MaxCounted) + `}}]`,
	} {
		edit := Edit{Op: Update, Path: at, JSON: []byte(doc)}
		_, err := s.Apply(Entries{}, []Edit{edit, edit, edit})
		var several *Errors
		if !errors.As(err, &several) || len(several.Errs) != MaxErrors || several.More < MaxCounted || several.More > MaxCounted+2 {
			t.Errorf("%s: %.200v", name, err)
		}
		if err != nil && !strings.HasSuffix(err.Error(), "or more") {
			t.Errorf("%s: %s", name, err.Error()[max(0, len(err.Error())-100):])
		}
	}
}

// Equal values share memory, and a replace by the same keeps the old entries.
func TestSharing(t *testing.T) {
	s := zoo(t)
	tr := Entries{}
	payload := `replace /animals/animal [{"name":"a","config":{"code":"x-01","tags":["p","q"]}},{"name":"b","config":{"code":"x-01","tags":["p","q"]}},{"name":"c"}]`
	tr.Put(apply(t, s, tr, script(t, s, payload)...))
	key := func(name string) EntryKey { return mustPath(t, s, "/animals/animal[name="+name+"]").Entry() }
	code := mustPath(t, s, "/animals/animal/config/code").Last().plan.slot[inConfig]
	a, b := tr[key("a")], tr[key("b")]
	if *sub(base(a), code.off) != *sub(base(b), code.off) {
		t.Error("equal strings are kept twice")
	}
	ch := apply(t, s, tr, script(t, s, strings.Replace(payload, `{"name":"c"}`, `{"name":"d"}`, 1))...)
	if got := summary(s, ch); got != "-c +d" {
		t.Errorf("changes %s", got)
	}
}
