package access

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
)

// A rotation replaces a policy, certificates or passwords in two steps: what is
// uploaded can be tried, and is undone unless it is made final. There is one of a
// kind at a time, and meanwhile a file that changes is not looked at; afterwards it is.

// errRotating is what gNSI answers a second rotation with.
var errRotating = status.Error(codes.Unavailable, "another rotation is under way: wait for its end")

// PolicyRotation is one of a policy. It is for one goroutine.
type PolicyRotation[M policyMessage, P any] struct {
	of      *Policies[M, P]
	live    bool // what is uploaded counts at once
	was, up *policyState[M, P]
}

// Rotate begins a rotation. live says whether what is uploaded counts at once, or
// only when it is final.
func (p *Policies[M, P]) Rotate(live bool) (*PolicyRotation[M, P], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy {
		return nil, errRotating
	}
	p.busy = true
	return &PolicyRotation[M, P]{of: p, live: live, was: p.state.Load()}, nil
}

// Upload takes a policy to try. Without force its version has to be another one than
// that of the policy that counts.
func (r *PolicyRotation[M, P]) Upload(m M, force bool) error {
	if !force && r.was.there && !r.was.broken && r.was.message.GetVersion() == m.GetVersion() {
		return status.Errorf(codes.AlreadyExists, "version %q is in use: give it another, or set force_overwrite", m.GetVersion())
	}
	policy, err := r.of.compile(m)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	r.up = &policyState[M, P]{there: true, message: m, policy: policy}
	r.of.sandbox.Store(r.up)
	if r.live {
		r.of.state.Store(r.up)
	}
	return nil
}

// Finalize makes what was uploaded last the policy, on disk too.
func (r *PolicyRotation[M, P]) Finalize() error {
	if r.up == nil {
		return status.Error(codes.FailedPrecondition, "nothing was uploaded that could be made final")
	}
	text, err := protojson.MarshalOptions{Multiline: true}.Marshal(r.up.message)
	if err == nil {
		err = writeFileAtomic(r.of.file.paths[0], text, 0o600)
	}
	if err != nil {
		return status.Errorf(codes.Internal, "keep the policy of %s: %v", r.of.what, err)
	}
	r.of.state.Store(r.up)
	r.was, r.up = r.up, nil
	r.of.sandbox.Store(nil)
	return nil
}

// Pending reports whether something was uploaded that is not final.
func (r *PolicyRotation[M, P]) Pending() bool { return r.up != nil }

// End ends the rotation: what is not final is undone.
func (r *PolicyRotation[M, P]) End() {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	r.of.state.Store(r.was)
	r.of.sandbox.Store(nil)
	r.of.busy = false
}

// Sandbox is the policy that was uploaded and is not final.
func (p *Policies[M, P]) Sandbox() (policy P, ok bool) {
	s := p.sandbox.Load()
	if s == nil {
		return policy, false
	}
	return s.policy, true
}

// CertificateRotation is one of certificates. It is for one goroutine.
type CertificateRotation struct {
	of      *Certificates
	was, up *material
}

// Rotate begins a rotation.
func (c *Certificates) Rotate() (*CertificateRotation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy {
		return nil, errRotating
	}
	c.busy = true
	return &CertificateRotation{of: c, was: c.current.Load()}, nil
}

// Upload tries what change makes of the present certificates, at once.
func (r *CertificateRotation) Upload(change func(*PEM)) error {
	text := r.of.current.Load().pem
	change(&text)
	err := text.filled(r.was.pem)
	var m *material
	if err == nil {
		m, err = text.parse()
	}
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	r.up = m
	r.of.current.Store(m)
	return nil
}

// filled refuses texts that say nothing in place of those that were there: an empty file
// is one that a start refuses.
func (t *PEM) filled(was PEM) error {
	for _, x := range []struct {
		now          *[]byte
		was          []byte
		what, remedy string
	}{
		{&t.ClientCA, was.ClientCA, "client authorities", "send one at least"},
		{&t.CRL, was.CRL, "revocation list", "send one that revokes nothing"},
	} {
		if len(bytes.TrimSpace(*x.now)) > 0 {
			continue
		}
		if len(x.was) > 0 {
			return fmt.Errorf("use %s: there is nothing in it: %s", x.what, x.remedy)
		}
		*x.now = nil
	}
	return nil
}

