package gnmi

import (
	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"heddle/schema"
)

// readUnion reads a Set that consists of union_replaces. Each path is replaced;
// where several stand for the same place, or one is inside another, what they say
// is put together, and has to agree (gnmi-union_replace.md §5.3). What is wrong with one
// of them goes to wrong.
func (s *Server) readUnion(head *setHead, f *fields, answer *setAnswer, wrong *mistakes) ([]schema.Edit, error) {
	var all []schema.Edit
	err := each(f, func(num protowire.Number, f *fields) error {
		if num != requestUnionReplace {
			return nil
		}
		octets, _ := f.value()
		u := &gpb.Update{}
		if err := unmarshal(octets, u); err != nil {
			return malformed(err)
		}
		if wrong.enough() {
			return nil
		}
		e, err := s.edit(head.prefix, u, schema.Replace)
		if err != nil {
			wrong.add(err)
			return nil
		}
		path, err := proto.Marshal(u.GetPath())
		if err != nil {
			return malformed(err)
		}
		answer.result(gpb.UpdateResult_UNION_REPLACE, path)
		all = append(all, e)
		return nil
	})
	if err != nil || len(wrong.Errs) > 0 {
		return all, err
	}
	return s.union(all)
}

// union makes of replaces the edits that put together what they say.
func (s *Server) union(all []schema.Edit) ([]schema.Edit, error) {
	var outer, inner []schema.Edit
	first := make(map[string]int, len(all)) // the edit of a path
	for i, e := range all {
		if _, twice := first[e.Path.String()]; !twice {
			first[e.Path.String()] = i
		}
	}
	for i, e := range all {
		if first[e.Path.String()] == i && !inside(e.Path, first) {
			outer = append(outer, e)
			continue
		}
		e.Op = schema.Update
		inner = append(inner, e)
	}
	if len(inner) > 0 {
		if err := s.agree(all); err != nil {
			return nil, err
		}
	}
	return append(outer, inner...), nil
}

// inside reports whether one of the paths is above p.
func inside(p schema.Path, paths map[string]int) bool {
	for i := range p {
		if _, ok := paths[p[:i].String()]; ok {
			return true
		}
		if p[i].Keys == nil {
			continue
		}
		list := append(p[:i:i], schema.Elem{Node: p[i].Node}) // the list as a whole
		if _, ok := paths[list.String()]; ok {
			return true
		}
	}
	return false
}

// agree refuses edits that give a leaf different values.
func (s *Server) agree(edits []schema.Edit) error {
	updates := make([]schema.Edit, len(edits))
	for i, e := range edits {
		updates[i] = e
		updates[i].Op = schema.Update
	}
	empty := schema.NewMap()
	changes, err := s.schema.Apply(empty, updates)
	if err != nil {
		return s.statusOf(err, set)
	}
	together := empty.With(changes)
	for _, u := range updates {
		changes, err := s.schema.Apply(together, []schema.Edit{u})
		if err != nil {
			return s.statusOf(err, set)
		}
		for _, c := range changes {
			var at schema.Path
			s.schema.Diff(c, schema.LeafOptions{}, func(d schema.Delta) bool {
				at = s.schema.NodePath(c.Key, d.Node)
				return false
			})
			return invalid("path %s: two union_replaces give it different values: put the same into both, or leave it out of one", at)
		}
	}
	return nil
}
