package probe

import (
	"context"
	"os"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"heddle/kernel/kerneltest"
	"heddle/kernel/rtnl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRun prints what this kernel can do, and checks that what every kernel with
// SRv6 has had for years is among it, and that nothing is left behind.
func TestRun(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	// The first one opens the poller of the runtime.
	if _, err := Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	before := kerneltest.OpenFiles(t)
	caps, err := Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for f := range caps {
		names = append(names, string(f))
	}
	slices.Sort(names)
	for _, f := range names {
		t.Logf("%-40s %+v", f, caps[rtnl.Feature(f)])
	}
	for _, f := range []rtnl.Feature{rtnl.FeatureVeth, rtnl.FeatureTunnelSource, rtnl.FeatureEnd, rtnl.FeatureEndX,
		rtnl.FeatureEndDT6, rtnl.FeatureHEncaps6, rtnl.FeatureHEncaps4, rtnl.FeatureHInsert6, rtnl.FeatureMultipath,
		rtnl.FeatureGateway6Over4, rtnl.FeatureSharedHop6, rtnl.FeatureSharedHop4} {
		if s := caps[f]; !s.OK {
			t.Errorf("%s: %s", f, s.Reason)
		}
	}
	if s := caps[rtnl.FeatureHInsert4]; s.OK {
		t.Error("inline insertion on an IPv4 route passes for supported")
	}
	for f, s := range caps {
		if !s.OK && (s.Reason == "" || s.Remedy == "") {
			t.Errorf("%s: no reason or remedy: %+v", f, s)
		}
	}
	if _, tried := caps[rtnl.FeatureIFB]; tried == caps[rtnl.FeatureDummy].OK {
		t.Errorf("ifb links tried: %t, with dummy links %+v", tried, caps[rtnl.FeatureDummy])
	}
	if vrf := caps[rtnl.FeatureVRF]; vrf.OK != caps[rtnl.FeatureEndDT4].OK {
		t.Errorf("End.DT4 %+v does not go with vrf %+v", caps[rtnl.FeatureEndDT4], vrf)
	}
	if after := kerneltest.OpenFiles(t); after != before {
		t.Errorf("%d files open, %d before", after, before)
	}
}

func TestProberAsksOnce(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	var p Prober
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Capabilities(ctx); err == nil {
		t.Fatal("a cancelled probe has an answer")
	}
	a, err := p.Capabilities(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Capabilities(context.Background())
	if err != nil || len(a) == 0 || len(a) != len(b) {
		t.Fatalf("%d features, then %d, %v", len(a), len(b), err)
	}
	if err := p.Supports(context.Background(), rtnl.FeatureEnd); err != nil {
		t.Error(err)
	}
	if err := p.Supports(context.Background(), rtnl.FeatureHInsert4); err == nil {
		t.Error("inline insertion on an IPv4 route passes for supported")
	}
}
