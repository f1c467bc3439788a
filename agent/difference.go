package agent

import (
	"heddle/agent/operation"
	"heddle/schema"
)

// maxDifference is how many leaves a difference names at most.
const maxDifference = 10_000

// difference takes changes apart into leaves, of those that may be seen; a nil view sees
// everything.
func difference(sc *schema.Schema, changes []schema.Change, view schema.View) operation.Difference {
	var d operation.Difference
	for _, c := range changes {
		extent, sees := schema.Everything, func(*schema.Node) bool { return true }
		if view != nil {
			if e, part := view.Entry(c.Key); e != schema.Everything {
				extent, sees = e, part
			}
		}
		if extent == schema.Nothing {
			continue
		}
		if found := addLeaves(&d, sc, c, sees); found || extent == schema.Everything {
			d.Entries++
		}
	}
	return d
}

// addLeaves adds the leaves of an entry that may be seen, and reports whether there are
// some.
func addLeaves(d *operation.Difference, sc *schema.Schema, c schema.Change, sees func(*schema.Node) bool) (found bool) {
	if len(d.Leaves) == maxDifference {
		sc.Diff(c, schema.LeafOptions{}, func(l schema.Delta) bool {
			if sees(l.Node) {
				d.More++
				found = true
			}
			return true
		})
		return found
	}
	before, after := written(sc, c.Key, c.Old), written(sc, c.Key, c.New)
	for _, n := range inOrder(before, after) {
		b, a := before.text[n], after.text[n]
		if b == a || !sees(n) {
			continue
		}
		found = true
		if len(d.Leaves) == maxDifference {
			d.More++
			continue
		}
		if n.Secret() {
			b, a = hide(b), hide(a)
		}
		d.Leaves = append(d.Leaves, operation.LeafChange{Path: sc.NodePath(c.Key, n).String(), Before: b, After: a})
	}
	return found
}

// hide is what is shown in place of a secret.
func hide(value string) string {
	if value == "" {
		return ""
	}
	return `"(secret)"`
}

// writtenLeaves are those of an entry, in schema order, with their values.
type writtenLeaves struct {
	order []*schema.Node
	text  map[*schema.Node]string
}

func written(sc *schema.Schema, k schema.EntryKey, e schema.GoStruct) writtenLeaves {
	l := writtenLeaves{text: map[*schema.Node]string{}}
	if e == nil {
		return l
	}
	sc.Leaves(k, e, schema.LeafOptions{Filter: schema.Config}, func(n *schema.Node, v schema.Value) bool {
		l.order = append(l.order, n)
		l.text[n] = string(sc.AppendValue(nil, n, v, schema.JSONIETF))
		return true
	})
	return l
}

// inOrder are the leaves of either, each once.
func inOrder(a, b writtenLeaves) []*schema.Node {
	all := a.order
	for _, n := range b.order {
		if _, there := a.text[n]; !there {
			all = append(all, n)
		}
	}
	return all
}
