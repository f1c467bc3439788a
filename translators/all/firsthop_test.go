package all_test

import (
	"fmt"
	"strings"
	"testing"

	"heddle/schema"
	"heddle/translators"
)

// ways is a default instance with two links, routes by them, and a policy with a path
// of two lists, by both, and one of one list.
const ways = `{"interfaces": {"interface": [
  {"name": "e1", "config": {"name": "e1"}, "subinterfaces": {"subinterface": [{"index": 0, "ipv6": {"addresses": {"address": [{"ip": "2001:db8:12::1", "config": {"prefix-length": 64}}]}}}]}},
  {"name": "e2", "config": {"name": "e2"}, "subinterfaces": {"subinterface": [{"index": 0, "ipv6": {"addresses": {"address": [{"ip": "2001:db8:13::1", "config": {"prefix-length": 64}}]}}}]}}]},
 "network-instances": {"network-instance": [{"name": "DEFAULT", "config": {"name": "DEFAULT", "type": "DEFAULT_INSTANCE"},
  "segment-routing": {"srv6": {
   "segment-lists": {"segment-list": [
    {"name": "by-e1", "config": {"name": "by-e1", "segment": ["2001:db8:0:2::e"]}},
    {"name": "by-e2", "config": {"name": "by-e2", "segment": ["2001:db8:0:3::e"]}},
    {"name": "beside-e2", "config": {"name": "beside-e2", "segment": ["2001:db8:13::9"]}}]},
   "policies": {"policy": [{"name": "gold", "config": {"name": "gold"}, "candidate-paths": {"candidate-path": [
    {"name": "a", "config": {"name": "a", "preference": 200}, "segment-lists": {"segment-list": [{"name": "by-e1", "config": {"weight": 3}}, {"name": "by-e2"}]}},
    {"name": "b", "config": {"name": "b"}, "segment-lists": {"segment-list": [{"name": "beside-e2"}]}}]}}]}}},
  "protocols": {"protocol": [{"identifier": "STATIC", "name": "static", "config": {"identifier": "STATIC", "name": "static"},
   "static-routes": {"static": [
    {"prefix": "2001:db8:0:2::/64", "next-hops": {"next-hop": [{"index": "0", "config": {"next-hop": "2001:db8:12::2"}}]}},
    {"prefix": "2001:db8:0:3::/64", "next-hops": {"next-hop": [{"index": "0", "config": {"next-hop": "2001:db8:13::3"}}]}}]}}]}}]}}`

// lists are the first segments that the group of the policy has, by weight, and what is
// withheld of the policy.
func (r *run) lists() string {
	var b strings.Builder
	for _, line := range strings.Split(r.wanted(), "\n") {
		if rest, ok := strings.CutPrefix(line, "nexthop @member/"); ok {
			_, segs, _ := strings.Cut(rest, " segs ")
			fmt.Fprintf(&b, "%s; ", strings.TrimSuffix(segs, " dev sr0"))
		}
		if rest, ok := strings.CutPrefix(line, "nexthop @policy/gold "); ok {
			b.WriteString(rest + "\n")
		}
	}
	for _, line := range strings.Split(r.withheld(), "\n") {
		if _, rest, ok := strings.Cut(line, "policy[name=gold]"); ok {
			b.WriteString(rest + "\n")
		}
	}
	return b.String()
}

