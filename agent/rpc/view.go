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

// difference is one as a message.
func difference(d operation.Difference) *hpb.Difference {
	m := &hpb.Difference{More: uint64(d.More)}
	for _, l := range d.Leaves {
		m.Leaves = append(m.Leaves, &hpb.LeafChange{Path: l.Path, Before: l.Before, After: l.After})
	}
	return m
}
