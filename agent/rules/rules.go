// Package rules holds the semantic rules of the model: what YANG's types and
// references cannot say, and what the kernel would refuse, or worse, accept and
// not do. They are here and nowhere else, so that a mistake is found before
// anything is touched and its error names path, value, reason and remedy.
//
// The datastore calls Check with the entries that a commit changed. Each rule is
// a small function about one entry; a change that matters to other entries has
// those checked again (see recheck). No rule walks the configuration: what a
// check costs follows from what was touched and from what depends on it.
//
// The package decides and does nothing else: it knows no protocol, no kernel and
// no datastore. It may rely on types and references, which the datastore has
// checked by then. What needs an index of the whole to be found is left to those
// who have one: two instances with one routing table, and two routes with one
// key, are a ConflictError of the translators.
package rules

import (
	"cmp"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"

	"heddle/schema"
	"heddle/translators"
)

// Violation is configuration that breaks a rule.
type Violation struct {
	Rule   string // name of the rule, e.g. "sid-locator"
	Path   string // gNMI path text
	Value  string // "" if it is about something that is missing
	Reason string // what is wrong
	Remedy string // what would be right
}

func (e *Violation) Error() string {
	text := e.Path + ": "
	if e.Value != "" {
		text += "value " + e.Value + ": "
	}
	return text + e.Reason + ": " + e.Remedy
}

// Violation takes the error apart for those who do not know this package.
func (e *Violation) Violation() (path, value, reason, remedy string) {
	return e.Path, e.Value, e.Reason, e.Remedy
}

// RuleName is the name of the rule.
func (e *Violation) RuleName() string { return e.Rule }

// Rules checks configurations of one model. It is safe for concurrent use.
type Rules struct {
	model   *translators.Model
	table   map[schema.ListID][]rule
	recheck map[schema.ListID]recheckFunc
}

// rule is a decision about one entry of a list.
type rule struct {
	name string
	list *schema.Node
	// check looks at an entry that is there, in the snapshot to be; was is the
	// entry before, nil if it is new or has not changed itself.
	check func(c *check, k schema.EntryKey, entry, was schema.GoStruct)
}

// New makes the rules.
func New(m *translators.Model) *Rules {
	r := &Rules{model: m, table: map[schema.ListID][]rule{}, recheck: rechecks(m)}
	for _, rule := range slices.Concat(interfaceRules(m), instanceRules(m), staticRules(m), srv6Rules(m), policyRules(m)) {
		r.table[rule.list.ListID] = append(r.table[rule.list.ListID], rule)
	}
	return r
}

