package gnmi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/anypb"

	"heddle/agent/datastore"
	"heddle/schema"
	"heddle/telemetry/subscribe"
)

// Every status code that this server answers with is chosen in this file.

// errorDomain is the domain of the google.rpc.ErrorInfo in a status.
const errorDomain = "heddle"

// FailureKind says why a valid configuration cannot run.
type FailureKind uint8

const (
	// Refused: the kernel said no.
	Refused FailureKind = iota
	// Unsupported: this kernel lacks a feature.
	Unsupported
	// Conflict: something that is not ours is in the way.
	Conflict
	// Missing: something that is not ours is needed and is not there.
	Missing
	// Invalid: the configuration contradicts itself.
	Invalid
	// Exhausted: there is no room for the records that a change needs.
	Exhausted
	// Incomplete: the kernel could not be put back as it was.
	Incomplete
)

var failures = map[FailureKind]struct {
	reason string
	code   codes.Code
}{
	Refused:     {"KERNEL_REFUSED", codes.Aborted},
	Unsupported: {"KERNEL_FEATURE_MISSING", codes.FailedPrecondition},
	Conflict:    {"FOREIGN_OBJECT", codes.FailedPrecondition},
	Missing:     {"OBJECT_MISSING", codes.FailedPrecondition},
	Invalid:     {"CONFLICT", codes.InvalidArgument},
	Exhausted:   {"NO_SPACE", codes.ResourceExhausted},
	Incomplete:  {"UNDO_INCOMPLETE", codes.Internal},
}

// Failure is what an error of the Applier means. Path and Remedy may be empty.
type Failure struct {
	Kind         FailureKind
	Path, Remedy string
}

// call is what a path was for: the same mistake has different codes in a Set and
// in a query (gNMI §3.3.4, §3.4.7).
type call uint8

const (
	query call = iota
	set
)

// invalid is a message that cannot be meant.
func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// malformed is a request that is no message of protobuf; gRPC itself answers with
// this code.
func malformed(err error) error {
	return status.Errorf(codes.Internal, "read request: %v", err)
}

// notOffered is a part of gNMI that this server leaves out.
func notOffered(format string, args ...any) error {
	return status.Errorf(codes.Unimplemented, format, args...)
}

// noData is a valid path with nothing there.
func noData(format string, args ...any) error {
	return status.Errorf(codes.NotFound, format, args...)
}

// late is a client that takes too long.
func late(format string, args ...any) error {
	return status.Errorf(codes.DeadlineExceeded, format, args...)
}

// internal is a mistake of ours.
func internal(err error) error { return status.Error(codes.Internal, err.Error()) }

// denied is a request that somebody else may make.
func denied(format string, args ...any) error {
	return status.Errorf(codes.PermissionDenied, format, args...)
}

// exhausted is a request that asks for more than there is room for.
func exhausted(format string, args ...any) error {
	return status.Errorf(codes.ResourceExhausted, format, args...)
}

