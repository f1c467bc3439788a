package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openconfig/ygot/ygot"
	"github.com/openconfig/ygot/ytypes"

	heddleconfig "heddle/gen/config"
	zooconfig "heddle/schema/internal/zoo/config"
)

// model is a schema with ygot's own view of it, the oracle.
type model struct {
	name      string
	schema    *Schema
	newRoot   func() ygot.ValidatedGoStruct
	unmarshal func([]byte, ygot.GoStruct, ...ytypes.UnmarshalOpt) error
}

func bothModels(t testing.TB) []model {
	return []model{
		{"zoo", zoo(t), func() ygot.ValidatedGoStruct { return &zooconfig.Device{} }, zooconfig.Unmarshal},
		{"heddle", heddleSchema(t), func() ygot.ValidatedGoStruct { return &heddleconfig.Device{} }, heddleconfig.Unmarshal},
	}
}

// normal parses JSON and orders lists of objects, whose order has no meaning.
func normal(t testing.TB, data []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return sorted(v)
}

func sorted(v any) any {
	switch x := v.(type) {
	case map[string]any:
		for k := range x {
			x[k] = sorted(x[k])
		}
	case []any:
		// What is inside decides the order of what it is in.
		for i := range x {
			x[i] = sorted(x[i])
		}
		if len(x) > 0 {
			if _, ok := x[0].(map[string]any); ok {
				sort.Slice(x, func(i, j int) bool { return marshal(x[i]) < marshal(x[j]) })
			}
		}
	}
	return v
}

func marshal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// What ygot reads from a random document and writes is what we read and write.
func TestOracleDocuments(t *testing.T) {
	for _, m := range bothModels(t) {
		t.Run(m.name, func(t *testing.T) {
			for seed := range uint64(120) {
				g := newDocGen(seed)
				doc := []byte(marshal(g.object(m.schema.Root(), nil)))
				root := m.newRoot()
				if err := m.unmarshal(doc, root); err != nil {
					t.Fatalf("seed %d: ygot refuses %s: %v", seed, doc, err)
				}
				want, err := ygot.EmitJSON(root, &ygot.EmitJSONConfig{Format: ygot.RFC7951, SkipValidation: true,
					RFC7951Config: &ygot.RFC7951JSONConfig{AppendModuleName: true}})
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				tr := Entries{}
				ch, err := m.schema.Apply(tr, []Edit{{Op: Replace, JSON: doc, Encoding: JSONIETF}})
				if err != nil {
					t.Fatalf("seed %d: we refuse %s: %v", seed, doc, err)
				}
				tr.Put(ch)
				got := showAt(t, m.schema, nil, EncodeOptions{Encoding: JSONIETF}, tr)
				theirs := normal(t, []byte(want))
				stripDefaults(m.schema.Root(), theirs.(map[string]any))
				if d := cmp.Diff(sorted(theirs), normal(t, []byte(got))); d != "" {
					t.Fatalf("seed %d: ygot -, we +:\n%s", seed, d)
				}
				checkRoundTrips(t, m.schema, tr, seed)
			}
		})
	}
}

// checkRoundTrips verifies that what we write, whole or entry by entry, reads
// back as no change.
func checkRoundTrips(t *testing.T, s *Schema, tr Entries, seed uint64) {
	t.Helper()
	for _, enc := range []Encoding{JSON, JSONIETF} {
		for _, defaults := range []bool{false, true} {
			doc := showAt(t, s, nil, EncodeOptions{Encoding: enc, Defaults: defaults}, tr)
			ch, err := s.Apply(tr, []Edit{{Op: Replace, JSON: []byte(doc), Encoding: enc}})
			if err != nil || len(ch) > 0 {
				t.Fatalf("seed %d: replace by %s: %d changes, %v", seed, doc, len(ch), err)
			}
		}
	}
	for k, g := range tr {
		data := s.EncodeEntry(nil, k, g)
		back, err := s.DecodeEntry(k, data)
		if err != nil {
			t.Fatalf("seed %d: entry %s: %v", seed, data, err)
		}
		if !s.planOf(g).equal(base(g), base(back)) {
			t.Fatalf("seed %d: entry %s: read back as %s", seed, data, s.EncodeEntry(nil, k, back))
		}
	}
}

