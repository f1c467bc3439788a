package subscribe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"

	"heddle/gen/state"
	"heddle/schema"
)

const (
	ifA  = "/interfaces/interface[name=a]"
	sids = "/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6/sids"
)

func TestIndexAgreesWithMatchesEntry(t *testing.T) {
	s := model(t)
	d := newData(s)
	d.set(t,
		ifA+` := {"config":{"name":"a"},"subinterfaces":{"subinterface":[{"index":0,"ipv6":{"addresses":{"address":[{"ip":"2001:db8::1","config":{"ip":"2001:db8::1","prefix-length":64}}]}}}]}}`,
		`/interfaces/interface[name=b] := {"config":{"name":"b"}}`,
		sids+`/sid[address=2001:db8::1] := {"config":{"address":"2001:db8::1","behavior":"END"}}`,
		sids+`/sid[address=2001:db8::2] := {"config":{"address":"2001:db8::2","behavior":"END"}}`,
		`/network-instances/network-instance[name=blue]/protocols/protocol[identifier=STATIC][name=s]/static-routes/static[prefix=192.0.2.0/24]/next-hops/next-hop[index=1] := {"config":{"index":"1"}}`,
	)
	queries := []string{
		"/", "/interfaces", "/interfaces/interface", "/interfaces/interface[name=a]", "/interfaces/interface[name=a]/config",
		"/interfaces/interface[name=*]/config/mtu", "/interfaces/interface[name=c]", "/interfaces/interface[name=b]/subinterfaces",
		"/interfaces/interface/subinterfaces/subinterface[index=0]/ipv6", "/interfaces/interface[name=a]/subinterfaces/subinterface/ipv6/addresses/address/config/ip",
		"/network-instances", "/network-instances/network-instance[name=DEFAULT]", "/network-instances/network-instance/segment-routing",
		sids, sids + "/sid", sids + "/sid[address=2001:db8::2]/config/behavior",
		"/network-instances/network-instance[name=*]/segment-routing/srv6/sids/sid[address=2001:db8::2]",
		"/network-instances/network-instance[name=blue]/protocols/protocol[identifier=STATIC][name=*]",
		"/network-instances/network-instance[name=blue]/protocols/protocol[identifier=*][name=s]/static-routes/static/next-hops",
		"/system", "/system/state", "/system/state/hostname", "/.../metric", "/*/interface",
	}
	x := newIndex(s)
	var all []*pattern
	e := New(Options{Schema: s, Config: d, State: newData(s)})
	for _, q := range queries {
		paths, err := s.ParseQuery(q)
		must(t, err)
		for _, p := range paths {
			pt := e.pattern(p)
			all = append(all, pt)
			x.add(pt)
		}
	}
	keys := []schema.EntryKey{""}
	for k := range entries(d.Snapshot()) {
		keys = append(keys, k)
	}
	check := func() {
		t.Helper()
		for _, k := range keys {
			got := map[*pattern]int{}
			x.match(k, func(p *pattern) { got[p]++ })
			for _, p := range all {
				want := 0
				if p.path.MatchesEntry(k) {
					want = 1
				}
				if got[p] != want {
					t.Errorf("entry %s, path %s: found %d times, want %d", s.Text(k), p.path, got[p], want)
				}
			}
		}
	}
	check()
	for i := len(all) - 1; i >= 0; i-- {
		if i%2 == 0 {
			x.remove(all[i])
			all = slices.Delete(all, i, i+1)
		}
	}
	check()
	for _, p := range all {
		x.remove(p)
	}
	if n := len(x.inEntry) + len(x.above) + len(x.wildEntry) + len(x.wildAbove); n != 0 {
		t.Errorf("%d places left in an empty index", n)
	}
}

