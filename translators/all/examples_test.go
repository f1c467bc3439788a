package all_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"heddle/agent/rules"
	"heddle/schema"
)

// TestExamples translates the examples as the scenarios apply them: each router's
// file replaces everything, the second tenant of l3vpn is an update on top. The
// expected objects are in testdata, in the words of iproute2.
func TestExamples(t *testing.T) {
	m := model(t)
	check := rules.New(m)
	for router, files := range map[string][]string{
		"l3vpn/pe3":     {"l3vpn/pe3", "l3vpn/tenant-b-pe3"},
		"l3vpn/cr1":     {"l3vpn/cr1"},
		"l3vpn/pe4":     {"l3vpn/pe4", "l3vpn/tenant-b-pe4"},
		"usid/r1":       {"usid/r1"},
		"usid/r2":       {"usid/r2"},
		"usid/r3":       {"usid/r3"},
		"usid/r4":       {"usid/r4"},
		"pseudowire/r1": {"pseudowire/r1"},
		"pseudowire/r2": {"pseudowire/r2"},
	} {
		t.Run(router, func(t *testing.T) {
			r := newRun(m)
			for i, file := range files {
				data, err := os.ReadFile(filepath.Join("../../examples", file+".json"))
				if err != nil {
					t.Fatal(err)
				}
				op := schema.Replace
				if i > 0 {
					op = schema.Update
				}
				edits := []schema.Edit{{Op: op, JSON: data, Encoding: schema.JSONIETF}}
				next, changes, err := r.config.Apply(edits)
				if err != nil {
					t.Fatal(err)
				}
				for _, err := range check.Check(r.config, next, changes) {
					t.Error(err)
				}
				if _, _, err := r.set(edits); err != nil {
					t.Fatal(err)
				}
				golden := filepath.Join("testdata", file+".txt")
				got := strings.TrimLeft(r.wanted()+r.withheld(), "\n")
				if *update {
					if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(string(want), got); d != "" {
					t.Errorf("%s (-want +got):\n%s", golden, d)
				}
			}
		})
	}
}
