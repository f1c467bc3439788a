package gnmi

import (
	"bytes"
	"context"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"

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
	server *Server
	trees  []schema.Tree
	filter schema.Filter
	enc    subscribe.Encoder
	rename map[string]string
}

// Get implements gNMI: one notification for each path, all of one moment.
func (s *Server) Get(ctx context.Context, req *gpb.GetRequest) (*gpb.GetResponse, error) {
	if err := refuseExtensions(req.GetExtension()); err != nil {
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
		q, err := s.queryPaths(req.GetPrefix(), p, query)
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
	if filter != schema.Config {
		if err := s.engine.Refresh(ctx, all); err != nil {
			return nil, s.statusOf(err, query)
		}
	}
	r := &reading{
		server: s,
		trees:  []schema.Tree{s.cfg.Running.Snapshot(), s.cfg.State.Snapshot()},
		filter: filter,
		enc:    subscribe.Encoder{Encoding: req.GetEncoding()},
		rename: rename,
	}
	now := time.Now().UnixNano()
	resp := &gpb.GetResponse{}
	for i, q := range queries {
		if err := ctx.Err(); err != nil {
			return nil, s.statusOf(err, query)
		}
		updates, err := r.read(q)
		if err != nil {
			return nil, err
		}
		if len(updates) == 0 {
			return nil, noData("path %s: there is no %sdata", display(req.GetPrefix(), req.GetPath()[i]), kinds[req.GetType()])
		}
		resp.Notification = append(resp.Notification, &gpb.Notification{
			Timestamp: now,
			Prefix:    responsePrefix(req.GetPrefix().GetTarget(), originOf(req.GetPrefix(), req.GetPath()[i])),
			Update:    updates,
		})
	}
	return resp, nil
}

// read gives the updates for one path of the request, which may stand for
// several. Their paths are absolute.
func (r *reading) read(paths []schema.Path) ([]*gpb.Update, error) {
	var updates []*gpb.Update
	var err error
	for _, p := range paths {
		if r.enc.Encoding == gpb.Encoding_PROTO {
			r.server.engine.Collect(r.trees, p, r.filter, r.enc, func(u *gpb.Update) { updates = append(updates, u) })
			continue
		}
		add := func(at schema.Path) bool {
			var u *gpb.Update
			if u, err = r.json(at); u != nil {
				updates = append(updates, u)
			}
			return err == nil
		}
		if p.HasWildcard() {
			r.server.schema.Expand(r.trees, p, add)
		} else {
			add(p)
		}
		if err != nil {
			return nil, err
		}
	}
	return updates, nil
}

// json gives what is at a path as one JSON value, nil if there is nothing.
func (r *reading) json(at schema.Path) (*gpb.Update, error) {
	var buf bytes.Buffer
	o := schema.EncodeOptions{Encoding: schema.JSON, Filter: r.filter, Defaults: true}
	if r.enc.Encoding == gpb.Encoding_JSON_IETF {
		o.Encoding, o.ModuleNames = schema.JSONIETF, r.rename
	}
	present, err := r.server.schema.EncodeJSON(&buf, r.trees, at, o)
	if err != nil {
		return nil, r.server.statusOf(err, query)
	}
	if !present {
		return nil, nil
	}
	u := &gpb.Update{Path: subscribe.ProtoPath(at), Val: &gpb.TypedValue{}}
	if r.enc.Encoding == gpb.Encoding_JSON_IETF {
		u.Val.Value = &gpb.TypedValue_JsonIetfVal{JsonIetfVal: buf.Bytes()}
	} else {
		u.Val.Value = &gpb.TypedValue_JsonVal{JsonVal: buf.Bytes()}
	}
	return u, nil
}
