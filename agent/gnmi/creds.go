package gnmi

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"
)

// transport lets unix sockets through as they are, since their file mode says
// who may connect, and speaks TLS on everything else. There is no plaintext.
type transport struct {
	tls credentials.TransportCredentials // nil: unix sockets only
}

func newTransport(cfg *tls.Config) *transport {
	if cfg == nil {
		return &transport{}
	}
	return &transport{tls: credentials.NewTLS(cfg)}
}

// localInfo is the AuthInfo of a unix socket.
type localInfo struct {
	credentials.CommonAuthInfo
}

func (localInfo) AuthType() string { return "unix" }

// ServerHandshake implements credentials.TransportCredentials.
func (t *transport) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if c.LocalAddr().Network() == "unix" {
		return c, localInfo{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}, nil
	}
	if t.tls == nil {
		return nil, nil, errors.New("accept connection: TLS is not configured")
	}
	return t.tls.ServerHandshake(c)
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
	if t.tls == nil {
		return &transport{}
	}
	return &transport{tls: t.tls.Clone()}
}

// OverrideServerName implements credentials.TransportCredentials, where it is
// about clients.
func (t *transport) OverrideServerName(string) error { return nil }
