package bench

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	soakSIDs    = 1000 // how many SIDs there may be at a time
	soakRoutes  = 200
	soakSamples = 40
)

// recordedCalls is how many calls an agent keeps (agent/access, maxRecords).
const recordedCalls = 4096

// raced is set where the race detector looks on.
var raced bool

// soaking does random Sets on an agent, with subscribers that stay and others
// that come and go.
type soaking struct {
	t      testing.TB
	p      *process
	random *rand.Rand
	// Which SIDs and routes are configured.
	sids, routes   [2 * soakSIDs]bool
	taken, refused int
	samples        map[string][]float64
}

// soakFor has an agent do n random Sets.
func soakFor(t testing.TB, n int) *soaking {
	t.Helper()
	seed := number(t, "SOAKSEED", int(time.Now().UnixNano()%1_000_000)+1)
	t.Logf("SOAKSEED=%d, %d Sets", seed, n)
	s := &soaking{t: t, p: start(newNamespace(t), t.TempDir(), true), random: rand.New(rand.NewPCG(uint64(seed), 2)), samples: map[string][]float64{}}
	s.p.configure()
	s.fill()
	ctx, cancel := context.WithCancel(context.Background())
	var subscribers sync.WaitGroup
	s.subscribers(ctx, &subscribers)
	for range recordedCalls { // the last calls are kept: until there are as many, each takes room
		s.set()
	}
	for i := range n {
		s.set()
		if i%20 == 0 {
			s.comesAndGoes()
		}
		if (i+1)%(n/soakSamples) == 0 && len(s.samples["heap"]) < soakSamples {
			s.sample()
		}
	}
	cancel()
	subscribers.Wait()
	return s
}

// fill configures half of what there may be, which is where random Sets keep it, by
// a Set for each: what is written one by one takes more room than what comes at
// once, and samples should begin where the run stays.
func (s *soaking) fill() {
	s.t.Helper()
	for i := range soakSIDs {
		s.sids[2*i] = true
		s.p.set(&gpb.SetRequest{Update: []*gpb.Update{s.sid(2 * i)}})
	}
	for i := range soakRoutes {
		s.routes[2*i] = true
		s.p.set(&gpb.SetRequest{Update: []*gpb.Update{s.route(2 * i)}})
	}
}

func (s *soaking) sid(i int) *gpb.Update {
	return update(s.t, sidsPath+"/sid[address="+sidAddress(i)+"]", ietf(fmt.Appendf(nil,
		`{"config": {"behavior": "END_X", "next-hop": "%s", "description": "customer %d"}}`, sidNextHop(s.random.IntN(64)), s.random.IntN(1000))))
}

func (s *soaking) route(i int) *gpb.Update {
	return update(s.t, staticsPath+"/static[prefix="+staticPrefix(i)+"]", ietf(fmt.Appendf(nil,
		`{"next-hops": {"next-hop": [{"index": "0", "srv6-encapsulation": {"config": {"segment-list": ["2001:db8:2:%x::1"]}}}]}}`, s.random.IntN(64))))
}

func (s *soaking) leaf(i int, name, value string) *gpb.Update {
	return update(s.t, sidsPath+"/sid[address="+sidAddress(i)+"]/config/"+name, text(value))
}

// there is a random SID that is configured.
func (s *soaking) there() int {
	for {
		if i := s.random.IntN(len(s.sids)); s.sids[i] {
			return i
		}
	}
}

