// Package nfprobe asks network functions beside this node whether they are there: by
// ARP (RFC 826), neighbour solicitation (RFC 4861 §4.3) or ICMP echo. It serves the
// agent, which says when to ask whom, and decides what silence means. It knows the
// network namespace that it was opened in, and neither model nor kernel objects.
package nfprobe

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"heddle/kernel/netns"
)

// Kind is how an NF is asked.
type Kind uint8

// The ways.
const (
	Neighbor Kind = iota + 1 // ARP request, or neighbour solicitation
	Echo                     // ICMP or ICMPv6 echo request
)

// Target is who is asked, and by which link.
type Target struct {
	Kind  Kind
	Addr  netip.Addr
	Link  string
	Index int // of the link

	// ID comes back in what answers an echo request.
	ID uint64
}

// Reply says that somebody has answered. ID is that of the echo request, 0 for others;
// Index is the link that it has come by.
type Reply struct {
	Kind  Kind
	Addr  netip.Addr
	Index int
	ID    uint64
}

// UnableError says that no socket could be opened for probes.
type UnableError struct {
	What string
	Err  error
}

func (e *UnableError) Error() string {
	return fmt.Sprintf("open %s: %v: run the agent as root or with CAP_NET_RAW", e.What, e.Err)
}

func (e *UnableError) Unwrap() error { return e.Err }

// Prober sends probes in one network namespace. Its sockets are opened when they are
// needed first.
type Prober struct {
	ns    *netns.Namespace
	links *netlink.Handle
	told  func(Reply)

	mu      sync.Mutex // guards what follows
	closed  bool
	sockets map[family]*socket
	reading sync.WaitGroup
	echo    uint16 // identifier of our echo requests
}

// family is what one socket is for.
type family uint8

const (
	arp family = iota
	icmp4
	icmp6
)

func (f family) String() string {
	return [...]string{"packet socket for ARP", "raw socket for ICMP", "raw socket for ICMPv6"}[f]
}

type socket struct {
	file *os.File
	raw  syscallConn
}

type syscallConn interface {
	Control(func(uintptr)) error
	Read(func(uintptr) bool) error
}

// Open binds a prober to the network namespace of the calling thread. told is called
// with every reply, by a goroutine for each kind of socket.
func Open(told func(Reply)) (*Prober, error) {
	ns, err := netns.Current()
	if err != nil {
		return nil, err
	}
	links, err := netlink.NewHandleAt(vnetns.NsHandle(ns.FD()), unix.NETLINK_ROUTE)
	if err != nil {
		ns.Close()
		return nil, fmt.Errorf("open netlink for probes: %w", err)
	}
	return &Prober{ns: ns, links: links, told: told, sockets: map[family]*socket{}, echo: uint16(os.Getpid())}, nil
}

// Close ends it. No reply is told afterwards.
func (p *Prober) Close() {
	p.mu.Lock()
	p.closed = true
	for _, s := range p.sockets {
		_ = s.file.Close()
	}
	p.mu.Unlock()
	p.reading.Wait()
	p.links.Close()
	p.ns.Close()
}

// Send asks once. An error says why it could not be asked.
func (p *Prober) Send(t Target) error {
	f := icmp4
	switch {
	case t.Addr.Is6():
		f = icmp6
	case t.Kind == Neighbor:
		f = arp
	}
	s, err := p.socket(f)
	if err != nil {
		return err
	}
	var sent error
	err = s.raw.Control(func(fd uintptr) {
		switch {
		case f == arp:
			sent = p.sendARP(int(fd), t)
		case t.Kind == Neighbor:
			sent = p.sendSolicitation(int(fd), t)
		default:
			sent = p.sendEcho(int(fd), t)
		}
	})
	if err = errors.Join(err, sent); err != nil {
		return fmt.Errorf("ask %s by %s: %w", t.Addr, t.Link, err)
	}
	return nil
}

func (p *Prober) socket(f family) (*socket, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, os.ErrClosed
	}
	if s := p.sockets[f]; s != nil {
		return s, nil
	}
	var fd int
	err := p.ns.Run(func() (err error) {
		fd, err = open(f)
		return err
	})
	if err != nil {
		return nil, &UnableError{f.String(), err}
	}
	s := &socket{file: os.NewFile(uintptr(fd), f.String())}
	if s.raw, err = s.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, s.file.Close())
	}
	p.sockets[f] = s
	p.reading.Go(func() { p.read(f, s) })
	return s, nil
}

// read tells of what comes in until the socket is closed.
func (p *Prober) read(f family, s *socket) {
	buf, control := make([]byte, 2048), make([]byte, 256)
	for {
		n, oob := 0, 0
		var from unix.Sockaddr
		var failed error
		err := s.raw.Read(func(fd uintptr) bool {
			n, oob, _, from, failed = unix.Recvmsg(int(fd), buf, control, 0)
			return !errors.Is(failed, unix.EAGAIN)
		})
		if err != nil { // closed
			return
		}
		if failed != nil {
			continue // an error of something sent, which is not read by its own sender
		}
		if r, ok := p.parse(f, buf[:n], control[:oob], from); ok {
			p.told(r)
		}
	}
}

// hardware is the Ethernet address of a link.
func (p *Prober) hardware(t Target) ([]byte, error) {
	l, err := p.links.LinkByIndex(t.Index)
	if err != nil {
		return nil, err
	}
	if mac := l.Attrs().HardwareAddr; len(mac) == 6 {
		return mac, nil
	}
	return nil, errors.New("the link has no Ethernet address")
}

// source is the address that the kernel sends to an NF from by a link.
func (p *Prober) source(t Target) (a netip.Addr, err error) {
	err = p.ns.Run(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.BindToDevice(fd, t.Link); err != nil {
			return err
		}
		if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: t.Addr.As4(), Port: 9}); err != nil {
			return err
		}
		name, err := unix.Getsockname(fd)
		if own, ok := name.(*unix.SockaddrInet4); ok {
			a = netip.AddrFrom4(own.Addr)
		}
		return err
	})
	return a, err
}
