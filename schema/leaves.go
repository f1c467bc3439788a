package schema

import (
	"unsafe"
)

// LeafOptions selects what Leaves and Diff report.
type LeafOptions struct {
	Filter   Filter
	Defaults bool  // configuration leaves whose default is in use count as set: see the package
	Under    *Node // nil or a node held by the entry: only leaves at or under it
}

func (o *LeafOptions) wants(n *Node) bool {
	return o.Filter.wants(n) && (o.Under == nil || n.under(o.Under))
}

// value reads a leaf as the options see it.
func (o *LeafOptions) value(l leafAt, entry unsafe.Pointer) (Value, bool) {
	if entry == nil {
		return Value{}, false
	}
	if v, ok := l.slot.get(entry); ok {
		return v, true
	}
	if o.Defaults && l.node.defaultInUse(entry) {
		return l.node.defaultValue()
	}
	return Value{}, false
}

// Leaves calls fn for every leaf and leaf-list of one entry, in schema order,
// until fn returns false. A state entry yields its config false leaves only,
// except that a list that is config false itself includes its keys; so
// configuration and state of the same entry never yield the same path.
func (s *Schema) Leaves(k EntryKey, entry GoStruct, o LeafOptions, fn func(n *Node, v Value) bool) {
	ep := s.planOf(entry)
	if ep == nil {
		return
	}
	p := base(entry)
	for _, l := range ep.leafs {
		if !o.wants(l.node) {
			continue
		}
		if v, ok := o.value(l, p); ok && !fn(l.node, v) {
			return
		}
	}
}

// Delta is one difference between two versions of an entry.
type Delta struct {
	Node    *Node // a leaf or leaf-list, a presence container, or the list itself if the whole entry went
	Value   Value // the new value of a leaf
	Deleted bool
}

// Diff calls fn for every leaf that changed, in schema order, until fn returns
// false. A new entry yields all its leaves; an entry that went yields one
// deletion of the list node (path: that of the entry), the root entry one of
// each of its leaves. With o.Defaults, a leaf that falls back to its default
// is an update. Presence containers that came or went follow the leaves.
func (s *Schema) Diff(c Change, o LeafOptions, fn func(Delta) bool) {
	ep := s.planOf(c.New)
	if c.New == nil {
		if ep = s.planOf(c.Old); ep == nil {
			return
		}
		if ep.node.Kind == List {
			if o.Under == nil || o.Under == ep.node {
				fn(Delta{Node: ep.node, Deleted: true})
				return
			}
		}
	}
	if ep == nil {
		return
	}
	var old, now unsafe.Pointer
	if c.Old != nil && ep.isType(c.Old) {
		old = base(c.Old)
	}
	if c.New != nil {
		now = base(c.New)
	}
	for _, l := range ep.leafs {
		if !o.wants(l.node) || l.same(old, now) {
			continue
		}
		v, had := o.value(l, old)
		w, has := o.value(l, now)
		switch {
		case has && (!had || !v.Equal(w)):
			if !fn(Delta{Node: l.node, Value: w}) {
				return
			}
		case had && !has:
			if !fn(Delta{Node: l.node, Deleted: true}) {
				return
			}
		}
	}
	for _, cp := range ep.conts[1:] {
		if !cp.presence || !o.wants(cp.node) {
			continue
		}
		had, has := old != nil && cp.at(old) != nil, now != nil && cp.at(now) != nil
		if had != has && !fn(Delta{Node: cp.node, Deleted: had}) {
			return
		}
	}
}

// same reports whether a leaf is surely equal in both, without reading it.
func (l leafAt) same(old, now unsafe.Pointer) bool {
	if old == nil || now == nil {
		return false
	}
	a, b := l.slot.at(old), l.slot.at(now)
	if a == nil || b == nil {
		return false
	}
	return l.slot.codec.equal(a, b)
}
