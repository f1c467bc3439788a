package schema

import "unsafe"

// Extent is how much of the own content of an entry somebody may see.
type Extent uint8

// The extents.
const (
	Nothing Extent = iota
	Part
	Everything
)

// View is what somebody may see of trees. It is safe for concurrent use, and says
// the same each time.
type View interface {
	// Entry is how much of the own content of an entry may be seen. Of Part, sees
	// says whether a leaf, presence container or, for the existence of an entry that
	// has nothing else, the list itself may be; it is nil otherwise.
	Entry(k EntryKey) (e Extent, sees func(*Node) bool)
}

// Through is what a view leaves of a tree: entries of which nothing may be seen are
// not there, nor are the leaves of others that may not. The keys of an entry that is
// there are seen. In configuration, leaves whose default is in use have it as their
// value, since unset would say that they have it whoever asks: write what is seen
// with EncodeOptions.Defaults false.
func (s *Schema) Through(t Tree, v View) Tree { return through{s, t, v} }

type through struct {
	schema *Schema
	tree   Tree
	view   View
}

// Get implements Tree.
func (t through) Get(k EntryKey) (GoStruct, bool) {
	e, ok := t.tree.Get(k)
	if !ok {
		return nil, false
	}
	return t.see(k, e)
}

// Scan implements Tree.
func (t through) Scan(prefix EntryKey, fn func(EntryKey, GoStruct) bool) {
	t.tree.Scan(prefix, func(k EntryKey, e GoStruct) bool {
		if seen, ok := t.see(k, e); ok {
			return fn(k, seen)
		}
		return true
	})
}

func (t through) see(k EntryKey, e GoStruct) (GoStruct, bool) {
	extent, sees := t.view.Entry(k)
	if extent == Nothing {
		return nil, false
	}
	ep := t.schema.planOf(e)
	if ep == nil {
		return nil, false
	}
	was := base(e)
	now := ep.clone(was)
	ep.showDefaults(now, was)
	if extent == Part && !ep.redact(now, sees) {
		return nil, false
	}
	return structAt(ep.typ, now), true
}

// showDefaults sets the leaves of now, an owned copy of was, whose default is in
// use in was.
func (ep *entryPlan) showDefaults(now, was unsafe.Pointer) {
	for i := range ep.defaults {
		l := ep.defaults[i].slot
		if f := l.at(now); f == nil || l.isSet(f) || !l.node.defaultInUse(was) {
			continue
		}
		if v, ok := l.node.defaultValue(); ok {
			l.store(l.at(now), l.cell(v))
		}
	}
}

// redact takes out of an owned entry what is not seen, keys excepted, and reports
// whether there is something to be seen.
func (ep *entryPlan) redact(p unsafe.Pointer, sees func(*Node) bool) (any bool) {
	any = ep.node.Kind == List && sees(ep.node)
	for _, l := range ep.leafs {
		f := l.slot.at(p)
		switch {
		case f == nil || !l.slot.isSet(f):
		case sees(l.node):
			any = true
		case l.slot.key < 0:
			l.slot.clear(f)
		}
	}
	for i := len(ep.conts) - 1; i > 0; i-- {
		cp := ep.conts[i]
		if !cp.presence || cp.at(p) == nil {
			continue
		}
		if sees(cp.node) {
			any = true
		} else if cp.empty(cp.at(p)) {
			*sub(cp.parent.at(p), cp.off) = nil
		}
	}
	ep.prune(p)
	return any
}
