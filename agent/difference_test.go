package agent

import (
	"testing"

	"heddle/agent/datastore"
	"heddle/kernel/kerneltest"
	"heddle/schema"
)

// onlyA sees of interfaces the MTU of a.
type onlyA struct{ sc *schema.Schema }

func (v onlyA) Entry(k schema.EntryKey) (schema.Extent, func(*schema.Node) bool) {
	if v.sc.Text(k) == "/interfaces/interface[name=a]" {
		return schema.Part, func(n *schema.Node) bool { return n.Name == "mtu" }
	}
	return schema.Nothing, nil
}

// Of what may not be seen a difference has neither leaves nor counts.
func TestDifferenceThroughAView(t *testing.T) {
	a := fakeAgent(t, kerneltest.NewFake(), t.TempDir())
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	req := datastore.Request{Edits: []schema.Edit{
		edit(t, a.schema, schema.Update, "/interfaces/interface[name=a]/config", `{"type":"DUMMY","mtu":1400,"description":"x"}`),
		edit(t, a.schema, schema.Update, "/interfaces/interface[name=b]/config", `{"type":"DUMMY","mtu":1400}`),
	}}
	if _, err := a.Commit(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		view            schema.View
		entries, leaves int
	}{{nil, 2, 9}, {onlyA{a.schema}, 1, 1}} {
		c, err := a.Rollback(t.Context(), datastore.Request{Rollback: new(uint64)}, tc.view)
		if err != nil || c.Entries != tc.entries {
			t.Errorf("%+v, %v", c, err)
		}
		if _, err := a.Commit(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		if d, err := a.Diff(0, 1, tc.view); err != nil || d.Entries != tc.entries || len(d.Leaves) != tc.leaves || d.More != 0 {
			t.Errorf("%+v, %v", d, err)
		}
	}
	// Beyond what is named, too.
	many := make([]schema.Change, maxDifference+10)
	for i := range many {
		many[i] = schema.Change{Key: mustKey(t, a.schema, "/interfaces/interface[name=a]"), New: mustEntry(t, a, "/interfaces/interface[name=a]")}
	}
	if d := difference(a.schema, many, onlyA{a.schema}); len(d.Leaves) != maxDifference || d.More != 10 || d.Entries != len(many) {
		t.Errorf("%d leaves, %d more, %d entries", len(d.Leaves), d.More, d.Entries)
	}
}

func mustKey(t *testing.T, sc *schema.Schema, path string) schema.EntryKey {
	t.Helper()
	p, err := sc.ParsePath(path)
	if err != nil {
		t.Fatal(err)
	}
	return p.Entry()
}

func mustEntry(t *testing.T, a *Agent, path string) schema.GoStruct {
	t.Helper()
	e, there := a.store.Snapshot().Get(mustKey(t, a.schema, path))
	if !there {
		t.Fatalf("%s is not there", path)
	}
	return e
}