// The patterns of a selection, each scanned on its own, find the same entries as
// a walk over everything.
func TestScanFindsWhatMatches(t *testing.T) {
	s := model(t)
	d := newData(s)
	for i := range 20 {
		d.set(t, fmt.Sprintf(`/interfaces/interface[name=e%d] := {"config":{"name":"e%d"}}`, i, i), fmt.Sprintf(sids+`/sid[address=2001:db8::%x] := {"config":{"behavior":"END"}}`, i))
	}
	e := New(Options{Schema: s, Config: d, State: newData(s)})
	for _, queries := range [][]string{
		{"/"}, {"/interfaces"}, {"/interfaces/interface[name=e3]"}, {"/interfaces/interface", "/interfaces/interface[name=e3]/config"},
		{sids + "/sid[address=2001:db8::3]/config/behavior", sids}, {"/network-instances/network-instance[name=*]/segment-routing"}, {"/system/state/hostname", "/.../behavior"},
	} {
		var ps []*pattern
		for _, q := range queries {
			paths, err := s.ParseQuery(q)
			must(t, err)
			for _, p := range paths {
				pt := e.pattern(p)
				pt.order = len(ps)
				ps = append(ps, pt)
			}
		}
		got := map[schema.EntryKey]int{}
		must(t, newSelection(s, ps).scan(d.Snapshot(), func(k schema.EntryKey, _ schema.GoStruct, hits []*pattern) error {
			got[k] += 1
			for _, p := range ps {
				if p.path.MatchesEntry(k) != slices.Contains(hits, p) {
					t.Errorf("%v: entry %s: pattern %s is wrong", queries, s.Text(k), p.path)
				}
			}
			return nil
		}))
		d.Snapshot().Scan("", func(k schema.EntryKey, _ schema.GoStruct) bool {
			want := 0
			if slices.ContainsFunc(ps, func(p *pattern) bool { return p.path.MatchesEntry(k) }) {
				want = 1
			}
			if got[k] != want {
				t.Errorf("%v: entry %s: %d times, want %d", queries, s.Text(k), got[k], want)
			}
			return true
		})
	}
}

func TestSlowSubscriberCoalesces(t *testing.T) {
	r := run(t, nil)
	r.config.set(t, ifA+`/config := {"name":"a","mtu":1000,"description":"d"}`, `/interfaces/interface[name=gone]/config := {"name":"gone"}`)
	slow, quick := newRecorder(), newRecorder()
	r.stream(slow, r.line("/interfaces", OnChange))
	r.stream(quick, r.line("/interfaces", OnChange))
	slow.take()
	quick.take()
	slow.block, slow.entered, slow.end = make(chan struct{}), make(chan struct{}, 1), t.Context().Done()
	// The first change is on its way, blocked; the rest fall together.
	r.config.set(t, ifA+"/config/mtu := 1001")
	<-slow.entered
	const n = 100
	for i := range n {
		r.config.set(t, ifA+fmt.Sprintf("/config/mtu := %d", 2000+i))
	}
	r.config.set(t, ifA+`/config/description := "x"`)
	r.config.set(t, ifA+`/config/description := "d"`)
	r.config.set(t, `/interfaces/interface[name=gone]`)
	r.config.set(t, `/interfaces/interface[name=seen]/config := {"name":"seen"}`)
	r.config.set(t, `/interfaces/interface[name=seen]`)
	// Others are not held up.
	r.config.set(t, `/interfaces/interface[name=last]/config := {"name":"last"}`)
	last := func(got []*gnmi.Notification, _ int) bool {
		return len(got) > 0 && slices.Contains(lines(got[len(got)-1]), "/interfaces/interface[name=last]/name=last")
	}
	quick.wait(t, last)
	close(slow.block)
	slow.wait(t, last)
	equal(t, slow.take(),
		ifA+"/config/mtu=1001",
		fmt.Sprintf("%s/config/mtu=%d (%d)", ifA, 2000+n-1, n-1),
		ifA+"/config/description=d (1)", // it moved and came back
		"-/interfaces/interface[name=gone]/name", "-/interfaces/interface[name=gone]/config",
		"/interfaces/interface[name=last]/name=last", "/interfaces/interface[name=last]/config/name=last", "/interfaces/interface[name=last]/config/enabled=true",
	)
}

// What waits is bounded by the entries that match, not by the changes.
func TestQueueIsBounded(t *testing.T) {
	s := model(t)
	d := newData(s)
	e := New(Options{Schema: s, Config: d, State: newData(s)})
	sub := &subscriber{schema: s, wake: make(chan struct{}, 1), waiting: map[itemKey]*item{}}
	paths, err := s.ParseQuery("/interfaces")
	must(t, err)
	sub.patterns = e.patterns(Request{Subscriptions: []Subscription{{Paths: paths, Mode: OnChange}}}, func(p *pattern, _ Subscription) { p.sub = sub })
	src := e.sources[0]
	src.join(sub, false)
	for i := range 5000 {
		old := d.Snapshot()
		d.set(t, fmt.Sprintf("/interfaces/interface[name=e%d]/config/mtu := %d", i%50, 1000+i))
		b, err := src.feed.Next(t.Context())
		must(t, err)
		if old == b.Tree {
			t.Fatal("no change")
		}
		src.deliver(b)
	}
	if len(sub.waiting) != 50 {
		t.Errorf("%d items wait for 50 entries", len(sub.waiting))
	}
	n := 0
	for it := sub.pop(); it != nil; it = sub.pop() {
		n++
	}
	if n != 50 || len(sub.waiting) != 0 || sub.last != nil {
		t.Errorf("popped %d items, %d left", n, len(sub.waiting))
	}
}

