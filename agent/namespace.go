package agent

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// lockName is an abstract unix socket: Linux keeps those apart by network
// namespace and frees them with the process, kill -9 included (unix(7)).
const lockName = "@heddle/agent"

// lockNamespace makes this agent the only one of its network namespace until
// release is called.
func lockNamespace() (release func() error, err error) {
	l, err := net.Listen("unix", lockName)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("another agent%s runs in this network namespace: stop it first, or run this one in a namespace of its own (ip netns exec NAME heddled ...)", lockHolder())
	}
	if err != nil {
		return nil, fmt.Errorf("lock the network namespace: %w", err)
	}
	return l.Close, nil
}

// lockHolder names the process that holds the lock, as far as it can be seen.
func lockHolder() string {
	c, err := net.Dial("unix", lockName)
	if err != nil {
		return ""
	}
	defer c.Close()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return ""
	}
	var pid int32
	if err := raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = cred.Pid
		}
	}); err != nil || pid == 0 {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}

// checkCapabilities fails when the process may not configure the network.
func checkCapabilities() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return fmt.Errorf("read own capabilities: %w", err)
	}
	if data[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return errors.New("no CAP_NET_ADMIN: run as root, or give it to the service (systemd: AmbientCapabilities=CAP_NET_ADMIN)")
	}
	return nil
}

// hostname is what this machine calls itself.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// kernelRelease is what uname -r prints.
func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return strings.TrimRight(string(u.Release[:]), "\x00")
}
