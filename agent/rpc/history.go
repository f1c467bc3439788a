package rpc

import (
	"context"
	"fmt"

	"heddle/agent/datastore"
	hpb "heddle/gen/rpc"
)

const (
	defaultLimit = 20
	maxLimit     = 10_000
)

// History implements heddle.v1.Heddle.
func (s *Server) History(ctx context.Context, req *hpb.HistoryRequest) (*hpb.HistoryResponse, error) {
	limit := defaultLimit
	if n := req.GetLimit(); n > 0 {
		limit = int(min(n, maxLimit))
	}
	h, err := s.agent.History(limit)
	if err != nil {
		return nil, s.sets.SetStatus(err)
	}
	resp := &hpb.HistoryResponse{}
	whole := s.sets.View(ctx) == nil
	for _, c := range h.Commits {
		if !whole {
			c.Request = "" // it has paths
		}
		resp.Commits = append(resp.Commits, &hpb.Commit{
			Revision: c.Revision, Time: c.Time.UnixNano(), User: c.User, Source: c.Source, Request: c.Request,
			CommitConfirmId: c.Confirm, ChangedEntries: uint32(c.Entries), Reachable: c.Reachable,
		})
	}
	if u := h.Unconfirmed; u != nil {
		resp.Unconfirmed = &hpb.UnconfirmedCommit{Id: u.ID, Deadline: u.Deadline.UnixNano(), Before: u.Before, User: u.User}
	}
	return resp, nil
}

// Diff implements heddle.v1.Heddle.
func (s *Server) Diff(ctx context.Context, req *hpb.DiffRequest) (*hpb.DiffResponse, error) {
	d, err := s.agent.Diff(req.GetFrom(), req.GetTo())
	if err != nil {
		return nil, s.sets.SetStatus(err)
	}
	return &hpb.DiffResponse{Difference: s.difference(s.sets.View(ctx), d)}, nil
}

// Rollback implements heddle.v1.Heddle.
func (s *Server) Rollback(ctx context.Context, req *hpb.RollbackRequest) (*hpb.RollbackResponse, error) {
	to := req.GetRevision()
	c, err := s.agent.Rollback(ctx, datastore.Request{
		Rollback: &to, User: s.sets.User(ctx), Source: "rollback", Request: fmt.Sprintf("rollback to revision %d", to),
		Authority: s.sets.Authority(ctx),
	})
	if err != nil {
		return nil, s.sets.SetStatus(err)
	}
	return &hpb.RollbackResponse{Revision: c.Revision, Time: c.Time.UnixNano(), ChangedEntries: uint32(c.Entries)}, nil
}