// Finalize keeps what was uploaded.
func (r *CertificateRotation) Finalize() error {
	if r.up == nil {
		return status.Error(codes.FailedPrecondition, "nothing was uploaded that could be made final")
	}
	if err := r.of.files.write(r.was.pem, r.up.pem); err != nil {
		return status.Errorf(codes.Internal, "keep the certificates: %v", err)
	}
	r.was, r.up = r.up, nil
	return nil
}

// Pending reports whether something was uploaded that is not final.
func (r *CertificateRotation) Pending() bool { return r.up != nil }

// End ends the rotation: what is not final is undone.
func (r *CertificateRotation) End() {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	r.of.current.Store(r.was)
	r.of.busy = false
}

// write replaces the files that differ. If one cannot be written, those before it
// are put back.
func (f TLSFiles) write(was, now PEM) error {
	type file struct {
		path     string
		was, now []byte
	}
	files := []file{
		{f.clientCA(), was.ClientCA, now.ClientCA}, {f.clientCRL(), was.CRL, now.CRL},
		{f.KeyFile(), was.Key, now.Key}, {f.CertFile(), was.Cert, now.Cert},
	}
	for i, x := range files {
		if slices.Equal(x.was, x.now) {
			continue
		}
		err := writeFileAtomic(x.path, x.now, 0o600)
		if err == nil {
			continue
		}
		for _, y := range files[:i] {
			switch {
			case slices.Equal(y.was, y.now):
			case y.was == nil:
				err = errors.Join(err, os.Remove(y.path))
			default:
				err = errors.Join(err, writeFileAtomic(y.path, y.was, 0o600))
			}
		}
		return err
	}
	return nil
}

// PasswordRotation is one of passwords. It is for one goroutine.
type PasswordRotation struct {
	of  *Passwords
	was map[string][]byte
	up  bool
}

// Rotate begins a rotation. It fails while the file is wrong.
func (p *Passwords) Rotate() (*PasswordRotation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.busy:
		return nil, errRotating
	case p.broken != nil:
		return nil, status.Errorf(codes.FailedPrecondition, "the file of passwords has to be put right first: %v", p.broken)
	}
	p.busy = true
	p.turned++
	return &PasswordRotation{of: p, was: p.hashes}, nil
}

// Upload gives a user a password, at once.
func (r *PasswordRotation) Upload(user, password string) error {
	line, err := HashPassword(user, password)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "account %q: %v", user, err)
	}
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	next := maps.Clone(r.of.hashes)
	if next == nil {
		next = map[string][]byte{}
	}
	_, hash, _ := strings.Cut(line, ":")
	next[user] = []byte(hash)
	r.of.hashes, r.of.known, r.up = next, map[[32]byte]struct{}{}, true
	return nil
}

// Finalize keeps what was uploaded.
func (r *PasswordRotation) Finalize() error {
	if !r.up {
		return status.Error(codes.FailedPrecondition, "nothing was uploaded that could be made final")
	}
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	var text strings.Builder
	for _, user := range slices.Sorted(maps.Keys(r.of.hashes)) {
		fmt.Fprintf(&text, "%s:%s\n", user, r.of.hashes[user])
	}
	if err := writeFileAtomic(r.of.Path(), []byte(text.String()), 0o600); err != nil {
		return status.Errorf(codes.Internal, "keep the passwords: %v", err)
	}
	r.was, r.up = r.of.hashes, false
	return nil
}

// Pending reports whether something was uploaded that is not final.
func (r *PasswordRotation) Pending() bool { return r.up }

// End ends the rotation: what is not final is undone.
func (r *PasswordRotation) End() {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	r.of.hashes, r.of.known = r.was, map[[32]byte]struct{}{}
	r.of.busy = false
}

// Exists reports whether a user has a password or a role.
func (g *Guard) Exists(user string) bool {
	return g.cfg.Passwords != nil && g.cfg.Passwords.hash(user) != "" || g.cfg.Roles != nil && g.cfg.Roles.has(user)
}
