package translators

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"heddle/schema"
)

// policyTerms is what a policy can be found by.
func policyTerms(terms []string, p *Policy) []string {
	if c, ok := coloredTerm(termColored, p.Color, p.Endpoint); ok {
		terms = append(terms, c)
	}
	if sid := Addr(p.BindingSid); sid.IsValid() {
		terms = append(terms, string(addressTerm(termBindingSID, sid)))
	}
	if p.HmacKeyId != nil {
		terms = append(terms, hmacTerm(*p.HmacKeyId))
	}
	return terms
}

// steeringTerms is what a next hop that is steered into a policy can be found by.
func steeringTerms(terms []string, k schema.EntryKey, nh *NextHop) []string {
	byName, byColor := byte(termByName), byte(termByColor)
	if inVRF(k) {
		byName, byColor = termByNameVRF, termByColorVRF
	}
	if name := Str(nh.Srv6Policy.Policy); name != "" {
		return append(terms, namedTerm(byName, name))
	}
	if c, ok := coloredTerm(byColor, nh.Srv6Policy.Color, nextHopText(nh)); ok {
		return append(terms, c)
	}
	return terms
}

// inVRF reports whether a next hop is in another instance than the default one:
// above it are its prefix, the protocol and the instance.
func inVRF(k schema.EntryKey) bool {
	for range 3 {
		k, _ = k.Parent()
	}
	return k != "" && k.Values()[0] != DefaultInstance
}

func nextHopText(nh *NextHop) *string {
	text, ok := nh.NextHop.(UnionString)
	if !ok {
		return nil
	}
	return (*string)(&text)
}

func namedTerm(letter byte, name string) string {
	return string([]byte{letter, byte(len(name))}) + name
}

func coloredTerm(letter byte, color *uint32, endpoint *string) (term string, ok bool) {
	a := Addr(endpoint)
	if color == nil || !a.IsValid() {
		return "", false
	}
	b := binary.BigEndian.AppendUint32([]byte{letter}, *color)
	return string(append(b, a.AsSlice()...)), true
}

// PolicyKey is the key of a policy.
func (v View) PolicyKey(name string) (schema.EntryKey, bool) {
	k, err := v.Key(v.defaultKey, v.Model.Policy, name)
	return k, err == nil
}

// PolicyOf finds the policy that a next hop is steered into; ok is false where there
// is none.
func (v View) PolicyOf(nh *NextHop) (k schema.EntryKey, p *Policy, ok bool) {
	if nh.Srv6Policy == nil {
		return "", nil, false
	}
	if nh.Srv6Policy.Policy != nil {
		if k, ok = v.PolicyKey(*nh.Srv6Policy.Policy); ok {
			p, ok = get[*Policy](v, k)
		}
		return k, p, ok
	}
	for _, k := range v.PoliciesOfColor(nh.Srv6Policy.Color, nextHopText(nh)) {
		if p, ok := get[*Policy](v, k); ok {
			return k, p, true
		}
	}
	return "", nil, false
}

// PoliciesOfColor lists the policies with a color and an endpoint: one, unless the
// rules are broken.
func (v View) PoliciesOfColor(color *uint32, endpoint *string) []schema.EntryKey {
	term, ok := coloredTerm(termColored, color, endpoint)
	if !ok {
		return nil
	}
	return v.withTerm(nil, term)
}

// PoliciesBound lists the policies with a binding SID.
func (v View) PoliciesBound(sid string) []schema.EntryKey {
	a := Addr(&sid)
	if !a.IsValid() {
		return nil
	}
	return v.withTerm(nil, string(addressTerm(termBindingSID, a)))
}

// BoundWithin calls fn with the policies whose binding SID is in a prefix.
func (v View) BoundWithin(p netip.Prefix, fn func(schema.EntryKey)) {
	v.Terms(string(addressTerm(termBindingSID, p.Masked().Addr())), string(addressTerm(termBindingSID, LastOf(p)))+behind, func(k schema.EntryKey) bool {
		fn(k)
		return true
	})
}

