package cli

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc"

	hpb "heddle/gen/rpc"
)

// plan shows what a Set would do to the kernel, as commands for a shell. What is
// said about them is behind a #.
func (c *command) plan(ctx context.Context) error {
	fs := c.flags("plan")
	diff := fs.Bool("diff", false, "what would change in the configuration, too")
	to := fs.Int64("rollback", -1, "REVISION")
	set, err := c.setRequest(fs, "")
	if err != nil {
		return err
	}
	req := &hpb.PlanRequest{What: &hpb.PlanRequest_Set{Set: set}}
	switch {
	case *to >= 0 && !empty(set):
		return wrongUsage("--rollback plans to go back, and takes no other change")
	case *to >= 0:
		req.What = &hpb.PlanRequest_Rollback{Rollback: &hpb.RollbackRequest{Revision: uint64(*to)}}
	case empty(set):
		return wrongUsage("nothing to plan: use --delete PATH, --replace PATH=VALUE, --update PATH=VALUE or --rollback REVISION")
	}
	return c.withConn(ctx, true, func(ctx context.Context, conn *grpc.ClientConn) error {
		resp, err := hpb.NewHeddleClient(conn).Plan(ctx, req)
		if err != nil {
			return err
		}
		if *diff {
			c.printDifference(resp.GetDifference(), "# ")
		}
		c.printPlan(resp)
		return nil
	})
}

func (c *command) printPlan(resp *hpb.PlanResponse) {
	steps := resp.GetSteps()
	switch n := resp.GetChangedEntries(); {
	case n == 0 && len(steps) == 0:
		fmt.Fprintln(c.Out, "# nothing changes: the configuration says that already")
		return
	case len(steps) == 0:
		fmt.Fprintf(c.Out, "# %s of the configuration would change, and nothing in the kernel\n", entries(n))
		return
	default:
		fmt.Fprintf(c.Out, "# %s of the configuration would change, and in the kernel:\n", entries(n))
	}
	path := ""
	for _, s := range steps {
		if s.GetPath() != path {
			path = s.GetPath()
			fmt.Fprintf(c.Out, "# %s\n", path)
		}
		if len(s.GetCommands()) == 0 {
			fmt.Fprintf(c.Out, "# %s %s: nothing more to do\n", strings.ToLower(s.GetAction().String()), s.GetObject())
		}
		for _, line := range s.GetCommands() {
			fmt.Fprintln(c.Out, line)
		}
	}
}

func entries(n uint32) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}