// mirror is what a collector makes of notifications, and strict about them.
type mirror struct {
	t    *testing.T
	mu   sync.Mutex
	leaf map[string]string
	at   map[string]int64 // time of each leaf
	sync bool
	done chan struct{} // closed once end is there after the sync
	end  string
}

// check closes done when it is time; it needs m.mu.
func (m *mirror) check() {
	if m.sync && m.end != "" && m.leaf[m.end] == "the end" {
		close(m.done)
		m.end = ""
	}
}

func (m *mirror) Send(n *gnmi.Notification) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range lines(n) {
		if strings.HasPrefix(l, "-") {
			found := false
			for p := range m.leaf {
				if p == l[1:] || strings.HasPrefix(p, l[1:]+"/") {
					if m.at[p] > n.GetTimestamp() {
						m.t.Errorf("%s: time went back", l)
					}
					delete(m.leaf, p)
					found = true
				}
			}
			if !found {
				m.t.Errorf("deleted what was not there: %s", l)
			}
			continue
		}
		p, v, _ := cutLast(l)
		if old, ok := m.leaf[p]; ok && old == v && !strings.HasSuffix(v, ")") {
			m.t.Errorf("told again: %s", l)
		}
		v, _, _ = strings.Cut(v, " (")
		if m.at[p] > n.GetTimestamp() {
			m.t.Errorf("%s: time went back", l)
		}
		m.leaf[p], m.at[p] = v, n.GetTimestamp()
	}
	m.check()
	return nil
}

func cutLast(l string) (path, value string, ok bool) {
	i := strings.LastIndex(l, "=")
	return l[:i], l[i+1:], true
}

func (m *mirror) Sync() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sync {
		m.t.Error("a second sync")
	}
	m.sync = true
	m.check()
	return nil
}

