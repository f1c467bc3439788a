package gnmi

import (
	"context"
	"errors"
	"math"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"

	"heddle/telemetry/subscribe"
)

// Subscribe implements gNMI.
func (s *Server) Subscribe(stream gpb.GNMI_SubscribeServer) error {
	first, err := s.first(stream)
	if eof(err) {
		return invalid("the client sent no SubscriptionList")
	}
	if err != nil {
		return err
	}
	ext, err := readExtensions("Subscribe", first.GetExtension(), extDepth|extHistory|extConfigSubscription)
	if err != nil {
		return err
	}
	list := first.GetSubscribe()
	if list == nil {
		return invalid("the first message is not a SubscriptionList")
	}
	req, err := s.subscription(list)
	if err != nil {
		return err
	}
	ctx, sink := stream.Context(), &sink{stream: stream}
	req.Depth, req.Encoder.View = ext.depth, s.View(ctx)
	if ext.has&extConfigSubscription != 0 {
		req.ConfigOnly, req.Done = true, sink.done
	}
	if ext.has&extHistory != 0 {
		return s.past(ctx, list.GetMode(), req, ext, sink)
	}
	switch list.GetMode() {
	case gpb.SubscriptionList_ONCE:
		return s.ended(s.engine.Once(ctx, req, sink))
	case gpb.SubscriptionList_POLL:
		return s.poll(stream, req, sink)
	case gpb.SubscriptionList_STREAM:
		return s.stream(stream, req, sink)
	}
	return invalid("mode %d: use STREAM, ONCE or POLL", list.GetMode())
}

// first is the first message, for which it does not wait for ever.
func (s *Server) first(stream gpb.GNMI_SubscribeServer) (*gpb.SubscribeRequest, error) {
	type message struct {
		req *gpb.SubscribeRequest
		err error
	}
	came := make(chan message, 1)
	// Ends with the RPC: Recv fails once Subscribe has returned.
	go func() {
		req, err := stream.Recv()
		came <- message{req, err}
	}()
	limit := time.NewTimer(s.cfg.FirstMessage)
	defer limit.Stop()
	select {
	case m := <-came:
		return m.req, m.err
	case <-limit.C:
		return nil, late("no SubscriptionList came within %v", s.cfg.FirstMessage)
	}
}

// ended is the status of a subscription that came to an end.
func (s *Server) ended(err error) error {
	if err == nil {
		return nil
	}
	return s.statusOf(err, query)
}

// poll sends everything at once, and again at every Poll.
func (s *Server) poll(stream gpb.GNMI_SubscribeServer, req subscribe.Request, sink *sink) error {
	for {
		if err := s.engine.Once(stream.Context(), req, sink); err != nil {
			return s.ended(err)
		}
		m, err := stream.Recv()
		if eof(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := readExtensions("Poll", m.GetExtension(), extNone); err != nil {
			return err
		}
		if m.GetPoll() == nil {
			return invalid("a message after the SubscriptionList is not a Poll: open another RPC for another list")
		}
	}
}

// stream sends changes until the client has enough. A client that closes its
// side goes on listening.
func (s *Server) stream(stream gpb.GNMI_SubscribeServer, req subscribe.Request, sink *sink) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	// Ends with the RPC: Recv fails once this function has returned.
	go func() {
		if _, err := stream.Recv(); err == nil {
			cancel(invalid("a message after the SubscriptionList of a STREAM: open another RPC for another list"))
		}
	}()
	err := s.engine.Stream(ctx, req, sink)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return s.ended(err)
}

// subscription checks a SubscriptionList and resolves its paths.
func (s *Server) subscription(list *gpb.SubscriptionList) (subscribe.Request, error) {
	req := subscribe.Request{UpdatesOnly: list.GetUpdatesOnly()}
	if err := checkEncoding(list.GetEncoding()); err != nil {
		return req, err
	}
	if err := checkPrefix(list.GetPrefix()); err != nil {
		return req, err
	}
	if list.GetQos().GetMarking() != 0 {
		return req, notOffered("qos marking %d is not offered: leave qos out", list.GetQos().GetMarking())
	}
	if len(list.GetSubscription()) == 0 {
		return req, invalid("the SubscriptionList has no subscription: name at least one path")
	}
	origins := make([]*gpb.Path, 0, len(list.GetSubscription()))
	for _, sub := range list.GetSubscription() {
		one, err := s.one(list, sub)
		if err != nil {
			return req, err
		}
		req.Subscriptions = append(req.Subscriptions, one)
		origins = append(origins, sub.GetPath())
	}
	req.Encoder = subscribe.Encoder{
		Encoding: list.GetEncoding(),
		Target:   list.GetPrefix().GetTarget(),
		Origin:   originOf(list.GetPrefix(), origins...),
	}
	return req, s.subscribedModels(list, req)
}

