package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"heddle/kernel/object"
	"heddle/schema"
	"heddle/translators/modeltest"
)

// glog comes with ygot and keeps a goroutine from the start.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}

var rewrite = flag.Bool("update", false, "rewrite the expected state in testdata")

var heddle = sync.OnceValues(schema.Heddle)

func model(t testing.TB) *schema.Schema {
	t.Helper()
	s, err := heddle()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// kernel is a network namespace in memory. A reading takes what is there when it
// is asked for, and then waits for pause, as one does that is overtaken.
type kernel struct {
	mu        sync.Mutex
	links     map[string]object.LinkState
	addresses []object.AddressState
	counters  map[netip.Addr]object.SIDCounters
	fail      map[string]error // by link, "" for all of them, "watch", "sids"
	watches   []chan LinkEvent
	reads     []string // what was asked for
	pause     func(what string)
	dump      []object.SIDReading // of all SIDs, if not nil: in place of counters
	proxies   []object.ProxyReading
}

func newKernel(links ...object.LinkState) *kernel {
	k := &kernel{links: map[string]object.LinkState{}, counters: map[netip.Addr]object.SIDCounters{}, fail: map[string]error{}}
	for i, l := range links {
		l.Index = i + 1
		k.links[l.Name] = l
	}
	return k
}

// asked notes a reading and returns what it comes to once it is let go.
func asked[T any](k *kernel, what string, read func() (T, error)) (T, error) {
	k.mu.Lock()
	k.reads = append(k.reads, what)
	v, err := read()
	pause := k.pause
	k.mu.Unlock()
	if pause != nil {
		pause(what)
	}
	return v, err
}

type reading struct {
	links     []object.LinkState
	addresses []object.AddressState
}

func (k *kernel) Links(context.Context) ([]object.LinkState, []object.AddressState, error) {
	r, err := asked(k, "links", func() (r reading, err error) {
		for _, l := range k.links {
			r.links = append(r.links, l)
		}
		r.addresses = slices.Clone(k.addresses)
		return r, k.fail[""]
	})
	return r.links, r.addresses, err
}

func (k *kernel) Link(_ context.Context, name string) (object.LinkState, []object.AddressState, bool, error) {
	r, err := asked(k, "link "+name, func() (r reading, err error) {
		if l, ok := k.links[name]; ok {
			r.links = append(r.links, l)
		}
		for _, a := range k.addresses {
			if a.Link == name {
				r.addresses = append(r.addresses, a)
			}
		}
		return r, k.fail[name]
	})
	if err != nil || len(r.links) == 0 {
		return object.LinkState{}, nil, false, err
	}
	return r.links[0], r.addresses, true, nil
}

func (k *kernel) Proxies(context.Context, []netip.Addr) ([]object.ProxyReading, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.proxies), nil
}

func (k *kernel) SIDCounters(_ context.Context, sids []netip.Addr, fn func([]object.SIDReading)) error {
	what := "sids"
	if sids == nil {
		what = "all sids"
	}
	found, err := asked(k, what, func() (found []object.SIDReading, err error) {
		for a, c := range k.counters {
			if sids == nil || slices.Contains(sids, a) {
				found = append(found, object.SIDReading{SID: a, SIDCounters: c})
			}
		}
		return found, k.fail["sids"]
	})
	if sids == nil && k.dump != nil {
		found = k.dump
	}
	for portion := range slices.Chunk(found, 256) {
		fn(portion)
	}
	return err
}

func (k *kernel) Watch(ctx context.Context) (<-chan LinkEvent, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.fail["watch"]; err != nil {
		return nil, err
	}
	c := make(chan LinkEvent, 64)
	k.watches = append(k.watches, c)
	return c, nil
}

// set changes the kernel without an event.
func (k *kernel) set(fn func(k *kernel)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	fn(k)
}

// tell sends an event to the latest watch.
func (k *kernel) tell(e LinkEvent) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.watches[len(k.watches)-1] <- e
}

func (k *kernel) endWatch() {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.watches[len(k.watches)-1])
}

// took returns what was read since it was last asked.
func (k *kernel) took() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.reads
	k.reads = nil
	return r
}

// wants is an Intent and Actual made of tables, by text of the path.
type wants struct {
	schema   *schema.Schema
	wanted   map[string][]object.Object
	withheld map[string]string
	have     map[object.Key]object.Object
	trouble  map[object.Key]string
	asked    []string // the entries that were asked for

	dynamic map[netip.Addr]string // dynamic SIDs
}

func (w *wants) Of(schema.Tree) Wants { return w }

