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

// seen is what an agent finds to be different for those who see everything, and for
// those who do not.
func seen(view schema.View) operation.Difference {
	d := operation.Difference{Leaves: []operation.LeafChange{{Path: shown + "/config/mtu", After: "1"}}, Entries: 1, More: 3}
	if view == nil {
		d.Leaves = append(d.Leaves, operation.LeafChange{Path: hidden + "/config/mtu", After: "2"})
		d.Entries, d.More = 2, 5
	}
	return d
}

func (a agent) Plan(_ context.Context, req datastore.Request, view schema.View) (operation.Plan, error) {
	return operation.Plan{Steps: []operation.Step{{Path: shown}, {Path: hidden}, {}}, Difference: seen(view)}, a.allowed(req)
}

func (a agent) Rollback(_ context.Context, req datastore.Request, view schema.View) (operation.Commit, error) {
	return operation.Commit{Entries: seen(view).Entries}, a.allowed(req)
}

func (a agent) History(int) (operation.History, error) {
	return operation.History{
		Commits: []operation.Commit{
			{Revision: 2, User: "bob", Source: "gnmi", Request: "update " + hidden, Entries: 7, Confirm: "x"},
			{Revision: 1, User: "alice", Source: "gnmi", Request: "update " + shown, Entries: 1},
		},
		Unconfirmed: &operation.Unconfirmed{ID: "x", User: "bob", Before: 1},
	}, nil
}

func (a agent) Diff(_, _ uint64, view schema.View) (operation.Difference, error) {
	return seen(view), nil
}

func (a agent) Lock(_ context.Context, req datastore.LockRequest) (operation.Lock, error) {
	return operation.Lock{}, a.allowed(datastore.Request{Authority: req.Authority})
}

func (a agent) Unlock(_ context.Context, h datastore.Holder, administrator bool) error {
	if h.User != "alice" || administrator {
		return errors.New("it is not the caller who unlocks")
	}
	return nil
}

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
func (c caller) Administrator(context.Context) bool            { return false }
func (c caller) View(context.Context) schema.View              { return c.view }

type onlyShown struct{ key, instance schema.EntryKey }

func (v onlyShown) Entry(k schema.EntryKey) (schema.Extent, func(*schema.Node) bool) {
	if k == v.key || k == v.instance {
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
	var keys []schema.EntryKey
	for _, p := range []string{shown, "/network-instances/network-instance[name=blue]"} {
		at, err := sc.ParsePath(p)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, at.Entry())
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
		{"sees one", onlyShown{keys[0], keys[1]}, 1, codes.NotFound, ""},
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
			for _, d := range []*hpb.Difference{plan.GetDifference(), diff.GetDifference()} {
				if d.GetMore() != uint64(seen(tc.view).More) {
					t.Errorf("%d more leaves", d.GetMore())
				}
			}
			rollback, err := s.Rollback(t.Context(), &hpb.RollbackRequest{})
			if err != nil {
				t.Fatal(err)
			}
			for what, got := range map[string]uint32{"plan": plan.GetChangedEntries(), "rollback": rollback.GetChangedEntries()} {
				if got != uint32(seen(tc.view).Entries) {
					t.Errorf("%s: %d entries", what, got)
				}
			}
			h, err := s.History(t.Context(), &hpb.HistoryRequest{})
			if err != nil {
				t.Fatal(err)
			}
			theirs, own, waits := h.GetCommits()[0], h.GetCommits()[1], h.GetUnconfirmed()
			if theirs.GetRequest() != tc.words || (theirs.GetUser() == "bob") != (tc.view == nil) || (theirs.ChangedEntries != nil) != (tc.view == nil) || (theirs.GetCommitConfirmId() != "") != (tc.view == nil) {
				t.Errorf("a commit of somebody else: %v", theirs)
			}
			if own.GetRequest() != "update "+shown || own.GetChangedEntries() != 1 {
				t.Errorf("the caller's own commit: %v", own)
			}
			if (waits.GetId() != "") != (tc.view == nil) || (waits.GetUser() != "") != (tc.view == nil) || waits.GetBefore() != 1 {
				t.Errorf("what waits: %v", waits)
			}
			for instance, code := range map[string]codes.Code{"blue": codes.OK, "": tc.code, "red": tc.code, "]x[": tc.code} {
				if _, err := s.Ping(t.Context(), &hpb.PingRequest{NetworkInstance: instance}); status.Code(err) != code {
					t.Errorf("ping in %q: %v, want %v", instance, err, code)
				}
			}
			if _, err := s.Lock(t.Context(), &hpb.LockRequest{}); err != nil {
				t.Error(err)
			}
			if _, err := s.Unlock(t.Context(), &hpb.UnlockRequest{}); err != nil {
				t.Error(err)
			}
			if _, err := s.Lock(t.Context(), &hpb.LockRequest{Within: -1}); status.Code(err) != codes.InvalidArgument {
				t.Error(err)
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
		})
	}
}
