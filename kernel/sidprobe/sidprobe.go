// Package sidprobe finds out whether packets get through SRv6 segments: SIDs answer
// no ping, so a probe is sent through them that comes back to this node by itself.
// It serves the agent's answers to operators. It knows sockets and packets, and
// nothing of configuration or of other nodes.
//
// A probe that comes back is seen as it comes in, by a packet socket: a segment
// routing header that ends at this node is dropped behind that unless seg6_enabled
// is set for the link (ipv6_srh_rcv in net/ipv6/exthdrs.c), and so is an IPv4 packet
// with this node's own address as its source (fib_validate_source in
// net/ipv4/fib_frontend.c).
package sidprobe

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Probe is a way to be tried.
type Probe struct {
	Segments []netip.Addr // SIDs in travel order, at least one
	Source   netip.Addr   // IPv6 address of this node, in its main table

	// Inner is set where the last segment takes packets out of others (End.DT*,
	// End.DX*): an address of this node, to which it gets what it takes out back. It
	// is in the VRF Device; empty: in none.
	Inner  netip.Addr
	Device string

	// InnerSource is what the inner packet has as its source; the zero Addr: Inner.
	// An IPv4 packet from one of a node's own addresses is dropped by that node, and
	// a SID that takes it out counts an error.
	InnerSource netip.Addr

	Count    int
	Interval time.Duration // from one to the next
	Wait     time.Duration // for the last one
}

// home is where the probes come back to.
func (p Probe) home() netip.Addr {
	if p.Inner.IsValid() {
		return p.Inner
	}
	return p.Source
}

// Result is what came back.
type Result struct {
	Sent       int
	RoundTrips []time.Duration // of those that came back, in the order in which they did
}

// UnableError says that no probe can be sent, with a remedy.
type UnableError struct {
	Reason, Remedy string
	Err            error
}

func (e *UnableError) Error() string { return e.Reason + ": " + e.Remedy }

// Unwrap gives what the kernel said.
func (e *UnableError) Unwrap() error { return e.Err }

// Prober sends probes from one network namespace. It is safe for concurrent use.
type Prober struct{ ns *os.File }

const threadNS = "/proc/thread-self/ns/net"

// Open binds a prober to the network namespace of the calling thread.
func Open() (*Prober, error) {
	f, err := os.Open(threadNS)
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	return &Prober{f}, nil
}

// Close releases the namespace.
func (p *Prober) Close() { _ = p.ns.Close() }

// inside calls fn on a thread in the namespace. The thread ends with it.
func (p *Prober) inside(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(p.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter network namespace: %w", err)
			return
		}
		done <- fn()
	}()
	return <-done
}

// SourceFor is the address that the kernel chooses for packets to dst.
func (p *Prober) SourceFor(dst netip.Addr) (src netip.Addr, err error) {
	err = p.inside(func() error {
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, &unix.SockaddrInet6{Port: 9, Addr: dst.As16()}); err != nil {
			return sendError(dst, err)
		}
		sa, err := unix.Getsockname(fd)
		if own, ok := sa.(*unix.SockaddrInet6); ok {
			src = netip.AddrFrom16(own.Addr)
		}
		return err
	})
	return src, err
}

// sendError says why nothing can be sent to dst.
func sendError(dst netip.Addr, err error) error {
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL):
		return &UnableError{Reason: fmt.Sprintf("this node has no way to %s (%v)", dst, err), Remedy: "configure a route to it", Err: err}
	case errors.Is(err, unix.EPERM):
		return &UnableError{Reason: "this node does not let the probe out (" + err.Error() + ")", Remedy: "look at its packet filter", Err: err}
	}
	return fmt.Errorf("send to %s: %w", dst, err)
}

// Run sends the probes and waits for them. Errors are *UnableError, what the system
// answered, and the context's.
func (p *Prober) Run(ctx context.Context, pr Probe) (Result, error) {
	var s *sockets
	err := p.inside(func() (err error) {
		s, err = openSockets(pr)
		return err
	})
	if err != nil {
		return Result{}, err
	}
	defer s.close()
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return Result{}, err
	}
	r := run{probe: pr, sockets: s, session: session{binary.BigEndian.Uint64(id[:]), s.port}, sent: make([]time.Time, 0, pr.Count), back: make([]bool, pr.Count)}
	return r.all(ctx)
}

// run is one at work.
type run struct {
	probe   Probe
	sockets *sockets
	session session
	sent    []time.Time
	back    []bool
	result  Result
}

// longestWait is after how long the context is looked at again.
const longestWait = 100 * time.Millisecond

func (r *run) all(ctx context.Context) (Result, error) {
	next := time.Now()
	for {
		if err := ctx.Err(); err != nil {
			return r.result, err
		}
		now := time.Now()
		if len(r.sent) < r.probe.Count && !now.Before(next) {
			if err := r.send(); err != nil {
				return r.result, err
			}
			next = next.Add(r.probe.Interval)
			continue
		}
		until := next
		if len(r.sent) == r.probe.Count {
			until = r.sent[len(r.sent)-1].Add(r.probe.Wait)
			if len(r.result.RoundTrips) == r.probe.Count || !now.Before(until) {
				return r.result, nil
			}
		}
		if err := r.sockets.wait(min(until.Sub(now), longestWait)); err != nil {
			return r.result, err
		}
		r.receive()
	}
}

func (r *run) send() error {
	seq := uint32(len(r.sent))
	b := r.probe.packet(r.session, seq)
	r.sent = append(r.sent, time.Now())
	first := r.probe.Segments[0]
	if err := unix.Sendto(r.sockets.raw, b, 0, &unix.SockaddrInet6{Addr: first.As16()}); err != nil {
		return sendError(first, err)
	}
	r.result.Sent++
	return nil
}

// receive takes what has come in. A probe may be seen twice, by both sockets.
func (r *run) receive() {
	r.sockets.receive(func(b []byte, payload bool) {
		seq, ok := uint32(0), false
		if payload {
			seq, ok = r.session.number(b)
		} else {
			seq, ok = r.session.back(b, r.probe.home())
		}
		if !ok || int(seq) >= len(r.sent) || r.back[seq] {
			return
		}
		r.back[seq] = true
		r.result.RoundTrips = append(r.result.RoundTrips, time.Since(r.sent[seq]))
	})
}
