package schema

import (
	"errors"
	"sync"
	"sync/atomic"
)

// Draft is a document that is being written of trees that may be out of date: by
// a processor that has nothing to do meanwhile, while somebody finds out. Of the
// parts of large lists those that turn out to be right are used.
type Draft struct {
	schema  *Schema
	trees   []Tree
	at      Path
	o       EncodeOptions
	buffers Buffers
	part    int // how many entries make one

	stop atomic.Bool
	done chan struct{}

	mu       sync.Mutex           // guards all below once done is closed
	parts    map[section][][]byte // that are written and not used yet
	kept, of int
}

// errStopped ends the writing of a draft.
var errStopped = errors.New("draft stopped")

// Draft begins to write what is at a path, without wildcards. It returns nil
// where nothing could be used in parts. What it returns has to be ended by Finish
// or Drop.
func (s *Schema) Draft(trees []Tree, at Path, o EncodeOptions, b Buffers) *Draft {
	return s.draft(trees, at, o, b, partSize)
}

func (s *Schema) draft(trees []Tree, at Path, o EncodeOptions, b Buffers, part int) *Draft {
	if !indexed(trees) || !s.anyLarge(trees, at, part) {
		return nil
	}
	d := &Draft{schema: s, trees: trees, at: at, o: o, buffers: b, part: part, done: make(chan struct{}), parts: map[section][][]byte{}}
	c := &crew{part: part, buffers: b, drafts: d}
	go func() {
		defer close(d.done)
		rest, _, _ := s.encodeChunks(trees, at, o, c) // of errors Finish will tell
		free(b, rest)
	}()
	return d
}

// anyLarge reports whether a tree has enough in a list at a path for two parts.
func (s *Schema) anyLarge(trees []Tree, at Path, part int) bool {
	n := at.Last()
	if n == nil {
		n = s.root
	}
	lists := n.plan.lists
	if n.Kind == List && at[len(at)-1].Keys == nil {
		lists, at = []*Node{n}, at[:len(at)-1]
	}
	for _, l := range lists {
		prefix := s.ListPrefix(at.Entry(), l)
		for _, t := range trees {
			if t := t.(Indexed); position(t, prefix.behind())-position(t, prefix) >= 2*part {
				return true
			}
		}
	}
	return false
}

// Finish is EncodeChunks of what there is now, at the path and with the options
// of the draft.
func (d *Draft) Finish(trees []Tree, workers int) (doc [][]byte, present bool, err error) {
	d.end()
	c := &crew{buffers: d.buffers}
	if indexed(trees) && len(trees) == len(d.trees) {
		c = &crew{buffers: d.buffers, part: d.part, uses: d}
		c.free.Store(int32(workers - 1))
	}
	doc, present, err = d.schema.encodeChunks(trees, d.at, d.o, c)
	d.release()
	return doc, present, err
}

// Drop gives the draft up.
func (d *Draft) Drop() {
	d.end()
	d.release()
}

// Kept is how many parts Finish could use, of how many.
func (d *Draft) Kept() (kept, of int) { return d.kept, d.of }

func (d *Draft) end() {
	d.stop.Store(true)
	<-d.done
}

func (d *Draft) release() {
	for _, doc := range d.parts {
		free(d.buffers, doc)
	}
	clear(d.parts)
}

func free(b Buffers, doc [][]byte) {
	for _, c := range doc {
		b.Put(c)
	}
}

// take returns what was written of a part, if that is what the trees have.
// scratch is the caller's to keep.
func (d *Draft) take(part section, trees []Tree, scratch *[]item) (doc [][]byte, ok bool) {
	d.mu.Lock()
	doc, ok = d.parts[part]
	delete(d.parts, part)
	d.of++
	d.mu.Unlock()
	if !ok {
		return nil, false
	}
	for i, t := range trees {
		if !unchanged(d.trees[i].(Indexed), t.(Indexed), part, scratch) {
			free(d.buffers, doc)
			return nil, false
		}
	}
	d.mu.Lock()
	d.kept++
	d.mu.Unlock()
	return doc, true
}

// unchanged reports whether two trees have the same entries, not only equal ones,
// in a section.
func unchanged(old, now Indexed, part section, scratch *[]item) bool {
	if old == now {
		return true
	}
	had := (*scratch)[:0]
	old.Ascend(part.from, func(k EntryKey, g GoStruct) bool {
		if k >= part.until {
			return false
		}
		had = append(had, item{k, g})
		return true
	})
	*scratch = had
	same := true
	now.Ascend(part.from, func(k EntryKey, g GoStruct) bool {
		if k >= part.until {
			return false
		}
		if same = len(had) > 0 && had[0].entry == g && had[0].key == k; same {
			had = had[1:]
		}
		return same
	})
	return same && len(had) == 0
}
