package gnmi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"github.com/openconfig/gnsi/pathz"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"

	"heddle/agent/access"
	"heddle/agent/datastore"
)

// rules makes a policy of lines "ID user:NAME|group:NAME read|write permit|deny PATH".
func rules(t testing.TB, groups map[string][]string, lines ...string) *pathz.UploadRequest {
	t.Helper()
	p := &pathz.AuthorizationPolicy{}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		g := &pathz.Group{Name: name}
		for _, u := range groups[name] {
			g.Users = append(g.Users, &pathz.User{Name: u})
		}
		p.Groups = append(p.Groups, g)
	}
	for _, l := range lines {
		f := strings.Fields(l)
		r := &pathz.AuthorizationRule{Id: f[0], Path: path(t, f[4])}
		kind, name, _ := strings.Cut(f[1], ":")
		if kind == "user" {
			r.Principal = &pathz.AuthorizationRule_User{User: name}
		} else {
			r.Principal = &pathz.AuthorizationRule_Group{Group: name}
		}
		r.Mode = map[string]pathz.Mode{"read": pathz.Mode_MODE_READ, "write": pathz.Mode_MODE_WRITE}[f[2]]
		r.Action = map[string]pathz.Action{"permit": pathz.Action_ACTION_PERMIT, "deny": pathz.Action_ACTION_DENY}[f[3]]
		p.Rules = append(p.Rules, r)
	}
	return &pathz.UploadRequest{Version: "1", CreatedOn: 1, Policy: p}
}

// policy writes the file of a policy.
func (s *secured) policy(up *pathz.UploadRequest) {
	s.t.Helper()
	text, err := protojson.Marshal(up)
	must(s.t, err)
	s.put("access/pathz.json", text)
}

const ifList = "/interfaces/interface"

func ifLeaf(name, leaf string) string {
	return fmt.Sprintf("%s[name=%s]/config/%s", ifList, name, leaf)
}

// matrix is what each user may do with each leaf: r and w.
var matrix = map[string]map[string]string{
	"alice": {"a/mtu": "rw", "a/description": "rw", "b/mtu": "r", "b/description": "rw", "c/mtu": "", "c/description": "rw"},
	"bob":   {"a/mtu": "rw", "a/description": "rw", "b/mtu": "r", "b/description": "r", "c/mtu": "", "c/description": "w"},
	"carol": {"a/mtu": "w", "a/description": "w", "b/mtu": "", "b/description": "", "c/mtu": "", "c/description": ""},
	"dave":  {"a/mtu": "", "a/description": "", "b/mtu": "", "b/description": "", "c/mtu": "", "c/description": ""},
	"":      {"a/mtu": "rw", "a/description": "rw", "b/mtu": "rw", "b/description": "rw", "c/mtu": "rw", "c/description": "rw"},
}

// matrixPolicy is the policy that it comes from: what is longer decides, then keys
// that are no wildcards, then a user's own, then a denial.
func matrixPolicy(t testing.TB) *pathz.UploadRequest {
	return rules(t, map[string][]string{"ops": {"alice", "bob"}},
		"read-all group:ops read permit /",
		"write-if group:ops write permit /interfaces",
		"not-b user:bob write deny /interfaces/interface[name=b]",
		"hidden-c group:ops read deny /interfaces/interface[name=c]",
		"but-text user:alice read permit /interfaces/interface[name=c]/config/description",
		"no-mtu group:ops write deny /interfaces/interface/config/mtu",
		"a-mtu group:ops write permit /interfaces/interface[name=a]/config/mtu",
		"a-mtu-2 group:ops write deny /interfaces/interface[name=*]/config/mtu",
		"carol-a user:carol write permit /interfaces/interface[name=a]",
	)
}

const matrixConfig = `{"interface":[
	{"name":"a","config":{"name":"a","mtu":1400,"description":"old"}},
	{"name":"b","config":{"name":"b","mtu":1400,"description":"old"}},
	{"name":"c","config":{"name":"c","mtu":1400,"description":"old"}}]}`

// asUser are the client and context of one.
func (s *secured) asUser(user string) (context.Context, gpb.GNMIClient) {
	if user == "" {
		return s.t.Context(), s.client
	}
	return as(s.t.(*testing.T), user, user), gpb.NewGNMIClient(s.tcp)
}

