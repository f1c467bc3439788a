package gnmi

import (
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"heddle/schema"
)

// The fields of gNMI that an answer to Set is made of.
const (
	setResponsePrefix    = 1
	setResponseResult    = 2
	setResponseTimestamp = 4
	resultPath           = 2
	resultOp             = 4
)

// setAnswer is a SetResponse as octets. Paths are written as the request has them.
type setAnswer struct {
	full [][]byte
	buf  []byte
}

// newSetAnswer begins the answer to a request of that many octets.
func newSetAnswer(request int) *setAnswer {
	a := &setAnswer{}
	if size := request + request/8 + 64; size < schema.ChunkSize {
		a.buf = make([]byte, 0, size)
	}
	return a
}

// room makes sure that n octets fit into the buffer.
func (a *setAnswer) room(n int) {
	if cap(a.buf)-len(a.buf) >= n {
		return
	}
	if len(a.buf) > 0 {
		a.full = append(a.full, a.buf)
	}
	if n <= schema.ChunkSize {
		a.buf = buffers{}.Get()
	} else {
		a.buf = make([]byte, 0, n)
	}
}

// prefix is the prefix of the request.
func (a *setAnswer) prefix(path []byte) {
	a.room(protowire.SizeTag(setResponsePrefix) + protowire.SizeBytes(len(path)))
	a.buf = protowire.AppendTag(a.buf, setResponsePrefix, protowire.BytesType)
	a.buf = protowire.AppendBytes(a.buf, path)
}

// result says that an operation was carried out; path is nil if it came without.
func (a *setAnswer) result(op gpb.UpdateResult_Operation, path []byte) {
	size := protowire.SizeTag(resultOp) + protowire.SizeVarint(uint64(op))
	if path != nil {
		size += protowire.SizeTag(resultPath) + protowire.SizeBytes(len(path))
	}
	a.room(protowire.SizeTag(setResponseResult) + protowire.SizeBytes(size))
	b := protowire.AppendTag(a.buf, setResponseResult, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	if path != nil {
		b = protowire.AppendTag(b, resultPath, protowire.BytesType)
		b = protowire.AppendBytes(b, path)
	}
	b = protowire.AppendTag(b, resultOp, protowire.VarintType)
	a.buf = protowire.AppendVarint(b, uint64(op))
}

// add appends the results of another answer, which is of no use any more.
func (a *setAnswer) add(b *setAnswer) {
	if len(a.buf) > 0 {
		a.full = append(a.full, a.buf)
	}
	a.full, a.buf = append(a.full, b.full...), b.buf
}

// end ends the answer with the time of the Set.
func (a *setAnswer) end(t time.Time) *setAnswer {
	ns := uint64(t.UnixNano())
	a.room(protowire.SizeTag(setResponseTimestamp) + protowire.SizeVarint(ns))
	a.buf = protowire.AppendTag(a.buf, setResponseTimestamp, protowire.VarintType)
	a.buf = protowire.AppendVarint(a.buf, ns)
	return a
}

// octets implements wire.
func (a *setAnswer) octets() mem.BufferSlice {
	b := sendable(append(a.full, a.buf))
	a.full, a.buf = nil, nil
	return b
}
