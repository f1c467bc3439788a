package schema

import (
	"unsafe"
)

// Operations on one entry's structs. An entry under construction is owned: no
// Tree holds it, so it may be written to. Scalars are never written to, only
// the pointers to them.

// fillKeys stores the key values of k that are not set yet.
func (ep *entryPlan) fillKeys(p unsafe.Pointer, k EntryKey) {
	at := k.last()
	if at < 0 {
		return
	}
	k[at:].eachValue(func(i int, text string) {
		if i >= len(ep.keys) {
			return
		}
		s := ep.keys[i]
		f := s.at(p)
		if s.isSet(f) {
			return
		}
		if s.kind == fString && s.node.Type.kind == tString {
			s.store(f, s.cell(StringValue(text))) // k has canonical values
			return
		}
		if v, ft := s.node.Type.parse(&raw{form: fText, text: text}); ft == fits {
			s.store(f, s.cell(v))
		}
	})
}

// key builds the key of the entry from its key leaves. missing is the first
// that is unset.
func (ep *entryPlan) key(p unsafe.Pointer, parent EntryKey) (k EntryKey, missing *Node) {
	var buf [160]byte
	dst := append(buf[:0], parent...)
	dst = append(dst, byte(ep.node.ListID>>8), byte(ep.node.ListID))
	for i, s := range ep.keys {
		f := s.at(p)
		if !s.isSet(f) {
			return "", ep.node.Keys[i]
		}
		if i > 0 {
			dst = append(dst, keySep)
		}
		if s.kind == fString {
			dst = append(dst, **(**string)(f)...)
		} else {
			v, _ := s.load(f)
			dst = append(dst, v.String()...)
		}
	}
	return EntryKey(append(dst, keyEnd)), nil
}

// keyed reports whether all keys are set.
func (ep *entryPlan) keyed(p unsafe.Pointer) bool {
	for _, s := range ep.keys {
		if !s.isSet(s.at(p)) {
			return false
		}
	}
	return true
}

// clone copies the entry and its containers; scalars are shared.
func (ep *entryPlan) clone(p unsafe.Pointer) unsafe.Pointer {
	n := cloneStruct(ep.typ, p)
	for _, cp := range ep.conts[1:] {
		parent := cp.parent.at(n)
		if parent == nil {
			continue
		}
		if at := sub(parent, cp.off); *at != nil {
			*at = cloneStruct(cp.typ, *at)
		}
	}
	return n
}

// ensure makes the container's struct if it is absent. The entry is owned.
func (cp *contPlan) ensure(entry unsafe.Pointer) unsafe.Pointer {
	if cp.parent == nil {
		return entry
	}
	at := sub(cp.parent.ensure(entry), cp.off)
	if *at == nil {
		*at = newStruct(cp.typ)
	}
	return *at
}

// field is the address of the slot in an owned entry.
func (s *slot) field(entry unsafe.Pointer) unsafe.Pointer {
	return unsafe.Add(s.cont.ensure(entry), s.off)
}

// covers reports whether merging src into dst would change nothing.
func (ep *entryPlan) covers(dst, src unsafe.Pointer) bool {
	for _, cp := range ep.conts {
		sp := cp.at(src)
		if sp == nil {
			continue
		}
		dp := cp.at(dst)
		if dp == nil {
			return false
		}
		for _, s := range cp.slots {
			sf := unsafe.Add(sp, s.off)
			if s.isSet(sf) && !s.equal(unsafe.Add(dp, s.off), sf) {
				return false
			}
		}
	}
	return true
}

// merge lays src over dst, which is owned: leaves of src win, leaf-lists are
// united.
func (ep *entryPlan) merge(dst, src unsafe.Pointer) {
	for _, cp := range ep.conts {
		sp := cp.at(src)
		if sp == nil {
			continue
		}
		dp := cp.ensure(dst)
		for _, s := range cp.slots {
			sf := unsafe.Add(sp, s.off)
			if !s.isSet(sf) {
				continue
			}
			df := unsafe.Add(dp, s.off)
			if s.node.Kind == LeafList {
				s.unite(df, sf)
			} else {
				s.copy(df, sf)
			}
		}
	}
}

// unite adds the values of src that dst lacks, in order.
func (s *slot) unite(dst, src unsafe.Pointer) {
	v, _ := s.load(dst)
	w, _ := s.load(src)
	if len(v.list) == 0 {
		s.copy(dst, src)
		return
	}
	if list, grown := union(v.list, w.list); grown {
		s.store(dst, s.cell(ListValue(list)))
	}
}

// union appends to list the values of more that it lacks.
func union(list, more []Value) ([]Value, bool) {
	seen := make(map[string]struct{}, len(list)+len(more))
	for i := range list {
		seen[list[i].identity()] = struct{}{}
	}
	n := len(list)
	for _, v := range more {
		id := v.identity()
		if _, ok := seen[id]; !ok {
			seen[id] = struct{}{}
			list = append(list[:len(list):len(list)], v)
		}
	}
	return list, len(list) > n
}

// clearUnder unsets everything at or under n in an owned entry, except keys.
func (ep *entryPlan) clearUnder(p unsafe.Pointer, n *Node) {
	for _, cp := range ep.conts[1:] {
		if cp.node.under(n) {
			if parent := cp.parent.at(p); parent != nil {
				*sub(parent, cp.off) = nil
			}
		}
	}
	for _, s := range ep.slots {
		if s.key < 0 && s.node.under(n) {
			if f := s.at(p); f != nil {
				s.clear(f)
			}
		}
	}
}

// prune removes containers without contents from an owned entry, presence
// containers excepted.
func (ep *entryPlan) prune(p unsafe.Pointer) {
	for i := len(ep.conts) - 1; i > 0; i-- {
		cp := ep.conts[i]
		if cp.presence {
			continue
		}
		parent := cp.parent.at(p)
		if parent == nil {
			continue
		}
		if at := sub(parent, cp.off); *at != nil && cp.empty(*at) {
			*at = nil
		}
	}
}

// dropDefaults unsets the leaves of an owned entry that hold their default.
func (ep *entryPlan) dropDefaults(p unsafe.Pointer) {
	for i := range ep.defaults {
		d := &ep.defaults[i]
		if f := d.slot.at(p); f != nil && d.slot.isSet(f) && d.slot.codec.equal(f, d.field) {
			d.slot.clear(f)
		}
	}
}

// empty reports whether a container's struct holds nothing.
func (cp *contPlan) empty(p unsafe.Pointer) bool {
	for _, s := range cp.slots {
		if s.isSet(unsafe.Add(p, s.off)) {
			return false
		}
	}
	for _, c := range cp.subs {
		if *sub(p, c.off) != nil {
			return false
		}
	}
	return true
}

// Equal compares two entries of one list by value; nil equals nil.
func (s *Schema) Equal(a, b GoStruct) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return s.planOf(a).equal(base(a), base(b))
}

// equal compares two entries by value.
func (ep *entryPlan) equal(a, b unsafe.Pointer) bool {
	for _, cp := range ep.conts {
		p, q := cp.at(a), cp.at(b)
		if p == nil || q == nil {
			if p != q {
				return false
			}
			continue
		}
		for _, s := range cp.slots {
			if !s.codec.equal(unsafe.Add(p, s.off), unsafe.Add(q, s.off)) {
				return false
			}
		}
	}
	return true
}
