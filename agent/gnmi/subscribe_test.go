package gnmi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"

	"heddle/agent/datastore"
	"heddle/agent/gnmi"
	"heddle/kernel/object"
)

// listener is one Subscribe.
type listener struct {
	gpb.GNMI_SubscribeClient
	t testing.TB
}

func (tg *target) open() *listener {
	tg.t.Helper()
	ctx, cancel := context.WithTimeout(tg.t.Context(), 20*time.Second)
	tg.t.Cleanup(cancel)
	stream, err := tg.client.Subscribe(ctx)
	must(tg.t, err)
	return &listener{stream, tg.t}
}

func (l *listener) send(list *gpb.SubscriptionList) {
	l.t.Helper()
	must(l.t, l.Send(&gpb.SubscribeRequest{Request: &gpb.SubscribeRequest_Subscribe{Subscribe: list}}))
}

func (l *listener) poll() {
	l.t.Helper()
	must(l.t, l.Send(&gpb.SubscribeRequest{Request: &gpb.SubscribeRequest_Poll{Poll: &gpb.Poll{}}}))
}

func (tg *target) subscribe(list *gpb.SubscriptionList) *listener {
	tg.t.Helper()
	l := tg.open()
	l.send(list)
	return l
}

// leaves takes a notification apart, one line for each leaf: "PATH=VALUE" or
// "-PATH".
func leaves(n *gpb.Notification) []string {
	var out []string
	for _, d := range n.GetDelete() {
		out = append(out, "-"+flat(n.GetPrefix(), d))
	}
	for _, u := range n.GetUpdate() {
		v := u.GetVal()
		text := fmt.Sprint(v)
		switch x := v.GetValue().(type) {
		case *gpb.TypedValue_StringVal:
			text = x.StringVal
		case *gpb.TypedValue_UintVal:
			text = fmt.Sprint(x.UintVal)
		case *gpb.TypedValue_BoolVal:
			text = fmt.Sprint(x.BoolVal)
		case *gpb.TypedValue_JsonIetfVal:
			text = string(x.JsonIetfVal)
		case *gpb.TypedValue_JsonVal:
			text = string(x.JsonVal)
		}
		out = append(out, flat(n.GetPrefix(), u.GetPath())+"="+text)
	}
	return out
}

// next is the next notification, taken apart; "sync" for a sync_response.
func (l *listener) next() []string {
	l.t.Helper()
	resp, err := l.Recv()
	must(l.t, err)
	if resp.GetSyncResponse() {
		return []string{"sync"}
	}
	return leaves(resp.GetUpdate())
}

// sync reads up to the sync_response and returns what came before.
func (l *listener) sync() []string {
	l.t.Helper()
	var all []string
	for {
		n := l.next()
		if slices.Equal(n, []string{"sync"}) {
			slices.Sort(all)
			return all
		}
		all = append(all, n...)
	}
}

// until reads up to a leaf and returns all that came, it included.
func (l *listener) until(leaf string) []string {
	l.t.Helper()
	var all []string
	for {
		n := l.next()
		all = append(all, n...)
		if slices.Contains(n, leaf) {
			return all
		}
	}
}

func list(mode gpb.SubscriptionList_Mode, subs ...*gpb.Subscription) *gpb.SubscriptionList {
	return &gpb.SubscriptionList{Mode: mode, Encoding: gpb.Encoding_PROTO, Subscription: subs}
}

func sub(t testing.TB, p string, mode gpb.SubscriptionMode) *gpb.Subscription {
	return &gpb.Subscription{Path: path(t, p), Mode: mode}
}

