package gnmi_test

import (
	"bytes"
	"fmt"
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
)

// load puts n SIDs into the configuration, as a controller does.
func load(tg *target, n int) {
	tg.t.Helper()
	var doc bytes.Buffer
	doc.WriteString(`{"sid":[`)
	for i := range n {
		if i > 0 {
			doc.WriteByte(',')
		}
		fmt.Fprintf(&doc, `{"address":"2001:db8:0:%x:%x::","config":{"address":"2001:db8:0:%x:%x::","behavior":"heddle-srv6:END_X","next-hop":"fe80::1","description":"customer %d","standalone":true}}`, i>>12, i&0xfff, i>>12, i&0xfff, i)
	}
	doc.WriteString(`]}`)
	tg.mustSet(replace(srv6+"/sids", doc.String()))
}

func BenchmarkSetOneLeaf(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("sids=%d", n), func(b *testing.B) {
			tg := start(b, nil)
			load(tg, n)
			p := path(b, srv6+"/sids/sid[address=2001:db8:0:0:5::]/config/description")
			i := 0
			for b.Loop() {
				i++
				_, err := tg.client.Set(b.Context(), &gpb.SetRequest{Update: []*gpb.Update{{Path: p, Val: stringVal(fmt.Sprintf("change %d", i))}}})
				must(b, err)
			}
		})
	}
}

func BenchmarkGetAll(b *testing.B) {
	tg := start(b, nil)
	load(tg, 100_000)
	req := getRequest(b, gpb.Encoding_JSON_IETF, gpb.GetRequest_ALL, "/")
	size := 0
	for b.Loop() {
		resp, err := tg.client.Get(b.Context(), req)
		must(b, err)
		size = len(resp.GetNotification()[0].GetUpdate()[0].GetVal().GetJsonIetfVal())
	}
	b.SetBytes(int64(size))
}

// What 100,000 SIDs come to as initial values: 700,000 leaves.
func BenchmarkInitialSync(b *testing.B) {
	tg := start(b, nil)
	load(tg, 100_000)
	leaves := 0
	for b.Loop() {
		l := tg.subscribe(list(gpb.SubscriptionList_ONCE, onChange(b, "/")))
		for {
			resp, err := l.Recv()
			must(b, err)
			if resp.GetSyncResponse() {
				break
			}
			leaves += len(resp.GetUpdate().GetUpdate())
		}
	}
	b.ReportMetric(float64(leaves)/b.Elapsed().Seconds(), "leaves/s")
}
