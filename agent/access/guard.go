package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
)

// Config is what a Guard goes by. Nil: there are no passwords, no certificates of
// clients; everybody who is identified is Admin.
type Config struct {
	Passwords    *Passwords
	Roles        *Roles
	Certificates *Certificates
	Paths        *PathPolicies
	RPCs         *RPCPolicies
	Limits       Limits
	Log          *slog.Logger // nil: discard
}

// Guard admits calls. It is safe for concurrent use.
type Guard struct {
	cfg     Config
	limits  Limits
	log     *slog.Logger
	refusal refusals
	records *Records

	looking sync.Mutex    // one reading of the files at a time
	pending atomic.Int64  // octets of requests in memory
	gets    chan struct{} // a token for each Get that is being answered
	lastID  atomic.Uint64 // of a session
	now     func() time.Time

	mu    sync.Mutex           // guards all below
	tcp   int                  // connections
	from  map[netip.Prefix]int // of them, by source
	users map[string]*usage
	calls map[*call]struct{}
}

// New returns a guard.
func New(c Config) *Guard {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	limits := c.Limits.withDefaults()
	return &Guard{
		cfg: c, limits: limits, log: c.Log, refusal: refusals{log: c.Log}, records: newRecords(), now: time.Now,
		gets: make(chan struct{}, 4*limits.Gets), users: map[string]*usage{}, from: map[netip.Prefix]int{}, calls: map[*call]struct{}{},
	}
}

// Config is what the guard goes by.
func (g *Guard) Config() Config { return g.cfg }

// Records are the calls that came.
func (g *Guard) Records() *Records { return g.records }

// sources are what Watch looks at.
func (g *Guard) sources() []source {
	var all []source
	if g.cfg.Certificates != nil {
		all = append(all, g.cfg.Certificates)
	}
	if g.cfg.Passwords != nil {
		all = append(all, g.cfg.Passwords)
	}
	if g.cfg.Roles != nil {
		all = append(all, g.cfg.Roles)
	}
	if g.cfg.Paths != nil {
		all = append(all, g.cfg.Paths)
	}
	if g.cfg.RPCs != nil {
		all = append(all, g.cfg.RPCs)
	}
	return all
}

// call is an RPC that was admitted.
type call struct {
	who     Identity
	hash    string                     // of the password
	policy  atomic.Pointer[PathPolicy] // of paths, that it goes by
	method  string
	head    metadata.MD
	rule    string // of the policy of RPCs, that denied it
	session *Session
	stream  context.Context // as gRPC has it
	ctx     context.Context
	cancel  context.CancelCauseFunc
	stop    atomic.Pointer[context.CancelCauseFunc] // of the handler of a stream
	timer   *time.Timer
	// arriving is set until the request, or the first of a stream, has come whole.
	arriving atomic.Bool
	settled  sync.Once // the request is not in memory any more
}

// Admit implements tap.ServerInHandle: it is asked when the head of a call has
// come, and nothing else.
func (g *Guard) Admit(ctx context.Context, info *tap.Info) (context.Context, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return ctx, err
	}
	c := &call{session: s, method: info.FullMethodName, head: info.Header}
	err = g.decide(ctx, c, info.Header)
	if err == nil {
		err = g.register(ctx, c)
	}
	if err != nil {
		g.refusal.note(c, s.remote(), err)
		g.records.add(c.record(g.now(), err))
		s.wasRefused()
		return ctx, err
	}
	return c.ctx, nil
}

func sessionOf(ctx context.Context) (*Session, error) {
	if p, ok := peer.FromContext(ctx); ok {
		if s, ok := p.AuthInfo.(*Session); ok {
			return s, nil
		}
	}
	return nil, status.Error(codes.Internal, "the connection was not opened by the guard")
}

// decide says who calls and whether that user may.
func (g *Guard) decide(ctx context.Context, c *call, head metadata.MD) error {
	if err := g.identify(ctx, c, head); err != nil {
		return err
	}
	return g.permit(c)
}

