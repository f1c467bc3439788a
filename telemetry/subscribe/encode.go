package subscribe

import (
	"slices"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"

	"heddle/schema"
)

// Encoder says how values are written and whom notifications are addressed to.
type Encoder struct {
	// Encoding is JSON, JSON_IETF or PROTO.
	Encoding gnmi.Encoding
	// Target and Origin are what the client put there, to be echoed.
	Target, Origin string
	// View is what the client may see; nil: everything.
	View schema.View
}

// sees says what of an entry the client may see; nil: nothing.
func (e *Encoder) sees(k schema.EntryKey) func(*schema.Node) bool {
	if e.View == nil {
		return everyNode
	}
	switch extent, sees := e.View.Entry(k); extent {
	case schema.Everything:
		return everyNode
	case schema.Part:
		return sees
	}
	return nil
}

func everyNode(*schema.Node) bool { return true }

// Value writes the value of a leaf.
func (e Encoder) Value(s *schema.Schema, n *schema.Node, v schema.Value) *gnmi.TypedValue {
	switch e.Encoding {
	case gnmi.Encoding_JSON:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonVal{JsonVal: s.AppendValue(nil, n, v, schema.JSON)}}
	case gnmi.Encoding_JSON_IETF:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: s.AppendValue(nil, n, v, schema.JSONIETF)}}
	}
	return typed(v)
}

// typed is PROTO encoding: the scalar of gNMI §2.2.3 that fits the type.
func typed(v schema.Value) *gnmi.TypedValue {
	switch v.Kind() {
	case schema.KindUint:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_UintVal{UintVal: v.Uint()}}
	case schema.KindInt:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_IntVal{IntVal: v.Int()}}
	case schema.KindBool:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_BoolVal{BoolVal: v.Bool()}}
	case schema.KindEmpty:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_BoolVal{BoolVal: true}}
	case schema.KindDecimal:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_DoubleVal{DoubleVal: v.Float()}}
	case schema.KindBinary:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_BytesVal{BytesVal: []byte(v.Str())}}
	case schema.KindList:
		array := &gnmi.ScalarArray{Element: make([]*gnmi.TypedValue, 0, len(v.List()))}
		for _, e := range v.List() {
			array.Element = append(array.Element, typed(e))
		}
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_LeaflistVal{LeaflistVal: array}}
	}
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: v.Str()}}
}

// ProtoPath writes a resolved path without wildcards.
func ProtoPath(p schema.Path) *gnmi.Path {
	out := &gnmi.Path{Elem: make([]*gnmi.PathElem, len(p))}
	for i, e := range p {
		pe := &gnmi.PathElem{Name: e.Node.Name}
		if len(e.Keys) > 0 {
			pe.Key = make(map[string]string, len(e.Keys))
			for j, k := range e.Node.Keys {
				pe.Key[k.Name] = e.Keys[j]
			}
		}
		out.Elem[i] = pe
	}
	return out
}

// writer builds the notifications of one subscriber.
type writer struct {
	Encoder
	schema *schema.Schema
	plan   *plan
}

// plan is what is known of the schema before there is any data. It is shared
// and never changes.
type plan struct {
	// relative is the path of every node from the entry that holds it.
	relative map[*schema.Node]*gnmi.Path
	// together is the highest node, in the same entry, under which there is
	// nothing but leaves that come and go with this leaf: those of the same
	// dataset and entry.
	together map[*schema.Node]*schema.Node
	// counters are the leaves that TargetDefined samples: state in a container
	// "counters".
	counters map[*schema.Node]bool
	// hasConfig, hasState, hasCounter and hasOther are about what is at or under a node: other
	// is every leaf that is no counter.
	hasConfig, hasState, hasCounter, hasOther map[*schema.Node]bool
}

func newPlan(s *schema.Schema) *plan {
	p := &plan{
		relative:   map[*schema.Node]*gnmi.Path{},
		together:   map[*schema.Node]*schema.Node{},
		counters:   map[*schema.Node]bool{},
		hasConfig:  map[*schema.Node]bool{},
		hasState:   map[*schema.Node]bool{},
		hasCounter: map[*schema.Node]bool{},
		hasOther:   map[*schema.Node]bool{},
	}
	p.walk(s.Root(), nil)
	return p
}

