// Command heddled is the agent: it runs inside the network namespace that it
// manages and serves gNMI. See heddled -help.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
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
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	cfg.Reload = hup
	if err := agent.Run(ctx, cfg); err != nil {
		fmt.Fprintln(os.Stderr, "heddled:", err)
		return 1
	}
	return 0
}
