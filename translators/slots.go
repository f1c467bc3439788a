package translators

import (
	"fmt"
	"sort"
	"strings"

	"heddle/kernel/object"
	"heddle/schema"
)

// slotsOfSIDs finds a route and a SID that want one slot of a routing table: their
// keys differ by the kind alone. Two routes, and two SIDs, have one key. It needs merge.
func (v *overlay) slotsOfSIDs() (errs []error) {
	routes, sids := v.ofKind(object.KindRoute), v.ofKind(object.KindLocalSID)
	clash := func(sid, route schema.EntryKey, what object.Object) {
		errs = append(errs, v.conflict(sid, route, fmt.Sprintf("the place of %v in the routing table", what),
			"remove one of the two, or give the route another metric"))
	}
	before := func(k object.Key) (owner schema.EntryKey, ok bool) {
		owner, ok = v.base.owners[k]
		return owner, ok && v.find(k) == nil
	}
	at := 0
	for i := range sids {
		sid := &sids[i]
		for at < len(routes) && strings.Compare(routes[at].key.ID, sid.key.ID) < 0 {
			at++
		}
		if sid.new == nil {
			continue
		}
		if at < len(routes) && routes[at].key.ID == sid.key.ID && routes[at].new != nil {
			clash(sid.newOrigin, routes[at].newOrigin, sid.new)
		} else if sid.old == nil {
			if route, ok := before(object.Key{Kind: object.KindRoute, ID: sid.key.ID}); ok {
				clash(sid.newOrigin, route, sid.new)
			}
		}
	}
	for i := range routes {
		route := &routes[i]
		r, ok := route.new.(*object.Route)
		if !ok || route.old != nil || !r.Prefix.Addr().Is6() {
			continue
		}
		if sid, ok := before(object.Key{Kind: object.KindLocalSID, ID: route.key.ID}); ok {
			clash(sid, route.newOrigin, route.new)
		}
	}
	return errs
}

// ofKind are the parts of a kind.
func (v *overlay) ofKind(kind object.Kind) []part {
	first := sort.Search(len(v.parts), func(i int) bool { return v.parts[i].key.Kind >= kind })
	end := sort.Search(len(v.parts), func(i int) bool { return v.parts[i].key.Kind > kind })
	return v.parts[first:end]
}
