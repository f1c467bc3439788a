package agent

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"heddle/schema"
)

// The small world of the random edits, where everything has a chance to refer to
// everything. ext0, ext1 and lo are there, gone is not, and blue is also the name
// of a VRF.
var (
	worldLinks     = []string{"ext0", "ext1", "ext0", "ext1", "d0", "d1", "sr0", "v0", "v1", "t0", "t1", "x0", "b0", "lo", "gone", "blue"}
	worldInstances = []string{"DEFAULT", "DEFAULT", "blue", "red"}
	worldPrefixes  = []string{"10.1.0.0/16", "10.2.0.0/16", "2001:db8:9::/48", "2001:db8:1::/48", "2001:db8:1::1/128"}
	worldSIDs      = []string{"2001:db8:1::1", "2001:db8:1::2", "2001:db8:2::1", "2001:db8:1::"}
)

// baseWorld is a configuration in which most edits make sense.
const baseWorld = `{
	"interfaces": {"interface": [
		{"name": "ext0", "subinterfaces": {"subinterface": [{"index": 0,
			"ipv4": {"addresses": {"address": [{"ip": "10.0.1.1", "config": {"prefix-length": 24}}, {"ip": "10.0.2.1", "config": {"prefix-length": 24}}]}},
			"ipv6": {"addresses": {"address": [{"ip": "2001:db8:7::1", "config": {"prefix-length": 64}}]}}}]}},
		{"name": "ext1"}, {"name": "d0", "config": {"type": "DUMMY"}}]},
	"network-instances": {"network-instance": [
		{"name": "DEFAULT", "config": {"type": "DEFAULT_INSTANCE"},
			"segment-routing": {"srv6": {
				"config": {"source-address": "2001:db8::1"},
				"locators": {"locator": [{"name": "l1", "config": {"prefix": "2001:db8:1::/48"}}]},
				"sids": {"sid": [{"address": "2001:db8:1::1", "config": {"behavior": "END"}},
					{"address": "2001:db8:1::2", "config": {"behavior": "END_DT4", "network-instance": "blue"}}]}}},
			"protocols": {"protocol": [{"identifier": "STATIC", "name": "s", "static-routes": {"static": [
				{"prefix": "10.1.0.0/16", "next-hops": {"next-hop": [{"index": "a", "config": {"next-hop": "10.0.1.7"}, "interface-ref": {"config": {"interface": "ext0"}}}]}},
				{"prefix": "10.2.0.0/16", "next-hops": {"next-hop": [{"index": "a", "srv6-encapsulation": {"config": {"segment-list": ["2001:db8:2::1"]}}}]}}]}}]}},
		{"name": "blue", "config": {"type": "L3VRF", "table-id": 100},
			"interfaces": {"interface": [{"id": "m", "config": {"interface": "ext1"}}]}}]}}`

// drawer draws edits.
type drawer struct {
	t   *rapid.T
	now leaves   // what is configured
	old []leaves // what was
}

func (d drawer) pick(label string, from ...string) string {
	return rapid.SampledFrom(from).Draw(d.t, label)
}

// one is true once in n times.
func (d drawer) one(n int, label string) bool { return rapid.IntRange(1, n).Draw(d.t, label) == 1 }

func (d drawer) edits() []request {
	if len(d.now) == 0 && d.one(2, "base") {
		return []request{{op: schema.Replace, path: "/", doc: baseWorld}}
	}
	edits := make([]request, rapid.IntRange(1, 4).Draw(d.t, "edits"))
	for i := range edits {
		edits[i] = d.edit()
	}
	return edits
}

// edit draws one edit. Most make sense on their own; whether they make sense
// together is for references and rules to say.
func (d drawer) edit() request {
	kinds := map[string]func() request{
		"interface": d.interfaceEdit, "veth": d.vethEdit, "vlan": d.vlanEdit, "tunnel": d.tunnelEdit, "bridge": d.bridgeEdit, "address": d.addressEdit, "neighbour": d.neighbourEdit, "instance": d.instanceEdit,
		"member": d.memberEdit, "protocol": d.protocolEdit, "static": d.staticEdit, "static2": d.staticEdit, "hop": d.hopEdit,
		"srv6": d.srv6Edit, "locator": d.locatorEdit, "sid": d.sidEdit, "sid2": d.sidEdit,
		"leaf": d.leafEdit, "many": d.manyEdit, "back": d.backEdit, "wrong": d.wrongEdit,
	}
	r := kinds[d.pick("kind", slices.Sorted(maps.Keys(kinds))...)]()
	if r.op == 0 {
		r.op = rapid.SampledFrom([]schema.Op{schema.Update, schema.Update, schema.Replace, schema.Delete}).Draw(d.t, "op")
	}
	if r.op == schema.Delete {
		r.doc = ""
	}
	return r
}

