package agent

import (
	"context"
	"testing"

	"heddle/agent/datastore"
	"heddle/agent/operation"
	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/schema"
)

// TestPast goes back in the kernel, too; the plan of going back is what it does.
func TestPast(t *testing.T) {
	fake := kerneltest.NewFake()
	a := fakeAgent(t, fake, t.TempDir())
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	commit := func(request, path, doc string) {
		t.Helper()
		op := schema.Update
		if doc == "" {
			op = schema.Delete
		}
		_, err := a.Commit(t.Context(), datastore.Request{Edits: []schema.Edit{edit(t, a.schema, op, path, doc)}, User: "ann", Source: "test", Request: request})
		if err != nil {
			t.Fatal(err)
		}
	}
	const d1 = "/interfaces/interface[name=d1]"
	commit("make it", d1+"/config", `{"type":"DUMMY","mtu":1400}`)
	commit("change it", d1+"/config", `{"mtu":1300,"description":"small"}`)
	commit("delete it", d1, "")

	h, err := a.History(2)
	if err != nil || len(h.Commits) != 2 || h.Commits[0].Request != "delete it" || h.Commits[1].User != "ann" || !h.Commits[1].Reachable || h.Unconfirmed != nil {
		t.Errorf("%+v, %v", h, err)
	}
	want := []operation.LeafChange{
		{Path: d1 + "/config/description", After: `"small"`},
		{Path: d1 + "/config/mtu", Before: "1400", After: "1300"},
	}
	d, err := a.Diff(1, 2)
	if err != nil || len(d.Leaves) != 2 {
		t.Fatalf("%+v, %v", d, err)
	}
	for _, w := range want {
		if d.Leaves[0] != w && d.Leaves[1] != w {
			t.Errorf("%+v lacks %+v", d.Leaves, w)
		}
	}
	back := datastore.Request{Rollback: new(uint64(2))}
	nothing := func(context.Context, *datastore.Snapshot, *datastore.Snapshot, []schema.Change) error { return nil }
	plan, err := a.store.DryRun(t.Context(), back, nothing)
	if err != nil || len(plan.Changes) != 1 || len(difference(a.schema, plan.Changes).Leaves) != 5 {
		t.Errorf("%+v, %v", plan, err)
	}
	if _, there := fake.Get(object.LinkKey("d1")); there {
		t.Error("a plan was carried out")
	}
	c, err := a.Rollback(t.Context(), back)
	if err != nil || c.Revision != 4 || c.Entries != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	if o, there := fake.Get(object.LinkConfigKey("d1")); !there || o.(object.LinkConfig).MTU != 1300 {
		t.Errorf("the kernel holds %v", o)
	}
}
