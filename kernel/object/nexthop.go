package object

import (
	"strconv"
	"strings"
)

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

// What the names of the group and of the members of a policy start with.
const (
	ofPolicy = byName + "policy/"
	ofMember = byName + "member/"
)

// PolicyGroup is what the routes of a segment routing policy leave by: PolicyMember
// makes its members, the first of which is number 0.
func PolicyGroup(policy string, weights []uint16) *NextHopGroup {
	g := &NextHopGroup{ID: PolicyGroupID(policy), Members: make([]GroupMember, len(weights))}
	for i, w := range weights {
		g.Members[i] = GroupMember{memberID(policy, i), w}
	}
	return g
}

// PolicyGroupID is the ID of the group of a policy.
func PolicyGroupID(policy string) string { return ofPolicy + policy }

// PolicyMember is a member of the group of a policy.
func PolicyMember(policy string, number int, hop NextHop) *SharedNextHop {
	return &SharedNextHop{memberID(policy, number), hop}
}

func memberID(policy string, number int) string {
	return ofMember + strconv.Itoa(number) + "/" + policy
}

// PolicyOfGroup is the policy whose group has an ID; ok is false for other ones.
func PolicyOfGroup(id string) (policy string, ok bool) { return strings.CutPrefix(id, ofPolicy) }

// OfPolicy reports whether an ID is that of the group of a policy, or of a member.
func OfPolicy(id string) bool {
	return strings.HasPrefix(id, ofPolicy) || strings.HasPrefix(id, ofMember)
}

// SharedHopKey is the key of a shared next hop, or of a group.
func SharedHopKey(id string) Key { return Key{KindNextHop, id} }

// NamedHop reports whether the ID of a shared next hop or a group is a name, and not
// the way out in words.
func NamedHop(id string) bool { return strings.HasPrefix(id, byName) }

// Named reports whether the object was made by HopByName.
func (n *SharedNextHop) Named() bool { return NamedHop(n.ID) }

// Intact reports whether an object without a name leads where its ID says:
// somebody else may have changed it.
func (n *SharedNextHop) Intact() bool { return n.Named() || n.ID == n.Hop.String() }

func (n *SharedNextHop) Key() Key { return SharedHopKey(n.ID) }

func (n *SharedNextHop) Needs(into []Key) []Key {
	return n.Hop.needs(append(into, LinkKey(n.Hop.Link), MemberKey(n.Hop.Link), LinkConfigKey(n.Hop.Link)))
}

func (n *SharedNextHop) Equal(o Object) bool {
	t, ok := o.(*SharedNextHop)
	return ok && n.ID == t.ID && n.Hop.equal(t.Hop)
}

// Mutable: NLM_F_REPLACE swaps it under its routes, but for a group.
func (n *SharedNextHop) Mutable(to Object) bool {
	_, ok := to.(*SharedNextHop)
	return ok
}

func (n *SharedNextHop) String() string {
	if n.ID == n.Hop.String() {
		return "nexthop " + n.ID
	}
	return "nexthop " + n.ID + " " + n.Hop.String()
}
