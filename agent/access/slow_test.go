package access

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc/mem"
)

// A client that takes a large answer slowly is not ended, though the kernel takes nothing
// from the target for longer than an answer may be left.
func TestSlowClientIsNotEnded(t *testing.T) {
	const limit = 600 * time.Millisecond
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	client, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	must(t, err)
	defer client.Close()
	must(t, client.(*net.TCPConn).SetReadBuffer(128<<10))
	conn, err := l.Accept()
	must(t, err)
	g := New(Config{Limits: Limits{Answer: limit}})
	_, info, err := g.Credentials(nil).ServerHandshake(plainConn{conn})
	must(t, err)
	s := info.(*Session)
	defer s.Close()
	a := (&call{session: s, who: Identity{Name: "alice"}, stream: context.Background()}).answer(nil, func() {})
	octets := a.Mark(mem.BufferSlice{make(mem.SliceBuffer, 64<<20)})
	wrote := make(chan error, 1)
	go func() {
		_, err := io.Copy(struct{ io.Writer }{s}, struct{ io.Reader }{octets.Reader()}) // a piece at a time, as gRPC does
		wrote <- err
	}()
	pace := time.NewTicker(limit / 8)
	defer pace.Stop()
	for range 5 * 8 { // for five times as long as it may leave the answer
		<-pace.C
		if _, err := io.CopyN(io.Discard, client, 32<<10); err != nil {
			t.Fatal("its connection is ended:", err)
		}
		select {
		case err := <-wrote:
			t.Fatal("its connection is ended:", err)
		default:
		}
	}
	// Once it takes nothing at all, it is.
	if err := <-wrote; err == nil {
		t.Error("the kernel took all of it")
	}
}
