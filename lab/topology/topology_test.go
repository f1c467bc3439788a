package topology

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

const good = `
name: small
description: two
nodes:
  r1: {kind: router, gnmi-port: 57401}
  h1:
    kind: host
    interfaces:
      e1: {addresses: [192.0.2.1/24, 2001:db8::1/64]}
    routes:
      - {to: default, via: 192.0.2.254}
      - {to: 2001:db8:1::/48, via: "2001:db8::fe"}
    sysctls: {net.ipv4.ip_forward: "0"}
links:
  - h1:e1 -- r1:e3
`

func TestParse(t *testing.T) {
	topo, err := Parse("small.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	h1, ok := topo.Node("h1")
	if !ok || h1.Kind != Host || len(h1.Interfaces) != 1 || h1.Interfaces[0].Addresses[1] != netip.MustParsePrefix("2001:db8::1/64") {
		t.Errorf("h1: %+v", h1)
	}
	if want := (Route{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("192.0.2.254")}); len(h1.Routes) != 2 || h1.Routes[0] != want {
		t.Errorf("routes: %v", h1.Routes)
	}
	if len(h1.Sysctls) != 1 || h1.Sysctls[0] != (Sysctl{"net.ipv4.ip_forward", "0"}) {
		t.Errorf("sysctls: %v", h1.Sysctls)
	}
	if r := topo.Routers(); len(r) != 1 || r[0].Name != "r1" || r[0].GNMIPort != 57401 {
		t.Errorf("routers: %v", r)
	}
	if len(topo.Links) != 1 || topo.Links[0].String() != "h1:e1 -- r1:e3" {
		t.Errorf("links: %v", topo.Links)
	}
	if got := strings.Join(topo.NodeNames(), " "); got != "r1 h1" {
		t.Errorf("order of nodes: %s", got)
	}
}

// Each mistake is made in the good file by replacing one piece of text; the
// message must name file, line, node and remedy.
func TestParseMistakes(t *testing.T) {
	for _, tc := range []struct{ name, old, new, want string }{
		{"name", "name: small", "name: Small One", `small.yaml:2: name "Small One" cannot be used: write name:`},
		{"unknown field", "kind: host", "kind: host\n    color: red", "small.yaml:8: unknown field color: see lab/README.md"},
		{"unknown field of the file", "description: two", "descr: two", "small.yaml:3: unknown field descr"},
		{"twice", "links:", "links: []\nlinks:", "already defined"},
		{"not yaml", "name: small", "name: [", "small.yaml:"},
		{"second document", "links:\n  - h1:e1 -- r1:e3", "links: []\n---\nname: b", "small.yaml: a second document follows"},
		{"kind", "kind: host", "kind: bridge", `small.yaml:7: node h1: kind "bridge" is not known: write kind: router or kind: host`},
		{"node name", "  r1:", "  R_1:", "small.yaml:5: node R_1: the name cannot be used: use at most 20"},
		{"router with routes", "gnmi-port: 57401", "routes: []", "small.yaml:5: node r1: a router has no routes of its own: configure it by gNMI"},
		{"host with port", "kind: host", "kind: host\n    gnmi-port: 5000", "small.yaml:8: node h1: a host has no agent"},
		{"port range", "57401", "80", "small.yaml:5: node r1: gnmi-port 80 is out of range: use 1024 to 65535"},
		{"same port", "  h1:", "  r2: {kind: router, gnmi-port: 57401}\n  h1:", "small.yaml:6: node r2: gnmi-port 57401 belongs to node r1 already"},
		{"address", "192.0.2.1/24", "192.0.2.1", `small.yaml:9: node h1: address "192.0.2.1" of e1 cannot be read: write address and prefix length`},
		{"via", "via: 192.0.2.254", "via: gateway", `small.yaml:11: node h1: via "gateway" of the route to "default" is not an address`},
		{"via off link", "via: 192.0.2.254", "via: 198.51.100.1", "small.yaml:11: node h1: via 198.51.100.1 is in no subnet"},
		{"family", "to: 2001:db8:1::/48, via: \"2001:db8::fe\"", "to: 10.0.0.0/8, via: \"2001:db8::fe\"", "small.yaml:12: node h1: to \"10.0.0.0/8\" is not a prefix of the same family"},
		{"host bits", "to: default", "to: 10.0.0.1/8", "small.yaml:11: node h1: to \"10.0.0.1/8\" is not a prefix"},
		{"sysctl", "net.ipv4.ip_forward", "kernel.panic", `small.yaml:13: node h1: sysctl "kernel.panic" is not one of a network namespace`},
		{"sysctl path", "net.ipv4.ip_forward", "net./../../x", `is not one of a network namespace`},
		{"link form", "h1:e1 -- r1:e3", "h1:e1 r1:e3", `small.yaml:15: link "h1:e1 r1:e3" cannot be read: write NODE:INTERFACE -- NODE:INTERFACE`},
		{"link node", "r1:e3", "r9:e3", "small.yaml:15: node r9: the link h1:e1 -- r9:e3 ends at a node that is not under nodes"},
		{"link interface", "r1:e3", "r1:a-name-that-is-too-long", "small.yaml:15: node r1: interface name"},
		{"link lo", "r1:e3", "r1:lo", `small.yaml:15: node r1: interface name "lo" cannot be used`},
		{"link itself", "r1:e3", "h1:e1", "small.yaml:15: node h1: a link joins h1:e1 with itself"},
		{"interface twice", "  - h1:e1 -- r1:e3", "  - h1:e1 -- r1:e3\n  - h1:e2 -- r1:e3", "small.yaml:16: node r1: interface e3 already ends the link h1:e1 -- r1:e3"},
		{"no wire", "e1: {addr", "e9: {addr", "small.yaml:9: node h1: interface e9 has no link: add one under links:"},
		{"no nodes", good, "name: x\n", "small.yaml:1: there are no nodes"},
		{"empty", good, "\n", "small.yaml: the file is empty"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if !strings.Contains(good, tc.old) {
				t.Fatalf("the good file has no %q", tc.old)
			}
			topo, err := Parse("small.yaml", []byte(strings.Replace(good, tc.old, tc.new, 1)))
			if err == nil {
				t.Fatalf("accepted: %+v", topo)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got:  %v\nwant: %s", err, tc.want)
			}
			var e *Error
			if !errors.As(err, &e) || e.File != "small.yaml" {
				t.Errorf("not an *Error with the file's name: %#v", err)
			}
		})
	}
}

func TestParseReportsAll(t *testing.T) {
	text := strings.NewReplacer("kind: host", "kind: x", "57401", "1").Replace(good)
	_, err := Parse("small.yaml", []byte(text))
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("want two messages, got: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Add("nodes: {a: {kind: host, interfaces: {e1: }}}\nlinks: [\"a:e1--b:e1\"]")
	f.Add("nodes: {a: }\n")
	f.Add("- 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		topo, err := Parse("f.yaml", []byte(text))
		if (topo == nil) == (err == nil) {
			t.Errorf("topology %v with error %v", topo, err)
		}
	})
}
