package gnmi_test

//lint:file-ignore SA1019 what gNMI gave up is refused by name.

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"heddle/kernel/object"
)

const (
	ifA    = "/interfaces/interface[name=a]"
	ifB    = "/interfaces/interface[name=b]"
	srv6   = "/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6"
	static = "/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=s]/static-routes"
)

// seed configures two interfaces, a SID and a route.
func seed(tg *target) {
	tg.t.Helper()
	tg.mustSet(
		update(ifA, `{"config":{"name":"a","mtu":1400,"description":"to b"}}`),
		update(ifB, `{"config":{"name":"b","enabled":false}}`),
		update(srv6+"/sids/sid[address=2001:db8::1]", `{"config":{"address":"2001:db8::1","behavior":"heddle-srv6:END","standalone":true}}`),
		update(static+"/static[prefix=2001:db8:1::/48]", `{"config":{"prefix":"2001:db8:1::/48"},"next-hops":{"next-hop":[{"index":"1","config":{"index":"1","next-hop":"2001:db8::2","metric":5}}]}}`),
	)
}

func getRequest(t testing.TB, enc gpb.Encoding, kind gpb.GetRequest_DataType, paths ...string) *gpb.GetRequest {
	req := &gpb.GetRequest{Encoding: enc, Type: kind}
	for _, p := range paths {
		req.Path = append(req.Path, path(t, p))
	}
	return req
}

// pathCases runs the cases about paths of one line of the check-list.
func pathCases(line string) func(*testing.T) {
	return func(t *testing.T) { paths(t, line) }
}

