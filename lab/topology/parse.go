package topology

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Error is one mistake in a topology file. Its text names the file, the line,
// the node where there is one, and what to write instead.
type Error struct {
	File    string
	Line    int    // 0 when the file could not be read as YAML at all
	Node    string // empty for mistakes outside a node
	Problem string
	Remedy  string
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Node != "" {
		fmt.Fprintf(&b, "node %s: ", e.Node)
	}
	b.WriteString(e.Problem)
	if e.Remedy != "" {
		b.WriteString(": " + e.Remedy)
	}
	return b.String()
}

type fileNode struct {
	Kind       string                   `yaml:"kind"`
	GNMIPort   int                      `yaml:"gnmi-port"`
	Interfaces map[string]fileInterface `yaml:"interfaces"`
	Routes     []fileRoute              `yaml:"routes"`
	Sysctls    map[string]string        `yaml:"sysctls"`
}

type fileInterface struct {
	Addresses []string `yaml:"addresses"`
}

type fileRoute struct {
	To  string `yaml:"to"`
	Via string `yaml:"via"`
}

type fileTop struct {
	Name        string              `yaml:"name"`
	Description string              `yaml:"description"`
	Nodes       map[string]fileNode `yaml:"nodes"`
	Links       []string            `yaml:"links"`
}

