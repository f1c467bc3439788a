package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// naive is a datastore as plain as can be: the whole configuration as one JSON
// tree, changed in place. Lists are maps from the text of their keys.
type naive map[string]any

type naiveList map[string]naive

func keyText(keys []string) string { return fmt.Sprintf("%q", keys) }

// fromJSON turns plain JSON below n into naive form.
func fromJSON(n *Node, doc map[string]any) naive {
	out := naive{}
	for name, v := range doc {
		c := n.Child(name)
		switch x := v.(type) {
		case map[string]any:
			out[name] = fromJSON(c, x)
		case []any:
			if c.Kind != List {
				out[name] = x
				continue
			}
			l := naiveList{}
			for _, e := range x {
				entry := fromJSON(c, e.(map[string]any))
				l[keyText(entry.keys(c))] = entry
			}
			out[name] = l
		default:
			out[name] = v
		}
	}
	return out
}

func (m naive) keys(list *Node) []string {
	var keys []string
	for _, k := range list.Keys {
		keys = append(keys, fmt.Sprint(m[k.Name]))
	}
	return keys
}

// merge is update.
func (m naive) merge(n *Node, more naive) {
	for name, v := range more {
		c := n.Child(name)
		switch x := v.(type) {
		case naive:
			if m[name] == nil {
				m[name] = naive{}
			}
			m[name].(naive).merge(c, x)
		case naiveList:
			if m[name] == nil {
				m[name] = naiveList{}
			}
			for k, e := range x {
				l := m[name].(naiveList)
				if l[k] == nil {
					l[k] = naive{}
				}
				l[k].merge(c, e)
			}
		case []any:
			old, _ := m[name].([]any)
			for _, e := range x {
				if !slices.ContainsFunc(old, func(o any) bool { return marshal(o) == marshal(e) }) {
					old = append(slices.Clone(old), e)
				}
			}
			m[name] = old
		default:
			m[name] = v
		}
	}
}

// at finds the parent of the last node of p, made if create.
func (m naive) at(p Path, create bool) naive {
	for _, e := range p {
		name := e.Node.Name
		if e.Node.Kind == List {
			l, _ := m[name].(naiveList)
			if l == nil {
				if !create {
					return nil
				}
				l = naiveList{}
				m[name] = l
			}
			k := keyText(e.Keys)
			if l[k] == nil {
				if !create {
					return nil
				}
				entry := naive{}
				for i, kn := range e.Node.Keys {
					entry[kn.Name] = keyJSON(kn, e.Keys[i])
					if c := e.Node.Child("config"); c != nil {
						if entry["config"] == nil {
							entry["config"] = naive{}
						}
						entry["config"].(naive)[kn.Name] = keyJSON(kn, e.Keys[i])
					}
				}
				l[k] = entry
			}
			m = l[k]
			continue
		}
		c, _ := m[name].(naive)
		if c == nil {
			if !create {
				return nil
			}
			c = naive{}
			m[name] = c
		}
		m = c
	}
	return m
}

func keyJSON(n *Node, text string) any {
	if n.Type.kind == tUint || n.Type.kind == tInt {
		return json.Number(text)
	}
	return text
}

// erase empties n, except for keys of the entry around it.
func (m naive) erase(n *Node) {
	for name := range m {
		if c := n.Child(name); c.plan.keyOf != nil {
			continue
		}
		delete(m, name)
	}
}

// edit applies one edit to a path without wildcards.
func (m naive) edit(op Op, p Path, value any) {
	n := p.Last()
	if op == Delete {
		parent := m.at(p[:len(p)-1], false)
		switch {
		case parent == nil:
		case n.Kind == List:
			if l, ok := parent[n.Name].(naiveList); ok {
				delete(l, keyText(p[len(p)-1].Keys))
			}
		case n.Kind == Container:
			if c, ok := parent[n.Name].(naive); ok {
				c.erase(n)
				if n.Presence {
					delete(parent, n.Name)
				}
			}
		default:
			delete(parent, n.Name)
		}
		return
	}
	switch x := value.(type) {
	case naive:
		if op == Replace && n.Kind == List {
			m.edit(Delete, p, nil)
		}
		c := m.at(p, true)
		if op == Replace && n.Kind != List {
			c.erase(n)
		}
		c.merge(n, x)
	case []any:
		parent := m.at(p[:len(p)-1], true)
		if op == Replace {
			delete(parent, n.Name)
		}
		parent.merge(n.Parent, naive{n.Name: x})
	default:
		m.at(p[:len(p)-1], true)[n.Name] = x
	}
}

// json is the tree for comparison: empty containers and lists left out.
func (m naive) json(n *Node) map[string]any {
	out := map[string]any{}
	for name, v := range m {
		c := n.Child(name)
		switch x := v.(type) {
		case naive:
			if inner := x.json(c); len(inner) > 0 || c.Presence {
				out[name] = inner
			}
		case naiveList:
			var list []any
			for _, k := range slices.Sorted(maps.Keys(x)) {
				list = append(list, x[k].json(c))
			}
			if len(list) > 0 {
				out[name] = list
			}
		case []any:
			if len(x) > 0 {
				out[name] = x
			}
		default:
			out[name] = v
		}
	}
	return out
}

