package schema

import (
	"strings"
	"testing"
)

// A leaf that is set to its default is the same as one that is not set,
// whichever way it came, and what is different about it is told.
func TestDefaults(t *testing.T) {
	s := zoo(t)
	tr := Entries{}
	for _, step := range []struct{ edits, changed, diff, want string }{
		{"update /animals/animal[name=a] {}", "+a", "name=a config/enabled=true config/name=a config/size=SMALL", `{"name":"a","config":{"name":"a"}}`},
		{"update /animals/animal[name=a]/config/enabled true", "", "", `SAME`},
		{`replace /animals/animal[name=a] {"name":"a","config":{"name":"a","size":"SMALL","enabled":true}}`, "", "", `SAME`},
		{"update /animals/animal[name=a]/config/size 'BIG'", "~a", "config/size=BIG", `{"name":"a","config":{"name":"a","size":"BIG"}}`},
		{"update /animals/animal[name=a]/config/size 'SMALL'", "~a", "config/size=SMALL", `{"name":"a","config":{"name":"a"}}`},
		{"update /animals/animal[name=a]/config/enabled false\nupdate /animals/animal[name=a]/config/enabled true", "", "", `SAME`},
		{"update /animals/animal[name=a]/config/enabled false", "~a", "config/enabled=false", `{"name":"a","config":{"enabled":false,"name":"a"}}`},
		{"replace /animals/animal[name=a]/config/enabled true", "~a", "config/enabled=true", `{"name":"a","config":{"name":"a"}}`},
		// A presence container is there with nothing but a default in it.
		{`update /animals/animal[name=a]/cage {"paint":"green"}`, "~a", "cage/paint=green cage", `{"name":"a","config":{"name":"a"},"cage":{}}`},
		{"delete /animals/animal[name=a]/cage", "~a", "-cage/paint -cage", `{"name":"a","config":{"name":"a"}}`},
		// A leaf of a choice is there: it says which case was chosen.
		{"update /animals/animal[name=a]/branch 'low'", "~a", "branch=low", `{"name":"a","branch":"low","config":{"name":"a"}}`},
	} {
		before := showAt(t, s, mustPath(t, s, "/animals/animal[name=a]"), EncodeOptions{}, tr)
		ch := apply(t, s, tr, script(t, s, step.edits)...)
		tr.Put(ch)
		if got := summary(s, ch); got != step.changed {
			t.Errorf("%s: changes %s, want %s", step.edits, got, step.changed)
		}
		if got := deltas(s, ch); got != step.diff {
			t.Errorf("%s: differs in %s, want %s", step.edits, got, step.diff)
		}
		want := strings.ReplaceAll(step.want, "SAME", before)
		if got := showAt(t, s, mustPath(t, s, "/animals/animal[name=a]"), EncodeOptions{}, tr); got != want {
			t.Errorf("%s: got %s, want %s", step.edits, got, want)
		}
	}
}

// deltas is what subscribers would be told.
func deltas(s *Schema, ch []Change) string {
	var out []string
	for _, c := range ch {
		s.Diff(c, LeafOptions{Defaults: true}, func(d Delta) bool {
			name := strings.TrimPrefix(strings.TrimPrefix(d.Node.Path(), "/animals/animal"), "/")
			switch {
			case d.Deleted:
				name = "-" + name
			case d.Node.IsLeaf():
				name += "=" + d.Value.String()
			}
			out = append(out, name)
			return true
		})
	}
	return strings.Join(out, " ")
}

// A container that nobody configured shows no defaults, and one that holds
// nothing but a default is not there: as a document, as leaves, in differences,
// and when an entry is read from disk.
func TestDefaultsOfAbsentContainers(t *testing.T) {
	s := zoo(t)
	tr := Entries{}
	const days = `{"settings":{"config":{"days":["sat","sun"],"motto":"look, don't touch"}}}`
	if ch := apply(t, s, tr, Edit{Op: Replace, JSON: []byte(days)}); len(ch) > 0 {
		t.Errorf("%d changes by defaults alone", len(ch))
	}
	open := apply(t, s, tr, script(t, s, "update /settings/config/open true")...)
	if got, want := deltas(s, open), "settings/config/days=[sat, sun] settings/config/motto=look, don't touch settings/config/open=true"; got != want {
		t.Errorf("differs in %s, want %s", got, want)
	}
	tr.Put(open)
	if ch := apply(t, s, tr, Edit{Op: Update, JSON: []byte(days)}); len(ch) > 0 {
		t.Errorf("%d changes by defaults", len(ch))
	}
	shut := apply(t, s, tr, script(t, s, "delete /settings/config/open")...)
	if got, want := deltas(s, shut), "-settings/config/days -settings/config/motto -settings/config/open"; got != want {
		t.Errorf("differs in %s, want %s", got, want)
	}

	h := heddleSchema(t)
	const hop = "/network-instances/network-instance[name=blue]/protocols/protocol[identifier=STATIC][name=s]/static-routes/static[prefix=10.0.0.0/8]/next-hops/next-hop[index=0]"
	tr = Entries{}
	tr.Put(apply(t, h, tr, Edit{Op: Update, Path: mustPath(t, h, hop), JSON: []byte(`{"config":{"metric":7}}`)}))
	k := mustPath(t, h, hop).Entry()
	for _, g := range []GoStruct{tr[k], decoded(t, h, k, `{"config":{"metric":7},"srv6-encapsulation":{"config":{"mode":"H_ENCAPS"}}}`)} {
		for path := range leafMap(h, k, g, LeafOptions{Defaults: true}) {
			if strings.Contains(path, "srv6-encapsulation") {
				t.Errorf("%s is shown, and nobody encapsulates", path)
			}
		}
	}
	if got := showAt(t, h, mustPath(t, h, hop+"/srv6-encapsulation"), EncodeOptions{Defaults: true}, tr); got != "-" {
		t.Error(got)
	}
}

func decoded(t *testing.T, s *Schema, k EntryKey, data string) GoStruct {
	t.Helper()
	g, err := s.DecodeEntry(k, []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return g
}