func onChange(t testing.TB, p string) *gpb.Subscription {
	return sub(t, p, gpb.SubscriptionMode_ON_CHANGE)
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

// badSubscriptions runs the subscriptions that one line of the check-list refuses.
func badSubscriptions(line string) func(*testing.T) {
	return func(t *testing.T) { refusedSubscriptions(t, line) }
}

func refusedSubscriptions(t *testing.T, line string) {
	tg := start(t, nil)
	stream, justOnce := gpb.SubscriptionList_STREAM, gpb.SubscriptionList_ONCE
	with := func(l *gpb.SubscriptionList, change func(*gpb.SubscriptionList)) *gpb.SubscribeRequest {
		if change != nil {
			change(l)
		}
		return &gpb.SubscribeRequest{Request: &gpb.SubscribeRequest_Subscribe{Subscribe: l}}
	}
	sampled := func(interval time.Duration) *gpb.Subscription {
		s := sub(t, "/interfaces", gpb.SubscriptionMode_SAMPLE)
		s.SampleInterval = uint64(interval)
		return s
	}
	tests := []struct {
		name string
		req  *gpb.SubscribeRequest
		code codes.Code
	}{
		{"53 first message is a Poll", &gpb.SubscribeRequest{Request: &gpb.SubscribeRequest_Poll{Poll: &gpb.Poll{}}}, codes.InvalidArgument},
		{"53 first message is empty", &gpb.SubscribeRequest{}, codes.InvalidArgument},
		{"53 empty list", with(list(stream), nil), codes.InvalidArgument},
		{"54 unknown path", with(list(stream, onChange(t, "/bridges")), nil), codes.Unimplemented},
		{"54 unknown path, ONCE", with(list(justOnce, onChange(t, "/interfaces/bridge")), nil), codes.Unimplemented},
		{"15 wrong key", with(list(stream, onChange(t, "/interfaces/interface[id=1]")), nil), codes.InvalidArgument},
		{"11 origin", with(list(stream, onChange(t, "/interfaces")), func(l *gpb.SubscriptionList) { l.Subscription[0].Path.Origin = "native" }), codes.InvalidArgument},
		{"9 origin twice", with(list(stream, onChange(t, "/interfaces")), func(l *gpb.SubscriptionList) {
			l.Subscription[0].Path.Origin, l.Prefix = "openconfig", &gpb.Path{Origin: "openconfig"}
		}), codes.InvalidArgument},
		{"17 encoding", with(list(stream, onChange(t, "/interfaces")), func(l *gpb.SubscriptionList) { l.Encoding = gpb.Encoding_ASCII }), codes.Unimplemented},
		{"22 use_models", with(list(stream, onChange(t, "/interfaces")), func(l *gpb.SubscriptionList) { l.UseModels = []*gpb.ModelData{{Name: "acme"}} }), codes.Unimplemented},
		{"59 interval too short", with(list(stream, sampled(time.Millisecond)), nil), codes.InvalidArgument},
		{"59 interval beyond time", with(list(stream, sampled(-1)), nil), codes.InvalidArgument},
		{"58 heartbeat too short", with(list(stream, &gpb.Subscription{Path: path(t, "/interfaces"), Mode: gpb.SubscriptionMode_ON_CHANGE, HeartbeatInterval: 1}), nil), codes.InvalidArgument},
		{"53 mode of a subscription", with(list(stream, sub(t, "/interfaces", 9)), nil), codes.InvalidArgument},
		{"53 mode of the list", with(list(9, onChange(t, "/interfaces")), nil), codes.InvalidArgument},
		{"53 qos", with(list(stream, onChange(t, "/interfaces")), func(l *gpb.SubscriptionList) { l.Qos = &gpb.QOSMarking{Marking: 1} }), codes.Unimplemented},
	}
	for _, tc := range tests {
		if !ofLine(tc.name, line) {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			l := tg.open()
			must(t, l.Send(tc.req))
			_, err := l.Recv()
			wantCode(t, err, tc.code)
		})
	}
	if line != "53" {
		return
	}
	t.Run("53 second list", func(t *testing.T) {
		l := tg.subscribe(list(stream, onChange(t, "/interfaces")))
		l.sync()
		l.send(list(stream, onChange(t, "/system")))
		_, err := l.Recv()
		wantCode(t, err, codes.InvalidArgument)
	})
	t.Run("53 second list of a POLL", func(t *testing.T) {
		l := tg.subscribe(list(gpb.SubscriptionList_POLL, onChange(t, "/interfaces")))
		l.sync()
		l.send(list(gpb.SubscriptionList_POLL, onChange(t, "/system")))
		_, err := l.Recv()
		wantCode(t, err, codes.InvalidArgument)
	})
}