// randomPath walks down from the root; keys are often those of existing entries.
func (g *docGen) randomPath(s *Schema, tr Entries) Path {
	var p Path
	n := s.Root()
	for {
		var down []*Node
		for _, c := range n.Children {
			if c.Config && !c.plan.isKey && len(c.plan.cases) == 0 {
				down = append(down, c)
			}
		}
		if len(down) == 0 || len(p) > 0 && g.IntN(5) == 0 {
			return p
		}
		n = down[g.IntN(len(down))]
		e := Elem{Node: n}
		if n.Kind == List {
			var have []EntryKey
			tr.Scan(s.ListPrefix(p.Entry(), n), func(k EntryKey, _ GoStruct) bool {
				if s.Node(k) == n {
					have = append(have, k)
				}
				return true
			})
			if len(have) > 0 && g.IntN(4) > 0 {
				e.Keys = have[g.IntN(len(have))].Values()
			} else {
				for _, k := range n.Keys {
					v := fmt.Sprint(g.value(k.Type))
					e.Keys = append(e.Keys, v)
				}
			}
		}
		p = append(p, e)
	}
}

// Random edits give what the naive datastore gives; Changes say exactly what
// happened; Diff turns the leaves before into the leaves after.
func TestModelEdits(t *testing.T) {
	for name, s := range map[string]*Schema{"zoo": zoo(t), "heddle": heddleSchema(t)} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(25) {
				runModel(t, s, seed)
			}
		})
	}
}

func runModel(t *testing.T, s *Schema, seed uint64) {
	g := &docGen{Rand: rand.New(rand.NewPCG(seed, 7)), plain: true, depth: 2}
	tr, ref := Entries{}, naive{}
	for step := range 80 {
		var edits []Edit
		var log string
		for range 1 + g.IntN(3) {
			p := g.randomPath(s, tr)
			n := p.Last()
			e := Edit{Op: Op(1 + g.IntN(3)), Path: p}
			if n.plan.keyOf != nil {
				continue
			}
			var value any
			if e.Op != Delete {
				switch {
				case n.IsLeaf():
					value = g.leaf(n)
					e.JSON = []byte(marshal(value))
					value = normalAny(e.JSON)
				default:
					var keys map[string]any
					if n.Kind == List {
						keys = map[string]any{}
						for i, k := range n.Keys {
							keys[k.Name] = keyJSON(k, p[len(p)-1].Keys[i])
						}
					}
					doc := g.object(n, keys)
					e.JSON = []byte(marshal(doc))
					value = fromJSON(n, normalAny(e.JSON).(map[string]any))
					if n.Name == "config" { // the key in the payload must be the path's
						for _, c := range n.Children {
							if c.plan.keyOf != nil {
								delete(value.(naive), c.Name)
								delete(doc, c.Name)
							}
						}
						e.JSON = []byte(marshal(doc))
					}
				}
			}
			ref.edit(e.Op, p, value)
			edits = append(edits, e)
			log += fmt.Sprintf("\n%s %s %s", e.Op, p, e.JSON)
		}
		ch, err := s.Apply(tr, edits)
		if err != nil {
			t.Fatalf("seed %d step %d:%s\n%v", seed, step, log, err)
		}
		checkChanges(t, s, tr, ch, log)
		tr.Put(ch)
		got, want := marshal(sorted(normalAny([]byte(show(t, s, tr))))), refText(s, ref)
		if got != want {
			t.Fatalf("seed %d step %d:%s\ngot  %s\nwant %s", seed, step, log, got, want)
		}
	}
}

// refText is what the naive datastore holds, without defaults.
func refText(s *Schema, ref naive) string {
	doc := normalAny([]byte(marshal(ref.json(s.Root()))))
	stripDefaults(s.Root(), doc.(map[string]any))
	return marshal(sorted(doc))
}

func normalAny(data []byte) any {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return v
}

func leafMap(s *Schema, k EntryKey, g GoStruct, o LeafOptions) map[string]string {
	out := map[string]string{}
	if g != nil {
		s.Leaves(k, g, o, func(n *Node, v Value) bool { out[s.NodeText(k, n)] = v.String(); return true })
	}
	return out
}

func checkChanges(t *testing.T, s *Schema, before Entries, ch []Change, log string) {
	t.Helper()
	for i, c := range ch {
		if i > 0 && ch[i-1].Key >= c.Key {
			t.Fatalf("changes out of order:%s", log)
		}
		if before[c.Key] != c.Old {
			t.Fatalf("%s: Old is not what was there:%s", s.Text(c.Key), log)
		}
		for _, o := range []LeafOptions{{}, {Defaults: true}} {
			leaves := leafMap(s, c.Key, c.Old, o)
			n := 0
			s.Diff(c, o, func(d Delta) bool {
				n++
				text := s.NodeText(c.Key, d.Node)
				was, had := leaves[text]
				switch {
				case d.Node.Kind == List:
					clear(leaves)
				case d.Node.Kind == Container:
				case d.Deleted:
					if !had {
						t.Fatalf("%s deleted, but it was not there:%s", text, log)
					}
					delete(leaves, text)
				case had && was == d.Value.String():
					t.Fatalf("%s updated to what it was:%s", text, log)
				default:
					leaves[text] = d.Value.String()
				}
				return true
			})
			if n == 0 && !o.Defaults {
				t.Fatalf("%s: a change without a difference:%s", s.Text(c.Key), log)
			}
			if want := leafMap(s, c.Key, c.New, o); !maps.Equal(leaves, want) {
				t.Fatalf("%s: Diff leads to %v, want %v:%s", s.Text(c.Key), leaves, want, log)
			}
		}
	}
}
