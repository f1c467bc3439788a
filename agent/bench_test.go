package agent

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"

	"heddle/agent/datastore"
	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/reconcile"
	"heddle/schema"
)

// takesAll is a kernel that takes SIDs at once, so that what is measured is all
// but the kernel.
type takesAll struct{ *kerneltest.Fake }

func (d takesAll) Check(ctx context.Context, steps []reconcile.Step) error { return nil }

func (d takesAll) Do(ctx context.Context, steps []reconcile.Step) []reconcile.Result {
	if steps[0].Key().Kind != object.KindLocalSID {
		return d.Fake.Do(ctx, steps)
	}
	results := make([]reconcile.Result, len(steps))
	for i, s := range steps {
		results[i].Got = s.New
	}
	return results
}

// BenchmarkCommit100k is a replace of 100,000 End.X SIDs, from JSON to state, on a
// kernel that costs nothing.
func BenchmarkCommit100k(b *testing.B) {
	const n = 100_000
	a := newAgent(Config{StateDir: b.TempDir(), Log: slog.New(slog.DiscardHandler)})
	fake := kerneltest.NewFake()
	startOn(b, a, takesAll{fake}, fakeView{fake, []string{"lo"}})
	b.Cleanup(func() { _ = a.Close() })
	const srv6 = "/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6"
	commit := func(edits ...schema.Edit) {
		b.Helper()
		if _, err := a.Commit(context.Background(), datastore.Request{Edits: edits}); err != nil {
			b.Fatal(err)
		}
	}
	commit(
		edit(b, a.schema, schema.Update, "/network-instances/network-instance[name=DEFAULT]/config", `{"type": "DEFAULT_INSTANCE"}`),
		edit(b, a.schema, schema.Update, srv6+"/locators/locator[name=main]/config", `{"prefix": "2001:db8:1::/48"}`),
	)
	var doc bytes.Buffer
	doc.WriteString(`{"heddle-srv6:sid":[`)
	for i := range n {
		if i > 0 {
			doc.WriteByte(',')
		}
		fmt.Fprintf(&doc, `{"address":"2001:db8:1:%[1]x:%[2]x::1","config":{"address":"2001:db8:1:%[1]x:%[2]x::1","behavior":"heddle-srv6:END_X",`+
			`"next-hop":"2001:db8:13::%[3]x","description":"customer %[4]d","standalone":false}}`, 0xe000+i>>12, i&0xfff, 16+i%64, i)
	}
	doc.WriteString(`]}`)
	replace := edit(b, a.schema, schema.Replace, srv6+"/sids", doc.String())
	none := edit(b, a.schema, schema.Delete, srv6+"/sids", "")
	b.SetBytes(int64(doc.Len()))
	b.ReportAllocs()
	for b.Loop() {
		commit(replace)
		b.StopTimer()
		commit(none)
		b.StartTimer()
	}
}
