package gnmi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"heddle/agent/access"
	"heddle/agent/datastore"
	"heddle/schema"
	"heddle/telemetry/subscribe"
)

// Version is the version of gNMI that is spoken.
const Version = "0.10.0"

// MaxAnswer is from how many octets on an answer to Get is not continued with
// another path, where Config leaves it out: a client can name a path a hundred
// thousand times.
const MaxAnswer = 1 << 30

// firstMessage is how long a client of Subscribe may think about what it wants, where
// Config leaves it out.
const firstMessage = 30 * time.Second

// stopGrace is how long calls under way may take to end once Serve is told to.
const stopGrace = 2 * time.Second

// Committer takes changes of the configuration; *datastore.Store does.
type Committer interface {
	Commit(ctx context.Context, req datastore.Request) (datastore.Result, error)
}

// Config is what a Server is made of.
type Config struct {
	Schema *schema.Schema
	// Running is the running configuration, State what there is.
	Running, State subscribe.Dataset
	// Refresher brings counters up to date before they are read; may be nil.
	Refresher subscribe.Refresher
	Store     Committer
	// Past is for those who ask for the configuration of the past; nil: there is none.
	Past Past

	// Aliases maps our modules to public ones that use_models may name instead,
	// as yang.Compatible does.
	Aliases map[string][]string
	// Classify tells what an error of the store's Applier means; nil takes each
	// for a refusal by the kernel.
	Classify func(error) Failure

	// TLS is for every listener that is neither a unix socket nor access.Plaintext;
	// nil if there is none.
	TLS *tls.Config
	// Guard says who calls and what they may do; nil: nobody may do anything but
	// the owner of the process and root, at a unix socket.
	Guard *access.Guard
	// MaxAnswer is the size of an answer to Get in octets that is not continued with
	// another path; 0 is the constant.
	MaxAnswer int
	// FirstMessage is how long a Subscribe waits for its SubscriptionList; 0 is 30
	// seconds.
	FirstMessage time.Duration
	// MinSample is the shortest sample and heartbeat interval; 0 is one second.
	MinSample time.Duration
	Log       *slog.Logger // nil: discard
}

// Server is a gNMI server. It is safe for concurrent use.
type Server struct {
	gpb.UnimplementedGNMIServer

	cfg     Config
	schema  *schema.Schema
	engine  *subscribe.Engine
	modules modules
	drafts  drafts
	masters masters
	log     *slog.Logger

	others []otherService
}

// otherService is one that is served beside gNMI.
type otherService struct {
	desc *grpc.ServiceDesc
	impl any
}

// RegisterService implements grpc.ServiceRegistrar: the service is served beside
// gNMI, on the same listeners and to the same clients. It is called before Serve.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	s.others = append(s.others, otherService{desc, impl})
}

// New returns a server that follows the datasets from now on. Serve has to be
// called for Subscribe to see changes.
func New(c Config) (*Server, error) {
	if c.Schema == nil || c.Running == nil || c.State == nil || c.Store == nil {
		return nil, errors.New("make gnmi server: schema, running, state and store are needed")
	}
	if c.MaxAnswer == 0 {
		c.MaxAnswer = MaxAnswer
	}
	if c.FirstMessage == 0 {
		c.FirstMessage = firstMessage
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Guard == nil {
		c.Guard = access.New(access.Config{Log: c.Log})
	}
	return &Server{
		cfg:    c,
		schema: c.Schema,
		engine: subscribe.New(subscribe.Options{
			Schema:    c.Schema,
			Config:    c.Running,
			State:     c.State,
			Refresher: c.Refresher,
			MinSample: c.MinSample,
		}),
		modules: findModules(c.Schema, c.Aliases),
		log:     c.Log,
	}, nil
}

// Serve answers on the listeners until ctx ends, and closes them. It returns nil
// when it ended because ctx did. It is called once.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	for _, l := range listeners {
		if s.cfg.TLS == nil && l.Addr().Network() != "unix" && !access.IsPlaintext(l) {
			return fmt.Errorf("serve gnmi on %s: it needs a certificate: nothing is served in plaintext", l.Addr())
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := grpc.NewServer(append([]grpc.ServerOption{
		grpc.Creds(s.cfg.Guard.Credentials(s.cfg.TLS)),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			resp, err := handle(ctx, req)
			return resp, fit(err)
		}),
		grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			return fit(handle(srv, ss))
		}),
		grpc.ForceServerCodecV2(newCodec()),
	}, s.cfg.Guard.ServerOptions()...)...)
	srv.RegisterService(service(), s)
	hs := health.NewServer()
	healthpb.RegisterHealthServer(srv, hs)
	hs.SetServingStatus(gpb.GNMI_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	for _, o := range s.others {
		srv.RegisterService(o.desc, o.impl)
		hs.SetServingStatus(o.desc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	}
	reflection.Register(srv)

	errs := make(chan error, len(listeners)+1)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.engine.Run(ctx); err != nil {
			errs <- err
		}
		cancel() // without changes there is nothing true to serve
	})
	for _, l := range listeners {
		wg.Go(func() {
			if err := srv.Serve(l); err != nil {
				errs <- fmt.Errorf("serve gnmi on %s: %w", l.Addr(), err)
				cancel()
			}
		})
	}
	<-ctx.Done()
	hs.Shutdown()
	stop(srv)
	wg.Wait()
	close(errs)
	var all error
	for err := range errs {
		all = errors.Join(all, err)
	}
	return all
}

// stop lets calls under way end: a Set that was answered by the kernel should
// reach its client. Streams have no end of their own and are cut.
func stop(srv *grpc.Server) {
	done := make(chan struct{})
	go func() {
		srv.GracefulStop()
		close(done)
	}()
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-done:
	case <-grace.C:
		srv.Stop()
		<-done
	}
}

// Capabilities implements gNMI.
func (s *Server) Capabilities(_ context.Context, req *gpb.CapabilityRequest) (*gpb.CapabilityResponse, error) {
	if _, err := readExtensions("Capabilities", req.GetExtension(), extNone); err != nil {
		return nil, err
	}
	resp := &gpb.CapabilityResponse{
		SupportedEncodings: []gpb.Encoding{gpb.Encoding_JSON, gpb.Encoding_JSON_IETF, gpb.Encoding_PROTO},
		GNMIVersion:        Version,
	}
	for _, m := range s.schema.Models() {
		resp.SupportedModels = append(resp.SupportedModels, &gpb.ModelData{
			Name: m.Name, Organization: m.Organization, Version: m.Version,
		})
	}
	return resp, nil
}

// eof reports whether a client has said all it wants to.
func eof(err error) bool { return errors.Is(err, io.EOF) }
