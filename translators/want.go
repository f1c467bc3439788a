package translators

import (
	"cmp"
	"fmt"
	"slices"

	"heddle/kernel/object"
	"heddle/schema"
)

// Change is one wanted object that came, changed or went.
type Change struct {
	Key  object.Key
	Want object.Object // nil: no longer wanted
	Old  object.Object // what was wanted before; nil: nothing

	// Origin is the list entry the object comes from, of Old if Want is nil; of
	// a shared object the first one that wanted it.
	Origin schema.EntryKey
}

// ConflictError says that two list entries want the same thing of the kernel.
type ConflictError struct {
	Path, Other string // of the list entries
	What        string // the object, or what it occupies
	Remedy      string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s: %s is taken by %s: %s", e.Path, e.What, e.Other, e.Remedy)
}

// Violation takes the error apart for those who do not know this package.
func (e *ConflictError) Violation() (path, value, reason, remedy string) {
	return e.Path, "", e.What + " is taken by " + e.Other, e.Remedy
}

// sharedWant is an object that any number of entries want.
type sharedWant struct {
	obj    object.Object
	origin schema.EntryKey
	refs   int
}

// want is what the running configuration asks of the kernel, as far as it is
// needed to translate the next change: who owns a key, and how many share one.
// The objects that one entry alone wants are not kept, because translating the
// entry again gives them again. The root entry, whose key is "", makes no
// objects, so that "" can mean nobody.
type want struct {
	owners   map[object.Key]schema.EntryKey
	claims   map[object.Claim]schema.EntryKey // what links occupy besides their name
	shared   map[object.Key]sharedWant
	withheld map[schema.EntryKey]string
	local    localAddresses
}

func newWant() *want {
	return &want{
		owners:   map[object.Key]schema.EntryKey{},
		claims:   map[object.Claim]schema.EntryKey{},
		shared:   map[object.Key]sharedWant{},
		withheld: map[schema.EntryKey]string{},
		local:    newLocalAddresses(),
	}
}

// part is what one key was, and will be.
type part struct {
	key                  object.Key
	old, new             object.Object
	oldOrigin, newOrigin schema.EntryKey
}

// overlay is the next want, kept apart from the one it is based on until it is
// committed. Everything old is taken out before anything new is put in, so that
// a key may pass from one entry to another in one change.
type overlay struct {
	base *want
	text func(schema.EntryKey) string

	parts       []part // as met, after merge by key and one for each
	shared      map[object.Key]*sharedWant
	sharedOrder []object.Key
	claims      map[object.Claim]schema.EntryKey
	withheld    map[schema.EntryKey]string // "" takes the reason away

	// Thousands of units want the same few shared objects. Each list is counted
	// once, and after that how many more units want or wanted just that.
	runs map[*object.Object]*run // by its first element
}

// run is a list of shared objects that several units have in common.
type run struct {
	list []object.Object
	more int
}

func newOverlay(base *want, text func(schema.EntryKey) string, size int) *overlay {
	return &overlay{
		base:     base,
		text:     text,
		parts:    make([]part, 0, size),
		shared:   map[object.Key]*sharedWant{},
		claims:   map[object.Claim]schema.EntryKey{},
		withheld: map[schema.EntryKey]string{},
		runs:     map[*object.Object]*run{},
	}
}

// find is the part of a key, nil if it was not touched. It needs merge.
func (v *overlay) find(k object.Key) *part {
	i, ok := slices.BinarySearchFunc(v.parts, k, func(p part, k object.Key) int { return p.key.Compare(k) })
	if !ok {
		return nil
	}
	return &v.parts[i]
}

// merge puts the parts in order and makes one of each key, and finds the keys that
// more than one want.
func (v *overlay) merge() (errs []error) {
	v.parts = sortedParts(v.parts)
	out := v.parts[:0]
	for _, p := range v.parts {
		last := len(out) - 1
		if last < 0 || out[last].key != p.key {
			out = append(out, p)
			continue
		}
		same := &out[last]
		if same.new != nil && p.new != nil {
			errs = append(errs, v.conflict(p.newOrigin, same.newOrigin, fmt.Sprint(p.new), removeOne))
			continue
		}
		if p.new != nil {
			same.new, same.newOrigin = p.new, p.newOrigin
		}
	}
	v.parts = out
	for i := range v.parts {
		if p := &v.parts[i]; p.new != nil {
			if other, taken := v.holder(p); taken {
				errs = append(errs, v.conflict(p.newOrigin, other, fmt.Sprint(p.new), removeOne))
			}
		}
	}
	for _, k := range v.sharedOrder {
		s := v.shared[k]
		if owner, taken := v.base.owners[k]; taken && s.refs > 0 && v.find(k) == nil {
			errs = append(errs, v.conflict(s.origin, owner, fmt.Sprint(s.obj), removeOne))
		}
	}
	errs = append(errs, v.slotsOfSIDs()...)
	return append(errs, v.sidsOfLinks()...)
}

