package gnmi

import (
	"errors"
	"io"
	"runtime"
	"sync"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"heddle/schema"
)

// Numbers of the fields of SetRequest.
const (
	requestPrefix       protowire.Number = 1
	requestDelete       protowire.Number = 2
	requestReplace      protowire.Number = 3
	requestUpdate       protowire.Number = 4
	requestExtension    protowire.Number = 5
	requestUnionReplace protowire.Number = 6
)

// setReader reads a SetRequest, or a part of one, from its octets. Paths and values
// that look as clients write them are read here, without an object for each;
// whatever else protobuf allows (fields twice, in another order, unknown) is left to
// protobuf, one update at a time.
type setReader struct {
	server *Server
	edits  *schema.Edits
	answer *setAnswer

	prefix      *gpb.Path // nil if there is none
	prefixElems []schema.NameElem

	// wrong are reasons not to carry the Set out. Reading goes on: that the octets
	// are no SetRequest at all counts before them, and who corrects one wants to know
	// of the others.
	wrong     mistakes
	malformed error

	last  lastPath
	elems []schema.NameElem // scratch space
}

// partSize is how many octets of a request are worth a goroutine.
const partSize = 1 << 20

// setRead is what a SetRequest asks for.
type setRead struct {
	edits  []schema.Edit // in the order in which they are carried out
	answer *setAnswer    // what it gets if they all succeed
	ext    extensions
	head   *setHead
}

// read reads a SetRequest.
func (s *Server) read(data mem.BufferSlice) (*setRead, error) {
	return s.readParts(data, max(1, min(runtime.GOMAXPROCS(0), data.Len()/partSize)))
}

// readParts is read in up to n parts, at the same time.
func (s *Server) readParts(data mem.BufferSlice, n int) (*setRead, error) {
	all := newFields(data, n)
	again := all.again()
	again.mark = -1
	head, err := readHead(all)
	if err != nil {
		return nil, malformed(err)
	}
	answer := newSetAnswer(len(head.prefixOctets))
	if head.prefix != nil {
		answer.prefix(head.prefixOctets)
	}
	var edits []schema.Edit
	var wrong mistakes
	ext, refused := head.check()
	if refused == nil && head.count[requestUnionReplace] > 0 {
		edits, refused = s.readUnion(head, again, answer, &wrong)
	}
	for _, field := range []protowire.Number{requestDelete, requestReplace, requestUpdate} {
		if head.count[field] == 0 {
			continue
		}
		readers := make([]*setReader, len(all.parts))
		var wg sync.WaitGroup
		for i, part := range all.parts {
			readers[i] = head.reader(s, part.left)
			wg.Go(func() { readers[i].malformed = readers[i].readAll(field, part.again()) })
		}
		wg.Wait()
		for _, r := range readers {
			if r.malformed != nil {
				return nil, malformed(r.malformed)
			}
			wrong.join(r.wrong)
			edits = append(edits, r.edits.List()...)
			answer.add(r.answer)
		}
	}
	if refused == nil {
		refused = s.allMistakes(wrong, edits)
	}
	if refused != nil {
		return nil, refused
	}
	return &setRead{edits, answer, ext, head}, nil
}

// readAll reads the operations that are in one field of a request.
func (r *setReader) readAll(field protowire.Number, f *fields) error {
	return each(f, func(num protowire.Number, f *fields) error {
		if num != field {
			return nil
		}
		octets, keep := f.value()
		switch field {
		case requestDelete:
			return r.readDelete(octets)
		case requestReplace:
			return r.readUpdate(schema.Replace, octets, keep)
		}
		return r.readUpdate(schema.Update, octets, keep)
	})
}

// each calls fn for the fields that have a length.
func each(f *fields, fn func(protowire.Number, *fields) error) error {
	for {
		num, typ, err := f.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if typ != protowire.BytesType {
			continue
		}
		if err := fn(num, f); err != nil {
			return err
		}
	}
}

// setHead is what concerns a request as a whole.
type setHead struct {
	prefix       *gpb.Path // nil if there is none
	prefixOctets []byte
	extensions   []*gnmi_ext.Extension
	count        [requestUnionReplace + 1]int // of the fields, by number
}

