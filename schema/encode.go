package schema

import (
	"bytes"
	"io"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"
)

// Filter selects nodes by gNMI's Get type.
type Filter uint8

const (
	All         Filter = iota
	Config             // config true nodes
	State              // config false nodes
	Operational        // config false nodes without a config true counterpart (state/x without config/x)
)

// wants reports whether the filter passes leaf n. List keys are passed in any
// case by those who need them.
func (f Filter) wants(n *Node) bool {
	switch f {
	case Config:
		return n.Config
	case State:
		return !n.Config
	case Operational:
		return !n.Config && !n.plan.mirrored
	}
	return true
}

// binding reports whether entries of a binding count.
func (f Filter) binding(bind int) bool {
	return f == All || (f == Config) == (bind == inConfig)
}

// EncodeOptions says how to write a document.
type EncodeOptions struct {
	Encoding Encoding
	Filter   Filter
	Defaults bool // include configuration leaves whose default is in use: see the package
	Indent   bool // for people; default compact. Not streamed
	// ModuleNames renames modules on output (use_models); nil keeps ours.
	ModuleNames map[string]string
	// Depth, if not 0, leaves out what is more than so many levels below the path,
	// as the depth extension of gNMI has it: with 1 there are the leaves that are
	// direct children. The entries of a list are one level below what holds it.
	Depth int

	deepest int // the level of the schema that Depth comes to; 0: no limit
}

// EncodeJSON writes what trees hold at a path as one JSON value and reports
// whether there was anything; if not, nothing is written. Trees are merged: an
// entry is there if any tree has it, the configuration tree supplies config
// true nodes, the state tree config false nodes (it recognises them by their
// struct types). It streams: memory does not grow with the document.
//
// A leaf is its bare value, a container or list entry an object without its
// own name, a list without keys an array of its entries. The root without data
// is {}. In JSON_IETF the members of the outermost object are qualified, inner
// ones where the module changes, identities always. Wildcards elsewhere are an
// error: use Expand. State nodes have no defaults.
func (s *Schema) EncodeJSON(w io.Writer, trees []Tree, at Path, o EncodeOptions) (present bool, err error) {
	if o.Indent {
		return s.encodeIndented(w, trees, at, o)
	}
	return s.encode(&encoder{s: s, out: stream{w}, o: o, trees: trees, buf: make([]byte, 0, 4096)}, at)
}

// encode writes what there is at a path.
func (s *Schema) encode(e *encoder, at Path) (present bool, err error) {
	n := at.Last()
	if n == nil {
		n = s.root
	}
	array := n.Kind == List && at[len(at)-1].Keys == nil
	above := at
	if array {
		above = at[:len(at)-1]
	}
	if above.HasWildcard() {
		return false, &PathError{Path: at.String(), Code: BadKey, Reason: "has wildcards: expand it first"}
	}
	if e.o.Depth > 0 && !n.IsLeaf() {
		e.o.deepest = n.Level() + e.o.Depth
	}
	k := above.Entry()
	ent := e.fetch(k)
	switch {
	case n.IsLeaf():
		present = e.leafValue(n, &ent)
	case array:
		e.top = true
		present = (e.o.Filter != Config || n.Config) && e.list(n, k, nil)
	default:
		if n.Kind != List || ent.there() {
			e.object(e.program(n, true), k, &ent, nil)
			present = string(e.buf) != "{}" || n.Kind == List && ent.there() || n.Presence && e.present(n, &ent)
			if !present {
				e.buf = e.buf[:0]
			}
		}
		if n == s.root && !present {
			e.buf, present = append(e.buf, "{}"...), true
		}
	}
	e.flush()
	return present, e.err
}

func (s *Schema) encodeIndented(w io.Writer, trees []Tree, at Path, o EncodeOptions) (bool, error) {
	o.Indent = false
	var b bytes.Buffer
	present, err := s.EncodeJSON(&b, trees, at, o)
	if err != nil || !present {
		return present, err
	}
	v := jsontext.Value(b.Bytes())
	if err := v.Indent(jsontext.WithIndent("  ")); err != nil {
		return false, err
	}
	_, err = w.Write(v)
	return true, err
}

// entity is one entry as the trees together have it: a struct of each binding,
// or nil.
type entity [bindings]unsafe.Pointer

func (e *entity) there() bool { return e[inConfig] != nil || e[inState] != nil }

// encoder is the state of one EncodeJSON.
type encoder struct {
	s     *Schema
	out   output
	o     EncodeOptions
	trees []Tree
	crew  *crew // who helps with large lists; nil: nobody
	buf   []byte
	marks []int // where the containers begin that are being written
	top   bool  // the entries of the next list are outermost objects
	err   error

	own map[programKey]program // of options that are no part of the key
}

// output is where an encoder puts what is not taken back any more.
type output interface {
	// put takes a buffer and returns an empty one.
	put(full []byte) (empty []byte, err error)
}

// stream writes the document out piece by piece.
type stream struct{ w io.Writer }

func (s stream) put(full []byte) ([]byte, error) {
	_, err := s.w.Write(full)
	return full[:0], err
}

// flushSize is how much is gathered before it is put out.
const flushSize = 32 << 10

func (e *encoder) flush() {
	if e.err != nil || len(e.buf) == 0 {
		e.buf = e.buf[:0]
		return
	}
	e.buf, e.err = e.out.put(e.buf)
}

