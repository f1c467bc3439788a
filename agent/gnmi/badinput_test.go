package gnmi_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"heddle/agent/gnmi"
)

// octets is a codec for messages that no library would write.
type octets struct{}

func (octets) Name() string                  { return "proto" }
func (octets) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (octets) Unmarshal(b []byte, v any) error {
	*v.(*[]byte) = b
	return nil
}

// raw calls a method of gNMI with octets as the message.
func (tg *target) raw(method string, message []byte) error {
	var answer []byte
	return tg.conn.Invoke(tg.t.Context(), "/gnmi.gNMI/"+method, &message, &answer, grpc.ForceCodec(octets{}))
}

// field is a field of a message that holds octets.
func field(n protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), b)
}

// message is one that cannot be meant.
type message struct {
	name, method string
	octets       []byte
}

func badMessages(t *testing.T, tg *target) []message {
	marshal := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		must(t, err)
		return b
	}
	set := marshal(tg.request(update(ifA+"/config/mtu", `1300`), del(ifB)))
	get := marshal(getRequest(t, gpb.Encoding_JSON, gpb.GetRequest_ALL, ifA))
	with := func(begin []byte, more ...byte) []byte { return append(begin[:len(begin):len(begin)], more...) }
	long := &gpb.Path{Elem: []*gpb.PathElem{{Name: strings.Repeat("x", 10<<20)}}}
	longKey := &gpb.Path{Elem: []*gpb.PathElem{{Name: "interfaces"}, {Name: "interface", Key: map[string]string{"name": strings.Repeat("x", 10<<20), "id": "x"}}}}
	wild := &gpb.Path{}
	for range 50 {
		wild.Elem = append(wild.Elem, &gpb.PathElem{Name: "..."})
	}
	wild.Elem = append(wild.Elem, &gpb.PathElem{Name: "nonsense"})
	nested := func(n int) []byte { // leaf-lists in leaf-lists
		v := marshal(stringVal("x"))
		for range n {
			v = field(8, field(1, v))
		}
		return with(set, field(4, append(field(1, marshal(path(t, ifA+"/config/mtu"))), field(3, v)...))...)
	}
	json := func(doc string) []byte { return with(set, marshal(tg.request(update(ifA+"/config", doc)))...) }
	messages := []message{
		{"unknown extension", "Set", with(set, field(5, field(99, []byte("critical")))...)},
		{"unknown extension", "Get", with(get, field(7, field(99, []byte("critical")))...)},
		{"path of 10 MB", "Get", marshal(&gpb.GetRequest{Path: []*gpb.Path{long}})},
		{"path of 10 MB", "Set", with(set, marshal(&gpb.SetRequest{Delete: []*gpb.Path{long}})...)},
		{"prefix of 10 MB", "Set", with(set, marshal(&gpb.SetRequest{Prefix: long})...)},
		{"key of 10 MB", "Get", marshal(&gpb.GetRequest{Path: []*gpb.Path{longKey}})},
		{"many wildcards", "Get", marshal(&gpb.GetRequest{Path: []*gpb.Path{wild}})},
		{"leaf-lists 100 deep", "Set", nested(100)},
		{"leaf-lists 20,000 deep", "Set", nested(20_000)},
		{"arrays 1,000,000 deep", "Set", json(strings.Repeat("[", 1_000_000))},
		{"objects 100,000 deep", "Set", json(strings.Repeat(`{"config":`, 100_000) + "1" + strings.Repeat("}", 100_000))},
		{"an object in itself", "Set", json(`{"interfaces":{"interfaces":{"interfaces":{}}}}`)},
		{"a member twice", "Set", json(`{"mtu":1300,"mtu":1301}`)},
		{"invalid UTF-8 in a value", "Set", json("{\"description\":\"\xff\xfe\"}")},
		{"invalid UTF-8 in a name", "Set", with(set, field(2, field(3, field(1, []byte("\xff"))))...)},
		{"invalid UTF-8 in a name", "Get", field(2, field(3, field(1, []byte("\xff"))))},
		{"nothing", "Get", nil},
	}
	for i := 1; i < len(set); i += 3 {
		messages = append(messages, message{"truncated", "Set", set[:i]})
	}
	return messages
}

// TestBadInput: whatever comes in is answered with an error, a short one, and leaves
// everything as it was; then the next one is answered.
func TestBadInput(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	before := tg.config("/")
	for _, m := range badMessages(t, tg) {
		began := time.Now()
		st := status.Convert(tg.raw(m.method, m.octets))
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s, %s: it took %v", m.name, m.method, took)
		}
		if m.name == "truncated" && st.Code() == codes.OK { // between two fields
			tg.mustSet(replace("/", before))
			continue
		}
		if st.Code() == codes.OK || st.Code() == codes.Unavailable || proto.Size(st.Proto()) > 6000 {
			t.Errorf("%s, %s: %v, %d octets", m.name, m.method, st.Code(), proto.Size(st.Proto()))
		}
		if after := tg.config("/"); after != before {
			t.Fatalf("%s, %s:\nbefore %s\nafter  %s", m.name, m.method, before, after)
		}
	}
	stream := tg.open()
	must(t, stream.Send(&gpb.SubscribeRequest{Request: &gpb.SubscribeRequest_Subscribe{
		Subscribe: list(gpb.SubscriptionList_ONCE, &gpb.Subscription{Path: &gpb.Path{Elem: []*gpb.PathElem{{Name: strings.Repeat("x", 10<<20)}}}})}}))
	_, err := stream.Recv()
	wantCode(t, err, codes.ResourceExhausted)
}

// TestManyPaths: 100,000 paths are answered, and when the answer would have no end the
// client is told so.
func TestManyPaths(t *testing.T) {
	tg := start(t, func(c *gnmi.Config) []net.Listener {
		c.MaxAnswer = 32 << 20
		return nil
	})
	seed(tg)
	req := getRequest(t, gpb.Encoding_JSON, gpb.GetRequest_CONFIG, ifA+"/config/mtu")
	for len(req.Path) < 100_000 {
		req.Path = append(req.Path, req.Path[0])
	}
	resp, err := tg.client.Get(t.Context(), req)
	must(t, err)
	if n := len(resp.GetNotification()); n != 100_000 {
		t.Errorf("%d notifications", n)
	}
	for i := range req.Path {
		req.Path[i] = &gpb.Path{}
	}
	_, err = tg.client.Get(t.Context(), req)
	wantCode(t, err, codes.ResourceExhausted)
	if got := tg.config(ifA + "/config/mtu"); got != "1400" {
		t.Errorf("mtu %s", got)
	}
}

// A client that opens a stream and says nothing is not waited for.
func TestSilentStream(t *testing.T) {
	tg := start(t, func(c *gnmi.Config) []net.Listener {
		c.FirstMessage = 20 * time.Millisecond
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := tg.client.Subscribe(ctx)
	must(t, err)
	_, err = stream.Recv()
	wantCode(t, err, codes.DeadlineExceeded)
}