func securedMatrix(t *testing.T) *secured {
	s := secure(t, access.Limits{}, func(s *secured) {
		s.users("alice", "bob", "carol", "dave")
		s.policy(matrixPolicy(t))
	})
	s.tcp = s.dial()
	s.mustSet(replace("/interfaces", matrixConfig))
	return s
}

// Each user, path and operation: what is allowed is done, what is not is refused and
// leaves everything as it was.
func TestPermissionMatrix(t *testing.T) {
	s := securedMatrix(t)
	val := map[string]map[bool]*gpb.TypedValue{
		"mtu": {false: uintVal(1400), true: uintVal(1300)}, "description": {false: stringVal("old"), true: stringVal("new")},
	}
	writes := map[string]func(p, leaf string) *gpb.SetRequest{
		"update": func(p, leaf string) *gpb.SetRequest {
			return s.request(op{"update", p, val[leaf][true]})
		},
		"replace": func(p, leaf string) *gpb.SetRequest {
			return s.request(op{"replace", p, val[leaf][true]})
		},
		"delete": func(p, _ string) *gpb.SetRequest { return s.request(del(p)) },
		"update above": func(p, leaf string) *gpb.SetRequest {
			return s.request(update(strings.TrimSuffix(p, "/"+leaf), map[string]string{"mtu": `{"mtu":1300}`, "description": `{"description":"new"}`}[leaf]))
		},
	}
	for user, leaves := range matrix {
		ctx, client := s.asUser(user)
		for at, may := range leaves {
			name, leaf, _ := strings.Cut(at, "/")
			p := ifLeaf(name, leaf)
			for kind, req := range writes {
				before := s.config(p)
				_, err := client.Set(ctx, req(p, leaf))
				if allowed := strings.Contains(may, "w"); allowed != (err == nil) || !allowed && status.Code(err) != codes.PermissionDenied {
					t.Errorf("%s: %s %s: %v, want allowed: %v", user, kind, p, err, allowed)
				} else if after := s.config(p); (after != before) != allowed {
					t.Errorf("%s: %s %s: it was %s and is %s", user, kind, p, before, after)
				}
				s.mustSet(op{"update", p, val[leaf][false]})
			}
			got, want := s.reads(ctx, client, p), strings.Contains(may, "r")
			for how, saw := range got {
				if saw != want {
					t.Errorf("%s: %s of %s: seen %v, want %v", user, how, p, saw, want)
				}
			}
		}
	}
}

// reads are the ways to read a leaf, and whether each shows it.
func (s *secured) reads(ctx context.Context, client gpb.GNMIClient, leaf string) map[string]bool {
	s.t.Helper()
	saw := map[string]bool{}
	for _, at := range []string{leaf, ifList, "/interfaces/interface[name=*]/config", "/"} {
		for _, enc := range []gpb.Encoding{gpb.Encoding_JSON, gpb.Encoding_JSON_IETF, gpb.Encoding_PROTO} {
			for _, kind := range []gpb.GetRequest_DataType{gpb.GetRequest_ALL, gpb.GetRequest_CONFIG} {
				resp, err := client.Get(ctx, getRequest(s.t, enc, kind, at))
				if err != nil && status.Code(err) != codes.NotFound {
					s.t.Fatalf("get %s: %v", at, err)
				}
				saw[fmt.Sprintf("Get %s of %s in %s", kind, at, enc)] = shows(s.t, resp, leaf)
			}
		}
		list := &gpb.SubscriptionList{Mode: gpb.SubscriptionList_ONCE, Encoding: gpb.Encoding_PROTO, Subscription: []*gpb.Subscription{{Path: path(s.t, at)}}}
		w := s.subscribeAs(ctx, client, list)
		found := false
		for m := w.next(); !m.GetSyncResponse(); m = w.next() {
			for _, u := range m.GetUpdate().GetUpdate() {
				found = found || flat(m.GetUpdate().GetPrefix(), u.GetPath()) == leaf
			}
		}
		saw["Subscribe ONCE to "+at] = found
	}
	return saw
}

// shows reports whether the answer to a Get has a value for a leaf.
func shows(t testing.TB, resp *gpb.GetResponse, leaf string) bool {
	t.Helper()
	for _, n := range resp.GetNotification() {
		for _, u := range n.GetUpdate() {
			at := flat(n.GetPrefix(), u.GetPath())
			doc := u.GetVal().GetJsonVal()
			if doc == nil {
				doc = u.GetVal().GetJsonIetfVal()
			}
			if doc == nil || at == leaf {
				if at == leaf {
					return true
				}
				continue
			}
			var v any
			must(t, json.Unmarshal(doc, &v))
			if within(t, v, at, leaf) {
				return true
			}
		}
	}
	return false
}