func (v View) withTerm(keys []schema.EntryKey, term string) []schema.EntryKey {
	v.Terms(term, term+behind, func(k schema.EntryKey) bool {
		keys = append(keys, k)
		return true
	})
	return keys
}

// Steered calls fn with the next hops that are steered into a policy, or with those
// of them in VRFs.
func (v View) Steered(p *Policy, vrfs bool, fn func(schema.EntryKey)) {
	byName, byColor := []byte{termByNameVRF}, []byte{termByColorVRF}
	if !vrfs {
		byName, byColor = append(byName, termByName), append(byColor, termByColor)
	}
	each := func(term string) {
		v.Terms(term, term+behind, func(k schema.EntryKey) bool {
			fn(k)
			return true
		})
	}
	for i := range byName {
		each(namedTerm(byName[i], Str(p.Name)))
		if c, ok := coloredTerm(byColor[i], p.Color, p.Endpoint); ok {
			each(c)
		}
	}
}

// PolicyAbove is the policy that a candidate path is of.
func (v View) PolicyAbove(path schema.EntryKey) (schema.EntryKey, *Policy, bool) {
	return enclosing[*Policy](v, path, v.Model.Policy)
}

// PolicyDown says why a policy is not in the kernel; it is empty if it is.
func PolicyDown(p *Policy) string {
	if On(p.Enabled) {
		return ""
	}
	return "policy " + Str(p.Name) + " is disabled"
}

// Path is a candidate path with its segment lists, those of more weight first.
type Path struct {
	Key schema.EntryKey
	*CandidatePath
	Lists []PathList
}

// PathList is a segment list of a candidate path.
type PathList struct {
	Key      schema.EntryKey
	Name     string
	Segments []string // none: there is no such list, or it is empty
	Weight   uint32
}

// Usable reports whether packets may be put on the path by configuration.
func (p *Path) Usable() bool {
	return On(p.Enabled) && len(p.Lists) > 0 &&
		!slices.ContainsFunc(p.Lists, func(l PathList) bool { return len(l.Segments) == 0 })
}

// PathsOf lists the candidate paths of a policy, the best first: those that are
// enabled by descending preference and name (RFC 9256 section 2.9), then the rest.
func (v View) PathsOf(policy schema.EntryKey) []Path {
	var paths []Path
	v.Scan(v.ListPrefix(policy, v.Model.CandidatePath), func(k schema.EntryKey, e schema.GoStruct) bool {
		switch e := e.(type) {
		case *CandidatePath:
			paths = append(paths, Path{Key: k, CandidatePath: e})
		case *WeightedList: // behind the path that it is of
			p := &paths[len(paths)-1]
			p.Lists = append(p.Lists, PathList{k, Str(e.Name), v.segments(e), e.GetWeight()})
		}
		return true
	})
	for _, p := range paths {
		slices.SortFunc(p.Lists, func(a, b PathList) int {
			return cmp.Or(cmp.Compare(b.Weight, a.Weight), cmp.Compare(a.Name, b.Name))
		})
	}
	slices.SortFunc(paths, comparePaths)
	return paths
}

func (v View) segments(l *WeightedList) []string {
	if l.Name == nil {
		return nil
	}
	k, err := v.Key(v.defaultKey, v.Model.SegmentList, *l.Name)
	if err != nil {
		return nil
	}
	list, ok := get[*SegmentList](v, k)
	if !ok {
		return nil
	}
	return list.Segment
}

// comparePaths puts the better path first.
func comparePaths(a, b Path) int {
	on := func(p Path) int {
		if On(p.Enabled) {
			return 0
		}
		return 1
	}
	return cmp.Or(on(a)-on(b), cmp.Compare(b.GetPreference(), a.GetPreference()), cmp.Compare(Str(a.Name), Str(b.Name)))
}
