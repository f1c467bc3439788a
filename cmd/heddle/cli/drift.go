package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
)

const driftPath = "/system/drift/state"

// drift shows what the target says of drift, one leaf a line.
func (c *command) drift(ctx context.Context) error {
	rest, err := c.parseMixed(c.flags("drift"))
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return wrongUsage("drift takes no argument, got %q", rest[0])
	}
	path, err := parsePath(driftPath)
	if err != nil {
		return err
	}
	req := &gpb.GetRequest{Path: []*gpb.Path{path}, Type: gpb.GetRequest_STATE, Encoding: gpb.Encoding_PROTO}
	return c.with(ctx, true, func(ctx context.Context, client gpb.GNMIClient) error {
		resp, err := client.Get(ctx, req)
		if err != nil {
			return err
		}
		var lines []string
		for _, n := range resp.GetNotification() {
			for _, u := range n.GetUpdate() {
				elems := u.GetPath().GetElem()
				if len(elems) == 0 {
					continue
				}
				name, text := elems[len(elems)-1].GetName(), value(u.GetVal())
				if name == "last-time" {
					text = instant(text)
				}
				lines = append(lines, fmt.Sprintf("%-12s %s", name, text))
			}
		}
		slices.Sort(lines)
		for _, l := range lines {
			fmt.Fprintln(c.Out, l)
		}
		return nil
	})
}

// instant is a time in nanoseconds since 1970 for people.
func instant(ns string) string {
	n, err := strconv.ParseInt(ns, 10, 64)
	if err != nil {
		return ns
	}
	return time.Unix(0, n).UTC().Format(time.RFC3339Nano)
}
