package agent

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"heddle/agent/datastore"
	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/kernel/rtnl"
	"heddle/schema"
)

// oneNF is a node with an NF whose links are watched, and a standby NF.
const oneNF = `{"interfaces": {"interface": [
  {"name": "e1", "config": {"name": "e1"}, "subinterfaces": {"subinterface": [{"index": 0, "ipv4": {"addresses": {"address": [{"ip": "192.168.1.1", "config": {"prefix-length": 24}}]}}}]}},
  {"name": "e2", "config": {"name": "e2"}, "subinterfaces": {"subinterface": [{"index": 0, "ipv4": {"addresses": {"address": [{"ip": "192.168.2.1", "config": {"prefix-length": 24}}]}}}]}}]},
 "network-instances": {"network-instance": [{"name": "DEFAULT", "config": {"name": "DEFAULT", "type": "DEFAULT_INSTANCE"},
  "segment-routing": {"srv6": {"sids": {"sid": [{"address": "2001:db8:0:1:ad01::", "config": {"address": "2001:db8:0:1:ad01::", "behavior": "END_AD", "standalone": true},
   "proxy": {"config": {"inner-type": "IPV4", "next-hop": "192.168.1.2", "outgoing-interface": "e1"},
    "liveness": {"config": {"probe": "LINK", "up-multiplier": 2, %s}}}}]}}}}]}}`

const (
	toStandby = `"when-down": "STANDBY", "standby-next-hop": "192.168.2.2", "standby-outgoing-interface": "e2"`
	past      = `"when-down": "BYPASS"`
)

// node is an agent on a fake kernel with an NF.
type node struct {
	t    *testing.T
	fake *kerneltest.Fake
	dir  string
	*Agent
	now time.Time // of the probes
}

func newNode(t *testing.T) *node {
	n := &node{t: t, fake: kerneltest.NewFake(), dir: t.TempDir(), now: time.Now()}
	for _, l := range []string{"e1", "e2"} {
		n.put(object.Link{Name: l, Type: object.LinkDummy})
		n.link(l, object.AdminUp)
	}
	n.start()
	return n
}

func (n *node) put(o object.Object) {
	n.t.Helper()
	if err := n.fake.Put(o); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) link(name string, a object.Admin) {
	n.t.Helper()
	n.put(object.LinkConfig{Link: name, Admin: a})
}

func (n *node) start() {
	n.t.Helper()
	n.Agent = fakeAgent(n.t, n.fake, n.dir, "e1", "e2")
	n.reach.slots = noOthers{}
}

func (n *node) set(doc string) {
	n.t.Helper()
	if _, err := n.Commit(n.t.Context(), datastore.Request{Edits: []schema.Edit{edit(n.t, n.schema, schema.Replace, "/", doc)}}); err != nil {
		n.t.Fatal(err)
	}
}

// follow has the agent see what has happened, and probe so many intervals.
func (n *node) follow(intervals int) {
	n.t.Helper()
	n.reach.event(rtnl.Event{Kind: rtnl.EventResync})
	n.turn <- struct{}{}
	defer func() { <-n.turn }()
	refresh := func() {
		n.t.Helper()
		if err := n.refreshPaths(n.t.Context()); err != nil {
			n.t.Fatal(err)
		}
	}
	refresh()
	for range intervals {
		n.now = n.now.Add(time.Second)
		n.reach.nfs.due(n.now)
	}
	refresh()
	n.refreshState(nil)
}

// is compares where the kernel sends packets, and what state says of it.
func (n *node) is(when, mode, hop, leaves string) {
	n.t.Helper()
	got, at := "", ""
	if o, _ := n.fake.Get(object.ProxyKey(probeOf(0).SID)); o != nil {
		got = o.(*object.Proxy).Mode.String()
	}
	if o, _ := n.fake.Get(object.LocalSIDKey(probeOf(0).SID)); o != nil {
		at = o.(*object.LocalSID).NextHop.String()
	}
	if got != mode || at != hop {
		n.t.Errorf("%s: the kernel has %q to %q, want %q to %q", when, got, at, mode, hop)
	}
	var tree map[string]any
	if err := json.Unmarshal([]byte(shown(n.t, n.schema, n.tel)), &tree); err != nil {
		n.t.Fatal(err)
	}
	if got := strings.Join(livenessOf(tree), " "); got != leaves {
		n.t.Errorf("%s: state is\n%s, want\n%s", when, got, leaves)
	}
}

