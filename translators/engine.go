package translators

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"sync"

	"heddle/kernel/object"
	"heddle/schema"
)

// maxErrors bounds how many errors one Prepare reports.
const maxErrors = schema.MaxErrors

// Error is configuration that cannot be translated.
type Error struct {
	Path string // of the list entry
	Err  error
}

func (e *Error) Error() string { return e.Path + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Violation takes the error apart for those who do not know this package.
func (e *Error) Violation() (path, value, reason, remedy string) {
	return e.Path, "", e.Err.Error(), "change the configuration below this path"
}

// Engine keeps what the running configuration wants of the kernel, and works
// out what a commit changes about it. Prepare and Commit are for one writer at
// a time; Withheld and Origin may be called by anybody at any time.
type Engine struct {
	model   *Model
	units   map[schema.ListID][]Unit
	unitOf  map[schema.ListID]schema.ListID // parts to the list of their unit
	ripples map[schema.ListID][]Ripple

	mu    sync.RWMutex // guards want and facts
	want  *want
	facts *facts
}

// NewEngine makes an engine that wants nothing yet: hand it the whole of the
// first configuration as changes.
func NewEngine(m *Model, units []Unit, ripples []Ripple) *Engine {
	e := &Engine{
		model:   m,
		units:   map[schema.ListID][]Unit{},
		unitOf:  map[schema.ListID]schema.ListID{},
		ripples: map[schema.ListID][]Ripple{},
		want:    newWant(),
	}
	for _, u := range units {
		e.units[u.List.ListID] = append(e.units[u.List.ListID], u)
		for _, p := range u.Parts {
			e.unitOf[p.ListID] = u.List.ListID
		}
	}
	for _, r := range ripples {
		e.ripples[r.List.ListID] = append(e.ripples[r.List.ListID], r)
	}
	return e
}

// Look has the engine find out from source how the kernel is, as far as it matters.
// Without, all links are up. It is called before anything is prepared.
func (e *Engine) Look(source Source) { e.facts = newFacts(source) }

// Delta is a prepared commit.
type Delta struct {
	// Changes are the wanted objects that came, changed or went, one for each
	// key, in the order of their keys, those that are shared behind.
	Changes []Change

	// Withheld lists the entries whose reason for having no object came, changed
	// or went ("").
	Withheld []Withheld

	// Refused lists what the changes lead to and were not to.
	Refused []Refusal

	// Units counts the units that were translated: what the commit cost.
	Units int

	engine  *Engine
	overlay *overlay
	facts   *facts
}

// Prepare works out what the changes from one snapshot to the next mean for the
// kernel. It changes nothing: the caller applies Delta.Changes and then calls
// Delta.Commit, or drops the Delta. Errors are joined *Error and
// *ConflictError, at most maxErrors.
func (e *Engine) Prepare(before, after Reader, changes []schema.Change) (*Delta, error) {
	units := e.affected(NewView(e.model, before), NewView(e.model, after), changes)
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.prepare(side{before, e.facts}, side{after, e.facts}, units, changes)
}

// Refresh works out what has changed about the kernel that the translation of a
// configuration depends on, and what that means for it; nil if nothing has. Like
// Prepare it changes nothing, and is followed by Delta.Commit.
func (e *Engine) Refresh(r Reader) (*Delta, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.facts.none() {
		return nil, nil
	}
	v := NewView(e.model, r)
	paths := func(a netip.Addr, fn func(schema.EntryKey)) { v.FirstsWithin(netip.PrefixFrom(a, a.BitLen()), fn) }
	next, changed, sids := e.facts.renewed(func(a netip.Addr) (used bool) {
		paths(a, func(schema.EntryKey) { used = true })
		return used
	}, func(p NFProbe) bool {
		is, _, ok := v.probeAt(p.SID)
		return ok && is == p
	})
	if len(changed) == 0 && len(sids) == 0 {
		return nil, nil
	}
	var units []schema.EntryKey
	for _, a := range sids {
		if _, k, ok := v.probeAt(a); ok {
			units = append(units, k)
		}
	}
	for _, a := range changed {
		paths(a, func(k schema.EntryKey) {
			if u, ok := e.unit(k); ok {
				units = append(units, u)
			}
		})
	}
	slices.Sort(units)
	return e.prepare(side{r, e.facts}, side{r, next}, slices.Compact(units), nil)
}

// Asks reports whether the translation depends on how the kernel is.
func (e *Engine) Asks() bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return !e.facts.none()
}

// Unsure reports whether what was prepared last asked something about the kernel for the
// first time: a Refresh behind it may find another answer.
func (e *Engine) Unsure() bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.facts.isUnsure()
}

// side is what is translated before, and after.
type side struct {
	Reader
	facts *facts
}