// set does one Set: of one leaf mostly, of entries that come and go, of many, of
// something that nobody can have.
func (s *soaking) set() {
	s.t.Helper()
	req, wrong := &gpb.SetRequest{}, false
	switch r := s.random.IntN(1000); {
	case r < 500:
		req.Update = append(req.Update, s.leaf(s.there(), "next-hop", sidNextHop(s.random.IntN(64))))
	case r < 600:
		req.Update = append(req.Update, s.leaf(s.there(), "description", strconv.Itoa(s.random.IntN(1000))))
	case r < 800:
		for range 1 + s.random.IntN(5) {
			s.toggle(req, s.sids[:], sidsPath+"/sid[address=", sidAddress, s.sid)
		}
	case r < 900:
		for range 1 + s.random.IntN(5) {
			s.toggle(req, s.routes[:2*soakRoutes], staticsPath+"/static[prefix=", staticPrefix, s.route)
		}
	case r < 902: // large enough to be a new startup.json
		for i, there := range s.sids {
			if there {
				req.Update = append(req.Update, s.sid(i))
			}
		}
	default:
		req.Update, wrong = append(req.Update, s.leaf(s.there(), "description", "half a Set"), s.nonsense()), true
	}
	_, err := s.p.client.Set(context.Background(), req)
	switch {
	case err == nil && !wrong:
		s.taken++
	case wrong && err != nil && status.Code(err) != codes.Unavailable:
		s.refused++
	default:
		s.t.Fatalf("%v: %v\n%s", req, err, s.p.said.text())
	}
}

// toggle adds or deletes a random entry, each once in a request.
func (s *soaking) toggle(req *gpb.SetRequest, there []bool, at string, key func(int) string, entry func(int) *gpb.Update) {
	i := s.random.IntN(len(there))
	for _, d := range req.Delete {
		if d.Elem[len(d.Elem)-1].Key["address"] == key(i) || d.Elem[len(d.Elem)-1].Key["prefix"] == key(i) {
			return
		}
	}
	if there[i] = !there[i]; there[i] {
		req.Update = append(req.Update, entry(i))
	} else {
		req.Delete = append(req.Delete, path(s.t, at+key(i)+"]"))
	}
}

// nonsense is refused: by the schema, for a reference, a rule, or by the kernel.
func (s *soaking) nonsense() *gpb.Update {
	switch s.random.IntN(4) {
	case 0:
		return update(s.t, "/interfaces/interface[name=e1]/config/mtu", text("large"))
	case 1:
		return s.leaf(s.there(), "interface", "e9")
	case 2:
		return s.leaf(s.there(), "network-instance", "DEFAULT")
	}
	return update(s.t, "/interfaces/interface[name=e9]/config", ietf([]byte(`{"mtu": 1400}`)))
}

// subscribers are those that stay: to all changes, to counters by the clock, and
// one that is slow to read. What waits for the slow one is what has changed since,
// which is soon all that it subscribed to: few, for the run is to be flat from the
// beginning.
func (s *soaking) subscribers(ctx context.Context, all *sync.WaitGroup) {
	s.t.Helper()
	for _, sub := range []struct {
		at    string
		mode  gpb.SubscriptionMode
		pause time.Duration
	}{
		{"/", gpb.SubscriptionMode_ON_CHANGE, 0},
		{staticsPath, gpb.SubscriptionMode_ON_CHANGE, 100 * time.Millisecond},
		{"/interfaces/interface[name=e1]/state/counters", gpb.SubscriptionMode_SAMPLE, 0},
		{sidsPath, gpb.SubscriptionMode_TARGET_DEFINED, 0},
	} {
		stream := s.subscribe(ctx, sub.at, sub.mode, gpb.SubscriptionList_STREAM)
		all.Go(func() {
			for {
				if _, err := stream.Recv(); err != nil {
					return // the end
				}
				if sub.pause == 0 {
					continue
				}
				select {
				case <-time.After(sub.pause):
				case <-ctx.Done():
					return
				}
			}
		})
	}
}

