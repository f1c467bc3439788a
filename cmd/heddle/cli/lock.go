package cli

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	hpb "heddle/gen/rpc"
)

// lock keeps everybody else from changing the configuration.
func (c *command) lock(ctx context.Context) error {
	fs := c.flags("lock")
	within := fs.Duration("for", 0, "")
	rest, err := c.parseMixed(fs)
	if err != nil {
		return err
	}
	if len(rest) > 0 || *within < 0 {
		return wrongUsage("lock takes --for and a time above 0 like 10m, got %q", append([]string{"--for", within.String()}, rest...))
	}
	return c.withConn(ctx, true, func(ctx context.Context, conn *grpc.ClientConn) error {
		resp, err := hpb.NewHeddleClient(conn).Lock(ctx, &hpb.LockRequest{Within: int64(*within)})
		if err != nil {
			return err
		}
		fmt.Fprintf(c.Out, "the configuration is yours until %s, or until you say: heddle unlock\n", moment(resp.GetUntil()))
		return nil
	})
}

func (c *command) unlock(ctx context.Context) error {
	rest, err := c.parseMixed(c.flags("unlock"))
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return wrongUsage("unlock takes no argument, got %q", rest[0])
	}
	return c.withConn(ctx, true, func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := hpb.NewHeddleClient(conn).Unlock(ctx, &hpb.UnlockRequest{})
		return err
	})
}
