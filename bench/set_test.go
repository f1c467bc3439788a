package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
)

// leafSetter sets one leaf of one SID, which the kernel has to follow: its next
// hop.
type leafSetter struct {
	p    *process
	reqs [2]*gpb.SetRequest
	took times
}

func newLeafSetter(p *process, sid int) *leafSetter {
	s := &leafSetter{p: p}
	at := sidsPath + "/sid[address=" + sidAddress(sid) + "]/config/next-hop"
	for i := range s.reqs {
		s.reqs[i] = &gpb.SetRequest{Update: []*gpb.Update{update(p.t, at, text(fmt.Sprintf("2001:db8:13::f%d", i)))}}
	}
	return s
}

func (s *leafSetter) set() {
	s.p.t.Helper()
	begun := time.Now()
	if _, err := s.p.client.Set(context.Background(), s.reqs[len(s.took)%2]); err != nil {
		s.p.t.Fatal(err)
	}
	s.took.add(time.Since(begun))
}

// loaded is an agent in a namespace of its own, with n SIDs.
func loaded(b *testing.B, n int, tapped bool) (*namespace, *process) {
	b.Helper()
	ns := newNamespace(b)
	p := start(ns, b.TempDir(), tapped)
	p.configure()
	p.timed("Set", replaceRequest(b, sidsPath, sidsJSON(n)))
	if got := ns.routes("72"); got < n {
		b.Fatalf("the kernel has %d routes of ours, want %d SIDs", got, n)
	}
	return ns, p
}

// BenchmarkLeafSet is a Set of one leaf, with kernel and log, at two sizes that
// take turns.
func BenchmarkLeafSet(b *testing.B) {
	once(b)
	const sets = 1500
	_, little := loaded(b, 100, false)
	_, much := loaded(b, full, false)
	small, large := newLeafSetter(little, 50), newLeafSetter(much, full/2)
	for range 200 { // the first ones pay for what is set up once
		small.set()
		large.set()
	}
	small.took, large.took = nil, nil
	for range sets {
		small.set()
		large.set()
	}
	record(b, Result{Name: "leaf-set", Count: 100, Unit: "s", Samples: small.took})
	record(b, Result{Name: "leaf-set", Count: full, Unit: "s", Samples: large.took})
}

// bulk is a large Set and what iproute2 needs to do the same.
type bulk struct {
	name    string
	at      string
	request []byte
	batch   []byte
	count   int
	// shared is how many of the routes leave by a nexthop object.
	shared int
}

func sidsBulk(t testing.TB, n int) bulk {
	return bulk{"sids", sidsPath, replaceRequest(t, sidsPath, sidsJSON(n)), sidsBatch(n), n, 0}
}

func staticsBulk(t testing.TB, n int) bulk {
	return bulk{"encaps", staticsPath, replaceRequest(t, staticsPath, encaps{}.json(n)), encaps{}.batch("add", n), n, n}
}

func namedStaticsBulk(t testing.TB, n int) bulk {
	return bulk{"encaps-named", staticsPath, replaceRequest(t, staticsPath, encaps{named: true}.json(n)), encaps{}.batch("add", n), n, 0}
}

