package schema

import (
	"unsafe"
)

// Edits puts the edits of one request together. Updates of leaves that follow each
// other become one edit, which holds the entries with those leaves, so that a
// request leaf by leaf costs what a payload with the same leaves costs. Equal values
// share memory.
type Edits struct {
	s      *Schema
	list   []Edit
	drafts []draft      // the edit at the end of the list, not yet in it
	cache  []valueCache // by slot, of values given as strings

	at    Path       // where the leaf before was, without the leaf
	entry *entryPlan // of at; nil if leaves there are edits of their own
	key   EntryKey   // of that entry
}

// draft is an entry with its keys and the leaves that updates gave it, and nothing
// else. No tree holds it.
type draft struct {
	key EntryKey
	p   unsafe.Pointer
}

// NewEdits makes an empty list of edits.
func (s *Schema) NewEdits() *Edits { return &Edits{s: s} }

// List is what was put together, for one Apply: what it makes of base may share
// memory with the list.
func (l *Edits) List() []Edit {
	l.close()
	return l.list
}

// Add adds an edit.
func (l *Edits) Add(e Edit) {
	l.close()
	l.list = append(l.list, e)
}

// close puts the drafts on the list.
func (l *Edits) close() {
	if len(l.drafts) > 0 {
		l.list = append(l.list, Edit{Op: Update, drafts: l.drafts, schema: l.s})
		l.drafts = nil
	}
}

// Leaf adds a replace or update of leaf, a child of the node at which path at
// ends. Apply does with it what it does with an Edit of that path and scalar,
// errors included. Leaves are cheapest if those of one container come together,
// with the same Path.
func (l *Edits) Leaf(op Op, at Path, leaf *Node, v Value) {
	if !l.write(op, at, leaf, v) {
		l.Add(Edit{Op: op, Path: append(at[:len(at):len(at)], Elem{Node: leaf}), Scalar: v})
	}
}

// write puts a leaf into the draft; false if it has to be an edit of its own,
// above all when that edit is going to fail.
func (l *Edits) write(op Op, at Path, leaf *Node, v Value) bool {
	if len(at) != len(l.at) || len(at) == 0 || &at[0] != &l.at[0] {
		l.move(at)
	}
	s := leaf.plan.slot[inConfig]
	switch {
	case l.entry == nil || s == nil:
		return false
	case op == Update, op == Replace && leaf.Kind == Leaf: // which is the same
	default:
		return false
	}
	if s.key >= 0 {
		if !l.isKey(s, leaf, v) {
			return false
		}
		l.open()
		return true
	}
	if leaf.Kind == LeafList {
		list, reason := leaf.scalar(v)
		if reason != "" || len(list.list) == 0 {
			return false
		}
		f := s.field(l.open())
		c := s.cell(list)
		if !s.isSet(f) {
			s.store(f, c)
			return true
		}
		old, _ := s.load(f)
		if all, grown := union(old.list, list.list); grown {
			s.store(f, s.cell(ListValue(all)))
		}
		return true
	}
	c, ok := l.cell(s, leaf, v)
	if ok {
		s.store(s.field(l.open()), c)
	}
	return ok
}

// move makes at the place of the leaves to come.
func (l *Edits) move(at Path) {
	l.at, l.entry = at, nil
	n := l.s.root
	for _, e := range at {
		if n = e.Node; !n.Config || e.wild() {
			return
		}
	}
	l.entry = n.plan.entry.plan.entryPlan[inConfig]
	if k := at.Entry(); k != l.key {
		l.key = k // else the key that is there already shares memory
	}
}

// open is the draft of the entry that leaves go to now.
func (l *Edits) open() unsafe.Pointer {
	last := len(l.drafts) - 1
	if last < 0 || l.drafts[last].key != l.key {
		last++
		p := newStruct(l.entry.typ)
		l.entry.fillKeys(p, l.key)
		l.drafts = append(l.drafts, draft{l.key, p})
	}
	return l.drafts[last].p
}

// isKey reports whether v is what the path says of a key.
func (l *Edits) isKey(s *slot, leaf *Node, v Value) bool {
	same := false
	l.key[l.key.last():].eachValue(func(i int, want string) {
		if i != s.key {
			return
		}
		if same = leaf.Type.kind == tString && v.kind == KindString && v.str == want; !same {
			c, reason := leaf.scalar(v)
			same = reason == "" && keyIs(c, want)
		}
	})
	return same
}

// cell is a scalar in the form that its field stores; ok is false if it does not
// fit.
func (l *Edits) cell(s *slot, leaf *Node, v Value) (c cell, ok bool) {
	if l.cache == nil {
		l.cache = make([]valueCache, l.s.slots)
	}
	cache, text := &l.cache[s.id], v.kind == KindString
	if text {
		if c, ok := cache.get(v.str); ok {
			return c, true
		}
	}
	canonical, reason := leaf.scalar(v)
	if reason != "" {
		return cell{}, false
	}
	c = s.cell(canonical)
	if text {
		cache.put(v.str, c)
	}
	return c, true
}

// layAll carries out an edit that Leaf made. The drafts stay as they are until all
// edits have succeeded: they may be carried out anew.
func (t *txn) layAll(drafts []draft) {
	for _, d := range drafts {
		pd := t.place(d.key)
		if pd.cur == nil {
			pd.cur, pd.lent = d.p, true
		} else {
			t.put(pd, d.p)
		}
	}
}
