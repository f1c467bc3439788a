package gnmi_test

import (
	"strings"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"heddle/agent/datastore"
)

// Extensions about a commit of that ID.

func commitExt(c *gnmi_ext.Commit) *gnmi_ext.Extension {
	return &gnmi_ext.Extension{Ext: &gnmi_ext.Extension_Commit{Commit: c}}
}

func begin(id string, within time.Duration) *gnmi_ext.Extension {
	req := &gnmi_ext.CommitRequest{}
	if within != 0 {
		req.RollbackDuration = durationpb.New(within)
	}
	return commitExt(&gnmi_ext.Commit{Id: id, Action: &gnmi_ext.Commit_Commit{Commit: req}})
}

func confirm(id string) *gnmi_ext.Extension {
	return commitExt(&gnmi_ext.Commit{Id: id, Action: &gnmi_ext.Commit_Confirm{Confirm: &gnmi_ext.CommitConfirm{}}})
}

func cancel(id string) *gnmi_ext.Extension {
	return commitExt(&gnmi_ext.Commit{Id: id, Action: &gnmi_ext.Commit_Cancel{Cancel: &gnmi_ext.CommitCancel{}}})
}

func extend(id string, within *durationpb.Duration) *gnmi_ext.Extension {
	return commitExt(&gnmi_ext.Commit{Id: id, Action: &gnmi_ext.Commit_SetRollbackDuration{
		SetRollbackDuration: &gnmi_ext.CommitSetRollbackDuration{RollbackDuration: within}}})
}

// setWith is set with an extension.
func (tg *target) setWith(x *gnmi_ext.Extension, ops ...op) error {
	tg.t.Helper()
	req := tg.request(ops...)
	req.Extension = []*gnmi_ext.Extension{x}
	_, err := tg.client.Set(tg.t.Context(), req)
	return err
}

// commitConfirmed: begun, given another time, confirmed, cancelled, and taken back.
func commitConfirmed(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	before := tg.config("/")
	mtu := func(v string) op { return update(ifA+"/config/mtu", v) }

	must(t, tg.setWith(begin("one", 0), mtu("1301")))
	if left := time.Until(tg.store.Unconfirmed().Deadline); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("without a duration it waits %v", left)
	}
	must(t, tg.setWith(extend("one", durationpb.New(time.Hour))))
	if left := time.Until(tg.store.Unconfirmed().Deadline); left < 59*time.Minute || left > time.Hour {
		t.Errorf("an hour is set, %v are left", left)
	}
	must(t, tg.setWith(confirm("one")))
	if got := tg.config(ifA + "/config/mtu"); got != "1301" {
		t.Errorf("mtu %s", got)
	}
	tg.mustSet(mtu("1400"))

	must(t, tg.setWith(begin("two", 0), mtu("1302"), del(ifB)))
	must(t, tg.setWith(cancel("two")))
	if after := tg.config("/"); after != before {
		t.Errorf("cancelled\nbefore %s\nafter  %s", before, after)
	}

	must(t, tg.setWith(begin("three", 20*time.Millisecond), mtu("1303"), del(ifB)))
	id, err := tg.store.AwaitExpiry(t.Context())
	must(t, err)
	_, err = tg.store.Commit(t.Context(), datastore.Request{Confirm: &datastore.Confirm{Action: datastore.ConfirmExpire, ID: id}})
	must(t, err)
	if after := tg.config("/"); id != "three" || after != before {
		t.Errorf("%s taken back\nbefore %s\nafter  %s", id, before, after)
	}
}

func commitMistakes(t *testing.T) {
	tg := start(t, nil)
	seed(tg)
	check := func(want codes.Code, text string, err error) {
		t.Helper()
		wantCode(t, err, want)
		if err != nil && !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
	mtu := update(ifA+"/config/mtu", "1301")
	for _, x := range []*gnmi_ext.Extension{confirm("one"), cancel("one"), extend("one", durationpb.New(time.Minute))} {
		check(codes.FailedPrecondition, "no commit waits", tg.setWith(x))
	}
	check(codes.InvalidArgument, "id", tg.setWith(begin("", 0), mtu))
	check(codes.InvalidArgument, "id", tg.setWith(begin(strings.Repeat("x", 1000), 0), mtu))
	check(codes.InvalidArgument, "rollback_duration", tg.setWith(begin("one", -time.Second), mtu))
	check(codes.InvalidArgument, "action", tg.setWith(commitExt(&gnmi_ext.Commit{Id: "one"}), mtu))
	check(codes.InvalidArgument, "mtu", tg.setWith(begin("one", 0), update(ifA+"/config/mtu", "1"))) // does not begin

	must(t, tg.setWith(begin("one", 0), mtu))
	before := tg.config("/")
	check(codes.FailedPrecondition, `"one"`, tg.setWith(begin("one", 0), mtu))
	check(codes.FailedPrecondition, `"one"`, tg.setWith(begin("two", 0), mtu))
	_, err := tg.set(del(ifA))
	check(codes.FailedPrecondition, `"one"`, err)
	_, err = tg.client.Set(t.Context(), &gpb.SetRequest{})
	check(codes.FailedPrecondition, `"one"`, err)
	for _, x := range []*gnmi_ext.Extension{confirm("two"), cancel("two"), extend("two", durationpb.New(time.Minute))} {
		check(codes.InvalidArgument, `"one"`, tg.setWith(x))
	}
	check(codes.InvalidArgument, "rollback_duration", tg.setWith(extend("one", durationpb.New(0))))
	check(codes.InvalidArgument, "rollback_duration", tg.setWith(extend("one", nil)))
	check(codes.InvalidArgument, "changes nothing", tg.setWith(confirm("one"), del(ifA)))
	if after := tg.config("/"); after != before || tg.store.Unconfirmed() == nil {
		t.Errorf("before %s\nafter  %s", before, after)
	}
	must(t, tg.setWith(confirm("one")))
	tg.mustSet(update(ifA+"/config/mtu", "1302"))
}
