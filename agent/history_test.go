package agent

import (
	"context"
	"fmt"
	"strings"
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
	d, err := a.Diff(1, 2, nil)
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
	if err != nil || len(plan.Changes) != 1 || len(difference(a.schema, plan.Changes, nil).Leaves) != 5 {
		t.Errorf("%+v, %v", plan, err)
	}
	if _, there := fake.Get(object.LinkKey("d1")); there {
		t.Error("a plan was carried out")
	}
	c, err := a.Rollback(t.Context(), back, nil)
	if err != nil || c.Revision != 4 || c.Entries != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	if o, there := fake.Get(object.LinkConfigKey("d1")); !there || o.(object.LinkConfig).MTU != 1300 {
		t.Errorf("the kernel holds %v", o)
	}
}

// TestSecrets are in the configuration, and in nothing that is told of it.
func TestSecrets(t *testing.T) {
	a := fakeAgent(t, kerneltest.NewFake(), t.TempDir())
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	const key = "/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6/hmac-keys/hmac-key[key-id=7]"
	set := func(op schema.Op, path, doc string) datastore.Request {
		return datastore.Request{Edits: []schema.Edit{edit(t, a.schema, op, path, doc)}}
	}
	for _, req := range []datastore.Request{
		set(schema.Update, "/network-instances/network-instance[name=DEFAULT]/config", `{"type":"DEFAULT_INSTANCE"}`),
		set(schema.Update, key+"/config", `{"secret-key":"first of ours"}`),
		set(schema.Update, key+"/config", `{"secret-key":"second of ours"}`),
	} {
		if _, err := a.Commit(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	d, err := a.Diff(2, 3, nil)
	if err != nil || len(d.Leaves) != 1 || d.Leaves[0].Path != key+"/config/secret-key" {
		t.Fatalf("%+v, %v", d, err)
	}
	plan, err := a.Plan(t.Context(), set(schema.Delete, key, ""), nil)
	if err != nil || len(plan.Steps) != 1 {
		t.Fatalf("%+v, %v", plan, err)
	}
	_, refused := a.Commit(t.Context(), set(schema.Update, key+"/config", `{"secret-key":"third of ours is longer than what the kernel takes, which is 64 octets"}`))
	if refused == nil {
		t.Error("a secret of 70 octets was taken")
	}
	snapshot := a.store.Snapshot()
	p, err := a.schema.ParsePath(key)
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := snapshot.Get(p.Entry()); !ok || !strings.Contains(fmt.Sprint(configured(t, a.schema, snapshot)), "second of ours") {
		t.Errorf("the configuration has %v", e)
	}
	wanted, _ := a.applier.Of(snapshot).Wanted(p.Entry())
	state, _ := a.tel.Snapshot().Get(p.Entry())
	told := fmt.Sprintf("%+v %#v %v %v %+v %#v %v", d, plan, refused, wanted, wanted, wanted, configured(t, a.schema, a.tel.Snapshot()))
	if state == nil || strings.Contains(told, "of ours") {
		t.Errorf("state %v; a secret is in: %s", state, told)
	}
}