// Interface names end up as kernel link names (at most 15 octets, IFNAMSIZ),
// node names as parts of namespace names and of file names.
var (
	nodeName      = regexp.MustCompile(`^[a-z][a-z0-9-]{0,19}$`)
	interfaceName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9._-]{0,14}$`)
	topologyName  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)
	yamlLine      = regexp.MustCompile(`line (\d+): `)
)

// Parse reads the text of a topology file; file is its name for messages. All
// mistakes found are returned together, joined; each is an *Error.
func Parse(file string, text []byte) (*Topology, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, yamlError(file, err)
	}
	if len(root.Content) == 0 {
		return nil, &Error{File: file, Problem: "the file is empty", Remedy: "it wants name, nodes and links"}
	}
	var top fileTop
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&top); err != nil {
		return nil, yamlError(file, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, &Error{File: file, Problem: "a second document follows", Remedy: "keep one topology per file"}
	}
	p := &parser{file: file, root: root.Content[0], top: top}
	return p.run()
}

// yamlError splits the library's list of complaints into Errors of ours, so
// that file and line stand in front as in every other message.
func yamlError(file string, err error) error {
	var typeErr *yaml.TypeError
	if !errors.As(err, &typeErr) {
		return oneYAMLError(file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var all []error
	for _, msg := range typeErr.Errors {
		all = append(all, oneYAMLError(file, msg))
	}
	return errors.Join(all...)
}

func oneYAMLError(file, msg string) error {
	e := &Error{File: file, Problem: msg}
	if m := yamlLine.FindStringSubmatchIndex(msg); m != nil && m[0] == 0 {
		e.Line, _ = strconv.Atoi(msg[m[2]:m[3]])
		e.Problem = msg[m[1]:]
	}
	if i := strings.Index(e.Problem, " not found in type topology."); i >= 0 {
		e.Problem = "unknown " + e.Problem[:i]
		e.Remedy = "see lab/README.md for the fields of a topology file"
	}
	return e
}

type parser struct {
	file string
	root *yaml.Node
	top  fileTop
	errs []error
}

func (p *parser) fail(node string, line int, problem, remedy string) {
	p.errs = append(p.errs, &Error{File: p.file, Line: line, Node: node, Problem: problem, Remedy: remedy})
}

// keysOf returns the keys of a mapping in file order with their values.
func keysOf(n *yaml.Node) (keys, values []*yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		keys = append(keys, n.Content[i])
		values = append(values, n.Content[i+1])
	}
	return keys, values
}

func child(n *yaml.Node, key string) *yaml.Node {
	keys, values := keysOf(n)
	for i, k := range keys {
		if k.Value == key {
			return values[i]
		}
	}
	return nil
}

func lineOf(n, otherwise *yaml.Node) int {
	if n != nil {
		return n.Line
	}
	if otherwise != nil {
		return otherwise.Line
	}
	return 0
}

func (p *parser) run() (*Topology, error) {
	t := &Topology{Name: p.top.Name, Description: strings.TrimSpace(p.top.Description)}
	if !topologyName.MatchString(t.Name) {
		p.fail("", lineOf(child(p.root, "name"), p.root), fmt.Sprintf("name %q cannot be used", t.Name),
			"write name: with lower-case letters, digits and dashes, as in name: l3vpn")
	}
	nodes := child(p.root, "nodes")
	keys, values := keysOf(nodes)
	if len(keys) == 0 {
		p.fail("", lineOf(nodes, p.root), "there are no nodes", "list at least one under nodes:")
	}
	lines := map[string]int{}
	for i, k := range keys {
		lines[k.Value] = k.Line
		t.Nodes = append(t.Nodes, p.node(k, values[i]))
	}
	p.links(t, lines)
	p.checkWires(t)
	p.checkPorts(t)
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	return t, nil
}

func (p *parser) node(key, value *yaml.Node) Node {
	name := key.Value
	in := p.top.Nodes[name]
	n := Node{Name: name, Kind: Kind(in.Kind), GNMIPort: in.GNMIPort}
	if !nodeName.MatchString(name) {
		p.fail(name, key.Line, "the name cannot be used", "use at most 20 lower-case letters, digits and dashes, beginning with a letter")
	}
	switch n.Kind {
	case Router:
		for _, field := range []string{"interfaces", "routes", "sysctls"} {
			if f := child(value, field); f != nil {
				p.fail(name, f.Line, "a router has no "+field+" of its own", "configure it by gNMI, or make it kind: host")
			}
		}
		if n.GNMIPort != 0 && (n.GNMIPort < 1024 || n.GNMIPort > 65535) {
			p.fail(name, lineOf(child(value, "gnmi-port"), key), fmt.Sprintf("gnmi-port %d is out of range", n.GNMIPort), "use 1024 to 65535")
		}
	case Host:
		if f := child(value, "gnmi-port"); f != nil {
			p.fail(name, f.Line, "a host has no agent and so no gnmi-port", "remove it, or make the node kind: router")
		}
		p.host(&n, in, key, value)
	default:
		p.fail(name, lineOf(child(value, "kind"), key), fmt.Sprintf("kind %q is not known", in.Kind), "write kind: router or kind: host")
	}
	return n
}

func (p *parser) host(n *Node, in fileNode, key, value *yaml.Node) {
	ifaces, bodies := keysOf(child(value, "interfaces"))
	for i, k := range ifaces {
		out := Interface{Name: k.Value}
		addrs := child(bodies[i], "addresses")
		for j, s := range in.Interfaces[k.Value].Addresses {
			prefix, err := netip.ParsePrefix(s)
			if err != nil {
				p.fail(n.Name, seqLine(addrs, j, k), fmt.Sprintf("address %q of %s cannot be read", s, k.Value),
					"write address and prefix length, as in 192.168.3.5/24")
				continue
			}
			out.Addresses = append(out.Addresses, prefix)
		}
		n.Interfaces = append(n.Interfaces, out)
	}
	routes := child(value, "routes")
	for i, r := range in.Routes {
		if route, ok := p.route(n, r, seqLine(routes, i, key)); ok {
			n.Routes = append(n.Routes, route)
		}
	}
	names, _ := keysOf(child(value, "sysctls"))
	for _, k := range names {
		if !strings.HasPrefix(k.Value, "net.") || strings.Contains(k.Value, "/") || strings.Contains(k.Value, "..") {
			p.fail(n.Name, k.Line, fmt.Sprintf("sysctl %q is not one of a network namespace", k.Value),
				"write a dotted name that begins with net., as in net.ipv4.ip_forward")
			continue
		}
		n.Sysctls = append(n.Sysctls, Sysctl{Name: k.Value, Value: in.Sysctls[k.Value]})
	}
}

func seqLine(seq *yaml.Node, i int, otherwise *yaml.Node) int {
	if seq != nil && i < len(seq.Content) {
		return seq.Content[i].Line
	}
	return otherwise.Line
}

func (p *parser) route(n *Node, r fileRoute, line int) (Route, bool) {
	via, err := netip.ParseAddr(r.Via)
	if err != nil {
		p.fail(n.Name, line, fmt.Sprintf("via %q of the route to %q is not an address", r.Via, r.To), "write the router's address, as in via: 192.168.3.1")
		return Route{}, false
	}
	onLink := false
	for _, iface := range n.Interfaces {
		for _, a := range iface.Addresses {
			onLink = onLink || a.Masked().Contains(via)
		}
	}
	if !onLink {
		p.fail(n.Name, line, fmt.Sprintf("via %s is in no subnet of the node's addresses", via), "use an address of the router at the other end of the link")
		return Route{}, false
	}
	if r.To == "default" {
		if via.Is4() {
			return Route{To: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: via}, true
		}
		return Route{To: netip.PrefixFrom(netip.IPv6Unspecified(), 0), Via: via}, true
	}
	to, err := netip.ParsePrefix(r.To)
	if err != nil || to.Masked() != to || to.Addr().Is4() != via.Is4() {
		p.fail(n.Name, line, fmt.Sprintf("to %q is not a prefix of the same family as via", r.To), "write to: default or a prefix without host bits, as in 10.0.0.0/8")
		return Route{}, false
	}
	return Route{To: to, Via: via}, true
}
