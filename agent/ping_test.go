package agent

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	hpb "heddle/gen/rpc"
)

// TestPing asks for what cannot be tried, on this machine's kernel: it is refused
// with a remedy and is no loss. The lab has the scenario in which probes come back.
func TestPing(t *testing.T) {
	r := newRouter(t)
	r.start()
	if err := r.set(base...); err != nil {
		t.Fatal(err)
	}
	const own, ownX, other = "2001:db8:1:e000::", "2001:db8:1:e001::", "2001:db8:4::1"
	ask := func(segments ...string) *hpb.PingRequest {
		return &hpb.PingRequest{Segments: segments, Count: 1, IntervalMs: 1, WaitMs: 50}
	}
	with := func(req *hpb.PingRequest, change func(*hpb.PingRequest)) *hpb.PingRequest {
		change(req)
		return req
	}
	for _, c := range []struct {
		req  *hpb.PingRequest
		code codes.Code
		says string
	}{
		{ask(), codes.InvalidArgument, "no segments"},
		{ask("x"), codes.InvalidArgument, "SID x: it is not an IPv6 address"},
		{ask("192.0.2.1"), codes.InvalidArgument, "no IPv6 address that a SID can have"},
		{ask("ff02::1"), codes.InvalidArgument, "no IPv6 address that a SID can have"},
		{ask(strings.Split(strings.Repeat(other+" ", 65), " ")[:65]...), codes.InvalidArgument, "65 segments: name 64 at most"},
		{with(ask(other), func(r *hpb.PingRequest) { r.Count = 1001 }), codes.InvalidArgument, "count 1001: use 1 to 1000"},
		{with(ask(other), func(r *hpb.PingRequest) { r.Count, r.IntervalMs = 1000, 1000 }), codes.InvalidArgument, "more than 1m0s"},
		{with(ask(other), func(r *hpb.PingRequest) { r.IntervalMs = 1 << 31 }), codes.InvalidArgument, "more than 1m0s"},
		{with(ask(other), func(r *hpb.PingRequest) { r.Source = "e1" }), codes.InvalidArgument, "source e1: it is not an IP address"},
		{with(ask(other), func(r *hpb.PingRequest) { r.Source = "192.0.2.1" }), codes.InvalidArgument, "source 192.0.2.1 is not an IPv6 address"},
		{with(ask(other), func(r *hpb.PingRequest) { r.Source = "2001:db8:99::1" }), codes.FailedPrecondition, "say another source"},
		{with(ask(other), func(r *hpb.PingRequest) { r.NetworkInstance = "red" }), codes.NotFound, "network instance red has no VRF in the kernel"},
		{ask(own), codes.FailedPrecondition, "is a SID of this node, which Linux applies to packets that come in only, not to its own: ping it from another node"},
		{ask(other, ownX), codes.FailedPrecondition, "2001:db8:1:e001:: is End.X of this node: the next segment would be this node's own address"},
		{ask("2001:db8:13::1"), codes.FailedPrecondition, "is an address of this node, on e1: name SIDs"},
		{ask("fd00::1"), codes.FailedPrecondition, "this node has no way to fd00::1"},
	} {
		_, err := r.heddle.Ping(t.Context(), c.req)
		if st := status.Convert(err); st.Code() != c.code || !strings.Contains(st.Message(), c.says) {
			t.Errorf("%v: %v", c.req, err)
		}
	}

	// Nobody is there who would send anything back; the list is tried to its end all
	// the same.
	resp, err := r.heddle.Ping(t.Context(), with(ask(other, own, other), func(r *hpb.PingRequest) { r.Each = true }))
	if err != nil {
		t.Fatal(err)
	}
	hops := resp.GetHops()
	if len(hops) != 3 || resp.GetSource() != "2001:db8:13::1" {
		t.Fatalf("the answer is %v", resp)
	}
	for i, sent := range []uint32{1, 0, 1} {
		if h := hops[i]; h.GetSent() != sent || h.GetReceived() != 0 || h.GetHint() == "" || (h.GetUnable() != "") != (sent == 0) {
			t.Errorf("hop %d is %v", i+1, h)
		}
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}