// statusOf turns an error of schema, datastore or the subscription engine into
// a gRPC status. Errors that have a status keep it.
func (s *Server) statusOf(err error, c call) error {
	var (
		validation *datastore.ValidationError
		startup    *datastore.StartupError
		persist    *datastore.PersistError
		apply      *datastore.ApplyError
		path       *schema.PathError
		value      *schema.ValueError
		interval   *subscribe.IntervalError
		pending    *datastore.PendingError
		past       *datastore.HistoryError
		locked     *datastore.LockedError
		owner      *datastore.OwnerError
		duration   *datastore.DurationError
	)
	if _, ok := status.FromError(err); ok {
		return err
	}
	switch {
	// Before the validation error: it may be what is wrong with the file.
	case errors.As(err, &startup):
		return withDetails(codes.FailedPrecondition, err, info("STARTUP_NOT_LOADED", startup.Path, ""))
	case errors.As(err, &validation):
		return validationStatus(validation, c)
	case errors.As(err, &persist):
		return persistStatus(persist)
	case errors.As(err, &apply):
		return s.applyStatus(apply)
	case errors.As(err, &path):
		return withDetails(pathCode(path, c), err, violations(&errdetails.BadRequest_FieldViolation{Field: path.Path, Description: path.Reason}))
	case errors.As(err, &value):
		return withDetails(codes.InvalidArgument, err, violations(&errdetails.BadRequest_FieldViolation{Field: value.Path, Description: value.Reason}))
	case errors.As(err, &interval):
		return withDetails(codes.InvalidArgument, err)
	case errors.As(err, &pending):
		return withDetails(codes.FailedPrecondition, err, info("UNCONFIRMED", "", "confirm or cancel it"))
	case errors.As(err, &locked):
		return withDetails(codes.FailedPrecondition, err, lockedInfo(locked))
	case errors.Is(err, datastore.ErrNotLocked):
		return withDetails(codes.FailedPrecondition, err, info("NOT_LOCKED", "", ""))
	case errors.As(err, &owner):
		return withDetails(codes.PermissionDenied, err, info("NOT_OWNER", "", ""))
	case errors.As(err, &duration):
		return withDetails(codes.InvalidArgument, err, info("TOO_LONG", "", fmt.Sprintf("use %v or less", duration.Max)))
	case errors.Is(err, datastore.ErrNotLoaded):
		return withDetails(codes.FailedPrecondition, err, info("STARTUP_NOT_LOADED", "", ""))
	case errors.Is(err, datastore.ErrNoneToConfirm):
		return withDetails(codes.FailedPrecondition, err, info("NOTHING_TO_CONFIRM", "", ""))
	case errors.Is(err, datastore.ErrOtherToConfirm):
		return withDetails(codes.InvalidArgument, err, info("OTHER_TO_CONFIRM", "", "use its ID"))
	case errors.As(err, &past) && past.Never:
		return withDetails(codes.NotFound, err, info("NO_SUCH_REVISION", "", ""))
	case errors.As(err, &past):
		return withDetails(codes.FailedPrecondition, err, info("HISTORY_LOST", "", ""))
	case errors.Is(err, datastore.ErrBusy):
		return withDetails(codes.Aborted, err, info("BUSY", "", "try again"))
	case errors.Is(err, datastore.ErrNotStarted), errors.Is(err, datastore.ErrClosed), errors.Is(err, subscribe.ErrStopped):
		return withDetails(codes.Unavailable, err, info("NOT_RUNNING", "", "try again"))
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, err.Error())
	}
	return internal(err)
}

func pathCode(e *schema.PathError, c call) codes.Code {
	switch {
	case e.Code == schema.NotFound && c == set:
		return codes.NotFound
	case e.Code == schema.NotFound:
		return codes.Unimplemented
	}
	return codes.InvalidArgument
}

// validationStatus takes its code from the first cause: a client that corrects
// that one gets further.
func validationStatus(e *datastore.ValidationError, c call) error {
	code := codes.InvalidArgument
	var path *schema.PathError
	if errors.As(e.Causes[0], &path) {
		code = pathCode(path, c)
	}
	return causesStatus(code, e)
}

// causesStatus has as many causes in its text as there is room for, and how many more
// there are.
func causesStatus(code codes.Code, e *datastore.ValidationError) error {
	bad := &errdetails.BadRequest{}
	var text strings.Builder
	shown := 0
	for i, cause := range e.Causes {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field:       cause.Path,
			Description: (&datastore.Cause{Value: cause.Value, Reason: cause.Reason, Remedy: cause.Remedy}).Error(),
			Reason:      strings.ToUpper(strings.ReplaceAll(cause.Rule, "-", "_")),
		})
		line := cause.Error()
		if i > 0 {
			line = "\n" + clip(line, maxCause)
		}
		if shown == i && (i == 0 || text.Len()+len(line) <= maxMessage-len("\nand 1000000 or more")) {
			text.WriteString(line)
			shown++
		}
	}
	if more := len(e.Causes) + e.More - shown; more > 0 {
		head := clip(text.String(), maxMessage-len(" ...\nand 1000000 or more"))
		text.Reset()
		fmt.Fprintf(&text, "%s\n%s", head, schema.AndMore(more))
	}
	return withDetails(code, errors.New(text.String()), bad)
}

