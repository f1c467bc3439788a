package gnmi_test

import (
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"heddle/agent/datastore"
	"heddle/agent/gnmi"
	"heddle/agent/gnsi"
	"heddle/internal/feed"
	"heddle/kernel/object"
	"heddle/schema"
	"heddle/telemetry"
	"heddle/telemetry/subscribe"
	"heddle/yang"
)

// glog comes with ygot and keeps a goroutine from the start.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}

var heddle = sync.OnceValues(schema.Heddle)

// applier stands for the kernel: these tests are about the protocol.
type applier struct {
	mu   sync.Mutex
	err  error
	undo error
	n    int
}

func (a *applier) Apply(context.Context, *datastore.Snapshot, *datastore.Snapshot, []schema.Change) (func(context.Context) error, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n++
	return func(context.Context) error { return a.undo }, a.err
}

func (a *applier) Start(ctx context.Context, old, new *datastore.Snapshot, changes []schema.Change) error {
	_, err := a.Apply(ctx, old, new, changes)
	return err
}

func (a *applier) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

func (a *applier) calls() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n
}

// links is a kernel with links that have counters.
type links struct {
	mu     sync.Mutex
	links  map[string]object.LinkState
	events chan telemetry.LinkEvent
}

func newLinks(names ...string) *links {
	k := &links{links: map[string]object.LinkState{}, events: make(chan telemetry.LinkEvent, 16)}
	for i, n := range names {
		k.links[n] = object.LinkState{Name: n, Index: i + 1, Kind: "dummy", Type: 1, MTU: 1500, Up: true, Oper: object.OperUp}
	}
	return k
}

func (k *links) Links(context.Context) ([]object.LinkState, []object.AddressState, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []object.LinkState
	for _, l := range k.links {
		all = append(all, l)
	}
	return all, nil, nil
}

func (k *links) Link(_ context.Context, name string) (object.LinkState, []object.AddressState, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l, ok := k.links[name]
	return l, nil, ok, nil
}

func (*links) Proxies(context.Context, []netip.Addr) ([]object.ProxyReading, error) { return nil, nil }

func (k *links) SIDCounters(context.Context, []netip.Addr, func([]object.SIDReading)) error {
	return nil
}

