package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
)

func (c *command) watch(ctx context.Context) error {
	fs := c.flags("watch")
	once := fs.Bool("once", false, "end after the present values")
	sample := fs.Duration("sample", 0, "repeat the values at this interval instead of reporting changes")
	updatesOnly := fs.Bool("updates-only", false, "leave out the present values")
	asJSON := fs.Bool("json", false, "one JSON object for each value, for programs")
	texts, err := c.parseMixed(fs)
	if err != nil {
		return err
	}
	paths, err := parsePaths(texts)
	if err != nil {
		return err
	}
	if *sample < 0 || *once && *sample != 0 {
		return wrongUsage("--sample takes an interval such as 1s, and not together with --once")
	}
	list := &gpb.SubscriptionList{Encoding: gpb.Encoding_PROTO, UpdatesOnly: *updatesOnly}
	if *once {
		list.Mode = gpb.SubscriptionList_ONCE
	}
	for _, p := range paths {
		s := &gpb.Subscription{Path: p, Mode: gpb.SubscriptionMode_TARGET_DEFINED}
		if *sample > 0 {
			s.Mode, s.SampleInterval = gpb.SubscriptionMode_SAMPLE, uint64(*sample)
		}
		list.Subscription = append(list.Subscription, s)
	}
	show := c.line
	if *asJSON {
		show = c.object
	}
	return c.with(ctx, false, func(ctx context.Context, client gpb.GNMIClient) error {
		return follow(ctx, client, list, show)
	})
}

// follow subscribes and shows what comes until the target ends it or ctx does,
// which is how a watch normally ends.
func follow(ctx context.Context, client gpb.GNMIClient, list *gpb.SubscriptionList, show func(at time.Time, path string, v *gpb.TypedValue) error) error {
	stream, err := client.Subscribe(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&gpb.SubscribeRequest{Request: &gpb.SubscribeRequest_Subscribe{Subscribe: list}}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) || err != nil && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		n := resp.GetUpdate()
		at := time.Unix(0, n.GetTimestamp())
		for _, p := range n.GetDelete() {
			if err := show(at, text(n.GetPrefix(), p), nil); err != nil {
				return err
			}
		}
		for _, u := range n.GetUpdate() {
			if err := show(at, text(n.GetPrefix(), u.GetPath()), u.GetVal()); err != nil {
				return err
			}
		}
	}
}

// line shows one value for people; a nil value is a deletion.
func (c *command) line(at time.Time, path string, v *gpb.TypedValue) error {
	shown := "(deleted)"
	if v != nil {
		shown = value(v)
	}
	_, err := fmt.Fprintf(c.Out, "%s %s: %s\n", at.Format("15:04:05.000"), path, shown)
	return err
}

// object shows one value for programs: {"time", "path", "value"}, with
// "deleted" instead of "value" for a deletion. Numbers and booleans keep their
// type.
func (c *command) object(at time.Time, path string, v *gpb.TypedValue) error {
	o := struct {
		Time    string `json:"time"`
		Path    string `json:"path"`
		Value   any    `json:"value,omitempty"`
		Deleted bool   `json:"deleted,omitempty"`
	}{Time: at.UTC().Format(time.RFC3339Nano), Path: path, Deleted: v == nil}
	if v != nil {
		o.Value = plain(v)
	}
	line, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.Out, "%s\n", line)
	return err
}

// plain is a value as encoding/json writes it.
func plain(v *gpb.TypedValue) any {
	switch t := v.GetValue().(type) {
	case *gpb.TypedValue_IntVal:
		return t.IntVal
	case *gpb.TypedValue_UintVal:
		return t.UintVal
	case *gpb.TypedValue_BoolVal:
		return t.BoolVal
	case *gpb.TypedValue_DoubleVal:
		return t.DoubleVal
	case *gpb.TypedValue_LeaflistVal:
		all := make([]any, len(t.LeaflistVal.GetElement()))
		for i, e := range t.LeaflistVal.GetElement() {
			all[i] = plain(e)
		}
		return all
	}
	return value(v)
}
