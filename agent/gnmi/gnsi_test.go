package gnmi_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnsi/acctz"
	"github.com/openconfig/gnsi/authz"
	certz "github.com/openconfig/gnsi/certz"
	"github.com/openconfig/gnsi/credentialz"
	"github.com/openconfig/gnsi/pathz"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"heddle/agent/access"
)

// rotating is a Rotate of one of the services.
type rotating[Q, R any] struct {
	t      *testing.T
	stream grpc.BidiStreamingClient[Q, R]
}

func open[Q, R any](t *testing.T, stream grpc.BidiStreamingClient[Q, R], err error) rotating[Q, R] {
	t.Helper()
	must(t, err)
	return rotating[Q, R]{t, stream}
}

// send sends a message and returns the answer.
func (r rotating[Q, R]) send(m *Q) (*R, error) {
	r.t.Helper()
	_ = r.stream.Send(m) // an error of the stream is what Recv has
	return r.stream.Recv()
}

// done ends the stream and returns how it ended.
func (r rotating[Q, R]) done() error {
	r.t.Helper()
	must(r.t, r.stream.CloseSend())
	_, err := r.stream.Recv()
	if err != nil && err.Error() == "EOF" {
		return nil
	}
	return err
}

func pathzUpload(up *pathz.UploadRequest, force bool) *pathz.RotateRequest {
	return &pathz.RotateRequest{RotateRequest: &pathz.RotateRequest_UploadRequest{UploadRequest: up}, ForceOverwrite: force}
}

var pathzFinal = &pathz.RotateRequest{RotateRequest: &pathz.RotateRequest_FinalizeRotation{FinalizeRotation: &pathz.FinalizeRequest{}}}

func TestGNSIPathz(t *testing.T) {
	s := secure(t, access.Limits{}, func(s *secured) { s.users("alice") })
	s.mustSet(update(ifA, `{"config":{"name":"a","mtu":1400}}`))
	ctx, client := s.asUserOver(s.dial(), "alice")
	reads := func() codes.Code {
		_, err := client.Get(ctx, getRequest(t, gpb.Encoding_JSON, gpb.GetRequest_CONFIG, ifLeaf("a", "mtu")))
		return code(err)
	}
	z := pathz.NewPathzClient(s.conn)
	begin := func() rotating[pathz.RotateRequest, pathz.RotateResponse] {
		stream, err := z.Rotate(t.Context())
		return open(t, stream, err)
	}
	probe := func(i pathz.PolicyInstance) (pathz.Action, codes.Code) {
		resp, err := z.Probe(t.Context(), &pathz.ProbeRequest{User: "alice", Path: path(t, ifLeaf("a", "mtu")), Mode: pathz.Mode_MODE_READ, PolicyInstance: i})
		return resp.GetAction(), code(err)
	}
	const active, sandbox = pathz.PolicyInstance_POLICY_INSTANCE_ACTIVE, pathz.PolicyInstance_POLICY_INSTANCE_SANDBOX
	deny := rules(t, nil, "x user:alice read deny /interfaces/interface[name=a]/config/mtu", "y user:alice read permit /")
	permit := rules(t, nil, "x user:alice read permit /")
	permit.Version = "2"

	// Undone unless it is made final.
	r := begin()
	_, err := r.send(pathzUpload(deny, false))
	must(t, err)
	if a, c := probe(sandbox); a != pathz.Action_ACTION_DENY || c != codes.OK {
		t.Errorf("the sandbox says %v, %v", a, c)
	}
	if _, c := probe(active); c != codes.FailedPrecondition {
		t.Errorf("a policy counts before it is final: %v", c)
	}
	if c := reads(); c != codes.OK {
		t.Errorf("a policy counts before it is final: %v", c)
	}
	wantCode(t, begin().done(), codes.Unavailable)
	wantCode(t, r.done(), codes.Aborted)
	if _, c := probe(sandbox); c != codes.FailedPrecondition {
		t.Errorf("the sandbox outlives its rotation: %v", c)
	}

	// Final: it counts, and is kept; the version is taken.
	r = begin()
	_, err = r.send(pathzUpload(deny, false))
	must(t, err)
	must(t, r.stream.Send(pathzFinal))
	must(t, r.done())
	if c := reads(); c != codes.NotFound {
		t.Errorf("a final policy does not count: %v", c)
	}
	got, err := z.Get(t.Context(), &pathz.GetRequest{PolicyInstance: active})
	must(t, err)
	if got.GetVersion() != "1" || !proto.Equal(got.GetPolicy(), deny.GetPolicy()) {
		t.Errorf("the policy is %v", got)
	}
	s.reload()
	if c := reads(); c != codes.NotFound {
		t.Errorf("the file does not have the policy: %v", c)
	}
	_, err = begin().send(pathzUpload(deny, false))
	wantCode(t, err, codes.AlreadyExists)

	// A wrong one ends the rotation, and all of it is undone.
	r = begin()
	_, err = r.send(pathzUpload(permit, true))
	must(t, err)
	_, err = r.send(pathzUpload(rules(t, nil, "x user:alice read permit /nosuch"), true))
	wantCode(t, err, codes.InvalidArgument)
	if a, c := probe(active); a != pathz.Action_ACTION_DENY || c != codes.OK {
		t.Errorf("after a rotation that failed: %v, %v", a, c)
	}
	wantCode(t, func() error { r := begin(); _ = r.stream.Send(pathzFinal); return r.done() }(), codes.FailedPrecondition)

	// Several in one rotation: what is final stays.
	r = begin()
	_, err = r.send(pathzUpload(permit, false))
	must(t, err)
	must(t, r.stream.Send(pathzFinal))
	deny.Version = "3"
	_, err = r.send(pathzUpload(deny, false))
	must(t, err)
	wantCode(t, r.done(), codes.Aborted)
	if c := reads(); c != codes.OK {
		t.Errorf("what was final is undone: %v", c)
	}
}

