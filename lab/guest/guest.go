// Package guest is what runs as the first process of a lab machine: it mounts,
// loads modules, brings up the one network card, asks the host for a token and
// then serves the lab. It serves nobody but the machine; it must not know how
// the machine was started or what is run in it.
package guest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"heddle/lab/control"
	"heddle/lab/image"
	"heddle/lab/netlab"
)

// ControlPort is the TCP port the guest serves its control line on.
const ControlPort = 7000

// Lines of the dialogue on the second serial port, see lab/vm.
const (
	lineHello = "hello"
	LineReady = "ready"
	LineToken = "token "
)

const serverArg = "heddle-lab-guest-server"

// Asked reports whether this process is a lab machine's first process, or the
// server that it starts.
func Asked() bool {
	return os.Getpid() == 1 && os.Args[0] == "/init" || os.Args[0] == serverArg
}

// Run is the whole program when Asked says so. It returns an exit code only in
// the server; the first process powers the machine off.
func Run() int {
	if os.Args[0] == serverArg {
		if err := serve(); err != nil {
			fmt.Fprintf(os.Stderr, "lab server: %v\n", err)
			return 1
		}
		return 0
	}
	if err := boot(); err != nil {
		fmt.Fprintf(os.Stderr, "heddle-lab: guest: %v\n", err)
	}
	unix.Sync()
	err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) // with -no-reboot QEMU ends
	fmt.Fprintf(os.Stderr, "heddle-lab: guest: reboot: %v\n", err)
	return 1
}

// boot sets the machine up, starts the server and reaps orphans until it ends.
// The server is a process of its own because the first process collects every
// child, which would take the exit codes away from os/exec.
func boot() error {
	if err := mounts(); err != nil {
		return err
	}
	// Go programs in tests and agents look these up.
	for k, v := range map[string]string{"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/root", "TERM": "linux", "LAB": "vm"} {
		if err := os.Setenv(k, v); err != nil {
			return fmt.Errorf("set environment: %w", err)
		}
	}
	if err := unix.Sethostname([]byte("heddle-lab")); err != nil {
		return fmt.Errorf("set hostname: %w", err)
	}
	if err := loadModules(); err != nil {
		return err
	}
	if err := network(); err != nil {
		return err
	}
	server, err := os.StartProcess("/init", []string{serverArg},
		&os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}, Env: os.Environ(), Dir: "/root", Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return fmt.Errorf("start lab server: %w", err)
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for lab server: %w", err)
		}
		if pid != server.Pid {
			continue
		}
		if status.Signaled() || status.ExitStatus() != 0 {
			return fmt.Errorf("lab server ended: signal %d, exit status %d", status.Signal(), status.ExitStatus())
		}
		return nil
	}
}

func mounts() error {
	for _, m := range []struct {
		kind, path, data string
		optional         bool
	}{
		{"proc", "/proc", "", false},
		{"sysfs", "/sys", "", false},
		{"devtmpfs", "/dev", "", false},
		{"devpts", "/dev/pts", "ptmxmode=666", false},
		{"tmpfs", "/dev/shm", "", false},
		{"tmpfs", "/run", "mode=755", false},
		{"bpf", "/sys/fs/bpf", "", true},
		{"cgroup2", "/sys/fs/cgroup", "", true},
		{"tracefs", "/sys/kernel/tracing", "", true},
	} {
		if err := os.MkdirAll(m.path, 0o755); err != nil && !m.optional {
			return fmt.Errorf("create %s: %w", m.path, err)
		}
		if err := unix.Mount(m.kind, m.path, m.kind, 0, m.data); err != nil && !m.optional {
			return fmt.Errorf("mount %s: %w", m.path, err)
		}
	}
	// Ends of namespaces must be seen in every mount namespace, or a deleted
	// node would live on in the mounts of a process that was started before.
	return unix.Mount("", "/", "none", unix.MS_SHARED|unix.MS_REC, "")
}

func loadModules() error {
	text, err := os.ReadFile(image.ModuleList)
	if err != nil {
		return fmt.Errorf("read module list: %w", err)
	}
	for _, path := range strings.Fields(string(text)) {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("load module: %w", err)
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			// One that this CPU or kernel refuses is for the scenarios to probe.
			fmt.Fprintf(os.Stderr, "heddle-lab: guest: load %s: %v\n", path, err)
		}
	}
	return nil
}

// network gives the card the address that QEMU's user networking expects.
func network() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	eth, err := netlink.LinkByName("eth0")
	if err != nil {
		return fmt.Errorf("find the network card: %w", err)
	}
	addr, err := netlink.ParseAddr("10.0.2.15/24")
	if err != nil {
		return fmt.Errorf("read address: %w", err)
	}
	if err := netlink.AddrAdd(eth, addr); err != nil {
		return fmt.Errorf("add address to eth0: %w", err)
	}
	if err := netlink.LinkSetUp(eth); err != nil {
		return fmt.Errorf("set eth0 up: %w", err)
	}
	return nil
}

func serve() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	serial, err := openSerial("/dev/ttyS1")
	if err != nil {
		return err
	}
	token, err := askToken(serial)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", ControlPort))
	if err != nil {
		return fmt.Errorf("listen for the host: %w", err)
	}
	lab := netlab.New(netlab.VMConfig(slog.New(slog.NewTextHandler(os.Stderr, nil))))
	server := &control.Server{Lab: lab, Token: token}
	if _, err := fmt.Fprintln(serial, LineReady, control.KernelRelease()); err != nil {
		return fmt.Errorf("tell the host: %w", err)
	}
	return server.Serve(ctx, listener)
}

// openSerial opens a serial port without echo or line editing, so that what we
// write does not come back to us.
func openSerial(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("open serial port: %w", err)
	}
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err == nil {
		t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
		t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB|unix.CBAUD) | unix.CS8 | unix.B115200 | unix.CREAD | unix.CLOCAL
		t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
		err = unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("set up serial port: %w", err)
	}
	return f, nil
}

// askToken says hello until the host answers: what is sent before the host has
// connected to the port is lost.
func askToken(serial *os.File) (string, error) {
	answer := make(chan string, 1)
	failed := make(chan error, 1)
	go func() {
		lines := bufio.NewReader(serial)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				failed <- fmt.Errorf("read from the host: %w", err)
				return
			}
			if token, ok := strings.CutPrefix(strings.TrimSpace(line), LineToken); ok {
				answer <- token
				return
			}
		}
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := fmt.Fprintln(serial, lineHello); err != nil {
			return "", fmt.Errorf("greet the host: %w", err)
		}
		select {
		case token := <-answer:
			return token, nil
		case err := <-failed:
			return "", err
		case <-tick.C:
		}
	}
}
