package gnmi

import (
	"bytes"
	"slices"

	gpb "github.com/openconfig/gnmi/proto/gnmi"

	"heddle/schema"
)

// lastPath is the plain path that was resolved last. The next one mostly begins
// with the same elements.
type lastPath struct {
	octets []byte
	starts []int       // of the elements, in octets
	path   schema.Path // that of the prefix before it; nil: there is no last path
}

// shared is how many elements of path, from its start, are those of l. The last
// one of l does not count.
func (l *lastPath) shared(path []byte) int {
	n := len(l.starts) - 1
	if l.path == nil || n < 1 {
		return 0
	}
	if bytes.HasPrefix(path, l.octets[:l.starts[n]]) {
		return n // mostly: another leaf of the same container
	}
	i := 0
	for bytes.HasPrefix(path, l.octets[:l.starts[i+1]]) {
		i++
	}
	return i
}

// target resolves the path of a replace or update: to a leaf and the path of the
// node above it, or to a path if leaf is nil. The error says that the octets are
// no path. What else is wrong is noted, and ok is false.
func (r *setReader) target(path []byte) (at schema.Path, leaf *schema.Node, ok bool, err error) {
	p, leaf, ok := r.targetLike(path)
	if leaf != nil {
		return p, leaf, true, nil
	}
	if !ok {
		r.last.path = nil
		elems, ok, err := r.names(path)
		if err != nil || !ok || r.wrong.enough() {
			return nil, nil, false, err
		}
		if p, err = r.server.schema.Resolve(elems); err != nil {
			r.wrong.add(err)
			return nil, nil, false, nil
		}
	}
	if n := p.Last(); n != nil && n.IsLeaf() {
		return p[:len(p)-1], n, true, nil
	}
	return p, nil, true, nil
}

// targetLike is target for plain paths without mistakes. Of a path that begins
// like the last one only the rest is read. ok is false for other paths, and last is
// of no use any more.
func (r *setReader) targetLike(path []byte) (at schema.Path, leaf *schema.Node, ok bool) {
	l := &r.last
	n := l.shared(path)
	from := 0
	var above schema.Path
	if n > 0 {
		from, above = l.starts[n], l.path[:len(r.prefixElems)+n]
		if leaf := child(above.Last(), path[from:]); leaf != nil {
			return above, leaf, true
		}
	}
	if r.elems, l.starts, ok = plainElems(r.elems[:0], l.starts[:n], path[from:]); !ok || len(r.elems) == 0 {
		return nil, nil, false
	}
	for i := n; i < len(l.starts); i++ {
		l.starts[i] += from
	}
	elems := r.elems
	if n == 0 {
		elems = slices.Concat(r.prefixElems, elems)
	}
	p, err := r.server.schema.ResolveBelow(above, elems)
	if err != nil {
		return nil, nil, false // of the whole path there is a better error
	}
	l.octets, l.path = append(l.octets[:from], path[from:]...), p
	return p, nil, true
}

// child is the leaf below n that a plain path element names, or nil.
func child(n *schema.Node, elem []byte) *schema.Node {
	elem, rest, ok := cut(elem, tagPathElem)
	if !ok || len(rest) > 0 {
		return nil
	}
	name, rest, ok := cut(elem, tagElemName)
	if !ok || len(rest) > 0 {
		return nil
	}
	if c := n.Child(string(name)); c != nil && c.IsLeaf() {
		return c
	}
	return nil
}

// names reads the elements of any path and puts those of the prefix before them. The
// error says that the octets are no path. What else is wrong is noted, and ok is false.
func (r *setReader) names(path []byte) (elems []schema.NameElem, ok bool, err error) {
	if r.elems, _, ok = plainElems(r.elems[:0], nil, path); ok {
		return slices.Concat(r.prefixElems, r.elems), true, nil
	}
	p := &gpb.Path{}
	if err := unmarshal(path, p); err != nil {
		return nil, false, err
	}
	if elems, err = join(r.prefix, p); err != nil {
		r.wrong.add(err)
		return nil, false, nil
	}
	return elems, true, nil
}
