package cli

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"heddle/lab/topology"
)

// heddleLab runs one command line against an empty cache.
func heddleLab(t *testing.T, args ...string) (code int, out, errw string) {
	t.Helper()
	if os.Getenv("HEDDLE_CACHE") == "" {
		t.Setenv("HEDDLE_CACHE", t.TempDir())
	}
	t.Setenv("HEDDLE_LAB_NAME", "")
	var stdout, stderr bytes.Buffer
	code = Main(context.Background(), args, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestCommandLine(t *testing.T) {
	t.Setenv("HEDDLE_CACHE", t.TempDir())
	t.Setenv("LAB", "")
	for _, tc := range []struct {
		args string
		code int
		want string // in stdout or stderr
	}{
		{"", 0, "usage: heddle-lab COMMAND"},
		{"help", 0, "run --bin X.test"},
		{"up -h", 0, "-kernel"},
		{"frobnicate", 2, `there is no command "frobnicate"`},
		{"up", 2, "up wants one topology"},
		{"up a b", 2, "up wants one topology"},
		{"up nope", 125, "use one of l3vpn"},
		{"up l3vpn --bin-dir /no/such/dir", 125, "find heddled in /no/such/dir: not there: build it"},
		{"up l3vpn --no-agents --kernel 2.6", 2, "the lab knows 6.1, 6.12, sid"},
		{"up l3vpn --frob", 2, "flag provided but not defined: -frob"},
		{"up l3vpn --no-agents --lab ../x", 2, "lab name"},
		{"down", 0, "no lab is up"},
		{"status", 125, "it is not up: heddle-lab up l3vpn starts one"},
		{"exec", 2, "exec wants a node and a command"},
		{"exec pe3", 2, "exec wants a node and a command"},
		{"exec pe3 -- ip a", 125, "it is not up"},
		{"shell a b", 2, "shell wants a node"},
		{"cp a b", 2, "write one of the paths as NODE:PATH"},
		{"cp pe3:a lab:b", 2, "write one of the paths as NODE:PATH"},
		{"agent start", 2, "agent wants an action"},
		{"log", 2, "log wants a router"},
		{"run", 2, "run wants --bin"},
		{"run --bin /no/such/x.test", 125, "find x.test for the machine"},
		{"run --bin /bin/true --files /etc:../x", 2, "must stay in the tests' working directory"},
		{"kernels frob", 2, "kernels get 6.1 6.12"},
		{"kernels get 2.6", 2, "the lab knows"},
		{"kernels", 0, "bookworm-backports"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			code, out, errw := heddleLab(t, strings.Fields(tc.args)...)
			// A host's /bin/true is not static; where it is, the next check speaks.
			if strings.Contains(tc.args, "/bin/true") && code == exitLab && strings.Contains(errw, "not static") {
				return
			}
			if code != tc.code || !strings.Contains(out+errw, tc.want) {
				t.Errorf("code %d, want %d; no %q in:\n%s%s", code, tc.code, tc.want, out, errw)
			}
		})
	}
}

func TestUnknownLAB(t *testing.T) {
	t.Setenv("LAB", "docker")
	if code, _, errw := heddleLab(t, "status"); code != 2 || !strings.Contains(errw, "use LAB=netns") {
		t.Errorf("%d %s", code, errw)
	}
}

func TestParseWordsAndFlags(t *testing.T) {
	for _, tc := range []struct{ in, words, rest, kernel string }{
		{"l3vpn --kernel 6.12", "l3vpn", "", "6.12"},
		{"--kernel 6.12 l3vpn", "l3vpn", "", "6.12"},
		{"--kernel=6.12 a b -- --kernel x", "a b", "--kernel x", "6.12"},
		{"-- a", "", "a", ""},
	} {
		fs := flag.NewFlagSet("x", flag.ContinueOnError)
		kernel := fs.String("kernel", "", "")
		words, rest, err := parse(fs, strings.Fields(tc.in))
		got := fmt.Sprintf("%s|%s|%s", strings.Join(words, " "), strings.Join(rest, " "), *kernel)
		if want := tc.words + "|" + tc.rest + "|" + tc.kernel; err != nil || got != want {
			t.Errorf("%s: %s, want %s (%v)", tc.in, got, want, err)
		}
	}
}

func TestNodeAndCommand(t *testing.T) {
	for in, want := range map[string]string{
		"pe3 -- ip a": "pe3|ip a", "pe3 ip a": "pe3|ip a", "-- ip a": "|ip a", "pe3": "pe3|", "pe3 -- sh -c -- x": "pe3|sh -c -- x",
	} {
		node, argv := nodeAndCommand(strings.Fields(in))
		if got := node + "|" + strings.Join(argv, " "); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestLabPath(t *testing.T) {
	for in, want := range map[string]string{
		"pe3:/var/x": "/var/x true", "lab:x": "x true", "./a:b": "./a:b false", "/tmp/x": "/tmp/x false", "pe3:": ". true", "x": "x false",
	} {
		path, inLab := labPath(in)
		if got := fmt.Sprint(path, " ", inLab); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestChoosePorts(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	var said bytes.Buffer
	a := &app{stderr: &said}
	topo := &topology.Topology{Nodes: []topology.Node{{Name: "r1", Kind: topology.Router, GNMIPort: port}, {Name: "r2", Kind: topology.Router}, {Name: "h", Kind: topology.Host}}}
	ports, err := a.choosePorts(topo)
	if err != nil || len(ports) != 2 || ports["r1"] == port || ports["r1"] == 0 || ports["r2"] == 0 {
		t.Errorf("%v %v", ports, err)
	}
	if !strings.Contains(said.String(), "r1 gets another") {
		t.Errorf("said: %s", said.String())
	}
}

func TestStaleStateIsNoticed(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("HEDDLE_CACHE", cache)
	dir := filepath.Join(cache, "labs/default")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// Our own PID with another start time: the number was used again.
	st := &labState{Mode: "vm", PID: os.Getpid(), Started: "1", Topology: "l3vpn", dir: dir}
	if err := st.save(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/console.log", []byte("Kernel panic - x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, errw := heddleLab(t, "status"); code != exitLab || !strings.Contains(errw, "it has died") || !strings.Contains(errw, "Kernel panic - x") {
		t.Errorf("status: %d %s", code, errw)
	}
	if code, _, errw := heddleLab(t, "down"); code != 0 {
		t.Errorf("down: %d %s", code, errw)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
}

func TestProcessStart(t *testing.T) {
	if got := processStart(os.Getpid()); got == "" || strings.Trim(got, "0123456789") != "" {
		t.Errorf("own process: %q", got)
	}
	if got := processStart(1 << 30); got != "" {
		t.Errorf("no process: %q", got)
	}
}

func TestPruneRuns(t *testing.T) {
	dir := t.TempDir()
	if err := pruneRuns(dir + "/none"); err != nil {
		t.Errorf("no runs yet: %v", err)
	}
	for i := range 5 {
		path := filepath.Join(dir, fmt.Sprintf("%d-X%d", 1<<30, i))
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	live := filepath.Join(dir, fmt.Sprintf("%d-LIVE", os.Getpid()))
	if err := os.Mkdir(live, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := pruneRuns(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	var left []string
	for _, e := range entries {
		left = append(left, e.Name()[strings.IndexByte(e.Name(), '-')+1:])
	}
	if got := strings.Join(left, " "); err != nil || got != "X2 X3 X4 LIVE" && got != "LIVE X2 X3 X4" {
		t.Errorf("left: %s %v", got, err)
	}
}