// livenessOf is what a state tree says of an NF.
func livenessOf(tree any) (leaves []string) {
	switch v := tree.(type) {
	case []any:
		for _, e := range v {
			leaves = append(leaves, livenessOf(e)...)
		}
	case map[string]any:
		for name, e := range v {
			if _, plain, _ := strings.Cut(name, ":"); name != "liveness" && plain != "liveness" {
				leaves = append(leaves, livenessOf(e)...)
				continue
			}
			s := e.(map[string]any)["state"].(map[string]any)
			for _, leaf := range []string{"reachability", "standby-reachability", "active", "transitions", "last-reason"} {
				if s[leaf] != nil {
					leaves = append(leaves, fmt.Sprint(s[leaf]))
				}
			}
		}
	}
	return leaves
}

// TestNFFollowsLinks: packets go by the standby NF while the NF's link carries nothing,
// or is not there, and back again when it has carried for a while; while both are down
// they are dropped.
func TestNFFollowsLinks(t *testing.T) {
	const (
		first, second = "192.168.1.2", "192.168.2.2"
		down          = " interface e1 is down or has no carrier"
	)
	n := newNode(t)
	defer func() { n.Close() }()
	n.set(fmt.Sprintf(oneNF, toStandby))
	n.follow(1)
	n.is("both are there", "nf", first, "REACHABLE REACHABLE PRIMARY 0")
	n.link("e1", object.AdminDown)
	n.follow(0)
	n.is("the link is down", "standby", second, "UNREACHABLE REACHABLE STANDBY 1"+down)
	n.link("e2", object.AdminDown)
	n.follow(5)
	n.is("both are down", "drop", first, "UNREACHABLE UNREACHABLE DROP 1"+down)
	n.link("e1", object.AdminUp)
	n.follow(1)
	n.is("the link is up for a moment", "drop", first, "UNREACHABLE UNREACHABLE DROP 1"+down)
	n.follow(1)
	n.is("and stays up", "nf", first, "REACHABLE UNREACHABLE PRIMARY 2"+down)

	n.set(fmt.Sprintf(oneNF, past))
	n.is("another policy", "nf", first, "REACHABLE PRIMARY 2"+down)
	n.link("e1", object.AdminDown)
	n.follow(0)
	n.is("packets go past", "bypass", first, "UNREACHABLE BYPASS 3"+down)

	// An agent that ends leaves it like that, and the next one goes on with it.
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n.link("e1", object.AdminUp)
	n.start()
	n.is("the next agent knows nothing yet", "bypass", first, "UNKNOWN BYPASS 0")
	n.now = time.Now()
	n.follow(0)
	n.is("and changes nothing", "bypass", first, "UNKNOWN BYPASS 0")
	n.follow(2)
	n.is("until it has seen the link", "nf", first, "REACHABLE PRIMARY 0")

	n.set(fmt.Sprintf(oneNF, `"down-multiplier": 5`))
	n.follow(1)
	n.link("e1", object.AdminDown)
	n.follow(0)
	n.is("without a policy packets are dropped", "drop", first, "UNREACHABLE DROP 1"+down)
	n.set(`{"network-instances": {"network-instance": [{"name": "DEFAULT", "config": {"name": "DEFAULT", "type": "DEFAULT_INSTANCE"}}]}}`)
	n.follow(0)
	if l := n.reach.nfs; len(l.all)+len(l.links)+len(l.byAddr)+len(l.queue) > 0 {
		t.Errorf("left behind a SID that is gone: %+v", l.all)
	}
}
