package netlab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/vishvananda/netns"
)

// forward accepts TCP connections in the lab's root namespace and carries them
// to an address inside a node.
type forward struct {
	listener net.Listener
	ns       netns.NsHandle
	target   string

	mu     sync.Mutex // guards conns and closed
	conns  map[net.Conn]struct{}
	closed bool
	wg     sync.WaitGroup
}

// Forward listens on a TCP address of the root namespace and carries each
// connection to target, an IP:port inside the node. Port 0 lets the kernel
// choose. It returns the address listened on; Down ends it.
func (l *Lab) Forward(listen, node, target string) (string, error) {
	ns, err := netns.GetFromName(l.NSName(node))
	if err != nil {
		return "", l.noSuchNode(node)
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		ns.Close()
		return "", fmt.Errorf("forward to %s: %w", node, err)
	}
	f := &forward{listener: listener, ns: ns, target: target, conns: map[net.Conn]struct{}{}}
	f.wg.Go(f.accept)
	l.mu.Lock()
	l.forwards = append(l.forwards, f)
	l.mu.Unlock()
	return listener.Addr().String(), nil
}

func (f *forward) accept() {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.wg.Go(func() { f.carry(conn) })
	}
}

func (f *forward) carry(outside net.Conn) {
	defer outside.Close()
	inside, err := f.dial()
	if err != nil {
		// The agent is down: closing tells the caller what a closed port would.
		return
	}
	defer inside.Close()
	if !f.track(outside, inside) {
		return
	}
	defer f.untrack(outside, inside)
	var pair sync.WaitGroup
	pair.Go(func() { copyHalf(inside, outside) })
	pair.Go(func() { copyHalf(outside, inside) })
	pair.Wait()
}

func copyHalf(to, from net.Conn) {
	// An error of either side ends up as the close that both sides see.
	_, _ = io.Copy(to, from)
	if tcp, ok := to.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}

// dial makes the socket on a thread inside the node; a socket stays in the
// namespace it was made in.
func (f *forward) dial() (conn net.Conn, err error) {
	err = inNS(f.ns, func() error {
		conn, err = net.DialTimeout("tcp", f.target, 10*time.Second)
		return err
	})
	return conn, err
}

// track reports false when the forward has been closed in the meantime.
func (f *forward) track(conns ...net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range conns {
		f.conns[c] = struct{}{}
	}
	return !f.closed
}

func (f *forward) untrack(conns ...net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range conns {
		delete(f.conns, c)
	}
}

func (f *forward) close() error {
	err := f.listener.Close()
	f.mu.Lock()
	f.closed = true
	for c := range f.conns {
		c.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
	return errors.Join(err, f.ns.Close())
}
