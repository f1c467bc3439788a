package sidprobe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"heddle/kernel/kerneltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// far is another network namespace with a thread in it.
type far struct {
	work chan func()
	path string
}

func newFar(t *testing.T) *far {
	f := &far{work: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends, and the namespace with it
		err := unix.Unshare(unix.CLONE_NEWNET)
		f.path = fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
		ready <- err
		for fn := range f.work {
			fn()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(f.work) })
	return f
}

func shell(t *testing.T, lines ...string) {
	t.Helper()
	for _, l := range lines {
		words := strings.Fields(l)
		if out, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", l, err, out)
		}
	}
}

func (f *far) run(t *testing.T, lines ...string) {
	t.Helper()
	done := make(chan struct{})
	f.work <- func() {
		defer close(done)
		for _, l := range lines {
			words := strings.Fields(l)
			if out, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", l, err, out)
			}
		}
	}
	<-done
}

// TestRun sends probes to another namespace on this machine's kernel. seg6_enabled is
// off: what comes back does not need it.
func TestRun(t *testing.T) {
	kerneltest.Namespace(t)
	f := newFar(t)
	common := []string{"sysctl -qw net.ipv6.conf.all.accept_dad=0", "sysctl -qw net.ipv6.conf.default.accept_dad=0", "sysctl -qw net.ipv6.conf.all.forwarding=1", "ip link set lo up"}
	shell(t, common...)
	f.run(t, common...)
	tid := fmt.Sprintf("/proc/%d/task/%d/ns/net", unix.Getpid(), unix.Gettid())
	f.run(t, "ip link add e1 type veth peer name e1 netns "+tid, "ip link set e1 up", "ip addr add 2001:db8:ab::2/64 dev e1", "ip -6 route add 2001:db8:a::/48 via 2001:db8:ab::1",
		"ip -6 route add fc00::e/128 encap seg6local action End dev e1",
		"ip -6 route add fc00::e1/128 encap seg6local action End.X nh6 2001:db8:ab::1 dev e1",
		"ip -6 route add fc00::d6/128 encap seg6local action End.DT6 table 254 dev e1",
		"ip -6 route add fc00::d4/128 encap seg6local action End.DX4 nh4 192.0.2.1 dev e1", "ip addr add 192.0.2.2/24 dev e1", "sysctl -qw net.ipv4.ip_forward=1",
		"ip -6 route add blackhole fc00::b/128")
	shell(t, "ip link set e1 up", "ip addr add 2001:db8:ab::1/64 dev e1", "ip addr add 192.0.2.1/24 dev e1", "ip addr add 2001:db8:a::1/128 dev lo", "ip -6 route add fc00::/64 via 2001:db8:ab::2")
	p, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	own := netip.MustParseAddr("2001:db8:a::1")
	if src, err := p.SourceFor(netip.MustParseAddr("fc00::e")); err != nil || src != netip.MustParseAddr("2001:db8:ab::1") {
		t.Errorf("the kernel's own choice is %s, %v", src, err)
	}
	before := kerneltest.OpenFiles(t)
	for _, c := range []struct {
		name     string
		segments string
		inner    string
		back     int
	}{
		{"End", "fc00::e", "", 5},
		{"End.X", "fc00::e1", "", 5},
		{"a list", "fc00::e fc00::e1 fc00::e", "", 5},
		{"End.DT6", "fc00::d6", "2001:db8:a::1", 5},
		{"a list with End.DT6", "fc00::e fc00::d6", "2001:db8:a::1", 5},
		{"End.DX4", "fc00::e fc00::d4", "192.0.2.1", 5},
		{"End.DT6 has nothing to take out", "fc00::d6", "", 0},
		{"End does not take anything out", "fc00::e", "2001:db8:a::1", 0},
		{"no SID", "fc00::77", "", 0},
		{"blackhole", "fc00::b", "", 0},
		{"a list by way of a blackhole", "fc00::e fc00::b fc00::e", "", 0},
	} {
		pr := Probe{Segments: addrs(strings.Fields(c.segments)...), Source: own, Count: 5, Interval: 2 * time.Millisecond, Wait: 150 * time.Millisecond}
		if c.inner != "" {
			pr.Inner = netip.MustParseAddr(c.inner)
		}
		if c.back > 0 {
			pr.Wait = 5 * time.Second // as long as it takes: it ends with the last one
		}
		res, err := p.Run(t.Context(), pr)
		if err != nil || res.Sent != 5 || len(res.RoundTrips) != c.back {
			t.Errorf("%s: %v, %v", c.name, res, err)
		}
		for _, rt := range res.RoundTrips {
			if rt <= 0 || rt > 5*time.Second {
				t.Errorf("%s: a round trip of %s", c.name, rt)
			}
		}
	}

	for name, pr := range map[string]Probe{
		"no route":      {Segments: addrs("fd00::1"), Source: own},
		"not ours":      {Segments: addrs("fc00::e"), Source: netip.MustParseAddr("2001:db8:99::1")},
		"inner of none": {Segments: addrs("fc00::d6"), Source: own, Inner: netip.MustParseAddr("198.51.100.1")},
	} {
		pr.Count, pr.Interval, pr.Wait = 1, time.Millisecond, time.Millisecond
		_, err := p.Run(t.Context(), pr)
		if e, ok := errors.AsType[*UnableError](err); !ok || e.Remedy == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Run(ctx, Probe{Segments: addrs("fc00::e"), Source: own, Count: 1, Wait: time.Hour}); !errors.Is(err, context.Canceled) {
		t.Errorf("one that is given up: %v", err)
	}
	if n := kerneltest.OpenFiles(t); n != before {
		t.Errorf("%d open files, %d before", n, before)
	}
}
