package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	capabilitiesPath  = "/system/kernel-capabilities"
	kernelReleasePath = "/system/state/kernel-release"
)

// capabilities shows what the target speaks, and what its kernel can do.
func (c *command) capabilities(ctx context.Context) error {
	rest, err := c.parseMixed(c.flags("capabilities"))
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return wrongUsage("capabilities takes no argument, got %q", rest[0])
	}
	return c.with(ctx, true, func(ctx context.Context, client gpb.GNMIClient) error {
		resp, err := client.Capabilities(ctx, &gpb.CapabilityRequest{})
		if err != nil {
			return err
		}
		encodings := make([]string, len(resp.GetSupportedEncodings()))
		for i, e := range resp.GetSupportedEncodings() {
			encodings[i] = e.String()
		}
		fmt.Fprintf(c.Out, "gNMI %s, encodings %s\n", resp.GetGNMIVersion(), strings.Join(encodings, " "))
		for _, m := range resp.GetSupportedModels() {
			fmt.Fprintf(c.Out, "%s %s (%s)\n", m.GetName(), m.GetVersion(), m.GetOrganization())
		}
		return c.kernelCapabilities(ctx, client)
	})
}

// kernelCapabilities shows what the target says of its kernel, if it does.
func (c *command) kernelCapabilities(ctx context.Context, client gpb.GNMIClient) error {
	req := &gpb.GetRequest{Type: gpb.GetRequest_STATE, Encoding: gpb.Encoding_PROTO}
	for _, text := range []string{kernelReleasePath, capabilitiesPath} {
		p, err := parsePath(text)
		if err != nil {
			return err
		}
		req.Path = append(req.Path, p)
	}
	resp, err := client.Get(ctx, req)
	switch status.Code(err) {
	case codes.OK:
	case codes.NotFound, codes.Unimplemented, codes.InvalidArgument:
		return nil // another agent than ours, or one without a kernel
	default:
		return err
	}
	release, found := "", map[string]map[string]string{} // leaves by capability
	for _, n := range resp.GetNotification() {
		for _, u := range n.GetUpdate() {
			elems := append(slices.Clone(n.GetPrefix().GetElem()), u.GetPath().GetElem()...)
			leaf := elems[len(elems)-1].GetName()
			if leaf == "kernel-release" {
				release = value(u.GetVal())
				continue
			}
			for _, e := range elems {
				name, ok := e.GetKey()["name"]
				if !ok {
					continue
				}
				if found[name] == nil {
					found[name] = map[string]string{}
				}
				found[name][leaf] = value(u.GetVal())
			}
		}
	}
	if len(found) > 0 {
		fmt.Fprintf(c.Out, "kernel %s takes and keeps:\n", release)
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if f := found[name]; f["supported"] == "true" {
			fmt.Fprintf(c.Out, "  yes  %s\n", name)
		} else {
			fmt.Fprintf(c.Out, "  no   %s: %s: %s\n", name, f["answer"], f["remedy"])
		}
	}
	return nil
}