func (w *wants) Wanted(k schema.EntryKey) ([]object.Object, string) {
	text := w.schema.Text(k)
	w.asked = append(w.asked, text)
	return w.wanted[text], w.withheld[text]
}

func (w *wants) SIDOf(k schema.EntryKey) netip.Addr {
	for sid, path := range w.dynamic {
		if path == w.schema.Text(k) {
			return sid
		}
	}
	return netip.Addr{}
}

func (w *wants) DynamicSID(sid netip.Addr) (schema.EntryKey, bool) {
	path, ok := w.dynamic[sid]
	if !ok {
		return "", false
	}
	p, err := w.schema.ParsePath(path)
	return p.Entry(), err == nil
}

func (w *wants) Have(k object.Key) object.Object { return w.have[k] }

func (w *wants) Trouble(k object.Key) string { return w.trouble[k] }

// hold makes the objects wanted by an entry, and has the kernel hold them.
func (w *wants) hold(path string, objects ...object.Object) {
	w.wanted[path] = objects
	for _, o := range objects {
		w.have[o.Key()] = o
	}
}

// world is a Telemetry with all that is around it.
type world struct {
	t      testing.TB
	tel    *Telemetry
	kernel *kernel
	wants  *wants
	config *modeltest.Snapshot
	rev    uint64
	gate   *gate
}

// gate is who tells of commits.
type gate struct {
	mu    sync.Mutex
	n     uint64
	ended chan struct{}
}

func (g *gate) UnderWay() (uint64, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n, g.ended
}

func (g *gate) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n++
	g.ended = make(chan struct{})
}

// end ends a commit; another one is under way at once if more is set.
func (g *gate) end(more bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.ended)
	g.ended = nil
	if more {
		g.n++
		g.ended = make(chan struct{})
	}
}

var agentStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newWorld(t testing.TB, links ...object.LinkState) *world {
	t.Helper()
	sc := model(t)
	w := &world{
		t: t, gate: new(gate), kernel: newKernel(links...), config: modeltest.New(sc, schema.Entries{}),
		wants: &wants{schema: sc, wanted: map[string][]object.Object{}, withheld: map[string]string{}, have: map[object.Key]object.Object{}},
	}
	var err error
	w.tel, err = New(Config{
		Schema: sc, Kernel: w.kernel, Intent: w.wants, Actual: w.wants, Log: slog.New(slog.DiscardHandler),
		System:  System{Hostname: "pe3", Version: "v1", KernelRelease: "6.12", Boot: agentStart.Add(-time.Hour), AgentStart: agentStart},
		Commits: w.gate,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.tel.Close)
	return w
}

// commit does one Set and hands what it changed to telemetry.
func (w *world) commit(edits ...schema.Edit) {
	w.t.Helper()
	next, changes, err := w.config.Apply(edits)
	if err != nil {
		w.t.Fatal(err)
	}
	w.config = next
	w.rev++
	keys := make([]schema.EntryKey, len(changes))
	for i, c := range changes {
		keys[i] = c.Key
	}
	w.tel.Configured(w.config, w.rev, keys)
}

func (w *world) edit(op schema.Op, path, doc string) schema.Edit {
	w.t.Helper()
	e := schema.Edit{Op: op, Path: w.path(path), Encoding: schema.JSONIETF}
	if op != schema.Delete {
		e.JSON = []byte(doc)
	}
	return e
}

func (w *world) path(text string) schema.Path {
	w.t.Helper()
	p, err := w.tel.schema.ParsePath(text)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) refresh(path string) {
	w.t.Helper()
	if err := w.tel.Refresh(context.Background(), []schema.Path{w.path(path)}); err != nil {
		w.t.Fatal(err)
	}
}

// at is the state below a path as JSON_IETF, "" if there is none.
func (w *world) at(path string) string {
	w.t.Helper()
	var b bytes.Buffer
	if _, err := w.tel.schema.EncodeJSON(&b, []schema.Tree{w.tel.Snapshot()}, w.path(path), schema.EncodeOptions{Encoding: schema.JSONIETF}); err != nil {
		w.t.Fatal(err)
	}
	return b.String()
}

func (w *world) expect(path, want string) {
	w.t.Helper()
	if got := w.at(path); got != want {
		w.t.Errorf("%s is %q, want %q", path, got, want)
	}
}

func (w *world) golden(file, path string) {
	w.t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(w.at(path)), "", "  "); err != nil {
		w.t.Fatal(err)
	}
	b.WriteByte('\n')
	file = filepath.Join("testdata", file)
	if *rewrite {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		w.t.Errorf("%s (-want +got):\n%s", file, d)
	}
}

var errKernel = errors.New("the kernel says no")
