package agent

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"heddle/agent/datastore"
	"heddle/reconcile"
	"heddle/schema"
)

// mixedSet goes from baseWorld to something that has of everything: links, VRFs,
// addresses, routes, SIDs and settings that come, change in place, are made anew
// and go.
var mixedSet = []request{
	{op: schema.Update, path: interfacePath("ext0") + "/config", doc: `{"mtu": 1400, "description": "uplink"}`},
	{op: schema.Delete, path: interfacePath("d0")},
	{op: schema.Update, path: "/interfaces", doc: `{"interface": [
		{"name": "v0", "config": {"type": "VETH"}, "veth": {"config": {"peer": "v1"}}},
		{"name": "v1", "config": {"type": "VETH"}, "veth": {"config": {"peer": "v0"}},
			"subinterfaces": {"subinterface": [{"index": 0, "ipv6": {"addresses": {"address": [{"ip": "2001:db8:8::1", "config": {"prefix-length": 64}}]}}}]}}]}`},
	{op: schema.Update, path: inBlue + "/config/table-id", doc: "200"},
	{op: schema.Replace, path: inBlue + "/interfaces", doc: `{"interface": [{"id": "m", "config": {"interface": "v0"}}]}`},
	{op: schema.Update, path: instancePath("red"), doc: `{"config": {"type": "L3VRF", "table-id": 100}, "interfaces": {"interface": [{"id": "m", "config": {"interface": "ext1"}}]}}`},
	{op: schema.Update, path: srv6 + "/config/source-address", doc: `"2001:db8::2"`},
	{op: schema.Update, path: srv6 + "/interfaces/interface[interface-id=ext0]/config", doc: `{"enabled": true}`},
	{op: schema.Replace, path: srv6 + "/sids", doc: `{"sid": [
		{"address": "2001:db8:1::2", "config": {"behavior": "END_DT4", "network-instance": "blue"}},
		{"address": "2001:db8:1::3", "config": {"behavior": "END_X", "next-hop": "2001:db8:7::9"}}]}`},
	{op: schema.Replace, path: inDefault + "/protocols/protocol[identifier=STATIC][name=s]/static-routes", doc: `{"static": [
		{"prefix": "10.2.0.0/16", "next-hops": {"next-hop": [{"index": "a", "srv6-encapsulation": {"config": {"segment-list": ["2001:db8:2::1", "2001:db8:5::1"]}}}]}},
		{"prefix": "2001:db8:9::/48", "next-hops": {"next-hop": [{"index": "a", "config": {"next-hop": "2001:db8:7::9"}, "interface-ref": {"config": {"interface": "ext0"}}}]}}]}`},
}

// manySIDs is a Set that is large enough to be written as a new startup.json.
func manySIDs(n int) []request {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, `{"address": "2001:db8:1::%x", "config": {"behavior": "END"}}`, 0x1000+i)
	}
	return []request{{op: schema.Update, path: srv6 + "/sids", doc: `{"sid": [` + b.String() + `]}`}}
}

// mixture is a Set on a configuration.
type mixture struct {
	name   string
	before []request
	set    []request
	// giveUpLog has a sync of the log fail before, so that the Set writes a new
	// startup.json.
	giveUpLog bool
	step      int // from one operation that fails to the next

	from, to leaves             // what is configured before and after it
	known    map[string]verdict // of both
}

func mixtures(t *testing.T) []*mixture {
	t.Helper()
	base := []request{{op: schema.Replace, path: "/", doc: baseWorld}}
	ms := []*mixture{
		{name: "first", set: base},
		{name: "mixed", before: base, set: mixedSet},
		{name: "back", before: append(base, mixedSet...), set: base},
		{name: "after the log was given up", before: base, set: mixedSet, giveUpLog: true},
		{name: "large", before: base, set: manySIDs(520), step: 6},
	}
	for _, m := range ms {
		m.known, m.step = map[string]verdict{}, max(m.step, 1)
		var err error
		if m.from, err = (leaves{}).after(m.before); err != nil {
			t.Fatal(err)
		}
		if m.to, err = m.from.after(m.set); err != nil {
			t.Fatal(err)
		}
	}
	return ms
}

// prepared is a pipeline in which the Set is about to be done.
func (m *mixture) prepared(t *testing.T) *pipeline {
	t.Helper()
	p := newPipeline(t, filepath.Join(t.TempDir(), "state"))
	p.known = m.known
	t.Cleanup(func() {
		if err := p.agent.Close(); err != nil {
			t.Error(err)
		}
	})
	if len(m.before) > 0 {
		if err := p.set(m.before); err != nil {
			t.Fatal(err)
		}
		p.taken(m.from)
	}
	if m.giveUpLog {
		p.disk.failWith(func(_ int, what string) diskFault {
			if strings.HasPrefix(what, "sync startup.log") {
				return diskFault{err: errInjected}
			}
			return diskFault{}
		})
		if err := p.set(m.set); !errors.Is(err, errInjected) {
			t.Fatalf("without a log: %v", err)
		}
		p.disk.failWith(nil)
	}
	return p
}

