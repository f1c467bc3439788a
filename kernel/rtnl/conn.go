package rtnl

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// recvSize holds the largest datagram of a dump: the kernel fills up to 32 KiB,
	// more when asked with a larger buffer.
	recvSize = 256 << 10

	// answerTimeout bounds the wait for an answer. rtnetlink answers within the
	// send call, so running into it means that the answer was lost.
	answerTimeout = 10 * time.Second

	dumpRetries = 8
)

// errLost is returned when answers did not fit into the receive buffer.
var errLost = errors.New("netlink answers lost: receive buffer overrun")

// conn is a netlink socket, used by one goroutine at a time. It stays in the
// network namespace it was opened in.
type conn struct {
	file *os.File
	raw  syscall.RawConn
	fd   int
	port uint32
	seq  uint32
	buf  []byte
	out  msgBuf
	many *many // made at the first use
}

// dial opens a socket in the network namespace of the calling thread.
func dial(protocol int, groups ...uint) (*conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	c := &conn{fd: fd, file: os.NewFile(uintptr(fd), "netlink"), buf: make([]byte, recvSize)}
	if err := c.setup(groups); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *conn) setup(groups []uint) error {
	for _, opt := range []int{unix.NETLINK_EXT_ACK, unix.NETLINK_CAP_ACK, unix.NETLINK_GET_STRICT_CHK} {
		if err := unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, opt, 1); err != nil {
			return fmt.Errorf("set netlink socket option %d (Linux 4.20 or later has it): %w", opt, err)
		}
	}
	// FORCE needs CAP_NET_ADMIN; without it, reading still works with less room.
	if unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20) != nil {
		_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20)
	}
	if err := unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("bind netlink socket: %w", err)
	}
	for _, g := range groups {
		if err := unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(g)); err != nil {
			return fmt.Errorf("join netlink group %d: %w", g, err)
		}
	}
	sa, err := unix.Getsockname(c.fd)
	if err != nil {
		return fmt.Errorf("read netlink port: %w", err)
	}
	if nsa, ok := sa.(*unix.SockaddrNetlink); ok {
		c.port = nsa.Pid
	}
	if c.raw, err = c.file.SyscallConn(); err != nil {
		return fmt.Errorf("poll netlink socket: %w", err)
	}
	return nil
}

// close ends the socket; what is called on it later fails.
func (c *conn) close() {
	c.fd = -1
	_ = c.file.Close()
}

// send hands all messages of b to the kernel, which works them off before the
// call returns.
func (c *conn) send(b []byte) error {
	for {
		_, err := unix.Write(c.fd, b)
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return fmt.Errorf("send netlink request: %w", err)
		}
	}
}

// tryRecv reads one datagram without waiting; EAGAIN when there is none. The
// result is valid until the next call.
func (c *conn) tryRecv() ([]byte, error) {
	for {
		// unix.Recvfrom would allocate a sender address for every datagram.
		n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(c.fd),
			uintptr(unsafe.Pointer(&c.buf[0])), uintptr(len(c.buf)),
			unix.MSG_DONTWAIT|unix.MSG_TRUNC, 0, 0)
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.ENOBUFS:
			return nil, errLost
		case errno != 0:
			return nil, errno
		case int(n) > len(c.buf):
			return nil, fmt.Errorf("read netlink answer: %d octets do not fit", n)
		}
		return c.buf[:n], nil
	}
}

// recv reads one datagram and waits for it until the context's deadline.
func (c *conn) recv(ctx context.Context) ([]byte, error) {
	b, err := c.tryRecv()
	if !errors.Is(err, unix.EAGAIN) {
		return b, err
	}
	err = c.await(ctx, func() error {
		b, err = c.tryRecv()
		return err
	})
	return b, err
}

// await calls try whenever there is something to read, until it does not return
// EAGAIN or the context's deadline has passed.
func (c *conn) await(ctx context.Context, try func() error) error {
	deadline := time.Now().Add(answerTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := c.file.SetReadDeadline(deadline); err != nil {
		return fmt.Errorf("wait for netlink answer: %w", err)
	}
	var err error
	werr := c.raw.Read(func(uintptr) bool {
		err = try()
		return !errors.Is(err, unix.EAGAIN)
	})
	if werr != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("wait for netlink answer: %w", werr)
	}
	return err
}