// permit says whether an identified user may call this: its role has to open it, and
// the policy of RPCs, if there is one.
func (g *Guard) permit(c *call) error {
	if c.who.Owner {
		return nil
	}
	if err := g.roleOpens(c); err != nil {
		return err
	}
	if g.cfg.RPCs == nil {
		return nil
	}
	policy, there := g.cfg.RPCs.Active()
	switch {
	case !there:
		return nil
	case policy == nil:
		return status.Error(codes.PermissionDenied, "the policy of RPCs of this target cannot be used: nothing is permitted until it is right")
	}
	if ok, rule := policy.Permits(c.who.Name, c.method, c.head); !ok {
		c.rule = cmp.Or(rule, noRule)
		return status.Errorf(codes.PermissionDenied, "user %s may not call %s", c.who.Name, c.method)
	}
	return nil
}

func (g *Guard) roleOpens(c *call) error {
	if g.cfg.Roles == nil {
		return nil
	}
	has, need := g.cfg.Roles.Of(c.who), needs(c.method)
	switch {
	case ranks[has] >= ranks[need]:
		return nil
	case has == None:
		return status.Errorf(codes.PermissionDenied, "user %s has no role on this target: %s needs %s", c.who.Name, c.method, need)
	}
	return status.Errorf(codes.PermissionDenied, "user %s has the role %s: %s needs %s", c.who.Name, has, c.method, need)
}

// identify finds out who calls: a username and password, where they are sent, name
// the user; else the certificate does, or the process at the other end of a unix
// socket.
func (g *Guard) identify(ctx context.Context, c *call, head metadata.MD) error {
	s := c.session
	if s.shown != nil {
		if err := s.check(g.now()); err != nil {
			return status.Errorf(codes.Unauthenticated, "the certificate of the client is not accepted any more: %v", err)
		}
	}
	names, passwords := head.Get("username"), head.Get("password")
	switch {
	case len(names) == 1 && len(passwords) == 1:
		return g.byPassword(ctx, c, names[0], passwords[0])
	case len(names) > 0 || len(passwords) > 0:
		return status.Error(codes.Unauthenticated, "metadata has to have one username and one password, or neither")
	case s.kind == "unix":
		c.who = s.local
		return nil
	case s.odd != nil:
		return status.Errorf(codes.Unauthenticated, "who calls is not known: %v", s.odd)
	case s.shown != nil:
		c.who = Identity{Name: s.name, Method: ByCertificate}
		return nil
	}
	return status.Error(codes.Unauthenticated, "who calls is not known: "+g.remedy())
}

// remedy says how a client can be identified.
func (g *Guard) remedy() string {
	cert, pass := g.cfg.Certificates.Any(), g.cfg.Passwords != nil && g.cfg.Passwords.Any()
	switch {
	case cert && pass:
		return "show a certificate, or send username and password as metadata"
	case cert:
		return "show a certificate"
	case pass:
		return "send username and password as metadata"
	}
	return "use the unix socket, or give the target authorities of clients (--client-ca) or a file of passwords"
}

// maxName is how long the name of a user may be, in octets.
const maxName = 256

func (g *Guard) byPassword(ctx context.Context, c *call, name, password string) error {
	if len(name) > maxName {
		return status.Errorf(codes.Unauthenticated, "the username has %d octets: there are none of more than %d", len(name), maxName)
	}
	c.who = Identity{Name: name, Method: ByPassword}
	err := errors.New("this target has no passwords")
	if g.cfg.Passwords != nil {
		err = g.cfg.Passwords.Check(ctx, c.session.whence(), name, password)
	}
	switch {
	case errors.Is(err, errBusy):
		return status.Error(codes.ResourceExhausted, err.Error())
	case err != nil:
		return status.Error(codes.Unauthenticated, err.Error())
	}
	c.hash = g.cfg.Passwords.hash(name)
	return nil
}

func (p *Passwords) hash(user string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.hashes[user])
}

// check says whether the certificate that was shown would be taken now too.
func (s *Session) check(now time.Time) error {
	certs := s.guard.cfg.Certificates
	if certs == nil {
		return nil
	}
	m := certs.current.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.good == m && now.Before(s.until) {
		return nil
	}
	if err := m.accepts(s.shown, now); err != nil {
		return err
	}
	s.good, s.until = m, s.shown[0].NotAfter
	return nil
}

// whence is source as text, of a unix socket the account at the other end.
func (s *Session) whence() string {
	if s.kind == "unix" {
		return s.local.Name
	}
	return s.source().String()
}

