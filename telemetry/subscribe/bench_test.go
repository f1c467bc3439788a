package subscribe

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"

	"heddle/schema"
)

// counting is a sink that counts.
type counting struct {
	updates atomic.Int64
	syncs   chan struct{}
	news    chan struct{}
}

func (c *counting) Send(n *gnmi.Notification) error {
	c.updates.Add(int64(len(n.GetUpdate()) + len(n.GetDelete())))
	select {
	case c.news <- struct{}{}:
	default:
	}
	return nil
}

func (c *counting) Sync() error {
	c.syncs <- struct{}{}
	return nil
}

// fixed is a dataset whose batches come from the benchmark and whose tree
// stays: what the engine does is measured, not what a store does.
type fixed struct {
	tree  schema.Tree
	batch chan Batch
}

func (f *fixed) Snapshot() schema.Tree      { return f.tree }
func (f *fixed) Watch() (schema.Tree, Feed) { return f.tree, f }
func (f *fixed) Close()                     {}
func (f *fixed) Next(ctx context.Context) (Batch, error) {
	select {
	case b := <-f.batch:
		return b, nil
	case <-ctx.Done():
		return Batch{}, ctx.Err()
	}
}

// interfaces makes a tree of n interfaces with 5 leaves each.
func interfaces(tb testing.TB, s *schema.Schema, n int) *tree {
	tb.Helper()
	out := &tree{schema.Entries{}}
	for i := range n {
		changes, err := s.Apply(schema.Entries{}, []schema.Edit{{Op: schema.Update, Path: parse(tb, s, fmt.Sprintf("/interfaces/interface[name=e%d]", i)),
			JSON: fmt.Appendf(nil, `{"config":{"name":"e%d","mtu":1500,"description":"to the other side"}}`, i)}})
		must(tb, err)
		out.Put(changes)
	}
	return out
}

// A change reaches the subscribers that match it, at a cost that knows neither
// the size of the tree nor the other subscriptions.
func BenchmarkChange(b *testing.B) {
	for _, bc := range []struct{ entries, match, others int }{{100, 1, 0}, {10_000, 1, 0}, {10_000, 1, 10_000}, {100, 100, 0}} {
		b.Run(fmt.Sprintf("entries=%d/match=%d/others=%d", bc.entries, bc.match, bc.others), func(b *testing.B) {
			s := model(b)
			t := interfaces(b, s, bc.entries)
			d := &fixed{tree: t, batch: make(chan Batch)}
			e := New(Options{Schema: s, Config: d, State: newData(s)})
			ctx, cancel := context.WithCancel(context.Background())
			var wg sync.WaitGroup
			wg.Go(func() { _ = e.Run(ctx) })
			defer wg.Wait()
			defer cancel()
			start := func(p string) *counting {
				c := &counting{syncs: make(chan struct{}, 1), news: make(chan struct{}, 1)}
				req := Request{UpdatesOnly: true, Encoder: Encoder{Encoding: gnmi.Encoding_PROTO}, Subscriptions: []Subscription{{Paths: []schema.Path{parse(b, s, p)}, Mode: OnChange}}}
				wg.Go(func() { _ = e.Stream(ctx, req, c) })
				<-c.syncs
				return c
			}
			for i := range bc.others {
				start(fmt.Sprintf("/interfaces/interface[name=e%d]/config", i+1))
			}
			sinks := make([]*counting, bc.match)
			for i := range sinks {
				sinks[i] = start("/interfaces/interface[name=e0]/config")
			}
			k := parse(b, s, "/interfaces/interface[name=e0]").Entry()
			old, _ := t.Get(k)
			changes, err := s.Apply(t, []schema.Edit{{Op: schema.Update, Path: parse(b, s, "/interfaces/interface[name=e0]/config/mtu"), JSON: []byte("1400")}})
			must(b, err)
			there := []schema.Change{{Key: k, Old: old, New: changes[0].New}}
			back := []schema.Change{{Key: k, Old: changes[0].New, New: old}}
			b.ReportAllocs()
			n := int64(0)
			for b.Loop() {
				n++
				changes := there
				if n%2 == 0 {
					changes = back
				}
				d.batch <- Batch{Time: time.Now(), Changes: changes, Tree: t}
				for _, c := range sinks {
					for c.updates.Load() < n {
						<-c.news
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n)/float64(bc.match), "us/delivery")
		})
	}
}

func BenchmarkInitial(b *testing.B) {
	s := model(b)
	t := interfaces(b, s, 20_000)
	e := New(Options{Schema: s, Config: &fixed{tree: t}, State: newData(s)})
	c := &counting{syncs: make(chan struct{}, 1)}
	req := Request{Encoder: Encoder{Encoding: gnmi.Encoding_PROTO}, Subscriptions: []Subscription{{Paths: []schema.Path{parse(b, s, "/interfaces")}}}}
	for b.Loop() {
		must(b, e.Once(b.Context(), req, c))
		<-c.syncs
	}
	b.ReportMetric(float64(c.updates.Load())/b.Elapsed().Seconds(), "leaves/s")
}
