package bench

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
)

// The ways from one host to the other that are compared. All go by the node; of those
// by the NF, the way back does, too.
//
//	src -- head == node == tail -- dst
//	               |  |
//	                nf
type way int

const (
	wayPlain  way = iota // routes to the NF and from it
	wayChain             // H.Encaps, End on the node, End.DX: no NF
	wayKernel            // a static proxy of what the kernel has: End.DX, a rule, H.Encaps
	wayAD                // END_AD of the agent
	wayAS                // END_AS of the agent
	wayAM                // END_AM of the agent: the NF gets the packet with its headers
	wayL2                // END_AD of the agent with Ethernet inside; the NF is a bridge
	ways
)

func (w way) String() string {
	return [...]string{"plain", "chain", "kernel", "ad", "as", "am", "l2"}[w]
}

// carries reports whether a way is for a family, and for links with these offloads: End.DX2
// drops packets of several segments.
func (w way) carries(f family, o offloads) bool {
	return w < wayAM || w == wayAM && f.six || w == wayL2 && o == offloadsOff
}

// MTUs in octets: room for the headers of two segments (40+8+16*2) is left in the core.
const (
	edgeMTU = 1400
	coreMTU = 1500
)

// proxyPath is the namespaces, wired and configured; the node has an agent.
type proxyPath struct {
	t                              testing.TB
	src, head, node, tail, dst, nf *namespace
	agent                          *process
	links                          []end // of all of them
	nfLinks                        int
	sids, interfaces               []string // configuration of the agent, as JSON
}

// end is an end of a link.
type end struct {
	in   *namespace
	name string
}

// host is the address of a host for a way: hosts have one for each.
func host(w way, side int, six bool) netip.Addr {
	if six {
		return netip.MustParseAddr(fmt.Sprintf("fd00:%d::%d", side, 10+w))
	}
	return netip.AddrFrom4([4]byte{10, byte(side), 0, byte(10 + w)})
}

// The hosts.
const (
	atSrc = 3
	atDst = 4
)

// family is what differs by the family inside.
type family struct {
	ip, name, inner string
	six             bool
}

var families = []family{{"-4", "4", "IPV4", false}, {"-6", "6", "IPV6", true}}

// frames is what is carried whole, whatever is in them.
var frames = family{name: "2", inner: "ETHERNET"}

// nfLinks is how the names of the links to the NF begin that packets of a way go by;
// none by wayChain.
func (w way) nfLinks(f family) string {
	switch w {
	case wayPlain:
		return "p"
	case wayKernel:
		return "k"
	case wayChain:
		return ""
	case wayL2:
		return w.String()
	}
	return w.String() + f.name
}

func newProxyPath(t testing.TB) *proxyPath {
	t.Helper()
	p := &proxyPath{t: t}
	all := []**namespace{&p.src, &p.head, &p.node, &p.tail, &p.dst, &p.nf}
	for _, n := range all {
		*n = emptyNamespace(t)
		(*n).write("0", "ipv4/conf/all/rp_filter", "ipv4/conf/default/rp_filter", "ipv6/conf/all/accept_dad", "ipv6/conf/default/accept_dad")
	}
	for _, n := range []*namespace{p.head, p.node, p.tail, p.nf} {
		n.write("1", "ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/all/seg6_enabled", "ipv6/conf/default/seg6_enabled")
	}
	p.wire(end{p.src, "e0"}, end{p.head, "e0"}, edgeMTU)
	p.wire(end{p.head, "e1"}, end{p.node, "e3"}, coreMTU)
	p.wire(end{p.node, "e4"}, end{p.tail, "e1"}, coreMTU)
	p.wire(end{p.tail, "e0"}, end{p.dst, "e0"}, edgeMTU)
	p.hosts()
	p.edge(p.head, "13", atSrc, atDst)
	p.edge(p.tail, "14", atDst, atSrc)
	p.kernelWays()
	p.agentWays()
	return p
}

// wire makes a link between two namespaces.
func (p *proxyPath) wire(a, b end, mtu int) {
	p.t.Helper()
	a.in.mustIP(fmt.Sprintf("link add %s mtu %d type veth peer name %s mtu %d netns %d", a.name, mtu, b.name, mtu, b.in.thread))
	for _, e := range []end{a, b} {
		e.in.mustIP("link set " + e.name + " up")
		p.links = append(p.links, e)
	}
}

