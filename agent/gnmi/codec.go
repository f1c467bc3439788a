package gnmi

import (
	"context"
	"slices"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// wire is a message that is encoded already.
type wire interface {
	// octets gives the message away: it is called once.
	octets() mem.BufferSlice
}

// codec passes messages through that are encoded already and leaves the others to
// the codec of gRPC.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(wire); ok {
		return m.octets(), nil
	}
	return c.CodecV2.Marshal(v)
}

// service is gNMI with a Get that answers in octets.
func service() *grpc.ServiceDesc {
	d := gpb.GNMI_ServiceDesc
	d.Methods = slices.Clone(d.Methods)
	for i := range d.Methods {
		if m := &d.Methods[i]; m.MethodName == "Get" {
			m.Handler = handleGet
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
