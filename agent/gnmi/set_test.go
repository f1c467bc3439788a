package gnmi_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"heddle/agent/gnmi"
)

func orderOfOperations(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	// delete, replace, update; several of one path in their order.
	tg.mustSet(
		update(ifA+"/config/description", `"first"`),
		update(ifA+"/config/description", `"second"`),
		replace(ifA+"/config", `{"name":"a","mtu":9000}`),
		del(ifA),
	)
	sameJSON(t, tg.config(ifA+"/config"), `{"heddle-interfaces:name":"a","heddle-interfaces:mtu":9000,"heddle-interfaces:description":"second","heddle-interfaces:enabled":true}`)
}

func emptySet(t *testing.T) {
	tg := start(t, nil)
	calls := tg.applier.calls()
	before := time.Now().UnixNano()
	resp := tg.mustSet()
	if resp.GetTimestamp() < before || len(resp.GetResponse()) != 0 {
		t.Errorf("response %v", resp)
	}
	if tg.applier.calls() != calls {
		t.Error("an empty Set reached the kernel")
	}
}

// refusals runs the Sets that one line of the check-list refuses, "" for all: each
// leaves everything as it was.
func refusals(line string) func(*testing.T) {
	return func(t *testing.T) { refusedSets(t, line) }
}

func refusedSets(t *testing.T, line string) {
	tg := start(t, nil)
	seed(tg)
	before := tg.config("/")
	calls := tg.applier.calls()
	tests := []struct {
		name string
		bad  op
		code codes.Code
		text []string
	}{
		{"39 unknown path", update("/interfaces/interface[name=c]/config/speed", `1`), codes.NotFound, []string{"speed"}},
		{"39 unknown top", update("/bridges", `{}`), codes.NotFound, []string{"bridges"}},
		{"39 wrong type", update(ifA+"/config/mtu", `"big"`), codes.InvalidArgument, []string{ifA + "/config/mtu", "big"}},
		{"39 out of range", update(ifA+"/config/mtu", `70000`), codes.InvalidArgument, []string{ifA + "/config/mtu", "70000"}},
		{"39 range of a scalar", leaf(ifA+"/config/mtu", uintVal(70000)), codes.InvalidArgument, []string{ifA + "/config/mtu"}},
		{"39 type of a scalar", leaf(ifA+"/config/mtu", boolVal(true)), codes.InvalidArgument, []string{ifA + "/config/mtu"}},
		{"39 IPv4 in a segment list", update(static+"/static[prefix=2001:db8:1::/48]/next-hops/next-hop[index=1]/srv6-encapsulation/config/segment-list", `["192.0.2.1"]`), codes.InvalidArgument, []string{"192.0.2.1"}},
		{"39 unknown identity", update(srv6+"/sids/sid[address=2001:db8::1]/config/behavior", `"END_NOWHERE"`), codes.InvalidArgument, []string{"END_NOWHERE"}},
		{"39 broken JSON", update(ifA+"/config", `{"mtu":`), codes.InvalidArgument, []string{ifA}},
		{"39 no JSON", update(ifA+"/config", ``), codes.InvalidArgument, []string{ifA}},
		{"40 state", update("/interfaces/interface[name=a]/state/mtu", `1`), codes.InvalidArgument, []string{"state"}},
		{"40 unknown member", update(ifA+"/config", `{"name":"a","speed":1}`), codes.InvalidArgument, []string{"speed"}},
		{"40 delete of state", del("/interfaces/interface[name=a]/state"), codes.InvalidArgument, []string{"state"}},
		{"37 entry replaced with {}", replace(ifA, `{}`), codes.InvalidArgument, []string{ifA}},
		{"37 leaf without value", op{"replace", ifA + "/config/mtu", nil}, codes.InvalidArgument, []string{ifA + "/config/mtu"}},
		{"37 leaf null", replace(ifA+"/config/mtu", `null`), codes.InvalidArgument, []string{ifA + "/config/mtu"}},
		{"38 keys missing", update("/interfaces/interface/config/mtu", `1500`), codes.InvalidArgument, []string{"name"}},
		{"38 wildcard", update("/interfaces/interface[name=*]/config/mtu", `1500`), codes.InvalidArgument, []string{"*"}},
		{"38 part of the keys", update("/network-instances/network-instance[name=DEFAULT]/protocols/protocol[name=s]/config", `{"enabled":true}`), codes.InvalidArgument, []string{"identifier"}},
		{"38 key unlike its leaf", update(ifA+"/config/name", `"b"`), codes.InvalidArgument, []string{"name"}},
		{"38 key unlike its leaf in JSON", update(ifA, `{"config":{"name":"b"}}`), codes.InvalidArgument, []string{"name"}},
		{"15 wrong key", update("/interfaces/interface[id=a]/config/mtu", `1500`), codes.InvalidArgument, []string{"id"}},
		{"41 ASCII", leaf(ifA+"/config/mtu", &gpb.TypedValue{Value: &gpb.TypedValue_AsciiVal{AsciiVal: "1500"}}), codes.Unimplemented, []string{"ASCII"}},
		{"41 proto_bytes", leaf(ifA+"/config/mtu", &gpb.TypedValue{Value: &gpb.TypedValue_ProtoBytes{}}), codes.Unimplemented, []string{"proto_bytes"}},
		{"reference to nothing", update(srv6+"/sids/sid[address=2001:db8::9]/config", `{"address":"2001:db8::9","behavior":"END_DT4","network-instance":"blue","standalone":true}`), codes.InvalidArgument, []string{"blue"}},
	}
	for _, tc := range tests {
		if !ofLine(tc.name, line) {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			_, err := tg.set(update(ifA+"/config/description", `"changed"`), del(ifB), tc.bad)
			wantCode(t, err, tc.code)
			for _, text := range tc.text {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("error %v does not say %q", err, text)
				}
			}
			if after := tg.config("/"); after != before {
				t.Errorf("before %s\nafter  %s", before, after)
			}
		})
	}
	if tg.applier.calls() != calls {
		t.Error("an invalid Set reached the kernel")
	}
}

