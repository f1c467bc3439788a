package schema

import (
	"strconv"
	"sync"
	"unsafe"
)

// A program is how an object is written: one op after the other, for a node and
// options. It spares each of a hundred thousand entries the walk over the
// schema.
type program []op

type opKind uint8

const (
	opKey   opKind = iota + 1 // a list key
	opLeaf                    // any other leaf
	opList                    // the entries of a list
	opEnter                   // begins a container
	opLeave                   // ends it, and takes it back if it is empty
)

// op is one step of a program.
type op struct {
	kind  opKind
	bind  uint8 // of a leaf, and of a container with uniform
	node  *Node
	slot  *slot
	name  []byte   // `,"name":`
	enum  [][]byte // of an enumeration: its values as they are written
	deflt []byte   // the default as it is written, nil for none

	// Of opEnter. uniform: all below is of one binding, and nothing is there when
	// that has no entry, or no struct for the container. behind is the op after
	// its opLeave.
	uniform bool
	cont    *contPlan
	behind  int
}

// programKey is what programs differ by.
type programKey struct {
	node     *Node
	encoding Encoding
	filter   Filter
	defaults bool
	top      bool // names of the members are those of an outermost object
}

// program returns the program for n.
func (e *encoder) program(n *Node, top bool) program {
	k := programKey{n, e.o.Encoding, e.o.Filter, e.o.Defaults, top}
	if e.o.ModuleNames != nil || e.o.deepest > 0 { // hardly anybody wants that
		if p, ok := e.own[k]; ok {
			return p
		}
		if e.own == nil {
			e.own = map[programKey]program{}
		}
		e.own[k] = e.compile(n, top)
		return e.own[k]
	}
	return e.s.programs.get(k, func() program { return e.compile(n, top) })
}

// programs are those that were made so far.
type programs struct {
	mu   sync.RWMutex // guards made
	made map[programKey]program
}

func (ps *programs) get(k programKey, compile func() program) program {
	ps.mu.RLock()
	p, ok := ps.made[k]
	ps.mu.RUnlock()
	if ok {
		return p
	}
	p = compile()
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.made == nil {
		ps.made = map[programKey]program{}
	}
	ps.made[k] = p
	return p
}

func (e *encoder) compile(n *Node, top bool) program {
	var p program
	e.addMembers(&p, n, top)
	return p
}

// addMembers adds the ops of n's children.
func (e *encoder) addMembers(p *program, n *Node, top bool) {
	if e.o.deepest > 0 && n.Level() >= e.o.deepest {
		return
	}
	for _, c := range n.Children {
		o := op{node: c, name: e.memberName(c, top)}
		switch {
		case c.plan.isKey:
			o.kind = opKey
			*p = append(*p, o)
		case c.IsLeaf():
			if e.leafOp(&o) {
				*p = append(*p, o)
			}
		case c.Kind == List:
			if (e.o.Filter != Config || c.Config) && (e.o.deepest == 0 || c.Level() < e.o.deepest) {
				o.kind = opList
				*p = append(*p, o)
			}
		default:
			e.addContainer(p, o)
		}
	}
}

// leafOp makes an op for a leaf; false: it is never written.
func (e *encoder) leafOp(o *op) bool {
	n := o.node
	o.kind, o.bind = opLeaf, inState
	if n.Config {
		o.bind = inConfig
	}
	o.slot = n.plan.slot[o.bind]
	if o.slot == nil || !e.o.Filter.wants(n) {
		return false
	}
	if o.slot.kind == fEnum {
		for _, v := range o.slot.enum.values {
			o.enum = append(o.enum, e.appendValue(nil, n.Type, v))
		}
	}
	if e.o.Defaults && n.hasDefault() {
		v, _ := n.defaultValue()
		o.deflt = e.appendValue(nil, n.Type, v)
	}
	return true
}

