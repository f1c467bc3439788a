package gnmi_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"heddle/agent/access"
	"heddle/agent/gnmi"
)

func loadFiles(files access.TLSFiles) (*access.Certificates, error) {
	return access.LoadCertificates(files, func() bool { return false }, slog.New(slog.DiscardHandler))
}

// secured is a target that also listens on TCP, with files that say who may
// connect.
type secured struct {
	*target
	addr  string
	files access.TLSFiles
	dir   string
	guard *access.Guard
	roots *x509.CertPool
	hup   chan os.Signal
	tcp   *grpc.ClientConn // of those who want one
}

// secure starts one. before writes the files of the folders tls and access.
func secure(t *testing.T, limits access.Limits, before func(s *secured)) *secured {
	t.Helper()
	s := &secured{dir: t.TempDir(), hup: make(chan os.Signal)}
	s.files = access.TLSFiles{Dir: filepath.Join(s.dir, "tls")}
	s.target = &target{t: t}
	_, err := loadFiles(s.files) // makes the certificate
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(s.dir, "access"), 0o700))
	if before != nil {
		before(s)
	}
	log := slog.New(slog.DiscardHandler)
	passwords := access.NewPasswords(filepath.Join(s.dir, "access", "passwords"), log)
	certs, err := access.LoadCertificates(s.files, passwords.Any, log)
	must(t, err)
	sc, err := heddle()
	must(t, err)
	s.guard = access.New(access.Config{
		Paths:     access.NewPathPolicies(sc, filepath.Join(s.dir, "access", "pathz.json"), log),
		RPCs:      access.NewRPCPolicies(filepath.Join(s.dir, "access", "authz.json"), log),
		Passwords: passwords, Roles: access.NewRoles(filepath.Join(s.dir, "access", "roles"), log), Certificates: certs, Limits: limits, Log: log,
	})
	l, err := gnmi.ListenTCP(t.Context(), "127.0.0.1:0")
	must(t, err)
	s.addr = l.Addr().String()
	s.target = start(t, func(c *gnmi.Config) []net.Listener {
		c.TLS, c.Guard = certs.Config(), s.guard
		return []net.Listener{l}
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		s.guard.Watch(ctx, s.hup)
		close(ended)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	text, err := os.ReadFile(s.files.CertFile())
	must(t, err)
	s.roots = x509.NewCertPool()
	s.roots.AppendCertsFromPEM(text)
	return s
}

// put writes a file of the target.
func (s *secured) put(name string, text []byte) {
	s.t.Helper()
	file := filepath.Join(s.dir, name)
	must(s.t, os.MkdirAll(filepath.Dir(file), 0o700))
	must(s.t, os.WriteFile(file+".new", text, 0o600))
	must(s.t, os.Rename(file+".new", file))
}

// reload has the target read its files; it has done so when this returns.
func (s *secured) reload() {
	s.hup <- os.Interrupt // whatever it is
	s.hup <- os.Interrupt // taken when the one before has been carried out
}

// users writes a file of passwords in which the password of each user is its name.
func (s *secured) users(names ...string) {
	s.t.Helper()
	var text string
	for _, n := range names {
		line, err := access.HashPassword(n, n)
		must(s.t, err)
		text += line + "\n"
	}
	s.put("access/passwords", []byte(text))
}

// dial connects over TLS with the certificates, if any.
func (s *secured) dial(certs ...tls.Certificate) *grpc.ClientConn {
	s.t.Helper()
	conn, err := grpc.NewClient("dns:///"+s.addr, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: s.roots, Certificates: certs})))
	must(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// as is a context for calls with a user's password.
func as(t *testing.T, user, password string) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), "username", user, "password", password)
}

// watching is a subscription of somebody.
type watching struct {
	t      testing.TB
	stream gpb.GNMI_SubscribeClient
}

