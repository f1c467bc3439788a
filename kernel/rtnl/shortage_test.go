package rtnl

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// scarce is a kernel that runs out of memory on order: it stands between a driver's
// writers and the real one, passes messages on, and answers those that refuse picks
// with ENOMEM, or another error.
type scarce struct {
	t *testing.T

	mu      sync.Mutex // guards what follows
	errno   unix.Errno
	ordered bool // the routes of a batch come in the order of their prefixes
	refuse  func(p netip.Prefix, try int) bool
	tries   map[netip.Prefix]int
	refused int
	all     int // messages
}

// newScarce puts it in front of the writers of d.
func newScarce(t *testing.T, d *Driver, refuse func(p netip.Prefix, try int) bool) *scarce {
	t.Helper()
	s := &scarce{t: t, errno: unix.ENOMEM, refuse: refuse, tries: map[netip.Prefix]int{}}
	for i, c := range d.writers {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		mine := &conn{fd: fds[0], file: os.NewFile(uintptr(fds[0]), "driver's end"), port: c.port, buf: make([]byte, recvSize)}
		if mine.raw, err = mine.file.SyscallConn(); err != nil {
			t.Fatal(err)
		}
		d.writers[i] = mine
		peer := os.NewFile(uintptr(fds[1]), "kernel's end")
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.serve(peer, c)
		}()
		t.Cleanup(func() { // the driver is closed after this
			mine.close()
			<-done
		})
	}
	return s
}

// serve answers the batches of one writer until its end is closed.
func (s *scarce) serve(peer *os.File, kernel *conn) {
	defer peer.Close()
	defer kernel.close()
	buf := make([]byte, recvSize)
	for {
		n, err := peer.Read(buf)
		if n <= 0 || err != nil {
			return
		}
		answers, last := s.answer(buf[:n], kernel)
		for _, isLast := range []bool{false, true} {
			for _, a := range answers {
				if (native.Uint32(a[8:]) == last) != isLast {
					continue
				}
				if _, err := peer.Write(a); err != nil {
					s.t.Errorf("answer the driver: %v", err)
				}
			}
		}
	}
}

// answer passes a batch on and collects the answers, one message each; last is the
// sequence number of its last message.
func (s *scarce) answer(batch []byte, kernel *conn) (answers [][]byte, last uint32) {
	var pass []byte
	var passed, acked uint32 // the last that is passed on, and whether it asks for that
	var above netip.Addr
	for len(batch) > 0 {
		size := align4(int(native.Uint32(batch)))
		m := slices.Clone(batch[:size])
		batch = batch[size:]
		last = native.Uint32(m[8:])
		r, ok := parseRoute(m[unix.NLMSG_HDRLEN:])
		if !ok {
			s.t.Errorf("message of type %d is none of a route", native.Uint16(m[4:]))
		}
		p := r.dst
		refused, ordered := s.refuses(p)
		if ordered && above.IsValid() && p.Addr().Less(above) {
			s.t.Errorf("%s is sent behind %s", p, above)
		}
		above = p.Addr()
		if refused == 0 {
			pass, passed = append(pass, m...), last
			continue
		}
		answers = append(answers, refusal(m, refused))
	}
	if len(pass) == 0 {
		return answers, last
	}
	// What is passed on needs an end that can be told.
	for rest := pass; ; rest = rest[align4(int(native.Uint32(rest))):] {
		if native.Uint32(rest[8:]) == passed {
			flags := native.Uint16(rest[6:])
			acked = uint32(flags & unix.NLM_F_ACK)
			native.PutUint16(rest[6:], flags|unix.NLM_F_ACK)
			break
		}
	}
	if err := kernel.send(pass); err != nil {
		s.t.Errorf("pass a batch on: %v", err)
	}
	for {
		b, err := kernel.recv(context.Background())
		if err != nil {
			s.t.Errorf("read the kernel's answer: %v", err)
			return answers, last
		}
		for len(b) > 0 {
			size := align4(int(native.Uint32(b)))
			m := slices.Clone(b[:size])
			b = b[size:]
			end := native.Uint16(m[4:]) == unix.NLMSG_ERROR && native.Uint32(m[8:]) == passed
			taken := end && native.Uint32(m[unix.NLMSG_HDRLEN:]) == 0
			if !taken || acked != 0 {
				answers = append(answers, m)
			}
			if end {
				return answers, last
			}
		}
	}
}

// refuses is the error for a message, 0 for none.
func (s *scarce) refuses(p netip.Prefix) (errno unix.Errno, ordered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries[p]++
	s.all++
	if s.refuse(p, s.tries[p]) {
		s.refused++
		errno = s.errno
	}
	return errno, s.ordered
}

func (s *scarce) order(ordered bool, errno unix.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ordered, s.errno = ordered, errno
}

// count is how many messages were refused, and how many routes were tried.
func (s *scarce) count() (refused, tried int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused, len(s.tries)
}

func (s *scarce) messages() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

// refusal is the kernel's error to a message.
func refusal(m []byte, errno unix.Errno) []byte {
	a := make([]byte, unix.NLMSG_HDRLEN+4, unix.NLMSG_HDRLEN+4+unix.NLMSG_HDRLEN)
	native.PutUint16(a[4:], unix.NLMSG_ERROR)
	copy(a[8:12], m[8:12])
	native.PutUint32(a[unix.NLMSG_HDRLEN:], ^uint32(errno)+1) // negative
	a = append(a, m[:unix.NLMSG_HDRLEN]...)
	native.PutUint32(a, uint32(len(a)))
	return a
}

