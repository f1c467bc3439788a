package schema

import (
	"errors"
	"slices"
	"unsafe"

	"github.com/tidwall/btree"
)

// Apply works out what the edits, in order, make of base, which it does not
// change. Changes are in key order, one per entry. Cost is proportional to
// what the edits touch; a replace touches the subtree it replaces.
//
// Semantics are gNMI's: update merges (leaf-lists too), replace resets what
// the payload omits, an entry is created together with the list entries above
// it, delete of what is absent is no error, deleting a list entry takes its
// descendants along. Keys are part of the entry: replace and delete of the
// container that holds them keep them. Types, ranges and patterns are checked;
// mandatory leaves, references, cases of a choice and semantic rules are not:
// see Validate and Refs. (A node of one case does not remove those of another,
// as RFC 7950 section 7.9 has it: Validate refuses both together.) A delete
// with wildcards above the last list walks the entries below the first one.
//
// A leaf set to its default becomes unset: see the package.
//
// On error (joined *PathError and *ValueError, or *Errors with such) changes is nil. What
// is wrong with one edit keeps those after it from nothing but being carried out.
func (s *Schema) Apply(base Tree, edits []Edit) (changes []Change, err error) {
	if changes, err = s.apply(base, edits, split{others(), bulkSize}); err != nil {
		// One decoder knows best what is wrong, and whether something is.
		return s.apply(base, edits, split{})
	}
	return changes, nil
}

func (s *Schema) apply(base Tree, edits []Edit, how split) ([]Change, error) {
	t := &txn{s: s, base: base}
	t.dec.txn, t.dec.split = t, how
	defer t.dec.wait()
	for i := range edits {
		t.number = i + 1
		if err := t.edit(&edits[i]); err != nil {
			t.fail(err)
		}
		t.dec.takeErrors(t)
		if t.more >= MaxCounted {
			break
		}
	}
	if err := t.failed(); err != nil {
		return nil, err
	}
	return t.changes(), nil
}

// failed is what was noted.
func (t *txn) failed() error {
	if t.more > 0 {
		return &Errors{t.errs, t.more}
	}
	return errors.Join(t.errs...)
}

// fail notes what is wrong with an edit.
func (t *txn) fail(err error) {
	if len(t.errs) < MaxErrors {
		t.errs = append(t.errs, err)
		return
	}
	t.more++
}

// txn is one Apply: base with the edits so far laid over it.
type txn struct {
	s       *Schema
	base    Tree
	pend    btree.Map[EntryKey, *pending]
	cleared map[EntryKey]struct{} // entry keys and list prefixes whose subtree in base no longer counts
	highest EntryKey              // of pend
	slab    []pending
	last    *pending // the one touched last: edits of one entry come together
	above   *pending // the parent found last: so do those of entries of one list
	number  int      // of the edit, from 1
	dec     decoder
	errs    []error
	more    int // errors that are not in errs
}

// pending is an entry that an edit touched.
type pending struct {
	key    EntryKey
	plan   *entryPlan
	old    GoStruct       // of base; if it lies in a cleared range, only looked up by changes
	cur    unsafe.Pointer // nil: absent
	owned  bool           // cur is ours to write to
	lent   bool           // cur is the draft of an edit, if it is not owned
	number int            // the edit whose payload last supplied the entry
}

// touch finds or makes the pending entry of k.
func (t *txn) touch(k EntryKey) *pending {
	if t.last != nil && t.last.key == k {
		return t.last
	}
	var pd *pending
	ahead := k > t.highest || t.pend.Len() == 0 // payloads mostly come in order
	if !ahead {
		pd, _ = t.pend.Get(k)
	}
	if pd == nil {
		pd = t.newPending()
		pd.key, pd.plan = k, t.s.nodeOf(k).plan.entryPlan[inConfig]
		if !t.isCleared(k) {
			if old, ok := t.base.Get(k); ok {
				pd.old, pd.cur = old, base(old)
			}
		}
		if ahead {
			t.highest = k
			t.pend.Load(k, pd)
		} else {
			t.pend.Set(k, pd)
		}
	}
	t.last = pd
	return pd
}

// place is touch for an entry that is going to be written: those above it exist
// afterwards.
func (t *txn) place(k EntryKey) *pending {
	pd := t.touch(k)
	if pd.cur == nil {
		t.ensureParents(k)
		t.last = pd
	}
	return pd
}

