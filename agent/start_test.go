package agent

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"heddle/agent/datastore"
	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/reconcile"
	"heddle/schema"
)

const locator = srv6 + "/locators/locator[name=main]"

// TestStartWithoutLink starts with a configuration of which a link is missing: the
// rest runs, and what needs the link is put in place when it comes. A route of
// somebody else in the place of ours is the same kind of obstacle.
func TestStartWithoutLink(t *testing.T) {
	r := newRouter(t)
	r.start()
	if err := r.set(driftBase...); err != nil {
		t.Fatal(err)
	}
	want := r.ours()
	const limit = 5 * time.Second
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r.ip("link del e1") // and far with it

	var log bytes.Buffer
	r.log = slog.New(slog.NewTextHandler(&log, nil))
	r.start()
	r.expectState(locator+"/state/programmed", "true")
	for _, path := range []string{endSID, endXSID, tunnel4} {
		r.expectState(path+"/state/programmed", "false")
		if why := r.state(path + "/state/programmed-reason"); !strings.Contains(why, "link e1 does not exist") {
			t.Errorf("%s: %s", path, why)
		}
	}
	if out := r.ip("-6 route show 2001:db8:1::/48 proto 72"); !strings.Contains(out, "blackhole") {
		t.Errorf("the locator is not in the kernel:\n%s", out)
	}
	r.expectState("/system/drift/state/repaired", `"0"`)
	if n := r.state("/system/drift/state/failed"); n == `"0"` {
		t.Error("no repair failed")
	}
	// Sets go on, except about the link.
	if err := r.set([2]string{srv6 + "/locators/locator[name=other]/config", `{"prefix": "2001:db8:7::/48"}`}); err != nil {
		t.Error(err)
	}
	if err := r.set([2]string{"/interfaces/interface[name=e1]/config/mtu", "1700"}); err == nil || !strings.Contains(err.Error(), "link e1 does not exist") {
		t.Errorf("a Set about the missing link: %v", err)
	}
	if err := r.set([2]string{srv6 + "/locators/locator[name=other]", ""}); err != nil {
		t.Error(err)
	}

	r.ip("link add e1 type veth peer name far")
	r.ip("link set far up")
	r.within(limit, "all is in place", func() bool { return r.ours() == want })
	for _, path := range []string{endSID, endXSID, tunnel4} {
		r.within(limit, path+" is programmed", func() bool { return r.state(path+"/state/programmed") == "true" })
		r.expectState(path+"/state/programmed-reason", "")
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"level=ERROR", "does not run as a whole", "localsid/2001:db8:1:e000::", "link e1 does not exist"} {
		if !strings.Contains(log.String(), text) {
			t.Errorf("the log has no %q:\n%s", text, log.String())
		}
	}

	r.ip("-6 route del 2001:db8:4::/48")
	r.ip("-6 route add 2001:db8:4::/48 dev far proto static metric 1024")
	r.start()
	static := realStatics + "[prefix=2001:db8:4::/48]"
	r.expectState(static+"/state/programmed", "false")
	if why := r.state(static + "/state/programmed-reason"); !strings.Contains(why, "in the way") {
		t.Errorf("%s: %s", static, why)
	}
	r.expectState(endSID+"/state/programmed", "true")
	r.ip("-6 route del 2001:db8:4::/48")
	r.within(limit, "the route is ours", func() bool { return r.ours() == want })
	r.within(limit, "it is programmed", func() bool { return r.state(static+"/state/programmed") == "true" })
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// TestStartWithheld is the same on a kernel that refuses by the book: who needs
// what is withheld says so, and may be given up meanwhile.
func TestStartWithheld(t *testing.T) {
	const end, dt4, blue = srv6 + "/sids/sid[address=2001:db8:1::1]", srv6 + "/sids/sid[address=2001:db8:1::4]",
		"/network-instances/network-instance[name=blue]"
	fake, dir := kerneltest.NewFake(), t.TempDir()
	a := fakeAgent(t, fake, dir)
	defer func() { a.Close() }()
	var edits []schema.Edit
	for _, e := range [][2]string{
		{inDefault + "/config", `{"type": "DEFAULT_INSTANCE"}`},
		{blue + "/config", `{"type": "L3VRF", "table-id": 110}`},
		{end + "/config", `{"standalone": true, "behavior": "END"}`},
		{dt4 + "/config", `{"standalone": true, "behavior": "END_DT4", "network-instance": "blue"}`},
	} {
		edits = append(edits, edit(t, a.schema, schema.Update, e[0], e[1]))
	}
	if _, err := a.Commit(t.Context(), datastore.Request{Edits: edits}); err != nil {
		t.Fatal(err)
	}
	all := fake.Snapshot()
	expect := func(path, programmed, reason string) {
		t.Helper()
		p, err := a.schema.ParsePath(path + "/state")
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := a.schema.EncodeJSON(&b, []schema.Tree{a.tel.Snapshot()}, p, schema.EncodeOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); !strings.Contains(got, `"programmed":`+programmed) || !strings.Contains(got, reason) || (reason == "") == strings.Contains(got, "programmed-reason") {
			t.Errorf("%s: %s, want %s because %q", path, got, programmed, reason)
		}
	}
	// A VRF of somebody else has the name of ours.
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{fake.Delete(object.LocalSIDKey(netip.MustParseAddr("2001:db8:1::4"))), fake.Delete(object.LinkKey("blue")), fake.Put(object.Link{Name: "blue", Type: object.LinkVRF, Table: 110})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	a = fakeAgent(t, fake, dir)
	expect(end, "true", "")
	expect(blue, "false", "not ours")
	expect(dt4, "false", "it needs link blue")
	if d := a.drift.counts(); d.Detected == 0 || d.Failed < d.Detected || d.Repaired != 0 {
		t.Errorf("counts: %+v", d)
	}
	// Who gives up what is withheld is rid of it.
	if _, err := a.Commit(t.Context(), datastore.Request{Edits: []schema.Edit{edit(t, a.schema, schema.Delete, dt4, "")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Commit(t.Context(), datastore.Request{Edits: []schema.Edit{edits[3]}}); err == nil {
		t.Error("a SID into a VRF that is not ours was committed")
	}
	if err := fake.Delete(object.LinkKey("blue")); err != nil {
		t.Fatal(err)
	}
	if _, err := a.rec.Repair(t.Context(), reconcile.Look{Behind: []object.Key{object.LinkKey("blue")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Commit(t.Context(), datastore.Request{Edits: []schema.Edit{edits[3]}}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{end, blue, dt4} {
		expect(path, "true", "")
	}
	if now := fake.Snapshot(); now != all {
		t.Errorf("the kernel:\n%s\nwas:\n%s", now, all)
	}
}
