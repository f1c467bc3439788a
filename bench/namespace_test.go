package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace with a thread of its own in it.
type namespace struct {
	t      testing.TB
	calls  chan func()
	thread int     // its number, by which ip names the namespace
	cpu    float64 // processor time of the last call of ip, in seconds
}

// newNamespace makes a namespace with the link e1, which has its other end, far, in
// it too.
func newNamespace(t testing.TB) *namespace {
	t.Helper()
	n := emptyNamespace(t)
	n.mustIP("link add e1 type veth peer name far")
	n.write("0", "ipv6/conf/e1/accept_dad", "ipv6/conf/far/accept_dad")
	n.mustIP("link set e1 up")
	n.mustIP("link set far up")
	return n
}

// emptyNamespace makes a namespace with nothing but the loopback link.
func emptyNamespace(t testing.TB) *namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs iproute2 to compare with")
	}
	n := &namespace{t: t, calls: make(chan func())}
	made := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and the namespace
		// with what was started in it.
		runtime.LockOSThread()
		n.thread = unix.Gettid()
		made <- unix.Unshare(unix.CLONE_NEWNET)
		for f := range n.calls {
			f()
		}
	}()
	if err := <-made; err != nil {
		t.Fatalf("make network namespace: %v", err)
	}
	t.Cleanup(n.close)
	n.mustIP("link set lo up")
	return n
}

// write gives settings below /proc/sys/net a value.
func (n *namespace) write(value string, settings ...string) {
	n.t.Helper()
	n.in(func() error {
		for _, s := range settings {
			if err := os.WriteFile("/proc/sys/net/"+s, []byte(value), 0); err != nil {
				return err
			}
		}
		return nil
	})
}

func (n *namespace) close() {
	if n.calls != nil {
		close(n.calls)
		n.calls = nil
	}
}

// in runs a function in the namespace; what it starts is there, too.
func (n *namespace) in(f func() error) {
	n.t.Helper()
	done := make(chan error)
	n.calls <- func() { done <- f() }
	if err := <-done; err != nil {
		n.t.Fatal(err)
	}
}

// ip runs iproute2 and gives its output and how it ended.
func (n *namespace) ip(stdin io.Reader, args ...string) (string, error) {
	n.t.Helper()
	var out bytes.Buffer
	var ended error
	n.in(func() error {
		cmd := exec.Command("ip", args...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &out
		ended = cmd.Run()
		n.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
		if exit := (*exec.ExitError)(nil); errors.As(ended, &exit) || ended == nil {
			return nil
		}
		return fmt.Errorf("run ip: %w", ended)
	})
	return out.String(), ended
}

func (n *namespace) mustIP(args string) string {
	n.t.Helper()
	out, err := n.ip(nil, strings.Fields(args)...)
	if err != nil {
		n.t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
	return out
}

// routes counts the IPv6 routes of a protocol.
func (n *namespace) routes(protocol string) int {
	n.t.Helper()
	return strings.Count(n.mustIP("-6 -o route show proto "+protocol), "\n")
}

// listener counts what the kernel tells of changes in the namespace: links,
// addresses, routes, rules, next hops and forwarding settings. The kernel tells
// of every write, also of one that changes nothing.
type listener struct {
	t  testing.TB
	fd int
}

func (n *namespace) listen() *listener {
	n.t.Helper()
	l := &listener{t: n.t}
	n.in(func() error {
		var err error
		if l.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE); err != nil {
			return fmt.Errorf("listen to the kernel: %w", err)
		}
		if err = unix.SetsockoptInt(l.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
			return fmt.Errorf("listen to the kernel: %w", err)
		}
		if err = unix.Bind(l.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return fmt.Errorf("listen to the kernel: %w", err)
		}
		for _, group := range []int{
			unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
			unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_NEXTHOP, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF,
		} {
			if err := unix.SetsockoptInt(l.fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
				return fmt.Errorf("listen to the kernel: %w", err)
			}
		}
		return nil
	})
	n.t.Cleanup(func() { unix.Close(l.fd) })
	return l
}

// count gives the number of messages since the call before.
func (l *listener) count() int {
	l.t.Helper()
	n := 0
	buf := make([]byte, 64<<10)
	for {
		size, _, err := unix.Recvfrom(l.fd, buf, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return n
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			l.t.Fatalf("listen to the kernel: %v", err)
		}
		for rest := buf[:size]; len(rest) >= unix.NLMSG_HDRLEN; n++ {
			length := int(binary.NativeEndian.Uint32(rest))
			rest = rest[min(len(rest), max((length+3)&^3, unix.NLMSG_HDRLEN)):]
		}
	}
}
