package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// endsWithin bounds how long a command in the background may take to end once it
// is asked to.
const endsWithin = 20 * time.Second

// job is a command that runs beside the script.
type job struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how; read after done

	mu   sync.Mutex // guards said
	said bytes.Buffer
}

// Write keeps what the command prints, on either stream.
func (j *job) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.said.Write(p)
}

func (j *job) text() []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	return bytes.Clone(j.said.Bytes())
}

// cmdBackground: background NAME on|gnmi ARGUMENTS... returns when the process
// has been started, which is before it has done anything.
func (s *session) cmdBackground(c call) error {
	const usage = "background NAME on NODE COMMAND ARGUMENTS... | background NAME gnmi NODE ARGUMENTS..."
	if len(c.args) < 4 {
		return &usageError{usage}
	}
	name, rest := c.args[0], c.args[2:]
	if s.jobs[name] != nil {
		return &usageError{fmt.Sprintf("%s runs in the background already", name)}
	}
	node, argv := rest[0], rest[1:]
	switch c.args[1] {
	case "on":
	case "gnmi":
		node, argv = "", s.client(rest[0], rest[1:])
	default:
		return &usageError{usage}
	}
	cmd, err := s.lab.Command(node, argv)
	if err != nil {
		return err
	}
	j := &job{cmd: cmd, done: make(chan struct{})}
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, j, j
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		j.err = cmd.Wait()
		close(j.done)
	}()
	s.jobs[name] = j
	return nil
}

// cmdSaid: said NAME prints what the command in the background has printed so
// far.
func (s *session) cmdSaid(c call) error {
	if len(c.args) != 1 || s.jobs[c.args[0]] == nil {
		return &usageError{"said NAME, of a command in the background"}
	}
	_, err := c.out.Write(s.jobs[c.args[0]].text())
	return err
}

// cmdEnd: end NAME interrupts the command in the background, waits for its end
// and prints all that it has printed. One that ended before by itself, and not
// well, is an error.
func (s *session) cmdEnd(c call) error {
	if len(c.args) != 1 || s.jobs[c.args[0]] == nil {
		return &usageError{"end NAME, of a command in the background"}
	}
	name := c.args[0]
	j := s.jobs[name]
	delete(s.jobs, name)
	err := j.stop()
	if _, werr := c.out.Write(j.text()); werr != nil {
		return werr
	}
	if err != nil {
		return fmt.Errorf("end %s: %w", name, err)
	}
	return nil
}

// stop interrupts the command as a person at a terminal would.
func (j *job) stop() error {
	if err := j.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-j.done:
	case <-time.After(endsWithin):
		err := j.cmd.Process.Kill()
		<-j.done
		return errors.Join(fmt.Errorf("it did not end within %s and was killed", endsWithin), err)
	}
	var ended *exec.ExitError
	if errors.As(j.err, &ended) {
		if status, ok := ended.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGINT {
			return nil
		}
	}
	return j.err
}
