package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"heddle/agent/datastore"
	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/reconcile"
	"heddle/schema"
	"heddle/telemetry"
	"heddle/translators"
)

var update = flag.Bool("update", false, "rewrite the expected state in testdata")

// glog comes with ygot and keeps a goroutine from the start.
func TestMain(m *testing.M) {
	if runAsChild() {
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}

// fakeView shows telemetry the links of a fake kernel. A SID has counted as many
// packets as its octets say.
type fakeView struct {
	*kerneltest.Fake
	foreign []string // links that are not ours
}

func (v fakeView) Links(ctx context.Context) ([]object.LinkState, []object.AddressState, error) {
	names := v.foreign
	ours, err := v.Dump(ctx, object.KindLink)
	if err != nil {
		return nil, nil, err
	}
	for _, o := range ours {
		names = append(names, o.(object.Link).Name)
	}
	var links []object.LinkState
	var addresses []object.AddressState
	for i, name := range names {
		l, a, ok, err := v.Link(ctx, name)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			l.Index = i + 1
			links, addresses = append(links, l), append(addresses, a...)
		}
	}
	return links, addresses, nil
}

func (v fakeView) Link(ctx context.Context, name string) (object.LinkState, []object.AddressState, bool, error) {
	o, ok := v.Get(object.LinkKey(name))
	if !ok {
		return object.LinkState{}, nil, false, nil
	}
	link := o.(object.Link)
	l := object.LinkState{
		Name: name, Kind: string(link.Type), Type: 1, Table: link.Table, Peer: link.Peer,
		Ours: !slices.Contains(v.foreign, name), Oper: object.OperUp,
	}
	if name == "lo" {
		l.Type = 772
	}
	if c, ok := v.Get(object.LinkConfigKey(name)); ok {
		l.MTU, l.Up = c.(object.LinkConfig).MTU, c.(object.LinkConfig).Admin == object.AdminUp
	}
	if l.MTU == 0 {
		l.MTU = 1500 // the fake tells what was set
	}
	if m, ok := v.Get(object.MemberKey(name)); ok {
		l.Master = m.(object.Member).Master
	}
	all, err := v.Dump(ctx, object.KindAddress)
	var addresses []object.AddressState
	for _, o := range all {
		if a := o.(object.Address); a.Link == name {
			addresses = append(addresses, object.AddressState{Link: name, Prefix: a.Prefix, Ours: true, Permanent: true})
		}
	}
	return l, addresses, true, err
}

func (v fakeView) SIDCounters(ctx context.Context, _ []netip.Addr, fn func([]object.SIDReading)) error {
	all, err := v.Dump(ctx, object.KindLocalSID)
	for _, o := range all {
		fn([]object.SIDReading{{SID: o.(*object.LocalSID).SID}})
	}
	return err
}

func (v fakeView) Watch(context.Context) (<-chan telemetry.LinkEvent, error) { return nil, nil }

// fakeAgent is an agent on a fake kernel, with nobody who serves.
func fakeAgent(t rapid.TB, fake *kerneltest.Fake, dir string, foreign ...string) *Agent {
	t.Helper()
	a := newAgent(Config{StateDir: dir, Log: slog.New(slog.DiscardHandler)})
	startOn(t, a, fake, fakeView{fake, append([]string{"lo"}, foreign...)})
	return a
}

// startOn starts an agent on a kernel as far as it can be without one that serves.
func startOn(t rapid.TB, a *Agent, driver reconcile.Driver, view telemetry.Kernel) {
	t.Helper()
	if err := a.wire(driver, view, translators.Kernel{}); err != nil {
		t.Fatal(err)
	}
	if err := a.start(context.Background()); err != nil {
		t.Fatal(err)
	}
	a.late.wait()
}

func edit(t rapid.TB, sc *schema.Schema, op schema.Op, path, doc string) schema.Edit {
	t.Helper()
	p, err := sc.ParsePath(path)
	if err != nil {
		t.Fatal(err)
	}
	e := schema.Edit{Op: op, Path: p, Encoding: schema.JSONIETF}
	if op != schema.Delete {
		e.JSON = []byte(doc)
	}
	return e
}

