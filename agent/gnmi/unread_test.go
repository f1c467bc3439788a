package gnmi_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"heddle/agent/access"
	"heddle/agent/gnmi"
)

// large starts a target with an answer of some megabytes.
func large(t *testing.T, limits access.Limits) *target {
	tg := start(t, func(c *gnmi.Config) []net.Listener {
		c.Guard = access.New(access.Config{Limits: limits})
		return nil
	})
	var doc []string
	for i := range 20_000 {
		doc = append(doc, fmt.Sprintf(`{"name":"i%d","config":{"name":"i%d","description":"%s"}}`, i, i, strings.Repeat("x", 100)))
	}
	tg.mustSet(replace("/interfaces/interface", "["+strings.Join(doc, ",")+"]"))
	return tg
}

// unread asks for everything on a connection of its own and reads nothing of the answer.
// The connection has the same windows as it begins with, whatever comes.
func (tg *target) unread(ctx context.Context) (*grpc.ClientConn, grpc.ClientStream) {
	tg.t.Helper()
	conn, err := grpc.NewClient("unix://"+tg.sock, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithInitialWindowSize(64<<10), grpc.WithInitialConnWindowSize(64<<10))
	must(tg.t, err)
	tg.t.Cleanup(func() { _ = conn.Close() })
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, gpb.GNMI_Get_FullMethodName)
	must(tg.t, err)
	must(tg.t, stream.SendMsg(getRequest(tg.t, gpb.Encoding_JSON_IETF, gpb.GetRequest_CONFIG, "/")))
	must(tg.t, stream.CloseSend())
	_, err = stream.Header() // the answer is on its way
	must(tg.t, err)
	return conn, stream
}

// A client that does not read its answer is ended, and the memory of the answer is free
// again; one that reads another answer meanwhile, on the same connection, too.
func TestAnswerThatNobodyReads(t *testing.T) {
	tg := large(t, access.Limits{Gets: 8, Answer: 300 * time.Millisecond})
	heap := func() uint64 {
		var m runtime.MemStats
		for range 3 { // pools keep what they have for two collections
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	whole := uint64(len(tg.config("/")))
	before := heap()
	const clients = 8
	streams := map[*grpc.ClientConn]grpc.ClientStream{}
	for range clients {
		conn, s := tg.unread(t.Context())
		streams[conn] = s
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for conn, s := range streams {
		for st := conn.GetState(); st == connectivity.Ready; st = conn.GetState() {
			if !conn.WaitForStateChange(ctx, st) {
				t.Fatal("the connection of a client that does not read is still there")
			}
		}
		if err := s.RecvMsg(&gpb.GetResponse{}); status.Code(err) != codes.Unavailable {
			t.Errorf("it ends with %v", err)
		}
	}
	tg.mustSet(update(ifA+"/config/mtu", "1400")) // nobody is kept from anything
	tg.config("/")
	if after := heap(); after > before+clients/2*whole {
		t.Errorf("%d octets before, %d after answers of %d to %d clients", before, after, whole, clients)
	}
}

// Answers that are not read keep their places among the Gets, and count.
func TestUnreadAnswersCount(t *testing.T) {
	t.Run("places", func(t *testing.T) {
		tg := large(t, access.Limits{Gets: 1})
		conn, _ := tg.unread(t.Context())
		short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		get := func(ctx context.Context) error {
			_, err := tg.client.Get(ctx, getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_CONFIG, "/interfaces/interface[name=i1]"))
			return err
		}
		wantCode(t, get(short), codes.DeadlineExceeded)
		must(t, conn.Close())
		must(t, get(t.Context()))
	})
	t.Run("octets", func(t *testing.T) {
		tg := large(t, access.Limits{Answers: 1 << 20})
		conn, _ := tg.unread(t.Context())
		get := func() error {
			_, err := tg.client.Get(t.Context(), getRequest(t, gpb.Encoding_JSON_IETF, gpb.GetRequest_CONFIG, "/"))
			return err
		}
		wantCode(t, get(), codes.ResourceExhausted)
		must(t, conn.Close())
		for status.Code(get()) == codes.ResourceExhausted { // the target sees the end when it does
			if err := t.Context().Err(); err != nil {
				t.Fatal(err)
			}
		}
		must(t, get())
	})
}
