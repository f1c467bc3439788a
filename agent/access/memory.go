package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// begin says that the request of a call is to come: what is read from now on is
// kept in memory.
func (s *Session) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
}

// end says that a request is not in memory any more.
func (s *Session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.requests--; s.requests == 0 {
		s.guard.pending.Add(-s.pending)
		s.pending = 0
	}
}

// Read implements net.Conn.
func (s *Session) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if n > 0 && s.came(int64(n)) > s.guard.limits.Requests {
		s.guard.relieve(s)
	}
	if n > 0 {
		if why := s.follow(b[:n]); why != nil {
			s.guard.log.Warn("connection ended", "from", s.remote(), "reason", why.Error())
			return 0, errors.Join(why, s.Close())
		}
	}
	return n, err
}

// follow counts what comes behind the first message of a stream. No method is sent much
// there, and gRPC has no limit of its own for it but that of the largest request: a
// connection on which more comes is of no use.
func (s *Session) follow(b []byte) error {
	if err := s.arrivals.take(b); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users == nil || s.behind == s.arrivals.behind {
		return nil
	}
	more := s.arrivals.behind - s.behind
	s.behind += more
	all := s.guard.pending.Add(more)
	switch {
	case s.behind > s.guard.limits.Subscribe:
		return fmt.Errorf("messages behind the first of their stream have %d octets: they may have %d", s.behind, s.guard.limits.Subscribe)
	case more > 0 && all > s.guard.limits.Requests:
		return fmt.Errorf("the requests that are being carried out take %d octets, as many as there may be", s.guard.limits.Requests)
	}
	return nil
}

// came counts octets and returns how many are in memory for all requests.
func (s *Session) came(n int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.requests == 0 {
		return 0
	}
	s.pending += n
	return s.guard.pending.Add(n)
}

// relieve ends the calls of a session whose requests have not come whole: there is
// no room for what is still to come.
func (g *Guard) relieve(s *Session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.calls {
		if c.session == s && c.arriving.Load() {
			c.cancel(exhausted("the requests that are being carried out take %d octets, as many as there may be: try again", g.limits.Requests))
		}
	}
}

// ServerOptions make a gRPC server ask the guard and keep to the limits.
func (g *Guard) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.InTapHandle(g.Admit),
		grpc.ChainUnaryInterceptor(g.unary),
		grpc.ChainStreamInterceptor(g.stream),
		grpc.ConnectionTimeout(g.limits.Handshake),
		grpc.MaxRecvMsgSize(int(g.limits.Message)),
		grpc.MaxHeaderListSize(16 << 10),
		grpc.MaxConcurrentStreams(1000),
		// A stream that is not read takes no more than its window, which gRPC would
		// let grow to 16 MiB; for one message that is being read it grows anyhow.
		grpc.InitialWindowSize(64 << 10),
		grpc.InitialConnWindowSize(16 << 20),
		// A dead peer is noticed within half a minute; clients may ping as often
		// as every ten seconds, streams or none.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 20 * time.Second, Timeout: 10 * time.Second, MaxConnectionIdle: g.limits.Idle}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}
}

// callOf finds the call of a context. Without one nobody was asked, and nothing is
// done.
func callOf(ctx context.Context) (*call, error) {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return nil, status.Error(codes.Internal, "the call was not admitted")
	}
	return c, nil
}

func (g *Guard) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	c, err := callOf(ctx)
	if err != nil {
		return nil, err
	}
	c.arrived(g.limits.Call)
	g.records.add(c.recordOf(g.now(), req))
	places := func() {}
	if large(c.method) {
		if places, err = g.waitForGet(ctx, c); err != nil {
			return nil, err
		}
	}
	err = g.mayAnswer(c)
	var resp any
	if err == nil {
		resp, err = handle(ctx, req)
	}
	if err != nil {
		places()
		return nil, because(ctx, err)
	}
	return c.answer(resp, places), nil
}

// arrived says that the request of a unary call has come; the call has so much
// time to end.
func (c *call) arrived(limit time.Duration) {
	c.arriving.Store(false)
	if c.timer.Stop() {
		c.timer.Reset(limit)
	}
}

// because gives a call that the guard ended the guard's reason.
func because(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return err
}

// large reports whether answers of a method can take as much memory as those of Get.
func large(method string) bool {
	switch method {
	case methodGet, "/heddle.v1.Heddle/Diff", "/heddle.v1.Heddle/Plan":
		return true
	}
	return false
}

// WaitLikeGet is for the handler of a stream whose answer takes as much memory as that of
// a Get: it takes a place among those, and has to end in the time that they have.
func (g *Guard) WaitLikeGet(ctx context.Context) error {
	c, err := callOf(ctx)
	if err != nil {
		return err
	}
	places, err := g.waitForGet(ctx, c)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, places)
	t := time.AfterFunc(g.limits.Call, func() { c.end(g.late(c)) })
	context.AfterFunc(ctx, func() { t.Stop() })
	return nil
}

// waitForGet takes places among the Gets that are being answered. It waits for them
// until the call ends; give gives them back.
func (g *Guard) waitForGet(ctx context.Context, c *call) (give func(), err error) {
	g.mu.Lock()
	u := g.users[c.who.Name]
	g.mu.Unlock()
	if u == nil {
		return nil, context.Cause(ctx) // it has ended
	}
	select {
	case u.gets <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case g.gets <- struct{}{}:
	case <-ctx.Done():
		<-u.gets
		return nil, context.Cause(ctx)
	}
	return func() {
		<-g.gets
		<-u.gets
	}, nil
}

func (g *Guard) stream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	c, err := callOf(ss.Context())
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ss.Context())
	defer stop(nil)
	c.stop.Store(&stop)
	return because(ctx, handle(srv, &guarded{ServerStream: ss, guard: g, call: c, ctx: ctx}))
}

// end ends a call. The handler of a stream gets the reason, and a moment to give it
// to the client: gRPC answers with one of its own to whoever reads from a stream
// that was cancelled.
func (c *call) end(why error) {
	stop := c.stop.Load()
	if stop == nil {
		c.cancel(why)
		return
	}
	(*stop)(why)
	t := time.AfterFunc(endGrace, func() { c.cancel(why) })
	context.AfterFunc(c.ctx, func() { t.Stop() })
}

// endGrace is how long the handler of a stream has to return.
const endGrace = time.Second

// guarded is a stream whose messages are counted.
type guarded struct {
	grpc.ServerStream
	guard *Guard
	call  *call
	ctx   context.Context
	first bool // the first message has come
}

// Context implements grpc.ServerStream.
func (s *guarded) Context() context.Context { return s.ctx }

// RecvMsg implements grpc.ServerStream.
func (s *guarded) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return because(s.Context(), err)
	}
	if !s.first {
		s.first = true
		s.call.arriving.Store(false)
		s.call.timer.Stop()
		s.call.settled.Do(s.call.session.end)
		s.guard.records.add(s.call.recordOf(s.guard.now(), m))
	}
	if p, ok := m.(proto.Message); ok && s.call.method == methodSubscribe {
		if n := int64(proto.Size(p)); n > s.guard.limits.Subscribe {
			return exhausted("the message has %d octets: one of a Subscribe may have %d", n, s.guard.limits.Subscribe)
		}
	}
	return nil
}
