package rules_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"heddle/agent/rules"
	"heddle/schema"
	"heddle/translators"
	"heddle/translators/modeltest"
)

// TestLarge breaks rules here and there in a change that is checked in parts: the
// errors are those that the entries have one by one, in their order.
func TestLarge(t *testing.T) {
	m := model(t)
	var doc strings.Builder
	doc.WriteString(`{"network-instances": {"network-instance": [{"name": "DEFAULT", "config": {"type": "DEFAULT_INSTANCE"},
		"protocols": {"protocol": [{"identifier": "STATIC", "name": "s", "static-routes": {"static": [`)
	const n = 10_000
	for i := range n {
		if i > 0 {
			doc.WriteByte(',')
		}
		hops := `{"index": "0", "config": {"next-hop": "DROP"}}`
		switch i % 1500 {
		case 7: // no way at all
			hops = ""
		case 8: // a way that stands alone
			hops += `,{"index": "1", "config": {"next-hop": "DROP"}}`
		case 9:
			hops = `{"index": "0", "srv6-encapsulation": {"config": {"segment-list": ["ff02::1"]}}}`
		}
		fmt.Fprintf(&doc, `{"prefix": "2001:db8:%x::/48", "next-hops": {"next-hop": [%s]}}`, i+1, hops)
	}
	doc.WriteString(`]}}]}}]}}`)
	nothing := modeltest.New(m.Schema, schema.Entries{})
	config, changes, err := nothing.Apply([]schema.Edit{{Op: schema.Update, Encoding: schema.JSONIETF, JSON: []byte(doc.String())}})
	if err != nil {
		t.Fatal(err)
	}
	r := rules.New(m)
	list := func(before, after translators.Reader, changes []schema.Change) (found []string, more int) {
		for _, err := range r.Check(before, after, changes) {
			if rest, ok := errors.AsType[*schema.Errors](err); ok {
				more = rest.More
				continue
			}
			found = append(found, err.Error())
		}
		return found, more
	}
	got, rest := list(nothing, config, changes)
	var want []string
	for left := changes; len(left) > 0; {
		end := 1 // a prefix goes with its next hops
		for end < len(left) && left[end].Key.List() == m.NextHop.ListID {
			end++
		}
		found, more := list(nothing, config, left[:end])
		if more > 0 {
			t.Fatalf("%d more errors of one", more)
		}
		want = append(want, found...)
		left = left[end:]
	}
	if len(want) < schema.MaxErrors {
		t.Fatalf("only %d errors", len(want))
	}
	if more := len(want) - schema.MaxErrors; rest != more {
		t.Errorf("%d more, want %d", rest, more)
	}
	if want = want[:schema.MaxErrors]; !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestManyWays: policies in layers, each of which leads to both of the next by their
// binding SIDs. There are 2^40 ways through them, and no policy comes back to itself.
func TestManyWays(t *testing.T) {
	const layers = 40
	sid := func(layer, i int) string { return fmt.Sprintf("2001:db8:f:%x::", 2*layer+i) }
	var lists, policies []string
	for l := range layers {
		lists = append(lists, fmt.Sprintf(`{"name": "%d", "config": {"segment": [%q, %q]}}`, l, sid(l+1, 0), sid(l+1, 1)))
		for i := range 2 {
			policies = append(policies, fmt.Sprintf(`{"name": "%d-%d", "config": {"binding-sid": %q},
				"candidate-paths": {"candidate-path": [{"name": "a", "config": {}, "segment-lists": {"segment-list": [{"name": "%d"}]}}]}}`, l, i, sid(l, i), l))
		}
	}
	doc := fmt.Sprintf(`{"network-instances": {"network-instance": [{"name": "DEFAULT", "config": {"type": "DEFAULT_INSTANCE"}, "segment-routing": {"srv6": {
		"locators": {"locator": [{"name": "main", "config": {"prefix": "2001:db8:f::/48"}}]},
		"segment-lists": {"segment-list": [%s]}, "policies": {"policy": [%s]}}}}]}}`, strings.Join(lists, ","), strings.Join(policies, ","))
	m := model(t)
	nothing := modeltest.New(m.Schema, schema.Entries{})
	config, changes, err := nothing.Apply([]schema.Edit{{Op: schema.Update, Encoding: schema.JSONIETF, JSON: []byte(doc)}})
	if err != nil {
		t.Fatal(err)
	}
	if errs := rules.New(m).Check(nothing, config, changes); len(errs) > 0 {
		t.Error(errs)
	}
}
