package agent

import (
	"errors"
	"slices"
	"testing"

	"heddle/agent/operation"
	"heddle/kernel/kerneltest"
)

func TestChildren(t *testing.T) {
	a := fakeAgent(t, kerneltest.NewFake(), t.TempDir())
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	find := func(path, name string) operation.Node {
		t.Helper()
		nodes, err := a.Children(path)
		i := slices.IndexFunc(nodes, func(n operation.Node) bool { return n.Name == name })
		if err != nil || i < 0 {
			t.Fatalf("%s has no %s in %v, %v", path, name, nodes, err)
		}
		return nodes[i]
	}
	if n := find("", "interfaces"); n.Leaf || !n.Writable {
		t.Errorf("%+v", n)
	}
	if n := find("/network-instances/network-instance[name=x]/protocols", "protocol"); !slices.Equal(n.Keys, []string{"identifier", "name"}) {
		t.Errorf("%+v", n)
	}
	if n := find("/interfaces/interface/state", "oper-status"); !n.Leaf || n.Writable {
		t.Errorf("%+v", n)
	}
	var missing *operation.NotFoundError
	if _, err := a.Children("/interfaces/bridge"); !errors.As(err, &missing) {
		t.Errorf("%v", err)
	}
	var bad *operation.InvalidError
	if _, err := a.Children("/a["); !errors.As(err, &bad) {
		t.Errorf("%v", err)
	}
}
