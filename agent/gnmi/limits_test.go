package gnmi_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"heddle/agent/access"
)

// raced is set where the race detector looks on.
var raced bool

// A thousand clients at once, each with a connection, a subscription, a Set and a
// Get: all are served, and all are told of the last commit. The race detector has
// two hundred: each client is told of the Sets of all, and to it that takes minutes.
func TestThousandClients(t *testing.T) {
	clients := 1000
	if raced {
		clients = 200
	}
	s := secure(t, access.Limits{}, func(s *secured) { s.users("alice") })
	s.mustSet(update(ifA, `{"config":{"name":"a"}}`))
	list := &gpb.SubscriptionList{Encoding: gpb.Encoding_PROTO, Subscription: []*gpb.Subscription{{Path: path(t, ifLeaf("a", "mtu")), Mode: gpb.SubscriptionMode_ON_CHANGE}}}
	var synced, done sync.WaitGroup
	errs := make(chan error, clients)
	last := s.request(op{"update", ifLeaf("a", "mtu"), uintVal(9000)})
	one := func(conn *grpc.ClientConn, n uint64) error {
		client := gpb.NewGNMIClient(conn)
		ctx, cancel := context.WithTimeout(as(t, "alice", "alice"), 5*time.Minute)
		defer cancel()
		ready := sync.OnceFunc(synced.Done)
		defer ready()
		stream, err := client.Subscribe(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(&gpb.SubscribeRequest{Request: &gpb.SubscribeRequest_Subscribe{Subscribe: list}}); err != nil {
			return err
		}
		if _, err := client.Set(ctx, s.request(op{"update", ifLeaf("a", "mtu"), uintVal(1000 + n)})); err != nil {
			return err
		}
		if _, err := client.Get(ctx, getRequest(t, gpb.Encoding_JSON, gpb.GetRequest_ALL, "/")); err != nil {
			return err
		}
		ready()
		for {
			m, err := stream.Recv()
			if err != nil {
				return err
			}
			for _, u := range m.GetUpdate().GetUpdate() {
				if u.GetVal().GetUintVal() == 9000 {
					return stream.CloseSend()
				}
			}
		}
	}
	synced.Add(clients)
	for n := range clients {
		conn := s.dial()
		done.Go(func() { errs <- one(conn, uint64(n)) })
	}
	synced.Wait()
	_, err := s.client.Set(t.Context(), last)
	must(t, err)
	done.Wait()
	close(errs)
	failed := 0
	for err := range errs {
		if failed++; err != nil && failed < 4 {
			t.Error(err)
		}
	}
}

func TestLimitsOfAUser(t *testing.T) {
	limits := access.Limits{Sessions: 2, Calls: 4, Subscriptions: 2, SetRate: 1, Message: 1 << 20, Subscribe: 1 << 10}
	s := secure(t, limits, func(s *secured) { s.users("alice", "bob") })
	conn := s.dial()
	client, ctx := gpb.NewGNMIClient(conn), as(t, "alice", "alice")
	list := &gpb.SubscriptionList{Subscription: []*gpb.Subscription{{Path: path(t, ifA), Mode: gpb.SubscriptionMode_ON_CHANGE}}}
	small := func() error {
		_, err := client.Set(ctx, s.request(update(ifA, `{"config":{"name":"a"}}`)))
		return err
	}

	t.Run("sessions", func(t *testing.T) {
		second, third := s.dial(), s.dial()
		must(t, ask(ctx, conn))
		must(t, ask(ctx, second))
		wantCode(t, ask(ctx, third), codes.ResourceExhausted)
		must(t, ask(as(t, "bob", "bob"), third))
		must(t, second.Close())
		for ask(ctx, third) != nil { // the target sees the end when it does
			if err := ctx.Err(); err != nil {
				t.Fatal(err)
			}
		}
		must(t, third.Close())
	})
	t.Run("subscriptions", func(t *testing.T) {
		one, cancel := context.WithCancel(ctx)
		w := s.subscribeAs(one, client, list)
		w.sync()
		s.subscribeAs(ctx, client, list).sync()
		wantCode(t, s.subscribeAs(ctx, client, list).end(), codes.ResourceExhausted)
		cancel()
		wantCode(t, w.end(), codes.Canceled)
		for {
			again := s.subscribeAs(ctx, client, list)
			m, err := again.stream.Recv()
			if err == nil && m != nil {
				return
			}
			wantCode(t, err, codes.ResourceExhausted)
		}
	})
	t.Run("rate of Sets", func(t *testing.T) {
		var codesSeen []codes.Code
		for range 6 {
			codesSeen = append(codesSeen, status.Code(small()))
		}
		if codesSeen[0] != codes.OK || codesSeen[5] != codes.ResourceExhausted {
			t.Errorf("six Sets at once: %v", codesSeen)
		}
		for range 20 {
			s.mustSet(update(ifA, `{"config":{"name":"a"}}`)) // root at the unix socket
		}
	})
	t.Run("size of a request", func(t *testing.T) {
		_, err := client.Get(ctx, &gpb.GetRequest{Path: []*gpb.Path{{Elem: []*gpb.PathElem{{Name: strings.Repeat("x", 10<<20)}}}}})
		wantCode(t, err, codes.ResourceExhausted)
		long := &gpb.SubscriptionList{Subscription: []*gpb.Subscription{{Path: &gpb.Path{Elem: []*gpb.PathElem{{Name: strings.Repeat("x", 2<<10)}}}}}}
		other := s.dial()
		wantCode(t, s.subscribeAs(as(t, "bob", "bob"), gpb.NewGNMIClient(other), long).end(), codes.ResourceExhausted)
	})
}

// pending opens a call of which the request does not come.
func pending(ctx context.Context, t *testing.T, conn *grpc.ClientConn, method string) grpc.ClientStream {
	t.Helper()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	must(t, err)
	return stream
}

// A client that opens a call, or a stream, and sends nothing, is not waited for.
func TestRequestsThatDoNotCome(t *testing.T) {
	s := secure(t, access.Limits{Request: 200 * time.Millisecond}, func(s *secured) { s.users("alice") })
	conn := s.dial()
	for _, method := range []string{gpb.GNMI_Set_FullMethodName, gpb.GNMI_Get_FullMethodName, gpb.GNMI_Subscribe_FullMethodName} {
		stream := pending(as(t, "alice", "alice"), t, conn, method)
		switch code := status.Code(stream.RecvMsg(&gpb.SetResponse{})); code {
		case codes.DeadlineExceeded, codes.Canceled:
		default:
			t.Errorf("%s ended with %s", method, code)
		}
	}
	must(t, ask(as(t, "alice", "alice"), conn))
	// One that has come is not bound by it.
	w := s.subscribeAs(as(t, "alice", "alice"), gpb.NewGNMIClient(conn), &gpb.SubscriptionList{
		Encoding: gpb.Encoding_PROTO, Subscription: []*gpb.Subscription{{Path: path(t, "/interfaces/interface[name=eth0]/state/counters/in-pkts"), Mode: gpb.SubscriptionMode_SAMPLE, SampleInterval: uint64(50 * time.Millisecond)}}})
	w.sync()
	for start := time.Now(); time.Since(start) < 500*time.Millisecond; {
		w.next()
	}
}

// What comes of requests is bounded for all of them together: the ones that are not
// whole are ended, and others are served.
func TestRequestsInMemory(t *testing.T) {
	s := secure(t, access.Limits{Requests: 1 << 20}, func(s *secured) { s.users("alice", "bob") })
	_, err := gpb.NewGNMIClient(s.dial()).Set(as(t, "alice", "alice"), s.request(update(ifLeaf("a", "description"), `"`+strings.Repeat("x", 8<<20)+`"`)))
	if code := status.Code(err); code != codes.ResourceExhausted && code != codes.Canceled {
		t.Errorf("8 MiB where there may be one: %v", err)
	}
	must(t, ask(as(t, "bob", "bob"), s.dial()))
	_, err = gpb.NewGNMIClient(s.dial()).Set(as(t, "bob", "bob"), s.request(update(ifA, `{"config":{"name":"a"}}`)))
	must(t, err)
}

// Subscriptions to the past that nobody reads are as many as Gets, and have as much time.
func TestPastThatIsNotRead(t *testing.T) {
	s := secure(t, access.Limits{Gets: 1, Call: time.Second}, func(s *secured) { s.users("alice") })
	var all []string
	for i := range 2000 {
		all = append(all, fmt.Sprintf(`{"name":"i%d","config":{"name":"i%d","description":"%s"}}`, i, i, strings.Repeat("x", 200)))
	}
	s.mustSet(update("/interfaces", `{"interface":[`+strings.Join(all, ",")+`]}`))
	client, ctx := gpb.NewGNMIClient(s.dial()), as(t, "alice", "alice")
	ask := func() gpb.GNMI_SubscribeClient {
		stream, err := client.Subscribe(ctx)
		must(t, err)
		must(t, stream.Send(&gpb.SubscribeRequest{
			Request:   &gpb.SubscribeRequest_Subscribe{Subscribe: &gpb.SubscriptionList{Mode: gpb.SubscriptionList_ONCE, Subscription: []*gpb.Subscription{{Path: path(t, "/interfaces")}}}},
			Extension: []*gnmi_ext.Extension{{Ext: &gnmi_ext.Extension_History{History: &gnmi_ext.History{Request: &gnmi_ext.History_SnapshotTime{SnapshotTime: time.Now().UnixNano()}}}}},
		}))
		_, err = stream.Recv()
		must(t, err)
		return stream
	}
	began := time.Now()
	ask()
	second := ask()
	if waited := time.Since(began); waited < time.Second {
		t.Errorf("two were answered within %s, where there is one at a time", waited)
	}
	if err := (watching{t, second}).end(); !errors.Is(err, io.EOF) {
		t.Errorf("one that is read ends with %v", err)
	}
}

// What comes behind the first message of a stream is bounded as well, for all streams of a
// connection together.
func TestMessagesThatAreNotExpected(t *testing.T) {
	s := secure(t, access.Limits{Subscribe: 64 << 10}, func(s *secured) { s.users("alice") })
	client := gpb.NewGNMIClient(s.dial())
	list := &gpb.SubscriptionList{Mode: gpb.SubscriptionList_POLL, Subscription: []*gpb.Subscription{{Path: path(t, "/system")}}}
	w := s.subscribeAs(as(t, "alice", "alice"), client, list)
	w.sync()
	poll := &gpb.SubscribeRequest{Request: &gpb.SubscribeRequest_Poll{Poll: &gpb.Poll{}}}
	for range 3 {
		must(t, w.stream.Send(poll))
		w.sync()
	}
	long := &gpb.SubscribeRequest{Request: &gpb.SubscribeRequest_Subscribe{Subscribe: &gpb.SubscriptionList{
		Subscription: []*gpb.Subscription{{Path: &gpb.Path{Elem: []*gpb.PathElem{{Name: strings.Repeat("x", 8<<20)}}}}},
	}}}
	if err := w.stream.Send(long); !errors.Is(err, io.EOF) {
		must(t, err)
	}
	wantCode(t, w.end(), codes.Unavailable)
	must(t, ask(as(t, "alice", "alice"), s.dial()))
}

// ends reads until the other side closes.
func ends(t *testing.T, c net.Conn, within time.Duration) {
	t.Helper()
	must(t, c.SetReadDeadline(time.Now().Add(within)))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection is still open after %s", within)
	}
}