const authzPolicy = `{"name":"p","allow_rules":[
	{"name":"admins","source":{"principals":["alice"]}},
	{"name":"readers","source":{"principals":["b*"]},"request":{"paths":["/gnmi.gNMI/Capabilities","*/Get"]}},
	{"name":"marked","source":{"principals":["carol"]},"request":{"headers":[{"key":"x-why","values":["duty*"]}]}}],
	"deny_rules":[{"name":"no-set","request":{"paths":["/gnmi.gNMI/Set"]}}]}`

func TestGNSIAuthz(t *testing.T) {
	s := secure(t, access.Limits{}, func(s *secured) { s.users("alice", "bob", "carol") })
	conn := s.dial()
	client := gpb.NewGNMIClient(conn)
	set := func(user string) codes.Code {
		_, err := client.Set(as(t, user, user), s.request(update(ifA, `{"config":{"name":"a"}}`)))
		return code(err)
	}
	get := func(ctx context.Context) codes.Code {
		_, err := client.Get(ctx, getRequest(t, gpb.Encoding_JSON, gpb.GetRequest_CONFIG, "/"))
		return code(err)
	}
	z := authz.NewAuthzClient(s.conn)
	begin := func() rotating[authz.RotateAuthzRequest, authz.RotateAuthzResponse] {
		stream, err := z.Rotate(t.Context())
		return open(t, stream, err)
	}
	upload := func(policy string) *authz.RotateAuthzRequest {
		return &authz.RotateAuthzRequest{RotateRequest: &authz.RotateAuthzRequest_UploadRequest{UploadRequest: &authz.UploadRequest{Version: "1", Policy: policy}}}
	}
	if c := set("alice"); c != codes.OK {
		t.Fatalf("without a policy: %v", c)
	}
	if _, err := z.Get(t.Context(), &authz.GetRequest{}); code(err) != codes.FailedPrecondition {
		t.Errorf("a policy that is not there: %v", err)
	}
	w := s.subscribeAs(as(t, "bob", "bob"), client, &gpb.SubscriptionList{Subscription: []*gpb.Subscription{{Path: path(t, ifA), Mode: gpb.SubscriptionMode_ON_CHANGE}}})
	w.sync()

	// It counts at once, and not any more when the stream ends.
	r := begin()
	_, err := r.send(upload(authzPolicy))
	must(t, err)
	wantCode(t, w.end(), codes.PermissionDenied)
	check := func() {
		t.Helper()
		for name, want := range map[string][2]codes.Code{
			"alice sets": {set("alice"), codes.PermissionDenied}, "alice reads": {get(as(t, "alice", "alice")), codes.OK},
			"bob sets": {set("bob"), codes.PermissionDenied}, "bob reads": {get(as(t, "bob", "bob")), codes.OK},
			"carol reads": {get(as(t, "carol", "carol")), codes.PermissionDenied},
		} {
			if want[0] != want[1] {
				t.Errorf("%s: %v, want %v", name, want[0], want[1])
			}
		}
	}
	check()
	for _, q := range []struct {
		user, rpc string
		want      authz.ProbeResponse_Action
	}{
		{"alice", "/gnmi.gNMI/Get", authz.ProbeResponse_ACTION_PERMIT}, {"bob", "/gnmi.gNMI/Subscribe", authz.ProbeResponse_ACTION_DENY},
		{"nobody", "/gnmi.gNMI/Get", authz.ProbeResponse_ACTION_DENY}, {"alice", "/gnmi.gNMI/Set", authz.ProbeResponse_ACTION_DENY},
	} {
		resp, err := z.Probe(t.Context(), &authz.ProbeRequest{User: q.user, Rpc: q.rpc})
		if must(t, err); resp.GetAction() != q.want || resp.GetVersion() != "1" {
			t.Errorf("probe of %s for %s: %v", q.rpc, q.user, resp)
		}
	}
	wantCode(t, r.done(), codes.Aborted)
	if c := set("alice"); c != codes.OK {
		t.Errorf("a rotation that was not final still counts: %v", c)
	}
	for _, bad := range []string{"", "{}", `{"name":"p"}`, `{"name":"p","allow_rules":[{}]}`, `{"name":"p","allow_rules":[{"name":"a"}],"x":1}`,
		`{"name":"p","allow_rules":[{"name":"a"},{"name":"a"}]}`, `{"name":"p","allow_rules":[{"name":"a"}]} x`,
		`{"name":"p","allow_rules":[{"name":"a","request":{"headers":[{"key":"grpc-x","values":["y"]}]}}]}`} {
		_, err := begin().send(upload(bad))
		wantCode(t, err, codes.InvalidArgument)
	}
	r = begin()
	_, err = r.send(upload(authzPolicy))
	must(t, err)
	must(t, r.stream.Send(&authz.RotateAuthzRequest{RotateRequest: &authz.RotateAuthzRequest_FinalizeRotation{FinalizeRotation: &authz.FinalizeRequest{}}}))
	must(t, r.done())
	s.reload()
	check()
	// Who may call it at all is a matter of roles, too.
	s.put("access/roles", []byte("alice operator\n"))
	s.reload()
	_, err = authz.NewAuthzClient(conn).Get(as(t, "alice", "alice"), &authz.GetRequest{})
	wantCode(t, err, codes.PermissionDenied)
}

