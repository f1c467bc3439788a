package access

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// PEM is what a TLS listener works with, as PEM text. ClientCA empty: no
// certificates of clients are asked for. CRL may be empty.
type PEM struct {
	Cert, Key     []byte
	ClientCA, CRL []byte
}

// Certificates are the certificate of this side, the authorities of clients and
// what those revoked. They can be replaced at any time: handshakes from then on go
// by the new ones, sessions go on, but a session whose certificate the new ones do
// not accept has no further call.
type Certificates struct {
	files    TLSFiles
	log      *slog.Logger
	optional func() bool // clients may come without a certificate

	watch   watched
	mu      sync.Mutex // guards busy, and orders replacements
	busy    bool       // a rotation is under way
	current atomic.Pointer[material]
}

// material is PEM, read.
type material struct {
	pem     PEM
	cert    tls.Certificate
	cas     []*x509.Certificate
	pool    *x509.CertPool
	revoked map[revokedKey]struct{}
	config  [2]*tls.Config // a client certificate is demanded; or accepted
}

type revokedKey struct{ issuer, serial string }

// LoadCertificates reads the files, making a certificate first where there is
// none. optional says whether clients may come without a certificate, because they
// can be identified otherwise.
func LoadCertificates(files TLSFiles, optional func() bool, log *slog.Logger) (*Certificates, error) {
	if err := files.ensure(); err != nil {
		return nil, err
	}
	c := &Certificates{files: files, log: log, optional: optional}
	c.watch.paths = []string{files.CertFile(), files.KeyFile(), files.clientCA(), files.clientCRL()}
	c.watch.changed()
	text, err := files.read()
	if err != nil {
		return nil, err
	}
	m, err := text.parse()
	if err != nil {
		return nil, err
	}
	c.current.Store(m)
	return c, nil
}

// Config is of a server that speaks TLS 1.3 with what is current. Older versions
// are refused: they can be negotiated down to key exchanges without forward
// secrecy, and show the certificates of clients, which name users, to whoever
// listens.
func (c *Certificates) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			m := c.current.Load()
			if c.optional() {
				return m.config[1], nil
			}
			return m.config[0], nil
		},
	}
}

// Any reports whether somebody may get in by certificate.
func (c *Certificates) Any() bool { return c != nil && c.current.Load().pool != nil }

// look implements source.
func (c *Certificates) look(force bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy || !c.watch.changed() && !force {
		return false
	}
	text, err := c.files.read()
	if err == nil {
		err = c.replace(text)
	}
	if err != nil {
		c.log.Error("the certificates stay as they were", "error", err)
		return false
	}
	c.log.Info("certificates read again", "certificate", c.files.CertFile())
	return true
}

// replace needs c.mu.
func (c *Certificates) replace(text PEM) error {
	m, err := text.parse()
	if err == nil {
		c.current.Store(m)
	}
	return err
}

// parse reads PEM texts. It fails for what a server cannot work with.
func (t PEM) parse() (*material, error) {
	m := &material{pem: t, revoked: map[revokedKey]struct{}{}}
	var err error
	if m.cert, err = tls.X509KeyPair(t.Cert, t.Key); err != nil {
		return nil, fmt.Errorf("use certificate and key: %w", err)
	}
	if len(t.ClientCA) > 0 {
		if m.cas, err = parseCertificates(t.ClientCA); err != nil {
			return nil, fmt.Errorf("use client authorities: %w", err)
		}
		m.pool = x509.NewCertPool()
		for _, ca := range m.cas {
			m.pool.AddCert(ca)
		}
	}
	if err := m.revoke(t.CRL); err != nil {
		return nil, fmt.Errorf("use revocation list: %w", err)
	}
	for i, auth := range []tls.ClientAuthType{tls.RequireAndVerifyClientCert, tls.VerifyClientCertIfGiven} {
		if m.pool == nil {
			auth = tls.NoClientCert
		}
		m.config[i] = &tls.Config{
			MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"},
			Certificates: []tls.Certificate{m.cert}, ClientCAs: m.pool, ClientAuth: auth,
			// A resumed session would go by the authorities of another day.
			SessionTicketsDisabled: true,
			VerifyPeerCertificate: func(_ [][]byte, chains [][]*x509.Certificate) error {
				if len(chains) == 0 {
					return nil // none was shown, and none demanded
				}
				return m.unrevoked(chains)
			},
		}
	}
	return m, nil
}

