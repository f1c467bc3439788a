package cli_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"heddle/agent/access"
	"heddle/agent/datastore"
	"heddle/agent/gnmi"
	"heddle/agent/operation"
	"heddle/agent/rpc"
	"heddle/cmd/heddle/cli"
	hpb "heddle/gen/rpc"
	"heddle/schema"
)

// nothing stands for a kernel that takes everything.
type nothing struct{}

func (nothing) Apply(context.Context, *datastore.Snapshot, *datastore.Snapshot, []schema.Change) (func(context.Context) error, error) {
	return nil, nil
}

func (nothing) Start(context.Context, *datastore.Snapshot, *datastore.Snapshot, []schema.Change) error {
	return nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, sc *schema.Schema) *datastore.Store {
	t.Helper()
	s, err := datastore.Open(datastore.Config{Schema: sc, Applier: nothing{}, Dir: t.TempDir()})
	must(t, err)
	_, err = s.Start(t.Context())
	must(t, err)
	t.Cleanup(func() { must(t, s.Close(context.Background())) })
	return s
}

// planner answers with a plan for each of the interfaces a (much), b (the
// configuration alone) and c (nothing).
type planner struct{}

func (planner) Plan(_ context.Context, req datastore.Request, _ schema.View) (operation.Plan, error) {
	if req.Rollback != nil {
		d := change
		d.Entries = int(*req.Rollback)
		return operation.Plan{Difference: d}, nil
	}
	if len(req.Edits) != 1 {
		return operation.Plan{}, errors.New("one edit was asked for")
	}
	switch at := req.Edits[0].Path.String(); {
	case strings.Contains(at, "[name=a]"):
		return operation.Plan{Difference: operation.Difference{Entries: 2}, Steps: []operation.Step{
			{Action: operation.Create, Object: "link a type dummy", Path: "/a", Commands: []string{"ip link add name a type dummy", "ip link set dev a alias mine"}},
			{Action: operation.Change, Object: "link a mtu 1400", Path: "/a", Commands: []string{"ip link set dev a mtu 1400"}},
			{Action: operation.Delete, Object: "route x", Path: "/b"},
		}}, nil
	case strings.Contains(at, "[name=b]"):
		return operation.Plan{Difference: operation.Difference{Entries: 1}}, nil
	}
	return operation.Plan{}, nil
}

// change is what a plan to go back, and each comparison, answers with.
var change = operation.Difference{Leaves: []operation.LeafChange{{Path: "/a", Before: "1", After: "2"}, {Path: "/b", After: `"x"`}, {Path: "/c", Before: "[3]"}}, More: 7}

func (planner) History(limit int) (operation.History, error) {
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.Local)
	h := operation.History{
		Unconfirmed: &operation.Unconfirmed{ID: "x", Deadline: at, Before: 4},
		Commits: []operation.Commit{
			{Revision: 5, Time: at, User: "ann", Source: "gnmi", Request: "update /a", Confirm: "x", Entries: 1, Reachable: true},
			{Revision: 4, Time: at, Source: "rollback", Entries: 2},
		},
	}
	h.Commits = h.Commits[:min(limit, 2)]
	return h, nil
}

// Children are those of a part of the model.
func (planner) Children(path string) ([]operation.Node, error) {
	switch path {
	case "":
		return []operation.Node{{Name: "interfaces", Writable: true}, {Name: "system"}}, nil
	case "/interfaces":
		return []operation.Node{{Name: "interface", Keys: []string{"name"}}}, nil
	case "/interfaces/interface[name=a]":
		return []operation.Node{{Name: "name", Leaf: true}, {Name: "config"}}, nil
	}
	return nil, &operation.NotFoundError{What: path}
}

func (planner) Diff(from, to uint64, _ schema.View) (operation.Difference, error) {
	if from != 4 || to != 5 {
		return operation.Difference{}, &datastore.HistoryError{Revision: from, Reason: "is not kept"}
	}
	return change, nil
}

