package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// TLSFiles says where the certificate of a TCP listener comes from.
type TLSFiles struct {
	// Dir holds cert.pem and key.pem. Where they are missing they are made: a
	// self-signed ECDSA P-256 certificate for localhost, the loopback addresses,
	// the host name and Names.
	Dir string

	// Names are further DNS names and addresses that a made certificate is for.
	Names []string

	// ClientCA is a PEM file of authorities: a client with a certificate that one of
	// them signed is whom the certificate names. Empty: client-ca.pem in Dir, if there
	// is one.
	ClientCA string
	// ClientCRL is a PEM file with their revocation lists. Empty: client-crl.pem in
	// Dir, if there is one.
	ClientCRL string
}

// CertFile and KeyFile are where the certificate and its key are.
func (f TLSFiles) CertFile() string { return filepath.Join(f.Dir, "cert.pem") }

// KeyFile is the PKCS #8 key of CertFile, mode 0600.
func (f TLSFiles) KeyFile() string { return filepath.Join(f.Dir, "key.pem") }

func (f TLSFiles) clientCA() string { return orIn(f.Dir, f.ClientCA, "client-ca.pem") }

func (f TLSFiles) clientCRL() string { return orIn(f.Dir, f.ClientCRL, "client-crl.pem") }

func orIn(dir, path, name string) string {
	if path != "" {
		return path
	}
	return filepath.Join(dir, name)
}

// ensure makes what is missing. The key is written first, so that a crash
// between the two leaves a key for which a certificate can still be made; a
// certificate without its key is somebody's mistake and is left alone.
func (f TLSFiles) ensure() error {
	haveCert, err := exists(f.CertFile())
	if err != nil {
		return err
	}
	haveKey, err := exists(f.KeyFile())
	if err != nil {
		return err
	}
	switch {
	case haveCert && !haveKey:
		return fmt.Errorf("load certificate %s: its key %s is missing: put it there, or remove the certificate to have both made anew", f.CertFile(), f.KeyFile())
	case !haveKey:
		if err := os.MkdirAll(f.Dir, 0o700); err != nil {
			return fmt.Errorf("make certificate: %w", err)
		}
		if err := f.makeKey(); err != nil {
			return fmt.Errorf("make key %s: %w", f.KeyFile(), err)
		}
	}
	if err := f.checkKeyMode(); err != nil {
		return err
	}
	if haveCert {
		return nil
	}
	if err := f.makeCert(); err != nil {
		return fmt.Errorf("make certificate %s: %w", f.CertFile(), err)
	}
	return nil
}

func (f TLSFiles) checkKeyMode() error {
	fi, err := os.Stat(f.KeyFile())
	if err != nil {
		return fmt.Errorf("check key: %w", err)
	}
	if mode := fi.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("check key %s: others may read it (mode %04o): chmod 0600 it, and replace it if it may be known", f.KeyFile(), mode)
	}
	return nil
}

func (f TLSFiles) makeKey() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writeFileAtomic(f.KeyFile(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

func (f TLSFiles) makeCert() error {
	key, err := f.readKey()
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "heddle"},
		// A router without a battery clock starts in 1970, and RFC 5280 §4.1.2.5
		// has a date for "no expiration".
		NotBefore:             time.Unix(0, 0).UTC(),
		NotAfter:              time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:                  true, // so that the file itself serves clients as --ca
		BasicConstraintsValid: true,
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	names := f.Names
	if host, err := os.Hostname(); err == nil {
		names = append([]string{host}, names...)
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else if name != "" && name != "localhost" {
			tmpl.DNSNames = append(tmpl.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return err
	}
	return writeFileAtomic(f.CertFile(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

func (f TLSFiles) readKey() (*ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(f.KeyFile())
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("read key %s: no PEM block PRIVATE KEY in it: remove the file to have one made", f.KeyFile())
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", f.KeyFile(), err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read key %s: a certificate can be made for an ECDSA key only: put its certificate at %s", f.KeyFile(), f.CertFile())
	}
	return ec, nil
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// writeFileAtomic writes path so that a crash leaves the whole file or none.
func writeFileAtomic(path string, data []byte, mode fs.FileMode) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	tmp, err := os.CreateTemp(dir.Name(), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Chmod(mode)
	}
	if err == nil {
		err = tmp.Sync()
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return dir.Sync()
}
