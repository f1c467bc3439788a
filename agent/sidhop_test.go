package agent

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	addressOf = "/subinterfaces/subinterface[index=0]/ipv6/addresses/address"
	neighbour = srv6 + "/sids/sid[address=2001:db8:1:e0e2::]"
	behind    = srv6 + "/sids/sid[address=2001:db8:1:d6::]"
)

// TestNextHopsOfSIDsFollow is the life of SIDs whose next hops are on links that go
// down and come up, and whose addresses and routes move and go.
func TestNextHopsOfSIDsFollow(t *testing.T) {
	r := newRouter(t)
	for _, pair := range [][2]string{{"e2", "far2"}, {"e3", "far3"}} {
		r.ip("link add " + pair[0] + " type veth peer name " + pair[1])
		for _, l := range pair {
			r.sysctl("net/ipv6/conf/"+l+"/accept_dad", "0")
		}
		r.ip("link set " + pair[1] + " up")
	}
	r.start()
	defer func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	}()
	must := func(updates ...[2]string) {
		t.Helper()
		if err := r.set(updates...); err != nil {
			t.Fatal(err)
		}
	}
	e2, e3 := interfacePath("e2"), interfacePath("e3")
	subnet := `{"config": {"prefix-length": 64}}`
	must(base...)
	must([2]string{e2 + addressOf + "[ip=2001:db8:24::1]", subnet}, [2]string{e3 + "/config", `{"enabled": true}`},
		[2]string{realStatics + "[prefix=2001:db8:b::/48]", `{"next-hops": {"next-hop": [{"index": "0", "config": {"next-hop": "2001:db8:24::2"}}]}}`},
		[2]string{neighbour + "/config", `{"behavior": "END_X", "next-hop": "2001:db8:24::4"}`},
		[2]string{behind + "/config", `{"behavior": "END_DX6", "next-hop": "2001:db8:b::7"}`})
	r.settled()
	running := r.kernel()

	// Its link is set down, and up again.
	must([2]string{e2 + "/config/enabled", "false"})
	r.expectState(neighbour+"/state/programmed", "false")
	r.expectState(neighbour+"/state/programmed-reason", `"interface e2 is disabled"`)
	must([2]string{e2 + "/config/enabled", "true"})
	r.expectState(neighbour+"/state/programmed", "true")
	r.settled()
	r.expectKernel(running)

	// What it depends on goes.
	for _, c := range []struct {
		set   [][2]string
		sid   string
		value string
	}{
		{[][2]string{{e2 + addressOf + "[ip=2001:db8:24::1]", ""}, {realStatics + "[prefix=2001:db8:b::/48]", ""}, {behind, ""}}, neighbour, "2001:db8:24::4"},
		{[][2]string{{realStatics + "[prefix=2001:db8:b::/48]", ""}}, behind, "2001:db8:b::7"},
		{[][2]string{{realStatics + "[prefix=2001:db8:b::7/128]", `{"next-hops": {"next-hop": [{"index": "0", "config": {"next-hop": "DROP"}}]}}`}}, behind, "2001:db8:b::7"},
		{[][2]string{{e3 + addressOf + "[ip=2001:db8:24::4]", subnet}}, neighbour, "2001:db8:24::4"},
	} {
		err := r.set(c.set...)
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), c.sid+"/config/next-hop: value "+c.value) || !strings.Contains(err.Error(), "change or delete the SID") {
			t.Errorf("%v: %v", c.set, err)
		}
		r.expectKernel(running)
	}

	// The subnet moves to another link, and the SID's packets with it.
	must([2]string{e2 + addressOf + "[ip=2001:db8:24::1]", ""}, [2]string{e3 + addressOf + "[ip=2001:db8:24::1]", subnet})
	r.expectState(neighbour+"/state/programmed", "true")
	if way := r.ip("-6 route get 2001:db8:24::4"); !strings.Contains(way, "dev e3") {
		t.Error(way)
	}
	must([2]string{e3 + addressOf + "[ip=2001:db8:24::1]", ""}, [2]string{e2 + addressOf + "[ip=2001:db8:24::1]", subnet})
	r.settled()
	r.expectKernel(running)
}
