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
	set, err := c.setRequest(c.flags("plan"), "nothing to plan")
	if err != nil {
		return err
	}
	return c.withConn(ctx, true, func(ctx context.Context, conn *grpc.ClientConn) error {
		resp, err := hpb.NewHeddleClient(conn).Plan(ctx, &hpb.PlanRequest{Set: set})
		if err != nil {
			return err
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
