package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"

	"heddle/lab/control"
	"heddle/lab/netlab"
)

// serve is the background process of LAB=netns; see startServer for what it gets.
func (a *app) serve(ctx context.Context, _ []string) error {
	token, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read token: %w", err)
	}
	if token = strings.TrimSpace(token); token == "" {
		return errors.New("read token: this command is for heddle-lab itself: use LAB=netns heddle-lab up")
	}
	socket := os.NewFile(3, "listener")
	listener, err := net.FileListener(socket)
	socket.Close()
	if err != nil {
		return fmt.Errorf("take over the socket: %w", err)
	}
	lab := netlab.New(netlab.HostConfig(slog.New(slog.NewTextHandler(a.stderr, nil))))
	server := &control.Server{Lab: lab, Token: token}
	return server.Serve(ctx, listener)
}