func kernelRefuses(t *testing.T) {
	var kind gnmi.FailureKind
	tg := start(t, func(c *gnmi.Config) []net.Listener {
		c.Classify = func(error) gnmi.Failure {
			return gnmi.Failure{Kind: kind, Path: ifA, Remedy: "take another name"}
		}
		return nil
	})
	seed(tg)
	before := tg.config("/")
	tg.applier.fail(errors.New("create link a: File exists"))
	for k, want := range map[gnmi.FailureKind]codes.Code{
		gnmi.Refused:     codes.Aborted,
		gnmi.Unsupported: codes.FailedPrecondition,
		gnmi.Conflict:    codes.FailedPrecondition,
		gnmi.Missing:     codes.FailedPrecondition,
		gnmi.Invalid:     codes.InvalidArgument,
		gnmi.Incomplete:  codes.Internal,
	} {
		kind = k
		_, err := tg.set(update(ifA+"/config/mtu", `1500`))
		wantCode(t, err, want)
		if err == nil {
			continue
		}
		if !strings.Contains(err.Error(), "File exists") {
			t.Errorf("error %q lacks the kernel's words", err)
		}
		info := detail[*errdetails.ErrorInfo](err)
		if info.GetMetadata()["path"] != ifA || info.GetMetadata()["remedy"] != "take another name" {
			t.Errorf("details %v", info)
		}
	}
	if after := tg.config("/"); after != before {
		t.Errorf("before %s\nafter  %s", before, after)
	}
	tg.applier.fail(syscall.ENOSPC)
	kind = gnmi.Refused
	_, err := tg.set(update(ifA+"/config/mtu", `1500`))
	wantCode(t, err, codes.Aborted)
	tg.applier.fail(nil)
	tg.mustSet(update(ifA+"/config/mtu", `1500`))
}

// detail finds a detail of a status.
func detail[T any](err error) (none T) {
	for _, d := range status.Convert(err).Details() {
		if t, ok := d.(T); ok {
			return t
		}
	}
	return none
}

func TestErrorDetails(t *testing.T) {
	tg := start(t, nil)
	_, err := tg.set(update("/interfaces/interface[name=a]/config/mtu", `70000`))
	wantCode(t, err, codes.InvalidArgument)
	v := detail[*errdetails.BadRequest](err).GetFieldViolations()
	if len(v) == 0 || v[0].GetField() != ifA+"/config/mtu" || v[0].GetDescription() == "" {
		t.Errorf("details %v", v)
	}
}

