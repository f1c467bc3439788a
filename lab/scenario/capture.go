package scenario

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// capture is a tcpdump that writes to a file in the script's directory.
type capture struct {
	cmd  *exec.Cmd
	file string
	done chan error
}

// cmdCapture: capture start NAME NODE INTERFACE [FILTER...] returns when packets
// are being caught; capture stop NAME prints them, one packet a line or more.
func (s *session) cmdCapture(c call) error {
	const usage = "capture start NAME NODE INTERFACE [FILTER...] | capture stop NAME"
	switch {
	case len(c.args) >= 4 && c.args[0] == "start":
		return s.captureStart(c, c.args[1], c.args[2], c.args[3], c.args[4:])
	case len(c.args) == 2 && c.args[0] == "stop":
		return s.captureStop(c, c.args[1])
	}
	return &usageError{usage}
}

func (s *session) captureStart(c call, name, node, iface string, filter []string) error {
	if s.captures[name] != nil {
		return &usageError{fmt.Sprintf("capture %s runs already", name)}
	}
	file := filepath.Join(c.dir, name+".pcap")
	// Without -Z tcpdump becomes a user who cannot write to our directory.
	// Without immediate mode the kernel keeps packets back for up to a second,
	// and those it keeps when tcpdump is stopped are lost.
	argv := append([]string{"tcpdump", "-n", "-U", "--immediate-mode", "-Z", "root", "-i", iface, "-w", file}, filter...)
	cmd, err := s.lab.Command(node, argv)
	if err != nil {
		return err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return fmt.Errorf("capture on %s: %w", node, err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("capture on %s: %w", node, err)
	}
	cap := &capture{cmd: cmd, file: file, done: make(chan error, 1)}
	listening := make(chan struct{})
	var said bytes.Buffer
	go func() {
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			// The socket is open when this is printed.
			if strings.Contains(lines.Text(), "listening on") {
				close(listening)
				break
			}
			said.WriteString(lines.Text() + "\n")
		}
		for lines.Scan() {
		}
		cap.done <- cmd.Wait()
	}()
	select {
	case <-listening:
		s.captures[name] = cap
		return nil
	case err := <-cap.done:
		return fmt.Errorf("capture on %s %s: %w: %s", node, iface, err, said.String())
	case <-time.After(20 * time.Second):
		return errors.Join(fmt.Errorf("capture on %s %s: tcpdump did not start within 20 s", node, iface), cmd.Process.Kill())
	}
}

func (s *session) captureStop(c call, name string) error {
	cap := s.captures[name]
	if cap == nil {
		return &usageError{fmt.Sprintf("capture %s was not started", name)}
	}
	delete(s.captures, name)
	if err := cap.stop(); err != nil {
		return fmt.Errorf("capture %s: %w", name, err)
	}
	return s.runOn(c, "", []string{"tcpdump", "-n", "-v", "-Z", "root", "-r", cap.file})
}

// settle waits until tcpdump has written what it was given: until the file has
// not grown for a while, or traffic does not end.
func (cap *capture) settle() error {
	const quiet, most = 3, 20 // ticks
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	size := int64(-1)
	for still, n := 0, 0; still < quiet && n < most; n++ {
		<-tick.C
		info, err := os.Stat(cap.file)
		if err != nil {
			return err
		}
		if still++; info.Size() != size {
			still, size = 0, info.Size()
		}
	}
	return nil
}

// stop ends tcpdump in good order, so that the file is complete.
func (cap *capture) stop() error {
	if err := cap.settle(); err != nil {
		return err
	}
	if err := cap.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-cap.done:
		return err
	case <-time.After(20 * time.Second):
		return errors.Join(errors.New("tcpdump did not end within 20 s"), cap.cmd.Process.Kill())
	}
}
