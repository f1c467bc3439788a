package bench

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// BenchmarkProxy has all ways carry each kind of traffic, in turns.
func BenchmarkProxy(b *testing.B) {
	once(b)
	p := newProxyPath(b)
	samples := map[string][]float64{}
	var kept figures
	keep := func(r Result) {
		kept = append(kept, r)
		record(b, r)
	}
	for round := range rounds(b) {
		for _, o := range []offloads{offloadsOn, offloadsOff} {
			p.set(o)
			for _, traffic := range proxyTraffic {
				for turn := range ways {
					w := (turn + way(round)) % ways // nobody is always the first
					if !w.carries(familyOf(traffic), o) {
						continue
					}
					name := proxyResult(w.String(), traffic, o == offloadsOn)
					rate, busy := p.rate(b, w, traffic)
					samples[name] = append(samples[name], rate)
					samples[proxyWork(name)] = append(samples[proxyWork(name)], rate/busy)
				}
			}
		}
	}
	for _, o := range []offloads{offloadsOn, offloadsOff} {
		for _, traffic := range proxyTraffic {
			unit := "packets/s"
			if strings.HasPrefix(traffic, "TCP") {
				unit = "Mb/s"
			}
			for w := range ways {
				name := proxyResult(w.String(), traffic, o == offloadsOn)
				if !w.carries(familyOf(traffic), o) {
					continue
				}
				keep(Result{Name: name, Unit: unit, Samples: samples[name]})
				keep(Result{Name: proxyWork(name), Unit: unit, Samples: samples[proxyWork(name)]})
			}
		}
	}
	p.costs(b, keep)
	fmt.Print("\n", kept.proxies()) // a log would be cut off
}

// window is how long each way is looked at in a round.
const window = 300 * time.Millisecond

// rate is what arrives by a way, Mb/s of TCP, packets a second of UDP, and how many
// processors have worked for it, on all hosts and routers.
func (p *proxyPath) rate(b *testing.B, w way, traffic string) (rate, busy float64) {
	b.Helper()
	kind, f := strings.Fields(traffic), familyOf(traffic)
	if kind[0] == "TCP" {
		return p.stream(b, w, f)
	}
	size, err := strconv.Atoi(kind[2])
	if err != nil {
		b.Fatal(err)
	}
	return p.flood(b, w, f, size)
}

func familyOf(traffic string) family {
	if strings.Contains(traffic, "IPv6") {
		return families[1]
	}
	return families[0]
}

// stream sends over one connection as fast as it goes.
func (p *proxyPath) stream(b *testing.B, w way, f family) (rate, busy float64) {
	b.Helper()
	from, to := p.connect(b, w, f)
	var arrived atomic.Int64
	done := make(chan error, 2)
	go func() {
		for octets := make([]byte, 256<<10); ; {
			if _, err := from.Write(octets); err != nil {
				done <- err
				return
			}
		}
	}()
	go func() {
		for octets := make([]byte, 1<<20); ; {
			n, err := to.Read(octets)
			arrived.Add(int64(n))
			if err != nil {
				done <- err
				return
			}
		}
	}()
	<-time.After(window / 4) // until it is up to speed
	begun, before, work := time.Now(), arrived.Load(), worked(b)
	<-time.After(window)
	octets, took, work := arrived.Load()-before, time.Since(begun), worked(b)-work
	to.Close()
	from.Close()
	for range 2 {
		if err := <-done; !errors.Is(err, net.ErrClosed) && !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
			b.Error(err)
		}
	}
	return float64(octets) * 8 / 1e6 / took.Seconds(), work.Seconds() / took.Seconds()
}

// worked is the processor time that this process has had, and the kernel's threads for
// packets that a process has left to them.
func worked(b *testing.B) time.Duration {
	b.Helper()
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	all := time.Duration(t.Nano())
	for _, thread := range softirqThreads() {
		text, err := os.ReadFile("/proc/" + thread + "/schedstat")
		if err != nil {
			b.Fatal(err)
		}
		ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		all += time.Duration(ns)
	}
	return all
}

