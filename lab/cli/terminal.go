package cli

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// rawTerminal hands every key to the other side unseen, until restored. What is
// not a terminal is left as it is.
func rawTerminal(f *os.File) (restore func(), err error) {
	fd := int(f.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return func() {}, nil
	}
	raw := *old
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &raw); err != nil {
		return nil, fmt.Errorf("set up terminal: %w", err)
	}
	// A terminal that is gone by then needs no restoring.
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, old) }, nil
}

// terminalSize returns rows and columns, 24 and 80 when there is no telling.
func terminalSize(f *os.File) (rows, cols uint16) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Row == 0 || size.Col == 0 {
		return 24, 80
	}
	return size.Row, size.Col
}

// watchSize sends the size each time the user changes it.
func watchSize(f *os.File) (<-chan [2]uint16, func()) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	out := make(chan [2]uint16)
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-changed:
				rows, cols := terminalSize(f)
				select {
				case out <- [2]uint16{rows, cols}:
				case <-stop:
					return
				}
			}
		}
	}()
	return out, func() {
		signal.Stop(changed)
		close(stop)
	}
}
