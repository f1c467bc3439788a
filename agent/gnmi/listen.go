package gnmi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// ListenTCP opens a TCP listener for Serve, which speaks TLS on it and nothing
// else. addr is host:port; port 0 lets the kernel choose.
func ListenTCP(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for gnmi on %s: %w", addr, err)
	}
	return l, nil
}

// ListenUnix opens a unix socket that only its owner can connect to (mode 0600);
// file permissions stand in for TLS there. A socket file that nobody listens on
// any more is replaced; one that answers, or a file that is no socket, is left
// alone and is an error. Closing the listener removes the file.
func ListenUnix(ctx context.Context, path string) (net.Listener, error) {
	return ListenUnixGroup(ctx, path, "")
}

// ListenUnixGroup is ListenUnix for a socket that the members of a group can
// connect to as well (mode 0660); "" is no group.
func ListenUnixGroup(ctx context.Context, path, group string) (net.Listener, error) {
	mode, gid := fs.FileMode(0o600), -1
	if group != "" {
		g, err := osuser.LookupGroup(group)
		if err != nil {
			return nil, fmt.Errorf("listen for gnmi on %s: %w", path, err)
		}
		if gid, err = strconv.Atoi(g.Gid); err != nil {
			return nil, fmt.Errorf("listen for gnmi on %s: group %s: %w", path, group, err)
		}
		mode = 0o660
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("listen for gnmi on %s: %w", path, err)
	}
	if err := checkStale(ctx, path); err != nil {
		return nil, fmt.Errorf("listen for gnmi on %s: %w", path, err)
	}
	// Bound under another name and renamed once its mode is right: there is no
	// moment at which others could connect, and no process-wide umask to change.
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listen for gnmi on %s: %w", path, err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", tmp)
	if err != nil {
		return nil, fmt.Errorf("listen for gnmi on %s: %w", path, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if gid >= 0 {
		err = os.Chown(tmp, -1, gid)
	}
	if err == nil {
		err = os.Chmod(tmp, mode)
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for gnmi on %s: %w", path, err), l.Close(), os.Remove(tmp))
	}
	return &unixListener{Listener: l, path: path}, nil
}

type unixListener struct {
	net.Listener
	path string
}

func (l *unixListener) Close() error {
	err := l.Listener.Close()
	if errors.Is(err, net.ErrClosed) {
		return err // closed before: the file may be another listener's by now
	}
	if rerr := os.Remove(l.path); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return err
}

func checkStale(ctx context.Context, path string) error {
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if fi.Mode().Type() != fs.ModeSocket {
		return errors.New("the file there is no socket: remove it or choose another path")
	}
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "unix", path)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(errors.New("another process listens there: stop it or choose another path"), c.Close())
}
