package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
)

func (c *command) get(ctx context.Context) error {
	fs := c.flags("get")
	kind := fs.String("type", "all", "all, config, state or operational")
	leaves := fs.Bool("leaves", false, "one line for each leaf instead of JSON")
	texts, err := c.parseMixed(fs)
	if err != nil {
		return err
	}
	paths, err := parsePaths(texts)
	if err != nil {
		return err
	}
	t, ok := gpb.GetRequest_DataType_value[strings.ToUpper(*kind)]
	if !ok {
		return wrongUsage("type %q: use all, config, state or operational", *kind)
	}
	req := &gpb.GetRequest{Path: paths, Type: gpb.GetRequest_DataType(t), Encoding: gpb.Encoding_JSON_IETF}
	if *leaves {
		req.Encoding = gpb.Encoding_PROTO
	}
	return c.with(ctx, true, func(ctx context.Context, client gpb.GNMIClient) error {
		resp, err := client.Get(ctx, req)
		if err != nil {
			return err
		}
		many := len(resp.GetNotification()) > 1
		for _, n := range resp.GetNotification() {
			for _, u := range n.GetUpdate() {
				path := text(n.GetPrefix(), u.GetPath())
				if *leaves {
					fmt.Fprintf(c.Out, "%s: %s\n", path, value(u.GetVal()))
					continue
				}
				if many || len(n.GetUpdate()) > 1 {
					fmt.Fprintf(c.Out, "%s:\n", path)
				}
				fmt.Fprintln(c.Out, indented(u.GetVal()))
			}
		}
		return nil
	})
}

// parsePaths reads the paths of get and watch.
func parsePaths(texts []string) ([]*gpb.Path, error) {
	if len(texts) == 0 {
		return nil, wrongUsage("no path: name at least one; / is everything")
	}
	paths := make([]*gpb.Path, len(texts))
	for i, t := range texts {
		p, err := parsePath(t)
		if err != nil {
			return nil, err
		}
		paths[i] = p
	}
	return paths, nil
}

// indented is a JSON value for people.
func indented(v *gpb.TypedValue) string {
	raw := v.GetJsonIetfVal()
	if raw == nil {
		raw = v.GetJsonVal()
	}
	var b bytes.Buffer
	if raw == nil || json.Indent(&b, raw, "", "  ") != nil {
		return value(v)
	}
	return b.String()
}
