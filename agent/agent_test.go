package agent

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	hpb "heddle/gen/rpc"
	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/kernel/probe"
	"heddle/reconcile"
	"heddle/schema"
)

// router is the network namespace of the calling test, with an agent in it. The
// link e1 has its other end, far, in the same namespace. iproute2 is the witness.
type router struct {
	t     *testing.T
	dir   string
	drift DriftMode
	log   *slog.Logger
	agent *Agent
	stop  func() error

	between func(reconcile.Driver) reconcile.Driver // as in Config

	client gpb.GNMIClient
	heddle hpb.HeddleClient
}

func newRouter(t *testing.T) *router {
	t.Helper()
	kerneltest.Namespace(t)
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs iproute2 as a witness")
	}
	r := &router{t: t, dir: t.TempDir()}
	r.ip("link set lo up")
	// Duplicate addresses are looked for while either this or the link's own asks for it.
	r.sysctl("net/ipv6/conf/all/accept_dad", "0")
	r.ip("link add e1 type veth peer name far")
	for _, l := range []string{"e1", "far"} {
		for param, value := range map[string]string{"accept_dad": "0", "router_solicitations": "0"} {
			r.sysctl("net/ipv6/conf/"+l+"/"+param, value)
		}
		r.ip("link set " + l + " up")
	}
	r.settled()
	r.ip("-6 neigh add 2001:db8:13::9 lladdr 02:00:00:00:00:09 dev e1")
	return r
}

