package kerneltest

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Namespace puts the calling test alone into a new network namespace, with lo
// down and nothing else. The test's goroutine keeps its thread, which ends with
// it, and so does the namespace once all that was opened in it is closed.
func Namespace(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	// Never unlocked: the runtime ends the thread together with the goroutine.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("make network namespace: %v", err)
	}
}

// OpenFiles counts the file descriptors of this process, for tests that look for
// leaks.
func OpenFiles(t testing.TB) int {
	t.Helper()
	es, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatalf("count file descriptors: %v", err)
	}
	return len(es) - 1 // the directory itself
}
