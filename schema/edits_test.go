package schema

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// scalar is a random value of a type as a client sends it, mostly one that fits.
func (g *docGen) scalar(t *Type) Value {
	if g.IntN(12) == 0 {
		return []Value{StringValue("no such"), UintValue(1 << 40), IntValue(-3), BoolValue(true), BinaryValue([]byte{1}), FloatValue(2.5), ListValue(nil), {}}[g.IntN(8)]
	}
	switch t.kind {
	case tUint:
		return UintValue(t.ranges[0].min + g.Uint64N(4))
	case tInt:
		return IntValue(int64(t.ranges[0].max) - g.Int64N(4))
	case tDecimal:
		return FloatValue(float64(g.IntN(4)))
	case tBool, tEmpty:
		return BoolValue(g.IntN(2) == 0)
	case tBinary:
		return BinaryValue([]byte{byte(g.IntN(4))})
	case tUnion:
		return g.scalar(t.members[g.IntN(len(t.members))])
	case tEnum, tIdentity:
		names := sortedNames(t)
		return StringValue(names[g.IntN(len(names))])
	}
	return StringValue(g.text(t))
}

// leaves adds updates of some leaves of one node to both lists.
func (g *docGen) leaves(l *Edits, plain []Edit, at Path) []Edit {
	n := l.s.Root()
	if len(at) > 0 {
		n = at.Last()
	}
	var leaves []*Node
	for _, c := range n.Children {
		if c.IsLeaf() && (c.Config || g.IntN(30) == 0) {
			leaves = append(leaves, c)
		}
	}
	if len(leaves) == 0 {
		return plain
	}
	for range 1 + g.IntN(6) {
		leaf := leaves[g.IntN(len(leaves))]
		v := g.scalar(leaf.Type)
		if leaf.Kind == LeafList && g.IntN(3) > 0 {
			v = ListValue([]Value{g.scalar(leaf.Type), g.scalar(leaf.Type)}[:g.IntN(3)])
		}
		if leaf.IsKey() && g.IntN(10) > 0 {
			key := leaf
			if leaf.plan.keyOf != nil {
				key = leaf.plan.keyOf
			}
			text := at.Entry().Values()
			if i := slices.Index(n.plan.entry.Keys, key); i < len(text) {
				c, _ := key.Type.parse(&raw{form: fText, text: text[i]})
				if v = c; c.kind == KindIdentity || c.kind == KindEnum {
					v = StringValue(c.str)
				}
			}
		}
		op := Update
		if g.IntN(5) == 0 {
			op = Replace
		}
		l.Leaf(op, at, leaf, v)
		plain = append(plain, Edit{Op: op, Path: append(slices.Clone(at), Elem{Node: leaf}), Scalar: v})
	}
	return plain
}

// What Edits makes of updates of leaves does what an edit for each does, errors
// included, whatever is between them.
func TestEditsOfLeaves(t *testing.T) {
	for _, m := range bothModels(t) {
		t.Run(m.name, func(t *testing.T) {
			failed, drafts := 0, 0
			const runs = 500
			for seed := range uint64(runs) {
				d, f := runEdits(t, m.schema, seed)
				drafts += d
				if f {
					failed++
				}
			}
			if failed < runs/20 || failed > runs*3/4 || drafts < runs {
				t.Errorf("of %d runs %d failed, with %d drafts: the test says little", runs, failed, drafts)
			}
		})
	}
}

func runEdits(t *testing.T, s *Schema, seed uint64) (drafts int, failed bool) {
	g := newDocGen(seed)
	tr := Entries{}
	tr.Put(apply(t, s, tr, Edit{Op: Replace, JSON: []byte(marshal(g.object(s.Root(), nil))), Encoding: JSONIETF}))
	before := show(t, s, tr)
	l := s.NewEdits()
	var plain []Edit
	add := func(e Edit) {
		l.Add(e)
		plain = append(plain, e)
	}
	for range 1 + g.IntN(12) {
		p := g.randomPath(s, tr)
		n := p.Last()
		switch {
		case g.IntN(8) == 0 && n != nil && !n.IsKey():
			add(Edit{Op: Delete, Path: p})
			continue
		case g.IntN(8) == 0 && n != nil && n.Kind == Container:
			add(Edit{Op: Replace, Path: p, JSON: []byte(`{}`)})
			continue
		}
		if n != nil && n.IsLeaf() {
			p = p[:len(p)-1]
		}
		if i := slices.IndexFunc(p, func(e Elem) bool { return e.Keys != nil }); i >= 0 && g.IntN(40) == 0 {
			p = slices.Clone(p)
			p[i].Keys = nil
		}
		plain = g.leaves(l, plain, p)
		if g.IntN(3) == 0 { // the same place again, another Path
			plain = g.leaves(l, plain, slices.Clone(p))
		}
	}
	list := l.List()
	for _, e := range list {
		drafts += len(e.drafts)
	}
	failsWith(t, s, tr, list)
	got, gotErr := s.Apply(tr, list)
	want, wantErr := s.Apply(tr, plain)
	if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
		t.Fatalf("seed %d:\n%s\ngot  %v\nwant %v", seed, editsText(plain), gotErr, wantErr)
	}
	if show(t, s, tr) != before {
		t.Fatalf("seed %d: Apply changed its base", seed)
	}
	if g, w := changesText(t, s, tr, got), changesText(t, s, tr, want); g != w {
		t.Fatalf("seed %d:\n%s\ngot\n%s\nwant\n%s", seed, editsText(plain), g, w)
	}
	return drafts, gotErr != nil
}

// failsWith has Apply fail after the list. It may begin again then, so the drafts
// have to be what they were.
func failsWith(t *testing.T, s *Schema, tr Tree, list []Edit) {
	t.Helper()
	before := map[*draft]unsafe.Pointer{}
	for _, e := range list {
		for i := range e.drafts {
			d := &e.drafts[i]
			before[d] = s.nodeOf(d.key).plan.entryPlan[inConfig].clone(d.p)
		}
	}
	if _, err := s.apply(tr, append(slices.Clone(list), Edit{}), split{}); err == nil {
		t.Fatal("an edit without operation is taken")
	}
	for d, p := range before {
		if !s.nodeOf(d.key).plan.entryPlan[inConfig].equal(d.p, p) {
			t.Fatalf("Apply failed and changed the draft of %s", s.Text(d.key))
		}
	}
}

func editsText(edits []Edit) string {
	var b strings.Builder
	for _, e := range edits {
		fmt.Fprintf(&b, "%v %s %s %v\n", e.Op, e.Path, e.JSON, e.Scalar)
	}
	return b.String()
}

// changesText is the changes of tr, and what they make of it.
func changesText(t *testing.T, s *Schema, tr Entries, ch []Change) string {
	t.Helper()
	next := maps.Clone(tr)
	next.Put(ch)
	var b strings.Builder
	for _, c := range ch {
		if old, ok := tr[c.Key]; ok != (c.Old != nil) || old != c.Old {
			t.Fatalf("%s: the old entry is %v", s.Text(c.Key), c.Old)
		}
		valid := c.New != nil && s.Validate(c.Key, c.New) == nil
		fmt.Fprintln(&b, s.Text(c.Key), c.New != nil, valid)
	}
	return b.String() + show(t, s, next)
}
