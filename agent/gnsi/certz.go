package gnsi

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/url"

	certz "github.com/openconfig/gnsi/certz"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"heddle/agent/access"
)

// profile is the only SSL profile: that of the listener that all services share.
const profile = "system_default_profile"

// certzServer serves gnsi.certz.v1. What is uploaded counts at once, since another
// connection is how it is tested; sessions go on.
type certzServer struct {
	certz.UnimplementedCertzServer
	guard *access.Guard
	certs *access.Certificates
}

// Rotate implements gnsi.certz.v1.
func (s *certzServer) Rotate(stream certz.Certz_RotateServer) error {
	r, err := s.certs.Rotate()
	if err != nil {
		return err
	}
	var key []byte // of the latest CSR, PEM
	return rotate(s.guard, r, stream.Recv, func(m *certz.RotateCertificateRequest) error {
		if err := onlyProfile(m.GetSslProfileId()); err != nil {
			return err
		}
		switch what := m.GetRotateRequest().(type) {
		case *certz.RotateCertificateRequest_GenerateCsr:
			made, csr, err := generate(what.GenerateCsr)
			if err != nil {
				return err
			}
			key = made
			return stream.Send(&certz.RotateCertificateResponse{RotateResponse: &certz.RotateCertificateResponse_GeneratedCsr{
				GeneratedCsr: &certz.GenerateCSRResponse{CertificateSigningRequest: &certz.CertificateSigningRequest{
					Type: certz.CertificateType_CERTIFICATE_TYPE_X509, Encoding: certz.CertificateEncoding_CERTIFICATE_ENCODING_PEM, CertificateSigningRequest: csr,
				}},
			}})
		case *certz.RotateCertificateRequest_Certificates:
			change, err := changes(what.Certificates.GetEntities(), key)
			if err == nil {
				err = r.Upload(change)
			}
			if err != nil {
				return err
			}
			return stream.Send(&certz.RotateCertificateResponse{RotateResponse: &certz.RotateCertificateResponse_Certificates{Certificates: &certz.UploadResponse{}}})
		case *certz.RotateCertificateRequest_FinalizeRotation:
			return r.Finalize()
		}
		return invalid("the message is none of generate_csr, certificates and finalize_rotation")
	})
}

func onlyProfile(id string) error {
	switch id {
	case profile:
		return nil
	case "":
		return invalid("ssl_profile_id is not set: the only one is %s", profile)
	}
	return status.Errorf(codes.NotFound, "ssl_profile_id %q: the only one is %s", id, profile)
}

// changes are what entities make of the certificates.
func changes(entities []*certz.Entity, key []byte) (func(*access.PEM), error) {
	if len(entities) == 0 {
		return nil, invalid("there are no entities")
	}
	var all []func(*access.PEM)
	for _, e := range entities {
		switch what := e.GetEntity().(type) {
		case *certz.Entity_CertificateChain:
			cert, own, err := chain(what.CertificateChain)
			if err != nil {
				return nil, err
			}
			if what.CertificateChain.GetCertificate().GetKeySource() == certz.Certificate_KEY_SOURCE_GENERATED || len(own) == 0 && key != nil {
				own = key
			}
			if len(own) == 0 {
				return nil, invalid("the certificate has no private key: send it, or have the target make one by generate_csr in the same rotation")
			}
			all = append(all, func(p *access.PEM) { p.Cert, p.Key = cert, own })
		case *certz.Entity_TrustBundle:
			cas, _, err := chain(what.TrustBundle)
			if err != nil {
				return nil, err
			}
			all = append(all, func(p *access.PEM) { p.ClientCA = cas })
		case *certz.Entity_TrustBundlePkcs7:
			cas := []byte(what.TrustBundlePkcs7.GetPkcs7Block())
			if bytes.Contains(cas, []byte("-----BEGIN PKCS7")) {
				return nil, notOffered("trust_bundle_pkcs7 with a block PKCS7 is not offered: send its certificates as blocks CERTIFICATE")
			}
			all = append(all, func(p *access.PEM) { p.ClientCA = cas })
		case *certz.Entity_CertificateRevocationListBundle:
			var lists []byte
			for _, l := range what.CertificateRevocationListBundle.GetCertificateRevocationLists() {
				lists = append(lists, asPEM(l.GetEncoding(), "X509 CRL", l.GetCertificateRevocationList())...)
			}
			all = append(all, func(p *access.PEM) { p.CRL = lists })
		default:
			return nil, notOffered("of entities, certificate_chain, trust_bundle, trust_bundle_pkcs7 and certificate_revocation_list_bundle are offered")
		}
	}
	return func(p *access.PEM) {
		for _, change := range all {
			change(p)
		}
	}, nil
}

// asPEM makes PEM of what may be DER.
func asPEM(enc certz.CertificateEncoding, kind string, text []byte) []byte {
	if enc == certz.CertificateEncoding_CERTIFICATE_ENCODING_DER {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: text})
	}
	return append(bytes.TrimSpace(text), '\n')
}

// chain is a chain as PEM, the end first, with the key of that.
func chain(c *certz.CertificateChain) (certs, key []byte, err error) {
	for at := c; at != nil; at = at.GetParent() {
		cert := at.GetCertificate()
		text := cert.GetRawCertificate()
		//lint:ignore SA1019 old clients send it.
		old, oldKey := cert.GetCertificate(), cert.GetPrivateKey()
		if len(text) == 0 {
			text = old
		}
		if len(text) == 0 {
			return nil, nil, invalid("a certificate of the chain is empty: only raw_certificate is offered")
		}
		certs = append(certs, asPEM(cert.GetEncoding(), "CERTIFICATE", text)...)
		if at == c {
			if key = cert.GetRawPrivateKey(); len(key) == 0 {
				key = oldKey
			}
		}
	}
	if len(certs) == 0 {
		return nil, nil, invalid("the chain has no certificate")
	}
	return certs, key, nil
}

