package schema

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/openconfig/ygot/ygot"
	"pgregory.net/rapid"

	zoostate "heddle/schema/internal/zoo/state"
)

// backed are buffers that know what was put back.
type backed map[*byte]bool

func (backed) Get() []byte { return make([]byte, 0, ChunkSize) }

func (p backed) Put(b []byte) { p[&b[:1][0]] = true }

// TestDrafts: whatever happens to the trees while a draft is written, Finish
// writes what is there then, and uses the parts to which nothing happened.
func TestDrafts(t *testing.T) {
	s := zoo(t)
	seen := func(k EntryKey, n int) GoStruct {
		return &zoostate.Animal{Name: ygot.String(k.Values()[0]), Seen: ygot.Uint64(uint64(n))}
	}
	paths := []Path{nil, mustPath(t, s, "/animals"), mustPath(t, s, "/animals/animal")}
	animals := paths[2].Last()
	animal := func(n int) EntryKey { return s.KeyOf("", animals, fmt.Sprintf("%03d", n)) }
	rapid.Check(t, func(t *rapid.T) {
		config, before := NewMap(), NewMap()
		var all []Change
		total := rapid.IntRange(0, 80).Draw(t, "animals")
		for n := range total {
			all = append(all, Change{Key: animal(n), New: seen(animal(n), n)})
		}
		before = before.With(all)
		buffers := backed{}
		o := EncodeOptions{Filter: rapid.SampledFrom([]Filter{All, State, Config}).Draw(t, "filter")}
		at := rapid.SampledFrom(paths).Draw(t, "at")
		part := rapid.IntRange(1, 30).Draw(t, "part")
		d := s.draft([]Tree{config, before}, at, o, buffers, part)
		if d == nil {
			if total >= 2*part {
				t.Fatalf("no draft of %d animals in parts of %d", total, part)
			}
			return
		}
		whole := rapid.Bool().Draw(t, "whole")
		if whole {
			<-d.done
		}
		var changes []Change
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 90), 0, 3, rapid.ID).Draw(t, "changed") {
			c := Change{Key: animal(n), New: seen(animal(n), n+1000)}
			if rapid.Bool().Draw(t, "deleted") {
				c.New = nil
			}
			changes = append(changes, c)
		}
		now := before.With(changes)
		var want bytes.Buffer
		wantPresent, err := s.EncodeJSON(&want, []Tree{config, now}, at, o)
		if err != nil {
			t.Fatal(err)
		}
		doc, present, err := d.Finish([]Tree{config, now}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Join(doc, nil); present != wantPresent || !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%t\n%s\nwant %t\n%s", present, got, wantPresent, want.Bytes())
		}
		if kept, of := d.Kept(); whole && len(changes) == 0 && kept != of {
			t.Errorf("%d parts of %d are used though nothing happened", kept, of)
		}
		for _, c := range doc {
			if buffers[&c[:1][0]] {
				t.Error("a buffer of the document was put back")
			}
		}
		if len(d.parts) > 0 {
			t.Errorf("%d parts are left over", len(d.parts))
		}
	})
}

// TestDraftIsGivenUp: nothing is left behind, however far it was.
func TestDraftIsGivenUp(t *testing.T) {
	s := heddleSchema(t)
	trees := []Tree{sidTree(t, s, 3*partSize), sidStateTree(t, s, 3*partSize)}
	d := s.Draft(trees, nil, EncodeOptions{}, &heapBuffers{})
	d.Drop()
	if len(d.parts) > 0 {
		t.Errorf("%d parts are left over", len(d.parts))
	}
	if d := s.Draft(trees, mustPath(t, s, "/interfaces"), EncodeOptions{}, &heapBuffers{}); d != nil {
		t.Error("what is beside the large list is drafted")
	}
	small := []Tree{sidTree(t, s, 100), sidStateTree(t, s, 100)}
	if d := s.Draft(small, nil, EncodeOptions{}, &heapBuffers{}); d != nil {
		t.Error("a small document is drafted")
	}
}
