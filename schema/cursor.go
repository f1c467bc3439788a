package schema

import (
	"iter"
)

// cursor reads the entries below a prefix from several trees at once, merged
// by key.
type cursor struct {
	s       *Schema
	trees   []Tree
	section section
	filter  Filter
	feeds   []feed

	key    EntryKey // of the current entry
	entity entity
	done   bool
}

// feed is one tree, read in batches: a coroutine switch per entry would cost
// more than encoding it.
type feed struct {
	next  func() ([]item, bool)
	stop  func()
	batch []item
}

type item struct {
	key   EntryKey
	entry GoStruct
}

const batchSize = 128

func newCursor(s *Schema, trees []Tree, prefix EntryKey, f Filter) *cursor {
	return newSection(s, trees, section{prefix: prefix, from: prefix}, f)
}

// section is the part of the entries below a prefix from a key on, up to but not
// including another, or to the end if that is empty. Trees that are not Seekers
// have only the section that is everything below the prefix.
type section struct{ prefix, from, until EntryKey }

func newSection(s *Schema, trees []Tree, part section, f Filter) *cursor {
	c := &cursor{s: s, trees: trees, section: part, filter: f}
	c.seek(part.from)
	return c
}

// seek goes to the first entry at or behind a key.
func (c *cursor) seek(from EntryKey) {
	c.stop()
	c.feeds, c.done = c.feeds[:0], false
	part := c.section
	part.from = from
	for _, t := range c.trees {
		next, stop := iter.Pull(batches(t, part))
		c.feeds = append(c.feeds, feed{next: next, stop: stop})
	}
	c.next()
}

// batches yields the entries in slices that are reused.
func batches(t Tree, part section) iter.Seq[[]item] {
	return func(yield func([]item) bool) {
		buf := make([]item, 0, batchSize)
		more := true
		take := func(k EntryKey, g GoStruct) bool {
			buf = append(buf, item{k, g})
			if len(buf) == batchSize {
				more = yield(buf)
				buf = buf[:0]
			}
			return more
		}
		if part.from == part.prefix && part.until == "" {
			t.Scan(part.prefix, take)
		} else {
			until := part.until
			if until == "" {
				until = part.prefix.behind()
			}
			t.(Seeker).Ascend(part.from, func(k EntryKey, g GoStruct) bool {
				return (until == "" || k < until) && take(k, g)
			})
		}
		if more && len(buf) > 0 {
			yield(buf)
		}
	}
}

// next moves to the next entry that the filter lets count.
func (c *cursor) next() bool {
	for {
		found := false
		for i := range c.feeds {
			f := &c.feeds[i]
			if len(f.batch) == 0 {
				f.batch, _ = f.next()
			}
			if len(f.batch) > 0 && (!found || f.batch[0].key < c.key) {
				c.key, found = f.batch[0].key, true
			}
		}
		if !found {
			c.done, c.key = true, ""
			return false
		}
		c.entity = entity{}
		n := c.s.nodeOf(c.key)
		for i := range c.feeds {
			if f := &c.feeds[i]; len(f.batch) > 0 && f.batch[0].key == c.key {
				c.entity.add(n, f.batch[0].entry, c.filter)
				f.batch = f.batch[1:]
			}
		}
		if c.entity.there() {
			return true
		}
	}
}

func (c *cursor) stop() {
	for _, f := range c.feeds {
		f.stop()
	}
}