// versus has the agent and iproute2 do the same in turns, each time from
// nothing, and records both.
func (w bulk) versus(b *testing.B, rounds int) {
	b.Helper()
	ours, theirs := newNamespace(b), newNamespace(b)
	theirs.mustIP("-6 addr add 2001:db8:13::1/64 dev e1")
	p := start(ours, b.TempDir(), profiles())
	p.configure()
	before := ours.routes("72")
	file := filepath.Join(b.TempDir(), "batch")
	if err := os.WriteFile(file, w.batch, 0o600); err != nil {
		b.Fatal(err)
	}
	var set, shown, ip, setCPU, ipCPU, lost, lostOurs times
	agent := func() {
		cpu := p.cpu()
		begun := time.Now()
		d, _ := p.timed("Set", w.request)
		set.add(d)
		p.shown()
		shown.add(time.Since(begun))
		setCPU = append(setCPU, p.cpu()-cpu)
		lostOurs = append(lostOurs, float64(w.count-(ours.routes("72")-before)))
		if by := strings.Count(ours.mustIP("-6 -o route show proto 72"), " nhid "); by != w.shared {
			b.Fatalf("%d routes leave by a nexthop object, want %d", by, w.shared)
		}
		p.remove(w.at)
	}
	peer := func() {
		begun := time.Now()
		out, _ := theirs.ip(nil, "-6", "-force", "-batch", file)
		ip.add(time.Since(begun))
		ipCPU = append(ipCPU, theirs.cpu)
		lost = append(lost, float64(strings.Count(out, "Command failed")))
		theirs.mustIP("-6 route flush proto boot")
	}
	for i := range rounds {
		if i%2 == 0 {
			agent()
			peer()
		} else {
			peer()
			agent()
		}
	}
	if profiles() && w.count == full {
		p.profiled(w.name, func() {
			p.timed("Set", w.request)
			p.shown()
		})
	}
	record(b, Result{Name: w.name + "-set", Count: w.count, Unit: "s", Samples: set})
	record(b, Result{Name: w.name + "-shown", Count: w.count, Unit: "s", Samples: shown})
	record(b, Result{Name: w.name + "-ip", Count: w.count, Unit: "s", Samples: ip})
	record(b, Result{Name: w.name + "-set-cpu", Count: w.count, Unit: "s", Samples: setCPU})
	record(b, Result{Name: w.name + "-ip-cpu", Count: w.count, Unit: "s", Samples: ipCPU})
	record(b, Result{Name: w.name + "-lost", Count: w.count, Unit: "routes", Samples: lostOurs})
	record(b, Result{Name: w.name + "-lost-by-ip", Count: w.count, Unit: "routes", Samples: lost})
	record(b, Result{Name: w.name + "-payload", Count: w.count, Unit: "octets", Samples: times{float64(len(w.request))}})
}

// BenchmarkBulkSIDs is one Set of 100,000 End.X SIDs, JSON_IETF on the wire to
// the answer: read back from the kernel and on disk.
func BenchmarkBulkSIDs(b *testing.B) {
	once(b)
	sidsBulk(b, full).versus(b, rounds(b))
}

// BenchmarkBulkEncaps is the same with H.Encaps routes over 16 segment lists, which
// share 16 nexthop objects. The peer's routes carry their encapsulation, as
// somebody would type them.
func BenchmarkBulkEncaps(b *testing.B) {
	once(b)
	staticsBulk(b, full).versus(b, rounds(b))
}

