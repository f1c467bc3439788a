package agent

import (
	"context"
	"fmt"
	"strings"
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"heddle/reconcile"
)

const newSID = srv6 + "/sids/sid[address=2001:db8:1:bad::]"

// bad is a Set that cannot be done.
type bad struct {
	set  [][2]string
	code codes.Code
	at   string   // the path that the error names
	says []string // the value, the reason and the remedy
}

func badSID(body string, code codes.Code, leaf string, says ...string) bad {
	return bad{[][2]string{{newSID, body}}, code, newSID + leaf, says}
}

// badHop is about next hop 0 of a new static route.
func badHop(prefix, body string, leaf string, says ...string) bad {
	static := realStatics + "[prefix=" + prefix + "]"
	return bad{[][2]string{{static, `{"next-hops": {"next-hop": [{"index": "0", ` + body + `}]}}`}},
		codes.InvalidArgument, static + "/next-hops/next-hop[index=0]" + leaf, says}
}

// badWeight is about that of a segment list of a policy.
func badWeight(weight int) bad {
	policy := srv6 + "/policies/policy[name=p]"
	return bad{[][2]string{
		{srv6 + "/config/sid-interface", ""},
		{srv6 + "/segment-lists/segment-list[name=l]", `{"config": {"segment": ["2001:db8:13::9"]}}`},
		{policy, fmt.Sprintf(`{"candidate-paths": {"candidate-path": [{"name": "c", "segment-lists": {"segment-list": [{"name": "l", "config": {"weight": %d}}]}}]}}`, weight)}},
		codes.InvalidArgument, policy + "/candidate-paths/candidate-path[name=c]/segment-lists/segment-list[name=l]/config/weight",
		[]string{fmt.Sprint("value ", weight), "a weight is 1 to 255", "divide the weights"}}
}

func segments(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`"2001:db8:4::%x"`, i+1)
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func steered(list string) string {
	return `"srv6-encapsulation": {"config": {"segment-list": ` + list + `}}`
}