type suite struct {
	algorithm x509.SignatureAlgorithm
	make      func() (crypto.Signer, error)
}

func rsaKey(bits int) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, bits) }
}

func ecKey(c elliptic.Curve) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return ecdsa.GenerateKey(c, rand.Reader) }
}

func edKey() (crypto.Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

// suites are the keys that can be made.
var suites = map[certz.CSRSuite]suite{
	certz.CSRSuite_CSRSUITE_X509_KEY_TYPE_RSA_2048_SIGNATURE_ALGORITHM_SHA_2_256:         {x509.SHA256WithRSA, rsaKey(2048)},
	certz.CSRSuite_CSRSUITE_X509_KEY_TYPE_RSA_3072_SIGNATURE_ALGORITHM_SHA_2_256:         {x509.SHA256WithRSA, rsaKey(3072)},
	certz.CSRSuite_CSRSUITE_X509_KEY_TYPE_RSA_4096_SIGNATURE_ALGORITHM_SHA_2_256:         {x509.SHA256WithRSA, rsaKey(4096)},
	certz.CSRSuite_CSRSUITE_X509_KEY_TYPE_ECDSA_PRIME256V1_SIGNATURE_ALGORITHM_SHA_2_256: {x509.ECDSAWithSHA256, ecKey(elliptic.P256())},
	certz.CSRSuite_CSRSUITE_X509_KEY_TYPE_ECDSA_SECP384R1_SIGNATURE_ALGORITHM_SHA_2_384:  {x509.ECDSAWithSHA384, ecKey(elliptic.P384())},
	certz.CSRSuite_CSRSUITE_X509_KEY_TYPE_ECDSA_SECP521R1_SIGNATURE_ALGORITHM_SHA_2_512:  {x509.ECDSAWithSHA512, ecKey(elliptic.P521())},
	certz.CSRSuite_CSRSUITE_X509_KEY_TYPE_EDDSA_ED25519:                                  {x509.PureEd25519, edKey},
}

// request is a CSR without its key.
func request(p *certz.CSRParams, s suite) (*x509.CertificateRequest, error) {
	if p.GetCommonName() == "" {
		return nil, invalid("common_name is not set")
	}
	one := func(s string) []string {
		if s == "" {
			return nil
		}
		return []string{s}
	}
	r := &x509.CertificateRequest{
		SignatureAlgorithm: s.algorithm,
		Subject: pkix.Name{
			CommonName: p.GetCommonName(), Country: one(p.GetCountry()), Province: one(p.GetState()), Locality: one(p.GetCity()),
			Organization: one(p.GetOrganization()), OrganizationalUnit: one(p.GetOrganizationalUnit()),
		},
		DNSNames: p.GetSan().GetDns(), EmailAddresses: append(one(p.GetEmailId()), p.GetSan().GetEmails()...),
	}
	for _, text := range append(one(p.GetIpAddress()), p.GetSan().GetIps()...) {
		ip := net.ParseIP(text)
		if ip == nil {
			return nil, invalid("%q is no IP address", text)
		}
		r.IPAddresses = append(r.IPAddresses, ip)
	}
	for _, text := range p.GetSan().GetUris() {
		u, err := url.Parse(text)
		if err != nil {
			return nil, invalid("%q is no URI", text)
		}
		r.URIs = append(r.URIs, u)
	}
	return r, nil
}

// generate makes a key and a CSR, both PEM.
func generate(m *certz.GenerateCSRRequest) (key, csr []byte, err error) {
	if len(m.GetIntegrities()) > 0 {
		return nil, nil, notOffered("integrities are not offered: leave them out")
	}
	s, ok := suites[m.GetParams().GetCsrSuite()]
	if !ok {
		return nil, nil, notOffered("csr_suite %s is not offered", m.GetParams().GetCsrSuite())
	}
	r, err := request(m.GetParams(), s)
	if err != nil {
		return nil, nil, err
	}
	signer, err := s.make()
	if err != nil {
		return nil, nil, status.Errorf(codes.Internal, "make a key: %v", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, r, signer)
	if err != nil {
		return nil, nil, invalid("make a signing request: %v", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return nil, nil, status.Errorf(codes.Internal, "encode the key: %v", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// CanGenerateCSR implements gnsi.certz.v1.
func (s *certzServer) CanGenerateCSR(_ context.Context, req *certz.CanGenerateCSRRequest) (*certz.CanGenerateCSRResponse, error) {
	_, ok := suites[req.GetParams().GetCsrSuite()]
	return &certz.CanGenerateCSRResponse{CanGenerate: ok}, nil
}

// GetProfileList implements gnsi.certz.v1.
func (s *certzServer) GetProfileList(context.Context, *certz.GetProfileListRequest) (*certz.GetProfileListResponse, error) {
	return &certz.GetProfileListResponse{SslProfileIds: []string{profile}}, nil
}

// AddProfile implements gnsi.certz.v1.
func (s *certzServer) AddProfile(_ context.Context, req *certz.AddProfileRequest) (*certz.AddProfileResponse, error) {
	if req.GetSslProfileId() == profile {
		return nil, status.Errorf(codes.AlreadyExists, "%s is there", profile)
	}
	return nil, notOffered("all services share one listener, and one profile: %s", profile)
}

// DeleteProfile implements gnsi.certz.v1.
func (s *certzServer) DeleteProfile(_ context.Context, req *certz.DeleteProfileRequest) (*certz.DeleteProfileResponse, error) {
	if err := onlyProfile(req.GetSslProfileId()); err != nil {
		return nil, err
	}
	return nil, invalid("%s is that of the listener: it cannot be deleted", profile)
}