func (s *secured) subscribeAs(ctx context.Context, client gpb.GNMIClient, list *gpb.SubscriptionList) watching {
	s.t.Helper()
	stream, err := client.Subscribe(ctx)
	must(s.t, err)
	// One that was refused already has its reason in Recv.
	if err := stream.Send(&gpb.SubscribeRequest{Request: &gpb.SubscribeRequest_Subscribe{Subscribe: list}}); !errors.Is(err, io.EOF) {
		must(s.t, err)
	}
	return watching{s.t, stream}
}

// sync reads up to and with sync_response.
func (w watching) sync() {
	w.t.Helper()
	for !w.next().GetSyncResponse() {
	}
}

func (w watching) next() *gpb.SubscribeResponse {
	w.t.Helper()
	m, err := w.stream.Recv()
	must(w.t, err)
	return m
}

// end reads to the end.
func (w watching) end() error {
	for {
		if _, err := w.stream.Recv(); err != nil {
			return err
		}
	}
}

func ask(ctx context.Context, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	_, err := gpb.NewGNMIClient(conn).Capabilities(ctx, &gpb.CapabilityRequest{})
	return err
}

// lastUser is whose the last commit is.
func (s *secured) lastUser() string {
	s.t.Helper()
	h, err := s.store.History(1)
	must(s.t, err)
	if len(h) == 0 {
		s.t.Fatal("there is no commit")
	}
	return h[0].User
}

func TestGNMI001_TLS(t *testing.T) {
	s := secure(t, access.Limits{}, func(s *secured) { s.users("alice") })
	tests := []struct {
		name  string
		creds credentials.TransportCredentials
		ok    bool
	}{
		{"certificate trusted", credentials.NewTLS(&tls.Config{RootCAs: s.roots}), true},
		{"by name", credentials.NewTLS(&tls.Config{RootCAs: s.roots, ServerName: "localhost"}), true},
		{"TLS 1.2", credentials.NewTLS(&tls.Config{RootCAs: s.roots, MaxVersion: tls.VersionTLS12}), false},
		{"nobody vouches", credentials.NewTLS(&tls.Config{}), false},
		{"plaintext", insecure.NewCredentials(), false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			conn, err := grpc.NewClient("dns:///"+s.addr, grpc.WithTransportCredentials(tc.creds))
			must(t, err)
			defer conn.Close()
			if err := ask(as(t, "alice", "alice"), conn); (err == nil) != tc.ok {
				t.Errorf("got %v, want success: %v", err, tc.ok)
			}
		})
	}
}

// Who is let in by a certificate, and as whom.
func TestGNMI001_ClientCertificates(t *testing.T) {
	ca, other := newPKI(t, "authority"), newPKI(t, "authority")
	revoked := ca.issue("mallory", nil)
	good := ca.issue("controller", nil)
	s := secure(t, access.Limits{}, func(s *secured) {
		s.put("tls/client-ca.pem", ca.pem())
		s.put("tls/client-crl.pem", ca.crl(revoked))
		s.put("access/roles", []byte("controller admin\nspiffe://example.org/noc/one operator\n"))
	})
	self, _ := selfSigned(t)
	tests := []struct {
		name  string
		certs []tls.Certificate
		set   bool
	}{
		{"none", nil, false},
		{"good", []tls.Certificate{good}, true},
		{"expired", []tls.Certificate{ca.issue("controller", func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		})}, false},
		{"not yet valid", []tls.Certificate{ca.issue("controller", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })}, false},
		{"wrong authority of the same name", []tls.Certificate{other.issue("controller", nil)}, false},
		{"self-signed", []tls.Certificate{self}, false},
		{"revoked", []tls.Certificate{revoked}, false},
		{"of a server", []tls.Certificate{ca.issue("controller", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })}, false},
		{"SPIFFE ID", []tls.Certificate{ca.issue("ignored", spiffe(t, "spiffe://example.org/noc/one"))}, true},
		{"two URIs", []tls.Certificate{ca.issue("controller", spiffe(t, "spiffe://example.org/noc/one", "https://example.org/"))}, false},
		{"common name that looks like a SPIFFE ID", []tls.Certificate{ca.issue("spiffe://example.org/noc/one", nil)}, false},
		{"no workload", []tls.Certificate{ca.issue("controller", spiffe(t, "spiffe://example.org"))}, false},
		{"nobody's", []tls.Certificate{ca.issue("", nil)}, false},
		{"without a role", []tls.Certificate{ca.issue("bob", nil)}, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := gpb.NewGNMIClient(s.dial(tc.certs...)).Set(ctx, s.request(update(ifA, `{"config":{"name":"a"}}`)))
			if (err == nil) != tc.set {
				t.Errorf("Set: %v, want success: %v", err, tc.set)
			}
			if got := s.config(ifA); (got != "") != tc.set {
				t.Errorf("afterwards %s holds %q", ifA, got)
			}
			s.mustSet(del(ifA))
		})
	}
	if got := s.lastUser(); got == "" {
		t.Error("a commit over the unix socket has no user")
	}
}