// badInput is all that is wrong with SRv6 and static routes before the kernel is told
// of it. far3 has no carrier, as e3 at its other end is down. What takes VRFs of the kernel is in the lab's scenario refused.
var badInput = map[string]bad{
	"a flavor of a behaviour that cannot take it": badSID(`{"config": {"behavior": "END_T", "network-instance": "DEFAULT"}, "flavors": {"config": {"flavor": ["PSP"]}}}`,
		codes.InvalidArgument, "/flavors/config/flavor", "value PSP", "Linux does not carry it out for END_T", "delete it"),
	"PSP of END_X": badSID(`{"config": {"behavior": "END_X", "next-hop": "2001:db8:13::9"}, "flavors": {"config": {"flavor": ["PSP"]}}}`,
		codes.InvalidArgument, "/flavors/config/flavor", "value PSP", "Linux does not carry it out for END_X", "use NEXT_CSID"),
	"two flavors of which one is not carried out": badSID(`{"config": {"behavior": "END"}, "flavors": {"config": {"flavor": ["PSP", "NEXT_CSID"]}}}`,
		codes.InvalidArgument, "/flavors/config/flavor", "value PSP", "never takes a header off", "delete one of the two"),
	"lengths of a uSID that are longer than an address": badSID(`{"config": {"behavior": "END"}, "flavors": {"config": {"flavor": ["NEXT_CSID"], "locator-block-length": 120}}}`,
		codes.InvalidArgument, "/flavors/config/locator-node-function-length", "value 16", "longer than an address", "128 bits for both at most"),
	"a length of a uSID that is no octet": badSID(`{"config": {"behavior": "END"}, "flavors": {"config": {"flavor": ["NEXT_CSID"], "locator-block-length": 60}}}`,
		codes.InvalidArgument, "/flavors/config/locator-block-length", "value 60", "Linux shifts octets", "use a multiple of 8"),
	"a uSID with bits in its argument": badSID(`{"config": {"behavior": "END"}, "flavors": {"config": {"flavor": ["NEXT_CSID"], "locator-block-length": 48, "locator-node-function-length": 8}}}`,
		codes.InvalidArgument, "/config/address", "value 2001:db8:1:bad::", "the place of the next SIDs", "use 2001:db8:1:b00::"),

	"End.X without a next hop": badSID(`{"config": {"behavior": "END_X"}}`,
		codes.InvalidArgument, "/config/next-hop", "END_X needs it", "set config/next-hop"),
	"End.X with a next hop off every link": badSID(`{"config": {"behavior": "END_X", "next-hop": "2001:db8:99::1"}}`,
		codes.FailedPrecondition, "", "next hop 2001:db8:99::1", "reached by no route", "configure an address of its subnet on an interface"),
	"End.X with a next hop behind another node": badSID(`{"config": {"behavior": "END_X", "next-hop": "2001:db8:4::1"}}`,
		codes.FailedPrecondition, "", "next hop 2001:db8:4::1 is on no link", "route 2001:db8:4::/48 leads to it by other nodes", "use the address of a neighbour"),
	"End.X with a next hop off the link that it names": badSID(`{"config": {"behavior": "END_X", "next-hop": "2001:db8:13::9", "interface": "far3"}}`,
		codes.InvalidArgument, "/config/next-hop", "value 2001:db8:13::9", "it is on interface e1", "and not on far3", "set config/interface to e1"),
	"End.X with an address of the node itself": badSID(`{"config": {"behavior": "END_X", "next-hop": "2001:db8:13::1"}}`,
		codes.InvalidArgument, "/config/next-hop", "value 2001:db8:13::1", "it is an address of this node", "use that of a neighbour"),

	"DX2 to a device without carrier": badSID(`{"config": {"behavior": "END_DX2", "interface": "far3"}}`,
		codes.FailedPrecondition, "", "link far3 has no carrier", "set up what is at its other end"),
	"DX2 to a device of the wrong kind": badSID(`{"config": {"behavior": "END_DX2", "interface": "lo"}}`,
		codes.FailedPrecondition, "", "link lo is no Ethernet device", "name an Ethernet interface"),

	"more segments than a header holds": badHop("2001:db8:8::/48", steered(segments(128)),
		"/srv6-encapsulation/config/segment-list", "has 128 values", "want at most 127"),
	"more segments than an insertion holds": badHop("2001:db8:8::/48", `"srv6-encapsulation": {"config": {"mode": "H_INSERT", "segment-list": `+segments(127)+`}}`,
		"/srv6-encapsulation/config/segment-list", "127 segments", "holds 126 of this mode", "shorten the list"),
	"more segments than a binding SID holds": badSID(`{"config": {"behavior": "END_B6"}, "policy": {"config": {"segment-list": `+segments(127)+`}}}`,
		codes.InvalidArgument, "/policy/config/segment-list", "127 segments", "holds 126 of this mode", "shorten the list"),
	"a segment list that comes back to a segment": badHop("2001:db8:8::/48", steered(`["2001:db8:4::1", "2001:db8:4::2", "2001:db8:4::1"]`),
		"/srv6-encapsulation/config/segment-list", "2001:db8:4::1", "twice"),
	"a segment list that comes back to its binding SID": badSID(`{"config": {"behavior": "END_B6_ENCAPS"}, "policy": {"config": {"segment-list": ["2001:db8:4::1", "2001:db8:1:bad::"]}}}`,
		codes.InvalidArgument, "/policy/config/segment-list", "value 2001:db8:1:bad::", "it is the SID itself", "leave it out"),

	"a route in the slot of a SID": {[][2]string{{realStatics + "[prefix=2001:db8:1:e000::/128]", `{"next-hops": {"next-hop": [{"index": "0", "config": {"next-hop": "DROP"}}]}}`}},
		codes.InvalidArgument, endSID, []string{realStatics + "[prefix=2001:db8:1:e000::/128]", "2001:db8:1:e000::"}},
	"a binding SID in the slot of a SID": {[][2]string{
		{srv6 + "/config/sid-interface", ""},
		{srv6 + "/segment-lists/segment-list[name=l]", `{"config": {"segment": ["2001:db8:4::1"]}}`},
		{srv6 + "/policies/policy[name=p]", `{"config": {"binding-sid": "2001:db8:1:e000::"}, "candidate-paths": {"candidate-path": [{"name": "c", "segment-lists": {"segment-list": [{"name": "l"}]}}]}}`}},
		codes.InvalidArgument, endSID, []string{srv6 + "/policies/policy[name=p]", "2001:db8:1:e000::"}},

	"a weight of 0": badHop("2001:db8:8::/48", `"config": {"next-hop": "2001:db8:13::9", "wecmp-weight": 0}`,
		"/config/wecmp-weight", "value 0", "1..256"),
	"a weight of 1,000": badHop("2001:db8:8::/48", `"config": {"next-hop": "2001:db8:13::9", "wecmp-weight": 1000}`,
		"/config/wecmp-weight", "value 1000", "1..256"),

	"a policy without a valid path": {[][2]string{
		{srv6 + "/config/sid-interface", ""},
		{srv6 + "/segment-lists/segment-list[name=l]", `{"config": {"segment": ["3fff:4::1"]}}`},
		{srv6 + "/policies/policy[name=p]", `{"candidate-paths": {"candidate-path": [{"name": "c", "segment-lists": {"segment-list": [{"name": "l"}]}}]}}`}},
		codes.InvalidArgument, srv6 + "/policies/policy[name=p]/candidate-paths",
		[]string{"no candidate path is valid", "leads to 3fff:4::1", "configure an address or a static route towards a first segment"}},
	"a policy without a path": {[][2]string{{srv6 + "/config/sid-interface", ""}, {srv6 + "/policies/policy[name=p]", `{"config": {"name": "p"}}`}},
		codes.InvalidArgument, srv6 + "/policies/policy[name=p]/candidate-paths", []string{"needs a valid path", "add a candidate path"}},
	"a weight of 0 of a segment list":     badWeight(0),
	"a weight of 1,000 of a segment list": badWeight(1000),

	"a leak that loops between instances": {[][2]string{
		{instancePath("blue"), `{"config": {"type": "L3VRF"}, "protocols": {"protocol": [{"identifier": "STATIC", "name": "s", "static-routes": {"static": [
			{"prefix": "2001:db8:8::/48", "next-hops": {"next-hop": [{"index": "0", "config": {"network-instance": "DEFAULT"}}]}}]}}]}}`},
		{realStatics + "[prefix=2001:db8:8::/48]", `{"next-hops": {"next-hop": [{"index": "0", "config": {"network-instance": "blue"}}]}}`}},
		codes.InvalidArgument, realStatics + "[prefix=2001:db8:8::/48]/next-hops/next-hop[index=0]/config/network-instance",
		[]string{"value blue", "would go round: DEFAULT to blue to DEFAULT", "delete one of these routes"}},
}

