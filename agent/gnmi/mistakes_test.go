package gnmi_test

import (
	"fmt"
	"strings"
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// violationsOf are the paths that the details of an error name.
func violationsOf(err error) (paths []string) {
	for _, d := range status.Convert(err).Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				paths = append(paths, v.GetField())
			}
		}
	}
	return paths
}

// One answer names what is wrong with every path and every value, and no part of it is
// done.
func TestAllMistakesAtOnce(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	before := tg.config("/")
	both := &gpb.Path{Origin: "cli"}
	req := tg.request(
		del("/nosuch/one"),
		replace("/interfaces/nosuch", `{}`),
		update(ifA+"/config", `{"mtu":"x","nosuch":1,"enabled":7}`),
		leaf(ifA+"/config/mtu", stringVal("y")),
		update(ifB+"/config/mtu", `1400`),
	)
	req.Update = append(req.Update, &gpb.Update{Path: both, Val: jsonVal(`1`)}, &gpb.Update{Path: path(t, ifB+"/config/mtu")})
	_, err := tg.client.Set(t.Context(), req)
	wantCode(t, err, codes.NotFound) // of the first in the order in which a Set is carried out
	text := status.Convert(err).Message()
	for _, part := range []string{"/nosuch", "/interfaces/nosuch", ifA + "/config/mtu: value \"x\"", "nosuch", ifA + "/config/enabled", `value "y"`, `origin "cli"`, "has no value"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not say %q", text, part)
		}
	}
	if got := violationsOf(err); len(got) != 8 {
		t.Errorf("%d violations: %v", len(got), got)
	}
	if after := tg.config("/"); after != before {
		t.Errorf("before %s\nafter  %s", before, after)
	}
	// Of one mistake the words are its own.
	_, err = tg.set(del("/nosuch/one"))
	if text := status.Convert(err).Message(); strings.Contains(text, "\n") || !strings.HasPrefix(text, "path ") {
		t.Errorf("%q", text)
	}
	// union_replace, too.
	_, err = tg.client.Set(t.Context(), &gpb.SetRequest{UnionReplace: tg.request(update("/nosuch", `1`), update("/nosuch/two", `1`), update(ifA+"/config/mtu", `"x"`)).GetUpdate()})
	if got := violationsOf(err); len(got) != 3 {
		t.Errorf("%v: %v", got, err)
	}
}

// More mistakes than there is room for are counted, whatever they are about, and every
// client can receive the answer.
func TestManyMistakes(t *testing.T) {
	tg := start(t, nil)
	const n = 5000
	var paths, values []op
	var doc, refs []string
	for i := range n {
		paths = append(paths, update(fmt.Sprintf("/interfaces/nosuch%d", i), `1`))
		values = append(values, leaf(fmt.Sprintf("/interfaces/interface[name=i%d]/config/mtu", i), stringVal(strings.Repeat("x", 200))))
		doc = append(doc, fmt.Sprintf(`{"name":"i%d","config":{"mtu":"x"}}`, i))
		refs = append(refs, fmt.Sprintf(`{"address":"2001:db8:0:1:%x::","config":{"behavior":"END_X","interface":"nosuch"}}`, i+1))
	}
	for name, ops := range map[string][]op{
		"paths":      paths,
		"values":     values,
		"members":    {update("/interfaces/interface", "["+strings.Join(doc, ",")+"]")},
		"both":       append(paths[:n/2:n/2], values[:n/2]...),
		"references": {update("/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6/sids/sid", "["+strings.Join(refs, ",")+"]")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tg.set(ops...)
			text := status.Convert(err).Message()
			at := strings.LastIndex(text, "\nand ")
			if at < 0 {
				t.Fatalf("%q", text)
			}
			var more int
			if _, err := fmt.Sscanf(text[at:], "\nand %d more", &more); err != nil {
				t.Fatal(err)
			}
			if shown := strings.Count(text[:at], "\n") + 1; shown+more < n || shown < 4 || name != "references" && shown+more != n {
				t.Errorf("%d are named and %d counted, of %d", shown, more, n)
			}
			if got := violationsOf(err); len(got) < 4 {
				t.Errorf("%d violations", len(got))
			}
			if octets := proto.Size(status.Convert(err).Proto()); octets*4/3+len(text) > 8<<10 {
				t.Errorf("a status of %d octets with a text of %d: clients of other languages take 8 KiB", octets, len(text))
			}
		})
	}
}

// The value of a secret is in no error, of whatever type it is.
func TestSecretsInErrors(t *testing.T) {
	tg := start(t, nil)
	const key = "/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6/hmac-keys/hmac-key[key-id=7]"
	list := &gpb.TypedValue{Value: &gpb.TypedValue_LeaflistVal{LeaflistVal: &gpb.ScalarArray{Element: []*gpb.TypedValue{uintVal(990011)}}}}
	for _, o := range []op{
		update(key+"/config/secret-key", `990011`), update(key+"/config/secret-key", `["990011"]`), update(key+"/config", `{"secret-key":990011}`),
		update(key+"/config", `{"secret-key":{"a":"990011"}}`), update(key+"/config", `"990011"`), update(key, `["990011"]`),
		leaf(key+"/config/secret-key", uintVal(990011)), leaf(key+"/config/secret-key", list),
		leaf(key+"/config/secret-key", stringVal("990011\x01")),
	} {
		_, err := tg.set(o)
		if st := status.Convert(err); st.Code() == codes.OK || strings.Contains(st.Proto().String(), "990011") {
			t.Errorf("%v: %v", o, err)
		}
	}
}