// Everything that a client shows can be changed while it is connected.
func TestCertificatesAreReplaced(t *testing.T) {
	ca, next := newPKI(t, "authority"), newPKI(t, "next authority")
	one, two, other := ca.issue("one", nil), ca.issue("two", nil), next.issue("other", nil)
	s := secure(t, access.Limits{}, func(s *secured) { s.put("tls/client-ca.pem", ca.pem()) })
	c1, c2 := s.dial(one), s.dial(two)
	must(t, ask(t.Context(), c1))
	must(t, ask(t.Context(), c2))
	watch := func(c *grpc.ClientConn) watching {
		return s.subscribeAs(t.Context(), gpb.NewGNMIClient(c), &gpb.SubscriptionList{Subscription: []*gpb.Subscription{{Path: path(t, ifA), Mode: gpb.SubscriptionMode_ON_CHANGE}}})
	}
	w1, w2 := watch(c1), watch(c2)
	w1.sync()
	w2.sync()

	// Garbage is refused, whichever file it is in.
	cert, err := os.ReadFile(s.files.CertFile())
	must(t, err)
	strange := newPKI(t, "strange")
	for file, texts := range map[string][]string{
		"tls/cert.pem":       {"garbage", "", string(strange.pem())},
		"tls/client-ca.pem":  {"garbage", "", string(ca.pem()) + "more"},
		"tls/client-crl.pem": {"garbage", "", string(strange.crl(one))},
	} {
		for _, text := range texts {
			s.put(file, []byte(text))
			s.reload()
			must(t, ask(t.Context(), s.dial(two)))
			must(t, ask(t.Context(), c1))
		}
		switch file {
		case "tls/cert.pem":
			s.put(file, cert)
		case "tls/client-ca.pem":
			s.put(file, ca.pem())
		default:
			must(t, os.Remove(filepath.Join(s.dir, file)))
		}
	}

	// Revoked while connected: no new session, no further call, the stream ends.
	// The other one goes on.
	s.put("tls/client-crl.pem", ca.crl(one))
	s.reload()
	if err := ask(t.Context(), s.dial(one)); err == nil {
		t.Error("a revoked certificate opens a session")
	}
	wantCode(t, ask(t.Context(), c1), codes.Unauthenticated)
	wantCode(t, w1.end(), codes.Unauthenticated)
	must(t, ask(t.Context(), c2))
	s.mustSet(update(ifA, `{"config":{"name":"a"}}`))
	w2.next()

	// Another certificate of the target, without a session dropped.
	must(t, os.Remove(s.files.CertFile()))
	must(t, os.Remove(s.files.KeyFile()))
	fresh := access.TLSFiles{Dir: filepath.Join(s.dir, "fresh")}
	_, err = loadFiles(fresh)
	must(t, err)
	must(t, os.Rename(fresh.KeyFile(), s.files.KeyFile()))
	must(t, os.Rename(fresh.CertFile(), s.files.CertFile()))
	s.reload()
	if err := ask(t.Context(), s.dial(two)); err == nil {
		t.Error("the old certificate is still shown")
	}
	text, err := os.ReadFile(s.files.CertFile())
	must(t, err)
	s.roots.AppendCertsFromPEM(text)
	must(t, ask(t.Context(), s.dial(two)))
	must(t, ask(t.Context(), c2))
	s.mustSet(del(ifA))
	w2.next()

	// Another authority: the certificates of the old one are not taken any more.
	must(t, os.Remove(filepath.Join(s.dir, "tls/client-crl.pem")))
	s.put("tls/client-ca.pem", next.pem())
	s.reload()
	must(t, ask(t.Context(), s.dial(other)))
	wantCode(t, ask(t.Context(), c2), codes.Unauthenticated)
	wantCode(t, w2.end(), codes.Unauthenticated)
}

