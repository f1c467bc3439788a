package rtnl

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

const threadNS = "/proc/thread-self/ns/net"

// namespace is the network namespace that a driver is bound to.
type namespace struct {
	file *os.File
	stat unix.Stat_t
}

// currentNamespace is the network namespace of the calling thread.
func currentNamespace() (*namespace, error) {
	f, err := os.Open(threadNS)
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	ns := &namespace{file: f}
	if err := unix.Fstat(int(f.Fd()), &ns.stat); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("read network namespace: %w", err)
	}
	return ns, nil
}

func (n *namespace) close() { _ = n.file.Close() }

// run calls fn on a thread in the namespace. A thread that cannot go back is
// given up: it stays locked and ends with its goroutine.
func (n *namespace) run(fn func() error) error {
	var st unix.Stat_t
	runtime.LockOSThread()
	if err := unix.Stat(threadNS, &st); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("read network namespace: %w", err)
	}
	if st.Dev == n.stat.Dev && st.Ino == n.stat.Ino {
		defer runtime.UnlockOSThread()
		return fn()
	}
	done := make(chan error, 1)
	runtime.UnlockOSThread()
	go func() {
		// Never unlocked: the thread ends with this goroutine, so there is no
		// way back to get wrong.
		runtime.LockOSThread()
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter network namespace: %w", err)
			return
		}
		done <- fn()
	}()
	return <-done
}