// subscribedModels honours use_models: a leaf's value names a module only where
// it is an identity in JSON_IETF.
func (s *Server) subscribedModels(list *gpb.SubscriptionList, req subscribe.Request) error {
	for _, one := range req.Subscriptions {
		rename, err := s.modules.use(s.schema.Root(), list.GetUseModels(), one.Paths)
		if err != nil {
			return err
		}
		if len(rename) > 0 && list.GetEncoding() == gpb.Encoding_JSON_IETF {
			return notOffered("use_models with public modules is not offered for Subscribe in JSON_IETF: use JSON or PROTO, or leave use_models out")
		}
	}
	return nil
}

var modes = map[gpb.SubscriptionMode]subscribe.Mode{
	gpb.SubscriptionMode_TARGET_DEFINED: subscribe.TargetDefined,
	gpb.SubscriptionMode_ON_CHANGE:      subscribe.OnChange,
	gpb.SubscriptionMode_SAMPLE:         subscribe.Sample,
}

func (s *Server) one(list *gpb.SubscriptionList, sub *gpb.Subscription) (subscribe.Subscription, error) {
	one := subscribe.Subscription{SuppressRedundant: sub.GetSuppressRedundant()}
	var err error
	if one.Paths, err = s.queryPaths(list.GetPrefix(), sub.GetPath()); err != nil {
		return one, err
	}
	if list.GetMode() != gpb.SubscriptionList_STREAM {
		return one, nil // modes and intervals are a STREAM's
	}
	text := display(list.GetPrefix(), sub.GetPath())
	var known bool
	if one.Mode, known = modes[sub.GetMode()]; !known {
		return one, invalid("path %s: subscription mode %d: use TARGET_DEFINED, ON_CHANGE or SAMPLE", text, sub.GetMode())
	}
	if one.Mode == subscribe.OnChange && s.engine.OnlyCounters(one.Paths) {
		return one, invalid("path %s: ON_CHANGE is not for counters, which count without an event: use SAMPLE or TARGET_DEFINED", text)
	}
	if sub.GetSampleInterval() > math.MaxInt64 || sub.GetHeartbeatInterval() > math.MaxInt64 {
		return one, invalid("path %s: an interval is longer than 292 years: intervals are in nanoseconds", text)
	}
	one.SampleInterval = time.Duration(sub.GetSampleInterval())
	one.Heartbeat = time.Duration(sub.GetHeartbeatInterval())
	return one, nil
}

// sink writes to one client. Send blocks while the client does not read.
type sink struct {
	stream gpb.GNMI_SubscribeServer
}

func (k *sink) Send(n *gpb.Notification) error {
	return k.stream.Send(&gpb.SubscribeResponse{Response: &gpb.SubscribeResponse_Update{Update: n}})
}

func (k *sink) Sync() error {
	return k.stream.Send(&gpb.SubscribeResponse{Response: &gpb.SubscribeResponse_SyncResponse{SyncResponse: true}})
}

// done says that the changes of a commit have been sent.
func (k *sink) done(m subscribe.Mark) error {
	done := &gnmi_ext.ConfigSubscriptionSyncDone{CommitConfirmId: m.ConfirmID, ServerCommitId: m.ServerID, Done: true}
	return k.stream.Send(&gpb.SubscribeResponse{Extension: []*gnmi_ext.Extension{{Ext: &gnmi_ext.Extension_ConfigSubscription{
		ConfigSubscription: &gnmi_ext.ConfigSubscription{Action: &gnmi_ext.ConfigSubscription_SyncDone{SyncDone: done}}}}}})
}
