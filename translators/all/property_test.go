package all_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"heddle/agent/rules"
	"heddle/kernel/object"
	"heddle/schema"
	"heddle/translators"
	"heddle/translators/all"
	"heddle/translators/modeltest"
)

// TestIncrementalEqualsWhole does random Sets on a small world, where everything
// has a chance to refer to everything, and compares what the engine came to with
// a translation of the whole configuration by an engine that has seen nothing
// else: the same objects, needs, reasons for withholding and errors. What the rules
// accepted as a change they accept as a whole.
func TestIncrementalEqualsWhole(t *testing.T) {
	m := model(t)
	r := rules.New(m)
	done := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		w := &world{
			t: t, model: m, rules: r, done: done,
			config: modeltest.New(m.Schema, schema.Entries{}),
			engine: all.Engine(m),
			kernel: &kernelNow{links: map[string]translators.LinkFact{}},
			state:  state{objects: map[object.Key]string{}, withheld: map[string]string{}},
		}
		w.engine.Look(w.kernel)
		if rapid.Bool().Draw(t, "something to begin with") {
			w.commit([]schema.Edit{w.editOf("/", begin, schema.Replace)})
		}
		for range rapid.IntRange(1, 30).Draw(t, "sets") {
			w.set()
		}
	})
	t.Logf("Sets: %v", done)
	if done["committed"] < done["tried"]/10 {
		t.Errorf("only %d of %d Sets were good: the test hardly tests anything", done["committed"], done["tried"])
	}
}

type state struct {
	objects  map[object.Key]string
	withheld map[string]string
}

type world struct {
	t      *rapid.T
	model  *translators.Model
	rules  *rules.Rules
	config *modeltest.Snapshot
	engine *translators.Engine
	kernel *kernelNow
	state  state
	done   map[string]int
}

// kernelNow is what the engines see of the kernel.
type kernelNow struct {
	links map[string]translators.LinkFact
	leads bool
	nf    translators.NFFact // of NFs that are probed
}

func (k *kernelNow) Link(name string) translators.LinkFact { return k.links[name] }
func (k *kernelNow) Reaches(netip.Addr) bool               { return k.leads }
func (k *kernelNow) Follow([]translators.NFProbe)          {}

// NF says that packets go where the configuration has them go while an NF is down.
func (k *kernelNow) NF(p translators.NFProbe) translators.NFFact {
	f := k.nf
	if f.Mode != object.ProxyToNF {
		f.Mode = p.WhenDown
	}
	return f
}

// happen changes the kernel.
func (w *world) happen() {
	fact := rapid.SampledFrom([]translators.LinkFact{translators.LinkUp, translators.LinkDead, translators.LinkAbsent})
	w.kernel.links[w.pick("link", links)] = fact.Draw(w.t, "fact")
	w.kernel.leads = rapid.Bool().Draw(w.t, "leads")
	w.kernel.nf = translators.NFFact{Mode: rapid.SampledFrom([]object.ProxyMode{object.ProxyToNF, object.ProxyDrop}).Draw(w.t, "NF"),
		Gone: rapid.Bool().Draw(w.t, "gone"), StandbyGone: rapid.Bool().Draw(w.t, "standby gone")}
}

// settle has an engine find out how the kernel is, until there is nothing new: what it
// asks for may follow from what it has found.
func (w *world) settle(e *translators.Engine, s state) {
	for range 100 {
		d, err := e.Refresh(w.config)
		if err != nil {
			w.t.Fatalf("refresh: %v", err)
		}
		if d == nil {
			return
		}
		w.done["refreshed"]++
		d.Commit()
		s.apply(w.t, w.model, d)
	}
	w.t.Fatal("the engine finds something new for ever")
}

func (w *world) set() {
	w.done["tried"]++
	var edits []schema.Edit
	for range rapid.IntRange(1, 4).Draw(w.t, "edits") {
		edits = append(edits, w.edit())
	}
	if rapid.IntRange(0, 3).Draw(w.t, "something happens") == 0 {
		w.happen()
	}
	w.commit(edits)
}

