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

// TestExamples translates examples/l3vpn as the demo applies it: each router's
// file replaces everything, the second tenant is an update on top. The expected
// objects are in testdata/l3vpn, in the words of iproute2.
func TestExamples(t *testing.T) {
	m := model(t)
	check := rules.New(m)
	for router, files := range map[string][]string{
		"pe3": {"pe3", "tenant-b-pe3"},
		"cr1": {"cr1"},
		"pe4": {"pe4", "tenant-b-pe4"},
	} {
		t.Run(router, func(t *testing.T) {
			r := newRun(m)
			for i, file := range files {
				data, err := os.ReadFile(filepath.Join("../../examples/l3vpn", file+".json"))
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
				golden := filepath.Join("testdata/l3vpn", file+".txt")
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
