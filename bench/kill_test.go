package bench

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
)

// number is that of an environment variable, or usual.
func number(t testing.TB, name string, usual int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, want a number above 0", name, text)
	}
	return n
}

// variant is one of two configurations of a node with SIDs: about n objects
// differ between them, which come, change and go, and the node's own address,
// source and settings.
func variant(n, which int) []byte {
	var sids bytes.Buffer
	for i := range n {
		if which == 1 && i%4 == 0 {
			i += n // another SID instead
		}
		if sids.Len() > 0 {
			sids.WriteByte(',')
		}
		fmt.Fprintf(&sids, `{"address": "%s", "config": {"behavior": "heddle-srv6:END_X", "next-hop": "%s"}}`, sidAddress(i), sidNextHop(i+which))
	}
	return fmt.Appendf(nil, `{
		"heddle-interfaces:interfaces": {"interface": [{"name": "e1", "config": {"name": "e1", "mtu": %[1]d}, "subinterfaces": {"subinterface": [
			{"index": 0, "config": {"index": 0}, "ipv6": {"addresses": {"address": [{"ip": "2001:db8:13::%[2]d", "config": {"ip": "2001:db8:13::%[2]d", "prefix-length": 64}}]}}}]}}]},
		"heddle-network-instance:network-instances": {"network-instance": [{"name": "DEFAULT", "config": {"name": "DEFAULT", "type": "heddle-network-instance-types:DEFAULT_INSTANCE"},
			"segment-routing": {"heddle-srv6:srv6": {
				"config": {"source-address": "2001:db8:1::%[2]d", "sid-interface": "e1"},
				"interfaces": {"interface": [{"interface-id": "e1", "config": {"interface-id": "e1", "enabled": %[3]t}}]},
				"locators": {"locator": [{"name": "main", "config": {"name": "main", "prefix": "2001:db8:1::/48"}}]},
				"sids": {"sid": [%[4]s]}}},
			"protocols": {"protocol": [{"identifier": "heddle-policy-types:STATIC", "name": "s", "config": {"identifier": "heddle-policy-types:STATIC", "name": "s"},
				"heddle-static-routes:static-routes": {"static": [{"prefix": "2001:db8:4000::/48", "config": {"prefix": "2001:db8:4000::/48"}, "next-hops": {"next-hop": [
					{"index": "0", "config": {"index": "0", "next-hop": "2001:db8:13::%[2]d9"}, "interface-ref": {"config": {"interface": "e1"}}}]}}]}}]}}]}}`,
		1500-100*which, 1+which, which == 0, sids.String())
}

// killing is a node whose agent is killed again and again in the middle of a Set
// from one configuration to the other.
type killing struct {
	t       *testing.T
	n       *namespace
	dir     string
	random  *rand.Rand
	p       *process
	request [2][]byte
	kernel  [2]string // what the kernel holds of each
	config  [2]string // what the agent says is configured
	now     int       // which it is

	setTakes, startTakes time.Duration
	late                 float64 // share of setTakes by which a Set is done: grows while no kill comes late enough
	seen                 map[string]int
}

// TestKilledDuringSet has the agent die by SIGKILL at random moments of a Set of
// many objects. After the restart, in which it may die once more, configuration
// and kernel are both those before the Set or both those after it, and after it
// if it was answered; the log says which, and which commit was not finished when
// the kernel was ahead. Kills are repeated until some have come before, some in
// the middle of and some after what is done to the kernel.
//
//	KILLS=200 KILLSIDS=50000 KILLSEED=7 go test ./bench -run Killed -v
func TestKilledDuringSet(t *testing.T) {
	kills, sids := number(t, "KILLS", 6), number(t, "KILLSIDS", 50_000)
	seed := number(t, "KILLSEED", int(time.Now().UnixNano()%1_000_000)+1)
	t.Logf("KILLSEED=%d KILLS=%d KILLSIDS=%d", seed, kills, sids)
	k := &killing{t: t, n: newNamespace(t), dir: t.TempDir(), random: rand.New(rand.NewPCG(uint64(seed), 1)), late: 1.4, seen: map[string]int{}}
	k.measure(sids)
	for tries := 0; tries < kills || k.seen["before"] == 0 || k.seen["between"] == 0 || k.seen["after"] == 0; tries++ {
		if tries > 5*kills+30 {
			t.Fatalf("after %d kills there is none of each: %v", tries, k.seen)
		}
		k.once()
	}
	t.Logf("a Set takes %v, a start %v; the kernel was as %v", k.setTakes, k.startTakes, k.seen)
	k.p.stop()
}

// measure does the two Sets undisturbed, each right behind a start as the others
// will be.
func (k *killing) measure(sids int) {
	k.t.Helper()
	for which := range k.request {
		k.request[which] = replaceRequest(k.t, "/", variant(sids, which))
	}
	k.p = start(k.n, k.dir, false)
	var sets, starts times
	for _, which := range []int{0, 1, 0, 1, 0} {
		took, _ := k.p.timed("Set", k.request[which])
		sets.add(took)
		kernel, config := k.n.held(), k.configured()
		if k.kernel[which] != "" && (kernel != k.kernel[which] || config != k.config[which]) {
			k.t.Fatalf("the same configuration is another the second time:\n%s\nwas\n%s", kernel, k.kernel[which])
		}
		k.kernel[which], k.config[which] = kernel, config
		k.p.stop()
		k.p = start(k.n, k.dir, false)
		starts.add(k.p.ready)
	}
	k.setTakes = time.Duration(Median(sets[1:]) * float64(time.Second))
	k.startTakes = time.Duration(Median(starts) * float64(time.Second))
	if k.kernel[0] == k.kernel[1] || !strings.HasPrefix(k.kernel[0], strconv.Itoa(sids)) && !strings.HasPrefix(k.kernel[0], strconv.Itoa(sids+2)) {
		k.t.Fatalf("the kernel holds\n%sand\n%s", k.kernel[0], k.kernel[1])
	}
}

