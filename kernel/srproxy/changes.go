package srproxy

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
)

// changes reads what the programs tell of headers that have changed.
type changes struct {
	reader *ringbuf.Reader
	ended  chan struct{}
}

// nearlyFull is how many octets of the ring may be left for what the programs tell when
// it is taken to have been full: a record has 24 (kernel/bpf/ringbuf.c: 8 before it).
const nearlyFull = 48

// follow calls told with each SID whose headers have changed, with an invalid address
// when some may not have been told of. The programs tell of a link at most every 20 ms
// (TELL_NS in bpf/srproxy.h).
func follow(ring *ebpf.Map, told func(netip.Addr)) (*changes, error) {
	reader, err := ringbuf.NewReader(ring)
	if err != nil {
		return nil, fmt.Errorf("read what programs tell: %w", err)
	}
	c := &changes{reader, make(chan struct{})}
	go func() {
		defer close(c.ended)
		var r ringbuf.Record
		for {
			switch err := reader.ReadInto(&r); {
			case errors.Is(err, os.ErrClosed):
				return
			case err != nil || len(r.RawSample) < 16 || r.Remaining > reader.BufferSize()-nearlyFull:
				told(netip.Addr{})
			default:
				told(addrOf([16]byte(r.RawSample[:16])))
			}
		}
	}()
	return c, nil
}

func (c *changes) close() {
	_ = c.reader.Close()
	<-c.ended
}
