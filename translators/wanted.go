package translators

import (
	"heddle/kernel/object"
	"heddle/schema"
)

// Wanted translates the unit that an entry belongs to once more, and returns the
// objects that it alone asks of the kernel, and why it is not given others.
// Nothing is asked for what is not a unit or not there. It may be called by
// anybody at any time.
func (e *Engine) Wanted(r Reader, k schema.EntryKey) (own []object.Object, withheld []Withheld, err error) {
	unit, ok := e.unit(k)
	if !ok {
		return nil, nil, nil
	}
	var out Result
	if err := e.translate(NewView(e.model, r), unit, &out); err != nil {
		return nil, nil, err
	}
	return out.Objects, out.Withheld, nil
}
