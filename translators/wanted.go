package translators

import (
	"net/netip"

	"heddle/kernel/object"
	"heddle/schema"
)

// Asker answers what single entries of one snapshot ask for. It is for one
// goroutine.
type Asker struct {
	engine *Engine
	view   View
	out    Result
}

// Ask makes an Asker for a snapshot.
func (e *Engine) Ask(r Reader) *Asker {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return &Asker{engine: e, view: newView(e.model, r, e.facts)}
}

// Wanted translates the unit that an entry belongs to once more, and returns the
// objects that it alone asks of the kernel, and why it is not given others.
// Nothing is asked for what is not a unit or not there. The result is valid until
// the next call.
func (a *Asker) Wanted(k schema.EntryKey) (own []object.Object, withheld []Withheld, err error) {
	unit, ok := a.engine.unit(k)
	if !ok {
		return nil, nil, nil
	}
	a.out = Result{Objects: a.out.Objects[:0], Shared: a.out.Shared[:0], Withheld: a.out.Withheld[:0]}
	entry, _ := a.view.Get(unit)
	if err := a.engine.translate(a.view, unit, entry, &a.out); err != nil {
		return nil, nil, err
	}
	return a.out.Objects, a.out.Withheld, nil
}

// SIDOf is the address of a dynamic SID, invalid if it has none.
func (a *Asker) SIDOf(dynamic schema.EntryKey) netip.Addr {
	e, _ := a.view.Get(dynamic)
	d, ok := e.(*DynamicSID)
	if !ok {
		return netip.Addr{}
	}
	return a.view.AddrOf(d)
}

// DynamicSID finds the dynamic SID with an address.
func (a *Asker) DynamicSID(sid netip.Addr) (dynamic schema.EntryKey, ok bool) {
	return a.view.DynamicAt(sid)
}
