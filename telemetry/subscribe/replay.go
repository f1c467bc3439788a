package subscribe

import (
	"time"

	"heddle/schema"
)

// Replay sends what the paths held in a configuration of the past, at that time, and
// Sync; then what later commits changed, with their times.
func (e *Engine) Replay(req Request, base schema.Tree, at time.Time, later []Batch, sink Sink) error {
	patterns := e.patterns(req, func(p *pattern, _ Subscription) { p.mode = OnChange })
	sel := newSelection(e.opts.Schema, patterns)
	w := &writer{Encoder: req.Encoder, schema: e.opts.Schema, plan: e.plan}
	if !req.UpdatesOnly {
		if err := send(sink, w, sel, [numSources]schema.Tree{base}, at, everything); err != nil {
			return err
		}
	}
	if err := sink.Sync(); err != nil {
		return err
	}
	for _, b := range later {
		for _, c := range b.Changes {
			it := &item{itemKey: itemKey{entry: c.Key}, old: c.Old, now: c.New, at: b.Time}
			sel.index.match(c.Key, func(p *pattern) { it.patterns = append(it.patterns, p) })
			if len(it.patterns) == 0 {
				continue
			}
			n := w.change(it)
			if n == nil {
				continue
			}
			if err := sink.Send(n); err != nil {
				return err
			}
		}
	}
	return nil
}
