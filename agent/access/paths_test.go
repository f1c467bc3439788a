package access

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnsi/pathz"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"heddle/schema"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func protoPath(t testing.TB, text string) *gpb.Path {
	t.Helper()
	elems, err := schema.ParseElems(text)
	must(t, err)
	p := &gpb.Path{}
	for _, e := range elems {
		p.Elem = append(p.Elem, &gpb.PathElem{Name: e.Name, Key: e.Keys})
	}
	return p
}

// policyOf makes a policy of lines "user|group:NAME permit|deny PATH", all of which
// are about writing; stevie is in admin and engineers.
func policyOf(t testing.TB, lines ...string) *PathPolicy {
	t.Helper()
	sc, err := schema.Heddle()
	must(t, err)
	stevie := []*pathz.User{{Name: "stevie"}}
	p := &pathz.AuthorizationPolicy{Groups: []*pathz.Group{{Name: "admin", Users: stevie}, {Name: "engineers", Users: stevie}}}
	for i, l := range lines {
		f := strings.SplitN(l, " ", 3)
		r := &pathz.AuthorizationRule{Id: fmt.Sprint(i + 1), Mode: pathz.Mode_MODE_WRITE, Action: pathz.Action_ACTION_DENY, Path: protoPath(t, f[2])}
		if f[1] == "permit" {
			r.Action = pathz.Action_ACTION_PERMIT
		}
		if kind, name, _ := strings.Cut(f[0], ":"); kind == "user" {
			r.Principal = &pathz.AuthorizationRule_User{User: name}
		} else {
			r.Principal = &pathz.AuthorizationRule_Group{Group: name}
		}
		p.Rules = append(p.Rules, r)
	}
	policy, err := CompilePaths(sc, &pathz.UploadRequest{Policy: p})
	must(t, err)
	return policy
}

// The examples of pathz/authorization-README.md, "Examples", and what follows from
// its rules, on our protocols.
func TestBestMatch(t *testing.T) {
	const (
		bgp      = "/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=x]"
		anyNI    = "/network-instances/network-instance[name=*]/protocols/protocol[identifier=STATIC][name=x]"
		anyProto = "/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=*][name=x]"
		noKeys   = "/network-instances/network-instance/protocols/protocol"
		above    = "/network-instances/network-instance[name=DEFAULT]"
		below    = bgp + "/config/enabled"
	)
	tests := []struct {
		name   string
		rules  []string
		permit bool
		id     string
	}{
		{"1: more definite keys", []string{"group:admin permit " + bgp, "user:stevie deny " + anyNI}, true, "1"},
		{"2: user over group", []string{"user:stevie permit " + bgp, "group:admin deny " + bgp}, true, "1"},
		{"3: denial", []string{"user:stevie permit " + anyProto, "user:stevie deny " + anyNI}, false, "2"},
		{"two groups", []string{"group:admin permit " + bgp, "group:engineers deny " + bgp}, false, "2"},
		{"longer path", []string{"user:stevie deny " + above, "group:admin permit " + noKeys}, true, "2"},
		{"longer path, the other way", []string{"user:stevie permit " + above, "group:admin deny " + noKeys}, false, "2"},
		{"rule further down", []string{"user:stevie permit " + below}, false, ""},
		{"root", []string{"user:stevie permit /"}, true, "1"},
		{"somebody else", []string{"user:other permit /"}, false, ""},
		{"none", nil, false, ""},
		{"another key", []string{"user:stevie permit " + strings.Replace(bgp, "DEFAULT", "blue", 1)}, false, ""},
		{"order does not count", []string{"user:stevie deny " + bgp, "user:stevie permit " + bgp}, false, "1"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			p := policyOf(t, tc.rules...)
			at, err := ResolvePath(p.schema, protoPath(t, bgp))
			must(t, err)
			ok, id := p.user("stevie").write.along(at).permits()
			if ok != tc.permit || id != tc.id {
				t.Errorf("permitted: %v by %q, want %v by %q", ok, id, tc.permit, tc.id)
			}
		})
	}
}

func mtuEdit(t testing.TB, sc *schema.Schema, name string) schema.Edit {
	t.Helper()
	at, err := sc.ParsePath("/interfaces/interface[name=" + name + "]/config/mtu")
	must(t, err)
	return schema.Edit{Op: schema.Update, Path: at, JSON: []byte("1400")}
}

