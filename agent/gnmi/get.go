package gnmi

import (
	"bytes"
	"context"
	"runtime"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/protobuf/encoding/protowire"

	"heddle/schema"
	"heddle/telemetry/subscribe"
)

// filters translates the type of a Get.
var filters = map[gpb.GetRequest_DataType]schema.Filter{
	gpb.GetRequest_ALL:         schema.All,
	gpb.GetRequest_CONFIG:      schema.Config,
	gpb.GetRequest_STATE:       schema.State,
	gpb.GetRequest_OPERATIONAL: schema.Operational,
}

// kinds says in words what a Get was limited to.
var kinds = map[gpb.GetRequest_DataType]string{
	gpb.GetRequest_CONFIG:      "configuration ",
	gpb.GetRequest_STATE:       "state ",
	gpb.GetRequest_OPERATIONAL: "operational ",
}

// reading is one Get at work.
type reading struct {
	server  *Server
	trees   []schema.Tree // configuration and state
	filter  schema.Filter
	enc     subscribe.Encoder
	rename  map[string]string
	depth   int           // 0: no limit
	draft   *schema.Draft // of the only path; nil: none, or it is finished
	answer  *getAnswer
	updates int          // of the notification that is being made
	scratch bytes.Buffer // for small documents
}

// look takes the trees as they are now.
func (r *reading) look() {
	r.trees = []schema.Tree{r.server.cfg.Running.Snapshot(), r.server.cfg.State.Snapshot()}
	for i, t := range r.trees {
		if r.enc.View != nil {
			r.trees[i] = r.server.schema.Through(t, r.enc.View)
		}
	}
}

// drop gives up a draft that was not finished.
func (r *reading) drop() {
	if r.draft != nil {
		r.draft.Drop()
	}
}

// filtered are the trees that have something that the filter passes.
func (r *reading) filtered() []schema.Tree {
	switch r.filter {
	case schema.Config:
		return r.trees[:1]
	case schema.State, schema.Operational:
		return r.trees[1:]
	}
	return r.trees
}

// get answers a Get: one notification for each path, all of one moment.
func (s *Server) get(ctx context.Context, req *gpb.GetRequest) (*getAnswer, error) {
	ext, err := readExtensions("Get", req.GetExtension(), extDepth)
	if err != nil {
		return nil, err
	}
	if err := checkEncoding(req.GetEncoding()); err != nil {
		return nil, err
	}
	filter, ok := filters[req.GetType()]
	if !ok {
		return nil, invalid("type %d: use ALL, CONFIG, STATE or OPERATIONAL", req.GetType())
	}
	if err := checkPrefix(req.GetPrefix()); err != nil {
		return nil, err
	}
	if len(req.GetPath()) == 0 {
		return nil, invalid("no path: name at least one; the root is a path without elems")
	}
	var all []schema.Path
	queries := make([][]schema.Path, len(req.GetPath()))
	for i, p := range req.GetPath() {
		q, err := s.queryPaths(req.GetPrefix(), p)
		if err != nil {
			return nil, err
		}
		queries[i] = q
		all = append(all, q...)
	}
	rename, err := s.modules.use(s.schema.Root(), req.GetUseModels(), all)
	if err != nil {
		return nil, err
	}
	r := &reading{server: s, filter: filter, enc: subscribe.Encoder{Encoding: req.GetEncoding(), View: s.cfg.Guard.View(ctx)}, rename: rename, depth: ext.depth, answer: &getAnswer{}}
	r.look()
	if filter != schema.Config {
		r.draft = s.drafts.begin(r, queries)
		defer r.drop()
		if err := s.engine.Refresh(ctx, all); err != nil {
			return nil, s.statusOf(err, query)
		}
		r.look()
	}
	now := time.Now().UnixNano()
	for i, q := range queries {
		if err := ctx.Err(); err != nil {
			return nil, s.statusOf(err, query)
		}
		prefix := responsePrefix(req.GetPrefix().GetTarget(), originOf(req.GetPrefix(), req.GetPath()[i]))
		if err := r.answer.begin(now, prefix); err != nil {
			return nil, err
		}
		r.updates = 0
		if err := r.read(q); err != nil {
			return nil, err
		}
		if r.updates == 0 {
			return nil, noData("path %s: there is no %sdata", display(req.GetPrefix(), req.GetPath()[i]), kinds[req.GetType()])
		}
		r.answer.end()
		if i+1 < len(queries) && r.answer.size > s.cfg.MaxAnswer {
			return nil, exhausted("the answer to %d of %d paths has %d octets already: ask for less at a time", i+1, len(queries), r.answer.size)
		}
	}
	return r.answer, nil
}

// read adds the updates for one path of the request, which may stand for
// several. Their paths are absolute.
func (r *reading) read(paths []schema.Path) error {
	var err error
	for _, p := range paths {
		switch {
		case r.enc.Encoding == gpb.Encoding_PROTO:
			r.server.engine.Collect(r.trees, p, r.filter, r.depth, r.enc, func(u *gpb.Update) {
				if err == nil {
					err = r.answer.update(u)
				}
				r.updates++
			})
		case p.HasWildcard():
			r.server.schema.Expand(r.trees, p, func(at schema.Path) bool {
				err = r.small(at)
				return err == nil
			})
		default:
			err = r.large(p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// options are those of the request, and the field of a TypedValue that the
// document goes into.
func (r *reading) options() (schema.EncodeOptions, protowire.Number) {
	// What is seen through a view has defaults as values.
	o := schema.EncodeOptions{Encoding: schema.JSON, Filter: r.filter, Defaults: r.enc.View == nil, Depth: r.depth}
	if r.enc.Encoding == gpb.Encoding_JSON_IETF {
		o.Encoding, o.ModuleNames = schema.JSONIETF, r.rename
		return o, valueJSONIETF
	}
	return o, valueJSON
}

// small adds what is at a path, one of many, as one JSON value.
func (r *reading) small(at schema.Path) error {
	o, field := r.options()
	r.scratch.Reset()
	present, err := r.server.schema.EncodeJSON(&r.scratch, r.trees, at, o)
	if err != nil {
		return r.server.statusOf(err, query)
	}
	if !present {
		return nil
	}
	r.updates++
	return r.answer.copied(subscribe.ProtoPath(at), field, r.scratch.Bytes())
}

// getWorkers is how many processors one Get takes at most.
const getWorkers = 4

// large adds what is at a path as one JSON value, whatever its size.
func (r *reading) large(at schema.Path) error {
	o, field := r.options()
	workers := min(getWorkers, runtime.GOMAXPROCS(0))
	var doc [][]byte
	var present bool
	var err error
	if r.draft != nil {
		doc, present, err = r.draft.Finish(r.filtered(), workers)
		r.server.drafts.learn(r.draft)
		r.draft = nil
	} else {
		doc, present, err = r.server.schema.EncodeChunks(r.filtered(), at, o, workers, buffers{})
	}
	if err != nil {
		return r.server.statusOf(err, query)
	}
	if !present {
		return nil
	}
	r.updates++
	return r.answer.document(subscribe.ProtoPath(at), field, doc)
}
