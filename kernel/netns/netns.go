// Package netns keeps hold of a network namespace and runs functions in it. It
// serves the drivers, each of which is bound to one.
package netns

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

const thread = "/proc/thread-self/ns/net"

// Namespace is a network namespace, which stays as long as it is not closed.
type Namespace struct {
	file *os.File
	stat unix.Stat_t
}

// Current is the network namespace of the calling thread.
func Current() (*Namespace, error) {
	f, err := os.Open(thread)
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	n := &Namespace{file: f}
	if err := unix.Fstat(int(f.Fd()), &n.stat); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("read network namespace: %w", err)
	}
	return n, nil
}

// Close lets the namespace go.
func (n *Namespace) Close() { _ = n.file.Close() }

// FD is a descriptor of the namespace, valid until Close.
func (n *Namespace) FD() int { return int(n.file.Fd()) }

// Run calls fn on a thread in the namespace. A thread that cannot go back is
// given up: it stays locked and ends with its goroutine.
func (n *Namespace) Run(fn func() error) error {
	var st unix.Stat_t
	runtime.LockOSThread()
	if err := unix.Stat(thread, &st); err != nil {
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
		if err := unix.Setns(n.FD(), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter network namespace: %w", err)
			return
		}
		done <- fn()
	}()
	return <-done
}
