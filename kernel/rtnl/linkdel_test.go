package rtnl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// TestDeleteTogether deletes links by one message, and nothing else.
func TestDeleteTogether(t *testing.T) {
	d := testDriver(t)
	ctx := context.Background()
	var firsts, seconds []reconcile.Step
	for i := range 2 * togetherFrom {
		a, b := fmt.Sprint("a", i), fmt.Sprint("b", i)
		firsts = append(firsts, reconcile.Step{New: object.Link{Name: a, Type: object.LinkVeth, Peer: b}})
		seconds = append(seconds, reconcile.Step{New: object.Link{Name: b, Type: object.LinkVeth, Peer: a}})
	}
	ip(t, "link add a99 type veth peer name theirs")
	mustAll(t, d.Do(ctx, firsts))
	mustAll(t, d.Do(ctx, seconds))
	if err := d.deleteTogether(ctx, back(append(firsts, reconcile.Step{New: object.Link{Name: "a99", Type: object.LinkVeth, Peer: "theirs"}})), 1<<31); err != nil {
		t.Fatal(err)
	}
	if left := ip(t, "-o link"); !strings.Contains(left, "a99@") || strings.Count(left, ": a") != 1 {
		t.Errorf("what is left:\n%s", left)
	}
	mustAll(t, d.Do(ctx, back(seconds)))
	mustAll(t, d.Do(ctx, back(firsts)))

	// Do by itself takes the way that is worth it, and deletes one by one what is left.
	mustAll(t, d.Do(ctx, firsts))
	mustAll(t, d.Do(ctx, back(firsts)))
	if left := ip(t, "-o link"); strings.Count(left, ": a") != 1 {
		t.Errorf("what is left:\n%s", left)
	}
}

// TestDeleteTogetherRefused: with a link in the group that cannot be deleted the kernel
// deletes none (rtnl_group_dellink in net/core/rtnetlink.c). They have their groups
// back, and go one by one.
func TestDeleteTogetherRefused(t *testing.T) {
	const group = 7777
	d := testDriver(t)
	var links []reconcile.Step
	for i := range togetherFrom {
		links = append(links, reconcile.Step{New: object.Link{Name: fmt.Sprint("a", i), Type: object.LinkVeth, Peer: fmt.Sprint("b", i)}})
	}
	mustAll(t, d.Do(context.Background(), links))
	links = back(links)
	ip(t, fmt.Sprint("link set lo group ", group))
	before := ip(t, "-o link")
	err := d.deleteTogether(context.Background(), links, group)
	if refusal, ok := errors.AsType[*answer](err); !ok || refusal.errno != unix.EOPNOTSUPP {
		t.Errorf("delete a group with lo in it: %v", err)
	}
	if now := ip(t, "-o link"); now != before {
		t.Errorf("links are\n%swere\n%s", now, before)
	}
	mustAll(t, d.Do(context.Background(), links))
	if left := ip(t, "-o link"); strings.Contains(left, ": a") {
		t.Errorf("what is left:\n%s", left)
	}
}

func back(steps []reconcile.Step) []reconcile.Step {
	out := make([]reconcile.Step, len(steps))
	for i, s := range steps {
		out[i] = reconcile.Step{Old: s.New, New: s.Old}
	}
	return out
}