// TestBadInput: each Set is refused whole, the error says path, value and remedy, and
// kernel and configuration are what they were.
func TestBadInput(t *testing.T) {
	r := newRouter(t)
	r.ip("link add e3 type veth peer name far3")
	r.ip("link set far3 up")
	r.start()
	defer func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := r.set(append(base, [2]string{interfacePath("far3") + "/config", `{"enabled": true}`}, [2]string{interfacePath("lo") + "/config", `{"enabled": true}`})...); err != nil {
		t.Fatal(err)
	}
	r.settled()
	unchanged := r.unchanged()
	for name, c := range badInput {
		// Together with something good, which must not happen either.
		err := r.set(append([][2]string{{endXSID + "/config/description", `"half a Set"`}}, c.set...)...)
		if status.Code(err) != c.code {
			t.Errorf("%s: code %s: %v", name, status.Code(err), err)
			continue
		}
		for _, text := range append(c.says, c.at) {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: no %q in %v", name, text, err)
			}
		}
		unchanged(name)
	}
}

// pausing stops between the check of a plan and its first step, once for each gate
// that it gets: it says so there, and waits.
type pausing struct {
	reconcile.Driver
	gates chan chan struct{}
}

func (p pausing) Check(ctx context.Context, steps []reconcile.Step) error {
	err := p.Driver.Check(ctx, steps)
	select {
	case gate := <-p.gates:
		gate <- struct{}{}
		<-gate
	default:
	}
	return err
}