// begin has something of most kinds, so that much can be changed at once.
const begin = `{"interfaces": {"interface": [{"name": "a", "config": {"name": "a"}, "subinterfaces": {"subinterface": [{"index": 0,
   "ipv4": {"addresses": {"address": [{"ip": "192.0.2.1", "config": {"ip": "192.0.2.1", "prefix-length": 24}}]}}}]}}]},
 "network-instances": {"network-instance": [{"name": "DEFAULT", "config": {"name": "DEFAULT", "type": "DEFAULT_INSTANCE"},
   "segment-routing": {"srv6": {"locators": {"locator": [{"name": "l1", "config": {"name": "l1", "prefix": "2001:db8:1::/48"}}]},
     "segment-lists": {"segment-list": [{"name": "one", "config": {"name": "one", "segment": ["2001:db8:2::1"]}}, {"name": "two", "config": {"name": "two", "segment": ["2001:db8:2::2"]}}]},
     "policies": {"policy": [{"name": "gold", "config": {"name": "gold", "color": 1, "endpoint": "2001:db8:4::1"},
       "candidate-paths": {"candidate-path": [{"name": "a", "config": {"name": "a"}, "segment-lists": {"segment-list": [{"name": "one", "config": {"name": "one"}}]}}]}}]}}},
   "protocols": {"protocol": [{"identifier": "STATIC", "name": "p", "config": {"identifier": "STATIC", "name": "p"}, "static-routes": {"static": [
     {"prefix": "10.1.0.0/16", "next-hops": {"next-hop": [{"index": "0", "srv6-policy": {"config": {"policy": "gold"}}}]}},
     {"prefix": "10.2.0.0/16", "next-hops": {"next-hop": [{"index": "0", "config": {"next-hop": "192.0.2.9"}}]}}]}}]}},
  {"name": "v1", "config": {"name": "v1", "type": "L3VRF"},
   "protocols": {"protocol": [{"identifier": "STATIC", "name": "p", "config": {"identifier": "STATIC", "name": "p"}, "static-routes": {"static": [
     {"prefix": "10.1.0.0/16", "next-hops": {"next-hop": [{"index": "0", "config": {"next-hop": "2001:db8:4::1"}, "srv6-policy": {"config": {"color": 1}}}]}},
     {"prefix": "10.2.0.0/16", "next-hops": {"next-hop": [{"index": "0", "config": {"network-instance": "DEFAULT"}}]}}]}}]}}]}}`

func (w *world) commit(edits []schema.Edit) {
	next, changes, err := w.config.Apply(edits)
	if err != nil || len(w.rules.Check(w.config, next, changes)) > 0 {
		w.done["refused"]++
		return
	}
	if errs := w.rules.Check(modeltest.New(w.model.Schema, schema.Entries{}), next, next.All()); len(errs) > 0 {
		w.t.Fatalf("as a change this was accepted, as a whole it is refused: %v", errs)
	}
	fresh := all.Engine(w.model)
	fresh.Look(w.kernel)
	whole, wholeErr := fresh.Prepare(modeltest.New(w.model.Schema, schema.Entries{}), next, next.All())
	d, err := w.engine.Prepare(w.config, next, changes)
	if (err == nil) != (wholeErr == nil) {
		w.t.Fatalf("changed: %v\nwhole: %v", err, wholeErr)
	}
	if err != nil {
		w.done["in conflict"]++
		return
	}
	undo := d.Commit()
	if rapid.Bool().Draw(w.t, "undo") {
		undo()
		again, err := w.engine.Prepare(w.config, next, changes)
		if err != nil {
			w.t.Fatalf("after undo: %v", err)
		}
		if diff := cmp.Diff(deltaText(d), deltaText(again)); diff != "" {
			w.t.Fatalf("after undo (-before +after):\n%s", diff)
		}
		again.Commit()
	}
	w.done["committed"]++
	w.config = next
	w.state.apply(w.t, w.model, d)
	want := state{objects: map[object.Key]string{}, withheld: map[string]string{}}
	want.apply(w.t, w.model, whole)
	whole.Commit()
	w.settle(w.engine, w.state)
	w.settle(fresh, want)
	if diff := cmp.Diff(want.objects, w.state.objects); diff != "" {
		w.t.Fatalf("objects (-whole +changed):\n%s", diff)
	}
	if diff := cmp.Diff(want.withheld, w.state.withheld); diff != "" {
		w.t.Fatalf("withheld (-whole +changed):\n%s", diff)
	}
}