func paths(t *testing.T, line string) {
	tg := start(t, nil)
	seed(tg)
	with := func(change func(*gpb.GetRequest)) *gpb.GetRequest {
		req := getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_CONFIG, ifA+"/config/mtu")
		change(req)
		return req
	}
	tests := []struct {
		name string
		req  *gpb.GetRequest
		code codes.Code
		want string // paths of the updates
		text string // in the error
	}{
		{name: "006 root", req: getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_CONFIG, "/"), want: "/"},
		{name: "007 prefix and path", req: with(func(r *gpb.GetRequest) {
			r.Prefix, r.Path[0] = path(t, ifA), path(t, "/config/mtu")
		}), want: ifA + "/config/mtu"},
		{name: "009 origin twice", req: with(func(r *gpb.GetRequest) {
			r.Prefix, r.Path[0].Origin = &gpb.Path{Origin: "openconfig"}, "openconfig"
		}), code: codes.InvalidArgument, text: "origin"},
		{name: "010 origin in path", req: with(func(r *gpb.GetRequest) { r.Path[0].Origin = "openconfig" }), want: ifA + "/config/mtu"},
		{name: "010 origin in prefix", req: with(func(r *gpb.GetRequest) { r.Prefix = &gpb.Path{Origin: "openconfig"} }), want: ifA + "/config/mtu"},
		{name: "011 unknown origin", req: with(func(r *gpb.GetRequest) { r.Path[0].Origin = "native" }), code: codes.InvalidArgument, text: `"native"`},
		{name: "011 unknown origin in prefix", req: with(func(r *gpb.GetRequest) { r.Prefix = &gpb.Path{Origin: "native"} }), code: codes.InvalidArgument, text: `"native"`},
		{name: "012 omitted key", req: getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_CONFIG, "/interfaces/interface/config/name"), want: ifA + "/config/name " + ifB + "/config/name"},
		{name: "012 wildcard key", req: getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_CONFIG, "/interfaces/interface[name=*]/config/name"), want: ifA + "/config/name " + ifB + "/config/name"},
		{name: "012 one level", req: getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_CONFIG, "/interfaces/interface[name=a]/*/mtu"), want: ifA + "/config/mtu"},
		{name: "012 many levels", req: getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_CONFIG, "/.../metric"), want: static + "/static[prefix=2001:db8:1::/48]/next-hops/next-hop[index=1]/config/metric"},
		{name: "014 prefix as key", req: getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_CONFIG, static+"/static[prefix=2001:db8:1::/48]/config/prefix"), want: static + "/static[prefix=2001:db8:1::/48]/config/prefix"},
		{name: "014 address in another form", req: getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_CONFIG, srv6+"/sids/sid[address=2001:DB8:0::1]/config/behavior"), want: srv6 + "/sids/sid[address=2001:db8::1]/config/behavior"},
		{name: "015 wrong key", req: getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_CONFIG, "/interfaces/interface[id=a]"), code: codes.InvalidArgument, text: "id"},
		{name: "015 key of the wrong type", req: getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_CONFIG, srv6+"/sids/sid[address=blue]"), code: codes.InvalidArgument, text: "blue"},
		{name: "decision 8: module prefix", req: getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_CONFIG, "/heddle-interfaces:interfaces/interface[name=a]/config/mtu"), want: ifA + "/config/mtu"},
		{name: "decision 9: public module prefix", req: getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_CONFIG, "/openconfig-interfaces:interfaces/interface[name=a]/config/mtu"), want: ifA + "/config/mtu"},
		{name: "021 not in the schema", req: getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_CONFIG, "/interfaces/bridge"), code: codes.Unimplemented, text: "bridge"},
		{name: "021 element", req: with(func(r *gpb.GetRequest) { r.Path[0] = &gpb.Path{Element: []string{"interfaces"}} }), code: codes.InvalidArgument, text: "elem"},
		{name: "021 target in a path", req: with(func(r *gpb.GetRequest) { r.Path[0].Target = "r1" }), code: codes.InvalidArgument, text: "prefix"},
		{name: "021 no path", req: &gpb.GetRequest{}, code: codes.InvalidArgument, text: "path"},
	}
	for _, tc := range tests {
		if !ofLine(tc.name, line) {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			resp, err := tg.client.Get(t.Context(), tc.req)
			wantCode(t, err, tc.code)
			if err != nil {
				if tc.text == "" || !strings.Contains(err.Error(), tc.text) {
					t.Errorf("error %q does not say %q", err, tc.text)
				}
				return
			}
			var got []string
			for _, u := range resp.GetNotification()[0].GetUpdate() {
				got = append(got, flat(resp.GetNotification()[0].GetPrefix(), u.GetPath()))
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("got %s\nwant %s", strings.Join(got, " "), tc.want)
			}
		})
	}
}

func targetIsEchoed(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	req := getRequest(t, gpb.Encoding_PROTO, gpb.GetRequest_CONFIG, ifA+"/config/mtu")
	resp, err := tg.client.Get(t.Context(), req)
	must(t, err)
	if p := resp.GetNotification()[0].GetPrefix(); p.GetTarget() != "" {
		t.Errorf("target %q without one in the request", p.GetTarget())
	}
	req.Prefix = &gpb.Path{Target: "pe3", Origin: "openconfig"}
	resp, err = tg.client.Get(t.Context(), req)
	must(t, err)
	if p := resp.GetNotification()[0].GetPrefix(); p.GetTarget() != "pe3" || p.GetOrigin() != "openconfig" {
		t.Errorf("prefix %v", p)
	}
	set, err := tg.client.Set(t.Context(), &gpb.SetRequest{Prefix: &gpb.Path{Target: "pe3"}})
	must(t, err)
	if set.GetPrefix().GetTarget() != "pe3" {
		t.Errorf("set: prefix %v", set.GetPrefix())
	}
}