// newPending allocates in slabs: a big payload makes one per entry, and all go
// together.
func (t *txn) newPending() *pending {
	if len(t.slab) == 0 {
		t.slab = make([]pending, min(1+t.pend.Len(), 256))
	}
	pd := &t.slab[0]
	t.slab = t.slab[1:]
	return pd
}

func (t *txn) isCleared(k EntryKey) bool {
	if len(t.cleared) == 0 {
		return false
	}
	if len(t.cleared) <= 8 {
		for p := range t.cleared {
			if k.Under(p) {
				return true
			}
		}
		return false
	}
	if _, ok := t.cleared[""]; ok {
		return true
	}
	for i := 0; i < len(k); {
		if _, ok := t.cleared[k[:i+2]]; ok {
			return true
		}
		i += k[i:].level()
		if _, ok := t.cleared[k[:i]]; ok {
			return true
		}
	}
	return false
}

// clear removes every entry whose key starts with prefix: an entry with its
// descendants, or a list.
func (t *txn) clear(prefix EntryKey) {
	if t.cleared == nil {
		t.cleared = map[EntryKey]struct{}{}
	}
	t.cleared[prefix] = struct{}{}
	t.pend.Ascend(prefix, func(k EntryKey, pd *pending) bool {
		if !k.Under(prefix) {
			return false
		}
		pd.cur, pd.owned = nil, false
		return true
	})
}

// remove deletes one entry with its descendants.
func (t *txn) remove(k EntryKey) {
	if t.s.nodeOf(k).hasChildLists() {
		t.clear(k)
		return
	}
	pd := t.touch(k)
	pd.cur, pd.owned = nil, false
}

// own makes pd writable, creating it if it is absent.
func (pd *pending) own() unsafe.Pointer {
	switch {
	case pd.cur == nil:
		pd.cur = newStruct(pd.plan.typ)
		pd.plan.fillKeys(pd.cur, pd.key)
	case !pd.owned:
		pd.cur = pd.plan.clone(pd.cur)
	}
	pd.owned = true
	return pd.cur
}

// ensureParents creates the list entries above k that are missing.
func (t *txn) ensureParents(k EntryKey) {
	for {
		parent, ok := k.Parent()
		if !ok || parent == "" {
			return
		}
		if t.above == nil || t.above.key != parent {
			t.above = t.touch(parent)
		}
		pd := t.above
		if pd.cur != nil {
			return // it exists, so the ones above do
		}
		pd.own()
		k = parent
	}
}

// put lays an entry made from a payload over what is there. fresh is owned.
func (t *txn) put(pd *pending, fresh unsafe.Pointer) {
	switch {
	case pd.cur == nil:
		pd.plan.fillKeys(fresh, pd.key)
		pd.cur, pd.owned = fresh, true
	case pd.plan.covers(pd.cur, fresh):
	default:
		pd.plan.merge(pd.own(), fresh)
	}
}

// changes compares what was touched with base, in one pass over the cleared
// ranges.
func (t *txn) changes() []Change {
	var gone []Change
	for _, prefix := range t.clearedRanges() {
		it := t.pend.Iter()
		more := it.Seek(prefix)
		t.base.Scan(prefix, func(k EntryKey, old GoStruct) bool {
			for more && it.Key() < k {
				more = it.Next()
			}
			if more && it.Key() == k {
				it.Value().old = old
			} else {
				gone = append(gone, Change{Key: k, Old: old})
			}
			return true
		})
	}
	out := make([]Change, 0, t.pend.Len()+len(gone))
	t.pend.Scan(func(k EntryKey, pd *pending) bool {
		c := Change{Key: k, Old: pd.old}
		if !pd.settle() {
			return true
		}
		if pd.cur != nil {
			c.New = structAt(pd.plan.typ, pd.cur)
		}
		for len(gone) > 0 && gone[0].Key < k {
			out = append(out, gone[0])
			gone = gone[1:]
		}
		out = append(out, c)
		return true
	})
	return append(out, gone...)
}

// settle brings pd into final form and reports whether it differs from base.
func (pd *pending) settle() bool {
	if pd.owned || pd.lent && pd.cur != nil {
		pd.plan.dropDefaults(pd.cur)
		pd.plan.prune(pd.cur)
		if pd.key == "" && pd.plan.root.empty(pd.cur) {
			pd.cur = nil
		}
	}
	if pd.old == nil || pd.cur == nil {
		return pd.old != nil || pd.cur != nil
	}
	old := base(pd.old)
	return old != pd.cur && !pd.plan.equal(old, pd.cur)
}