func (r *router) ip(args string) string {
	r.t.Helper()
	out, err := exec.CommandContext(r.t.Context(), "ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
	return string(out)
}

func (r *router) sysctl(name, value string) {
	r.t.Helper()
	if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil {
		r.t.Fatal(err)
	}
}

// kernel is all that there is in the namespace, without what moves by itself.
func (r *router) kernel() string {
	r.t.Helper()
	var b strings.Builder
	for _, what := range []string{"-o -d link show", "-o addr show", "-4 -d route show table all", "-6 -d route show table all", "nexthop show", "sr tunsrc show"} {
		// The kernel lists routes in the order in which they came.
		lines := strings.SplitAfter(r.ip(what), "\n")
		slices.Sort(lines)
		b.WriteString(strings.Join(lines, ""))
	}
	for _, name := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv6/conf/all/seg6_enabled", "net/ipv6/conf/e1/seg6_enabled", "net/ipv6/conf/e1/forwarding"} {
		v, err := os.ReadFile("/proc/sys/" + name)
		if err != nil {
			r.t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s=%s", name, v)
	}
	return b.String()
}

func (r *router) expectKernel(want string) {
	r.t.Helper()
	if d := cmp.Diff(strings.Split(want, "\n"), strings.Split(r.kernel(), "\n")); d != "" {
		r.t.Errorf("the kernel (-before +now):\n%s", d)
	}
}

// start brings an agent up, and a client to it.
func (r *router) start() {
	r.t.Helper()
	sock := filepath.Join(r.dir, "gnmi.sock")
	a, err := New(Config{StateDir: r.dir, Unix: sock, Drift: r.drift, Log: r.log, between: r.between})
	if err != nil {
		r.t.Fatal(err)
	}
	r.agent = a
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	conn, err := grpc.NewClient("unix://"+sock, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.client, r.heddle = gpb.NewGNMIClient(conn), hpb.NewHeddleClient(conn)
	r.stop = func() error {
		err := conn.Close()
		cancel()
		return errors.Join(err, <-ended, a.Close())
	}
	wait, done := context.WithTimeout(ctx, 20*time.Second)
	defer done()
	if _, err := r.client.Capabilities(wait, &gpb.CapabilityRequest{}, grpc.WaitForReady(true)); err != nil {
		r.t.Fatal(err)
	}
}

func gnmiPath(t *testing.T, text string) *gpb.Path {
	t.Helper()
	elems, err := schema.ParseElems(text)
	if err != nil {
		t.Fatal(err)
	}
	p := &gpb.Path{}
	for _, e := range elems {
		p.Elem = append(p.Elem, &gpb.PathElem{Name: e.Name, Key: e.Keys})
	}
	return p
}

// setRequest updates path by path, or deletes the paths that have no value.
func setRequest(t *testing.T, updates ...[2]string) *gpb.SetRequest {
	t.Helper()
	req := &gpb.SetRequest{}
	for _, u := range updates {
		p := gnmiPath(t, u[0])
		if u[1] == "" {
			req.Delete = append(req.Delete, p)
			continue
		}
		req.Update = append(req.Update, &gpb.Update{Path: p, Val: &gpb.TypedValue{Value: &gpb.TypedValue_JsonIetfVal{JsonIetfVal: []byte(u[1])}}})
	}
	return req
}

// set does a Set as setRequest has it. Its plan is refused as it is.
func (r *router) set(updates ...[2]string) error {
	r.t.Helper()
	req := setRequest(r.t, updates...)
	_, planned := r.heddle.Plan(r.t.Context(), &hpb.PlanRequest{What: &hpb.PlanRequest_Set{Set: req}})
	_, err := r.client.Set(r.t.Context(), req)
	if d := cmp.Diff(status.Convert(err).Proto(), status.Convert(planned).Proto(), protocmp.Transform()); d != "" {
		r.t.Errorf("the plan is not refused as the Set is (-Set +plan):\n%s", d)
	}
	return err
}

// get is what Get answers for one path, of configuration or state.
func (r *router) get(path string, kind gpb.GetRequest_DataType) string {
	r.t.Helper()
	resp, err := r.client.Get(r.t.Context(), &gpb.GetRequest{Path: []*gpb.Path{gnmiPath(r.t, path)}, Type: kind, Encoding: gpb.Encoding_JSON_IETF})
	if status.Code(err) == codes.NotFound {
		return ""
	}
	if err != nil {
		r.t.Fatalf("get %s: %v", path, err)
	}
	return string(resp.GetNotification()[0].GetUpdate()[0].GetVal().GetJsonIetfVal())
}

func (r *router) state(path string) string {
	r.t.Helper()
	return r.get(path, gpb.GetRequest_STATE)
}

func (r *router) expectState(path, want string) {
	r.t.Helper()
	if got := r.state(path); got != want {
		r.t.Errorf("%s is %q, want %q", path, got, want)
	}
}

const (
	realStatics = inDefault + "/protocols/protocol[identifier=STATIC][name=s]/static-routes/static"
	endSID      = srv6 + "/sids/sid[address=2001:db8:1:e000::]"
	endXSID     = srv6 + "/sids/sid[address=2001:db8:1:e001::]"
)

// base is a transit router: an address, a locator with two SIDs, and routes.
var base = [][2]string{
	{"/interfaces/interface[name=e1]", `{"config": {"description": "to the far end", "mtu": 1600}, "subinterfaces": {"subinterface": [
		{"index": 0, "ipv6": {"addresses": {"address": [{"ip": "2001:db8:13::1", "config": {"prefix-length": 64}}]}}}]}}`},
	{inDefault + "/config", `{"type": "DEFAULT_INSTANCE"}`},
	{srv6 + "/config", `{"source-address": "2001:db8:1::1", "sid-interface": "e1"}`},
	{srv6 + "/interfaces/interface[interface-id=e1]/config", `{"enabled": true}`},
	{srv6 + "/locators/locator[name=main]/config", `{"prefix": "2001:db8:1::/48"}`},
	{endSID + "/config", `{"behavior": "END"}`},
	{endXSID + "/config", `{"behavior": "END_X", "next-hop": "2001:db8:13::9"}`},
	{realStatics + "[prefix=2001:db8:4::/48]", `{"next-hops": {"next-hop": [{"index": "0", "config": {"next-hop": "2001:db8:13::9"}, "interface-ref": {"config": {"interface": "e1"}}}]}}`},
	{realStatics + "[prefix=2001:db8:5::/48]", `{"next-hops": {"next-hop": [{"index": "0", "interface-ref": {"config": {"interface": "e1"}},
		"srv6-encapsulation": {"config": {"segment-list": ["2001:db8:4::1", "2001:db8:4::2"]}}}]}}`},
}

// TestAgent is the life of an agent on this machine's kernel: Sets that are
// good, Sets that are not, a restart, the end.
func TestAgent(t *testing.T) {
	r := newRouter(t)
	before, files := r.kernel(), kerneltest.OpenFiles(t)
	r.start()
	r.expectKernel(before)

	if err := r.set(base...); err != nil {
		t.Fatal(err)
	}
	// No subtests: they would run on other threads, which are elsewhere.
	r.checkKernel()
	r.checkState()
	r.checkCounters()
	r.checkBadInput()
	r.checkSecondAgent()
	r.checkRestart()

	if err := r.set([2]string{"/interfaces", ""}, [2]string{"/network-instances", ""}); err != nil {
		t.Fatal(err)
	}
	r.expectKernel(before)
	if err := r.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	r.expectKernel(before)
	goleak.VerifyNone(t, goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"),
		goleak.IgnoreTopFunction("testing.(*T).Run"), goleak.IgnoreTopFunction("testing.(*T).Parallel"))
	if n := kerneltest.OpenFiles(t); n != files {
		t.Errorf("%d open files, %d before", n, files)
	}
}

func (r *router) checkKernel() {
	routes := r.ip("-6 route show")
	for _, want := range []string{
		"2001:db8:1:e000::  encap seg6local action End ", "dev e1 proto 72",
		"2001:db8:1:e001::  encap seg6local action End.X nh6 2001:db8:13::9 ",
		"blackhole 2001:db8:1::/48 ", "2001:db8:4::/48 via 2001:db8:13::9 dev e1 proto 72",
		"2001:db8:5::/48  encap seg6 mode encap segs 2 [ 2001:db8:4::1 2001:db8:4::2 ] dev e1 proto 72",
	} {
		if !strings.Contains(routes, want) {
			r.t.Errorf("no %q in\n%s", want, routes)
		}
	}
	if addr := r.ip("-6 addr show dev e1"); !strings.Contains(addr, "2001:db8:13::1/64") || !strings.Contains(addr, "mtu 1600") {
		r.t.Error(addr)
	}
	if src := r.ip("sr tunsrc show"); !strings.Contains(src, "2001:db8:1::1") {
		r.t.Error(src)
	}
}

func (r *router) checkState() {
	for path, want := range map[string]string{
		endSID + "/state/programmed":                                  "true",
		endXSID + "/state/programmed":                                 "true",
		endXSID + "/state/next-hop":                                   `"2001:db8:13::9"`,
		endSID + "/state/counters":                                    `{"heddle-srv6:errors":"0","heddle-srv6:octets":"0","heddle-srv6:packets":"0"}`,
		srv6 + "/state/sid-interface":                                 `"e1"`,
		srv6 + "/interfaces/interface[interface-id=e1]/state/enabled": "true",
		srv6 + "/locators/locator[name=main]/state/programmed":        "true",
		realStatics + "[prefix=2001:db8:5::/48]/state/programmed":     "true",
		"/interfaces/interface[name=e1]/state/mtu":                    "1600",
		"/interfaces/interface[name=e1]/state/description":            `"to the far end"`,
		"/interfaces/interface[name=e1]/state/type":                   `"heddle-interface-types:VETH"`,
		"/interfaces/interface[name=e1]/veth/state/peer":              `"far"`,
		"/interfaces/interface[name=lo]/state/type":                   `"heddle-interface-types:softwareLoopback"`,
		"/interfaces/interface[name=far]/state/managed":               "false",
		"/interfaces/interface[name=e1]/subinterfaces/subinterface[index=0]/ipv6/addresses/address[ip=2001:db8:13::1]/state/origin": `"STATIC"`,
		"/interfaces/interface[name=e1]/subinterfaces/subinterface[index=0]/ipv6/addresses/address[ip=2001:db8:13::1]/state/status": `"PREFERRED"`,
		"/system/state/config-revision": `"1"`,
	} {
		r.expectState(path, want)
	}
	// What somebody else does is seen, without a Set.
	r.ip("link set far down")
	r.expectState("/interfaces/interface[name=e1]/state/oper-status", `"LOWER_LAYER_DOWN"`)
	r.ip("link set far up")
	r.expectState("/interfaces/interface[name=e1]/state/oper-status", `"UP"`)
}

// checkCounters sends packets to END: two with a segment left, one without.
func (r *router) checkCounters() {
	sid := netip.MustParseAddr("2001:db8:1:e000::")
	for range 2 {
		r.send(srhPacket(sid, netip.MustParseAddr("2001:db8:4::7")))
	}
	r.send(srhPacket(sid))
	r.expectState(endSID+"/state/counters", `{"heddle-srv6:errors":"1","heddle-srv6:octets":"160","heddle-srv6:packets":"2"}`)

	// The SID is replaced, the total goes on.
	if err := r.set([2]string{endSID + "/config", `{"behavior": "END_DT6", "network-instance": "DEFAULT"}`}); err != nil {
		r.t.Fatal(err)
	}
	if err := r.set([2]string{endSID + "/config/network-instance", ""}, [2]string{endSID + "/config/behavior", `"END"`}); err != nil {
		r.t.Fatal(err)
	}
	r.expectState(endSID+"/state/counters/packets", `"2"`)
	r.send(srhPacket(sid, netip.MustParseAddr("2001:db8:4::7")))
	r.expectState(endSID+"/state/counters/packets", `"3"`)
}

// srhPacket is an IPv6 packet to a SID without payload, with a segment routing
// header of one segment left if there is a next one (RFC 8754 §2).
func srhPacket(sid netip.Addr, next ...netip.Addr) []byte {
	const ipv6, noNext, routing = 40, 59, 43
	p := make([]byte, ipv6, 80)
	p[0], p[6], p[7] = 0x60, noNext, 64
	copy(p[8:], netip.MustParseAddr("2001:db8:13::9").AsSlice())
	copy(p[24:], sid.AsSlice())
	if len(next) > 0 {
		p[6] = routing
		p = append(p, noNext, 4, 4, 1, 1, 0, 0, 0)
		p = append(p, next[0].AsSlice()...)
		p = append(p, sid.AsSlice()...)
	}
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-ipv6))
	return p
}