// fetch gets one entry from all trees.
func (e *encoder) fetch(k EntryKey) entity {
	var ent entity
	n := e.s.nodeOf(k)
	for _, t := range e.trees {
		if g, ok := t.Get(k); ok {
			ent.add(n, g, e.o.Filter)
		}
	}
	return ent
}

// add takes in a struct of either binding of list n.
func (e *entity) add(n *Node, g GoStruct, f Filter) {
	for b, ep := range n.plan.entryPlan {
		if ep != nil && f.binding(b) && ep.isType(g) {
			e[b] = base(g)
		}
	}
}

// present reports whether presence container n exists.
func (e *encoder) present(n *Node, ent *entity) bool {
	if !n.Presence || !e.o.Filter.wants(n) {
		return false
	}
	b := inState
	if n.Config {
		b = inConfig
	}
	cp := n.plan.cont[b]
	return ent[b] != nil && cp != nil && cp.node == n && cp.at(ent[b]) != nil
}

func (e *encoder) module(m string) string {
	if r, ok := e.o.ModuleNames[m]; ok {
		return r
	}
	return m
}

// key writes a list key, from whichever struct is there, else from the entry's
// key.
func (e *encoder) key(n *Node, k EntryKey, ent *entity) bool {
	for b, p := range ent {
		if p == nil {
			continue
		}
		s := n.plan.slot[b]
		if f := s.at(p); s.isSet(f) {
			e.field(s, f)
			return true
		}
	}
	values := k.Values()
	for i, kn := range n.Parent.Keys {
		if kn == n && i < len(values) {
			if v, f := n.Type.parse(&raw{form: fText, text: values[i]}); f == fits {
				e.buf = e.appendValue(e.buf, n.Type, v)
				return true
			}
		}
	}
	return false
}

// leafValue writes the value of a leaf if it has one that the filter passes.
func (e *encoder) leafValue(n *Node, ent *entity) bool {
	if n.plan.isKey && ent.there() {
		return e.key(n, "", ent)
	}
	if !e.o.Filter.wants(n) {
		return false
	}
	b := inState
	if n.Config {
		b = inConfig
	}
	p, s := ent[b], n.plan.slot[b]
	if s == nil {
		return false
	}
	if p != nil {
		if f := s.at(p); f != nil && s.isSet(f) {
			e.field(s, f)
			return true
		}
	}
	if e.o.Defaults && n.defaultInUse(p) {
		v, _ := n.defaultValue()
		e.buf = e.appendValue(e.buf, n.Type, v)
		return true
	}
	return false
}

// defaultInUse reports whether unset leaf n counts as having its default value
// in the configuration entry p: if the entry holds it itself, or else if the
// container around it holds something. A default in a container that nobody
// configured says what would be, not what is. Leaves of a choice are left out,
// and the root always exists.
func (n *Node) defaultInUse(p unsafe.Pointer) bool {
	s := n.plan.slot[inConfig]
	if !n.hasDefault() || s == nil {
		return false
	}
	if p == nil || s.cont.parent == nil {
		return s.cont.parent == nil && (p != nil || n.plan.entry.Parent == nil)
	}
	at := s.cont.at(p)
	return at != nil && (s.cont.presence || !s.cont.empty(at))
}

// hasDefault reports whether n is the same unset as with its default value.
func (n *Node) hasDefault() bool {
	return len(n.Default) > 0 && n.Config && !n.plan.inCase && !n.IsKey()
}

// list writes the entries of a list under k as an array, unless there are
// none. cur is nil if the list is not inside one that is being read already.
func (e *encoder) list(list *Node, k EntryKey, cur *cursor) bool {
	prefix := e.s.ListPrefix(k, list)
	if cur == nil {
		cur = newCursor(e.s, e.trees, prefix, e.o.Filter)
		defer cur.stop()
	}
	for cur.key < prefix && cur.next() {
	}
	if cur.done || !cur.key.Under(prefix) {
		return false
	}
	e.buf = append(e.buf, '[')
	if parts := e.crew.divide(e, prefix, len(k)); parts != nil {
		e.together(list, k, parts)
		cur.seek(parts[len(parts)-1].until)
	} else {
		e.entries(list, k, prefix, cur)
	}
	e.buf = append(e.buf, ']')
	return true
}

// entries writes the entries of a list under k with commas between them, as far
// as the cursor goes.
func (e *encoder) entries(list *Node, k, prefix EntryKey, cur *cursor) {
	p, nests := e.program(list, e.top), len(list.plan.lists) > 0
	e.top = false
	for first := true; !cur.done && cur.key.Under(prefix); first = false {
		if !first {
			e.buf = append(e.buf, ',')
		}
		ek := cur.key
		if nests { // it may be the first of what is below an entry that no tree has
			ek = ek[:len(k)+ek[len(k):].level()]
		}
		var ent entity
		if len(ek) == len(cur.key) {
			ent = cur.entity
			cur.next()
		}
		e.object(p, ek, &ent, cur)
		for nests && !cur.done && cur.key.Under(ek) {
			cur.next()
		}
		if e.crew.stopped() {
			e.err = errStopped
			break
		}
		// Whatever encloses an entry is not empty and will not be taken back.
		if len(e.buf) >= flushSize {
			if e.flush(); e.err != nil {
				break
			}
		}
	}
}
