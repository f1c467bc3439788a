package datastore

import (
	"testing"
	"time"
)

// FuzzNotes: whatever is in the small files beside the configuration, the store starts
// with its configuration, and what it takes for a lock or a commit that waits is one.
func FuzzNotes(f *testing.F) {
	for _, text := range []string{
		"", "{}", "null", `{"user":"ann","since":"2026-11-21T04:00:00Z","until":"2026-11-21T05:00:00Z"}`, `{"until":"9999-01-01T00:00:00Z"}`, `{"until":1}`,
		`{"id":"x","before":0,"deadline":"2026-11-21T05:00:00Z","time":"2026-11-21T04:00:00Z"}`, `{"session":"7","until":"2026-11-21T05:00:00Z"}`,
	} {
		f.Add([]byte(text), true)
		f.Add([]byte(text), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, lock bool) {
		c := newClock()
		r := start(t, newMemFS(), &kernel{}, withClock(c))
		r.must(link(t, "e3", "one"))
		fs := r.fs.reboot(loseNothing)
		name := confirmName
		if lock {
			name = lockName
		}
		fs.names[name] = &memNode{data: data, durable: data}
		before := text(t, r.Snapshot())
		r = start(t, fs, &kernel{}, withClock(c))
		if got := text(t, r.Snapshot()); got != before {
			t.Errorf("it starts with %s, want %s", got, before)
		}
		if l, _ := r.Locked(); l != nil && (l.Until.Before(c.Now()) || l.Until.After(c.Now().Add(LongestLock)) || l.Session != "") {
			t.Errorf("%+v is no lock that was given", l)
		}
		if u := r.Unconfirmed(); u != nil && (u.ID == "" || u.Before+1 != r.Snapshot().Revision() || !u.Time.Equal(r.Snapshot().Time())) {
			t.Errorf("%+v is no commit that waits", u)
		}
		c.advance(LongestLock + time.Hour)
		if l, _ := r.Locked(); l != nil {
			t.Errorf("%+v does not end", l)
		}
	})
}
