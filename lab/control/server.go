package control

import (
	"bufio"
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"heddle/lab/netlab"
	"heddle/lab/topology"
)

// Server answers requests for one lab.
type Server struct {
	Lab   *netlab.Lab
	Token string // empty: the transport itself keeps others out

	mu     sync.Mutex     // guards listen
	listen map[string]int // router -> forwarded TCP port
}

// Serve answers until a request ends the lab or ctx does, then tears the
// topology down and returns what that met. It owns the listener.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	var wg sync.WaitGroup
	for {
		conn, err := listener.Accept()
		if err != nil {
			cancel()
			break
		}
		wg.Go(func() {
			defer conn.Close()
			if s.serveConn(ctx, conn) {
				cancel()
			}
		})
	}
	err := s.Lab.Down()
	wg.Wait()
	return err
}

// serveConn reports whether the server should end.
func (s *Server) serveConn(ctx context.Context, conn net.Conn) (end bool) {
	out := &framer{w: conn}
	in := bufio.NewReaderSize(conn, 64<<10)
	// A stranger on the port must not hold the connection open.
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return false
	}
	line, err := in.ReadBytes('\n')
	if err != nil {
		return false
	}
	var req Request
	if err := json.Unmarshal(line, &req); err != nil {
		s.finish(out, 0, fmt.Errorf("read request: %w", err))
		return false
	}
	if subtle.ConstantTimeCompare([]byte(req.Token), []byte(s.Token)) != 1 {
		s.finish(out, 0, errors.New("read request: wrong token: this port belongs to another lab"))
		return false
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return false
	}
	connCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	switch req.Op {
	case OpExec:
		code, err := s.exec(connCtx, &req, in, out)
		s.finish(out, code, err)
	case OpRead:
		s.finish(out, 0, packTar(req.Path, out.stream(kindStdout)))
	case OpWrite:
		s.finish(out, 0, unpackTar(&stdinReader{in: in}, req.Path))
	case OpUp:
		s.reply(out, s.up(connCtx, &req))
	case OpAgent:
		s.finish(out, 0, s.agent(connCtx, &req))
	case OpStatus:
		s.reply(out, nil)
	case OpDown:
		// The caller hears of the tear-down's errors, so it runs here.
		s.finish(out, 0, s.Lab.Down())
		return true
	default:
		s.finish(out, 0, fmt.Errorf("serve %q: this lab does not know the request: rebuild heddle-lab and bring the lab up again", req.Op))
	}
	return false
}

// finish sends the last frame. A peer that is gone needs no answer.
func (s *Server) finish(out *framer, code int, err error) {
	e := exit{Code: code}
	if err != nil {
		e.Err = err.Error()
	}
	_ = out.sendJSON(kindExit, e)
}

func (s *Server) reply(out *framer, err error) {
	if err == nil {
		err = out.sendJSON(kindReply, s.status())
	}
	s.finish(out, 0, err)
}

func (s *Server) up(ctx context.Context, req *Request) error {
	topo, err := topology.Parse(req.File, req.Topology)
	if err != nil {
		return err
	}
	if err := s.Lab.Up(ctx, topo); err != nil {
		return err
	}
	listen := map[string]int{}
	for node, port := range req.Listen {
		addr, err := s.Lab.Forward(fmt.Sprintf("%s:%d", req.ListenOn, port), node, netlab.AgentAddr)
		if err != nil {
			return err
		}
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			return fmt.Errorf("read forward address: %w", err)
		}
		listen[node] = tcp.Port
	}
	s.mu.Lock()
	s.listen = listen
	s.mu.Unlock()
	if !req.Agents {
		return nil
	}
	for _, n := range topo.Routers() {
		if err := s.Lab.StartAgent(ctx, n.Name); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) agent(ctx context.Context, req *Request) error {
	switch req.Action {
	case "start":
		return s.Lab.StartAgent(ctx, req.Node)
	case "stop":
		return s.Lab.StopAgent(req.Node)
	case "kill9":
		return s.Lab.KillAgent(req.Node)
	}
	return fmt.Errorf("agent %s: there is no such action: use start, stop or kill9", req.Action)
}

