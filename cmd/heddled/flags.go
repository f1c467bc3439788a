package main

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"

	"heddle/agent"
)

func parse(args []string) (agent.Config, error) {
	var cfg agent.Config
	var level slog.Level
	fs := flag.NewFlagSet("heddled", flag.ContinueOnError)
	fs.StringVar(&cfg.Listen, "listen", "127.0.0.1:9339", "TCP `address` of the gNMI server (TLS); empty for none")
	fs.StringVar(&cfg.Unix, "unix", "/run/heddle/gnmi.sock", "unix socket `path` of the gNMI server, for root; empty for none")
	fs.StringVar(&cfg.Plaintext, "plaintext", "", "TCP `address` where TLS is not spoken and passwords are readable on the way; empty for none")
	fs.StringVar(&cfg.UnixGroup, "unix-group", "", "`group` whose members may connect to the unix socket too")
	fs.StringVar(&cfg.ClientCA, "client-ca", "", "PEM `file` of authorities: a client over TCP is whom its certificate, signed by one of them, names (default tls/client-ca.pem in the state folder, if it is there)")
	fs.StringVar(&cfg.ClientCRL, "client-crl", "", "PEM `file` of their revocation lists (default tls/client-crl.pem in the state folder, if it is there)")
	fs.Func("limit", "`NAME=VALUE` of what clients may take, e.g. sets-per-second=100; may be repeated; docs/security.md has the names", cfg.Limits.Set)
	fs.Func("tls-name", "further `name` or address of the certificate that is made at first start; may be repeated", func(s string) error {
		cfg.TLSNames = append(cfg.TLSNames, s)
		return nil
	})
	fs.StringVar(&cfg.StateDir, "state-dir", "/var/lib/heddle", "`folder` of the saved configuration, the certificate and what is to be given back")
	fs.TextVar(&cfg.Drift, "drift", agent.DriftRepair, "what to do when somebody else changes in the kernel what the configuration asks for: `repair` it, or report it only")
	fs.TextVar(&level, "log-level", slog.LevelInfo, "DEBUG, INFO, WARN or ERROR")
	if err := fs.Parse(args); err != nil {
		return cfg, err
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "heddled: %q is not a flag: it takes flags only\n", fs.Arg(0))
		return cfg, errors.New("unexpected argument")
	}
	cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	return cfg, nil
}
