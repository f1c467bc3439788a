package agent

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"heddle/agent/datastore"
	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/reconcile"
	"heddle/schema"
)

// takesAll is a kernel that takes SIDs and routes at once, so that what is measured is all
// but the kernel.
type takesAll struct{ *kerneltest.Fake }

func (d takesAll) Check(ctx context.Context, steps []reconcile.Step) error { return nil }

func (d takesAll) Do(ctx context.Context, steps []reconcile.Step) []reconcile.Result {
	if k := steps[0].Key().Kind; k != object.KindLocalSID && k != object.KindRoute {
		return d.Fake.Do(ctx, steps)
	}
	results := make([]reconcile.Result, len(steps))
	for i, s := range steps {
		results[i].Got = s.New
	}
	return results
}

// BenchmarkCommit100k is a replace of 100,000 End.X SIDs, from JSON to the answer,
// on a kernel that costs nothing.
func BenchmarkCommit100k(b *testing.B) {
	benchCommit(b, "/segment-routing/srv6/sids", "heddle-srv6:sid", func(i int) string {
		return fmt.Sprintf(`{"address":"2001:db8:1:%[1]x:%[2]x::1","config":{"address":"2001:db8:1:%[1]x:%[2]x::1","behavior":"heddle-srv6:END_X",`+
			`"next-hop":"2001:db8:13::%[3]x","description":"customer %[4]d","standalone":false}}`, 0xe000+i>>12, i&0xfff, 16+i%64, i)
	})
}

// BenchmarkCommitEncaps100k is the same with H.Encaps routes over 16 segment lists.
func BenchmarkCommitEncaps100k(b *testing.B) {
	benchCommit(b, "/protocols/protocol[identifier=STATIC][name=s]/static-routes", "heddle-static-routes:static", func(i int) string {
		return fmt.Sprintf(`{"prefix":"2001:db8:%[1]x:%[2]x::/64","config":{"prefix":"2001:db8:%[1]x:%[2]x::/64"},"next-hops":{"next-hop":[{"index":"0",`+
			`"config":{"index":"0"},"heddle-srv6:srv6-encapsulation":{"config":{"segment-list":["2001:db8:2:%[3]x::1","2001:db8:3::1"]}}}]}}`,
			0x4000+i>>12, i&0xfff, i%16)
	})
}

func benchCommit(b *testing.B, at, list string, entry func(i int) string) {
	const n = 100_000
	const instance = "/network-instances/network-instance[name=DEFAULT]"
	a := newAgent(Config{StateDir: b.TempDir(), Log: slog.New(slog.DiscardHandler)})
	fake := kerneltest.NewFake()
	startOn(b, a, takesAll{fake}, fakeView{fake, []string{"lo"}})
	b.Cleanup(func() { _ = a.Close() })
	commit := func(edits ...schema.Edit) {
		b.Helper()
		if _, err := a.Commit(context.Background(), datastore.Request{Edits: edits}); err != nil {
			b.Fatal(err)
		}
	}
	commit(
		edit(b, a.schema, schema.Update, instance+"/config", `{"type": "DEFAULT_INSTANCE"}`),
		edit(b, a.schema, schema.Update, instance+"/segment-routing/srv6/locators/locator[name=main]/config", `{"prefix": "2001:db8:1::/48"}`),
	)
	var doc bytes.Buffer
	doc.WriteString(`{"` + list + `":[`)
	for i := range n {
		if i > 0 {
			doc.WriteByte(',')
		}
		doc.WriteString(entry(i))
	}
	doc.WriteString(`]}`)
	replace := edit(b, a.schema, schema.Replace, instance+at, doc.String())
	none := edit(b, a.schema, schema.Delete, instance+at, "")
	b.SetBytes(int64(doc.Len()))
	b.ReportAllocs()
	for b.Loop() {
		commit(replace)
		b.StopTimer()
		commit(none)
		b.StartTimer()
	}
}

// BenchmarkPlan is the plan of one SID more among 100 and among 100,000, and that of
// 100,000 at once.
func BenchmarkPlan(b *testing.B) {
	const instance = "/network-instances/network-instance[name=DEFAULT]"
	sids := func(n int) string {
		var doc strings.Builder
		for i := range n {
			if i > 0 {
				doc.WriteByte(',')
			}
			fmt.Fprintf(&doc, `{"address":"2001:db8:1:%[1]x:%[2]x::1","config":{"address":"2001:db8:1:%[1]x:%[2]x::1","behavior":"heddle-srv6:END"}}`, 0xe000+i>>12, i&0xfff)
		}
		return `{"heddle-srv6:sid":[` + doc.String() + `]}`
	}
	for _, c := range []struct{ there, more int }{{100, 1}, {100_000, 1}, {0, 100_000}} {
		b.Run(fmt.Sprintf("%dto%d", c.more, c.there), func(b *testing.B) {
			a := newAgent(Config{StateDir: b.TempDir(), Log: slog.New(slog.DiscardHandler)})
			fake := kerneltest.NewFake()
			startOn(b, a, takesAll{fake}, fakeView{fake, []string{"lo"}})
			a.words = fakeWords{}
			b.Cleanup(func() { _ = a.Close() })
			if _, err := a.Commit(context.Background(), datastore.Request{Edits: []schema.Edit{
				edit(b, a.schema, schema.Update, instance+"/config", `{"type": "DEFAULT_INSTANCE"}`),
				edit(b, a.schema, schema.Update, instance+"/segment-routing/srv6/locators/locator[name=main]/config", `{"prefix": "2001:db8:1::/48"}`),
				edit(b, a.schema, schema.Update, instance+"/segment-routing/srv6/sids", sids(c.there)),
			}}); err != nil {
				b.Fatal(err)
			}
			a.late.wait()
			more := datastore.Request{Edits: []schema.Edit{edit(b, a.schema, schema.Update, instance+"/segment-routing/srv6/sids/sid[address=2001:db8:1:d000::1]/config", `{"behavior": "END"}`)}}
			if c.more > 1 {
				more.Edits[0] = edit(b, a.schema, schema.Update, instance+"/segment-routing/srv6/sids", sids(c.more))
			}
			for b.Loop() {
				if p, err := a.Plan(context.Background(), more, nil); err != nil || p.Difference.Entries != c.more {
					b.Fatalf("%d entries: %v", p.Difference.Entries, err)
				}
			}
		})
	}
}
