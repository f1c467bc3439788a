package rpc

import (
	"context"
	"time"

	"heddle/agent/datastore"
	"heddle/agent/operation"
	hpb "heddle/gen/rpc"
)

// holder is a caller as locks know it: whatever connection it uses, since the heddle
// command has another one each time.
func (s *Server) holder(ctx context.Context) datastore.Holder {
	return datastore.Holder{User: s.sets.User(ctx)}
}

// Lock implements heddle.v1.Heddle.
func (s *Server) Lock(ctx context.Context, req *hpb.LockRequest) (*hpb.LockResponse, error) {
	if req.GetWithin() < 0 {
		return nil, s.statusOf(&operation.InvalidError{What: "lock for " + time.Duration(req.GetWithin()).String() + ": use more than 0"})
	}
	l, err := s.agent.Lock(ctx, datastore.LockRequest{
		Holder: s.holder(ctx), Within: time.Duration(req.GetWithin()), Authority: s.sets.Authority(ctx),
	})
	if err != nil {
		return nil, s.sets.SetStatus(err)
	}
	return &hpb.LockResponse{Since: l.Since.UnixNano(), Until: l.Until.UnixNano()}, nil
}

// Unlock implements heddle.v1.Heddle.
func (s *Server) Unlock(ctx context.Context, _ *hpb.UnlockRequest) (*hpb.UnlockResponse, error) {
	if err := s.agent.Unlock(ctx, s.holder(ctx), s.sets.Administrator(ctx)); err != nil {
		return nil, s.sets.SetStatus(err)
	}
	return &hpb.UnlockResponse{}, nil
}