func oneNotificationPerPath(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	before := time.Now().UnixNano()
	resp, err := tg.client.Get(t.Context(), getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_CONFIG,
		ifA+"/config/mtu", "/interfaces/interface/config/name", ifA+"/config/mtu"))
	must(t, err)
	if n := len(resp.GetNotification()); n != 3 {
		t.Fatalf("%d notifications for 3 paths", n)
	}
	for _, n := range resp.GetNotification() {
		// 26: a time in nanoseconds, the same for all, because they are of one
		// snapshot.
		if ts := n.GetTimestamp(); ts < before || ts > time.Now().UnixNano() || ts != resp.GetNotification()[0].GetTimestamp() {
			t.Errorf("timestamp %d", ts)
		}
	}
	// 20: one absent path fails all.
	_, err = tg.client.Get(t.Context(), getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_CONFIG, ifA+"/config/mtu", ifB+"/config/description"))
	wantCode(t, err, codes.NotFound)
	if err != nil && !strings.Contains(err.Error(), ifB+"/config/description") {
		t.Errorf("error %q does not name the path", err)
	}
}

func encodings(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	for _, enc := range []gpb.Encoding{gpb.Encoding_ASCII, gpb.Encoding_BYTES, 77} {
		_, err := tg.client.Get(t.Context(), getRequest(t, enc, gpb.GetRequest_ALL, ifA))
		wantCode(t, err, codes.Unimplemented)
		if err != nil && enc != 77 && !strings.Contains(err.Error(), enc.String()) {
			t.Errorf("error %q does not name %s", err, enc)
		}
	}
	resp, err := tg.client.Get(t.Context(), &gpb.GetRequest{Path: []*gpb.Path{path(t, ifA+"/config/mtu")}})
	must(t, err)
	if got := string(resp.GetNotification()[0].GetUpdate()[0].GetVal().GetJsonVal()); got != "1400" {
		t.Errorf("encoding unset: json_val %q", got)
	}
}

func dataTypes(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	eth0 := "/interfaces/interface[name=eth0]"
	tests := []struct {
		kind gpb.GetRequest_DataType
		path string
		want bool
	}{
		{gpb.GetRequest_ALL, ifA + "/config", true},
		{gpb.GetRequest_ALL, eth0 + "/state", true},
		{gpb.GetRequest_CONFIG, ifA + "/config", true},
		{gpb.GetRequest_CONFIG, eth0 + "/state", false},
		{gpb.GetRequest_STATE, ifA + "/config", false},
		{gpb.GetRequest_STATE, eth0 + "/state/mtu", true},
		{gpb.GetRequest_OPERATIONAL, eth0 + "/state/mtu", false},
		{gpb.GetRequest_OPERATIONAL, eth0 + "/state/oper-status", true},
		{gpb.GetRequest_STATE, eth0 + "/state/counters/in-octets", true},
	}
	for _, tc := range tests {
		if got := tg.getType(tc.path, tc.kind) != ""; got != tc.want {
			t.Errorf("%s of %s: there is data: %v, want %v", tc.kind, tc.path, got, tc.want)
		}
	}
	_, err := tg.client.Get(t.Context(), getRequest(t, gpb.Encoding_JSON, 9, "/"))
	wantCode(t, err, codes.InvalidArgument)
}

// valueCases runs the cases about values of one line of the check-list.
func valueCases(line string) func(*testing.T) {
	return func(t *testing.T) { values(t, line) }
}

func values(t *testing.T, line string) {
	tg := start(t, nil)
	seed(tg)
	tg.kernel.change("eth0", false, func(l *object.LinkState) bool {
		l.Stats.RxOctets = 1 << 60
		return false
	})
	tests := []struct{ name, path, json, ietf string }{
		{"019 default in use", ifA + "/config/enabled", `true`, `true`},
		{"023 leaf", ifA + "/config/mtu", `1400`, `1400`},
		{"023 container", ifB + "/config", `{"name":"b","enabled":false}`, `{"heddle-interfaces:name":"b","heddle-interfaces:enabled":false}`},
		{"024 64 bits", "/interfaces/interface[name=eth0]/state/counters/in-octets", `1152921504606846976`, `"1152921504606846976"`},
		{"024 identity", srv6 + "/sids/sid[address=2001:db8::1]/config/behavior", `"END"`, `"heddle-srv6:END"`},
	}
	for _, tc := range tests {
		if !ofLine(tc.name, line) {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			resp, err := tg.client.Get(t.Context(), getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_ALL, tc.path))
			must(t, err)
			sameJSON(t, string(resp.GetNotification()[0].GetUpdate()[0].GetVal().GetJsonIetfVal()), tc.ietf)
			resp, err = tg.client.Get(t.Context(), getRequest(t, gpb.Encoding_JSON, gpb.GetRequest_ALL, tc.path))
			must(t, err)
			sameJSON(t, string(resp.GetNotification()[0].GetUpdate()[0].GetVal().GetJsonVal()), tc.json)
		})
	}
}