// within looks for a leaf in the JSON document of a path above it.
func within(t testing.TB, v any, at, leaf string) bool {
	t.Helper()
	elems := path(t, leaf).GetElem()[len(path(t, at).GetElem()):]
	if strings.HasSuffix(at, ifList) {
		elems = append([]*gpb.PathElem{path(t, leaf).GetElem()[1]}, elems...)
		v = map[string]any{"interface": v}
	}
	if !strings.HasPrefix(leaf, strings.TrimSuffix(at, "/")) {
		return false
	}
	for _, e := range elems {
		m, ok := v.(map[string]any)
		if !ok {
			return false
		}
		v = nil
		for name, x := range m {
			if _, bare, qualified := strings.Cut(name, ":"); name == e.GetName() || qualified && bare == e.GetName() {
				v = x
			}
		}
		if list, ok := v.([]any); ok && len(e.GetKey()) > 0 {
			v = nil
			for _, x := range list {
				if x.(map[string]any)["name"] == e.GetKey()["name"] {
					v = x
				}
			}
		}
	}
	return v != nil
}

// A replace deletes what it leaves out, and that counts like any delete.
func TestPermissionsOfImplicitDeletes(t *testing.T) {
	s := securedMatrix(t)
	before := s.config("/")
	refused := map[string]*gpb.SetRequest{
		"alice: replace without the mtu": s.request(replace(ifList+"[name=b]/config", `{"name":"b","description":"old"}`)),
		"alice: replace of all":          s.request(replace("/interfaces", `{"interface":[{"name":"a","config":{"name":"a"}}]}`)),
		"alice: delete of an entry":      s.request(del(ifList + "[name=b]")),
		"alice: delete of all":           s.request(del("/interfaces")),
		"alice: delete by wildcard":      s.request(del(ifList + "[name=*]/config/mtu")),
		"alice: delete of the root":      s.request(del("/")),
		"alice: allowed and not":         s.request(op{"update", ifLeaf("a", "mtu"), uintVal(1300)}, op{"update", ifLeaf("b", "mtu"), uintVal(1300)}),
		"alice: an entry with an mtu":    s.request(update(ifList+"[name=d]", `{"config":{"name":"d","mtu":1400}}`)),
		"bob: rename by replace":         s.request(replace("/interfaces", strings.ReplaceAll(matrixConfig, `"b"`, `"d"`))),
		"carol: another entry":           s.request(update(ifList+"[name=d]", `{"config":{"name":"d"}}`)),
		"dave: nothing there":            s.request(del(ifList + "[name=nosuch]")),
		"dave: as it is":                 s.request(op{"update", ifLeaf("a", "mtu"), uintVal(1400)}),
		"dave: all as it is":             s.request(replace("/interfaces", matrixConfig)),
		"dave: the root as it is":        s.request(replace("/", before)),
	}
	for name, req := range refused {
		t.Run(name, func(t *testing.T) {
			user, _, _ := strings.Cut(name, ":")
			ctx, client := s.asUser(user)
			_, err := client.Set(ctx, req)
			wantCode(t, err, codes.PermissionDenied)
			if got := s.config("/"); got != before {
				t.Errorf("it was %s\nand is %s", before, got)
			}
		})
	}
	allowed := map[string]*gpb.SetRequest{
		"alice: replace of all, one text changed": s.request(replace("/interfaces", strings.Replace(matrixConfig, `"old"`, `"new"`, 1))),
		"alice: an entry without an mtu":          s.request(update(ifList+"[name=d]", `{"config":{"name":"d","description":"x"}}`)),
		"alice: delete of an entry":               s.request(del(ifList + "[name=a]")),
		"carol: delete of an entry":               s.request(del(ifList + "[name=a]")),
		"alice: nothing":                          s.request(del(ifList + "[name=nosuch]")),
	}
	for name, req := range allowed {
		t.Run(name, func(t *testing.T) {
			user, _, _ := strings.Cut(name, ":")
			ctx, client := s.asUser(user)
			_, err := client.Set(ctx, req)
			must(t, err)
			s.mustSet(replace("/interfaces", matrixConfig))
		})
	}
	// What may not be seen is not named either.
	ctx, client := s.asUser("carol")
	_, err := client.Set(ctx, s.request(op{"update", ifLeaf("a", "mtu"), uintVal(1300)}, op{"delete", ifList + "[name=*]", nil}))
	wantCode(t, err, codes.PermissionDenied)
	if strings.Contains(err.Error(), "name=b") {
		t.Errorf("the answer names what the user may not see: %v", err)
	}
}

