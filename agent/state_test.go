package agent

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"heddle/agent/datastore"
	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/reconcile"
	"heddle/schema"
)

var update = flag.Bool("update", false, "rewrite the expected state in testdata")

// glog comes with ygot and keeps a goroutine from the start.
func TestMain(m *testing.M) {
	if runAsChild() {
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
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

const (
	inDefault = "/network-instances/network-instance[name=DEFAULT]"
	inBlue    = "/network-instances/network-instance[name=blue]"
	srv6      = inDefault + "/segment-routing/srv6"
)

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