func (s state) apply(t *rapid.T, m *translators.Model, d *translators.Delta) {
	for _, c := range d.Changes {
		if _, had := s.objects[c.Key]; had != (c.Old != nil) {
			t.Fatalf("%s: the engine says it was %v, had it: %t", c.Key, c.Old, had)
		}
		if c.Want == nil {
			delete(s.objects, c.Key)
			continue
		}
		if c.Want.Key() != c.Key {
			t.Fatalf("change of %s wants %s", c.Key, c.Want.Key())
		}
		s.objects[c.Key] = fmt.Sprintf("%s needs %v", c.Want, c.Want.Needs(nil))
	}
	for _, w := range d.Withheld {
		if k := m.Text(w.Entry); w.Reason == "" {
			delete(s.withheld, k)
		} else {
			s.withheld[k] = w.Reason
		}
	}
}

func deltaText(d *translators.Delta) []string {
	var lines []string
	for _, c := range d.Changes {
		lines = append(lines, fmt.Sprintf("%s: %v => %v", c.Key, c.Old, c.Want))
	}
	for _, w := range d.Withheld {
		lines = append(lines, fmt.Sprintf("%v %s", w.Entry, w.Reason))
	}
	slices.Sort(lines)
	return lines
}

var (
	links     = []string{"a", "b", "c", "t", "sr0", "lo"}
	vrfs      = []string{"v1", "v2"}
	instances = append([]string{"DEFAULT"}, vrfs...)
	prefixes  = []string{"10.1.0.0/16", "10.2.0.0/16", "2001:db8:9::/48", "2001:db8:1::/48", "2001:db8:1::1/128"}
	policies  = []string{"gold", "tin"}
	colors    = []string{"1", "2"}
	lists     = []string{"one", "two"}
	sids      = []string{"2001:db8:1::1", "2001:db8:1::2", "2001:db8:2::1"}
)

// edit draws one edit. Most of what is drawn makes sense on its own; whether it
// makes sense together is for references and rules to say.
func (w *world) edit() schema.Edit {
	kinds := map[string]func() (path, json string){
		"interface": w.interfaceEdit, "vlan": w.vlanEdit, "bridge": w.bridgeEdit, "address": w.addressEdit, "instance": w.instanceEdit,
		"member": w.memberEdit, "static": w.staticEdit, "protocol": w.protocolEdit,
		"srv6": w.srv6Edit, "proxy": w.proxyEdit, "sid": w.sidEdit, "sid2": w.sidEdit, "locator": w.locatorEdit, "hmac": w.hmacEdit, "dynamic": w.dynamicEdit, "dynamic2": w.dynamicEdit,
		"segments": w.segmentsEdit, "policy": w.policyEdit, "path": w.pathEdit, "path2": w.pathEdit,
	}
	path, json := kinds[w.pick("kind", slices.Sorted(maps.Keys(kinds)))]()
	if json != "" && rapid.IntRange(0, 5).Draw(w.t, "delete") == 0 {
		json = ""
	}
	op := schema.Update
	switch {
	case json == "":
		op = schema.Delete
	case rapid.Bool().Draw(w.t, "replace"):
		op = schema.Replace
	}
	return w.editOf(path, json, op)
}

func (w *world) editOf(path, json string, op schema.Op) schema.Edit {
	p, err := w.model.ParsePath(path)
	if err != nil {
		w.t.Fatalf("path %s: %v", path, err)
	}
	return schema.Edit{Op: op, Path: p, JSON: []byte(json), Encoding: schema.JSONIETF}
}

func (w *world) pick(label string, from []string) string {
	return rapid.SampledFrom(from).Draw(w.t, label)
}

func (w *world) enabled() string {
	return w.pick("enabled", []string{`"enabled": true`, `"enabled": true`, `"enabled": false`})
}

