package rpc

import (
	"cmp"

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

// defaultInstance is the network instance where none is named.
const defaultInstance = "DEFAULT"

// seesInstance reports whether all of a network instance itself may be seen: its answers
// to a ping tell of its addresses and routes.
func (s *Server) seesInstance(v schema.View, name string) bool {
	if v == nil {
		return true
	}
	at, err := s.schema.Resolve([]schema.NameElem{
		{Name: "network-instances"}, {Name: "network-instance", Keys: map[string]string{"name": cmp.Or(name, defaultInstance)}},
	})
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
