package all_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"heddle/schema"
	"heddle/translators"
	"heddle/translators/modeltest"
)

const dynamicSID = srv6 + "/dynamic-sids/dynamic-sid"

// functions is a configuration whose dynamic SIDs can be asked for.
type functions struct {
	t      interface{ Fatal(...any) }
	model  *translators.Model
	config *modeltest.Snapshot
}

func newFunctions(t interface{ Fatal(...any) }, m *translators.Model, bits int) *functions {
	f := &functions{t: t, model: m}
	f.config = modeltest.New(f.model.Schema, schema.Entries{})
	f.set(schema.Update, "/network-instances/network-instance[name=DEFAULT]/config", `{"type": "DEFAULT_INSTANCE"}`)
	f.set(schema.Update, srv6+"/locators/locator[name=a]/config", fmt.Sprintf(`{"prefix": "2001:db8:a::/48", "function-length": %d}`, bits))
	return f
}

func (f *functions) edit(op schema.Op, path, json string) schema.Edit {
	p, err := f.model.ParsePath(path)
	if err != nil {
		f.t.Fatal(err)
	}
	return schema.Edit{Op: op, Path: p, JSON: []byte(json), Encoding: schema.JSONIETF}
}

func (f *functions) set(op schema.Op, path, json string) (changes []schema.Change) {
	next, changes, err := f.config.Apply([]schema.Edit{f.edit(op, path, json)})
	if err != nil {
		f.t.Fatal(err)
	}
	f.config = next
	return changes
}

// are the functions by name, 0 for none.
func (f *functions) are() map[string]uint32 {
	got := map[string]uint32{}
	for _, c := range f.config.All() {
		if d, ok := c.New.(*translators.DynamicSID); ok {
			got[*d.Name] = d.GetFunction()
		}
	}
	return got
}

const anEnd = `{"locator": "a", "behavior": "END"}`

// TestFunctionsStay does random Sets: who has a function keeps it as long as the entry
// is there, no two have the same, and there is none for as many as are one too many.
func TestFunctionsStay(t *testing.T) {
	m, full := model(t), false
	rapid.Check(t, func(t *rapid.T) {
		f := newFunctions(t, m, 3) // 7 functions
		for range rapid.IntRange(1, 40).Draw(t, "sets") {
			running, before := f.config, f.are()
			name := fmt.Sprint(rapid.IntRange(1, 9).Draw(t, "name"))
			path := dynamicSID + "[name=" + name + "]"
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				f.set(schema.Delete, path, "")
				delete(before, name)
			case 1:
				f.set(schema.Replace, path+"/config", anEnd)
			case 2:
				// Of a client that knows nothing of functions.
				var entries []string
				for n := range before {
					entries = append(entries, `{"name": "`+n+`", "config": `+anEnd+`}`)
				}
				if changes := f.set(schema.Replace, srv6+"/dynamic-sids", `{"dynamic-sid": [`+strings.Join(entries, ",")+`]}`); len(changes) > 0 {
					t.Fatalf("the same once more makes changes: %v", changes)
				}
			case 3:
				f.set(schema.Update, path+"/config", anEnd)
			}
			after := f.are()
			if slices.Contains(slices.Collect(maps.Values(after)), 0) {
				if full = true; len(after) < 8 {
					t.Fatalf("one of %d has no function: %v", len(after), after)
				}
				f.config = running // the rules refuse it
				continue
			}
			seen := map[uint32]string{}
			for n, function := range after {
				if had := before[n]; had != 0 && had != function {
					t.Fatalf("%s had function %d and has %d", n, had, function)
				}
				if other, twice := seen[function]; twice {
					t.Fatalf("%s and %s have function %d", n, other, function)
				}
				seen[function] = n
			}
		}
	})
	if !full {
		t.Error("the locator was never full")
	}
}

// TestFunctionsAvoid: what else has an address of the locator has it.
func TestFunctionsAvoid(t *testing.T) {
	f := newFunctions(t, model(t), 3)
	f.set(schema.Update, "/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=s]/static-routes/static[prefix=2001:db8:a:a000::/128]/config", `{"description": "theirs"}`)
	f.set(schema.Update, srv6+"/sids/sid[address=2001:db8:a:2000::]/config", `{"behavior": "END"}`)
	f.set(schema.Update, srv6+"/policies/policy[name=p]/config", `{"binding-sid": "2001:db8:a:4000::"}`)
	f.set(schema.Update, "/interfaces/interface[name=e1]/subinterfaces/subinterface[index=0]/ipv6/addresses/address[ip=2001:db8:a:6000::]/config", `{"prefix-length": 64}`)
	f.set(schema.Update, dynamicSID+"[name=four]/config", `{"locator": "a", "behavior": "END", "function": 4}`)
	var entries []string
	for i := range 3 {
		entries = append(entries, fmt.Sprintf(`{"name": "%d", "config": %s}`, i, anEnd))
	}
	f.set(schema.Update, srv6+"/dynamic-sids", `{"dynamic-sid": [`+strings.Join(entries, ",")+`]}`)
	got := f.are()
	slices.Sort(entries)
	if all := slices.Sorted(maps.Values(got)); !slices.Equal(all, []uint32{0, 4, 6, 7}) {
		t.Errorf("functions %v, want 4, 6 and 7, and one SID without", all)
	}
	// Two that change places, and one that moves to a locator of its own.
	f.set(schema.Update, srv6+"/locators/locator[name=b]/config", `{"prefix": "2001:db8:b::/48", "function-length": 3}`)
	f.set(schema.Update, dynamicSID+"[name=four]/config", `{"locator": "b"}`)
	if got := f.are()["four"]; got != 4 {
		t.Errorf("function %d in the other locator, want 4, which was said", got)
	}
}

// BenchmarkAllocate: a function among few, and among so many that hardly one is free.
func BenchmarkAllocate(b *testing.B) {
	for _, n := range []int{100, 60_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f := newFunctions(b, model(b), 16)
			entries := make([]string, n)
			for i := range entries {
				entries[i] = fmt.Sprintf(`{"name": "%d", "config": {"locator": "a", "behavior": "END", "function": %d}}`, i, i+1)
			}
			f.set(schema.Update, srv6+"/dynamic-sids", `{"dynamic-sid": [`+strings.Join(entries, ",")+`]}`)
			changes, err := f.model.Apply(f.config, []schema.Edit{f.edit(schema.Update, dynamicSID+"[name=new]/config", anEnd)})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if len(translators.Allocate(f.model, f.config, changes)) != 1 {
					b.Fatal("none was allocated")
				}
			}
		})
	}
}