func useModels(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	get := func(p string, models ...*gpb.ModelData) (string, error) {
		req := getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_CONFIG, p)
		req.UseModels = models
		resp, err := tg.client.Get(t.Context(), req)
		if err != nil {
			return "", err
		}
		return string(resp.GetNotification()[0].GetUpdate()[0].GetVal().GetJsonIetfVal()), nil
	}
	ours := []*gpb.ModelData{{Name: "heddle-interfaces"}}
	public := []*gpb.ModelData{{Name: "openconfig-interfaces"}}
	got, err := get(ifB+"/config", ours...)
	must(t, err)
	sameJSON(t, got, `{"heddle-interfaces:name":"b","heddle-interfaces:enabled":false}`)
	got, err = get(ifB+"/config", public...)
	must(t, err)
	sameJSON(t, got, `{"openconfig-interfaces:name":"b","openconfig-interfaces:enabled":false}`)
	for name, models := range map[string][]*gpb.ModelData{
		"unknown module": {{Name: "acme-ports"}},
		"other version":  {{Name: "heddle-interfaces", Version: "99.0.0"}},
		"a part":         {{Name: "heddle-system"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := get(ifB, models...)
			wantCode(t, err, codes.Unimplemented)
		})
	}
}

func protoScalars(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	resp, err := tg.client.Get(t.Context(), getRequest(t, gpb.Encoding_PROTO, gpb.GetRequest_CONFIG, ifA, srv6+"/sids/sid[address=2001:db8::1]/config"))
	must(t, err)
	got := map[string]*gpb.TypedValue{}
	for _, n := range resp.GetNotification() {
		for _, u := range n.GetUpdate() {
			got[flat(n.GetPrefix(), u.GetPath())] = u.GetVal()
		}
	}
	want := map[string]*gpb.TypedValue{
		ifA + "/name":               stringVal("a"),
		ifA + "/config/name":        stringVal("a"),
		ifA + "/config/mtu":         uintVal(1400),
		ifA + "/config/enabled":     boolVal(true),
		ifA + "/config/description": stringVal("to b"),
		srv6 + "/sids/sid[address=2001:db8::1]/config/behavior":   stringVal("END"),
		srv6 + "/sids/sid[address=2001:db8::1]/config/address":    stringVal("2001:db8::1"),
		srv6 + "/sids/sid[address=2001:db8::1]/config/standalone": boolVal(true),
	}
	for p, v := range want {
		if !proto.Equal(got[p], v) {
			t.Errorf("%s: got %v, want %v", p, got[p], v)
		}
		delete(got, p)
	}
	for p, v := range got {
		t.Errorf("unexpected %s = %v", p, v)
	}
}