// TestFirstHops: a list is valid while there is a way to its first segment, a path while
// one of its lists is; the best valid path is active.
func TestFirstHops(t *testing.T) {
	m := model(t)
	r := newRun(m)
	kernel := &kernelNow{links: map[string]translators.LinkFact{}}
	r.engine.Look(kernel)
	edit := func(op schema.Op, path, json string) {
		t.Helper()
		p, err := m.ParsePath(path)
		if err != nil {
			t.Fatal(err)
		}
		e := schema.Edit{Op: op, Path: p, Encoding: schema.JSONIETF}
		if json != "" {
			e.JSON = []byte(json)
		}
		if _, _, err := r.set([]schema.Edit{e}); err != nil {
			t.Fatal(err)
		}
	}
	link := func(name string, f translators.LinkFact) func() { return func() { kernel.links[name] = f } }
	const (
		address = "/interfaces/interface[name=e1]/subinterfaces/subinterface[index=0]/ipv6/addresses/address[ip=2001:db8:12::1]"
		statics = "/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=static]/static-routes"
		path    = "/candidate-paths/candidate-path[name="
		both    = "2001:db8:0:2::e; 2001:db8:0:3::e; group @member/0/gold,3 @member/1/gold,1\n"
		second  = "2001:db8:0:3::e; group @member/0/gold,1\n"
	)
	lost1 := path + "a]/segment-lists/segment-list[name=by-e1]: 2001:db8:0:2::e is reached by e1, which carries no packets\n"
	for _, step := range []struct {
		what string
		do   func()
		want string
	}{
		{"all links are up", func() { edit(schema.Update, "/", ways) }, both},
		{"e1 loses its carrier: the other list of the path takes all", link("e1", translators.LinkDead), second + lost1},
		{"a default route of somebody else does not help: the kernel keeps to the longer prefix", func() { kernel.leads = true }, second + lost1},
		{"and is taken when e1 is set down, with its routes", link("e1", translators.LinkAbsent), both},
		{"which is over", func() { kernel.leads = false },
			second + path + "a]/segment-lists/segment-list[name=by-e1]: 2001:db8:0:2::e is reached by e1, which is not there or is down\n"},
		{"e1 is back", link("e1", translators.LinkUp), both},
		{"e2 loses its carrier", link("e2", translators.LinkDead), "2001:db8:0:2::e; group @member/0/gold,1\n" +
			path + "a]/segment-lists/segment-list[name=by-e2]: 2001:db8:0:3::e is reached by e2, which carries no packets\n" +
			path + "b]: 2001:db8:13::9 is reached by e2, which carries no packets\n" +
			path + "b]/segment-lists/segment-list[name=beside-e2]: 2001:db8:13::9 is reached by e2, which carries no packets\n"},
		{"and e1 too: no path is valid, and the best one stays, to which packets have no way", link("e1", translators.LinkDead), both +
			": no candidate path is valid, and packets are dropped: 2001:db8:0:2::e is reached by e1, which carries no packets\n" +
			path + "a]: 2001:db8:0:2::e is reached by e1, which carries no packets\n" + lost1 +
			path + "a]/segment-lists/segment-list[name=by-e2]: 2001:db8:0:3::e is reached by e2, which carries no packets\n" +
			path + "b]: 2001:db8:13::9 is reached by e2, which carries no packets\n" +
			path + "b]/segment-lists/segment-list[name=beside-e2]: 2001:db8:13::9 is reached by e2, which carries no packets\n"},
		{"both are back", func() { clear(kernel.links) }, both},
		{"the route by e1 goes", func() { edit(schema.Delete, statics+"/static[prefix=2001:db8:0:2::/64]", "") },
			second + path + "a]/segment-lists/segment-list[name=by-e1]: no subnet of an address or static route of instance DEFAULT, and no other route of the kernel, leads to 2001:db8:0:2::e\n"},
		{"a shorter one comes", func() {
			edit(schema.Update, statics+"/static[prefix=::/0]", `{"next-hops": {"next-hop": [{"index": "0", "config": {"next-hop": "2001:db8:12::2"}}]}}`)
		}, both},
		{"one that drops goes before it", func() {
			edit(schema.Update, statics+"/static[prefix=2001:db8::/32]", `{"next-hops": {"next-hop": [{"index": "0", "config": {"next-hop": "DROP"}}]}}`)
		}, second + path + "a]/segment-lists/segment-list[name=by-e1]: the route to 2001:db8::/32 drops packets to 2001:db8:0:2::e\n"},
		{"the segment gets on the link", func() {
			edit(schema.Replace, address, `{"config": {"prefix-length": 28}}`)
		}, second + path + "a]/segment-lists/segment-list[name=by-e1]: the route to 2001:db8::/32 drops packets to 2001:db8:0:2::e\n"},
		{"by a longer prefix", func() {
			edit(schema.Replace, address, `{"config": {"prefix-length": 40}}`)
		}, both},
		{"e1 is disabled", func() { edit(schema.Update, "/interfaces/interface[name=e1]/config/enabled", "false") },
			second + path + "a]/segment-lists/segment-list[name=by-e1]: the route to 2001:db8::/32 drops packets to 2001:db8:0:2::e\n"},
		{"and enabled, and the segment is its address", func() {
			edit(schema.Update, "/interfaces/interface[name=e1]", `{"config": {"enabled": true}, "subinterfaces": {"subinterface": [{"index": 0, "ipv6": {"addresses": {"address": [{"ip": "2001:db8:0:2::e", "config": {"prefix-length": 64}}]}}}]}}`)
		}, second + path + "a]/segment-lists/segment-list[name=by-e1]: 2001:db8:0:2::e is an address of this node\n"},
		{"the segment is a SID of this node", func() {
			edit(schema.Delete, "/interfaces/interface[name=e1]/subinterfaces/subinterface[index=0]/ipv6/addresses/address[ip=2001:db8:0:2::e]", "")
			edit(schema.Update, "/interfaces/interface[name=e1]/config/enabled", "false")
			edit(schema.Update, "/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6/sids/sid[address=2001:db8:0:2::e]", `{"config": {"behavior": "END_DX6", "standalone": true}}`)
		}, both},
	} {
		step.do()
		for {
			d, err := r.engine.Refresh(r.config)
			if err != nil {
				t.Fatal(err)
			}
			if d == nil {
				break
			}
			d.Commit()
			if _, err := r.note(d); err != nil {
				t.Fatal(err)
			}
		}
		if got := r.lists(); got != step.want {
			t.Errorf("%s: got\n%swant\n%s", step.what, got, step.want)
		}
	}
}

