package rpc

import (
	"heddle/agent/operation"
	hpb "heddle/gen/rpc"
	"heddle/schema"
)

// unseen answers alike for what is not there and for what the caller may not see.
func unseen() error {
	return &operation.NotFoundError{What: "it is not configured, or not for you to see"}
}

// sees reports whether all of the list entry at a path may be seen.
func (s *Server) sees(v schema.View, path string) bool {
	if v == nil {
		return true
	}
	at, err := s.schema.ParsePath(path)
	if err != nil {
		return false
	}
	extent, _ := v.Entry(at.Entry())
	return extent == schema.Everything
}

// seesLeaf reports whether the leaf at a path may be seen.
func (s *Server) seesLeaf(v schema.View, path string) bool {
	if v == nil {
		return true
	}
	at, err := s.schema.ParsePath(path)
	if err != nil || at.Last() == nil {
		return false
	}
	extent, sees := v.Entry(at.Entry())
	return extent == schema.Everything || extent == schema.Part && sees(at.Last())
}

// difference is what may be seen of one.
func (s *Server) difference(v schema.View, d operation.Difference) *hpb.Difference {
	m := &hpb.Difference{More: uint64(d.More)}
	for _, l := range d.Leaves {
		if s.seesLeaf(v, l.Path) {
			m.Leaves = append(m.Leaves, &hpb.LeafChange{Path: l.Path, Before: l.Before, After: l.After})
		}
	}
	return m
}