func (d drawer) enabled() string {
	return `"enabled": ` + d.pick("enabled", "true", "true", "false")
}

func (d drawer) link() string { return d.pick("link", worldLinks...) }

func interfacePath(name string) string { return "/interfaces/interface[name=" + name + "]" }

func (d drawer) interfaceEdit() request {
	link := d.link()
	config := []string{d.enabled()}
	switch link {
	case "ext0", "ext1", "lo":
	case "d0", "d1", "sr0":
		config = append(config, `"type": "`+d.pick("type", "DUMMY", "softwareLoopback")+`"`)
	default:
		if d.one(2, "typed") {
			config = append(config, `"type": "`+d.pick("type", "DUMMY", "ethernetCsmacd", "VRF")+`"`)
		}
	}
	if d.one(3, "mtu") {
		config = append(config, `"mtu": `+d.pick("octets", "1400", "1500", "1200"))
	}
	if d.one(3, "described") {
		config = append(config, `"description": "`+d.pick("description", "a", "b")+`"`)
	}
	return request{path: interfacePath(link), doc: `{"config": {` + strings.Join(config, ", ") + `}}`}
}

// vethEdit is about a pair, mostly as a whole.
func (d drawer) vethEdit() request {
	end := func(name, peer string) string {
		return `{"name": "` + name + `", "config": {"type": "VETH"}, "veth": {"config": {"peer": "` + peer + `"}}}`
	}
	if d.one(4, "single") {
		return request{path: interfacePath("v0"), doc: end("v0", d.pick("peer", "v1", "d1", "v0"))}
	}
	return request{op: schema.Update, path: "/interfaces", doc: `{"interface": [` + end("v0", "v1") + ", " + end("v1", "v0") + `]}`}
}

// vlanEdit is about a VLAN, on a link that is there or is made, or on another one.
func (d drawer) vlanEdit() request {
	vlan := []string{`"parent-interface": "` + d.pick("parent", "ext0", "ext0", "ext1", "d0", "d1", "v0", "t0", "t1", "lo", "gone") + `"`}
	if !d.one(8, "numberless") {
		vlan = append(vlan, `"vlan-id": `+d.pick("number", "7", "8"))
	}
	if d.one(3, "tagged") {
		vlan = append(vlan, `"tpid": "`+d.pick("tag", "TPID_0X8100", "TPID_0X88A8")+`"`)
	}
	config := []string{`"type": "l2vlan"`, d.enabled()}
	if d.one(3, "mtu") {
		config = append(config, `"mtu": `+d.pick("octets", "1300", "1500", "1600"))
	}
	return request{path: interfacePath(d.pick("vlan", "t0", "t1")),
		doc: `{"config": {` + strings.Join(config, ", ") + `}, "vlan": {"config": {` + strings.Join(vlan, ", ") + `}}}`}
}

// tunnelEdit is about a tunnel, of one kind by each name.
func (d drawer) tunnelEdit() request {
	config := `{"config": {` + d.enabled() + `, "type": `
	if d.one(2, "vxlan") {
		x := `"vni": ` + d.pick("vni", "5", "6")
		if d.one(2, "parent") {
			x += `, "parent-interface": "` + d.pick("parent", "ext0", "d0", "t0", "x0", "gone") + `"`
		}
		return request{path: interfacePath(d.pick("name", "x0", "x1")), doc: config + `"VXLAN"}, "vxlan": {"config": {` + x + `}}}`}
	}
	end := func(label string) string {
		return d.pick(label, "10.0.1.1", "10.0.1.7", "2001:db8:7::1", "2001:db8:7::9")
	}
	g := `"src": "` + end("src") + `", "dst": "` + end("dst") + `"`
	if d.one(2, "keyed") {
		g += `, "gre-key": ` + d.pick("key", "0", "1")
	}
	return request{path: interfacePath(d.pick("name", "g0", "g1")), doc: config + `"` + d.pick("type", "tunnel", "tunnel", "GRETAP") + `"}, "tunnel": {"config": {` + g + `}}}`}
}

