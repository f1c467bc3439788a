package gnmi_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc/codes"
)

// subscribeWith is subscribe with an extension.
func (tg *target) subscribeWith(x *gnmi_ext.Extension, sl *gpb.SubscriptionList) *listener {
	tg.t.Helper()
	l := tg.open()
	must(tg.t, l.Send(&gpb.SubscribeRequest{
		Extension: []*gnmi_ext.Extension{x}, Request: &gpb.SubscribeRequest_Subscribe{Subscribe: sl},
	}))
	return l
}

func configOnly() *gnmi_ext.Extension {
	return &gnmi_ext.Extension{Ext: &gnmi_ext.Extension_ConfigSubscription{ConfigSubscription: &gnmi_ext.ConfigSubscription{
		Action: &gnmi_ext.ConfigSubscription_Start{Start: &gnmi_ext.ConfigSubscriptionStart{}}}}}
}

// committed is the next response, which says that a commit is through.
func (l *listener) committed() *gnmi_ext.ConfigSubscriptionSyncDone {
	l.t.Helper()
	resp, err := l.Recv()
	must(l.t, err)
	if len(resp.GetExtension()) != 1 || resp.GetResponse() != nil {
		l.t.Fatalf("%v is not about a commit", resp)
	}
	return resp.GetExtension()[0].GetConfigSubscription().GetSyncDone()
}

func configSubscription(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	l := tg.subscribeWith(configOnly(), list(gpb.SubscriptionList_STREAM, onChange(t, ifA), onChange(t, "/interfaces/interface[name=eth0]")))
	equal(t, l.sync(), ifA+"/name=a", ifA+"/config/name=a", ifA+"/config/mtu=1400", ifA+"/config/description=to b", ifA+"/config/enabled=true")
	through := func(id string) {
		t.Helper()
		done := l.committed()
		if want := fmt.Sprint(tg.store.Snapshot().Revision()); !done.GetDone() || done.GetCommitConfirmId() != id || done.GetServerCommitId() != want {
			t.Errorf("%v, want id %q and revision %s", done, id, want)
		}
	}
	tg.mustSet(update(ifA+"/config/mtu", `1300`))
	equal(t, l.next(), ifA+"/config/mtu=1300")
	through("")
	tg.mustSet(update(ifB+"/config/mtu", `1300`)) // elsewhere
	through("")
	must(t, tg.setWith(begin("x", 0), update(ifA+"/config/mtu", `1301`), del(ifA+"/config/description")))
	equal(t, l.next(), ifA+"/config/mtu=1301", "-"+ifA+"/config/description")
	through("x")
	must(t, tg.setWith(cancel("x")))
	equal(t, l.next(), ifA+"/config/mtu=1300", ifA+"/config/description=to b")
	through("x")
	must(t, tg.setWith(begin("y", 0), update(ifA+"/config/mtu", `1302`)))
	equal(t, l.next(), ifA+"/config/mtu=1302")
	through("y")
	must(t, tg.setWith(confirm("y"))) // is not told
	tg.mustSet(del(ifA))
	equal(t, l.next(), "-"+ifA+"/name", "-"+ifA+"/config")
	through("")

	once := tg.subscribeWith(configOnly(), list(gpb.SubscriptionList_ONCE, onChange(t, ifB), onChange(t, "/system")))
	equal(t, once.sync(), ifB+"/name=b", ifB+"/config/name=b", ifB+"/config/mtu=1300", ifB+"/config/enabled=false")
	bad := tg.subscribeWith(&gnmi_ext.Extension{Ext: &gnmi_ext.Extension_ConfigSubscription{ConfigSubscription: &gnmi_ext.ConfigSubscription{}}},
		list(gpb.SubscriptionList_ONCE, onChange(t, ifB)))
	_, err := bad.Recv()
	wantCode(t, err, codes.Unimplemented)
}

func snapshotAt(t int64) *gnmi_ext.Extension {
	return &gnmi_ext.Extension{Ext: &gnmi_ext.Extension_History{History: &gnmi_ext.History{Request: &gnmi_ext.History_SnapshotTime{SnapshotTime: t}}}}
}

func rangeOf(from, to int64) *gnmi_ext.Extension {
	return &gnmi_ext.Extension{Ext: &gnmi_ext.Extension_History{History: &gnmi_ext.History{Request: &gnmi_ext.History_Range{Range: &gnmi_ext.TimeRange{Start: from, End: to}}}}}
}

