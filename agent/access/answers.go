package access

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/mem"
)

// gRPC queues the answer of a unary call whole, ends the call, and sends as much as the
// client has room for: an answer that nobody reads is in memory although no call is
// under way. So each is followed until it is sent.

// Answer is the answer of a unary call. The codec encodes what is in it, and has Mark
// say when gRPC has sent that.
type Answer struct {
	Message any

	session *Session
	user    string
	stream  context.Context // ends with the stream of the call
	places  func()          // gives back what the call has of the places for Gets

	// Guarded by the guard's mu, as long as the session has the answer.
	octets int64
	began  time.Time
}

// Mark adds to the octets of an answer what tells that they are sent.
func (a *Answer) Mark(octets mem.BufferSlice) mem.BufferSlice {
	if !a.session.sends(a, int64(octets.Len())) {
		a.places()
		return octets // the connection has ended
	}
	m := &mark{answer: a}
	m.refs.Store(1)
	return append(octets, m)
}

// Drop is for an answer that cannot be encoded.
func (a *Answer) Drop() { a.places() }

// over is for one that is sent, or never will be.
func (a *Answer) over() {
	a.session.sent(a)
	a.places()
}

// mark is the last buffer of an answer, without octets: gRPC frees it when it has sent
// the answer, or gives it up. But what a handler queues for a stream that the client has
// just cancelled is dropped and not freed (preprocessData of gRPC's
// internal/transport/controlbuf.go). So an answer is over, too, when the stream has ended
// before the handler lets go of it, which it does once it is queued, and before it ends
// the stream itself.
type mark struct {
	mem.SliceBuffer
	answer *Answer
	refs   atomic.Int32
	taken  atomic.Int32 // references that were asked for: one by who queues, one by who sends
}

// Ref implements mem.Buffer.
func (m *mark) Ref() {
	m.taken.Add(1)
	m.refs.Add(1)
}

// Free implements mem.Buffer.
func (m *mark) Free() {
	if left := m.refs.Add(-1); left == 0 || m.taken.Load() == 1 && m.answer.stream.Err() != nil {
		m.answer.over()
	}
}

// answer is one of a call; places is called when it is sent, or never will be.
func (c *call) answer(message any, places func()) *Answer {
	return &Answer{Message: message, session: c.session, user: c.who.Name, stream: c.stream, places: sync.OnceFunc(places)}
}

// mayAnswer refuses who has left too much unread. A Set is not refused: its answer is
// small, and it is what people wait for.
func (g *Guard) mayAnswer(c *call) error {
	if c.method == methodSet {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if u := g.users[c.who.Name]; u != nil && u.answers >= g.limits.Answers {
		return exhausted("user %s leaves answers of %d octets unread, and may leave %d: read them first", c.who.Name, u.answers, g.limits.Answers)
	}
	return nil
}

// sends counts an answer that is about to be sent; false: the session has ended.
func (s *Session) sends(a *Answer, octets int64) bool {
	g := s.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.gone {
		return false
	}
	now := g.now()
	u := g.of(a.user, now)
	u.answers += octets
	a.octets, a.began = octets, now
	if s.answers == nil {
		s.answers = map[*Answer]struct{}{}
	}
	s.answers[a] = struct{}{}
	if len(s.answers) == 1 {
		s.seen = s.took()
		if s.unread == nil {
			s.unread = time.AfterFunc(g.limits.Answer, s.lookAtAnswers)
		} else {
			s.unread.Reset(g.limits.Answer)
		}
	}
	return true
}

// sent counts an answer out.
func (s *Session) sent(a *Answer) {
	s.guard.mu.Lock()
	defer s.guard.mu.Unlock()
	if _, there := s.answers[a]; !there {
		return // the session has ended
	}
	delete(s.answers, a)
	s.guard.users[a.user].answers -= a.octets
	if len(s.answers) == 0 {
		s.unread.Stop()
	}
}

// progress is how many octets a client that reads takes, at least, in the time that it
// may leave an answer unread: more than what a connection says without being read.
const progress = 16 << 10

// took is how many octets the other end has taken: what was written, without what waits
// in the socket (SIOCOUTQ, tcp(7)). The kernel takes megabytes at once, and nothing more
// until a third of that has gone, for which a slow client has more than a minute.
func (s *Session) took() int64 {
	waits := 0
	if s.socket != nil {
		_ = s.socket.Control(func(fd uintptr) {
			if n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
				waits = n
			}
		})
	}
	return s.written.Load() - int64(waits)
}

// lookAtAnswers ends a session whose client does not read its answers, or not in the
// time that a call may take.
func (s *Session) lookAtAnswers() {
	g := s.guard
	g.mu.Lock()
	now, left := g.now(), int64(0)
	var age time.Duration
	for a := range s.answers {
		age = max(age, now.Sub(a.began))
		left += a.octets
	}
	took := s.took()
	read := took - s.seen
	s.seen = took
	if len(s.answers) == 0 {
		g.mu.Unlock()
		return
	}
	stands := age >= g.limits.Answer && read < progress || age >= g.limits.Call
	if !stands {
		s.unread.Reset(g.limits.Answer)
	}
	g.mu.Unlock()
	if stands {
		g.log.Warn("connection ended: its client does not read", "from", s.remote(), "answers of octets", left, "since", age)
		_ = s.Close()
	}
}

// giveUp forgets the answers of a session that has ended; it needs g.mu. What it returns
// gives back their places, without g.mu.
func (s *Session) giveUp() (places func()) {
	s.gone = true
	if s.unread != nil {
		s.unread.Stop()
	}
	answers := s.answers
	s.answers = nil
	for a := range answers {
		s.guard.users[a.user].answers -= a.octets
	}
	return func() {
		for a := range answers {
			a.places()
		}
	}
}

// Write implements net.Conn.
func (s *Session) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	s.written.Add(int64(n))
	return n, err
}
