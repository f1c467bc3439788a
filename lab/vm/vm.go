// Package vm runs a lab machine under QEMU's software emulation and watches it:
// it starts one, hands it the token over a serial port, knows when it is ready,
// and says at once, with the kernel's last words, when it dies. It serves
// lab/cli; it must not know what the machine is used for.
package vm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"heddle/lab/debian"
	"heddle/lab/guest"
)

// Options describe a machine.
type Options struct {
	Kernel, Image string // files
	Dir           string // for sockets and logs; must exist
	MemoryMiB     int
	CPUs          int
	Token         string
	Forwards      []Forward // beside the control port's
	// Detach lets the machine outlive this process; otherwise it is killed with it.
	Detach bool
}

// Forward carries a TCP port of 127.0.0.1 of the host to the same of the guest.
type Forward struct{ Host, Guest int }

// Machine is a running machine.
type Machine struct {
	PID         int
	ControlPort int // on the host's 127.0.0.1
	Release     string

	dir  string
	cmd  *exec.Cmd
	done chan struct{} // closed when QEMU has ended
}

// Needs lists what this package runs.
func Needs() []debian.Need {
	return []debian.Need{{Program: "qemu-system-x86_64", Package: "qemu-system-x86"}}
}

// ConsoleFile is where a machine's kernel and first process write.
const ConsoleFile = "console.log"

const (
	serialSocket = "serial.sock"
	qemuLog      = "qemu.log"
)

// cmdline: oops=panic with panic=-1 makes QEMU end at a crash instead of the
// guest hanging; fb_tunnels=none keeps gre0, sit0 and the like out of the nodes,
// where nobody made them.
const cmdline = "console=ttyS0 panic=-1 oops=panic quiet tsc=reliable mitigations=off random.trust_cpu=on fb_tunnels=none rdinit=/init"

// arguments returns QEMU's arguments. Without -cx16 Debian's 6.12 crashes at
// random under QEMU 7.2; five-level page tables only cost time.
func (o Options) arguments(controlPort int) []string {
	forwards := []string{fmt.Sprintf("hostfwd=tcp:127.0.0.1:%d-:%d", controlPort, guest.ControlPort)}
	for _, f := range o.Forwards {
		forwards = append(forwards, fmt.Sprintf("hostfwd=tcp:127.0.0.1:%d-:%d", f.Host, f.Guest))
	}
	return []string{
		"-accel", "tcg,thread=multi", "-cpu", "max,-la57,-cx16",
		"-smp", strconv.Itoa(o.CPUs), "-m", strconv.Itoa(o.MemoryMiB),
		"-nodefaults", "-display", "none", "-no-reboot",
		"-kernel", o.Kernel, "-initrd", o.Image, "-append", cmdline,
		"-serial", "file:" + ConsoleFile,
		"-chardev", "socket,id=lab,path=" + serialSocket + ",server=on,wait=off", "-serial", "chardev:lab",
		"-netdev", "user,id=net0,restrict=on," + strings.Join(forwards, ","), "-device", "virtio-net-pci,netdev=net0,romfile=",
		"-device", "virtio-rng-pci",
	}
}