// clearedRanges are the cleared prefixes in order, without those inside
// another.
func (t *txn) clearedRanges() []EntryKey {
	var out []EntryKey
	for _, p := range sortedKeys(t.cleared) {
		if len(out) == 0 || !p.Under(out[len(out)-1]) {
			out = append(out, p)
		}
	}
	return out
}

// edit carries out one edit.
func (t *txn) edit(e *Edit) error {
	if len(e.drafts) > 0 {
		t.layAll(e.drafts)
		return nil
	}
	last := e.Path.Last()
	for _, el := range e.Path {
		if !el.Node.Config {
			return pathError(e.Path, ReadOnly, "is state (config false) and cannot be written")
		}
	}
	if last != nil && last.plan.entry.plan.entryPlan[inConfig] == nil {
		return pathError(e.Path, NotFound, "is not part of the configuration")
	}
	switch e.Op {
	case Delete:
		return t.delete(e.Path)
	case Replace, Update:
	default:
		return pathError(e.Path, BadEdit, "want delete, replace or update")
	}
	if e.JSON == nil && e.Scalar.IsZero() {
		return pathError(e.Path, BadEdit, "the "+e.Op.String()+" has no value")
	}
	if last != nil && last.Kind == List && e.Path[len(e.Path)-1].Keys == nil {
		return t.writeList(e)
	}
	if e.Path.HasWildcard() {
		return pathError(e.Path, BadKey, "an "+e.Op.String()+" names one entry: give every key a value, no wildcards")
	}
	if last != nil && last.IsLeaf() {
		return t.writeLeaf(e, last)
	}
	return t.writeObject(e)
}

func pathError(p Path, code Code, reason string) error {
	return &PathError{Path: p.String(), Code: code, Reason: reason}
}

// writeList is a replace or update of all entries of a list by an array.
func (t *txn) writeList(e *Edit) error {
	last, above := e.Path.Last(), e.Path[:len(e.Path)-1]
	if above.HasWildcard() {
		return pathError(e.Path, BadKey, "an "+e.Op.String()+" names one list: give every key above it a value, no wildcards")
	}
	if e.JSON == nil {
		return pathError(e.Path, BadEdit, "a list takes a JSON array of entries, or give its keys in the path")
	}
	parent := above.Entry()
	if e.Op == Replace {
		t.clear(t.s.ListPrefix(parent, last))
	}
	entries, err := t.dec.list(e.JSON, parent, last)
	if err != nil || entries == 0 {
		return err
	}
	if pd := t.touch(parent); parent != "" && pd.cur == nil {
		pd.own()
	}
	t.ensureParents(parent)
	return nil
}

// writeObject is a replace or update of a container, an entry, or the root.
func (t *txn) writeObject(e *Edit) error {
	n := e.Path.Last()
	if n == nil {
		n = t.s.root
	}
	if e.JSON == nil {
		return pathError(e.Path, BadEdit, "a "+n.Kind.String()+" takes a JSON object, not a scalar")
	}
	k := e.Path.Entry()
	if e.Op == Replace {
		t.clearNode(k, n)
	}
	fresh, members, err := t.dec.object(e.JSON, k, n)
	if err != nil {
		return err
	}
	if n.Kind == List && e.Op == Replace && members == 0 {
		return pathError(e.Path, BadEdit, "an entry cannot be replaced with {}: delete it, or give it contents")
	}
	pd := t.place(k)
	for m := n; m != n.plan.entry; m = m.Parent {
		if m.Presence {
			m.plan.cont[inConfig].ensure(fresh)
		}
	}
	t.put(pd, fresh)
	return nil
}

// clearNode empties a container or entry before it is replaced. The entry
// itself stays if only a part of it is replaced.
func (t *txn) clearNode(k EntryKey, n *Node) {
	if n.plan.entry == n {
		if n.hasChildLists() {
			t.clear(k)
		} else {
			pd := t.touch(k)
			pd.cur, pd.owned = nil, false
		}
		return
	}
	t.clearPart(k, n)
}

// clearPart empties a container of an entry, with the lists below it.
func (t *txn) clearPart(k EntryKey, n *Node) {
	for _, l := range n.plan.lists {
		t.clear(t.s.ListPrefix(k, l))
	}
	pd := t.touch(k)
	if pd.cur != nil {
		pd.plan.clearUnder(pd.own(), n)
	}
}

// hasChildLists reports whether lists lie under n, besides n itself.
func (n *Node) hasChildLists() bool { return len(n.plan.lists) > 0 }

