package netlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"go.uber.org/goleak"

	"heddle/lab/topology"
)

// standIn makes this test binary play an agent: it takes an agent's flags,
// answers on its sockets with its hostname, and ends at SIGTERM.
const standIn = "HEDDLE_LAB_TEST_AGENT"

func TestMain(m *testing.M) {
	EnterIfAsked()
	if os.Getenv(standIn) != "" && len(os.Args) > 1 && os.Args[1] == "--listen" {
		if err := playAgent(os.Args[2], os.Args[4], os.Args[6]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func playAgent(listen, socket, stateDir string) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(stateDir, "started"), []byte(host), 0o644); err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	for network, addr := range map[string]string{"tcp": listen, "unix": socket} {
		l, err := net.Listen(network, addr)
		if err != nil {
			return err
		}
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				io.WriteString(conn, host)
				conn.Close()
			}
		}()
	}
	fmt.Println("agent of", host, "is up")
	<-stop
	fmt.Println("agent of", host, "ends")
	return nil
}

const twoHosts = `
name: pair
nodes:
  r1: {kind: router}
  h1:
    kind: host
    interfaces: {e1: {addresses: [192.0.2.1/24, "2001:db8::1/64"]}}
    sysctls: {net.ipv4.ip_default_ttl: "77"}
  h2:
    kind: host
    interfaces: {e1: {addresses: [192.0.2.2/24, "2001:db8::2/64"]}}
    routes: [{to: default, via: 192.0.2.1}, {to: "2001:db8:1::/48", via: "2001:db8::1"}]
links:
  - h1:e1 -- h2:e1
  - r1:e1 -- h1:e2
`

func testLab(t *testing.T) (*Lab, *topology.Topology) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("namespaces need root")
	}
	topo, err := topology.Parse("pair.yaml", []byte(twoHosts))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(standIn, "1")
	lab := New(Config{Prefix: fmt.Sprintf("heddle-t%d-", os.Getpid()), RunDir: dir + "/run", StateDir: dir + "/state", LogDir: dir + "/log",
		AgentProgram: self, AgentReadyIn: 30 * time.Second})
	t.Cleanup(func() {
		if err := lab.Down(); err != nil {
			t.Errorf("tear down: %v", err)
		}
		left, err := lab.Leaks(topo.NodeNames())
		if err != nil || len(left) > 0 {
			t.Errorf("after tear-down: %v %v", left, err)
		}
		for _, d := range []string{"/run", "/state", "/log"} {
			if _, err := os.Stat(dir + d); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("after tear-down %s is there: %v", d, err)
			}
		}
	})
	return lab, topo
}

func run(t *testing.T, lab *Lab, node string, argv ...string) string {
	t.Helper()
	cmd, err := lab.Command(node, argv)
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("on %s: %s: %v\n%s", node, strings.Join(argv, " "), err, out)
	}
	return string(out)
}

func linkNames(t *testing.T) string {
	t.Helper()
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return strings.Join(names, " ")
}

