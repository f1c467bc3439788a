package schema

import (
	"fmt"
	"strings"
	"testing"

	"github.com/openconfig/ygot/ygot"

	heddleconfig "heddle/gen/config"
	zooconfig "heddle/schema/internal/zoo/config"
)

func TestValidate(t *testing.T) {
	s := zoo(t)
	k := mustPath(t, s, "/animals/animal[name=a]").Entry()
	a := func(set func(*zooconfig.Animal)) GoStruct {
		g := &zooconfig.Animal{Name: ygot.String("a")}
		set(g)
		return g
	}
	for _, tc := range []struct {
		entry GoStruct
		want  string
	}{
		{a(func(g *zooconfig.Animal) {
			g.Legs = ygot.Uint16(4)
			g.Mix = zooconfig.UnionUint8(3)
			g.Den = ygot.String("x")
		}), ""},
		{a(func(g *zooconfig.Animal) { g.Name = ygot.String("b") }), `/animals/animal[name=a]/name: value "b": differs from the key`},
		{a(func(g *zooconfig.Animal) { g.Name = nil }), `differs from the key`},
		{a(func(g *zooconfig.Animal) { g.Legs = ygot.Uint16(1001) }), "config/legs: value \"1001\": out of range"},
		{a(func(g *zooconfig.Animal) { g.Food = 99 }), "config/food: holds an undefined enumeration value"},
		{a(func(g *zooconfig.Animal) { g.Mix = zooconfig.UnionUint8(11) }), "config/mix: value \"11\": want uint8 in 1..10"},
		{a(func(g *zooconfig.Animal) { g.Cage = &zooconfig.Animal_Cage{} }), "/animals/animal[name=a]/cage/bars: is mandatory"},
		{a(func(g *zooconfig.Animal) { g.Tags = []string{"1", "2", "3", "4"} }), "config/tags: has 4 values, want at most 3"},
		{a(func(g *zooconfig.Animal) { g.Tags = []string{"1", "1"} }), "config/tags: value \"[1, 1]\": holds \"1\" twice"},
		{a(func(g *zooconfig.Animal) { g.Den, g.Nest = ygot.String("x"), ygot.String("y") }), "is of another case of choice home"},
		{a(func(g *zooconfig.Animal) { g.Branch, g.Nest = ygot.String("x"), ygot.String("y") }), ""},
		{&zooconfig.Device{}, "is no entry of it"},
	} {
		err := s.Validate(k, tc.entry)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("got %v, want %s", err, tc.want)
		}
	}
	sid := mustPath(t, heddleSchema(t), sidsPath+"/sid[address=2001:db8::1]").Entry()
	g, err := heddleSchema(t).DecodeEntry(sid, []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	g.(*heddleconfig.NetworkInstance_SegmentRouting_Srv6_Sid).NextHop = ygot.String("2001:DB8::1")
	if err := heddleSchema(t).Validate(sid, g); err == nil || !strings.Contains(err.Error(), "not in canonical form, want 2001:db8::1") {
		t.Errorf("a value that is not canonical: %v", err)
	}
}

func TestRefs(t *testing.T) {
	s := zoo(t)
	tr := Entries{}
	tr.Put(apply(t, s, tr, script(t, s, `update /animals/animal[name=a]/config {"friend":"b","herd":["c","d"]}
		update /animals/animal[name=a]/toys/toy[kind=BIG][number=1]/config {"like-kind":"SMALL","like":7,"lent-to":"b","lent":3,"any-toy":1,"owner":"a"}
		update /animals/animal[name=a]/toys/toy[kind=BIG][number=2]/config {"like":7}`)...))
	var got []string
	tr.Scan("", func(k EntryKey, g GoStruct) bool {
		s.Refs(k, g, func(r Ref) bool {
			target := "nothing"
			if r.Target != "" {
				target = s.Text(r.Target)
			}
			got = append(got, fmt.Sprintf("%s %s -> %s", r.Leaf.Name, r.Value, target))
			return true
		})
		return true
	})
	want := []string{
		"friend b -> /animals/animal[name=b]",
		"herd c -> /animals/animal[name=c]",
		"herd d -> /animals/animal[name=d]",
		"lent 3 -> /animals/animal[name=b]/toys/toy[kind=BIG][number=3]",
		"lent-to b -> /animals/animal[name=b]",
		"like 7 -> /animals/animal[name=a]/toys/toy[kind=SMALL][number=7]",
		"like 7 -> nothing",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(s.UncheckedRefs()) != 2 {
		t.Errorf("unchecked: %q", s.UncheckedRefs())
	}
}

// Our own model has no reference that we do not follow.
func TestHeddleRefs(t *testing.T) {
	s := heddleSchema(t)
	if u := s.UncheckedRefs(); len(u) > 0 {
		t.Errorf("unchecked: %q", u)
	}
	n := 0
	for _, l := range s.Lists() {
		if ep := l.plan.entryPlan[inConfig]; ep != nil {
			n += len(ep.refs)
		}
	}
	if n == 0 {
		t.Error("no references found at all")
	}
	if len(s.Models()) < 5 {
		t.Errorf("models: %v", s.Models())
	}
}
