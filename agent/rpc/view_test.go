package rpc_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"heddle/agent/datastore"
	"heddle/agent/operation"
	"heddle/agent/rpc"
	hpb "heddle/gen/rpc"
	"heddle/schema"
)

const (
	shown  = "/interfaces/interface[name=a]"
	hidden = "/interfaces/interface[name=b]"
)

// agent answers with something of both interfaces, and refuses what has no authority
// but that of the caller.
type agent struct{ want datastore.Authority }

func (a agent) allowed(req datastore.Request) error {
	if req.Authority != a.want {
		return errors.New("the request does not have the caller's authority")
	}
	return nil
}

func both() operation.Difference {
	return operation.Difference{Leaves: []operation.LeafChange{{Path: shown + "/config/mtu", After: "1"}, {Path: hidden + "/config/mtu", After: "2"}}}
}

func (a agent) Plan(_ context.Context, req datastore.Request) (operation.Plan, error) {
	return operation.Plan{Steps: []operation.Step{{Path: shown}, {Path: hidden}, {}}, Difference: both()}, a.allowed(req)
}

func (a agent) Rollback(_ context.Context, req datastore.Request) (operation.Commit, error) {
	return operation.Commit{}, a.allowed(req)
}

func (a agent) History(int) (operation.History, error) {
	return operation.History{Commits: []operation.Commit{{Request: "update " + hidden}}}, nil
}

func (a agent) Diff(uint64, uint64) (operation.Difference, error) { return both(), nil }

func (a agent) Children(string) ([]operation.Node, error) { return nil, nil }

func (a agent) ExplainSID(_ context.Context, sid netip.Addr) (operation.Explanation, error) {
	switch sid.String() {
	case "fc00::a":
		return operation.Explanation{Path: shown}, nil
	case "fc00::b":
		return operation.Explanation{Path: hidden}, nil
	}
	return operation.Explanation{}, &operation.NotFoundError{What: "packets meet " + hidden}
}

func (a agent) ExplainRoute(ctx context.Context, _ string, p netip.Prefix) (operation.Explanation, error) {
	return a.ExplainSID(ctx, p.Addr())
}

func (a agent) Ping(context.Context, operation.PingRequest) (operation.PingAnswer, error) {
	return operation.PingAnswer{}, nil
}

// authority is one that can be told from others.
type authority struct{ datastore.Authority }

// caller is a Sets of somebody who may see interface a and no other entry; nil: all.
type caller struct {
	authority datastore.Authority
	view      schema.View
}

func (c caller) Edits(*gpb.SetRequest) ([]schema.Edit, error)  { return nil, nil }
func (c caller) SetStatus(err error) error                     { return err }
func (c caller) User(context.Context) string                   { return "alice" }
func (c caller) Authority(context.Context) datastore.Authority { return c.authority }
func (c caller) View(context.Context) schema.View              { return c.view }

type onlyShown struct{ key schema.EntryKey }

func (v onlyShown) Entry(k schema.EntryKey) (schema.Extent, func(*schema.Node) bool) {
	if k == v.key {
		return schema.Everything, nil
	}
	return schema.Nothing, nil
}

// What an answer says besides what was asked for is what the caller may see, and what
// changes something goes with the caller's authority.
func TestViewsOfAnswers(t *testing.T) {
	sc, err := schema.Heddle()
	if err != nil {
		t.Fatal(err)
	}
	at, err := sc.ParsePath(shown)
	if err != nil {
		t.Fatal(err)
	}
	mine := &authority{}
	for _, tc := range []struct {
		name  string
		view  schema.View
		steps int
		code  codes.Code
		words string
	}{
		{"sees all", nil, 3, codes.OK, "update " + hidden},
		{"sees one", onlyShown{at.Entry()}, 1, codes.NotFound, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := rpc.New(agent{want: mine}, caller{mine, tc.view}, sc)
			plan, err := s.Plan(t.Context(), &hpb.PlanRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if got := len(plan.GetSteps()); got != tc.steps {
				t.Errorf("%d steps of the plan, want %d", got, tc.steps)
			}
			diff, err := s.Diff(t.Context(), &hpb.DiffRequest{})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range []*hpb.Difference{plan.GetDifference(), diff.GetDifference()} {
				if got, want := len(d.GetLeaves()), min(tc.steps, 2); got != want || d.GetLeaves()[0].GetPath() != shown+"/config/mtu" {
					t.Errorf("the difference is %v, want %d leaves", d, want)
				}
			}
			h, err := s.History(t.Context(), &hpb.HistoryRequest{})
			if err != nil || h.GetCommits()[0].GetRequest() != tc.words {
				t.Errorf("history %v, %v", h, err)
			}
			for sid, code := range map[string]codes.Code{"fc00::a": codes.OK, "fc00::b": tc.code, "fc00::c": codes.NotFound} {
				_, err := s.Explain(t.Context(), &hpb.ExplainRequest{About: &hpb.ExplainRequest_Sid{Sid: sid}})
				if status.Code(err) != code {
					t.Errorf("explain %s: %v, want %v", sid, err, code)
				}
				if code == codes.NotFound && tc.view != nil && status.Convert(err).Message() != "it is not configured, or not for you to see" {
					t.Errorf("explain %s tells: %v", sid, err)
				}
			}
			if _, err := s.Rollback(t.Context(), &hpb.RollbackRequest{}); err != nil {
				t.Error(err)
			}
		})
	}
}
