package gnmi_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	rpb "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"heddle/agent/gnmi"
)

// startTLS brings a target up that also listens on TCP.
func startTLS(t *testing.T, files gnmi.TLSFiles) (tg *target, addr string) {
	t.Helper()
	cfg, err := files.Load()
	must(t, err)
	l, err := gnmi.ListenTCP(t.Context(), "127.0.0.1:0")
	must(t, err)
	tg = start(t, func(c *gnmi.Config) []net.Listener {
		c.TLS = cfg
		return []net.Listener{l}
	})
	return tg, l.Addr().String()
}

func capabilities(t *testing.T, addr string, creds credentials.TransportCredentials) error {
	t.Helper()
	conn, err := grpc.NewClient("dns:///"+addr, grpc.WithTransportCredentials(creds))
	must(t, err)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err = gpb.NewGNMIClient(conn).Capabilities(ctx, &gpb.CapabilityRequest{})
	return err
}

func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(text) {
		t.Fatal("no certificate in " + file)
	}
	return p
}

func TestGNMI001_TLS(t *testing.T) {
	files := gnmi.TLSFiles{Dir: filepath.Join(t.TempDir(), "tls")}
	_, addr := startTLS(t, files)
	roots := pool(t, files.CertFile())
	tests := []struct {
		name  string
		creds credentials.TransportCredentials
		ok    bool
	}{
		{"certificate trusted", credentials.NewTLS(&tls.Config{RootCAs: roots}), true},
		{"by name", credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "localhost"}), true},
		{"TLS 1.2", credentials.NewTLS(&tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS12}), true},
		{"TLS 1.1", credentials.NewTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), false},
		{"nobody vouches", credentials.NewTLS(&tls.Config{}), false},
		{"plaintext", insecure.NewCredentials(), false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if err := capabilities(t, addr, tc.creds); (err == nil) != tc.ok {
				t.Errorf("got %v, want success: %v", err, tc.ok)
			}
		})
	}
}

func TestGNMI001_MutualTLS(t *testing.T) {
	client, ca := clientCertificate(t)
	files := gnmi.TLSFiles{Dir: filepath.Join(t.TempDir(), "tls"), ClientCA: ca}
	_, addr := startTLS(t, files)
	roots := pool(t, files.CertFile())
	must(t, capabilities(t, addr, credentials.NewTLS(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{client}})))
	if err := capabilities(t, addr, credentials.NewTLS(&tls.Config{RootCAs: roots})); err == nil {
		t.Error("a client without a certificate got in")
	}
}

// clientCertificate makes a certificate that vouches for itself.
func clientCertificate(t *testing.T) (cert tls.Certificate, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "controller"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	must(t, err)
	file = filepath.Join(t.TempDir(), "client.pem")
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

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

func TestCertificateFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	files := gnmi.TLSFiles{Dir: dir, Names: []string{"192.0.2.1", "pe3.example"}}
	load := func() *x509.Certificate {
		t.Helper()
		cfg, err := files.Load()
		must(t, err)
		cert, err := x509.ParseCertificate(cfg.Certificates[0].Certificate[0])
		must(t, err)
		return cert
	}
	first := load()
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "192.0.2.1", "pe3.example"} {
		if err := first.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	fi, err := os.Stat(files.KeyFile())
	must(t, err)
	if fi.Mode().Perm() != 0o600 {
		t.Errorf("key has mode %v", fi.Mode())
	}
	left, err := os.ReadDir(dir)
	must(t, err)
	if len(left) != 2 {
		t.Errorf("files left behind: %v", left)
	}
	if again := load(); !again.Equal(first) {
		t.Error("a second start made another certificate")
	}
	// A crash between key and certificate.
	must(t, os.Remove(files.CertFile()))
	if again := load(); !again.PublicKey.(interface{ Equal(crypto.PublicKey) bool }).Equal(first.PublicKey) { //nolint:errcheck // a wrong type panics
		t.Error("the certificate was not made for the key that was there")
	}
	must(t, os.Chmod(files.KeyFile(), 0o640))
	if _, err := files.Load(); err == nil || !strings.Contains(err.Error(), "chmod 0600") {
		t.Errorf("a key that others may read: %v", err)
	}
	must(t, os.Remove(files.KeyFile()))
	if _, err := files.Load(); err == nil || !strings.Contains(err.Error(), files.KeyFile()) {
		t.Errorf("a certificate without its key: %v", err)
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
