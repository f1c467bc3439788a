package subscribe

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"go.uber.org/goleak"

	"heddle/internal/feed"
	"heddle/schema"
)

// glog comes with ygot and keeps a goroutine from the start.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}

var heddle = sync.OnceValues(schema.Heddle)

func model(t testing.TB) *schema.Schema {
	t.Helper()
	s, err := heddle()
	must(t, err)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree is a snapshot of data.
type tree struct{ schema.Entries }

// data is a dataset in memory: every change copies it.
type data struct {
	schema *schema.Schema
	mu     sync.Mutex
	cur    *tree
	feed   *feed.Feed[Batch]
}

func newData(s *schema.Schema) *data {
	first := &tree{schema.Entries{}}
	return &data{schema: s, cur: first, feed: feed.New(1<<20, Batch{Tree: first}, func(b Batch) int { return len(b.Changes) })}
}

func (d *data) Snapshot() schema.Tree {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cur
}

func (d *data) Watch() (schema.Tree, Feed) {
	b, r := d.feed.Watch()
	return b.Tree, dataFeed{r}
}

type dataFeed struct{ *feed.Reader[Batch] }

func (f dataFeed) Next(ctx context.Context) (Batch, error) {
	b, lost, err := f.Reader.Next(ctx)
	b.Lost = lost
	return b, err
}

// commit publishes changes.
func (d *data) commit(changes []schema.Change) {
	next := &tree{maps.Clone(d.Snapshot().(*tree).Entries)} //nolint:forcetypeassert // our own
	next.Put(changes)
	d.feed.Publish(Batch{Time: time.Now(), Changes: changes, Tree: next}, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.cur = next
	})
}

// set applies edits: "PATH" deletes, "PATH := JSON" updates.
func (d *data) set(t testing.TB, edits ...string) {
	t.Helper()
	var all []schema.Edit
	for _, e := range edits {
		at, val, update := strings.Cut(e, " := ")
		p, err := d.schema.ParsePath(at)
		must(t, err)
		edit := schema.Edit{Op: schema.Delete, Path: p}
		if update {
			edit = schema.Edit{Op: schema.Update, Path: p, JSON: []byte(val)}
		}
		all = append(all, edit)
	}
	changes, err := d.schema.Apply(d.Snapshot(), all)
	must(t, err)
	if len(changes) > 0 {
		d.commit(changes)
	}
}

// recorder is a sink that keeps what it is given.
type recorder struct {
	block   chan struct{} // if not nil, Send waits for it
	entered chan struct{} // told when a Send waits
	end     <-chan struct{}
	mu      sync.Mutex
	got     []*gnmi.Notification
	syncs   int
	news    chan struct{}
}

func newRecorder() *recorder { return &recorder{news: make(chan struct{}, 1)} }

func (r *recorder) Send(n *gnmi.Notification) error {
	if r.block != nil {
		select {
		case r.entered <- struct{}{}:
		default:
		}
		select {
		case <-r.block:
		case <-r.end: // of the test
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, n)
	r.tell()
	return nil
}

func (r *recorder) Sync() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.syncs++
	r.tell()
	return nil
}

func (r *recorder) tell() {
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// take returns what came since, as lines, and forgets it.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, n := range r.got {
		out = append(out, lines(n)...)
	}
	r.got = nil
	return out
}

// wait waits until ok says so of everything recorded.
func (r *recorder) wait(t testing.TB, ok func(got []*gnmi.Notification, syncs int) bool) {
	t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for {
		r.mu.Lock()
		done := ok(r.got, r.syncs)
		r.mu.Unlock()
		if done {
			return
		}
		select {
		case <-r.news:
		case <-limit.C:
			t.Fatalf("what was waited for did not come; got %v", r.take())
		}
	}
}

// lines are the leaves of a notification: "PATH=VALUE", "PATH=VALUE (2)" with
// duplicates, "-PATH".
func lines(n *gnmi.Notification) []string {
	var out []string
	for _, d := range n.GetDelete() {
		out = append(out, "-"+flat(n.GetPrefix())+flat(d))
	}
	for _, u := range n.GetUpdate() {
		line := flat(n.GetPrefix()) + flat(u.GetPath()) + "="
		switch v := u.GetVal().GetValue().(type) {
		case *gnmi.TypedValue_StringVal:
			line += v.StringVal
		case *gnmi.TypedValue_UintVal:
			line += fmt.Sprint(v.UintVal)
		case *gnmi.TypedValue_BoolVal:
			line += fmt.Sprint(v.BoolVal)
		default:
			line += u.GetVal().String()
		}
		if u.GetDuplicates() > 0 {
			line += fmt.Sprintf(" (%d)", u.GetDuplicates())
		}
		out = append(out, line)
	}
	return out
}

func flat(p *gnmi.Path) string {
	var b strings.Builder
	for _, e := range p.GetElem() {
		b.WriteString("/" + e.GetName())
		for _, k := range slices.Sorted(maps.Keys(e.GetKey())) {
			fmt.Fprintf(&b, "[%s=%s]", k, e.GetKey()[k])
		}
	}
	return b.String()
}

func equal(t testing.TB, got []string, want ...string) {
	t.Helper()
	got = slices.Clone(got)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// running is an engine over two datasets in memory.
type running struct {
	*Engine
	t             testing.TB
	schema        *schema.Schema
	config, state *data
	cancel        context.CancelFunc
	ctx           context.Context
	wg            sync.WaitGroup
}

func run(t testing.TB, change func(*Options)) *running {
	t.Helper()
	s := model(t)
	r := &running{t: t, schema: s, config: newData(s), state: newData(s)}
	o := Options{Schema: s, Config: r.config, State: r.state}
	if change != nil {
		change(&o)
	}
	r.Engine = New(o)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.wg.Go(func() {
		if err := r.Run(r.ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *running) stop() {
	r.cancel()
	r.wg.Wait()
}

// line makes a subscription to one path.
func (r *running) line(p string, mode Mode) Subscription {
	r.t.Helper()
	paths, err := r.schema.ParseQuery(p)
	must(r.t, err)
	return Subscription{Paths: paths, Mode: mode}
}

// stream starts a STREAM and waits for its sync.
func (r *running) stream(rec *recorder, subs ...Subscription) {
	r.t.Helper()
	r.start(rec, Request{Subscriptions: subs, Encoder: Encoder{Encoding: gnmi.Encoding_PROTO}})
	rec.wait(r.t, func(_ []*gnmi.Notification, syncs int) bool { return syncs == 1 })
}

func (r *running) start(rec *recorder, req Request) {
	r.wg.Go(func() {
		if err := r.Stream(r.ctx, req, rec); r.ctx.Err() == nil {
			r.t.Errorf("stream ended: %v", err)
		}
	})
}