// TestRefused: a change that leaves a policy without a way by configuration is refused,
// one that leaves it without a link is not.
func TestRefused(t *testing.T) {
	m := model(t)
	r := newRun(m)
	kernel := &kernelNow{links: map[string]translators.LinkFact{"e1": translators.LinkDead, "e2": translators.LinkDead}}
	r.engine.Look(kernel)
	prepare := func(op schema.Op, path, json string) error {
		t.Helper()
		p, err := m.ParsePath(path)
		if err != nil {
			t.Fatal(err)
		}
		next, changes, err := r.config.Apply([]schema.Edit{{Op: op, Path: p, Encoding: schema.JSONIETF, JSON: []byte(json)}})
		if err != nil {
			t.Fatal(err)
		}
		d, err := r.engine.Prepare(r.config, next, changes)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Refusal(); err != nil {
			return err
		}
		d.Commit()
		r.config = next
		return nil
	}
	if err := prepare(schema.Update, "/", ways); err != nil {
		t.Fatal(err)
	}
	if d, err := r.engine.Refresh(r.config); err != nil || d == nil || d.Refusal() != nil {
		t.Fatalf("links that are down: %v, %v", d, err)
	} else {
		d.Commit()
	}
	if err := prepare(schema.Delete, "/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6/policies/policy[name=gold]/candidate-paths/candidate-path[name=b]", ""); err != nil {
		t.Fatal(err)
	}
	err := prepare(schema.Delete, "/network-instances/network-instance[name=DEFAULT]/protocols", "")
	want := "/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6/policies/policy[name=gold]/candidate-paths: no candidate path is valid: "
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("without a way: %v", err)
	}
	kernel.leads = true
	if err := prepare(schema.Update, "/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6/segment-lists/segment-list[name=far]/config", `{"segment": ["2001:db8:77::1"]}`); err != nil {
		t.Error(err)
	}
	if err := prepare(schema.Replace, "/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6/policies/policy[name=gold]",
		`{"config": {"name": "gold"}, "candidate-paths": {"candidate-path": [{"name": "a", "segment-lists": {"segment-list": [{"name": "far"}]}}]}}`); err != nil {
		t.Errorf("by a route that is not ours: %v", err)
	}
}
