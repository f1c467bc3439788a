package prior

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Scope names this boot and the network namespace of the calling thread. Kernel
// parameters and link settings do not outlive either, and neither an ifindex nor
// an inode number of a namespace means the same thing twice.
func Scope() (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open socket: %w", err)
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return "", fmt.Errorf("read cookie of network namespace (Linux 5.14 or later has it): %w", err)
	}
	return fmt.Sprintf("boot %s netns %d", strings.TrimSpace(string(boot)), cookie), nil
}