func (planner) Rollback(_ context.Context, req datastore.Request, _ schema.View) (operation.Commit, error) {
	return operation.Commit{Revision: 6, Entries: int(*req.Rollback)}, nil
}

func (planner) Lock(_ context.Context, req datastore.LockRequest) (operation.Lock, error) {
	if req.Within == time.Second {
		return operation.Lock{}, &datastore.LockedError{Lock: datastore.Lock{Holder: datastore.Holder{User: "ann"}}}
	}
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.Local)
	return operation.Lock{Since: at, Until: at.Add(req.Within)}, nil
}

func (planner) Unlock(context.Context, datastore.Holder, bool) error { return datastore.ErrNotLocked }

func (planner) ExplainSID(_ context.Context, sid netip.Addr) (operation.Explanation, error) {
	if sid != netip.MustParseAddr("fc00::1") {
		return operation.Explanation{}, &operation.NotFoundError{What: "there is none"}
	}
	return operation.Explanation{Path: "/sid", Programmed: true, Counters: &operation.Counters{Packets: 1, Octets: 2, Errors: 3},
		Objects: []operation.Object{{Wanted: "sid", Held: "sid", Packet: []string{"first", "second"}}}}, nil
}

func (planner) ExplainRoute(_ context.Context, instance string, prefix netip.Prefix) (operation.Explanation, error) {
	return operation.Explanation{Path: instance + prefix.String(), Reason: "taken away", Objects: []operation.Object{{Wanted: "route", Reason: "taken away"}}}, nil
}

func (planner) Ping(_ context.Context, req operation.PingRequest) (operation.PingAnswer, error) {
	a := operation.PingAnswer{Source: netip.MustParseAddr("fc00::9")}
	if req.Instance != "" {
		a.Home = netip.MustParseAddr("192.0.2.1")
	}
	for i, s := range req.Segments {
		hop := operation.PingHop{Segment: s, Sent: req.Count, Received: req.Count - i, Min: 1500, Avg: 2 * req.Interval, Max: req.Wait}
		switch {
		case s == netip.MustParseAddr("fc00::77"):
			hop = operation.PingHop{Segment: s, Sent: req.Count, Hint: "look at it"}
		case s == netip.MustParseAddr("fc00::88"):
			hop = operation.PingHop{Segment: s, Unable: "it is here", Hint: "go there"}
		case !req.Each && i < len(req.Segments)-1:
			continue
		}
		a.Hops = append(a.Hops, hop)
	}
	if len(a.Hops) == 0 {
		return a, &operation.UnableError{Reason: "no segments", Remedy: "name some"}
	}
	return a, nil
}

// serve starts a target without state and returns its socket, its TCP address
// and its certificate.
func serve(t *testing.T) (unix, tcp, ca string) {
	t.Helper()
	sc, err := schema.Heddle()
	must(t, err)
	store := open(t, sc)
	dir := t.TempDir()
	line, err := access.HashPassword("alice", "wonderland")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "passwords"), []byte(line+"\n"), 0o600))
	passwords := access.NewPasswords(filepath.Join(dir, "passwords"), slog.New(slog.DiscardHandler))
	files := access.TLSFiles{Dir: filepath.Join(dir, "tls")}
	certs, err := access.LoadCertificates(files, passwords.Any, slog.New(slog.DiscardHandler))
	must(t, err)
	guard := access.New(access.Config{Passwords: passwords, Certificates: certs})
	srv, err := gnmi.New(gnmi.Config{Schema: sc, Running: gnmi.Running(store), State: gnmi.Running(open(t, sc)), Store: store, TLS: certs.Config(), Guard: guard})
	must(t, err)
	hpb.RegisterHeddleServer(srv, rpc.New(planner{}, srv, sc))
	sock := filepath.Join(dir, "gnmi.sock")
	lu, err := gnmi.ListenUnix(t.Context(), sock)
	must(t, err)
	lt, err := gnmi.ListenTCP(t.Context(), "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(ctx, []net.Listener{lu, lt}...); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return "unix://" + sock, lt.Addr().String(), files.CertFile()
}

