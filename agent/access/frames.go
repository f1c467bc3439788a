package access

import (
	"encoding/binary"
	"errors"
)

// arrivals follows the octets of an HTTP/2 connection from a client (RFC 9113 §4.1,
// §6) and the messages of gRPC in them: five octets of which the last four are the
// length, then the message. gRPC keeps what has come of a message in memory, however
// little the method expects, and takes the largest that any method may be sent.
type arrivals struct {
	preface int // octets of it that have come
	head    [frameHead]byte
	have    int // octets of head
	left    int // octets of the payload that are to come
	begun   bool
	padding int // of left, at the end
	streams map[uint32]*incoming

	// behind are the octets of messages that are not whole yet and are not the first
	// of their stream: those are accounted for as requests.
	behind int64
}

// incoming is what comes on one stream.
type incoming struct {
	head     [messageHead]byte
	have     int   // octets of head
	left     int64 // octets of the message that are to come
	messages int
	behind   int64
}

const (
	clientPreface = 24 // octets: RFC 9113 §3.4
	frameHead     = 9
	messageHead   = 5

	frameData, frameHeaders, frameReset = 0, 1, 3
	flagEndStream, flagPadded           = 1, 8

	// maxFollowed is how many streams may have ended without a word of the client on
	// one connection.
	maxFollowed = 1 << 16
)

var errFollowed = errors.New("too many streams of the connection were left open by the client")

// take follows further octets.
func (a *arrivals) take(b []byte) error {
	skip := min(len(b), clientPreface-a.preface)
	a.preface += skip
	for b = b[skip:]; len(b) > 0; {
		if a.have < frameHead {
			n := copy(a.head[a.have:], b)
			a.have += n
			b = b[n:]
			if a.have < frameHead {
				return nil
			}
			a.left, a.padding, a.begun = int(a.head[0])<<16|int(a.head[1])<<8|int(a.head[2]), 0, false
		}
		n := min(len(b), a.left)
		if err := a.payload(b[:n]); err != nil {
			return err
		}
		a.left -= n
		b = b[n:]
		if a.left == 0 {
			a.ended()
			a.have = 0
		}
	}
	return nil
}

func (a *arrivals) stream() uint32 { return binary.BigEndian.Uint32(a.head[5:]) &^ (1 << 31) }

// payload is a part of that of a frame, of which a.left octets have not come before it.
func (a *arrivals) payload(b []byte) error {
	if a.head[3] != frameData || len(b) == 0 {
		return nil
	}
	left := a.left
	if !a.begun {
		a.begun = true
		if a.head[4]&flagPadded != 0 {
			a.padding = int(b[0])
			b, left = b[1:], left-1
		}
	}
	b = b[:max(0, min(len(b), left-a.padding))]
	s := a.streams[a.stream()]
	if s == nil {
		if len(a.streams) >= maxFollowed {
			return errFollowed
		}
		if a.streams == nil {
			a.streams = map[uint32]*incoming{}
		}
		s = &incoming{}
		a.streams[a.stream()] = s
	}
	before := s.behind
	s.take(b)
	a.behind += s.behind - before
	return nil
}

// ended is called when a frame has come whole.
func (a *arrivals) ended() {
	kind, last := a.head[3], a.head[4]&flagEndStream != 0
	if kind != frameReset && !((kind == frameData || kind == frameHeaders) && last) {
		return
	}
	if s := a.streams[a.stream()]; s != nil {
		a.behind -= s.behind
		delete(a.streams, a.stream())
	}
}

func (s *incoming) take(b []byte) {
	for len(b) > 0 {
		if s.left == 0 {
			n := copy(s.head[s.have:], b)
			s.have += n
			b = b[n:]
			if s.have == messageHead {
				s.left, s.have = int64(binary.BigEndian.Uint32(s.head[1:])), 0
				s.messages++
			}
			continue
		}
		n := min(int64(len(b)), s.left)
		s.left -= n
		b = b[n:]
		switch {
		case s.messages == 1:
		case s.left == 0:
			s.behind = 0
		default:
			s.behind += n
		}
	}
}
