package access

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

func passwordFile(t *testing.T, user string) string {
	t.Helper()
	line, err := HashPassword(user, user)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "passwords")
	if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Who guesses passwords by the hundred keeps others from another source waiting for one
// check, not for all of its own.
func TestPasswordChecksTakeTurnsBySource(t *testing.T) {
	p := NewPasswords(passwordFile(t, "alice"), slog.New(slog.DiscardHandler))
	const guesses = 40
	var guessed atomic.Int32
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for i := range guesses {
		wg.Go(func() {
			if err := p.Check(ctx, "evil", "alice", fmt.Sprint(i)); err == nil {
				t.Error("it was guessed")
			}
			guessed.Add(1)
		})
	}
	waiting := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		if l := p.lines["evil"]; l != nil {
			return l.in
		}
		return 0
	}
	for waiting()+int(guessed.Load()) < guesses {
		runtime.Gosched()
	}
	before := guessed.Load()
	if err := p.Check(t.Context(), "good", "alice", "alice"); err != nil {
		t.Error(err)
	}
	if n := guessed.Load() - before; n > 4 {
		t.Errorf("%d others were checked before", n)
	}
	cancel()
	wg.Wait()
	if len(p.lines) != 0 || len(p.turn) != 0 {
		t.Errorf("%d lines are left, %d turns taken", len(p.lines), len(p.turn))
	}
}

// What a look at the file has read before a rotation does not count after it.
func TestLookWhilePasswordsRotate(t *testing.T) {
	p := NewPasswords(passwordFile(t, "alice"), slog.New(slog.DiscardHandler))
	p.read = func(path string) (map[string][]byte, error) {
		hashes, err := readPasswords(path)
		r, rerr := p.Rotate()
		if rerr != nil {
			t.Fatal(rerr)
		}
		if err := r.Upload("alice", "new"); err != nil {
			t.Fatal(err)
		}
		if err := r.Finalize(); err != nil {
			t.Fatal(err)
		}
		r.End()
		return hashes, err
	}
	p.look(true)
	p.read = readPasswords
	if err := p.Check(t.Context(), "here", "alice", "new"); err != nil {
		t.Error("the password that was rotated in does not count:", err)
	}
	if err := p.Check(t.Context(), "here", "alice", "alice"); err == nil {
		t.Error("the one before it does")
	}
	p.look(false)
	if err := p.Check(t.Context(), "here", "alice", "new"); err != nil {
		t.Error(err)
	}
}

// from is a connection from an address.
type from struct {
	net.Conn
	addr string
}

func (c from) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.addr)) }
func (c from) Close() error         { return nil }

// One source has a share of the connections, whatever the addresses of its network.
func TestConnectionsOfASource(t *testing.T) {
	g := New(Config{Limits: Limits{Connections: 5, SourceConnections: 2}})
	open := func(addr string) (*Session, error) {
		s := &Session{Conn: from{addr: addr}, guard: g, kind: "tls", users: map[string]bool{}}
		return s, g.open(s)
	}
	var all []*Session
	for _, tc := range []struct {
		addr string
		ok   bool
	}{
		{"192.0.2.1:1", true}, {"192.0.2.1:2", true}, {"192.0.2.1:3", false}, {"[::ffff:192.0.2.1]:4", false}, {"192.0.2.2:1", true},
		{"[2001:db8::1]:1", true}, {"[2001:db8::2]:1", true}, {"[2001:db8:0:0:1::1]:1", false}, {"[2001:db8:0:1::1]:1", false}, // five in all
	} {
		s, err := open(tc.addr)
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.addr, err)
		}
		if err == nil {
			all = append(all, s)
		}
	}
	for _, s := range all {
		_ = s.Close()
	}
	if len(g.from) != 0 || g.tcp != 0 {
		t.Errorf("%d sources and %d connections are left", len(g.from), g.tcp)
	}
	s, err := open("192.0.2.1:5")
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
}

