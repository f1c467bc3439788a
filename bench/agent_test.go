package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"heddle/agent"
)

// tappedEnv has this binary, started again, be an agent that can be asked for
// profiles: its value is the state directory.
const tappedEnv = "HEDDLE_BENCH_AGENT"

// startProfileEnv has a tapped agent profile itself from its first moment, into
// the file that it names, until it is told to stop.
const startProfileEnv = "HEDDLE_BENCH_START_PROFILE"

// heddled is the product's binary, built from this tree; HEDDLED names another.
var heddled = sync.OnceValues(func() (string, error) {
	if file := os.Getenv("HEDDLED"); file != "" {
		return file, nil
	}
	file := filepath.Join(os.TempDir(), fmt.Sprintf("heddled-bench-%d", os.Getpid()))
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file, "heddle/cmd/heddled")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build heddled: %w\n%s", err, out)
	}
	return file, nil
})

func TestMain(m *testing.M) {
	if dir := os.Getenv(tappedEnv); dir != "" {
		if err := runTapped(dir); err != nil {
			fmt.Fprintln(os.Stderr, "agent:", err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	os.Remove(filepath.Join(os.TempDir(), fmt.Sprintf("heddled-bench-%d", os.Getpid())))
	os.Exit(code)
}

// runTapped runs an agent that takes commands on its standard input, one a line,
// and answers each with a line: "profile FILE", "stop", "heap FILE", "goroutines".
func runTapped(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var profile *os.File
	if file := os.Getenv(startProfileEnv); file != "" {
		var err error
		if profile, err = profileTo(file); err != nil {
			return err
		}
	}
	go tap(os.Stdin, os.Stdout, profile)
	return agent.Run(ctx, agent.Config{StateDir: dir, Unix: filepath.Join(dir, "gnmi.sock"), Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
}

// profileTo begins to profile into a file.
func profileTo(file string) (*os.File, error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	return f, pprof.StartCPUProfile(f)
}

func tap(in io.Reader, out io.Writer, profile *os.File) {
	for s := bufio.NewScanner(in); s.Scan(); {
		command, file, _ := strings.Cut(s.Text(), " ")
		answer, err := "", error(nil)
		switch command {
		case "profile":
			profile, err = profileTo(file)
		case "stop":
			pprof.StopCPUProfile()
			err = profile.Close()
		case "heap":
			answer, err = heap(file)
		case "goroutines":
			answer = strconv.Itoa(runtime.NumGoroutine())
		}
		if err != nil {
			answer = "error: " + err.Error()
		}
		fmt.Fprintln(out, answer)
	}
}

// heap is the octets in use once the garbage is gone. A profile of them goes to
// the file if there is one.
func heap(file string) (string, error) {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers let go of
	runtime.ReadMemStats(&m)
	if file != "" {
		f, err := os.Create(file)
		if err != nil {
			return "", err
		}
		if err := errors.Join(pprof.WriteHeapProfile(f), f.Close()); err != nil {
			return "", err
		}
	}
	return strconv.FormatUint(m.HeapAlloc, 10), nil
}

// process is an agent that runs, and a client to it.
type process struct {
	t        testing.TB
	dir      string // its state directory
	cmd      *exec.Cmd
	conn     *grpc.ClientConn
	client   gpb.GNMIClient
	commands io.Writer // of one that is tapped
	answers  *bufio.Reader
	said     *log
	// ready is the time from starting the program to its first answer, readyCPU
	// the processor time until then in seconds.
	ready    time.Duration
	readyCPU float64
}

// start runs heddled in a namespace, or a tapped agent.
func start(n *namespace, dir string, tapped bool) *process {
	n.t.Helper()
	return startWith(n, dir, tapped)
}

// startProfiled has a profile of the start made, into the folder that
// BENCHPROFILES names.
func startProfiled(n *namespace, dir, name string) *process {
	n.t.Helper()
	p := startWith(n, dir, true, startProfileEnv+"="+os.Getenv("BENCHPROFILES")+"/"+name+".pprof")
	p.ask("stop")
	return p
}

func startWith(n *namespace, dir string, tapped bool, env ...string) *process {
	n.t.Helper()
	begun := time.Now()
	p := launch(n, dir, tapped, env...)
	select {
	case <-p.said.serves:
	case <-p.said.ended:
		n.t.Fatalf("heddled ended:\n%s", p.said.text())
	}
	var err error
	p.conn, err = grpc.NewClient("unix://"+filepath.Join(dir, "gnmi.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)), grpc.WithNoProxy())
	if err != nil {
		n.t.Fatal(err)
	}
	p.client = gpb.NewGNMIClient(p.conn)
	if _, err := p.client.Capabilities(context.Background(), &gpb.CapabilityRequest{}, grpc.WaitForReady(true)); err != nil {
		n.t.Fatalf("%v\n%s", err, p.said.text())
	}
	p.ready = time.Since(begun)
	p.readyCPU = p.cpu()
	n.t.Cleanup(p.stop)
	return p
}

// launch starts the program and waits for nothing.
func launch(n *namespace, dir string, tapped bool, env ...string) *process {
	n.t.Helper()
	p := &process{t: n.t, dir: dir, said: newLog()}
	file, err := heddled()
	if err != nil {
		n.t.Fatal(err)
	}
	p.cmd = exec.Command(file, "-listen", "", "-unix", filepath.Join(dir, "gnmi.sock"), "-state-dir", dir)
	if tapped {
		p.cmd = exec.Command("/proc/self/exe")
		p.cmd.Env = append(append(os.Environ(), tappedEnv+"="+dir), env...)
		if p.commands, err = p.cmd.StdinPipe(); err != nil {
			n.t.Fatal(err)
		}
		out, err := p.cmd.StdoutPipe()
		if err != nil {
			n.t.Fatal(err)
		}
		p.answers = bufio.NewReader(out)
	}
	out, err := p.cmd.StderrPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	n.in(p.cmd.Start)
	go p.said.read(out)
	return p
}

// log is what an agent has said.
type log struct {
	serves chan struct{} // closed once it listens
	ended  chan struct{} // closed when it has said all

	mu  sync.Mutex // guards all
	all strings.Builder
}

func newLog() *log { return &log{serves: make(chan struct{}), ended: make(chan struct{})} }

func (l *log) read(from io.Reader) {
	defer close(l.ended)
	told := false
	for s := bufio.NewScanner(from); s.Scan(); {
		l.mu.Lock()
		fmt.Fprintln(&l.all, s.Text())
		l.mu.Unlock()
		if strings.Contains(s.Text(), "gNMI over a unix socket") && !told {
			told = true
			close(l.serves)
		}
	}
}

func (l *log) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// kill ends the agent at once.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	<-p.said.ended   // before Wait closes the pipe
	_ = p.cmd.Wait() // killed
	if p.cmd = nil; p.conn != nil {
		_ = p.conn.Close() // there is nobody left
	}
}

// stop ends the agent; the kernel keeps what is configured.
func (p *process) stop() {
	if p.cmd == nil {
		return
	}
	p.t.Helper()
	err := errors.Join(p.conn.Close(), p.cmd.Process.Signal(syscall.SIGTERM), p.cmd.Wait())
	if p.cmd = nil; err != nil {
		p.t.Errorf("end heddled: %v", err)
	}
}

// ask sends a tapped agent a command and gives the answer.
func (p *process) ask(command string) string {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.commands, command); err != nil {
		p.t.Fatal(err)
	}
	answer, err := p.answers.ReadString('\n')
	if err != nil || strings.HasPrefix(answer, "error") {
		p.t.Fatalf("%s: %s %v", command, answer, err)
	}
	return strings.TrimSpace(answer)
}

// status reads a field of /proc/PID/status that is in kB, in octets.
func (p *process) status(field string) float64 {
	p.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); f[0] == field+":" {
			kB, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				p.t.Fatal(err)
			}
			return kB * 1024
		}
	}
	p.t.Fatalf("no %s", field)
	return 0
}

// cpu is the processor time that the agent has used so far, its own and the
// kernel's for it.
func (p *process) cpu() float64 {
	p.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	const ticksPerSecond = 100 // USER_HZ, the same on every architecture of ours
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	user, uerr := strconv.ParseFloat(f[11], 64)
	system, serr := strconv.ParseFloat(f[12], 64)
	if err := errors.Join(uerr, serr); err != nil {
		p.t.Fatal(err)
	}
	return (user + system) / ticksPerSecond
}

// resetPeak has VmHWM count from now on.
func (p *process) resetPeak() {
	p.t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0); err != nil {
		p.t.Fatal(err)
	}
}

// configure gives the agent the configuration of a node without SIDs.
func (p *process) configure() {
	p.t.Helper()
	req := &gpb.SetRequest{}
	for _, u := range node {
		req.Update = append(req.Update, update(p.t, u[0], ietf([]byte(u[1]))))
	}
	p.set(req)
}

func (p *process) set(req *gpb.SetRequest) {
	p.t.Helper()
	if _, err := p.client.Set(context.Background(), req); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) remove(at string) {
	p.t.Helper()
	p.set(&gpb.SetRequest{Delete: []*gpb.Path{path(p.t, at)}})
}

// timed sends a request that is encoded already, and says how long the answer
// took and how large it is. Neither is decoded.
func (p *process) timed(method string, request []byte) (time.Duration, int) {
	p.t.Helper()
	var answer size
	begun := time.Now()
	err := p.conn.Invoke(context.Background(), "/gnmi.gNMI/"+method, octets(request), &answer, grpc.ForceCodecV2(asIs{}))
	took := time.Since(begun)
	if err != nil {
		p.t.Fatal(err)
	}
	return took, int(answer)
}

// shown waits until the state tree shows what the last Set has changed: a Get of
// state is not answered before.
func (p *process) shown() {
	p.t.Helper()
	p.timed("Get", wire(p.t, &gpb.GetRequest{
		Path: []*gpb.Path{path(p.t, "/system/state/config-revision")}, Type: gpb.GetRequest_STATE, Encoding: gpb.Encoding_JSON_IETF,
	}))
}

// octets is a message that is not looked into, size the length of one, asIs the
// codec of both.
type (
	octets []byte
	size   int
)

type asIs struct{}

var _ encoding.CodecV2 = asIs{}

func (asIs) Name() string { return "proto" }

func (asIs) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.(octets))}, nil
}

func (asIs) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*size) = size(data.Len())
	return nil
}
