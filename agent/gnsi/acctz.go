package gnsi

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/openconfig/gnsi/acctz"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"heddle/agent/access"
)

// acctzServer serves gnsi.acctz.v1: each call, and each attempt.
type acctzServer struct {
	acctz.UnimplementedAcctzServer
	records *access.Records
}

type acctzStream struct{ *acctzServer }

// RecordSubscribe implements gnsi.acctz.v1.Acctz.
func (s *acctzServer) RecordSubscribe(stream acctz.Acctz_RecordSubscribeServer) error {
	req, err := stream.Recv()
	if err != nil {
		return err
	}
	return s.follow(stream.Context(), req, stream)
}

// RecordSubscribe implements gnsi.acctz.v1.AcctzStream.
func (s *acctzStream) RecordSubscribe(req *acctz.RecordRequest, stream grpc.ServerStreamingServer[acctz.RecordResponse]) error {
	return s.follow(stream.Context(), req, stream)
}

// follow sends what is kept since a time, and what comes. A client that is slower than
// the calls is told that records are gone.
func (s *acctzServer) follow(ctx context.Context, req *acctz.RecordRequest, to interface {
	Send(*acctz.RecordResponse) error
}) error {
	var after time.Time
	if t := req.GetTimestamp(); t != nil {
		after = t.AsTime()
	}
	for at := 0; ; {
		x, next, lost, err := s.records.Next(ctx, at, after)
		if err != nil {
			return status.FromContextError(err).Err()
		}
		at = next
		m := message(x)
		m.HistoryIstruncated = lost
		if err := to.Send(m); err != nil {
			return err
		}
	}
}

var kinds = map[string]acctz.GrpcService_GrpcServiceType{
	"/gnmi.": acctz.GrpcService_GRPC_SERVICE_TYPE_GNMI, "/gnsi.": acctz.GrpcService_GRPC_SERVICE_TYPE_GNSI,
}

// message is a record as acctz has it.
func message(x access.Record) *acctz.RecordResponse {
	call := &acctz.GrpcService{RpcName: x.RPC, PayloadIstruncated: x.Truncated, Authz: &acctz.AuthzDetail{Status: acctz.AuthzDetail_AUTHZ_STATUS_PERMIT}}
	for prefix, kind := range kinds {
		if strings.HasPrefix(x.RPC, prefix) {
			call.ServiceType = kind
		}
	}
	authn := &acctz.AuthnDetail{Type: authnTypes[x.Method], Status: acctz.AuthnDetail_AUTHN_STATUS_SUCCESS}
	if x.Refused != nil {
		call.Authz = &acctz.AuthzDetail{Status: acctz.AuthzDetail_AUTHZ_STATUS_DENY, Detail: x.Reason()}
		if status.Code(x.Refused) == codes.Unauthenticated {
			authn.Status, authn.Cause = acctz.AuthnDetail_AUTHN_STATUS_FAIL, x.Reason()
		}
	}
	if x.Request != nil {
		call.Payload = &acctz.GrpcService_ProtoVal{ProtoVal: x.Request}
	}
	session := &acctz.SessionInfo{
		ChannelId: strconv.FormatUint(x.Session, 10), Status: acctz.SessionInfo_SESSION_STATUS_OPERATION, Authn: authn,
		User: &acctz.UserDetail{Identity: x.User},
	}
	session.LocalAddress, session.LocalPort, _ = split(x.Local)
	var tcp bool
	if session.RemoteAddress, session.RemotePort, tcp = split(x.Remote); tcp {
		const protocolTCP = 6 // IANA, Assigned Internet Protocol Numbers
		session.IpProto = protocolTCP
	}
	return &acctz.RecordResponse{SessionInfo: session, Timestamp: timestamppb.New(x.Time), ServiceRequest: &acctz.RecordResponse_GrpcService{GrpcService: call}}
}

var authnTypes = map[access.Method]acctz.AuthnDetail_AuthnType{
	access.ByCertificate: acctz.AuthnDetail_AUTHN_TYPE_TLSCERT,
	access.ByPassword:    acctz.AuthnDetail_AUTHN_TYPE_PASSWORD,
	access.BySocket:      acctz.AuthnDetail_AUTHN_TYPE_NONE,
}

// split takes the address of a socket apart; that of a unix socket is a path.
func split(a net.Addr) (addr string, port uint32, tcp bool) {
	if p, err := netip.ParseAddrPort(a.String()); err == nil && a.Network() != "unix" {
		return p.Addr().String(), uint32(p.Port()), true
	}
	return a.String(), 0, false
}