// BenchmarkRepoint is a Set that gives each of 100,000 H.Encaps routes another
// segment list: those of one list move to another together. The peer replaces its
// routes one by one.
func BenchmarkRepoint(b *testing.B) {
	once(b)
	ours, theirs := newNamespace(b), newNamespace(b)
	theirs.mustIP("-6 addr add 2001:db8:13::1/64 dev e1")
	p := start(ours, b.TempDir(), profiles())
	p.configure()
	var requests [2][]byte
	var files [2]string
	for end := range requests {
		requests[end] = replaceRequest(b, staticsPath, encaps{end: end}.json(full))
		files[end] = filepath.Join(b.TempDir(), "batch")
		if err := os.WriteFile(files[end], encaps{end: end}.batch("replace", full), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	p.timed("Set", requests[0])
	p.shown()
	theirs.ip(nil, "-6", "-force", "-batch", files[0])
	var set, ip, setCPU, ipCPU, lost, lostByIP times
	repoint := func(end int) {
		cpu := p.cpu()
		d, _ := p.timed("Set", requests[end])
		p.shown()
		set, setCPU = append(set, d.Seconds()), append(setCPU, p.cpu()-cpu)
		if by := strings.Count(ours.mustIP("-6 nexthop"), fmt.Sprintf(" 2001:db8:%d::1 ]", 3+end)); by != 16 {
			b.Fatalf("%d nexthop objects lead there, want 16", by)
		}
		lost = append(lost, float64(full-strings.Count(ours.mustIP("-6 -o route show proto 72"), " nhid ")))
	}
	peer := func(end int) {
		begun := time.Now()
		out, _ := theirs.ip(nil, "-6", "-force", "-batch", files[end])
		ip, ipCPU = append(ip, time.Since(begun).Seconds()), append(ipCPU, theirs.cpu)
		lostByIP = append(lostByIP, float64(strings.Count(out, "Command failed")))
	}
	for i := range rounds(b) {
		if i%2 == 0 {
			repoint(1)
			peer(1)
		} else {
			peer(0)
			repoint(0)
		}
	}
	if profiles() {
		p.profiled("repoint", func() {
			p.timed("Set", requests[rounds(b)%2^1])
			p.shown()
		})
	}
	record(b, Result{Name: "repoint-set", Count: full, Unit: "s", Samples: set})
	record(b, Result{Name: "repoint-ip", Count: full, Unit: "s", Samples: ip})
	record(b, Result{Name: "repoint-set-cpu", Count: full, Unit: "s", Samples: setCPU})
	record(b, Result{Name: "repoint-ip-cpu", Count: full, Unit: "s", Samples: ipCPU})
	record(b, Result{Name: "repoint-lost", Count: full, Unit: "routes", Samples: lost})
	record(b, Result{Name: "repoint-lost-by-ip", Count: full, Unit: "routes", Samples: lostByIP})
}

// BenchmarkBulkEncapsNamed is the same with routes that name an interface: each
// carries its encapsulation, as the peer's do.
func BenchmarkBulkEncapsNamed(b *testing.B) {
	once(b)
	namedStaticsBulk(b, full).versus(b, rounds(b))
}

// BenchmarkLeaves is the same Set as leaf updates and as JSON_IETF, in turns.
func BenchmarkLeaves(b *testing.B) {
	once(b)
	n := newNamespace(b)
	p := start(n, b.TempDir(), profiles())
	p.configure()
	before := n.routes("72")
	requests := map[string][]byte{"proto": leavesRequest(b, full), "json": replaceRequest(b, sidsPath, sidsJSON(full))}
	took, cpu, peak := map[string]times{}, map[string]times{}, map[string]times{}
	set := func(name string) {
		p.resetPeak()
		used := p.cpu()
		d, _ := p.timed("Set", requests[name])
		p.shown()
		took[name] = append(took[name], d.Seconds())
		cpu[name] = append(cpu[name], p.cpu()-used)
		peak[name] = append(peak[name], p.status("VmHWM"))
		if got := n.routes("72") - before; got != full {
			b.Fatalf("%s: the kernel has %d SIDs, want %d", name, got, full)
		}
		p.remove(sidsPath)
	}
	for range max(2, rounds(b)-2) {
		set("json")
		set("proto")
	}
	if profiles() {
		p.profiled("proto", func() { set("proto") })
	}
	record(b, Result{Name: "leaves-json", Count: full, Unit: "s", Samples: took["json"]})
	record(b, Result{Name: "leaves-proto", Count: full, Unit: "s", Samples: took["proto"]})
	record(b, Result{Name: "leaves-json-cpu", Count: full, Unit: "s", Samples: cpu["json"]})
	record(b, Result{Name: "leaves-proto-cpu", Count: full, Unit: "s", Samples: cpu["proto"]})
	record(b, Result{Name: "leaves-proto-peak", Count: full, Unit: "octets", Samples: peak["proto"]})
	record(b, Result{Name: "leaves-payload", Count: full, Unit: "octets", Samples: times{float64(len(requests["proto"]))}})
}

// BenchmarkGet is a Get of everything, configuration and state, by a client that
// looks into nothing.
func BenchmarkGet(b *testing.B) {
	once(b)
	_, p := loaded(b, full, profiles())
	for name, kind := range map[string]gpb.GetRequest_DataType{"all": gpb.GetRequest_ALL, "config": gpb.GetRequest_CONFIG} {
		req := wire(b, &gpb.GetRequest{Path: []*gpb.Path{{}}, Type: kind, Encoding: gpb.Encoding_JSON_IETF})
		var rate times
		size := 0
		get := func() {
			d, n := p.timed("Get", req)
			rate, size = append(rate, float64(n)/1e6/d.Seconds()), n
		}
		get()
		rate = nil
		for range rounds(b) {
			get()
		}
		if profiles() {
			p.profiled("get-"+name, func() {
				for range 10 {
					get()
				}
			})
		}
		record(b, Result{Name: "get-" + name, Count: full, Unit: "MB/s", Samples: rate})
		record(b, Result{Name: "get-" + name + "-size", Count: full, Unit: "octets", Samples: times{float64(size)}})
	}
}

// BenchmarkGrowth is the growth from 100 to 100,000 SIDs, to 1,000,000 with
// BENCHMILLION=1.
func BenchmarkGrowth(b *testing.B) {
	once(b)
	for n := 100; n <= 1_000_000; n *= 10 {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			if n > full && os.Getenv("BENCHMILLION") == "" {
				b.Skip("takes 4 GB: set BENCHMILLION=1")
			}
			turns := 5
			if n >= full {
				turns = 1
			}
			sidsBulk(b, n).versus(b, turns)
			_, p := loaded(b, n, false)
			s := newLeafSetter(p, n/2)
			for range 600 {
				s.set()
			}
			record(b, Result{Name: "growth-leaf", Count: n, Unit: "s", Samples: s.took[100:]})
		})
	}
}