func (p *proxyPath) hosts() {
	p.t.Helper()
	for side, n := range map[int]*namespace{atSrc: p.src, atDst: p.dst} {
		n.mustIP("link set e0 address " + mac(side))
		n.mustIP(fmt.Sprintf("addr add 10.%d.0.2/16 dev e0", side))
		n.mustIP(fmt.Sprintf("addr add fd00:%d::2/64 dev e0", side))
		for w := range ways {
			n.mustIP(fmt.Sprintf("addr add %s/32 dev e0", host(w, side, false)))
			n.mustIP(fmt.Sprintf("addr add %s/128 dev e0", host(w, side, true)))
		}
		n.mustIP(fmt.Sprintf("route add default via 10.%d.0.1", side))
		n.mustIP(fmt.Sprintf("-6 route add default via fd00:%d::1", side))
	}
}

// sid is a SID of the node: what it is for, the way, the side that packets are bound
// for and the family inside.
// Those of the agent are in its locator.
func sid(w way, toward int, f family) string {
	locator := 2
	if w >= wayAD {
		locator = 1
	}
	return fmt.Sprintf("2001:db8:%d:%d:%d:%s::1", locator, 10+w, toward, f.name)
}

// last is the SID of the edge where packets for a side are opened.
func last(side int, f family) string { return fmt.Sprintf("2001:db8:%d:d%s::1", side, f.name) }

// mac is the address of the host of a side, and of the far side's edge on its link to its
// own host: frames that are carried from link to link are for who gets them.
func mac(side int) string { return fmt.Sprintf("02:00:00:00:00:%02x", side) }

// edge configures the head, and the tail like it: what comes from its host goes its
// way, what comes for its host is opened.
func (p *proxyPath) edge(n *namespace, net string, own, far int) {
	p.t.Helper()
	n.mustIP("link set e0 address " + mac(far))
	n.mustIP(fmt.Sprintf("addr add 10.%d.0.1/16 dev e0", own))
	n.mustIP(fmt.Sprintf("addr add fd00:%d::1/64 dev e0", own))
	n.mustIP(fmt.Sprintf("addr add 10.%s.0.2/24 dev e1", net))
	n.mustIP(fmt.Sprintf("addr add fd00:%s::2/64 dev e1", net))
	n.mustIP(fmt.Sprintf("sr tunsrc set fd00:%s::2", net))
	n.mustIP(fmt.Sprintf("-6 route add 2001:db8::/32 via fd00:%s::1", net))
	n.mustIP("-6 route add " + last(own, frames) + " encap seg6local action End.DX2 oif e0 dev e1")
	for _, f := range families {
		gateway, any := "10."+net+".0.1", "End.DX4 nh4 0.0.0.0"
		if f.six {
			gateway, any = "fd00:"+net+"::1", "End.DX6 nh6 ::"
		}
		n.mustIP("-6 route add " + last(own, f) + " encap seg6local action " + any + " dev e0")
		for w := range ways {
			if w == wayAM && !f.six {
				continue
			}
			to := f.ip + " route add " + host(w, far, f.six).String()
			switch w {
			case wayPlain:
				n.mustIP(to + " via " + gateway)
			case wayKernel: // opened where no segment is left
				n.mustIP(to + " encap seg6 mode encap segs " + sid(w, far, f) + " dev e1")
			case wayL2:
				n.mustIP(to + " encap seg6 mode l2encap segs " + sid(w, far, frames) + "," + last(far, frames) + " dev e1")
			default:
				n.mustIP(to + " encap seg6 mode encap segs " + sid(w, far, f) + "," + last(far, f) + " dev e1")
			}
		}
	}
}

// legs are two links to the NF: by near what comes from src goes to it, by far what
// comes from dst.
type legs struct{ near, far leg }

// leg is a link to the NF, and the number of its subnets.
type leg struct {
	name   string
	number int
}

// address of the node on a leg, or of the NF.
func (l leg) address(ofNF, six bool) string {
	at := 1
	if ofNF {
		at = 2
	}
	if six {
		return fmt.Sprintf("fd00:100:%d::%d", l.number, at)
	}
	return fmt.Sprintf("10.100.%d.%d", l.number, at)
}

// attach wires the NF for a way. It sends what is for a host to the leg on that
// host's side.
func (p *proxyPath) attach(w way, name string, families ...family) legs {
	p.t.Helper()
	both := legs{leg{name + "a", p.nfLinks}, leg{name + "b", p.nfLinks + 1}}
	p.nfLinks += 2
	for side, l := range map[int]leg{atSrc: both.near, atDst: both.far} {
		p.wire(end{p.node, l.name}, end{p.nf, l.name}, coreMTU)
		for _, f := range families {
			p.nf.mustIP(fmt.Sprintf("addr add %s/%s dev %s", l.address(true, f.six), bits(f), l.name))
			p.nf.mustIP(fmt.Sprintf("%s route add %s via %s", f.ip, host(w, side, f.six), l.address(false, f.six)))
		}
	}
	return both
}

func bits(f family) string {
	if f.six {
		return "64"
	}
	return "24"
}