// A document has nothing of what is hidden, not even its defaults.
func TestPermissionsOfDocuments(t *testing.T) {
	s := securedMatrix(t)
	ctx, client := s.asUser("alice")
	get := func(at string) string {
		t.Helper()
		resp, err := client.Get(ctx, getRequest(t, gpb.Encoding_JSON, gpb.GetRequest_CONFIG, at))
		must(t, err)
		return string(resp.GetNotification()[0].GetUpdate()[0].GetVal().GetJsonVal())
	}
	sameJSON(t, get(ifList+"[name=c]"), `{"name":"c","config":{"name":"c","description":"old"}}`)
	whole := s.getType(ifList+"[name=a]/config", gpb.GetRequest_CONFIG)
	sameJSON(t, strings.ReplaceAll(whole, "heddle-interfaces:", ""), get(ifList+"[name=a]/config"))
	if !strings.Contains(whole, "enabled") {
		t.Errorf("there is no default to be hidden: %s", whole)
	}
}

// State is hidden by the same rules as configuration.
func TestPermissionsOfState(t *testing.T) {
	s := secure(t, access.Limits{}, func(s *secured) {
		s.users("alice")
		s.policy(rules(t, nil, "all user:alice read permit /", "eth0 user:alice read deny /interfaces/interface[name=eth0]/state", "mtu user:alice read deny /interfaces/interface/state/mtu"))
	})
	ctx, client := s.asUserOver(s.dial(), "alice")
	for _, at := range []string{"/", "/interfaces", "/interfaces/interface[name=*]/state", "/interfaces/interface[name=eth1]"} {
		for _, enc := range []gpb.Encoding{gpb.Encoding_JSON, gpb.Encoding_PROTO} {
			resp, err := client.Get(ctx, getRequest(t, enc, gpb.GetRequest_STATE, at))
			must(t, err)
			for leaf, want := range map[string]bool{
				"/interfaces/interface[name=eth1]/state/oper-status": true, "/interfaces/interface[name=eth1]/state/mtu": false,
				"/interfaces/interface[name=eth0]/state/oper-status": false, "/interfaces/interface[name=eth0]/state/mtu": false,
			} {
				if got := shows(t, resp, leaf); got != want {
					t.Errorf("Get %s in %s: seen %s: %v, want %v", at, enc, leaf, got, want)
				}
			}
		}
	}
}

// A stream tells of what may be seen, and ends when the policy is another one.
func TestPermissionsOfStreams(t *testing.T) {
	s := securedMatrix(t)
	for user, leaves := range map[string]map[string]string{"alice": matrix["alice"], "bob": matrix["bob"]} {
		s.mustSet(replace("/interfaces", matrixConfig))
		ctx, client := s.asUser(user)
		w := s.subscribeAs(ctx, client, &gpb.SubscriptionList{Encoding: gpb.Encoding_PROTO, Subscription: []*gpb.Subscription{{Path: path(t, "/interfaces"), Mode: gpb.SubscriptionMode_ON_CHANGE}}})
		w.sync()
		for _, name := range []string{"c", "b", "a"} {
			s.mustSet(op{"update", ifLeaf(name, "mtu"), uintVal(1300)}, op{"update", ifLeaf(name, "description"), stringVal("new")})
		}
		s.mustSet(del(ifList+"[name=c]"), del(ifLeaf("b", "mtu")), del(ifLeaf("b", "description")))
		s.mustSet(op{"update", ifLeaf("a", "description"), stringVal("end")})
		saw := map[string]bool{}
		for end := false; !end; {
			n := w.next().GetUpdate()
			for _, u := range n.GetUpdate() {
				saw[flat(n.GetPrefix(), u.GetPath())] = true
				end = end || u.GetVal().GetStringVal() == "end"
			}
			for _, d := range n.GetDelete() {
				saw["-"+flat(n.GetPrefix(), d)] = true
			}
		}
		for at, may := range leaves {
			name, leaf, _ := strings.Cut(at, "/")
			if want := strings.Contains(may, "r"); saw[ifLeaf(name, leaf)] != want {
				t.Errorf("%s: told of %s: %v, want %v", user, at, !want, want)
			}
		}
		for p := range saw {
			if user == "bob" && strings.Contains(p, "name=c") {
				t.Errorf("bob is told of %s", p)
			}
		}
		if user == "alice" {
			s.policy(rules(t, nil, "all user:alice read permit /"))
			s.reload()
			wantCode(t, w.end(), codes.Aborted)
			s.policy(matrixPolicy(t))
			s.reload()
		}
	}
}

