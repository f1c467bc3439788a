package gnmi_test

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

// in is the target for one input of a fuzzer.
func (tg *target) in(t testing.TB) *target {
	one := *tg
	one.t = t
	return &one
}

// Whatever an extension is, each RPC takes it or says why not.
func FuzzExtensions(f *testing.F) {
	tg := start(f, nil)
	seed(tg)
	for _, x := range []*gnmi_ext.Extension{
		begin("x", time.Second), confirm("x"), cancel("x"), extend("x", durationpb.New(1)), arbitration("r", 1, 2), arbitration("", 0, 0),
		depthOf(3)[0], configOnly(), snapshotAt(1), rangeOf(1, 2), {},
		{Ext: &gnmi_ext.Extension_RegisteredExt{RegisteredExt: &gnmi_ext.RegisteredExtension{Id: 999, Msg: []byte("x")}}},
	} {
		raw, err := proto.Marshal(x)
		must(f, err)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		x := &gnmi_ext.Extension{}
		if proto.Unmarshal(raw, x) != nil {
			return // no Extension
		}
		tg := tg.in(t)
		exts := []*gnmi_ext.Extension{x}
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
		defer stop()
		_, err := tg.client.Capabilities(ctx, &gpb.CapabilityRequest{Extension: exts})
		answered(t, "Capabilities", err)
		get := getRequest(t, gpb.Encoding_PROTO, gpb.GetRequest_CONFIG, ifA)
		get.Extension = exts
		_, err = tg.client.Get(ctx, get)
		answered(t, "Get", err)
		set := tg.request(update(ifA+"/config/mtu", `1500`))
		set.Extension = exts
		_, err = tg.client.Set(ctx, set)
		answered(t, "Set", err)
		if u := tg.store.Unconfirmed(); u != nil {
			_, err := tg.client.Set(ctx, &gpb.SetRequest{Extension: []*gnmi_ext.Extension{cancel(u.ID)}})
			must(t, err)
		}
		stream, err := tg.client.Subscribe(ctx)
		must(t, err)
		_ = stream.Send(&gpb.SubscribeRequest{Extension: exts, Request: &gpb.SubscribeRequest_Subscribe{Subscribe: list(gpb.SubscriptionList_ONCE, onChange(t, ifA))}})
		must(t, stream.CloseSend())
		for err = nil; err == nil; {
			_, err = stream.Recv()
		}
		if !errors.Is(err, io.EOF) {
			answered(t, "Subscribe", err)
		}
	})
}

// answered checks that a code is one of an answer to what a client sent.
func answered(t *testing.T, rpc string, err error) {
	t.Helper()
	switch status.Code(err) {
	case codes.OK, codes.InvalidArgument, codes.NotFound, codes.Unimplemented:
	case codes.FailedPrecondition, codes.PermissionDenied, codes.ResourceExhausted: // of commits and masters
	default:
		t.Errorf("%s: code %v: %v", rpc, status.Code(err), err)
	}
}

// Whatever a value is, it is refused, or it is there in each encoding, and what JSON_IETF
// says of it says it again.
func FuzzTypedValue(f *testing.F) {
	tg := start(f, nil)
	seed(tg)
	at := []string{ifA + "/config/mtu", ifA + "/config/enabled", ifA + "/config/description", ifA + "/config", ifA, "/interfaces",
		static + "/static[prefix=2001:db8:1::/48]/next-hops/next-hop[index=1]/srv6-encapsulation/config/segment-list"}
	for i, v := range []*gpb.TypedValue{
		uintVal(1500), boolVal(true), stringVal("x\u00e9"), jsonVal(`{"mtu":1400}`), jsonVal(`{"config":{"enabled":false}}`), jsonVal(`{"interface":[{"name":"x"}]}`),
		{Value: &gpb.TypedValue_LeaflistVal{LeaflistVal: &gpb.ScalarArray{Element: []*gpb.TypedValue{stringVal("2001:db8::1")}}}},
		{Value: &gpb.TypedValue_DoubleVal{DoubleVal: 1500}}, {Value: &gpb.TypedValue_BytesVal{BytesVal: []byte{0xff}}}, {Value: &gpb.TypedValue_AsciiVal{AsciiVal: "x"}},
		{Value: &gpb.TypedValue_IntVal{IntVal: -1}}, {Value: &gpb.TypedValue_JsonVal{JsonVal: []byte(`[[[[`)}}, {},
	} {
		raw, err := proto.Marshal(v)
		must(f, err)
		f.Add(raw, uint8(i), i%2 == 0)
	}
	before := tg.config("/")
	f.Fuzz(func(t *testing.T, raw []byte, where uint8, replaces bool) {
		v := &gpb.TypedValue{}
		if proto.Unmarshal(raw, v) != nil {
			return // no TypedValue
		}
		tg := tg.in(t)
		p := at[int(where)%len(at)]
		kind := "update"
		if replaces {
			kind = "replace"
		}
		if _, err := tg.client.Set(t.Context(), tg.request(op{kind, p, v})); err != nil {
			answered(t, "Set", err)
			return
		}
		for _, enc := range []gpb.Encoding{gpb.Encoding_JSON, gpb.Encoding_JSON_IETF, gpb.Encoding_PROTO} {
			_, err := tg.client.Get(t.Context(), getRequest(t, enc, gpb.GetRequest_CONFIG, "/"))
			must(t, err)
		}
		now := tg.store.Snapshot().Revision()
		tg.mustSet(replace("/", tg.config("/")))
		if tg.store.Snapshot().Revision() != now {
			t.Errorf("%s %s %v: what Get gave is something else to Set", kind, p, v)
		}
		tg.mustSet(replace("/", before))
		if got := tg.config("/"); got != before {
			t.Errorf("before %s\nafter  %s", before, got)
		}
	})
}
