package cli

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	hpb "heddle/gen/rpc"
)

// explain shows what there is about a SID or a route.
func (c *command) explain(ctx context.Context) error {
	args, err := c.parseMixed(c.flags("explain"))
	if err != nil {
		return err
	}
	req := &hpb.ExplainRequest{}
	switch {
	case len(args) == 2 && args[0] == "sid":
		req.About = &hpb.ExplainRequest_Sid{Sid: args[1]}
	case (len(args) == 2 || len(args) == 3) && args[0] == "route":
		r := &hpb.StaticRoute{Prefix: args[1]}
		if len(args) == 3 {
			r.NetworkInstance = args[2]
		}
		req.About = &hpb.ExplainRequest_Route{Route: r}
	default:
		return wrongUsage("explain takes sid ADDRESS, or route PREFIX [INSTANCE]")
	}
	return c.withConn(ctx, true, func(ctx context.Context, conn *grpc.ClientConn) error {
		resp, err := hpb.NewHeddleClient(conn).Explain(ctx, req)
		if err != nil {
			return err
		}
		c.printExplanation(resp)
		return nil
	})
}

func (c *command) printExplanation(e *hpb.ExplainResponse) {
	fmt.Fprintf(c.Out, "configured  %s\n", e.GetPath())
	if e.GetProgrammed() {
		fmt.Fprintln(c.Out, "programmed  yes")
	} else {
		fmt.Fprintf(c.Out, "programmed  no: %s\n", e.GetReason())
	}
	for _, o := range e.GetObjects() {
		held := o.GetHeld()
		if held == "" {
			held = "nothing"
		}
		fmt.Fprintf(c.Out, "kernel      %s\n", held)
		if o.GetReason() != "" {
			fmt.Fprintf(c.Out, "wanted      %s\n", o.GetWanted())
		}
		for i, line := range o.GetPacket() {
			name := "packet"
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(c.Out, "%-12s%s\n", name, line)
		}
	}
	if n := e.GetCounters(); n != nil {
		fmt.Fprintf(c.Out, "counted     %d packets, %d octets, %d errors\n", n.GetPackets(), n.GetOctets(), n.GetErrors())
	}
}
