package gnmi_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"heddle/schema"
	"heddle/yang"
)

func prefixes(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	req := tg.request(update("/config/mtu", `1300`), del("/config/description"))
	req.Prefix = path(t, ifA)
	_, err := tg.client.Set(t.Context(), req)
	must(t, err)
	sameJSON(t, tg.config(ifA+"/config"), `{"heddle-interfaces:name":"a","heddle-interfaces:mtu":1300,"heddle-interfaces:enabled":true}`)
	sl := list(gpb.SubscriptionList_ONCE, onChange(t, "/config/mtu"))
	sl.Prefix = path(t, ifA)
	equal(t, tg.subscribe(sl).sync(), ifA+"/config/mtu=1300")
}

func noWildcardsReturned(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	for _, p := range []string{"/interfaces/interface[name=*]/config/name", "/interfaces/*/config", "/.../metric", "/interfaces/interface"} {
		all := tg.subscribe(list(gpb.SubscriptionList_ONCE, onChange(t, p))).sync()
		resp, err := tg.client.Get(t.Context(), getRequest(t, gpb.Encoding_PROTO, gpb.GetRequest_CONFIG, p))
		must(t, err)
		for _, n := range resp.GetNotification() {
			all = append(all, leaves(n)...)
		}
		if len(all) < 2 || strings.Contains(strings.Join(all, " "), "*") || strings.Contains(strings.Join(all, " "), "...") {
			t.Errorf("%s: %v", p, all)
		}
	}
}

func keysSurvive(t *testing.T) {
	tg := start(t, nil)
	// Of a list whose key is any string.
	const at = `/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=a/b[c\]=d\\ ::1]`
	tg.mustSet(update(at+"/config", `{"identifier":"STATIC","name":"a/b[c]=d\\ ::1"}`))
	sameJSON(t, tg.config(at+"/config/name"), `"a/b[c]=d\\ ::1"`)
	l := tg.subscribe(list(gpb.SubscriptionList_ONCE, onChange(t, at+"/config/name")))
	resp, err := l.Recv()
	must(t, err)
	elems := resp.GetUpdate().GetPrefix().GetElem()
	if got := elems[len(elems)-1].GetKey()["name"]; got != `a/b[c]=d\ ::1` {
		t.Errorf("key %q", got)
	}
	tg.mustSet(del(at))
	if got := tg.config(at); got != "" {
		t.Errorf("still there: %s", got)
	}
}

func unionReplace(t *testing.T) {
	tg := start(t, nil)
	union := func(ops ...op) (*gpb.SetResponse, error) {
		req := tg.request(ops...)
		req.UnionReplace, req.Update = req.GetUpdate(), nil
		return tg.client.Set(t.Context(), req)
	}
	seed(tg)
	resp, err := union(
		update(ifA+"/config", `{"name":"a"}`),
		update("/interfaces", `{"interface":[{"name":"a","config":{"name":"a","mtu":1300}}]}`),
		update(ifA+"/config/description", `"new"`),
	)
	must(t, err)
	for _, r := range resp.GetResponse() {
		if r.GetOp() != gpb.UpdateResult_UNION_REPLACE {
			t.Errorf("result %v", r)
		}
	}
	if len(resp.GetResponse()) != 3 {
		t.Errorf("results %v", resp.GetResponse())
	}
	// One replace of the union, whatever the order: b is gone, the SID is not.
	sameJSON(t, tg.config("/interfaces"), `{"heddle-interfaces:interface":[{"name":"a","config":{"name":"a","enabled":true,"mtu":1300,"description":"new"}}]}`)
	if tg.config(srv6) == "" {
		t.Error("what was not named is gone")
	}
	before := tg.config("/")
	_, err = union(update(ifA+"/config", `{"mtu":1300}`), update(ifA+"/config/mtu", `1400`))
	wantCode(t, err, codes.InvalidArgument)
	if err != nil && !strings.Contains(err.Error(), ifA+"/config/mtu") {
		t.Errorf("error %q does not name the leaf", err)
	}
	if after := tg.config("/"); after != before {
		t.Errorf("before %s\nafter  %s", before, after)
	}
	_, err = union(update("/interfaces/interface[name=x]/config/speed", `1`))
	wantCode(t, err, codes.NotFound)
}