func once(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	l := tg.subscribe(list(gpb.SubscriptionList_ONCE, onChange(t, ifA+"/config"), onChange(t, "/interfaces/interface/state/ifindex")))
	equal(t, l.sync(),
		ifA+"/config/name=a", ifA+"/config/mtu=1400", ifA+"/config/description=to b", ifA+"/config/enabled=true",
		"/interfaces/interface[name=eth0]/state/ifindex=1", "/interfaces/interface[name=eth1]/state/ifindex=2",
	)
	if _, err := l.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after sync_response: %v", err)
	}
	// 57
	req := list(gpb.SubscriptionList_ONCE, onChange(t, "/"))
	req.UpdatesOnly = true
	l = tg.subscribe(req)
	equal(t, l.sync())
	if _, err := l.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after sync_response: %v", err)
	}
}

func poll(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	l := tg.subscribe(list(gpb.SubscriptionList_POLL, onChange(t, ifA+"/config/mtu"), onChange(t, "/interfaces/interface[name=eth0]/state/counters/in-pkts")))
	eth0 := "/interfaces/interface[name=eth0]/state/counters/in-pkts="
	equal(t, l.sync(), ifA+"/config/mtu=1400", eth0+"0")
	tg.mustSet(update(ifA+"/config/mtu", `1500`))
	tg.kernel.change("eth0", false, func(l *object.LinkState) bool { l.Stats.RxPackets = 7; return false })
	for range 2 {
		l.poll()
		equal(t, l.sync(), ifA+"/config/mtu=1500", eth0+"7")
	}
	must(t, l.CloseSend())
	if _, err := l.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the client is done: %v", err)
	}
}

func onChangeOfAll(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	l := tg.subscribe(list(gpb.SubscriptionList_STREAM, onChange(t, "/interfaces/interface[name=*]/config"), onChange(t, "/interfaces/interface/state/oper-status")))
	equal(t, l.sync(),
		ifA+"/config/name=a", ifA+"/config/mtu=1400", ifA+"/config/description=to b", ifA+"/config/enabled=true",
		ifB+"/config/name=b", ifB+"/config/enabled=false",
		"/interfaces/interface[name=eth0]/state/oper-status=UP", "/interfaces/interface[name=eth1]/state/oper-status=UP",
	)
	// One leaf.
	tg.mustSet(update(ifA+"/config/mtu", `1500`))
	equal(t, l.next(), ifA+"/config/mtu=1500")
	// 62: gone, and back to its default.
	tg.mustSet(del(ifA+"/config/description"), del(ifB+"/config/enabled"))
	equal(t, append(l.next(), l.next()...), "-"+ifA+"/config/description", ifB+"/config/enabled=true")
	// An entry comes, and goes: its keys, other leaves outside the path do not.
	tg.mustSet(update("/interfaces/interface[name=c]", `{"config":{"name":"c","mtu":1280}}`))
	c := "/interfaces/interface[name=c]/config"
	equal(t, l.next(), c+"/name=c", c+"/mtu=1280", c+"/enabled=true")
	tg.mustSet(del("/interfaces/interface[name=c]"))
	equal(t, l.next(), "-"+c)
	// State.
	tg.kernel.change("eth0", true, func(l *object.LinkState) bool { l.Oper = object.OperDown; return false })
	equal(t, l.next(), "/interfaces/interface[name=eth0]/state/oper-status=DOWN")
	tg.kernel.change("eth1", true, func(l *object.LinkState) bool { return true })
	equal(t, l.next(), "-/interfaces/interface[name=eth1]/state/oper-status")
	// A Set that changes nothing tells nothing.
	tg.mustSet(update(ifA+"/config/mtu", `1500`))
	tg.mustSet(update(ifA+"/config/mtu", `1501`))
	equal(t, l.next(), ifA+"/config/mtu=1501")
}

