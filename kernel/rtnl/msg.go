package rtnl

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Netlink messages are in the byte order of the machine, addresses excepted.
var native = binary.NativeEndian

func align4(n int) int { return (n + 3) &^ 3 }

// msgBuf collects netlink messages, one behind the other, for one send.
type msgBuf struct {
	b     []byte
	start int // offset of the message that is being written
	last  int // offset of the last complete one
}

func (m *msgBuf) reset() { m.b = m.b[:0] }

// begin starts a message with n zeroed octets of family header, which it returns.
// They are valid until the first attribute is written.
func (m *msgBuf) begin(typ, flags uint16, seq uint32, n int) []byte {
	m.start = len(m.b)
	m.b = append(m.b, make([]byte, unix.NLMSG_HDRLEN+n)...)
	h := m.b[m.start:]
	native.PutUint16(h[4:], typ)
	native.PutUint16(h[6:], flags|unix.NLM_F_REQUEST)
	native.PutUint32(h[8:], seq)
	return h[unix.NLMSG_HDRLEN:]
}

// end completes the message that begin started.
func (m *msgBuf) end() {
	m.last = m.start
	native.PutUint32(m.b[m.start:], uint32(len(m.b)-m.start))
}

// askAck has the last message that is complete acknowledged.
func (m *msgBuf) askAck() {
	flags := m.b[m.last+6:]
	native.PutUint16(flags, native.Uint16(flags)|unix.NLM_F_ACK)
}

// abort drops the message that begin started.
func (m *msgBuf) abort() { m.b = m.b[:m.start] }

func (m *msgBuf) hdr(typ uint16, n int) {
	m.b = native.AppendUint16(m.b, uint16(n+4))
	m.b = native.AppendUint16(m.b, typ)
}

func (m *msgBuf) pad() {
	for len(m.b)%4 != 0 {
		m.b = append(m.b, 0)
	}
}

func (m *msgBuf) bytes(typ uint16, v []byte) {
	m.hdr(typ, len(v))
	m.b = append(m.b, v...)
	m.pad()
}

func (m *msgBuf) str(typ uint16, v string) {
	m.hdr(typ, len(v)+1)
	m.b = append(m.b, v...)
	m.b = append(m.b, 0)
	m.pad()
}

func (m *msgBuf) u8(typ uint16, v uint8) {
	m.hdr(typ, 1)
	m.b = append(m.b, v, 0, 0, 0)
}

func (m *msgBuf) u16(typ uint16, v uint16) {
	m.hdr(typ, 2)
	m.b = native.AppendUint16(m.b, v)
	m.b = append(m.b, 0, 0)
}

// be16 is a value in network byte order.
func (m *msgBuf) be16(typ uint16, v uint16) {
	m.hdr(typ, 2)
	m.b = binary.BigEndian.AppendUint16(m.b, v)
	m.b = append(m.b, 0, 0)
}

// be32 is a value in network byte order.
func (m *msgBuf) be32(typ uint16, v uint32) {
	m.hdr(typ, 4)
	m.b = binary.BigEndian.AppendUint32(m.b, v)
}

func (m *msgBuf) u32(typ uint16, v uint32) {
	m.hdr(typ, 4)
	m.b = native.AppendUint32(m.b, v)
}

func (m *msgBuf) u64(typ uint16, v uint64) {
	m.hdr(typ, 8)
	m.b = native.AppendUint64(m.b, v)
}

func (m *msgBuf) addr(typ uint16, a netip.Addr) {
	if a.Is4() {
		v := a.As4()
		m.bytes(typ, v[:])
		return
	}
	v := a.As16()
	m.bytes(typ, v[:])
}

// nest starts an attribute that holds attributes; close it with unnest.
func (m *msgBuf) nest(typ uint16) int {
	off := len(m.b)
	m.hdr(typ, 0)
	return off
}

func (m *msgBuf) unnest(off int) {
	native.PutUint16(m.b[off:], uint16(len(m.b)-off))
}

// attrs walks the attributes of a message.
type attrs struct {
	rest []byte
	typ  uint16 // without the nested and byte-order flags
	data []byte
	raw  []byte // with header and padding
}

// next moves to the next attribute; false at the end or at a malformed one.
func (a *attrs) next() bool {
	if len(a.rest) < 4 {
		return false
	}
	n := int(native.Uint16(a.rest))
	if n < 4 || n > len(a.rest) {
		return false
	}
	a.typ = native.Uint16(a.rest[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
	a.data = a.rest[4:n]
	a.raw = a.rest[:min(align4(n), len(a.rest))]
	a.rest = a.rest[len(a.raw):]
	return true
}

func (a *attrs) u8() uint8 {
	if len(a.data) < 1 {
		return 0
	}
	return a.data[0]
}

func (a *attrs) u16() uint16 {
	if len(a.data) < 2 {
		return 0
	}
	return native.Uint16(a.data)
}

func (a *attrs) be16() uint16 {
	if len(a.data) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(a.data)
}

func (a *attrs) be32() uint32 {
	if len(a.data) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(a.data)
}

func (a *attrs) u32() uint32 {
	if len(a.data) < 4 {
		return 0
	}
	return native.Uint32(a.data)
}

func (a *attrs) u64() uint64 {
	if len(a.data) < 8 {
		return 0
	}
	return native.Uint64(a.data)
}

// str is the string value without its terminating zero.
func (a *attrs) str() string { return unix.ByteSliceToString(a.data) }

// addr is the address value; the zero Addr when it is neither 4 nor 16 octets.
func (a *attrs) addr() netip.Addr {
	v, _ := netip.AddrFromSlice(a.data)
	return v
}

// message is one netlink message as received.
type message struct {
	typ   uint16
	flags uint16
	seq   uint32
	port  uint32
	data  []byte // behind the netlink header
}

// splitMessage takes the first message off b.
func splitMessage(b []byte) (m message, rest []byte, ok bool) {
	if len(b) < unix.NLMSG_HDRLEN {
		return m, nil, false
	}
	n := int(native.Uint32(b))
	if n < unix.NLMSG_HDRLEN || n > len(b) {
		return m, nil, false
	}
	m = message{
		typ: native.Uint16(b[4:]), flags: native.Uint16(b[6:]),
		seq: native.Uint32(b[8:]), port: native.Uint32(b[12:]),
		data: b[unix.NLMSG_HDRLEN:n],
	}
	return m, b[min(align4(n), len(b)):], true
}

// ack reads the body of NLMSG_ERROR or NLMSG_DONE: nil is success.
func (m *message) ack() *answer {
	if len(m.data) < 4 {
		return nil
	}
	code := int32(native.Uint32(m.data))
	if code >= 0 {
		return nil
	}
	a := &answer{errno: unix.Errno(-code)}
	if m.flags&unix.NLM_F_ACK_TLVS == 0 {
		return a
	}
	off := 4
	if m.typ == unix.NLMSG_ERROR {
		// The request comes back behind the code: its header only when capped.
		off += unix.NLMSG_HDRLEN
		if m.flags&unix.NLM_F_CAPPED == 0 && len(m.data) >= 8 {
			off = 4 + align4(int(native.Uint32(m.data[4:])))
		}
	}
	if off > len(m.data) {
		return a
	}
	for at := (attrs{rest: m.data[off:]}); at.next(); {
		if at.typ == unix.NLMSGERR_ATTR_MSG {
			a.text = at.str()
		}
	}
	return a
}