func (w *world) interfaceEdit() (string, string) {
	name := w.pick("link", links)
	kind := `"type": "` + w.pick("type", []string{"DUMMY", "softwareLoopback", "ethernetCsmacd"}) + `", `
	if name == "lo" || rapid.IntRange(0, 3).Draw(w.t, "typeless") == 0 {
		kind = ""
	}
	return "/interfaces/interface[name=" + name + "]", `{"config": {` + kind + w.enabled() + `}}`
}

func (w *world) vlanEdit() (string, string) {
	mtu := w.pick("mtu", []string{"", "", `, "mtu": 1400`, `, "mtu": 1500`})
	if rapid.Bool().Draw(w.t, "parent") {
		return "/interfaces/interface[name=" + w.pick("link", []string{"a", "t"}) + "]/config", `{` + w.enabled() + mtu + `}`
	}
	return "/interfaces/interface[name=" + w.pick("vlan", []string{"t", "u", "w"}) + "]",
		`{"config": {"type": "l2vlan"` + mtu + `}, "vlan": {"config": {"parent-interface": "` + w.pick("link", []string{"a", "b", "t", "u"}) +
			`", "vlan-id": ` + w.pick("number", []string{"7", "8"}) + `}}}`
}

// bridgeEdit is about a bridge, a port of it, or a VXLAN that may be one.
func (w *world) bridgeEdit() (string, string) {
	port := `"bridge-port": {"config": {"bridge": "br"}}`
	switch w.pick("what", []string{"bridge", "port", "vxlan"}) {
	case "bridge":
		return "/interfaces/interface[name=br]", `{"config": {"type": "bridge", ` + w.enabled() + `}}`
	case "port":
		return "/interfaces/interface[name=" + w.pick("link", links) + "]", `{` + port + `}`
	}
	parent := w.pick("parent", []string{"", `, "parent-interface": "a"`, `, "parent-interface": "br"`})
	return "/interfaces/interface[name=" + w.pick("vxlan", []string{"x", "y"}) + "]",
		`{"config": {"type": "VXLAN"}, "vxlan": {"config": {"vni": ` + w.pick("vni", []string{"1", "2"}) + parent + `}}, ` + port + `}`
}

func (w *world) addressEdit() (string, string) {
	sub := "/interfaces/interface[name=" + w.pick("link", links) + "]/subinterfaces/subinterface[index=0]"
	if rapid.Bool().Draw(w.t, "sub") {
		return sub, `{"config": {` + w.enabled() + `}}`
	}
	return sub + "/ipv4/addresses/address[ip=192.0.2." + w.pick("host", []string{"1", "2"}) + "]",
		`{"config": {"prefix-length": ` + w.pick("length", []string{"16", "24", "28"}) + `}}`
}

func (w *world) instanceEdit() (string, string) {
	name := w.pick("instance", instances)
	path := "/network-instances/network-instance[name=" + name + "]"
	if name == "DEFAULT" {
		return path + "/config", `{"name": "DEFAULT", "type": "DEFAULT_INSTANCE", ` + w.enabled() + `}`
	}
	table := w.pick("table", []string{"", `"table-id": 100, `, `"table-id": 200, `})
	return path + "/config", `{"name": "` + name + `", "type": "L3VRF", ` + table + w.enabled() + `}`
}

func (w *world) memberEdit() (string, string) {
	link := w.pick("link", links)
	return "/network-instances/network-instance[name=" + w.pick("instance", instances) + "]/interfaces/interface[id=" + link + "]",
		`{"config": {"interface": "` + link + `"}}`
}

func (w *world) protocolPath() string {
	return "/network-instances/network-instance[name=" + w.pick("instance", instances) + "]/protocols/protocol[identifier=STATIC][name=" +
		w.pick("protocol", []string{"p", "p", "q"}) + "]"
}

func (w *world) protocolEdit() (string, string) {
	return w.protocolPath() + "/config", `{"identifier": "STATIC", ` + w.enabled() + `}`
}

