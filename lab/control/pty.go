package control

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// openPTY makes a pseudo-terminal: the master for us, the other end for the
// command.
func openPTY() (master, terminal *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	// os.File.Fd would make the master blocking, and a blocked read could then
	// not be ended by Close.
	raw, err := master.SyscallConn()
	if err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("open terminal: %w", err)
	}
	var number uint32
	var ioErr error
	err = raw.Control(func(fd uintptr) {
		if ioErr = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); ioErr == nil {
			number, ioErr = unix.IoctlGetUint32(int(fd), unix.TIOCGPTN)
		}
	})
	if err = errors.Join(err, ioErr); err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("unlock terminal: %w", err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("open terminal: %w", err)
	}
	return master, terminal, nil
}

func setSize(f *os.File, rows, cols uint16) {
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			// A terminal of the wrong size is still a terminal.
			_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
		})
	}
}

func (s *Server) execTTY(req *Request, cmd *exec.Cmd, in io.Reader, out *framer) (int, error) {
	master, terminal, err := openPTY()
	if err != nil {
		return 0, err
	}
	defer master.Close()
	setSize(master, req.Rows, req.Cols)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	err = cmd.Start()
	terminal.Close()
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", strings.Join(req.Argv, " "), err)
	}
	go func() {
		signal := func(sig syscall.Signal) { _ = syscall.Kill(-cmd.Process.Pid, sig) }
		_ = feed(in, master, signal, func(rows, cols uint16) { setSize(master, rows, cols) })
		// The user's side is gone: the session hangs up.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGHUP)
		master.Close()
	}()
	drained := make(chan struct{})
	go func() {
		// Ends with EIO when the last process has closed the terminal.
		_, _ = io.Copy(out.stream(kindStdout), master)
		close(drained)
	}()
	code, err := exitCode(cmd.Wait())
	<-drained
	return code, err
}