func readHead(f *fields) (*setHead, error) {
	h := &setHead{}
	return h, each(f, func(num protowire.Number, f *fields) error {
		if int(num) < len(h.count) {
			h.count[num]++
		}
		switch num {
		case requestPrefix:
			if h.prefix == nil {
				h.prefix = &gpb.Path{}
			}
			b, _ := f.value()
			h.prefixOctets = append(h.prefixOctets, b...)
			return proto.UnmarshalOptions{Merge: true}.Unmarshal(b, h.prefix)
		case requestExtension:
			b, _ := f.value()
			x := &gnmi_ext.Extension{}
			h.extensions = append(h.extensions, x)
			return proto.Unmarshal(b, x)
		case requestUnionReplace:
			b, _ := f.value()
			return unmarshal(b, &gpb.Update{})
		}
		return nil
	})
}

// check refuses what is wrong with the request as a whole.
func (h *setHead) check() (extensions, error) {
	ext, err := readExtensions("Set", h.extensions, setExtensions)
	if err != nil {
		return ext, err
	}
	if h.count[requestUnionReplace] > 0 && h.count[requestDelete]+h.count[requestReplace]+h.count[requestUpdate] > 0 {
		return ext, invalid("union_replace stands beside delete, replace or update: a Set has one or the others")
	}
	return ext, checkPrefix(h.prefix)
}

// reader makes a reader of a part of so many octets.
func (h *setHead) reader(s *Server, octets int) *setReader {
	r := &setReader{server: s, edits: s.schema.NewEdits(), answer: newSetAnswer(octets), prefix: h.prefix}
	for _, e := range h.prefix.GetElem() {
		r.prefixElems = append(r.prefixElems, schema.NameElem{Name: e.GetName(), Keys: e.GetKey()})
	}
	return r
}

// unmarshal is proto.Unmarshal of a message inside a SetRequest.
func unmarshal(b []byte, m proto.Message) error {
	return proto.UnmarshalOptions{RecursionLimit: protowire.DefaultRecursionLimit - 1}.Unmarshal(b, m)
}

func (r *setReader) readDelete(path []byte) error {
	elems, ok, err := r.names(path)
	if err != nil || !ok || r.wrong.enough() {
		return err
	}
	paths, err := r.server.schema.ResolveQuery(elems)
	if err != nil {
		r.wrong.add(err)
		return nil
	}
	for _, at := range paths {
		r.edits.Add(schema.Edit{Op: schema.Delete, Path: at})
	}
	r.answer.result(gpb.UpdateResult_DELETE, path)
	return nil
}

// results says how an answer names an operation.
var results = [...]gpb.UpdateResult_Operation{
	schema.Replace: gpb.UpdateResult_REPLACE,
	schema.Update:  gpb.UpdateResult_UPDATE,
}

// readUpdate reads a replace or update. keep says that its octets stay as they
// are.
func (r *setReader) readUpdate(op schema.Op, octets []byte, keep bool) error {
	path, val, ok := plainUpdate(octets)
	var v plainValue
	if ok {
		v, ok = readValue(val)
	}
	if !ok {
		return r.readAnyUpdate(op, octets)
	}
	at, leaf, ok, err := r.target(path)
	if err != nil || !ok || r.wrong.enough() {
		return err
	}
	r.answer.result(results[op], path)
	switch {
	case leaf != nil && v.json == nil:
		r.edits.Leaf(op, at, leaf, v.scalar)
		return nil
	case leaf != nil:
		at = append(at[:len(at):len(at)], schema.Elem{Node: leaf})
	}
	if v.json != nil && !keep {
		v.json = append([]byte{}, v.json...)
	}
	r.edits.Add(schema.Edit{Op: op, Path: at, JSON: v.json, Encoding: v.encoding, Scalar: v.scalar})
	return nil
}

// readAnyUpdate is readUpdate by protobuf's own means.
func (r *setReader) readAnyUpdate(op schema.Op, octets []byte) error {
	u := &gpb.Update{}
	if err := unmarshal(octets, u); err != nil || r.wrong.enough() {
		return err
	}
	e, err := r.server.edit(r.prefix, u, op)
	if err != nil {
		r.wrong.add(err)
		return nil
	}
	var path []byte
	if u.GetPath() != nil {
		if path, err = (proto.MarshalOptions{}).MarshalAppend([]byte{}, u.GetPath()); err != nil {
			return err
		}
	}
	r.edits.Add(e)
	r.answer.result(results[op], path)
	return nil
}
