package gnmi

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// errWire says that octets are no message of the kind they should be.
var errWire = errors.New("cannot parse invalid wire-format data")

// fields goes through the fields of a message that lies in several pieces, as
// gRPC receives it. Only a field that crosses from one piece into the next is
// copied.
type fields struct {
	rest []byte   // what is left of the piece at hand
	more [][]byte // the pieces behind it
	left int      // octets in both that belong to the message
	size int      // octets of the field at hand that nobody has asked for
	buf  []byte   // for what crosses
	own  bool     // rest is memory of its own that nobody writes to any more

	// For parts: they begin with the first field behind which there are no more than
	// mark octets, and so on, every octets less. Without parts mark is negative.
	mark, every int
	parts       []*fields
}

const (
	// maxHeader is how long the tag and the length of a field, or a tag and a
	// number, are at most.
	maxHeader = 2 * 10
	// maxShared is up to what size the fields that cross share one buffer.
	maxShared = 64 << 10
)

// newFields makes a reader of a message. What it has gone through can be read again
// in up to n parts.
func newFields(data mem.BufferSlice, n int) *fields {
	f := &fields{left: data.Len()}
	for _, b := range data {
		f.more = append(f.more, b.ReadOnlyData())
	}
	f.mark, f.every = f.left, f.left/n+1
	return f
}

// part begins a part with the fields from here on.
func (f *fields) part() {
	p := fields{rest: f.rest, more: slices.Clone(f.more), left: f.left, mark: -1}
	if len(p.rest) <= maxShared {
		p.rest = bytes.Clone(p.rest) // it may be in buf
	}
	if n := len(f.parts); n > 0 {
		f.parts[n-1].left -= p.left
	}
	f.parts = append(f.parts, &p)
	for f.mark >= f.left {
		f.mark -= f.every
	}
}

// again is a reader of the same octets; f has read nothing yet.
func (f *fields) again() *fields {
	c := *f
	c.more = slices.Clone(f.more)
	return &c
}

// next moves to the next field, io.EOF behind the last. The value of one that has
// a length is there for the asking, others have been checked.
func (f *fields) next() (protowire.Number, protowire.Type, error) {
	f.skip(f.size)
	f.size = 0
	if f.left == 0 {
		return 0, 0, io.EOF
	}
	if f.left <= f.mark {
		f.part()
	}
	f.join(maxHeader)
	num, typ, n := protowire.ConsumeTag(f.rest)
	if n < 0 || num > protowire.MaxValidNumber {
		return 0, 0, errWire
	}
	f.skip(n)
	if typ == protowire.BytesType {
		size, n := protowire.ConsumeVarint(f.rest)
		if n < 0 {
			return 0, 0, errWire
		}
		f.skip(n)
		if size > uint64(f.left) {
			return 0, 0, errWire
		}
		f.size = int(size)
		return num, typ, nil
	}
	n = protowire.ConsumeFieldValue(num, typ, f.rest)
	if n < 0 && typ == protowire.StartGroupType {
		f.join(f.left) // a group does not say where it ends
		n = protowire.ConsumeFieldValue(num, typ, f.rest)
	}
	if n < 0 {
		return 0, 0, errWire
	}
	f.skip(n)
	return num, typ, nil
}

// value is the value of a field that has a length, once. It is good until next is
// called; if keep is set, for ever.
func (f *fields) value() (b []byte, keep bool) {
	f.join(f.size)
	b = f.rest[:f.size:f.size]
	f.skip(f.size)
	f.size = 0
	return b, f.own
}

// join makes the next n octets contiguous, or all that are left.
func (f *fields) join(n int) {
	n = min(n, f.left)
	for len(f.rest) == 0 && len(f.more) > 0 {
		f.rest, f.more, f.own = f.more[0], f.more[1:], false
	}
	if len(f.rest) >= n {
		return
	}
	buf := f.buf
	if f.own = n > maxShared; f.own || cap(buf) < n {
		buf = make([]byte, 0, n)
	}
	if !f.own {
		f.buf = buf
	}
	buf = append(buf[:0], f.rest...)
	for len(buf) < n {
		piece := f.more[0]
		k := min(n-len(buf), len(piece))
		buf = append(buf, piece[:k]...)
		if f.more[0] = piece[k:]; k == len(piece) {
			f.more = f.more[1:]
		}
	}
	f.rest = buf
}

// skip leaves n octets behind.
func (f *fields) skip(n int) {
	f.left -= n
	for n > len(f.rest) {
		n -= len(f.rest)
		f.rest, f.more, f.own = f.more[0], f.more[1:], false
	}
	f.rest = f.rest[n:]
}