// bridgeEdit is about a bridge, or a port of one.
func (d drawer) bridgeEdit() request {
	if d.one(3, "bridge") {
		return request{path: interfacePath("b0"), doc: `{"config": {"type": "bridge", ` + d.enabled() + `}}`}
	}
	return request{path: interfacePath(d.link()) + "/bridge-port/config/bridge", doc: `"` + d.pick("of", "b0", "b0", "b0", "d0") + `"`}
}

func (d drawer) addressEdit() request {
	sub := interfacePath(d.link()) + "/subinterfaces/subinterface[index=" + d.pick("subinterface", "0", "0", "0", "0", "1") + "]"
	if d.one(4, "sub") {
		return request{path: sub, doc: `{"config": {` + d.enabled() + `}}`}
	}
	a := d.pick("address", "10.0.1.1/24", "10.0.1.9/24", "10.0.2.1/24", "10.0.1.0/24", "2001:db8:7::1/64", "2001:db8:7::2/64", "2001:db8:3::1/64", "ff02::1/64")
	ip, length, _ := strings.Cut(a, "/")
	family := "ipv4"
	if strings.Contains(ip, ":") {
		family = "ipv6"
	}
	return request{path: sub + "/" + family + "/addresses/address[ip=" + ip + "]", doc: `{"config": {"prefix-length": ` + length + `}}`}
}

func (d drawer) neighbourEdit() request {
	ip, family := d.pick("neighbour", "10.0.1.7", "10.0.2.7", "2001:db8:7::9", "fe80::9"), "ipv4"
	if strings.Contains(ip, ":") {
		family = "ipv6"
	}
	return request{path: interfacePath(d.link()) + "/subinterfaces/subinterface[index=0]/" + family + "/neighbors/neighbor[ip=" + ip + "]",
		doc: `{"config": {"link-layer-address": "` + d.pick("mac", "02:00:00:00:00:01", "02:00:00:00:00:aa", "01:00:5e:00:00:01") + `"}}`}
}

func instancePath(name string) string {
	return "/network-instances/network-instance[name=" + name + "]"
}

func (d drawer) instance() string { return instancePath(d.pick("instance", worldInstances...)) }

func (d drawer) instanceEdit() request {
	name := d.pick("instance", worldInstances...)
	config := []string{d.enabled()}
	if name == "DEFAULT" || d.one(20, "default") {
		config = append(config, `"type": "DEFAULT_INSTANCE"`)
	} else {
		config = append(config, `"type": "L3VRF"`)
	}
	if name != "DEFAULT" && d.one(2, "numbered") {
		config = append(config, `"table-id": `+d.pick("table", "100", "200"))
	}
	path := instancePath(name)
	if d.one(2, "whole") {
		return request{path: path, doc: `{"config": {` + strings.Join(config, ", ") + `}}`}
	}
	return request{path: path + "/config", doc: "{" + strings.Join(config, ", ") + "}"}
}

func (d drawer) memberEdit() request {
	return request{path: d.instance() + "/interfaces/interface[id=" + d.pick("id", "m", "n") + "]",
		doc: `{"config": {"interface": "` + d.link() + `"}}`}
}

func (d drawer) protocol() string {
	return d.instance() + "/protocols/protocol[identifier=STATIC][name=" + d.pick("protocol", "s", "s", "t") + "]"
}

func (d drawer) protocolEdit() request {
	return request{path: d.protocol() + "/config", doc: `{"identifier": "heddle-policy-types:STATIC", ` + d.enabled() + `}`}
}

func (d drawer) static() string {
	return d.protocol() + "/static-routes/static[prefix=" + d.pick("prefix", worldPrefixes...) + "]"
}