// stripDefaults removes from the contents of container or entry n the leaves with
// their default, and the containers that hold nothing else.
func stripDefaults(n *Node, doc map[string]any) {
	for name, v := range doc {
		c := n.plan.accepted[name]
		switch {
		case c.Kind == Container:
			inner := v.(map[string]any)
			if stripDefaults(c, inner); len(inner) == 0 && !c.Presence {
				delete(doc, name)
			}
		case c.Kind == List:
			for _, e := range v.([]any) {
				stripDefaults(c, e.(map[string]any))
			}
		case c.hasDefault() && bare(v) == bare(defaultJSON(c)):
			delete(doc, name)
		}
	}
}

func defaultJSON(n *Node) any {
	var list []any
	for _, v := range n.Default {
		list = append(list, v.String())
	}
	if n.Kind == Leaf {
		return list[0]
	}
	return list
}

// bare is the text of a value without the modules of identities.
func bare(v any) string {
	text := fmt.Sprint(v)
	return text[strings.LastIndexByte(text, ':')+1:]
}

// With one leaf replaced by something odd, we refuse what ygot refuses. What
// only we refuse is listed: ygot is known to be lenient there.
func TestOracleRefusals(t *testing.T) {
	odd := []any{nil, true, "", "x", "1", "zoo:HAY", "zoo-types:HAY", "BIG", "::1", "1.2.3.4", "ab-1", json.Number("-1"), json.Number("0"), json.Number("6"),
		json.Number("11"), json.Number("1001"), json.Number("4294967296"), json.Number("1.5"), []any{}, []any{nil}, map[string]any{}, "999999999999999999999",
		"a string of more than twenty characters"}
	// A null unsets in silence, fractions are cut off, mandatory is ignored.
	lenient := []string{"got null", "value 1.5", "is mandatory"}
	for _, m := range bothModels(t) {
		t.Run(m.name, func(t *testing.T) {
			agreed := 0
			for seed := range uint64(300) {
				g := newDocGen(seed)
				g.noUnionBool = true
				doc := g.object(m.schema.Root(), nil)
				n := g.corrupt(m.schema.Root(), doc, odd)
				if n == nil {
					continue
				}
				text := []byte(marshal(doc))
				root := m.newRoot()
				theirs := m.unmarshal(text, root)
				if theirs == nil {
					theirs = root.Validate(&ytypes.LeafrefOptions{IgnoreMissingData: true})
				}
				ch, ours := m.schema.Apply(Entries{}, []Edit{{Op: Replace, JSON: text, Encoding: JSONIETF}})
				for _, c := range ch {
					ours = errors.Join(ours, m.schema.Validate(c.Key, c.New))
				}
				switch {
				case (ours == nil) == (theirs == nil):
					agreed++
				case ours == nil:
					t.Errorf("seed %d: we take %s in %s, ygot says %v", seed, n.Path(), text, theirs)
				default:
					for _, line := range strings.Split(ours.Error(), "\n") {
						if !slices.ContainsFunc(lenient, func(s string) bool { return strings.Contains(line, s) }) {
							t.Errorf("seed %d: only we refuse: %v", seed, ours)
						}
					}
				}
			}
			t.Logf("%d agreed", agreed)
			if agreed < 100 {
				t.Errorf("only %d comparisons", agreed)
			}
		})
	}
}

// corrupt replaces one leaf below n by a random odd value and returns it.
func (g *docGen) corrupt(n *Node, doc map[string]any, odd []any) *Node {
	names := make([]string, 0, len(doc))
	for k := range doc {
		names = append(names, k)
	}
	sort.Strings(names)
	g.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		c := n.plan.accepted[name]
		switch x := doc[name].(type) {
		case map[string]any:
			if found := g.corrupt(c, x, odd); found != nil {
				return found
			}
		default:
			if list, ok := x.([]any); ok && c.Kind == List {
				if found := g.corrupt(c, list[g.IntN(len(list))].(map[string]any), odd); found != nil {
					return found
				}
				continue
			}
			if c.IsKey() {
				continue
			}
			doc[name] = odd[g.IntN(len(odd))]
			return c
		}
	}
	return nil
}