func (p *plan) isCounter(n *schema.Node) bool { return p.counters[n] }

func (p *plan) anyCounter(patterns []*pattern) bool {
	return slices.ContainsFunc(patterns, func(q *pattern) bool { return p.hasCounter[q.last] })
}

// onlyCounters reports whether there is nothing but counters at or under a node.
func (p *plan) onlyCounters(n *schema.Node) bool { return p.hasCounter[n] && !p.hasOther[n] }

func (p *plan) leaf(n *schema.Node) {
	p.together[n] = n
	for m := n; m != nil && n.Config; m = m.Parent {
		p.hasConfig[m] = true
	}
	for m := n; m != nil && !n.Config; m = m.Parent {
		p.hasState[m] = true
		p.counters[n] = p.counters[n] || m.Name == "counters"
	}
	has := p.hasOther
	if p.counters[n] {
		has = p.hasCounter
	}
	for m := n; m != nil; m = m.Parent {
		has[m] = true
	}
}

// walk visits n, whose elements from the entry on are rel. uniform is whether
// all leaves below belong to one dataset and entry, config which one.
func (p *plan) walk(n *schema.Node, rel []*gnmi.PathElem) (uniform, config bool) {
	p.relative[n] = &gnmi.Path{Elem: rel}
	if n.IsLeaf() {
		p.leaf(n)
		return true, n.Config
	}
	uniform, config = true, n.Config
	for i, c := range n.Children {
		sub := append(rel[:len(rel):len(rel)], &gnmi.PathElem{Name: c.Name})
		if c.Kind == schema.List {
			sub = nil
		}
		u, cfg := p.walk(c, sub)
		uniform = uniform && u && (i == 0 || cfg == config)
		config = cfg
	}
	if uniform {
		p.claim(n, n)
	}
	// An entry is in the tree of its parent as little as it is part of its
	// parent's entry.
	return uniform && n.Kind != schema.List, config
}

func (p *plan) claim(n, by *schema.Node) {
	for _, c := range n.Children {
		if c.IsLeaf() {
			p.together[c] = by
		} else {
			p.claim(c, by)
		}
	}
}

func (w *writer) prefix(k schema.EntryKey) *gnmi.Path {
	out := ProtoPath(w.schema.Path(k))
	out.Target, out.Origin = w.Target, w.Origin
	return out
}

// values is what an entry holds, as far as a pattern covers it and want says
// so; nil if that is nothing. before, if not nil, is what the subscriber was
// last sent: values that did not change since are left out.
func (w *writer) values(k schema.EntryKey, before, now schema.GoStruct, at time.Time, patterns []*pattern, want func(*pattern, *schema.Node) bool) *gnmi.Notification {
	list := w.schema.Node(k)
	sees := w.sees(k)
	if sees == nil {
		return nil
	}
	var n *gnmi.Notification
	add := func(leaf *schema.Node, v schema.Value) {
		for _, p := range patterns {
			if p.covers(leaf, list) && want(p, leaf) && sees(leaf) {
				n = w.update(n, k, at, leaf, v, 0)
				return
			}
		}
	}
	if before == nil {
		w.schema.Leaves(k, now, schema.LeafOptions{Defaults: true}, func(leaf *schema.Node, v schema.Value) bool {
			add(leaf, v)
			return true
		})
		return n
	}
	w.schema.Diff(schema.Change{Key: k, Old: before, New: now}, schema.LeafOptions{Defaults: true}, func(d schema.Delta) bool {
		if !d.Deleted && d.Node.IsLeaf() {
			add(d.Node, d.Value)
		}
		return true
	})
	return n
}

// update adds a value to a notification, making it first if it is nil.
func (w *writer) update(n *gnmi.Notification, k schema.EntryKey, at time.Time, leaf *schema.Node, v schema.Value, duplicates uint32) *gnmi.Notification {
	if n == nil {
		n = &gnmi.Notification{Timestamp: at.UnixNano(), Prefix: w.prefix(k)}
	}
	n.Update = append(n.Update, &gnmi.Update{
		Path:       w.plan.relative[leaf],
		Val:        w.Value(w.schema, leaf, v),
		Duplicates: duplicates,
	})
	return n
}

