package schema

import (
	"fmt"
	"strings"
	"unsafe"

	"github.com/openconfig/goyang/pkg/yang"
)

// xpath is a compiled leafref path: the target leaf, and for the lists on the
// way the leaves that their predicates compare keys with.
type xpath struct {
	target *Node
	top    *Node                      // the deepest node the path went up to: lists above it are those of the referrer
	equals map[*Node]map[string]*Node // list -> key name -> leaf of the referrer
}

// parseXPath compiles the subset of XPath that RFC 7950 section 9.9.2 allows
// leafrefs: steps, "..", and predicates [key = current()/../leaf].
func parseXPath(from *Node, path string) (*xpath, error) {
	x := &xpath{equals: map[*Node]map[string]*Node{}}
	n := from
	text := strings.TrimSpace(path)
	if strings.HasPrefix(text, "/") {
		for n.Parent != nil {
			n = n.Parent
		}
		text = text[1:]
	}
	x.top = n
	for text != "" {
		step, preds, rest, err := cutStep(text)
		if err != nil {
			return nil, err
		}
		text = rest
		if n, err = walkStep(n, step); err != nil {
			return nil, err
		}
		if step == ".." {
			x.top = n
		}
		for _, p := range preds {
			if err := x.predicate(from, n, p); err != nil {
				return nil, err
			}
		}
	}
	if !n.IsLeaf() {
		return nil, fmt.Errorf("%s is no leaf", n.Path())
	}
	x.target = n
	return x, nil
}

func walkStep(n *Node, step string) (*Node, error) {
	switch step {
	case ".", "current()":
		return n, nil
	case "..":
		if n.Parent == nil {
			return nil, fmt.Errorf("a step leads above the root")
		}
		return n.Parent, nil
	}
	if _, bare, ok := strings.Cut(step, ":"); ok {
		step = bare
	}
	c := n.Child(step)
	if c == nil {
		return nil, fmt.Errorf("%s has no child %s", n.Path(), step)
	}
	return c, nil
}

// cutStep takes the first step off a path, with its predicates.
func cutStep(text string) (step string, preds []string, rest string, err error) {
	i := strings.IndexAny(text, "/[")
	if i < 0 {
		return strings.TrimSpace(text), nil, "", nil
	}
	step, rest = strings.TrimSpace(text[:i]), text[i:]
	for strings.HasPrefix(rest, "[") {
		end := strings.IndexByte(rest, ']')
		if end < 0 {
			return "", nil, "", fmt.Errorf("predicate without ]")
		}
		preds = append(preds, rest[1:end])
		rest = strings.TrimSpace(rest[end+1:])
	}
	return step, preds, strings.TrimPrefix(rest, "/"), nil
}

func (x *xpath) predicate(from, list *Node, pred string) error {
	key, expr, ok := strings.Cut(pred, "=")
	if !ok {
		return fmt.Errorf("predicate [%s] is no comparison", pred)
	}
	key = strings.TrimSpace(key)
	if _, bare, ok := strings.Cut(key, ":"); ok {
		key = bare
	}
	n := from
	for _, step := range strings.Split(strings.TrimSpace(expr), "/") {
		var err error
		if n, err = walkStep(n, strings.TrimSpace(step)); err != nil {
			return fmt.Errorf("predicate [%s]: %w", pred, err)
		}
	}
	if x.equals[list] == nil {
		x.equals[list] = map[string]*Node{}
	}
	x.equals[list][key] = n
	return nil
}

// refPlan computes the target entries of a leafref.
type refPlan struct {
	leaf   *slot
	shared int // levels of the referrer's own key that the target's starts with
	levels []refLevel
}

// refLevel is a list on the way to the target and where its keys come from:
// the referring leaf itself (nil) or another leaf of the entry.
type refLevel struct {
	id   ListID
	keys []*slot
}

// planRefs compiles the leafrefs of an entry that lead to other entries.
func (c *compiler) planRefs(ep *entryPlan) {
	for _, s := range ep.slots {
		e := c.entryOf[s.node]
		if e == nil || e.Type == nil || e.Type.Kind != yang.Yleafref || e.Type.OptionalInstance || !s.node.Config {
			continue
		}
		x, err := parseXPath(s.node, e.Type.Path)
		if err != nil {
			continue // typeOf has reported it
		}
		if x.target.plan.entry == ep.node && x.top.under(ep.node) {
			continue // within the entry: the key, or an alias of it
		}
		rp := c.planRef(ep, s, x)
		if rp == nil {
			c.s.unchecked = append(c.s.unchecked, s.node.Path()+" -> "+e.Type.Path)
			continue
		}
		ep.refs = append(ep.refs, rp)
	}
}

func (c *compiler) planRef(ep *entryPlan, s *slot, x *xpath) *refPlan {
	list := x.target.plan.entry
	if !list.Config || list.Kind != List || list.plan.entryPlan[inConfig] == nil {
		return nil
	}
	key := x.target.plan.keyOf
	if x.target.plan.isKey {
		key = x.target
	}
	if key == nil {
		return nil
	}
	var chain []*Node
	for n := list; n.Kind == List; n = n.Parent.plan.entry {
		chain = append([]*Node{n}, chain...)
	}
	rp := &refPlan{leaf: s}
	for _, l := range chain {
		if x.top.under(l) {
			rp.shared++
			continue
		}
		lv := refLevel{id: l.ListID}
		for _, kn := range l.Keys {
			switch other := x.equals[l][kn.Name]; {
			case other != nil && other.plan.slot[inConfig] != nil && other.plan.entry == ep.node:
				lv.keys = append(lv.keys, other.plan.slot[inConfig])
			case kn == key:
				lv.keys = append(lv.keys, nil)
			default:
				return nil
			}
		}
		rp.levels = append(rp.levels, lv)
	}
	if len(rp.levels) == 0 {
		return nil
	}
	return rp
}

// Ref is a leafref of an entry with require-instance.
type Ref struct {
	Leaf   *Node    // the referring leaf, held by the entry
	Value  Value    // what it says
	Target EntryKey // the entry that must exist for it to hold; "" if a leaf that picks the target is unset
}

// Refs calls fn for every reference of a configuration entry that leads to
// another entry, until fn returns false. A leaf-list gives one Ref per value.
// Leafrefs to the entry itself (list keys) are left out, and so is a leaf that
// is unset and has a default.
func (s *Schema) Refs(k EntryKey, entry GoStruct, fn func(Ref) bool) {
	ep := s.planOf(entry)
	if ep == nil {
		return
	}
	p := base(entry)
	for _, rp := range ep.refs {
		v, ok := rp.leaf.get(p)
		if !ok {
			continue
		}
		if v.kind != KindList {
			if !fn(Ref{rp.leaf.node, v, rp.target(k, p, v)}) {
				return
			}
			continue
		}
		for _, e := range v.list {
			if !fn(Ref{rp.leaf.node, e, rp.target(k, p, e)}) {
				return
			}
		}
	}
}

func (rp *refPlan) target(k EntryKey, entry unsafe.Pointer, v Value) EntryKey {
	n := 0
	for range rp.shared {
		n += k[n:].level()
	}
	var buf [128]byte
	dst := append(buf[:0], k[:n]...)
	for _, lv := range rp.levels {
		values := make([]string, len(lv.keys))
		for i, s := range lv.keys {
			kv := v
			if s != nil {
				var ok bool
				if kv, ok = s.get(entry); !ok {
					return ""
				}
			}
			values[i] = kv.String()
		}
		dst = appendLevel(dst, lv.id, values)
	}
	return EntryKey(dst)
}
