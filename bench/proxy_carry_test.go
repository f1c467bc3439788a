package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestProxy sends what hosts send through the NF, of which too much for the way at last.
func TestProxy(t *testing.T) {
	if testing.Short() {
		t.Skip("short: starts an agent and six namespaces")
	}
	p := newProxyPath(t)
	for _, o := range []offloads{offloadsOn, offloadsGRO, offloadsOff} {
		p.set(o)
		t.Run("offloads="+o.String(), func(t *testing.T) { p.carries(t, o) })
	}
	p.set(offloadsOn)
	t.Run("too-big", p.tooBig)
}

// carries sends by all ways, with the offloads of the links on and off: a ping or a
// packet as it is on the wire hides what becomes of one of many segments, or of a
// checksum that is still to be filled in.
func (p *proxyPath) carries(t *testing.T, o offloads) {
	for w := range ways {
		for _, f := range families {
			if !w.carries(f, o) {
				continue
			}
			name := fmt.Sprintf("%s/ipv%s", w, f.name)
			t.Run(name+"/tcp", func(t *testing.T) { p.tcp(t, w, f, 4<<20, 4<<20) })
			t.Run(name+"/fragments", func(t *testing.T) { p.udp(t, w, f, noise(3, 5000), 5000) })
			if o != offloadsOff { // the kernel segments datagrams of which a link computes the checksum
				t.Run(name+"/udp-segments", func(t *testing.T) { p.udp(t, w, f, noise(4, 40*1300), 1300) })
			}
		}
	}
}

// limit is the time in which a transfer has to be over: one that stalls takes for
// ever, others a thousandth, and a tenth in a machine that is emulated.
const limit = 60 * time.Second

// tcp sends so many octets there and back over a connection and compares what arrives.
func (p *proxyPath) tcp(t *testing.T, w way, f family, forth, answered int) {
	t.Helper()
	before, _ := p.nf.received(w.nfLinks(f))
	a, b := p.connect(t, w, f)
	there, back := noise(1, forth), noise(2, answered)
	done := make(chan error, 4)
	go func() { done <- send(a, there) }()
	go func() { done <- expect(b, there) }()
	go func() { done <- send(b, back) }()
	go func() { done <- expect(a, back) }()
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if saw, _ := p.nf.received(w.nfLinks(f)); w != wayChain && saw-before < len(there)+len(back) {
		t.Errorf("the NF saw %d octets of %d", saw-before, len(there)+len(back))
	}
}

// connect opens a connection from the one host to the other.
func (p *proxyPath) connect(t testing.TB, w way, f family) (a, b net.Conn) {
	t.Helper()
	var l net.Listener
	p.dst.in(func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(host(w, atDst, f.six).String(), "0"))
		return err
	})
	defer l.Close()
	var err error
	p.src.in(func() error {
		d := net.Dialer{Timeout: limit, LocalAddr: net.TCPAddrFromAddrPort(addrPort(w, atSrc, f))}
		a, err = d.Dial("tcp", l.Addr().String())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return a, b
}

// noise is octets that repeat nowhere.
func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return b
}

func send(c net.Conn, b []byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	if n, err := c.Write(b); err != nil {
		return fmt.Errorf("send to %s: %d of %d octets: %w", c.RemoteAddr(), n, len(b), err)
	}
	return nil
}

func expect(c net.Conn, want []byte) error {
	if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil {
		return fmt.Errorf("receive from %s: %d of %d octets: %w", c.RemoteAddr(), n, len(want), err)
	}
	if !bytes.Equal(got, want) {
		return errors.New("receive from " + c.RemoteAddr().String() + ": other octets than were sent")
	}
	return nil
}

// udp sends octets at once, in datagrams of a size, and compares what arrives.
func (p *proxyPath) udp(t *testing.T, w way, f family, octets []byte, size int) {
	t.Helper()
	a, b := p.datagrams(t, w, f)
	if size < len(octets) {
		if err := option(a, unix.SOL_UDP, unix.UDP_SEGMENT, size); err != nil {
			t.Fatal(err)
		}
	}
	if err := send(a, octets); err != nil {
		t.Fatal(err)
	}
	if err := b.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(octets)+1)
	for at := 0; at < len(octets); at += size {
		n, err := b.Read(got)
		if err != nil {
			t.Fatalf("%d of %d octets: %v", at, len(octets), err)
		}
		if !bytes.Equal(got[:n], octets[at:at+size]) {
			t.Fatalf("the datagram at %d, of %d octets, is another", at, n)
		}
	}
}

// datagrams opens a socket on each host: what is sent on a arrives at b.
func (p *proxyPath) datagrams(t testing.TB, w way, f family) (a, b *net.UDPConn) {
	t.Helper()
	p.dst.in(func() (err error) {
		b, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(addrPort(w, atDst, f)))
		return err
	})
	t.Cleanup(func() { b.Close() })
	p.src.in(func() (err error) {
		a, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(addrPort(w, atSrc, f)), b.LocalAddr().(*net.UDPAddr))
		return err
	})
	t.Cleanup(func() { a.Close() })
	return a, b
}

// option sets an option of a socket.
func option(c syscall.Conn, level, name, value int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), level, name, value) })
	return errors.Join(err, set)
}
