package netlab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// nsDir is where iproute2 looks for named namespaces, so `ip netns` and
// `ip -n` work on the lab's nodes.
const nsDir = "/run/netns"

// createNS makes a named network namespace as `ip netns add` does.
func createNS(name string) (err error) {
	runtime.LockOSThread()
	before, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open own namespace: %w", err)
	}
	defer before.Close()
	// A thread that cannot get back is never handed to another goroutine.
	defer func() {
		if back := netns.Set(before); back != nil {
			err = errors.Join(err, fmt.Errorf("return to own namespace: %w", back))
			return
		}
		runtime.UnlockOSThread()
	}()
	created, err := netns.NewNamed(name)
	if err != nil {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	return created.Close()
}

// inNS runs f on a thread that is inside the namespace.
func inNS(ns netns.NsHandle, f func() error) (err error) {
	runtime.LockOSThread()
	before, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open own namespace: %w", err)
	}
	defer before.Close()
	if err := netns.Set(ns); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter namespace: %w", err)
	}
	defer func() {
		if back := netns.Set(before); back != nil {
			err = errors.Join(err, fmt.Errorf("return to own namespace: %w", back))
			return
		}
		runtime.UnlockOSThread()
	}()
	return f()
}

// deleteNS removes a named namespace; one that is not there is no error.
func deleteNS(name string) error {
	path := filepath.Join(nsDir, name)
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount namespace %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove namespace %s: %w", name, err)
	}
	return nil
}

// namespacesWithPrefix lists the named namespaces that begin with prefix.
func namespacesWithPrefix(prefix string) ([]string, error) {
	entries, err := os.ReadDir(nsDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// pidsIn lists the processes whose network namespace is the named one, our own
// process excepted.
func pidsIn(name string) ([]int, error) {
	var want syscall.Stat_t
	if err := syscall.Stat(filepath.Join(nsDir, name), &want); err != nil {
		return nil, fmt.Errorf("look at namespace %s: %w", name, err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		var got syscall.Stat_t
		// A process that has just ended has no namespace any more.
		if syscall.Stat("/proc/"+e.Name()+"/ns/net", &got) == nil && got.Ino == want.Ino && got.Dev == want.Dev {
			out = append(out, pid)
		}
	}
	return out, nil
}

// killIn ends every process inside the namespace and waits until none is left.
func killIn(name string, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		pids, err := pidsIn(name)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill process %d in namespace %s: %w", pid, name, err)
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("end processes in namespace %s: %v still run after %s", name, pids, limit)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
