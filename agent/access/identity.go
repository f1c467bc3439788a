package access

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Method is how a caller was identified.
type Method string

// The methods.
const (
	BySocket      Method = "unix socket"
	ByCertificate Method = "certificate"
	ByPassword    Method = "password"
)

// Identity is who calls.
type Identity struct {
	// Name is the user: the account of a process at the unix socket, the SPIFFE ID
	// or common name of a certificate, the username of a password.
	Name   string
	Method Method
	// Owner is root, or the account the agent itself runs as, at the unix socket:
	// whoever that is can change the agent and its files, so nothing is refused to
	// it, and no mistake in a policy locks it out.
	Owner bool
}

type callKey struct{}

// IdentityOf is the caller of an RPC that was admitted; false outside of one.
func IdentityOf(ctx context.Context) (Identity, bool) {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return Identity{}, false
	}
	return c.who, true
}

// certificateName is whom a certificate is for: the SPIFFE ID where it has one
// (X.509-SVID §2: exactly one URI then), else the common name.
func certificateName(c *x509.Certificate) (string, error) {
	name, err := nameOf(c)
	if err == nil && len(name) > maxName {
		err = fmt.Errorf("the name in the certificate has %d octets: %d are the most", len(name), maxName)
	}
	return name, err
}

func nameOf(c *x509.Certificate) (string, error) {
	var ids []*url.URL
	for _, u := range c.URIs {
		if u.Scheme == "spiffe" {
			ids = append(ids, u)
		}
	}
	switch {
	case len(ids) > 0 && len(c.URIs) > 1:
		return "", fmt.Errorf("the certificate has %d URIs: one that has a SPIFFE ID has no other (X.509-SVID §2)", len(c.URIs))
	case len(ids) == 1:
		return spiffeID(ids[0])
	case strings.HasPrefix(strings.ToLower(c.Subject.CommonName), "spiffe:"):
		return "", fmt.Errorf("the common name %s of the certificate looks like a SPIFFE ID, which is a URI of the certificate", c.Subject.CommonName)
	case c.Subject.CommonName != "":
		return c.Subject.CommonName, nil
	}
	return "", errors.New("the certificate names nobody: it has neither a SPIFFE ID (URI spiffe://DOMAIN/PATH) nor a common name")
}

// spiffeID checks a SPIFFE ID (SPIFFE-ID §2).
func spiffeID(u *url.URL) (string, error) {
	if u.Host == "" || u.Port() != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path == "" || u.Path == "/" {
		return "", fmt.Errorf("the URI %s of the certificate is no SPIFFE ID of a workload: spiffe://DOMAIN/PATH", u)
	}
	return u.String(), nil
}
