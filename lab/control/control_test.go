package control

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"heddle/lab/netlab"
)

func TestMain(m *testing.M) {
	netlab.EnterIfAsked()
	goleak.VerifyTestMain(m)
}

// serve starts a server without a topology: all that needs no root.
func serve(t *testing.T) *Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := &Server{Token: "secret", Lab: netlab.New(netlab.Config{Prefix: "heddle-control-test-", RunDir: dir, StateDir: dir, LogDir: dir})}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return &Client{Network: "tcp", Address: l.Addr().String(), Token: "secret"}
}

func sh(script string) Request { return Request{Argv: []string{"sh", "-c", script}} }

func TestExec(t *testing.T) {
	c := serve(t)
	for _, tc := range []struct {
		name, script, stdin string
		code                int
		out, err            string
	}{
		{"streams", "echo one; echo two >&2", "", 0, "one\n", "two\n"},
		{"code", "exit 42", "", 42, "", ""},
		{"signal", "kill -9 $$", "", 137, "", ""},
		{"stdin", "cat; exit 3", "three\n", 3, "three\n", ""},
		{"large", "head -c 5000000 /dev/zero | tr '\\0' x", "", 0, strings.Repeat("x", 5000000), ""},
		{"environment", "echo $A; pwd", "", 0, "b\n/\n", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out, errw bytes.Buffer
			req := sh(tc.script)
			req.Env, req.Dir = []string{"A=b"}, "/"
			code, err := c.Exec(context.Background(), req, Streams{Stdin: strings.NewReader(tc.stdin), Stdout: &out, Stderr: &errw})
			if err != nil {
				t.Fatal(err)
			}
			if code != tc.code || out.String() != tc.out || errw.String() != tc.err {
				t.Errorf("code %d (want %d), %d octets out (want %d), stderr %q", code, tc.code, out.Len(), len(tc.out), errw.String())
			}
		})
	}
}

func TestExecWithoutProgram(t *testing.T) {
	_, err := serve(t).Exec(context.Background(), Request{Argv: []string{"/no/such/program"}}, Streams{})
	if err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("got %v", err)
	}
}

// Bytes arrive while the command runs, and a signal reaches it.
func TestExecStreamsLiveAndTakesSignals(t *testing.T) {
	c := serve(t)
	signals := make(chan os.Signal, 1)
	out := writerFunc(func(p []byte) (int, error) {
		if strings.Contains(string(p), "ready") {
			signals <- syscall.SIGTERM
		}
		return len(p), nil
	})
	code, err := c.Exec(context.Background(), sh("trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"),
		Streams{Stdin: strings.NewReader(""), Stdout: out, Stderr: out, Signals: signals})
	if err != nil || code != 5 {
		t.Errorf("code %d, %v", code, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A caller that goes away takes its command, with all children, along.
func TestExecEndsWithItsCaller(t *testing.T) {
	c := serve(t)
	ctx, cancel := context.WithCancel(context.Background())
	pids := make(chan string, 1)
	out := writerFunc(func(p []byte) (int, error) {
		pids <- strings.TrimSpace(string(p))
		cancel()
		return len(p), nil
	})
	if _, err := c.Exec(ctx, sh("sleep 1000 & echo $!; wait"), Streams{Stdout: out, Stderr: out}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	pid := <-pids
	deadline := time.Now().Add(20 * time.Second)
	for {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %s still runs", pid)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestTerminal(t *testing.T) {
	var out bytes.Buffer
	req := sh("test -t 0 && stty size; exit 6")
	req.TTY, req.Rows, req.Cols = true, 33, 111
	code, err := serve(t).Exec(context.Background(), req, Streams{Stdin: neverEnding(t), Stdout: &out, Stderr: &out})
	if err != nil || code != 6 || strings.TrimSpace(out.String()) != "33 111" {
		t.Errorf("code %d, %q, %v", code, out.String(), err)
	}
}

// neverEnding is the input of a user who types nothing.
func neverEnding(t *testing.T) *os.File {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close(); r.Close() })
	return r
}

func TestWrongToken(t *testing.T) {
	c := serve(t)
	c.Token = "guess"
	code, err := c.Exec(context.Background(), sh("echo in"), Streams{})
	if err == nil || !strings.Contains(err.Error(), "wrong token") {
		t.Errorf("code %d, %v", code, err)
	}
}

func TestLost(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, err = (&Client{Network: "tcp", Address: addr}).Status(context.Background())
	var lost *LostError
	if !errors.As(err, &lost) {
		t.Errorf("got %v", err)
	}
}

func TestUpRefusesABadFile(t *testing.T) {
	_, err := serve(t).Up(context.Background(), Request{File: "x.yaml", Topology: []byte("name: x\nnodes: {a: {kind: toaster}}\n")})
	if err == nil || !strings.Contains(err.Error(), `x.yaml:2: node a: kind "toaster" is not known`) {
		t.Errorf("got %v", err)
	}
}

func TestCopy(t *testing.T) {
	c := serve(t)
	ctx := context.Background()
	src := t.TempDir()
	for name, text := range map[string]string{"d/one": "1", "d/sub/two": strings.Repeat("2", 3<<20)} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(src, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(src, name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("one", src+"/d/link"); err != nil {
		t.Fatal(err)
	}
	mid, end := t.TempDir(), t.TempDir()
	if err := c.CopyIn(ctx, src+"/d", mid); err != nil { // into a directory: mid/d
		t.Fatal(err)
	}
	if err := c.CopyOut(ctx, mid+"/d", end+"/new"); err != nil { // under another name
		t.Fatal(err)
	}
	for name, size := range map[string]int64{"new/one": 1, "new/sub/two": 3 << 20, "new/link": 1} {
		info, err := os.Stat(filepath.Join(end, name))
		if err != nil || info.Size() != size || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	if err := c.CopyOut(ctx, src+"/d/one", end+"/file"); err != nil {
		t.Fatal(err)
	}
	if err := c.CopyIn(ctx, src+"/d/one", end+"/file"); err != nil { // replaces
		t.Fatal(err)
	}
	for _, bad := range []struct {
		f    func(context.Context, string, string) error
		a, b string
	}{{c.CopyOut, "/no/such", end}, {c.CopyIn, "/no/such", end}, {c.CopyIn, src + "/d", "/no/such/dir"}, {c.CopyOut, src + "/d", "/no/such/dir"}} {
		if err := bad.f(ctx, bad.a, bad.b); err == nil || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("copy %s %s: %v", bad.a, bad.b, err)
		}
	}
}

func TestReadFrame(t *testing.T) {
	for name, in := range map[string]string{"cut head": "o\x00\x00", "cut body": "o\x00\x00\x00\x05ab", "too long": "o\xff\xff\xff\xff"} {
		if _, _, err := readFrame(strings.NewReader(in)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	var buf bytes.Buffer
	f := &framer{w: &buf}
	if err := f.send(kindStdout, []byte("abc")); err != nil {
		t.Fatal(err)
	}
	k, payload, err := readFrame(&buf)
	if err != nil || k != kindStdout || string(payload) != "abc" {
		t.Errorf("%c %q %v", k, payload, err)
	}
}