// change is what an item comes to: updates for the leaves that a pattern wants
// on change, deletes for all that went. nil if that is nothing.
func (w *writer) change(it *item) *gnmi.Notification {
	sees := w.sees(it.entry)
	if it.now == nil && it.old == nil || sees == nil {
		return nil // it came and went, or goes on, unseen
	}
	if it.now == nil {
		return w.gone(it, sees)
	}
	list := w.schema.Node(it.entry)
	var n *gnmi.Notification
	var deleted []*schema.Node
	seen := 0
	w.schema.Diff(schema.Change{Key: it.entry, Old: it.old, New: it.now}, schema.LeafOptions{Defaults: true}, func(d schema.Delta) bool {
		if it.changes[d.Node] > 0 {
			seen++
		}
		if !sees(d.Node) {
			return true
		}
		switch {
		case d.Deleted:
			for _, p := range it.patterns {
				if p.covers(d.Node, list) && (p.mode != OnChange || !w.plan.onlyCounters(d.Node)) {
					n, deleted = w.delete(n, it, d.Node, deleted)
					break
				}
			}
		case d.Node.IsLeaf() && wanted(it.patterns, d.Node, list):
			n = w.update(n, it.entry, it.at, d.Node, d.Value, atLeast1(it.changes[d.Node])-1)
		}
		return true
	})
	if len(it.changes) > seen {
		n = w.cameBack(n, it, list, sees)
	}
	return n
}

// cameBack adds the leaves that changed while they waited and are now as the
// subscriber knows them: that they moved is news too.
func (w *writer) cameBack(n *gnmi.Notification, it *item, list *schema.Node, sees func(*schema.Node) bool) *gnmi.Notification {
	have := map[*schema.Node]bool{}
	w.schema.Diff(schema.Change{Key: it.entry, Old: it.old, New: it.now}, schema.LeafOptions{Defaults: true}, func(d schema.Delta) bool {
		have[d.Node] = true
		return true
	})
	w.schema.Leaves(it.entry, it.now, schema.LeafOptions{Defaults: true}, func(leaf *schema.Node, v schema.Value) bool {
		if c := it.changes[leaf]; c > 1 && !have[leaf] && sees(leaf) && wanted(it.patterns, leaf, list) {
			n = w.update(n, it.entry, it.at, leaf, v, c-1)
		}
		return true
	})
	return n
}

func wanted(patterns []*pattern, leaf, list *schema.Node) bool {
	for _, p := range patterns {
		if p.onChange(leaf) && p.covers(leaf, list) {
			return true
		}
	}
	return false
}

// gone is the deletes for an entry that went: for each leaf the highest node
// that stands for nothing else and that a pattern reaches.
func (w *writer) gone(it *item, sees func(*schema.Node) bool) *gnmi.Notification {
	list := w.schema.Node(it.entry)
	var n *gnmi.Notification
	var deleted []*schema.Node
	w.schema.Leaves(it.entry, it.old, schema.LeafOptions{Defaults: true}, func(leaf *schema.Node, _ schema.Value) bool {
		var top *schema.Node
		for _, p := range it.patterns {
			if !p.covers(leaf, list) || !p.has(leaf) || !sees(leaf) {
				continue
			}
			at := w.plan.together[leaf]
			if p.last.Entry() == list && under(p.last, at) {
				at = p.last
			}
			if top == nil || under(top, at) {
				top = at
			}
		}
		if top != nil {
			n, deleted = w.delete(n, it, top, deleted)
		}
		return true
	})
	return n
}

// delete adds a delete unless it is covered by one of those before it.
func (w *writer) delete(n *gnmi.Notification, it *item, node *schema.Node, deleted []*schema.Node) (*gnmi.Notification, []*schema.Node) {
	for _, d := range deleted {
		if under(node, d) {
			return n, deleted
		}
	}
	if n == nil {
		n = &gnmi.Notification{Timestamp: it.at.UnixNano(), Prefix: w.prefix(it.entry)}
	}
	n.Delete = append(n.Delete, w.plan.relative[node])
	return n, append(deleted, node)
}

func atLeast1(c uint32) uint32 { return max(c, 1) }
