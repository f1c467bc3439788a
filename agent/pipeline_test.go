package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"heddle/agent/datastore"
	"heddle/agent/rules"
	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/reconcile"
	"heddle/schema"
	"heddle/translators"
	"heddle/translators/all"
	"heddle/translators/modeltest"
)

var errInjected = errors.New("injected")

// pipeline is an agent on a fake kernel and a disk that can fail, beside a naive
// reference.
type pipeline struct {
	t     rapid.TB
	dir   string
	fake  *kerneltest.Fake
	done  *doneSteps
	disk  *faultyDisk
	agent *Agent
	want  leaves   // what is configured
	old   []leaves // what was before

	drifts int                // since the start
	known  map[string]verdict // of configurations that were judged before
}

// theirLinks are those of somebody else in a fake kernel.
var theirLinks = []string{"lo", "ext0", "ext1"}

func newPipeline(t rapid.TB, dir string) *pipeline {
	t.Helper()
	p := &pipeline{t: t, dir: dir, fake: kerneltest.NewFake(), want: leaves{}, known: map[string]verdict{}}
	p.start()
	return p
}

func (p *pipeline) view() fakeView { return fakeView{p.fake, theirLinks} }

// start brings an agent up on what disk and kernel hold.
func (p *pipeline) start() {
	p.t.Helper()
	if err := p.tryStart(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pipeline) tryStart() error {
	config := filepath.Join(p.dir, "config")
	if err := os.MkdirAll(config, 0o700); err != nil {
		return err
	}
	p.disk = newFaultyDisk(config)
	a := newAgent(Config{StateDir: p.dir, Log: slog.New(slog.DiscardHandler)})
	a.disk = p.disk
	p.done = &doneSteps{Driver: p.fake}
	if err := a.wire(p.done, p.view(), translators.Kernel{}); err != nil {
		return err
	}
	a.words = fakeWords{}
	p.agent, p.drifts = a, 0
	if err := a.start(context.Background()); err != nil {
		return err
	}
	a.late.wait()
	return nil
}

// set has the agent do the edits.
func (p *pipeline) set(edits []request) error {
	var req datastore.Request
	for _, e := range edits {
		at, err := p.agent.schema.ParsePath(e.path)
		if err != nil {
			return err
		}
		ed := schema.Edit{Op: e.op, Path: at, Encoding: schema.JSONIETF}
		if e.op != schema.Delete {
			ed.JSON = []byte(e.doc)
		}
		req.Edits = append(req.Edits, ed)
	}
	return p.commit(req)
}

// configured is what the agent says is configured.
func configured(t rapid.TB, s *schema.Schema, tree schema.Tree) leaves {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.EncodeJSON(&b, []schema.Tree{tree}, nil, schema.EncodeOptions{Encoding: schema.JSONIETF}); err != nil {
		t.Fatal(err)
	}
	if b.Len() == 0 {
		return leaves{}
	}
	return leavesOf(b.String())
}

// verdict is what is to be said of a whole configuration: an error of types,
// references, rules or translators, an error of a kernel that knows nothing but
// this configuration, and that kernel.
type verdict struct {
	err, refusal error
	kernel       *kerneltest.Fake
}

// judge has everything look at a whole configuration as if it were the first.
func (p *pipeline) judge(whole leaves) verdict {
	p.t.Helper()
	text := fmt.Sprint(whole)
	v, ok := p.known[text]
	if !ok {
		v = p.judgeAnew(whole)
		p.known[text] = v
	}
	return v
}

func (p *pipeline) judgeAnew(whole leaves) verdict {
	p.t.Helper()
	doc, err := whole.document()
	if err != nil {
		return verdict{err: err}
	}
	sc := p.agent.schema
	none := modeltest.New(sc, schema.Entries{})
	snapshot, changes, err := none.Apply([]schema.Edit{{Op: schema.Replace, JSON: []byte(doc), Encoding: schema.JSONIETF}})
	if err != nil {
		return verdict{err: err}
	}
	model, err := translators.NewModel(sc)
	if err != nil {
		p.t.Fatal(err)
	}
	if broken := rules.New(model).Check(none, snapshot, changes); len(broken) > 0 {
		return verdict{err: errors.Join(broken...)}
	}
	delta, err := all.Engine(model).Prepare(none, snapshot, changes)
	if err != nil {
		return verdict{err: err}
	}
	v := verdict{kernel: kerneltest.NewFake()}
	rec := reconcile.New(v.kernel)
	if err := rec.Load(context.Background()); err != nil {
		p.t.Fatal(err)
	}
	var wanted []reconcile.Change
	for _, c := range delta.Changes {
		wanted = append(wanted, reconcile.Change{Key: c.Key, Want: reconcile.Wanted{Object: c.Want}})
	}
	_, v.refusal = rec.Commit(context.Background(), wanted)
	return v
}

// becomesOther is a rule that is about a change and not about a configuration, like
// leavesBehind: a link that is there does not become one of another kind.
func becomesOther(before, after leaves) bool {
	kind := func(l leaves, name string) string {
		switch l[interfacePath(name)+"/config/type"] {
		case `"DUMMY"`:
			return "dummy"
		case `"softwareLoopback"`:
			if name != "lo" {
				return "dummy"
			}
		case `"VETH"`:
			return "veth"
		}
		return ""
	}
	for _, name := range worldLinks {
		key := interfacePath(name) + "/config/name"
		if before[key] != "" && after[key] != "" && kind(before, name) != kind(after, name) {
			return true
		}
	}
	return false
}

// check compares everything there is with what the reference says.
func (p *pipeline) check(what string) {
	p.t.Helper()
	p.sameLeaves(what+": configuration", configured(p.t, p.agent.schema, p.agent.store.Snapshot()))
	p.checkKernel(what)
	p.checkState(what)
	p.sameLeaves(what+": disk", p.onDisk())
}

// checkState compares the state tree with one made from nothing.
func (p *pipeline) checkState(what string) {
	p.t.Helper()
	if d := cmp.Diff(fresh(p.t, p.agent, p.view()), shown(p.t, p.agent.schema, p.agent.tel)); d != "" {
		p.t.Fatalf("%s: state (-made anew +kept):\n%s", what, d)
	}
}

func (p *pipeline) sameLeaves(what string, got leaves) {
	p.t.Helper()
	if d := cmp.Diff(p.want, got); d != "" {
		p.t.Fatalf("%s (-reference +agent):\n%s", what, d)
	}
}

// checkKernel compares the kernel with one that has only ever seen the present
// configuration.
func (p *pipeline) checkKernel(what string) {
	p.t.Helper()
	v := p.judge(p.want)
	if err := errors.Join(v.err, v.refusal); err != nil {
		p.t.Fatalf("%s: what runs would not run by itself: %v", what, err)
	}
	if d := cmp.Diff(strings.Split(v.kernel.Snapshot(), "\n"), strings.Split(p.fake.Snapshot(), "\n")); d != "" {
		p.t.Fatalf("%s: kernel (-made anew +as it is):\n%s", what, d)
	}
}

// onDisk is what a start would find.
func (p *pipeline) onDisk() leaves {
	p.t.Helper()
	dir, err := os.MkdirTemp("", "heddle-disk-")
	if err != nil {
		p.t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(p.dir, "config"))); err != nil {
		p.t.Fatal(err)
	}
	store, err := datastore.Open(datastore.Config{Schema: p.agent.schema, FS: datastore.DirFS(dir), Dir: dir, Applier: anyKernel{}})
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := store.Start(context.Background()); err != nil {
		p.t.Fatal(err)
	}
	return configured(p.t, p.agent.schema, store.Snapshot())
}