// with sends a Set of a user that has nothing but an extension.
func (s *secured) with(user string, x *gnmi_ext.Extension, ops ...op) error {
	s.t.Helper()
	ctx, client := s.asUser(user)
	req := s.request(ops...)
	req.Extension = []*gnmi_ext.Extension{x}
	_, err := client.Set(ctx, req)
	return err
}

// Who began a commit, and may still write what it changed, has a say in whether it
// stays, and administrators have.
func TestPermissionsOfConfirmations(t *testing.T) {
	s := securedMatrix(t)
	must(t, s.with("alice", begin("one", time.Hour), update(ifLeaf("a", "mtu"), "1301"), update(ifLeaf("b", "description"), `"new"`)))
	deadline := s.store.Unconfirmed().Deadline
	for _, user := range []string{"bob", "carol", "dave"} {
		for _, x := range []*gnmi_ext.Extension{begin("two", 0), confirm("one"), cancel("one"), extend("one", durationpb.New(1))} {
			err := s.with(user, x)
			if status.Code(err) != codes.PermissionDenied && status.Code(err) != codes.FailedPrecondition || strings.Contains(err.Error(), `"one"`) {
				t.Errorf("%s: %v", user, err)
			}
		}
	}
	if u := s.store.Unconfirmed(); u == nil || !u.Deadline.Equal(deadline) {
		t.Fatalf("what waits is now %v", u)
	}
	must(t, s.with("alice", extend("one", durationpb.New(time.Minute))))
	must(t, s.with("alice", confirm("one")))

	// Administrators are those that the file of roles names; a policy of paths keeps
	// them from confirming, not from cancelling.
	for _, cancels := range []string{"dave", ""} {
		must(t, s.with("alice", begin("two", time.Hour), update(ifLeaf("a", "mtu"), "1302")))
		s.put("access/roles", []byte("alice operator\nbob operator\ncarol operator\ndave admin\n"))
		s.reload()
		wantCode(t, s.with("dave", confirm("two")), codes.PermissionDenied)
		wantCode(t, s.with("bob", cancel("two")), codes.PermissionDenied)
		must(t, s.with(cancels, cancel("two")))
	}
	must(t, s.with("alice", begin("three", time.Hour), update(ifLeaf("a", "mtu"), "1302")))
	s.policy(rules(t, nil, "see user:alice read permit /"))
	s.reload()
	wantCode(t, s.with("alice", confirm("three")), codes.PermissionDenied)
	must(t, s.with("", confirm("three")))
}

// Who may write nothing keeps nobody from writing: neither by a commit that waits to be
// confirmed, nor by making itself a master.
func TestBystanders(t *testing.T) {
	s := securedMatrix(t)
	wantCode(t, s.with("dave", begin("x", time.Hour)), codes.PermissionDenied)
	wantCode(t, s.with("dave", arbitration("", 9, 9)), codes.PermissionDenied)
	// Nor who may write something else than it asks for.
	wantCode(t, s.with("carol", arbitration("", 9, 9), update(ifLeaf("b", "mtu"), "1301")), codes.PermissionDenied)
	must(t, s.with("alice", arbitration("", 0, 1), update(ifLeaf("a", "mtu"), "1301")))
	wantCode(t, s.with("alice", begin("x", 25*time.Hour), update(ifLeaf("a", "mtu"), "1302")), codes.InvalidArgument)
	if u := s.store.Unconfirmed(); u != nil {
		t.Errorf("%+v waits", u)
	}
}

