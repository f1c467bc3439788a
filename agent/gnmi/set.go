package gnmi

//lint:file-ignore SA1019 old clients still send float_val and decimal_val.

import (
	"context"
	"fmt"
	"math/big"
	"strings"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"heddle/agent/access"
	"heddle/agent/datastore"
	"heddle/schema"
)

// set carries out a Set: all of it, or nothing.
func (s *Server) set(ctx context.Context, req *setRequest) (*setAnswer, error) {
	read, err := s.read(req.data)
	req.release()
	if err != nil {
		return nil, err
	}
	confirm, err := read.confirm()
	if err != nil {
		return nil, err
	}
	authority := s.Authority(ctx)
	if err := s.arbitrate(read, authority); err != nil {
		return nil, err
	}
	if len(read.edits) == 0 && confirm == nil && read.ext.arbitration != nil {
		return read.answer.end(time.Now()), nil // it makes a master, and no change
	}
	res, err := s.cfg.Store.Commit(ctx, datastore.Request{
		Edits: read.edits, User: user(ctx), Source: "gnmi", Request: read.words(), Confirm: confirm, Authority: authority,
		Administrator: s.Administrator(ctx),
	})
	if err != nil {
		return nil, s.statusOf(err, set)
	}
	if len(res.Changes) == 0 {
		return read.answer.end(time.Now()), nil
	}
	return read.answer.end(res.Time), nil
}

// arbitrate lets a Set pass if it comes from the master of its role, or makes it that.
// Who may not write what it asks for is no master.
func (s *Server) arbitrate(read *setRead, authority datastore.Authority) error {
	x := read.ext.arbitration
	if x == nil {
		return nil
	}
	if authority != nil {
		if err := authority.Some(); err != nil {
			return err
		}
		if err := authority.Asked(read.edits); err != nil {
			return err
		}
	}
	return s.masters.admit(x)
}

// words say in a line what a Set asks for.
func (r *setRead) words() string {
	if len(r.edits) == 0 {
		return ""
	}
	var b strings.Builder
	for _, o := range []struct {
		field protowire.Number
		name  string
	}{{requestDelete, "delete"}, {requestReplace, "replace"}, {requestUpdate, "update"}, {requestUnionReplace, "union_replace"}} {
		if n := r.head.count[o.field]; n > 0 {
			if b.Len() > 0 {
				b.WriteString(", ")
			}
			b.WriteString(o.name)
			if n > 1 {
				fmt.Fprintf(&b, " %d", n)
			}
		}
	}
	b.WriteString(" " + clip(r.edits[0].Target(), maxViolation))
	if len(r.edits) > 1 {
		b.WriteString(", ...")
	}
	return b.String()
}

// setExtensions are the extensions that a Set takes.
const setExtensions = extArbitration | extCommit

// maxCommitID is how long the ID of a commit that has to be confirmed may be.
const maxCommitID = 256 // octets

// confirm is the commit extension of a Set, nil without one.
func (r *setRead) confirm() (*datastore.Confirm, error) {
	x := r.ext.commit
	if x == nil {
		return nil, nil
	}
	if x.GetId() == "" || len(x.GetId()) > maxCommitID {
		return nil, invalid("extension commit: the id has %d octets: it needs 1 to %d", len(x.GetId()), maxCommitID)
	}
	c := &datastore.Confirm{ID: x.GetId()}
	var within *durationpb.Duration
	switch a := x.GetAction().(type) {
	case *gnmi_ext.Commit_Commit:
		c.Action, within = datastore.ConfirmBegin, a.Commit.GetRollbackDuration()
	case *gnmi_ext.Commit_Confirm:
		c.Action = datastore.ConfirmAccept
	case *gnmi_ext.Commit_Cancel:
		c.Action = datastore.ConfirmCancel
	case *gnmi_ext.Commit_SetRollbackDuration:
		c.Action, within = datastore.ConfirmExtend, a.SetRollbackDuration.GetRollbackDuration()
		if within == nil {
			return nil, invalid("extension commit: set_rollback_duration without a rollback_duration: give one")
		}
	default:
		return nil, invalid("extension commit: no action: use commit, confirm, cancel or set_rollback_duration")
	}
	if within != nil {
		c.Within = within.AsDuration()
		if within.CheckValid() != nil || c.Within <= 0 {
			return nil, invalid("extension commit: rollback_duration %v: use more than 0", within.AsDuration())
		}
	}
	if c.Action != datastore.ConfirmBegin && len(r.edits) > 0 {
		return nil, invalid("extension commit: a Set that does not begin a commit changes nothing: send the change in a Set of its own")
	}
	return c, nil
}

// Edits are what a SetRequest asks for, in the order in which a Set carries them
// out. Errors have the status of a Set.
func (s *Server) Edits(req *gpb.SetRequest) ([]schema.Edit, error) {
	octets, err := proto.Marshal(req)
	if err != nil {
		return nil, malformed(err)
	}
	read, err := s.read(mem.BufferSlice{mem.SliceBuffer(octets)})
	if err != nil {
		return nil, err
	}
	return read.edits, nil
}

