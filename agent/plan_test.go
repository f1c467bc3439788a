package agent

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"heddle/agent/datastore"
	hpb "heddle/gen/rpc"
	"heddle/kernel/iproute"
	"heddle/kernel/object"
	"heddle/reconcile"
)

// doneSteps notes the steps that a driver is given to do.
type doneSteps struct {
	reconcile.Driver
	steps []string
}

// Do implements reconcile.Driver.
func (d *doneSteps) Do(ctx context.Context, steps []reconcile.Step) []reconcile.Result {
	for _, s := range steps {
		d.steps = append(d.steps, s.String())
	}
	return d.Driver.Do(ctx, steps)
}

// fakeWords is what commands say of the fake kernel, which has no numbers.
type fakeWords struct{}

func (fakeWords) HopID(_ context.Context, hop string, taken map[uint32]bool) (uint32, bool, error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(hop))
	return h.Sum32(), false, nil
}

func (fakeWords) Likeness(context.Context, object.Link) (net.HardwareAddr, uint32, error) {
	return nil, 0, nil
}

func (fakeWords) GivesBack(context.Context, reconcile.Step) (iproute.GivenBack, error) {
	return iproute.GivenBack{}, nil
}

// commit plans a request and commits it. The plan touches nothing; it has the steps
// that are then done, and is refused in the same words, unless the Set fails when it
// is carried out.
func (p *pipeline) commit(req datastore.Request) error {
	p.t.Helper()
	before, revision := p.fake.Snapshot(), p.agent.store.Snapshot().Revision()
	p.done.steps = nil
	plan, refused := p.agent.Plan(context.Background(), req, nil)
	if d := cmp.Diff(before, p.fake.Snapshot()); d != "" || len(p.done.steps) > 0 || p.agent.store.Snapshot().Revision() != revision {
		p.t.Fatalf("the plan did something: %v\n%s", p.done.steps, d)
	}
	res, err := p.agent.Commit(context.Background(), req)
	p.agent.late.wait() // for the state of a large one
	_, carriedOut := errors.AsType[*reconcile.ApplyError](err)
	_, notStored := errors.AsType[*datastore.PersistError](err)
	switch {
	case carriedOut || notStored:
		return err
	case fmt.Sprint(err) != fmt.Sprint(refused):
		p.t.Fatalf("refused with %v, and the plan with %v", err, refused)
	case err != nil:
		return err
	}
	verbs := []string{"", "add ", "set ", "del "}
	var planned []string
	for _, s := range plan.Steps {
		planned = append(planned, verbs[s.Action]+s.Object)
	}
	if d := cmp.Diff(p.done.steps, planned); d != "" || plan.Difference.Entries != len(res.Changes) {
		p.t.Fatalf("%d entries planned, %d changed; steps (-done +planned):\n%s", plan.Difference.Entries, len(res.Changes), d)
	}
	return nil
}

// plan is the plan of a Set, by the wire.
func (r *router) plan(updates ...[2]string) (*hpb.PlanResponse, []string) {
	r.t.Helper()
	resp, err := r.heddle.Plan(r.t.Context(), &hpb.PlanRequest{What: &hpb.PlanRequest_Set{Set: setRequest(r.t, updates...)}})
	if err != nil {
		r.t.Fatal(err)
	}
	var commands []string
	for _, s := range resp.GetSteps() {
		commands = append(commands, s.GetCommands()...)
	}
	return resp, commands
}

// TestPlan plans on this machine's kernel.
func TestPlan(t *testing.T) {
	r := newRouter(t)
	r.start()
	before := r.kernel()
	resp, commands := r.plan(base...)
	if resp.GetRevision() != 0 || resp.GetChangedEntries() == 0 {
		t.Errorf("revision %d, %d entries", resp.GetRevision(), resp.GetChangedEntries())
	}
	for _, want := range []string{
		"ip link set dev e1 mtu 1600 up",
		"ip address add 2001:db8:13::1/64 dev e1",
		"sysctl -w net.ipv6.conf.all.forwarding=1",
		"ip sr tunsrc set 2001:db8:1::1",
		"ip -6 route add blackhole 2001:db8:1::/48 metric 4278198272 proto 72",
		"ip -6 route add 2001:db8:1:e001::/128 metric 1024 proto 72 encap seg6local action End.X nh6 2001:db8:13::9 count dev e1",
		"ip -6 route add 2001:db8:5::/48 metric 1024 proto 72 encap seg6 mode encap segs 2001:db8:4::1,2001:db8:4::2 dev e1",
	} {
		if !slices.Contains(commands, want) {
			t.Errorf("no %q in\n%s", want, strings.Join(commands, "\n"))
		}
	}
	for _, s := range resp.GetSteps() {
		if strings.HasPrefix(s.GetObject(), "sid 2001:db8:1:e001::") && (s.GetAction() != hpb.PlanStep_CREATE || s.GetPath() != endXSID) {
			t.Errorf("the step of the SID is %v", s)
		}
	}
	r.expectKernel(before)
	r.expectState("/system/state/config-revision", `"0"`)
	if err := r.set(base...); err != nil {
		t.Fatal(err)
	}

	if resp, _ := r.plan(base...); resp.GetChangedEntries() != 0 || len(resp.GetSteps()) != 0 || resp.GetRevision() != 1 {
		t.Errorf("what is there is planned as %v", resp)
	}
	if resp, _ := r.plan([2]string{endSID + "/config/description", `"a"`}); resp.GetChangedEntries() != 1 || len(resp.GetSteps()) != 0 {
		t.Errorf("a description is planned as %v", resp)
	}
	set := r.kernel()
	_, commands = r.plan([2]string{"/interfaces/interface[name=e1]/config/mtu", ""}, [2]string{srv6 + "/config/source-address", ""},
		[2]string{endXSID, ""}, [2]string{endSID + "/config", `{"behavior": "END_X", "next-hop": "2001:db8:13::9"}`})
	want := []string{
		"ip link set dev e1 mtu 1500 up",
		"ip -6 route replace 2001:db8:1:e000::/128 metric 1024 proto 72 encap seg6local action End.X nh6 2001:db8:13::9 count dev e1",
		"ip -6 route del 2001:db8:1:e001::/128 metric 1024 proto 72",
		"ip sr tunsrc set ::",
	}
	if d := cmp.Diff(want, commands); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	r.expectKernel(set)

	for _, req := range []*hpb.PlanRequest{{}, {What: &hpb.PlanRequest_Set{Set: &gpb.SetRequest{}}}} {
		if resp, err := r.heddle.Plan(t.Context(), req); err != nil || resp.GetChangedEntries() != 0 {
			t.Errorf("nothing is planned as %v, %v", resp, err)
		}
	}
	bad := &hpb.PlanRequest{What: &hpb.PlanRequest_Set{Set: &gpb.SetRequest{Delete: []*gpb.Path{{Origin: "cli"}}}}}
	if _, err := r.heddle.Plan(t.Context(), bad); status.Code(err) == codes.OK || status.Code(err) == codes.Internal {
		t.Errorf("an origin that is not there: %v", err)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}
