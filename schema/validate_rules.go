package schema

import (
	"fmt"
	"sort"
	"strings"
	"unsafe"
)

type addFault func(n *Node, value, reason string)

// checkPresent finds mandatory leaves that are missing and leaf-lists with too
// few or too many values. Below a presence container that is absent nothing is
// asked for.
func (ep *entryPlan) checkPresent(p unsafe.Pointer, add addFault) {
	for _, n := range ep.mandatory {
		s := n.plan.slot[ep.bind]
		if f := s.at(p); f != nil && s.isSet(f) {
			continue
		}
		if ep.absent(n, p) {
			continue
		}
		add(n, "", "is mandatory, set it to "+n.Type.String())
	}
	for _, s := range ep.counted {
		if ep.absent(s.node, p) {
			continue
		}
		v, _ := s.get(p)
		count, pl := uint64(len(v.list)), &s.node.plan
		if count < pl.minElems {
			add(s.node, "", fmt.Sprintf("has %d values, want at least %d", count, pl.minElems))
		}
		if pl.maxElems > 0 && count > pl.maxElems {
			add(s.node, "", fmt.Sprintf("has %d values, want at most %d", count, pl.maxElems))
		}
	}
}

// absent reports whether a presence container above n does not exist.
func (ep *entryPlan) absent(n *Node, entry unsafe.Pointer) bool {
	for m := n.Parent; m != nil && m != ep.node; m = m.Parent {
		if m.Presence && m.plan.cont[ep.bind].at(entry) == nil {
			return true
		}
	}
	return false
}

// checkChoices finds choices with nodes of more than one case, and mandatory
// ones with none.
func (ep *entryPlan) checkChoices(p unsafe.Pointer, add addFault) {
	for _, cp := range ep.choices {
		var used []string
		var last *Node
		for branch, nodes := range cp.nodes {
			for _, n := range nodes {
				if ep.exists(n, p) {
					used = append(used, branch)
					last = n
					break
				}
			}
		}
		sort.Strings(used)
		switch {
		case len(used) > 1:
			add(last, "", "is of another case of choice "+cp.choice.name+" than what is set already: keep one of "+strings.Join(used, ", "))
		case len(used) == 0 && cp.choice.mandatory && !ep.absent(cp.choice.within, p):
			add(cp.choice.within, "", "one case of choice "+cp.choice.name+" is mandatory")
		}
	}
}

// exists reports whether n holds anything in the entry's own struct (child
// lists are not seen).
func (ep *entryPlan) exists(n *Node, p unsafe.Pointer) bool {
	if n.IsLeaf() {
		s := n.plan.slot[ep.bind]
		if s == nil {
			return false
		}
		f := s.at(p)
		return f != nil && s.isSet(f)
	}
	if cp := n.plan.cont[ep.bind]; n.Presence && cp != nil && cp.node == n && cp.at(p) != nil {
		return true
	}
	for _, c := range n.Children {
		if c.Kind != List && ep.exists(c, p) {
			return true
		}
	}
	return false
}