func (w *world) staticEdit() (string, string) {
	hop := func(index string) string {
		metric := w.pick("metric", []string{"", `, "metric": 10`})
		link := `"interface-ref": {"config": {"interface": "` + w.pick("link", links) + `"}}`
		encap := `"srv6-encapsulation": {"config": {` + w.pick("sign", []string{"", "", `"hmac-key-id": 7, `}) + `"segment-list": ["` + w.pick("segment", sids) + `"]}}`
		body := ", " + w.pick("way", []string{link, link + ", " + encap, encap})
		switch w.pick("leaf", []string{"", "", "neighbour", "instance", "both", "policy", "color"}) {
		case "policy":
			body = `, "srv6-policy": {"config": {"policy": "` + w.pick("policy", policies) + `"}}`
		case "color":
			body = `, "srv6-policy": {"config": {"color": ` + w.pick("color", colors) + `}}`
			metric += `, "next-hop": "2001:db8:4::1"`
		case "neighbour":
			body = ""
			metric += `, "wecmp-weight": 3, "next-hop": "192.0.2.` + w.pick("neighbour", []string{"2", "9", "99"}) + `"`
		case "instance":
			metric += `, "network-instance": "` + w.pick("instance", instances) + `"`
			body = ""
		case "both":
			metric += `, "preference": 2, "next-hop": "192.0.2.9", "network-instance": "` + w.pick("instance", instances) + `"`
			body = ""
		}
		if rapid.IntRange(0, 4).Draw(w.t, "drop") == 0 {
			return `{"index": "` + index + `", "config": {"index": "` + index + `", "next-hop": "DROP"` + metric + `}}`
		}
		return `{"index": "` + index + `", "config": {"index": "` + index + `"` + metric + `}` + body + `}`
	}
	prefix := w.pick("prefix", prefixes)
	hops := hop("0")
	if rapid.Bool().Draw(w.t, "two") {
		hops += ", " + hop("1")
	}
	return w.protocolPath() + "/static-routes/static[prefix=" + prefix + "]", `{"next-hops": {"next-hop": [` + hops + `]}}`
}

const srv6 = "/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6"

func (w *world) srv6Edit() (string, string) {
	switch w.pick("srv6", []string{"link", "source", "interface"}) {
	case "link":
		return srv6 + "/config/sid-interface", `"` + w.pick("link", links) + `"`
	case "source":
		return srv6 + "/config/source-address", `"2001:db8::1"`
	}
	link := w.pick("link", links)
	return srv6 + "/interfaces/interface[interface-id=" + link + "]", `{"config": {` + w.enabled() + `}}`
}

func (w *world) locatorEdit() (string, string) {
	n := w.pick("locator", []string{"1", "2"})
	lengths := w.pick("lengths", []string{"", `, "function-length": 16`, `, "function-length": 2`, `, "argument-length": 16`})
	return srv6 + "/locators/locator[name=l" + n + "]", `{"config": {"prefix": "2001:db8:` + n + `::/48"` + lengths + `}}`
}

func (w *world) sidEdit() (string, string) {
	body := w.pick("behavior", []string{
		`"behavior": "END"`,
		`"behavior": "END_X", "next-hop": "2001:db8:7::1"`,
		`"behavior": "END_X", "next-hop": "fe80::1", "interface": "` + w.pick("link", links) + `"`,
		`"behavior": "END_DT4", "network-instance": "` + w.pick("instance", vrfs) + `"`,
		`"behavior": "END_DT6", "network-instance": "` + w.pick("instance", instances) + `"`,
		`"behavior": "END_T", "network-instance": "` + w.pick("instance", instances) + `"`,
		`"behavior": "END_DX2", "interface": "` + w.pick("link", links) + `"`,
		`"behavior": "END_DX4"`,
		`"behavior": "END_DX6", "next-hop": "2001:db8:7::1"`,
		`"behavior": "END_B6_ENCAPS"`,
	})
	policy := w.pick("flavor", []string{"", "", `, "flavors": {"config": {"flavor": ["NEXT_CSID"], "locator-block-length": 64, "locator-node-function-length": 64}}`,
		`, "flavors": {"config": {"flavor": ["PSP"]}}`})
	if strings.Contains(body, "B6") {
		policy = `, "policy": {"config": {"segment-list": ["2001:db8:3::` + w.pick("segment", []string{"1", "2"}) + `"]}}`
	}
	return srv6 + "/sids/sid[address=" + w.pick("sid", sids) + "]", `{"config": {"standalone": true, ` + body + `}` + policy + `}`
}

