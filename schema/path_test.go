package schema

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	s := zoo(t)
	for _, tc := range []struct{ in, want string }{
		{"/", "/"},
		{"", "/"},
		{"/animals", "/animals"},
		{"animals/animal", "/animals/animal"},
		{"/zoo:animals/animal[name=a]/zoo:config", "/animals/animal[name=a]/config"},
		{"/public-zoo:animals/animal[public:name=a]", "BadKey"},
		{"/public-zoo:animals/animal[zoo:name=a]/config/food", "/animals/animal[name=a]/config/food"},
		{"/animals/animal[name=*]/config", "/animals/animal[name=*]/config"},
		{`/animals/animal[name=a\]b\\/c]/config`, `/animals/animal[name=a\]b\\/c]/config`},
		{"/animals/animal[name=a/b[c=d]/config", "/animals/animal[name=a/b[c=d]/config"},
		{"/animals/animal[name=a]/toys/toy[number=007][kind=BIG]", "/animals/animal[name=a]/toys/toy[kind=BIG][number=7]"},
		{"/animals/animal[name=a]/toys/toy[number=7]", "/animals/animal[name=a]/toys/toy[kind=*][number=7]"},
		{"/animals/animal[name=a]/toys/toy[kind=HUGE]", "BadKey"},
		{"/animals/animal[name=a]/toys/toy[number=-1]", "BadKey"},
		{"/animals/animal[name=]", "BadKey"},
		{"/animals/animal[nam=a]", "BadKey"},
		{"/animals[name=a]", "BadKey"},
		{"/animals/animal[name=\x01]", "BadKey"},
		{"/animals/beast", "NotFound"},
		{"/other:animals", "NotFound"},
		{"/animals/animal[name=a]/config/name/x", "NotFound"},
		{"/animals/animal[name=a", "Malformed"},
		{"/animals/animal[name]", "Malformed"},
		{"/animals/animal[name=a]x", "Malformed"},
		{"/animals/animal[name=a][name=b]", "Malformed"},
		{"/animals//animal", "Malformed"},
		{`/animals\`, "Malformed"},
	} {
		p, err := s.ParsePath(tc.in)
		got := ""
		if err != nil {
			var pe *PathError
			if !errors.As(err, &pe) || pe.Path == "" || pe.Reason == "" {
				t.Errorf("%s: error %v is no full PathError", tc.in, err)
				continue
			}
			got = [...]string{"", "NotFound", "BadKey", "Malformed", "ReadOnly", "BadEdit"}[pe.Code]
		} else {
			got = p.String()
		}
		if got != tc.want {
			t.Errorf("%s: got %s (%v), want %s", tc.in, got, err, tc.want)
		}
	}
}

func TestCanonicalKeys(t *testing.T) {
	s := heddleSchema(t)
	for in, want := range map[string]string{
		"/network-instances/network-instance[name=a]/segment-routing/srv6/sids/sid[address=2001:DB8:0:0::1]":                                              "/network-instances/network-instance[name=a]/segment-routing/srv6/sids/sid[address=2001:db8::1]",
		"/network-instances/network-instance[name=a]/protocols/protocol[identifier=openconfig-policy-types:STATIC][name=x]/static-routes":                 "/network-instances/network-instance[name=a]/protocols/protocol[identifier=STATIC][name=x]/static-routes",
		"/network-instances/network-instance[name=a]/protocols/protocol[identifier=STATIC][name=x]/static-routes/static[prefix=10.1.2.3/8]":               "/network-instances/network-instance[name=a]/protocols/protocol[identifier=STATIC][name=x]/static-routes/static[prefix=10.0.0.0/8]",
		"/openconfig-interfaces:interfaces/interface[name=eth0]/subinterfaces/subinterface[index=00]/openconfig-if-ip:ipv6/addresses/address[ip=FE80::1]": "/interfaces/interface[name=eth0]/subinterfaces/subinterface[index=0]/ipv6/addresses/address[ip=fe80::1]",
	} {
		p := mustPath(t, s, in)
		if p.String() != want {
			t.Errorf("%s: got %s, want %s", in, p, want)
		}
		k := p.Entry()
		if q := s.NodePath(k, p.Last()); q.String() != want {
			t.Errorf("%s: back from the key: %s", in, q)
		}
		if got := s.NodeText(k, p.Last()); got != want {
			t.Errorf("%s: text from the key: %s", in, got)
		}
	}
}

func TestEntryKey(t *testing.T) {
	s := zoo(t)
	toy := mustPath(t, s, "/animals/animal[name=a]/toys/toy[kind=BIG][number=7]").Entry()
	animal, ok := toy.Parent()
	if !ok || s.Text(animal) != "/animals/animal[name=a]" || !toy.Under(animal) || animal.Under(toy) {
		t.Errorf("parent of %s is %s", toy, animal)
	}
	root, ok := animal.Parent()
	if !ok || root != "" || s.Text(root) != "/" || s.Node(root) != s.Root() {
		t.Errorf("parent of %s is %q", animal, string(root))
	}
	if _, ok := root.Parent(); ok {
		t.Error("the root has a parent")
	}
	if got := toy.Values(); !slices.Equal(got, []string{"BIG", "7"}) {
		t.Errorf("values %q", got)
	}
	k, err := s.Key(animal, s.Node(toy), "BIG", "07")
	if err != nil || k != toy {
		t.Errorf("built %s, %v", k, err)
	}
	if _, err := s.Key(animal, s.Node(toy), "BIG"); err == nil {
		t.Error("a key without all values was built")
	}
	if !strings.HasPrefix(string(toy), string(s.ListPrefix(animal, s.Node(toy)))) {
		t.Error("the list prefix is no prefix")
	}
	// One key must not look like the beginning of another.
	ab := mustPath(t, s, "/animals/animal[name=ab]").Entry()
	if ab.Under(animal) || !(animal < toy && toy < ab) {
		t.Error("keys are not in tree order")
	}
}

func TestResolveQuery(t *testing.T) {
	s := zoo(t)
	for _, tc := range []struct {
		in   string
		want string
	}{
		{"/...", "/"},
		{"/animals/...", "/animals"},
		{"/animals/animal[name=a]/*/name", "/animals/animal[name=a]/config/name /animals/animal[name=a]/state/name"},
		{"/animals/.../seq", "/animals/animal/notes/note/seq /animals/animal/notes/note/config/seq /animals/animal/notes/note/state/seq"},
		{"/.../text", "/animals/animal/notes/note/config/text"},
		{"/*/status", "/log/status"},
		{"/*", "/animals /log /settings"},
		{"/animals/animal/*[seq=1]", ""},
		{"/animals/animal/notes/*[seq=01]", "/animals/animal/notes/note[seq=1]"},
		{"/animals/.../nothing", ""},
		{"/beasts/*", ""},
		{"/.../note[seq=1]/config/text", "/animals/animal/notes/note[seq=1]/config/text"},
		{"/.../animal[name=a]/config/legs", "/animals/animal[name=a]/config/legs"},
		{"/*/*[name=a]/name", "/animals/animal[name=a]/name"},
	} {
		elems, err := ParseElems(tc.in)
		if err != nil {
			t.Fatal(err)
		}
		paths, err := s.ResolveQuery(elems)
		var got []string
		for _, p := range paths {
			got = append(got, p.String())
		}
		if strings.Join(got, " ") != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%s: got %s, %v, want %s", tc.in, got, err, tc.want)
		}
	}
}

// What fits nowhere is refused for the branch that went farthest.
func TestResolveQueryReasons(t *testing.T) {
	s := zoo(t)
	for _, tc := range []struct {
		in, want string
		code     Code
	}{
		{"/.../animal[id=a]/config", "unknown key, animal has the keys name", BadKey},
		{"/.../note[seq=300]/config", "300", BadKey},
		{"/animals/animal/*[seq=300]", "no node of the schema matches", NotFound},
		{"/animals/animal/notes/*[seq=300]", "300", BadKey},
		{"/.../animal[name=a]/config/wings", "no such node, config has", NotFound},
		{"/.../wings", "no node of the schema matches", NotFound},
	} {
		_, err := s.ParseQuery(tc.in)
		var pe *PathError
		if !errors.As(err, &pe) || pe.Code != tc.code || !strings.Contains(pe.Reason, tc.want) {
			t.Errorf("%s: got %v, want %s", tc.in, err, tc.want)
		}
	}
	// Lists of the same name with other keys are other lists.
	for _, in := range []string{"/.../interface[name=e1]/state/mtu", "/*/interface[name=e1]/state/mtu"} {
		paths, err := heddleSchema(t).ParseQuery(in)
		if err != nil || len(paths) != 1 || paths[0].String() != "/interfaces/interface[name=e1]/state/mtu" {
			t.Errorf("%s: got %v, %v", in, paths, err)
		}
	}
}

func TestMatches(t *testing.T) {
	s := zoo(t)
	node := func(path string) (EntryKey, *Node) {
		p := mustPath(t, s, path)
		return p.Entry(), p.Last()
	}
	for _, tc := range []struct {
		query, path  string
		entry, exact bool
	}{
		{"/", "/animals/animal[name=a]/config/u64", true, true},
		{"/animals", "/animals/animal[name=a]/config/u64", true, true},
		{"/animals/animal", "/animals/animal[name=a]/config/u64", true, true},
		{"/animals/animal[name=a]", "/animals/animal[name=a]/config/u64", true, true},
		{"/animals/animal[name=b]", "/animals/animal[name=a]/config/u64", false, false},
		{"/animals/animal[name=*]/state", "/animals/animal[name=a]/config/u64", true, false},
		{"/animals/animal[name=*]/toys", "/animals/animal[name=a]/toys/toy[kind=BIG][number=1]/config/owner", true, true},
		{"/animals/animal[name=*]/config", "/animals/animal[name=a]/toys/toy[kind=BIG][number=1]/config/owner", false, false},
		{"/animals/animal/toys/toy[number=1]", "/animals/animal[name=a]/toys/toy[kind=BIG][number=1]/config/owner", true, true},
		{"/animals/animal/toys/toy[number=2]", "/animals/animal[name=a]/toys/toy[kind=BIG][number=1]/config/owner", false, false},
		{"/animals/animal/toys/toy", "/animals/animal[name=a]/config/u64", false, false},
		{"/settings", "/animals/animal[name=a]/config/u64", false, false},
	} {
		q := mustPath(t, s, tc.query)
		k, n := node(tc.path)
		if got := q.MatchesEntry(k); got != tc.entry {
			t.Errorf("%s matches entry of %s: %v", tc.query, tc.path, got)
		}
		if got := q.Matches(k, n); got != tc.exact {
			t.Errorf("%s matches %s: %v", tc.query, tc.path, got)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, seed := range []string{"/", "/a/b[c=d]", `/animals/animal[name=\]]`, "animals/animal[name=a]/toys/toy[kind=BIG][number=3]/config", "[", "/a[b=", `\`, "/.../name"} {
		f.Add(seed)
	}
	s := zoo(f)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := s.ParsePath(text)
		if err != nil {
			var pe *PathError
			if !errors.As(err, &pe) {
				t.Fatalf("%q: %v is no PathError", text, err)
			}
			return
		}
		again, err := s.ParsePath(p.String())
		if err != nil || again.String() != p.String() {
			t.Fatalf("%q: %s does not parse to itself: %s, %v", text, p, again, err)
		}
		if !p.HasWildcard() && len(p) > 0 {
			if q := s.NodePath(p.Entry(), p.Last()); q.String() != p.String() {
				t.Fatalf("%q: key leads to %s", text, q)
			}
		}
	})
}