// addContainer adds the ops of a container, unless it is always empty.
func (e *encoder) addContainer(p *program, o op) {
	n := o.node
	o.kind = opEnter
	at := len(*p)
	*p = append(*p, o)
	e.addMembers(p, n, false)
	inner := (*p)[at+1:]
	wanted := n.Presence && e.o.Filter.wants(n) && (e.o.deepest == 0 || n.Level() < e.o.deepest)
	if len(inner) == 0 && !wanted {
		*p = (*p)[:at]
		return
	}
	o.bind = inState
	if n.Config {
		o.bind = inConfig
	}
	o.uniform = n.plan.entry.Parent != nil // the root has defaults without being there
	for i := range inner {
		if in := &inner[i]; in.kind == opList || in.kind != opLeave && in.bind != o.bind {
			o.uniform = false
		}
	}
	if cp := n.plan.cont[o.bind]; cp != nil && cp.node == n {
		o.cont = cp
	}
	o.behind = len(*p) + 1
	(*p)[at] = o
	*p = append(*p, op{kind: opLeave, node: n})
}

// memberName is a member's name with comma and colon.
func (e *encoder) memberName(c *Node, top bool) []byte {
	name := c.Name
	if e.o.Encoding == JSONIETF {
		m := e.module(c.Module)
		if top || c.Parent.Parent == nil || m != e.module(c.Parent.Module) {
			name = m + ":" + name
		}
	}
	return []byte(`,"` + name + `":`)
}

// object writes entry k, or what is below a container of it.
func (e *encoder) object(p program, k EntryKey, ent *entity, cur *cursor) {
	e.buf = append(e.buf, '{')
	for i := 0; i < len(p); i++ {
		o := &p[i]
		switch o.kind {
		case opLeaf:
			e.leaf(o, ent)
		case opKey:
			mark := e.name(o)
			if !e.key(o.node, k, ent) {
				e.buf = e.buf[:mark]
			}
		case opEnter:
			if o.absent(ent) {
				i = o.behind - 1
				continue
			}
			e.marks = append(e.marks, e.name(o))
			e.buf = append(e.buf, '{')
		case opLeave:
			mark := e.marks[len(e.marks)-1]
			e.marks = e.marks[:len(e.marks)-1]
			if e.buf[len(e.buf)-1] == '{' && !e.present(o.node, ent) {
				e.buf = e.buf[:mark]
				continue
			}
			e.buf = append(e.buf, '}')
		case opList:
			mark := e.name(o)
			if !e.list(o.node, k, cur) {
				e.buf = e.buf[:mark]
			}
		}
	}
	e.buf = append(e.buf, '}')
}

// name writes a member's name and returns where it begins.
func (e *encoder) name(o *op) (mark int) {
	mark = len(e.buf)
	e.buf = o.appendName(e.buf)
	return mark
}

// appendName appends a member's name, with a comma unless it is the first.
func (o *op) appendName(dst []byte) []byte {
	if dst[len(dst)-1] == '{' {
		return append(dst, o.name[1:]...)
	}
	return append(dst, o.name...)
}

// absent reports whether nothing of a container can be there.
func (o *op) absent(ent *entity) bool {
	if !o.uniform {
		return false
	}
	p := ent[o.bind]
	return p == nil || o.cont != nil && o.cont.at(p) == nil
}

// leaf writes a leaf with its name if it has a value. What most leaves are is
// written here, the rest by field.
func (e *encoder) leaf(o *op, ent *entity) {
	p := ent[o.bind]
	f := unsafe.Pointer(nil)
	switch {
	case p == nil:
	case o.slot.cont.parent == nil:
		f = unsafe.Add(p, o.slot.off)
	default:
		f = o.slot.at(p)
	}
	if f == nil {
		e.unset(o, p)
		return
	}
	switch o.slot.kind {
	case fString:
		v := *(**string)(f)
		if v == nil {
			e.unset(o, p)
			return
		}
		e.buf = appendString(o.appendName(e.buf), *v)
	case fBool:
		v := *(**bool)(f)
		if v == nil {
			e.unset(o, p)
			return
		}
		e.buf = strconv.AppendBool(o.appendName(e.buf), *v)
	case fEnum:
		v := *(*int64)(f)
		if v <= 0 || v >= int64(len(o.enum)) {
			e.unset(o, p)
			return
		}
		e.buf = append(o.appendName(e.buf), o.enum[v]...)
	default:
		if !o.slot.isSet(f) {
			e.unset(o, p)
			return
		}
		e.name(o)
		e.field(o.slot, f)
	}
}

// unset writes a leaf that is not set: its default, if that is in use.
func (e *encoder) unset(o *op, p unsafe.Pointer) {
	if o.deflt != nil && o.node.defaultInUse(p) {
		e.name(o)
		e.buf = append(e.buf, o.deflt...)
	}
}
