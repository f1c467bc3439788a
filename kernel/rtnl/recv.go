package rtnl

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// manySlots datagrams are read in one call: about as many as a batch has
	// answers.
	manySlots = 64

	// slotSize holds the echo of any route that we make: an SRH has at most
	// 127 segments of 16 octets (RFC 8754 §2, with its length of 8 bits).
	slotSize = recvSize / manySlots
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// many reads several datagrams in one system call, into parts of one buffer.
type many struct {
	iov [manySlots]unix.Iovec
	msg [manySlots]mmsghdr
}

func newMany(buf []byte) *many {
	m := new(many)
	for i := range m.msg {
		m.iov[i].Base = &buf[i*slotSize]
		m.iov[i].SetLen(slotSize)
		m.msg[i].hdr.Iov = &m.iov[i]
		m.msg[i].hdr.SetIovlen(1)
	}
	return m
}

// tryRecvMany reads the datagrams that are there, at most manySlots, and hands
// each to fn; EAGAIN when there is none. What fn sees is valid during the call.
func (c *conn) tryRecvMany(fn func([]byte)) error {
	if c.many == nil {
		c.many = newMany(c.buf)
	}
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(c.fd),
			uintptr(unsafe.Pointer(&c.many.msg[0])), manySlots, unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.ENOBUFS:
			return errLost
		case errno != 0:
			return errno
		}
		for i := range int(n) {
			if c.many.msg[i].hdr.Flags&unix.MSG_TRUNC != 0 {
				return fmt.Errorf("read netlink answer: it is longer than %d octets", slotSize)
			}
			fn(c.buf[i*slotSize:][:c.many.msg[i].len])
		}
		return nil
	}
}

// recvMany is tryRecvMany and waits for the first datagram until the context's
// deadline.
func (c *conn) recvMany(ctx context.Context, fn func([]byte)) error {
	err := c.tryRecvMany(fn)
	if !errors.Is(err, unix.EAGAIN) {
		return err
	}
	return c.await(ctx, func() error {
		err = c.tryRecvMany(fn)
		return err
	})
}
