package schema

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/openconfig/ygot/ygot"

	zoostate "heddle/schema/internal/zoo/state"
)

// chunked encodes with parts of a given size.
func chunked(t testing.TB, s *Schema, trees []Tree, at Path, o EncodeOptions, part, helpers int) (doc [][]byte, present bool) {
	t.Helper()
	c := &crew{part: part, buffers: &heapBuffers{}}
	c.free.Store(int32(helpers))
	doc, present, err := s.encodeChunks(trees, at, o, c)
	if err != nil {
		t.Fatal(err)
	}
	return doc, present
}

// TestChunksAreTheDocument: however a document is divided, it is what one writes
// alone.
func TestChunksAreTheDocument(t *testing.T) {
	s := zoo(t)
	config, state := &btreeTree{}, &btreeTree{}
	for i := range 60 {
		name := fmt.Sprintf("a%d", i)
		at := "/animals/animal[name=" + name + "]"
		if i%3 != 0 {
			config.put(apply(t, s, config, script(t, s, "update "+at+`/config {"legs":4,"u64":"5"}`)...))
		}
		toys := 2
		if i == 20 {
			toys = 200
		}
		for n := range toys {
			toy := fmt.Sprintf("%s/toys/toy[kind=BIG][number=%d]", at, n)
			if i%2 == 0 {
				config.put(apply(t, s, config, script(t, s, "update "+toy+`/config {"number":`+fmt.Sprint(n)+`}`)...))
			}
			if n%2 == 0 {
				state.m.Set(mustPath(t, s, toy).Entry(), &zoostate.Animal_Toy{
					Kind: zoostate.Zoo_Size_BIG, Number: ygot.Uint32(uint32(n)), Plays: ygot.Uint64(7),
				})
			}
		}
	}
	state.m.Set(mustPath(t, s, "/log/hits/hit[id=7]").Entry(), &zoostate.Log_Hit{Id: ygot.Uint64(7), N: ygot.Uint32(1)})
	trees := []Tree{config, state}
	for _, at := range []string{"/", "/animals", "/animals/animal", "/animals/animal[name=a20]", "/animals/animal[name=a20]/toys/toy", "/log", "/settings", "/animals/animal[name=none]"} {
		for _, filter := range []Filter{All, Config, State, Operational} {
			o := EncodeOptions{Encoding: JSONIETF, Filter: filter, Defaults: true}
			var want bytes.Buffer
			wantPresent, err := s.EncodeJSON(&want, trees, mustPath(t, s, at), o)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range []int{1, 2, 5, 30, 1000} {
				for helpers := range 3 {
					doc, present := chunked(t, s, trees, mustPath(t, s, at), o, part, helpers)
					if got := bytes.Join(doc, nil); present != wantPresent || !bytes.Equal(got, want.Bytes()) {
						t.Fatalf("%s, filter %d, parts of %d, %d help: %t\n%s\nwant %t\n%s", at, filter, part, helpers, present, got, wantPresent, want.Bytes())
					}
				}
			}
		}
	}
}

// TestChunksStayInTheirBuffers: a large document is neither copied nor grown.
func TestChunksStayInTheirBuffers(t *testing.T) {
	s := heddleSchema(t)
	trees := []Tree{sidTree(t, s, 3*partSize), sidStateTree(t, s, 3*partSize)}
	for workers := range 4 {
		var want bytes.Buffer
		o := EncodeOptions{Encoding: JSONIETF}
		if _, err := s.EncodeJSON(&want, trees, nil, o); err != nil {
			t.Fatal(err)
		}
		doc, _, err := s.EncodeChunks(trees, nil, o, workers, &heapBuffers{})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(bytes.Join(doc, nil), want.Bytes()) {
			t.Fatalf("%d workers write another document", workers)
		}
		if len(doc) < want.Len()/ChunkSize {
			t.Errorf("%d octets in %d chunks", want.Len(), len(doc))
		}
		for i, c := range doc[1:] {
			if cap(c) != ChunkSize {
				t.Errorf("chunk %d of %d has a capacity of %d octets, %d in use", i+1, len(doc), cap(c), len(c))
			}
		}
	}
}