func (w *world) proxyEdit() (string, string) {
	link := func(label string) string { return w.pick(label, []string{"a", "b", "c"}) }
	what := w.pick("behavior", []string{`END_AD"}`, `END_AD"}`, `END_AS"}`})
	nf := `"inner-type": "IPV4", "next-hop": "192.0.2.9", "outgoing-interface": "` + link("out") + `"`
	if rapid.Bool().Draw(w.t, "two arms") {
		nf += `, "incoming-interface": "` + link("in") + `"`
	}
	if strings.HasPrefix(what, "END_AS") {
		nf += `, "segment-list": ["2001:db8:3::1"]`
	}
	live := w.pick("liveness", []string{``, `"probe": "LINK"`, `"probe": "ICMP", "when-down": "BYPASS"`,
		`"probe": "NEIGHBOR", "when-down": "STANDBY", "standby-next-hop": "192.0.2.10", "standby-outgoing-interface": "` + link("standby") + `"`})
	if live != "" {
		live = `, "liveness": {"config": {` + live + `}}`
	}
	return srv6 + "/sids/sid[address=" + w.pick("sid", sids) + "]", `{"config": {"standalone": true, "behavior": "` + what + `, "proxy": {"config": {` + nf + `}` + live + `}}`
}

func (w *world) hmacEdit() (string, string) {
	return srv6 + "/hmac-keys/hmac-key[key-id=" + w.pick("key", []string{"7", "8"}) + "]", `{"config": {"secret-key": "` + w.pick("secret", []string{"a", "b"}) + `"}}`
}

func (w *world) dynamicEdit() (string, string) {
	body := w.pick("behavior", []string{
		`"behavior": "END"`,
		`"behavior": "END_X", "next-hop": "fe80::1", "interface": "` + w.pick("link", links) + `"`,
		`"behavior": "END_DT46", "network-instance": "` + w.pick("instance", vrfs) + `"`,
	})
	function := w.pick("function", []string{"", "", "", `, "function": 1`})
	return srv6 + "/dynamic-sids/dynamic-sid[name=" + w.pick("dynamic SID", []string{"d1", "d2", "d3"}) + "]",
		`{"config": {"locator": "l` + w.pick("locator", []string{"1", "2"}) + `", ` + body + function + `}}`
}

func (w *world) segmentsEdit() (string, string) {
	segments := `"` + w.pick("segment", sids) + `"`
	if rapid.Bool().Draw(w.t, "longer") {
		segments += `, "2001:db8:8::1"`
	}
	return srv6 + "/segment-lists/segment-list[name=" + w.pick("list", lists) + "]", `{"config": {"segment": [` + segments + `]}}`
}

// pathConfig is a candidate path of one of few shapes.
func (w *world) pathConfig() string {
	list := func() string {
		return `{"name": "` + w.pick("list", lists) + `", "config": {"weight": ` + w.pick("weight", []string{"1", "2", "3"}) + `}}`
	}
	both := list()
	if rapid.Bool().Draw(w.t, "two lists") {
		both += ", " + list()
	}
	return `"config": {"preference": ` + w.pick("preference", []string{"1", "2"}) + `, ` + w.enabled() + `}, "segment-lists": {"segment-list": [` + both + `]}`
}

func (w *world) policyEdit() (string, string) {
	leaves := w.pick("policy leaves", []string{
		w.enabled(),
		`"color": ` + w.pick("color", colors) + `, "endpoint": "2001:db8:4::1"`,
		`"binding-sid": "` + w.pick("sid", sids) + `"`,
		`"hmac-key-id": 7`,
	})
	return srv6 + "/policies/policy[name=" + w.pick("policy", policies) + "]",
		`{"config": {` + leaves + `}, "candidate-paths": {"candidate-path": [{"name": "a", ` + w.pathConfig() + `}]}}`
}

func (w *world) pathEdit() (string, string) {
	return srv6 + "/policies/policy[name=" + w.pick("policy", policies) + "]/candidate-paths/candidate-path[name=" + w.pick("path", []string{"a", "b"}) + "]",
		`{` + w.pathConfig() + `}`
}