// A file that changes is noticed without being told.
func TestCertificatesAreNoticed(t *testing.T) {
	ca := newPKI(t, "authority")
	s := secure(t, access.Limits{}, nil)
	conn := s.dial(ca.issue("one", nil))
	wantCode(t, ask(t.Context(), conn), codes.Unauthenticated)
	s.put("tls/client-ca.pem", ca.pem())
	for deadline := time.Now().Add(30 * time.Second); ; {
		err := ask(t.Context(), s.dial(ca.issue("two", nil)))
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a new authority was not noticed: %v", err)
		}
	}
}

func TestGNMI003_Passwords(t *testing.T) {
	s := secure(t, access.Limits{}, func(s *secured) {
		s.users("alice", "bob")
		s.put("access/roles", []byte("alice admin\nbob read-only\n# nobody else\n"))
	})
	conn := s.dial()
	gnmic := gpb.NewGNMIClient(conn)
	two := metadata.AppendToOutgoingContext(as(t, "alice", "alice"), "username", "bob")
	for name, ctx := range map[string]context.Context{
		"nobody": t.Context(), "wrong password": as(t, "alice", "bob"), "no such user": as(t, "carol", "carol"), "empty": as(t, "", ""),
		"two users": two, "user without password": metadata.AppendToOutgoingContext(t.Context(), "username", "alice"),
		"long": as(t, strings.Repeat("a", 4000), "x"), "the hash": as(t, "alice", "$2a$10$"),
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, ask(ctx, conn), codes.Unauthenticated) })
	}
	must(t, ask(as(t, "alice", "alice"), conn))
	must(t, ask(as(t, "bob", "bob"), conn))
	req := s.request(update(ifA, `{"config":{"name":"a"}}`))
	_, err := gnmic.Set(as(t, "bob", "bob"), req)
	wantCode(t, err, codes.PermissionDenied)
	if s.config(ifA) != "" {
		t.Fatal("a refused Set was carried out")
	}
	_, err = gnmic.Set(as(t, "alice", "alice"), req)
	must(t, err)
	if got := s.lastUser(); got != "alice" {
		t.Errorf("the commit is %q's", got)
	}

	// Taken away while streams are open.
	list := &gpb.SubscriptionList{Subscription: []*gpb.Subscription{{Path: path(t, ifA), Mode: gpb.SubscriptionMode_ON_CHANGE}}}
	w := s.subscribeAs(as(t, "bob", "bob"), gnmic, list)
	w.sync()
	s.users("alice")
	s.reload()
	wantCode(t, w.end(), codes.Unauthenticated)
	wantCode(t, ask(as(t, "bob", "bob"), conn), codes.Unauthenticated)
	w = s.subscribeAs(as(t, "alice", "alice"), gnmic, list)
	w.sync()
	s.put("access/roles", []byte("bob admin\n"))
	s.reload()
	wantCode(t, w.end(), codes.PermissionDenied)

	// A file that is not right lets nobody in, and root at the unix socket.
	s.put("access/roles", []byte("alice admin\n"))
	for _, text := range []string{"alice", "alice:secret", "alice:alice\n", ":x", "a b:$2a$10$", "\x00\xff", strings.Repeat("x", 1<<20)} {
		s.put("access/passwords", []byte(text))
		s.reload()
		wantCode(t, ask(as(t, "alice", "alice"), conn), codes.Unauthenticated)
		must(t, ask(t.Context(), s.conn))
	}
	s.users("alice")
	s.reload()
	must(t, ask(as(t, "alice", "alice"), conn))
	must(t, os.Chmod(filepath.Join(s.dir, "access", "passwords"), 0o604))
	s.reload()
	wantCode(t, ask(as(t, "alice", "alice"), conn), codes.Unauthenticated)
	must(t, os.Chmod(filepath.Join(s.dir, "access", "passwords"), 0o600))
	for _, text := range []string{"alice", "alice boss", "alice admin\nalice admin\n"} {
		s.put("access/roles", []byte(text))
		s.reload()
		wantCode(t, ask(as(t, "alice", "alice"), conn), codes.PermissionDenied)
		must(t, ask(t.Context(), s.conn))
	}
	must(t, os.Remove(filepath.Join(s.dir, "access", "roles")))
	must(t, os.Remove(filepath.Join(s.dir, "access", "passwords")))
	s.reload()
	wantCode(t, ask(as(t, "alice", "alice"), conn), codes.Unauthenticated)
	must(t, ask(t.Context(), s.conn))
}

