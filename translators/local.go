package translators

import (
	"net/netip"
	"slices"

	"heddle/kernel/object"
	"heddle/schema"
)

// localAddresses are the IPv6 addresses that are wanted on links, by address and by
// link, and the SIDs that are prefixes, by address: the key of another SID follows
// from its address.
type localAddresses struct {
	byAddr   map[netip.Addr][]object.Address // a link-local one may be on many links
	byLink   map[string][]object.Address
	prefixes map[netip.Addr]object.Key
}

func newLocalAddresses() localAddresses {
	return localAddresses{map[netip.Addr][]object.Address{}, map[string][]object.Address{}, map[netip.Addr]object.Key{}}
}

// change notes that o came in place of old; both may be nil.
func (l localAddresses) change(old, o object.Object) {
	if s, ok := prefixSID(old); ok && l.prefixes[s.SID] == s.Key() {
		delete(l.prefixes, s.SID)
	}
	if s, ok := prefixSID(o); ok {
		l.prefixes[s.SID] = s.Key()
	}
	was, had := address6(old)
	is, has := address6(o)
	if had && !has {
		drop(l.byAddr, was.Prefix.Addr(), was)
		drop(l.byLink, was.Link, was)
	}
	if has && !had {
		l.byAddr[is.Prefix.Addr()] = append(l.byAddr[is.Prefix.Addr()], is)
		l.byLink[is.Link] = append(l.byLink[is.Link], is)
	}
}

func drop[K comparable](m map[K][]object.Address, k K, a object.Address) {
	m[k] = slices.DeleteFunc(m[k], func(x object.Address) bool { return x == a })
	if len(m[k]) == 0 {
		delete(m, k)
	}
}

// address6 is the IPv6 address that o is, if it is one.
func address6(o object.Object) (object.Address, bool) {
	a, ok := o.(object.Address)
	return a, ok && a.Prefix.Addr().Is6()
}

// prefixSID is the SID that o is, if it is one with a prefix.
func prefixSID(o object.Object) (*object.LocalSID, bool) {
	s, ok := o.(*object.LocalSID)
	return s, ok && !s.Prefix().IsSingleIP()
}

// owner is who alone wants k. It needs merge.
func (v *overlay) owner(k object.Key) (schema.EntryKey, bool) {
	if p := v.find(k); p != nil {
		return p.newOrigin, p.new != nil
	}
	owner, ok := v.base.owners[k]
	return owner, ok
}

// sidsOfLinks finds SIDs that are an address of a link of the default instance: the
// kernel takes packets to it for the node's own before it looks for SIDs. In a VRF
// the address is another one. It needs merge.
func (v *overlay) sidsOfLinks() (errs []error) {
	prefixes := map[netip.Addr]object.Key{}
	for i := range v.parts {
		if s, ok := prefixSID(v.parts[i].new); ok {
			prefixes[s.SID] = v.parts[i].key
		}
	}
	check := func(a object.Address) {
		sid, taken := v.owner(object.LocalSIDKey(a.Prefix.Addr()))
		for _, of := range []map[netip.Addr]object.Key{prefixes, v.base.local.prefixes} {
			if k, ok := of[a.Prefix.Addr()]; ok && !taken {
				sid, taken = v.owner(k)
			}
		}
		if !taken {
			return
		}
		if _, enslaved := v.owner(object.MemberKey(a.Link)); enslaved {
			return
		}
		if address, ok := v.owner(a.Key()); ok {
			errs = append(errs, v.conflict(sid, address, "address "+a.Prefix.Addr().String(),
				"packets to it are for the node itself and never reach the SID: use another SID, or delete the address"))
		}
	}
	for i := range v.parts {
		p := &v.parts[i]
		if a, ok := address6(p.new); ok {
			check(a)
		}
		var others []object.Address
		switch o := p.new.(type) {
		case nil:
			if m, ok := p.old.(object.Member); ok {
				others = v.base.local.byLink[m.Link]
			}
		case *object.LocalSID:
			others = v.base.local.byAddr[o.SID]
		}
		for _, a := range others {
			if v.find(a.Key()) == nil { // else it has its turn
				check(a)
			}
		}
	}
	return errs
}