func (s *soaking) subscribe(ctx context.Context, at string, mode gpb.SubscriptionMode, list gpb.SubscriptionList_Mode) gpb.GNMI_SubscribeClient {
	s.t.Helper()
	stream, err := s.p.client.Subscribe(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	err = stream.Send(&gpb.SubscribeRequest{Request: &gpb.SubscribeRequest_Subscribe{Subscribe: &gpb.SubscriptionList{
		Mode: list, Encoding: gpb.Encoding_PROTO, Subscription: []*gpb.Subscription{{Path: path(s.t, at), Mode: mode, SampleInterval: uint64(time.Second)}},
	}}})
	if err != nil {
		s.t.Fatal(err)
	}
	return stream
}

// comesAndGoes subscribes to one SID, reads what there is and leaves.
func (s *soaking) comesAndGoes() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream := s.subscribe(ctx, sidsPath+"/sid[address="+sidAddress(s.there())+"]", gpb.SubscriptionMode_ON_CHANGE, gpb.SubscriptionList_STREAM)
	for {
		m, err := stream.Recv()
		if err != nil {
			s.t.Fatal(err)
		}
		if m.GetSyncResponse() {
			return
		}
	}
}

// sample takes all levels. The client is in another process, whose garbage is no
// matter.
func (s *soaking) sample() {
	s.t.Helper()
	add := func(name, value string) {
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			s.t.Fatalf("%s: %v", name, err)
		}
		s.samples[name] = append(s.samples[name], v)
	}
	s.p.shown()
	add("heap", s.p.ask("heap"))
	add("goroutines", s.p.ask("goroutines"))
	add("resident", fmt.Sprint(s.p.status("VmRSS")))
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.p.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	add("files", strconv.Itoa(len(files)))
	size, kept := int64(0), 0
	err = filepath.WalkDir(s.p.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // renamed meanwhile
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		kept++
		if !strings.HasPrefix(d.Name(), "history.log") { // grows until it has all that is kept
			size += info.Size()
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	add("disk", strconv.FormatInt(size, 10))
	add("kept", strconv.Itoa(kept))
}

// TestSoak does some thousand random Sets, with subscribers: nothing grows.
//
//	SOAKSETS=200000 go test ./bench -run TestSoak -v
func TestSoak(t *testing.T) {
	s := soakFor(t, number(t, "SOAKSETS", 3000))
	t.Logf("%d Sets taken, %d refused", s.taken, s.refused)
	for _, l := range Levels {
		second, last := l.Quarters(s.samples[l.Name])
		t.Logf("%s: %.0f in the second quarter, %.0f in the last", l.Name, second, last)
		if l.Name == "resident" && raced {
			continue // the race detector keeps a shadow of every page that was ever used
		}
		if !l.Flat(s.samples[l.Name]) {
			t.Errorf("%s grows: %.0f", l.Name, s.samples[l.Name])
		}
	}
	if s.refused == 0 {
		t.Error("nothing was refused: the test hardly tests anything")
	}
}

// BenchmarkSoak is the long run.
func BenchmarkSoak(b *testing.B) {
	once(b)
	s := soakFor(b, number(b, "SOAKSETS", 200_000))
	for _, l := range Levels {
		record(b, Result{Name: "soak-" + l.Name, Count: s.taken, Unit: l.Unit, Samples: s.samples[l.Name]})
	}
	record(b, Result{Name: "soak-sets", Unit: "Sets", Samples: times{float64(s.taken)}})
	record(b, Result{Name: "soak-refused", Unit: "Sets", Samples: times{float64(s.refused)}})
}

// TestLevels: growth is told from swinging.
func TestLevels(t *testing.T) {
	level := func(of func(i int) float64) []float64 {
		list := make([]float64, soakSamples)
		for i := range list {
			list[i] = of(i)
		}
		return list
	}
	for _, l := range Levels {
		if !l.Flat(level(func(i int) float64 { return l.Slack * float64(20+i%3) / 20 })) {
			t.Errorf("%s swings and is said to grow", l.Name)
		}
		if l.Flat(level(func(i int) float64 { return l.Slack * (20 + float64(i)/4) })) {
			t.Errorf("%s grows and is said to be flat", l.Name)
		}
	}
}
