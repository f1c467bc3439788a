package translators

import (
	"heddle/kernel/object"
	"heddle/schema"
)

// Wanted translates the unit that an entry belongs to once more, and returns all
// that it asks of the kernel. Nothing is asked for what is not a unit or not
// there. It may be called by anybody at any time.
func (e *Engine) Wanted(r Reader, k schema.EntryKey) ([]object.Object, error) {
	unit, ok := e.unit(k)
	if !ok {
		return nil, nil
	}
	var out Result
	if err := e.translate(View{e.model, r}, unit, &out); err != nil {
		return nil, err
	}
	return append(out.Objects, out.Shared...), nil
}