func (s *Server) status() Status {
	out := Status{Kernel: KernelRelease()}
	topo := s.Lab.Topology()
	if topo == nil {
		return out
	}
	s.mu.Lock()
	listen := s.listen
	s.mu.Unlock()
	out.Topology = topo.Name
	for _, n := range topo.Nodes {
		ns := NodeStatus{Name: n.Name, Kind: string(n.Kind), Namespace: s.Lab.NSName(n.Name)}
		if n.Kind == topology.Router {
			a := s.Lab.Agent(n.Name)
			ns.Listen, ns.AgentPID, ns.AgentEnd = listen[n.Name], a.PID, a.Ended
			ns.Socket, ns.Log = s.Lab.SocketPath(n.Name), s.Lab.LogPath(n.Name)
		}
		out.Nodes = append(out.Nodes, ns)
	}
	return out
}

// KernelRelease returns the running kernel's release, as `uname -r`.
func KernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return string(bytes.TrimRight(u.Release[:], "\x00"))
}

// exec runs one command. The returned error says why there is no exit code.
func (s *Server) exec(ctx context.Context, req *Request, in io.Reader, out *framer) (int, error) {
	cmd, err := s.Lab.Command(req.Node, req.Argv)
	if err != nil {
		return 0, err
	}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, req.Env...)
	cmd.Dir = req.Dir
	if req.TTY {
		return s.execTTY(req, cmd, in, out)
	}
	// A group of its own, so that all its children end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stdout, cmd.Stderr = out.stream(kindStdout), out.stream(kindStderr)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 0, fmt.Errorf("make stdin: %w", err)
	}
	// A child that outlives the command and keeps its stdout open must not keep
	// the caller waiting.
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", strings.Join(req.Argv, " "), err)
	}
	group := -cmd.Process.Pid
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(group, syscall.SIGKILL) })
	defer stop()
	go func() {
		// It ends with the caller, and then nobody will read the rest. Where the
		// command ended first, its group is gone and the signal goes nowhere.
		_ = feed(in, stdin, func(sig syscall.Signal) { _ = syscall.Kill(group, sig) }, nil)
		stdin.Close()
		_ = syscall.Kill(group, syscall.SIGKILL)
	}()
	return exitCode(cmd.Wait())
}

// feed handles the client's frames until its connection ends, and says how.
func feed(in io.Reader, stdin io.WriteCloser, signal func(syscall.Signal), resize func(rows, cols uint16)) error {
	for {
		k, payload, err := readFrame(in)
		if err != nil {
			return err
		}
		switch k {
		case kindStdin:
			// A command that closed its stdin goes on running.
			_, _ = stdin.Write(payload)
		case kindStdinClose:
			stdin.Close()
		case kindSignal:
			if len(payload) == 1 {
				signal(syscall.Signal(payload[0]))
			}
		case kindResize:
			if len(payload) == 4 && resize != nil {
				resize(uint16(payload[0])<<8|uint16(payload[1]), uint16(payload[2])<<8|uint16(payload[3]))
			}
		}
	}
}

// exitCode turns what Wait returned into a shell's exit code.
func exitCode(err error) (int, error) {
	var ended *exec.ExitError
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return 0, nil
	case errors.As(err, &ended):
		if ws, ok := ended.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return 128 + int(ws.Signal()), nil
		}
		return ended.ExitCode(), nil
	}
	return 0, fmt.Errorf("wait for command: %w", err)
}

// stdinReader is the content of the stdin frames; it ends at the close frame.
type stdinReader struct {
	in   io.Reader
	rest []byte
}

func (r *stdinReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		k, payload, err := readFrame(r.in)
		switch {
		case err != nil:
			return 0, fmt.Errorf("read stdin: %w", err)
		case k == kindStdinClose:
			return 0, io.EOF
		case k == kindStdin:
			r.rest = payload
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
