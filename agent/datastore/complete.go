package datastore

import "heddle/schema"

// Complete gives changed entries the values that a request may leave to the agent: it
// returns those entries with the values, Old as they are in next. It is a pure function
// of what it is given, and changes nothing.
type Complete func(next *Snapshot, changes []schema.Change) []schema.Change

// completed has the changes completed, and leaves out those that are none then.
func (s *Store) completed(b *builder, changes []schema.Change) []schema.Change {
	if s.complete == nil {
		return changes
	}
	filled := s.complete(b.next, changes)
	if len(filled) == 0 {
		return changes
	}
	b.apply(filled)
	news := make(map[schema.EntryKey]schema.GoStruct, len(filled))
	for _, f := range filled {
		news[f.Key] = f.New
	}
	out := make([]schema.Change, 0, len(changes))
	for _, c := range changes {
		if e, ok := news[c.Key]; ok {
			c.New = e
		}
		if !s.schema.Equal(c.Old, c.New) {
			out = append(out, c)
		}
	}
	return out
}