// hop is the body of a next hop.
func (d drawer) hop(index string) string {
	config := []string{`"index": "` + index + `"`}
	if d.one(3, "metric") {
		config = append(config, `"metric": `+d.pick("of", "5", "1024"))
	}
	body := ""
	way := d.pick("way", "link", "link", "gateway", "gateway", "segments", "segments", "drop", "nowhere")
	if way == "link" || way == "gateway" || way == "segments" && d.one(3, "by link") {
		body += `, "interface-ref": {"config": {"interface": "` + d.link() + `"}}`
	}
	switch way {
	case "gateway":
		config = append(config, `"next-hop": "`+d.pick("gateway", "10.0.1.7", "10.0.2.7", "2001:DB8:7:0::9", "fe80::9")+`"`)
	case "drop":
		config = append(config, `"next-hop": "DROP"`)
	case "segments":
		segments := []string{`"` + d.pick("first", worldSIDs...) + `"`, `"` + d.pick("second", "2001:db8:5::1", "2001:db8:5::2") + `"`}
		mode := d.pick("mode", "", `"mode": "H_ENCAPS", `, `"mode": "heddle-srv6:H_ENCAPS_RED", `, `"mode": "H_INSERT", `, `"mode": "H_ENCAPS_L2", `, `"mode": "H_ENCAPS_L2_RED", `)
		body += `, "srv6-encapsulation": {"config": {` + mode + `"segment-list": [` + strings.Join(segments[:rapid.IntRange(1, 2).Draw(d.t, "segments")], ", ") + `]}}`
	}
	return `{"index": "` + index + `", "config": {` + strings.Join(config, ", ") + `}` + body + `}`
}

func (d drawer) staticEdit() request {
	hops := d.hop("a")
	if d.one(3, "two") {
		hops += ", " + d.hop("b")
	}
	return request{path: d.static(), doc: `{"next-hops": {"next-hop": [` + hops + `]}}`}
}

func (d drawer) hopEdit() request {
	index := d.pick("index", "a", "b", "c")
	at := d.static() + "/next-hops/next-hop[index=" + index + "]"
	if d.one(3, "longer") {
		return request{path: at + "/srv6-encapsulation/config/segment-list", doc: `["` + d.pick("segment", "2001:db8:5::3", "2001:db8:5::1") + `"]`}
	}
	return request{path: at, doc: d.hop(index)}
}

func (d drawer) srv6Edit() request {
	switch d.pick("srv6", "link", "source", "interface", "elsewhere") {
	case "link":
		return request{path: srv6 + "/config/sid-interface", doc: `"` + d.link() + `"`}
	case "source":
		return request{path: srv6 + "/config/source-address", doc: `"2001:db8::` + d.pick("source", "1", "2") + `"`}
	case "elsewhere":
		return request{path: inBlue + "/segment-routing/srv6/config/source-address", doc: `"2001:db8::1"`}
	}
	return request{path: srv6 + "/interfaces/interface[interface-id=" + d.link() + "]", doc: `{"config": {` + d.enabled() + `}}`}
}

func (d drawer) locatorEdit() request {
	return request{path: srv6 + "/locators/locator[name=l" + d.pick("locator", "1", "2") + "]",
		doc: `{"config": {"prefix": "2001:db8:` + d.pick("of", "1::/48", "2::/48", "1::/64") + `"}}`}
}

func (d drawer) sidEdit() request {
	behavior := d.pick("behavior", `"END"`, `"END_X", "next-hop": "2001:db8:7::9"`, `"END_X", "next-hop": "fe80::9", "interface": "`+d.link()+`"`,
		`"heddle-srv6:END_DT4", "network-instance": "`+d.pick("into", worldInstances...)+`"`,
		`"END_DT6", "network-instance": "`+d.pick("into", worldInstances...)+`"`,
		`"END_T", "network-instance": "`+d.pick("into", worldInstances...)+`"`,
		`"END_DX2", "interface": "`+d.link()+`"`, `"END_DX4"`, `"END_DX6", "next-hop": "2001:db8:7::9"`, `"END_B6"`, `"END_B6_ENCAPS"`)
	more := d.pick("flavors", "", "", "", `, "flavors": {"config": {"flavor": ["PSP"]}}`, `, "flavors": {"config": {"flavor": ["NEXT_CSID"]}}`)
	if strings.Contains(behavior, "B6") && !d.one(4, "without policy") {
		more = `, "policy": {"config": {"segment-list": ["` + d.pick("first", worldSIDs...) + `", "2001:db8:5::1"]}}`
	}
	return request{path: srv6 + "/sids/sid[address=" + d.pick("sid", worldSIDs...) + "]",
		doc: `{"config": {"standalone": ` + d.pick("standalone", "true", "true", "false") + `, "behavior": ` + behavior + `}` + more + `}`}
}