// A policy that is wrong permits nothing, whether or not there was one before it;
// without the file there is none.
func TestPoliciesThatAreWrong(t *testing.T) {
	s := securedMatrix(t)
	ctx, client := s.asUser("dave")
	read := func() error {
		_, err := client.Get(ctx, getRequest(t, gpb.Encoding_JSON, gpb.GetRequest_CONFIG, ifLeaf("a", "mtu")))
		return err
	}
	wantCode(t, read(), codes.NotFound)
	wrong := []string{"", "garbage", `{"policy":{"rules":[{"id":"x"}]}}`, `{"nosuch":1}`}
	for _, l := range []string{
		"x user:dave read permit /nosuch", "x user:dave read permit /interfaces/*/config", "x group:nosuch read permit /",
		"x user:dave read nothing /", "x user:dave other permit /", "x user:dave read permit /interfaces/interface[nosuch=a]", "x user: read permit /",
	} {
		text, err := protojson.Marshal(rules(t, nil, l))
		must(t, err)
		wrong = append(wrong, string(text))
	}
	twice, err := protojson.Marshal(rules(t, nil, "x user:dave read permit /", "x user:dave read permit /"))
	must(t, err)
	file := filepath.Join(s.dir, "access", "pathz.json")
	right := rules(t, nil, "x user:dave read permit /")
	for i, text := range append(wrong, string(twice)) {
		if i%2 == 0 { // there was none, or a right one
			must(t, os.RemoveAll(file))
		} else {
			s.policy(right)
		}
		s.reload()
		must(t, read())
		s.put("access/pathz.json", []byte(text))
		s.reload()
		wantCode(t, read(), codes.NotFound)
	}
	must(t, os.Remove(file))
	for _, unreadable := range []func() error{
		func() error { return os.Mkdir(file, 0o700) },
		func() error { return os.Symlink("nosuch", file) },
	} {
		s.reload()
		must(t, read())
		must(t, unreadable())
		s.reload()
		wantCode(t, read(), codes.NotFound)
		must(t, os.Remove(file))
	}
	s.policy(right)
	s.reload()
	must(t, read())

	closed := secure(t, access.Limits{}, func(s *secured) {
		s.users("dave")
		s.put("access/pathz.json", []byte("garbage"))
	})
	closed.tcp = closed.dial()
	closed.mustSet(replace("/interfaces", matrixConfig))
	ctx, client = closed.asUser("dave")
	wantCode(t, read(), codes.NotFound)
	_, err = client.Set(ctx, closed.request(op{"update", ifLeaf("a", "mtu"), uintVal(1300)}))
	wantCode(t, err, codes.PermissionDenied)
	must(t, os.Remove(filepath.Join(closed.dir, "access/pathz.json")))
	closed.reload()
	must(t, read())
	_, err = client.Set(ctx, closed.request(op{"update", ifLeaf("a", "mtu"), uintVal(1300)}))
	must(t, err)
}

// While somebody else holds the lock a Set is refused, and says by whom and since when.
func TestLocked(t *testing.T) {
	s := securedMatrix(t)
	l, err := s.store.Lock(t.Context(), datastore.LockRequest{Holder: datastore.Holder{User: "alice"}})
	must(t, err)
	refused := func(user string, ops ...op) {
		t.Helper()
		ctx, client := s.asUser(user)
		_, err := client.Set(ctx, s.request(ops...))
		wantCode(t, err, codes.FailedPrecondition)
		for _, d := range status.Convert(err).Details() {
			i, ok := d.(*errdetails.ErrorInfo)
			if !ok || i.GetReason() != "LOCKED" || i.GetMetadata()["owner"] != "alice" || i.GetMetadata()["since"] != l.Since.Format(time.RFC3339) || i.GetMetadata()["until"] != l.Until.Format(time.RFC3339) {
				t.Errorf("%v", d)
			}
		}
		if text := status.Convert(err).Message(); !strings.Contains(text, "locked by alice since "+l.Since.Format(time.RFC3339)) {
			t.Error(text)
		}
	}
	refused("", update(ifLeaf("a", "mtu"), "1301"))
	refused("bob", update(ifLeaf("a", "mtu"), "1301"))
	refused("bob")
	ctx, client := s.asUser("dave")
	_, err = client.Set(ctx, s.request())
	wantCode(t, err, codes.PermissionDenied) // who may write nothing is not told
	ctx, client = s.asUser("alice")
	_, err = client.Set(ctx, s.request(update(ifLeaf("a", "mtu"), "1301")))
	must(t, err)
}