// All mistakes are named at once, up to a bound.
func TestManyErrors(t *testing.T) {
	tg := start(t, nil)
	var ops []op
	for i := range 6 {
		ops = append(ops, update(fmt.Sprintf("/interfaces/interface[name=e%d]/config/mtu", i), fmt.Sprint(70000+i)))
	}
	_, err := tg.set(ops...)
	wantCode(t, err, codes.InvalidArgument)
	for i := range 6 {
		for _, want := range []string{fmt.Sprintf("[name=e%d]/config/mtu", i), fmt.Sprint(70000 + i)} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v does not say %q", err, want)
			}
		}
	}
	if v := detail[*errdetails.BadRequest](err).GetFieldViolations(); len(v) != 6 {
		t.Errorf("%d violations in the details", len(v))
	}
}

// A status fits into the trailers that clients take, whatever is in it.
func TestErrorsAreShort(t *testing.T) {
	tg := start(t, nil)
	long := strings.Repeat("x", 100_000)
	var many []op
	for i := range 50 {
		many = append(many, update(fmt.Sprintf("/interfaces/interface[name=e%d]/config/mtu", i), `"`+strings.Repeat("\u00e9", 500)+`"`))
	}
	for name, ops := range map[string][]op{
		"path":   {update("/interfaces/"+long, `1`)},
		"key":    {update("/interfaces/interface[name="+long+"]/config/mtu", `1500`)},
		"value":  {update(ifA+"/config/mtu", `"`+long+`"`)},
		"member": {update(ifA+"/config", `{"`+long+`":1}`)},
		"many":   many,
		"binary": {update(ifA+"/config/mtu", "\"\xff\xfe\"")},
	} {
		_, err := tg.set(ops...)
		st := status.Convert(err)
		if st.Code() == codes.OK || st.Code() == codes.Internal || proto.Size(st.Proto()) > 6000 {
			t.Errorf("%s: %v, %d octets: %.200s", name, st.Code(), proto.Size(st.Proto()), st.Message())
		}
	}
}

func results(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	before := time.Now().UnixNano()
	resp := tg.mustSet(
		update(ifA+"/config/mtu", `1300`),
		replace(ifB+"/config/description", `"b"`),
		del(ifA+"/config/description"),
		del(ifA+"/config/description"),
	)
	want := []struct {
		op   gpb.UpdateResult_Operation
		path string
	}{
		{gpb.UpdateResult_DELETE, ifA + "/config/description"},
		{gpb.UpdateResult_DELETE, ifA + "/config/description"},
		{gpb.UpdateResult_REPLACE, ifB + "/config/description"},
		{gpb.UpdateResult_UPDATE, ifA + "/config/mtu"},
	}
	if len(resp.GetResponse()) != len(want) {
		t.Fatalf("results %v", resp.GetResponse())
	}
	for i, w := range want {
		if r := resp.GetResponse()[i]; r.GetOp() != w.op || flat(nil, r.GetPath()) != w.path {
			t.Errorf("result %d: %v, want %v", i, r, w)
		}
	}
	if ts := resp.GetTimestamp(); ts < before || ts > time.Now().UnixNano() {
		t.Errorf("timestamp %d", ts)
	}
}

// setCases runs the Sets that one line of the check-list is about.
func setCases(line string) func(*testing.T) {
	return func(t *testing.T) { setSemantics(t, line) }
}