// A leaf-list is a ScalarArray.
func protoLeafList(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	p := static + "/static[prefix=2001:db8:1::/48]/next-hops/next-hop[index=1]/srv6-encapsulation/config/segment-list"
	tg.mustSet(update(p, `["2001:db8::5","2001:db8::6"]`))
	resp, err := tg.client.Get(t.Context(), getRequest(t, gpb.Encoding_PROTO, gpb.GetRequest_CONFIG, p))
	must(t, err)
	list := resp.GetNotification()[0].GetUpdate()[0].GetVal().GetLeaflistVal().GetElement()
	if len(list) != 2 || list[0].GetStringVal() != "2001:db8::5" || list[1].GetStringVal() != "2001:db8::6" {
		t.Errorf("got %v", list)
	}
	// Written back as it was read.
	_, err = tg.client.Set(t.Context(), &gpb.SetRequest{Replace: []*gpb.Update{{Path: path(t, p), Val: &gpb.TypedValue{Value: &gpb.TypedValue_LeaflistVal{LeaflistVal: &gpb.ScalarArray{Element: list}}}}}})
	must(t, err)
	sameJSON(t, tg.get(p), `["2001:db8::5","2001:db8::6"]`)
}

// TestLargeAnswers: an answer is made of many buffers; the client finds in it what
// it finds in answers that need only one.
func TestLargeAnswers(t *testing.T) {
	tg := start(t, nil)
	const n = 6000
	load(tg, n)
	one := srv6 + "/sids/sid[address=2001:db8:0:1:234::]"
	want := tg.getType(one, gpb.GetRequest_ALL)
	all := srv6 + "/sids"
	resp, err := tg.client.Get(t.Context(), getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_ALL, all, one, all+"/sid", all+"/sid[address=*]", one+"/config", all))
	must(t, err)
	if len(resp.GetNotification()) != 6 {
		t.Fatalf("%d notifications for 6 paths", len(resp.GetNotification()))
	}
	values := func(i int) (docs []string) {
		for _, u := range resp.GetNotification()[i].GetUpdate() {
			docs = append(docs, string(u.GetVal().GetJsonIetfVal()))
		}
		return docs
	}
	sameJSON(t, values(1)[0], want)
	for _, i := range []int{0, 5} {
		var list struct {
			SID []json.RawMessage `json:"heddle-srv6:sid"`
		}
		must(t, json.Unmarshal([]byte(values(i)[0]), &list))
		if len(list.SID) != n {
			t.Errorf("notification %d has %d SIDs", i, len(list.SID))
		}
	}
	for _, i := range []int{2, 3} {
		docs := values(i)
		if len(docs) != n {
			t.Fatalf("notification %d has %d updates for %d SIDs", i, len(docs), n)
		}
		for j, u := range resp.GetNotification()[i].GetUpdate() {
			if address := u.GetPath().GetElem()[5].GetKey()["address"]; !strings.HasPrefix(docs[j], `{"heddle-srv6:address":"`+address+`"`) {
				t.Fatalf("%s has %s", address, docs[j])
			}
		}
	}
	// A single path is answered from a draft, if nothing has happened meanwhile.
	for i := range 3 {
		alone, err := tg.client.Get(t.Context(), getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_ALL, all))
		must(t, err)
		if got := string(alone.GetNotification()[0].GetUpdate()[0].GetVal().GetJsonIetfVal()); i == 0 && got != values(0)[0] ||
			strings.Count(got, `"description":"customer `) != n || i > 0 && !strings.Contains(got, fmt.Sprintf("round %d", i)) {
			t.Errorf("round %d: alone the path has another answer", i)
		}
		tg.mustSet(update(srv6+"/sids/sid[address=2001:db8:9::]/config", fmt.Sprintf(`{"address":"2001:db8:9::","behavior":"heddle-srv6:END","description":"round %d","standalone":true}`, i+1)))
	}
	leaves, err := tg.client.Get(t.Context(), getRequest(t, gpb.Encoding_PROTO, gpb.GetRequest_CONFIG, all+"/sid/config/description"))
	must(t, err)
	seen := map[string]bool{}
	for _, u := range leaves.GetNotification()[0].GetUpdate() {
		seen[u.GetVal().GetStringVal()] = true
	}
	if len(seen) != n+1 || !seen["round 3"] || !seen["customer 0"] || !seen["customer 5999"] {
		t.Errorf("%d descriptions of %d SIDs", len(seen), n)
	}
}