// Names lists the rules, for documentation and tests.
func (r *Rules) Names() []string {
	var names []string
	for _, rules := range r.table {
		for _, rule := range rules {
			names = append(names, rule.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Check finds what the changes from one snapshot to the next break: *Violation
// each, at most schema.MaxErrors, in the order of the entries; the last may be a
// *schema.Errors that counts the rest. The changes are in the order of their keys.
func (r *Rules) Check(before, after translators.Reader, changes []schema.Change) []error {
	was, is := translators.NewView(r.model, before), translators.NewView(r.model, after)
	subjects := make([]subject, 0, len(changes))
	for _, ch := range changes {
		if ch.New != nil {
			subjects = append(subjects, subject{key: ch.Key, entry: ch.New, was: ch.Old})
		}
	}
	direct := len(subjects)
	var above []schema.EntryKey // the changed entries that the one at hand is in
	again := func(k schema.EntryKey) {
		if slices.Contains(above, k) {
			return
		}
		if e, ok := is.Get(k); ok {
			subjects = append(subjects, subject{key: k, entry: e, again: true})
		}
	}
	dependents := changes
	if !was.HasAny() {
		dependents = nil // who depends on a change is one
	}
	for _, ch := range dependents {
		for len(above) > 0 && !ch.Key.Under(above[len(above)-1]) {
			above = above[:len(above)-1]
		}
		if recheck := r.recheck[ch.Key.List()]; recheck != nil {
			recheck(was, is, ch, again)
		}
		above = append(above, ch.Key)
	}
	if len(subjects) > direct || !slices.IsSortedFunc(subjects, compareSubjects) {
		subjects = unique(subjects)
	}
	found, more := r.checkAll(before, after, subjects)
	if len(found) > schema.MaxErrors {
		found, more = found[:schema.MaxErrors], more+len(found)-schema.MaxErrors
	}
	if more > 0 {
		found = append(found, &schema.Errors{More: more})
	}
	return found
}

// parallelShare is how many subjects are worth a goroutine.
const parallelShare = 4096

// checkAll checks subjects; many are spread over the processors.
func (r *Rules) checkAll(before, after translators.Reader, subjects []subject) (found []error, more int) {
	workers := min(runtime.GOMAXPROCS(0), len(subjects)/parallelShare)
	if workers < 2 {
		return r.checkShare(before, after, subjects)
	}
	shares, counts := make([][]error, workers), make([]int, workers)
	var wg sync.WaitGroup
	for i := range shares {
		share := subjects[i*len(subjects)/workers : (i+1)*len(subjects)/workers]
		wg.Go(func() { shares[i], counts[i] = r.checkShare(before, after, share) })
	}
	wg.Wait()
	for _, n := range counts {
		more += n
	}
	return slices.Concat(shares...), more
}

func (r *Rules) checkShare(before, after translators.Reader, subjects []subject) (found []error, more int) {
	c := &check{View: translators.NewView(r.model, after), before: translators.NewView(r.model, before),
		wasReached: reached{}, isReached: reached{}, own: map[netip.Addr]bool{}}
	for _, s := range subjects {
		c.again = s.again
		for _, rule := range r.table[s.key.List()] {
			c.rule = rule.name
			rule.check(c, s.key, s.entry, s.was)
		}
	}
	return c.found, c.more
}

// subject is an entry to be checked.
type subject struct {
	key   schema.EntryKey
	entry schema.GoStruct
	was   schema.GoStruct // nil: new, or not itself changed
	again bool            // something that it depends on changed
}

func compareSubjects(a, b subject) int { return cmp.Compare(a.key, b.key) }

// unique sorts the subjects and keeps one of each, the changed one if there is, which
// notes that there was another.
func unique(subjects []subject) []subject {
	slices.SortStableFunc(subjects, compareSubjects)
	kept := subjects[:0]
	for _, s := range subjects {
		if last := len(kept) - 1; last >= 0 && kept[last].key == s.key {
			kept[last].again = true
			continue
		}
		kept = append(kept, s)
	}
	return kept
}

// check is one run, by one goroutine.
type check struct {
	translators.View
	before  translators.View // of the snapshot before
	again   bool             // something that the entry at hand depends on changed
	found   []error
	more    int             // violations that are only counted
	rule    string          // that is being checked
	locator located         // that was found last, see locatorOf
	small   map[string]bool // see tooSmallForIPv6

	wasReached, isReached reached             // by snapshot
	own                   map[netip.Addr]bool // answers of isOwn
}

// fail records a violation at a node below an entry, "" for the entry itself.
func (c *check) fail(k schema.EntryKey, below, value, reason, remedy string) {
	if len(c.found) >= schema.MaxErrors {
		c.more++
		return
	}
	path := c.Text(k)
	if below != "" {
		path += "/" + below
	}
	c.found = append(c.found, &Violation{Rule: c.rule, Path: path, Value: value, Reason: reason, Remedy: remedy})
}

// recheckFunc reports the other entries that a change may make wrong. It is
// called once per changed entry, with both snapshots.
type recheckFunc func(was, is translators.View, ch schema.Change, again func(schema.EntryKey))

func rechecks(m *translators.Model) map[schema.ListID]recheckFunc {
	parent := func(list *schema.Node) recheckFunc {
		return func(_, _ translators.View, ch schema.Change, again func(schema.EntryKey)) {
			for k, ok := ch.Key.Parent(); ok; k, ok = k.Parent() {
				if k.List() == list.ListID {
					again(k)
					return
				}
			}
		}
	}
	return map[schema.ListID]recheckFunc{
		m.Address4.ListID:      all(parent(m.Interface), recheckGateways, recheckOwn),
		m.Address6.ListID:      all(parent(m.Interface), recheckGateways, recheckOwn), // its MTU
		m.Neighbour6.ListID:    parent(m.Interface),
		m.NextHop.ListID:       all(parent(m.Static), recheckLeaks, recheckSIDHops), // at least one, and which share a metric
		m.Static.ListID:        all(recheckLeaks, recheckSIDHops),
		m.Interface.ListID:     all(recheckPeers, recheckAbove, recheckPorts, recheckPolicyLink),
		m.Member.ListID:        all(recheckMembers, recheckMember),
		m.Instance.ListID:      all(recheckReferrers, recheckPolicyLink, recheckProxies),
		m.HMACKey.ListID:       recheckSigned,
		m.SRv6Interface.ListID: recheckProxiesOf,
		m.Locator.ListID:       all(recheckSIDs, recheckDynamicSIDs, recheckBindingSIDs),

		m.Policy.ListID:        recheckSteered,
		m.CandidatePath.ListID: parent(m.Policy),
		m.WeightedList.ListID:  all(parent(m.CandidatePath), parent(m.Policy)),
		m.SegmentList.ListID:   recheckPolicies,
	}
}

func all(funcs ...recheckFunc) recheckFunc {
	return func(was, is translators.View, ch schema.Change, again func(schema.EntryKey)) {
		for _, fn := range funcs {
			fn(was, is, ch, again)
		}
	}
}

// recheckGateways: the neighbours that an address had, and the lookups that its
// subnet has kept from going on.
func recheckGateways(_, is translators.View, ch schema.Change, again func(schema.EntryKey)) {
	if prefix := translators.Subnet(ch.Old); prefix.IsValid() {
		is.NextHopsIn(prefix, again)
		is.LeaksWithin(prefix, again)
	}
}

// recheckOwn: next hops whose neighbour has the address that comes.
func recheckOwn(_, is translators.View, ch schema.Change, again func(schema.EntryKey)) {
	if p := translators.Subnet(ch.New); p.IsValid() {
		is.NextHopsIn(netip.PrefixFrom(p.Addr(), p.Addr().BitLen()), again)
	}
}

// recheckMembers: the neighbours that an interface had in the instance that it
// leaves, the lookups that its subnets have kept from going on there, and the next
// hops of another instance that leave by it.
func recheckMembers(was, is translators.View, ch schema.Change, again func(schema.EntryKey)) {
	before, _ := ch.Old.(*translators.Member)
	after, _ := ch.New.(*translators.Member)
	for _, m := range []*translators.Member{before, after} {
		if m == nil || before != nil && after != nil && translators.Str(before.Interface) == translators.Str(after.Interface) {
			continue
		}
		link, ok := was.InterfaceKey(translators.Str(m.Interface))
		if !ok {
			continue
		}
		was.SubnetsOf(link, func(p netip.Prefix) { is.NextHopsIn(p, again) })
		is.LeaksWithinSubnets(link, again)
		is.Referrers(link, func(k schema.EntryKey) bool {
			e, _ := is.Get(k)
			if nh, ok := e.(*translators.NextHop); ok && nh.NetworkInstance != nil {
				again(k)
			}
			return true
		})
	}
}

// recheckPeers: the other end of a veth names this one.
func recheckPeers(_, is translators.View, ch schema.Change, again func(schema.EntryKey)) {
	for _, e := range []schema.GoStruct{ch.Old, ch.New} {
		if i, ok := e.(*translators.Interface); ok && i != nil && i.Veth != nil && i.Veth.Peer != nil {
			if k, ok := is.InterfaceKey(*i.Veth.Peer); ok {
				again(k)
			}
		}
	}
}

// recheckReferrers: SIDs ask for a type of instance.
func recheckReferrers(_, is translators.View, ch schema.Change, again func(schema.EntryKey)) {
	before, _ := ch.Old.(*translators.Instance)
	after, _ := ch.New.(*translators.Instance)
	if before == nil || after == nil || before.Type == after.Type {
		return
	}
	is.Referrers(ch.Key, func(k schema.EntryKey) bool {
		again(k)
		return true
	})
}

// recheckSIDs: a locator that goes or moves leaves its SIDs behind, and one with other
// lengths may have no place for some. A new one cannot make a SID wrong.
func recheckSIDs(_, is translators.View, ch schema.Change, again func(schema.EntryKey)) {
	before, _ := ch.Old.(*translators.Locator)
	after, _ := ch.New.(*translators.Locator)
	if before == nil || after != nil && translators.StructureOf(after) == translators.StructureOf(before) {
		return
	}
	old := translators.Prefix(before.Prefix)
	instance, ok := ch.Key.Parent()
	if !ok || !old.IsValid() {
		return
	}
	translators.Each(is, instance, is.Model.SID, func(k schema.EntryKey, s *translators.SID) bool {
		if old.Contains(translators.Addr(s.Address)) {
			again(k)
		}
		return true
	})
}

func text(v any) string { return fmt.Sprint(v) }