func TestTopologyUpAndDown(t *testing.T) {
	lab, topo := testLab(t)
	before := linkNames(t)
	for round := range 2 { // the second Up replaces the first
		if err := lab.Up(context.Background(), topo); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	if now := linkNames(t); now != before {
		t.Errorf("links of the root namespace: %s, before: %s", now, before)
	}
	for _, line := range []struct{ node, command, want string }{
		{"h1", "ip -br addr show e1", "192.0.2.1/24"},
		{"h1", "ip -br link show lo", "LOWER_UP"},
		{"h1", "cat /proc/sys/net/ipv4/ip_default_ttl", "77"},
		{"h2", "cat /proc/sys/net/ipv4/ip_default_ttl", "64"},
		{"h2", "ip route show default", "via 192.0.2.1 dev e1"},
		{"h2", "ip -6 route show 2001:db8:1::/48", "via 2001:db8::1 dev e1"},
		{"r1", "ip -br link show e1", "UP"},
		{"r1", "ls /sys/class/net", "e1"},
		{"h1", "hostname", "h1"},
	} {
		if got := run(t, lab, line.node, strings.Fields(line.command)...); !strings.Contains(got, line.want) {
			t.Errorf("%s: %s: %q lacks %q", line.node, line.command, got, line.want)
		}
	}
	if addrs := run(t, lab, "r1", "ip", "-br", "-4", "addr", "show", "e1"); addrs != "" {
		t.Errorf("a router has an address: %s", addrs)
	}
	tcpAcross(t, lab)
}

// tcpAcross sends something from h2 to h1, so that the wire is more than a name.
func tcpAcross(t *testing.T, lab *Lab) {
	t.Helper()
	ns, err := netns.GetFromName(lab.NSName("h1"))
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	var l net.Listener
	if err := inNS(ns, func() (err error) { l, err = net.Listen("tcp", "192.0.2.1:0"); return err }); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		if conn, err := l.Accept(); err == nil {
			io.WriteString(conn, "across")
			conn.Close()
		}
	}()
	addr, err := lab.Forward("127.0.0.1:0", "h2", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got, err := io.ReadAll(conn)
	<-served
	if err != nil || string(got) != "across" {
		t.Errorf("from h2 to h1: %q, %v", got, err)
	}
}

func TestDownEndsProcesses(t *testing.T) {
	lab, topo := testLab(t)
	if err := lab.Up(context.Background(), topo); err != nil {
		t.Fatal(err)
	}
	cmd, err := lab.Command("h1", []string{"sleep", "1000"})
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	// It is in the namespace only after it has entered it.
	for deadline := time.Now().Add(20 * time.Second); ; {
		pids, err := pidsIn(lab.NSName("h1"))
		if err != nil {
			t.Fatal(err)
		}
		if len(pids) == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the process did not enter the node")
		}
		<-time.After(5 * time.Millisecond)
	}
	if err := lab.Down(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the process ended with %v", err)
	}
}

func TestUpRemovesLeftovers(t *testing.T) {
	lab, topo := testLab(t)
	// As after a lab whose process was killed; "others" is somebody else's.
	for _, name := range []string{"h1", "gone", "others"} {
		if err := createNS(lab.NSName(name)); err != nil {
			t.Fatal(err)
		}
	}
	defer deleteNS(lab.NSName("others"))
	if err := os.MkdirAll(lab.cfg.RunDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(lab.cfg.RunDir+"/lab.lock", []byte("1 h1 gone\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := lab.Up(context.Background(), topo); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(nsDir, lab.NSName("gone"))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the leftover is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(nsDir, lab.NSName("others"))); err != nil {
		t.Errorf("somebody else's namespace: %v", err)
	}
}

func TestSweepAfterACrash(t *testing.T) {
	crashed, topo := testLab(t)
	if err := crashed.Up(context.Background(), topo); err != nil {
		t.Fatal(err)
	}
	if err := crashed.StartAgent(context.Background(), "r1"); err != nil {
		t.Fatal(err)
	}
	other := New(crashed.cfg)
	if err := other.Sweep(); err == nil || !strings.Contains(err.Error(), "another lab is up here") {
		t.Errorf("while the lab is up: %v", err)
	}
	// What the kernel does when a process ends.
	if err := crashed.lock.Close(); err != nil {
		t.Fatal(err)
	}
	crashed.lock = nil
	if err := other.Sweep(); err != nil {
		t.Fatal(err)
	}
	<-crashed.agentOf("r1").done
	left, err := other.Leaks(topo.NodeNames())
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v %v", left, err)
	}
	if err := other.Sweep(); err != nil {
		t.Errorf("with nothing left: %v", err)
	}
}

func TestSecondLabIsRefused(t *testing.T) {
	lab, topo := testLab(t)
	if err := lab.Up(context.Background(), topo); err != nil {
		t.Fatal(err)
	}
	second := New(lab.cfg)
	err := second.Up(context.Background(), topo)
	if err == nil || !strings.Contains(err.Error(), "another lab is up here") {
		t.Fatalf("got %v", err)
	}
	if got := run(t, lab, "h1", "hostname"); got != "h1\n" {
		t.Errorf("the first lab suffered: %q", got)
	}
}

func TestBuildUndoesItself(t *testing.T) {
	lab, topo := testLab(t)
	broken := *topo
	broken.Nodes = append([]topology.Node(nil), topo.Nodes...)
	for i := range broken.Nodes {
		if broken.Nodes[i].Name == "h2" {
			broken.Nodes[i].Sysctls = []topology.Sysctl{{Name: "net.no.such", Value: "1"}}
		}
	}
	err := lab.Up(context.Background(), &broken)
	if err == nil || !strings.Contains(err.Error(), "configure node h2: set sysctl net.no.such") {
		t.Fatalf("got %v", err)
	}
	left, err := lab.Leaks(topo.NodeNames())
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v %v", left, err)
	}
}