// TestDeviceVanishes: a device that goes between validation and commit fails the Set
// as a whole, and what was done for other devices is undone.
func TestDeviceVanishes(t *testing.T) {
	r := newRouter(t)
	gates := make(chan chan struct{}, 1)
	r.between = func(d reconcile.Driver) reconcile.Driver { return pausing{d, gates} }
	r.start()
	defer func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := r.set(base...); err != nil {
		t.Fatal(err)
	}
	// vanishes does a Set during which e2 goes. Its plan would have it go before.
	vanishes := func(name string, set [][2]string) {
		t.Helper()
		req := setRequest(t, append([][2]string{
			{interfacePath("e1") + addressOf + "[ip=2001:db8:14::1]", `{"config": {"prefix-length": 64}}`},
			{realStatics + "[prefix=2001:db8:9::/48]", `{"next-hops": {"next-hop": [{"index": "0", "config": {"next-hop": "DROP"}}]}}`},
			{endXSID + "/config/behavior", `"END"`}, {endXSID + "/config/next-hop", ""}}, set...)...)
		gate, answer := make(chan struct{}), make(chan error, 1)
		gates <- gate
		go func() {
			_, err := r.client.Set(context.WithoutCancel(t.Context()), req)
			answer <- err
		}()
		<-gate
		r.ip("link del e2")
		gate <- struct{}{}
		err := <-answer
		// Aborted: the event of its end was seen before, so that what needs it is held back.
		if code := status.Code(err); code != codes.FailedPrecondition && code != codes.Aborted || !strings.Contains(err.Error(), "link e2 does not exist: configure it as an interface, create it by other means, or correct the name") {
			t.Errorf("%s: %v", name, err)
		}
	}
	wire := func() {
		r.ip("link add e2 type veth peer name far2")
		for _, l := range []string{"e2", "far2"} {
			r.ip("link set " + l + " up")
		}
	}
	e2 := interfacePath("e2")
	up := [2]string{e2 + "/config", `{"enabled": true}`}
	dx2 := [2]string{newSID, `{"config": {"behavior": "END_DX2", "interface": "e2"}}`}
	route := [2]string{realStatics + "[prefix=2001:db8:8::/48]", `{"next-hops": {"next-hop": [{"index": "0", "interface-ref": {"config": {"interface": "e2"}}}]}}`}
	for name, set := range map[string][][2]string{
		"an address": {{e2 + addressOf + "[ip=2001:db8:24::1]", `{"config": {"prefix-length": 64}}`}},
		"a setting":  {{e2 + "/config", `{"mtu": 1400}`}},
		"DX2":        {up, dx2},
		"a route":    {up, route},
	} {
		unchanged := r.unchanged()
		wire()
		vanishes(name, set)
		unchanged(name)
	}
	// One that was configured before.
	before := r.kernel()
	for name, set := range map[string][2]string{"DX2": dx2, "a route": route, "an address": {e2 + addressOf + "[ip=2001:db8:24::1]", `{"config": {"prefix-length": 64}}`}} {
		wire()
		if err := r.set(up); err != nil {
			t.Fatal(err)
		}
		config := r.get("/", gpb.GetRequest_CONFIG)
		vanishes(name+" of a configured one", [][2]string{set})
		if got := r.get("/", gpb.GetRequest_CONFIG); got != config {
			t.Errorf("%s: the configuration is %s, was %s", name, got, config)
		}
		r.expectKernel(before)
		if err := r.set([2]string{e2, ""}); err != nil {
			t.Fatal(err)
		}
	}
}