// configured is the configuration as the agent gives it.
func (k *killing) configured() string {
	k.t.Helper()
	got, err := k.p.client.Get(context.Background(), &gpb.GetRequest{Path: []*gpb.Path{{}}, Type: gpb.GetRequest_CONFIG, Encoding: gpb.Encoding_JSON_IETF})
	if err != nil {
		k.t.Fatal(err)
	}
	return string(got.GetNotification()[0].GetUpdate()[0].GetVal().GetJsonIetfVal())
}

// wait lets a random part of a time pass, between two shares of it.
func (k *killing) wait(of time.Duration, from, to float64) {
	<-time.After(time.Duration((from + k.random.Float64()*(to-from)) * float64(of)))
}

// aim waits for a moment of a Set: anywhere, or where the kernel has been found
// least often in the state that is to be expected there. A machine that has become
// busier than it was when the Sets were timed has each attempt to come late wait
// longer than the one before.
func (k *killing) aim() {
	before, between, after := k.seen["before"], k.seen["between"], k.seen["after"]
	switch least := min(before, between, after); {
	case k.random.IntN(3) == 0:
		k.wait(k.setTakes, 0, 1.2)
	case after == least:
		k.wait(k.setTakes, k.late/2, k.late)
		k.late *= 1.2
	case between == least:
		k.wait(k.setTakes, 0.2, 1)
	default:
		k.wait(k.setTakes, 0, 0.6)
	}
}

// once has the agent die in a Set, looks what the kernel is left with, and starts
// it again.
func (k *killing) once() {
	k.t.Helper()
	from, to := k.now, 1-k.now
	answered := make(chan error, 1)
	go func(conn *grpc.ClientConn) {
		var answer size
		answered <- conn.Invoke(context.Background(), "/gnmi.gNMI/Set", octets(k.request[to]), &answer, grpc.ForceCodecV2(asIs{}))
	}(k.p.conn)
	k.aim()
	k.p.kill()
	acknowledged := <-answered == nil
	kernel := k.n.held()
	left := "between"
	switch kernel {
	case k.kernel[from]:
		left = "before"
	case k.kernel[to]:
		left = "after"
	}
	k.seen[left]++
	again := k.random.IntN(3) == 0
	if again {
		p := launch(k.n, k.dir, false)
		k.wait(k.startTakes, 0, 1.1)
		p.kill()
		k.seen["killed again in the start"]++
	}
	k.p = start(k.n, k.dir, false)
	k.check(from, left, acknowledged, again)
}

var revisionLoaded = regexp.MustCompile(`configuration loaded.* revision=(\d+)`)

// check looks at a node after the restart.
func (k *killing) check(from int, left string, acknowledged, again bool) {
	k.t.Helper()
	said := k.p.said.text()
	fail := func(format string, args ...any) {
		k.t.Helper()
		k.t.Fatalf("killed with the kernel as %s (acknowledged %t, killed again %t): %s\nlog:\n%s", left, acknowledged, again, fmt.Sprintf(format, args...), said)
	}
	config, kernel := k.configured(), k.n.held()
	if k.now = slices.Index(k.config[:], config); k.now < 0 {
		fail("the configuration is neither that before nor that after: %.300s", config)
	}
	if kernel != k.kernel[k.now] {
		fail("the kernel does not hold configuration %d:\n%s\nwant\n%s", k.now, kernel, k.kernel[k.now])
	}
	if acknowledged && k.now == from {
		fail("what was acknowledged is gone")
	}
	if m := revisionLoaded.FindStringSubmatch(said); m == nil {
		fail("the log does not say which configuration runs")
	} else if want := k.get("/system/state/config-revision"); want != `"`+m[1]+`"` {
		fail("state shows revision %s", want)
	}
	if k.now == from && left != "before" && !again && !strings.Contains(said, "was not finished") {
		fail("the log does not say that a commit was not finished")
	}
	k.seen["came back as "+map[bool]string{true: "before", false: "after"}[k.now == from]]++
	err := filepath.WalkDir(k.dir, func(file string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !slices.Contains(stateFiles, d.Name()) {
			fail("%s is left over", file)
		}
		return err
	})
	if err != nil {
		fail("%v", err)
	}
}

// stateFiles may lie in the state directory. What is left of a write that was
// interrupted has one name and is overwritten by the next.
var stateFiles = []string{"lock", "startup.json", "startup.log", "startup.json.prev", "startup.log.prev", "prior.json", "prior.json.tmp",
	"sid-counters", "sid-counters.new", "gnmi.sock", "history.log", "history.log.1", "locked.json", "locked.json.tmp"}

func (k *killing) get(at string) string {
	k.t.Helper()
	got, err := k.p.client.Get(context.Background(), &gpb.GetRequest{Path: []*gpb.Path{path(k.t, at)}, Type: gpb.GetRequest_STATE, Encoding: gpb.Encoding_JSON_IETF})
	if err != nil {
		k.t.Fatal(err)
	}
	return string(got.GetNotification()[0].GetUpdate()[0].GetVal().GetJsonIetfVal())
}