// writeLeaf is a replace or update of a leaf or leaf-list.
func (t *txn) writeLeaf(e *Edit, n *Node) error {
	s := n.plan.slot[inConfig]
	if s == nil {
		return pathError(e.Path, NotFound, "is not part of the configuration")
	}
	var v Value
	if e.JSON != nil {
		var err error
		if v, err = t.dec.leaf(e.JSON, e.Path, n); err != nil {
			return err
		}
	} else {
		var reason string
		if v, reason = n.scalar(e.Scalar); reason != "" {
			return &ValueError{Path: e.Path.String(), Value: n.show(shorten(e.Scalar.String(), e.Scalar.kind == KindString)), Reason: reason}
		}
	}
	k := e.Path.Entry()
	if s.key >= 0 && !keyIs(v, k.Values()[s.key]) {
		return &ValueError{Path: e.Path.String(), Value: shorten(v.String(), true),
			Reason: "differs from the key in the path: to rename an entry delete it and create another"}
	}
	pd := t.place(k)
	if n.Kind == LeafList && pd.cur != nil && e.Op == Update {
		old, _ := s.get(pd.cur)
		list, grown := union(old.list, v.list)
		if !grown {
			return nil
		}
		v = ListValue(list)
	}
	p := pd.own()
	if s.key >= 0 {
		return nil
	}
	if n.Kind == LeafList && len(v.list) == 0 {
		s.clear(s.field(p))
		return nil
	}
	s.store(s.field(p), s.cell(v))
	return nil
}

// scalar converts a raw value to the type of a leaf or leaf-list.
func (n *Node) scalar(v Value) (Value, string) {
	one := func(v Value) (Value, string) {
		r := raw{form: fScalar, value: v, text: v.str}
		c, f := n.Type.parse(&r)
		if f != fits {
			return Value{}, n.Type.explain(&r, f)
		}
		return c, ""
	}
	if n.Kind == Leaf {
		if v.kind == KindList {
			return Value{}, "want one value, got a list"
		}
		return one(v)
	}
	list := v.list
	if v.kind != KindList {
		list = []Value{v}
	}
	out := make([]Value, len(list))
	for i := range list {
		c, reason := one(list[i])
		if reason != "" {
			return Value{}, reason
		}
		out[i] = c
	}
	if i := repeated(out); i >= 0 {
		return Value{}, "holds " + n.show(shorten(out[i].String(), true)) + " twice: give each value once"
	}
	return ListValue(out), ""
}

// delete removes what a path with or without wildcards stands for.
func (t *txn) delete(p Path) error {
	n := p.Last()
	if n == nil {
		t.clear("")
		return nil
	}
	if n.IsLeaf() && n.IsKey() {
		return pathError(p, BadEdit, "is a key: delete the list entry instead")
	}
	if n.Kind == List && p[len(p)-1].wild() && !p[:len(p)-1].HasWildcard() && allWild(p[len(p)-1].Keys) {
		t.clear(t.s.ListPrefix(p[:len(p)-1].Entry(), n))
		return nil
	}
	if !p.HasWildcard() {
		t.deleteAt(p.Entry(), n)
		return nil
	}
	var keys []EntryKey
	t.eachMatch(p, func(k EntryKey) { keys = append(keys, k) })
	for _, k := range keys {
		t.deleteAt(k, n)
	}
	return nil
}

func allWild(keys []string) bool {
	return !slices.ContainsFunc(keys, func(v string) bool { return v != Wildcard })
}

func (t *txn) deleteAt(k EntryKey, n *Node) {
	switch {
	case n.Kind == List:
		t.remove(k)
	case n.Kind == Container:
		t.clearPart(k, n)
	default:
		if pd := t.touch(k); pd.cur != nil {
			if s := n.plan.slot[inConfig]; s != nil {
				if f := s.at(pd.cur); f != nil && s.isSet(f) {
					s.clear(s.field(pd.own()))
				}
			}
		}
	}
}

// eachMatch calls fn for the entries, as the edits so far left them, that hold
// the last node of p.
func (t *txn) eachMatch(p Path, fn func(EntryKey)) {
	prefix := p.Entry()
	t.base.Scan(prefix, func(k EntryKey, _ GoStruct) bool {
		if rest, ok := p.match(k); ok && rest == "" {
			if _, pended := t.pend.Get(k); !pended && !t.isCleared(k) {
				fn(k)
			}
		}
		return true
	})
	t.pend.Ascend(prefix, func(k EntryKey, pd *pending) bool {
		if rest, ok := p.match(k); ok && rest == "" && pd.cur != nil {
			fn(k)
		}
		return k.Under(prefix)
	})
}