// Whatever writes to the disk counts among the Sets of a second.
func TestRateOfWrites(t *testing.T) {
	g := New(Config{Limits: Limits{SetRate: 1}})
	s := &Session{Conn: from{addr: "192.0.2.1:1"}, guard: g, kind: "tls", users: map[string]bool{}}
	if err := g.open(s); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	at := time.Now()
	g.now = func() time.Time { return at }
	for method, limited := range map[string]bool{
		methodSet: true, "/heddle.v1.Heddle/Rollback": true, "/heddle.v1.Heddle/Lock": true, "/heddle.v1.Heddle/Unlock": true,
		methodGet: false, "/heddle.v1.Heddle/History": false,
	} {
		call := func() error { return g.count(&call{session: s, method: method, who: Identity{Name: method}}) }
		for range 2 {
			if err := call(); err != nil {
				t.Errorf("%s: %v", method, err)
			}
		}
		if err := call(); (status.Code(err) == codes.ResourceExhausted) != limited {
			t.Errorf("%s, one too many: %v", method, err)
		}
	}
}

// An answer to a stream that the client has cancelled while it was being queued is over,
// though gRPC drops it without a word; one that is sent after its call has ended counts
// up to then.
func TestAnswerOfACancelledCall(t *testing.T) {
	g := New(Config{Limits: Limits{Gets: 1}})
	s := &Session{Conn: from{addr: "192.0.2.1:1"}, guard: g, kind: "tls", users: map[string]bool{}}
	if err := g.open(s); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for _, cancelled := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		given := 0
		a := (&call{session: s, who: Identity{Name: "alice"}, stream: ctx}).answer(nil, func() { given++ })
		octets := a.Mark(mem.BufferSlice{mem.SliceBuffer("answer")})
		octets.Ref() // it is queued
		if cancelled {
			cancel()
		}
		octets.Free() // the handler lets go of it
		if over := given == 1 && len(s.answers) == 0 && g.users["alice"].answers == 0; over != cancelled {
			t.Errorf("cancelled: %v; over when it is queued: %v", cancelled, over)
		}
		cancel()
		if cancelled {
			continue // nothing follows
		}
		sending := octets.Reader()
		octets.Free()
		if given != 0 || len(s.answers) != 1 {
			t.Error("it is over before it is sent")
		}
		if _, err := io.Copy(io.Discard, sending); err != nil {
			t.Fatal(err)
		}
		_ = sending.Close()
		if given != 1 || len(s.answers) != 0 {
			t.Error("it is not over although it is sent")
		}
	}
}

// Who comes back on another connection has no more Sets than who stays, nor more Gets than
// are still being carried out.
func TestAnotherConnectionIsNoNewUser(t *testing.T) {
	g := New(Config{Limits: Limits{SetRate: 1, Gets: 1}})
	now := time.Now()
	g.now = func() time.Time { return now }
	set := func() error {
		s := &Session{Conn: from{addr: "192.0.2.1:1"}, guard: g, kind: "tls", users: map[string]bool{}}
		must(t, g.open(s))
		defer func() { _ = s.Close() }()
		c := &call{session: s, method: methodSet, who: Identity{Name: "alice"}, timer: time.NewTimer(time.Hour), cancel: func(error) {}}
		if err := g.count(c); err != nil {
			return err
		}
		c.session.begin()
		g.ended(c)
		return nil
	}
	must(t, set())
	must(t, set()) // twice as many at once
	if err := set(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a third Set in one second: %v", err)
	}
	now = now.Add(2 * time.Second)
	must(t, set())
	g.users["alice"].gets <- struct{}{}
	now = now.Add(time.Hour)
	must(t, set())
	now = now.Add(time.Hour)
	must(t, set())
	if u := g.users["alice"]; u == nil || len(u.gets) != 1 {
		t.Error("a Get that is being carried out does not count any more")
	}
	<-g.users["alice"].gets
	now = now.Add(time.Hour)
	g.forget("alice", now)
	if len(g.users) != 0 {
		t.Error("a user that takes nothing is remembered")
	}
}
