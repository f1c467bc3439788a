package schema

import (
	"sort"
	"sync"
	"sync/atomic"
)

// Buffers are what EncodeChunks writes to: safe for concurrent use.
type Buffers interface {
	// Get returns an empty buffer of capacity ChunkSize or more.
	Get() []byte
	// Put takes back a buffer that came from Get, perhaps grown since, or any
	// other.
	Put([]byte)
}

// EncodeChunks is EncodeJSON into memory: the document in chunks of about
// ChunkSize, the small one of a small document excepted. Large lists of trees
// that are Indexed are written by as many goroutines as workers, at least the
// caller's.
func (s *Schema) EncodeChunks(trees []Tree, at Path, o EncodeOptions, workers int, b Buffers) (doc [][]byte, present bool, err error) {
	c := &crew{buffers: b}
	if workers > 1 && indexed(trees) {
		c.part = partSize
		c.free.Store(int32(workers - 1))
	}
	return s.encodeChunks(trees, at, o, c)
}

func (s *Schema) encodeChunks(trees []Tree, at Path, o EncodeOptions, c *crew) (doc [][]byte, present bool, err error) {
	out := &chunks{buffers: c.buffers}
	present, err = s.encode(&encoder{s: s, out: out, o: o, trees: trees, crew: c, buf: make([]byte, 0, 512)}, at)
	return out.list, present, err
}

// ChunkSize is the capacity in octets that keeps EncodeChunks from growing a
// buffer, unless a single entry of a list is large.
const ChunkSize = flushSize + 8<<10

// chunks keeps what is put into it.
type chunks struct {
	list    [][]byte
	buffers Buffers
}

func (c *chunks) put(full []byte) ([]byte, error) {
	c.list = append(c.list, full)
	return c.buffers.Get(), nil
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
	free    atomic.Int32
	part    int // how many entries make a part of a list that somebody else may write; 0: nobody
	buffers Buffers
	drafts  *Draft // where what they write belongs to, if it is a draft
	uses    *Draft // whose parts they use, if there are any
}

func (c *crew) stopped() bool { return c != nil && c.drafts != nil && c.drafts.stop.Load() }

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
	if c == nil || c.part == 0 {
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
	docs := make([][][]byte, len(parts))
	var next atomic.Int32
	work := func() {
		var scratch []item
		for {
			i := int(next.Add(1)) - 1
			if i >= len(parts) || e.crew.stopped() {
				return
			}
			docs[i] = e.writePart(list, k, parts[i], &scratch)
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
	if e.crew.drafts == nil {
		e.join(docs)
	}
}

// writePart writes a part of a list under k, or finds it written. What is written
// for a draft stays there.
func (e *encoder) writePart(list *Node, k EntryKey, part section, scratch *[]item) [][]byte {
	if drafted := e.crew.uses; drafted != nil {
		if doc, ok := drafted.take(part, e.trees, scratch); ok {
			return doc
		}
	}
	c, d := e.crew, e.crew.drafts
	if d != nil {
		c = &crew{buffers: c.buffers, drafts: d} // a part of a draft is in one piece
	}
	out := &chunks{buffers: c.buffers}
	p := &encoder{s: e.s, out: out, o: e.o, trees: e.trees, crew: c, top: e.top, buf: out.buffers.Get()}
	cur := newSection(e.s, e.trees, part, e.o.Filter)
	p.entries(list, k, part.prefix, cur)
	cur.stop()
	doc := out.list
	if len(p.buf) > 0 {
		doc = append(doc, p.buf)
	} else {
		out.buffers.Put(p.buf)
	}
	switch {
	case d == nil:
	case p.err != nil:
		free(d.buffers, doc)
	default:
		d.parts[part] = doc // one goroutine writes a draft
	}
	return doc
}

// join appends the parts of a list with commas between them.
func (e *encoder) join(docs [][][]byte) {
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
