package gnmi

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"heddle/agent/datastore"
	"heddle/schema"
)

// stockSet is what reading a SetRequest comes to with messages of protobuf: the
// oracle of setReader.
func stockSet(s *Server, octets []byte) ([]schema.Edit, *gpb.SetResponse, error) {
	req := &gpb.SetRequest{}
	if err := proto.Unmarshal(octets, req); err != nil {
		return nil, nil, malformed(err)
	}
	if _, err := readExtensions("Set", req.GetExtension(), setExtensions); err != nil {
		return nil, nil, err
	}
	if len(req.GetUnionReplace()) > 0 && len(req.GetDelete())+len(req.GetReplace())+len(req.GetUpdate()) > 0 {
		return nil, nil, invalid("union_replace stands beside delete, replace or update: a Set has one or the others")
	}
	if err := checkPrefix(req.GetPrefix()); err != nil {
		return nil, nil, err
	}
	var edits []schema.Edit
	var wrong []error
	resp := &gpb.SetResponse{Prefix: req.GetPrefix()}
	for _, p := range req.GetDelete() {
		var paths []schema.Path
		elems, err := join(req.GetPrefix(), p)
		if err == nil {
			paths, err = s.schema.ResolveQuery(elems)
		}
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		for _, at := range paths {
			edits = append(edits, schema.Edit{Op: schema.Delete, Path: at})
		}
		resp.Response = append(resp.Response, &gpb.UpdateResult{Path: p, Op: gpb.UpdateResult_DELETE})
	}
	add := func(updates []*gpb.Update, op schema.Op, result gpb.UpdateResult_Operation) {
		for _, u := range updates {
			e, err := s.edit(req.GetPrefix(), u, op)
			if err != nil {
				wrong = append(wrong, err)
				continue
			}
			edits = append(edits, e)
			resp.Response = append(resp.Response, &gpb.UpdateResult{Path: u.GetPath(), Op: result})
		}
	}
	add(req.GetReplace(), schema.Replace, gpb.UpdateResult_REPLACE)
	add(req.GetUpdate(), schema.Update, gpb.UpdateResult_UPDATE)
	add(req.GetUnionReplace(), schema.Replace, gpb.UpdateResult_UNION_REPLACE)
	if len(wrong) > 0 {
		return nil, nil, s.together(wrong, edits)
	}
	if len(req.GetUnionReplace()) > 0 {
		var err error
		if edits, err = s.union(edits); err != nil {
			return nil, nil, err
		}
	}
	return edits, resp, nil
}

// together is the error that a Set with these mistakes is to have: the code of the first
// one, its words if it is alone, else those of all, behind them what is wrong with the
// values.
func (s *Server) together(wrong []error, edits []schema.Edit) error {
	_, values := s.schema.Apply(schema.Entries{}, edits)
	first := s.statusOf(wrong[0], set)
	if len(wrong) == 1 && values == nil {
		return first
	}
	for i, err := range wrong {
		if st, ok := status.FromError(err); ok {
			wrong[i] = errors.New(st.Message())
		}
	}
	more := max(0, len(wrong)-schema.MaxErrors)
	all := []error{&schema.Errors{Errs: wrong[:len(wrong)-more], More: more}}
	if values != nil {
		all = append(all, values)
	}
	return causesStatus(status.Code(first), datastore.Mistakes(all...))
}

// tb is a test, a benchmark or a *rapid.T.
type tb interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

var heddle = sync.OnceValues(schema.Heddle)

// rig reads requests both ways on one configuration.
type rig struct {
	server *Server
	base   schema.Entries
	before string
}

func newRig(t tb) *rig {
	t.Helper()
	sc, err := heddle()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{server: &Server{schema: sc}, base: schema.Entries{}}
	ch, err := sc.Apply(r.base, []schema.Edit{{Op: schema.Replace, JSON: []byte(`{
		"interfaces":{"interface":[{"name":"a","config":{"name":"a","mtu":1400,"description":"old"}},{"name":"b","config":{"name":"b"}}]},
		"network-instances":{"network-instance":[{"name":"DEFAULT","config":{"name":"DEFAULT","type":"DEFAULT_INSTANCE"},
			"segment-routing":{"srv6":{"sids":{"sid":[{"address":"2001:db8::1","config":{"address":"2001:db8::1","behavior":"END"}}]}}}}]}}`)}})
	if err != nil {
		t.Fatal(err)
	}
	r.base.Put(ch)
	r.before = r.show(t, r.base)
	return r
}

func (r *rig) show(t tb, tr schema.Tree) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := r.server.schema.EncodeJSON(&b, []schema.Tree{tr}, nil, schema.EncodeOptions{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// outcome is what edits come to: the error, or the changes and what they make of
// the configuration.
func (r *rig) outcome(t tb, edits []schema.Edit) string {
	t.Helper()
	ch, err := r.server.schema.Apply(r.base, edits)
	if err != nil {
		return err.Error()
	}
	next := schema.Entries{}
	for k, e := range r.base {
		next[k] = e
	}
	next.Put(ch)
	var b strings.Builder
	for _, c := range ch {
		fmt.Fprintln(&b, r.server.schema.Text(c.Key), c.Old != nil, c.New != nil)
	}
	return b.String() + r.show(t, next)
}

// pieces cuts octets into buffers of that size, the way gRPC receives a message.
func pieces(octets []byte, size int) mem.BufferSlice {
	octets = bytes.Clone(octets)
	var out mem.BufferSlice
	for len(octets) > size {
		out, octets = append(out, mem.SliceBuffer(octets[:size])), octets[size:]
	}
	return append(out, mem.SliceBuffer(octets))
}

// compare reads a request, in pieces of that size and some parts, both ways. It returns the code
// and whether the edits were valid.
func (r *rig) compare(t tb, octets []byte, size int) (codes.Code, bool) {
	t.Helper()
	data := pieces(octets, size)
	read, err := r.server.readParts(data, 1+size%4)
	// The buffers are used for something else as soon as they are read.
	for _, b := range data {
		for i := range b.ReadOnlyData() {
			b.ReadOnlyData()[i] = 0xff
		}
	}
	wantEdits, want, wantErr := stockSet(r.server, octets)
	if status.Code(err) != status.Code(wantErr) || status.Code(err) != codes.Internal && fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Fatalf("%x:\ngot  %.2000v\nwant %.2000v", octets, err, wantErr)
	}
	if err != nil {
		return status.Code(err), false
	}
	now := time.Now()
	got := &gpb.SetResponse{}
	if err := proto.Unmarshal(read.answer.end(now).octets().Materialize(), got); err != nil {
		t.Fatalf("%x: the answer: %v", octets, err)
	}
	if want.Timestamp = now.UnixNano(); !proto.Equal(got, want) {
		t.Fatalf("%x: answer\ngot  %v\nwant %v", octets, got, want)
	}
	g, w := r.outcome(t, read.edits), r.outcome(t, wantEdits)
	if g != w {
		t.Fatalf("%x:\ngot  %s\nwant %s", octets, g, w)
	}
	if r.show(t, r.base) != r.before {
		t.Fatalf("%x: the configuration changed", octets)
	}
	return codes.OK, strings.HasSuffix(g, "}")
}