func setSemantics(t *testing.T, line string) {
	type step struct {
		name string
		ops  []op
		path string
		want string
	}
	tests := []step{
		{"32 delete of what is not there", []op{del("/interfaces/interface[name=none]"), del(ifA + "/config/type")}, ifB + "/config/name", `"b"`},
		{"33 delete with a wildcard", []op{del("/interfaces/interface[name=*]/config/description")}, ifA + "/config/description", ``},
		{"33 delete with a key left out", []op{del("/interfaces/interface")}, "/interfaces", ``},
		{"33 delete of a subtree", []op{del("/network-instances/network-instance[name=DEFAULT]/protocols")}, static, ``},
		{"33 delete of the root", []op{del("/")}, "/network-instances", ``},
		{"34 replace of a container", []op{replace(ifA+"/config", `{"name":"a"}`)}, ifA + "/config", `{"heddle-interfaces:name":"a","heddle-interfaces:enabled":true}`},
		{"34 default comes back", []op{replace(ifB+"/config", `{"name":"b"}`)}, ifB + "/config/enabled", `true`},
		{"35 replace of a list", []op{replace("/interfaces", `{"interface":[{"name":"b","config":{"name":"b"}}]}`)}, ifA, ``},
		{"35 update of a list", []op{update("/interfaces", `{"interface":[{"name":"c","config":{"name":"c"}}]}`)}, ifA + "/config/mtu", `1400`},
		{"36 update keeps", []op{update(ifA+"/config", `{"mtu":1300}`)}, ifA + "/config/description", `"to b"`},
		{"decision 1: update of a leaf-list merges", []op{
			update(static+"/static[prefix=2001:db8:1::/48]/next-hops/next-hop[index=1]/srv6-encapsulation/config/segment-list", `["2001:db8::5"]`),
			update(static+"/static[prefix=2001:db8:1::/48]/next-hops/next-hop[index=1]/srv6-encapsulation/config/segment-list", `["2001:db8::6"]`),
		}, static + "/static[prefix=2001:db8:1::/48]/next-hops/next-hop[index=1]/srv6-encapsulation/config/segment-list", `["2001:db8::5","2001:db8::6"]`},
		{"decision 9: prefix in names of a public model", []op{update("/openconfig-interfaces:interfaces/interface[name=a]/openconfig-interfaces:config", `{"openconfig-interfaces:mtu":1234}`)}, ifA + "/config/mtu", `1234`},
	}
	for _, tc := range tests {
		if !ofLine(tc.name, line) {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			tg := start(t, nil)
			seed(tg)
			tg.mustSet(tc.ops...)
			got := tg.config(tc.path)
			if tc.want == "" || got == "" {
				if got != tc.want {
					t.Errorf("got %q, want %q", got, tc.want)
				}
				return
			}
			sameJSON(t, got, tc.want)
		})
	}
}

func severalOrigins(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	// Both names of the one tree in one Set.
	req := tg.request(update(ifA+"/config/mtu", `1301`), update(ifB+"/config/mtu", `1302`))
	req.Update[0].Path.Origin = "openconfig"
	_, err := tg.client.Set(t.Context(), req)
	must(t, err)
	if a, b := tg.config(ifA+"/config/mtu"), tg.config(ifB+"/config/mtu"); a != "1301" || b != "1302" {
		t.Errorf("mtu %s and %s", a, b)
	}
	req = tg.request(update(ifA+"/config/mtu", `1400`))
	req.Update[0].Path.Origin = "cli"
	_, err = tg.client.Set(t.Context(), req)
	wantCode(t, err, codes.InvalidArgument)
	union := tg.request(update(ifA+"/config/mtu", `1400`))
	union.UnionReplace = union.GetUpdate()
	_, err = tg.client.Set(t.Context(), union)
	wantCode(t, err, codes.InvalidArgument)
	if a := tg.config(ifA + "/config/mtu"); a != "1301" {
		t.Errorf("mtu %s after refused Sets", a)
	}
}

func rootRoundTrip(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	root := tg.config("/")
	l := tg.subscribe(list(gpb.SubscriptionList_STREAM, onChange(t, "/")))
	l.sync()
	// Get shows defaults that nobody set: to set them is to change nothing.
	calls, revision := tg.applier.calls(), tg.store.Snapshot().Revision()
	unchanged := func(what string) {
		t.Helper()
		if c, r := tg.applier.calls(), tg.store.Snapshot().Revision(); c != calls || r != revision {
			t.Errorf("%s: revision %d and %d calls, before %d and %d", what, r, c, revision, calls)
		}
	}
	tg.mustSet(replace("/", root))
	unchanged("the root replaced with itself")
	if after := tg.config("/"); after != root {
		t.Errorf("before %s\nafter  %s", root, after)
	}
	// Subscribers see no change: the next thing they hear of is another one.
	tg.mustSet(update(ifA+"/config/mtu", `1401`))
	equal(t, l.next(), ifA+"/config/mtu=1401")
	tg.mustSet(update(ifA+"/config/mtu", `1400`))
	calls, revision = tg.applier.calls(), tg.store.Snapshot().Revision()
	// Its leaf-level PROTO form says the same.
	resp, err := tg.client.Get(t.Context(), getRequest(t, gpb.Encoding_PROTO, gpb.GetRequest_CONFIG, "/"))
	must(t, err)
	req := &gpb.SetRequest{Delete: []*gpb.Path{{}}}
	for _, u := range resp.GetNotification()[0].GetUpdate() {
		req.Update = append(req.Update, &gpb.Update{Path: u.GetPath(), Val: u.GetVal()})
	}
	_, err = tg.client.Set(t.Context(), req)
	must(t, err)
	unchanged("the leaves laid over nothing")
	sameJSON(t, tg.config("/"), root)
}