func TestGNSICertz(t *testing.T) {
	ca := newPKI(t, "authority")
	s := secure(t, access.Limits{}, nil)
	z := certz.NewCertzClient(s.conn)
	begin := func() rotating[certz.RotateCertificateRequest, certz.RotateCertificateResponse] {
		stream, err := z.Rotate(t.Context())
		return open(t, stream, err)
	}
	const profile = "system_default_profile"
	upload := func(entities ...*certz.Entity) *certz.RotateCertificateRequest {
		return &certz.RotateCertificateRequest{SslProfileId: profile, RotateRequest: &certz.RotateCertificateRequest_Certificates{Certificates: &certz.UploadRequest{Entities: entities}}}
	}
	final := &certz.RotateCertificateRequest{SslProfileId: profile, RotateRequest: &certz.RotateCertificateRequest_FinalizeRotation{FinalizeRotation: &certz.FinalizeRequest{}}}
	certificate := func(text []byte) *certz.CertificateChain {
		return &certz.CertificateChain{Certificate: &certz.Certificate{
			Type: certz.CertificateType_CERTIFICATE_TYPE_X509, Encoding: certz.CertificateEncoding_CERTIFICATE_ENCODING_PEM,
			CertificateType: &certz.Certificate_RawCertificate{RawCertificate: text},
		}}
	}
	trust := func(text []byte) *certz.Entity {
		return &certz.Entity{Entity: &certz.Entity_TrustBundle{TrustBundle: certificate(text)}}
	}
	crl := func(text []byte) *certz.Entity {
		return &certz.Entity{Entity: &certz.Entity_CertificateRevocationListBundle{CertificateRevocationListBundle: &certz.CertificateRevocationListBundle{
			CertificateRevocationLists: []*certz.CertificateRevocationList{{CertificateRevocationList: text}},
		}}}
	}
	good, revoked := ca.issue("one", nil), ca.issue("two", nil)

	// The authorities of clients: tried, undone, made final; with a revocation list.
	r := begin()
	_, err := r.send(upload(trust(ca.pem())))
	must(t, err)
	must(t, ask(t.Context(), s.dial(good)))
	wantCode(t, r.done(), codes.Aborted)
	if err := ask(t.Context(), s.dial(good)); err == nil {
		t.Error("authorities that were not made final still count")
	}
	r = begin()
	_, err = r.send(upload(trust(ca.pem()), crl(ca.crl(revoked))))
	must(t, err)
	must(t, r.stream.Send(final))
	must(t, r.done())
	s.reload()
	must(t, ask(t.Context(), s.dial(good)))
	if err := ask(t.Context(), s.dial(revoked)); err == nil {
		t.Error("a revoked certificate is taken")
	}

	// Nothing in place of authorities and lists would be files that no start takes.
	nobody := &certz.Entity{Entity: &certz.Entity_TrustBundlePkcs7{TrustBundlePkcs7: &certz.TrustBundle{}}}
	none := &certz.Entity{Entity: &certz.Entity_CertificateRevocationListBundle{CertificateRevocationListBundle: &certz.CertificateRevocationListBundle{}}}
	for _, e := range []*certz.Entity{nobody, none, crl([]byte(" "))} {
		r = begin()
		_, err = r.send(upload(e))
		wantCode(t, err, codes.InvalidArgument)
	}

	// A certificate for a key that the target makes and nobody else sees.
	r = begin()
	resp, err := r.send(&certz.RotateCertificateRequest{SslProfileId: profile, RotateRequest: &certz.RotateCertificateRequest_GenerateCsr{GenerateCsr: &certz.GenerateCSRRequest{
		Params: &certz.CSRParams{CsrSuite: certz.CSRSuite_CSRSUITE_X509_KEY_TYPE_ECDSA_PRIME256V1_SIGNATURE_ALGORITHM_SHA_2_256, CommonName: "pe3", San: &certz.V3ExtensionSAN{Ips: []string{"127.0.0.1"}}},
	}}})
	must(t, err)
	block, _ := pem.Decode(resp.GetGeneratedCsr().GetCertificateSigningRequest().GetCertificateSigningRequest())
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	must(t, err)
	must(t, csr.CheckSignature())
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(99), Subject: csr.Subject, IPAddresses: csr.IPAddresses, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, csr.PublicKey.(*ecdsa.PublicKey), ca.key)
	must(t, err)
	signed := certificate(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	signed.Certificate.PrivateKeyType = &certz.Certificate_KeySource_{KeySource: certz.Certificate_KEY_SOURCE_GENERATED}
	goesOn := s.dial(good)
	must(t, ask(t.Context(), goesOn))
	_, err = r.send(upload(&certz.Entity{Entity: &certz.Entity_CertificateChain{CertificateChain: signed}}))
	must(t, err)
	must(t, r.stream.Send(final))
	must(t, r.done())
	must(t, ask(t.Context(), goesOn))
	s.reload()
	s.roots = x509.NewCertPool()
	s.roots.AddCert(ca.cert)
	must(t, ask(t.Context(), s.dial(good)))
	if shown := s.shown(good); shown != "pe3" {
		t.Errorf("the target shows the certificate of %q", shown)
	}

	for name, m := range map[string]*certz.RotateCertificateRequest{
		"garbage":           upload(trust([]byte("garbage"))),
		"crl of others":     upload(crl(newPKI(t, "other").crl())),
		"nothing":           upload(),
		"no key":            upload(&certz.Entity{Entity: &certz.Entity_CertificateChain{CertificateChain: certificate(ca.pem())}}),
		"no profile":        {RotateRequest: final.RotateRequest},
		"no message":        {SslProfileId: profile},
		"empty certificate": upload(trust(nil)),
	} {
		_, err := begin().send(m)
		if c := code(err); c != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
		must(t, ask(t.Context(), s.dial(good)))
	}
	list, err := z.GetProfileList(t.Context(), &certz.GetProfileListRequest{})
	must(t, err)
	if fmt.Sprint(list.GetSslProfileIds()) != "["+profile+"]" {
		t.Errorf("profiles %v", list)
	}
}