// TestEveryKernelStepFails has the kernel refuse one step after the other of a
// Set: each time configuration, kernel, state and disk are as before, the error
// names path and object, and a restart comes up with what was before.
func TestEveryKernelStepFails(t *testing.T) {
	for _, m := range mixtures(t) {
		for _, stop := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s stop=%t", m.name, stop), func(t *testing.T) {
				p := m.prepared(t)
				p.fake.StopAtError(stop)
				before, n := p.fake.Snapshot(), 1
				for ; ; n += m.step * m.step {
					p.fake.FailOps(errInjected, n)
					err := p.set(m.set)
					p.fake.FailWith(nil)
					if err == nil {
						break
					}
					var failed *reconcile.ApplyError
					if !errors.As(err, &failed) || !errors.Is(err, errInjected) || failed.Undo != nil {
						t.Fatalf("step %d: %v", n, err)
					}
					if text := err.Error(); failed.Origin == "" || !strings.Contains(text, failed.Origin) || !strings.Contains(text, failed.Step.String()) {
						t.Fatalf("step %d: the error does not name path and object: %v", n, err)
					}
					p.asBefore(fmt.Sprintf("step %d (%v)", n, failed.Step), before)
					if n%5 == 1 {
						p.restart(n%2 == 0)
					}
				}
				t.Logf("%d steps", n-1)
				if n < 10 {
					t.Errorf("the Set came through at step %d: that is no mixture", n)
				}
				p.taken(m.to)
				p.check("taken in the end")
			})
		}
	}
}

// TestEveryFileOperationFailsBelowAnAgent has one file operation after the other
// of a Set go wrong in every way: configuration, kernel, state and disk are as
// before or as after, whatever the answer says, the error names the file, and a
// restart comes up with the same.
func TestEveryFileOperationFailsBelowAnAgent(t *testing.T) {
	for _, m := range mixtures(t) {
		t.Run(m.name, func(t *testing.T) {
			count := m.prepared(t)
			count.disk.failWith(nil)
			if err := count.set(m.set); err != nil {
				t.Fatal(err)
			}
			operations := count.disk.count()
			if operations < 3 {
				t.Fatalf("%d file operations", operations)
			}
			refused := 0
			for name, fault := range diskFaults {
				if m.step > 1 && fault.torn == (fault.err != nil) {
					continue // the datastore's own tests do all of them
				}
				for n := 1; n <= operations; n += m.step {
					if m.fails(t, fmt.Sprintf("%s at %d", name, n), fault.at(n)) {
						refused++
					}
				}
			}
			t.Logf("%d operations, %d refusals", operations, refused)
			if refused == 0 {
				t.Error("no fault kept the Set from being taken")
			}
		})
	}
}

// fails does the Set with a plan for the disk, and again without. It reports
// whether the first was refused.
func (m *mixture) fails(t *testing.T, what string, plan func(int, string) diskFault) bool {
	t.Helper()
	p := m.prepared(t)
	before := p.fake.Snapshot()
	p.disk.failWith(plan)
	err := p.set(m.set)
	p.disk.failWith(nil)
	if err == nil {
		p.taken(m.to)
		p.check(what)
		p.restart(false)
		return false
	}
	var failed *datastore.PersistError
	if !errors.As(err, &failed) || failed.Uncertain || failed.Undo != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if !strings.Contains(err.Error(), "startup.") && !strings.Contains(err.Error(), "directory") {
		t.Fatalf("%s: the error does not name the file: %v", what, err)
	}
	p.asBefore(what+": "+err.Error(), before)
	p.restart(false)
	p.check(what + ", restarted")
	if err := p.set(m.set); err != nil {
		t.Fatalf("%s, again: %v", what, err)
	}
	p.taken(m.to)
	p.check(what + ", again")
	return true
}

// TestEveryMomentToDieOfAnAgent has the agent die before every operation of the
// kernel and of the disk of a Set. The next life comes up with the configuration
// before or after it, the kernel follows, and what was acknowledged is there. When
// the kernel was ahead of the disk, the start puts it back and says so.
func TestEveryMomentToDieOfAnAgent(t *testing.T) {
	for _, m := range mixtures(t) {
		t.Run(m.name, func(t *testing.T) {
			count := m.prepared(t)
			count.fake.FailWith(nil)
			count.disk.failWith(nil)
			if err := count.set(m.set); err != nil {
				t.Fatal(err)
			}
			kernel, disk := count.fake.Ops(), count.disk.count()
			var found [2]int
			for n := 1; n <= kernel; n += m.step * m.step {
				found[m.dies(t, fmt.Sprintf("kernel operation %d", n), n, 0)]++
			}
			for n := 1; n <= disk+1; n += m.step {
				found[m.dies(t, fmt.Sprintf("disk operation %d", n), 0, n)]++
			}
			t.Logf("%d operations of the kernel, %d of the disk: %d times as before, %d times as after", kernel, disk, found[0], found[1])
			if found[0] == 0 || found[1] == 0 {
				t.Error("all came out the same")
			}
		})
	}
}

var errDead = errors.New("dead")

// dies ends the agent before an operation of the kernel or of the disk, starts
// another, and returns whether that has the state before (0) or after (1).
func (m *mixture) dies(t *testing.T, what string, kernelOp, diskOp int) int {
	t.Helper()
	p := m.prepared(t)
	dead := &death{pipeline: p, kernelOp: kernelOp, diskOp: diskOp}
	dead.arm()
	err := p.set(m.set)
	acknowledged := err == nil
	last := p.agent
	p.fake.FailWith(nil)
	if err := p.tryStart(); err != nil {
		t.Fatalf("%s: start: %v", what, err)
	}
	t.Cleanup(func() { _ = last.Close() }) // its disk is dead
	got, after := configured(t, p.agent.schema, p.agent.store.Snapshot()), 0
	if fmt.Sprint(got) == fmt.Sprint(m.to) {
		after = 1
		p.taken(m.to)
	}
	if acknowledged && after == 0 {
		t.Fatalf("%s: what was acknowledged is gone", what)
	}
	p.check(what)
	return after
}
