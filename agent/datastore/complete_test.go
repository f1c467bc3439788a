package datastore

import (
	"fmt"
	"strings"
	"testing"

	"heddle/gen/config"
	"heddle/schema"
)

// describe gives interfaces without a description one: that which they had, or a new
// one.
func describe(next *Snapshot, changes []schema.Change) (filled []schema.Change) {
	for _, c := range changes {
		i, ok := c.New.(*config.Interface)
		if !ok || i.Description != nil {
			continue
		}
		text := fmt.Sprintf("%d entries", next.Len())
		if old, ok := c.Old.(*config.Interface); ok {
			text = *old.Description
		}
		with := *i
		with.Description = &text
		filled = append(filled, schema.Change{Key: c.Key, Old: i, New: &with})
	}
	return filled
}

// TestComplete: what is left to the agent is a part of what is committed and saved, and
// the same request once more changes nothing.
func TestComplete(t *testing.T) {
	fs, k := newMemFS(), &kernel{}
	completing := func(c *Config) { c.Complete = describe }
	r := start(t, fs, k, completing)
	e1, e2 := key(t, "/interfaces/interface[name=e1]"), key(t, "/interfaces/interface[name=e2]")
	has := func(k schema.EntryKey, want string) {
		t.Helper()
		e, _ := r.Snapshot().Get(k)
		if i, ok := e.(*config.Interface); !ok || i.GetDescription() != want {
			t.Errorf("%s is %v, want the description %q", r.schema.Text(k), e, want)
		}
	}
	bare := func(name string) schema.Edit {
		return replace(t, "/interfaces/interface[name="+name+"]", `{"config": {"type": "DUMMY"}}`)
	}
	r.must(bare("e1"))
	has(e1, "1 entries")
	r.agree()
	if res := r.must(bare("e1")); res.Revision != 1 || len(res.Changes) != 0 {
		t.Errorf("the same once more is revision %d with %d changes", res.Revision, len(res.Changes))
	}
	if res := r.must(bare("e1"), bare("e2")); res.Revision != 2 || len(res.Changes) != 1 {
		t.Errorf("with another one it is revision %d with %d changes", res.Revision, len(res.Changes))
	}
	has(e1, "1 entries")
	has(e2, "2 entries")
	r.agree()

	// A killed process has it from its log.
	r = start(t, fs, k, completing)
	has(e2, "2 entries")
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	// Somebody takes it out of the file.
	data := fs.get(t, startupName)
	edited := strings.Replace(string(data), `"description": "2 entries",`, "", 1)
	if edited == string(data) {
		t.Fatalf("there is no description in %s", data)
	}
	fs.put(startupName, []byte(edited))
	r = start(t, fs, k, completing)
	has(e1, "1 entries")
	has(e2, "2 entries")
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