// Connections that come to nothing are closed: nothing is said, half of a handshake,
// no call, calls that are all refused.
func TestHalfOpenConnections(t *testing.T) {
	s := secure(t, access.Limits{Handshake: 3 * time.Second, Unused: 3 * time.Second}, func(s *secured) { s.users("alice") })
	raw := func() net.Conn {
		c, err := net.Dial("tcp", s.addr)
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	silent, half := raw(), raw()
	_, err := half.Write([]byte{0x16, 0x03, 0x01, 0x02, 0x00, 0x01})
	must(t, err)
	greeted := tls.Client(raw(), &tls.Config{RootCAs: s.roots, ServerName: "localhost", NextProtos: []string{"h2"}})
	must(t, greeted.Handshake())
	idle := tls.Client(raw(), &tls.Config{RootCAs: s.roots, ServerName: "localhost", NextProtos: []string{"h2"}})
	must(t, idle.Handshake())
	// The preface of HTTP/2 and empty SETTINGS (RFC 9113 §3.4), and then nothing.
	_, err = idle.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"))
	must(t, err)
	for _, c := range []net.Conn{silent, half, greeted, idle} {
		ends(t, c, 20*time.Second)
	}
	used := s.dial()
	must(t, ask(as(t, "alice", "alice"), used))
	refused := s.dial()
	stream := pending(as(t, "alice", "alice"), t, refused, gpb.GNMI_Subscribe_FullMethodName)
	for range 300 {
		_ = ask(t.Context(), refused) // refused, until the connection is
	}
	if err := stream.RecvMsg(&gpb.SubscribeResponse{}); status.Code(err) != codes.Unavailable {
		t.Errorf("a connection with 300 refused calls goes on: %v", err)
	}
}
