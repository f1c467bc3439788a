package gnmi_test

//lint:file-ignore SA1019 old clients still send decimal_val.

import (
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
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
	f.Fuzz(func(t *testing.T, raw []byte) {
		req := &gpb.SetRequest{}
		if proto.Unmarshal(raw, req) != nil {
			return // no SetRequest
		}
		before := tg.store.Snapshot().Revision()
		_, err := tg.client.Set(t.Context(), req)
		switch status.Code(err) {
		case codes.OK:
			return
		case codes.InvalidArgument, codes.NotFound, codes.Unimplemented:
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
			raw, err := proto.Marshal(getRequest(f, enc, gpb.GetRequest_ALL, p))
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