func persistStatus(e *datastore.PersistError) error {
	if errors.Is(e.Err, syscall.ENOSPC) || errors.Is(e.Err, syscall.EDQUOT) {
		return withDetails(codes.ResourceExhausted, e, info("DISK_FULL", "", "free space in the state directory"))
	}
	return withDetails(codes.Internal, e, info("PERSIST_FAILED", "", ""))
}

// applyStatus says what became of the kernel. The text has the kernel's words.
func (s *Server) applyStatus(e *datastore.ApplyError) error {
	var f Failure
	if s.cfg.Classify != nil {
		f = s.cfg.Classify(e.Err)
	}
	kind := failures[f.Kind]
	return withDetails(kind.code, e, info(kind.reason, f.Path, f.Remedy))
}

func violations(v ...*errdetails.BadRequest_FieldViolation) *errdetails.BadRequest {
	return &errdetails.BadRequest{FieldViolations: v}
}

func info(reason, path, remedy string) *errdetails.ErrorInfo {
	i := &errdetails.ErrorInfo{Reason: reason, Domain: errorDomain, Metadata: map[string]string{}}
	if path != "" {
		i.Metadata["path"] = path
	}
	if remedy != "" {
		i.Metadata["remedy"] = remedy
	}
	return i
}

// lockedInfo tells a program whose lock is in its way, and until when.
func lockedInfo(e *datastore.LockedError) *errdetails.ErrorInfo {
	i := info("LOCKED", "", "wait, or have it unlocked")
	i.Metadata["owner"] = e.Holder.String()
	i.Metadata["since"], i.Metadata["until"] = e.Since.UTC().Format(time.RFC3339), e.Until.UTC().Format(time.RFC3339)
	return i
}

func withDetails(code codes.Code, err error, details ...protoadapt.MessageV1) error {
	st := status.New(code, err.Error())
	if full, derr := st.WithDetails(details...); derr == nil {
		st = full
	}
	return st.Err()
}

// Limits of a status: it travels in HTTP/2 trailers, of which clients of other
// languages take 8 KiB, the details in base64.
const (
	maxMessage    = 2048 // octets
	maxCause      = 512  // octets, of a further one in the message
	maxViolations = 2048 // octets, of all
	maxViolation  = 256  // octets, of a field of one
)

// fit makes the status of an error one that every client can receive.
func fit(err error) error {
	st, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	p := st.Proto()
	p.Message = clip(p.GetMessage(), maxMessage)
	for i, any := range p.GetDetails() {
		bad := &errdetails.BadRequest{}
		if any.UnmarshalTo(bad) != nil {
			continue
		}
		room := maxViolations
		for i, v := range bad.GetFieldViolations() {
			v.Field, v.Description = clip(v.GetField(), maxViolation), clip(v.GetDescription(), maxViolation)
			if room -= proto.Size(v); room < 0 {
				bad.FieldViolations = bad.GetFieldViolations()[:i] // the message says how many there are
				break
			}
		}
		if again, err := anypb.New(bad); err == nil {
			p.Details[i] = again
		}
	}
	return status.ErrorProto(p)
}

func clip(s string, octets int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= octets {
		return s
	}
	return strings.ToValidUTF8(s[:octets], "") + " ..."
}

// checkEncoding checks the encoding that a client wants.
func checkEncoding(e gpb.Encoding) error {
	switch e {
	case gpb.Encoding_JSON, gpb.Encoding_JSON_IETF, gpb.Encoding_PROTO:
		return nil
	}
	name := e.String()
	if _, ok := gpb.Encoding_name[int32(e)]; !ok {
		name = fmt.Sprintf("number %d", int32(e))
	}
	return notOffered("encoding %s is not offered: use JSON, JSON_IETF or PROTO", name)
}
