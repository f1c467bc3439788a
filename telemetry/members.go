package telemetry

import "heddle/schema"

// members ties the interfaces of network instances to links, so that a link
// event finds the entries that it is about.
type members struct {
	links   map[schema.EntryKey]string              // the link of each entry
	entries map[string]map[schema.EntryKey]struct{} // the entries of each link
	masters map[string]string                       // of the links that are there, "" for none
}

func newMembers() members {
	return members{
		links:   map[schema.EntryKey]string{},
		entries: map[string]map[schema.EntryKey]struct{}{},
		masters: map[string]string{},
	}
}

// set ties an entry to a link, or to none for nil.
func (m *members) set(k schema.EntryKey, link *string) {
	if old, ok := m.links[k]; ok {
		delete(m.links, k)
		delete(m.entries[old], k)
		if len(m.entries[old]) == 0 {
			delete(m.entries, old)
		}
	}
	if link == nil {
		return
	}
	m.links[k] = *link
	if m.entries[*link] == nil {
		m.entries[*link] = map[schema.EntryKey]struct{}{}
	}
	m.entries[*link][k] = struct{}{}
}

// free reports whether a link is there and enslaved to nothing.
func (m *members) free(link string) bool {
	master, ok := m.masters[link]
	return ok && master == ""
}

// move notes who is enslaved to whom now, and returns the links of which that
// changed: of all links, or of only that one.
func (m *members) move(there map[string]string, only string) (moved []string) {
	for name, master := range there {
		if old, ok := m.masters[name]; !ok || old != master {
			m.masters[name] = master
			moved = append(moved, name)
		}
	}
	gone := func(name string) {
		_, was := m.masters[name]
		if _, is := there[name]; was && !is {
			delete(m.masters, name)
			moved = append(moved, name)
		}
	}
	if only != "" {
		gone(only)
		return moved
	}
	for name := range m.masters {
		gone(name)
	}
	return moved
}
