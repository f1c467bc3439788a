package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"go.yaml.in/yaml/v3"
)

func (c *command) get(ctx context.Context) error {
	fs := c.flags("get")
	kind := fs.String("type", "all", "all, config, state or operational")
	leaves := fs.Bool("leaves", false, "--output path")
	output := fs.String("output", "json", "json, yaml, or path: one line for each leaf")
	texts, err := c.parseMixed(fs)
	if err != nil {
		return err
	}
	paths, err := parsePaths(texts)
	if err != nil {
		return err
	}
	show, ok := outputs[*output]
	if !ok {
		return wrongUsage("output %q: use json, yaml or path", *output)
	}
	*leaves = *leaves || *output == "path"
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
				fmt.Fprintln(c.Out, show(u.GetVal()))
			}
		}
		return nil
	})
}

// outputs are how values can be shown.
var outputs = map[string]func(*gpb.TypedValue) string{"json": indented, "yaml": asYAML, "path": value}

// asYAML is a JSON value as YAML, members in their order.
func asYAML(v *gpb.TypedValue) string {
	var doc yaml.Node
	if raw := v.GetJsonIetfVal(); raw == nil || yaml.Unmarshal(raw, &doc) != nil { // JSON is YAML
		return value(v)
	}
	var block func(*yaml.Node)
	block = func(n *yaml.Node) {
		n.Style = 0 // texts that look like something else stay quoted
		for _, c := range n.Content {
			block(c)
		}
	}
	block(&doc)
	var b strings.Builder
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if enc.Encode(&doc) != nil || enc.Close() != nil {
		return value(v)
	}
	return strings.TrimSuffix(b.String(), "\n")
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