// To set a leaf to its default is to delete it: the same revision if it was not
// set, and otherwise subscribers are told the default.
func backToDefault(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	l := tg.subscribe(list(gpb.SubscriptionList_STREAM, onChange(t, ifA+"/config/enabled")))
	l.sync()
	revision := tg.store.Snapshot().Revision()
	tg.mustSet(update(ifA+"/config/enabled", `true`))
	tg.mustSet(replace(ifA+"/config/enabled", `true`))
	if got := tg.store.Snapshot().Revision(); got != revision {
		t.Errorf("revision %d, before %d", got, revision)
	}
	for _, back := range []op{update(ifA+"/config/enabled", `true`), replace(ifA+"/config/enabled", `true`), del(ifA + "/config/enabled")} {
		tg.mustSet(update(ifA+"/config/enabled", `false`))
		equal(t, l.next(), ifA+"/config/enabled=false")
		tg.mustSet(back)
		equal(t, l.next(), ifA+"/config/enabled=true")
		if got := tg.config(ifA + "/config/enabled"); got != "true" {
			t.Errorf("%s: enabled is %q", back.kind, got)
		}
	}
}

// Two interfaces swap an address in one Set, whatever the order on the wire.
func addressSwap(t *testing.T) {
	tg := start(t, nil)
	at := func(name, ip string) string {
		return "/interfaces/interface[name=" + name + "]/subinterfaces/subinterface[index=0]/ipv4/addresses/address[ip=" + ip + "]"
	}
	with := func(ip string) string { return fmt.Sprintf(`{"config":{"ip":%q,"prefix-length":24}}`, ip) }
	tg.mustSet(update(ifA+"/config/name", `"a"`), update(ifB+"/config/name", `"b"`), update(at("a", "192.0.2.1"), with("192.0.2.1")), update(at("b", "192.0.2.2"), with("192.0.2.2")))
	tg.mustSet(update(at("a", "192.0.2.2"), with("192.0.2.2")), del(at("b", "192.0.2.2")), update(at("b", "192.0.2.1"), with("192.0.2.1")), del(at("a", "192.0.2.1")))
	for _, p := range []string{at("a", "192.0.2.2"), at("b", "192.0.2.1")} {
		if tg.config(p) == "" {
			t.Errorf("%s is not there", p)
		}
	}
	for _, p := range []string{at("a", "192.0.2.1"), at("b", "192.0.2.2")} {
		if tg.config(p) != "" {
			t.Errorf("%s is still there", p)
		}
	}
}

func TestScalars(t *testing.T) {
	tests := []struct {
		path string
		val  *gpb.TypedValue
		want string
	}{
		{ifA + "/config/mtu", uintVal(1280), `1280`},
		{ifA + "/config/mtu", &gpb.TypedValue{Value: &gpb.TypedValue_IntVal{IntVal: 1281}}, `1281`},
		{ifA + "/config/enabled", boolVal(false), `false`},
		{ifA + "/config/description", stringVal("x"), `"x"`},
		{ifA + "/config/type", stringVal("DUMMY"), `"heddle-interface-types:DUMMY"`},
		{static + "/static[prefix=2001:db8:1::/48]/next-hops/next-hop[index=1]/config/next-hop", stringVal("DROP"), `"DROP"`},
		{ifA + "/config/mtu", &gpb.TypedValue{Value: &gpb.TypedValue_JsonVal{JsonVal: []byte("1282")}}, `1282`},
	}
	for _, tc := range tests {
		tg := start(t, nil)
		seed(tg)
		tg.mustSet(leaf(tc.path, tc.val))
		if got := tg.config(tc.path); !strings.HasSuffix(strings.Trim(got, `"`), strings.Trim(tc.want, `"`)) {
			t.Errorf("%s: %v became %s, want %s", tc.path, tc.val, got, tc.want)
		}
	}
}