// Counters count without an event: who asks for them alone is refused, who asks
// for more has the rest.
func onChangeOfCounters(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	const eth0, sid = "/interfaces/interface[name=eth0]/state", "/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6/sids/sid[address=2001:db8::1]/state"
	for _, p := range []string{
		eth0 + "/counters", eth0 + "/counters/in-octets", "/interfaces/interface/state/counters", "/interfaces/.../in-octets",
		sid + "/counters", sid + "/counters/packets",
	} {
		l := tg.subscribe(list(gpb.SubscriptionList_STREAM, onChange(t, "/system"), onChange(t, p)))
		_, err := l.Recv()
		wantCode(t, err, codes.InvalidArgument)
		if err != nil && (!strings.Contains(err.Error(), "SAMPLE or TARGET_DEFINED") || !strings.Contains(err.Error(), p)) {
			t.Errorf("no path %s or no remedy in %v", p, err)
		}
		for _, mode := range []gpb.SubscriptionMode{gpb.SubscriptionMode_SAMPLE, gpb.SubscriptionMode_TARGET_DEFINED} {
			tg.subscribe(list(gpb.SubscriptionList_STREAM, sub(t, p, mode))).sync()
		}
		tg.subscribe(list(gpb.SubscriptionList_ONCE, onChange(t, p))).sync() // the mode is a STREAM's
	}
	for _, p := range []string{eth0, eth0 + "/*", "/interfaces", "/"} {
		l := tg.subscribe(list(gpb.SubscriptionList_STREAM, onChange(t, p)))
		for _, leaf := range l.sync() {
			if strings.Contains(leaf, "/counters/") {
				t.Errorf("%s: initial value %s", p, leaf)
			}
		}
		// Others read the counters, which is nothing to tell of.
		tg.kernel.change("eth0", false, func(l *object.LinkState) bool { l.Stats.RxPackets++; return false })
		tg.subscribe(list(gpb.SubscriptionList_ONCE, sub(t, eth0, gpb.SubscriptionMode_SAMPLE))).sync()
		tg.kernel.change("eth0", true, func(l *object.LinkState) bool { l.MTU++; return false })
		if got := l.next(); len(got) != 1 || !strings.HasPrefix(got[0], eth0+"/mtu=") {
			t.Errorf("%s: told %v", p, got)
		}
	}
}

// Without data yet the RPC stays open.
func dataComesLater(t *testing.T) {
	tg := start(t, nil)
	l := tg.subscribe(list(gpb.SubscriptionList_STREAM, onChange(t, "/interfaces/interface[name=late]/config/mtu")))
	equal(t, l.sync())
	tg.mustSet(update("/interfaces/interface[name=late]/config", `{"name":"late","mtu":1300}`))
	equal(t, l.next(), "/interfaces/interface[name=late]/config/mtu=1300")
}

func updatesOnly(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	req := list(gpb.SubscriptionList_STREAM, onChange(t, "/interfaces"))
	req.UpdatesOnly = true
	l := tg.subscribe(req)
	equal(t, l.sync())
	tg.mustSet(update(ifA+"/config/mtu", `1500`))
	equal(t, l.next(), ifA+"/config/mtu=1500")
}

func sample(t *testing.T) {
	tg := start(t, nil)
	p := "/interfaces/interface[name=eth0]/state/counters/in-octets"
	s := sub(t, p, gpb.SubscriptionMode_SAMPLE)
	s.SampleInterval = uint64(5 * time.Millisecond)
	l := tg.subscribe(list(gpb.SubscriptionList_STREAM, s))
	equal(t, l.sync(), p+"=0")
	tg.kernel.change("eth0", false, func(l *object.LinkState) bool { l.Stats.RxOctets = 9; return false })
	l.until(p + "=9")
	equal(t, l.next(), p+"=9") // again, as it is
	// Decision 4: one delete, then silence.
	tg.kernel.change("eth0", true, func(l *object.LinkState) bool { return true })
	l.until("-" + p)
	tg.kernel.change("eth0", true, func(l *object.LinkState) bool { l.Stats.RxOctets = 1; return false })
	equal(t, l.next(), p+"=1")
}

func suppressRedundant(t *testing.T) {
	tg := start(t, nil)
	p := "/interfaces/interface[name=eth0]/state/counters"
	s := sub(t, p, gpb.SubscriptionMode_SAMPLE)
	s.SuppressRedundant = true // interval 0: the shortest
	l := tg.subscribe(list(gpb.SubscriptionList_STREAM, s))
	l.sync()
	for i := range uint64(3) {
		tg.kernel.change("eth0", false, func(l *object.LinkState) bool { l.Stats.RxOctets = i + 1; return false })
		equal(t, l.next(), fmt.Sprintf("%s/in-octets=%d", p, i+1))
	}
}

