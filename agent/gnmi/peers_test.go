package gnmi_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"heddle/agent/access"
	"heddle/agent/gnmi"
)

// nobody and nogroup are those of Debian.
const nobody, nogroup = 65534, 65534

// dialAs connects to a unix socket as another account. On Linux credentials are a
// thread's: the one that connects ends with its goroutine.
func dialAs(sock string, uid, gid uintptr) (net.Conn, error) {
	type dialled struct {
		net.Conn
		error
	}
	got := make(chan dialled)
	go func() {
		runtime.LockOSThread() // and never unlocked
		for _, set := range []struct{ call, to uintptr }{{syscall.SYS_SETGROUPS, 0}, {syscall.SYS_SETRESGID, gid}, {syscall.SYS_SETRESUID, uid}} {
			var errno syscall.Errno
			if set.call == syscall.SYS_SETGROUPS {
				_, _, errno = syscall.RawSyscall(set.call, 0, 0, 0)
			} else {
				_, _, errno = syscall.RawSyscall(set.call, set.to, set.to, set.to)
			}
			if errno != 0 {
				got <- dialled{nil, errno}
				return
			}
		}
		c, err := net.Dial("unix", sock)
		got <- dialled{c, err}
	}()
	d := <-got
	return d.Conn, d.error
}

// Who connects to the unix socket is whom the kernel says: the members of its group
// by name, with their role, and nobody else.
func TestUnixSocketPeers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
	dir, err := os.MkdirTemp("", "heddle")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	roles, sock := filepath.Join(dir, "roles"), filepath.Join(dir, "gnmi.sock")
	must(t, os.WriteFile(roles, []byte("nobody operator\n"), 0o600))
	s := start(t, func(c *gnmi.Config) []net.Listener {
		c.Guard = access.New(access.Config{Roles: access.NewRoles(roles, slog.New(slog.DiscardHandler))})
		l, err := gnmi.ListenUnixGroup(t.Context(), sock, "nogroup")
		must(t, err)
		return []net.Listener{l}
	})
	dial := func(uid uintptr) gpb.GNMIClient {
		conn, err := grpc.NewClient("passthrough:///unix", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return dialAs(sock, uid, nogroup) }))
		must(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return gpb.NewGNMIClient(conn)
	}
	_, err = dial(nobody).Set(t.Context(), s.request(update(ifA, `{"config":{"name":"a"}}`)))
	must(t, err)
	h, err := s.store.History(1)
	must(t, err)
	if h[0].User != "nobody" {
		t.Errorf("the commit is %q's", h[0].User)
	}
	_, err = dial(4242).Set(t.Context(), s.request(del(ifA)))
	wantCode(t, err, codes.PermissionDenied)
	if s.config(ifA) == "" {
		t.Error("a Set that was refused was carried out")
	}
	if c, err := dialAs(sock, nobody, 1); !errors.Is(err, syscall.EACCES) {
		t.Errorf("somebody who is not in the group connects: %v %v", c, err)
	}
	if _, err := gnmi.ListenUnixGroup(t.Context(), filepath.Join(dir, "other.sock"), "no-such-group"); err == nil {
		t.Error("there is a group no-such-group")
	}
}