// send puts a packet on the wire at the far end. It is taken in at once.
func (r *router) send(packet []byte) {
	r.t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer unix.Close(fd)
	far, err := net.InterfaceByName("far")
	if err != nil {
		r.t.Fatal(err)
	}
	e1, err := net.InterfaceByName("e1")
	if err != nil {
		r.t.Fatal(err)
	}
	to := &unix.SockaddrLinklayer{Protocol: 0xdd86, Ifindex: far.Index, Halen: 6}
	copy(to.Addr[:], e1.HardwareAddr)
	if err := unix.Sendto(fd, packet, 0, to); err != nil {
		r.t.Fatal(err)
	}
}

// checkBadInput: each Set is refused and says why, and nothing has changed.
func (r *router) checkBadInput() {
	r.ip("-6 route add 2001:db8:66::/48 dev far proto static metric 1024")
	caps, err := probe.Run(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	const vrf = "/network-instances/network-instance[name=blue]"
	hop := func(body string) string {
		return `{"next-hops": {"next-hop": [{"index": "0", ` + body + `}]}}`
	}
	tests := map[string]struct {
		path, value string
		code        codes.Code
		says        []string
	}{
		"unknown path":   {"/interfaces/interfase[name=e1]/config/mtu", "1400", codes.NotFound, []string{"/interfaces/interfase", "no such node"}},
		"unknown member": {"/interfaces/interface[name=e1]/config", `{"mtuu": 1400}`, codes.InvalidArgument, []string{"mtuu"}},
		"wrong type":     {"/interfaces/interface[name=e1]/config/mtu", `"large"`, codes.InvalidArgument, []string{"/interfaces/interface[name=e1]/config/mtu", "large"}},
		"missing key":    {"/interfaces/interface/config/mtu", "1400", codes.InvalidArgument, []string{"/interfaces/interface", "key"}},
		"DT4 to an instance that is not there": {srv6 + "/sids/sid[address=2001:db8:1:ff01::]/config", `{"behavior": "END_DT4", "network-instance": "blue"}`,
			codes.InvalidArgument, []string{"2001:db8:1:ff01::", "network-instance", "blue", "does not exist"}},
		"IPv4 address in a segment list": {realStatics + "[prefix=2001:db8:7::/48]", hop(`"srv6-encapsulation": {"config": {"segment-list": ["192.0.2.1"]}}`),
			codes.InvalidArgument, []string{"segment-list", "192.0.2.1", "IPv6"}},
		"interface that is not there": {"/interfaces/interface[name=e9]/config", `{"mtu": 1400}`, codes.FailedPrecondition, []string{"e9", "does not exist"}},
		"interface that is not configured": {realStatics + "[prefix=2001:db8:7::/48]", hop(`"interface-ref": {"config": {"interface": "e9"}}`),
			codes.InvalidArgument, []string{"e9", "does not exist"}},
		"foreign route in the way": {realStatics + "[prefix=2001:db8:66::/48]", hop(`"config": {"next-hop": "2001:db8:13::9"}, "interface-ref": {"config": {"interface": "e1"}}`),
			codes.FailedPrecondition, []string{"2001:db8:66::/48"}},
		"kernel without VRF": {vrf + "/config", `{"type": "L3VRF", "table-id": 110}`, codes.FailedPrecondition, []string{"blue", "VRF"}},
	}
	unchanged := r.unchanged()
	for name, c := range tests {
		if name == "kernel without VRF" && caps.Lacks(object.Link{Name: "blue", Type: object.LinkVRF, Table: 110}) == "" {
			continue // the lab has the scenario, with a kernel without it
		}
		// Together with something good, which must not happen either.
		err := r.set([2]string{endSID + "/config/description", `"half a Set"`}, [2]string{c.path, c.value})
		if status.Code(err) != c.code {
			r.t.Errorf("%s: code %s: %v", name, status.Code(err), err)
		}
		for _, text := range c.says {
			if err != nil && !strings.Contains(err.Error(), text) {
				r.t.Errorf("%s: no %q in %v", name, text, err)
			}
		}
		unchanged(name)
	}
	r.ip("-6 route del 2001:db8:66::/48 dev far proto static metric 1024")
}

// unchanged notes what the kernel and the configuration are, for the comparison with
// what they are later.
func (r *router) unchanged() func(when string) {
	r.t.Helper()
	before, config := r.kernel(), indent(r.t, r.get("/", gpb.GetRequest_CONFIG))
	revision := r.state("/system/state/config-revision")
	return func(when string) {
		r.t.Helper()
		r.expectKernel(before)
		if d := cmp.Diff(config, indent(r.t, r.get("/", gpb.GetRequest_CONFIG))); d != "" {
			r.t.Errorf("%s: configuration (-before +after):\n%s", when, d)
		}
		r.expectState("/system/state/config-revision", revision)
	}
}

func indent(t *testing.T, doc string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(doc), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// checkSecondAgent starts agents that must not run here.
func (r *router) checkSecondAgent() {
	before := r.kernel()
	if _, err := New(Config{StateDir: r.t.TempDir()}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		r.t.Errorf("a second agent: %v", err)
	}
	if says := agentWithoutCapability(r.t, r.t.TempDir()); !strings.Contains(says, "CAP_NET_ADMIN") || strings.Contains(says, "\n") {
		r.t.Errorf("an agent without CAP_NET_ADMIN: %q", says)
	}
	r.expectKernel(before)
}

// checkRestart: the next life finds all in place, writes nothing, and goes on
// counting.
func (r *router) checkRestart() {
	before, config := r.kernel(), r.get("/", gpb.GetRequest_CONFIG)
	counted := r.ip("-s -6 route show")
	events := listen(r.t)
	if err := r.stop(); err != nil {
		r.t.Fatal(err)
	}
	r.expectKernel(before)
	r.start()
	r.expectKernel(before)
	if got := r.ip("-s -6 route show"); got != counted {
		r.t.Errorf("counters are %s, were %s", got, counted)
	}
	if m := events(); len(m) > 0 {
		r.t.Errorf("the restart changed the kernel: message types %v", m)
	}
	if d := cmp.Diff(indent(r.t, config), indent(r.t, r.get("/", gpb.GetRequest_CONFIG))); d != "" {
		r.t.Errorf("configuration (-before +after):\n%s", d)
	}
	r.expectState(endSID+"/state/programmed", "true")
	// Together with what it counted before the SID was last made.
	r.expectState(endSID+"/state/counters/packets", `"3"`)
}

// listen joins the groups of links, addresses and routes. The function it
// returns gives the types of the messages that have come since.
func listen(t *testing.T) func() []uint16 {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	const groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		t.Fatal(err)
	}
	return func() (types []uint16) {
		defer unix.Close(fd)
		b := make([]byte, 1<<16)
		for {
			n, _, err := unix.Recvfrom(fd, b, 0)
			if errors.Is(err, unix.EAGAIN) {
				return types
			}
			if err != nil {
				t.Fatal(err)
			}
			msgs, err := syscall.ParseNetlinkMessage(b[:n])
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range msgs {
				types = append(types, m.Header.Type)
			}
		}
	}
}