// prepare compares what units ask for on the two sides. It needs e.mu.
func (e *Engine) prepare(before, after side, units []schema.EntryKey, changes []schema.Change) (*Delta, error) {
	v := newOverlay(e.want, e.model.Text, len(units))
	var errs []error
	d := &Delta{Units: len(units), engine: e, overlay: v, facts: after.facts}
	refused := map[schema.EntryKey]bool{}
	for i, was := range e.translateAll(before.Reader, before.facts, units, changes, func(c *schema.Change) schema.GoStruct { return c.Old }) {
		if was.err != nil {
			errs = append(errs, was.err)
			continue
		}
		v.drop(units[i], &was.Result)
		for _, r := range was.Refused {
			refused[r.Entry] = true
		}
	}
	v.settle(-1)
	for i, is := range e.translateAll(after.Reader, after.facts, units, changes, func(c *schema.Change) schema.GoStruct { return c.New }) {
		err := is.err
		if err == nil {
			err = v.add(units[i], &is.Result)
		}
		for _, r := range is.Refused {
			if !refused[r.Entry] {
				d.Refused = append(d.Refused, r)
			}
		}
		if err == nil {
			continue
		}
		if errs = append(errs, err); len(errs) == maxErrors {
			break
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	v.settle(1)
	if errs = v.merge(); len(errs) > 0 {
		return nil, errors.Join(errs[:min(len(errs), maxErrors)]...)
	}
	d.Changes = v.changes()
	for k, reason := range v.withheld {
		if e.want.withheld[k] != reason {
			d.Withheld = append(d.Withheld, Withheld{k, reason})
		}
	}
	slices.SortFunc(d.Withheld, func(a, b Withheld) int { return cmp.Compare(a.Entry, b.Entry) })
	return d, nil
}

// Refusal is an error for what the delta leads to and is not to; nil if there is
// nothing.
func (d *Delta) Refusal() error {
	var errs []error
	for _, r := range d.Refused[:min(len(d.Refused), maxErrors)] {
		errs = append(errs, &RefusedError{Path: d.engine.model.Text(r.Entry) + "/" + r.Below, Reason: r.Reason, Remedy: r.Remedy})
	}
	return errors.Join(errs...)
}

// RefusedError says why a commit is refused.
type RefusedError struct{ Path, Reason, Remedy string }

func (e *RefusedError) Error() string { return e.Path + ": " + e.Reason + ": " + e.Remedy }

// Violation takes the error apart for those who do not know this package.
func (e *RefusedError) Violation() (path, value, reason, remedy string) {
	return e.Path, "", e.Reason, e.Remedy
}

// Commit makes the delta what the engine compares the next change with. The
// function it returns takes that back, as long as nothing was committed since.
func (d *Delta) Commit() (undo func()) {
	d.engine.mu.Lock()
	defer d.engine.mu.Unlock()
	restore, facts := d.overlay.apply(), d.engine.facts
	d.engine.facts = d.facts
	return func() {
		d.engine.mu.Lock()
		defer d.engine.mu.Unlock()
		restore()
		d.engine.facts = facts
	}
}

// Withheld tells why the entry has no kernel object although it is configured;
// ok is false if it has one, or asks for none.
func (e *Engine) Withheld(k schema.EntryKey) (reason string, ok bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	reason, ok = e.want.withheld[k]
	return reason, ok
}

// Origin is the list entry that an object comes from.
func (e *Engine) Origin(k object.Key) (schema.EntryKey, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if origin, ok := e.want.owners[k]; ok {
		return origin, true
	}
	s, ok := e.want.shared[k]
	return s.origin, ok
}

// affected lists the units to translate again, each once.
func (e *Engine) affected(was, is View, changes []schema.Change) []schema.EntryKey {
	units := make([]schema.EntryKey, 0, len(changes))
	redo := func(k schema.EntryKey) {
		if k, ok := e.unit(k); ok {
			units = append(units, k)
		}
	}
	first := !was.HasAny() // then who depends on a change is one
	for _, c := range changes {
		if redo(c.Key); first {
			continue
		}
		for _, r := range e.ripples[c.Key.List()] {
			r.Affected(was, c, redo)
			r.Affected(is, c, redo)
		}
	}
	// Changes come in the order of their keys: without ripples there is nothing
	// to sort.
	if !slices.IsSorted(units) {
		slices.Sort(units)
	}
	return slices.Compact(units)
}

// unit is the unit that an entry belongs to.
func (e *Engine) unit(k schema.EntryKey) (schema.EntryKey, bool) {
	list := k.List()
	if _, ok := e.units[list]; ok {
		return k, true
	}
	top, ok := e.unitOf[list]
	for ok && k.List() != top {
		k, ok = k.Parent()
	}
	return k, ok
}

// translate adds what one unit asks for to r; entry is nil where it is not there.
func (e *Engine) translate(v View, k schema.EntryKey, entry schema.GoStruct, r *Result) error {
	if entry == nil {
		return nil
	}
	for _, u := range e.units[k.List()] {
		if err := u.Translate(v, k, entry, r); err != nil {
			return &Error{e.model.Text(k), err}
		}
	}
	return nil
}