// shown is the whole state of the tree, links and counters read just now.
func shown(t rapid.TB, sc *schema.Schema, tel *telemetry.Telemetry) string {
	t.Helper()
	if err := tel.Refresh(context.Background(), []schema.Path{{}}); err != nil {
		t.Fatal(err)
	}
	var b, indented bytes.Buffer
	if _, err := sc.EncodeJSON(&b, []schema.Tree{tel.Snapshot()}, nil, schema.EncodeOptions{Encoding: schema.JSONIETF}); err != nil {
		t.Fatal(err)
	}
	if err := json.Indent(&indented, b.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	return volatile.ReplaceAllString(indented.String()+"\n", `"$1": "..."`)
}

// volatile is what depends on the machine, the run, or the links' history.
var volatile = regexp.MustCompile(`"(last-change|ifindex|boot-time|agent-start-time|hostname|kernel-release|software-version)": "?[^",]*"?`)

// fresh is the state of a telemetry that has seen nothing but the present.
func fresh(t rapid.TB, a *Agent, view telemetry.Kernel) string {
	t.Helper()
	tel, err := telemetry.New(telemetry.Config{
		Schema: a.schema, Kernel: view, Intent: a.applier, Actual: a.applier, Log: a.log,
		System: telemetry.System{AgentStart: a.started}, Drift: a.drift.counts,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer tel.Close()
	now := a.store.Snapshot()
	tel.Configured(now, now.Revision(), a.allEntries())
	return shown(t, a.schema, tel)
}

// TestExampleState applies examples/l3vpn to a fake kernel: its state is in
// testdata, for people as well.
func TestExampleState(t *testing.T) {
	for router, links := range map[string][]string{"pe3": {"e1", "e3"}, "cr1": {"e3", "e4"}, "pe4": {"e1", "e4"}} {
		t.Run(router, func(t *testing.T) {
			fake := kerneltest.NewFake()
			for _, l := range links {
				for _, o := range []object.Object{object.Link{Name: l, Type: object.LinkVeth, Peer: l + "-far"}, object.LinkConfig{Link: l, Admin: object.AdminUp, MTU: 1500}} {
					if err := fake.Put(o); err != nil {
						t.Fatal(err)
					}
				}
			}
			a := fakeAgent(t, fake, t.TempDir(), links...)
			defer a.Close()
			doc, err := os.ReadFile("../examples/l3vpn/" + router + ".json")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.Commit(t.Context(), datastore.Request{Edits: []schema.Edit{edit(t, a.schema, schema.Replace, "/", string(doc))}}); err != nil {
				t.Fatal(err)
			}
			got := shown(t, a.schema, a.tel)
			file := filepath.Join("testdata", "l3vpn-"+router+".json")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("%s (-want +got):\n%s", file, d)
			}
		})
	}
}

// TestStateEqualsFresh does random Sets, some of which fail at a random step of
// the kernel: after each the state is that of a telemetry that is made new, and
// after a restart, too.
func TestStateEqualsFresh(t *testing.T) {
	done := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "heddle-state-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		fake := kerneltest.NewFake()
		view := fakeView{fake, []string{"lo", "ext0", "ext1"}}
		a := fakeAgent(t, fake, dir, "ext0", "ext1")
		defer func() { a.Close() }()
		for range rapid.IntRange(1, 12).Draw(t, "sets") {
			var edits []schema.Edit
			for range rapid.IntRange(1, 4).Draw(t, "edits") {
				edits = append(edits, drawEdit(t, a.schema))
			}
			if rapid.IntRange(0, 4).Draw(t, "fails") == 0 {
				fake.FailOps(errors.New("injected"), rapid.IntRange(1, 6).Draw(t, "at"))
			}
			_, err := a.Commit(context.Background(), datastore.Request{Edits: edits})
			fake.FailWith(nil)
			if err != nil {
				done["refused"]++
				// What the background would do.
				a.refreshState(nil)
			} else {
				done["committed"]++
			}
			got := shown(t, a.schema, a.tel)
			if d := cmp.Diff(fresh(t, a, view), got); d != "" {
				t.Fatalf("after a Set that came to %v (-fresh +state):\n%s", err, d)
			}
		}
		before := shown(t, a.schema, a.tel)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		a = fakeAgent(t, fake, dir, "ext0", "ext1")
		if d := cmp.Diff(before, shown(t, a.schema, a.tel)); d != "" {
			t.Fatalf("after a restart (-before +after):\n%s", d)
		}
	})
	t.Logf("Sets: %v", done)
	if done["committed"] < done["refused"]/5 {
		t.Error("too few Sets were good: the test hardly tests anything")
	}
}