// source is where a connection comes from, so that one of many addresses counts as one:
// the /64 of an IPv6 address (RFC 4291 §2.5.4), an IPv4 address itself; of a unix socket
// it is nothing.
func (s *Session) source() netip.Prefix {
	at, err := netip.ParseAddrPort(s.Conn.RemoteAddr().String())
	if err != nil {
		return netip.Prefix{}
	}
	a, bits := at.Addr().Unmap().WithZone(""), 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits) // it has so many
	return p
}

func (s *Session) remote() string {
	if s.kind == "unix" {
		return "unix socket"
	}
	return s.Conn.RemoteAddr().String()
}

// register counts a call in, or refuses it for a limit.
func (g *Guard) register(ctx context.Context, c *call) error {
	if err := g.count(c); err != nil {
		return err
	}
	c.stream = ctx
	ctx, c.cancel = context.WithCancelCause(ctx)
	c.ctx = context.WithValue(ctx, callKey{}, c)
	c.arriving.Store(true)
	c.session.begin()
	c.timer = time.AfterFunc(g.limits.Request, func() { c.cancel(g.late(c)) })
	context.AfterFunc(ctx, func() { g.ended(c) })
	return nil
}

// late is what a call ends with that took too long.
func (g *Guard) late(c *call) error {
	if c.arriving.Load() {
		return status.Errorf(codes.DeadlineExceeded, "the request did not arrive within %s", g.limits.Request)
	}
	return status.Errorf(codes.DeadlineExceeded, "the call did not end within %s", g.limits.Call)
}

func exhausted(format string, args ...any) error {
	return status.Errorf(codes.ResourceExhausted, format, args...)
}

const (
	methodSet       = "/gnmi.gNMI/Set"
	methodGet       = "/gnmi.gNMI/Get"
	methodSubscribe = "/gnmi.gNMI/Subscribe"
)

func (g *Guard) count(c *call) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, name := g.now(), c.who.Name
	u := g.of(name, now)
	defer g.forget(name, now)
	fresh := !c.session.has(name)
	switch {
	case fresh && u.sessions >= g.limits.Sessions:
		return exhausted("user %s has %d sessions, as many as it may", name, u.sessions)
	case u.calls >= g.limits.Calls:
		return exhausted("user %s has %d calls under way, as many as it may", name, u.calls)
	case c.method == methodSubscribe && u.subscriptions >= g.limits.Subscriptions:
		return exhausted("user %s has %d subscriptions, as many as it may", name, u.subscriptions)
	case c.method == methodSet && u.sets >= g.limits.Sets:
		return exhausted("user %s has %d Sets under way, as many as it may", name, u.sets)
	case writes(c.method) && !c.who.Owner && !u.take(g.limits.SetRate, now):
		return exhausted("user %s sends more than %g Sets in a second: put several changes into one", name, g.limits.SetRate)
	}
	if fresh {
		if !c.session.admit(name) {
			return status.Error(codes.Unavailable, "the connection is closed")
		}
		u.sessions++
	}
	u.add(c.method, 1)
	g.calls[c] = struct{}{}
	return nil
}

// writes reports whether a method writes to the disk that the configuration is on: it is
// counted among the Sets of a second.
func writes(method string) bool {
	switch method {
	case methodSet, "/heddle.v1.Heddle/Rollback", "/heddle.v1.Heddle/Lock", "/heddle.v1.Heddle/Unlock":
		return true
	}
	return false
}

func (u *usage) add(method string, n int) {
	u.calls += n
	switch method {
	case methodSubscribe:
		u.subscriptions += n
	case methodSet:
		u.sets += n
	}
}

// ended counts a call out.
func (g *Guard) ended(c *call) {
	c.timer.Stop()
	c.cancel(nil)
	c.settled.Do(c.session.end)
	if c.arriving.Load() { // its request never came
		x := c.record(g.now(), nil)
		x.Truncated = true
		g.records.add(x)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.calls, c)
	if u := g.users[c.who.Name]; u != nil {
		u.add(c.method, -1)
	}
	g.forget(c.who.Name, g.now())
}

// Review ends the calls under way that what the guard goes by does not admit any
// more. It is for who changed that; Watch does it itself.
func (g *Guard) Review() {
	g.looking.Lock()
	defer g.looking.Unlock()
	g.review()
}

