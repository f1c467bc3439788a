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

// dialOptions say which target to talk to, and how it is known to be the right
// one.
type dialOptions struct {
	target     string
	ca         string
	cert, key  string
	serverName string
	skipVerify bool
	timeout    time.Duration
}

func defaultDial() dialOptions {
	return dialOptions{target: defaultTarget, timeout: 30 * time.Second}
}

func (d *dialOptions) register(fs *flag.FlagSet) {
	fs.StringVar(&d.target, "target", d.target, "HOST:PORT or unix:///PATH")
	fs.StringVar(&d.ca, "ca", d.ca, "PEM file with the authorities (or the certificate itself) to trust")
	fs.StringVar(&d.cert, "cert", d.cert, "PEM file with the client's certificate")
	fs.StringVar(&d.key, "key", d.key, "PEM file with the client's key")
	fs.StringVar(&d.serverName, "server-name", d.serverName, "name that the certificate has to be for")
	fs.BoolVar(&d.skipVerify, "insecure-skip-verify", d.skipVerify, "do not check who the target is")
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
	conn, err := grpc.NewClient(target,
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", d.target, err)
	}
	return conn, nil
}

func (d *dialOptions) credentials() (credentials.TransportCredentials, error) {
	if strings.HasPrefix(d.target, "unix:") {
		return insecure.NewCredentials(), nil // the socket's file mode says who may connect
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