// The model has no presence container; those of the schema's own test model are
// tested there.
func presence(t *testing.T) {
	sc, err := heddle()
	must(t, err)
	var walk func(*schema.Node)
	walk = func(n *schema.Node) {
		if n.Presence {
			t.Errorf("%s is a presence container: test that it survives", n.Path())
		}
		for _, c := range n.Children {
			walk(c)
		}
	}
	walk(sc.Root())
}

func arbitration(role string, high, low uint64) *gnmi_ext.Extension {
	x := &gnmi_ext.MasterArbitration{ElectionId: &gnmi_ext.Uint128{High: high, Low: low}}
	if role != "" {
		x.Role = &gnmi_ext.Role{Id: role}
	}
	return &gnmi_ext.Extension{Ext: &gnmi_ext.Extension_MasterArbitration{MasterArbitration: x}}
}

func masterArbitration(t *testing.T) {
	tg := start(t, nil)
	mtu := 1300
	set := func(x *gnmi_ext.Extension) error {
		mtu++
		req := tg.request(update(ifA+"/config", fmt.Sprintf(`{"name":"a","mtu":%d}`, mtu)))
		if x != nil {
			req.Extension = []*gnmi_ext.Extension{x}
		}
		_, err := tg.client.Set(t.Context(), req)
		return err
	}
	must(t, set(arbitration("", 0, 7)))
	must(t, set(arbitration("", 0, 7)))
	must(t, set(arbitration("", 1, 0)))
	before := tg.config("/")
	for _, low := range []uint64{0, 7, ^uint64(0)} {
		err := set(arbitration("", 0, low))
		wantCode(t, err, codes.PermissionDenied)
		if err != nil && !strings.Contains(err.Error(), "high:1 low:0") {
			t.Errorf("error %q does not say who is master", err)
		}
	}
	wantCode(t, set(&gnmi_ext.Extension{Ext: &gnmi_ext.Extension_MasterArbitration{MasterArbitration: &gnmi_ext.MasterArbitration{}}}), codes.InvalidArgument)
	if after := tg.config("/"); after != before {
		t.Errorf("before %s\nafter  %s", before, after)
	}
	// Roles elect for themselves; who does not take part is not asked.
	must(t, set(arbitration("other", 0, 1)))
	must(t, set(nil))
	// An empty Set makes a master, too.
	_, err := tg.client.Set(t.Context(), &gpb.SetRequest{Extension: []*gnmi_ext.Extension{arbitration("other", 0, 5)}})
	must(t, err)
	wantCode(t, set(arbitration("other", 0, 4)), codes.PermissionDenied)
	many := tg.request(update(ifA+"/config/mtu", `1500`))
	many.Extension = []*gnmi_ext.Extension{arbitration("", 9, 9), arbitration("other", 9, 9)}
	_, err = tg.client.Set(t.Context(), many)
	wantCode(t, err, codes.InvalidArgument)
	wantCode(t, set(arbitration(strings.Repeat("x", 1000), 1, 1)), codes.InvalidArgument)
}

func depthOf(level uint32) []*gnmi_ext.Extension {
	return []*gnmi_ext.Extension{{Ext: &gnmi_ext.Extension_Depth{Depth: &gnmi_ext.Depth{Level: level}}}}
}

