// heddle-lab boots Debian kernels with Heddle's binaries in them, builds
// topologies there, and is also the first process of the machines it boots.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"heddle/lab/cli"
	"heddle/lab/guest"
	"heddle/lab/netlab"
)

func main() {
	netlab.EnterIfAsked()
	if guest.Asked() {
		os.Exit(guest.Run())
	}
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
}
