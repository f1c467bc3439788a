package gnmi

import (
	"context"
	"slices"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/types/known/anypb"

	"heddle/agent/access"
	"heddle/schema"
)

// wire is a message that is encoded already.
type wire interface {
	// octets gives the message away: it is called once.
	octets() mem.BufferSlice
}

// setRequest is a SetRequest that nobody has looked into: leaf by leaf it is
// hundreds of thousands of small messages in one, and no object should be made for
// each. It holds a reference to its buffers until release.
type setRequest struct{ data mem.BufferSlice }

// Payload implements access.Payload. A request that may have a secret in it is not given.
func (r *setRequest) Payload(octets int) (*anypb.Any, bool) {
	if r.data.Len() > octets {
		return nil, false
	}
	value := r.data.Materialize()
	if schema.MayHaveSecret(value) {
		return nil, false
	}
	return &anypb.Any{TypeUrl: "type.googleapis.com/gnmi.SetRequest", Value: value}, true
}

// release lets go of the buffers. It may be called again.
func (r *setRequest) release() {
	r.data.Free()
	r.data = nil
}

// codec passes messages through that are encoded already or to be decoded by their
// handler, and leaves the others to the codec of gRPC.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if a, ok := v.(*access.Answer); ok {
		octets, err := c.Marshal(a.Message)
		if err != nil {
			a.Drop()
			return nil, err
		}
		return a.Mark(octets), nil
	}
	if m, ok := v.(wire); ok {
		return m.octets(), nil
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	req, ok := v.(*setRequest)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	data.Ref() // gRPC frees data when this returns
	req.data = data
	return nil
}

// service is gNMI with a Get that answers in octets, and a Set that takes octets,
// too.
func service() *grpc.ServiceDesc {
	d := gpb.GNMI_ServiceDesc
	d.Methods = slices.Clone(d.Methods)
	for i := range d.Methods {
		switch m := &d.Methods[i]; m.MethodName {
		case "Get":
			m.Handler = handleGet
		case "Set":
			m.Handler = handleSet
		}
	}
	return &d
}

// handleGet is the handler of Get, what the generated code has for the others.
func handleGet(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
	req := &gpb.GetRequest{}
	if err := decode(req); err != nil {
		return nil, err
	}
	info := &grpc.UnaryServerInfo{Server: srv, FullMethod: gpb.GNMI_Get_FullMethodName}
	return intercept(ctx, req, info, func(ctx context.Context, _ any) (any, error) { return srv.(*Server).get(ctx, req) })
}

// handleSet is the handler of Set.
func handleSet(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
	req := &setRequest{}
	if err := decode(req); err != nil {
		return nil, err
	}
	defer req.release()
	info := &grpc.UnaryServerInfo{Server: srv, FullMethod: gpb.GNMI_Set_FullMethodName}
	return intercept(ctx, req, info, func(ctx context.Context, _ any) (any, error) { return srv.(*Server).set(ctx, req) })
}