// BenchmarkStart is a start with 100,000 SIDs saved: in an empty kernel, and with
// everything in place.
func BenchmarkStart(b *testing.B) {
	once(b)
	ns, p := loaded(b, full, false)
	p.stop()
	saved := p.dir
	fresh := func() (*namespace, string) {
		n, dir := newNamespace(b), b.TempDir()
		if err := os.CopyFS(filepath.Join(dir, "config"), os.DirFS(filepath.Join(saved, "config"))); err != nil {
			b.Fatal(err)
		}
		return n, dir
	}
	heard := ns.listen()
	var empty, emptyCPU, place, placeCPU, writes times
	for range rounds(b) {
		n, dir := fresh()
		q := start(n, dir, false)
		empty.add(q.ready)
		emptyCPU = append(emptyCPU, q.readyCPU)
		if got := n.routes("72"); got < full {
			b.Fatalf("the kernel has %d routes of ours, want %d SIDs", got, full)
		}
		q.stop()
		// A namespace that goes with its routes keeps the kernel's lock of all
		// namespaces for a tenth of a second, in which nobody else starts.
		n.mustIP("-6 route flush proto 72")
		n.close()

		heard.count()
		q = start(ns, saved, false)
		place.add(q.ready)
		placeCPU = append(placeCPU, q.readyCPU)
		q.stop()
		writes = append(writes, float64(heard.count()))
	}
	if profiles() {
		n, dir := fresh()
		startProfiled(n, dir, "start-empty").stop()
		n.close()
		startProfiled(ns, saved, "start-in-place").stop()
	}
	record(b, Result{Name: "start-empty", Count: full, Unit: "s", Samples: empty})
	record(b, Result{Name: "start-empty-cpu", Count: full, Unit: "s", Samples: emptyCPU})
	record(b, Result{Name: "start-in-place", Count: full, Unit: "s", Samples: place})
	record(b, Result{Name: "start-in-place-cpu", Count: full, Unit: "s", Samples: placeCPU})
	record(b, Result{Name: "start-in-place-writes", Count: full, Unit: "writes", Samples: writes})
	// The listener that heard nothing hears: a change counts.
	ns.mustIP("-6 route replace 2001:db8:77::/48 dev e1")
	if heard.count() == 0 {
		b.Fatal("the kernel tells of no route that is written: the count of writes means nothing")
	}
}

// BenchmarkMemory is resident memory idle and with 100,000 SIDs, the heap that is
// really in use, and the peak during the Set.
func BenchmarkMemory(b *testing.B) {
	once(b)
	request := replaceRequest(b, sidsPath, sidsJSON(full))
	n := newNamespace(b)
	p := start(n, b.TempDir(), false)
	p.configure()
	idle := p.status("VmRSS")
	p.resetPeak()
	p.timed("Set", request)
	p.shown()
	peak, after := p.status("VmHWM"), p.status("VmRSS")
	<-time.After(settle)
	settled := p.status("VmRSS")
	p.stop()
	q := start(n, p.dir, false)
	restarted := q.status("VmRSS")
	q.stop()

	// The same with an agent that says what its heap holds.
	n = newNamespace(b)
	q = start(n, b.TempDir(), true)
	q.configure()
	heap := func(file string) float64 {
		var v float64
		if _, err := fmt.Sscan(q.ask("heap "+file), &v); err != nil {
			b.Fatal(err)
		}
		return v
	}
	bare := heap("")
	q.timed("Set", request)
	q.shown()
	file := ""
	if profiles() {
		file = os.Getenv("BENCHPROFILES") + "/heap.pprof"
	}
	live := heap(file)

	octets := func(name string, v float64) {
		record(b, Result{Name: name, Count: full, Unit: "octets", Samples: times{v}})
	}
	octets("memory-idle", idle)
	octets("memory-peak", peak)
	octets("memory-payload", float64(len(request)))
	octets("memory-after", after)
	octets("memory-settled", settled)
	octets("memory-restarted", restarted)
	octets("memory-heap-idle", bare)
	octets("memory-heap", live)
}

// settle is how long the runtime gets to give memory back after a large Set.
const settle = 45 * time.Second
