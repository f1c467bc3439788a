package rtnl

import (
	"context"
	"fmt"
	"strings"
	"testing"

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
	if err := d.deleteTogether(ctx, back(append(firsts, reconcile.Step{New: object.Link{Name: "a99", Type: object.LinkVeth, Peer: "theirs"}}))); err != nil {
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

func back(steps []reconcile.Step) []reconcile.Step {
	out := make([]reconcile.Step, len(steps))
	for i, s := range steps {
		out[i] = reconcile.Step{Old: s.New, New: s.Old}
	}
	return out
}
