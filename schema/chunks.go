package schema

import (
	"sort"
	"sync"
	"sync/atomic"
)

// EncodeChunks is EncodeJSON into memory: the document in chunks of about
// ChunkSize, the small one of a small document excepted. Large lists of trees
// that are Indexed are written by as many goroutines as workers, at least the
// caller's.
//
// alloc gives empty buffers of capacity ChunkSize or more; the chunks lie in
// them. It has to be safe for concurrent use.
func (s *Schema) EncodeChunks(trees []Tree, at Path, o EncodeOptions, workers int, alloc func() []byte) (doc [][]byte, present bool, err error) {
	out := &chunks{alloc: alloc}
	e := &encoder{s: s, out: out, o: o, trees: trees, buf: make([]byte, 0, 512)}
	if workers > 1 && indexed(trees) {
		e.crew = &crew{part: partSize}
		e.crew.free.Store(int32(workers - 1))
	}
	present, err = s.encode(e, at)
	return out.list, present, err
}

// ChunkSize is the capacity in octets that keeps EncodeChunks from growing a
// buffer, unless a single entry of a list is large.
const ChunkSize = flushSize + 8<<10

// chunks keeps what is put into it.
type chunks struct {
	list  [][]byte
	alloc func() []byte
}

func (c *chunks) put(full []byte) ([]byte, error) {
	c.list = append(c.list, full)
	return c.alloc(), nil
}

func indexed(trees []Tree) bool {
	for _, t := range trees {
		if _, ok := t.(Indexed); !ok {
			return false
		}
	}
	return true
}

// crew are the goroutines that help an encoder with large lists.
type crew struct {
	free atomic.Int32
	part int // how many entries make a part of a list that somebody else may write
}

// partSize is enough that setting out for a part costs nothing beside it.
const partSize = 2048

// hire reports whether one more may help, who then has to leave.
func (c *crew) hire() bool {
	if c.free.Add(-1) >= 0 {
		return true
	}
	c.leave()
	return false
}

func (c *crew) leave() { c.free.Add(1) }

// divide cuts what is below a prefix into parts, at entries of the list itself:
// nil if it is not worth it. depth is the length of the key that holds the list.
func (c *crew) divide(e *encoder, prefix EntryKey, depth int) []section {
	if c == nil {
		return nil
	}
	var largest Indexed
	low, high := 0, 2*c.part
	for _, t := range e.trees {
		t := t.(Indexed)
		from := position(t, prefix)
		if until := position(t, prefix.behind()); until-from > high-low {
			largest, low, high = t, from, until
		}
	}
	if largest == nil {
		return nil
	}
	n := (high - low) / c.part
	parts := []section{{prefix: prefix, from: prefix}}
	for i := 1; i < n; i++ {
		k := largest.KeyAt(low + (high-low)*i/n)
		k = k[:depth+k[depth:].level()]
		if last := &parts[len(parts)-1]; k > last.from {
			last.until = k
			parts = append(parts, section{prefix: prefix, from: k})
		}
	}
	// One entry of a list may have everything below it.
	if len(parts) < 3 {
		return nil
	}
	parts[len(parts)-1].until = prefix.behind()
	return parts
}

// position is how many entries are before a key.
func position(t Indexed, k EntryKey) int {
	return sort.Search(t.Len(), func(i int) bool { return t.KeyAt(i) >= k })
}

// behind is the least key that is behind all that are under prefix k.
func (k EntryKey) behind() EntryKey {
	b := []byte(k)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			return EntryKey(b[:i+1])
		}
	}
	return ""
}

// together writes the entries of a list under k, part by part, with whoever is
// free to help.
func (e *encoder) together(list *Node, k EntryKey, parts []section) {
	alloc := e.out.(*chunks).alloc
	docs := make([][][]byte, len(parts))
	var next atomic.Int32
	work := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(parts) {
				return
			}
			out := &chunks{alloc: alloc}
			p := &encoder{s: e.s, out: out, o: e.o, trees: e.trees, crew: e.crew, top: e.top, buf: alloc()}
			cur := newSection(e.s, e.trees, parts[i], e.o.Filter)
			p.entries(list, k, parts[i].prefix, cur)
			cur.stop()
			if docs[i] = out.list; len(p.buf) > 0 {
				docs[i] = append(docs[i], p.buf)
			}
		}
	}
	var helpers sync.WaitGroup
	for range len(parts) - 1 {
		if !e.crew.hire() {
			break
		}
		helpers.Go(func() {
			defer e.crew.leave()
			work()
		})
	}
	work()
	helpers.Wait()
	out := e.out.(*chunks)
	for _, doc := range docs {
		if len(doc) == 0 {
			continue // the filter lets none of its entries count
		}
		if e.buf[len(e.buf)-1] != '[' {
			e.buf = append(e.buf, ',')
		}
		out.list = append(append(out.list, e.buf), doc[:len(doc)-1]...)
		e.buf = doc[len(doc)-1]
	}
}
