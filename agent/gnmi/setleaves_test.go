package gnmi_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// A large Set leaf by leaf, which comes in many frames, makes the configuration
// that the same content as JSON makes, and each leaf has its result.
func TestSetLeafByLeaf(t *testing.T) {
	const n = 2000
	inJSON := start(t, nil)
	load(inJSON, n)
	want := inJSON.config(srv6 + "/sids")

	tg := start(t, nil)
	req := &gpb.SetRequest{Prefix: path(t, srv6)}
	req.Prefix.Target = "pe3"
	for i := range n {
		addr := fmt.Sprintf("2001:db8:0:%x:%x::", i>>12, i&0xfff)
		for _, l := range []struct {
			name string
			val  *gpb.TypedValue
		}{
			{"address", stringVal(addr)}, {"behavior", stringVal("heddle-srv6:END_X")}, {"next-hop", stringVal("fe80::1")},
			{"description", stringVal(fmt.Sprintf("customer %d", i))}, {"standalone", boolVal(true)},
		} {
			req.Update = append(req.Update, &gpb.Update{Path: path(t, "/sids/sid[address="+addr+"]/config/"+l.name), Val: l.val})
		}
	}
	resp, err := tg.client.Set(t.Context(), req)
	must(t, err)
	sameJSON(t, tg.config(srv6+"/sids"), want)
	if !proto.Equal(resp.GetPrefix(), req.GetPrefix()) || len(resp.GetResponse()) != len(req.GetUpdate()) {
		t.Fatalf("prefix %v, %d results", resp.GetPrefix(), len(resp.GetResponse()))
	}
	for i, r := range resp.GetResponse() {
		if !proto.Equal(r, &gpb.UpdateResult{Path: req.GetUpdate()[i].GetPath(), Op: gpb.UpdateResult_UPDATE}) {
			t.Fatalf("result %d: %v", i, r)
		}
	}

	// The same again changes nothing, and one leaf of the last that is wrong changes
	// nothing either.
	before := tg.store.Snapshot().Revision()
	_, err = tg.client.Set(t.Context(), req)
	must(t, err)
	req.Update[0].Val = stringVal("2001:db8::bad")
	req.Update[1].Val = stringVal("END")
	_, err = tg.client.Set(t.Context(), req)
	wantCode(t, err, codes.InvalidArgument)
	if err == nil || !strings.Contains(err.Error(), "/sids/sid[address=2001:db8::]/config/address") {
		t.Errorf("error %v does not say where", err)
	}
	if after := tg.store.Snapshot().Revision(); after != before {
		t.Errorf("revision %d, before %d", after, before)
	}
}

// asIs is a codec of octets.
type asIs struct{}

func (asIs) Name() string { return "proto" }

func (asIs) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (asIs) Unmarshal(mem.BufferSlice, any) error { return nil }

// What is no SetRequest is refused as gRPC does it, however early a mistake in it
// is, and changes nothing.
func TestMalformedSet(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	before := tg.store.Snapshot().Revision()
	good, err := proto.Marshal(tg.request(update(ifA+"/config/mtu", `1401`)))
	must(t, err)
	wrong, err := proto.Marshal(tg.request(update("/bridges", `{}`)))
	must(t, err)
	for _, octets := range [][]byte{good[:len(good)-1], bytes.Join([][]byte{good, wrong, {0x22, 0x7f}}, nil), {0xff}} {
		err := tg.conn.Invoke(t.Context(), gpb.GNMI_Set_FullMethodName, octets, &struct{}{}, grpc.ForceCodecV2(asIs{}))
		wantCode(t, err, codes.Internal)
	}
	if after := tg.store.Snapshot().Revision(); after != before {
		t.Errorf("revision %d, before %d", after, before)
	}
}
