package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"
)

// Session is one connection. It is the AuthInfo of its calls.
type Session struct {
	credentials.CommonAuthInfo
	net.Conn

	guard *Guard
	id    uint64
	kind  string // "unix", "tls", "plaintext"
	// local is the process at the other end of a unix socket.
	local Identity
	// shown is what the client showed in the handshake, its own certificate first.
	shown []*x509.Certificate
	name  string // that its certificate says
	odd   error  // why it says none

	arrivals arrivals // of the one who reads

	closing sync.Once
	socket  syscall.RawConn // nil: it is none
	idle    *time.Timer     // runs out if no call is admitted
	written atomic.Int64    // octets

	// Guarded by the guard's mu.
	gone    bool
	answers map[*Answer]struct{} // that are not sent
	unread  *time.Timer          // looks at them
	seen    int64                // that the other end had taken, when it looked last

	mu       sync.Mutex // guards all below
	good     *material  // by which shown was last found right
	until    time.Time  // up to which that holds
	users    map[string]bool
	refused  int   // calls since the last that was admitted
	requests int   // calls whose request is in memory
	pending  int64 // octets that came since requests was 0
	behind   int64 // of arrivals
}

// AuthType implements credentials.AuthInfo.
func (s *Session) AuthType() string { return s.kind }

// plaintext is a listener on which TLS is not spoken.
type plaintext struct{ net.Listener }

// Plaintext makes a TCP listener one for clients that do not speak TLS. What they
// say, passwords included, is readable on the way.
func Plaintext(l net.Listener) net.Listener { return plaintext{l} }

type plainConn struct{ net.Conn }

func (l plaintext) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return plainConn{c}, nil
}

// transport lets unix sockets through with the credentials of the process at the
// other end, and speaks TLS on everything else that is not Plaintext.
type transport struct {
	guard *Guard
	tls   credentials.TransportCredentials // nil: unix sockets only
}

// Credentials are those of a gRPC server. cfg is for TCP; nil if there is none.
func (g *Guard) Credentials(cfg *tls.Config) credentials.TransportCredentials {
	t := &transport{guard: g}
	if cfg != nil {
		t.tls = credentials.NewTLS(cfg)
	}
	return t
}

// ServerHandshake implements credentials.TransportCredentials.
func (t *transport) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	s := &Session{Conn: c, guard: t.guard, users: map[string]bool{}}
	s.SecurityLevel = credentials.PrivacyAndIntegrity
	p, plain := c.(plainConn)
	if plain {
		c = p.Conn
	}
	if raw, ok := c.(syscall.Conn); ok {
		s.socket, _ = raw.SyscallConn() // it fails for what is closed
	}
	var err error
	switch {
	case c.LocalAddr().Network() == "unix":
		s.kind = "unix"
		s.local, err = peerOf(c)
	case plain:
		s.kind, s.SecurityLevel = "plaintext", credentials.NoSecurity
	case t.tls == nil:
		return nil, nil, errors.New("accept connection: TLS is not configured")
	default:
		err = s.handshake(t.tls)
	}
	if err == nil {
		err = t.guard.open(s)
	}
	if err != nil {
		return nil, nil, err
	}
	return s, s, nil
}

func (s *Session) handshake(tls credentials.TransportCredentials) error {
	c, auth, err := tls.ServerHandshake(s.Conn)
	if err != nil {
		return err
	}
	s.kind, s.Conn = "tls", c
	info, ok := auth.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return nil
	}
	s.shown = info.State.PeerCertificates
	s.name, s.odd = certificateName(s.shown[0])
	return nil
}

// peerOf asks the kernel which process connected (SO_PEERCRED, unix(7)).
func peerOf(c net.Conn) (Identity, error) {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return Identity{}, fmt.Errorf("accept connection: %T is no unix socket", c)
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return Identity{}, fmt.Errorf("accept connection: %w", err)
	}
	var cred *unix.Ucred
	var cerr error
	err = raw.Control(func(fd uintptr) {
		cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, cerr); err != nil {
		return Identity{}, fmt.Errorf("ask who connected: %w", err)
	}
	id := strconv.FormatUint(uint64(cred.Uid), 10)
	who := Identity{Name: "uid=" + id, Method: BySocket, Owner: cred.Uid == 0 || int(cred.Uid) == os.Geteuid()}
	if u, err := user.LookupId(id); err == nil {
		who.Name = u.Username
	}
	return who, nil
}

// ClientHandshake implements credentials.TransportCredentials.
func (t *transport) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are a server's")
}

// Info implements credentials.TransportCredentials.
func (t *transport) Info() credentials.ProtocolInfo {
	if t.tls == nil {
		return credentials.ProtocolInfo{SecurityProtocol: "unix"}
	}
	return t.tls.Info()
}

// Clone implements credentials.TransportCredentials.
func (t *transport) Clone() credentials.TransportCredentials {
	c := &transport{guard: t.guard}
	if t.tls != nil {
		c.tls = t.tls.Clone()
	}
	return c
}

// OverrideServerName implements credentials.TransportCredentials, where it is
// about clients.
func (t *transport) OverrideServerName(string) error { return nil }

// IsPlaintext reports whether Plaintext made the listener.
func IsPlaintext(l net.Listener) bool {
	_, ok := l.(plaintext)
	return ok
}