func (k *links) Watch(ctx context.Context) (<-chan telemetry.LinkEvent, error) {
	out := make(chan telemetry.LinkEvent)
	go func() {
		defer close(out)
		for {
			select {
			case e := <-k.events:
				select {
				case out <- e:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// change edits one link; del takes it away. event says whether the kernel tells.
func (k *links) change(name string, event bool, fn func(*object.LinkState) (del bool)) {
	k.mu.Lock()
	l := k.links[name]
	l.Name = name
	if fn(&l) {
		delete(k.links, name)
	} else {
		k.links[name] = l
	}
	k.mu.Unlock()
	if event {
		k.events <- telemetry.LinkEvent{Link: name}
	}
}

type (
	noIntent struct{ telemetry.Intent }
	noActual struct{ telemetry.Actual }
)

// stateData is the state tree as a dataset.
type stateData struct{ *telemetry.Telemetry }

func (d stateData) Snapshot() schema.Tree { return d.Telemetry.Snapshot() }

func (d stateData) Watch() (schema.Tree, subscribe.Feed) {
	s, r := d.Telemetry.Watch()
	return s, stateFeed{r}
}

type stateFeed struct{ *feed.Reader[telemetry.Event] }

func (f stateFeed) Next(ctx context.Context) (subscribe.Batch, error) {
	e, lost, err := f.Reader.Next(ctx)
	if err != nil {
		return subscribe.Batch{}, err
	}
	return subscribe.Batch{Time: e.Time, Changes: e.Changes, Tree: e.Snapshot, Lost: lost}, nil
}

// target is a server with all that is behind it but a kernel.
type target struct {
	t       testing.TB
	schema  *schema.Schema
	store   *datastore.Store
	kernel  *links
	applier *applier
	dir     string
	client  gpb.GNMIClient
	conn    *grpc.ClientConn
	sock    string
	stop    func() // ends the server; once
}

// start brings a target up on a unix socket. change may alter its configuration
// and returns further listeners.
func start(t testing.TB, change func(*gnmi.Config) []net.Listener) *target {
	t.Helper()
	sc, err := heddle()
	must(t, err)
	tg := &target{t: t, schema: sc, kernel: newLinks("eth0", "eth1"), applier: &applier{}, dir: t.TempDir()}
	tg.store, err = datastore.Open(datastore.Config{Schema: sc, Applier: tg.applier, Dir: filepath.Join(tg.dir, "config")})
	must(t, err)
	_, err = tg.store.Start(t.Context())
	must(t, err)
	tel, err := telemetry.New(telemetry.Config{Schema: sc, Kernel: tg.kernel, Intent: noIntent{}, Actual: noActual{}, System: telemetry.System{Hostname: "r1"}})
	must(t, err)
	cfg := gnmi.Config{
		Schema: sc, Running: gnmi.Running(tg.store), State: stateData{tel}, Refresher: tel, Store: tg.store, Past: tg.store,
		Aliases: yang.Compatible(), MinSample: 5 * time.Millisecond,
	}
	tg.sock = filepath.Join(tg.dir, "gnmi.sock")
	l, err := gnmi.ListenUnix(t.Context(), tg.sock)
	must(t, err)
	listeners := []net.Listener{l}
	if change != nil {
		listeners = append(listeners, change(&cfg)...)
	}
	srv, err := gnmi.New(cfg)
	must(t, err)
	if cfg.Guard != nil {
		gnsi.Register(srv, cfg.Guard)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	started := make(chan struct{})
	wg.Go(func() { _ = tel.Run(ctx, func() { close(started) }) })
	<-started
	wg.Go(func() {
		if err := srv.Serve(ctx, listeners...); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	tg.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		tel.Close()
		if err := tg.store.Close(context.Background()); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	t.Cleanup(tg.stop)
	tg.client, tg.conn = dialUnix(t, tg.sock)
	return tg
}

func dialUnix(t testing.TB, sock string) (gpb.GNMIClient, *grpc.ClientConn) {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+sock, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return gpb.NewGNMIClient(conn), conn
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// path reads the text of a path, "openconfig:/a" with an origin.
func path(t testing.TB, text string) *gpb.Path {
	t.Helper()
	elems, err := schema.ParseElems(text)
	must(t, err)
	p := &gpb.Path{}
	for _, e := range elems {
		p.Elem = append(p.Elem, &gpb.PathElem{Name: e.Name, Key: e.Keys})
	}
	return p
}

func jsonVal(s string) *gpb.TypedValue {
	return &gpb.TypedValue{Value: &gpb.TypedValue_JsonIetfVal{JsonIetfVal: []byte(s)}}
}

func stringVal(s string) *gpb.TypedValue {
	return &gpb.TypedValue{Value: &gpb.TypedValue_StringVal{StringVal: s}}
}

func uintVal(u uint64) *gpb.TypedValue {
	return &gpb.TypedValue{Value: &gpb.TypedValue_UintVal{UintVal: u}}
}

func boolVal(b bool) *gpb.TypedValue {
	return &gpb.TypedValue{Value: &gpb.TypedValue_BoolVal{BoolVal: b}}
}

// op is one operation of a Set.
type op struct {
	kind string // "delete", "replace", "update"
	path string
	val  *gpb.TypedValue
}

func del(p string) op                     { return op{"delete", p, nil} }
func replace(p, json string) op           { return op{"replace", p, jsonVal(json)} }
func update(p, json string) op            { return op{"update", p, jsonVal(json)} }
func leaf(p string, v *gpb.TypedValue) op { return op{"update", p, v} }
func (tg *target) request(ops ...op) *gpb.SetRequest {
	tg.t.Helper()
	req := &gpb.SetRequest{}
	for _, o := range ops {
		p := path(tg.t, o.path)
		switch o.kind {
		case "delete":
			req.Delete = append(req.Delete, p)
		case "replace":
			req.Replace = append(req.Replace, &gpb.Update{Path: p, Val: o.val})
		case "update":
			req.Update = append(req.Update, &gpb.Update{Path: p, Val: o.val})
		}
	}
	return req
}

func (tg *target) set(ops ...op) (*gpb.SetResponse, error) {
	tg.t.Helper()
	return tg.client.Set(tg.t.Context(), tg.request(ops...))
}

func (tg *target) mustSet(ops ...op) *gpb.SetResponse {
	tg.t.Helper()
	resp, err := tg.set(ops...)
	must(tg.t, err)
	return resp
}

// get is the JSON_IETF value of a path, "" if there is nothing.
func (tg *target) get(p string) string {
	tg.t.Helper()
	return tg.getType(p, gpb.GetRequest_ALL)
}

// config is like get, for the configuration.
func (tg *target) config(p string) string {
	tg.t.Helper()
	return tg.getType(p, gpb.GetRequest_CONFIG)
}

func (tg *target) getType(p string, kind gpb.GetRequest_DataType) string {
	tg.t.Helper()
	resp, err := tg.client.Get(tg.t.Context(), &gpb.GetRequest{Path: []*gpb.Path{path(tg.t, p)}, Encoding: gpb.Encoding_JSON_IETF, Type: kind})
	if status.Code(err) == codes.NotFound {
		return ""
	}
	must(tg.t, err)
	if n := len(resp.GetNotification()); n != 1 {
		tg.t.Fatalf("get %s: %d notifications", p, n)
	}
	if n := len(resp.GetNotification()[0].GetUpdate()); n != 1 {
		tg.t.Fatalf("get %s: %d updates", p, n)
	}
	return string(resp.GetNotification()[0].GetUpdate()[0].GetVal().GetJsonIetfVal())
}

// sameJSON compares two documents, members in any order.
func sameJSON(t testing.TB, got, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, got)
	}
	must(t, json.Unmarshal([]byte(want), &w))
	if !reflect.DeepEqual(g, w) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func wantCode(t testing.TB, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("code %v (%v), want %v", got, err, want)
	}
}

// flat is the text of prefix and path together.
func flat(prefix, p *gpb.Path) string {
	text := ""
	for _, q := range []*gpb.Path{prefix, p} {
		for _, e := range q.GetElem() {
			text += "/" + e.GetName()
			var keys []string
			for k := range e.GetKey() {
				keys = append(keys, k)
			}
			slices.Sort(keys)
			for _, k := range keys {
				text += "[" + k + "=" + e.GetKey()[k] + "]"
			}
		}
	}
	if text == "" {
		return "/"
	}
	return text
}
