package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"math"
	"net"
	"os"
	"strings"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// defaultTarget is where heddled listens for its own machine.
const defaultTarget = "unix:///run/heddle/gnmi.sock"

// Where a user and password come from if no flag says: what is in an argument is
// readable by every process of the machine.
const (
	envUser     = "HEDDLE_USER"
	envPassword = "HEDDLE_PASSWORD"
)

// dialOptions say which target to talk to, and how it is known to be the right
// one.
type dialOptions struct {
	target     string
	ca         string
	cert, key  string
	serverName string
	skipVerify bool
	plaintext  bool
	user       string
	password   string // file with it
	timeout    time.Duration
}

func defaultDial() dialOptions {
	return dialOptions{target: defaultTarget, user: os.Getenv(envUser), timeout: 30 * time.Second}
}

func (d *dialOptions) register(fs *flag.FlagSet) {
	fs.StringVar(&d.target, "target", d.target, "HOST:PORT or unix:///PATH")
	fs.StringVar(&d.ca, "ca", d.ca, "PEM file with the authorities (or the certificate itself) to trust")
	fs.StringVar(&d.cert, "cert", d.cert, "PEM file with the client's certificate")
	fs.StringVar(&d.key, "key", d.key, "PEM file with the client's key")
	fs.StringVar(&d.serverName, "server-name", d.serverName, "name that the certificate has to be for")
	fs.BoolVar(&d.skipVerify, "insecure-skip-verify", d.skipVerify, "do not check who the target is")
	fs.BoolVar(&d.plaintext, "plaintext", d.plaintext, "speak no TLS: whoever is on the way reads along, passwords too")
	fs.StringVar(&d.user, "user", d.user, "name that goes with the password (default $"+envUser+")")
	fs.StringVar(&d.password, "password-file", d.password, "file with the user's password in its first line (default $"+envPassword+")")
	fs.DurationVar(&d.timeout, "timeout", d.timeout, "for everything but watch")
}

// connect makes a connection, which comes up with the first call.
func (d *dialOptions) connect() (*grpc.ClientConn, error) {
	creds, err := d.credentials()
	if err != nil {
		return nil, err
	}
	target := d.target
	if !strings.HasPrefix(target, "unix:") {
		if _, _, err := net.SplitHostPort(target); err != nil {
			return nil, wrongUsage("target %s: %v: use HOST:PORT or unix:///PATH", target, err)
		}
		target = "dns:///" + target
	}
	login, err := d.login()
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(target, append(login,
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)),
	)...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", d.target, err)
	}
	return conn, nil
}

func (d *dialOptions) credentials() (credentials.TransportCredentials, error) {
	if strings.HasPrefix(d.target, "unix:") {
		return insecure.NewCredentials(), nil // the kernel tells the target who connects
	}
	if d.plaintext {
		return insecure.NewCredentials(), nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: d.serverName, InsecureSkipVerify: d.skipVerify}
	if d.ca != "" {
		text, err := os.ReadFile(d.ca)
		if err != nil {
			return nil, fmt.Errorf("read authorities: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("read authorities %s: no PEM certificate in it", d.ca)
		}
	}
	if (d.cert == "") != (d.key == "") {
		return nil, wrongUsage("--cert and --key go together")
	}
	if d.cert != "" {
		pair, err := tls.LoadX509KeyPair(d.cert, d.key)
		if err != nil {
			return nil, fmt.Errorf("load certificate %s: %w", d.cert, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(cfg), nil
}

// login is how the user is told to the target, if there is one.
func (d *dialOptions) login() ([]grpc.DialOption, error) {
	if d.user == "" {
		if d.password != "" {
			return nil, wrongUsage("--password-file goes with --user")
		}
		return nil, nil
	}
	password := os.Getenv(envPassword)
	if d.password != "" {
		text, err := os.ReadFile(d.password)
		if err != nil {
			return nil, fmt.Errorf("read password: %w", err)
		}
		password, _, _ = strings.Cut(string(text), "\n")
		password = strings.TrimSuffix(password, "\r")
	}
	if password == "" {
		return nil, wrongUsage("user %s has no password: put it into $%s, or name its file with --password-file", d.user, envPassword)
	}
	return []grpc.DialOption{grpc.WithPerRPCCredentials(userPassword{d.user, password, d.plaintext || strings.HasPrefix(d.target, "unix:")})}, nil
}

// userPassword goes with each call as metadata (gNMI authentication §"Credentials
// and RPC metadata").
type userPassword struct {
	user, password string
	open           bool // over a connection that is not encrypted
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (u userPassword) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"username": u.user, "password": u.password}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (u userPassword) RequireTransportSecurity() bool { return !u.open }

// with connects, calls fn with a client of gNMI and closes the connection. limit
// bounds how long fn may take.
func (c *command) with(ctx context.Context, limit bool, fn func(context.Context, gpb.GNMIClient) error) error {
	return c.withConn(ctx, limit, func(ctx context.Context, conn *grpc.ClientConn) error {
		return fn(ctx, gpb.NewGNMIClient(conn))
	})
}

// withConn is with for other services.
func (c *command) withConn(ctx context.Context, limit bool, fn func(context.Context, *grpc.ClientConn) error) error {
	conn, err := c.dial.connect()
	if err != nil {
		return err
	}
	if limit {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.dial.timeout)
		defer cancel()
	}
	err = fn(ctx, conn)
	return errors.Join(err, conn.Close())
}
