package bench

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
)

const srv6Path = "/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6"

// steered is an agent with a policy of two paths and n routes that are steered into
// it.
type steered struct {
	ns       *namespace
	p        *process
	reqs     [2]*gpb.SetRequest
	took     times
	byKernel times // see replace
}

func newSteered(b *testing.B, n int) *steered {
	b.Helper()
	ns := newNamespace(b)
	s := &steered{ns: ns, p: start(ns, b.TempDir(), false)}
	s.p.configure()
	s.p.set(&gpb.SetRequest{Update: []*gpb.Update{update(b, srv6Path, ietf([]byte(
		`{"segment-lists": {"segment-list": [{"name": "one", "config": {"name": "one", "segment": ["2001:db8:13::21", "2001:db8:3::1"]}},`+
			`{"name": "two", "config": {"name": "two", "segment": ["2001:db8:13::22", "2001:db8:3::1"]}}]},`+
			`"policies": {"policy": [{"name": "p", "config": {"name": "p"}, "candidate-paths": {"candidate-path": [`+
			`{"name": "one", "config": {"name": "one", "preference": 10}, "segment-lists": {"segment-list": [{"name": "one", "config": {"name": "one"}}]}},`+
			`{"name": "two", "config": {"name": "two", "preference": 5}, "segment-lists": {"segment-list": [{"name": "two", "config": {"name": "two"}}]}}]}}]}}`)))}})
	s.p.timed("Set", replaceRequest(b, staticsPath, steeredJSON(n)))
	for i, preference := range []string{"20", "5"} {
		s.reqs[i] = &gpb.SetRequest{Update: []*gpb.Update{update(b, srv6Path+
			"/policies/policy[name=p]/candidate-paths/candidate-path[name=two]/config/preference", ietf([]byte(preference)))}}
	}
	return s
}

// steeredJSON is a payload for staticsPath of n routes into the policy.
func steeredJSON(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"heddle-static-routes:static":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"prefix":"%[1]s","config":{"prefix":"%[1]s"},"next-hops":{"next-hop":[{"index":"0","config":{"index":"0"},`+
			`"heddle-sr-policy:srv6-policy":{"config":{"policy":"p"}}}]}}`, staticPrefix(i))
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// another has the policy take its other path.
func (s *steered) another() {
	s.p.t.Helper()
	begun := time.Now()
	if _, err := s.p.client.Set(context.Background(), s.reqs[len(s.took)%2]); err != nil {
		s.p.t.Fatal(err)
	}
	s.took.add(time.Since(begun))
}

// batch is how many objects ip replaces at a time: its start is shared among them.
const batch = 20

// replace has ip replace the nexthop object of the policy's path, by what it is: what
// the kernel needs for it, and ip.
func (s *steered) replace() {
	s.p.t.Helper()
	var line string
	for object := range strings.Lines(s.ns.mustIP("-6 -o nexthop show proto 72")) {
		m := nexthopObject.FindStringSubmatch(object)
		if m != nil {
			line = fmt.Sprintf("nexthop replace id %s encap seg6 mode encap segs %s dev %s proto 72\n", m[1], strings.Join(strings.Fields(m[2]), ","), m[3])
		}
	}
	if line == "" {
		s.p.t.Fatal("the policy has no nexthop object")
	}
	begun := time.Now()
	if out, err := s.ns.ip(strings.NewReader(strings.Repeat(line, batch)), "-6", "-batch", "-"); err != nil {
		s.p.t.Fatalf("%v: %s", err, out)
	}
	s.byKernel = append(s.byKernel, time.Since(begun).Seconds()/batch)
}

var nexthopObject = regexp.MustCompile(`^id (\d+) +encap seg6 mode encap segs \d+ \[ (.*?) \] .*?dev (\S+)`)

// BenchmarkPolicy is a Set that has a policy take another path, with one route and
// with 100,000 that are steered into it, in turns; and the same message to the kernel
// by ip.
func BenchmarkPolicy(b *testing.B) {
	once(b)
	little, much := newSteered(b, 1), newSteered(b, full)
	for range 20 { // the first ones pay for what is set up once
		little.another()
		much.another()
	}
	little.took, much.took = nil, nil
	for i := range 200 {
		little.another()
		much.another()
		if i%batch == 0 {
			little.replace()
			much.replace()
		}
	}
	for count, s := range map[int]*steered{1: little, full: much} {
		record(b, Result{Name: "policy", Count: count, Unit: "s", Samples: s.took})
		record(b, Result{Name: "policy-kernel", Count: count, Unit: "s", Samples: s.byKernel})
	}
}