const (
	inDefault = "/network-instances/network-instance[name=DEFAULT]"
	inBlue    = "/network-instances/network-instance[name=blue]"
	srv6      = inDefault + "/segment-routing/srv6"
)

// drawEdit draws an edit on a small world, where everything has a chance to refer
// to everything.
func drawEdit(t *rapid.T, sc *schema.Schema) schema.Edit {
	pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label) }
	enabled := pick("enabled", "true", "true", "false")
	link := pick("link", "ext0", "ext1", "d0", "sr0")
	kind := ""
	if link != "ext0" && link != "ext1" {
		kind = `"type": "` + pick("type", "DUMMY", "softwareLoopback") + `", `
	}
	instance := pick("instance", inDefault, inBlue)
	protocol := instance + "/protocols/protocol[identifier=STATIC][name=s]"
	sid := pick("sid", "2001:db8:1::1", "2001:db8:1::2", "2001:db8:1::3")
	draw := map[string][2]string{
		"interface": {"/interfaces/interface[name=" + link + "]", `{"config": {` + kind + `"description": "` + enabled + `", "enabled": ` + enabled + `}}`},
		"address": {"/interfaces/interface[name=" + link + "]/subinterfaces/subinterface[index=0]/ipv6/addresses/address[ip=2001:db8:7::1]",
			`{"config": {"prefix-length": 64}}`},
		"default":  {inDefault + "/config", `{"type": "DEFAULT_INSTANCE", "enabled": ` + enabled + `}`},
		"blue":     {inBlue + "/config", `{"type": "L3VRF", "table-id": ` + pick("table", "100", "200") + `, "enabled": ` + enabled + `}`},
		"member":   {instance + "/interfaces/interface[id=m]", `{"config": {"interface": "` + link + `"}}`},
		"protocol": {protocol + "/config", `{"identifier": "STATIC", "enabled": ` + enabled + `}`},
		"static": {protocol + "/static-routes/static[prefix=" + pick("prefix", "10.1.0.0/16", "2001:db8:9::/48") + "]", `{"next-hops": {"next-hop": [` +
			pick("hop", `{"index": "a", "config": {"next-hop": "DROP"}}`,
				`{"index": "a", "interface-ref": {"config": {"interface": "`+link+`"}}}`,
				`{"index": "a", "srv6-encapsulation": {"config": {"segment-list": ["`+sid+`"]}}}, {"index": "b", "config": {"metric": 7}, "interface-ref": {"config": {"interface": "`+link+`"}}}`) + `]}}`},
		"hop":     {protocol + "/static-routes/static[prefix=10.1.0.0/16]/next-hops/next-hop[index=c]", `{"config": {"metric": 9}, "interface-ref": {"config": {"interface": "` + link + `"}}}`},
		"sid":     {srv6 + "/sids/sid[address=" + sid + "]", `{"config": {"standalone": true, "behavior": "END"}}`},
		"sid in":  {srv6 + "/sids/sid[address=" + sid + "]", `{"config": {"standalone": true, "behavior": "END_DT6", "network-instance": "blue"}}`},
		"locator": {srv6 + "/locators/locator[name=l]", `{"config": {"prefix": "2001:db8:1::/48"}}`},
		"seg6":    {srv6 + "/interfaces/interface[interface-id=" + link + "]", `{"config": {"enabled": ` + enabled + `}}`},
		"source":  {srv6 + "/config", `{"source-address": "2001:db8:` + pick("source", "1", "2") + `::ff"}`},
		"carrier": {srv6 + "/config", `{"sid-interface": "` + pick("carrier", "sr0", "d0", "ext0") + `"}`},
	}
	d := draw[pick("kind", slices.Sorted(maps.Keys(draw))...)]
	switch rapid.IntRange(0, 5).Draw(t, "op") {
	case 0:
		return edit(t, sc, schema.Delete, d[0], "")
	case 1:
		return edit(t, sc, schema.Replace, d[0], d[1])
	}
	return edit(t, sc, schema.Update, d[0], d[1])
}

