package agent

import (
	"testing"

	hpb "heddle/gen/rpc"
)

// TestRollbackOfKernel goes back on this machine's kernel, over the wire, also in
// another life of the agent.
func TestRollbackOfKernel(t *testing.T) {
	r := newRouter(t)
	r.start()
	before := r.kernel()
	if err := r.set(base...); err != nil {
		t.Fatal(err)
	}
	set := r.kernel()
	if err := r.set([2]string{endXSID, ""}, [2]string{"/interfaces/interface[name=e1]/config/mtu", "1400"}); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r.start()
	h, err := r.heddle.History(t.Context(), &hpb.HistoryRequest{})
	if err != nil || len(h.GetCommits()) != 2 || h.GetCommits()[0].GetSource() != "gnmi" || h.GetCommits()[0].GetRequest() == "" || !h.GetCommits()[1].GetReachable() {
		t.Errorf("%v, %v", h, err)
	}
	d, err := r.heddle.Diff(t.Context(), &hpb.DiffRequest{From: 2, To: 1})
	if err != nil || len(d.GetDifference().GetLeaves()) < 3 {
		t.Errorf("%v, %v", d, err)
	}
	back := func(revision uint64, want string) {
		t.Helper()
		req := &hpb.RollbackRequest{Revision: revision}
		plan, err := r.heddle.Plan(t.Context(), &hpb.PlanRequest{What: &hpb.PlanRequest_Rollback{Rollback: req}})
		if err != nil || len(plan.GetSteps()) == 0 {
			t.Errorf("plan: %v, %v", plan, err)
		}
		resp, err := r.heddle.Rollback(t.Context(), req)
		if err != nil || resp.GetChangedEntries() != plan.GetChangedEntries() {
			t.Fatalf("%v, %v", resp, err)
		}
		r.expectKernel(want)
	}
	back(1, set)
	back(0, before)
	if _, err := r.heddle.Rollback(t.Context(), &hpb.RollbackRequest{Revision: 99}); err == nil {
		t.Error("back to what is still to come")
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}
