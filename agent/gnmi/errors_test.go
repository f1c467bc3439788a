package gnmi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"heddle/agent/datastore"
	"heddle/schema"
	"heddle/telemetry/subscribe"
)

func TestStatusOf(t *testing.T) {
	unknown := &schema.PathError{Path: "/bridges", Reason: "no such node", Code: schema.NotFound}
	badKey := &schema.PathError{Path: "/interfaces/interface[id=1]", Reason: "no such key", Code: schema.BadKey}
	value := &schema.ValueError{Path: "/a", Value: "1", Reason: "too small"}
	caused := func(errs ...error) error {
		e := &datastore.ValidationError{}
		for _, err := range errs {
			e.Causes = append(e.Causes, &datastore.Cause{Path: "/a", Reason: err.Error(), Remedy: "do it right", Err: err})
		}
		return e
	}
	tests := []struct {
		name string
		err  error
		call call
		code codes.Code
		info string // reason of the ErrorInfo
	}{
		{"unknown path in a Set", unknown, set, codes.NotFound, ""},
		{"unknown path in a query", unknown, query, codes.Unimplemented, ""},
		{"bad key", badKey, query, codes.InvalidArgument, ""},
		{"bad value", value, set, codes.InvalidArgument, ""},
		{"first cause decides", caused(unknown, value), set, codes.NotFound, ""},
		{"first cause decides, the other way", caused(value, unknown), set, codes.InvalidArgument, ""},
		{"rule", caused(errors.New("DT4 needs a VRF")), set, codes.InvalidArgument, ""},
		{"startup", &datastore.StartupError{File: "startup.json", Reason: "cut short"}, set, codes.FailedPrecondition, "STARTUP_NOT_LOADED"},
		{"disk full", &datastore.PersistError{Err: fmt.Errorf("write: %w", syscall.ENOSPC)}, set, codes.ResourceExhausted, "DISK_FULL"},
		{"disk broken", &datastore.PersistError{Err: syscall.EIO}, set, codes.Internal, "PERSIST_FAILED"},
		{"kernel", &datastore.ApplyError{Err: errors.New("File exists")}, set, codes.Aborted, "KERNEL_REFUSED"},
		{"busy", fmt.Errorf("commit: %w: %w", datastore.ErrBusy, context.DeadlineExceeded), set, codes.Aborted, "BUSY"},
		{"starting", fmt.Errorf("commit: %w", datastore.ErrNotStarted), set, codes.Unavailable, "NOT_RUNNING"},
		{"stopped", subscribe.ErrStopped, query, codes.Unavailable, "NOT_RUNNING"},
		{"interval", &subscribe.IntervalError{Name: "sample_interval", Got: 1, Want: 2}, query, codes.InvalidArgument, ""},
		{"cancelled", context.Canceled, query, codes.Canceled, ""},
		{"late", context.DeadlineExceeded, query, codes.DeadlineExceeded, ""},
		{"a status", status.Error(codes.DataLoss, "x"), query, codes.DataLoss, ""},
		{"anything else", errors.New("x"), query, codes.Internal, ""},
	}
	s := &Server{}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			st := status.Convert(s.statusOf(tc.err, tc.call))
			if st.Code() != tc.code {
				t.Errorf("code %v, want %v", st.Code(), tc.code)
			}
			if tc.code != codes.DataLoss && !strings.Contains(st.Message(), tc.err.Error()) {
				t.Errorf("text %q lacks %q", st.Message(), tc.err)
			}
			info := ""
			for _, d := range st.Details() {
				if i, ok := d.(*errdetails.ErrorInfo); ok {
					info = i.GetReason()
				}
			}
			if info != tc.info {
				t.Errorf("reason %q, want %q", info, tc.info)
			}
		})
	}
}
