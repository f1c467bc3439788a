package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	hpb "heddle/gen/rpc"
)

// history shows the last commits.
func (c *command) history(ctx context.Context) error {
	fs := c.flags("history")
	limit := fs.Uint("limit", 20, "")
	rest, err := c.parseMixed(fs)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return wrongUsage("history takes no argument, got %q", rest[0])
	}
	return c.withConn(ctx, true, func(ctx context.Context, conn *grpc.ClientConn) error {
		resp, err := hpb.NewHeddleClient(conn).History(ctx, &hpb.HistoryRequest{Limit: uint32(*limit)})
		if err != nil {
			return err
		}
		if u := resp.GetUnconfirmed(); u != nil {
			what := "a commit"
			if u.GetId() != "" {
				what = "commit " + u.GetId()
			}
			fmt.Fprintf(c.Out, "%s waits to be confirmed until %s; else revision %d comes back\n", what, moment(u.GetDeadline()), u.GetBefore())
		}
		for _, h := range resp.GetCommits() {
			fmt.Fprintf(c.Out, "%6d  %s", h.GetRevision(), moment(h.GetTime()))
			if h.ChangedEntries != nil { // else it is not ours to see
				fmt.Fprintf(c.Out, "  %-9s %s", h.GetSource(), entries(h.GetChangedEntries()))
			}
			for _, more := range []string{h.GetUser(), h.GetRequest(), h.GetCommitConfirmId()} {
				if more != "" {
					fmt.Fprintf(c.Out, "  %s", more)
				}
			}
			if !h.GetReachable() {
				fmt.Fprint(c.Out, "  (cannot be had back)")
			}
			fmt.Fprintln(c.Out)
		}
		return nil
	})
}

func moment(ns int64) string { return time.Unix(0, ns).Local().Format(time.DateTime) }

// diff shows what differs between two revisions: the last two, one and the last, or
// any.
func (c *command) diff(ctx context.Context) error {
	rest, err := c.parseMixed(c.flags("diff"))
	if err != nil {
		return err
	}
	if len(rest) > 2 {
		return wrongUsage("diff takes two revisions at most")
	}
	var revisions []uint64
	for _, text := range rest {
		r, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return wrongUsage("%s is no revision: heddle history has them", text)
		}
		revisions = append(revisions, r)
	}
	return c.withConn(ctx, true, func(ctx context.Context, conn *grpc.ClientConn) error {
		client := hpb.NewHeddleClient(conn)
		if len(revisions) < 2 {
			last, err := client.History(ctx, &hpb.HistoryRequest{Limit: 1})
			if err != nil {
				return err
			}
			if len(last.GetCommits()) == 0 {
				return fmt.Errorf("there is no commit yet")
			}
			now := last.GetCommits()[0].GetRevision()
			if len(revisions) == 0 {
				revisions = []uint64{now - 1}
			}
			revisions = append(revisions, now)
		}
		resp, err := client.Diff(ctx, &hpb.DiffRequest{From: revisions[0], To: revisions[1]})
		if err != nil {
			return err
		}
		c.printDifference(resp.GetDifference(), "")
		return nil
	})
}

// printDifference writes what went behind a -, and what came behind a +.
func (c *command) printDifference(d *hpb.Difference, before string) {
	for _, l := range d.GetLeaves() {
		if l.GetBefore() != "" {
			fmt.Fprintf(c.Out, "%s- %s: %s\n", before, l.GetPath(), l.GetBefore())
		}
		if l.GetAfter() != "" {
			fmt.Fprintf(c.Out, "%s+ %s: %s\n", before, l.GetPath(), l.GetAfter())
		}
	}
	if d.GetMore() > 0 {
		fmt.Fprintf(c.Out, "%sand %d more\n", before, d.GetMore())
	}
}

// rollback makes the configuration of a revision the running one again.
func (c *command) rollback(ctx context.Context) error {
	rest, err := c.parseMixed(c.flags("rollback"))
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return wrongUsage("rollback takes a revision: heddle history has them, heddle plan --rollback says what it would do")
	}
	to, err := strconv.ParseUint(rest[0], 10, 64)
	if err != nil {
		return wrongUsage("%s is no revision: heddle history has them", rest[0])
	}
	return c.withConn(ctx, true, func(ctx context.Context, conn *grpc.ClientConn) error {
		resp, err := hpb.NewHeddleClient(conn).Rollback(ctx, &hpb.RollbackRequest{Revision: to})
		if err != nil {
			return err
		}
		if resp.GetChangedEntries() == 0 {
			fmt.Fprintln(c.Out, "nothing to change: the configuration is that one")
			return nil
		}
		fmt.Fprintf(c.Out, "revision %d is revision %d again, %s changed\n", resp.GetRevision(), to, entries(resp.GetChangedEntries()))
		return nil
	})
}

func beginCommit(id string, within time.Duration) *gnmi_ext.Extension {
	req := &gnmi_ext.CommitRequest{}
	if within != 0 {
		req.RollbackDuration = durationpb.New(within)
	}
	return commitExtension(&gnmi_ext.Commit{Id: id, Action: &gnmi_ext.Commit_Commit{Commit: req}})
}

func commitExtension(x *gnmi_ext.Commit) *gnmi_ext.Extension {
	return &gnmi_ext.Extension{Ext: &gnmi_ext.Extension_Commit{Commit: x}}
}

// conclude confirms or cancels the commit that waits to be confirmed.
func (c *command) conclude(ctx context.Context, name string) error {
	fs := c.flags(name)
	var more time.Duration
	if name == "confirm" {
		fs.DurationVar(&more, "later", 0, "")
	}
	rest, err := c.parseMixed(fs)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return wrongUsage("%s takes the ID of the commit: heddle history has it", name)
	}
	x := &gnmi_ext.Commit{Id: rest[0]}
	switch {
	case name == "cancel":
		x.Action = &gnmi_ext.Commit_Cancel{Cancel: &gnmi_ext.CommitCancel{}}
	case more != 0:
		x.Action = &gnmi_ext.Commit_SetRollbackDuration{SetRollbackDuration: &gnmi_ext.CommitSetRollbackDuration{RollbackDuration: durationpb.New(more)}}
	default:
		x.Action = &gnmi_ext.Commit_Confirm{Confirm: &gnmi_ext.CommitConfirm{}}
	}
	return c.with(ctx, true, func(ctx context.Context, client gpb.GNMIClient) error {
		_, err := client.Set(ctx, &gpb.SetRequest{Extension: []*gnmi_ext.Extension{commitExtension(x)}})
		return err
	})
}