// SetStatus gives an error of the store, or of those below it, the status that a Set
// answers with.
func (s *Server) SetStatus(err error) error { return s.statusOf(err, set) }

// edit makes an edit of any Update. Errors have a status, or are those of the schema.
func (s *Server) edit(prefix *gpb.Path, u *gpb.Update, op schema.Op) (schema.Edit, error) {
	path, err := s.setPath(prefix, u.GetPath())
	if err != nil {
		return schema.Edit{}, err
	}
	e := schema.Edit{Op: op, Path: path}
	switch v := u.GetVal().GetValue().(type) {
	case *gpb.TypedValue_JsonVal:
		e.JSON, e.Encoding = nonNil(v.JsonVal), schema.JSON
	case *gpb.TypedValue_JsonIetfVal:
		e.JSON, e.Encoding = nonNil(v.JsonIetfVal), schema.JSONIETF
	case nil:
		if u.GetValue() != nil {
			return e, invalid("path %s: the field value is no longer in use: put the value into val", path)
		}
		return e, invalid("path %s: the update has no value: put one into val, or delete the path", path)
	default:
		e.Scalar, err = scalar(path, u.GetVal())
	}
	return e, err
}

// nonNil keeps empty JSON apart from no JSON: it is a mistake in the payload.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// scalar reads a value that is not JSON. The type it has to fit is known further
// in.
func scalar(path schema.Path, v *gpb.TypedValue) (schema.Value, error) {
	switch v := v.GetValue().(type) {
	case *gpb.TypedValue_StringVal:
		return schema.StringValue(v.StringVal), nil
	case *gpb.TypedValue_IntVal:
		return schema.IntValue(v.IntVal), nil
	case *gpb.TypedValue_UintVal:
		return schema.UintValue(v.UintVal), nil
	case *gpb.TypedValue_BoolVal:
		return schema.BoolValue(v.BoolVal), nil
	case *gpb.TypedValue_BytesVal:
		return schema.BinaryValue(v.BytesVal), nil
	case *gpb.TypedValue_DoubleVal:
		return schema.FloatValue(v.DoubleVal), nil
	case *gpb.TypedValue_FloatVal:
		return schema.FloatValue(float64(v.FloatVal)), nil
	case *gpb.TypedValue_DecimalVal:
		return decimal(path, v.DecimalVal)
	case *gpb.TypedValue_LeaflistVal:
		list := make([]schema.Value, 0, len(v.LeaflistVal.GetElement()))
		for _, e := range v.LeaflistVal.GetElement() {
			if e.GetLeaflistVal() != nil || e.GetValue() == nil {
				return schema.Value{}, invalid("path %s: an element of leaflist_val is not a scalar", path)
			}
			x, err := scalar(path, e)
			if err != nil {
				return schema.Value{}, err
			}
			list = append(list, x)
		}
		return schema.ListValue(list), nil
	case *gpb.TypedValue_AsciiVal:
		return schema.Value{}, notOffered("path %s: encoding ASCII (ascii_val) is not offered: use JSON, JSON_IETF or a scalar", path)
	case *gpb.TypedValue_AnyVal:
		return schema.Value{}, notOffered("path %s: any_val is not offered: use JSON, JSON_IETF or a scalar", path)
	case *gpb.TypedValue_ProtoBytes:
		return schema.Value{}, notOffered("path %s: proto_bytes is not offered: use JSON, JSON_IETF or a scalar", path)
	}
	return schema.Value{}, notOffered("path %s: this kind of value is not offered: use JSON, JSON_IETF or a scalar", path)
}

// maxDigits is how many digits a decimal64 can have behind the point (RFC 6020
// §9.3).
const maxDigits = 18

// decimal reads digits x 10^-precision.
func decimal(path schema.Path, d *gpb.Decimal64) (schema.Value, error) {
	if d.GetPrecision() > maxDigits {
		return schema.Value{}, invalid("path %s: decimal_val has precision %d: a decimal64 has %d at most", path, d.GetPrecision(), maxDigits)
	}
	r := new(big.Rat).SetFrac(
		big.NewInt(d.GetDigits()),
		new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d.GetPrecision())), nil),
	)
	return schema.DecimalValue(r.FloatString(int(d.GetPrecision()))), nil
}

// User is who makes a call, "" for nobody in particular.
func (s *Server) User(ctx context.Context) string { return user(ctx) }

// Authority is what the caller may change; nil: everything.
func (s *Server) Authority(ctx context.Context) datastore.Authority {
	if a := s.cfg.Guard.Authority(ctx); a != nil {
		return a
	}
	return nil
}

// Administrator reports whether the caller may end what others have begun.
func (s *Server) Administrator(ctx context.Context) bool { return s.cfg.Guard.Administrator(ctx) }

// View is what the caller may see; nil: everything.
func (s *Server) View(ctx context.Context) schema.View { return s.cfg.Guard.View(ctx) }

// user is who calls, "" if it is nobody in particular.
func user(ctx context.Context) string {
	who, _ := access.IdentityOf(ctx)
	return who.Name
}
