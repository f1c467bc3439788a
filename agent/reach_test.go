package agent

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"heddle/agent/datastore"
	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/schema"
)

const twoWays = `{"interfaces": {"interface": [
  {"name": "e1", "config": {"name": "e1"}, "subinterfaces": {"subinterface": [{"index": 0, "ipv6": {"addresses": {"address": [{"ip": "2001:db8:12::1", "config": {"prefix-length": 64}}]}}}]}},
  {"name": "e2", "config": {"name": "e2"}, "subinterfaces": {"subinterface": [{"index": 0, "ipv6": {"addresses": {"address": [{"ip": "2001:db8:13::1", "config": {"prefix-length": 64}}]}}}]}}]},
 "network-instances": {"network-instance": [{"name": "DEFAULT", "config": {"name": "DEFAULT", "type": "DEFAULT_INSTANCE"},
  "segment-routing": {"srv6": {
   "segment-lists": {"segment-list": [
    {"name": "by-e1", "config": {"name": "by-e1", "segment": ["2001:db8:12::2"]}},
    {"name": "by-e2", "config": {"name": "by-e2", "segment": ["2001:db8:13::3"]}}]},
   "policies": {"policy": [{"name": "gold", "config": {"name": "gold"}, "candidate-paths": {"candidate-path": [
    {"name": "a", "config": {"name": "a", "preference": 200}, "segment-lists": {"segment-list": [{"name": "by-e1"}]}},
    {"name": "b", "config": {"name": "b"}, "segment-lists": {"segment-list": [{"name": "by-e2"}]}}]}}]}}},
  "protocols": {"protocol": [{"identifier": "STATIC", "name": "static", "config": {"identifier": "STATIC", "name": "static"},
   "static-routes": {"static": [{"prefix": "10.1.0.0/16", "next-hops": {"next-hop": [{"index": "0", "srv6-policy": {"config": {"policy": "gold"}}}]}}]}}]}}]}}`

func errorOf[T any](_ T, err error) error { return err }

// noOthers is a kernel in which nobody else has routes; the fake one looks none up.
type noOthers struct{ slots }

func (noOthers) RouteTo(context.Context, netip.Addr) (object.Object, uint8, bool, error) {
	return nil, 0, false, nil
}

// TestPathsFollowLinks: a link that goes takes its path out of the choice, in the kernel
// and in state, and one that comes back puts it there again; without a valid path the
// routes stay, by segments to which there is no way.
func TestPathsFollowLinks(t *testing.T) {
	fake := kerneltest.NewFake()
	for _, l := range []string{"e1", "e2"} {
		if err := fake.Put(object.Link{Name: l, Type: object.LinkDummy}); err != nil {
			t.Fatal(err)
		}
		if err := fake.Put(object.LinkConfig{Link: l, Admin: object.AdminUp}); err != nil {
			t.Fatal(err)
		}
	}
	a := fakeAgent(t, fake, t.TempDir(), "e1", "e2")
	defer a.Close()
	a.reach.slots = noOthers{}
	if _, err := a.Commit(t.Context(), datastore.Request{Edits: []schema.Edit{edit(t, a.schema, schema.Replace, "/", twoWays)}}); err != nil {
		t.Fatal(err)
	}
	leaves := func() string {
		var lines []string
		for _, l := range strings.Split(shown(t, a.schema, a.tel), "\n") {
			l = strings.Trim(l, " ,")
			for _, leaf := range []string{`"active-candidate-path"`, `"valid"`, `"programmed-reason": "no c`} {
				if strings.HasPrefix(l, leaf) {
					lines = append(lines, l)
				}
			}
		}
		return strings.Join(lines, " ")
	}
	member := func() string {
		o, _ := fake.Get(object.SharedHopKey("@member/0/gold"))
		if o == nil {
			return ""
		}
		return o.(*object.SharedNextHop).Hop.Encap.Segments[0].String()
	}
	const first, second = "2001:db8:12::2", "2001:db8:13::3"
	for _, step := range []struct {
		link   string
		admin  object.Admin
		member string
		leaves string
	}{
		{"e1", object.AdminUp, first, `"active-candidate-path": "a" "valid": true "valid": true "valid": true "valid": true`},
		{"e1", object.AdminDown, second, `"active-candidate-path": "b" "valid": false "valid": false "valid": true "valid": true`},
		{"e2", object.AdminDown, first, `"programmed-reason": "no candidate path is valid, and packets are dropped: 2001:db8:12::2 is reached by e1, which is not there or is down" ` +
			`"valid": false "valid": false "valid": false "valid": false`},
		{"e2", object.AdminUp, second, `"active-candidate-path": "b" "valid": false "valid": false "valid": true "valid": true`},
		{"e1", object.AdminUp, first, `"active-candidate-path": "a" "valid": true "valid": true "valid": true "valid": true`},
	} {
		if err := fake.Put(object.LinkConfig{Link: step.link, Admin: step.admin}); err != nil {
			t.Fatal(err)
		}
		a.turn <- struct{}{}
		err := a.refreshPaths(t.Context())
		<-a.turn
		if err != nil {
			t.Fatal(err)
		}
		if got := member(); got != step.member {
			t.Errorf("%s %v: packets go to %s, want %s", step.link, step.admin, got, step.member)
		}
		if got := leaves(); got != step.leaves {
			t.Errorf("%s %v:\n%s\nwant\n%s", step.link, step.admin, got, step.leaves)
		}
		if _, ok := fake.Get(object.RouteKey(object.TableMain, netip.MustParsePrefix("10.1.0.0/16"), 0)); !ok {
			t.Errorf("%s %v: the route has gone", step.link, step.admin)
		}
	}

	refused := []schema.Edit{edit(t, a.schema, schema.Replace, "/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6/segment-lists",
		`{"segment-list": [{"name": "by-e1", "config": {"segment": ["2001:db8:14::1"]}}, {"name": "by-e2", "config": {"segment": ["2001:db8:14::1"]}}]}`)}
	before := fake.Snapshot()
	for what, err := range map[string]error{
		"Set":  errorOf(a.Commit(t.Context(), datastore.Request{Edits: refused})),
		"plan": errorOf(a.Plan(t.Context(), datastore.Request{Edits: refused}, nil)),
	} {
		if err == nil || !strings.Contains(err.Error(), "policy[name=gold]/candidate-paths: no candidate path is valid: ") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if now := fake.Snapshot(); now != before {
		t.Errorf("a Set that was refused has left\n%s\nthat was\n%s", now, before)
	}
}