func heddle(t *testing.T, in string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = cli.Run(t.Context(), args, cli.Streams{In: strings.NewReader(in), Out: &o, Err: &e})
	return code, o.String(), e.String()
}

func TestCommands(t *testing.T) {
	unix, tcp, ca := serve(t)
	file := filepath.Join(t.TempDir(), "if.json")
	must(t, os.WriteFile(file, []byte(`{"config":{"name":"a","mtu":1400}}`), 0o600))
	t.Setenv("HEDDLE_PASSWORD", "wonderland")
	tests := []struct {
		name string
		in   string
		args []string
		code int
		out  string // exact, or its beginning before "..."
		err  string // part of it
	}{
		{name: "set from a file", args: []string{"--target", unix, "set", "--update", "/interfaces/interface[name=a]=" + file}, out: "UPDATE /interfaces/interface[name=a]\ncommitted ..."},
		{name: "set a literal", args: []string{"set", "--target", unix, "--update", `/interfaces/interface[name=a]/config/description="x=y"`}, out: "UPDATE /interfaces/interface[name=a]/config/description\ncommitted ..."},
		{name: "set from standard input", in: `{"name":"b/c]","mtu":1300}`, args: []string{"set", "--target", unix, "--replace", `/interfaces/interface[name=b]/config=-`}, code: 1, err: "InvalidArgument"},
		{name: "get", args: []string{"get", "--target", unix, "--type", "config", "/interfaces/interface[name=a]/config/mtu"}, out: "1400\n"},
		{name: "get two", args: []string{"--target", unix, "get", "/interfaces/interface[name=a]/config/mtu", "/interfaces/interface[name=a]/config/enabled"}, out: "/interfaces/interface[name=a]/config/mtu:\n1400\n/interfaces/interface[name=a]/config/enabled:\ntrue\n"},
		{name: "get leaves", args: []string{"--target", unix, "get", "--leaves", "/interfaces/interface[name=a]/config/description"}, out: "/interfaces/interface[name=a]/config/description: x=y\n"},
		{name: "get as paths", args: []string{"--target", unix, "get", "--output", "path", "/interfaces/interface[name=a]/config/description"}, out: "/interfaces/interface[name=a]/config/description: x=y\n"},
		{name: "get as YAML", args: []string{"--target", unix, "get", "--output", "yaml", "--type", "config", "/interfaces/interface[name=a]/config"},
			out: "heddle-interfaces:description: x=y\nheddle-interfaces:enabled: true\nheddle-interfaces:mtu: 1400\nheddle-interfaces:name: a\n"},
		{name: "set a text like a number", args: []string{"--target", unix, "set", "--update", `/interfaces/interface[name=a]/config/description="0x10"`}, out: "UPDATE /interfaces/interface[name=a]/config/description\ncommitted ..."},
		{name: "a text like a number as YAML", args: []string{"--target", unix, "get", "--output", "yaml", "/interfaces/interface[name=a]/config/description"}, out: "\"0x10\"\n"},
		{name: "get as XML", args: []string{"get", "--output", "xml", "/"}, code: 2, err: "json, yaml or path"},
		{name: "get nothing", args: []string{"--target", unix, "get", "/interfaces/interface[name=zz]"}, code: 1, err: "NotFound: path /interfaces/interface[name=zz]"},
		{name: "get over TLS", args: []string{"--target", tcp, "--ca", ca, "--user", "alice", "get", "/interfaces/interface[name=a]/config/mtu"}, out: "1400\n"},
		{name: "get over TLS, unverified", args: []string{"--target", tcp, "--insecure-skip-verify", "--user", "alice", "get", "/interfaces/interface[name=a]/config/mtu"}, out: "1400\n"},
		{name: "get over TLS, unknown authority", args: []string{"--target", tcp, "--timeout", "5s", "get", "/"}, code: 1, err: "certificate"},
		{name: "as nobody", args: []string{"--target", tcp, "--ca", ca, "get", "/"}, code: 1, err: "Unauthenticated: who calls is not known: send username and password"},
		{name: "as somebody else", args: []string{"--target", tcp, "--ca", ca, "--user", "bob", "get", "/"}, code: 1, err: "Unauthenticated: wrong username or password"},
		{name: "password from a file", args: []string{"--target", tcp, "--ca", ca, "--user", "alice", "--password-file", file, "get", "/"}, code: 1, err: "Unauthenticated: wrong username or password"},
		{name: "password of nobody", args: []string{"--target", tcp, "--password-file", file, "get", "/"}, code: 2, err: "--user"},
		{name: "password for two", args: []string{"password", "a", "b"}, code: 2, err: "one user"},
		{name: "no password", args: []string{"password", "a"}, code: 1, err: "there is no password"},
		{name: "too long a password", in: strings.Repeat("x", 73) + "\n", args: []string{"password", "a"}, code: 1, err: "72 octets"},
		{name: "watch once", args: []string{"--target", unix, "watch", "--once", "--json", "/interfaces/interface[name=a]/config/mtu"}, out: `{"time":"...`},
		{name: "capabilities", args: []string{"--target", unix, "capabilities"}, out: "gNMI 0.10.0, encodings JSON JSON_IETF PROTO\n..."},
		{name: "plan", args: []string{"--target", unix, "plan", "--delete", "/interfaces/interface[name=a]"}, out: "# 2 entries of the configuration would change, and in the kernel:\n" +
			"# /a\nip link add name a type dummy\nip link set dev a alias mine\nip link set dev a mtu 1400\n# /b\n# delete route x: nothing more to do\n"},
		{name: "plan of a description", args: []string{"plan", "--target", unix, "--update", `/interfaces/interface[name=b]/config/description="x"`}, out: "# 1 entry of the configuration would change, and nothing in the kernel\n"},
		{name: "plan of nothing", args: []string{"--target", tcp, "--ca", ca, "--user", "alice", "plan", "--delete", "/interfaces/interface[name=c]"}, out: "# nothing changes: the configuration says that already\n"},
		{name: "plan refused", args: []string{"--target", unix, "plan", "--update", "/interfaces/interface[name=a]/config/mtuu=1"}, code: 1, err: "NotFound: "},
		{name: "nothing to plan", args: []string{"plan"}, code: 2, err: "nothing to plan: use --delete"},
		{name: "complete a command", args: []string{"complete", "co"}, out: "confirm \n"},
		{name: "complete a path", args: []string{"--target", unix, "complete", "/in"}, out: "/interfaces/\n"},
		{name: "complete a list", args: []string{"--target", unix, "complete", "/interfaces/"}, out: "/interfaces/interface[name=\n"},
		{name: "complete a key", args: []string{"--target", unix, "complete", "/interfaces/interface[na"}, out: "/interfaces/interface[name=a]\n"},
		{name: "complete a value", args: []string{"--target", unix, "complete", "/interfaces/interface[name=b"}},
		{name: "complete below an entry", args: []string{"--target", unix, "complete", "/interfaces/interface[name=a]/"}, out: "/interfaces/interface[name=a]/name\n/interfaces/interface[name=a]/config/\n"},
		{name: "complete nonsense", args: []string{"--target", unix, "complete", "/nonsense/"}, code: 1, err: "NotFound"},
		{name: "plan to go back", args: []string{"--target", unix, "plan", "--diff", "--rollback", "1"},
			out: "# - /a: 1\n# + /a: 2\n# + /b: \"x\"\n# - /c: [3]\n# and 7 more\n# 1 entry of the configuration would change, and nothing in the kernel\n"},
		{name: "plan two things", args: []string{"plan", "--delete", "/a", "--rollback", "1"}, code: 2, err: "no other change"},
		{name: "history", args: []string{"--target", unix, "history"}, out: "commit x waits to be confirmed until 2026-11-21 10:00:00; else revision 4 comes back\n" +
			"     5  2026-11-21 10:00:00  gnmi      1 entry  ann  update /a  x\n     4  2026-11-21 10:00:00  rollback  2 entries  (cannot be had back)\n"},
		{name: "diff", args: []string{"--target", unix, "diff"}, out: "- /a: 1\n+ /a: 2\n+ /b: \"x\"\n- /c: [3]\nand 7 more\n"},
		{name: "diff of one", args: []string{"--target", unix, "diff", "4"}, out: "- /a: 1\n..."},
		{name: "diff of two", args: []string{"--target", unix, "diff", "1", "2"}, code: 1, err: "FailedPrecondition: revision 1: is not kept"},
		{name: "diff of words", args: []string{"diff", "yesterday"}, code: 2, err: "no revision"},
		{name: "rollback", args: []string{"--target", unix, "rollback", "3"}, out: "revision 6 is revision 3 again, 3 entries changed\n"},
		{name: "rollback to the same", args: []string{"--target", unix, "rollback", "0"}, out: "nothing to change: the configuration is that one\n"},
		{name: "lock", args: []string{"--target", unix, "lock", "--for", "5m"}, out: "the configuration is yours until 2026-11-21 10:05:00, or until you say: heddle unlock\n"},
		{name: "lock what is locked", args: []string{"--target", unix, "lock", "--for", "1s"}, code: 1, err: "locked by ann since"},
		{name: "lock something", args: []string{"lock", "/a"}, code: 2, err: "lock takes"},
		{name: "unlock", args: []string{"--target", unix, "unlock"}, code: 1, err: "FailedPrecondition: the configuration is not locked"},
		{name: "rollback to nothing", args: []string{"rollback"}, code: 2, err: "heddle history"},
		{name: "set to be confirmed", args: []string{"--target", unix, "set", "--confirm-within", "1h", "--id", "x", "--update", `/interfaces/interface[name=a]/config/mtu=1401`},
			out: "UPDATE /interfaces/interface[name=a]/config/mtu\ncommitted ..."},
		{name: "set meanwhile", args: []string{"--target", unix, "set", "--delete", "/"}, code: 1, err: `commit "x" waits to be confirmed`},
		{name: "confirm later", args: []string{"--target", unix, "confirm", "--later", "2h", "x"}},
		{name: "confirm another", args: []string{"--target", unix, "confirm", "y"}, code: 1, err: `has another ID: "x"`},
		{name: "cancel", args: []string{"--target", unix, "cancel", "x"}},
		{name: "cancelled", args: []string{"--target", unix, "get", "/interfaces/interface[name=a]/config/mtu"}, out: "1400\n"},
		{name: "set to be confirmed again", args: []string{"--target", unix, "set", "--id", "x", "--update", `/interfaces/interface[name=a]/config/mtu=1401`},
			out: "UPDATE /interfaces/interface[name=a]/config/mtu\ncommitted ..."},
		{name: "confirm", args: []string{"--target", unix, "confirm", "x"}},
		{name: "confirmed", args: []string{"--target", unix, "get", "/interfaces/interface[name=a]/config/mtu"}, out: "1401\n"},
		{name: "confirm nothing", args: []string{"confirm"}, code: 2, err: "ID of the commit"},
		{name: "explain a SID", args: []string{"--target", unix, "explain", "sid", "fc00::1"}, out: "configured  /sid\nprogrammed  yes\n" +
			"kernel      sid\npacket      first\n            second\ncounted     1 packets, 2 octets, 3 errors\n"},
		{name: "explain a route", args: []string{"--target", unix, "explain", "route", "fc00::/8", "red"}, out: "configured  redfc00::/8\nprogrammed  no: taken away\nkernel      nothing\nwanted      route\n"},
		{name: "explain what is not there", args: []string{"--target", unix, "explain", "sid", "fc00::2"}, code: 1, err: "NotFound: there is none"},
		{name: "explain nonsense", args: []string{"--target", unix, "explain", "sid", "x"}, code: 1, err: "InvalidArgument: SID x: it is not an IPv6 address"},
		{name: "explain nothing", args: []string{"explain"}, code: 2, err: "sid ADDRESS, or route PREFIX"},
		{name: "ping a SID", args: []string{"--target", unix, "ping", "sid", "fc00::1"}, out: "from fc00::9\nfc00::1  5 sent, 5 came back, 0% loss, round trip min/avg/max 2\u00b5s/400ms/1s\n"},
		{name: "ping a list", args: []string{"--target", unix, "ping", "--segments", "fc00::1,fc00::2", "--instance", "red", "--count", "4", "--interval", "5ms", "--wait", "2s"},
			out: "from fc00::9, back to 192.0.2.1\nfc00::2  4 sent, 3 came back, 25% loss, round trip min/avg/max 2\u00b5s/10ms/2s\n"},
		{name: "trace", args: []string{"--target", unix, "trace", "--segments", "fc00::77,fc00::88,fc00::3"}, out: "from fc00::9\n 1  fc00::77  5 sent, 0 came back, 100% loss\n    look at it\n" +
			" 2  fc00::88  not tried: it is here: go there\n 3  fc00::3  5 sent, 3 came back, 40% loss, round trip min/avg/max 2\u00b5s/400ms/1s\n"},
		{name: "ping in vain", args: []string{"--target", unix, "ping", "sid", "fc00::77"}, code: 1, out: "from fc00::9\nfc00::77  5 sent, 0 came back, 100% loss\n    look at it\n", err: "nothing came back from fc00::77"},
		{name: "ping nonsense", args: []string{"--target", unix, "ping", "sid", "e1"}, code: 1, err: "InvalidArgument: SID e1"},
		{name: "ping nothing", args: []string{"ping", "sid"}, code: 2, err: "sid SID, or --segments"},
		{name: "ping too much", args: []string{"ping", "sid", "fc00::1", "--count", "0"}, code: 2, err: "use 1 to 1000"},
		{name: "ping too fast", args: []string{"ping", "sid", "fc00::1", "--interval", "1us"}, code: 2, err: "use 1ms to 1m"},
		{name: "drift with an argument", args: []string{"drift", "/"}, code: 2, err: "no argument"},
		{name: "refused", args: []string{"--target", unix, "set", "--update", "/interfaces/interface[name=a]/config/mtu=70000"}, code: 1, err: "/interfaces/interface[name=a]/config/mtu"},
		{name: "delete", args: []string{"--target", unix, "set", "--delete", "/interfaces/interface[name=*]"}, out: "DELETE /interfaces/interface[name=*]\ncommitted ..."},
		{name: "neither JSON nor file", args: []string{"--target", unix, "set", "--update", "/interfaces/interface[name=a]/config/description=text"}, code: 2, err: `'"text"'`},
		{name: "no command", code: 2, err: "no command"},
		{name: "unknown command", args: []string{"gett"}, code: 2, err: "gett"},
		{name: "unknown flag", args: []string{"get", "--colour", "/"}, code: 2, err: "colour"},
		{name: "no path", args: []string{"get"}, code: 2, err: "path"},
		{name: "bad path", args: []string{"get", "/a[b"}, code: 2, err: "[name=value]"},
		{name: "relative path", args: []string{"get", "interfaces"}, code: 2, err: "starts with /"},
		{name: "no port", args: []string{"--target", "localhost", "get", "/"}, code: 2, err: "HOST:PORT"},
		{name: "nothing to set", args: []string{"set"}, code: 2, err: "--update"},
		{name: "nobody there", args: []string{"--target", "unix:///nonexistent/gnmi.sock", "get", "/"}, code: 1, err: "/nonexistent/gnmi.sock"},
		{name: "help", args: []string{"--help"}, out: "usage: heddle ..."},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			code, out, errs := heddle(t, tc.in, tc.args...)
			if code != tc.code {
				t.Errorf("exit code %d, want %d; %s", code, tc.code, errs)
			}
			begin, open := strings.CutSuffix(tc.out, "...")
			if out != tc.out && (!open || !strings.HasPrefix(out, begin)) {
				t.Errorf("printed %q, want %q", out, tc.out)
			}
			if !strings.Contains(errs, tc.err) || (tc.err == "") != (errs == "") {
				t.Errorf("error %q, want %q", errs, tc.err)
			}
		})
	}
}