// TestWithheldElsewhere: a Set about an interface changes the state of what
// leaves by it, and its undo changes it back.
func TestWithheldElsewhere(t *testing.T) {
	fake := kerneltest.NewFake()
	a := fakeAgent(t, fake, t.TempDir(), "ext0")
	defer a.Close()
	const static = inDefault + "/protocols/protocol[identifier=STATIC][name=s]/static-routes/static[prefix=10.1.0.0/16]"
	set := func(op schema.Op, path, doc string) error {
		_, err := a.Commit(t.Context(), datastore.Request{Edits: []schema.Edit{edit(t, a.schema, op, path, doc)}})
		return err
	}
	state := func() string {
		var b bytes.Buffer
		p, err := a.schema.ParsePath(static + "/state")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.schema.EncodeJSON(&b, []schema.Tree{a.tel.Snapshot()}, p, schema.EncodeOptions{}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for _, step := range [][2]string{
		{"/interfaces/interface[name=ext0]/config", `{"enabled": true}`},
		{inDefault + "/config", `{"type": "DEFAULT_INSTANCE"}`},
		{static, `{"next-hops": {"next-hop": [{"index": "a", "interface-ref": {"config": {"interface": "ext0"}}}]}}`},
	} {
		if err := set(schema.Update, step[0], step[1]); err != nil {
			t.Fatal(err)
		}
	}
	const yes, no = `{"prefix":"10.1.0.0/16","programmed":true}`, `{"prefix":"10.1.0.0/16","programmed":false,"programmed-reason":"interface ext0 is disabled"}`
	if got := state(); got != yes {
		t.Error(got)
	}
	if err := set(schema.Update, "/interfaces/interface[name=ext0]/config/enabled", "false"); err != nil {
		t.Fatal(err)
	}
	if got := state(); got != no {
		t.Error(got)
	}
	fake.FailOps(errors.New("injected"), 2)
	if err := set(schema.Update, "/interfaces/interface[name=ext0]/config/enabled", "true"); err == nil {
		t.Fatal("the kernel refused a step and the Set was good")
	}
	fake.FailWith(nil)
	if got := state(); got != no {
		t.Error(got)
	}
	if err := set(schema.Delete, "/interfaces/interface[name=ext0]/config/enabled", ""); err != nil {
		t.Fatal(err)
	}
	if got := state(); got != yes {
		t.Error(got)
	}
}

// TestSharedHopTaken: what somebody does to a nexthop object is the state of all
// routes that leave by it.
func TestSharedHopTaken(t *testing.T) {
	fake := kerneltest.NewFake()
	a := newAgent(Config{StateDir: t.TempDir(), Log: slog.New(slog.DiscardHandler), Drift: DriftReport})
	startOn(t, a, fake, fakeView{fake, []string{"lo"}})
	defer a.Close()
	hop := `{"next-hops": {"next-hop": [{"index": "a", "srv6-encapsulation": {"config": {"segment-list": ["2001:db8:1::1"]}}}]}}`
	var edits []schema.Edit
	for _, p := range []string{"10.1.0.0/16", "10.2.0.0/16", "2001:db8:9::/48"} {
		edits = append(edits, edit(t, a.schema, schema.Update, realStatics+"[prefix="+p+"]", hop))
	}
	edits = append(edits, edit(t, a.schema, schema.Update, inDefault+"/config", `{"type": "DEFAULT_INSTANCE"}`))
	if _, err := a.Commit(t.Context(), datastore.Request{Edits: edits}); err != nil {
		t.Fatal(err)
	}
	hops, err := fake.Dump(t.Context(), object.KindNextHop)
	if err != nil || len(hops) != 1 {
		t.Fatalf("nexthop objects %v, %v", hops, err)
	}
	other := *hops[0].(*object.SharedNextHop)
	other.Hop.Encap = &object.Encap{Mode: object.HEncaps, Segments: []netip.Addr{netip.MustParseAddr("2001:db8:6::6")}}
	if err := fake.Put(&other); err != nil {
		t.Fatal(err)
	}
	if _, err := a.rec.Repair(t.Context(), reconcile.Look{Kinds: []object.Kind{object.KindNextHop}}); err != nil {
		t.Fatal(err)
	}
	a.refreshState(nil)
	now := shown(t, a.schema, a.tel)
	if n := strings.Count(now, "the kernel does not hold nexthop"); n != 3 {
		t.Errorf("%d of 3 routes say what is wrong: %s", n, now)
	}
}

// TestCommitGivesUp: who waits for another Set waits as long as the client does.
func TestCommitGivesUp(t *testing.T) {
	a := fakeAgent(t, kerneltest.NewFake(), t.TempDir())
	defer a.Close()
	a.turn <- struct{}{}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(fmt.Errorf("gone"))
	if _, err := a.Commit(ctx, datastore.Request{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-a.turn
}
