// Package rpc serves heddle.v1.Heddle, the service of ours beside gNMI: it turns its
// messages into questions to the agent, and the agent's answers into messages. It
// knows neither the kernel nor how an answer is found.
package rpc

import (
	"context"

	gpb "github.com/openconfig/gnmi/proto/gnmi"

	"heddle/agent/datastore"
	"heddle/agent/operation"
	hpb "heddle/gen/rpc"
	"heddle/schema"
)

// Agent answers.
type Agent interface {
	Plan(ctx context.Context, req datastore.Request) (operation.Plan, error)
}

// Sets reads SetRequests and knows with which status a Set that fails is answered;
// *gnmi.Server does.
type Sets interface {
	Edits(req *gpb.SetRequest) ([]schema.Edit, error)
	SetStatus(err error) error
}

// Server implements the service.
type Server struct {
	hpb.UnimplementedHeddleServer

	agent Agent
	sets  Sets
}

// New returns a server that asks a.
func New(a Agent, s Sets) *Server { return &Server{agent: a, sets: s} }

// Plan implements heddle.v1.Heddle.
func (s *Server) Plan(ctx context.Context, req *hpb.PlanRequest) (*hpb.PlanResponse, error) {
	edits, err := s.sets.Edits(req.GetSet())
	if err != nil {
		return nil, err
	}
	plan, err := s.agent.Plan(ctx, datastore.Request{Edits: edits})
	if err != nil {
		return nil, s.sets.SetStatus(err)
	}
	resp := &hpb.PlanResponse{Revision: plan.Revision, ChangedEntries: uint32(plan.Entries)}
	for _, step := range plan.Steps {
		resp.Steps = append(resp.Steps, &hpb.PlanStep{
			Action: actions[step.Action], Object: step.Object, Path: step.Path, Commands: step.Commands,
		})
	}
	return resp, nil
}

var actions = map[operation.Action]hpb.PlanStep_Action{
	operation.Create: hpb.PlanStep_CREATE,
	operation.Change: hpb.PlanStep_CHANGE,
	operation.Delete: hpb.PlanStep_DELETE,
}