// everyFifth is a prefix of bulkEncaps that is one in five.
func everyFifth(p netip.Prefix) bool {
	v := p.Addr().As16()
	return (int(v[6])<<8|int(v[7]))%5 == 0
}

// holds checks that the kernel holds just the routes whose result has no error, and
// returns how many.
func holds(t *testing.T, d *Driver, steps []reconcile.Step, results []reconcile.Result) int {
	t.Helper()
	there := map[object.Key]object.Object{}
	objs, err := d.Dump(context.Background(), object.KindRoute)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objs {
		there[o.Key()] = o
	}
	done := 0
	for i, r := range results {
		o, held := there[steps[i].New.Key()]
		switch {
		case (r.Err == nil) != held:
			t.Fatalf("%v: %v, and the kernel holds it: %t", steps[i], r.Err, held)
		case held && (!steps[i].New.Equal(r.Got) || !steps[i].New.Equal(o)):
			t.Fatalf("%v: got %v, the kernel holds %v", steps[i], r.Got, o)
		case held:
			done++
		}
	}
	if done != len(there) {
		t.Fatalf("the kernel holds %d routes, of which %d were asked for", len(there), done)
	}
	return done
}

// TestShortage: every fifth route is refused for want of memory, many of them more
// than once. None is lost, and each is sent as often as it has to be.
func TestShortage(t *testing.T) {
	for _, n := range []int{100, 5000} { // one writer, all writers
		d := testDriver(t)
		wires(t, d)
		steps := bulkEncaps()[:n]
		s := newScarce(t, d, func(p netip.Prefix, try int) bool {
			return everyFifth(p) && try <= 1+int(p.Addr().As16()[7])%4
		})
		s.order(true, unix.ENOMEM)
		results := d.Do(context.Background(), steps)
		if done := holds(t, d, steps, results); done != n {
			t.Errorf("%d of %d routes", done, n)
		}
		if refused, tried := s.count(); refused < n/5 || d.retried < refused || tried != n {
			t.Errorf("%d messages were refused and %d sent again, for %d routes", refused, d.retried, tried)
		}
	}
}

// netOnly is a driver for a reconciler that has no other.
type netOnly struct{ *Driver }

func (d netOnly) Dump(ctx context.Context, kinds ...object.Kind) ([]object.Object, error) {
	return d.Driver.Dump(ctx, slices.DeleteFunc(slices.Clone(kinds), func(k object.Kind) bool { return !slices.Contains(d.Kinds(), k) })...)
}

// TestShortageCancelled: the caller gives up while the kernel is short of memory.
// What was done is told from what was not, and a commit that ends so leaves nothing.
func TestShortageCancelled(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	steps := bulkEncaps()[:5000]
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	count := 0
	s := newScarce(t, d, func(p netip.Prefix, try int) bool {
		if !everyFifth(p) || try > 2 {
			return false
		}
		if count++; count == 100 {
			cancel()
		}
		return true
	})
	results := d.Do(ctx, steps)
	if done := holds(t, d, steps, results); done == 0 || done == len(steps) {
		t.Errorf("%d of %d routes: the end did not come in the middle", done, len(steps))
	}
	for i, r := range results {
		if r.Err != nil && !errors.Is(r.Err, context.Canceled) {
			t.Fatalf("%v: %v", steps[i], r.Err)
		}
	}
	if r := d.Do(context.Background(), deletions(steps)); slices.ContainsFunc(r, func(r reconcile.Result) bool { return r.Err != nil }) {
		t.Fatal("not all could be deleted")
	}

	rec := reconcile.New(netOnly{d})
	s.mu.Lock()
	ctx, cancel = context.WithCancel(context.Background())
	count, s.tries = 0, map[netip.Prefix]int{}
	s.mu.Unlock()
	defer cancel()
	if err := rec.Load(ctx); err != nil {
		t.Fatal(err)
	}
	want := rec.Leftovers() // the wires
	for _, s := range steps {
		want = append(want, s.New)
	}
	changes := make([]reconcile.Change, len(want))
	for i, o := range want {
		changes[i] = reconcile.Change{Key: o.Key(), Want: reconcile.Wanted{Object: o}}
	}
	if _, err := rec.Commit(ctx, changes); !errors.Is(err, context.Canceled) {
		t.Errorf("commit: %v", err)
	}
	if left, err := d.Dump(context.Background(), object.KindRoute); err != nil || len(left) != 0 {
		t.Errorf("%d routes are left, %v", len(left), err)
	}
}

// TestShortageLasts: the kernel has no memory for one route, ever. The caller gets
// the kernel's word for it after a while, and what lies behind it is not tried.
func TestShortageLasts(t *testing.T) {
	d := testDriver(t)
	wires(t, d)
	steps := bulkEncaps()[:200]
	s := newScarce(t, d, func(p netip.Prefix, _ int) bool {
		return p.Addr().As16()[7] >= 100 // also those that come behind
	})
	results := d.Do(context.Background(), steps)
	if done := holds(t, d, steps, results); done != 100 {
		t.Errorf("%d routes, want 100", done)
	}
	k, ok := errors.AsType[*KernelError](results[100].Err)
	if !ok || k.Errno != unix.ENOMEM || k.Object != describeStep(steps[100]) {
		t.Errorf("the first that is refused: %v", results[100].Err)
	}
	if _, tried := s.count(); !errors.Is(results[199].Err, errShortage) || tried == 200 {
		t.Errorf("the last: %v, after %d routes", results[199].Err, tried)
	}
}
