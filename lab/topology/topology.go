// Package topology reads the lab's topology files: which nodes there are, how
// they are wired and what the plain hosts among them have configured. It serves
// lab/netlab, which builds what a file says, and lab/cli, which prints it. It
// must not know the kernel: everything here is values.
package topology

import (
	"net/netip"
)

// Kind says what a node is.
type Kind string

const (
	// Router is a node that Heddle configures: the lab gives it wires and an
	// agent, never an address.
	Router Kind = "router"
	// Host is a plain machine behind a router: the topology file gives it its
	// addresses, routes and sysctls.
	Host Kind = "host"
)

// Topology is a checked topology file.
type Topology struct {
	Name        string
	Description string
	Nodes       []Node // in the order of the file
	Links       []Link // in the order of the file
}

// Node is one network namespace.
type Node struct {
	Name string
	Kind Kind
	// GNMIPort is the preferred TCP port on the host's 127.0.0.1 for the
	// agent's gNMI service; 0 leaves the choice to the lab. Routers only.
	GNMIPort int
	// Interfaces are the addresses of a host, by interface. Hosts only.
	Interfaces []Interface
	// Routes are a host's static routes, in the order of the file.
	Routes []Route
	// Sysctls are dotted names with values, in the order of the file.
	Sysctls []Sysctl
}

// Interface is a host's end of a link with its addresses.
type Interface struct {
	Name      string
	Addresses []netip.Prefix // the address with its prefix length, unmasked
}

// Route is a static route of a host.
type Route struct {
	To  netip.Prefix // masked; 0.0.0.0/0 or ::/0 for "default"
	Via netip.Addr
}

// Sysctl is one kernel setting of a node's namespace.
type Sysctl struct {
	Name  string // dotted, begins with "net."
	Value string
}

// End is one end of a link.
type End struct{ Node, Interface string }

// String prints the form used in topology files, "pe3:e1".
func (e End) String() string { return e.Node + ":" + e.Interface }

// Link is a veth pair between two nodes.
type Link struct{ A, B End }

// String prints the form used in topology files, "pe3:e1 -- cr1:e3".
func (l Link) String() string { return l.A.String() + " -- " + l.B.String() }

// Node finds a node by name.
func (t *Topology) Node(name string) (Node, bool) {
	for _, n := range t.Nodes {
		if n.Name == name {
			return n, true
		}
	}
	return Node{}, false
}

// Routers returns the nodes with an agent, in the order of the file.
func (t *Topology) Routers() []Node {
	var out []Node
	for _, n := range t.Nodes {
		if n.Kind == Router {
			out = append(out, n)
		}
	}
	return out
}

// NodeNames returns all names in the order of the file.
func (t *Topology) NodeNames() []string {
	out := make([]string, 0, len(t.Nodes))
	for _, n := range t.Nodes {
		out = append(out, n.Name)
	}
	return out
}