// shown is the common name of the certificate that the target shows.
func (s *secured) shown(client tls.Certificate) string {
	s.t.Helper()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", s.addr, &tls.Config{RootCAs: s.roots, Certificates: []tls.Certificate{client}, NextProtos: []string{"h2"}})
	must(s.t, err)
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestGNSICredentialz(t *testing.T) {
	s := secure(t, access.Limits{}, func(s *secured) { s.users("alice", "bob") })
	conn := s.dial()
	z := credentialz.NewCredentialzClient(s.conn)
	begin := func() rotating[credentialz.RotateAccountCredentialsRequest, credentialz.RotateAccountCredentialsResponse] {
		stream, err := z.RotateAccountCredentials(t.Context())
		return open(t, stream, err)
	}
	upload := func(user, password string) *credentialz.RotateAccountCredentialsRequest {
		return &credentialz.RotateAccountCredentialsRequest{Request: &credentialz.RotateAccountCredentialsRequest_Password{Password: &credentialz.PasswordRequest{
			Accounts: []*credentialz.PasswordRequest_Account{{Account: user, Password: &credentialz.PasswordRequest_Password{Value: &credentialz.PasswordRequest_Password_Plaintext{Plaintext: password}}}},
		}}}
	}
	r := begin()
	_, err := r.send(upload("alice", "new"))
	must(t, err)
	must(t, ask(as(t, "alice", "new"), conn))
	wantCode(t, ask(as(t, "alice", "alice"), conn), codes.Unauthenticated)
	wantCode(t, r.done(), codes.Aborted)
	wantCode(t, ask(as(t, "alice", "new"), conn), codes.Unauthenticated)
	must(t, ask(as(t, "alice", "alice"), conn))

	r = begin()
	_, err = r.send(upload("alice", "new"))
	must(t, err)
	must(t, r.stream.Send(&credentialz.RotateAccountCredentialsRequest{Request: &credentialz.RotateAccountCredentialsRequest_Finalize{Finalize: &credentialz.FinalizeRequest{}}}))
	must(t, r.done())
	s.reload()
	must(t, ask(as(t, "alice", "new"), conn))
	must(t, ask(as(t, "bob", "bob"), conn))
	text, err := os.ReadFile(filepath.Join(s.dir, "access", "passwords"))
	must(t, err)
	if strings.Contains(string(text), "new") || !strings.Contains(string(text), "alice:$2") {
		t.Errorf("the file has %s", text)
	}
	_, err = begin().send(upload("carol", "x"))
	wantCode(t, err, codes.FailedPrecondition)
	_, err = begin().send(upload("alice", ""))
	wantCode(t, err, codes.InvalidArgument)
	_, err = begin().send(upload("alice", strings.Repeat("x", 73)))
	wantCode(t, err, codes.InvalidArgument)
	_, err = begin().send(&credentialz.RotateAccountCredentialsRequest{Request: &credentialz.RotateAccountCredentialsRequest_Credential{}})
	wantCode(t, err, codes.Unimplemented)
	must(t, ask(as(t, "alice", "new"), conn))
}

// Every call is recorded, and every attempt; nothing that is secret.
func TestGNSIAcctz(t *testing.T) {
	s := secure(t, access.Limits{}, func(s *secured) { s.users("alice") })
	conn := s.dial()
	start := time.Now()
	must(t, ask(as(t, "alice", "alice"), conn))
	wantCode(t, ask(as(t, "alice", "no"), conn), codes.Unauthenticated)
	_, err := gpb.NewGNMIClient(conn).Set(as(t, "alice", "alice"), s.request(op{"update", ifLeaf("a", "mtu"), uintVal(1400)}))
	must(t, err)
	for _, name := range []string{"secret-key", `secr\u0065t-key`} {
		s.mustSet(update("/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6/hmac-keys", fmt.Sprintf(`{"hmac-key":[{"key-id":7,"config":{"key-id":7,"%s":"topsecret"}}]}`, name)))
	}
	z := credentialz.NewCredentialzClient(s.conn)
	stream, err := z.RotateAccountCredentials(t.Context())
	r := open(t, stream, err)
	_, err = r.send(&credentialz.RotateAccountCredentialsRequest{Request: &credentialz.RotateAccountCredentialsRequest_Password{Password: &credentialz.PasswordRequest{
		Accounts: []*credentialz.PasswordRequest_Account{{Account: "alice", Password: &credentialz.PasswordRequest_Password{Value: &credentialz.PasswordRequest_Password_Plaintext{Plaintext: "topsecret"}}}},
	}}})
	must(t, err)
	wantCode(t, r.done(), codes.Aborted)

	records, err := acctz.NewAcctzStreamClient(s.conn).RecordSubscribe(t.Context(), &acctz.RecordRequest{})
	must(t, err)
	var all []*acctz.RecordResponse
	for len(all) < 6 {
		m, err := records.Recv()
		must(t, err)
		if strings.Contains(m.String(), "topsecret") {
			t.Errorf("a password is in the records: %v", m)
		}
		if m.GetTimestamp().AsTime().Before(start) {
			t.Errorf("a record of the past: %v", m)
		}
		all = append(all, m)
	}
	check := func(m *acctz.RecordResponse, user, rpc string, authn acctz.AuthnDetail_AuthnStatus, permit acctz.AuthzDetail_AuthzStatus) {
		t.Helper()
		g, i := m.GetGrpcService(), m.GetSessionInfo()
		if i.GetUser().GetIdentity() != user || g.GetRpcName() != rpc || i.GetAuthn().GetStatus() != authn || g.GetAuthz().GetStatus() != permit {
			t.Errorf("got %v, want %s of %s", m, rpc, user)
		}
	}
	const ok, fail, permit, deny = acctz.AuthnDetail_AUTHN_STATUS_SUCCESS, acctz.AuthnDetail_AUTHN_STATUS_FAIL, acctz.AuthzDetail_AUTHZ_STATUS_PERMIT, acctz.AuthzDetail_AUTHZ_STATUS_DENY
	check(all[0], "alice", "/gnmi.gNMI/Capabilities", ok, permit)
	check(all[1], "alice", "/gnmi.gNMI/Capabilities", fail, deny)
	check(all[2], "alice", "/gnmi.gNMI/Set", ok, permit)
	set := &gpb.SetRequest{}
	must(t, all[2].GetGrpcService().GetProtoVal().UnmarshalTo(set))
	if len(set.GetUpdate()) != 1 {
		t.Errorf("the Set is recorded as %v", set)
	}
	if p := all[0].GetSessionInfo(); p.GetRemoteAddress() != "127.0.0.1" || p.GetRemotePort() == 0 || p.GetIpProto() != 6 {
		t.Errorf("the session is recorded as %v", p)
	}

	// Of more than can be kept, the last.
	for range 5000 {
		_, err := s.client.Capabilities(t.Context(), &gpb.CapabilityRequest{})
		must(t, err)
	}
	late, err := acctz.NewAcctzClient(s.conn).RecordSubscribe(t.Context())
	must(t, err)
	must(t, late.Send(&acctz.RecordRequest{}))
	m, err := late.Recv()
	must(t, err)
	if !m.GetHistoryIstruncated() {
		t.Errorf("nobody is told that records are gone: %v", m)
	}
}
