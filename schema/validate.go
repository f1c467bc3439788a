package schema

import (
	"errors"
	"fmt"
	"slices"
)

// choicePlan is a choice with nodes in an entry.
type choicePlan struct {
	choice *choice
	nodes  map[string][]*Node // by case
}

// planChecks collects what Validate looks at.
func (c *compiler) planChecks(ep *entryPlan, n *Node) {
	for _, ch := range n.Children {
		for _, cs := range ch.plan.cases {
			i := slices.IndexFunc(ep.choices, func(p *choicePlan) bool { return p.choice == cs.choice })
			if i < 0 {
				i = len(ep.choices)
				ep.choices = append(ep.choices, &choicePlan{cs.choice, map[string][]*Node{}})
			}
			ep.choices[i].nodes[cs.branch] = append(ep.choices[i].nodes[cs.branch], ch)
		}
		if !ch.Config {
			continue
		}
		s := ch.plan.slot[ep.bind]
		switch {
		case ch.IsLeaf() && s == nil:
		case ch.Kind == Leaf && ch.Mandatory && s.key < 0 && len(ch.plan.cases) == 0:
			ep.mandatory = append(ep.mandatory, ch)
		case ch.Kind == LeafList && (ch.plan.minElems > 0 || ch.plan.maxElems > 0):
			ep.counted = append(ep.counted, s)
		case ch.Kind == Container:
			c.planChecks(ep, ch)
		}
	}
}

// Validate checks what concerns one configuration entry alone: mandatory
// leaves, counts of leaf-lists, one case of a choice, keys that agree with k,
// and every value against its type. Errors are joined *ValueError.
func (s *Schema) Validate(k EntryKey, entry GoStruct) error {
	ep := s.planOf(entry)
	if ep == nil || ep.node != s.nodeOf(k) {
		return fmt.Errorf("validate %s: %T is no entry of it", k, entry)
	}
	p := base(entry)
	var errs []error
	add := func(n *Node, value, reason string) {
		errs = append(errs, &ValueError{Path: s.NodeText(k, n), Value: n.show(value), Reason: reason})
	}
	if at := k.last(); at >= 0 {
		k[at:].eachValue(func(i int, want string) {
			if v, ok := ep.keys[i].get(p); !ok || !keyIs(v, want) {
				add(ep.node.Keys[i], shorten(v.String(), true), "differs from the key in the path, want "+want)
			}
		})
	}
	for _, sl := range ep.slots {
		f := sl.at(p)
		if f == nil || !sl.isSet(f) {
			continue
		}
		v, ok := sl.load(f)
		if !ok {
			add(sl.node, "", "holds an undefined enumeration value")
			continue
		}
		if reason := sl.node.Type.check(v); reason != "" {
			add(sl.node, shorten(v.String(), true), reason)
		}
	}
	ep.checkPresent(p, add)
	ep.checkChoices(p, add)
	return errors.Join(errs...)
}

// keyIs compares without making the text of strings.
func keyIs(v Value, want string) bool {
	if v.kind == KindString || v.kind == KindEnum || v.kind == KindIdentity {
		return v.str == want
	}
	return v.String() == want
}

// check verifies a value that is in memory already: its type and its
// canonical form.
func (t *Type) check(v Value) string {
	if v.kind == KindList {
		for _, e := range v.list {
			if r := t.check(e); r != "" {
				return r
			}
		}
		if i := repeated(v.list); i >= 0 {
			return "holds " + shorten(v.list[i].String(), true) + " twice"
		}
		return ""
	}
	r := raw{form: fScalar, value: v, text: v.str}
	c, f := t.parse(&r)
	if f != fits {
		return t.explain(&r, f)
	}
	if !c.Equal(v) {
		return "not in canonical form, want " + c.String()
	}
	return ""
}

// repeated is the index of the first value that occurs before, or -1.
func repeated(list []Value) int {
	if len(list) <= 16 {
		for i := range list {
			for j := range i {
				if list[i].Equal(list[j]) {
					return i
				}
			}
		}
		return -1
	}
	seen := make(map[string]struct{}, len(list))
	for i := range list {
		id := list[i].identity()
		if _, dup := seen[id]; dup {
			return i
		}
		seen[id] = struct{}{}
	}
	return -1
}

// identity is a text that differs for values that are not Equal.
func (v Value) identity() string {
	return string(rune(v.kind)) + v.mod + ":" + v.String()
}
