package bpf

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestBuilt: the programs were built after their sources were changed last.
func TestBuilt(t *testing.T) {
	sums, err := os.ReadFile("sources.sum")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(sums)) {
		want, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			t.Fatalf("line %q is no sum and name", line)
		}
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(source)); got != want {
			t.Errorf("%s has changed since the programs were built: run make bpf", name)
		}
	}
}

// TestLoads: what is committed is a collection of the programs that we attach.
func TestLoads(t *testing.T) {
	spec, err := LoadSRProxy()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{SRProxyProgSrIngress, SRProxyProgNfIngress, SRProxyProgAmEgress, SRProxyProgAmIngress} {
		if spec.Programs[name] == nil {
			t.Errorf("program %s is missing", name)
		}
	}
}