// softirqThreads are the numbers of the threads of that name, one for each processor.
var softirqThreads = sync.OnceValue(func() (numbers []string) {
	names, _ := filepath.Glob("/proc/[0-9]*/comm") // the pattern is good
	for _, file := range names {
		if name, err := os.ReadFile(file); err == nil && strings.HasPrefix(string(name), "ksoftirqd/") {
			numbers = append(numbers, filepath.Base(filepath.Dir(file)))
		}
	}
	return numbers
})

// flood sends datagrams as fast as one processor takes them along the whole way, and
// counts where they arrive, on the far host's link. Nobody reads them.
func (p *proxyPath) flood(b *testing.B, w way, f family, size int) (rate, busy float64) {
	b.Helper()
	from, _ := p.datagrams(b, w, f)
	raw, err := from.SyscallConn()
	if err != nil {
		b.Fatal(err)
	}
	_, before := p.dst.received("e0")
	octets := make([]byte, size)
	begun, work := time.Now(), worked(b)
	err = raw.Write(func(fd uintptr) bool {
		for time.Since(begun) < window {
			for range 64 {
				_ = unix.Send(int(fd), octets, 0) // what is lost does not arrive
			}
		}
		return true
	})
	if err != nil {
		b.Fatal(err)
	}
	took, work := time.Since(begun), worked(b)-work
	_, after := p.dst.received("e0")
	return float64(after-before) / took.Seconds(), work.Seconds() / took.Seconds()
}

// costs is the processor time of our programs per packet, as the kernel counts it
// (BPF_ENABLE_STATS): a packet of many segments is one.
func (p *proxyPath) costs(b *testing.B, keep func(Result)) {
	b.Helper()
	counting, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		b.Logf("the kernel does not count the time of programs: %v", err)
		return
	}
	defer counting.Close()
	p.set(offloadsOn)
	for _, w := range []way{wayAD, wayAS, wayAM} {
		for _, traffic := range proxyTraffic {
			f := familyOf(traffic)
			if !w.carries(f, offloadsOn) {
				continue
			}
			before := p.program(b, "e3", ebpf.AttachTCXIngress)
			if w == wayAM {
				before = p.program(b, w.nfLinks(f)+"a", ebpf.AttachTCXEgress)
			}
			behind := p.program(b, w.nfLinks(f)+"b", ebpf.AttachTCXIngress)
			was := [2]*ebpf.ProgramStats{stats(b, before), stats(b, behind)}
			p.rate(b, w, traffic)
			for i, program := range []*ebpf.Program{before, behind} {
				now := stats(b, program)
				keep(Result{Name: proxyCost(i, w.String(), traffic), Unit: "ns",
					Samples: []float64{float64(now.Runtime-was[i].Runtime) / float64(max(now.RunCount-was[i].RunCount, 1))}})
			}
		}
	}
}

// program is what the agent has attached to a link of the node.
func (p *proxyPath) program(b *testing.B, on string, at ebpf.AttachType) *ebpf.Program {
	b.Helper()
	var program *ebpf.Program
	p.node.in(func() error {
		l, err := net.InterfaceByName(on)
		if err != nil {
			return err
		}
		attached, err := link.QueryPrograms(link.QueryOptions{Target: l.Index, Attach: at})
		if err != nil {
			return err
		}
		if len(attached.Programs) == 0 {
			return errors.New("no program on " + on)
		}
		program, err = ebpf.NewProgramFromID(attached.Programs[0].ID)
		return err
	})
	b.Cleanup(func() { program.Close() })
	return program
}

func stats(b *testing.B, p *ebpf.Program) *ebpf.ProgramStats {
	b.Helper()
	s, err := p.Stats()
	if err != nil {
		b.Fatal(err)
	}
	return s
}
