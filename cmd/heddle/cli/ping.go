package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"

	hpb "heddle/gen/rpc"
)

// ping sends probes through one SID, or a list of segments, and back; trace also
// through each beginning of the list.
func (c *command) ping(ctx context.Context, name string) error {
	fs := c.flags(name)
	req := &hpb.PingRequest{Each: name == "trace"}
	segments := fs.String("segments", "", "SID,SID,... in travel order")
	fs.StringVar(&req.NetworkInstance, "instance", "", "")
	fs.StringVar(&req.Source, "source", "", "")
	count := fs.Uint("count", 5, "")
	interval := fs.Duration("interval", 200*time.Millisecond, "")
	wait := fs.Duration("wait", time.Second, "")
	args, err := c.parseMixed(fs)
	if err != nil {
		return err
	}
	switch {
	case len(args) == 2 && args[0] == "sid" && *segments == "":
		req.Segments = []string{args[1]}
	case len(args) == 0 && *segments != "":
		req.Segments = strings.Split(*segments, ",")
	default:
		return wrongUsage("%s takes sid SID, or --segments SID,SID,...", name)
	}
	for flag, d := range map[string]time.Duration{"interval": *interval, "wait": *wait} {
		if d < time.Millisecond || d > time.Minute {
			return wrongUsage("--%s %s: use 1ms to 1m", flag, d)
		}
	}
	if *count < 1 || *count > 1000 {
		return wrongUsage("--count %d: use 1 to 1000", *count)
	}
	req.Count, req.IntervalMs, req.WaitMs = uint32(*count), uint32(interval.Milliseconds()), uint32(wait.Milliseconds())
	return c.withConn(ctx, false, func(ctx context.Context, conn *grpc.ClientConn) error {
		resp, err := hpb.NewHeddleClient(conn).Ping(ctx, req)
		if err != nil {
			return err
		}
		return c.printPing(resp, req.GetEach())
	})
}

// printPing is an error where nothing came back in the end.
func (c *command) printPing(resp *hpb.PingResponse, each bool) error {
	from := resp.GetSource()
	if resp.GetHome() != "" {
		from += ", back to " + resp.GetHome()
	}
	fmt.Fprintf(c.Out, "from %s\n", from)
	var last *hpb.PingHop
	for i, h := range resp.GetHops() {
		last = h
		if each {
			fmt.Fprintf(c.Out, "%2d  ", i+1)
		}
		if h.GetUnable() != "" {
			fmt.Fprintf(c.Out, "%s  not tried: %s: %s\n", h.GetSegment(), h.GetUnable(), h.GetHint())
			continue
		}
		sent, back := h.GetSent(), h.GetReceived()
		fmt.Fprintf(c.Out, "%s  %d sent, %d came back, %d%% loss", h.GetSegment(), sent, back, 100*(sent-back)/max(sent, 1))
		if back > 0 {
			fmt.Fprintf(c.Out, ", round trip min/avg/max %s/%s/%s", short(h.GetMinNs()), short(h.GetAvgNs()), short(h.GetMaxNs()))
		} else {
			fmt.Fprintf(c.Out, "\n    %s", h.GetHint())
		}
		fmt.Fprintln(c.Out)
	}
	if last.GetReceived() == 0 {
		return fmt.Errorf("nothing came back from %s", last.GetSegment())
	}
	return nil
}

// short is a duration in nanoseconds to the microsecond.
func short(ns uint64) string { return time.Duration(ns).Round(time.Microsecond).String() }
