package object

import (
	"fmt"
	"slices"
	"strings"
)

// MaxGroupWeight is the largest weight of a member of a group that every kernel with
// groups takes: nh_check_attr_group in net/ipv4/nexthop.c, up to Linux 6.11.
const MaxGroupWeight = 255

// NextHopGroup is shared next hops among which the load of any number of routes is
// shared (Linux 5.3): a nexthop object of the kernel, which routes give in
// Route.SharedHop as they do a SharedNextHop. Flows are spread by weight.
//
// When a member gets another way out the kernel does not look at the routes. It goes
// through all of them when the group gets other members or weights, as it does when
// a shared next hop changes that routes leave by directly (nh_rt_cache_flush in
// net/ipv4/nexthop.c).
//
// The kernel takes a member that goes out of the group, and with the last one the
// group and every route by it.
type NextHopGroup struct {
	// ID is a name, like that of a SharedNextHop made by HopByName.
	ID string

	// Members are one or more, each once.
	Members []GroupMember
}

// GroupMember is a shared next hop of a group.
type GroupMember struct {
	Hop    string // its ID
	Weight uint16 // 1 to MaxGroupWeight
}

func (g *NextHopGroup) Key() Key { return SharedHopKey(g.ID) }

func (g *NextHopGroup) Needs(into []Key) []Key {
	for _, m := range g.Members {
		into = append(into, SharedHopKey(m.Hop))
	}
	return into
}

func (g *NextHopGroup) Equal(o Object) bool {
	t, ok := o.(*NextHopGroup)
	return ok && g.ID == t.ID && slices.Equal(g.Members, t.Members)
}

// Mutable: NLM_F_REPLACE swaps it under its routes. Linux replaces no group by a next
// hop, nor the other way round.
func (g *NextHopGroup) Mutable(to Object) bool {
	_, ok := to.(*NextHopGroup)
	return ok
}

func (g *NextHopGroup) String() string {
	var b strings.Builder
	b.WriteString("nexthop " + g.ID + " group")
	for _, m := range g.Members {
		fmt.Fprintf(&b, " %s,%d", m.Hop, m.Weight)
	}
	return b.String()
}
