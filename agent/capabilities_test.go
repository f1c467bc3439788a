package agent

import (
	"maps"
	"strconv"
	"strings"
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"

	"heddle/kernel/probe"
)

// TestCapabilities compares the report with the probe, for whatever that tries.
func TestCapabilities(t *testing.T) {
	r := newRouter(t)
	r.start()
	caps, err := probe.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	programs, err := probe.Programs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(caps, programs)
	const list = "/system/kernel-capabilities/capability"
	for f, s := range caps {
		at := list + "[name=" + string(f) + "]/state/"
		r.expectState(at+"supported", strconv.FormatBool(s.OK))
		for leaf, want := range map[string]string{"answer": s.Reason, "remedy": s.Remedy} {
			if want != "" {
				want = strconv.Quote(want)
			}
			r.expectState(at+leaf, want)
		}
	}
	if n := strings.Count(r.get("/system/kernel-capabilities", gpb.GetRequest_STATE), `"supported"`); n != len(caps) {
		t.Errorf("%d capabilities are shown, %d were tried", n, len(caps))
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}