// Nothing is configured: whoever comes over TCP is nobody.
func TestNewInstallIsClosed(t *testing.T) {
	s := secure(t, access.Limits{}, nil)
	self, _ := selfSigned(t)
	for _, conn := range []*grpc.ClientConn{s.dial(), s.dial(self)} {
		for _, ctx := range []context.Context{t.Context(), as(t, "root", "root")} {
			wantCode(t, ask(ctx, conn), codes.Unauthenticated)
			_, err := gpb.NewGNMIClient(conn).Set(ctx, s.request(update(ifA, `{"config":{"name":"a"}}`)))
			wantCode(t, err, codes.Unauthenticated)
			_, err = gpb.NewGNMIClient(conn).Get(ctx, getRequest(t, gpb.Encoding_JSON, gpb.GetRequest_ALL, "/"))
			wantCode(t, err, codes.Unauthenticated)
		}
	}
	must(t, ask(t.Context(), s.conn))
	if s.config(ifA) != "" {
		t.Error("nobody has configured something")
	}
}

func TestPlaintext(t *testing.T) {
	dir := t.TempDir()
	line, err := access.HashPassword("alice", "alice")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "passwords"), []byte(line), 0o600))
	l, err := gnmi.ListenTCP(t.Context(), "127.0.0.1:0")
	must(t, err)
	start(t, func(c *gnmi.Config) []net.Listener {
		c.Guard = access.New(access.Config{Passwords: access.NewPasswords(filepath.Join(dir, "passwords"), slog.New(slog.DiscardHandler))})
		return []net.Listener{access.Plaintext(l)}
	})
	conn, err := grpc.NewClient("dns:///"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	defer conn.Close()
	must(t, ask(as(t, "alice", "alice"), conn))
	wantCode(t, ask(t.Context(), conn), codes.Unauthenticated)
}

func TestCertificateFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	files := access.TLSFiles{Dir: dir, Names: []string{"192.0.2.1", "pe3.example"}}
	load := func() *x509.Certificate {
		t.Helper()
		_, err := loadFiles(files)
		must(t, err)
		text, err := os.ReadFile(files.CertFile())
		must(t, err)
		block, _ := pem.Decode(text)
		cert, err := x509.ParseCertificate(block.Bytes)
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
	if _, err := loadFiles(files); err == nil || !strings.Contains(err.Error(), "chmod 0600") {
		t.Errorf("a key that others may read: %v", err)
	}
	must(t, os.Remove(files.KeyFile()))
	if _, err := loadFiles(files); err == nil || !strings.Contains(err.Error(), files.KeyFile()) {
		t.Errorf("a certificate without its key: %v", err)
	}
}

func code(err error) codes.Code { return status.Code(err) }

// asUserOver is a user's context, and a client of a connection.
func (s *secured) asUserOver(conn *grpc.ClientConn, user string) (context.Context, gpb.GNMIClient) {
	return as(s.t.(*testing.T), user, user), gpb.NewGNMIClient(conn)
}
