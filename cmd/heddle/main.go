// Command heddle is the operator's command: it reads, changes and watches what a
// heddled, or another gNMI target, has. It knows flags, signals and the exit
// code; the rest is in cmd/heddle/cli.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"heddle/cmd/heddle/cli"
)

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return cli.Run(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
}
