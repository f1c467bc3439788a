package object

import "strings"

// SharedNextHop is a way out that any number of routes of both families share: a
// nexthop object of the kernel (Linux 5.3), of the IPv6 family. Changing it
// changes what all of them do at once.
//
// It cannot be used everywhere. The kernel takes it away, and every route with
// it, not only when its link goes or is taken down but also when the link has
// lost its carrier, and makes none before there is carrier
// (nh_netdev_event and rtm_to_nh_config in net/ipv4/nexthop.c); a route that
// carries its next hop itself survives that.
type SharedNextHop struct {
	// ID is the name that routes give in Route.SharedHop: made by HopByContent or
	// HopByName.
	ID string

	// Hop needs a link; its gateway is an IPv6 address, or there is none.
	Hop NextHop
}

// byName is what the ID of a next hop with a name starts with; that of one
// without starts with a word of iproute2.
const byName = "@"

// HopByContent is a shared next hop without a name: whoever wants the same way
// out means the same object. Another way out is another object.
func HopByContent(hop NextHop) *SharedNextHop { return &SharedNextHop{hop.String(), hop} }

// HopByName is a shared next hop whose way out may change under its name, which
// costs one message whatever the number of routes. The kernel has no room for
// the name: the driver's record keeps it.
func HopByName(name string, hop NextHop) *SharedNextHop {
	return &SharedNextHop{byName + name, hop}
}

// ofPolicy is what the name of the next hop of a policy starts with.
const ofPolicy = byName + "policy/"

// PolicyHop is the next hop that the routes of a segment routing policy share.
func PolicyHop(policy string, hop NextHop) *SharedNextHop {
	return &SharedNextHop{ofPolicy + policy, hop}
}

// PolicyOfHop is the policy whose next hop has an ID; ok is false for other ones.
func PolicyOfHop(id string) (policy string, ok bool) { return strings.CutPrefix(id, ofPolicy) }

// SharedHopKey is the key of a shared next hop.
func SharedHopKey(id string) Key { return Key{KindNextHop, id} }

// Named reports whether the object was made by HopByName.
func (n *SharedNextHop) Named() bool { return strings.HasPrefix(n.ID, byName) }

// Intact reports whether an object without a name leads where its ID says:
// somebody else may have changed it.
func (n *SharedNextHop) Intact() bool { return n.Named() || n.ID == n.Hop.String() }

func (n *SharedNextHop) Key() Key { return SharedHopKey(n.ID) }

func (n *SharedNextHop) Needs(into []Key) []Key {
	return append(into, LinkKey(n.Hop.Link), MemberKey(n.Hop.Link), LinkConfigKey(n.Hop.Link))
}

func (n *SharedNextHop) Equal(o Object) bool {
	t, ok := o.(*SharedNextHop)
	return ok && n.ID == t.ID && n.Hop.equal(t.Hop)
}

// Mutable is true: NLM_F_REPLACE swaps it under its routes.
func (n *SharedNextHop) Mutable(Object) bool { return true }

func (n *SharedNextHop) String() string {
	if n.ID == n.Hop.String() {
		return "nexthop " + n.ID
	}
	return "nexthop " + n.ID + " " + n.Hop.String()
}
