package topologies

import (
	"os"
	"strings"
	"testing"

	"heddle/lab/topology"
)

func TestAllAreGood(t *testing.T) {
	if len(Names()) == 0 {
		t.Fatal("no topologies")
	}
	for _, name := range Names() {
		file, text, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		topo, err := topology.Parse(file, text)
		if err != nil {
			t.Error(err)
			continue
		}
		if topo.Name != name {
			t.Errorf("%s: the name inside is %s", file, topo.Name)
		}
	}
}

func TestFind(t *testing.T) {
	path := t.TempDir() + "/own.yaml"
	if err := os.WriteFile(path, []byte("name: own\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, text, err := Find(path); err != nil || string(text) != "name: own\n" {
		t.Errorf("own file: %q %v", text, err)
	}
	if _, _, err := Find("nope"); err == nil || !strings.Contains(err.Error(), "use one of l3vpn") {
		t.Errorf("unknown name: %v", err)
	}
	if _, _, err := Find("./nope.yaml"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("unknown file: %v", err)
	}
}
