package agent

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	hpb "heddle/gen/rpc"
)

func aboutSID(address string) *hpb.ExplainRequest {
	return &hpb.ExplainRequest{About: &hpb.ExplainRequest_Sid{Sid: address}}
}

func aboutRoute(prefix, instance string) *hpb.ExplainRequest {
	return &hpb.ExplainRequest{About: &hpb.ExplainRequest_Route{Route: &hpb.StaticRoute{Prefix: prefix, NetworkInstance: instance}}}
}

// TestExplain asks about what is there, what somebody else took away and what is not
// there, on this machine's kernel.
func TestExplain(t *testing.T) {
	r := newRouter(t)
	r.drift = DriftReport
	r.start()
	if err := r.set(base...); err != nil {
		t.Fatal(err)
	}
	explain := func(req *hpb.ExplainRequest) *hpb.ExplainResponse {
		t.Helper()
		resp, err := r.heddle.Explain(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	const sid = "sid 2001:db8:1:e001:: action End.X nh6 2001:db8:13::9 dev e1"
	packet := []string{
		"one of its segments left less: the next segment becomes its destination",
		"it is sent to 2001:db8:13::9 by the link on which that is a neighbour",
		"without a segment routing header, or with no segments left, it is dropped",
	}
	want := &hpb.ExplainResponse{Path: endXSID, Programmed: true, Counters: &hpb.SidCounters{},
		Objects: []*hpb.KernelObject{{Wanted: sid, Held: sid, Packet: packet}}}
	if d := cmp.Diff(want, explain(aboutSID("2001:db8:1:e001::")), protocmp.Transform()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}

	r.checkCounters()
	if c := explain(aboutSID("2001:db8:1:e000::")).GetCounters(); c.GetPackets() == 0 {
		t.Errorf("packets were sent, and %v counted", c)
	}
	const route = "route 2001:db8:5::/48 encap seg6 mode encap segs 2001:db8:4::1,2001:db8:4::2 dev e1"
	want = &hpb.ExplainResponse{Path: realStatics + "[prefix=2001:db8:5::/48]", Programmed: true, Objects: []*hpb.KernelObject{{
		Wanted: route, Held: route, Packet: []string{
			"it is put into an IPv6 packet by 2001:db8:4::1, then 2001:db8:4::2",
			"the outer packet is looked up by the first segment in table 254 (main)",
		}}}}
	for _, instance := range []string{"", "DEFAULT"} {
		if d := cmp.Diff(want, explain(aboutRoute("2001:db8:5::/48", instance)), protocmp.Transform()); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	}

	// Somebody else takes it away, and has a route in its place.
	r.ip("-6 route del 2001:db8:1:e001::/128")
	if e := explain(aboutSID("2001:db8:1:e001::")); e.GetProgrammed() || e.GetReason() == "" || e.GetObjects()[0].GetHeld() != "" || e.GetObjects()[0].GetPacket() != nil {
		t.Errorf("a SID that was deleted is explained as %v", e)
	}
	r.ip("-6 route add blackhole 2001:db8:1:e001::/128 proto static metric 1024")
	if e := explain(aboutSID("2001:db8:1:e001::")); e.GetProgrammed() || !strings.Contains(e.GetObjects()[0].GetHeld(), "blackhole") ||
		!cmp.Equal(e.GetObjects()[0].GetPacket(), []string{"it is dropped in silence"}) {
		t.Errorf("a SID with a route in its place is explained as %v", e)
	}
	r.ip("-6 route add 2001:db8:9::9/128 dev far proto static metric 1024")

	for _, c := range []struct {
		req  *hpb.ExplainRequest
		code codes.Code
		says string
	}{
		{aboutSID("2001:db8:1::77"), codes.NotFound, "SID 2001:db8:1::77 is not configured; packets to it are dropped by route blackhole 2001:db8:1::/48 metric 4278198272 (" + srv6 + "/locators/locator[name=main])"},
		{aboutSID("2001:db8:9::9"), codes.NotFound, "SID 2001:db8:9::9 is not configured; packets to it meet route 2001:db8:9::9/128 dev far of protocol static (4)"},
		{aboutSID("2001:db8:77::1"), codes.NotFound, "SID 2001:db8:77::1 is not configured; the kernel has no way to it, or one that rejects"},
		{aboutSID("2001:db8:5::7"), codes.NotFound, "SID 2001:db8:5::7 is not configured; packets to it meet " + route + " (" + realStatics + "[prefix=2001:db8:5::/48])"},
		{aboutSID("192.0.2.1"), codes.InvalidArgument, "SID 192.0.2.1: it is not an IPv6 address"},
		{aboutSID("e1"), codes.InvalidArgument, "SID e1: it is not an IPv6 address"},
		{aboutRoute("2001:db8:77::/48", ""), codes.NotFound, "network instance DEFAULT has no static route to 2001:db8:77::/48"},
		{aboutRoute("2001:db8:77::/48", "red"), codes.NotFound, "network instance red is not configured"},
		{aboutRoute("2001:db8:5::1/48", ""), codes.InvalidArgument, "prefix 2001:db8:5::1/48: bits are set behind its length: use 2001:db8:5::/48"},
		{aboutRoute("default", ""), codes.InvalidArgument, "prefix default: it is not like 192.0.2.0/24 or 2001:db8::/32"},
		{aboutRoute("2001:db8:5::/48", "a]b["), codes.InvalidArgument, "a]b["},
		{&hpb.ExplainRequest{}, codes.InvalidArgument, "what is to be explained is missing: a SID or a route"},
	} {
		_, err := r.heddle.Explain(t.Context(), c.req)
		if st := status.Convert(err); st.Code() != c.code || !strings.Contains(st.Message(), c.says) {
			t.Errorf("%v: %v", c.req, err)
		}
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}
