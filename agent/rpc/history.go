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
	whole, user := s.sets.View(ctx) == nil, s.sets.User(ctx)
	for _, c := range h.Commits {
		m := &hpb.Commit{Revision: c.Revision, Time: c.Time.UnixNano(), Reachable: c.Reachable}
		if whole || c.User == user { // else it may be about what is not the caller's to see
			m.User, m.Source, m.Request, m.CommitConfirmId = c.User, c.Source, c.Request, c.Confirm
			m.ChangedEntries = new(uint32(c.Entries))
		}
		resp.Commits = append(resp.Commits, m)
	}
	if u := h.Unconfirmed; u != nil {
		resp.Unconfirmed = &hpb.UnconfirmedCommit{Deadline: u.Deadline.UnixNano(), Before: u.Before}
		if whole || u.User == user || s.sets.Administrator(ctx) {
			resp.Unconfirmed.Id, resp.Unconfirmed.User = u.ID, u.User
		}
	}
	return resp, nil
}

// Diff implements heddle.v1.Heddle.
func (s *Server) Diff(ctx context.Context, req *hpb.DiffRequest) (*hpb.DiffResponse, error) {
	d, err := s.agent.Diff(req.GetFrom(), req.GetTo(), s.sets.View(ctx))
	if err != nil {
		return nil, s.sets.SetStatus(err)
	}
	return &hpb.DiffResponse{Difference: difference(d)}, nil
}

// Rollback implements heddle.v1.Heddle.
func (s *Server) Rollback(ctx context.Context, req *hpb.RollbackRequest) (*hpb.RollbackResponse, error) {
	to := req.GetRevision()
	c, err := s.agent.Rollback(ctx, datastore.Request{
		Rollback: &to, User: s.sets.User(ctx), Source: "rollback", Request: fmt.Sprintf("rollback to revision %d", to),
		Authority: s.sets.Authority(ctx), Administrator: s.sets.Administrator(ctx),
	}, s.sets.View(ctx))
	if err != nil {
		return nil, s.sets.SetStatus(err)
	}
	return &hpb.RollbackResponse{Revision: c.Revision, Time: c.Time.UnixNano(), ChangedEntries: uint32(c.Entries)}, nil
}
