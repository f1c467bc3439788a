package access

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Record is one call, or one attempt.
type Record struct {
	Time          time.Time
	Session       uint64 // which connection
	Local, Remote net.Addr
	User          string
	Method        Method // "" if who calls was not found out
	Owner         bool
	RPC           string // /package.Service/Method
	// Refused is why the call was not admitted; nil if it was.
	Refused error
	// Request is what was asked, nil where it is large, secret or did not come. It is
	// kept as octets, which are a tenth of what a message takes.
	Request   *anypb.Any
	Truncated bool
}

// Records are the last calls. There are never more than maxRecords, of which no
// request has more than maxRecorded octets.
type Records struct {
	mu    sync.Mutex // guards all below
	ring  [maxRecords]Record
	added int           // ever
	more  chan struct{} // closed when one is added
}

const (
	maxRecords  = 4096
	maxRecorded = 1024
)

func newRecords() *Records { return &Records{more: make(chan struct{})} }

func (r *Records) add(x Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring[r.added%maxRecords] = x
	r.added++
	close(r.more)
	r.more = make(chan struct{})
}

// Next returns the first record from position at on that is later than after, and
// the position behind it, waiting for one. lost says that there were records at the
// position that are not kept any more.
func (r *Records) Next(ctx context.Context, at int, after time.Time) (x Record, next int, lost bool, err error) {
	for {
		r.mu.Lock()
		if oldest := max(0, r.added-maxRecords); at < oldest {
			at, lost = oldest, true
		}
		for ; at < r.added; at++ {
			if x = r.ring[at%maxRecords]; x.Time.After(after) {
				r.mu.Unlock()
				return x, at + 1, lost, nil
			}
		}
		more := r.more
		r.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return Record{}, at, lost, context.Cause(ctx)
		}
	}
}

// record is what is known of a call before its request has come.
func (c *call) record(now time.Time, refused error) Record {
	return Record{
		Time: now, Session: c.session.id, Local: c.session.Conn.LocalAddr(), Remote: c.session.Conn.RemoteAddr(),
		User: c.who.Name, Method: c.who.Method, Owner: c.who.Owner, RPC: c.method, Refused: refused,
	}
}

// Payload is a request that is not a message yet.
type Payload interface {
	// Payload is the request if it has no more than max octets.
	Payload(max int) (*anypb.Any, bool)
}

// recordOf is the record of a call with its request. What gNSI is sent are secrets.
func (c *call) recordOf(now time.Time, req any) Record {
	x := c.record(now, nil)
	if !recordable(c.method) {
		x.Truncated = true
		return x
	}
	switch m := req.(type) {
	case Payload:
		p, ok := m.Payload(maxRecorded)
		x.Request, x.Truncated = p, !ok
	case proto.Message:
		if x.Truncated = proto.Size(m) > maxRecorded; !x.Truncated {
			x.Request, _ = anypb.New(m)
		}
	}
	return x
}

// recordable reports whether the requests of a method may be kept.
func recordable(method string) bool {
	switch method {
	case methodSet, methodGet, methodSubscribe, "/gnmi.gNMI/Capabilities":
		return true
	}
	return false
}

// Reason is the text of why a call was refused.
func (x Record) Reason() string { return status.Convert(x.Refused).Message() }