const removeOne = "remove or rename one of the two"

// holder is who else wants the key of a part that is new.
func (v *overlay) holder(p *part) (schema.EntryKey, bool) {
	if p.old == nil {
		if owner, taken := v.base.owners[p.key]; taken {
			return owner, true
		}
	}
	if s := v.shared[p.key]; s != nil {
		return s.origin, s.refs > 0
	}
	s, ok := v.base.shared[p.key]
	return s.origin, ok
}

// sortedParts returns the parts by key; those of one key stay in order.
func sortedParts(parts []part) []part {
	if slices.IsSortedFunc(parts, func(a, b part) int { return a.key.Compare(b.key) }) {
		return parts
	}
	order := make([]int32, len(parts))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Or(parts[a].key.Compare(parts[b].key), int(a-b)) })
	out := make([]part, len(parts))
	for i, at := range order {
		out[i] = parts[at]
	}
	return out
}

func (v *overlay) count(k object.Key) *sharedWant {
	s := v.shared[k]
	if s == nil {
		before := v.base.shared[k]
		s = &before
		v.shared[k] = s
		v.sharedOrder = append(v.sharedOrder, k)
	}
	return s
}

// again reports whether a unit shares what one before it did, and if so counts it.
// Lists that are the same lie in the same place (see translateShare).
func (v *overlay) again(list []object.Object) bool {
	if len(list) == 0 {
		return false
	}
	if r := v.runs[&list[0]]; r != nil && len(r.list) == len(list) {
		r.more++
		return true
	}
	v.runs[&list[0]] = &run{list: list}
	return false
}

// settle counts what again has put off: want is 1 or -1.
func (v *overlay) settle(want int) {
	for _, r := range v.runs {
		if r.more == 0 {
			continue
		}
		for _, o := range r.list {
			v.count(o.Key()).refs += want * r.more
		}
	}
	clear(v.runs)
}

// drop takes out what a unit wanted so far. The last drop is followed by
// settle(-1).
func (v *overlay) drop(unit schema.EntryKey, r *Result) {
	for _, o := range r.Objects {
		k := o.Key()
		v.parts = append(v.parts, part{key: k, old: o, oldOrigin: unit})
		for _, c := range linkClaims(o) {
			v.claims[c] = ""
		}
	}
	if !v.again(r.Shared) {
		for _, o := range r.Shared {
			v.count(o.Key()).refs--
		}
	}
	for _, w := range r.Withheld {
		v.withheld[w.Entry] = ""
	}
}

// add puts in what a unit wants from now on. The last add is followed by
// settle(1).
func (v *overlay) add(unit schema.EntryKey, r *Result) error {
	for _, o := range r.Objects {
		if err := v.addOwned(unit, o); err != nil {
			return err
		}
	}
	if !v.again(r.Shared) {
		for _, o := range r.Shared {
			if err := v.addShared(unit, o); err != nil {
				return err
			}
		}
	}
	for _, w := range r.Withheld {
		v.withheld[w.Entry] = w.Reason
	}
	return nil
}

func (v *overlay) conflict(unit, other schema.EntryKey, what, remedy string) error {
	return &ConflictError{Path: v.text(unit), Other: v.text(other), What: what, Remedy: remedy}
}

func (v *overlay) addOwned(unit schema.EntryKey, o object.Object) error {
	k := o.Key()
	for _, c := range linkClaims(o) {
		holder, touched := v.claims[c]
		if !touched {
			holder = v.base.claims[c]
		}
		if holder != "" {
			return v.conflict(unit, holder, c.String(), "give one of the two another "+claimLeaf(o))
		}
		v.claims[c] = unit
	}
	v.parts = append(v.parts, part{key: k, new: o, newOrigin: unit})
	return nil
}