func depth(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	get := func(p string, level uint32, enc gpb.Encoding) *gpb.Notification {
		req := getRequest(t, enc, gpb.GetRequest_CONFIG, p)
		req.Extension = depthOf(level)
		resp, err := tg.client.Get(t.Context(), req)
		must(t, err)
		return resp.GetNotification()[0]
	}
	for _, tc := range []struct {
		path  string
		level uint32
		want  string
	}{
		{ifB, 1, `{"heddle-interfaces:name":"b"}`},
		{ifB, 2, `{"heddle-interfaces:name":"b","heddle-interfaces:config":{"name":"b","enabled":false}}`},
		{"/interfaces", 2, `{"heddle-interfaces:interface":[{"name":"a"},{"name":"b"}]}`},
		{"/interfaces/interface", 1, `{"heddle-interfaces:name":"a"}`},
		{ifB + "/config/enabled", 1, `false`},
		{"/", 3, `{"heddle-interfaces:interfaces":{"interface":[{"name":"a"},{"name":"b"}]},"heddle-network-instance:network-instances":{"network-instance":[{"name":"DEFAULT"}]}}`},
	} {
		t.Run(fmt.Sprint(tc.path, " ", tc.level), func(t *testing.T) {
			sameJSON(t, string(get(tc.path, tc.level, gpb.Encoding_JSON_IETF).GetUpdate()[0].GetVal().GetJsonIetfVal()), tc.want)
		})
	}
	for _, p := range []string{ifA, "/"} {
		if got, want := string(get(p, 0, gpb.Encoding_JSON_IETF).GetUpdate()[0].GetVal().GetJsonIetfVal()), tg.config(p); got != want {
			t.Errorf("depth 0 of %s\ngot  %s\nwant %s", p, got, want)
		}
	}
	equal(t, leaves(get(ifB, 1, gpb.Encoding_PROTO)), ifB+"/name=b")
	equal(t, leaves(get(ifB, 2, gpb.Encoding_PROTO)), ifB+"/name=b", ifB+"/config/name=b", ifB+"/config/enabled=false")

	l := tg.open()
	must(t, l.Send(&gpb.SubscribeRequest{Extension: depthOf(1), Request: &gpb.SubscribeRequest_Subscribe{
		Subscribe: list(gpb.SubscriptionList_STREAM, onChange(t, ifB+"/config"), onChange(t, "/interfaces/interface[name=a]"))}}))
	equal(t, l.sync(), ifB+"/config/name=b", ifB+"/config/enabled=false", ifA+"/name=a")
	tg.mustSet(update(ifA+"/config/mtu", `1300`), update(ifB+"/config/mtu", `1301`))
	equal(t, l.next(), ifB+"/config/mtu=1301")
}

func aggregation(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	req := list(gpb.SubscriptionList_ONCE, onChange(t, ifB))
	req.AllowAggregation = true
	equal(t, tg.subscribe(req).sync(), ifB+"/name=b", ifB+"/config/name=b", ifB+"/config/enabled=false")
}

func timestamps(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	l := tg.subscribe(list(gpb.SubscriptionList_STREAM, onChange(t, ifA+"/config/mtu")))
	l.sync()
	want := tg.mustSet(update(ifA+"/config/mtu", `1300`)).GetTimestamp()
	resp, err := l.Recv()
	must(t, err)
	if got := resp.GetUpdate().GetTimestamp(); got != want {
		t.Errorf("timestamp %d of a change that was committed at %d", got, want)
	}
}

// slowClient does not read while a leaf changes more often than what is on the way
// has room for.
func slowClient(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	conn, err := grpc.NewClient("unix://"+tg.sock, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithInitialWindowSize(1<<16), grpc.WithInitialConnWindowSize(1<<16))
	must(t, err)
	defer conn.Close()
	slow := *tg
	slow.client = gpb.NewGNMIClient(conn)
	at := ifA + "/config/description"
	l := slow.subscribe(list(gpb.SubscriptionList_STREAM, onChange(t, at)))
	l.sync()
	other := tg.subscribe(list(gpb.SubscriptionList_STREAM, onChange(t, at)))
	other.sync()
	const sets = 300
	value := func(i int) string { return fmt.Sprint(i, strings.Repeat("x", 4000)) }
	for i := range sets {
		tg.mustSet(leaf(at, stringVal(value(i))))
		equal(t, other.next(), at+"="+value(i)) // does not wait for the slow one
	}
	messages, values := 0, 0
	for last := ""; last != value(sets-1); messages++ {
		resp, err := l.Recv()
		must(t, err)
		u := resp.GetUpdate().GetUpdate()[0]
		last = u.GetVal().GetStringVal()
		values += 1 + int(u.GetDuplicates())
	}
	if values != sets || messages >= sets {
		t.Errorf("%d values in %d messages, %d were set", values, messages, sets)
	}
}

func noAtomicList(t *testing.T) {
	files, err := fs.Glob(yang.FS, "*.yang")
	must(t, err)
	for _, f := range files {
		text, err := fs.ReadFile(yang.FS, f)
		must(t, err)
		if strings.Contains(string(text), "telemetry-atomic") {
			t.Errorf("%s marks something as atomic: test it", f)
		}
	}
	tg := start(t, nil)
	seed(tg)
	l := tg.subscribe(list(gpb.SubscriptionList_ONCE, onChange(t, "/")))
	for {
		resp, err := l.Recv()
		must(t, err)
		if resp.GetSyncResponse() {
			return
		}
		if resp.GetUpdate().GetAtomic() {
			t.Errorf("atomic: %v", resp.GetUpdate())
		}
	}
}