// The log has who, what and by which rule; the answer has no rule.
func TestDenialsAreLogged(t *testing.T) {
	p := policyOf(t, "user:bob permit /interfaces", "user:bob deny /interfaces/interface[name=*]/config/mtu")
	var log bytes.Buffer
	a := &Authority{who: Identity{Name: "bob"}, policy: p, log: slog.New(slog.NewTextHandler(&log, nil))}
	changes, err := p.schema.Apply(schema.Entries{}, []schema.Edit{mtuEdit(t, p.schema, "eth0")})
	must(t, err)
	err = a.Changed(changes)
	if status.Code(err) != codes.PermissionDenied || strings.Contains(err.Error(), "rule") {
		t.Errorf("answered %v", err)
	}
	for _, want := range []string{"user=bob", `path="/interfaces/interface[name=eth0]/config/mtu"`, "rule=2"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is not in the log: %s", want, log.String())
		}
	}
}

// Outside of a call, or with a policy that cannot be used, nothing is permitted.
func TestNobodyAsked(t *testing.T) {
	g := New(Config{})
	sc, err := schema.Heddle()
	must(t, err)
	a := g.Authority(context.Background())
	if a == nil {
		t.Fatal("everything is permitted to nobody")
	}
	wantDenied := func(err error) {
		t.Helper()
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("answered %v", err)
		}
	}
	wantDenied(a.Asked([]schema.Edit{mtuEdit(t, sc, "a")}))
	wantDenied(a.Changed(nil))
	if extent, _ := g.View(context.Background()).Entry(""); extent != schema.Nothing {
		t.Errorf("nobody sees %v", extent)
	}
}

// A method that is not known is for admins, and each that is known has its role.
func TestRolesOfMethods(t *testing.T) {
	for method, want := range map[string]Role{
		"/gnmi.gNMI/Get": ReadOnly, "/gnmi.gNMI/Subscribe": ReadOnly, "/gnmi.gNMI/Capabilities": ReadOnly, "/gnmi.gNMI/Set": Operator,
		"/heddle.v1.Heddle/Explain": ReadOnly, "/heddle.v1.Heddle/History": ReadOnly, "/heddle.v1.Heddle/Diff": ReadOnly, "/heddle.v1.Heddle/Children": ReadOnly,
		"/heddle.v1.Heddle/Plan": Operator, "/heddle.v1.Heddle/Ping": Operator, "/heddle.v1.Heddle/Rollback": Operator,
		"/grpc.health.v1.Health/Check": ReadOnly, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": ReadOnly,
		"/gnsi.pathz.v1.Pathz/Rotate": Admin, "/gnmi.gNMI/New": Admin, "": Admin, "/gnmi.gNMI/set": Admin, "/grpc.healthy/x": Admin,
	} {
		if got := needs(method); got != want {
			t.Errorf("%s needs %q, want %q", method, got, want)
		}
	}
}

// What a check costs for each entry that changed: a rule for all, rules that look at
// the leaves, and a thousand more that are about other entries.
func BenchmarkChanged(b *testing.B) {
	many := []string{"user:stevie permit /interfaces", "user:stevie deny /interfaces/interface[name=*]/config/enabled"}
	for i := range 1000 {
		many = append(many, fmt.Sprintf("user:stevie deny /interfaces/interface[name=other%d]", i))
	}
	for name, rules := range map[string][]string{"one": {"user:stevie permit /"}, "leaves": many[:2], "thousand": many} {
		b.Run(name, func(b *testing.B) {
			p := policyOf(b, rules...)
			a := &Authority{who: Identity{Name: "stevie"}, policy: p, log: slog.New(slog.DiscardHandler)}
			var edits []schema.Edit
			for i := range 1000 {
				edits = append(edits, mtuEdit(b, p.schema, fmt.Sprintf("eth%d", i)))
			}
			changes, err := p.schema.Apply(schema.Entries{}, edits)
			must(b, err)
			b.ResetTimer()
			for b.Loop() {
				must(b, a.Asked(edits))
				must(b, a.Changed(changes))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(changes)), "ns/entry")
		})
	}
}
