package gnmi_test

//lint:file-ignore SA1019 old clients still send decimal_val.

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Whatever a client sends gets an answer with a code of gNMI's, and a refused
// Set leaves the configuration alone.
func FuzzSet(f *testing.F) {
	tg := start(f, nil)
	seed(tg)
	add := func(m proto.Message) {
		raw, err := proto.Marshal(m)
		must(f, err)
		f.Add(raw)
	}
	for _, o := range []op{
		update(ifA+"/config/mtu", `1500`), replace(ifA, `{"config":{"name":"a"}}`), del("/interfaces/interface[name=*]/config/description"),
		leaf(ifA+"/config/mtu", uintVal(1500)), leaf(ifA+"/config/enabled", boolVal(true)), leaf(ifA+"/config/description", stringVal("x")),
		leaf(ifA+"/config/mtu", &gpb.TypedValue{Value: &gpb.TypedValue_DoubleVal{DoubleVal: 1e300}}),
		leaf(ifA+"/config/mtu", &gpb.TypedValue{Value: &gpb.TypedValue_DecimalVal{DecimalVal: &gpb.Decimal64{Digits: -15, Precision: 1}}}),
		leaf(static+"/static[prefix=2001:db8:1::/48]/next-hops/next-hop[index=1]/srv6-encapsulation/config/segment-list",
			&gpb.TypedValue{Value: &gpb.TypedValue_LeaflistVal{LeaflistVal: &gpb.ScalarArray{Element: []*gpb.TypedValue{stringVal("2001:db8::1"), nil, {}}}}}),
	} {
		add(tg.request(o))
	}
	for _, x := range []*gnmi_ext.Extension{
		begin("x", time.Second), confirm("x"), cancel("x"), extend("x", durationpb.New(1)), arbitration("r", 1, 2), depthOf(1)[0],
		{Ext: &gnmi_ext.Extension_RegisteredExt{RegisteredExt: &gnmi_ext.RegisteredExtension{Id: 999, Msg: []byte("x")}}}, {},
	} {
		req := tg.request(update(ifA+"/config/mtu", `1500`))
		req.Extension = []*gnmi_ext.Extension{x}
		add(req)
	}
	add(&gpb.SetRequest{UnionReplace: tg.request(update(ifA, `{"config":{"mtu":1500}}`), update(ifA+"/config/mtu", `1501`)).GetUpdate()})
	f.Fuzz(func(t *testing.T, raw []byte) {
		req := &gpb.SetRequest{}
		if proto.Unmarshal(raw, req) != nil {
			return // no SetRequest
		}
		before := tg.store.Snapshot().Revision()
		_, err := tg.client.Set(t.Context(), req)
		if u := tg.store.Unconfirmed(); u != nil {
			_, err := tg.client.Set(t.Context(), &gpb.SetRequest{Extension: []*gnmi_ext.Extension{cancel(u.ID)}})
			must(t, err)
		}
		switch status.Code(err) {
		case codes.OK:
			return
		case codes.InvalidArgument, codes.NotFound, codes.Unimplemented:
		case codes.FailedPrecondition, codes.PermissionDenied, codes.ResourceExhausted: // of extensions
		default:
			t.Errorf("code %v: %v", status.Code(err), err)
		}
		if tg.store.Snapshot().Revision() != before {
			t.Error("a refused Set was committed")
		}
	})
}

func FuzzGet(f *testing.F) {
	tg := start(f, nil)
	seed(tg)
	for _, p := range []string{"/", ifA, "/interfaces/interface[name=*]/config/mtu", "/.../metric", "/*/*/config", static} {
		for _, enc := range []gpb.Encoding{gpb.Encoding_JSON, gpb.Encoding_JSON_IETF, gpb.Encoding_PROTO} {
			req := getRequest(f, enc, gpb.GetRequest_ALL, p)
			req.Extension = depthOf(uint32(len(p) % 4))
			raw, err := proto.Marshal(req)
			must(f, err)
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		req := &gpb.GetRequest{}
		if proto.Unmarshal(raw, req) != nil {
			return // no GetRequest
		}
		resp, err := tg.client.Get(t.Context(), req)
		switch status.Code(err) {
		case codes.OK:
			if len(resp.GetNotification()) != len(req.GetPath()) {
				t.Errorf("%d notifications for %d paths", len(resp.GetNotification()), len(req.GetPath()))
			}
		case codes.InvalidArgument, codes.NotFound, codes.Unimplemented:
		default:
			t.Errorf("code %v: %v", status.Code(err), err)
		}
	})
}

// Whatever a client subscribes to, it is told what there is, or why not.
func FuzzSubscribe(f *testing.F) {
	tg := start(f, nil)
	seed(tg)
	for _, mode := range []gpb.SubscriptionList_Mode{gpb.SubscriptionList_ONCE, gpb.SubscriptionList_POLL, gpb.SubscriptionList_STREAM} {
		for _, p := range []string{"/", ifA, "/interfaces/interface[name=*]/config/mtu", "/.../metric", static} {
			for _, kind := range []gpb.SubscriptionMode{gpb.SubscriptionMode_ON_CHANGE, gpb.SubscriptionMode_SAMPLE, gpb.SubscriptionMode_TARGET_DEFINED} {
				raw, err := proto.Marshal(&gpb.SubscribeRequest{Request: &gpb.SubscribeRequest_Subscribe{Subscribe: &gpb.SubscriptionList{
					Mode: mode, Encoding: gpb.Encoding_PROTO, UpdatesOnly: kind == gpb.SubscriptionMode_SAMPLE,
					Subscription: []*gpb.Subscription{{Path: path(f, p), Mode: kind, SampleInterval: uint64(time.Second)}},
				}}})
				must(f, err)
				f.Add(raw)
			}
		}
	}
	for _, x := range []*gnmi_ext.Extension{depthOf(2)[0], configOnly(), snapshotAt(time.Now().UnixNano()), rangeOf(0, time.Now().UnixNano())} {
		for _, mode := range []gpb.SubscriptionList_Mode{gpb.SubscriptionList_ONCE, gpb.SubscriptionList_STREAM} {
			raw, err := proto.Marshal(&gpb.SubscribeRequest{Extension: []*gnmi_ext.Extension{x}, Request: &gpb.SubscribeRequest_Subscribe{
				Subscribe: list(mode, onChange(f, ifA))}})
			must(f, err)
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		req := &gpb.SubscribeRequest{}
		if proto.Unmarshal(raw, req) != nil {
			return // no SubscribeRequest
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		stream, err := tg.client.Subscribe(ctx)
		must(t, err)
		_ = stream.Send(req) // one that is too large is said below
		must(t, stream.CloseSend())
		for {
			m, err := stream.Recv()
			if m.GetSyncResponse() || errors.Is(err, io.EOF) {
				return
			}
			switch status.Code(err) {
			case codes.OK:
			case codes.InvalidArgument, codes.NotFound, codes.Unimplemented:
				return
			default:
				t.Fatalf("code %v: %v", status.Code(err), err)
			}
		}
	})
}