// leafEdit deletes something that is there: a leaf, or what is around it.
func (d drawer) leafEdit() request {
	if len(d.now) == 0 {
		return d.interfaceEdit()
	}
	path := d.pick("leaf", slices.Sorted(maps.Keys(d.now))...)
	if _, isKey := entryOfKey(path); isKey {
		path = path[:strings.LastIndexByte(path, '/')]
	}
	for range rapid.IntRange(0, 2).Draw(d.t, "up") {
		if i := strings.LastIndexByte(path, '/'); i > strings.LastIndexByte(path, ']') && i > 0 {
			path = path[:i]
		}
	}
	return request{op: schema.Delete, path: path}
}

// manyEdit is about many entries at once.
func (d drawer) manyEdit() request {
	switch d.pick("many", "wildcard", "list", "container", "all") {
	case "wildcard":
		return request{op: schema.Delete, path: d.pick("at", "/interfaces/interface[name=*]/config/description",
			"/network-instances/network-instance[name=*]/protocols/protocol[identifier=STATIC][name=s]/static-routes/static[prefix=10.1.0.0/16]",
			srv6+"/sids/sid[address=*]", interfacePath("ext0")+"/subinterfaces/subinterface[index=0]/ipv6/addresses/address[ip=*]")}
	case "list":
		return request{path: srv6 + "/sids", doc: `{"heddle-srv6:sid": [` + d.sidEntry("2001:db8:1::1") + `, ` + d.sidEntry("2001:db8:1::3") + `]}`}
	case "container":
		return request{op: schema.Delete, path: d.pick("at", "/interfaces", inDefault+"/protocols", inBlue+"/interfaces", srv6, srv6+"/locators")}
	}
	return request{op: schema.Delete, path: "/"}
}

func (d drawer) sidEntry(sid string) string {
	return `{"address": "` + sid + `", "config": {"address": "` + sid + `", "behavior": "heddle-srv6:` + d.pick("plain", "END", `END_DT6", "network-instance": "DEFAULT`) + `"}}`
}

// backEdit goes back to an earlier configuration as a whole.
func (d drawer) backEdit() request {
	if len(d.old) == 0 {
		return d.instanceEdit()
	}
	doc, err := rapid.SampledFrom(d.old).Draw(d.t, "back").document()
	if err != nil {
		panic(err) // it was configured
	}
	return request{op: schema.Replace, path: "/", doc: doc}
}

// wrongEdit is nothing that anybody could configure.
func (d drawer) wrongEdit() request {
	wrongs := []request{
		{path: interfacePath("ext0") + "/config/mtu", doc: "40"},
		{path: interfacePath("ext0") + "/config/mtu", doc: `"large"`},
		{path: interfacePath("ext0") + "/config", doc: `{"mtuu": 1400}`},
		{path: interfacePath("d0") + "/config", doc: `{"type": "SATELLITE"}`},
		{path: inBlue + "/config/table-id", doc: "254"},
		{path: srv6 + "/sids/sid[address=2001:db8:1::1]/config", doc: `{"next-hop": "10.0.1.7"}`},
		{path: srv6 + "/sids/sid[address=2001:db8:1::1]/config/address", doc: `"2001:db8:1::2"`, refused: "another key"},
		{path: interfacePath("ext0"), doc: "{}", op: schema.Replace, refused: "an entry of nothing"},
		{path: interfacePath("ext0") + "/config/name", op: schema.Delete, refused: "a key"},
		{path: "/network-instances/network-instance[name=a name that is too long]/config", doc: `{"type": "L3VRF"}`},
	}
	r := rapid.SampledFrom(wrongs).Draw(d.t, "wrong")
	if r.op == 0 {
		r.op = schema.Update
	}
	return r
}

// describe is a Set in words.
func describe(edits []request) string {
	lines := make([]string, len(edits))
	for i, e := range edits {
		lines[i] = fmt.Sprint(e)
	}
	return strings.Join(lines, "\n")
}