// review ends the calls under way that would not be admitted any more.
func (g *Guard) review() {
	g.mu.Lock()
	calls := make([]*call, 0, len(g.calls))
	for c := range g.calls {
		calls = append(calls, c)
	}
	g.mu.Unlock()
	for _, c := range calls {
		err := g.permit(c)
		switch {
		case c.who.Method == ByCertificate && c.session.check(g.now()) != nil:
			err = status.Error(codes.Unauthenticated, "the certificate of the client is not accepted any more")
		case c.who.Method == ByPassword && g.cfg.Passwords.hash(c.who.Name) != c.hash:
			err = status.Error(codes.Unauthenticated, "the password is not that of the user any more")
		case err == nil && c.method == methodSubscribe && g.stale(c):
			err = status.Error(codes.Aborted, "the policy of paths is another one: subscribe again")
		}
		if err != nil {
			g.refusal.note(c, c.session.remote(), err)
			c.end(err)
		}
	}
}

// stale reports whether a subscription goes by a policy that is not that any more.
func (g *Guard) stale(c *call) bool {
	if c.who.Owner || g.cfg.Paths == nil {
		return false
	}
	now, _ := g.cfg.Paths.Active()
	return c.policy.Load() != now
}

// refusals writes those that were refused to the log, not more than a few in a
// second.
type refusals struct {
	log *slog.Logger

	mu      sync.Mutex // guards all below
	second  int64
	written int
	left    int
}

// maxRefusals is how many lines of refusals the log gets in a second.
const maxRefusals = 20

func (r *refusals) note(c *call, remote string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now().Unix(); now != r.second {
		if r.left > 0 {
			r.log.Warn("further calls were refused", "calls", r.left)
		}
		r.second, r.written, r.left = now, 0, 0
	}
	if r.written >= maxRefusals {
		r.left++
		return
	}
	r.written++
	log := r.log
	if c.rule != "" {
		log = log.With("rule", c.rule)
	}
	log.Warn("call refused", "user", c.who.Name, "method", c.who.Method, "rpc", c.method, "from", remote, "reason", status.Convert(err).Message())
}

// open counts a connection in.
func (g *Guard) open(s *Session) error {
	s.id = g.lastID.Add(1)
	if s.kind != "unix" {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.tcp >= g.limits.Connections {
			return fmt.Errorf("accept connection: there are %d already", g.tcp)
		}
		if n := g.from[s.source()]; n >= g.limits.SourceConnections {
			return fmt.Errorf("accept connection: there are %d from %s already", n, s.source())
		}
		g.tcp++
		g.from[s.source()]++
	}
	s.idle = time.AfterFunc(g.limits.Unused, func() { _ = s.Close() })
	return nil
}

// Close implements net.Conn.
func (s *Session) Close() error {
	err := net.ErrClosed
	s.closing.Do(func() {
		err = s.Conn.Close()
		s.idle.Stop()
		s.guard.closed(s)
	})
	return err
}

func (g *Guard) closed(s *Session) {
	g.mu.Lock()
	places := s.giveUp()
	defer places()
	defer g.mu.Unlock()
	if s.kind != "unix" {
		g.tcp--
		if g.from[s.source()]--; g.from[s.source()] == 0 {
			delete(g.from, s.source())
		}
	}
	s.mu.Lock()
	names := s.users
	s.users = nil
	g.pending.Add(-s.behind)
	s.behind = 0
	s.mu.Unlock()
	for name := range names {
		if u := g.users[name]; u != nil {
			u.sessions--
		}
		g.forget(name, g.now())
	}
}

func (s *Session) has(user string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = 0
	return s.users[user]
}

// admit notes that a user has a call on the session; false: it is closed.
func (s *Session) admit(user string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users == nil {
		return false
	}
	s.users[user] = true
	s.idle.Stop()
	return true
}

// maxRefused is how many calls in a row a connection may have refused: gRPC keeps
// some memory for each until the connection ends.
const maxRefused = 200

func (s *Session) wasRefused() {
	s.mu.Lock()
	s.refused++
	enough := s.refused > maxRefused
	s.mu.Unlock()
	if enough {
		go s.Close() // not from within gRPC's reading of the connection
	}
}
