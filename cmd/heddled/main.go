// Command heddled is the agent: it runs inside the network namespace that it
// manages and serves gNMI. See heddled -help.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"heddle/agent"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	cfg, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := agent.Run(ctx, cfg); err != nil {
		fmt.Fprintln(os.Stderr, "heddled:", err)
		return 1
	}
	return 0
}

func parse(args []string) (agent.Config, error) {
	var cfg agent.Config
	var level slog.Level
	fs := flag.NewFlagSet("heddled", flag.ContinueOnError)
	fs.StringVar(&cfg.Listen, "listen", "127.0.0.1:9339", "TCP `address` of the gNMI server (TLS); empty for none")
	fs.StringVar(&cfg.Unix, "unix", "/run/heddle/gnmi.sock", "unix socket `path` of the gNMI server, for root; empty for none")
	fs.StringVar(&cfg.ClientCA, "client-ca", "", "PEM `file` of authorities: clients over TCP must show a certificate that one of them signed")
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
