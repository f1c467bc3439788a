// Package rpc serves heddle.v1.Heddle, the service of ours beside gNMI: it turns its
// messages into questions to the agent, and the agent's answers into messages. It
// knows neither the kernel nor how an answer is found.
package rpc

import (
	"context"
	"errors"
	"net/netip"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"heddle/agent/datastore"
	"heddle/agent/operation"
	hpb "heddle/gen/rpc"
	"heddle/schema"
)

// Agent answers.
type Agent interface {
	Configurations
	Locks
	Children(path string) ([]operation.Node, error)
	ExplainSID(ctx context.Context, sid netip.Addr) (operation.Explanation, error)
	ExplainRoute(ctx context.Context, instance string, prefix netip.Prefix) (operation.Explanation, error)
	Ping(ctx context.Context, req operation.PingRequest) (operation.PingAnswer, error)
}

// Configurations are those that were and those that could be. A view is what the caller
// may see, nil for everything: of differences and counts nothing else is told.
type Configurations interface {
	Plan(ctx context.Context, req datastore.Request, view schema.View) (operation.Plan, error)
	History(limit int) (operation.History, error)
	Diff(from, to uint64, view schema.View) (operation.Difference, error)
	Rollback(ctx context.Context, req datastore.Request, view schema.View) (operation.Commit, error)
}

// Locks are those of the configuration.
type Locks interface {
	Lock(ctx context.Context, req datastore.LockRequest) (operation.Lock, error)
	Unlock(ctx context.Context, h datastore.Holder, administrator bool) error
}

// Sets reads SetRequests and knows with which status a Set that fails is answered;
// *gnmi.Server does.
type Sets interface {
	Edits(req *gpb.SetRequest) ([]schema.Edit, error)
	SetStatus(err error) error
	// User is who makes a call, "" for nobody in particular.
	User(ctx context.Context) string
	// Authority is what a caller may change, View what it may see; nil: everything.
	Authority(ctx context.Context) datastore.Authority
	View(ctx context.Context) schema.View
	// Administrator reports whether a caller may end what others have begun.
	Administrator(ctx context.Context) bool
}

// Server implements the service.
type Server struct {
	hpb.UnimplementedHeddleServer

	agent  Agent
	sets   Sets
	schema *schema.Schema
}

// New returns a server that asks a, of the model sc.
func New(a Agent, s Sets, sc *schema.Schema) *Server { return &Server{agent: a, sets: s, schema: sc} }

