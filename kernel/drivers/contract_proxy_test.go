package drivers

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"heddle/kernel/object"
	"heddle/kernel/prior"
	"heddle/kernel/srproxy"
)

// removePins takes away what a test leaves pinned: what it leaves otherwise goes with
// its namespace.
func removePins(t *testing.T) {
	t.Helper()
	scope, err := prior.Scope()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		dir := filepath.Join("/sys/fs/bpf/heddle", folder(scope))
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
}

// getProxy has another driver look at what is pinned and attached.
func (h *hand) getProxy(k object.Key) (object.Object, bool) {
	scope, err := prior.Scope()
	if err != nil {
		return nil, false
	}
	d, err := srproxy.Open(srproxy.Config{Scope: folder(scope)})
	if err != nil {
		return nil, false
	}
	defer d.Close()
	objects, _ := d.Dump(context.Background(), k.Kind)
	for _, o := range objects {
		if o.Key() == k {
			return o, true
		}
	}
	return nil, false
}