func TestAgentLife(t *testing.T) {
	lab, topo := testLab(t)
	if err := lab.Up(context.Background(), topo); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if err := lab.StartAgent(ctx, "r1"); err != nil {
		t.Fatal(err)
	}
	if err := lab.StartAgent(ctx, "r1"); err == nil || !strings.Contains(err.Error(), "it runs already") {
		t.Errorf("second start: %v", err)
	}
	if err := lab.StartAgent(ctx, "h1"); err == nil || !strings.Contains(err.Error(), "agents run on routers only") {
		t.Errorf("start on a host: %v", err)
	}
	addr, err := lab.Forward("127.0.0.1:0", "r1", AgentAddr)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() string {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		got, _ := io.ReadAll(conn)
		return string(got)
	}
	if got := ask(); got != "r1" {
		t.Errorf("through the forward: %q", got)
	}
	if err := lab.KillAgent("r1"); err != nil {
		t.Fatal(err)
	}
	if got := lab.Agent("r1"); got.PID != 0 || got.Ended != "signal: killed" {
		t.Errorf("after kill: %+v", got)
	}
	if got := ask(); got != "" {
		t.Errorf("a dead agent answered %q", got)
	}
	if err := lab.StartAgent(ctx, "r1"); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got != "r1" {
		t.Errorf("after restart: %q", got)
	}
	if err := lab.StopAgent("r1"); err != nil {
		t.Fatal(err)
	}
	if got := lab.Agent("r1"); got.Ended != "exit status 0" {
		t.Errorf("after stop: %+v", got)
	}
	log, err := Tail(lab.LogPath("r1"), 100)
	if err != nil || strings.Count(log, "is up") != 2 || strings.Count(log, "ends") != 1 {
		t.Errorf("log: %v\n%s", err, log)
	}
}

func TestAgentThatEndsShowsItsLog(t *testing.T) {
	lab, topo := testLab(t)
	script := filepath.Join(t.TempDir(), "agent.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho no CAP_NET_ADMIN here >&2\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	lab.cfg.AgentProgram = script
	if err := lab.Up(context.Background(), topo); err != nil {
		t.Fatal(err)
	}
	err := lab.StartAgent(context.Background(), "r1")
	for _, want := range []string{"start agent of r1", "exit status 3", "| no CAP_NET_ADMIN here"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
}

func TestCommandErrors(t *testing.T) {
	lab, topo := testLab(t)
	if _, err := lab.Command("h1", []string{"true"}); err == nil || !strings.Contains(err.Error(), "no topology is up") {
		t.Errorf("before Up: %v", err)
	}
	if err := lab.Up(context.Background(), topo); err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Command("h9", []string{"true"}); err == nil || !strings.Contains(err.Error(), "topology pair has r1, h1, h2") {
		t.Errorf("unknown node: %v", err)
	}
	cmd, err := lab.Command("h1", []string{"no-such-program"})
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.ExitCode() != 127 || !strings.Contains(string(out), "no-such-program") {
		t.Errorf("unknown program: %v: %s", err, out)
	}
}

func TestScratch(t *testing.T) {
	lab, _ := testLab(t)
	var name string
	err := lab.Scratch(func(run func(...string) (string, error)) error {
		out, err := run("ip", "-br", "link")
		if !strings.Contains(out, "lo") {
			t.Errorf("links: %q", out)
		}
		names, listErr := namespacesWithPrefix(lab.NSName("scratch-"))
		if len(names) == 1 {
			name = names[0]
		}
		return errors.Join(err, listErr)
	})
	if err != nil || name == "" {
		t.Fatalf("%q %v", name, err)
	}
	if names, _ := namespacesWithPrefix(lab.NSName("scratch-")); len(names) > 0 {
		t.Errorf("left over: %v", names)
	}
}
