package agent

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"heddle/agent/datastore"
	"heddle/kernel/object"
	"heddle/reconcile"
)

// kernelRefuses does a Set of which the kernel refuses a step, and maybe the way
// back, too.
func (p *pipeline) kernelRefuses(t *rapid.T, edits []request, next leaves, v verdict) string {
	at := []int{rapid.IntRange(1, 12).Draw(t, "refuses")}
	if rapid.Bool().Draw(t, "undo") {
		at = append(at, at[0]+rapid.IntRange(1, at[0]).Draw(t, "back"))
	}
	before := p.fake.Snapshot()
	p.fake.FailOps(errInjected, at...)
	err := p.set(edits)
	p.fake.FailWith(nil)
	var failed *reconcile.ApplyError
	if !errors.As(err, &failed) || !errors.Is(err, errInjected) {
		if err == nil && (v.err != nil || v.refusal != nil) {
			t.Fatalf("taken:\n%s\n%v %v", describe(edits), v.err, v.refusal)
		}
		return p.settled(err, next)
	}
	if text := err.Error(); failed.Origin == "" || !strings.Contains(text, failed.Origin) || !strings.Contains(text, failed.Step.String()) {
		t.Fatalf("the error does not name path and object: %v", err)
	}
	if failed.Undo == nil {
		p.asBefore("kernel refused", before)
		return "kernel refused"
	}
	p.checkState("undo failed")
	p.sameLeaves("undo failed: configuration", configured(t, p.agent.schema, p.agent.store.Snapshot()))
	p.repair(reconcile.Look{Kinds: object.Kinds()})
	p.asBefore("undo failed, repaired", before)
	return "undo failed"
}

// asBefore checks that a Set that failed has left no trace.
func (p *pipeline) asBefore(what, kernel string) {
	p.t.Helper()
	if d := cmp.Diff(strings.Split(kernel, "\n"), strings.Split(p.fake.Snapshot(), "\n")); d != "" {
		p.t.Fatalf("%s: kernel (-before +after):\n%s", what, d)
	}
	p.check(what)
}

// diskFails does a Set in which one file operation goes wrong.
func (p *pipeline) diskFails(t *rapid.T, edits []request, next leaves, v verdict) string {
	kind := rapid.SampledFrom(slices.Sorted(maps.Keys(diskFaults))).Draw(t, "fault")
	before := p.fake.Snapshot()
	p.disk.failWith(diskFaults[kind].at(rapid.IntRange(1, 8).Draw(t, "operation")))
	err := p.set(edits)
	p.disk.failWith(nil)
	var failed *datastore.PersistError
	if !errors.As(err, &failed) {
		if err == nil && (v.err != nil || v.refusal != nil) {
			t.Fatalf("taken:\n%s\n%v %v", describe(edits), v.err, v.refusal)
		}
		return p.settled(err, next)
	}
	if failed.Uncertain || failed.Undo != nil {
		t.Fatalf("one fault was too many: %v", err)
	}
	p.asBefore("disk failed: "+err.Error(), before)
	return "disk failed"
}

// foreignInTheWay does a Set while something of somebody else is where it may
// want to be.
func (p *pipeline) foreignInTheWay(t *rapid.T, edits []request, next leaves, v verdict) string {
	theirs := rapid.SampledFrom(inTheWay).Draw(t, "in the way")
	if _, taken := p.fake.Get(theirs.Key()); taken || p.fake.Put(theirs) != nil {
		return "no room for what is foreign"
	}
	before := p.fake.Snapshot()
	err := p.set(edits)
	if err == nil && v.err != nil {
		t.Fatalf("taken:\n%s\n%v", describe(edits), v.err)
	}
	if _, ok := p.fake.Get(theirs.Key()); !ok && theirs.Key().Kind != object.KindAddress {
		t.Fatalf("%v was not ours to take away", theirs) // an address goes with its link
	}
	if err != nil {
		if d := cmp.Diff(strings.Split(before, "\n"), strings.Split(p.fake.Snapshot(), "\n")); d != "" {
			t.Fatalf("refused: kernel (-before +after):\n%s", d)
		}
	}
	if _, ok := p.fake.Get(theirs.Key()); ok {
		if err := p.fake.Delete(theirs.Key()); err != nil {
			t.Fatal(err)
		}
	}
	if err == nil || v.err != nil || v.refusal != nil {
		return p.settled(err, next)
	}
	p.check("foreign in the way")
	if !strings.Contains(err.Error(), "is there and is not ours") {
		t.Fatalf("the error does not say what is in the way: %v", err)
	}
	return "foreign in the way"
}

// drift has somebody else take away one of our objects, which is then put right.
func (p *pipeline) drift(t *rapid.T) string {
	var ours []object.Key
	for _, kind := range object.Kinds() {
		for s := range p.agent.rec.All(kind) {
			// What somebody else has set on a link of theirs is what they get back: it
			// would not be as before.
			if s.Have != nil && (kind != object.KindLinkConfig || !slices.Contains(theirLinks, s.Key.ID)) {
				ours = append(ours, s.Key)
			}
		}
	}
	// Whoever takes an object away again and again is fought.
	if p.drifts++; len(ours) == 0 || p.drifts > 4 {
		return "nothing to take away"
	}
	k := rapid.SampledFrom(ours).Draw(t, "taken away")
	if err := p.fake.Delete(k); err != nil {
		t.Fatal(err)
	}
	p.repair(lookBehind(k))
	p.check("drift of " + k.String())
	return "drift"
}

// lookBehind is where the agent looks when the kernel tells that an object went.
func lookBehind(k object.Key) reconcile.Look {
	gone := map[object.Key]object.Object{k: nil}
	switch k.Kind {
	case object.KindLink, object.KindNextHop:
		return reconcile.Look{Behind: []object.Key{k}}
	case object.KindLinkConfig, object.KindMember:
		return reconcile.Look{Behind: []object.Key{object.LinkKey(k.ID)}}
	case object.KindAddress:
		link, _, _ := strings.Cut(k.ID, "/")
		return reconcile.Look{Seen: gone, Behind: []object.Key{object.LinkKey(link)}}
	case object.KindSysctl, object.KindTunnelSource, object.KindHMACKey:
		return reconcile.Look{Kinds: []object.Kind{k.Kind}}
	}
	return reconcile.Look{Seen: gone}
}

// repair does what the agent does in the background.
func (p *pipeline) repair(l reconcile.Look) {
	p.t.Helper()
	found, err := p.agent.rec.Repair(context.Background(), l)
	if err != nil {
		p.t.Fatal(err)
	}
	p.agent.drift.report(found, nil)
	p.agent.refreshState(nil)
}
