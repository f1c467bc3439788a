package topology

import (
	"fmt"
	"strings"
)

// links reads the wires; nodeLines has the line of each node that is declared.
func (p *parser) links(t *Topology, nodeLines map[string]int) {
	seq := child(p.root, "links")
	used := map[End]Link{}
	for i, text := range p.top.Links {
		line := seqLine(seq, i, p.root)
		link, ok := parseLink(text)
		if !ok {
			p.fail("", line, fmt.Sprintf("link %q cannot be read", text), "write NODE:INTERFACE -- NODE:INTERFACE, as in pe3:e1 -- cr1:e3")
			continue
		}
		good := true
		for _, e := range []End{link.A, link.B} {
			switch other, taken := used[e]; {
			case nodeLines[e.Node] == 0:
				p.fail(e.Node, line, "the link "+link.String()+" ends at a node that is not under nodes", "add the node, or correct the name")
				good = false
			case !interfaceName.MatchString(e.Interface) || e.Interface == "lo":
				p.fail(e.Node, line, fmt.Sprintf("interface name %q cannot be used", e.Interface), "use at most 15 letters, digits, dots and dashes, beginning with a letter, and not lo")
				good = false
			case taken:
				p.fail(e.Node, line, "interface "+e.Interface+" already ends the link "+other.String(), "give this link an interface of its own")
				good = false
			}
		}
		if good && link.A == link.B {
			p.fail(link.A.Node, line, "a link joins "+link.A.String()+" with itself", "name two interfaces")
			good = false
		}
		if !good {
			continue
		}
		used[link.A], used[link.B] = link, link
		t.Links = append(t.Links, link)
	}
}

func parseLink(text string) (Link, bool) {
	a, b, ok := strings.Cut(text, "--")
	if !ok {
		return Link{}, false
	}
	endA, okA := parseEnd(a)
	endB, okB := parseEnd(b)
	return Link{A: endA, B: endB}, okA && okB
}

func parseEnd(text string) (End, bool) {
	node, iface, ok := strings.Cut(strings.TrimSpace(text), ":")
	return End{Node: node, Interface: iface}, ok && node != "" && iface != "" && !strings.ContainsAny(iface, " :")
}

// checkWires finds hosts whose addresses sit on an interface without a link.
func (p *parser) checkWires(t *Topology) {
	wired := map[End]bool{}
	for _, l := range t.Links {
		wired[l.A], wired[l.B] = true, true
	}
	nodes := child(p.root, "nodes")
	for _, n := range t.Nodes {
		keys, _ := keysOf(child(child(nodes, n.Name), "interfaces"))
		for _, k := range keys {
			if !wired[End{n.Name, k.Value}] {
				p.fail(n.Name, k.Line, "interface "+k.Value+" has no link", "add one under links:, as in "+n.Name+":"+k.Value+" -- OTHER:e1")
			}
		}
	}
}

func (p *parser) checkPorts(t *Topology) {
	nodes := child(p.root, "nodes")
	owner := map[int]string{}
	for _, n := range t.Nodes {
		if n.GNMIPort == 0 {
			continue
		}
		if other, taken := owner[n.GNMIPort]; taken {
			p.fail(n.Name, lineOf(child(child(nodes, n.Name), "gnmi-port"), nodes),
				fmt.Sprintf("gnmi-port %d belongs to node %s already", n.GNMIPort, other), "choose another, or leave it out")
			continue
		}
		owner[n.GNMIPort] = n.Name
	}
}