func (v *overlay) addShared(unit schema.EntryKey, o object.Object) error {
	k := o.Key()
	c := v.count(k)
	if c.refs > 0 && !c.obj.Equal(o) {
		return v.conflict(unit, c.origin, fmt.Sprint(o), fmt.Sprintf("there it is %q: make the two agree", c.obj))
	}
	if c.refs == 0 {
		c.obj, c.origin = o, unit
	}
	c.refs++
	return nil
}

// changes lists what differs. A key that passes between a single owner and the
// shared objects is one change.
func (v *overlay) changes() []Change {
	out := make([]Change, 0, len(v.parts)+len(v.sharedOrder))
	for i := range v.parts {
		p := &v.parts[i]
		c := Change{Key: p.key, Want: p.new, Old: p.old, Origin: p.newOrigin}
		if p.new == nil {
			c.Origin = p.oldOrigin
		}
		if s := v.shared[p.key]; s != nil {
			before := v.base.shared[p.key]
			if c.Want == nil && s.refs > 0 {
				c.Want, c.Origin = s.obj, s.origin
			}
			if c.Old == nil {
				c.Old = before.obj
			}
		}
		if p.oldOrigin != p.newOrigin || !same(c.Old, c.Want) {
			out = append(out, c)
		}
	}
	for _, k := range v.sharedOrder {
		if v.find(k) != nil {
			continue
		}
		before, now := v.base.shared[k], v.shared[k]
		c := Change{Key: k, Want: now.obj, Old: before.obj, Origin: now.origin}
		if now.refs <= 0 {
			c.Want = nil
		}
		if !same(c.Old, c.Want) {
			out = append(out, c)
		}
	}
	return out
}

// same is stricter than Equal: what an object needs decides when it is rebuilt,
// so an object that needs something else is another wish.
func same(a, b object.Object) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Equal(b) && slices.Equal(a.Needs(nil), b.Needs(nil))
}

// apply makes the overlay the base and returns what undoes it.
func (v *overlay) apply() (undo func()) {
	w := v.base
	if len(w.owners) == 0 {
		w.owners = make(map[object.Key]schema.EntryKey, len(v.parts))
	}
	for i := range v.parts {
		set(w.owners, v.parts[i].key, v.parts[i].newOrigin)
		w.local.change(v.parts[i].old, v.parts[i].new)
	}
	shared := make(map[object.Key]sharedWant, len(v.shared))
	for k, s := range v.shared {
		if s.refs > 0 {
			shared[k] = *s
		} else {
			shared[k] = sharedWant{}
		}
	}
	undos := []func(){setAll(w.claims, v.claims), setAll(w.shared, shared), setAll(w.withheld, v.withheld)}
	return func() {
		// A key that had an owner is in parts with it: an owner that was not
		// translated again would have been a conflict.
		for i := range v.parts {
			set(w.owners, v.parts[i].key, v.parts[i].oldOrigin)
			w.local.change(v.parts[i].new, v.parts[i].old)
		}
		for _, undo := range undos {
			undo()
		}
	}
}

// set writes v into m, where the zero value deletes.
func set[K, V comparable](m map[K]V, k K, v V) {
	var zero V
	if v == zero {
		delete(m, k)
	} else {
		m[k] = v
	}
}

// setAll sets values in m and returns what puts back the former ones.
func setAll[K, V comparable](m, values map[K]V) (undo func()) {
	former := make(map[K]V, len(values))
	for k, v := range values {
		former[k] = m[k]
		set(m, k, v)
	}
	return func() {
		for k, v := range former {
			set(m, k, v)
		}
	}
}

// claimLeaf is the leaf that what a link occupies comes from.
func claimLeaf(o object.Object) string {
	l, ok := o.(object.Link)
	switch {
	case ok && l.Type == object.LinkVLAN:
		return "vlan/config/vlan-id"
	case ok && l.Type == object.LinkVXLAN:
		return "vxlan/config/vni"
	case ok && l.Tunnel != object.Tunnel{}:
		return "tunnel/config/gre-key"
	}
	return "config/table-id"
}

// linkClaims is what a link occupies besides its name. What routes occupy is
// looked after by reconcile, which has the routing tables.
func linkClaims(o object.Object) []object.Claim {
	if l, ok := o.(object.Link); ok {
		return l.Exclusive(nil)
	}
	return nil
}