// Subscribers come and go while the configuration changes: each has at the end
// exactly what there is, has been told of no change twice and of no deletion of
// what it did not have.
func TestJoinWithoutGapOrDuplicate(t *testing.T) {
	r := run(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	mirrors := make([]*mirror, 20)
	rnd := rand.New(rand.NewPCG(1, 2))
	const changes = 2000
	for i := range changes {
		name := rnd.IntN(20)
		edit := fmt.Sprintf("/interfaces/interface[name=e%d]", name)
		switch rnd.IntN(4) {
		case 1:
			edit += fmt.Sprintf("/config/mtu := %d", 1000+rnd.IntN(500))
		case 2:
			edit += fmt.Sprintf(`/config/description := "d%d"`, rnd.IntN(10))
		case 3:
			edit += fmt.Sprintf(`/config := {"name":"e%d","enabled":%v}`, name, rnd.IntN(2) == 0)
		}
		r.config.set(t, edit)
		if i%(changes/len(mirrors)) == 0 {
			m := &mirror{t: t, leaf: map[string]string{}, at: map[string]int64{}, done: make(chan struct{}), end: "/interfaces/interface[name=e0]/config/description"}
			mirrors[i/(changes/len(mirrors))] = m
			wg.Go(func() {
				req := Request{Subscriptions: []Subscription{r.line("/interfaces", OnChange), r.line("/interfaces/interface[name=e3]/config", OnChange)}, Encoder: Encoder{Encoding: gnmi.Encoding_PROTO}}
				if err := r.Stream(ctx, req, m); !errors.Is(err, context.Canceled) {
					t.Errorf("stream: %v", err)
				}
			})
		}
	}
	// Everyone has the last change once it is everywhere.
	r.config.set(t, "/interfaces/interface[name=e0]/config/description := \"the end\"")
	want := &mirror{t: t, leaf: map[string]string{}, at: map[string]int64{}}
	must(t, r.Once(ctx, Request{Subscriptions: []Subscription{r.line("/interfaces", OnChange)}, Encoder: Encoder{Encoding: gnmi.Encoding_PROTO}}, want))
	limit := time.After(20 * time.Second)
	for i, m := range mirrors {
		select {
		case <-m.done:
		case <-limit:
			t.Fatalf("subscriber %d never had the last change", i)
		}
	}
	cancel()
	wg.Wait()
	for i, m := range mirrors {
		for p, v := range want.leaf {
			if m.leaf[p] != v {
				t.Errorf("subscriber %d: %s is %q, want %q", i, p, m.leaf[p], v)
			}
		}
		if len(m.leaf) != len(want.leaf) {
			t.Errorf("subscriber %d has %d leaves, want %d", i, len(m.leaf), len(want.leaf))
		}
	}
	for _, s := range r.sources {
		if n := len(s.index.inEntry) + len(s.index.wildEntry); n != 0 {
			t.Errorf("%d patterns left behind", n)
		}
	}
}

// A reader that lost its place in the feed compares trees instead.
func TestLostBatches(t *testing.T) {
	r := run(t, nil)
	r.config.set(t, ifA+`/config := {"name":"a","mtu":1000}`, `/interfaces/interface[name=b]/config := {"name":"b"}`)
	rec := newRecorder()
	r.stream(rec, r.line("/interfaces/interface/config", OnChange))
	rec.take()
	before := r.config.Snapshot()
	changes, err := r.schema.Apply(before, []schema.Edit{
		{Op: schema.Delete, Path: parse(t, r.schema, "/interfaces/interface[name=b]")},
		{Op: schema.Update, Path: parse(t, r.schema, ifA+"/config/mtu"), JSON: []byte("1001")},
		{Op: schema.Update, Path: parse(t, r.schema, "/interfaces/interface[name=c]/config/mtu"), JSON: []byte("1500")},
	})
	must(t, err)
	next := &tree{schema.Entries{}}
	before.Scan("", func(k schema.EntryKey, e schema.GoStruct) bool { next.Entries[k] = e; return true })
	next.Put(changes)
	r.config.cur = next
	r.sources[0].deliver(Batch{Tree: next, Time: time.Now(), Lost: true})
	rec.wait(t, func(got []*gnmi.Notification, _ int) bool { return len(got) == 3 })
	c := "/interfaces/interface[name=c]/config"
	equal(t, rec.take(), ifA+"/config/mtu=1001", "-/interfaces/interface[name=b]/config", c+"/name=c", c+"/mtu=1500", c+"/enabled=true")
}

func parse(t testing.TB, s *schema.Schema, text string) schema.Path {
	t.Helper()
	p, err := s.ParsePath(text)
	must(t, err)
	return p
}

func TestStopped(t *testing.T) {
	r := run(t, nil)
	rec := newRecorder()
	done := make(chan error, 1)
	go func() {
		done <- r.Stream(context.Background(), Request{Subscriptions: []Subscription{r.line("/interfaces", OnChange)}}, rec)
	}()
	rec.wait(t, func(_ []*gnmi.Notification, syncs int) bool { return syncs == 1 })
	r.stop()
	if err := <-done; !errors.Is(err, ErrStopped) {
		t.Errorf("stream ended with %v", err)
	}
	if err := r.Stream(context.Background(), Request{Subscriptions: []Subscription{r.line("/interfaces", OnChange)}}, rec); !errors.Is(err, ErrStopped) {
		t.Errorf("a stream after the end: %v", err)
	}
}

// octets puts interface a with a counter into the state.
func octets(t testing.TB, d *data, n uint64) schema.Change {
	t.Helper()
	k := parse(t, d.schema, ifA).Entry()
	old, _ := d.Snapshot().Get(k)
	return schema.Change{Key: k, Old: old, New: &state.Interface{
		OperStatus: state.Interface_OperStatus_UP, Counters: &state.Interface_Counters{InOctets: &n},
	}}
}

// counter is a Refresher whose counter grows with every reading.
type counter struct {
	t testing.TB
	d *data
	n uint64
	// stuck stops it from growing.
	stuck bool
}

func (c *counter) Refresh(context.Context, []schema.Path) error {
	if !c.stuck {
		c.n++
		c.d.commit([]schema.Change{octets(c.t, c.d, c.n)})
	}
	return nil
}

func TestSampling(t *testing.T) {
	model(t) // compiled outside of the bubble
	in, oper := ifA+"/state/counters/in-octets=", ifA+"/state/oper-status=UP"
	tests := []struct {
		name  string
		sub   Subscription
		stuck bool
		path  string
		first []string
		want  []string // in the 10 s after
	}{
		{"sample", Subscription{Mode: Sample, SampleInterval: 4 * time.Second}, false, ifA + "/state", []string{in + "1", oper}, []string{in + "2", oper, in + "3", oper}},
		{"shortest", Subscription{Mode: Sample}, true, ifA + "/state/oper-status", []string{oper}, slices.Repeat([]string{oper}, 10)},
		{"suppress", Subscription{Mode: Sample, SampleInterval: 4 * time.Second, SuppressRedundant: true}, false, ifA + "/state", []string{in + "1", oper}, []string{in + "2", in + "3"}},
		{"suppress all", Subscription{Mode: Sample, SampleInterval: 4 * time.Second, SuppressRedundant: true}, true, ifA + "/state", []string{in + "0", oper}, nil},
		{"suppress with heartbeat", Subscription{Mode: Sample, SampleInterval: 2 * time.Second, SuppressRedundant: true, Heartbeat: 5 * time.Second}, true, ifA + "/state", []string{in + "0", oper}, []string{in + "0", oper}},
		{"target defined", Subscription{Mode: TargetDefined, SampleInterval: 4 * time.Second}, false, ifA + "/state", []string{in + "1", oper}, []string{in + "2", in + "3"}},
		{"target defined, its own interval", Subscription{Mode: TargetDefined}, false, ifA + "/state", []string{in + "1", oper}, []string{in + "2"}},
		{"target defined with heartbeat", Subscription{Mode: TargetDefined, Heartbeat: 6 * time.Second}, false, ifA + "/state", []string{in + "1", oper}, []string{oper, in + "2"}},
		{"on change with heartbeat", Subscription{Mode: OnChange, Heartbeat: 4 * time.Second}, true, ifA + "/state/oper-status", []string{oper}, []string{oper, oper}},
		{"on change", Subscription{Mode: OnChange}, false, ifA + "/state", []string{oper}, nil},
		{"on change with heartbeat, counters beside", Subscription{Mode: OnChange, Heartbeat: 4 * time.Second}, false, ifA + "/state", []string{oper}, []string{oper, oper}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &counter{t: t, stuck: tc.stuck}
				r := run(t, func(o *Options) { o.Refresher = c })
				c.d = r.state
				r.state.commit([]schema.Change{octets(t, r.state, 0)})
				tc.sub.Paths = []schema.Path{parse(t, r.schema, tc.path)}
				rec := newRecorder()
				r.stream(rec, tc.sub)
				equal(t, rec.take(), tc.first...)
				<-time.After(10*time.Second + time.Millisecond) // the bubble's clock
				synctest.Wait()
				equal(t, rec.take(), tc.want...)
				// One delete, whatever the mode, and nothing after it.
				c.stuck = true
				k := parse(t, r.schema, ifA).Entry()
				old, _ := r.state.Snapshot().Get(k)
				r.state.commit([]schema.Change{{Key: k, Old: old}})
				<-time.After(20 * time.Second)
				synctest.Wait()
				equal(t, rec.take(), "-"+tc.path)
				// Back as it was: told again, suppressed or not.
				r.state.commit([]schema.Change{octets(t, r.state, c.n)})
				<-time.After(20 * time.Second)
				synctest.Wait()
				if got := rec.take(); len(got) < len(tc.first) {
					t.Errorf("after it came back: %v", got)
				}
				r.stop()
			})
		})
	}
}