func TestPasswordIsOneThatATargetTakes(t *testing.T) {
	code, line, errs := heddle(t, "s3cret\nnot this\n", "password", "alice")
	if code != 0 || errs != "" {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	file := filepath.Join(t.TempDir(), "passwords")
	must(t, os.WriteFile(file, []byte(line), 0o600))
	passwords := access.NewPasswords(file, slog.New(slog.DiscardHandler))
	must(t, passwords.Check(t.Context(), "here", "alice", "s3cret"))
	if err := passwords.Check(t.Context(), "here", "alice", "not this"); err == nil {
		t.Error("another password is right too")
	}
}

// watcher collects what a watch prints and tells when a text is there.
type watcher struct {
	mu   sync.Mutex
	text strings.Builder
	news chan struct{}
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case w.news <- struct{}{}:
	default:
	}
	return w.text.Write(p)
}

func (w *watcher) has(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.text.String(), text)
}

func TestWatch(t *testing.T) {
	unix, _, _ := serve(t)
	set := func(args ...string) {
		t.Helper()
		if code, _, errs := heddle(t, "", append([]string{"--target", unix, "set"}, args...)...); code != 0 {
			t.Fatal(errs)
		}
	}
	set("--update", `/interfaces/interface[name=a]/config={"name":"a","mtu":1400}`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := &watcher{news: make(chan struct{}, 1)}
	var errs bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- cli.Run(ctx, []string{"--target", unix, "watch", "/interfaces/interface[name=a]/config/mtu"}, cli.Streams{Out: w, Err: &errs})
	}()
	wait := func(text string) {
		t.Helper()
		for !w.has(text) {
			select {
			case <-w.news:
			case code := <-done:
				t.Fatalf("watch ended with %d: %s", code, errs.String())
			}
		}
	}
	wait("/interfaces/interface[name=a]/config/mtu: 1400\n")
	set("--update", "/interfaces/interface[name=a]/config/mtu=1500")
	wait("/interfaces/interface[name=a]/config/mtu: 1500\n")
	set("--delete", "/interfaces/interface[name=a]")
	wait("/interfaces/interface[name=a]/config/mtu: (deleted)\n")
	cancel()
	if code := <-done; code != 0 {
		t.Errorf("an interrupted watch ended with %d: %s", code, errs.String())
	}
}

// TestBashCompletion has bash complete with a heddle that answers what it is asked.
func TestBashCompletion(t *testing.T) {
	_, script, _ := heddle(t, "", "complete", "bash")
	out, err := exec.CommandContext(t.Context(), "bash", "-c", script+`
heddle() { printf '%s\n' "$2a]" "$2b]"; }
COMP_LINE='heddle get /interfaces/interface[name=' COMP_POINT=${#COMP_LINE}
COMP_WORDS=(heddle get '/interfaces/interface[name' = '') COMP_CWORD=4
_heddle
printf '%s\n' "${COMPREPLY[@]}"`).CombinedOutput()
	if err != nil || string(out) != "a]\nb]\n" {
		t.Errorf("%q, %v", out, err)
	}
}