// anyKernel takes everything.
type anyKernel struct{}

func (anyKernel) Apply(context.Context, *datastore.Snapshot, *datastore.Snapshot, []schema.Change) (func(context.Context) error, error) {
	return func(context.Context) error { return nil }, nil
}

func (anyKernel) Start(context.Context, *datastore.Snapshot, *datastore.Snapshot, []schema.Change) error {
	return nil
}

// restart ends the agent, in good order or not, and starts another. Nothing is
// written to the kernel.
func (p *pipeline) restart(inOrder bool) {
	p.t.Helper()
	lasting := func() string { return driftCounts.ReplaceAllString(shown(p.t, p.agent.schema, p.agent.tel), "") }
	before := lasting()
	last, kept := p.agent, p.dir
	if inOrder {
		if err := last.Close(); err != nil {
			p.t.Fatal(err)
		}
	} else {
		// What a killed one leaves; what is left of it itself gets a directory of
		// its own.
		p.dir = kept + "+"
		if err := os.CopyFS(p.dir, os.DirFS(kept)); err != nil {
			p.t.Fatal(err)
		}
	}
	p.fake.FailWith(nil)
	p.start()
	if !inOrder {
		if err := last.Close(); err != nil {
			p.t.Fatal(err)
		}
	}
	if n := p.fake.Ops(); n > 0 {
		p.t.Fatalf("the restart wrote %d objects to the kernel", n)
	}
	if d := cmp.Diff(before, lasting()); d != "" {
		p.t.Fatalf("state after a restart (-before +after):\n%s", d)
	}
}

