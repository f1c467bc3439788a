package gnmi_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	rpb "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"heddle/agent/gnmi"
)

func TestGNMI001_NoPlaintextListener(t *testing.T) {
	l, err := gnmi.ListenTCP(t.Context(), "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	var srv *gnmi.Server
	tg := start(t, func(c *gnmi.Config) []net.Listener {
		srv, err = gnmi.New(*c)
		must(t, err)
		return nil
	})
	tg.config("/") // it serves: the end of the test does not come before its start
	if err := srv.Serve(t.Context(), l); err == nil || !strings.Contains(err.Error(), "plaintext") {
		t.Errorf("serve on TCP without a certificate: %v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "run", "gnmi.sock")
	l, err := gnmi.ListenUnix(t.Context(), sock)
	must(t, err)
	fi, err := os.Stat(sock)
	must(t, err)
	if fi.Mode().Perm() != 0o600 {
		t.Errorf("socket has mode %v", fi.Mode())
	}
	if _, err := gnmi.ListenUnix(t.Context(), sock); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a socket in use was taken: %v", err)
	}
	must(t, l.Close())
	if _, err := os.Stat(sock); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	// What a killed agent leaves.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: sock, Net: "unix"})
	must(t, err)
	stale.SetUnlinkOnClose(false)
	must(t, stale.Close())
	l, err = gnmi.ListenUnix(t.Context(), sock)
	must(t, err)
	must(t, l.Close())
	must(t, os.WriteFile(sock, []byte("mine"), 0o644))
	if _, err := gnmi.ListenUnix(t.Context(), sock); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file was taken for a socket: %v", err)
	}
	if text, err := os.ReadFile(sock); err != nil || string(text) != "mine" {
		t.Errorf("the file was touched: %q, %v", text, err)
	}
}

func TestGNMI002_Reflection(t *testing.T) {
	tg := start(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := rpb.NewServerReflectionClient(tg.conn).ServerReflectionInfo(ctx)
	must(t, err)
	must(t, stream.Send(&rpb.ServerReflectionRequest{MessageRequest: &rpb.ServerReflectionRequest_ListServices{}}))
	resp, err := stream.Recv()
	must(t, err)
	var names []string
	for _, s := range resp.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	for _, want := range []string{"gnmi.gNMI", "grpc.health.v1.Health"} {
		if !slices.Contains(names, want) {
			t.Errorf("services %v lack %s", names, want)
		}
	}
}

func TestHealth(t *testing.T) {
	tg := start(t, nil)
	for _, service := range []string{"", "gnmi.gNMI"} {
		resp, err := healthpb.NewHealthClient(tg.conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		must(t, err)
		if resp.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("service %q: %v", service, resp.GetStatus())
		}
	}
}

func TestGNMI004_Capabilities(t *testing.T) {
	tg := start(t, nil)
	resp, err := tg.client.Capabilities(t.Context(), &gpb.CapabilityRequest{})
	must(t, err)
	if resp.GetGNMIVersion() != "0.10.0" {
		t.Errorf("version %q", resp.GetGNMIVersion())
	}
	if want := []gpb.Encoding{gpb.Encoding_JSON, gpb.Encoding_JSON_IETF, gpb.Encoding_PROTO}; !slices.Equal(resp.GetSupportedEncodings(), want) {
		t.Errorf("encodings %v", resp.GetSupportedEncodings())
	}
	names := map[string]bool{}
	for _, m := range resp.GetSupportedModels() {
		if m.GetOrganization() == "" || m.GetVersion() == "" {
			t.Errorf("module %v lacks organization or version", m)
		}
		names[m.GetName()] = true
	}
	for _, want := range []string{"heddle-interfaces", "heddle-network-instance", "heddle-srv6", "heddle-system", "heddle-types"} {
		if !names[want] {
			t.Errorf("module %s is missing", want)
		}
	}
}

func TestGNMI005_Extensions(t *testing.T) {
	tg := start(t, nil)
	depth := &gnmi_ext.Extension{Ext: &gnmi_ext.Extension_Depth{Depth: &gnmi_ext.Depth{Level: 1}}}
	commit := &gnmi_ext.Extension{Ext: &gnmi_ext.Extension_Commit{Commit: &gnmi_ext.Commit{Id: "1"}}}
	other := &gnmi_ext.Extension{Ext: &gnmi_ext.Extension_RegisteredExt{RegisteredExt: &gnmi_ext.RegisteredExtension{Id: 999}}}
	one := func(x *gnmi_ext.Extension) []*gnmi_ext.Extension { return []*gnmi_ext.Extension{x} }
	caps := func(x *gnmi_ext.Extension) error {
		_, err := tg.client.Capabilities(t.Context(), &gpb.CapabilityRequest{Extension: one(x)})
		return err
	}
	set := func(x *gnmi_ext.Extension) error {
		req := tg.request(update(ifA, `{"config":{"name":"a"}}`))
		req.Extension = one(x)
		_, err := tg.client.Set(t.Context(), req)
		return err
	}
	get := func(x *gnmi_ext.Extension) error {
		req := getRequest(t, gpb.Encoding_JSON, gpb.GetRequest_ALL, "/")
		req.Extension = one(x)
		_, err := tg.client.Get(t.Context(), req)
		return err
	}
	wantCode(t, caps(depth), codes.InvalidArgument)
	wantCode(t, set(depth), codes.InvalidArgument)
	wantCode(t, get(depth), codes.OK)
	wantCode(t, get(commit), codes.InvalidArgument)
	wantCode(t, set(commit), codes.InvalidArgument)
	wantCode(t, set(other), codes.Unimplemented)
	wantCode(t, set(&gnmi_ext.Extension{}), codes.Unimplemented)
	if got := tg.config(ifA); got != "" {
		t.Errorf("a refused Set left %s", got)
	}
}

func TestServeEndsCleanly(t *testing.T) {
	tg := start(t, nil)
	stream := tg.subscribe(&gpb.SubscriptionList{Subscription: []*gpb.Subscription{{Path: path(t, "/interfaces"), Mode: gpb.SubscriptionMode_ON_CHANGE}}})
	stream.sync()
	tg.stop()
	if _, err := stream.Recv(); err == nil {
		t.Error("the stream goes on without a server")
	}
	if _, err := os.Stat(tg.sock); !os.IsNotExist(err) {
		t.Errorf("the socket file is still there: %v", err)
	}
}