func (l *listener) ended() {
	l.t.Helper()
	if _, err := l.Recv(); !errors.Is(err, io.EOF) {
		l.t.Errorf("it goes on: %v", err)
	}
}

func pastSnapshot(t *testing.T) {
	tg := start(t, nil)
	first := tg.mustSet(update(ifA+"/config", `{"name":"a","mtu":1300}`)).GetTimestamp()
	second := tg.mustSet(update(ifA+"/config/mtu", `1301`), update(ifB+"/config/name", `"b"`)).GetTimestamp()
	third := tg.mustSet(del(ifA)).GetTimestamp()
	mtus := func(at int64) []string {
		t.Helper()
		l := tg.subscribeWith(snapshotAt(at), list(gpb.SubscriptionList_ONCE, onChange(t, "/interfaces/interface/config/mtu")))
		all := l.sync()
		l.ended()
		return all
	}
	equal(t, mtus(first), ifA+"/config/mtu=1300")
	equal(t, mtus(second-1), ifA+"/config/mtu=1300")
	equal(t, mtus(second), ifA+"/config/mtu=1301")
	equal(t, mtus(third))
	equal(t, mtus(1))
}

func pastRange(t *testing.T) {
	tg := start(t, nil)
	at := ifA + "/config/mtu"
	first := tg.mustSet(update(ifA+"/config", `{"name":"a","mtu":1300}`)).GetTimestamp()
	second := tg.mustSet(update(at, `1301`)).GetTimestamp()
	tg.mustSet(update(ifB+"/config/name", `"b"`))
	third := tg.mustSet(del(at)).GetTimestamp()
	fourth := tg.mustSet(update(at, `1302`)).GetTimestamp()
	sl := list(gpb.SubscriptionList_STREAM, onChange(t, at))
	l := tg.subscribeWith(rangeOf(first+1, fourth), sl)
	equal(t, l.sync(), at+"=1300")
	for _, want := range []struct {
		time int64
		leaf string
	}{{second, at + "=1301"}, {third, "-" + at}} {
		resp, err := l.Recv()
		must(t, err)
		equal(t, leaves(resp.GetUpdate()), want.leaf)
		if got := resp.GetUpdate().GetTimestamp(); got != want.time {
			t.Errorf("%s happened at %d, it says %d", want.leaf, want.time, got)
		}
	}
	l.ended()
	// The start counts, the end does not.
	l = tg.subscribeWith(rangeOf(second, fourth+1), sl)
	equal(t, l.sync(), at+"=1300")
	equal(t, append(append(l.next(), l.next()...), l.next()...), at+"=1301", "-"+at, at+"=1302")
	l.ended()
	sl.UpdatesOnly = true
	l = tg.subscribeWith(rangeOf(fourth, fourth), sl)
	equal(t, l.sync())
	l.ended()
}

func pastMistakes(t *testing.T) {
	tg := start(t, nil)
	now := tg.mustSet(update(ifA+"/config", `{"name":"a","mtu":1300}`)).GetTimestamp()
	once, stream, poll := gpb.SubscriptionList_ONCE, gpb.SubscriptionList_STREAM, gpb.SubscriptionList_POLL
	later := time.Now().Add(time.Hour).UnixNano()
	for _, tc := range []struct {
		name string
		x    *gnmi_ext.Extension
		mode gpb.SubscriptionList_Mode
		path string
		code codes.Code
	}{
		{"snapshot of a STREAM", snapshotAt(now), stream, ifA, codes.InvalidArgument},
		{"snapshot of a POLL", snapshotAt(now), poll, ifA, codes.InvalidArgument},
		{"range of ONCE", rangeOf(now, now), once, ifA, codes.InvalidArgument},
		{"range of a POLL", rangeOf(now, now), poll, ifA, codes.InvalidArgument},
		{"range that ends first", rangeOf(now, now-1), stream, ifA, codes.InvalidArgument},
		{"neither", &gnmi_ext.Extension{Ext: &gnmi_ext.Extension_History{History: &gnmi_ext.History{}}}, once, ifA, codes.InvalidArgument},
		{"the future", snapshotAt(later), once, ifA, codes.Unimplemented},
		{"a range into the future", rangeOf(now, later), stream, ifA, codes.Unimplemented},
		{"state", snapshotAt(now), once, "/interfaces/interface/state", codes.Unimplemented},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := tg.subscribeWith(tc.x, list(tc.mode, onChange(t, tc.path))).Recv()
			wantCode(t, err, tc.code)
		})
	}
}