// driftCounts are those of one life of an agent.
var driftCounts = regexp.MustCompile(`(?s)"drift": \{.*?\}\s*\}`)

// inTheWay are things of somebody else where the small world may want to be.
var inTheWay = []object.Object{
	&object.Route{Table: object.TableMain, Prefix: netip.MustParsePrefix("10.1.0.0/16"), Type: object.Blackhole},
	&object.Route{Table: object.TableMain, Prefix: netip.MustParsePrefix("2001:db8:1::/48"), Type: object.Blackhole},
	&object.Route{Table: object.TableMain, Prefix: netip.MustParsePrefix("2001:db8:1::1/128"), Type: object.Blackhole},
	object.Address{Link: "ext0", Prefix: netip.MustParsePrefix("2001:db8:3::1/64")},
	object.Link{Name: "alien", Type: object.LinkVRF, Table: 100},
}

// TestPipeline does random Sets, good ones and bad, with a kernel that refuses
// and a disk that fails now and then, drift and restarts in between. The agent
// and a naive reference agree about what is taken and what it comes to; after
// each the kernel holds what a translation of the whole configuration asks for
// and nothing else, the state tree is what one made from nothing shows, the disk
// holds the configuration, and a restart writes nothing.
//
//	go test ./agent -run TestPipeline -rapid.checks=100000
func TestPipeline(t *testing.T) {
	done := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "heddle-pipeline-")
		if err != nil {
			t.Fatal(err)
		}
		p := newPipeline(t, filepath.Join(dir, "state"))
		defer func() {
			if err := errors.Join(p.agent.Close(), os.RemoveAll(dir)); err != nil {
				t.Error(err)
			}
		}()
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			done[p.step(t)]++
		}
	})
	t.Logf("%v", done)
	for _, what := range []string{"taken", "refused", "kernel refused", "disk failed", "foreign in the way", "undo failed", "restart", "drift"} {
		if done[what] == 0 {
			t.Errorf("nothing came to %q", what)
		}
	}
}

// step does one thing and says what it came to.
func (p *pipeline) step(t *rapid.T) string {
	d := drawer{t, p.want, p.old}
	switch rapid.IntRange(0, 9).Draw(t, "step") {
	case 0:
		p.restart(d.one(2, "in order"))
		return "restart"
	case 1:
		return p.drift(t)
	}
	edits := d.edits()
	next, wrong := p.want.after(edits)
	v := verdict{err: wrong}
	switch {
	case wrong != nil:
	case becomesOther(p.want, next):
		v.err = errors.New("an interface would become another")
	case leavesBehind(p.want, next):
		v.err = errors.New("the next hop of a SID would be left behind")
	default:
		v = p.judge(next)
	}
	switch rapid.IntRange(0, 9).Draw(t, "fate") {
	case 0, 1:
		return p.kernelRefuses(t, edits, next, v)
	case 2, 3:
		return p.diskFails(t, edits, next, v)
	case 4:
		return p.foreignInTheWay(t, edits, next, v)
	}
	err := p.set(edits)
	switch {
	case err == nil && v.err != nil:
		t.Fatalf("taken:\n%s\nwhich the reference refuses: %v", describe(edits), v.err)
	case err == nil && v.refusal != nil:
		t.Fatalf("taken:\n%s\nwhich by itself would not run: %v", describe(edits), v.refusal)
	case err != nil && v.err == nil && v.refusal == nil:
		t.Fatalf("refused:\n%s\n%v", describe(edits), err)
	}
	return p.settled(err, next)
}

// settled checks after a Set that could do as it was asked.
func (p *pipeline) settled(err error, next leaves) string {
	p.t.Helper()
	if err != nil {
		p.check("refused")
		return "refused"
	}
	p.taken(next)
	p.check("taken")
	return "taken"
}

func (p *pipeline) taken(next leaves) {
	p.old = append(p.old, p.want)
	p.want = next
}
