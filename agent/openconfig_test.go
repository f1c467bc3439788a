package agent

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"heddle/agent/datastore"
	"heddle/agent/gnmi"
	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
)

// Scenarios of OpenConfig's own tests (featureprofiles, feature/gnmi and
// feature/staticroute), written anew for this model and
// named after those, on this machine's kernel or, with VRFs, the fake one.

// device is what one of them configures: dummies with an address each, in VRFs or not.
type device struct {
	links map[string]string // name to address, "" for none
	vrfs  map[string]int    // name to table
	in    map[string]string // link to VRF
}

func (d device) interfaces() map[string]any {
	list := []any{}
	for _, name := range slices.Sorted(maps.Keys(d.links)) {
		list = append(list, d.link(name))
	}
	return map[string]any{"interface": list}
}

func (d device) link(name string) map[string]any {
	sub := map[string]any{"index": 0, "config": map[string]any{"index": 0}}
	if ip := d.links[name]; ip != "" {
		sub["ipv4"] = map[string]any{"addresses": map[string]any{"address": []any{
			map[string]any{"ip": ip, "config": map[string]any{"ip": ip, "prefix-length": 24}},
		}}}
	}
	return map[string]any{
		"name": name, "config": map[string]any{"name": name, "type": "DUMMY"},
		"subinterfaces": map[string]any{"subinterface": []any{sub}},
	}
}

func (d device) instances() map[string]any {
	list := []any{map[string]any{"name": "DEFAULT", "config": map[string]any{"name": "DEFAULT", "type": "DEFAULT_INSTANCE"}}}
	for _, name := range slices.Sorted(maps.Keys(d.vrfs)) {
		list = append(list, d.vrf(name))
	}
	return map[string]any{"network-instance": list}
}

func (d device) vrf(name string) map[string]any {
	members := []any{}
	for _, l := range slices.Sorted(maps.Keys(d.in)) {
		if d.in[l] == name {
			members = append(members, map[string]any{"id": l, "config": map[string]any{"id": l, "interface": l}})
		}
	}
	return map[string]any{
		"name": name, "config": map[string]any{"name": name, "type": "L3VRF", "table-id": d.vrfs[name]},
		"interfaces": map[string]any{"interface": members},
	}
}

