package access

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
)

// frame is one of HTTP/2.
func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	return append(binary.BigEndian.AppendUint32(append(b, flags), stream), payload...)
}

// message is one of gRPC of so many octets, of which so many come.
func message(octets, come int) []byte {
	b := make([]byte, messageHead+come)
	binary.BigEndian.PutUint32(b[1:], uint32(octets))
	return b
}

// However the octets are cut, what is behind the first message of a stream and not whole
// is counted, until it is whole or its stream has ended.
func TestArrivals(t *testing.T) {
	var wire bytes.Buffer
	wire.WriteString("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	const settings, ping, endHeaders = 4, 6, 4
	wire.Write(frame(settings, 0, 0, make([]byte, 6)))
	want := map[int]int64{} // octets of the connection: behind
	after := func(behind int64) { want[wire.Len()] = behind }
	data := func(id uint32, flags byte, b []byte) { wire.Write(frame(frameData, flags, id, b)) }
	wire.Write(frame(frameHeaders, endHeaders, 1, []byte{0x82}))
	data(1, 0, message(100, 60))
	after(0)
	data(1, 0, append(make([]byte, 40), message(100, 30)...))
	after(30)
	data(3, flagEndStream, message(5000, 5000))
	after(30)
	data(1, flagPadded, append([]byte{200}, make([]byte, 20+200)...))
	after(50)
	data(5, 0, append(message(0, 0), message(70, 69)...))
	after(119)
	wire.Write(frame(ping, 0, 0, make([]byte, 8)))
	data(1, 0, make([]byte, 50))
	after(69)
	data(1, 0, append(message(0, 0), message(10, 9)...))
	after(78)
	wire.Write(frame(frameReset, 0, 5, make([]byte, 4)))
	after(9)
	data(1, flagEndStream, nil)
	after(0)
	for _, cut := range []int{1, 2, 7, 64, wire.Len()} {
		var a arrivals
		r, at := bytes.NewReader(wire.Bytes()), 0
		for b := make([]byte, cut); ; {
			n, err := r.Read(b)
			if err == io.EOF {
				break
			}
			must(t, a.take(b[:n]))
			at += n
			if behind, ok := want[at]; ok && a.behind != behind {
				t.Errorf("in pieces of %d: %d octets are behind after %d, want %d", cut, a.behind, at, behind)
			}
		}
		if a.behind != 0 || len(a.streams) != 0 {
			t.Errorf("in pieces of %d: %d octets are behind on %d streams at the end", cut, a.behind, len(a.streams))
		}
	}
}
