package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"heddle/agent/datastore"
	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/reconcile"
	"heddle/schema"
)

// countingKernel is a fake kernel whose SIDs count: from zero when one is written.
type countingKernel struct {
	fakeView
	packets map[netip.Addr]uint64
	fail    error // of a reading
}

func (k *countingKernel) Do(ctx context.Context, steps []reconcile.Step) []reconcile.Result {
	for _, s := range steps {
		if old, ok := s.Old.(*object.LocalSID); ok {
			k.packets[old.SID] = 0
		}
	}
	return k.fakeView.Do(ctx, steps)
}

func (k *countingKernel) SIDCounters(_ context.Context, _ []netip.Addr, fn func([]object.SIDReading)) error {
	for sid, n := range k.packets {
		fn([]object.SIDReading{{SID: sid, SIDCounters: object.SIDCounters{Packets: n}}})
	}
	return k.fail
}

// TestCountersOverRestart replaces a SID under traffic and ends the agent: what
// the SID counted before the replace is not forgotten. A last look that fails is
// logged and keeps no Set from being done.
func TestCountersOverRestart(t *testing.T) {
	const path = srv6 + "/sids/sid[address=2001:db8:1::1]"
	sid := netip.MustParseAddr("2001:db8:1::1")
	k := &countingKernel{fakeView: fakeView{kerneltest.NewFake(), []string{"lo", "ext0"}}, packets: map[netip.Addr]uint64{}}
	dir := t.TempDir()
	var log bytes.Buffer
	var a *Agent
	start := func() {
		a = newAgent(Config{StateDir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
		startOn(t, a, k, k)
	}
	start()
	defer func() { a.Close() }()
	set := func(path, doc string) {
		t.Helper()
		if _, err := a.Commit(t.Context(), datastore.Request{Edits: []schema.Edit{edit(t, a.schema, schema.Replace, path, doc)}}); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want string) {
		t.Helper()
		if got := shown(t, a.schema, a.tel); !strings.Contains(got, `"heddle-srv6:packets": "`+want+`"`) && !strings.Contains(got, `"packets": "`+want+`"`) {
			t.Errorf("the SID has not counted %s packets: %s", want, got)
		}
	}
	restart := func() {
		t.Helper()
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		start()
	}
	set(inDefault, `{"config": {"type": "DEFAULT_INSTANCE"}}`)
	set(path, `{"config": {"standalone": true, "behavior": "END"}}`)
	k.packets[sid] = 129
	set(path, `{"config": {"standalone": true, "behavior": "END_DT6", "network-instance": "DEFAULT"}}`)
	k.packets[sid] = 43
	expect("172")
	restart()
	expect("172")
	if log := log.String(); strings.Contains(log, "WARN") {
		t.Error(log)
	}

	k.fail = errors.New("no answer")
	set(path, `{"config": {"standalone": true, "behavior": "END"}}`)
	k.fail = nil
	if log := log.String(); !strings.Contains(log, "no answer") || !strings.Contains(log, sid.String()) {
		t.Errorf("the last look at the counters failed, and the log is %s", log)
	}
	expect("172")
	restart()
	expect("172")

	// Deleted, it starts from zero.
	set(srv6+"/sids", `{}`)
	set(path, `{"config": {"standalone": true, "behavior": "END"}}`)
	k.packets[sid] = 5
	expect("5")
	restart()
	expect("5")
	if files, _ := filepath.Glob(filepath.Join(dir, "sid-counters*")); len(files) != 1 {
		t.Errorf("files %v", files)
	}
	if doc, err := os.ReadFile(filepath.Join(dir, "sid-counters")); err != nil || bytes.Count(doc, []byte("\n")) != 1 {
		t.Errorf("%v: the file still has %s", err, doc)
	}
}
