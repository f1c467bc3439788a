package gnmi

import (
	"fmt"
	"sync"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"heddle/schema"
)

// The fields of gNMI that an answer to Get is made of.
const (
	responseNotification  = 1
	notificationTimestamp = 1
	notificationPrefix    = 2
	notificationUpdate    = 4
	updatePath            = 1
	updateVal             = 3
	valueJSON             = 10
	valueJSONIETF         = 11
)

// getAnswer is a GetResponse as octets. It is put together from documents in the
// buffers that they were written to, since copies of a large one would cost more
// than making it.
type getAnswer struct {
	done [][]byte // the notifications that are finished
	open [][]byte // the one that is not, behind its length
	buf  []byte   // its end
	size int      // octets of done
}

// lengthRoom is what the tag and the length of a notification need at most.
const lengthRoom = 1 + 5

// begin begins a notification.
func (a *getAnswer) begin(timestamp int64, prefix *gpb.Path) error {
	a.buf = make([]byte, lengthRoom, 512)
	a.buf = protowire.AppendTag(a.buf, notificationTimestamp, protowire.VarintType)
	a.buf = protowire.AppendVarint(a.buf, uint64(timestamp))
	if prefix == nil {
		return nil
	}
	return a.message(notificationPrefix, prefix)
}

// message appends a field that is a message.
func (a *getAnswer) message(field protowire.Number, m proto.Message) error {
	a.field(field, proto.Size(m))
	var err error
	if a.buf, err = (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend(a.buf, m); err != nil {
		return fmt.Errorf("encode the answer to get: %w", err)
	}
	a.pass()
	return nil
}

// field appends the head of a field that has so many octets.
func (a *getAnswer) field(n protowire.Number, size int) {
	a.buf = protowire.AppendVarint(protowire.AppendTag(a.buf, n, protowire.BytesType), uint64(size))
}

// pass goes on to another buffer when there is little room left in the present
// one.
func (a *getAnswer) pass() {
	if len(a.buf) > schema.ChunkSize*3/4 {
		a.open = append(a.open, a.buf)
		a.buf = buffers{}.Get()
	}
}

// update appends an update.
func (a *getAnswer) update(u *gpb.Update) error { return a.message(notificationUpdate, u) }

// head appends an update up to its value, a JSON document of so many octets.
func (a *getAnswer) head(path *gpb.Path, encoding protowire.Number, size int) error {
	length := func(n protowire.Number, size int) int { return protowire.SizeTag(n) + protowire.SizeBytes(size) }
	value := length(encoding, size)
	a.field(notificationUpdate, length(updatePath, proto.Size(path))+length(updateVal, value))
	if err := a.message(updatePath, path); err != nil {
		return err
	}
	a.field(updateVal, value)
	a.field(encoding, size)
	return nil
}

// document appends an update with a JSON document in chunks, which are the
// answer's from now on.
func (a *getAnswer) document(path *gpb.Path, encoding protowire.Number, doc [][]byte) error {
	size := 0
	for _, c := range doc {
		size += len(c)
	}
	if err := a.head(path, encoding, size); err != nil {
		return err
	}
	a.open = append(append(a.open, a.buf), doc...)
	a.buf = nil
	return nil
}

// copied is document of one that is the caller's.
func (a *getAnswer) copied(path *gpb.Path, encoding protowire.Number, doc []byte) error {
	if err := a.head(path, encoding, len(doc)); err != nil {
		return err
	}
	a.buf = append(a.buf, doc...)
	a.pass()
	return nil
}

// end ends a notification.
func (a *getAnswer) end() {
	if len(a.buf) > 0 {
		a.open = append(a.open, a.buf)
	}
	size := -lengthRoom
	for _, c := range a.open {
		size += len(c)
	}
	head := protowire.AppendTag(make([]byte, 0, lengthRoom+5), responseNotification, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(size))
	if len(head) <= lengthRoom {
		first := a.open[0][lengthRoom-len(head):]
		copy(first, head)
		a.open[0] = first
	} else { // gRPC will refuse it
		a.open[0] = append(head, a.open[0][lengthRoom:]...)
	}
	a.done = append(a.done, a.open...)
	a.size += size
	a.open, a.buf = nil, nil
}

// octets implements wire.
func (a *getAnswer) octets() mem.BufferSlice {
	b := sendable(a.done)
	a.done = nil
	return b
}

// sendable is octets as gRPC takes them; it gives chunks back when they are sent.
func sendable(octets [][]byte) mem.BufferSlice {
	b := make(mem.BufferSlice, len(octets))
	for i := range octets {
		if cap(octets[i]) == schema.ChunkSize {
			b[i] = mem.NewBuffer(&octets[i], chunkPool)
		} else {
			b[i] = mem.SliceBuffer(octets[i])
		}
	}
	return b
}

// chunks are buffers for documents. gRPC gives them back once they are sent.
type chunks struct{ pool sync.Pool }

var chunkPool mem.BufferPool = &chunks{sync.Pool{New: func() any {
	b := make([]byte, 0, schema.ChunkSize)
	return &b
}}}

// Get implements mem.BufferPool for buffers of schema.ChunkSize, which are empty.
func (c *chunks) Get(int) *[]byte { return c.pool.Get().(*[]byte) }

// Put implements mem.BufferPool.
func (c *chunks) Put(b *[]byte) {
	empty := (*b)[:0] // b lies among those of its answer
	c.pool.Put(&empty)
}

// buffers are the pool for the encoder.
type buffers struct{}

// Get implements schema.Buffers.
func (buffers) Get() []byte { return *chunkPool.Get(schema.ChunkSize) }

// Put implements schema.Buffers.
func (buffers) Put(b []byte) {
	if cap(b) == schema.ChunkSize {
		chunkPool.Put(&b)
	}
}
