package netlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/bcrypt"

	"heddle/lab/topology"
)

// AgentAddr is where every agent serves gNMI over TLS inside its namespace.
const AgentAddr = "127.0.0.1:9339"

// User and Password are what every agent of a lab takes over TLS. A lab is to play
// with; its ports are on the loopback address of its computer.
const User, Password = "lab", "lab"

type agent struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // why it ended; read after done
}

func (a *agent) running() bool {
	select {
	case <-a.done:
		return false
	default:
		return true
	}
}

// AgentStatus describes a node's agent.
type AgentStatus struct {
	PID   int    // 0 when it does not run
	Ended string // how the last process ended; empty while it runs or before it was started
}

// SocketPath is the agent's unix socket.
func (l *Lab) SocketPath(node string) string { return filepath.Join(l.cfg.RunDir, node, "gnmi.sock") }

// StatePath is the agent's state directory.
func (l *Lab) StatePath(node string) string { return filepath.Join(l.cfg.StateDir, node) }

// LogPath is where the agent's standard output and error go, over all its starts.
func (l *Lab) LogPath(node string) string { return filepath.Join(l.cfg.LogDir, node+".log") }

func (l *Lab) agentOf(node string) *agent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.agents[node]
}

// StartAgent starts a router's agent and waits until its unix socket answers.
// The error of an agent that ends instead carries the end of its log.
func (l *Lab) StartAgent(ctx context.Context, node string) error {
	topo := l.Topology()
	if topo == nil {
		return l.noSuchNode(node)
	}
	n, ok := topo.Node(node)
	if !ok {
		return l.noSuchNode(node)
	}
	if n.Kind != topology.Router {
		return fmt.Errorf("start agent of %s: it is a host, and agents run on routers only", node)
	}
	if a := l.agentOf(node); a != nil && a.running() {
		return fmt.Errorf("start agent of %s: it runs already, as process %d", node, a.cmd.Process.Pid)
	}
	a, err := l.launch(node)
	if err != nil {
		return fmt.Errorf("start agent of %s: %w", node, err)
	}
	l.mu.Lock()
	l.agents[node] = a
	l.mu.Unlock()
	if err := l.awaitAgent(ctx, node, a); err != nil {
		return fmt.Errorf("start agent of %s: %w%s", node, err, l.logTail(node))
	}
	return nil
}

func (l *Lab) launch(node string) (*agent, error) {
	program, err := exec.LookPath(l.cfg.AgentProgram)
	if err != nil {
		return nil, fmt.Errorf("find the agent's program: %w", err)
	}
	if program, err = filepath.Abs(program); err != nil {
		return nil, fmt.Errorf("find the agent's program: %w", err)
	}
	for _, dir := range []string{filepath.Dir(l.SocketPath(node)), l.StatePath(node), l.cfg.LogDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("create directory: %w", err)
		}
	}
	if err := l.givePassword(node); err != nil {
		return nil, err
	}
	// The socket of an agent that was killed would answer nothing but exist.
	if err := os.Remove(l.SocketPath(node)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove old socket: %w", err)
	}
	log, err := os.OpenFile(l.LogPath(node), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	cmd, err := l.Command(node, []string{program, "--listen", AgentAddr,
		"--unix", l.SocketPath(node), "--state-dir", l.StatePath(node)})
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own: a ^C at the lab's terminal is not for the agents.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	a := &agent{cmd: cmd, done: make(chan struct{})}
	go func() {
		a.err = cmd.Wait()
		close(a.done)
	}()
	return a, nil
}

// givePassword writes an agent's file of passwords, unless it has one.
func (l *Lab) givePassword(node string) error {
	file := filepath.Join(l.StatePath(node), "access", "passwords")
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	// The least cost: an emulated processor takes a second for the usual one.
	hash, err := bcrypt.GenerateFromPassword([]byte(Password), bcrypt.MinCost)
	if err != nil {
		return fmt.Errorf("hash the password of the lab: %w", err)
	}
	if err := os.WriteFile(file, []byte(User+":"+string(hash)+"\n"), 0o600); err != nil {
		return fmt.Errorf("write passwords: %w", err)
	}
	return nil
}

func (l *Lab) awaitAgent(ctx context.Context, node string, a *agent) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.AgentReadyIn)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-a.done:
			return fmt.Errorf("it ended at once: %s", endText(a.err))
		case <-ctx.Done():
			return fmt.Errorf("no answer on %s within %s", l.SocketPath(node), l.cfg.AgentReadyIn)
		case <-tick.C:
			if conn, err := net.Dial("unix", l.SocketPath(node)); err == nil {
				return conn.Close()
			}
		}
	}
}

func endText(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// StopAgent ends an agent by SIGTERM and waits; one that has not ended within
// the ready time is killed, which is an error.
func (l *Lab) StopAgent(node string) error {
	a, err := l.runningAgent("stop", node)
	if err != nil {
		return err
	}
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop agent of %s: %w", node, err)
	}
	select {
	case <-a.done:
		return nil
	case <-time.After(l.cfg.AgentReadyIn):
		return errors.Join(fmt.Errorf("stop agent of %s: it ignored SIGTERM for %s and was killed%s", node, l.cfg.AgentReadyIn, l.logTail(node)),
			l.KillAgent(node))
	}
}

// KillAgent ends an agent by SIGKILL and waits until it is gone. An agent that
// had ended already is no error.
func (l *Lab) KillAgent(node string) error {
	a := l.agentOf(node)
	if a == nil {
		return fmt.Errorf("kill agent of %s: it was never started", node)
	}
	if err := a.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill agent of %s: %w", node, err)
	}
	<-a.done
	return nil
}

func (l *Lab) runningAgent(verb, node string) (*agent, error) {
	a := l.agentOf(node)
	if a == nil {
		return nil, fmt.Errorf("%s agent of %s: it was never started", verb, node)
	}
	if !a.running() {
		return nil, fmt.Errorf("%s agent of %s: it has ended already: %s%s", verb, node, endText(a.err), l.logTail(node))
	}
	return a, nil
}

// Agent returns what is known of a node's agent.
func (l *Lab) Agent(node string) AgentStatus {
	a := l.agentOf(node)
	switch {
	case a == nil:
		return AgentStatus{}
	case a.running():
		return AgentStatus{PID: a.cmd.Process.Pid}
	default:
		return AgentStatus{Ended: endText(a.err)}
	}
}

// logTail returns the end of an agent's log as an indented block for an error
// text, or says that there is none.
func (l *Lab) logTail(node string) string {
	text, err := Tail(l.LogPath(node), 40)
	if err != nil || text == "" {
		return "\n    (its log is empty)"
	}
	return "\n    its log ends:\n    | " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    | ")
}

// Tail returns the last lines of a text file, reading at most its last 64 KiB.
func Tail(path string, lines int) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	const most = 64 << 10
	if info, err := f.Stat(); err == nil && info.Size() > most {
		if _, err := f.Seek(-most, io.SeekEnd); err != nil {
			return "", err
		}
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return "", err
	}
	all := strings.SplitAfter(string(text), "\n")
	if len(all) > lines+1 {
		all = all[len(all)-lines-1:]
	}
	return strings.Join(all, ""), nil
}