// Plan implements heddle.v1.Heddle.
func (s *Server) Plan(ctx context.Context, req *hpb.PlanRequest) (*hpb.PlanResponse, error) {
	ask := datastore.Request{User: s.sets.User(ctx), Source: "plan", Authority: s.sets.Authority(ctx)}
	switch what := req.GetWhat().(type) {
	case *hpb.PlanRequest_Rollback:
		ask.Rollback = new(what.Rollback.GetRevision())
	default:
		var err error
		if ask.Edits, err = s.sets.Edits(req.GetSet()); err != nil {
			return nil, err
		}
	}
	view := s.sets.View(ctx)
	plan, err := s.agent.Plan(ctx, ask, view)
	if err != nil {
		return nil, s.sets.SetStatus(err)
	}
	resp := &hpb.PlanResponse{Revision: plan.Revision, ChangedEntries: uint32(plan.Difference.Entries), Difference: difference(plan.Difference)}
	for _, step := range plan.Steps {
		if !s.sees(view, step.Path) {
			continue // what follows elsewhere from the change is not the caller's to see
		}
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

// Explain implements heddle.v1.Heddle.
func (s *Server) Explain(ctx context.Context, req *hpb.ExplainRequest) (*hpb.ExplainResponse, error) {
	e, err := s.explain(ctx, req)
	if _, absent := errors.AsType[*operation.NotFoundError](err); absent && s.sets.View(ctx) != nil {
		err = unseen() // what packets meet in its place may be somebody else's
	}
	if err != nil {
		return nil, s.statusOf(err)
	}
	if view := s.sets.View(ctx); !s.sees(view, e.Path) {
		return nil, s.statusOf(unseen())
	}
	resp := &hpb.ExplainResponse{Path: e.Path, Programmed: e.Programmed, Reason: e.Reason}
	for _, o := range e.Objects {
		resp.Objects = append(resp.Objects, &hpb.KernelObject{Wanted: o.Wanted, Held: o.Held, Reason: o.Reason, Packet: o.Packet})
	}
	if c := e.Counters; c != nil {
		resp.Counters = &hpb.SidCounters{Packets: c.Packets, Octets: c.Octets, Errors: c.Errors}
	}
	return resp, nil
}

func (s *Server) explain(ctx context.Context, req *hpb.ExplainRequest) (operation.Explanation, error) {
	var none operation.Explanation
	switch about := req.GetAbout().(type) {
	case *hpb.ExplainRequest_Sid:
		sid, err := address(about.Sid)
		if err != nil {
			return none, err
		}
		return s.agent.ExplainSID(ctx, sid)
	case *hpb.ExplainRequest_Route:
		prefix, err := netip.ParsePrefix(about.Route.GetPrefix())
		if err != nil {
			return none, &operation.InvalidError{What: "prefix " + about.Route.GetPrefix() + ": it is not like 192.0.2.0/24 or 2001:db8::/32"}
		}
		return s.agent.ExplainRoute(ctx, about.Route.GetNetworkInstance(), prefix)
	}
	return none, &operation.InvalidError{What: "what is to be explained is missing: a SID or a route"}
}

// address reads the address of a SID.
func address(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return a, &operation.InvalidError{What: "SID " + text + ": it is not an IPv6 address"}
	}
	return a, nil
}

// statusOf gives an answer that is none its status.
func (s *Server) statusOf(err error) error {
	if e, ok := errors.AsType[*operation.NotFoundError](err); ok {
		return status.Error(codes.NotFound, e.What)
	}
	if e, ok := errors.AsType[*operation.InvalidError](err); ok {
		return status.Error(codes.InvalidArgument, e.What)
	}
	if e, ok := errors.AsType[*operation.UnableError](err); ok {
		return status.Error(codes.FailedPrecondition, e.Error())
	}
	return s.sets.SetStatus(err)
}

// Ping implements heddle.v1.Heddle.
func (s *Server) Ping(ctx context.Context, req *hpb.PingRequest) (*hpb.PingResponse, error) {
	ask := operation.PingRequest{
		Instance: req.GetNetworkInstance(), Each: req.GetEach(), Count: int(req.GetCount()),
		Interval: time.Duration(req.GetIntervalMs()) * time.Millisecond, Wait: time.Duration(req.GetWaitMs()) * time.Millisecond,
	}
	for _, text := range req.GetSegments() {
		sid, err := address(text)
		if err != nil {
			return nil, s.statusOf(err)
		}
		ask.Segments = append(ask.Segments, sid)
	}
	if text := req.GetSource(); text != "" {
		var err error
		if ask.Source, err = netip.ParseAddr(text); err != nil || ask.Source.Zone() != "" {
			return nil, s.statusOf(&operation.InvalidError{What: "source " + text + ": it is not an IP address"})
		}
	}
	if !s.seesInstance(s.sets.View(ctx), ask.Instance) {
		return nil, s.statusOf(unseen())
	}
	answer, err := s.agent.Ping(ctx, ask)
	if err != nil {
		return nil, s.statusOf(err)
	}
	resp := &hpb.PingResponse{Source: answer.Source.String()}
	if answer.Home.IsValid() {
		resp.Home = answer.Home.String()
	}
	for _, h := range answer.Hops {
		resp.Hops = append(resp.Hops, &hpb.PingHop{
			Segment: h.Segment.String(), Sent: uint32(h.Sent), Received: uint32(h.Received), Unable: h.Unable, Hint: h.Hint,
			MinNs: uint64(h.Min), AvgNs: uint64(h.Avg), MaxNs: uint64(h.Max),
		})
	}
	return resp, nil
}

// Children implements heddle.v1.Heddle.
func (s *Server) Children(_ context.Context, req *hpb.ChildrenRequest) (*hpb.ChildrenResponse, error) {
	nodes, err := s.agent.Children(req.GetPath())
	if err != nil {
		return nil, s.statusOf(err)
	}
	resp := &hpb.ChildrenResponse{}
	for _, n := range nodes {
		resp.Nodes = append(resp.Nodes, &hpb.ModelNode{Name: n.Name, Leaf: n.Leaf, Writable: n.Writable, Keys: n.Keys})
	}
	return resp, nil
}