func targetDefined(t *testing.T) {
	tg := start(t, nil)
	eth0 := "/interfaces/interface[name=eth0]/state"
	s := sub(t, eth0, gpb.SubscriptionMode_TARGET_DEFINED)
	s.SampleInterval = uint64(5 * time.Millisecond)
	l := tg.subscribe(list(gpb.SubscriptionList_STREAM, s))
	l.sync()
	for _, leaf := range l.next() {
		if !strings.HasPrefix(leaf, eth0+"/counters/") {
			t.Errorf("sampled %s", leaf)
		}
	}
	tg.kernel.change("eth0", true, func(l *object.LinkState) bool { l.Oper = object.OperDown; return false })
	l.until(eth0 + "/oper-status=DOWN")
}

func heartbeat(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	s := onChange(t, ifA+"/config/mtu")
	s.HeartbeatInterval = uint64(5 * time.Millisecond)
	l := tg.subscribe(list(gpb.SubscriptionList_STREAM, s))
	equal(t, l.sync(), ifA+"/config/mtu=1400")
	equal(t, l.next(), ifA+"/config/mtu=1400")
	equal(t, l.next(), ifA+"/config/mtu=1400")
}

// Several subscriptions with several modes, overlapping.
func mixedList(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	sampled := sub(t, ifA+"/config/mtu", gpb.SubscriptionMode_SAMPLE)
	sampled.SampleInterval = uint64(time.Hour)
	req := list(gpb.SubscriptionList_STREAM, sampled, onChange(t, "/interfaces"), onChange(t, ifA))
	req.Prefix = &gpb.Path{Target: "pe3"}
	req.Encoding = gpb.Encoding_JSON_IETF
	l := tg.subscribe(req)
	all := l.sync()
	if got := len(slices.Compact(slices.Clone(all))); got != len(all) {
		t.Errorf("an initial value came twice: %v", all)
	}
	tg.mustSet(update(ifA+"/config/mtu", `1500`))
	resp, err := l.Recv()
	must(t, err)
	equal(t, leaves(resp.GetUpdate()), ifA+"/config/mtu=1500")
	if got := resp.GetUpdate().GetPrefix().GetTarget(); got != "pe3" {
		t.Errorf("target %q", got)
	}
	tg.mustSet(del(ifA))
	equal(t, l.next(), "-"+ifA+"/name", "-"+ifA+"/config")
	tg.mustSet(update(ifB+"/config/mtu", `1300`))
	equal(t, l.next(), ifB+"/config/mtu=1300")
}

func noIntermediateState(t *testing.T) {
	tg := start(t, nil)
	l := tg.subscribe(list(gpb.SubscriptionList_STREAM, onChange(t, "/interfaces/interface/config/description")))
	l.sync()
	tg.mustSet(
		replace(ifA+"/config", `{"name":"a","description":"first"}`),
		update(ifA+"/config/description", `"last"`),
	)
	equal(t, l.next(), ifA+"/config/description=last")
}

// A configuration that could not be loaded does not keep anybody from watching
// how it is mended.
func TestSubscribeWithoutStartup(t *testing.T) {
	sc, err := heddle()
	must(t, err)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "startup.json"), []byte("{"), 0o600))
	store, err := datastore.Open(datastore.Config{Schema: sc, Applier: &applier{}, Dir: dir})
	must(t, err)
	var bad *datastore.StartupError
	if _, err := store.Start(t.Context()); !errors.As(err, &bad) {
		t.Fatalf("start with half a file: %v", err)
	}
	t.Cleanup(func() { must(t, store.Close(context.Background())) }) // after the server
	tg := start(t, func(c *gnmi.Config) []net.Listener {
		c.Running, c.Store = gnmi.Running(store), store
		return nil
	})
	l := tg.subscribe(list(gpb.SubscriptionList_STREAM, onChange(t, "/interfaces/interface/config/mtu")))
	equal(t, l.sync())
	_, err = tg.set(update(ifA+"/config/mtu", `1500`))
	wantCode(t, err, codes.FailedPrecondition)
	tg.mustSet(replace("/", `{"interfaces":{"interface":[{"name":"a","config":{"name":"a","mtu":1500}}]}}`))
	equal(t, l.next(), ifA+"/config/mtu=1500")
}
