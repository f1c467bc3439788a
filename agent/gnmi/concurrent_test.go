package gnmi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Fifty clients set, get and subscribe at once. Every Set gives all interfaces
// the same description, so that a reader who sees two has seen half a Set.
func TestConcurrentClients(t *testing.T) {
	tg := start(t, nil)
	const members, sets = 8, 12
	all := func(text string) []op {
		ops := make([]op, members)
		for i := range ops {
			ops[i] = update(fmt.Sprintf("/interfaces/interface[name=m%d]/config", i), fmt.Sprintf(`{"name":"m%d","description":%q}`, i, text))
		}
		return ops
	}
	tg.mustSet(all("start")...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writers, readers, subscribers sync.WaitGroup
	for w := range 15 {
		client, _ := dialUnix(t, tg.sock)
		writers.Go(func() {
			for i := range sets {
				if _, err := client.Set(t.Context(), tg.request(all(fmt.Sprintf("w%d-%d", w, i))...)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 20 {
		client, _ := dialUnix(t, tg.sock)
		req := getRequest(t, gpb.Encoding_JSON, gpb.GetRequest_CONFIG, "/interfaces")
		readers.Go(func() {
			for ctx.Err() == nil {
				resp, err := client.Get(ctx, req)
				if status.Code(err) == codes.Canceled {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				if seen := descriptions(t, resp.GetNotification()[0].GetUpdate()[0].GetVal().GetJsonVal()); len(seen) != 1 {
					t.Errorf("half a Set: %v", seen)
				}
			}
		})
	}
	last := make([]map[string]string, 15)
	for i := range last {
		client, _ := dialUnix(t, tg.sock)
		stream, err := client.Subscribe(ctx)
		must(t, err)
		l := &listener{stream, t}
		l.send(list(gpb.SubscriptionList_STREAM, onChange(t, "/interfaces/interface/config/description")))
		last[i] = map[string]string{}
		subscribers.Go(func() {
			for {
				resp, err := stream.Recv()
				if err != nil {
					t.Errorf("subscriber %d: %v", i, err)
					return
				}
				for _, leaf := range leaves(resp.GetUpdate()) {
					p, v, _ := strings.Cut(leaf, "description=")
					last[i][p] = v
				}
				if done(last[i], members) {
					return
				}
			}
		})
	}
	writers.Wait()
	tg.mustSet(all("the end")...)
	subscribers.Wait()
	cancel()
	readers.Wait()
}

// done reports whether every member has its last description.
func done(seen map[string]string, members int) bool {
	n := 0
	for _, v := range seen {
		if v == "the end" {
			n++
		}
	}
	return n == members
}

func descriptions(t testing.TB, doc []byte) []string {
	var tree struct {
		Interface []struct {
			Name   string
			Config struct{ Description string }
		}
	}
	if err := json.Unmarshal(doc, &tree); err != nil {
		t.Errorf("%v in %s", err, doc)
	}
	var seen []string
	for _, i := range tree.Interface {
		seen = append(seen, i.Config.Description)
	}
	slices.Sort(seen)
	return slices.Compact(seen)
}

// A client that does not read holds up nobody, and has the last values when it
// reads again.
func TestGNMI064_SlowClient(t *testing.T) {
	tg := start(t, nil)
	slow := tg.subscribe(list(gpb.SubscriptionList_STREAM, onChange(t, "/interfaces/interface/config/description")))
	quick := tg.subscribe(list(gpb.SubscriptionList_STREAM, onChange(t, "/interfaces/interface/config/description")))
	slow.sync()
	quick.sync()
	text := strings.Repeat("x", 4000)
	const n = 400 // 1.6 MB, more than the flow control window
	for i := range n {
		tg.mustSet(leaf(ifA+"/config/description", stringVal(fmt.Sprintf("%s%d", text, i))))
	}
	want := fmt.Sprintf("%s/config/description=%s%d", ifA, text, n-1)
	quick.until(want)
	messages, duplicates := 0, uint32(0)
	for {
		resp, err := slow.Recv()
		must(t, err)
		messages++
		duplicates += resp.GetUpdate().GetUpdate()[0].GetDuplicates()
		if leaves(resp.GetUpdate())[0] == want {
			break
		}
	}
	if messages+int(duplicates) != n {
		t.Errorf("%d messages and %d duplicates for %d changes", messages, duplicates, n)
	}
	if duplicates == 0 {
		t.Error("nothing fell together: is the client slow?")
	}
}

// A subscription leaves no goroutine behind, however it ends.
func TestSubscriptionsLeaveNothing(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	tg.get("/") // the connection is there
	before := []goleak.Option{goleak.IgnoreCurrent()}
	for i := range 60 {
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := tg.client.Subscribe(ctx)
		must(t, err)
		l := &listener{stream, t}
		switch i % 3 {
		case 0:
			l.send(list(gpb.SubscriptionList_STREAM, onChange(t, "/")))
			l.sync()
		case 1:
			l.send(list(gpb.SubscriptionList_ONCE, onChange(t, "/bridges")))
			if _, err := l.Recv(); err == nil {
				t.Error("an unknown path was taken")
			}
		case 2:
			l.send(list(gpb.SubscriptionList_POLL, onChange(t, "/")))
			l.sync()
			must(t, l.CloseSend())
			if _, err := l.Recv(); err == nil {
				t.Error("a poll went on after its client was done")
			}
		}
		cancel()
	}
	goleak.VerifyNone(t, before...)
}