// kernelWays configures on the node all that needs no agent.
func (p *proxyPath) kernelWays() {
	p.t.Helper()
	n := p.node
	for side, link := range map[int]string{atSrc: "e3", atDst: "e4"} {
		net := fmt.Sprintf("1%d", side)
		n.mustIP(fmt.Sprintf("addr add 10.%s.0.1/24 dev %s", net, link))
		for _, f := range families {
			n.mustIP("-6 route add " + sid(wayChain, side, f) + " encap seg6local action End dev " + link)
		}
	}
	plain, kernel := p.attach(wayPlain, "p", families...), p.attach(wayKernel, "k", families...)
	for _, both := range []legs{plain, kernel} {
		for _, l := range []leg{both.near, both.far} {
			for _, f := range families {
				n.mustIP(fmt.Sprintf("addr add %s/%s dev %s", l.address(false, f.six), bits(f), l.name))
			}
		}
	}
	p.toward(atDst, plain.near, plain.far, kernel.near, kernel.far, "e4", "14")
	p.toward(atSrc, plain.far, plain.near, kernel.far, kernel.near, "e3", "13")
}

// toward configures one direction of the plain way and of the kernel's proxy: out to
// the NF, in from it, and on by a link to a side.
func (p *proxyPath) toward(side int, plainOut, plainIn, kernelOut, kernelIn leg, link, net string) {
	p.t.Helper()
	n := p.node
	plainTable, kernelTable := 1000+side, 2000+side
	for _, f := range families {
		gateway, helper, open := "10."+net+".0.2", fmt.Sprintf("10.99.0.%d", side), "End.DX4 nh4"
		if f.six {
			gateway, helper, open = "fd00:"+net+"::2", fmt.Sprintf("fd00:99::%d", side), "End.DX6 nh6"
		}
		n.mustIP(fmt.Sprintf("%s route add %s via %s", f.ip, host(wayPlain, side, f.six), plainOut.address(true, f.six)))
		n.mustIP(fmt.Sprintf("%s rule add iif %s lookup %d", f.ip, plainIn.name, plainTable))
		n.mustIP(fmt.Sprintf("%s route add default via %s dev %s onlink table %d", f.ip, gateway, link, plainTable))

		// Towards a next hop on a link the kernel sends to the packet's destination.
		n.mustIP(fmt.Sprintf("%s route add %s via %s", f.ip, helper, kernelOut.address(true, f.six)))
		n.mustIP(fmt.Sprintf("-6 route add %s encap seg6local action %s %s dev %s", sid(wayKernel, side, f), open, helper, link))
		n.mustIP(fmt.Sprintf("%s rule add iif %s lookup %d", f.ip, kernelIn.name, kernelTable))
		n.mustIP(fmt.Sprintf("%s route add default encap seg6 mode encap segs %s dev %s table %d", f.ip, last(side, f), link, kernelTable))
	}
	n.mustIP(fmt.Sprintf("-6 route add throw 2001:db8::/32 table %d", kernelTable)) // the way on of what has headers again
}

// agentWays starts the agent of the node and has it make the proxies.
func (p *proxyPath) agentWays() {
	p.t.Helper()
	for _, f := range families {
		ad, as := p.attach(wayAD, wayAD.nfLinks(f), f), p.attach(wayAS, wayAS.nfLinks(f), f)
		for _, both := range []legs{ad, as} {
			p.configureLeg(both.near, f)
			p.configureLeg(both.far, f)
		}
		for side, to := range map[int][2]leg{atDst: {ad.near, ad.far}, atSrc: {ad.far, ad.near}} {
			p.proxySID(wayAD, "END_AD", side, f, to, "")
		}
		for side, to := range map[int][2]leg{atDst: {as.near, as.far}, atSrc: {as.far, as.near}} {
			p.proxySID(wayAS, "END_AS", side, f, to, fmt.Sprintf(`, "segment-list": [%q]`, last(side, f)))
		}
	}
	p.masquerading()
	p.bridged()
	p.agent = start(p.node, p.t.TempDir(), false)
	p.t.Cleanup(func() { p.agent.remove("/") })
	p.configure()
}

// masquerading makes the proxies of END_AM. The packets that the NF sees are for the SID
// of the edge.
func (p *proxyPath) masquerading() {
	p.t.Helper()
	six := families[1]
	am := p.attach(wayAM, wayAM.nfLinks(six), six)
	for side, to := range map[int][2]leg{atDst: {am.near, am.far}, atSrc: {am.far, am.near}} {
		p.configureLeg(to[0], six)
		p.nf.mustIP("-6 route add " + last(side, six) + " via " + to[1].address(false, true))
		p.sids = append(p.sids, fmt.Sprintf(`{"address": %q, "config": {"address": %[1]q, "behavior": "END_AM"}, "proxy": {"config": {
			"next-hop": %q, "outgoing-interface": %q, "incoming-interface": %q}}}`,
			sid(wayAM, side, six), to[0].address(true, true), to[0].name, to[1].name))
	}
}