// wait reads one datagram and waits for it until the read deadline is set.
func (c *conn) wait() ([]byte, error) {
	b, err := c.tryRecv()
	if !errors.Is(err, unix.EAGAIN) {
		return b, err
	}
	werr := c.raw.Read(func(uintptr) bool {
		b, err = c.tryRecv()
		return !errors.Is(err, unix.EAGAIN)
	})
	if werr != nil {
		return nil, werr
	}
	return b, err
}

// drain throws away what is queued, so that the next exchange starts clean.
func (c *conn) drain() {
	for {
		if _, err := c.tryRecv(); err != nil && !errors.Is(err, errLost) {
			return
		}
	}
}

// request sends the one message in c.out, whose sequence number is c.seq, and
// hands each message of the answer to fn, until the kernel acknowledges. fn may
// be nil. The data fn sees is valid only during the call.
func (c *conn) request(ctx context.Context, fn func(*message)) error {
	c.drain()
	if err := c.send(c.out.b); err != nil {
		return err
	}
	interrupted := false
	for {
		b, err := c.recv(ctx)
		if err != nil {
			return err
		}
		for len(b) > 0 {
			m, rest, ok := splitMessage(b)
			if !ok {
				return errors.New("read netlink answer: malformed message")
			}
			b = rest
			if m.seq != c.seq {
				continue
			}
			interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			switch m.typ {
			case unix.NLMSG_ERROR, unix.NLMSG_DONE:
				if a := m.ack(); a != nil {
					return a
				}
				if interrupted {
					return errInterrupted
				}
				return nil
			case unix.NLMSG_NOOP:
			default:
				if fn != nil {
					fn(&m)
				}
			}
		}
	}
}

// pipeline sends n requests in one go and hands each message of the answers to
// take, with the number of its request, until the kernel is through with all.
// build writes request i, or says why it cannot. Only the last request asks for an
// acknowledgement: the kernel works them off in order and says of each that fails
// that it did, so what is not named is done. The error says that answers are
// missing.
func (c *conn) pipeline(ctx context.Context, n int, build func(m *msgBuf, i int, seq uint32) error, take func(i int, m *message)) error {
	c.out.reset()
	first := c.seq + 1
	var last uint32
	for i := range n {
		c.seq++
		if build(&c.out, i, c.seq) == nil {
			last = c.seq
		}
	}
	if len(c.out.b) == 0 {
		return nil
	}
	c.out.askAck()
	if err := c.send(c.out.b); err != nil {
		return err
	}
	for done := false; !done; {
		err := c.recvMany(ctx, func(b []byte) {
			for len(b) > 0 {
				m, rest, ok := splitMessage(b)
				if !ok {
					break
				}
				b = rest
				i := m.seq - first
				if i >= uint32(n) {
					continue
				}
				take(int(i), &m)
				done = done || m.typ == unix.NLMSG_ERROR && m.seq == last
			}
		})
		if err != nil {
			c.drain()
			return err
		}
	}
	return nil
}

// errInterrupted says that a dump changed while it was read.
var errInterrupted = errors.New("netlink dump interrupted by changes")

// begin starts a request; the caller adds attributes to c.out and calls c.out.end.
func (c *conn) begin(typ, flags uint16, n int) []byte {
	c.seq++
	c.out.reset()
	return c.out.begin(typ, flags, c.seq, n)
}

// dump repeats a dump that build writes until one was not interrupted. start is
// called before each attempt, to forget what an interrupted one delivered.
func (c *conn) dump(ctx context.Context, build, start func(), fn func(*message)) error {
	var err error
	for range dumpRetries {
		if err := ctx.Err(); err != nil {
			return err
		}
		start()
		build()
		if err = c.request(ctx, fn); !errors.Is(err, errInterrupted) && !errors.Is(err, errLost) {
			return err
		}
	}
	return err
}
