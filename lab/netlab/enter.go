package netlab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// enterArg marks a re-execution of our own binary whose only task is to enter
// a namespace and become the command that follows.
const enterArg = "heddle-lab-enter"

// EnterIfAsked must be the first call in main (or TestMain) of a program that
// uses this package: when the program was started by Command it enters the
// node's namespaces, executes the node's command and never returns.
func EnterIfAsked() {
	if len(os.Args) < 4 || os.Args[0] != enterArg {
		return
	}
	err := enter(os.Args[1], os.Args[2], os.Args[3:])
	fmt.Fprintf(os.Stderr, "enter node: %v\n", err)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		os.Exit(127)
	}
	os.Exit(126)
}

// enter joins the network namespace and takes a mount namespace of its own in
// which /sys shows that network namespace, as `ip netns exec` does. Unlike it,
// a bpffs mounted at /sys/fs/bpf stays visible, so pinned programs survive from
// one command to the next.
func enter(nsName, hostname string, argv []string) error {
	runtime.LockOSThread()
	ns, err := netns.GetFromName(nsName)
	if err != nil {
		return fmt.Errorf("open namespace %s: %w", nsName, err)
	}
	if err := netns.Set(ns); err != nil {
		return fmt.Errorf("enter namespace %s: %w", nsName, err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWUTS); err != nil {
		return fmt.Errorf("unshare mounts: %w", err)
	}
	if err := unix.Sethostname([]byte(hostname)); err != nil {
		return fmt.Errorf("set hostname %s: %w", hostname, err)
	}
	if err := unix.Mount("", "/", "none", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	bpf, err := unix.Open("/sys/fs/bpf", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	hasBPF := err == nil && isBPF(bpf)
	if err := unix.Mount(nsName, "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	if hasBPF {
		if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", bpf), "/sys/fs/bpf", "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("keep /sys/fs/bpf: %w", err)
		}
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	return fmt.Errorf("execute %s: %w", argv[0], unix.Exec(path, argv, os.Environ()))
}

func isBPF(fd int) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(fd, &fs) == nil && uint32(fs.Type) == unix.BPF_FS_MAGIC
}

// NSName returns the name of a node's network namespace, as `ip netns` shows it.
func (l *Lab) NSName(node string) string { return l.cfg.Prefix + node }

// Command prepares a command inside a node; node "" is the lab's own root
// namespace. The hostname there is the node's name. The caller sets the
// standard streams and starts it.
func (l *Lab) Command(node string, argv []string) (*exec.Cmd, error) {
	if len(argv) == 0 {
		return nil, errors.New("run a command: none was given")
	}
	if node == "" {
		return exec.Command(argv[0], argv[1:]...), nil
	}
	if _, err := os.Stat(filepath.Join(nsDir, l.NSName(node))); err != nil {
		return nil, l.noSuchNode(node)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{enterArg, l.NSName(node), node}, argv...)
	cmd.Env = append(os.Environ(), "HEDDLE_NODE="+node)
	return cmd, nil
}

func (l *Lab) noSuchNode(node string) error {
	l.mu.Lock()
	topo := l.topo
	l.mu.Unlock()
	if topo == nil {
		return fmt.Errorf("find node %s: no topology is up", node)
	}
	return fmt.Errorf("find node %s: topology %s has %s", node, topo.Name, strings.Join(topo.NodeNames(), ", "))
}
