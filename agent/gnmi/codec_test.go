package gnmi

import (
	"bytes"
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// countingPool counts what comes back.
type countingPool struct{ back int }

func (p *countingPool) Get(n int) *[]byte { b := make([]byte, n); return &b }

func (p *countingPool) Put(*[]byte) { p.back++ }

// The buffers of a Set go back to gRPC when both have let go of them, and not
// before.
func TestSetRequestHoldsItsBuffers(t *testing.T) {
	pool := &countingPool{}
	var data mem.BufferSlice
	for _, b := range bytes.SplitAfter(leaves(t, 100), []byte("sids")) {
		b = append(b[:len(b):len(b)], make([]byte, 4096)...)[:len(b)] // small ones are not pooled
		data = append(data, mem.NewBuffer(&b, pool))
	}
	want := data.Materialize()
	req := &setRequest{}
	if err := newCodec().Unmarshal(data, req); err != nil {
		t.Fatal(err)
	}
	data.Free() // as gRPC does
	if pool.back > 0 {
		t.Fatalf("%d buffers went back while they are needed", pool.back)
	}
	if !bytes.Equal(req.data.Materialize(), want) {
		t.Error("other octets")
	}
	req.release()
	req.release()
	if pool.back != len(data) {
		t.Errorf("%d of %d buffers went back", pool.back, len(data))
	}
}

// Messages other than those of Set are protobuf's.
func TestCodecOfOtherMessages(t *testing.T) {
	c := newCodec()
	want := &gpb.GetRequest{Encoding: gpb.Encoding_PROTO, Path: []*gpb.Path{{Target: "t"}}}
	data, err := c.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Free()
	got := &gpb.GetRequest{}
	if err := c.Unmarshal(data, got); err != nil || !proto.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}