// ways are how a controller can push a device whose last configuration was was: item
// by item, by containers, or as a whole.
var ways = map[string]func(t *testing.T, was, d device) *gpb.SetRequest{
	"item": func(t *testing.T, was, d device) *gpb.SetRequest {
		req := &gpb.SetRequest{}
		for _, name := range slices.Sorted(maps.Keys(was.links)) {
			if _, stays := d.links[name]; !stays {
				req.Delete = append(req.Delete, gnmiPath(t, "/interfaces/interface[name="+name+"]"))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(was.vrfs)) {
			if _, stays := d.vrfs[name]; !stays {
				req.Delete = append(req.Delete, gnmiPath(t, "/network-instances/network-instance[name="+name+"]"))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(d.links)) {
			req.Replace = append(req.Replace, jsonUpdate(t, "/interfaces/interface[name="+name+"]", d.link(name)))
		}
		for _, name := range slices.Sorted(maps.Keys(d.vrfs)) {
			req.Replace = append(req.Replace, jsonUpdate(t, "/network-instances/network-instance[name="+name+"]", d.vrf(name)))
		}
		return req
	},
	"container": func(t *testing.T, _, d device) *gpb.SetRequest {
		return &gpb.SetRequest{Replace: []*gpb.Update{jsonUpdate(t, "/interfaces", d.interfaces()), jsonUpdate(t, "/network-instances", d.instances())}}
	},
	"root": func(t *testing.T, _, d device) *gpb.SetRequest {
		return &gpb.SetRequest{Replace: []*gpb.Update{jsonUpdate(t, "/", map[string]any{"interfaces": d.interfaces(), "network-instances": d.instances()})}}
	},
}

func jsonUpdate(t *testing.T, path string, v any) *gpb.Update {
	t.Helper()
	doc, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return &gpb.Update{Path: gnmiPath(t, path), Val: &gpb.TypedValue{Value: &gpb.TypedValue_JsonIetfVal{JsonIetfVal: doc}}}
}

// holds checks that a kernel has the links of a device, where and with what address.
func (d device) holds(t *testing.T, what string, fake *kerneltest.Fake) {
	t.Helper()
	all, err := fake.Dump(t.Context(), object.KindAddress)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"d1", "d2"} {
		address, want := d.links[name]
		has := ""
		for _, o := range all {
			if a := o.(object.Address); a.Link == name {
				has += a.Prefix.Addr().String()
			}
		}
		if has != address {
			t.Errorf("%s: %s has the address %q, want %q", what, name, has, address)
		}
		if _, there := fake.Get(object.LinkKey(name)); there != want {
			t.Errorf("%s: %s is there: %v", what, name, there)
		}
		vrf := ""
		if m, ok := fake.Get(object.MemberKey(name)); ok {
			vrf = m.(object.Member).Master
		}
		if vrf != d.in[name] {
			t.Errorf("%s: %s is in %q, want %q", what, name, vrf, d.in[name])
		}
	}
	for _, name := range []string{"blue", "red"} {
		_, want := d.vrfs[name]
		if _, there := fake.Get(object.LinkKey(name)); there != want {
			t.Errorf("%s: VRF %s is there: %v", what, name, there)
		}
	}
}

// gNMI-1.15: each change item by item, by containers and by the root.
func TestOpenConfig_gNMI_1_15_SetRequests(t *testing.T) {
	fake := kerneltest.NewFake()
	a := fakeAgent(t, fake, t.TempDir())
	server, err := gnmi.New(gnmi.Config{Schema: a.schema, Running: gnmi.Running(a.store), State: stateDataset{a.tel}, Store: a})
	if err != nil {
		t.Fatal(err)
	}
	set := func(what string, req *gpb.SetRequest) {
		t.Helper()
		edits, err := server.Edits(req)
		if err == nil {
			_, err = a.Commit(t.Context(), datastore.Request{Edits: edits})
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	steps := []struct {
		name string
		device
	}{
		{"ReuseIP, before", device{links: map[string]string{"d1": "192.0.2.1"}}},
		{"ReuseIP", device{links: map[string]string{"d1": "", "d2": "192.0.2.1"}}},
		{"SwapIPs, before", device{links: map[string]string{"d1": "192.0.2.1", "d2": "192.0.3.1"}}},
		{"SwapIPs", device{links: map[string]string{"d1": "192.0.3.1", "d2": "192.0.2.1"}}},
		{"CreateNonDefaultVRF", device{links: map[string]string{"d1": "192.0.3.1", "d2": "192.0.2.1"}, vrfs: map[string]int{"blue": 110}, in: map[string]string{"d1": "blue"}}},
		{"MoveInterfaces", device{links: map[string]string{"d1": "192.0.3.1", "d2": "192.0.2.1"}, vrfs: map[string]int{"blue": 110, "red": 120}, in: map[string]string{"d1": "red", "d2": "blue"}}},
		{"DeleteNonDefaultVRF", device{links: map[string]string{"d1": "192.0.3.1", "d2": "192.0.2.1"}, vrfs: map[string]int{"red": 120}, in: map[string]string{"d1": "red"}}},
		{"DeleteInterface", device{links: map[string]string{"d2": "192.0.2.1"}, vrfs: map[string]int{"red": 120}}},
		{"DeleteEverything", device{}},
	}
	for _, way := range slices.Sorted(maps.Keys(ways)) {
		var was device
		for _, s := range steps {
			what := way + ", " + s.name
			set(what, ways[way](t, was, s.device))
			s.device.holds(t, what, fake)
			was = s.device
		}
	}
	// DeleteNonExistingVRF, DeleteNonExistingInterface: OK, and nothing happens.
	set("DeleteNonExistingVRF", &gpb.SetRequest{Delete: []*gpb.Path{
		gnmiPath(t, "/network-instances/network-instance[name=green]"), gnmiPath(t, "/interfaces/interface[name=d9]"),
	}})
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// gNMI-1.9: Get of / and of what is below it agree, and can be set again.
func TestOpenConfig_gNMI_1_9_Get(t *testing.T) {
	r := newRouter(t)
	r.start()
	if err := r.set(base...); err != nil {
		t.Fatal(err)
	}
	var whole map[string]json.RawMessage
	if err := json.Unmarshal([]byte(r.get("/", gpb.GetRequest_CONFIG)), &whole); err != nil {
		t.Fatal(err)
	}
	before := r.kernel()
	for name, doc := range whole {
		_, bare, _ := strings.Cut(name, ":")
		if _, err := r.client.Set(t.Context(), &gpb.SetRequest{Replace: []*gpb.Update{jsonUpdate(t, "/"+bare, doc)}}); err != nil {
			t.Errorf("%s as it was read: %v", bare, err)
		}
	}
	r.expectKernel(before)
	r.expectState("/system/state/config-revision", `"1"`)
	if r.get("/interfaces/interface[name=e1]/state", gpb.GetRequest_STATE) == "" {
		t.Error("there is no state")
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// gNMI-1.24: an update of a leaf-list adds, a replace replaces, in the kernel, too.
func TestOpenConfig_gNMI_1_24_LeafListUpdate(t *testing.T) {
	r := newRouter(t)
	r.start()
	if err := r.set(base...); err != nil {
		t.Fatal(err)
	}
	const prefix = "2001:db8:5::/48"
	list := realStatics + "[prefix=" + prefix + "]/next-hops/next-hop[index=0]/srv6-encapsulation/config/segment-list"
	segments := func() string {
		_, segs, _ := strings.Cut(r.ip("-6 route show "+prefix), " [ ")
		segs, _, _ = strings.Cut(segs, " ]")
		return segs
	}
	had := r.get(list, gpb.GetRequest_CONFIG)
	if err := r.set([2]string{list, `["2001:db8:9::1"]`}); err != nil {
		t.Fatal(err)
	}
	if got, want := r.get(list, gpb.GetRequest_CONFIG), strings.TrimSuffix(had, "]")+`,"2001:db8:9::1"]`; got != want {
		t.Errorf("updated: %s, want %s", got, want)
	}
	if got := segments(); !strings.HasSuffix(got, " 2001:db8:9::1") || len(strings.Fields(got)) < 2 {
		t.Errorf("updated: the kernel has %q", got)
	}
	req := &gpb.SetRequest{Replace: []*gpb.Update{jsonUpdate(t, list, []string{"2001:db8:9::2"})}}
	if _, err := r.client.Set(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if got := segments(); got != "2001:db8:9::2" {
		t.Errorf("replaced: the kernel has %q", got)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// gNMI-1.27: what is sampled follows the configuration.
func TestOpenConfig_gNMI_1_27_Sample(t *testing.T) {
	r := newRouter(t)
	r.start()
	const e1 = "/interfaces/interface[name=e1]"
	if err := r.set([2]string{e1 + "/config", `{"description":"one"}`}); err != nil {
		t.Fatal(err)
	}
	stream, err := r.client.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list := &gpb.SubscriptionList{Mode: gpb.SubscriptionList_STREAM, Encoding: gpb.Encoding_PROTO, Subscription: []*gpb.Subscription{
		{Path: gnmiPath(t, e1+"/config/description"), Mode: gpb.SubscriptionMode_SAMPLE, SampleInterval: 1e9},
	}}
	if err := stream.Send(&gpb.SubscribeRequest{Request: &gpb.SubscribeRequest_Subscribe{Subscribe: list}}); err != nil {
		t.Fatal(err)
	}
	until := func(want string) {
		t.Helper()
		for {
			resp, err := stream.Recv()
			if err != nil {
				t.Fatalf("waiting for %s: %v", want, err)
			}
			for _, u := range resp.GetUpdate().GetUpdate() {
				if u.GetVal().GetStringVal() == want {
					return
				}
			}
		}
	}
	until("one")
	until("one")
	if err := r.set([2]string{e1 + "/config/description", `"two"`}); err != nil {
		t.Fatal(err)
	}
	until("two")
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// RT-1.26: static routes with several next hops, metrics, preferences and DROP, added
// and removed.
func TestOpenConfig_RT_1_26_StaticRoutes(t *testing.T) {
	r := newRouter(t)
	r.start()
	const statics = "/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=s]/static-routes"
	if err := r.set([2]string{"/network-instances/network-instance[name=DEFAULT]/config/type", `"DEFAULT_INSTANCE"`}, [2]string{
		"/interfaces/interface[name=e1]/subinterfaces/subinterface[index=0]/ipv4/addresses/address[ip=192.0.2.1]/config", `{"prefix-length":24}`}); err != nil {
		t.Fatal(err)
	}
	const prefix = "203.0.113.0/24"
	hop := func(index int, config string) [2]string {
		return [2]string{fmt.Sprintf("%s/static[prefix=%s]/next-hops/next-hop[index=%d]/config", statics, prefix, index), config}
	}
	gone := func(index int) [2]string {
		return [2]string{fmt.Sprintf("%s/static[prefix=%s]/next-hops/next-hop[index=%d]", statics, prefix, index), ""}
	}
	for _, step := range []struct {
		name string
		set  [][2]string
		want []string
	}{
		{"RT-1.26.1 ECMP", [][2]string{hop(0, `{"next-hop":"192.0.2.2"}`), hop(1, `{"next-hop":"192.0.2.3"}`)}, []string{"nexthop via 192.0.2.2", "nexthop via 192.0.2.3"}},
		{"RT-1.26.2 metric", [][2]string{hop(1, `{"metric":1000}`)}, []string{"via 192.0.2.2 dev e1", "via 192.0.2.3 dev e1 proto 72 metric 1000"}},
		{"RT-1.26.3 preference", [][2]string{hop(1, `{"metric":0,"preference":2}`)}, []string{"via 192.0.2.3 dev e1 proto 72 metric 16777216"}},
		{"RT-1.26.4 next hop removed", [][2]string{gone(1)}, []string{"via 192.0.2.2 dev e1"}},
		{"RT-1.26.5 DROP", [][2]string{hop(0, `{"next-hop":"DROP"}`)}, []string{"blackhole 203.0.113.0/24"}},
		{"RT-1.26.6 removed", [][2]string{{statics + "/static[prefix=" + prefix + "]", ""}}, nil},
	} {
		if err := r.set(step.set...); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		out := strings.Join(strings.Fields(r.ip("route show exact "+prefix)), " ")
		for _, want := range step.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in %s", step.name, want, out)
			}
		}
		if step.want == nil && out != "" {
			t.Errorf("%s: %s", step.name, out)
		}
	}
	// A next hop that leads nowhere is refused, and nothing is there.
	err := r.set(hop(0, `{"next-hop":"198.51.100.1"}`))
	if status.Code(err) == codes.OK || r.ip("route show exact "+prefix) != "" {
		t.Errorf("a next hop that leads nowhere: %v", err)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}
