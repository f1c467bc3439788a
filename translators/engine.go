package translators

import (
	"cmp"
	"errors"
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

	mu   sync.RWMutex // guards want
	want *want
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

// Delta is a prepared commit.
type Delta struct {
	// Changes are the wanted objects that came, changed or went, one for each
	// key, in the order of their keys, those that are shared behind.
	Changes []Change

	// Withheld lists the entries whose reason for having no object came, changed
	// or went ("").
	Withheld []Withheld

	// Units counts the units that were translated: what the commit cost.
	Units int

	engine  *Engine
	overlay *overlay
}

// Prepare works out what the changes from one snapshot to the next mean for the
// kernel. It changes nothing: the caller applies Delta.Changes and then calls
// Delta.Commit, or drops the Delta. Errors are joined *Error and
// *ConflictError, at most maxErrors.
func (e *Engine) Prepare(before, after Reader, changes []schema.Change) (*Delta, error) {
	units := e.affected(NewView(e.model, before), NewView(e.model, after), changes)

	e.mu.RLock()
	defer e.mu.RUnlock()
	v := newOverlay(e.want, e.model.Text, len(units))
	var errs []error
	for i, was := range e.translateAll(before, units, changes, func(c *schema.Change) schema.GoStruct { return c.Old }) {
		if was.err != nil {
			errs = append(errs, was.err)
			continue
		}
		v.drop(units[i], &was.Result)
	}
	v.settle(-1)
	for i, is := range e.translateAll(after, units, changes, func(c *schema.Change) schema.GoStruct { return c.New }) {
		err := is.err
		if err == nil {
			err = v.add(units[i], &is.Result)
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
	d := &Delta{Changes: v.changes(), Units: len(units), engine: e, overlay: v}
	for k, reason := range v.withheld {
		if e.want.withheld[k] != reason {
			d.Withheld = append(d.Withheld, Withheld{k, reason})
		}
	}
	slices.SortFunc(d.Withheld, func(a, b Withheld) int { return cmp.Compare(a.Entry, b.Entry) })
	return d, nil
}

// Commit makes the delta what the engine compares the next change with. The
// function it returns takes that back, as long as nothing was committed since.
func (d *Delta) Commit() (undo func()) {
	d.engine.mu.Lock()
	defer d.engine.mu.Unlock()
	restore := d.overlay.apply()
	return func() {
		d.engine.mu.Lock()
		defer d.engine.mu.Unlock()
		restore()
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
	for _, c := range changes {
		redo(c.Key)
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