// parseCertificates reads one or more certificates.
func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for len(bytes.TrimSpace(text)) > 0 {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, errors.New("there is something in it that is not PEM")
		}
		text = rest
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("there is a PEM block %s in it, not CERTIFICATE", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("there is no PEM certificate in it")
	}
	return all, nil
}

// revoke takes in revocation lists. One that is out of date still revokes: that it
// cannot be had anew must not close a router to those who would mend that.
func (m *material) revoke(text []byte) error {
	for len(bytes.TrimSpace(text)) > 0 {
		block, rest := pem.Decode(text)
		if block == nil || block.Type != "X509 CRL" {
			return errors.New("there is something in it that is no PEM block X509 CRL")
		}
		text = rest
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return err
		}
		if !m.signed(list) {
			return fmt.Errorf("the list of %s is not signed by one of the client authorities", list.Issuer)
		}
		for _, e := range list.RevokedCertificateEntries {
			m.revoked[revokedKey{string(list.RawIssuer), e.SerialNumber.String()}] = struct{}{}
		}
	}
	return nil
}

func (m *material) signed(list *x509.RevocationList) bool {
	for _, ca := range m.cas {
		if bytes.Equal(ca.RawSubject, list.RawIssuer) && list.CheckSignatureFrom(ca) == nil {
			return true
		}
	}
	return false
}

// unrevoked finds a chain of which no certificate is revoked.
func (m *material) unrevoked(chains [][]*x509.Certificate) error {
	for _, chain := range chains {
		ok := true
		for _, c := range chain {
			_, gone := m.revoked[revokedKey{string(c.RawIssuer), c.SerialNumber.String()}]
			ok = ok && !gone
		}
		if ok {
			return nil
		}
	}
	return errors.New("the certificate is revoked")
}

// accepts says whether the certificates that a client once showed would be taken
// now.
func (m *material) accepts(shown []*x509.Certificate, now time.Time) error {
	if m.pool == nil {
		return errors.New("certificates of clients are not accepted any more")
	}
	between := x509.NewCertPool()
	for _, c := range shown[1:] {
		between.AddCert(c)
	}
	chains, err := shown[0].Verify(x509.VerifyOptions{
		Roots: m.pool, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return err
	}
	return m.unrevoked(chains)
}

// read reads the files. Authorities and revocation list may be missing unless they
// were asked for by name.
func (f TLSFiles) read() (PEM, error) {
	var t PEM
	if err := f.checkKeyMode(); err != nil {
		return t, err
	}
	for _, file := range []struct {
		path, what string
		text       *[]byte
		optional   bool
	}{
		{f.CertFile(), "certificate", &t.Cert, false},
		{f.KeyFile(), "key", &t.Key, false},
		{f.clientCA(), "client authorities", &t.ClientCA, f.ClientCA == ""},
		{f.clientCRL(), "revocation list", &t.CRL, f.ClientCRL == ""},
	} {
		text, err := os.ReadFile(file.path)
		if errors.Is(err, fs.ErrNotExist) && file.optional {
			continue
		}
		if err == nil && len(bytes.TrimSpace(text)) == 0 {
			err = fmt.Errorf("%s is empty", file.path)
		}
		if err != nil {
			return t, fmt.Errorf("read %s: %w", file.what, err)
		}
		*file.text = text
	}
	if len(t.CRL) > 0 && len(t.ClientCA) == 0 {
		return t, fmt.Errorf("read revocation list %s: there are no client authorities at %s whose certificates it could revoke", f.clientCRL(), f.clientCA())
	}
	return t, nil
}