// Start starts a machine and returns when its control line answers. Its error
// names the reason a machine did not come up, with the end of its console.
func Start(ctx context.Context, o Options) (*Machine, error) {
	program, err := debian.FindProgram("qemu-system-x86_64")
	if err != nil {
		return nil, fmt.Errorf("%w: install qemu-system-x86", err)
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(o.Dir, qemuLog))
	if err != nil {
		return nil, fmt.Errorf("create machine log: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(program, o.arguments(port)...)
	// Sockets are named relative to this: a unix socket's path is at most 107
	// octets, and a cache may be anywhere.
	cmd.Dir = o.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := startProcess(cmd, !o.Detach); err != nil {
		return nil, fmt.Errorf("start machine: %w", err)
	}
	m := &Machine{PID: cmd.Process.Pid, ControlPort: port, dir: o.Dir, cmd: cmd, done: make(chan struct{})}
	go func() {
		// How QEMU ended says nothing: it is the same for a crash and an end.
		_ = cmd.Wait()
		close(m.done)
	}()
	if m.Release, err = m.handshake(ctx, o.Token); err != nil {
		err = m.explain(err)
		m.Kill()
		return nil, fmt.Errorf("boot machine: %w", err)
	}
	return m, nil
}

// startProcess starts a process that, if tied, the kernel kills when we end.
// That signal follows the thread that started the process, so the thread must
// live as long as we do.
func startProcess(cmd *exec.Cmd, tied bool) error {
	if !tied {
		return cmd.Start()
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- cmd.Start()
		select {}
	}()
	return <-started
}

// handshake answers the guest's hello with the token and waits for its ready.
func (m *Machine) handshake(ctx context.Context, token string) (release string, err error) {
	conn, err := m.dialSerial(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	lines := bufio.NewScanner(conn)
	told := false
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if release, ok := strings.CutPrefix(line, guest.LineReady+" "); ok {
			return release, nil
		}
		if !told {
			told = true
			if _, err := fmt.Fprintln(conn, guest.LineToken+token); err != nil {
				return "", fmt.Errorf("hand over token: %w", err)
			}
		}
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	return "", errors.New("the machine ended before it was ready")
}

func (m *Machine) dialSerial(ctx context.Context) (net.Conn, error) {
	// Through a descriptor of the directory, again because of the path's length.
	dir, err := os.Open(m.dir)
	if err != nil {
		return nil, fmt.Errorf("open machine directory: %w", err)
	}
	defer dir.Close()
	path := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), serialSocket)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("unix", path)
		if err == nil {
			return conn, nil
		}
		select {
		case <-m.done:
			return nil, errors.New("qemu ended at once")
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// Done is closed when the machine has ended.
func (m *Machine) Done() <-chan struct{} { return m.done }

// Kill ends the machine the hard way and waits until it is gone.
func (m *Machine) Kill() {
	_ = m.cmd.Process.Kill()
	<-m.done
}

// explain adds what the machine's console and QEMU said to an error.
func (m *Machine) explain(err error) error {
	return errors.Join(err, LastWords(m.dir))
}

// LastWords returns what is left to read of a machine that died: QEMU's own
// messages and the end of the console, from the first sign of a crash on. It is
// nil when both are empty.
func LastWords(dir string) error {
	var parts []string
	if text, err := os.ReadFile(filepath.Join(dir, qemuLog)); err == nil && len(text) > 0 {
		parts = append(parts, "qemu said:\n"+indent(string(text)))
	}
	if text, err := os.ReadFile(filepath.Join(dir, ConsoleFile)); err == nil && len(text) > 0 {
		parts = append(parts, "the machine's console ("+filepath.Join(dir, ConsoleFile)+") ends:\n"+indent(crashPart(string(text))))
	}
	if len(parts) == 0 {
		return nil
	}
	return errors.New(strings.Join(parts, "\n"))
}

func indent(text string) string {
	return "    | " + strings.ReplaceAll(strings.TrimRight(text, "\r\n"), "\n", "\n    | ")
}

// crashPart cuts a console down to at most 60 lines: those from the first sign
// of a crash on, or else the last ones.
func crashPart(console string) string {
	const most = 60
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(console, "\r", ""), "\n"), "\n")
	for i, line := range lines {
		for _, sign := range []string{"Kernel panic", "Oops:", "BUG:", "general protection", "Unable to handle", "Call Trace", "WARNING: CPU"} {
			if strings.Contains(line, sign) {
				return strings.Join(lines[i:min(i+most, len(lines))], "\n")
			}
		}
	}
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

// FreePort returns a TCP port of 127.0.0.1 that is free at this moment.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Died describes the end of a machine that was not asked to end.
func (m *Machine) Died() error {
	return m.explain(errors.New("the machine died"))
}

// EndsWithin reports whether the machine has ended or does so in that time.
func (m *Machine) EndsWithin(d time.Duration) bool {
	select {
	case <-m.done:
		return true
	case <-time.After(d):
		return false
	}
}
