package datastore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"heddle/schema"
)

func TestMain(m *testing.M) {
	// ygot's log library flushes for as long as the process lives.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}

var heddle = sync.OnceValues(schema.Heddle)

func model(t testing.TB) *schema.Schema {
	t.Helper()
	s, err := heddle()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// kernel is an Applier that keeps what it was told, refuses on demand, and
// minds that it is only ever asked to go on from where it is.
type kernel struct {
	mu      sync.Mutex
	has     *Snapshot
	calls   int
	refuse  error
	noUndo  error
	failure error // of the caller
}

func (k *kernel) Start(ctx context.Context, old, new *Snapshot, changes []schema.Change) error {
	_, err := k.Apply(ctx, old, new, changes)
	return err
}

func (k *kernel) Apply(_ context.Context, old, new *Snapshot, changes []schema.Change) (func(context.Context) error, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	if k.refuse != nil {
		return nil, k.refuse
	}
	if k.has != nil && k.has != old && old.Len() > 0 {
		k.failure = fmt.Errorf("asked to go on from revision %d while at %d", old.Revision(), k.has.Revision())
	}
	for _, c := range changes {
		was, _ := old.Get(c.Key)
		is, _ := new.Get(c.Key)
		if was != c.Old || is != c.New {
			k.failure = fmt.Errorf("change of %s is not the difference of the snapshots", c.Key)
		}
	}
	before := k.has
	k.has = new
	return func(context.Context) error {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.noUndo != nil {
			return k.noUndo
		}
		k.has = before
		return nil
	}, nil
}

// large is how many changed entries make a large commit in the tests: few, for
// there are thousands of commits.
const large = 12

// rig is a store with everything around it.
type rig struct {
	*Store
	fs     *memFS
	kernel *kernel
	t      testing.TB
}

func open(t testing.TB, fs *memFS, k *kernel, more ...func(*Config)) *rig {
	t.Helper()
	clock := time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)
	c := Config{Schema: model(t), Applier: k, Dir: "/state", FS: fs, Now: func() time.Time {
		clock = clock.Add(time.Second)
		return clock
	}}
	for _, m := range more {
		m(&c)
	}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	s.disk.largeChange = large
	return &rig{Store: s, fs: fs, kernel: k, t: t}
}

// start opens and starts a store.
func start(t testing.TB, fs *memFS, k *kernel, more ...func(*Config)) *rig {
	t.Helper()
	r := open(t, fs, k, more...)
	if _, err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) commit(edits ...schema.Edit) (Result, error) {
	return r.Commit(context.Background(), Request{Edits: edits, User: "ann", Source: "test"})
}

func (r *rig) must(edits ...schema.Edit) Result {
	r.t.Helper()
	res, err := r.commit(edits...)
	if err != nil {
		r.t.Fatal(err)
	}
	return res
}

// agree checks that the kernel holds what runs.
func (r *rig) agree() {
	r.t.Helper()
	if r.kernel.failure != nil {
		r.t.Error(r.kernel.failure)
	}
	if got, want := text(r.t, r.kernel.has), text(r.t, r.Snapshot()); got != want {
		r.t.Errorf("the kernel holds %s\nwhile what runs is %s", got, want)
	}
	checkIndex(r.t, r.Snapshot())
}

// text is a configuration as JSON_IETF.
func text(t testing.TB, s *Snapshot) string {
	t.Helper()
	if s == nil {
		return "{}"
	}
	var b bytes.Buffer
	if _, err := model(t).EncodeJSON(&b, []schema.Tree{s}, nil, schema.EncodeOptions{Encoding: schema.JSONIETF}); err != nil {
		t.Fatal(err)
	}
	if b.Len() == 0 {
		return "{}"
	}
	return b.String()
}

// checkIndex compares the index of references with one made anew.
func checkIndex(t testing.TB, s *Snapshot) {
	t.Helper()
	want := map[schema.EntryKey]map[schema.EntryKey]bool{}
	s.Scan("", func(k schema.EntryKey, e schema.GoStruct) bool {
		model(t).Refs(k, e, func(r schema.Ref) bool {
			if want[r.Target] == nil {
				want[r.Target] = map[schema.EntryKey]bool{}
			}
			want[r.Target][k] = true
			return true
		})
		return true
	})
	targets := 0
	s.refs.sets.Scan(func(name string, _ members) bool {
		target := schema.EntryKey(name)
		targets++
		n := 0
		s.Referrers(target, func(k schema.EntryKey) bool {
			n++
			if !want[target][k] {
				t.Errorf("index: %s does not refer to %s", k, target)
			}
			return true
		})
		if n != len(want[target]) {
			t.Errorf("index: %d entries refer to %s, the index has %d", len(want[target]), target, n)
		}
		return true
	})
	if targets != len(want) {
		t.Errorf("index: %d targets, want %d", targets, len(want))
	}
}

func path(t testing.TB, p string) schema.Path {
	t.Helper()
	parsed, err := model(t).ParsePath(p)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func key(t testing.TB, p string) schema.EntryKey {
	t.Helper()
	return path(t, p).Entry()
}

func update(t testing.TB, p, json string) schema.Edit {
	t.Helper()
	return schema.Edit{Op: schema.Update, Path: path(t, p), JSON: []byte(json), Encoding: schema.JSONIETF}
}

func replace(t testing.TB, p, json string) schema.Edit {
	t.Helper()
	e := update(t, p, json)
	e.Op = schema.Replace
	return e
}

func del(t testing.TB, p string) schema.Edit {
	t.Helper()
	return schema.Edit{Op: schema.Delete, Path: path(t, p)}
}

// Fragments of the model that the tests are written in.

func link(t testing.TB, name, description string) schema.Edit {
	return update(t, "/interfaces/interface[name="+name+"]", fmt.Sprintf(`{"config":{"description":%q}}`, description))
}

func instance(t testing.TB, name string) schema.Edit {
	return update(t, "/network-instances/network-instance[name="+name+"]",
		`{"config":{"type":"heddle-network-instance-types:L3VRF"}}`)
}

const sids = "/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6/sids"

// sid is an End.X by way of a link.
func sid(t testing.TB, n int, by string) schema.Edit {
	return update(t, fmt.Sprintf("%s/sid[address=2001:db8:0:1:%x::]", sids, n),
		fmt.Sprintf(`{"config":{"behavior":"END_X","next-hop":"2001:db8:0:13::3","interface":%q}}`, by))
}

// dt4 is an End.DT4 into an instance.
func dt4(t testing.TB, n int, into string) schema.Edit {
	return update(t, fmt.Sprintf("%s/sid[address=2001:db8:0:1:%x::]", sids, n),
		fmt.Sprintf(`{"config":{"behavior":"END_DT4","network-instance":%q}}`, into))
}

// manySIDs is the payload of a list of n End.X.
func manySIDs(n int, by string) string {
	var b bytes.Buffer
	b.WriteString(`{"sid":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"address":"2001:db8:0:1:%x:%x::","config":{"address":"2001:db8:0:1:%x:%x::","behavior":"heddle-srv6:END_X","next-hop":"2001:db8:0:13::3","interface":%q}}`,
			1+i>>16, i&0xffff, 1+i>>16, i&0xffff, by)
	}
	b.WriteString(`]}`)
	return b.String()
}

var errRefused = errors.New("kernel says no")