// TestOnChangeKnowsNoCounters: a subscriber is not told that counters went that it
// was never told of; one who samples them beside it is.
func TestOnChangeKnowsNoCounters(t *testing.T) {
	r := run(t, nil)
	r.state.commit([]schema.Change{octets(t, r.state, 7)})
	on, both := newRecorder(), newRecorder()
	r.stream(on, r.line(ifA, OnChange))
	r.stream(both, r.line(ifA, OnChange), r.line(ifA+"/state/counters", TargetDefined))
	oper, in := ifA+"/state/oper-status=UP", ifA+"/state/counters/in-octets=7"
	equal(t, on.take(), oper)
	equal(t, both.take(), oper, in)
	k := parse(t, r.schema, ifA).Entry()
	old, _ := r.state.Snapshot().Get(k)
	less := &state.Interface{OperStatus: state.Interface_OperStatus_UP}
	r.state.commit([]schema.Change{{Key: k, Old: old, New: less}})
	r.state.commit([]schema.Change{{Key: k, Old: less, New: &state.Interface{OperStatus: state.Interface_OperStatus_DOWN}}})
	down := ifA + "/state/oper-status=DOWN"
	told := func(got []*gnmi.Notification, _ int) bool {
		return len(got) > 0 && slices.Contains(lines(got[len(got)-1]), down)
	}
	on.wait(t, told)
	equal(t, on.take(), down)
	both.wait(t, told)
	if got := both.take(); !slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, "-"+ifA+"/state/counters") }) {
		t.Errorf("who samples the counters was told %v", got)
	}
}

func TestIntervals(t *testing.T) {
	r := run(t, nil)
	for _, s := range []Subscription{{SampleInterval: 1}, {Heartbeat: 1}, {SampleInterval: -1}} {
		var bad *IntervalError
		if err := r.Stream(t.Context(), Request{Subscriptions: []Subscription{s}}, newRecorder()); !errors.As(err, &bad) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}