// bridged makes the proxies of frames, and the NF a bridge for them.
func (p *proxyPath) bridged() {
	p.t.Helper()
	near, far := wayL2.nfLinks(frames)+"a", wayL2.nfLinks(frames)+"b"
	p.nf.mustIP("link add br0 type bridge")
	p.nf.mustIP("link set br0 up")
	for _, name := range []string{near, far} {
		p.wire(end{p.node, name}, end{p.nf, name}, coreMTU)
		p.nf.mustIP("link set " + name + " master br0")
		p.interfaces = append(p.interfaces, fmt.Sprintf(`{"name": %q, "config": {"name": %[1]q}}`, name))
	}
	for side, to := range map[int][2]string{atDst: {near, far}, atSrc: {far, near}} {
		p.sids = append(p.sids, fmt.Sprintf(`{"address": %q, "config": {"address": %[1]q, "behavior": "END_AD"}, "proxy": {"config": {
			"inner-type": "ETHERNET", "outgoing-interface": %q, "incoming-interface": %q}}}`, sid(wayL2, side, frames), to[0], to[1]))
	}
}

func (p *proxyPath) configureLeg(l leg, f family) {
	p.interfaces = append(p.interfaces, interfaceJSON(l.name, strings.ToLower(f.inner), l.address(false, f.six), bits(f)))
}

func interfaceJSON(name, family, address, bits string) string {
	return fmt.Sprintf(`{"name": %q, "config": {"name": %[1]q}, "subinterfaces": {"subinterface": [{"index": 0, "config": {"index": 0},
		%q: {"addresses": {"address": [{"ip": %q, "config": {"ip": %[3]q, "prefix-length": %s}}]}}}]}}`, name, family, address, bits)
}

func (p *proxyPath) proxySID(w way, behavior string, side int, f family, to [2]leg, more string) {
	p.sids = append(p.sids, fmt.Sprintf(`{"address": %q, "config": {"address": %[1]q, "behavior": %q}, "proxy": {"config": {
		"inner-type": %q, "next-hop": %q, "outgoing-interface": %q, "incoming-interface": %q%s}}}`,
		sid(w, side, f), behavior, f.inner, to[0].address(true, f.six), to[0].name, to[1].name, more))
}

// configure gives the agent its configuration.
func (p *proxyPath) configure() {
	p.t.Helper()
	for side, link := range map[int]string{atSrc: "e3", atDst: "e4"} {
		p.interfaces = append(p.interfaces, interfaceJSON(link, "ipv6", fmt.Sprintf("fd00:1%d::1", side), "64"))
	}
	p.agent.set(&gpb.SetRequest{Update: []*gpb.Update{
		update(p.t, "/interfaces", ietf([]byte(`{"interface": [`+strings.Join(p.interfaces, ",")+`]}`))),
		update(p.t, defaultInstance+"/config", ietf([]byte(`{"type": "DEFAULT_INSTANCE"}`))),
		update(p.t, staticProtocol, ietf([]byte(`{"config": {"identifier": "STATIC", "name": "s"}, "static-routes": {"static": [`+
			staticJSON("2001:db8:3::/48", "fd00:13::2", "e3")+","+staticJSON("2001:db8:4::/48", "fd00:14::2", "e4")+`]}}`))),
		update(p.t, srv6, ietf([]byte(`{"config": {"source-address": "2001:db8:1::1"},
			"interfaces": {"interface": [{"interface-id": "e3", "config": {"interface-id": "e3"}}, {"interface-id": "e4", "config": {"interface-id": "e4"}}]},
			"locators": {"locator": [{"name": "main", "config": {"name": "main", "prefix": "2001:db8:1::/48"}}]},
			"sids": {"sid": [`+strings.Join(p.sids, ",")+`]}}`))),
	}})
	// The routes back to the hosts: who is told that a packet is too long is one of them.
	p.node.mustIP("route add 10.3.0.0/16 via 10.13.0.2")
	p.node.mustIP("route add 10.4.0.0/16 via 10.14.0.2")
	p.node.mustIP("-6 route add fd00:3::/64 via fd00:13::2")
	p.node.mustIP("-6 route add fd00:4::/64 via fd00:14::2")
}

func staticJSON(prefix, nextHop, link string) string {
	return fmt.Sprintf(`{"prefix": %q, "config": {"prefix": %[1]q}, "next-hops": {"next-hop": [{"index": "0",
		"config": {"index": "0", "next-hop": %q}, "interface-ref": {"config": {"interface": %q}}}]}}`, prefix, nextHop, link)
}
